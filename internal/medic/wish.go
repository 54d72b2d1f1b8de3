package medic

import (
	"context"
	"errors"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// wish is what a person asks for. The loop alone touches the state, so it is the
// loop that grants it, between two looks.
type wish struct {
	act      act
	protocol evidence.Protocol // of a trial
	question string            // that is answered
	yes      bool
	pause    time.Duration
	gone     <-chan struct{} // closed when nobody waits for the answer any more
	answer   chan error      // takes one answer without anybody listening
}

type act uint8

const (
	pausing act = iota
	switchingOff
	resuming
	trying
	answering
	shortening
)

// maxWishes is how many may wait. Nobody has more than this in earnest.
const maxWishes = 8

// wishes are what people ask of the loop. It grants them after a look.
type wishes struct {
	waiting chan wish
	wake    chan struct{} // a look is wanted now
}

func newWishes() wishes {
	return wishes{waiting: make(chan wish, maxWishes), wake: make(chan struct{}, 1)}
}

// Probe asks for a probe now.
func (w *wishes) Probe() {
	select {
	case w.wake <- struct{}{}:
	default: // one is wanted already
	}
}

// errMany is the answer when too many wait.
var errMany = policy.Refusal{Because: policy.TooMany}

// Pause asks for quiet: probes go on, nothing is changed. What is being proven at
// the moment is proven to its end.
func (w *wishes) Pause(ctx context.Context, d time.Duration) error {
	return w.ask(ctx, wish{act: pausing, pause: d})
}

// SwitchOff asks for quiet until Resume.
func (w *wishes) SwitchOff(ctx context.Context) error { return w.ask(ctx, wish{act: switchingOff}) }

// Resume ends a pause.
func (w *wishes) Resume(ctx context.Context) error { return w.ask(ctx, wish{act: resuming}) }

// Try asks for the trial of a protocol. The answer comes when it has been looked
// whether it can be done: nil means that it has begun.
func (w *wishes) Try(ctx context.Context, p evidence.Protocol) error {
	return w.ask(ctx, wish{act: trying, protocol: p})
}

// Answer answers the question that stands, in the mode ask. What somebody who has left has said counts all the same.
func (w *wishes) Answer(ctx context.Context, question string, yes bool) error {
	return w.ask(ctx, wish{act: answering, question: question, yes: yes})
}

// Shorten asks for shorter restarts, or for no shorter ones any more: by a flag of cloudflared's,
// which takes effect at the restart after the next.
func (w *wishes) Shorten(ctx context.Context, short bool) error {
	return w.ask(ctx, wish{act: shortening, yes: short})
}

// ask hands a wish to the loop and waits for the answer. A policy.Refusal is a
// sentence for the person. When the context ends first, quiet is still given when its
// turn comes; a trial is not begun behind the back of somebody who has left.
func (w *wishes) ask(ctx context.Context, what wish) error {
	what.answer, what.gone = make(chan error, 1), ctx.Done()
	select {
	case w.waiting <- what:
	default:
		return errMany
	}
	w.Probe()
	select {
	case err := <-what.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next is the wish that has waited longest.
func (w *wishes) next() (what wish, waits bool) {
	select {
	case what = <-w.waiting:
		return what, true
	default:
		return wish{}, false
	}
}

// grant carries out the wishes that wait, with what was just seen. It stops at a
// trial, which is for the round to carry out, and gives the last decision; decided
// is false if there was nothing to decide.
func (m *Medic) grant(ctx context.Context, in policy.Sight) (dec policy.Decision, decided bool) {
	for {
		w, waits := m.next()
		if !waits {
			return dec, decided
		}
		if w.act == shortening { // it changes nothing of what the policy knows
			err := w.mayShorten(&m.course, m.app)
			if err == nil {
				err = m.app.shorten(ctx, w.yes, &m.pulse)
			}
			if err == nil {
				m.stored(map[bool]string{true: tunnel.ShortGrace}[w.yes])
			}
			w.answer <- err
			continue
		}
		state, d, refused := w.decide(m.rules, m.state, time.Now(), in)
		if refused != nil {
			var why policy.Refusal
			errors.As(refused, &why)
			m.log.Info().Stringer("protocol", w.protocol).Msg("What a person asked for is not done. " + words.English().Text(words.Refused(why)))
			w.answer <- refused
			continue
		}
		dec, decided = d, true
		m.apply(state, dec, nil, nil)
		w.answer <- nil
		if dec.Change != nil {
			return dec, decided
		}
	}
}

// decide has the policy say what comes of the wish.
func (w wish) decide(rules policy.Rules, s policy.State, now time.Time, in policy.Sight) (state policy.State, dec policy.Decision, refused error) {
	switch w.act {
	case pausing:
		state, dec = rules.Pause(s, now, now.Add(w.pause))
	case switchingOff:
		state, dec = rules.Pause(s, now, policy.ForGood)
	case resuming:
		state, dec = rules.Resume(s, now)
	case shortening: // grant has it carried out
	case answering:
		return rules.Answer(s, now, w.question, w.yes)
	case trying:
		select {
		case <-w.gone:
			return state, dec, policy.Refusal{Because: policy.NobodyLeft}
		default:
			return rules.Try(s, now, in, w.protocol)
		}
	}
	return state, dec, nil
}

// mayShorten says why the wish for shorter restarts is not granted; nil: it is.
func (w wish) mayShorten(c *course, a *app) error {
	select {
	case <-w.gone:
		return policy.Refusal{Because: policy.NobodyLeft}
	default:
	}
	switch {
	case !c.rules.Heal:
		return policy.Refusal{Because: policy.GatesShut, Gates: []policy.Gate{policy.GateMode}}
	case c.state.Trial != nil:
		return policy.Refusal{Because: policy.UnderWay}
	case a.treat == nil || a.target.Slug == "":
		return policy.Refusal{Because: policy.NotReached}
	}
	return nil
}

// shorten makes restarts shorter, or as long as they were, between two looks, when nothing
// else writes the app's options.
func (a *app) shorten(ctx context.Context, short bool, p *pulse) error {
	defer p.during()()
	ctx, cancel := context.WithTimeout(ctx, a.set.Patience.Late+time.Minute)
	defer cancel()
	if err := a.treat.Shorten(ctx, a.target.Slug, short); err != nil {
		a.log.Info().Err(err).Msg("Shorter restarts were asked for by hand, and nothing was changed.")
		return err
	}
	a.log.Info().Bool("short", short).Msg("A person asked for it: cloudflared's flag for shorter restarts is as wished. The next restart is still as long as before.")
	return nil
}
