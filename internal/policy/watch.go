package policy

import (
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// holdSteps is how many times its base a hold grows to: 30 minutes doubling to 6 hours.
const holdSteps = 12

// watch is what is done while no protocol is on trial.
func (r Rules) watch(s *State, d *Decision, now time.Time, in Sight) {
	before := s.Detector
	s.Detector.Count(now, in.look(), s.Noise)
	if !before.Suspects() && s.Detector.Suspects() && s.Incident == nil {
		d.say(now, StepSuspected, s.Set, "A probe failed (%s). Looking closely.", in.Cause)
	}
	if s.Incident != nil { // the look that opens one is counted by the detector
		s.Incident.count(in, s.Set, now.Sub(s.Incident.Alarm) >= r.dying())
		if in.Vote == diagnosis.Fails {
			s.Incident.LastBad = now
		}
		if !s.Incident.pausing(now) && (s.Incident.ended() || !s.certain() && s.unlikely()) {
			s.recovered(d, now)
			return
		}
	}
	switch {
	case in.Vote == diagnosis.Fails && s.Detector.Certain():
		r.alarmed(s, d, now, in)
	case s.Incident == nil && before.Suspects() && !s.Detector.Suspects():
		s.Noise.Learn(before.First())
		d.say(now, StepCleared, s.Set, "It was nothing lasting: the probes are good again.")
	case s.Incident == nil && !s.Detector.Suspects() && in.Vote == diagnosis.Works:
		s.Noise.Learn(detect.Tally{Probes: 1})
		r.failBack(s, d, now, in)
	case in.Vote == diagnosis.Abstains:
		if s.Incident == nil && before.Suspects() && now.Sub(s.Detector.Verdict) >= noVerdict {
			s.Detector = detect.Detector{}
			d.say(now, StepCleared, s.Set, "It could not be seen any more whether checks fail (%s). The suspicion is dropped.", in.Cause)
		}
		r.revive(s, d, now, in)
	}
}

// alarmed opens an incident if none is open, and begins a trial if every gate is.
func (r Rules) alarmed(s *State, d *Decision, now time.Time, in Sight) {
	if s.Incident == nil {
		s.Incident = &Incident{
			ID: now.UTC().Format("20060102T150405Z"), Onset: s.Detector.Since, LastGood: s.LastGood, Alarm: now, Cause: in.Cause,
			Setting: s.Set, Transport: s.Transport, Tally: s.Detector.Tally,
		}
		d.say(now, StepAlarm, s.Set, "This is a fault: %d of %d probes failed (%s).", s.Detector.Failures, s.Detector.Probes, in.Cause)
	}
	d.Closed = r.gates(trying, s, now, in)
	if d.Open = len(d.Closed) == 0; !d.Open {
		return
	}
	r.try(s, d, now)
}

// try orders the next candidate, or concludes the incident's treatment.
func (r Rules) try(s *State, d *Decision, now time.Time) {
	left := r.candidates(s)
	// One restart is always kept for the way back.
	if len(left) == 0 || s.spent(now)+2 > r.Budget || now.Before(s.PausedUntil) || s.Unkept {
		r.giveUp(s, d, now)
		return
	}
	s.Incident.settle()
	if left[0] == s.Set {
		s.begin(d, now, s.Set, Trial, "QUIC does not get through this network. Starting the tunnel anew first, with the same protocol (%s).", s.Set)
		return
	}
	s.begin(d, now, left[0], Trial, "Trying %s instead of %s.", left[0], s.Set)
}

// giveUp puts the user's own setting back, and waits. Where the trouble began under
// another one, a cure of before, and their own has just shown to be worse than
// that, the cure goes back.
func (r Rules) giveUp(s *State, d *Decision, now time.Time) {
	cure := s.Incident.Setting
	switch worse := cure != s.Own && s.worse(s.Own); {
	case worse && s.Set != cure:
		s.begin(d, now, cure, Restore, "Your own setting (%s) is worse. %s goes back.", s.Own, cure)
	case !worse && s.Set != s.Own:
		s.begin(d, now, s.Own, Restore, "Nothing helped. Your own setting (%s) goes back.", s.Own)
	default:
		r.hold(s, d, now)
	}
}

// Exhausted says whether the open incident has seen the fault under every allowed
// protocol, and none is kept for being better than the user's own. A protocol that
// could not be tried, or did not connect, has shown nothing of it.
func (r Rules) Exhausted(s State) bool {
	inc := s.Incident
	if inc == nil || len(inc.Tried) == 0 || s.Set != s.Own || len(r.candidates(&s)) > 0 {
		return false
	}
	return !slices.ContainsFunc(inc.Tried, Attempt.unjudged)
}

// unseen is after how long without a verdict an incident is no longer one that can be
// followed: something stands before the WebSocket that the probe cannot see past.
const unseen = day

// lapse closes an incident that could not be followed for a day.
func (s *State) lapse(d *Decision, now time.Time, in Sight) {
	inc := s.Incident
	switch {
	case inc == nil:
	case s.Trial != nil || in.Vote != diagnosis.Abstains:
		inc.Silent = time.Time{}
	case inc.Silent.IsZero():
		inc.Silent = now
	case now.Sub(inc.Silent) >= unseen:
		d.say(now, StepLapsed, s.Set, "For a day it could not be seen whether the WebSocket gets through (%s). This incident is closed.", in.Cause)
		s.owe(now)
		s.Incident, s.Detector = nil, detect.Detector{}
	}
}

// looksStopped is how many looks in a row must show an app stopped before it counts as
// stopped by hand: Supervisor's word lags behind its own restarts.
const looksStopped = 3

// notStarted ends a treatment whose app a person has stopped. On trial, what was not
// proven is taken back first, so that the next start is with what was proven last.
func (r Rules) notStarted(s *State, d *Decision, now time.Time, in Sight) {
	switch {
	case in.State == evidence.StateStopped && in.Vote == diagnosis.Abstains && !s.Felled:
		s.Stops++
	case in.State != "": // not known says nothing; a verdict, that it runs whatever Supervisor says
		s.Stops = 0
	}
	t := s.Trial
	switch {
	case s.Stops < looksStopped || t != nil && !t.Settled:
	case t != nil:
		t.Unfair = true
		r.failed(s, d, now, UserStopped)
	case s.Incident != nil:
		s.owe(now)
		s.yield(d, now, 0, "The Cloudflared app was stopped by hand. It stays stopped, and the treatment ends.")
	}
}

// hold waits for recovery: what can be tried has been.
func (r Rules) hold(s *State, d *Decision, now time.Time) {
	s.Trial = nil
	s.Incident.moveTo(s.Set, s.Transport)
	wait := r.HoldBase << min(s.HoldLevel, 10)
	wait = min(wait, holdSteps*r.HoldBase)
	s.HoldUntil = now.Add(wait)
	s.HoldLevel++
	s.Incident.Holds++
	s.Incident.Run = 0
	why := "No protocol helped, so the cause lies elsewhere."
	if s.Set != s.Own {
		why = "No protocol is clean."
	} else if len(r.candidates(s)) > 0 || slices.ContainsFunc(s.Incident.Tried, Attempt.unjudged) {
		why = "Not everything could be tried."
	}
	d.say(now, StepHold, s.Set, "%s Waiting for recovery; no restart before %s.", why, s.HoldUntil.In(r.location()).Format("15:04"))
}
