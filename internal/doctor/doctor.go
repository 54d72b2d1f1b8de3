// Package doctor makes every look once, side by side, and lays out what was asked,
// what came, what it means and what to do. Inside Home Assistant it looks from all
// sides; anywhere else it makes the looks that anyone with a tunnel can make.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// Bounds in time: names, then the probe, then the rest, stay under 15 s together.
const (
	namesTimeout = 2500 * time.Millisecond
	lookTimeout  = 5 * time.Second
	// expirySoon is when a certificate's end is worth a word.
	expirySoon = 14 * 24 * time.Hour
)

// Supervisor is what the doctor asks of the Supervisor.
type Supervisor interface {
	tunnel.Source
	CoreState(context.Context) (evidence.Core, error)
	CoreInfo(context.Context) (supervisor.CoreInfo, error)
	CoreRuns(context.Context) evidence.Switch
	Network(context.Context) (evidence.Internet, error)
	Log(ctx context.Context, slug string) (string, error)
	CoreLog(ctx context.Context) (string, error)
	SystemInfo(context.Context) (supervisor.System, error)
}

// House is what can be asked inside Home Assistant only.
type House struct {
	Supervisor   Supervisor
	Wish         tunnel.Wish
	ConnectorURL string         // "": by the add-on's host name
	OriginURL    string         // "": from Core's info
	Edge         netip.AddrPort // asked over QUIC; not valid: the edges that the connector is connected to
	// QUIC asks them; nil: as package probe does.
	QUIC func(ctx context.Context, edges ...netip.AddrPort) evidence.Look
	// Memory says what earlier probes of a host name showed; nil: nobody kept count.
	Memory func(host string) evidence.Memory
	Zone   evidence.Zone // Cloudflare's own word, where somebody asked
	// Location is the home's time zone; nil: Supervisor is asked.
	Location *time.Location
}

// Place is what to look at, and from where.
type Place struct {
	Public  probe.Target    // URL nil: found by House; its network is that of all looks
	Outside *probe.Resolver // nil: names are not looked up outside
	House   *House          // nil: outside Home Assistant
	Notes   []string        // what the reader should know of how this was set up
}

// Verdict is what a row means.
type Verdict string

const (
	Good   Verdict = "ok"
	Bad    Verdict = "bad"
	Unsure Verdict = "?"
	Beside Verdict = "–" // it bears on nothing here
)

// Row is one look: which component was asked what, what came, what it means, and
// what to do about it, "" where there is nothing.
type Row struct {
	Component string        `json:"component"`
	Asked     string        `json:"asked"`
	Came      string        `json:"came"`
	Verdict   Verdict       `json:"verdict"`
	Do        string        `json:"do,omitempty"`
	Took      time.Duration `json:"took_ns"`
}

// Report is everything seen, and what it amounts to.
type Report struct {
	At       time.Time           `json:"at"`
	Took     time.Duration       `json:"took_ns"`
	URL      string              `json:"url"`
	Notes    []string            `json:"notes,omitempty"`
	Rows     []Row               `json:"rows"`
	Cause    diagnosis.Cause     `json:"cause"`
	Remedy   diagnosis.Remedy    `json:"remedy"`
	Summary  string              `json:"summary"`
	Advice   []string            `json:"advice,omitempty"`
	Rests    string              `json:"rests"`
	Docs     string              `json:"docs"`
	Seen     map[string]string   `json:"seen"`
	Curl     []string            `json:"curl,omitempty"` // the same looks outside this program
	Refused  bool                `json:"token_refused,omitempty"`
	Code     int                 `json:"exit_code"`
	Evidence []evidence.Evidence `json:"-"`
}

// Exit codes.
const (
	Healthy  = 0
	Ill      = 1
	CantTell = 2
)

// Examine makes every look once. done is told each row as it is finished, from
// several goroutines one at a time; it may be nil. An error is one line that says
// what to write instead: nothing was looked at then.
func Examine(ctx context.Context, p Place, done func(Row)) (Report, error) {
	x := &examination{place: p, done: done, e: evidence.Evidence{At: time.Now()}, rows: map[int]Row{}}
	x.notes = slices.Clone(p.Notes)
	if err := x.find(ctx); err != nil {
		return Report{}, err
	}
	x.way.World = x.place.Outside
	x.look(ctx)
	return x.report(), nil
}

// examination is one run of all looks.
type examination struct {
	place  Place
	target tunnel.Target
	conn   *tunnel.Connector
	home   tunnel.Home
	done   func(Row)
	notes  []string
	found  error // why the house's tunnel was not found
	e      evidence.Evidence
	other  evidence.Look // the handshake over the other family
	others string        // which one that is
	way    survey.Way    // to the public name

	mu   sync.Mutex // guards rows and the fields of e while looks run side by side
	rows map[int]Row
}

// The rows' places in the table.
const (
	rowHouseName = iota
	rowWorldName
	rowPublic
	rowOther
	rowCertificate
	rowPage
	rowFrontend
	rowDirect
	rowService
	rowAddOn
	rowConnector
	rowQUIC
	rowCarried
	rowLog
	rowCore
	rowCoreLog
	rowInternet
	rowSupervisor
	rowsInAll
)

// find says what is to be looked at. A public address of the user's own choice that
// is not the watched tunnel's is looked at from outside only, and no secret is sent
// there.
func (x *examination) find(ctx context.Context) error {
	h := x.place.House
	if h == nil {
		if x.place.Public.URL == nil {
			return errors.New("outside Home Assistant the address is needed: tunnelmedic doctor --url https://ha.example.com")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	t, err := tunnel.Find(ctx, h.Supervisor, h.Wish, func(t tunnel.Target) *tunnel.Connector {
		x.conn = x.connector(t)
		return x.conn
	})
	x.target, x.found = t, err
	if t.Slug != "" || h.ConnectorURL != "" {
		x.conn = x.connector(t)
	}
	if len(t.Others) > 0 {
		x.notes = append(x.notes, "Another Cloudflared app is installed as well ("+strings.Join(t.Others, ", ")+"); it is not looked at.")
	}
	wanted := x.place.Public.URL
	switch {
	case wanted == nil && t.URL == nil:
		return fmt.Errorf("the public address is not known: %w", err)
	case wanted == nil:
		x.place.Public.URL = t.URL
		if !t.Trusted {
			x.notes = append(x.notes, "Only an app from a store that Tunnel Medic does not know names this address, so no token or certificate is shown to it. If it is yours, set it as the public address.")
			x.place.Public = x.place.Public.Bare()
		}
	case t.URL == nil && h.Wish.URL != "" && sameHost(h.Wish.URL, wanted): // what is known of it is the user's own word
	case t.URL == nil || t.URL.Host != wanted.Host:
		x.notes = append(x.notes, "This is not the address that the Cloudflared app is known to serve, so it is looked at from outside only, and no token or certificate is shown to it.")
		x.place.House, x.place.Public = nil, x.place.Public.Bare()
	}
	return nil
}

func (x *examination) connector(t tunnel.Target) *tunnel.Connector {
	return tunnel.ConnectorOf(t, x.place.House.ConnectorURL).Over(x.place.Public.Net)
}

// within is a target on the house's network.
func (x *examination) within(t probe.Target) probe.Target {
	t.Net = x.place.Public.Net
	return t
}

// look makes the looks in three waves: names; the probe with the connector's totals
// around it, and all that does not pass the tunnel; the rest.
func (x *examination) look(ctx context.Context) {
	public := x.place.Public
	public.Timeout = bounded(public.Timeout)
	names := public
	names.Timeout = min(public.Timeout, namesTimeout)
	var wg sync.WaitGroup
	wg.Go(func() { x.e.Names.House = probe.Lookup(ctx, names) })
	wg.Go(func() {
		if x.place.Outside != nil {
			names := names
			names.Outside = x.place.Outside
			x.e.Names.World = probe.Lookup(ctx, names)
		}
	})
	wg.Wait()
	x.put(rowHouseName, x.houseName())
	x.put(rowWorldName, x.worldName())

	wg.Go(func() { x.probe(ctx, public) })
	if x.place.House != nil {
		x.inside(ctx, &wg, public)
	}
	wg.Wait()

	wg.Go(func() {
		l := probe.Page(ctx, x.way.Like(public))
		x.e.Page = l
		x.put(rowPage, x.pageRow(l))
	})
	wg.Go(func() {
		if x.others == "" {
			return
		}
		o := x.way.Like(public)
		o.Network, o.Token = x.others, nil // it is sent once
		l := probe.Handshake(ctx, o)
		x.other = l
		x.put(rowOther, x.handshakeRow(family(x.others), l, true))
	})
	wg.Go(func() { x.frontend(ctx, public) })
	if x.place.House != nil {
		wg.Go(func() { x.coreLog(ctx) })
		c := x.e.Connector // the look at the service adds to it
		wg.Go(func() { x.service(ctx, public.Timeout) })
		wg.Go(func() { x.quic(ctx, c) })
	}
	wg.Wait()
	if x.place.House != nil && x.conn != nil {
		x.e.Connector.AfterPage = x.conn.Totals(ctx)
		x.put(rowCarried, x.carriedRow())
	}
}

// probe makes the handshake that the verdict rests on, over the family the name has
// an address of, and chooses the other family for the second one.
func (x *examination) probe(ctx context.Context, public probe.Target) {
	four, six := families(x.e.Names)
	first := ""
	switch {
	case four && six:
		first, x.others = "tcp4", "tcp6"
	case four:
		first = "tcp4"
	case six:
		first = "tcp6"
	}
	public.Network = first
	var before *evidence.Counters
	if x.place.House != nil && x.conn != nil {
		before = x.conn.Totals(ctx)
	}
	x.mu.Lock()
	names := x.e.Names
	x.mu.Unlock()
	l, _ := x.way.Handshake(ctx, public, names)
	var after *evidence.Counters
	if x.place.House != nil && x.conn != nil {
		after = x.conn.Totals(ctx)
	}
	x.mu.Lock()
	x.e.Public = l
	x.e.Connector.Before, x.e.Connector.Counters = before, after
	x.mu.Unlock()
	x.put(rowPublic, x.handshakeRow(family(first), l, false))
	x.put(rowCertificate, certificateRow(l, x.e.At))
}

// inside makes the looks that need Home Assistant's own network.
func (x *examination) inside(ctx context.Context, wg *sync.WaitGroup, public probe.Target) {
	h := x.place.House
	away := func(err error) {
		if why := supervisor.WhyAway(err); why != "" {
			x.mu.Lock()
			x.e.SupervisorAway = why
			x.mu.Unlock()
		}
	}
	wg.Go(func() {
		if x.target.Slug == "" {
			x.missing(ctx, away)
			return
		}
		i, err := h.Supervisor.Info(ctx, x.target.Slug)
		away(err)
		if err == nil {
			a := i.Evidence()
			if p, err := tunnel.ProtocolOf(i.Options); err == nil && i.OptionsError == nil && i.Installed() {
				a.Protocol, a.ProtocolKnown = p, true
			}
			x.mu.Lock()
			x.e.AddOn = a
			x.mu.Unlock()
		}
		x.put(rowAddOn, x.addOnRow(err))
	})
	wg.Go(func() {
		x.findOrigin(ctx)
		if x.home.URL == nil {
			x.put(rowDirect, Row{Component: "Home Assistant", Asked: "the handshake, past the tunnel", Came: "its address on the internal network is not known", Verdict: Unsure})
			return
		}
		l := probe.Handshake(ctx, x.within(probe.DirectTarget(x.home.URL, public.Timeout, public.Keeper)))
		x.mu.Lock()
		x.e.Direct = l
		x.mu.Unlock()
		x.put(rowDirect, x.directRow(l))
	})
	wg.Go(func() {
		if x.conn == nil {
			return
		}
		c := x.conn.Inspect(ctx, x.e.At)
		x.mu.Lock()
		c.Before, c.Counters = x.e.Connector.Before, x.e.Connector.Counters
		x.e.Connector = c
		x.mu.Unlock()
	})
	wg.Go(func() {
		if x.target.Slug == "" {
			return
		}
		text, err := h.Supervisor.Log(ctx, x.target.Slug)
		away(err)
		var l evidence.Log
		if err == nil {
			l = tunnel.ReadLog(text, x.e.At, time.Time{})
		}
		x.mu.Lock()
		x.e.Log = l
		x.mu.Unlock()
		x.put(rowLog, logRow(l))
	})
	wg.Go(func() {
		c, err := h.Supervisor.CoreState(ctx)
		away(err)
		if err == nil && c.Status != 200 {
			c.Runs = h.Supervisor.CoreRuns(ctx)
		}
		if i, err := h.Supervisor.CoreInfo(ctx); err == nil {
			i.Into(&c)
		}
		x.mu.Lock()
		x.e.Core = c
		x.mu.Unlock()
		x.put(rowCore, coreRow(c, err))
	})
	wg.Go(func() {
		i, err := h.Supervisor.Network(ctx)
		away(err)
		x.mu.Lock()
		x.e.Internet = i
		x.mu.Unlock()
		x.put(rowInternet, internetRow(i))
	})
}

// missing tells an add-on that is not installed from one that could not be found out.
func (x *examination) missing(ctx context.Context, away func(error)) {
	list, err := x.place.House.Supervisor.AddOns(ctx)
	away(err)
	if err == nil && !slices.ContainsFunc(list, func(a supervisor.AddOn) bool { return strings.HasSuffix(a.Slug, tunnel.Suffix) }) {
		x.mu.Lock()
		x.e.AddOn = evidence.AddOn{Asked: true, Slug: tunnel.Suffix[1:]}
		x.mu.Unlock()
	}
	x.put(rowAddOn, x.addOnRow(x.found))
}

// service asks where the tunnel leads, and shakes hands there where that is not Home
// Assistant itself.
func (x *examination) service(ctx context.Context, timeout time.Duration) {
	if x.conn == nil {
		return
	}
	r, u := x.conn.Route(ctx, x.place.Public.URL.Hostname(), x.home)
	x.e.Connector.Route = r
	x.put(rowConnector, x.connectorRow())
	if u == nil {
		return
	}
	l := probe.Handshake(ctx, x.within(probe.ServiceTarget(u, x.place.Public.URL, timeout, x.place.Public.Keeper)))
	x.e.Service = l
	x.put(rowService, serviceRow(r, l))
}

// frontend asks for the start page, where the WebSocket opens: elsewhere nobody gets as far.
func (x *examination) frontend(ctx context.Context, public probe.Target) {
	if !x.e.Public.Healthy() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	f := survey.Frontend(ctx, x.way.Like(public), x.home.URL, public.Timeout)
	f.Elsewhere = x.e.Direct.Healthy() && x.e.Direct.HAVersion != x.e.Public.HAVersion
	x.e.Frontend = f
	x.put(rowFrontend, frontendRow(f, time.Since(began)))
}

// coreLog reads what Home Assistant itself says of requests that it refused.
func (x *examination) coreLog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	text, err := x.place.House.Supervisor.CoreLog(ctx)
	if err != nil {
		return // Supervisor's being away is noted elsewhere
	}
	x.e.CoreLog = survey.ReadCoreLog(text, time.Now(), x.location(ctx))
	x.put(rowCoreLog, coreLogRow(x.e.CoreLog, time.Since(began)))
}

// location is the home's time zone, nil where it is not to be had.
func (x *examination) location(ctx context.Context) *time.Location {
	if l := x.place.House.Location; l != nil {
		return l
	}
	s, err := x.place.House.Supervisor.SystemInfo(ctx)
	if err != nil || s.TimeZone == "" {
		return nil
	}
	l, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil
	}
	return l
}

func (x *examination) findOrigin(ctx context.Context) {
	x.home = tunnel.HomeOf(ctx, x.place.House.Supervisor, x.place.House.OriginURL)
}

// put keeps a row and tells of it.
func (x *examination) put(at int, r Row) {
	if r.Component == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows[at] = r
	if x.done != nil {
		x.done(r)
	}
}

// report lays it all out.
func (x *examination) report() Report {
	if h := x.place.House; h != nil {
		x.e.Zone = h.Zone
		if h.Memory != nil {
			x.e.Memory = h.Memory(x.place.Public.URL.Hostname())
		}
		if x.e.SupervisorAway != "" {
			x.put(rowSupervisor, Row{Component: "Supervisor", Asked: "its API", Came: x.e.SupervisorAway, Verdict: Bad})
		}
	}
	d := diagnosis.Beside(diagnosis.Of(x.e), x.e)
	if d.Cause == diagnosis.Healthy {
		if e := x.e; x.other.Done() && x.other.Stage >= evidence.Connected && !x.other.Healthy() {
			// One of the two families fails, and with it those visitors who have only that.
			e.Public, e.Connector.Before = x.other, nil
			if o := diagnosis.Of(e); o.Cause != diagnosis.Healthy {
				o.Over = family(x.others)
				d = o
			}
		}
	}
	said := words.English()
	r := Report{At: x.e.At, Took: time.Since(x.e.At), URL: x.place.Public.URL.String(), Notes: x.notes, Cause: d.Cause, Remedy: d.Remedy, Summary: said.Summary(d),
		Advice: said.Advice(d), Rests: said.Basis(d), Docs: "DOCS.md#" + d.Cause.Anchor(), Seen: d.Seen, Code: code(d, x.e), Refused: x.e.Public.SignIn == evidence.TokenRefused, Evidence: []evidence.Evidence{x.e}}
	for i := range rowsInAll {
		if row, ok := x.rows[i]; ok {
			r.Rows = append(r.Rows, row)
		}
	}
	r.Curl = x.curls()
	return r
}

// code is the exit code: what stands in the probe's way leaves the question open.
func code(d diagnosis.Diagnosis, e evidence.Evidence) int {
	switch {
	case d.Cause == diagnosis.Healthy:
		return Healthy
	case d.Cause.Blinds(), d.Cause == diagnosis.SupervisorAway, !e.Public.Done(), e.Public.Trouble == evidence.Unusable, d.Cause == diagnosis.SignInUnanswered:
		return CantTell
	}
	return Ill
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

func family(network string) string {
	return map[string]string{"tcp4": "IPv4", "tcp6": "IPv6"}[network]
}

// bounded keeps a look's time within what the whole may take.
func bounded(d time.Duration) time.Duration {
	if d <= 0 {
		return lookTimeout
	}
	return min(d, lookTimeout)
}

func sameHost(text string, u *url.URL) bool {
	v, err := probe.CheckURL(text)
	return err == nil && v.Host == u.Host
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// Settle finds the public address of a place that has none yet, as Examine does.
func Settle(ctx context.Context, p *Place) error {
	x := &examination{place: *p, notes: p.Notes}
	if err := x.find(ctx); err != nil {
		return err
	}
	*p = x.place
	p.Notes = x.notes
	return nil
}
