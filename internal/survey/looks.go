package survey

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// namesLimit bounds the question to the resolvers.
const namesLimit = 2500 * time.Millisecond

// public is the public name as it is to be asked now.
func (r *round) public() probe.Target {
	t := r.home.Public
	t.Timeout = r.patience(r.moment.Suspected)
	return t
}

// within is a target on the house's network.
func (r *round) within(t probe.Target) probe.Target {
	t.Net = r.home.Public.Net
	return t
}

// at is where Home Assistant listens, asked once a round.
func (r *round) at(ctx context.Context) tunnel.Home {
	if r.set.Supervisor == nil {
		return tunnel.Home{}
	}
	home := <-r.origin // whoever looks next waits for the answer of whoever asks
	defer func() { r.origin <- home }()
	if home == nil {
		asked := tunnel.HomeOf(ctx, r.set.Supervisor, r.set.OriginURL)
		home = &asked
	}
	return *home
}

// totals reads the connector's counters.
func (r *round) totals(ctx context.Context) *evidence.Counters {
	if !connectorKnown(r) {
		return nil
	}
	return r.home.Connector.Totals(ctx)
}

func lookUp(ctx context.Context, r *round) (fill, error) {
	t := r.public()
	t.Timeout = min(t.Timeout, namesLimit)
	var n evidence.Names
	var wg sync.WaitGroup
	wg.Go(func() { n.House = probe.Lookup(ctx, t) })
	if r.set.World != nil {
		outside := t
		outside.Outside = r.set.World
		wg.Go(func() { n.World = probe.Lookup(ctx, outside) })
	}
	wg.Wait()
	four, six := families(n)
	return func(s *Seen) {
		s.Names = n
		switch {
		case four && six:
			s.Network, s.Others = "tcp4", "tcp6"
		case four:
			s.Network = "tcp4"
		case six:
			s.Network = "tcp6"
		}
	}, nil
}

// families says which kinds of address the name has.
func families(n evidence.Names) (four, six bool) {
	for _, a := range slices.Concat(n.House.Addrs, n.World.Addrs) {
		if ip, err := netip.ParseAddr(a); err == nil {
			four, six = four || ip.Is4(), six || ip.Is6()
		}
	}
	return four, six
}

// lookPublic probes through the public name, as visitors see it. Whether our connector
// carried it shows in its totals just before and just after.
func lookPublic(ctx context.Context, r *round) (fill, error) {
	t, known := r.public(), r.soFar()
	t.Network = known.Network
	before := r.totals(ctx)
	l, names := r.way.Handshake(ctx, t, known.Names)
	after := r.totals(ctx)
	r.answered(l)
	if l.Stage > evidence.Asked && !r.moment.Whole {
		names = evidence.Names{} // the house's addresses are nobody's business but where they are missing
	}
	return func(s *Seen) {
		s.Public, s.Names = l, names
		s.Connector.Before, s.Connector.Counters = before, after
	}, nil
}

// lookOther shakes hands over the family of addresses that the probe did not use.
func lookOther(ctx context.Context, r *round) (fill, error) {
	t := r.way.Like(r.public())
	t.Network, t.Token = r.soFar().Others, nil // it is sent once
	l := probe.Handshake(ctx, t)
	return func(s *Seen) { s.Other = l }, nil
}

func lookPage(ctx context.Context, r *round) (fill, error) {
	l := probe.Page(ctx, r.way.Like(r.public()))
	after := r.totals(ctx)
	return func(s *Seen) { s.Page, s.Connector.AfterPage = l, after }, nil
}

// lookDirect shakes hands with Home Assistant itself, past the tunnel.
func lookDirect(ctx context.Context, r *round) (fill, error) {
	at := r.at(ctx).URL
	if at == nil {
		return nil, nil
	}
	l := probe.Handshake(ctx, r.within(probe.DirectTarget(at, r.set.Timeout, r.home.Public.Keeper)))
	return func(s *Seen) { s.Direct = l }, nil
}

// lookService asks where the tunnel leads, and shakes hands there where that is not Home
// Assistant itself.
func lookService(ctx context.Context, r *round) (fill, error) {
	name := r.home.Public.URL
	route, u := r.home.Connector.Route(ctx, name.Hostname(), r.at(ctx))
	var l evidence.Look
	if u != nil {
		l = probe.Handshake(ctx, r.within(probe.ServiceTarget(u, name, r.set.Timeout, r.home.Public.Keeper)))
	}
	return func(s *Seen) { s.Connector.Route, s.Service = route, l }, nil
}

func lookAddOn(ctx context.Context, r *round) (fill, error) {
	if r.home.Slug == "" {
		return lookForAny(ctx, r)
	}
	i, err := r.set.Supervisor.Info(ctx, r.home.Slug)
	r.away(err)
	if err != nil {
		return nil, err
	}
	a := i.Evidence()
	if p, err := tunnel.ProtocolOf(i.Options); err == nil && i.OptionsError == nil && i.Installed() {
		a.Protocol, a.ProtocolKnown = p, true
		a.Grace = tunnel.GraceOf(i.Options)
	}
	return func(s *Seen) { s.Info, s.AddOn = &i, a }, nil
}

// lookForAny tells an app that is not installed from one that could not be found.
func lookForAny(ctx context.Context, r *round) (fill, error) {
	list, err := r.set.Supervisor.AddOns(ctx)
	r.away(err)
	if err != nil || slices.ContainsFunc(list, func(a supervisor.AddOn) bool { return strings.HasSuffix(a.Slug, tunnel.Suffix) }) {
		return nil, err
	}
	return func(s *Seen) { s.AddOn = evidence.AddOn{Asked: true, Slug: tunnel.Suffix[1:]} }, nil
}

// lookStart asks whether the app could start now: its start script needs Cloudflare's API
// unless the tunnel is managed there.
func lookStart(ctx context.Context, r *round) (fill, error) {
	could := evidence.On
	if !supervisor.Managed(r.soFar().Info.Options) && r.set.Cloudflare.Answers(ctx) != nil {
		could = evidence.Off
	}
	return func(s *Seen) { s.AddOn.Startable = could }, nil
}

func lookConnector(ctx context.Context, r *round) (fill, error) {
	c := r.home.Connector.Inspect(ctx, r.seen.At)
	return func(s *Seen) {
		// Others have seen to these.
		c.Before, c.Counters, c.AfterPage, c.Route = s.Connector.Before, s.Connector.Counters, s.Connector.AfterPage, s.Connector.Route
		s.Connector = c
	}, nil
}

// lookQUIC asks the edge whether the tunnel could connect over QUIC.
func lookQUIC(ctx context.Context, r *round) (fill, error) {
	edges := tunnel.QUICEdges(r.soFar().Connector, r.set.Edge, r.set.ConnectorURL)
	if len(edges) == 0 {
		edges = r.edges
	}
	if len(edges) == 0 {
		return nil, nil
	}
	ask := r.set.QUIC
	if ask == nil {
		ask = probe.Edge{Roots: r.home.Public.RootCAs}.QUIC
	}
	l := ask(ctx, edges...)
	if !l.Done() {
		return nil, nil
	}
	return func(s *Seen) { s.QUIC = l }, nil
}

// lookLog reads the app's log. Without it there are no signs; that Supervisor is away is
// noted elsewhere.
func lookLog(ctx context.Context, r *round) (fill, error) {
	now, since := time.Now(), r.edgeSince
	if r.moment.Whole {
		since = time.Time{} // nobody has watched until now, and nobody reads on: all of it counts
	}
	text, err := r.set.Supervisor.Log(ctx, r.home.Slug)
	if err != nil {
		return nil, err
	}
	l := tunnel.ReadLog(text, now, since)
	return func(s *Seen) { s.Log = l }, nil
}

func lookCore(ctx context.Context, r *round) (fill, error) {
	c, err := r.set.Supervisor.CoreState(ctx)
	r.away(err)
	if err == nil && c.Status != http.StatusOK {
		c.Runs = r.set.Supervisor.CoreRuns(ctx)
	}
	if i, err := r.set.Supervisor.CoreInfo(ctx); err == nil {
		i.Into(&c)
	}
	return func(s *Seen) { s.Core = c }, err
}

// lookCoreLog reads what Home Assistant itself says of requests that it refused.
func lookCoreLog(ctx context.Context, r *round) (fill, error) {
	text, err := r.set.Supervisor.CoreLog(ctx)
	if err != nil {
		return nil, err
	}
	l := ReadCoreLog(text, time.Now(), r.home.Location)
	return func(s *Seen) { s.CoreLog = l }, nil
}

func lookInternet(ctx context.Context, r *round) (fill, error) {
	i, err := r.set.Supervisor.Network(ctx)
	r.away(err)
	return func(s *Seen) { s.Internet = i }, err
}
