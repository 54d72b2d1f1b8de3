package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"tunnelmedic/internal/network"
)

// World is a running lab. Its parts are reached by name: what Supervisor stores is
// World.Supervisor's to say, what a visitor meets World.Edge's, what people do
// World.User's. All methods may be used by several goroutines at once.
type World struct {
	Supervisor *Supervisor
	Core       *Core
	Connector  *Connector
	Edge       *Edge
	Outside    *Outside
	User       *Hands

	opt     Options
	timings Timings
	dir     string // for files the daemon reads
	started time.Time

	doors          []*door // all of them
	proxy, control *door   // proxy is nil where none stands between connector and Home Assistant
	listen         string
	metrics        string
	kept           []io.Closer     // hold the ports of these two
	origin         *http.Transport // asks Home Assistant with nothing added, each request over a connection of its own

	scene    // its lock guards all below, and what the parts say that it guards
	faults   Faults
	requests []*Request
	meter    meter
}

// New builds a world on loopback and starts it: when it returns, the add-ons that
// are to run have been started, though the connector may not be connected yet
// (see [Connector.Ready]).
func New(opt Options) (_ *World, err error) {
	opt.Version, opt.HAVersion = cmp.Or(opt.Version, "2026.8.2"), cmp.Or(opt.HAVersion, "2026.11.2")
	opt.Timezone, opt.Language = cmp.Or(opt.Timezone, "Europe/Berlin"), cmp.Or(opt.Language, "en")
	if opt.Notify == nil {
		opt.Notify = []string{"mobile_app_pixel"}
	}
	if err := opt.Faults.Check(); err != nil {
		return nil, fmt.Errorf("faults of the lab: %w", err)
	}
	w := &World{opt: opt, timings: opt.Timings.filled("fast", cmp.Or(max(opt.Speed, 0), 1)), started: time.Now(), scene: newScene()}
	w.Connector, w.User = &Connector{w: w}, &Hands{w: w}
	w.Core = &Core{w: w, told: Told{Notifications: map[string]Notification{}, EntityStates: map[string]json.RawMessage{}}, sockets: map[*socket]struct{}{}}
	w.Supervisor = newSupervisor(w)
	w.Edge = &Edge{w: w, rng: rand.New(rand.NewPCG(opt.Seed, 1652)), rays: rand.New(rand.NewPCG(opt.Seed, 1653))}
	w.Outside = &Outside{spoilable: spoilable{w: w}}
	w.different = func() { w.settleDoors(); w.changed() }
	if opt.Net != nil {
		w.way = opt.Net.Plug().Network()
	}
	w.origin = &http.Transport{DialContext: w.way.Dial, DisableCompression: true, MaxIdleConnsPerHost: -1}
	w.Core.version.Store(&opt.HAVersion)
	w.meter.last = w.started
	w.Outside.cloudflare.init(w.started)
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if err := w.openDoors(); err != nil {
		return nil, fmt.Errorf("opening the lab: %w", err)
	}
	w.opt.ExternalURL = cmp.Or(w.opt.ExternalURL, w.Edge.url)
	if err := w.Supervisor.install(); err != nil {
		return nil, fmt.Errorf("installing the lab's add-ons: %w", err)
	}
	w.SetFaults(opt.Faults)
	return w, nil
}

// openDoors gives each part its address. All but the control are opened by what the faults say.
func (w *World) openDoors() (err error) {
	s, c, o := w.Supervisor, w.Core, w.Outside
	for _, one := range []struct {
		door  **door
		serve http.HandlerFunc
	}{
		{&s.door, s.serve}, {&c.door, (&web{c}).serve}, {&w.Connector.door, w.Connector.serve}, {&o.door, o.serve}, {&w.control, (&control{w}).handler().ServeHTTP}, {&w.proxy, w.proxied},
	} {
		if one.door == &w.proxy && !w.opt.Proxy {
			continue
		}
		if *one.door, err = newDoor(w, "127.0.0.1:0", one.serve); err != nil {
			return err
		}
	}
	w.Connector.door.idle = 10 * time.Second // cloudflared's own (docs/FACTS.md)
	service := "http://homeassistant:" + c.port()
	if w.proxy != nil {
		service = w.proxy.url()
		if err := w.proxy.open(); err != nil {
			return err
		}
	}
	w.opt.ServiceURL = cmp.Or(w.opt.ServiceURL, service)
	if err := w.Edge.open(); err != nil {
		return err
	}
	// The daemon's own pages: nobody else is given their ports until the daemon takes them.
	for _, own := range []*string{&w.listen, &w.metrics} {
		addr, kept, err := w.hold("127.0.0.1:0")
		if err != nil {
			return err
		}
		*own, w.kept = addr, append(w.kept, kept)
	}
	return w.control.open()
}

// open gives the edge its address and its certificates.
func (e *Edge) open() (err error) {
	addr, name := "127.0.0.1:0", ""
	if e.w.opt.SplitDNS {
		addr, name = net.JoinHostPort("127.0.0.2", e.w.Core.door.port()), "localhost:"+e.w.Core.door.port()
	}
	if e.door, err = newDoor(e.w, addr, http.HandlerFunc(e.serve)); err != nil {
		return err
	}
	if name == "" {
		name = e.door.addr
	}
	e.url = "http://" + name
	if e.w.opt.TLS {
		e.url = "https://" + name
	}
	if !e.w.opt.TLS && e.w.opt.Net != nil {
		return nil
	}
	if e.w.dir, err = os.MkdirTemp("", "tunnelmedic-lab-"); err != nil {
		return err
	}
	return e.certify()
}

// Close ends the world: everything it started, and only then returns.
func (w *World) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	for _, d := range w.doors {
		d.close()
	}
	w.mu.Lock()
	if w.Connector.run != nil {
		w.Connector.run.closeSockets()
	}
	w.mu.Unlock()
	if w.Edge.quic != nil {
		w.Edge.quic.close()
	}
	w.wg.Wait()
	for _, k := range w.kept {
		_ = k.Close()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// Env is the environment under which the daemon lives in this world.
func (w *World) Env() map[string]string {
	env := map[string]string{
		"SUPERVISOR_TOKEN":                  SupervisorToken,
		"TUNNELMEDIC_SUPERVISOR_URL":        w.Supervisor.door.url(),
		"TUNNELMEDIC_CONNECTOR_URL":         w.Connector.door.url(),
		"TUNNELMEDIC_ORIGIN_URL":            w.Core.URL(),
		"TUNNELMEDIC_QUIC_EDGE":             w.Edge.quicAddr(),
		"TUNNELMEDIC_DOH_URL":               w.Outside.door.url() + "/dns-query",
		"TUNNELMEDIC_CLOUDFLARE_API_URL":    w.Outside.door.url() + "/client/v4",
		"TUNNELMEDIC_CLOUDFLARE_STATUS_URL": w.Outside.door.url() + "/api/v2",
		"TUNNELMEDIC_LISTEN":                w.listen,
		"TUNNELMEDIC_METRICS_LISTEN":        w.metrics,
		"TUNNELMEDIC_INGRESS_PEER":          "127.0.0.1,::1",
	}
	for d, tags := range w.timings.all() {
		if name := tags.Get("env"); name != "" && !w.timings.Own {
			env[name] = d.String()
		}
	}
	if w.Edge.caFile != "" {
		env["TUNNELMEDIC_CA_FILE"] = w.Edge.caFile
	}
	if !w.opt.FindURL {
		env["TUNNELMEDIC_PUBLIC_URL"] = w.Edge.url
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

// URL is Home Assistant's as the world outside knows it.
func (e *Edge) URL() string { return e.url }

// URL is Home Assistant's on the internal network.
func (c *Core) URL() string { return "http://" + c.addr() }

// addr is where the connector finds Home Assistant.
func (c *Core) addr() string {
	if c.w.opt.Origin != "" {
		return c.w.opt.Origin
	}
	return c.door.addr
}

// URL is that of the connector's metrics server.
func (n *Connector) URL() string { return n.door.url() }

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
		w.Edge.cache = nil
	}
	if w.Connector.run != nil && f.ConnectorHung != hungBefore {
		w.Connector.run.hung = f.ConnectorHung
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
	w.Supervisor.door.set(!f.SupervisorDown)
	w.Core.door.set(!f.CoreDown && !f.CoreStarting && !f.CoreUnreachable)
	w.Edge.door.set(!f.InternetDown)
	w.Outside.door.set(!f.InternetDown && !f.ResolverDown)
	w.Connector.door.set(w.Connector.run != nil && w.Connector.run.listening)
}

// changed tells everyone who waits that something is different, and keeps the
// account of the time cut off. The caller holds mu.
func (w *World) changed() {
	w.meter.turn(time.Now(), 1-w.Edge.openShare())
	w.turn()
}
