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
	Last         detect.Look     `json:"-"` // what the last look showed
	LastGood     time.Time       `json:"-"`
	Trouble      diagnosis.Cause `json:"-"` // the last look's cause; Healthy if there is none
	Sign         diagnosis.Cause `json:"-"` // what that look alone showed
	TroubleSince time.Time       `json:"-"` // since when that; zero: nothing was seen since the program started
	Stops        int             `json:"-"` // looks in a row that showed the app stopped, not by us
	QUICShut     bool            `json:"-"` // the edge was asked over QUIC, and no handshake stood: this network seems to keep it out

	Noise    detect.Noise    `json:"-"` // how noisy this home is
	Detector detect.Detector `json:"-"`
	Passing  detect.Passing  `json:"-"` // what of that may pass on its own
}

// note keeps what the last look said.
func (s *Suspicion) note(now time.Time, in *Sight) {
	if in.Blind {
		return
	}
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

func (in *Sight) sign() diagnosis.Cause { return cmp.Or(in.Sign, in.Cause) }

// look is what it showed, counted.
func (in *Sight) look() detect.Look {
	switch {
	case in.Vote == diagnosis.Works:
		return detect.Good
	case in.Vote == diagnosis.Abstains:
		return detect.NoVerdict
	case in.sign().Told():
		return detect.Explicit
	}
	return detect.Silent
}

// watch is what is done while no protocol is on trial.
func (t *turn) watch() {
	s, vote, look := t.s, t.in.Vote, t.in.look()
	before := s.Detector.Tally
	s.Detector.Count(t.now, look, s.Noise)
	if look.Failed() && s.Incident == nil { // which keeps its own
		if before.Probes == 0 {
			s.Passing = detect.Passing{}
		}
		s.Passing.Fail(t.now.Add(-t.in.Took), t.now, look, s.Detector.Tally, s.Noise, dying(t.r.Burst))
	}
	if before.Probes == 0 && !s.LastGood.IsZero() { // a good look since may have been forgotten
		s.Detector.Rest = min(max(t.now.Sub(s.LastGood), 0), t.r.Interval)
	}
	idle := false
	switch {
	case s.Incident == nil:
		idle = s.Suspicion.tell(t, before)
	case s.Incident.followed(t):
		return
	}
	switch {
	case vote == diagnosis.Fails && s.Detector.Certain():
		t.alarmed()
	case idle && vote == diagnosis.Works:
		s.Noise.Learn(detect.Tally{Probes: 1})
		s.Plan.failBack(t)
	case vote == diagnosis.Abstains:
		s.Plan.revive(t)
	}
}

// tell tells of a suspicion that begins or ends, while no incident is open, and says
// whether there was none before and is none now.
func (s *Suspicion) tell(t *turn, before detect.Tally) (idle bool) {
	step := Step{Kind: StepCleared, Protocol: t.s.Set}
	switch {
	case before.Probes == 0 && !s.Detector.Suspects():
		return true
	case before.Probes == 0:
		step.Kind, step.Cause = StepSuspected, t.in.Cause
	case !s.Detector.Suspects():
		s.Noise.Learn(before.First())
	case t.in.Vote == diagnosis.Abstains && t.now.Sub(s.Detector.Verdict) >= noVerdict:
		s.Detector = detect.Detector{}
		step.Why, step.Cause = WhyUnseen, t.in.Cause
	default:
		return false
	}
	t.tell(step)
	return false
}

// alarmed opens an incident if none is open, and begins a trial if every gate is.
func (t *turn) alarmed() {
	s := t.s
	if s.Incident == nil {
		s.Incident = &Incident{
			ID: t.now.UTC().Format("20060102T150405Z"), Onset: s.Detector.Since, LastGood: s.LastGood, Alarm: t.now, Cause: t.in.Cause,
			Setting: s.Set, Transport: s.Transport, Tally: s.Detector.Tally, Rest: s.Detector.Rest, Passing: s.Passing,
		}
		t.tell(Step{Kind: StepAlarm, Protocol: s.Set, Cause: t.in.Cause, Seen: s.Detector.Tally})
	}
	q := Question{Purpose: Trial}
	if t.r.Ask {
		q.Protocol, _ = t.candidate()
	}
	if t.d.Open = t.may(trying, q); t.d.Open {
		s.Incident.try(t)
	}
}

// LooksStopped is how many looks in a row must show an app stopped before it counts as
// stopped by hand: Supervisor's word lags behind its own restarts.
const LooksStopped = 3

// stopped ends a treatment whose app a person has stopped. On trial, what was not
// proven is taken back first, so that the next start is with what was proven last.
func (s *Suspicion) stopped(t *turn) {
	switch {
	case t.in.State == evidence.StateStopped && t.in.Vote == diagnosis.Abstains && !t.s.StoppedByUs:
		s.Stops++
	case t.in.State != "": // not known says nothing; a verdict, that it runs whatever Supervisor says
		s.Stops = 0
	}
	switch o := t.s.Trial; {
	case s.Stops < LooksStopped || o != nil && !o.Settled:
	case o != nil:
		o.failed(t, UserStopped)
	case t.s.Incident != nil:
		t.s.planReturn(t.now)
		t.giveWay(0, Step{Why: WhyAppStopped})
	}
}
