package medic

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
)

const (
	ours  = "9074a9fa_cloudflared"
	other = "local_cloudflared"
)

// home is a Supervisor with its apps, their connectors and a surveyor, all in memory. What
// is done to it is kept in order.
type home struct {
	mu     sync.Mutex
	apps   map[string]*cloudflared
	away   bool // Supervisor
	broken func(evidence.Transport) bool
	calls  []string
	hook   func(call string) // before each act, unlocked
	look   func()            // before each survey, unlocked
	looks  []time.Time
	run    int // which of the program's runs may act: one that was cut off acts no more
}

type cloudflared struct {
	options supervisor.Options
	state   evidence.AddOnState
	began   time.Time
	number  int // of the process
	runs    evidence.Protocol
}

func (c *cloudflared) transport() evidence.Transport {
	if c.runs == evidence.HTTP2 {
		return evidence.OverHTTP2
	}
	return evidence.OverQUIC
}

func (c *cloudflared) protocol() evidence.Protocol {
	p, err := tunnel.ProtocolOf(c.options)
	if err != nil {
		panic(err)
	}
	return p
}

func (c *cloudflared) start() {
	c.state, c.began, c.runs = evidence.StateStarted, time.Now(), c.protocol()
	c.number++
}

func newHome() *home {
	h := &home{apps: map[string]*cloudflared{}, broken: func(evidence.Transport) bool { return false }}
	h.install(ours)
	h.apps[ours].began = time.Now().Add(-time.Hour)
	return h
}

func (h *home) install(slug string) {
	c := &cloudflared{options: supervisor.Options{"tunnel_token": json.RawMessage(`"t"`), "run_parameters": json.RawMessage(`[]`)}}
	c.start()
	h.apps[slug] = c
}

func (h *home) remove(slug string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.apps, slug)
}

func (h *home) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// happens does what a test wants to happen at this moment.
func (h *home) happens(what func() func()) {
	h.mu.Lock()
	do := what()
	h.mu.Unlock()
	if do != nil {
		do()
	}
}

// seen is how often it was looked.
func (h *home) seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.looks)
}

// protocol is what is stored for an app.
func (h *home) protocol(slug string) evidence.Protocol {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.apps[slug].protocol()
}

func (h *home) acts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

func (h *home) count(call string) (n int) {
	for _, c := range h.acts() {
		if c == call {
			n++
		}
	}
	return n
}

// bridge is the home as one run of the program reaches it.
type bridge struct {
	*home
	run int
}

var errAway = &supervisor.Error{Op: "asking", Kind: supervisor.Away, Message: "refused"}

func (b bridge) ask(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return &supervisor.Error{Kind: supervisor.Interrupted}
	case b.away || b.run != b.home.run:
		return errAway
	}
	return nil
}

func (b bridge) act(ctx context.Context, call, slug string, do func(*cloudflared)) error {
	if err := b.ask(ctx); err != nil {
		return err
	}
	b.happens(func() func() {
		if hook := b.hook; hook != nil {
			return func() { hook(call) }
		}
		return nil
	})
	if err := b.ask(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
	do(b.apps[slug])
	return nil
}

func (b bridge) AddOns(ctx context.Context) (list []supervisor.AddOn, err error) {
	if err := b.ask(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, slug := range slices.Sorted(maps.Keys(b.apps)) {
		list = append(list, supervisor.AddOn{Slug: slug, Name: "Cloudflared", Version: "6.0.3", State: b.apps[slug].state})
	}
	return list, nil
}

func (b bridge) Info(ctx context.Context, slug string) (supervisor.Info, error) {
	if err := b.ask(ctx); err != nil {
		return supervisor.Info{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.apps[slug]
	if c == nil {
		return supervisor.Info{Slug: slug, State: evidence.StateUnknown}, nil
	}
	return supervisor.Info{Slug: slug, Name: "Cloudflared", Hostname: strings.ReplaceAll(slug, "_", "-"), Version: "6.0.3", State: c.state, Options: maps.Clone(c.options)}, nil
}

func (b bridge) SetOptions(ctx context.Context, slug string, o supervisor.Options) error {
	return b.act(ctx, "write", slug, func(c *cloudflared) { c.options = maps.Clone(o) })
}

func (b bridge) Restart(ctx context.Context, slug string) error {
	return b.act(ctx, "restart", slug, (*cloudflared).start)
}

func (b bridge) Start(ctx context.Context, slug string) error {
	return b.act(ctx, "start", slug, (*cloudflared).start)
}

func (b bridge) ValidateOptions(ctx context.Context, _ string, _ supervisor.Options) error {
	return b.ask(ctx)
}

func (b bridge) CoreInfo(ctx context.Context) (supervisor.CoreInfo, error) {
	return supervisor.CoreInfo{Port: 8123}, b.ask(ctx)
}

func (b bridge) Repository(ctx context.Context, _ string) (supervisor.Repository, error) {
	return supervisor.Repository{}, b.ask(ctx)
}

func (b bridge) CoreConfig(ctx context.Context) (supervisor.CoreConfig, error) {
	return supervisor.CoreConfig{ExternalURL: "https://ha.example.com"}, b.ask(ctx)
}

func (bridge) Addresses(context.Context) ([]netip.Addr, error) { return nil, nil }
func (bridge) Log(context.Context, string) (string, error)     { return "", nil }

// Survey sees what is so.
func (b bridge) Survey(ctx context.Context, at survey.Home, _ survey.Moment) (s survey.Seen) {
	b.happens(func() func() { return b.look })
	if ctx.Err() != nil {
		return s
	}
	now := time.Now()
	e := &s.Evidence
	e.At, e.Internet = now, evidence.InternetUp
	e.Connector = at.Connector.Inspect(ctx, now)
	if info, err := b.Info(ctx, at.Slug); err == nil {
		s.Info, e.AddOn = &info, info.Evidence()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks = append(b.looks, now)
	n := uint64(len(b.looks))
	e.Connector.Before, e.Connector.Counters = &evidence.Counters{Requests: n}, &evidence.Counters{Requests: n + 1, Codes: map[int]uint64{400: 1}}
	cloudflare := map[string]string{"Cf-Ray": "9a1b2c3d4e5f-FRA", "Server": "cloudflare"}
	e.Public = evidence.Look{Asked: "GET https://ha.example.com/api/websocket", At: now, Took: 30 * time.Millisecond, Stage: evidence.Greeted, Status: 101, Header: cloudflare}
	c := b.apps[at.Slug]
	if c == nil || b.broken(c.transport()) {
		e.Public.Stage, e.Public.Status, e.Public.Body = evidence.Answered, 400, "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."
		e.Page = evidence.Look{Asked: "GET https://ha.example.com/manifest.json", At: now, Stage: evidence.Answered, Status: 200, Header: cloudflare}
		e.Direct = evidence.Look{Asked: "direct", At: now, Stage: evidence.Greeted, Status: 101}
	}
	return s
}

// network leads to the connectors: each app's under its host name.
func (h *home) network() network.Network {
	return network.Network{Dialer: func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		near, far := net.Pipe()
		go h.serve(far, strings.ReplaceAll(host, "-", "_"))
		return near, nil
	}}
}

func (h *home) serve(conn net.Conn, slug string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.answer(w, req, slug)
		if w.Result().Write(conn) != nil || req.Close {
			return
		}
	}
}

func (h *home) answer(w http.ResponseWriter, r *http.Request, slug string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.apps[slug]
	if c == nil || c.state != evidence.StateStarted {
		http.Error(w, "nobody", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/ready":
		fmt.Fprintf(w, `{"status":200,"readyConnections":4,"connectorId":"%s-%d"}`, slug, c.number)
	case "/metrics":
		fmt.Fprintf(w, "process_start_time_seconds %d\ncloudflared_tunnel_total_requests 7\n", c.began.Unix())
	case "/diag/tunnel":
		fmt.Fprintf(w, `{"connections":[{"isConnected":true,"protocol":%d,"edgeAddress":"198.41.192.7"}]}`, map[evidence.Transport]int{evidence.OverQUIC: 1, evidence.OverHTTP2: 2}[c.transport()])
	default:
		http.NotFound(w, r)
	}
}

// unforced is a disk that takes its time: no test here is about the machine's own power.
type unforced struct{ journal.Disk }

type unforcedFile struct{ journal.File }

func (unforcedFile) Sync() error { return nil }

func (unforced) SyncDir(string) error { return nil }

func (d unforced) Create(dir string) (journal.File, error) {
	f, err := d.Disk.Create(dir)
	return unforcedFile{f}, err
}

// program is one run of the loop.
type program struct {
	*Medic
	home    *home
	journal *journal.Journal
	dir     string
	end     context.CancelFunc
	ended   chan error

	mu    sync.Mutex
	steps []policy.Step
	told  []Status
}

// start starts the loop on a data folder, "" for a new one.
func start(t *testing.T, h *home, disk journal.Disk, dir string, change ...func(*Settings)) *program {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	if disk == nil {
		disk = unforced{journal.RealDisk()}
	}
	j, _, err := journal.OpenOn(disk, dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.set(func() { h.run++ })
	b := bridge{h, h.run}
	patience := treatment.DefaultPatience()
	set := Settings{Version: "1", Public: probe.Target{Net: h.network()}, Survey: b, Sensor: 4 * time.Second, Patience: patience,
		Rules: policy.Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: 24 * time.Hour, Location: time.UTC,
			Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}}
	for _, c := range change {
		c(&set)
	}
	p := &program{home: h, journal: j, dir: dir, ended: make(chan error, 1)}
	p.Medic = New(set, b, j, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel), func(s Status, steps []policy.Step) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told, p.steps = append(p.told, s), append(p.steps, steps...)
	})
	ctx, cancel := context.WithCancel(t.Context())
	p.end = cancel
	go func() { p.ended <- p.Run(ctx) }()
	return p
}

// stop ends the run in order.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.end()
	if err := <-p.ended; err != nil {
		t.Error("it ended with", err)
	}
}

func (p *program) kinds() (list []policy.StepKind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.steps {
		list = append(list, s.Kind)
	}
	return list
}

// until waits for something to become so, and fails where it takes longer.
func (p *program) until(t *testing.T, what string, within time.Duration, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(time.Second) {
		if time.Since(begun) > within {
			t.Fatalf("not within %s: %s; the state is %s, done was %v", within, what, p.Status().State, p.home.acts())
		}
	}
}

func (p *program) phase(want policy.Phase) func() bool {
	return func() bool { return p.Status().State == want }
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, do func(t *testing.T, h *home)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newHome()) })
}

// copied is a data folder as a power cut would leave it.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}
