package medic

import (
	"context"
	"net/http"
	"net/url"
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

// logEvery is how many bursts lie between two readings of the connector's log: it is
// up to 256 KiB.
const logEvery = 3

// look probes, and, if the probe fails or a decision hangs on it, looks everywhere
// else at the same moment.
func (m *Medic) look(ctx context.Context) (evidence.Evidence, *supervisor.Info) {
	e := evidence.Evidence{At: time.Now()}
	before := m.connector.Totals(ctx)
	e.Public, e.Names = m.public(ctx)
	after := m.connector.Totals(ctx)
	controls, page := !e.Public.Healthy(), m.way.Like(m.publicTarget())
	m.answeredSince(e.Public)

	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	var mu sync.Mutex // guards e and info below while the looks run
	var wg sync.WaitGroup
	var info *supervisor.Info
	var route evidence.Route
	due := m.failbackDue(e.At)
	m.refused = false
	away := func(err error) {
		if supervisor.Is(err, supervisor.Unauthorised) {
			mu.Lock()
			m.refused = true
			mu.Unlock()
		}
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
			startable := evidence.NotKnown
			if controls || due {
				startable = m.startable(ctx, e.At, i, due)
			}
			mu.Lock()
			info, e.AddOn = &i, i.Evidence()
			e.AddOn.Startable = startable
			if p, err := tunnel.ProtocolOf(i.Options); err == nil && i.OptionsError == nil && i.Installed() {
				e.AddOn.Protocol, e.AddOn.ProtocolKnown = p, true
			}
			mu.Unlock()
		}
	})
	side(func() {
		c := m.connector.Inspect(ctx, e.At)
		mu.Lock()
		e.Connector = c
		mu.Unlock()
	})
	if controls || due {
		side(func() {
			l := m.quic(ctx)
			mu.Lock()
			e.QUIC = l
			mu.Unlock()
		})
	}
	if controls {
		// Two of the looks need it: it is asked for once. They wait on a channel, since time
		// in a test's bubble stands still for who waits on a lock.
		asked := make(chan struct{})
		var found tunnel.Home
		side(func() {
			defer close(asked)
			found = tunnel.HomeOf(ctx, m.super, m.set.OriginURL)
		})
		home := func() tunnel.Home { <-asked; return found }
		side(func() {
			l := probe.Page(ctx, page)
			mu.Lock()
			e.Page = l
			mu.Unlock()
		})
		side(func() {
			l := m.direct(ctx, home().URL)
			mu.Lock()
			e.Direct = l
			mu.Unlock()
		})
		side(func() {
			r, l := m.service(ctx, home())
			mu.Lock()
			route, e.Service = r, l
			mu.Unlock()
		})
		side(func() {
			l := m.readLog(ctx, e.Public)
			mu.Lock()
			e.Log = l
			mu.Unlock()
		})
		if refused(e.Public) {
			side(func() {
				l := m.coreLog(ctx, time.Now(), coreLogBursts*m.set.Rules.Burst)
				mu.Lock()
				e.CoreLog = l
				mu.Unlock()
			})
		}
		side(func() {
			c, err := m.super.CoreState(ctx)
			away(err)
			if err == nil && c.Status != http.StatusOK {
				c.Runs = m.super.CoreRuns(ctx)
			}
			if i, err := m.super.CoreInfo(ctx); err == nil {
				i.Into(&c)
			}
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
	e.Connector.Route = route
	// Whether our connector carried the probe shows in its totals just before and just
	// after it, and whether it carried the page, in those after all.
	e.Connector.Before, e.Connector.Counters = before, after
	if controls {
		e.Connector.AfterPage = m.connector.Totals(ctx)
	}
	e.Zone = m.zone(e.At)
	m.remember(&e)
	return e, info
}

// public probes through the public name, as visitors see it.
func (m *Medic) public(ctx context.Context) (evidence.Look, evidence.Names) {
	l, names := m.way.Handshake(ctx, m.publicTarget(), evidence.Names{})
	if n := m.way.Note(); n.Warning {
		m.log.Warn().Msg(n.Text)
	} else if n.Text != "" {
		m.log.Info().Msg(n.Text)
	}
	if l.Stage > evidence.Asked {
		names = evidence.Names{} // the house's addresses are nobody's business but where they are missing
	}
	return l, names
}

func (m *Medic) publicTarget() probe.Target {
	t := m.set.Public
	t.URL, t.Timeout = m.target.URL, m.limit()
	if !m.target.Trusted {
		return t.Bare()
	}
	return t
}

// within is a target on the house's network.
func (m *Medic) within(t probe.Target) probe.Target {
	t.Net = m.set.Public.Net
	return t
}

// direct shakes hands with Home Assistant itself, past the tunnel.
func (m *Medic) direct(ctx context.Context, origin *url.URL) evidence.Look {
	if origin == nil {
		return evidence.Look{}
	}
	return probe.Handshake(ctx, m.within(probe.DirectTarget(origin, m.set.Timeout, m.set.Public.Keeper)))
}

// service asks where the tunnel leads, and shakes hands there where that is not Home
// Assistant itself.
func (m *Medic) service(ctx context.Context, home tunnel.Home) (evidence.Route, evidence.Look) {
	r, u := m.connector.Route(ctx, m.target.URL.Hostname(), home)
	if u == nil {
		return r, evidence.Look{}
	}
	return r, probe.Handshake(ctx, m.within(probe.ServiceTarget(u, m.target.URL, m.set.Timeout, m.set.Public.Keeper)))
}

// quic asks whether the tunnel could connect over QUIC, where it does not show that by
// using it.
func (m *Medic) quic(ctx context.Context) evidence.Look {
	if m.state.Transport == evidence.OverQUIC || len(m.edges) == 0 {
		return evidence.Look{}
	}
	if !m.quicSaid.Done() || time.Since(m.quicSaid.At) >= quicEvery {
		m.quicSaid = m.set.QUIC(ctx, m.edges...)
	}
	return m.quicSaid
}

// failbackDue says whether the return to the user's own setting is due: then what it
// hangs on is looked at in health, too.
func (m *Medic) failbackDue(now time.Time) bool {
	f := m.state.Failback
	return f != nil && m.state.Trial == nil && !now.Before(f.Due) && m.set.Rules.Quiet(now)
}

// startEvery is how long Cloudflare's word that its API answers counts. Before a restart
// it is asked anew.
const startEvery = 30 * time.Second

// startable asks whether the app could start now, where something may hang on it: its
// start script needs Cloudflare's API unless the tunnel is managed there.
func (m *Medic) startable(ctx context.Context, now time.Time, i supervisor.Info, due bool) evidence.Switch {
	wanted := m.state.Incident != nil || due || i.State == evidence.StateError || m.state.Felled || m.state.Trouble.Restarts()
	switch {
	case i.OptionsError != nil || m.set.Cloudflare == nil:
		return evidence.NotKnown
	case supervisor.Managed(i.Options):
		return evidence.On
	case !wanted:
		return evidence.NotKnown
	case m.startSaid != evidence.NotKnown && now.Sub(m.startAsked) < startEvery && !now.Before(m.startAsked):
		return m.startSaid
	}
	m.startSaid, m.startAsked = evidence.On, now
	if err := m.set.Cloudflare.Answers(ctx); err != nil {
		m.startSaid = evidence.Off
	}
	return m.startSaid
}

// readLog reads the connector's log where the connector may be at fault, and at most
// every few seconds: while something is suspected, a look follows a look.
func (m *Medic) readLog(ctx context.Context, public evidence.Look) evidence.Log {
	if public.Status != 0 && public.Status < 500 && public.Status != http.StatusSwitchingProtocols {
		return evidence.Log{}
	}
	now := time.Now()
	if now.Sub(m.logRead) < logEvery*m.set.Rules.Burst {
		return m.logSaid
	}
	text, err := m.super.Log(ctx, m.target.Slug)
	if err != nil {
		return evidence.Log{} // no log, no signs; Supervisor's being away is noted elsewhere
	}
	m.logRead, m.logSaid = now, tunnel.ReadLog(text, now, m.edgeSince)
	return m.logSaid
}

// sight puts the evidence into what the policy asks for.
func (m *Medic) sight(e evidence.Evidence, info *supervisor.Info, d diagnosis.Diagnosis) policy.Sight {
	s := policy.Sight{
		Vote: d.Says(), Cause: d.Cause, Remedy: d.Remedy, Blind: m.blind,
		Transport: e.Connector.Transport, Running: e.Connector.Running, State: e.AddOn.State, Startable: e.AddOn.Startable,
		// A handshake that hangs has no answer to bear a cf-ray; that of the page at the same moment then tells the way.
		ThroughCloudflare: e.Public.CFRay() != "" || e.Public.Stage < evidence.Answered && e.Page.CFRay() != "",
		DirectWorks:       e.Direct.Healthy() || e.Public.Healthy(),
		Internet:          e.Internet,
		QUIC:              e.QUIC.QUICPasses(),
		Unkept:            m.journal.Trouble().Err != nil,
		InUse:             e.Connector.Before != nil && e.Connector.Before.Concurrent > 0,
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
