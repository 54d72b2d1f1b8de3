package lab

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// forever is a wait that only its condition or its context ends.
const forever = time.Duration(math.MaxInt64)

// tunnelOptions is what the add-on's set-up reads from its options at start.
type tunnelOptions struct {
	ExternalHostname string `json:"external_hostname"`
	AdditionalHosts  []struct {
		Hostname string `json:"hostname"`
		Service  string `json:"service"`
	} `json:"additional_hosts"`
	TunnelToken   string   `json:"tunnel_token"`
	PostQuantum   bool     `json:"post_quantum"`
	RunParameters []string `json:"run_parameters"`
}

func parseOptions(raw json.RawMessage) tunnelOptions {
	var o tunnelOptions
	_ = json.Unmarshal(raw, &o) // what is not of the right kind counts as not set
	return o
}

// protocolFlag is the last --protocol of the flags: given twice, the last wins.
func (o tunnelOptions) protocolFlag() string {
	for _, p := range slices.Backward(o.RunParameters) {
		if v, ok := strings.CutPrefix(p, "--protocol="); ok {
			return v
		}
	}
	return ""
}

// Connector is cloudflared, in the container of the watched add-on.
type Connector struct {
	w    *World
	door *door // of its metrics server
	run  *run  // of the container, nil when there is none; World.mu guards it
	runs int   // of the container so far
}

// Ready waits until the connector is connected all four ways.
func (n *Connector) Ready(ctx context.Context) error {
	return n.w.Wait(ctx, func() bool { return n.Connections() == 4 })
}

// Transport is what the connector uses now, NoTransport if nothing stands.
func (n *Connector) Transport() evidence.Transport {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.run == nil || n.run.ready() == 0 {
		return evidence.NoTransport
	}
	return n.run.transport
}

// Connections is how many of the connector's connections stand.
func (n *Connector) Connections() int {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.run == nil {
		return 0
	}
	return n.run.ready()
}

// run is one run of the Cloudflared add-on's container. World.mu guards it.
type run struct {
	w       *World
	app     *app
	id      string        // connectorId
	began   time.Time     // the container's start
	opt     tunnelOptions // as they were at the start: later changes wait for the next
	ctx     context.Context
	kill    context.CancelFunc
	term    context.Context // ended by SIGTERM
	sigterm context.CancelFunc
	done    chan struct{}

	listening bool // the metrics server
	transport evidence.Transport
	conns     [4]bool
	hung      bool
	killed    bool
	followed  bool                            // its start found Home Assistant at the port of Faults.CoreMoved
	sockets   map[*watched]context.CancelFunc // WebSockets that stand, and what ends each

	total, errors, open uint64
	codes               map[int]uint64
	located             bool // server_locations was set once; it goes stale
}

func (r *run) ready() (n int) {
	for _, up := range r.conns {
		if up {
			n++
		}
	}
	return n
}

// start begins a run. The caller holds mu.
func (n *Connector) start(a *app) {
	if n.w.closed {
		return
	}
	n.runs++
	r := &run{w: n.w, app: a, id: connectorID(n.runs), began: time.Now(), opt: parseOptions(a.Options), done: make(chan struct{}), sockets: map[*watched]context.CancelFunc{}, codes: map[int]uint64{}}
	r.ctx, r.kill = context.WithCancel(n.w.ctx)
	r.term, r.sigterm = context.WithCancel(r.ctx)
	a.logs = append(a.logs, logRun{})
	if len(a.logs) > 20 {
		a.logs = a.logs[1:]
	}
	n.run = r
	n.w.wg.Add(1)
	go func() {
		defer n.w.wg.Done()
		defer close(r.done)
		defer r.kill()
		n.w.mu.Lock()
		defer n.w.mu.Unlock()
		r.end(r.live())
	}()
}

// stop sends SIGTERM and blocks until the container is gone; it says
// whether it had to be killed. The caller holds mu, which is free meanwhile.
func (n *Connector) stop(r *run) bool {
	r.sigterm()
	n.w.mu.Unlock()
	defer n.w.mu.Lock()
	t := time.NewTimer(n.w.timings.Kill)
	defer t.Stop()
	select {
	case <-r.done:
	case <-t.C:
		n.w.mu.Lock()
		r.killed = true
		n.w.mu.Unlock()
		r.kill()
		<-r.done
	}
	return r.killed
}

// live is the run from start to end; it gives the exit code. The caller holds mu.
func (r *run) live() int {
	w := r.w
	r.app.say(map[bool]string{true: "set up, managed from outside", false: "set up, managed locally"}[r.opt.TunnelToken != ""])
	if !w.sleep(r.term, w.timings.Setup) {
		return 0
	}
	if w.faults.LoginWanted {
		return r.login()
	}
	if r.opt.TunnelToken == "" {
		if !r.prepared() {
			return 1
		}
		r.followed = w.faults.CoreMoved // the script reads Home Assistant's port at each start
	}
	flag := r.opt.protocolFlag()
	protocol, err := evidence.ParseProtocol(flag)
	why := ""
	switch {
	case err != nil:
		why = "unknown protocol " + flag + ", Available protocols: [auto http2 quic]"
	case r.opt.PostQuantum && protocol == evidence.HTTP2 && older(w.opt.Version, 2026, 5, 0):
		why = "post-quantum is only supported with the quic transport"
	case w.faults.ConnectorDies:
		why = "the lab makes it so"
	}
	if why != "" {
		r.app.say("cannot start", "{why}", why)
		return 1
	}
	r.listening = true
	w.settleDoors()
	r.transport = evidence.OverQUIC
	if protocol == evidence.HTTP2 && !w.faults.IgnoresFlag {
		r.transport = evidence.OverHTTP2
	}
	r.app.say("started", "{protocol}", r.transport.String())
	w.changed()
	r.connect(protocol)
	return r.leave()
}

// login is the app's first start: it prints a link, and waits until somebody follows it.
// The caller holds mu.
func (r *run) login() int {
	w := r.w
	r.app.say("login wanted", "{secret}", LoginSecret)
	w.changed()
	w.until(r.term, forever, func() bool { return false })
	return 0
}

// prepared is the app's start script, as far as it asks Cloudflare's API: for the
// tunnel's name, and to route each host name (prepare/run.sh of the app). It says whether
// it came to its end. The caller holds mu.
func (r *run) prepared() bool {
	w := r.w
	host := []string{"{host}", r.opt.ExternalHostname}
	r.app.say("the tunnel's name is looked up")
	if w.faults.APIAway || w.faults.InternetDown {
		r.app.say("the API is away", "{file}", "")
		return false
	}
	r.app.say("the host is routed", host...)
	if w.faults.APIRefuses {
		r.app.say("the API refuses", host...)
		return false
	}
	r.app.say("prepared")
	return true
}

// connect keeps the connections up until SIGTERM. The caller holds mu.
func (r *run) connect(protocol evidence.Protocol) {
	w := r.w
	ever := false
	for r.term.Err() == nil {
		if !r.passable() {
			r.complain()
			// auto gives QUIC up only when it never connected, and only while the edge can be found at all.
			mayFall := protocol.Effective() == evidence.Auto && r.transport == evidence.OverQUIC && !ever && !w.faults.InternetDown && !w.faults.TunnelRejected && w.faults.Dial == ""
			internet := w.faults.InternetDown
			if r.retry(func() bool { return r.passable() || internet != w.faults.InternetDown }, mayFall) || r.term.Err() != nil {
				continue
			}
			r.transport = evidence.OverHTTP2
			r.app.say("falls back")
			continue
		}
		r.register(ever)
		ever = ever || r.located
		r.stand()
		if r.term.Err() == nil {
			r.lose()
		}
	}
}

// register brings the connections up, one after the other, as far as the network lets it.
func (r *run) register(again bool) {
	t := r.w.timings
	wait := t.First
	if again && r.transport == evidence.OverHTTP2 {
		wait = t.BackOverHTTP2
	} else if again {
		wait = t.BackOverQUIC
	}
	for i := range r.conns {
		if r.w.until(r.term, wait, func() bool { return !r.passable() }) || r.term.Err() != nil {
			return
		}
		r.app.say("connects", connection(i)...)
		r.conns[i], r.located = true, true
		r.app.say("connected", connection(i, "{protocol}", r.transport.String())...)
		r.w.changed()
		wait = max(0, t.All-t.First) / 3
	}
}

// dials is how often cloudflared's auto dials over QUIC until it gives that up.
const dials = 9

// retry dials again and again, each time with a line in the log, until cond holds
// (true), SIGTERM comes, or auto has had enough of it (false).
func (r *run) retry(cond func() bool, mayFall bool) bool {
	for n := 1; ; n++ {
		if r.w.until(r.term, r.w.timings.Fallback/dials, cond) {
			return true
		}
		if r.term.Err() != nil || mayFall && n == dials {
			return false
		}
		r.complain()
		r.w.changed()
	}
}

// stand waits while the connections stand: until the network takes them, or
// flapping does, or SIGTERM comes.
func (r *run) stand() {
	w := r.w
	for {
		flap, time := r.flap(), forever
		if flap > 0 {
			time = flap.value()
		}
		changed := w.until(r.term, time, func() bool { return !r.passable() || flap != r.flap() })
		if !changed || !r.passable() {
			return
		}
	}
}

// flap is how long connections stand before they break, 0 for ever.
func (r *run) flap() Duration {
	if r.transport == evidence.OverHTTP2 {
		return r.w.faults.FlapHTTP2
	}
	return r.w.faults.FlapQUIC
}

// passable says whether the network carries the transport to the edge.
func (r *run) passable() bool {
	f := r.w.faults
	switch {
	case f.InternetDown || f.TunnelRejected || f.Dial.over(r.transport):
		return false
	case r.transport == evidence.OverQUIC:
		return !f.UDPBlocked && f.QUIC == ""
	}
	return !f.TCPBlocked
}

// complain writes what cloudflared does of an attempt that failed.
func (r *run) complain() {
	f := r.w.faults
	say := func(what string, more ...string) { r.app.say(what, connection(0, more...)...) }
	if f.InternetDown {
		say("no internet")
		return
	}
	say("connects")
	switch {
	case f.TunnelRejected:
		say("rejected")
	case f.Dial == Unregistered && r.transport == evidence.OverQUIC:
		say("unregistered")
	case f.Dial != "" && r.transport == evidence.OverQUIC:
		say("not dialled over quic", "{why}", dialErrors[string(f.Dial)])
	case r.transport == evidence.OverQUIC:
		say("not dialled over quic", "{why}", dialErrors[string(f.QUIC)])
	case f.Dial == Unroutable:
		say("not dialled over http2", "{why}", "connect: network is unreachable")
	default:
		say("not dialled over http2", "{why}", "i/o timeout")
	}
}

// dialErrors are quic-go's words, by the fault.
var dialErrors = map[string]string{
	"":                    "timeout: no recent network activity",
	string(QUICRejected):  "CRYPTO_ERROR 0x178 (remote): tls: no application protocol",
	string(QUICInspected): "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate signed by unknown authority",
	string(Unroutable):    "INTERNAL_ERROR (local): write udp [::]:41823->198.41.192.7:7844: sendmsg: network is unreachable",
	string(Untrusted):     "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
	string(Unspoken):      "INTERNAL_ERROR (local): tls: CurvePreferences includes unsupported curve",
}

// lose drops all connections, and the WebSockets over them. Of each, three goroutines
// of cloudflared tell, in whatever order; what is then served ends with two lines more.
func (r *run) lose() {
	parts := []string{"accept stream listener", "datagram manager", "control stream"}
	for i, up := range r.conns {
		if !up {
			continue
		}
		why := "connection with edge closed"
		if r.transport == evidence.OverQUIC {
			why = parts[i%3] + " encountered a failure while serving"
			for k := range parts {
				r.app.say(parts[(i+k)%3]+" lost", connection(i)...)
			}
		}
		r.app.say("lost over "+r.transport.String(), connection(i, "{why}", why)...)
		r.app.say("lost", connection(i, "{why}", why)...)
		r.conns[i] = false
	}
	r.closeSockets()
	r.w.changed()
}

// grace is how long a process that was started with these options waits when it is told to end: 30 s
// without --grace-period (cmd/cloudflared/tunnel/cmd.go), as a part of Supervisor's patience with a
// stop, which is 10 s outside.
func (r *run) grace() time.Duration {
	grace := 30 * time.Second
	for _, p := range r.opt.RunParameters {
		if v, ok := strings.CutPrefix(p, "--grace-period="); ok {
			if d, err := time.ParseDuration(v); err == nil {
				grace = d
			}
		}
	}
	return time.Duration(float64(grace) * float64(r.w.timings.Kill) / float64(10*time.Second))
}

// leave is what SIGTERM does: all connections unregister at once; with open WebSockets it then waits
// out its grace period, over HTTP/2 no longer than until they are closed.
func (r *run) leave() int {
	w := r.w
	if r.ctx.Err() != nil {
		return 137
	}
	r.app.say("told to end")
	r.conns = [4]bool{}
	waiting := len(r.sockets) > 0
	w.changed()
	if waiting {
		w.until(r.ctx, r.grace(), func() bool { return r.transport == evidence.OverHTTP2 && len(r.sockets) == 0 })
	}
	return 0
}

// end clears away what the run leaves. The caller holds mu.
func (r *run) end(code int) {
	w := r.w
	r.conns, r.listening = [4]bool{}, false
	r.closeSockets()
	if w.Connector.run == r {
		w.Connector.run = nil
	}
	if r.term.Err() == nil && r.app.running() { // nobody asked it to end
		r.app.State = evidence.StateError
		if code == 0 {
			r.app.State = evidence.StateStopped
		}
	}
	if w.ctx.Err() == nil {
		w.settleDoors()
	}
	w.changed()
}

func (r *run) closeSockets() {
	for _, cut := range r.sockets {
		cut()
	}
}

// Crash ends the connector at once, with an exit code of its own.
func (n *Connector) Crash() {
	n.w.mu.Lock()
	r := n.run
	if r != nil && r.app.running() {
		r.app.State = evidence.StateError
		r.app.say("crashed")
		r.kill()
	}
	n.w.mu.Unlock()
	if r != nil {
		<-r.done
	}
}

// carry takes a request from the edge to the origin, and the answer back. form is how the edge spoiled it,
// "" if it did not.
func (r *run) carry(rw *watched, req *http.Request, marked bool, form Form) {
	w := r.w
	ctx, cut := context.WithCancel(req.Context())
	defer cut()
	w.mu.Lock()
	r.total++
	r.open++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		r.open--
		delete(r.sockets, rw)
		w.changed()
	}()
	failed := func(err error) {
		w.mu.Lock()
		r.errors++
		r.app.say("origin not asked", "{why}", err.Error(), "{dest}", "https://"+req.Host+req.URL.Path)
		w.mu.Unlock()
		respond(rw, http.StatusBadGateway, "text/html", badGateway)
	}
	answered := func(answer *http.Response) {
		answer.Header.Del("Server") // Cloudflare names itself
		w.mu.Lock()
		defer w.mu.Unlock()
		if answer.StatusCode != http.StatusSwitchingProtocols {
			r.codes[answer.StatusCode]++
			return
		}
		if r.sockets[rw] = cut; r.ctx != nil && r.ready() == 0 {
			cut() // the connections were lost meanwhile
		}
		if form == Silent {
			answer.Body = unheard{answer.Body, ctx}
		}
	}
	to := w.Core.addr()
	if w.proxy != nil {
		to = w.proxy.addr
	}
	switch f := w.Faults(); {
	case form == Refused:
		failed(errNoHost)
	case f.WrongScheme:
		failed(errWrongScheme)
	case f.CoreMoved != r.followed:
		failed(errNobodyThere)
	default:
		w.passOn(rw, req.WithContext(ctx), to, func(h http.Header) { asMarked(h, marked, form) }, answered, failed)
	}
}

// badGateway is the edge's page for an origin that could not be asked.
const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>\r\nUnable to reach the origin service. " +
	"The service may be down or it may not be responding to traffic from cloudflared\r\n</center>\r\n</body>\r\n</html>\r\n"

// older compares versions like 2026.5.0.
func older(version string, than ...int) bool {
	parts := strings.Split(version, ".")
	for i, want := range than {
		have := 0
		if i < len(parts) {
			have, _ = strconv.Atoi(parts[i])
		}
		if have != want {
			return have < want
		}
	}
	return false
}
