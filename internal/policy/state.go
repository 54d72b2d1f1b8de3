package policy

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// State is everything the policy remembers, in four parts: whose setting it is, what is
// suspected, the open incident, and what is planned. It is a value that survives a restart
// of the program as JSON; the zero value is a program that has seen nothing yet.
type State struct {
	Phase Phase     `json:"phase,omitempty"`
	Since time.Time `json:"since,omitzero"`

	Setting
	Suspicion
	Case
	Plan
}

// Alert says whether anything is suspected or under way.
func (s State) Alert() bool { return s.Trial != nil || s.Incident != nil || s.Detector.Suspects() }

// Story is the id of the incident whose story is still being told: the open one,
// or the cured one until the user's own setting is back; "" if there is none.
func (s State) Story() string {
	switch {
	case s.Incident != nil:
		return s.Incident.ID
	case s.Failback != nil:
		return s.Failback.Incident
	}
	return ""
}

// baseline is what the fault looked like before the trial.
func (s *State) baseline() detect.Tally {
	switch {
	case s.Incident != nil:
		return s.Incident.total()
	case s.Failback != nil:
		return s.Failback.Tally
	}
	return detect.Tally{Failures: 1, Probes: 1}
}

// flapped says whether what is on trial is tried because connections broke again and
// again: then a run of good looks proves nothing, and ten minutes must pass.
func (s *State) flapped() bool {
	switch t := s.Trial; {
	case t != nil && t.Purpose == Trial && s.Incident != nil:
		return s.Incident.Cause == diagnosis.TunnelFlapping
	case t != nil && t.Purpose == Failback && s.Failback != nil:
		return s.Failback.Cause == diagnosis.TunnelFlapping
	}
	return false
}

// begin orders a change.
func (s *State) begin(d *Decision, now time.Time, p evidence.Protocol, why Purpose, text string, args ...any) {
	s.Trial = &OnTrial{Protocol: p, Purpose: why, Since: now}
	s.Detector = detect.Detector{}
	d.Change = &Change{Protocol: p, Purpose: why}
	d.say(now, stepOf[why], p, text, args...)
}

// yield ends whatever is under way in favour of what a person did.
func (s *State) yield(d *Decision, now time.Time, hold time.Duration, text string, args ...any) {
	d.say(now, StepUser, s.Set, text, args...)
	if s.Trial != nil || s.Incident != nil {
		s.HoldUntil = now.Add(hold) // their choice gets its time before anything is tried again
	}
	s.Trial, s.Incident, s.Detector = nil, nil, detect.Detector{}
}

// recovered closes the incident: the fault has gone without our doing.
func (s *State) recovered(d *Decision, now time.Time) {
	if s.certain() {
		d.say(now, StepRecovered, s.Set, "Home Assistant can be reached again; the fault has ended by itself.")
	} else { // as far as can be told, this home's noise
		d.say(now, StepRecovered, s.Set, "The probes are good again. Too few had failed to call it a fault: %s.", seen(s.Incident.struck()))
		s.Noise.Learn(s.Incident.struck().First())
	}
	s.owe(now)
	s.Incident, s.Detector = nil, detect.Detector{}
}

// owe plans the return to the user's own setting where another one is in force
// that was never proven: the way back was blocked.
func (s *State) owe(now time.Time) {
	if s.Set == s.Own || s.Failback != nil || s.Incident == nil {
		return
	}
	s.Failback = &Comeback{Due: now, Wait: day, Cured: s.Set, Incident: s.Incident.ID, Cause: s.Incident.Cause, Tally: s.Incident.total()}
}

// forget drops what no longer counts. Times further in the future than they can
// have been meant are those of a clock that was wrong. Restarts count as just now
// then, so that the budget stays kept; waits become as long as they can be.
func (r Rules) forget(s *State, now time.Time) {
	atMost := func(t *time.Time, wait time.Duration) {
		if limit := now.Add(wait); t.After(limit) {
			*t = limit
		}
	}
	atMost(&s.HoldUntil, holdSteps*r.HoldBase)
	if !Forever(s.PausedUntil) {
		atMost(&s.PausedUntil, cmp.Or(s.PausedFor, LongestPause))
	}
	atMost(&s.TroubleSince, 0)
	if s.Incident != nil {
		atMost(&s.Incident.Alarm, 0)
		atMost(&s.Incident.Silent, 0)
	}
	if s.Failback != nil {
		atMost(&s.Failback.Due, s.Failback.Wait)
	}
	if s.Trial != nil {
		atMost(&s.Trial.Since, 0)
		atMost(&s.Trial.Silent, 0)
		atMost(&s.Trial.Ended, 0)
		atMost(&s.Trial.Retry, r.HoldBase)
	}
	for i := range s.Restarts {
		atMost(&s.Restarts[i], 0)
	}
	s.Restarts = slices.DeleteFunc(s.Restarts, func(t time.Time) bool { return now.Sub(t) >= day })
	if s.HoldLevel > 0 && s.Incident == nil && now.Sub(s.HoldUntil) >= day {
		s.HoldLevel = 0
	}
}

func (s State) clone() State {
	if s.Incident != nil {
		c := *s.Incident
		c.Tried = slices.Clone(c.Tried)
		s.Incident = &c
	}
	if s.Trial != nil {
		c := *s.Trial
		s.Trial = &c
	}
	if s.Failback != nil {
		c := *s.Failback
		s.Failback = &c
	}
	s.Restarts = slices.Clone(s.Restarts)
	s.Cures = maps.Clone(s.Cures)
	return s
}
