package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// OnTrial is a change that was ordered and, once settled, is being proven.
type OnTrial struct {
	Protocol     evidence.Protocol  `json:"protocol"`
	Purpose      Purpose            `json:"purpose"`
	Since        time.Time          `json:"since"` // ordered; once settled, settled
	Settled      bool               `json:"settled,omitempty"`
	Back         evidence.Protocol  `json:"back,omitempty"` // of a trial by hand: what was there before
	Transport    evidence.Transport `json:"transport,omitempty"`
	detect.Tally `json:"-"`         // proven again after a restart of the program
	Silent       time.Time          `json:"-"`               // since when no probe has given a verdict
	Ended        time.Time          `json:"-"`               // since when the app has not run, by an error
	Lasting      bool               `json:"-"`               // proven, but for how long it must stand
	Sent         bool               `json:"sent,omitempty"`  // the setting was sent once, and may take effect late
	Retry        time.Time          `json:"retry,omitzero"`  // when to order it again; zero: it is under way
	Tries        int                `json:"tries,omitempty"` // how often it was put off
}

// lost is how long a protocol on trial may stand without a connection, or an app not
// run, before the trial ends; noVerdict how long without any verdict; and proving how
// long it may take in all.
const (
	lost      = time.Minute
	noVerdict = 15 * time.Minute
	proving   = 2 * time.Hour
)

// overdue is what ends a trial that cannot go on, NoResult while it can.
func (o *OnTrial) overdue(now time.Time, in *Sight) Result {
	o.Ended = since(o.Ended, in.State == evidence.StateError, now)
	o.Silent = since(o.Silent, in.Vote == diagnosis.Abstains, now)
	down := in.Cause.Down() && in.Internet != evidence.InternetDown
	lasts := func(since time.Time, long time.Duration) bool { return !since.IsZero() && now.Sub(since) >= long }
	switch {
	case lasts(o.Ended, lost): // Supervisor's own watchdog goes first
		return Crashed
	case lasts(o.Since, proving):
		return TooFew
	case down && lasts(o.Silent, lost):
		return Unsettled
	case lasts(o.Silent, noVerdict):
		return NoVerdicts
	}
	return NoResult
}

// judge holds the protocol on trial against what was there before, by the probes since it
// settled. Until then the treatment is under way, or waits to be finished after a restart of
// the program.
func (o *OnTrial) judge(t *turn) {
	if !o.Settled {
		return
	}
	if why := o.overdue(t.now, t.in); why != NoResult {
		t.s.StoppedByUs = t.s.StoppedByUs || why == Crashed // it runs, or does not, with what we have set
		o.failed(t, why)
		return
	}
	if t.in.Vote == diagnosis.Abstains {
		return
	}
	o.Count(t.in.look())
	verdict, bursts := o.verdict(t.s, t.in.Cause)
	//exhaustive:ignore
	switch verdict {
	case detect.Clean:
		// A run of good looks proves nothing of connections that break again and again.
		if o.Lasting = bursts && t.now.Sub(o.Since) < pause; !o.Lasting {
			o.passed(t)
		}
	case detect.Improved:
		o.adopt(t)
	case detect.Refused:
		o.failed(t, StillFails)
	}
}

// verdict is what the probes of the trial amount to, and whether it is tried because
// connections broke again and again.
func (o *OnTrial) verdict(s *State, seen diagnosis.Cause) (v detect.Verdict, bursts bool) {
	t := detect.Trial{Seen: o.Tally, Before: detect.Tally{Failures: 1, Probes: 1}}
	switch i, f := s.Incident, s.Failback; {
	case i != nil:
		t.Before, t.Earlier = i.total(), i.over(o.Transport)
		t.Bursts = i.Cause == diagnosis.TunnelFlapping
	case f != nil:
		t.Before = f.Tally
		t.Bursts = o.Purpose == Failback && f.Cause == diagnosis.TunnelFlapping
	}
	switch {
	case t.Bursts && seen == diagnosis.TunnelFlapping: // by the log of the very run on trial
		return detect.Refused, true
	case o.Purpose != Trial: // there is something clean to return to
		return t.Recheck(s.Noise), t.Bursts
	}
	return t.Judge(), t.Bursts
}

// ended takes the outcome of the change.
func (o *OnTrial) ended(t *turn, out Outcome) {
	s := t.s
	s.Plan.fell(o.Purpose, out)
	if out.Result == UserChanged {
		s.Setting.byHand(t, out.Setting)
		return
	}
	s.Set = out.Setting
	switch {
	case out.Result == UserStopped:
		s.planReturn(t.now)
		t.giveWay(t.r.HoldBase, Step{Why: WhyAppStopped})
	case o.Purpose == Revive:
		s.Plan.revived(t, out)
	case out.Result == Settled:
		o.settled(t, out)
	case out.Result.Untouched():
		o.postponed(t, out)
	default:
		o.failed(t, out.Result)
	}
}

// settled notes that the ordered protocol is running and connected.
func (o *OnTrial) settled(t *turn, out Outcome) {
	s := t.s
	s.Set, s.Transport = out.Setting, out.Transport
	o.Settled, o.Since, o.Transport = true, t.now, out.Transport
	if s.Incident != nil {
		s.Incident.PutOff = 0
	}
	step := Step{Kind: StepReturned, Protocol: o.Protocol, Purpose: o.Purpose, Transport: o.Transport}
	//exhaustive:ignore
	switch o.Purpose {
	case Restore:
		if step.Kind = StepRestored; o.Protocol != s.Own {
			step.Why = WhyWorse
		}
		t.tell(step)
		s.Incident.hold(t)
		return
	case Return:
		s.Trial = nil
		s.Failback.Wait *= 2
		s.Failback.Due = t.now.Add(s.Failback.Wait)
		step.Span = s.Failback.Wait
	case HandBack:
		s.Trial = nil
	default:
		step.Kind = StepSettled
	}
	t.tell(step)
}

// passed concludes a trial that went well.
func (o *OnTrial) passed(t *turn) {
	s, i := t.s, t.s.Incident
	step := Step{Kind: StepCured, Protocol: o.Protocol, Purpose: o.Purpose, Seen: o.Tally}
	//exhaustive:ignore
	switch o.Purpose {
	case ByHand: // what a person asked for, and what has proven good, is their own setting
		step.Kind, s.Failback = StepKept, nil
		s.become(s.Set)
	case Failback:
		step.Kind, s.Failback = StepFailedBack, nil
	default:
		step.Before = i.Tally
		s.remember(t.now, s.Set)
		if s.Set != s.Own && t.r.Failback > 0 {
			s.Failback = &Comeback{Wait: t.r.Failback, Due: t.now.Add(t.r.Failback), Cured: s.Set, Incident: i.ID, Cause: i.Cause, Tally: i.Tally}
		}
		s.Incident = nil
	}
	s.Trial, s.Detector = nil, detect.Detector{}
	t.tell(step)
}

// adopt keeps what is clearly better than what was there, but not clean. The
// incident stays open: what comes is held against it from now on.
func (o *OnTrial) adopt(t *turn) {
	i := t.s.Incident
	t.tell(Step{Kind: StepAdopted, Protocol: o.Protocol, Purpose: o.Purpose, Seen: o.Tally, Before: i.total()})
	t.s.remember(t.now, o.Protocol)
	i.note(o, ClearlyBetter)
	i.hold(t)
}

// failed concludes a trial that did not go well.
func (o *OnTrial) failed(t *turn, why Result) {
	s, i := t.s, t.s.Incident
	step := Step{Kind: StepRefused, Protocol: o.Protocol, Purpose: o.Purpose, Result: why, Seen: o.Tally}
	//exhaustive:ignore
	switch o.Purpose {
	case ByHand:
		t.tell(step)
		t.begin(o.Back, HandBack, Step{})
	case Failback:
		if s.Failback == nil { // a person's change meanwhile has ended it
			s.Trial = nil
			return
		}
		t.begin(s.Failback.Cured, Return, Step{Other: o.Protocol, Result: why})
	case Trial:
		i.note(o, why)
		s.Trial = nil
		step.Other = i.Setting
		if !why.fair() {
			step.Why = WhyNotTried
		}
		t.tell(step)
		if !why.fair() && why != Crashed && why != Rejected { // as things are, no other would get a verdict either
			i.giveUp(t)
			return
		}
		i.tryNext(t)
	default: // Restore, Return, HandBack
		if o.again(t, why) {
			return
		}
		// The way back is gone, but does not lead anywhere yet.
		s.Trial = nil
		t.tell(step)
		if i != nil {
			i.hold(t)
		}
	}
}

// postponed puts an order that could not be carried out back on the table.
func (o *OnTrial) postponed(t *turn, out Outcome) {
	s, i := t.s, t.s.Incident
	o.Sent = o.Sent || out.Sent
	t.tell(Step{Kind: StepPostponed, Protocol: o.Protocol, Purpose: o.Purpose, Result: out.Result})
	s.Unkept = s.Unkept || out.Result == Unkept
	switch {
	case o.Purpose == Trial && s.Set != s.Own && s.Set != i.Setting:
		// An unproven protocol must not stay in force for as long as the next cannot be tried.
		s.Trial = nil
		i.giveUp(t)
	case o.Purpose == Trial: // nothing was changed: the next failing probe orders it again
		s.Trial = nil
		s.HoldUntil = t.now.Add(t.r.retry(i.PutOff))
		i.PutOff++
		s.Plan.stillAgreed(t, Trial, o.Protocol)
	case o.Purpose == ByHand:
		s.Trial = nil
	case o.Purpose == Failback:
		s.Trial = nil
		if s.Failback != nil {
			s.Failback.Due = t.now.Add(max(t.r.Failback, time.Hour))
		}
	case out.Result == OverBudget && s.Set == o.Protocol: // it is stored: the next start takes it
		s.Trial = nil
		if s.Failback != nil {
			s.Failback.Due = later(s.Failback.Due, t.now.Add(s.Failback.Wait))
		}
		if i != nil {
			i.hold(t)
		}
	default:
		o.Retry = t.now.Add(t.r.retry(0)) // the way back is never given up
	}
}

// tries is how often a change back that could not be made is tried again at once,
// after growing waits: for three hours. Then it waits for the quiet hours (planReturn),
// and an add-on that does not run for its revival.
const tries = 8

// again schedules a change back that could not be made, while another protocol is
// set or the add-on does not run.
func (o *OnTrial) again(t *turn, why Result) bool {
	if t.s.Set == o.Protocol && !t.s.StoppedByUs || o.Tries >= tries {
		return false
	}
	wait := t.r.retry(o.Tries)
	if t.s.StoppedByUs { // nobody is let in until then
		wait = t.r.retry(0)
	}
	o.Retry = t.now.Add(wait)
	o.Tries++
	t.tell(Step{Kind: StepPostponed, Protocol: o.Protocol, Purpose: o.Purpose, Why: WhyWayBack, Result: why, Until: t.r.local(o.Retry)})
	return true
}
