package medic

import (
	"maps"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// course is the policy's state and the app that it belongs to, and how the journal has both.
// A plan and a change that do not belong together would mislead the next start: they are
// written in one go. What the disk does not take, memory has.
type course struct {
	rules   policy.Rules
	journal *journal.Journal
	state   policy.State
	slug    string // of the app that the state belongs to
}

// begun is the change that is open, nil if there is none.
func (c *course) begun() *journal.Intention { return c.journal.Record().Intention }

// keep writes the state, and the change that belongs to it, nil for none.
func (c *course) keep(in *journal.Intention) error {
	return c.journal.Update(func(r *journal.Record) { r.Policy, r.Slug, r.Intention = c.state, c.slug, in })
}

// intend is the change that a decision orders.
func (c *course) intend(change policy.Change, now time.Time) journal.Intention {
	in := c.change(change.Protocol, change.Purpose, now)
	in.Ours = nil
	if t := c.state.Trial; t != nil && t.Sent {
		in.Ours = []evidence.Protocol{change.Protocol}
	}
	if t := c.rules.Abandon(c.state, now).Trial; t != nil {
		in.Back = t.Protocol
	}
	return in
}

// change is one on the present app, from what is set.
func (c *course) change(to evidence.Protocol, why policy.Purpose, now time.Time) journal.Intention {
	return journal.Intention{Slug: c.slug, From: c.state.Set, To: to, Purpose: why, Before: c.state.Transport, Back: to, StoppedByUs: c.state.StoppedByUs,
		Ours: []evidence.Protocol{to}, Most: c.rules.Left(c.state, now)}
}

// retreat plans the way back from an unproven change, for the program's end, and writes it
// down. restart says that it takes one; without ok there is no way back, or it is under way.
func (c *course) retreat(now time.Time) (in journal.Intention, restart, ok bool, err error) {
	was, begun := c.state.Trial, c.begun()
	if was == nil || was.Purpose == policy.Revive {
		return in, false, false, nil
	}
	c.state = c.rules.Abandon(c.state, now)
	to := c.state.Trial
	if to.Purpose == policy.Trial {
		return in, false, false, nil // Supervisor carries out what was ordered
	}
	in = c.change(to.Protocol, to.Purpose, now)
	in.Ours, in.Stage, in.At = []evidence.Protocol{was.Protocol, to.Protocol}, journal.Intended, now
	restart = c.state.Set != to.Protocol
	if begun != nil {
		if begun.To == to.Protocol && begun.Restarted() {
			return in, false, false, nil
		}
		in.Stage = begun.Stage
		in.Ours = append(in.Ours, begun.Ours...)
		if begun.Restarted() {
			restart = true
			c.state.Restarts = append(c.state.Restarts, begun.At) // whose end is not waited for
		}
	}
	return in, restart, true, c.keep(&in)
}

// under says that what was begun is the very change.
func under(begun *journal.Intention, change policy.OnTrial) bool {
	return begun != nil && begun.Purpose == change.Purpose && begun.To == change.Protocol
}

// wayBack is the change that undoes what is open, and puts the plan for it into the
// state. again says that it is the one which was begun already; open, that there is
// anything to be done.
func (c *course) wayBack(begun *journal.Intention, now time.Time) (in journal.Intention, again, open bool) {
	was := c.state.Trial
	c.state = c.rules.Abandon(c.state, now)
	to := c.state.Trial
	switch {
	case to != nil && under(begun, *to):
		return *begun, true, true
	case c.state.StoppedByUs && (was == nil || was.Purpose == policy.Revive || to.Purpose == policy.Trial):
		to = &policy.OnTrial{Protocol: c.state.Set, Purpose: policy.Revive, Since: now}
		c.state.Trial = to
	case was == nil, to.Purpose == policy.Revive, to.Purpose == policy.Trial:
		c.state.Trial = nil // it changed nothing that could be put back
		return in, false, false
	}
	in = c.change(to.Protocol, to.Purpose, now)
	in.Stage, in.At = journal.Intended, now
	took := c.state.Set != to.Protocol || was != nil && was.Purpose == to.Purpose // a way back that was not finished may lack its restart
	if was != nil {
		in.Ours = append(in.Ours, was.Protocol)
	}
	if begun != nil {
		in.Ours = append(append(in.Ours, begun.From, begun.To), begun.Ours...)
	}
	in.NoRestart = !took && (begun == nil || !begun.Restarted()) && !c.state.StoppedByUs
	c.state.Trial = &policy.OnTrial{Protocol: to.Protocol, Purpose: to.Purpose, Back: to.Back, Since: now}
	return in, false, true
}

// moveTo parts the state of one app from that of the next, "" for none: what stays of the
// one is kept under its slug, and what was kept of the other comes back, in one write. It
// gives what people are told of the app that is left.
func (c *course) moveTo(slug string, now time.Time) (steps []policy.Step) {
	from, was := c.slug, c.state
	elsewhere := maps.Clone(c.journal.Record().Elsewhere)
	back, known := elsewhere[slug]
	if from != "" || known {
		c.state = was.Elsewhere(back)
	}
	if from != "" {
		if elsewhere == nil {
			elsewhere = map[string]policy.State{}
		}
		if was.OwnKnown {
			elsewhere[from] = was.Kept(now)
		}
		why := policy.WhyAppLeft
		if slug == "" {
			why = policy.WhyAppGone
		}
		steps = []policy.Step{{At: now, Kind: policy.StepUser, Protocol: was.Set, Why: why, App: from, Instead: slug, Ends: was.Incident != nil || was.Trial != nil}}
	}
	delete(elsewhere, slug)
	c.slug = slug
	_ = c.journal.Update(func(r *journal.Record) { r.Policy, r.Slug, r.Intention, r.Elsewhere = c.state, slug, nil, elsewhere })
	return steps
}

// ownProtocol is the user's own setting, "" while it is not known.
func (c *course) ownProtocol() string {
	if !c.state.OwnKnown {
		return ""
	}
	return c.state.Own.String()
}
