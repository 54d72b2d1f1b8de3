package journal

import (
	"slices"
	"time"

	"tunnelmedic/internal/policy"
)

// Tell goes on with the incident's story: the state is the one that the steps led to. Steps
// that belong to no incident are for the log alone. It gives the incident where a step was
// one that Cloudflare may know of, nil otherwise.
func (c *Chronicle) Tell(s policy.State, app, url string, steps []policy.Step, now time.Time) (ask *Incident) {
	defer func() { c.journal.Live(c.hist) }()
	inc := s.Incident
	if inc != nil && (c.open == nil || c.open.ID != inc.ID) {
		c.open = &Incident{ID: inc.ID, Onset: inc.Onset, LastGood: inc.LastGood, Cause: inc.Cause,
			URL: url, App: app, Own: s.Own, Before: inc.Setting, Transport: inc.Transport}
		if !c.last.Evidence.At.IsZero() {
			c.open.Seen = c.say(c.last.Evidence, c.last.Diagnosis)
		}
		c.opened(now)
	}
	if c.open != nil && !c.open.Ended.IsZero() {
		steps = slices.DeleteFunc(slices.Clone(steps), func(s policy.Step) bool { return !s.Kind.Afterwards() || s.Purpose == policy.Revive })
	}
	if c.open == nil || len(steps) == 0 {
		return nil
	}
	c.open.Add(steps...)
	if c.annotate(s, steps) {
		ask = c.open
	}
	c.open.After = s.Set
	if inc != nil {
		c.open.Restarts = inc.Restarts
	} else if c.open.Ended.IsZero() {
		last := steps[len(steps)-1]
		c.open.Ended, c.open.Outcome = last.At, last.Kind
	}
	_ = c.journal.Write(*c.open)
	// What comes after its end (fail-back) still belongs to it.
	if s.Story() != c.open.ID {
		c.open = nil
	}
	return ask
}

// opened begins the account of a new incident with the probes that led to it: the
// last good ones, and all since.
func (c *Chronicle) opened(now time.Time) {
	i := c.open
	a := &i.Account
	first := 0
	for n, r := range c.recent {
		if r.To.Before(i.Onset.Add(-time.Minute)) || r.OK && !r.To.After(i.Onset) {
			first = n // the newest run before the onset
		}
	}
	probes, failures := 0, 0
	for _, r := range c.recent[first:] {
		// The good run before the onset is for the reader; only what came after is of the incident.
		if r.To.Before(i.Onset.Add(-time.Second)) {
			a.Runs = Append(a.Runs, r)
			continue
		}
		a.Probe(r)
		if r.Counts {
			probes += r.N
		}
		if r.Counts && !r.OK {
			failures += r.N
		}
	}
	if probes > 0 {
		a.Lost = time.Duration(float64(now.Sub(i.Onset)) * float64(failures) / float64(probes))
	}
	a.Versions = c.versions()
	c.noted = now
	// Where some probes are good, the last good one before the onset is meant, not the last of all.
	if i.LastGood.After(i.Onset) {
		i.LastGood = time.Time{}
		for _, r := range c.recent {
			if r.OK && r.To.Before(i.Onset) {
				i.LastGood = r.To
			}
		}
	}
}

// annotate takes the evidence of the moments that an incident turns on. It says whether
// one of them is worth a question to Cloudflare.
func (c *Chronicle) annotate(now policy.State, steps []policy.Step) (ask bool) {
	for _, s := range steps {
		//exhaustive:ignore
		switch s.Kind {
		case policy.StepAlarm, policy.StepCured, policy.StepRecovered, policy.StepReturning, policy.StepFailedBack:
			ask = true
		case policy.StepRefused:
		default:
			continue
		}
		e, d := c.last.Evidence, c.last.Diagnosis
		if e.At.IsZero() {
			continue
		}
		look := c.last
		look.Transport = now.Transport
		c.open.Account.Snap(Snapshot{At: e.At, Step: s.Kind, Cause: d.Cause, Basis: d.Basis, Setting: s.Protocol, Transport: look.transport(), Ready: e.Connector.Ready, Edges: e.Connector.Edges,
			Public: AnswerOf(e.Public), Page: AnswerOf(e.Page), Direct: AnswerOf(e.Direct), Seen: c.say(e, d)})
	}
	return ask
}
