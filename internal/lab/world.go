package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/network"
)

// World is a running lab. All methods may be used by several goroutines at once.
type World struct {
	opt     Options
	timings Timings
	dir     string // for files the daemon reads
	caFile  string
	started time.Time

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	supervisor, origin, edge, metrics, outside, control *door
	proxy                                               *door // nil: none stands between
	mutual                                              *mutual
	publicURL                                           string
	listen                                              string
	kept                                                io.Closer  // holds the port of listen
	plug                                                *wire.Plug // the world's part in a network in memory; nil on loopback
	way                                                 network.Network
	quic                                                *quicEdge // the edge's UDP port; nil in memory

	haVersion atomic.Pointer[string] // of Home Assistant, now

	mu         sync.Mutex        // guards all below
	cache      map[string]cached // by path: what the edge keeps
	change     chan struct{}     // closed and replaced at every change
	faults     Faults
	rng        *rand.Rand // draws whom a fault hits
	rays       *rand.Rand // draws ids, apart from the former so that plain requests change nothing
	apps       []*app
	run        *run // the connector's container, nil when there is none
	core       coreState
	injections []*Injection
	requests   []*Request
	restarts   int
	runs       int // of the connector's container so far
	meter      meter
	cloudflare Cloudflare
	closed     bool
}

// New builds a world on loopback and starts it: when it returns, the add-ons that
// are to run have been started, though the connector may not be connected yet
// (see [World.Ready]).
func New(opt Options) (_ *World, err error) {
	if opt.Version == "" {
		opt.Version = "2026.8.2"
	}
	if opt.HAVersion == "" {
		opt.HAVersion = "2026.11.2"
	}
	if opt.Timezone == "" {
		opt.Timezone = "Europe/Berlin"
	}
	if opt.Notify == nil {
		opt.Notify = []string{"mobile_app_pixel"}
	}
	if err := opt.Faults.Check(); err != nil {
		return nil, fmt.Errorf("faults of the lab: %w", err)
	}
	w := &World{opt: opt, timings: opt.Timings.at(opt.Speed), started: time.Now(), change: make(chan struct{}), rng: rand.New(rand.NewPCG(opt.Seed, 1652)), rays: rand.New(rand.NewPCG(opt.Seed, 1653))}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if opt.Net != nil {
		w.plug = opt.Net.Plug()
		w.way = w.plug.Network()
	}
	w.core.init()
	w.haVersion.Store(&opt.HAVersion)
	w.meter.last = w.started
	w.cloudflare.init(w.started)
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if err := w.openDoors(); err != nil {
		return nil, fmt.Errorf("opening the lab: %w", err)
	}
	if w.opt.ExternalURL == "" {
		w.opt.ExternalURL = w.publicURL
	}
	if err := w.install(); err != nil {
		return nil, fmt.Errorf("installing the lab's add-ons: %w", err)
	}
	w.SetFaults(opt.Faults)
	return w, nil
}

func (w *World) openDoors() (err error) {
	open := func(d **door, addr string, serve http.Handler, raw func(net.Conn)) {
		if err == nil {
			*d, err = newDoor(w, addr, serve, raw)
		}
	}
	open(&w.supervisor, "127.0.0.1:0", http.HandlerFunc(w.serveSupervisor), nil)
	open(&w.origin, "127.0.0.1:0", nil, w.serveOrigin)
	open(&w.metrics, "127.0.0.1:0", http.HandlerFunc(w.serveMetrics), nil)
	open(&w.outside, "127.0.0.1:0", http.HandlerFunc(w.serveOutside), nil)
	open(&w.control, "127.0.0.1:0", w.Control(), nil)
	if w.opt.Proxy {
		open(&w.proxy, "127.0.0.1:0", nil, w.serveProxy)
	}
	if err != nil {
		return err
	}
	if w.proxy != nil {
		if w.opt.ServiceURL == "" {
			w.opt.ServiceURL = w.proxy.url()
		}
		if err := w.proxy.open(); err != nil {
			return err
		}
	}
	if w.opt.ServiceURL == "" {
		w.opt.ServiceURL = "http://homeassistant:" + w.corePort()
	}
	edgeAddr, name := "127.0.0.1:0", ""
	if w.opt.SplitDNS {
		edgeAddr, name = net.JoinHostPort("127.0.0.2", w.origin.port()), "localhost:"+w.origin.port()
	}
	open(&w.edge, edgeAddr, http.HandlerFunc(w.serveEdge), nil)
	if err != nil {
		return err
	}
	if name == "" {
		name = w.edge.addr
	}
	w.publicURL = "http://" + name
	if w.opt.TLS {
		w.publicURL = "https://" + name
	}
	if w.opt.TLS || w.opt.Net == nil {
		if w.dir, err = os.MkdirTemp("", "tunnelmedic-lab-"); err != nil {
			return err
		}
		if err := w.certify(); err != nil {
			return err
		}
	}
	// The daemon's own page: nobody else is given its port until the daemon takes it.
	if w.listen, w.kept, err = w.hold("127.0.0.1:0"); err != nil {
		return err
	}
	return w.control.open()
}

// corePort is where Home Assistant really listens here.
func (w *World) corePort() string {
	if _, port, err := net.SplitHostPort(w.originAddr()); err == nil {
		return port
	}
	return w.origin.port()
}

// Close ends the world: everything it started, and only then returns.
func (w *World) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	for _, d := range []*door{w.control, w.supervisor, w.outside, w.edge, w.metrics, w.proxy, w.origin} {
		if d != nil {
			d.close()
		}
	}
	w.mu.Lock()
	if w.run != nil {
		w.run.closeSockets()
	}
	w.mu.Unlock()
	if w.quic != nil {
		w.quic.close()
	}
	w.wg.Wait()
	if w.kept != nil {
		_ = w.kept.Close()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// Env is the environment under which the daemon lives in this world.
func (w *World) Env() map[string]string {
	t := w.timings
	env := map[string]string{
		"SUPERVISOR_TOKEN":                  SupervisorToken,
		"TUNNELMEDIC_SUPERVISOR_URL":        w.supervisor.url(),
		"TUNNELMEDIC_CONNECTOR_URL":         w.metrics.url(),
		"TUNNELMEDIC_ORIGIN_URL":            w.OriginURL(),
		"TUNNELMEDIC_QUIC_EDGE":             w.quicEdge(),
		"TUNNELMEDIC_DOH_URL":               w.outside.url() + "/dns-query",
		"TUNNELMEDIC_CLOUDFLARE_API_URL":    w.outside.url() + "/client/v4",
		"TUNNELMEDIC_CLOUDFLARE_STATUS_URL": w.outside.url() + "/api/v2",
		"TUNNELMEDIC_LISTEN":                w.listen,
		"TUNNELMEDIC_INGRESS_PEER":          "127.0.0.1,::1",
	}
	if !t.Own {
		env["TUNNELMEDIC_PROBE_INTERVAL"] = t.ProbeInterval.String()
		env["TUNNELMEDIC_BURST_INTERVAL"] = t.BurstInterval.String()
		env["TUNNELMEDIC_SENSOR_INTERVAL"] = t.SensorInterval.String()
		env["TUNNELMEDIC_MIN_UPTIME"] = t.MinUptime.String()
		env["TUNNELMEDIC_SETTLE_TIMEOUT"] = t.SettleTimeout.String()
		env["TUNNELMEDIC_HOLD_BASE"] = t.HoldBase.String()
		env["TUNNELMEDIC_PROBE_TIMEOUT"] = t.ProbeTimeout.String()
	}
	if w.caFile != "" {
		env["TUNNELMEDIC_CA_FILE"] = w.caFile
	}
	if !w.opt.FindURL {
		env["TUNNELMEDIC_PUBLIC_URL"] = w.publicURL
	}
	return env
}

// Environ gives an environment as programs take it: NAME=value, in no order.
func Environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	return list
}

// PublicURL is Home Assistant's as the world outside knows it.
func (w *World) PublicURL() string { return w.publicURL }

// SupervisorURL, OriginURL, ConnectorURL and ControlURL are where the parts listen.
func (w *World) SupervisorURL() string { return w.supervisor.url() }

// OriginURL is Home Assistant's on the internal network.
func (w *World) OriginURL() string { return "http://" + w.originAddr() }

// originAddr is where the connector finds Home Assistant.
func (w *World) originAddr() string {
	if w.opt.Origin != "" {
		return w.opt.Origin
	}
	return w.origin.addr
}

// ConnectorURL is that of the connector's metrics server.
func (w *World) ConnectorURL() string { return w.metrics.url() }

// ControlURL is where the world is driven by hand: see Control.
func (w *World) ControlURL() string { return w.control.url() }

// Network is the world's own way into the network that it lives on.
func (w *World) Network() network.Network { return w.way }

// Timings are the ones in force.
func (w *World) Timings() Timings { return w.timings }

// Faults are the ones in force.
func (w *World) Faults() Faults {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults.clone()
}

// SetFaults replaces all faults at once. Faults that Check refuses are a mistake
// of the caller's and change nothing.
func (w *World) SetFaults(f Faults) {
	if f.Check() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	hungBefore := w.faults.ConnectorHung
	w.faults = f.clone()
	if !f.CacheEverything {
		w.cache = nil
	}
	if w.run != nil && f.ConnectorHung != hungBefore {
		w.run.hung = f.ConnectorHung
	}
	if f.CoreStarting {
		w.after(w.timings.CoreStart, func() { w.faults.CoreStarting = false })
	}
	w.settleDoors()
	w.changed()
}

// ChangeFaults changes some of the faults and leaves the others.
func (w *World) ChangeFaults(change func(*Faults)) {
	f := w.Faults()
	change(&f)
	w.SetFaults(f)
}

// settleDoors opens and shuts what the faults say. The caller holds mu.
func (w *World) settleDoors() {
	f := w.faults
	w.supervisor.set(!f.SupervisorDown)
	w.origin.set(!f.CoreDown && !f.CoreStarting && !f.CoreUnreachable)
	w.edge.set(!f.InternetDown)
	w.outside.set(!f.InternetDown && !f.ResolverDown)
	w.metrics.set(w.run != nil && w.run.listening)
}

// changed tells everyone who waits that something is different, and keeps the
// account of the time cut off. The caller holds mu.
func (w *World) changed() {
	w.meter.turn(time.Now(), 1-w.openShare())
	close(w.change)
	w.change = make(chan struct{})
}

// after does something to the world later, unless it has ended. The caller holds mu.
func (w *World) after(d time.Duration, do func()) {
	if w.closed {
		return
	}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-w.ctx.Done():
		case <-t.C:
			w.mu.Lock()
			defer w.mu.Unlock()
			do()
			w.settleDoors()
			w.changed()
		}
	}()
}

// Wait blocks until cond holds, looking again at every change of the world, or
// until the context ends. cond runs without the world's lock: it uses the
// methods of World.
func (w *World) Wait(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		change := w.change
		w.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lab's world: %w", ctx.Err())
		case <-w.ctx.Done():
			return errors.New("waiting for the lab's world: it has been closed")
		}
	}
}

// Ready waits until the connector is connected all four ways.
func (w *World) Ready(ctx context.Context) error {
	return w.Wait(ctx, func() bool { return w.Connections() == 4 })
}

// Transport is what the connector uses now, NoTransport if nothing stands.
func (w *World) Transport() evidence.Transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.run == nil || w.run.ready() == 0 {
		return evidence.NoTransport
	}
	return w.run.transport
}

// Connections is how many of the connector's connections stand.
func (w *World) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.run == nil {
		return 0
	}
	return w.run.ready()
}

// Restarts is how often the running watched add-on was stopped for a restart that
// was asked through Supervisor's API (not by the user's hands).
func (w *World) Restarts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.restarts
}
