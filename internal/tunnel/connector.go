package tunnel

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
)

// askTimeout bounds one question to the connector: it stands in the same machine.
const askTimeout = 3 * time.Second

// answerLimit bounds an answer; cloudflared's metrics are some 40 KiB.
const answerLimit = 1 << 20

// Connector asks a running cloudflared about itself, on its metrics server. It may
// be used by several goroutines at once.
type Connector struct {
	http *resty.Client
	net  network.Network
	line *kept  // Read's own
	ask  []byte // what Read sends

	mu      sync.Mutex
	upSince time.Time // first of an unbroken row of good answers
	began   time.Time // when the present process is known to have run already
	noneYet time.Time // first of an unbroken row of answers that it has no connection
	last    process   // that answered last
	left    process   // that Forget left behind
	seen    evidence.Connector
}

// process tells one run of cloudflared from the next.
type process struct {
	id       string    // connectorId: drawn anew at every start
	requests uint64    // total_requests: a smaller count is a new process, too
	began    time.Time // process_start_time_seconds, zero if not told
}

// sameStart is how far two readings of one process's start may lie apart: it is
// computed from the machine's clock, which may be set in between.
const sameStart = time.Second

// followed says whether another process has taken the place of p.
func (p process) followed(by process) bool {
	if p.id != "" && by.id != "" {
		return p.id != by.id || by.requests < p.requests
	}
	younger := !p.began.IsZero() && by.began.Sub(p.began) > sameStart
	return younger || by.requests < p.requests
}

// NewConnector makes a connector at this base URL. It asks nothing yet.
func NewConnector(base string) *Connector {
	return &Connector{http: network.Client(network.Network{}.Transport(), base, askTimeout, answerLimit)}
}

// Over makes it ask over this network instead of the machine's own, from the start.
func (c *Connector) Over(n network.Network) *Connector {
	c.http.SetTransport(n.Transport())
	c.net = n
	return c
}

// Look reads /ready and the counters. The transport and the edges are those of the
// last Inspect that met the same process.
func (c *Connector) Look(ctx context.Context, now time.Time) evidence.Connector {
	e, id := c.ready(ctx)
	if e.Status != 0 {
		if counters, err := c.counters(ctx); err == nil {
			e.Counters = &counters
		}
	}
	return c.follow(e, id, now)
}

// follow puts an answer beside those before: whose it is, and for how long it has been so.
func (c *Connector) follow(e evidence.Connector, id string, now time.Time) evidence.Connector {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := process{id: id, requests: c.last.requests, began: c.last.began}
	if e.Counters != nil {
		found.requests, found.began = e.Counters.Requests, e.Counters.Began
	}
	anew := c.last.followed(found)
	if e.Status != 0 {
		c.last = found
		e.Running = c.running(found, anew, now)
	}
	if !e.Up() || anew {
		c.upSince, c.seen = time.Time{}, evidence.Connector{}
	}
	if e.Up() {
		if c.upSince.IsZero() {
			c.upSince = now
		}
		e.ObservedUp = now.Sub(c.upSince)
	}
	if e.Status != 503 || anew {
		c.noneYet = time.Time{}
	}
	if e.Status == 503 {
		if c.noneYet.IsZero() {
			c.noneYet = now
		}
		e.ObservedDown = now.Sub(c.noneYet)
	}
	e.Transport, e.Edges = c.seen.Transport, c.seen.Edges
	return e
}

// running is how long the process has run: since it was first seen, or since its own
// word on its start, where that is earlier and can be true. The caller holds mu.
func (c *Connector) running(p process, anew bool, now time.Time) time.Duration {
	if c.began.IsZero() || anew || now.Before(c.began) {
		c.began = now
	}
	if age := now.Sub(p.began); !p.began.IsZero() && age > now.Sub(c.began) && age < oldest {
		c.began = p.began
	}
	return now.Sub(c.began)
}

// oldest is how long ago a start may lie to be believed: a clock that was not set yet
// says 1970.
const oldest = 5 * 365 * 24 * time.Hour

// Inspect is Look, and asks /diag/tunnel for the transport and the edges if they
// are not known of this process yet: each such question writes two lines to the
// add-on's log, so it is asked once per change.
func (c *Connector) Inspect(ctx context.Context, now time.Time) evidence.Connector {
	e := c.Look(ctx, now)
	if !e.Up() || e.Transport != evidence.NoTransport {
		return e
	}
	transport, edges, err := c.connections(ctx)
	if err != nil {
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Transport, e.Edges = transport, edges
	c.seen = e
	return e
}

// edgePort is where Cloudflare's edge takes tunnels, over TCP and over UDP
// (cloudflared's own; DOC).
const edgePort = 7844

// QUICEdges says where to ask whether QUIC gets through: at the one that is set, or
// else at the addresses, two of them, to which the connector is connected. The edges
// of a connector that a developer names by its URL are nobody's to ask.
func QUICEdges(c evidence.Connector, set netip.AddrPort, connectorURL string) (list []netip.AddrPort) {
	switch {
	case set.IsValid():
		return []netip.AddrPort{set}
	case connectorURL != "":
		return nil
	}
	for _, edge := range c.Edges {
		if ip, err := netip.ParseAddr(edge); err == nil && len(list) < 2 {
			list = append(list, netip.AddrPortFrom(ip, edgePort))
		}
	}
	return list
}

// Forget drops what is remembered of the process, before a restart of ours.
func (c *Connector) Forget() {
	c.HangUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upSince, c.noneYet, c.began, c.seen, c.left, c.last = time.Time{}, time.Time{}, time.Time{}, evidence.Connector{}, c.last, process{}
}

// Renewed says whether the process that answered last is a different one from that
// which Forget left behind at a moment. Where nothing was known of that one, only a
// start after that moment shows it.
func (c *Connector) Renewed(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.last == process{}:
		return false
	case c.left == process{}:
		return c.last.began.IsZero() || c.last.began.After(since.Add(-sameStart))
	}
	return c.left.followed(c.last)
}

// Process is the id that the process which answered last has given itself, "" if
// it is not known.
func (c *Connector) Process() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.id
}

// ready asks how many connections stand, and who says so.
func (c *Connector) ready(ctx context.Context) (e evidence.Connector, id string) {
	e.Asked = true
	res, err := c.http.R().SetContext(ctx).Get("/ready")
	if err != nil {
		e.Trouble = troubleOf(err)
		return e, ""
	}
	return readiness(res.StatusCode(), res.Body())
}

// readiness reads an answer of /ready.
func readiness(status int, answer []byte) (e evidence.Connector, id string) {
	e.Asked = true
	var body struct {
		Ready *int   `json:"readyConnections"`
		ID    string `json:"connectorId"`
	}
	if json.Unmarshal(answer, &body) != nil || body.Ready == nil || *body.Ready < 0 || status != 200 && status != 503 {
		e.Trouble = evidence.Garbled
		return e, ""
	}
	e.Status, e.Ready = status, *body.Ready
	return e, body.ID
}

// connections reads /diag/tunnel. protocol 1 is quic, and http2 is left out; so is
// index 0.
func (c *Connector) connections(ctx context.Context) (evidence.Transport, []string, error) {
	type connection struct {
		Connected bool   `json:"isConnected"`
		Protocol  int    `json:"protocol"`
		Edge      string `json:"edgeAddress"`
		Index     int    `json:"index"`
	}
	var body struct {
		Connections []connection `json:"connections"`
	}
	if err := c.get(ctx, "/diag/tunnel", &body); err != nil {
		return evidence.NoTransport, nil, err
	}
	slices.SortStableFunc(body.Connections, func(a, b connection) int { return a.Index - b.Index })
	transport := evidence.NoTransport
	var edges []string
	for _, x := range body.Connections {
		if !x.Connected {
			continue
		}
		transport = evidence.OverHTTP2
		if x.Protocol == 1 {
			transport = evidence.OverQUIC
		}
		if net.ParseIP(x.Edge) != nil && len(edges) < 8 {
			edges = append(edges, x.Edge)
		}
	}
	return transport, edges, nil
}

// TunnelID asks the connector which tunnel it belongs to; "" if it does not say. It
// writes two lines to the add-on's log, so it is asked seldom.
func (c *Connector) TunnelID(ctx context.Context) string {
	var body struct {
		ID string `json:"tunnelID"`
	}
	if c.get(ctx, "/diag/tunnel", &body) != nil {
		return ""
	}
	return body.ID
}

// Ingress reads which host name leads to which service, for remotely managed
// tunnels too.
func (c *Connector) Ingress(ctx context.Context) ([]Rule, error) {
	var body struct {
		Config struct {
			Ingress []Rule `json:"ingress"`
		} `json:"config"`
	}
	err := c.get(ctx, "/config", &body)
	return body.Config.Ingress, err
}

func (c *Connector) get(ctx context.Context, path string, into any) error {
	res, err := c.http.R().SetContext(ctx).Get(path)
	switch {
	case err != nil:
		return fmt.Errorf("asking cloudflared for %s: %s", path, troubleOf(err))
	case res.StatusCode() != 200:
		return fmt.Errorf("asking cloudflared for %s: HTTP %d", path, res.StatusCode())
	}
	if err := json.Unmarshal(res.Body(), into); err != nil {
		return fmt.Errorf("asking cloudflared for %s: the answer has an unexpected format", path)
	}
	return nil
}

func (c *Connector) counters(ctx context.Context) (evidence.Counters, error) {
	// Read as it comes: held as a whole, it would be most of what is allocated.
	res, err := c.http.R().SetContext(ctx).SetDoNotParseResponse(true).
		SetHeader("Accept-Encoding", "identity").Get("/metrics") // to pack and unpack it on one machine costs both sides time
	if err != nil {
		return evidence.Counters{}, err
	}
	defer res.RawBody().Close()
	if res.StatusCode() != 200 {
		return evidence.Counters{}, fmt.Errorf("HTTP %d", res.StatusCode())
	}
	return parseCounters(res.RawBody())
}

// startName is what the Prometheus library's process collector, which cloudflared's
// metrics include, calls the start of the process.
const startName = "process_start_time_seconds"

// parseCounters reads the few counters it needs from Prometheus' text format. Six
// names do not bear that format's whole parser and its dependencies.
func parseCounters(text io.Reader) (evidence.Counters, error) {
	c := evidence.Counters{Codes: map[int]uint64{}}
	found := false
	limited := &io.LimitedReader{R: text, N: answerLimit}
	lines := bufio.NewScanner(limited)
	for lines.Scan() {
		raw := bytes.TrimSpace(lines.Bytes())
		if !wanted(raw) {
			continue
		}
		if name, labels, v, ok := metric(string(raw)); ok {
			found = found || name == "cloudflared_tunnel_total_requests"
			count(&c, name, labels, v)
		}
	}
	switch {
	case lines.Err() != nil:
		return c, fmt.Errorf("reading cloudflared's counters: %w", lines.Err())
	case limited.N <= 0:
		return c, errors.New("cloudflared's counters are longer than any that are real")
	case !found:
		return c, errors.New("cloudflared's counters are missing")
	}
	return c, nil
}

// wanted says whether a line may hold a counter that is needed. Most do not.
func wanted(line []byte) bool {
	return bytes.HasPrefix(line, []byte("cloudflared_tunnel_")) || bytes.HasPrefix(line, []byte("build_info")) || bytes.HasPrefix(line, []byte(startName))
}

// metric takes a line apart. A value that no counter can have is none.
func metric(line string) (name, labels string, v float64, ok bool) {
	name, rest, _ := strings.Cut(line, " ")
	if i := strings.IndexByte(name, '{'); i >= 0 {
		name, labels = name[:i], line[i:]
		rest = labels[strings.LastIndexByte(labels, '}')+1:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return name, labels, 0, false
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	return name, labels, v, err == nil && v >= 0 && v <= 1e15 // NaN is neither
}

// count takes one counter.
func count(c *evidence.Counters, name, labels string, v float64) {
	n := uint64(v)
	switch name {
	case "cloudflared_tunnel_total_requests":
		c.Requests = n
	case "cloudflared_tunnel_request_errors":
		c.Errors = n
	case "cloudflared_tunnel_response_by_code":
		if code, err := strconv.Atoi(label(labels, "status_code")); err == nil && code >= 100 && code < 1000 {
			c.Codes[code] += n
		}
	case "cloudflared_tunnel_concurrent_requests_per_tunnel":
		c.Concurrent += int(n)
	case "cloudflared_tunnel_server_locations":
		if n == 1 {
			c.Locations = located(c.Locations, label(labels, "edge_location"))
		}
	case "build_info":
		c.Version = label(labels, "version")
	case startName:
		c.Began = time.UnixMilli(int64(v * 1000))
	}
}

// located adds a place, if it can be one and is new.
func located(list []string, at string) []string {
	if len(at) == 0 || len(at) > 8 || len(list) >= 8 || slices.Contains(list, at) {
		return list
	}
	return append(list, at)
}

// label gives a label's value. version must not find the end of goversion.
func label(labels, name string) string {
	for _, before := range []string{"{", ",", ", "} {
		if _, rest, ok := strings.Cut(labels, before+name+`="`); ok {
			v, _, _ := strings.Cut(rest, `"`)
			return v
		}
	}
	return ""
}

// troubleOf takes what is nothing else for an answer that is not HTTP, or not ours.
func troubleOf(err error) evidence.Trouble {
	return cmp.Or(network.TroubleOf(err), evidence.Garbled)
}

// Hosts are the names by which Cloudflare knows the zone of a public host: its own, and,
// where that is an address, those of the tunnel's rules, three at most.
func (c *Connector) Hosts(ctx context.Context, host string) []string {
	if !isAddress(host) && host != "localhost" {
		return []string{host}
	}
	rules, err := c.Ingress(ctx)
	if err != nil {
		return []string{host}
	}
	list := []string{}
	for _, r := range rules {
		if r.Hostname != "" && len(list) < 3 {
			list = append(list, r.Hostname)
		}
	}
	return list
}
