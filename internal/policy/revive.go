package policy

import (
	"time"

	"tunnelmedic/internal/diagnosis"
)

// stuck is after how many MinUptimes without a connection a tunnel counts as one
// that does not come back on its own: four minutes. An outage of the edge takes
// HTTP/2 half a minute, and auto needs 131 s to give QUIC up (docs/FACTS.md, cloudflared).
const stuck = 2

// revive orders a new start under the same protocol, of a tunnel that does not come back by
// itself or of an app that ended with an error, where nothing but that can help and every
// gate is open. An app that a person stopped is never started.
func (p *Plan) revive(t *turn) {
	a, why := p.revival(t.in)
	lasted := t.now.Sub(t.s.TroubleSince)
	if a == 0 || t.now.Before(p.mayRevive(t, a)) {
		return
	}
	if t.may(a, Question{Purpose: Revive, Protocol: t.s.Set}) {
		p.Revivals, p.RevivedAt, p.RevivedFor = p.Revivals+1, t.now, t.in.Cause
		t.begin(t.s.Set, Revive, Step{Why: why, Span: lasted.Round(time.Second)})
	}
}

// revival says which act a look calls for, 0 for none, and why. A tunnel that is down may
// come back on its own, so it is restarted only after a while.
func (p *Plan) revival(in *Sight) (act, Why) {
	switch {
	case p.StoppedByUs && in.State.Ended():
		return raising, WhyNotRunning
	case in.Remedy == diagnosis.Start:
		return starting, WhyFailed
	case in.Cause.Down():
		return restarting, WhyHangs
	case in.Remedy == diagnosis.Restart && p.RevivedFor != in.Cause: // once: it helps at once, or not at all
		return restarting, WhyMends
	}
	return 0, NoReason
}

// mayRevive is when the next revival may be: once the trouble has lasted for a while, and
// each that was needed within a day of the last doubles the wait. What a restart of ours has
// stopped is started again within two minutes of its becoming possible; only where a person
// has to do something first, the wait is longer.
func (p *Plan) mayRevive(t *turn, a act) time.Time {
	if t.now.Sub(p.RevivedAt) >= day {
		p.Revivals = 0
	}
	patience := t.r.MinUptime // Supervisor's own watchdog goes first
	switch {
	case a == raising: // what we stopped is ours to start, at once
		patience = 0
	case t.in.Cause.Down():
		patience *= stuck
	}
	wait := time.Duration(0)
	switch {
	case p.Revivals == 0:
	case a == starting || a == raising && t.in.Remedy == diagnosis.Tell: // nobody is cut off by one more try
		wait = t.r.retry(p.Revivals - 1)
	case a == raising:
		wait = t.r.retry(0)
	default:
		wait = t.r.hold(p.Revivals - 1)
	}
	return later(t.s.TroubleSince.Add(patience), p.RevivedAt.Add(wait))
}

// revived concludes a revival.
func (p *Plan) revived(t *turn, out Outcome) {
	s := t.s
	step := Step{Kind: StepRefused, Protocol: s.Trial.Protocol, Purpose: Revive, Result: out.Result, Transport: out.Transport}
	s.Trial = nil
	s.TroubleSince = t.now // whatever is wrong now gets its time again
	switch {
	case out.Result == Settled || out.Result == OtherTransport:
		s.Transport = out.Transport
		step.Kind, step.Result = StepRevived, NoResult
	case out.Result.Untouched(): // it was not done, so it does not count: the next may be soon
		p.Revivals, p.RevivedFor = max(p.Revivals-1, 0), diagnosis.Unknown
		s.HoldUntil = later(s.HoldUntil, t.now.Add(t.r.retry(0)))
		step.Kind = StepPostponed
		p.stillAgreed(t, Revive, s.Set)
	}
	t.tell(step)
}

// fell notes what a change leaves behind: an add-on that does not run after a restart of
// ours is ours to start again. One that a person stops, or that runs, is not.
func (p *Plan) fell(change Purpose, out Outcome) {
	//exhaustive:ignore
	switch out.Result {
	case Crashed: // a start of what had ended on its own stops nothing
		p.StoppedByUs = p.StoppedByUs || change != Revive || out.Restarts > 0
	case Settled, Unsettled, OtherTransport, UserStopped:
		p.StoppedByUs = false
	}
}
