package policy

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/detect"
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

func (s State) clone() State {
	s.Case, s.Plan = s.Case.clone(), s.Plan.clone()
	return s
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
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

// begin orders a change.
func (s *State) begin(d *Decision, now time.Time, p evidence.Protocol, why Purpose, step Step) {
	s.Trial, s.Question = &OnTrial{Protocol: p, Purpose: why, Since: now}, nil
	if why != Revive {
		s.Detector = detect.Detector{}
	}
	d.Change = &Change{Protocol: p, Purpose: why}
	step.Kind, step.Protocol, step.Purpose = stepOf[why], p, why
	d.tell(now, step)
}

// giveWay ends whatever is under way in favour of what a person did.
func (s *State) giveWay(d *Decision, now time.Time, hold time.Duration, step Step) {
	step.Kind, step.Protocol = StepUser, s.Set
	d.tell(now, step)
	if s.Trial != nil || s.Incident != nil {
		s.HoldUntil = now.Add(hold) // their choice gets its time before anything is tried again
	}
	s.Trial, s.Incident, s.Detector = nil, nil, detect.Detector{}
}

// shutCase ends the incident without a cure.
func (s *State) shutCase(d *Decision, now time.Time, step Step) {
	step.Protocol = s.Set
	d.tell(now, step)
	s.planReturn(now)
	s.Incident, s.Detector = nil, detect.Detector{}
}

// Kept is what stays of a state while another app is watched: the user's own setting,
// the protocol that was left in force, and the plan to go back from it. Whatever was
// open there is finished or undone before.
func (s State) Kept(now time.Time) State {
	s = s.clone()
	s.planReturn(now)
	s.Unkept, s.Woke = false, false
	return State{Setting: s.Setting, Case: Case{HoldUntil: s.HoldUntil, HoldLevel: s.HoldLevel}, Plan: Plan{Failback: s.Failback, StoppedByUs: s.StoppedByUs}}
}

// Elsewhere is the state with which another app is watched from now on; kept is what
// stayed from when it was watched before, the zero value if it never was. What was
// spent and learned in this home, and a pause, hold for every app.
func (s State) Elsewhere(kept State) State {
	kept = kept.clone()
	kept.Phase, kept.Since, kept.Restarts, kept.Cures, kept.PausedUntil = s.Phase, s.Since, s.Restarts, s.Cures, s.PausedUntil
	kept.PausedFor = s.PausedFor
	return kept
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
	atMost(&s.RevivedAt, 0)
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
	if q := s.Question; q != nil {
		atMost(&q.Asked, 0)
		atMost(&q.Until, r.standing(q.Purpose))
	}
	for i := range s.Restarts {
		atMost(&s.Restarts[i], 0)
	}
	s.Restarts = slices.DeleteFunc(s.Restarts, func(t time.Time) bool { return now.Sub(t) >= day })
	if s.HoldLevel > 0 && s.Incident == nil && now.Sub(s.HoldUntil) >= day {
		s.HoldLevel = 0
	}
}
