package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// lost is how long a protocol on trial may stand without a connection, or an app not
// run, before the trial ends; noVerdict how long without any verdict; and proving how
// long it may take in all.
const (
	lost      = time.Minute
	noVerdict = 15 * time.Minute
	proving   = 2 * time.Hour
)

// onTrial judges the protocol on trial by the probes since it settled.
func (r Rules) onTrial(s *State, d *Decision, now time.Time, in Sight) {
	t := s.Trial
	if !t.Settled {
		return // the treatment is under way, or waits to be finished after a restart of the program
	}
	if in.State != evidence.StateError {
		t.Ended = time.Time{}
	} else if t.Ended.IsZero() {
		t.Ended = now
	}
	if !t.Ended.IsZero() && now.Sub(t.Ended) >= lost { // Supervisor's own watchdog goes first
		s.Felled = true // it runs, or does not, with what we have set
		r.failed(s, d, now, Crashed)
		return
	}
	if now.Sub(t.Since) >= proving {
		t.Unfair = true
		r.failed(s, d, now, "too few verdicts")
		return
	}
	if in.Vote == diagnosis.Abstains {
		if t.Silent.IsZero() {
			t.Silent = now
		}
		down := in.Cause == diagnosis.TunnelDown || in.Cause == diagnosis.ConnectorHung
		switch quiet := now.Sub(t.Silent); {
		case down && in.Internet != evidence.InternetDown && quiet >= lost:
			r.failed(s, d, now, Unsettled)
		case quiet >= noVerdict:
			t.Unfair = true
			r.failed(s, d, now, "no verdict possible")
		}
		return
	}
	t.Silent = time.Time{}
	t.Count(in.look())
	var beside detect.Tally
	if s.Incident != nil {
		beside = s.Incident.over(t.Transport)
	}
	flapped := s.flapped()
	if flapped && in.Cause == diagnosis.TunnelFlapping { // by the log of the very run on trial
		r.failed(s, d, now, "the fault is there too")
		return
	}
	held := detect.Trial{Seen: t.Tally, Before: s.baseline(), Earlier: beside, Bursts: flapped}
	verdict := held.Judge
	if t.Purpose != Trial { // there is something clean to return to
		verdict = func() detect.Verdict { return held.Recheck(s.Noise) }
	}
	//exhaustive:ignore
	switch verdict() {
	case detect.Clean:
		if t.Lasting = flapped && now.Sub(t.Since) < pause; t.Lasting {
			return
		}
		r.passed(s, d, now)
	case detect.Improved:
		r.adopt(s, d, now)
	case detect.Refused:
		r.failed(s, d, now, "the fault is there too")
	}
}

// settled notes that the ordered protocol is running and connected.
func (r Rules) settled(s *State, d *Decision, now time.Time, out Outcome) {
	t := s.Trial
	s.Set, s.Transport = out.Setting, out.Transport
	t.Settled, t.Since, t.Transport = true, now, out.Transport
	if s.Incident != nil {
		s.Incident.PutOff = 0
	}
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
		s.Trial, s.Failback, s.Detector = nil, nil, detect.Detector{}
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
		s.Failback = &Comeback{Wait: r.Failback, Due: now.Add(r.Failback), Cured: s.Set, Incident: inc.ID, Cause: inc.Cause, Tally: inc.Tally}
	}
	s.Trial, s.Incident, s.Detector = nil, nil, detect.Detector{}
	d.say(now, StepCured, s.Set, text, args...)
}

// adopt keeps what is clearly better than what was there, but not clean. The
// incident stays open: what comes is held against it from now on.
func (r Rules) adopt(s *State, d *Decision, now time.Time) {
	t, inc := s.Trial, s.Incident
	before := inc.total()
	d.say(now, StepAdopted, t.Protocol, "%s is not clean, but clearly better than what was there: %s, after %s before. It stays for now.",
		t.Protocol, seen(t.Tally), seen(before))
	s.remember(now, t.Protocol)
	inc.Tried = append(inc.Tried, Attempt{Protocol: t.Protocol, Transport: t.Transport, Tally: t.Tally, Fair: true, Result: "clearly better"})
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
		t.Unfair = t.Unfair || !why.fair()
		s.Incident.Tried = append(s.Incident.Tried, Attempt{Protocol: t.Protocol, Transport: t.Transport, Tally: t.Tally, Fair: !t.Unfair, Result: why, Holds: s.Incident.Holds})
		s.Trial = nil
		detail := string(why)
		if t.Probes > 0 {
			detail += ": " + seen(t.Tally)
		}
		what := t.Protocol.String()
		if t.Protocol == s.Incident.Setting {
			what = "A restart"
		}
		if t.Unfair {
			d.say(now, StepRefused, t.Protocol, "%s could not be tried (%s).", what, detail)
		} else {
			d.say(now, StepRefused, t.Protocol, "%s did not help (%s).", what, detail)
		}
		if t.Unfair && why != Crashed && why != Rejected { // as things are, no other would get a verdict either
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
	t.Sent = t.Sent || out.Sent
	d.say(now, StepPostponed, t.Protocol, "%s could not be set now (%s).", t.Protocol, out.Result)
	s.Unkept = s.Unkept || out.Result == Unkept
	switch {
	case t.Purpose == Trial && s.Set != s.Own && s.Set != s.Incident.Setting:
		// An unproven protocol must not stay in force for as long as the next cannot be tried.
		s.Trial = nil
		r.giveUp(s, d, now)
	case t.Purpose == Trial:
		s.Trial = nil // nothing was changed: the next failing probe orders it anew
		s.HoldUntil = now.Add(min(soon(r)<<min(s.Incident.PutOff, 10), r.HoldBase))
		s.Incident.PutOff++
	case t.Purpose == ByHand:
		s.Trial = nil
	case t.Purpose == Failback:
		s.Trial = nil
		if s.Failback != nil {
			s.Failback.Due = now.Add(max(r.Failback, time.Hour))
		}
	case out.Result == OverBudget && s.Set == t.Protocol: // it is stored: the next start takes it
		s.Trial = nil
		if s.Failback != nil {
			s.Failback.Due = later(s.Failback.Due, now.Add(s.Failback.Wait))
		}
		if s.Incident != nil {
			r.hold(s, d, now)
		}
	default:
		t.Retry = now.Add(soon(r)) // the way back is never given up
	}
}

// soon is when something that could not be done is tried again: after a minute.
func soon(r Rules) time.Duration { return r.HoldBase / 30 }
