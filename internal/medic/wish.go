package medic

import (
	"context"
	"errors"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
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
)

// maxWishes is how many may wait. Nobody has more than this in earnest.
const maxWishes = 8

// errMany is the answer when too many wait.
var errMany = policy.Refusal{Because: policy.TooMany}

// Pause asks for quiet: probes go on, nothing is changed. What is being proven at
// the moment is proven to its end.
func (m *Medic) Pause(ctx context.Context, d time.Duration) error {
	return m.ask(ctx, wish{act: pausing, pause: d})
}

// SwitchOff asks for quiet until Resume.
func (m *Medic) SwitchOff(ctx context.Context) error { return m.ask(ctx, wish{act: switchingOff}) }

// Resume ends a pause.
func (m *Medic) Resume(ctx context.Context) error { return m.ask(ctx, wish{act: resuming}) }

// Try asks for the trial of a protocol. The answer comes when it has been looked
// whether it can be done: nil means that it has begun.
func (m *Medic) Try(ctx context.Context, p evidence.Protocol) error {
	return m.ask(ctx, wish{act: trying, protocol: p})
}

// Answer answers the question that stands, in the mode ask. What somebody who has left has said counts all the same.
func (m *Medic) Answer(ctx context.Context, question string, yes bool) error {
	return m.ask(ctx, wish{act: answering, question: question, yes: yes})
}

// ask hands a wish to the loop and waits for the answer. A policy.Refusal is a
// sentence for the person. When the context ends first, quiet is still given when its
// turn comes; a trial is not begun behind the back of somebody who has left.
func (m *Medic) ask(ctx context.Context, w wish) error {
	w.answer, w.gone = make(chan error, 1), ctx.Done()
	select {
	case m.wishes <- w:
	default:
		return errMany
	}
	m.Probe() // wishes are granted after a look
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// grant carries out the wishes that wait, with what was just seen. It stops at a
// trial, which is for the round to carry out, and gives the last decision; decided
// is false if there was nothing to decide.
func (m *Medic) grant(in policy.Sight) (dec policy.Decision, decided bool) {
	for {
		var w wish
		select {
		case w = <-m.wishes:
		default:
			return dec, decided
		}
		state, d, refused := m.decide(w, in)
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

func (m *Medic) decide(w wish, in policy.Sight) (policy.State, policy.Decision, error) {
	now, rules := time.Now(), m.set.Rules
	var state policy.State
	var dec policy.Decision
	switch w.act {
	case pausing:
		state, dec = rules.Pause(m.state, now, now.Add(w.pause))
	case switchingOff:
		state, dec = rules.SwitchOff(m.state, now)
	case resuming:
		state, dec = rules.Resume(m.state, now)
	case answering:
		return rules.Answer(m.state, now, w.question, w.yes)
	case trying:
		select {
		case <-w.gone:
			return state, dec, policy.Refusal{Because: policy.NobodyLeft}
		default:
			return rules.Try(m.state, now, in, w.protocol)
		}
	}
	return state, dec, nil
}
