package medic

import (
	"sync/atomic"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/sensor"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
)

// app is what is watched and treated. Its zero target is none.
type app struct {
	set     *Settings
	super   Supervisor
	journal *journal.Journal
	log     zerolog.Logger

	target    tunnel.Target
	connector *tunnel.Connector    // nil: none
	theirs    *tunnel.Connector    // for others: a connector remembers what it was asked
	treat     *treatment.Treatment // nil: none
	sense     sensor.Sensor

	shown atomic.Pointer[watched] // for others
}

// watched is what others are told of it.
type watched struct {
	target    tunnel.Target
	connector *tunnel.Connector
}

// attach takes a target for the one to watch and to treat. moved says that its address is
// another than before.
func (a *app) attach(t tunnel.Target) (moved bool) {
	if a.connector == nil || t.Slug != a.target.Slug || t.Hostname != a.target.Hostname {
		if a.connector != nil {
			a.connector.HangUp()
		}
		a.connector, a.theirs = a.connectorFor(t), a.connectorFor(t)
		a.treat = &treatment.Treatment{Supervisor: a.super, Connector: a.connector, Cloudflare: a.set.Cloudflare, Diary: a.journal, Log: a.log, Patience: a.set.Patience}
		a.sense = sensor.Sensor{}
	}
	moved = a.target.URL == nil || t.URL == nil || a.target.URL.Host != t.URL.Host
	a.target = t
	a.shown.Store(&watched{t, a.theirs})
	return moved
}

// detach leaves nothing to watch.
func (a *app) detach() {
	if a.connector != nil {
		a.connector.HangUp()
	}
	a.target, a.connector, a.treat = tunnel.Target{}, nil, nil
	a.shown.Store(nil)
}

func (a *app) connectorFor(t tunnel.Target) *tunnel.Connector {
	return tunnel.ConnectorOf(t, a.set.ConnectorURL).Over(a.set.Public.Net)
}

// address is Home Assistant's public address, "" while it is not known.
func (a *app) address() string {
	if a.target.URL == nil {
		return ""
	}
	return a.target.URL.String()
}

// subject is what there is to ask about.
func (a *app) subject() subject {
	s := subject{slug: a.target.Slug, connector: a.connector}
	if a.target.URL != nil {
		s.host = a.target.URL.Hostname()
	}
	return s
}
