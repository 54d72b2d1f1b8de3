package notify

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/supervisor"
)

// call is a service (an action) of Core's, or, without a domain, an event on its bus.
type call struct {
	domain, name string
	data         map[string]any
}

// create writes a notification, in the place of the one that has its id.
func create(id, title, message string) call {
	return call{"persistent_notification", "create", map[string]any{"notification_id": id, "title": title, "message": message}}
}

func dismiss(id string) call {
	return call{"persistent_notification", "dismiss", map[string]any{"notification_id": id}}
}

// outbox are the calls that wait for Home Assistant, the oldest first.
type outbox struct {
	core   Core
	log    zerolog.Logger
	wake   chan struct{}
	warned map[string]bool // troubles that were said; Run's goroutine alone

	waits   sync.Mutex
	waiting []call
}

func (o *outbox) make(ctx context.Context, c call) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.domain == "" {
		return o.core.FireEvent(ctx, c.name, c.data)
	}
	return o.core.CallService(ctx, c.domain, c.name, c.data)
}

func (o *outbox) add(c call) {
	o.take(func(waiting []call) []call { return append(waiting, c) })
	o.poke()
}

// drop empties it.
func (o *outbox) drop() (was []call) {
	o.take(func(waiting []call) []call { was = waiting; return nil })
	return was
}

// take changes what waits; the oldest go first where it is too much.
func (o *outbox) take(change func([]call) []call) {
	o.waits.Lock()
	defer o.waits.Unlock()
	now := change(o.waiting)
	o.waiting = now[max(0, len(now)-maxWaiting):]
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// deliver makes the calls; false is that the rest of them waits for Home Assistant.
func (o *outbox) deliver(ctx context.Context) bool {
	queue := o.drop()
	for i, c := range queue {
		err := o.make(ctx, c)
		switch {
		case err == nil:
		case supervisor.EffectUnknown(err):
			// Twice the same sound on a phone is worse than none.
			o.log.Debug().Err(err).Msg("Whether Home Assistant was told is not known.")
		case away(err):
			o.log.Debug().Err(err).Msg("Home Assistant could not be told yet.")
			o.take(func(since []call) []call { return slices.Concat(queue[i:], since) })
			return false
		default:
			o.refused(err)
		}
	}
	return true
}

// refused says, once, what Home Assistant would not take.
func (o *outbox) refused(err error) {
	if o.warned[err.Error()] || len(o.warned) >= maxWaiting {
		return
	}
	o.warned[err.Error()] = true
	o.log.Warn().Err(err).Msg("Home Assistant would not take a message; if it names a notify service, check the option notify.")
}

// away says whether a message may be taken later.
func away(err error) bool {
	return supervisor.Is(err, supervisor.Away) || supervisor.Is(err, supervisor.CoreAway) || supervisor.Is(err, supervisor.Interrupted)
}

// pace is how often something happened lately.
type pace struct{ at []time.Time }

// take says whether it may happen now, at most so many times within a span, and notes
// that it does.
func (p *pace) take(now time.Time, span time.Duration, most int) bool {
	if p.wait(now, span, most) > 0 {
		return false
	}
	p.at = append(p.at, now)
	return true
}

// wait gives how long it must wait.
func (p *pace) wait(now time.Time, span time.Duration, most int) time.Duration {
	for len(p.at) > 0 && now.Sub(p.at[0]) >= span {
		p.at = p.at[1:]
	}
	if len(p.at) < most {
		return 0
	}
	return p.at[0].Add(span).Sub(now)
}
