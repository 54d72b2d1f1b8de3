package policy

import (
	"cmp"
	"slices"
	"time"
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
func (s *State) Alert() bool { return s.Trial != nil || s.Incident != nil || s.Detector.Suspects() }

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

// wayBack is the change that undoes what is on trial; any is false where nothing unproven is.
func (s *State) wayBack() (back Change, any bool) {
	switch o := s.Trial; {
	case o == nil:
	case o.Purpose == Trial:
		return Change{s.Own, Restore}, o.Protocol != s.Own // else what would go back is what is on trial
	case o.Purpose == Failback && s.Failback != nil:
		return Change{s.Failback.Cured, Return}, true
	case o.Purpose == ByHand:
		return Change{o.Back, HandBack}, true
	}
	return Change{}, false
}

// planReturn plans the return to the user's own setting where another one is in force
// that was never proven: the way back was blocked.
func (s *State) planReturn(now time.Time) {
	if i := s.Incident; s.Set != s.Own && s.Failback == nil && i != nil {
		s.Failback = &Comeback{Due: now, Wait: day, Cured: s.Set, Incident: i.ID, Cause: i.Cause, Tally: i.total()}
	}
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
func (t *turn) forget() {
	s, now := t.s, t.now
	atMost := func(at *time.Time, wait time.Duration) {
		if at.After(now) {
			*at = earlier(*at, now.Add(wait))
		}
	}
	past := func(times ...*time.Time) {
		for _, at := range times {
			*at = earlier(*at, now)
		}
	}
	atMost(&s.HoldUntil, holdSteps*t.r.HoldBase)
	if !Forever(s.PausedUntil) {
		atMost(&s.PausedUntil, cmp.Or(s.PausedFor, LongestPause))
	}
	past(&s.TroubleSince, &s.RevivedAt)
	if i := s.Incident; i != nil {
		past(&i.Alarm, &i.Silent)
	}
	if f := s.Failback; f != nil {
		atMost(&f.Due, f.Wait)
	}
	if o := s.Trial; o != nil {
		past(&o.Since, &o.Silent, &o.Ended)
		atMost(&o.Retry, t.r.HoldBase)
	}
	if q := s.Question; q != nil {
		past(&q.Asked)
		atMost(&q.Until, q.standing(t.r))
	}
	for i := range s.Restarts {
		past(&s.Restarts[i])
	}
	s.Restarts = slices.DeleteFunc(s.Restarts, func(at time.Time) bool { return now.Sub(at) >= day })
	if s.HoldLevel > 0 && s.Incident == nil && now.Sub(s.HoldUntil) >= day {
		s.HoldLevel = 0
	}
}
