package policy

import "time"

// Kept is what stays of a state while another app is watched: the user's own setting,
// the protocol that was left in force, and the plan to go back from it. Whatever was
// open there is finished or undone before.
func (s State) Kept(now time.Time) State {
	s = s.clone()
	s.owe(now)
	s.Unkept = false
	return State{Setting: s.Setting, Case: Case{HoldUntil: s.HoldUntil, HoldLevel: s.HoldLevel}, Plan: Plan{Failback: s.Failback, Felled: s.Felled}}
}

// Elsewhere is the state with which another app is watched from now on; kept is what
// stayed from when it was watched before, the zero value if it never was. What was
// spent and learned in this home, and a pause, hold for every app.
func (s State) Elsewhere(kept State) State {
	kept = kept.clone()
	kept.Phase, kept.Since, kept.Restarts, kept.Cures, kept.PausedUntil, kept.PausedFor = s.Phase, s.Since, s.Restarts, s.Cures, s.PausedUntil, s.PausedFor
	return kept
}
