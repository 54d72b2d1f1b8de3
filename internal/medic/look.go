package medic

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// controlTimeout bounds Supervisor's part of the controls: evidence is of one
// moment, and a Supervisor that takes longer counts as away.
const controlTimeout = 15 * time.Second

// look probes, and, if the probe fails or a decision hangs on it, looks everywhere
// else at the same moment.
func (m *Medic) look(ctx context.Context) (evidence.Evidence, *supervisor.Info) {
	e := evidence.Evidence{At: time.Now()}
	e.Public = m.public(ctx)
	controls := !e.Public.Healthy()

	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	var mu sync.Mutex // guards e and info below while the looks run
	var wg sync.WaitGroup
	var info *supervisor.Info
	away := func(err error) {
		if why := supervisor.WhyAway(err); why != "" {
			mu.Lock()
			e.SupervisorAway = why
			mu.Unlock()
		}
	}
	side := func(f func()) {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil { // a look that fails has seen nothing; the others have
					m.log.Error().Msg(describe(r))
				}
			}()
			f()
		})
	}
	side(func() {
		i, err := m.super.Info(ctx, m.target.Slug)
		away(err)
		if err == nil {
			mu.Lock()
			info, e.AddOn = &i, i.Evidence()
			mu.Unlock()
		}
	})
	side(func() {
		c := m.connector.Inspect(ctx, e.At)
		mu.Lock()
		e.Connector = c
		mu.Unlock()
	})
	if controls {
		side(func() {
			l := probe.Page(ctx, m.publicTarget(m.outside))
			mu.Lock()
			e.Page = l
			mu.Unlock()
		})
		side(func() {
			l := m.direct(ctx)
			mu.Lock()
			e.Direct = l
			mu.Unlock()
		})
		side(func() {
			c, err := m.super.CoreState(ctx)
			away(err)
			mu.Lock()
			e.Core = c
			mu.Unlock()
		})
		side(func() {
			i, err := m.super.Network(ctx)
			away(err)
			mu.Lock()
			e.Internet = i
			mu.Unlock()
		})
	}
	wg.Wait()
	return e, info
}

// public probes through the public name. An answer that did not come from
// Cloudflare makes it look the name up outside the house and dial there; where
// that is not to be had, the first answer stands.
func (m *Medic) public(ctx context.Context) evidence.Look {
	if m.outside {
		if l := probe.Handshake(ctx, m.publicTarget(true)); l.Stage > evidence.Asked || l.Trouble == evidence.Interrupted {
			return l
		}
	}
	l := probe.Handshake(ctx, m.publicTarget(false))
	was := m.outside
	m.outside = false
	if l.Stage < evidence.Answered || l.CFRay() != "" || m.set.Outside == nil || ctx.Err() != nil {
		return l
	}
	if o := probe.Handshake(ctx, m.publicTarget(true)); o.Stage >= evidence.Answered && o.CFRay() != "" || o.Stage >= evidence.Connected && o.Addr != l.Addr {
		if !was {
			m.log.Info().Msg("At home the public name leads straight to Home Assistant; from now on it is looked up outside the house.")
		}
		m.outside = true
		return o
	}
	return l
}

func (m *Medic) publicTarget(outside bool) probe.Target {
	t := m.set.Public
	t.URL = m.target.URL
	if outside {
		t.Outside = m.set.Outside
	}
	return t
}

// direct shakes hands with Home Assistant itself, past the tunnel.
func (m *Medic) direct(ctx context.Context) evidence.Look {
	origin := m.set.OriginURL
	if origin == "" {
		info, err := m.super.CoreInfo(ctx)
		if err != nil {
			return evidence.Look{}
		}
		origin = originOf(info)
	}
	u, err := url.Parse(origin)
	if err != nil {
		return evidence.Look{Stage: evidence.Asked, Trouble: evidence.Unusable, Detail: "the address of Home Assistant is not a URL"}
	}
	return probe.Handshake(ctx, probe.DirectTarget(u, m.set.Timeout, m.set.Public.Keeper))
}

// originOf gives Home Assistant's address on the internal network: "homeassistant"
// is its name there in every installation.
func originOf(c supervisor.CoreInfo) string {
	scheme := "http"
	if c.SSL {
		scheme = "https"
	}
	port := c.Port
	if port == 0 {
		port = 8123
	}
	return scheme + "://" + net.JoinHostPort("homeassistant", strconv.Itoa(port))
}

// sight puts the evidence into what the policy asks for.
func (m *Medic) sight(e evidence.Evidence, info *supervisor.Info, d diagnosis.Diagnosis) policy.Sight {
	s := policy.Sight{
		Vote: d.Says(), Cause: d.Cause, Remedy: d.Remedy, Blind: m.blind,
		Transport: e.Connector.Transport, Uptime: e.Connector.ObservedUp,
		ThroughCloudflare: e.Public.CFRay() != "",
		DirectWorks:       e.Direct.Healthy() || e.Public.Healthy(),
		Internet:          e.Internet,
	}
	if info != nil && info.OptionsError == nil && info.Installed() {
		p, err := tunnel.ProtocolOf(info.Options)
		s.Setting, s.SettingKnown = p, err == nil
		s.SecretAtRisk = info.Options.HoldsSecretReference()
		s.SupervisorFree = info.State == evidence.StateStarted
		m.warnOnce(err)
	} else if info != nil {
		m.warnOnce(info.OptionsError)
	}
	return s
}
