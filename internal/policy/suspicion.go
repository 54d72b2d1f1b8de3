package policy

import (
	"cmp"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Suspicion is what looks have shown so far. None of it is kept: it changes with every
// look, and gathers again within seconds.
type Suspicion struct {
	Looked       bool            `json:"-"` // something was seen since the program started
	Last         detect.Look     `json:"-"` // what the last look showed
	LastGood     time.Time       `json:"-"`
	Trouble      diagnosis.Cause `json:"-"` // the last look's cause; Healthy if there is none
	Sign         diagnosis.Cause `json:"-"` // what that look alone showed
	TroubleSince time.Time       `json:"-"` // since when that
	Stops        int             `json:"-"` // looks in a row that showed the app stopped, not by us
	QUICShut     bool            `json:"-"` // the edge was asked over QUIC, and no handshake stood: this network seems to keep it out

	Noise    detect.Noise    `json:"-"` // how noisy this home is
	Detector detect.Detector `json:"-"`
}

// note keeps what the last look said.
func (s *Suspicion) note(now time.Time, in Sight) {
	if in.Blind != "" {
		return
	}
	s.Looked = true
	if s.Last = in.look(); s.Last == detect.Good {
		s.LastGood = now
	}
	switch {
	case in.QUIC == evidence.On || in.Transport == evidence.OverQUIC:
		s.QUICShut = false
	case in.QUIC == evidence.Off:
		s.QUICShut = true
	}
	// It is the same trouble when more becomes known of it; what people meet while every
	// check succeeds begins when it is found.
	if in.sign() != s.Sign || in.Cause != s.Trouble && in.Cause.ChecksSucceed() || s.TroubleSince.IsZero() {
		s.TroubleSince = now
	}
	s.Trouble, s.Sign = in.Cause, in.sign()
}

func (in Sight) sign() diagnosis.Cause { return cmp.Or(in.Sign, in.Cause) }

// look is what it showed, counted. That of a handshake which arrived without its headers
// Home Assistant tells in its own words, and cloudflared that it dials QUIC in vain: then
// it has no connection at all, so that it is not one of four that is dying.
func (in Sight) look() detect.Look {
	switch {
	case in.Vote == diagnosis.Works:
		return detect.Good
	case in.Vote == diagnosis.Abstains:
		return detect.NoVerdict
	case in.sign() == diagnosis.UpgradeStripped || in.sign() == diagnosis.UpgradeMangled || in.sign() == diagnosis.QUICBlocked:
		return detect.Explicit
	}
	return detect.Silent
}

// watch is what is done while no protocol is on trial.
func (r Rules) watch(s *State, d *Decision, now time.Time, in Sight) {
	before := s.Detector
	s.Detector.Count(now, in.look(), s.Noise)
	if in.look().Failed() {
		s.Detector.Passing.Fail(now.Add(-in.Took), now, in.look(), s.Detector.Tally, s.Noise, r.dying())
	}
	if !before.Suspects() && !s.LastGood.IsZero() { // a good look since may have been forgotten
		s.Detector.Rest = min(max(now.Sub(s.LastGood), 0), r.Interval)
	}
	idle := false
	switch {
	case s.Incident == nil:
		idle = s.suspected(d, now, before, in)
	case r.followed(s, d, now, in):
		return
	}
	switch {
	case in.Vote == diagnosis.Fails && s.Detector.Certain():
		r.alarmed(s, d, now, in)
	case idle && in.Vote == diagnosis.Works:
		s.Noise.Learn(detect.Tally{Probes: 1})
		r.failBack(s, d, now, in)
	case in.Vote == diagnosis.Abstains:
		r.revive(s, d, now, in)
	}
}

// suspected tells of a suspicion that begins or ends, while no incident is open, and says
// whether there was none before and is none now.
func (s *State) suspected(d *Decision, now time.Time, before detect.Detector, in Sight) (idle bool) {
	step := Step{Kind: StepCleared, Protocol: s.Set}
	switch {
	case !before.Suspects() && !s.Detector.Suspects():
		return true
	case !before.Suspects():
		step.Kind, step.Cause = StepSuspected, in.Cause
	case !s.Detector.Suspects():
		s.Noise.Learn(before.First())
	case in.Vote == diagnosis.Abstains && now.Sub(s.Detector.Verdict) >= noVerdict:
		s.Detector = detect.Detector{}
		step.Why, step.Cause = WhyUnseen, in.Cause
	default:
		return false
	}
	d.tell(now, step)
	return false
}

// alarmed opens an incident if none is open, and begins a trial if every gate is.
func (r Rules) alarmed(s *State, d *Decision, now time.Time, in Sight) {
	if s.Incident == nil {
		s.Incident = &Incident{
			ID: now.UTC().Format("20060102T150405Z"), Onset: s.Detector.Since, LastGood: s.LastGood, Alarm: now, Cause: in.Cause,
			Setting: s.Set, Transport: s.Transport, Tally: s.Detector.Tally, Rest: s.Detector.Rest, Passing: s.Detector.Passing,
		}
		d.tell(now, Step{Kind: StepAlarm, Protocol: s.Set, Cause: in.Cause, Seen: s.Detector.Tally})
	}
	q := Question{Purpose: Trial}
	if r.Ask {
		if left := r.candidates(s); len(left) > 0 {
			q.Protocol = left[0]
		}
	}
	if d.Open = r.may(trying, s, d, now, in, q); d.Open {
		r.try(s, d, now)
	}
}

// looksStopped is how many looks in a row must show an app stopped before it counts as
// stopped by hand: Supervisor's word lags behind its own restarts.
const looksStopped = 3

// notStarted ends a treatment whose app a person has stopped. On trial, what was not
// proven is taken back first, so that the next start is with what was proven last.
func (r Rules) notStarted(s *State, d *Decision, now time.Time, in Sight) {
	switch {
	case in.State == evidence.StateStopped && in.Vote == diagnosis.Abstains && !s.StoppedByUs:
		s.Stops++
	case in.State != "": // not known says nothing; a verdict, that it runs whatever Supervisor says
		s.Stops = 0
	}
	switch t := s.Trial; {
	case s.Stops < looksStopped || t != nil && !t.Settled:
	case t != nil:
		r.failed(s, d, now, UserStopped)
	case s.Incident != nil:
		s.planReturn(now)
		s.giveWay(d, now, 0, Step{Why: WhyAppStopped})
	}
}
