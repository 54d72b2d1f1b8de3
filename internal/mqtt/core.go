package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/supervisor"
)

// mirror shows the board as plain states of Core's, where there is no broker. Such states are gone
// when Core restarts. They are sent when they change; that Core has forgotten them, its answer to
// the next one says.
type mirror struct {
	*board
	super Supervisor
	log   zerolog.Logger
	pace  Pace
	told  map[string]string // by entity, what Core has
	last  time.Time         // when Core took one
}

// stale is what an entity holds whose state is sent to see whether Core still has it.
const stale = "stale"

// show shows the sensors for a while, or until another app runs, after which a broker is asked for again.
func (m *mirror) show(ctx context.Context, while time.Duration, another func() bool, forget chan chan error) error {
	until := time.NewTimer(while)
	defer until.Stop()
	again := time.NewTicker(min(m.pace.Resend/2, while))
	defer again.Stop()
	m.send(ctx)
	for {
		select {
		case <-ctx.Done():
			m.leave()
			return nil
		case <-until.C:
			return nil
		case <-m.wake:
			m.send(ctx)
		case now := <-again.C:
			if another() {
				return nil
			}
			if now.Sub(m.last) >= m.pace.Resend { // nothing that changed has asked Core
				m.told[shown()[0].key] = stale
			}
			m.send(ctx)
		case done := <-forget:
			err := m.clear(ctx)
			done <- err
			if err == nil {
				return errForgotten
			}
		}
	}
}

// shown are the entities that can be had without a broker: the ones that only show.
var shown = sync.OnceValue(func() []entity {
	var list []entity
	for _, e := range entities() {
		if e.value != nil && e.command == "" && e.attributes != foundTopic { // which a button fills
			list = append(list, e)
		}
	}
	return list
})

// states are what Core is to be told, by entity.
func (m *mirror) states() map[string]coreState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.board.told {
		return nil
	}
	states := map[string]coreState{}
	for _, e := range shown() {
		s := coreState{State: written(e.value(m.view)), Attributes: e.plain()}
		s.Attributes["friendly_name"] = "Tunnel Medic " + e.name(m.voice.Lang())
		if e.attributes != "" {
			a := m.attributes()
			maps.Copy(s.Attributes, map[string]any{"summary": m.scrub(a.Summary), "advice": m.scrub(strings.Join(a.Advice, "\n")), "state": a.State, "remedy": a.Remedy})
		}
		states[e.key] = s
	}
	return states
}

type coreState struct {
	State      string
	Attributes map[string]any
}

// send sends the states that differ from what Core has; all, where Core turns out to have forgotten
// one.
func (m *mirror) send(ctx context.Context) {
	states := m.states()
	for range 2 {
		forgotten := false
		for _, e := range shown() {
			s, known := states[e.key]
			raw, _ := json.Marshal(s) // texts and lists of them always marshal
			was := m.told[e.key]
			if !known || was == string(raw) {
				continue
			}
			made, err := m.set(ctx, e, s)
			if err != nil {
				m.log.Debug().Err(err).Msg("A state was not sent.")
				if supervisor.Is(err, supervisor.Away) || supervisor.Is(err, supervisor.CoreAway) {
					return // nor would the others be
				}
				continue
			}
			if made && was != "" {
				forgotten = true
				clear(m.told)
			}
			m.told[e.key], m.last = string(raw), time.Now()
		}
		if !forgotten {
			return
		}
	}
}

func (m *mirror) set(ctx context.Context, e entity, s coreState) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.pace.Publish)
	defer cancel()
	return m.super.SetState(ctx, e.coreID(), s.State, s.Attributes)
}

// leave says the last word; there is little time.
func (m *mirror) leave() {
	bye, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	states := m.states()
	var wg sync.WaitGroup
	for _, e := range shown() {
		if s, known := states[e.key]; known {
			s.State = "unavailable"
			for _, own := range []string{"summary", "advice", "state", "remedy"} {
				delete(s.Attributes, own)
			}
			wg.Go(func() { _, _ = m.set(bye, e, s) })
		}
	}
	wg.Wait()
}

// clear takes the states away.
func (m *mirror) clear(ctx context.Context) error {
	var errs []error
	for _, e := range shown() {
		c, cancel := context.WithTimeout(ctx, m.pace.Publish)
		errs = append(errs, m.super.DeleteState(c, e.coreID()))
		cancel()
	}
	clear(m.told)
	return errors.Join(errs...)
}
