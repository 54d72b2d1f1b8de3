package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// throughCore shows the sensors as plain states, for a while, after which a broker is
// asked for again. Such states are gone when Core restarts; so they are sent again
// and again, which Core does not count as a change.
func (e *Entities) throughCore(ctx context.Context, while time.Duration) error {
	until := time.NewTimer(while)
	defer until.Stop()
	again := time.NewTicker(min(e.Pace.Resend, while))
	defer again.Stop()
	told := map[string]string{} // by entity, what Core was told last
	e.sendStates(ctx, told, false)
	for {
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.Background(), farewell)
			defer cancel()
			e.sendStates(bye, nil, true)
			return nil
		case <-until.C:
			return nil
		case <-e.wake:
			e.sendStates(ctx, told, false)
		case <-again.C:
			clear(told)
			e.sendStates(ctx, told, false)
		case done := <-e.forget:
			err := e.deleteStates(ctx)
			done <- err
			if err == nil {
				return errForgotten
			}
		}
	}
}

// coreID is an entity's id among Core's states. It differs from the one that MQTT
// gives, so that an entity that came by MQTT later does not find its name taken.
func (e entity) coreID() string { return e.platform + ".tunnelmedic_" + e.key }

// plain are the entities that can be shown without a broker: the ones that only show.
func plain() []entity {
	var list []entity
	for _, e := range entities() {
		if e.command == "" {
			list = append(list, e)
		}
	}
	return list
}

// sendStates sends the states that differ from what Core was told, and notes what it is
// told; nil sends all.
func (e *Entities) sendStates(ctx context.Context, told map[string]string, gone bool) {
	e.mu.Lock()
	r, a, known := e.now, e.attrs, e.told
	e.mu.Unlock()
	if !known {
		return
	}
	var wg sync.WaitGroup
	for _, en := range plain() {
		state := r.state(en.key)
		if gone {
			state = "unavailable"
		}
		attrs := map[string]any{"friendly_name": "Tunnel Medic " + en.name(e.Voice.Lang())}
		for key, value := range map[string]string{"device_class": en.class, "unit_of_measurement": en.unit, "state_class": en.stateClass, "icon": en.icon} {
			if value != "" {
				attrs[key] = value
			}
		}
		if en.options != nil {
			attrs["options"] = en.options
		}
		if en.attributes && !gone {
			attrs["summary"], attrs["advice"], attrs["state"], attrs["remedy"] = e.Scrub(a.Summary), e.Scrub(strings.Join(a.Advice, "\n")), a.State, a.Remedy
		}
		raw, _ := json.Marshal([]any{state, attrs}) // texts and lists of them always marshal
		if told != nil && told[en.key] == string(raw) {
			continue
		}
		send := func() {
			ctx, cancel := context.WithTimeout(ctx, e.Pace.Publish)
			defer cancel()
			if err := e.Supervisor.SetState(ctx, en.coreID(), state, attrs); err != nil {
				e.Log.Debug().Err(err).Msg("A state was not sent.")
			} else if told != nil {
				told[en.key] = string(raw)
			}
		}
		if gone { // there is little time
			wg.Go(send)
		} else {
			send()
		}
	}
	wg.Wait()
}

// state is a reading as Core writes it.
func (r reading) state(key string) string {
	text := func(s *string) string {
		if s == nil {
			return "unknown"
		}
		return *s
	}
	switch key {
	case "connectivity":
		return strings.ToLower(text(r.Connectivity))
	case "diagnosis":
		return text(r.Diagnosis)
	case "protocol":
		return text(r.Protocol)
	case "last_cure":
		if r.LastCure != nil {
			return r.LastCure.Format(time.RFC3339)
		}
	case "probe_latency":
		if r.ProbeLatency != nil {
			return strconv.FormatInt(*r.ProbeLatency, 10)
		}
	case "restarts_24h":
		return strconv.Itoa(r.Restarts)
	}
	return "unknown"
}

// clearCore takes away the states of a time without a broker.
func (e *Entities) clearCore(ctx context.Context) {
	if err := e.deleteStates(ctx); err != nil {
		e.Log.Debug().Err(err).Msg("The plain states could not be removed.")
	}
}

func (e *Entities) deleteStates(ctx context.Context) error {
	var errs []error
	for _, en := range plain() {
		c, cancel := context.WithTimeout(ctx, e.Pace.Publish)
		errs = append(errs, e.Supervisor.DeleteState(c, en.coreID()))
		cancel()
	}
	return errors.Join(errs...)
}
