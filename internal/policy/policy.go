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

	"tunnelmedic/internal/detect"
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
	Blind  bool            // there is nothing to look at

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
		ThroughCloudflare: e.Public.CFRay() != "" || !e.Public.Answered() && e.Page.CFRay() != "",
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

// moment is what there is to decide by.
type moment struct {
	r   *Rules
	s   *State
	now time.Time
	in  *Sight
}

// turn is one call upon a state: what it was given, and what comes of it.
type turn struct {
	moment
	d Decision
}

// Observe takes one look and decides.
func (r Rules) Observe(s State, now time.Time, in Sight) (State, Decision) {
	s = s.clone()
	d := r.Advance(&s, now, &in)
	return s, d
}

// Advance is Observe for whoever has no use for the state that was: the state itself
// becomes the next one.
func (r *Rules) Advance(s *State, now time.Time, in *Sight) Decision {
	t := turn{moment: moment{r, s, now, in}}
	t.forget()
	s.Setting.note(&t)
	s.Suspicion.note(now, in)
	s.Plan.note(in)
	s.Suspicion.stopped(&t)
	s.Plan.overdue(&t)
	switch {
	case s.Trial != nil:
		s.Trial.judge(&t)
	case !in.Blind:
		t.watch()
	}
	s.Case.lapse(&t)
	s.Plan.withdraw(&t)
	return t.decided()
}

// on begins a turn upon a state, which becomes a copy of its own.
func (r *Rules) on(s *State, now time.Time, in *Sight) turn {
	*s = s.clone()
	return turn{moment: moment{r, s, now, in}}
}

// Treated takes the outcome of the change that the last decision ordered.
func (r Rules) Treated(s State, now time.Time, out Outcome) (State, Decision) {
	t := r.on(&s, now, &Sight{})
	s.Restarts = append(s.Restarts, slices.Repeat([]time.Time{now}, out.Restarts)...)
	if s.Incident != nil {
		s.Incident.Restarts += out.Restarts
	}
	if s.Trial != nil { // else nothing was ordered: nothing to conclude
		s.Trial.ended(&t, out)
	}
	return s, t.decided()
}

// Awake takes up the state after a start of the program. A change that was ordered
// and of which nothing else is known is ordered again.
func (r Rules) Awake(s State, now time.Time) State {
	t := r.on(&s, now, &Sight{})
	t.forget()
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
	if back, any := s.wayBack(); any {
		s.Trial = &OnTrial{Protocol: back.Protocol, Purpose: back.Purpose, Since: now}
	}
	return s
}

// decided derives the phase and the time of the next probe.
func (t *turn) decided() Decision {
	s := t.s
	if o := s.Trial; o != nil && !o.Settled && t.d.Change == nil && !o.Retry.IsZero() && !t.now.Before(o.Retry) {
		o.Retry = time.Time{}
		t.d.Change = &Change{o.Protocol, o.Purpose}
	}
	if p := t.phase(); p != s.Phase {
		s.Phase, s.Since = p, t.now
	}
	t.d.Next = t.next()
	if t.in.Blind && s.Trial == nil {
		t.d.Next = t.r.Interval
	}
	return t.d
}

func (t *turn) phase() Phase {
	s := t.s
	switch {
	case s.Trial != nil:
		return Treating
	case t.now.Before(s.PausedUntil):
		return Paused
	case t.in.Blind:
		return Blind
	case s.Incident != nil && !t.r.Heal:
		return Observing
	case s.waits(), s.Incident != nil && (t.now.Before(s.HoldUntil) || !t.left()):
		return Holding
	case s.Incident != nil || s.Detector.Suspects():
		return Suspect
	case s.TroubleSince.IsZero(): // nothing was seen yet
		return Starting
	case s.Trouble.ChecksSucceed():
		return Healthy
	case s.Trouble.Blinds():
		return Blind
	}
	return Suspect
}

// tell notes a step of now.
func (t *turn) tell(s Step) {
	s.At = t.now
	t.d.Steps = append(t.d.Steps, s)
}

// begin orders a change.
func (t *turn) begin(p evidence.Protocol, why Purpose, step Step) {
	s := t.s
	s.Trial, s.Question = &OnTrial{Protocol: p, Purpose: why, Since: t.now}, nil
	if why != Revive {
		s.Detector = detect.Detector{}
	}
	t.d.Change = &Change{Protocol: p, Purpose: why}
	step.Kind, step.Protocol, step.Purpose = beginning[why], p, why
	t.tell(step)
}

// giveWay ends whatever is under way in favour of what a person did.
func (t *turn) giveWay(hold time.Duration, step Step) {
	s := t.s
	step.Kind, step.Protocol = StepUser, s.Set
	t.tell(step)
	if s.Trial != nil || s.Incident != nil {
		s.HoldUntil = t.now.Add(hold) // their choice gets its time before anything is tried again
	}
	s.Trial, s.Incident, s.Detector = nil, nil, detect.Detector{}
}

// shut ends the incident without a cure.
func (t *turn) shut(step Step) {
	step.Protocol = t.s.Set
	t.tell(step)
	t.s.planReturn(t.now)
	t.s.Incident, t.s.Detector = nil, detect.Detector{}
}

// hold is how long the wait after n others is: the first doubles up to holdSteps times itself.
func (r Rules) hold(n int) time.Duration {
	return min(r.HoldBase<<min(n, 10), holdSteps*r.HoldBase)
}

// holdSteps is how many times its base a hold grows to: 30 minutes doubling to 6 hours.
const holdSteps = 12

// retry is when something that could not be done n times is tried again: after a minute,
// then twice that, and so on up to the first hold.
func (r Rules) retry(n int) time.Duration { return min(r.HoldBase/30<<min(n, 10), r.HoldBase) }

// local is a moment by the house's clock.
func (r Rules) local(t time.Time) time.Time {
	if r.Location == nil {
		return t.UTC()
	}
	return t.In(r.Location)
}
