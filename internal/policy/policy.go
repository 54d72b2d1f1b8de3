// Package policy decides: what was diagnosed, and when, gives the next state and
// what to do. It is pure: no I/O, no clock, no randomness. Time is an argument,
// and a State goes in and comes out as a value.
//
// Whatever keeps the program from acting stands in one place (gates), whatever
// ends an incident stands in another (recovered, accept), and no single good
// probe resets anything that was meant to grow: waits and holds are only
// shortened by time spent in health. What happened is told as values (Step), and
// no sentence is made here.
package policy

import (
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Rules are what the user allows and how patient the program is.
type Rules struct {
	Heal     bool                // false: everything but acting
	Ask      bool                // each act that cuts the household off waits for a person's yes
	Allowed  []evidence.Protocol // what may be tried
	Budget   int                 // restarts in 24 hours, at most
	Failback time.Duration       // when to try the user's own protocol again after a cure; 0 = never
	Location *time.Location      // Home Assistant's time zone, for the quiet hours; nil = UTC

	Interval  time.Duration // between probes while all is well
	Burst     time.Duration // between probes while something is suspected or on trial
	MinUptime time.Duration // how long cloudflared must have run before it may be restarted
	HoldBase  time.Duration // the first hold; doubles up to HoldSteps times itself
}

const day = 24 * time.Hour

// Sight is what one look amounts to.
type Sight struct {
	Vote   diagnosis.Vote
	Cause  diagnosis.Cause
	Remedy diagnosis.Remedy
	Sign   diagnosis.Cause // what the look alone shows; Unknown: the same as Cause
	Blind  string          // why there is nothing to look at, "" if there is

	Setting      evidence.Protocol // as Supervisor has it stored
	SettingKnown bool              // false: it could not be read
	Transport    evidence.Transport
	QUIC         evidence.Switch // whether QUIC gets through this network to Cloudflare's edge, where that was asked

	ThroughCloudflare bool // the probe's answer bears a cf-ray
	DirectWorks       bool // Home Assistant greets on the internal network
	Internet          evidence.Internet
	State             evidence.AddOnState // Supervisor's of the watched app; "" if not known
	Took              time.Duration       // how long the probe waited for its answer
	Running           time.Duration       // how long cloudflared's process has run; 0 if it does not answer
	Startable         evidence.Switch     // whether a start could succeed now
	InUse             bool                // somebody holds a connection through the tunnel; false if not known
	SecretAtRisk      bool                // the options hold a !secret that writing could burn in
	SupervisorFree    bool                // it answers and runs no other job on the add-on
	Unkept            bool                // nothing can be kept on the disk
}

// SightOf is what the evidence of a moment, and what was concluded from it, say to the
// policy. What the app's stored options say, the caller adds.
func SightOf(e evidence.Evidence, d diagnosis.Diagnosis) Sight {
	return Sight{
		Vote: d.Vote, Cause: d.Cause, Remedy: d.Remedy, Sign: d.Sign,
		Took: e.Public.Took, Transport: e.Connector.Transport, Running: e.Connector.Running, State: e.AddOn.State, Startable: e.AddOn.Startable,
		// A handshake that hangs has no answer to bear a cf-ray; that of the page at the same moment then tells the way.
		ThroughCloudflare: e.Public.CFRay() != "" || e.Public.Stage < evidence.Answered && e.Page.CFRay() != "",
		DirectWorks:       e.Direct.Healthy() || e.Public.Healthy(),
		Internet:          e.Internet,
		QUIC:              e.QUIC.QUICPasses(),
		InUse:             e.Connector.Before != nil && e.Connector.Before.Concurrent > 0,
	}
}

// Change is an order to set a protocol and restart the add-on with it.
type Change struct {
	Protocol evidence.Protocol
	Purpose  Purpose
}

// Decision is what to do now.
type Decision struct {
	Change *Change       // nil: nothing
	Next   time.Duration // until the next probe
	Closed []Gate        // what keeps it from acting although there is reason to
	Open   bool          // every gate was asked, and is open
	Steps  []Step        // what happened
}

// Outcome is what the treatment reports of a change.
type Outcome struct {
	Result    Result
	Restarts  int               // how many times the running app was restarted
	Setting   evidence.Protocol // what is stored now
	Transport evidence.Transport
	Sent      bool // the setting was sent to Supervisor, and may yet take effect
}

// Observe takes one look and decides.
func (r Rules) Observe(s State, now time.Time, in Sight) (State, Decision) {
	s = s.clone()
	d := r.Advance(&s, now, in)
	return s, d
}

// Advance is Observe for whoever has no use for the state that was: the state itself
// becomes the next one.
func (r Rules) Advance(s *State, now time.Time, in Sight) Decision {
	var d Decision
	r.forget(s, now)
	if in.SettingKnown {
		r.notice(s, &d, now, in.Setting)
	}
	s.Setting.note(in)
	s.Suspicion.note(now, in)
	if in.Vote == diagnosis.Works && in.Blind == "" {
		s.RevivedFor = diagnosis.Unknown
	}
	s.StoppedByUs = s.StoppedByUs && !in.SupervisorFree
	r.notStarted(s, &d, now, in)
	r.overdue(s, &d, now)
	switch {
	case s.Trial != nil:
		r.onTrial(s, &d, now, in)
	case in.Blind == "":
		r.watch(s, &d, now, in)
	}
	s.lapse(&d, now, in)
	r.withdraw(s, &d, now, in)
	r.finish(s, &d, now, in)
	return d
}

// Treated takes the outcome of the change that the last decision ordered.
func (r Rules) Treated(s State, now time.Time, out Outcome) (State, Decision) {
	s = s.clone()
	var d Decision
	s.Restarts = append(s.Restarts, slices.Repeat([]time.Time{now}, out.Restarts)...)
	if s.Incident != nil {
		s.Incident.Restarts += out.Restarts
	}
	if s.Trial != nil { // else nothing was ordered: nothing to conclude
		r.conclude(&s, &d, now, out)
	}
	r.finish(&s, &d, now, Sight{})
	return s, d
}

func (r Rules) conclude(s *State, d *Decision, now time.Time, out Outcome) {
	s.fell(out)
	if out.Result == UserChanged {
		r.byHand(s, d, now, out.Setting)
		return
	}
	s.Set = out.Setting
	switch {
	case out.Result == UserStopped:
		s.planReturn(now)
		s.giveWay(d, now, r.HoldBase, Step{Why: WhyAppStopped})
	case s.Trial.Purpose == Revive:
		r.revived(s, d, now, out)
	case out.Result == Settled:
		r.settled(s, d, now, out)
	case out.Result.Untouched():
		r.postponed(s, d, now, out)
	default:
		r.failed(s, d, now, out.Result)
	}
}

// Awake takes up the state after a start of the program. A change that was ordered
// and of which nothing else is known is ordered again.
func (r Rules) Awake(s State, now time.Time) State {
	s = s.clone()
	r.forget(&s, now)
	if s.Doubt == Unsure && !s.OwnKnown { // how many restarts were made is lost, too: as many as may be
		s.Restarts = slices.Repeat([]time.Time{now}, r.Budget)
	}
	if s.Trial != nil && !s.Trial.Settled {
		s.Trial.Retry = now
	}
	s.Phase, s.Since, s.Woke = Starting, now, true
	return s
}

// Abandon turns an unproven trial into its way back, because the program is to
// stop: whether it comes again, and when, is not known.
func (r Rules) Abandon(s State, now time.Time) State {
	s = s.clone()
	if t := s.Trial; t != nil {
		switch {
		case t.Purpose == Trial && t.Protocol == s.Own: // what would go back is what is on trial
		case t.Purpose == Trial:
			s.Trial = &OnTrial{Protocol: s.Own, Purpose: Restore, Since: now}
		case t.Purpose == Failback && s.Failback != nil:
			s.Trial = &OnTrial{Protocol: s.Failback.Cured, Purpose: Return, Since: now}
		case t.Purpose == ByHand:
			s.Trial = &OnTrial{Protocol: t.Back, Purpose: HandBack, Since: now}
		}
	}
	return s
}

// finish derives the phase and the time of the next probe.
func (r Rules) finish(s *State, d *Decision, now time.Time, in Sight) {
	if t := s.Trial; t != nil && !t.Settled && d.Change == nil && !t.Retry.IsZero() && !now.Before(t.Retry) {
		t.Retry = time.Time{}
		d.Change = &Change{t.Protocol, t.Purpose}
	}
	if p := r.phase(s, now, in); p != s.Phase {
		s.Phase, s.Since = p, now
	}
	d.Next = r.next(s, now)
	if in.Blind != "" && s.Trial == nil {
		d.Next = r.Interval
	}
}

func (r Rules) phase(s *State, now time.Time, in Sight) Phase {
	switch {
	case s.Trial != nil:
		return Treating
	case now.Before(s.PausedUntil):
		return Paused
	case in.Blind != "":
		return Blind
	case s.Incident != nil && !r.Heal:
		return Observing
	case s.waits(), s.Incident != nil && (now.Before(s.HoldUntil) || len(r.candidates(s)) == 0):
		return Holding
	case s.Incident != nil || s.Detector.Suspects():
		return Suspect
	case !s.Looked:
		return Starting
	case s.Trouble.ChecksSucceed():
		return Healthy
	case s.Trouble.Blinds():
		return Blind
	}
	return Suspect
}
