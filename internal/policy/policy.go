// Package policy decides: what was diagnosed, and when, gives the next state and
// what to do. It is pure: no I/O, no clock, no randomness. Time is an argument,
// and a State goes in and comes out as a value.
//
// Whatever keeps the program from acting stands in one place (gates), whatever
// ends an incident stands in another (recovered, accept), and no single good
// probe resets anything that was meant to grow: waits and holds are only
// shortened by time spent in health.
package policy

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Rules are what the user allows and how patient the program is.
type Rules struct {
	Heal     bool                // false: everything but acting
	Allowed  []evidence.Protocol // what may be tried
	Budget   int                 // restarts in 24 hours, at most
	Failback time.Duration       // when to try the user's own protocol again after a cure; 0 = never
	Location *time.Location      // Home Assistant's time zone, for the quiet hours; nil = UTC

	Interval  time.Duration // between probes while all is well
	Burst     time.Duration // between probes while something is suspected or on trial
	MinUptime time.Duration // how long the tunnel must have been up before it may be restarted
	HoldBase  time.Duration // the first hold; doubles up to HoldSteps times itself
}

// The detector is a CUSUM over Bernoulli trials, from one lost handshake in a
// hundred (a healthy home's noise) to one in five (the rarest fault seen).
const (
	noise = 0.01
	fault = 0.2
	alarm = 9.2 // about one false alarm in 100,000 probes

	// A restart needs more than the alarm: a home that loses one handshake in a
	// hundred at random sees the alarm now and then, and may not be restarted for it
	// in ten thousand years. It begins some 3·10⁷ suspicions in that time, so mere
	// noise must look like this less than once in e^25 = 7·10¹⁰ times. That is six
	// failures in a row.
	restart = 25

	// How noisy a home is, it shows while all is well. Until it has, noise counts as
	// unknown among this many looks.
	unknown, unknownLooks = 0.03, 200
	// Older looks count half after so many: a week at the default interval.
	remembered = 5000

	// A trial speaks against the fault when this much evidence has gathered: 22
	// good handshakes in a row. After a total loss it is refused at this many
	// failures in a row; a partial one takes as long as it needs, up to longest.
	clear    = -4.6 // ln 0.01
	refusals = 4
	longest  = 300 // probes
	// certainly is how improbable the fault's going unseen must be before an
	// incident counts as over.
	certainly = 1e-4
)

const (
	day       = 24 * time.Hour
	holdSteps = 12 // 30 minutes doubling to 6 hours
	// lost is how long a protocol on trial may stand without a connection, or
	// without any verdict, before the trial ends.
	lost      = time.Minute
	noVerdict = 15 * time.Minute
	// The quiet hours, in which the user's own protocol is tried again.
	quietFrom, quietTo = 3, 5
)

// Phase is the state of the program as people see it.
type Phase string

const (
	Starting  Phase = "starting"
	Healthy   Phase = "healthy"
	Suspect   Phase = "suspect"   // something is wrong, or may be; it is looked at closely
	Treating  Phase = "treating"  // a protocol is being changed or on trial
	Holding   Phase = "holding"   // what could be tried was tried; waiting for recovery
	Blind     Phase = "blind"     // the WebSocket cannot be watched
	Observing Phase = "observing" // a fault that could be treated, in mode observe
	Paused    Phase = "paused"    // a person asked for quiet
)

// Sight is what one look amounts to.
type Sight struct {
	Vote   diagnosis.Vote
	Cause  diagnosis.Cause
	Remedy diagnosis.Remedy
	Blind  string // why there is nothing to look at, "" if there is

	Setting      evidence.Protocol // as Supervisor has it stored
	SettingKnown bool              // false: it could not be read
	Transport    evidence.Transport

	ThroughCloudflare bool // the probe's answer bears a cf-ray
	DirectWorks       bool // Home Assistant greets on the internal network
	Internet          evidence.Internet
	Uptime            time.Duration // how long the connector has been seen up
	SecretAtRisk      bool          // the options hold a !secret that writing could burn in
	SupervisorFree    bool          // it answers and runs no other job on the add-on
}

// Purpose is why a protocol is set.
type Purpose string

const (
	Trial    Purpose = "trial"    // may cure it
	Restore  Purpose = "restore"  // the user's own goes back
	Failback Purpose = "failback" // after a cure: is the user's own well again?
	Return   Purpose = "return"   // it was not
)

// Change is an order to set a protocol and restart the add-on with it.
type Change struct {
	Protocol evidence.Protocol
	Purpose  Purpose
}

// Decision is what to do now.
type Decision struct {
	Change *Change       // nil: nothing
	Next   time.Duration // until the next probe
	Closed []Gate        // what keeps it from acting although the alarm is up
	Steps  []Step        // what happened, for the people
}

// Result is how an ordered change ended.
type Result string

const (
	Settled      Result = "settled"       // restarted, running, connected
	Unsettled    Result = "not connected" // running, but no connection within the settle time
	Crashed      Result = "not running"   // the add-on does not stay up with it
	Rejected     Result = "rejected"      // Supervisor would not take the setting; nothing was restarted
	UserChanged  Result = "changed by hand"
	UserStopped  Result = "stopped by hand"
	Busy         Result = "busy" // Supervisor was busy with the add-on; nothing was changed
	AtRisk       Result = "secret at risk"
	NotAvailable Result = "not available" // Supervisor was away; nothing was changed
)

// Outcome is what the treatment reports of a change.
type Outcome struct {
	Result    Result
	Restarts  int               // how many times the add-on was restarted or started
	Setting   evidence.Protocol // what is stored now
	Transport evidence.Transport
}

// Observe takes one look and decides.
func (r Rules) Observe(s State, now time.Time, in Sight) (State, Decision) {
	s = s.clone()
	var d Decision
	r.forget(&s, now)
	if in.SettingKnown {
		r.notice(&s, &d, now, in.Setting)
	}
	if in.Blind == "" {
		s.Looked = true
	}
	if in.Transport != evidence.NoTransport {
		s.Transport = in.Transport
	}
	s.note(now, in)
	s.Felled = s.Felled && !in.SupervisorFree
	switch {
	case in.Blind != "":
	case s.Trial != nil:
		r.onTrial(&s, &d, now, in)
	default:
		r.watch(&s, &d, now, in)
	}
	r.finish(&s, &d, now, in)
	return s, d
}

// Treated takes the outcome of the change that the last decision ordered.
func (r Rules) Treated(s State, now time.Time, out Outcome) (State, Decision) {
	s = s.clone()
	var d Decision
	for range out.Restarts {
		s.Restarts = append(s.Restarts, now)
	}
	if s.Incident != nil {
		s.Incident.Restarts += out.Restarts
	}
	t := s.Trial
	if t == nil { // nothing was ordered: nothing to conclude
		r.finish(&s, &d, now, Sight{})
		return s, d
	}
	s.fell(out)
	if r.revived(&s, &d, now, out) {
		r.finish(&s, &d, now, Sight{})
		return s, d
	}
	switch out.Result {
	case Settled:
		r.settled(&s, &d, now, out)
	case UserChanged:
		r.byHand(&s, &d, now, out.Setting)
	case UserStopped:
		s.Set = out.Setting
		s.owe(now)
		s.yield(&d, now, r.HoldBase, "The add-on was stopped by hand. It stays stopped, and the treatment ends.")
	case Busy, NotAvailable, AtRisk:
		s.Set = out.Setting
		r.postponed(&s, &d, now, out)
	default:
		s.Set = out.Setting
		r.failed(&s, &d, now, out.Result)
	}
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// Awake takes up the state after a start of the program. A change that was ordered
// and of which nothing else is known is ordered again.
func (r Rules) Awake(s State, now time.Time) State {
	s = s.clone()
	r.forget(&s, now)
	if s.Trial != nil && !s.Trial.Settled {
		s.Trial.Retry = now
	}
	s.Phase, s.Since = Starting, now
	return s
}

// Abandon turns an unproven trial into its way back, because the program is to
// stop: whether it comes again, and when, is not known.
func (r Rules) Abandon(s State, now time.Time) State {
	s = s.clone()
	if t := s.Trial; t != nil {
		switch {
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

// Pause asks for quiet until the given time; probes go on, nothing is changed.
func (r Rules) Pause(s State, now, until time.Time) (State, Decision) {
	s = s.clone()
	var d Decision
	s.PausedUntil = until
	d.say(now, StepPaused, evidence.Default, "Paused until %s: probes go on, nothing is changed.", until.In(r.location()).Format("15:04"))
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// Resume ends a pause.
func (r Rules) Resume(s State, now time.Time) (State, Decision) {
	s = s.clone()
	var d Decision
	if now.Before(s.PausedUntil) {
		d.say(now, StepResumed, evidence.Default, "Resumed.")
	}
	s.PausedUntil = time.Time{}
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// notice compares the stored setting with what we last saw or wrote there. A
// difference is a person's doing, and the person wins.
func (r Rules) notice(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	if !s.OwnKnown {
		s.Own, s.Set, s.OwnKnown = setting, setting, true
		return
	}
	if setting != s.Set {
		r.byHand(s, d, now, setting)
	}
}

// byHand makes what a person has set the user's own setting.
func (r Rules) byHand(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	s.Own, s.Set = setting, setting
	s.Failback = nil
	text := "The protocol was changed by hand to %s; this is your own setting from now on."
	if s.Trial != nil || s.Incident != nil {
		text += " The treatment ends here."
	}
	s.yield(d, now, r.HoldBase, text, setting)
}

// watch is what is done while no protocol is on trial.
func (r Rules) watch(s *State, d *Decision, now time.Time, in Sight) {
	before := s.Detector.Score
	if s.Incident == nil && before == 0 {
		s.Calm.count(in.Vote)
	}
	s.Detector.Count(now, in.Vote)
	if before == 0 && s.Detector.Score > 0 && s.Incident == nil {
		d.say(now, StepSuspected, s.Set, "A probe failed (%s). Looking closely.", in.Cause)
	}
	if s.Incident != nil { // the look that opens one is counted by the detector
		s.Incident.count(in.Vote, s.Set)
		if s.Incident.over() || !s.certain() && s.Incident.unlikely() {
			s.recovered(d, now)
			return
		}
	}
	switch {
	case in.Vote == diagnosis.Fails && s.Detector.Score >= alarm:
		r.alarmed(s, d, now, in)
	case s.Incident == nil && before > 0 && s.Detector.Score == 0:
		d.say(now, StepCleared, s.Set, "It was nothing lasting: the probes are good again.")
	case s.Incident == nil && s.Detector.Score == 0 && in.Vote == diagnosis.Works:
		r.failBack(s, d, now, in)
	case in.Vote == diagnosis.Abstains:
		r.revive(s, d, now, in)
	}
}

// alarmed opens an incident if none is open, and begins a trial if every gate is.
func (r Rules) alarmed(s *State, d *Decision, now time.Time, in Sight) {
	if s.Incident == nil {
		s.Incident = &Incident{
			ID: now.UTC().Format("20060102T150405Z"), Onset: s.Detector.Since, LastGood: s.LastGood, Alarm: now, Cause: in.Cause,
			Setting: s.Set, Transport: s.Transport, Failures: s.Detector.Failures, Probes: s.Detector.Probes,
		}
		d.say(now, StepAlarm, s.Set, "This is a fault: %d of %d probes failed (%s).", s.Detector.Failures, s.Detector.Probes, in.Cause)
	}
	d.Closed = r.gates(s, now, in)
	if len(d.Closed) > 0 {
		return
	}
	r.try(s, d, now)
}

// try orders the next candidate, or concludes the incident's treatment.
func (r Rules) try(s *State, d *Decision, now time.Time) {
	left := r.candidates(s)
	// One restart is always kept for the way back.
	if len(left) == 0 || s.spent(now)+2 > r.Budget || now.Before(s.PausedUntil) {
		r.giveUp(s, d, now)
		return
	}
	s.Incident.settle()
	s.begin(d, now, left[0], Trial, "Trying %s instead of %s.", left[0], s.Set)
}

// giveUp puts the user's own setting back, and waits. Where the trouble began under
// another one, a cure of before, and their own has just shown to be worse than
// that, the cure goes back.
func (r Rules) giveUp(s *State, d *Decision, now time.Time) {
	if inc := s.Incident; s.Set == s.Own && inc.Setting != s.Own && inc.worse(s.Own) {
		s.begin(d, now, inc.Setting, Restore, "Your own setting (%s) is worse. %s goes back.", s.Own, inc.Setting)
		return
	}
	if s.Set != s.Own {
		s.begin(d, now, s.Own, Restore, "Nothing helped. Your own setting (%s) goes back.", s.Own)
		return
	}
	r.hold(s, d, now)
}

// Exhausted says whether the open incident has seen every allowed protocol fail.
func (r Rules) Exhausted(s State) bool {
	return s.Incident != nil && len(s.Incident.Tried) > 0 && len(r.candidates(&s)) == 0
}

// hold waits for recovery: what can be tried has been.
func (r Rules) hold(s *State, d *Decision, now time.Time) {
	s.Trial = nil
	wait := r.HoldBase << min(s.HoldLevel, 10)
	wait = min(wait, holdSteps*r.HoldBase)
	s.HoldUntil = now.Add(wait)
	s.HoldLevel++
	s.Incident.Run = 0
	why := "No protocol helped, so the cause lies elsewhere."
	if s.Set != s.Own {
		why = "No protocol is clean."
	} else if len(r.candidates(s)) > 0 {
		why = "Not everything could be tried."
	}
	d.say(now, StepHold, s.Set, "%s Waiting for recovery; no restart before %s.", why, s.HoldUntil.In(r.location()).Format("15:04"))
}

// onTrial judges the protocol on trial by the probes since it settled.
func (r Rules) onTrial(s *State, d *Decision, now time.Time, in Sight) {
	t := s.Trial
	if !t.Settled {
		return // the treatment is under way, or waits to be finished after a restart of the program
	}
	if in.Vote == diagnosis.Abstains {
		if t.Silent.IsZero() {
			t.Silent = now
		}
		down := in.Cause == diagnosis.TunnelDown || in.Cause == diagnosis.ConnectorHung
		switch quiet := now.Sub(t.Silent); {
		case down && in.Internet != evidence.InternetDown && quiet >= lost:
			r.failed(s, d, now, Unsettled)
		case quiet >= noVerdict && in.SupervisorFree:
			t.Unfair = true
			r.failed(s, d, now, "no verdict possible")
		}
		return
	}
	t.Silent = time.Time{}
	t.count(in.Vote)
	switch failures, probes := s.baseline(); r.judge(t, failures, probes) {
	case clean:
		r.passed(s, d, now)
	case improved:
		r.adopt(s, d, now)
	case refused:
		r.failed(s, d, now, "the fault is there too")
	}
}

// settled notes that the ordered protocol is running and connected.
func (r Rules) settled(s *State, d *Decision, now time.Time, out Outcome) {
	t := s.Trial
	s.Set, s.Transport = out.Setting, out.Transport
	t.Settled, t.Since, t.Transport = true, now, out.Transport
	switch t.Purpose {
	case Restore:
		whose := "Your own setting (%s)"
		if t.Protocol != s.Own {
			whose = "%s"
		}
		d.say(now, StepRestored, t.Protocol, whose+" is back and the tunnel is connected.", t.Protocol)
		r.hold(s, d, now)
	case Return:
		s.Trial = nil
		s.Failback.Wait *= 2
		s.Failback.Due = now.Add(s.Failback.Wait)
		d.say(now, StepReturned, t.Protocol, "Back on %s, which works. Your own setting will be tried again in %s.", t.Protocol, hours(s.Failback.Wait))
	case HandBack:
		s.Trial = nil
		d.say(now, StepReturned, t.Protocol, "Back on %s; the tunnel is connected.", t.Protocol)
	default:
		d.say(now, StepSettled, t.Protocol, "The tunnel is connected again (%s). Proving it.", orUnknown(t.Transport))
	}
}

// passed concludes a trial that went well.
func (r Rules) passed(s *State, d *Decision, now time.Time) {
	t := s.Trial
	if t.Purpose == ByHand {
		s.keep(d, now)
		return
	}
	if t.Purpose == Failback {
		s.Trial, s.Failback, s.Detector = nil, nil, Detector{}
		d.say(now, StepFailedBack, t.Protocol, "Your own setting (%s) works again and stays: the fault has passed by itself.", t.Protocol)
		return
	}
	r.accept(s, d, now, "%s is proven: %d of %d probes were good, after %s of %s before.", t.Protocol, t.Probes-t.Failures, t.Probes,
		count(s.Incident.Failures, "failure"), count(s.Incident.Probes, "probe"))
}

// accept closes the incident as cured by the protocol in force.
func (r Rules) accept(s *State, d *Decision, now time.Time, text string, args ...any) {
	inc := s.Incident
	s.remember(now, s.Set)
	if s.Set != s.Own && r.Failback > 0 {
		s.Failback = &Comeback{Wait: r.Failback, Due: now.Add(r.Failback), Cured: s.Set, Incident: inc.ID, Failures: inc.Failures, Probes: inc.Probes}
	}
	s.Trial, s.Incident, s.Detector = nil, nil, Detector{}
	d.say(now, StepCured, s.Set, text, args...)
}

// adopt keeps what is clearly better than what was there, but not clean. The
// incident stays open: what comes is held against it from now on.
func (r Rules) adopt(s *State, d *Decision, now time.Time) {
	t, inc := s.Trial, s.Incident
	before, of := inc.tally()
	d.say(now, StepAdopted, t.Protocol, "%s is not clean, but clearly better than what was there: %s, after %s before. It stays for now.",
		t.Protocol, rate(t.Failures, t.Probes), rate(before, of))
	s.remember(now, t.Protocol)
	inc.Tried = append(inc.Tried, Attempt{Protocol: inc.Setting, Transport: inc.Transport, Failures: before, Probes: of, Fair: true, Result: "clearly worse"})
	inc.Setting, inc.Transport = t.Protocol, t.Transport
	inc.Failures, inc.Probes, inc.LaterFailures, inc.LaterProbes, inc.LaterRun = t.Failures, t.Probes, 0, 0, 0
	r.hold(s, d, now)
}

// failed concludes a trial that did not go well.
func (r Rules) failed(s *State, d *Decision, now time.Time, why Result) {
	t := s.Trial
	switch t.Purpose {
	case ByHand:
		s.undo(d, now, why)
	case Failback:
		if s.Failback == nil { // a person's change meanwhile has ended it
			s.Trial = nil
			return
		}
		s.begin(d, now, s.Failback.Cured, Return, "With your own setting (%s) the fault is back (%s). Returning to %s.", t.Protocol, why, s.Failback.Cured)
	case Trial:
		s.Incident.Tried = append(s.Incident.Tried, Attempt{Protocol: t.Protocol, Transport: t.Transport, Failures: t.Failures, Probes: t.Probes, Fair: !t.Unfair, Result: why})
		s.Trial = nil
		detail := string(why)
		if t.Probes > 0 {
			detail += ": " + rate(t.Failures, t.Probes)
		}
		d.say(now, StepRefused, t.Protocol, "%s does not help (%s).", t.Protocol, detail)
		if t.Unfair { // as things are, no other would get a verdict either
			r.giveUp(s, d, now)
			return
		}
		r.try(s, d, now)
	default: // Restore, Return, HandBack
		if r.again(s, d, now, why) {
			return
		}
		// The way back is gone, but does not lead anywhere yet.
		s.Trial = nil
		d.say(now, StepRefused, t.Protocol, "%s was set again, but the tunnel has not connected yet (%s).", t.Protocol, why)
		if s.Incident != nil {
			r.hold(s, d, now)
		}
	}
}

// postponed puts an order that could not be carried out back on the table.
func (r Rules) postponed(s *State, d *Decision, now time.Time, out Outcome) {
	t := s.Trial
	d.say(now, StepPostponed, t.Protocol, "Could not set %s now (%s).", t.Protocol, out.Result)
	switch {
	case t.Purpose == Trial && s.Set == s.Own && len(s.Incident.Tried) == 0:
		s.Trial = nil // nothing was changed: the next failing probe orders it anew
		s.HoldUntil = now.Add(r.HoldBase / 30)
	case t.Purpose == ByHand:
		s.Trial = nil
	case t.Purpose == Failback:
		s.Trial = nil
		s.Failback.Due = now.Add(r.Failback)
	default:
		t.Retry = now.Add(r.HoldBase / 30) // the way back is never given up
	}
}

// failBack tries the user's own protocol again, some time after a cure, in a
// quiet hour.
func (r Rules) failBack(s *State, d *Decision, now time.Time, in Sight) {
	f := s.Failback
	if f != nil && s.Set == s.Own { // it came back by another way
		s.Failback = nil
		return
	}
	if f == nil || now.Before(f.Due) || !r.quiet(now) || len(r.gates(s, now, in)) > 0 {
		return
	}
	s.begin(d, now, s.Own, Failback, "Trying your own setting (%s) again, %s after the cure.", s.Own, hours(f.Wait))
}

// quiet says whether it is an hour at which nobody minds a restart. Fail-back
// times below an hour are those of tests, which cannot wait for the night.
func (r Rules) quiet(now time.Time) bool {
	h := now.In(r.location()).Hour()
	return 0 < r.Failback && r.Failback < time.Hour || quietFrom <= h && h < quietTo
}

func (r Rules) location() *time.Location {
	if r.Location == nil {
		return time.UTC
	}
	return r.Location
}

// finish derives the phase and the time of the next probe.
func (r Rules) finish(s *State, d *Decision, now time.Time, in Sight) {
	if s.Trial != nil && !s.Trial.Settled && d.Change == nil && !s.Trial.Retry.IsZero() && !now.Before(s.Trial.Retry) {
		s.Trial.Retry = time.Time{}
		d.Change = &Change{s.Trial.Protocol, s.Trial.Purpose}
	}
	if p := r.phase(s, now, in); p != s.Phase {
		s.Phase, s.Since = p, now
	}
	d.Next = r.next(s, now)
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
	case s.Incident != nil && (now.Before(s.HoldUntil) || len(r.candidates(s)) == 0):
		return Holding
	case s.Incident != nil || s.Detector.Score > 0:
		return Suspect
	case !s.Looked:
		return Starting
	case s.Trouble == diagnosis.Healthy:
		return Healthy
	case s.Trouble.Blinds():
		return Blind
	}
	return Suspect
}

// next spaces the probes: often where the answer decides something, seldom where
// it only waits, and never so often that it prolongs the trouble. Closest after a
// failure: then a few answers decide, and the household is waiting.
func (r Rules) next(s *State, now time.Time) time.Duration {
	// A tenth of the time that it has already lasted: soon at first, then less and less.
	patient := func(since time.Time) time.Duration { return min(max(now.Sub(since)/10, r.Burst), r.Interval) }
	burst := r.Burst
	if s.Failed {
		burst /= 4
	}
	switch {
	case s.Trial != nil && !s.Trial.Retry.IsZero():
		return max(s.Trial.Retry.Sub(now), r.Burst)
	case s.Trial != nil:
		return burst
	case s.Trouble == diagnosis.RateLimited:
		return 5 * r.Interval
	case s.Incident != nil && s.Incident.Run > 0 && s.Incident.share() > 0.9:
		return r.Burst // a total loss that lets one through is ending: see it soon
	case s.Incident != nil && !s.certain() && s.Detector.Score > 0:
		return burst
	case s.Incident != nil:
		return patient(s.Incident.Alarm)
	case s.Detector.Score > 0:
		return burst
	case s.Trouble == diagnosis.Healthy || s.Trouble.Blinds() || s.TroubleSince.IsZero():
		return r.Interval
	}
	return patient(s.TroubleSince)
}
