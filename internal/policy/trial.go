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
func (t *OnTrial) overdue(now time.Time, in Sight) Result {
	t.Ended = since(t.Ended, in.State == evidence.StateError, now)
	t.Silent = since(t.Silent, in.Vote == diagnosis.Abstains, now)
	down := (in.Cause == diagnosis.TunnelDown || in.Cause == diagnosis.ConnectorHung) && in.Internet != evidence.InternetDown
	lasts := func(since time.Time, long time.Duration) bool { return !since.IsZero() && now.Sub(since) >= long }
	switch {
	case lasts(t.Ended, lost): // Supervisor's own watchdog goes first
		return Crashed
	case lasts(t.Since, proving):
		return TooFew
	case down && lasts(t.Silent, lost):
		return Unsettled
	case lasts(t.Silent, noVerdict):
		return NoVerdicts
	}
	return NoResult
}

// onTrial judges the protocol on trial by the probes since it settled.
func (r Rules) onTrial(s *State, d *Decision, now time.Time, in Sight) {
	t := s.Trial
	if !t.Settled {
		return // the treatment is under way, or waits to be finished after a restart of the program
	}
	if why := t.overdue(now, in); why != NoResult {
		s.StoppedByUs = s.StoppedByUs || why == Crashed // it runs, or does not, with what we have set
		r.failed(s, d, now, why)
		return
	}
	if in.Vote == diagnosis.Abstains {
		return
	}
	t.Count(in.look())
	if s.bursts() && in.Cause == diagnosis.TunnelFlapping { // by the log of the very run on trial
		r.failed(s, d, now, StillFails)
		return
	}
	//exhaustive:ignore
	switch s.verdict() {
	case detect.Clean:
		if t.Lasting = s.bursts() && now.Sub(t.Since) < pause; !t.Lasting {
			r.passed(s, d, now)
		}
	case detect.Improved:
		r.adopt(s, d, now)
	case detect.Refused:
		r.failed(s, d, now, StillFails)
	}
}

// verdict holds the probes of the trial against those under what was there before it.
func (s *State) verdict() detect.Verdict {
	t := detect.Trial{Seen: s.Trial.Tally, Before: detect.Tally{Failures: 1, Probes: 1}, Bursts: s.bursts()}
	switch {
	case s.Incident != nil:
		t.Before, t.Earlier = s.Incident.total(), s.Incident.over(s.Trial.Transport)
	case s.Failback != nil:
		t.Before = s.Failback.Tally
	}
	if s.Trial.Purpose != Trial { // there is something clean to return to
		return t.Recheck(s.Noise)
	}
	return t.Judge()
}

// bursts says whether what is on trial is tried because connections broke again and
// again: then a run of good looks proves nothing, and ten minutes must pass.
func (s *State) bursts() bool {
	switch {
	case s.Trial.Purpose == Trial && s.Incident != nil:
		return s.Incident.Cause == diagnosis.TunnelFlapping
	case s.Trial.Purpose == Failback && s.Failback != nil:
		return s.Failback.Cause == diagnosis.TunnelFlapping
	}
	return false
}

// settled notes that the ordered protocol is running and connected.
func (r Rules) settled(s *State, d *Decision, now time.Time, out Outcome) {
	t := s.Trial
	s.Set, s.Transport = out.Setting, out.Transport
	t.Settled, t.Since, t.Transport = true, now, out.Transport
	if s.Incident != nil {
		s.Incident.PutOff = 0
	}
	step := Step{Kind: StepReturned, Protocol: t.Protocol, Purpose: t.Purpose, Transport: t.Transport}
	//exhaustive:ignore
	switch t.Purpose {
	case Restore:
		if step.Kind = StepRestored; t.Protocol != s.Own {
			step.Why = WhyWorse
		}
		d.tell(now, step)
		r.hold(s, d, now)
		return
	case Return:
		s.Trial = nil
		s.Failback.Wait *= 2
		s.Failback.Due = now.Add(s.Failback.Wait)
		step.Span = s.Failback.Wait
	case HandBack:
		s.Trial = nil
	default:
		step.Kind = StepSettled
	}
	d.tell(now, step)
}

// passed concludes a trial that went well.
func (r Rules) passed(s *State, d *Decision, now time.Time) {
	t, i := s.Trial, s.Incident
	step := Step{Protocol: t.Protocol, Purpose: t.Purpose, Seen: t.Tally}
	//exhaustive:ignore
	switch t.Purpose {
	case ByHand: // what a person asked for, and what has proven good, is their own setting
		step.Kind, s.Failback = StepKept, nil
		s.become(s.Set)
	case Failback:
		step.Kind, s.Failback = StepFailedBack, nil
	default:
		step.Kind, step.Before = StepCured, i.Tally
		s.remember(now, s.Set)
		if s.Set != s.Own && r.Failback > 0 {
			s.Failback = &Comeback{Wait: r.Failback, Due: now.Add(r.Failback), Cured: s.Set, Incident: i.ID, Cause: i.Cause, Tally: i.Tally}
		}
		s.Incident = nil
	}
	s.Trial, s.Detector = nil, detect.Detector{}
	d.tell(now, step)
}

// adopt keeps what is clearly better than what was there, but not clean. The
// incident stays open: what comes is held against it from now on.
func (r Rules) adopt(s *State, d *Decision, now time.Time) {
	t, i := s.Trial, s.Incident
	d.tell(now, Step{Kind: StepAdopted, Protocol: t.Protocol, Purpose: t.Purpose, Seen: t.Tally, Before: i.total()})
	s.remember(now, t.Protocol)
	i.Tried = append(i.Tried, Attempt{Protocol: t.Protocol, Transport: t.Transport, Tally: t.Tally, Fair: true, Result: ClearlyBetter})
	r.hold(s, d, now)
}

// failed concludes a trial that did not go well.
func (r Rules) failed(s *State, d *Decision, now time.Time, why Result) {
	t, i := s.Trial, s.Incident
	step := Step{Kind: StepRefused, Protocol: t.Protocol, Purpose: t.Purpose, Result: why, Seen: t.Tally}
	//exhaustive:ignore
	switch t.Purpose {
	case ByHand:
		d.tell(now, step)
		s.begin(d, now, t.Back, HandBack, Step{})
	case Failback:
		if s.Failback == nil { // a person's change meanwhile has ended it
			s.Trial = nil
			return
		}
		s.begin(d, now, s.Failback.Cured, Return, Step{Other: t.Protocol, Result: why})
	case Trial:
		i.Tried = append(i.Tried, Attempt{Protocol: t.Protocol, Transport: t.Transport, Tally: t.Tally, Fair: why.fair(), Result: why, Holds: i.Holds})
		s.Trial = nil
		step.Other = i.Setting
		if !why.fair() {
			step.Why = WhyNotTried
		}
		d.tell(now, step)
		if !why.fair() && why != Crashed && why != Rejected { // as things are, no other would get a verdict either
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
		d.tell(now, step)
		if i != nil {
			r.hold(s, d, now)
		}
	}
}

// postponed puts an order that could not be carried out back on the table.
func (r Rules) postponed(s *State, d *Decision, now time.Time, out Outcome) {
	t := s.Trial
	t.Sent = t.Sent || out.Sent
	d.tell(now, Step{Kind: StepPostponed, Protocol: t.Protocol, Purpose: t.Purpose, Result: out.Result})
	s.Unkept = s.Unkept || out.Result == Unkept
	//exhaustive:ignore
	switch t.Purpose {
	case Trial:
		s.Trial = nil
		if s.Set != s.Own && s.Set != s.Incident.Setting {
			// An unproven protocol must not stay in force for as long as the next cannot be tried.
			r.giveUp(s, d, now)
			return
		}
		// Nothing was changed: the next failing probe orders it again.
		s.HoldUntil = now.Add(min(soon(r)<<min(s.Incident.PutOff, 10), r.HoldBase))
		s.Incident.PutOff++
		r.stillAgreed(s, now, Trial, t.Protocol)
	case ByHand:
		s.Trial = nil
	case Failback:
		s.Trial = nil
		if s.Failback != nil {
			s.Failback.Due = now.Add(max(r.Failback, time.Hour))
		}
	default:
		if out.Result == OverBudget && s.Set == t.Protocol { // it is stored: the next start takes it
			s.Trial = nil
			if s.Failback != nil {
				s.Failback.Due = later(s.Failback.Due, now.Add(s.Failback.Wait))
			}
			if s.Incident != nil {
				r.hold(s, d, now)
			}
			return
		}
		t.Retry = now.Add(soon(r)) // the way back is never given up
	}
}

// tries is how often a change back that could not be made is tried again at once,
// after growing waits: for three hours. Then it waits for the quiet hours (planReturn),
// and an add-on that does not run for its revival.
const tries = 8

// again schedules a change back that could not be made, while another protocol is
// set or the add-on does not run.
func (r Rules) again(s *State, d *Decision, now time.Time, why Result) bool {
	t := s.Trial
	if s.Set == t.Protocol && !s.StoppedByUs || t.Tries >= tries {
		return false
	}
	wait := min(soon(r)<<t.Tries, r.HoldBase)
	if s.StoppedByUs { // nobody is let in until then
		wait = soon(r)
	}
	t.Retry = now.Add(wait)
	t.Tries++
	d.tell(now, Step{Kind: StepPostponed, Protocol: t.Protocol, Purpose: t.Purpose, Why: WhyWayBack, Result: why, Until: r.local(t.Retry)})
	return true
}
