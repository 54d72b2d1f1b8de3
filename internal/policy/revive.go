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
// HTTP/2 half a minute, and auto needs 131 s to give QUIC up (FACTS §3).
const stuck = 2

// revive orders a new start where nothing but that can help, and every gate is open.
func (r Rules) revive(s *State, d *Decision, now time.Time, in Sight) {
	ended := in.Remedy == diagnosis.Start || s.Felled && !in.SupervisorFree
	hangs := in.Cause == diagnosis.ConnectorHung || in.Cause == diagnosis.TunnelDown
	lasted, wait := now.Sub(s.TroubleSince), r.MinUptime // Supervisor's own watchdog goes first
	if hangs {
		wait = stuck * r.MinUptime
	}
	if !ended && !hangs || lasted < wait || now.Before(r.mayRevive(s, now)) {
		return
	}
	if d.Closed = r.reviveGates(s, now, in, ended); len(d.Closed) > 0 {
		return
	}
	s.Revivals, s.RevivedAt = s.Revivals+1, now
	s.Trial = &OnTrial{Protocol: s.Set, Purpose: Revive, Since: now}
	d.Change = &Change{Protocol: s.Set, Purpose: Revive}
	text := "The tunnel has had no connection for %s, and does not come back by itself. Restarting it, with the same protocol (%s)."
	if ended {
		text = "The Cloudflared add-on has not been running for %s: it ended with an error. Starting it, with the same protocol (%s)."
	}
	d.say(now, StepReviving, s.Set, text, lasted.Round(time.Second), s.Set)
}

// mayRevive is when the next revival may be: each that was needed within a day of
// the last doubles the wait.
func (r Rules) mayRevive(s *State, now time.Time) time.Time {
	if s.RevivedAt.After(now) { // by a clock that was wrong
		s.RevivedAt = now
	}
	if now.Sub(s.RevivedAt) >= day {
		s.Revivals = 0
	}
	if s.Revivals == 0 {
		return time.Time{}
	}
	return s.RevivedAt.Add(min(r.HoldBase<<min(s.Revivals-1, 10), holdSteps*r.HoldBase))
}

// reviveGates are the gates as far as they concern a start without another
// protocol. An add-on that a restart of ours has left down is ours to start,
// whatever was asked for since.
func (r Rules) reviveGates(s *State, now time.Time, in Sight, ended bool) []Gate {
	var closed []Gate
	for _, g := range []struct {
		gate Gate
		open bool
	}{
		{GateMode, r.Heal || s.Felled},
		{GatePause, !now.Before(s.PausedUntil) || s.Felled},
		{GateHold, !now.Before(s.HoldUntil) || s.Felled},
		{GateDirect, in.DirectWorks || s.Felled},
		{GateInternet, in.Internet != evidence.InternetDown || s.Felled},
		{GateSetting, in.SettingKnown},
		{GateSupervisor, in.SupervisorFree || ended},
		{GateDisk, !in.Unkept || ended}, // a start cuts nobody off
		{GateBudget, s.spent(now)+1 <= r.Budget || s.Felled},
	} {
		if !g.open {
			closed = append(closed, g.gate)
		}
	}
	return closed
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
	case Settled:
		s.Transport = out.Transport
		d.say(now, StepRevived, t.Protocol, "The tunnel is connected again (%s).", orUnknown(out.Transport))
	case Busy, NotAvailable:
		d.say(now, StepPostponed, t.Protocol, "It could not be started anew now (%s).", out.Result)
	default:
		d.say(now, StepRefused, t.Protocol, "A new start did not help (%s). The next may be at %s.", out.Result, r.mayRevive(s, now).In(r.location()).Format("15:04"))
	}
	return true
}

// fell notes what a change leaves behind: an add-on that does not run after a restart of
// ours is ours to start again. One that a person stops, or that runs, is not.
func (s *State) fell(out Outcome) {
	switch out.Result {
	case Crashed:
		s.Felled = true
	case Settled, Unsettled, UserStopped:
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
	t.Retry = now.Add(min(r.HoldBase/30<<t.Tries, r.HoldBase))
	t.Tries++
	d.say(now, StepPostponed, t.Protocol, "The way back to %s could not be gone (%s). Trying again at %s.", t.Protocol, why, t.Retry.In(r.location()).Format("15:04"))
	return true
}
