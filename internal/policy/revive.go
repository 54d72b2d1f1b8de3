package policy

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Revive is a new start under the same protocol: of a tunnel that does not come
// back by itself, or of an add-on that ended with an error. One that a person
// stopped is never started.
const Revive Purpose = "revive"

// The steps of a revival.
const (
	StepReviving StepKind = "reviving"
	StepRevived  StepKind = "revived"
)

// stuck is after how many MinUptimes without a connection a tunnel counts as one
// that does not come back by itself: four minutes. An outage of the edge takes
// HTTP/2 half a minute, and auto needs 131 s to give QUIC up (docs/FACTS.md, cloudflared).
const stuck = 2

// revive orders a new start where nothing but that can help, and every gate is open.
func (r Rules) revive(s *State, d *Decision, now time.Time, in Sight) {
	a, text := r.revival(s, in)
	lasted := now.Sub(s.TroubleSince)
	if a == 0 || lasted < r.patience(a, in.Cause) || now.Before(r.mayRevive(s, now, a, in)) {
		return
	}
	if d.Closed = r.gates(a, s, now, in); len(d.Closed) > 0 {
		return
	}
	s.Revivals, s.RevivedAt, s.RevivedFor = s.Revivals+1, now, in.Cause
	s.Trial = &OnTrial{Protocol: s.Set, Purpose: Revive, Since: now}
	d.Change = &Change{Protocol: s.Set, Purpose: Revive}
	d.say(now, StepReviving, s.Set, text, lasted.Round(time.Second), s.Set)
}

// revival says which act a look calls for, 0 for none, and how it is announced. A tunnel
// that is down may come back by itself, so it is restarted only after a while.
func (r Rules) revival(s *State, in Sight) (a act, text string) {
	down := in.State == evidence.StateError || in.State == evidence.StateStopped
	switch {
	case s.Felled && down:
		return raising, "The Cloudflared app has not been running for %s, since a restart by Tunnel Medic. Starting it, with the same protocol (%s)."
	case in.Remedy == diagnosis.Start:
		return starting, "The Cloudflared app has not been running for %s: it ended with an error. Starting it, with the same protocol (%s)."
	case in.Cause == diagnosis.ConnectorHung || in.Cause == diagnosis.TunnelDown:
		return restarting, "The tunnel has had no connection for %s, and does not come back on its own. Restarting it, with the same protocol (%s)."
	case in.Remedy == diagnosis.Restart && s.RevivedFor != in.Cause: // once: it helps at once, or not at all
		return restarting, "This has lasted for %s, and a restart can mend it. Restarting the tunnel, with the same protocol (%s)."
	}
	return 0, ""
}

// patience is how long a trouble must have lasted before the tunnel is started anew.
func (r Rules) patience(a act, c diagnosis.Cause) time.Duration {
	switch {
	case a == raising: // what we felled is ours to start, at once
		return 0
	case c == diagnosis.ConnectorHung || c == diagnosis.TunnelDown:
		return stuck * r.MinUptime
	}
	return r.MinUptime // Supervisor's own watchdog goes first
}

// mayRevive is when the next revival may be: each that was needed within a day of
// the last doubles the wait. What a restart of ours has felled is started again within
// two minutes of its becoming possible; only where a person has to do something first,
// the wait is longer.
func (r Rules) mayRevive(s *State, now time.Time, a act, in Sight) time.Time {
	if s.RevivedAt.After(now) { // by a clock that was wrong
		s.RevivedAt = now
	}
	if now.Sub(s.RevivedAt) >= day {
		s.Revivals = 0
	}
	switch {
	case s.Revivals == 0:
		return time.Time{}
	case a == starting || a == raising && in.Remedy == diagnosis.Tell: // nobody is cut off by one more try
		return s.RevivedAt.Add(min(soon(r)<<min(s.Revivals-1, 10), r.HoldBase))
	case a == raising:
		return s.RevivedAt.Add(soon(r))
	}
	return s.RevivedAt.Add(min(r.HoldBase<<min(s.Revivals-1, 10), holdSteps*r.HoldBase))
}

// revived concludes a revival, unless a person's hand ended it.
func (r Rules) revived(s *State, d *Decision, now time.Time, out Outcome) (done bool) {
	t := s.Trial
	if t.Purpose != Revive || out.Result == UserChanged || out.Result == UserStopped {
		return false
	}
	s.Trial, s.Set = nil, out.Setting
	s.TroubleSince = now // whatever is wrong now gets its time anew
	switch out.Result {
	case Settled, OtherTransport:
		s.Transport = out.Transport
		d.say(now, StepRevived, t.Protocol, "The tunnel is connected again (%s).", orUnknown(out.Transport))
	case Busy, NotAvailable, AtRisk, NotRestarted, CannotStart, OverBudget:
		// It was not done, so it does not count: the next may be soon.
		s.Revivals, s.RevivedFor = max(s.Revivals-1, 0), diagnosis.Unknown
		s.HoldUntil = later(s.HoldUntil, now.Add(soon(r)))
		d.say(now, StepPostponed, t.Protocol, "The Cloudflared app could not be restarted now (%s).", out.Result)
	default:
		d.say(now, StepRefused, t.Protocol, "A restart did not help (%s).", out.Result)
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fell notes what a change leaves behind: an add-on that does not run after a restart of
// ours is ours to start again. One that a person stops, or that runs, is not.
func (s *State) fell(out Outcome) {
	//exhaustive:ignore
	switch out.Result {
	case Crashed: // a start of what had ended by itself fells nothing
		s.Felled = s.Felled || s.Trial.Purpose != Revive || out.Restarts > 0
	case Settled, Unsettled, OtherTransport, UserStopped:
		s.Felled = false
	}
}

// tries is how often a way back that could not be gone is tried again at once,
// after growing waits: for three hours. Then it waits for the quiet hours (owe),
// and an add-on that does not run for its revival.
const tries = 8

// again puts a way back that could not be gone on the table anew, while another
// protocol stands there or the add-on does not run.
func (r Rules) again(s *State, d *Decision, now time.Time, why Result) bool {
	t := s.Trial
	if s.Set == t.Protocol && !s.Felled || t.Tries >= tries {
		return false
	}
	wait := min(soon(r)<<t.Tries, r.HoldBase)
	if s.Felled { // nobody is let in until then
		wait = soon(r)
	}
	t.Retry = now.Add(wait)
	t.Tries++
	d.say(now, StepPostponed, t.Protocol, "Could not switch back to %s (%s). Trying again at %s.", t.Protocol, why, t.Retry.In(r.location()).Format("15:04"))
	return true
}
