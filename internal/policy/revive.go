package policy

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// stuck is after how many MinUptimes without a connection a tunnel counts as one
// that does not come back on its own: four minutes. An outage of the edge takes
// HTTP/2 half a minute, and auto needs 131 s to give QUIC up (docs/FACTS.md, cloudflared).
const stuck = 2

// revive orders a new start under the same protocol, of a tunnel that does not come back by
// itself or of an app that ended with an error, where nothing but that can help and every
// gate is open. An app that a person stopped is never started.
func (r Rules) revive(s *State, d *Decision, now time.Time, in Sight) {
	a, why := s.revival(in)
	lasted := now.Sub(s.TroubleSince)
	if a == 0 || lasted < r.patience(a, in.Cause) || now.Before(r.mayRevive(s, now, a, in)) {
		return
	}
	if !r.may(a, s, d, now, in, Question{Purpose: Revive, Protocol: s.Set, Why: why}) {
		return
	}
	s.Revivals, s.RevivedAt, s.RevivedFor = s.Revivals+1, now, in.Cause
	s.begin(d, now, s.Set, Revive, Step{Why: why, Span: lasted.Round(time.Second)})
}

// revival says which act a look calls for, 0 for none, and why. A tunnel that is down may
// come back on its own, so it is restarted only after a while.
func (s *State) revival(in Sight) (act, Why) {
	down := in.State == evidence.StateError || in.State == evidence.StateStopped
	switch {
	case s.StoppedByUs && down:
		return raising, WhyNotRunning
	case in.Remedy == diagnosis.Start:
		return starting, WhyFailed
	case in.Cause == diagnosis.ConnectorHung || in.Cause == diagnosis.TunnelDown:
		return restarting, WhyHangs
	case in.Remedy == diagnosis.Restart && s.RevivedFor != in.Cause: // once: it helps at once, or not at all
		return restarting, WhyMends
	}
	return 0, NoReason
}

// patience is how long a trouble must have lasted before the tunnel is restarted.
func (r Rules) patience(a act, c diagnosis.Cause) time.Duration {
	switch {
	case a == raising: // what we stopped is ours to start, at once
		return 0
	case c == diagnosis.ConnectorHung || c == diagnosis.TunnelDown:
		return stuck * r.MinUptime
	}
	return r.MinUptime // Supervisor's own watchdog goes first
}

// mayRevive is when the next revival may be: each that was needed within a day of
// the last doubles the wait. What a restart of ours has stopped is started again within
// two minutes of its becoming possible; only where a person has to do something first,
// the wait is longer.
func (r Rules) mayRevive(s *State, now time.Time, a act, in Sight) time.Time {
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

// revived concludes a revival.
func (r Rules) revived(s *State, d *Decision, now time.Time, out Outcome) {
	step := Step{Kind: StepRefused, Protocol: s.Trial.Protocol, Purpose: Revive, Result: out.Result, Transport: out.Transport}
	s.Trial = nil
	s.TroubleSince = now // whatever is wrong now gets its time again
	switch {
	case out.Result == Settled || out.Result == OtherTransport:
		s.Transport = out.Transport
		step.Kind, step.Result = StepRevived, NoResult
	case out.Result.Untouched(): // it was not done, so it does not count: the next may be soon
		s.Revivals, s.RevivedFor = max(s.Revivals-1, 0), diagnosis.Unknown
		s.HoldUntil = later(s.HoldUntil, now.Add(soon(r)))
		step.Kind = StepPostponed
		r.stillAgreed(s, now, Revive, s.Set)
	}
	d.tell(now, step)
}

// fell notes what a change leaves behind: an add-on that does not run after a restart of
// ours is ours to start again. One that a person stops, or that runs, is not.
func (s *State) fell(out Outcome) {
	//exhaustive:ignore
	switch out.Result {
	case Crashed: // a start of what had ended on its own stops nothing
		s.StoppedByUs = s.StoppedByUs || s.Trial.Purpose != Revive || out.Restarts > 0
	case Settled, Unsettled, OtherTransport, UserStopped:
		s.StoppedByUs = false
	}
}
