// Package notify tells the household: one persistent notification in Home
// Assistant, updated in place; notify services for what is worth a phone's sound;
// and an event on Core's bus for automations. It reads what the loop publishes and
// changes nothing.
package notify

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
)

// ID is the notification's id, and the event's type.
const ID = "tunnelmedic"

// Core is what it asks of Home Assistant.
type Core interface {
	CallService(ctx context.Context, domain, service string, data any) error
	FireEvent(ctx context.Context, event string, data any) error
}

const (
	callTimeout = 10 * time.Second
	retryEvery  = 15 * time.Second // while Core is down or starting
	maxWaiting  = 50               // events and calls kept while Core is away; the oldest go first
	quietTime   = 24 * time.Hour   // the same message does not ring twice within it
)

// Notifier passes the present state on to Home Assistant. Tell never blocks: what
// Core cannot take now is kept and sent when it can.
type Notifier struct {
	core     Core
	log      zerolog.Logger
	services []string
	scrub    func(string) string
	interval time.Duration // between probes while all is well: the measure of patience
	page     string        // the page's path in Home Assistant, "" if not known

	wake   chan struct{}
	warned map[string]bool // troubles that were said; Run's goroutine alone

	mu     sync.Mutex
	want   *notice // what should stand in Home Assistant; nil: nothing
	until  time.Time
	queue  []func(context.Context) error
	rung   map[string]time.Time // when phones rang for what
	last   policy.Phase
	behind bool // want differs from what stands there
	silent bool // nothing is to be told any more
}

// notice is a message for people. Its weight decides whether phones ring.
type notice struct {
	Title, Message string
	short          string // for phones, which show a line or two; "" is the message
	key            string // what it is about: the same key does not ring twice a day
	rings          bool
	closing        bool // a last word: it goes by itself
}

// New makes a notifier. services are notify services such as mobile_app_pixel;
// interval is the time between probes while all is well: what a person must mend is
// told when it has lasted half of it, and a closing word stands for five. Nothing
// is sent before Run.
func New(core Core, log zerolog.Logger, services []string, scrub func(string) string, interval time.Duration, page string) *Notifier {
	return &Notifier{core: core, log: log, services: services, scrub: scrub, interval: interval, page: page,
		wake: make(chan struct{}, 1), warned: map[string]bool{}, rung: map[string]time.Time{}, behind: true, last: policy.Starting}
}

// Tell takes the present status and what led to it.
func (n *Notifier) Tell(s medic.Status, steps []policy.Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent {
		return
	}
	if s.State != n.last {
		n.event(n.last, s)
		n.last = s.State
	}
	if s.Incident != nil && s.Healthy() && len(steps) == 0 {
		return // one good probe amid a fault is no news; its end is a step
	}
	now := time.Now()
	msg := compose(s, steps, now, n.interval/2)
	switch {
	case msg == nil && n.want != nil && n.want.closing && now.Before(n.until):
		return // the closing word stands for a while
	case msg == nil && n.want == nil:
		return
	case msg != nil && msg.key == recovered && n.want == nil:
		return // nobody was told of what has ended: a few lost probes, as a rule
	case msg != nil && n.want != nil && msg.Message == n.want.Message && msg.Title == n.want.Title:
		return
	}
	n.want, n.behind = msg, true
	if msg != nil {
		n.until = now.Add(5 * n.interval)
		maps.DeleteFunc(n.rung, func(_ string, at time.Time) bool { return now.Sub(at) >= quietTime })
		if _, lately := n.rung[msg.key]; msg.rings && !lately {
			n.rung[msg.key] = now
			n.ring(*msg)
		}
	}
	n.poke()
}

// event queues the change of state for Core's bus.
func (n *Notifier) event(from policy.Phase, s medic.Status) {
	data := map[string]any{"from": from, "to": s.State, "cause": s.Diagnosis.Cause, "protocol": s.Protocol.Setting,
		"transport": s.Protocol.Transport, "summary": n.scrub(s.Diagnosis.Summary)}
	if s.Incident != nil {
		data["incident"] = s.Incident.ID
	}
	n.enqueue(func(ctx context.Context) error { return n.core.FireEvent(ctx, ID, data) })
}

// ring queues the notify services.
func (n *Notifier) ring(m notice) {
	if m.short == "" {
		m.short = m.Message
	}
	for _, service := range n.services {
		data := map[string]any{"title": n.scrub(m.Title), "message": n.scrub(m.short)}
		if strings.HasPrefix(service, "mobile_app_") {
			// On the phone, too, the newest takes the place of the one before; a touch opens the page.
			extra := map[string]any{"tag": ID}
			if n.page != "" {
				extra["url"], extra["clickAction"] = n.page, n.page
			}
			data["data"] = extra
		}
		n.enqueue(func(ctx context.Context) error { return n.core.CallService(ctx, "notify", service, data) })
	}
}

func (n *Notifier) enqueue(f func(context.Context) error) {
	n.queue = append(n.queue, f)
	if len(n.queue) > maxWaiting {
		n.queue = n.queue[len(n.queue)-maxWaiting:]
	}
	n.poke()
}

func (n *Notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Forget takes the notification away and says nothing more.
func (n *Notifier) Forget(ctx context.Context) error {
	n.mu.Lock()
	n.silent, n.want, n.queue, n.behind = true, nil, nil, false
	n.mu.Unlock()
	return n.show(ctx, nil)
}

// Run sends until the context ends.
func (n *Notifier) Run(ctx context.Context) {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	for {
		wait := n.send(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// send makes Home Assistant's notification what it should be and empties the
// queue. It gives the time until it should be called again.
func (n *Notifier) send(ctx context.Context) time.Duration {
	n.mu.Lock()
	want, behind := n.want, n.behind
	if want != nil && want.closing && !time.Now().Before(n.until) {
		n.want, n.behind = nil, true
		want, behind = nil, true
	}
	queue := n.queue
	n.queue = nil
	until := n.until
	n.mu.Unlock()

	if behind {
		err := n.show(ctx, want)
		if err != nil && away(err) {
			n.log.Debug().Err(err).Msg("The notification could not be sent yet.")
			n.keep(queue)
			return retryEvery
		}
		if err != nil {
			n.refused(err)
		}
		n.mu.Lock()
		if n.want == want {
			n.behind = false
		}
		n.mu.Unlock()
	}
	for i, f := range queue {
		c, cancel := context.WithTimeout(ctx, callTimeout)
		err := f(c)
		cancel()
		if err == nil {
			continue
		}
		switch {
		case supervisor.EffectUnknown(err):
			// Twice the same sound on a phone is worse than none.
			n.log.Debug().Err(err).Msg("Whether Home Assistant was told is not known.")
		case away(err):
			n.log.Debug().Err(err).Msg("Home Assistant could not be told yet.")
			n.keep(queue[i:])
			return retryEvery
		default:
			n.refused(err)
		}
	}
	if want != nil && want.closing {
		return max(time.Until(until), time.Millisecond)
	}
	return time.Hour
}

// refused says, once, what Home Assistant would not take.
func (n *Notifier) refused(err error) {
	if n.warned[err.Error()] || len(n.warned) >= maxWaiting {
		return
	}
	n.warned[err.Error()] = true
	n.log.Warn().Err(err).Msg("Home Assistant would not take a message; if it names a notify service, check the option notify.")
}

// keep puts back what could not be sent, before what has come since.
func (n *Notifier) keep(rest []func(context.Context) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(rest[:len(rest):len(rest)], n.queue...)
	if len(n.queue) > maxWaiting {
		n.queue = n.queue[len(n.queue)-maxWaiting:]
	}
}

func (n *Notifier) show(ctx context.Context, m *notice) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if m == nil {
		return n.core.CallService(ctx, "persistent_notification", "dismiss", map[string]any{"notification_id": ID})
	}
	text := m.Message
	if n.page != "" {
		text += "\n\n[Open Tunnel Medic](" + n.page + ")"
	}
	return n.core.CallService(ctx, "persistent_notification", "create", map[string]any{
		"notification_id": ID, "title": n.scrub(m.Title), "message": n.scrub(text),
	})
}
