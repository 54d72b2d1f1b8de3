package seeds

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/treatment"
)

// fault counts one; from now on there may be reason to act.
func (p *play) fault() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.Faults++
	p.truth.touched = true
}

// touch says that there may be reason to act.
func (p *play) touch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.truth.touched = true
}

// hand does what a person does; what Supervisor refuses has not been done.
func (p *play) hand(do func() error) {
	p.mu.Lock()
	p.tally.Hands++
	p.truth.touched = true
	p.mu.Unlock()
	p.beside(func() {
		if err := do(); err != nil {
			p.note("refused: %v", err)
		}
	})
}

// whenRestarted does something at a moment after the daemon's next restart of the app:
// as a rule while a protocol is being proven.
func (p *play) whenRestarted(r *rand.Rand, do func()) {
	before, wait := p.w.Supervisor.Restarts(), span(r, 0, 70*time.Second)
	p.beside(func() {
		ctx, cancel := context.WithTimeout(p.ctx, disturbed)
		defer cancel()
		if p.w.Wait(ctx, func() bool { return p.w.Supervisor.Restarts() > before }) == nil {
			p.later(wait, do)
		}
	})
}

type options = map[string]json.RawMessage

// edit is a person changing an option on the app's page, at a stroke.
func (p *play) edit(change func(options)) {
	p.hand(func() error {
		var o options
		if err := json.Unmarshal(p.w.Supervisor.Options(slug), &o); err != nil {
			return err
		}
		change(o)
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return p.save(raw)
	})
}

// save is a person saving the whole form.
func (p *play) save(raw json.RawMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.w.User.SetsOptions(slug, raw); err != nil {
		return err
	}
	p.truth.foreign, p.truth.edited = withoutProtocol(p.w.Supervisor.Options(slug)), time.Now()
	return nil
}

// setProtocol is a person writing a protocol into run_parameters.
func (p *play) setProtocol(to evidence.Protocol) {
	open := p.record().Intention
	p.hand(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		before := storedIn(p.w.Supervisor.Options(slug))
		if err := p.w.User.SetsProtocol(slug, to); err != nil {
			return err
		}
		p.truth.edited = time.Now()
		// What stands there already, or what a change of ours would write, nobody can tell from our own doing.
		ours := open != nil && (to == open.To || to == open.From || to == open.Back || slices.Contains(open.Ours, to))
		if to == before || ours {
			p.own(to)
		} else {
			p.truth.own = []evidence.Protocol{to}
		}
		p.unseen(to)
		p.story = append(p.story, "           it was "+before.String()+", now "+to.String())
		return nil
	})
}

// own adds what may be taken for the person's own setting. The caller holds mu.
func (p *play) own(to evidence.Protocol) {
	if !slices.Contains(p.truth.own, to) {
		p.truth.own = append(p.truth.own, to)
	}
}

// saveForm is a person saving a form, or Supervisor a backup, that shows what was once:
// its protocol too may be taken for theirs.
func (p *play) saveForm(shown json.RawMessage) {
	if shown == nil {
		return
	}
	p.hand(func() error {
		if err := p.save(shown); err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.own(storedIn(shown))
		p.unseen(storedIn(shown))
		return nil
	})
}

// unseen allows for a setting that was changed and changed back between two looks, which
// nobody can have seen: what was theirs before still is. The caller holds mu.
func (p *play) unseen(now evidence.Protocol) {
	if s := p.record().Policy; s.OwnKnown && s.Set == now {
		p.own(s.Own)
	}
}

func (p *play) stop() error {
	ran := p.w.Supervisor.State(slug) == evidence.StateStarted
	err := p.w.User.Stops(slug)
	if err != nil || !ran { // what does not run cannot be seen to be stopped
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Within these seconds the log cannot be told from that of a restart that Supervisor broke off.
	alike := treatment.DefaultPatience().Late
	if p.h.Lives() {
		alike /= 2
	}
	p.truth.stopped, p.truth.stoppedAt = time.Since(p.truth.unsent) > alike, time.Now()
	return nil
}

func (p *play) start() {
	p.hand(func() error {
		p.mu.Lock()
		p.truth.stopped = false
		p.mu.Unlock()
		return p.halfWay(p.w.User.Starts(slug))
	})
}

// halfWay notes that an act of a person's may have left the app stopped.
func (p *play) halfWay(err error) error {
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.truth.failed = true
	}
	return err
}

func (p *play) restart() error {
	p.mu.Lock()
	p.truth.stopped = false // they want it to run
	p.mu.Unlock()
	return p.halfWay(p.w.User.Restarts(slug))
}

func (p *play) uninstall() error {
	err := p.w.User.Uninstalls(slug)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.truth.gone = true
	}
	return err
}

func (p *play) install(options json.RawMessage) {
	p.hand(func() error {
		p.mu.Lock()
		gone := p.truth.gone
		if gone {
			p.truth.gone, p.truth.stopped, p.truth.edited = false, false, time.Now()
			p.truth.foreign = withoutProtocol(options)
			p.own(storedIn(options))
		}
		p.mu.Unlock()
		if !gone { // Supervisor had refused to uninstall it
			return nil
		}
		return p.halfWay(p.w.User.Installs(lab.AddOn{Slug: slug, Name: "Cloudflared", Version: "6.0.3", Options: options}))
	})
}

// restartDaemon is Supervisor stopping the daemon and starting it again.
func (p *play) restartDaemon(down time.Duration) {
	p.beside(func() {
		if !p.h.Lives() {
			return
		}
		p.note("the daemon is stopped")
		if err := p.h.Stop(); err != nil {
			p.breaks("the daemon lives", "stopped, it ended with an error: %v", err)
		}
		p.later(down, p.revive)
	})
}

// atTrial does something at the daemon's next call that changes the app.
func (p *play) atTrial(do func()) {
	p.set(&trap{call: changes, moment: thenEffect, strike: do})
}

var changes = regexp.MustCompile("^POST /addons/[^/]+/options$")

// diskFails makes the disk refuse for a while.
func (p *play) diskFails(r *rand.Rand, writes, reads error) {
	p.fault()
	d := span(r, time.Second, 20*time.Minute)
	begin := func() {
		p.disk.fail(writes, reads)
		p.later(d, func() { p.note("the disk is well again"); p.disk.fail(nil, nil) })
	}
	if r.IntN(2) == 0 {
		begin()
		return
	}
	p.atTrial(begin)
}

// changes changes the world's faults.
func (p *play) changes(change func(*lab.Faults)) {
	p.w.ChangeFaults(change)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch away := p.w.Faults().APIAway || p.w.Faults().InternetDown; {
	case !away:
		p.truth.apiAway = time.Time{}
	case p.truth.apiAway.IsZero():
		p.truth.apiAway = time.Now()
	}
}
