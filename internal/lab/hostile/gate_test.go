package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
)

// step is a call of a treatment.
type step string

const (
	reading    step = "read"       // the options, before they are written
	writing    step = "write"      // the options
	readBack   step = "read back"  // what is stored after that
	restarting step = "restart"    // the add-on
	lookAfter  step = "look after" // what became of a restart
	starting   step = "start"      // an add-on whose start failed after the stop
	watching   step = "watch"      // the add-on while it connects
	elsewhere  step = ""           // no part of a treatment
)

// place is a step of one of the changes that a treatment consists of.
type place struct {
	purpose string // "trial", "restore"…
	step    step
}

func (p place) String() string { return p.purpose + "/" + string(p.step) }

// gate passes the daemon's calls on to Supervisor, and knows from the journal
// which step of a treatment each belongs to.
type gate struct {
	server *httptest.Server
	target string
	record func() journal.Record
	client *http.Client

	mu      sync.Mutex
	handler func(place, *exchange) // nil: pass all
	wrote   bool                   // since the present intention's writing began
	calls   []string
	opened  chan struct{}
}

// exchange is one call at the gate.
type exchange struct {
	rw   http.ResponseWriter
	req  *http.Request
	body []byte
	g    *gate
}

func newGate(t testing.TB, target string, record func() journal.Record) *gate {
	g := &gate{target: target, record: record, opened: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	g.server = httptest.NewServer(g)
	t.Cleanup(func() { g.open(); g.server.Close() })
	return g
}

func (g *gate) url() string { return g.server.URL }

// guard makes every call go through a handler.
func (g *gate) guard(handler func(place, *exchange)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handler = handler
}

// open lets everything pass from now on, and lets go what hangs.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handler = nil
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

func (g *gate) story() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.calls[max(0, len(g.calls)-60):], "\n")
}

func (g *gate) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // a client that dies in mid-call sends less
	p := g.place(req)
	x := &exchange{rw: rw, req: req, body: body, g: g}
	g.mu.Lock()
	handler := g.handler
	if p.step != elsewhere {
		g.calls = append(g.calls, fmt.Sprintf("%s %-18s %s %s", time.Now().Format("05.000"), p, req.Method, req.URL.Path))
	}
	g.mu.Unlock()
	if handler == nil {
		x.pass()
		return
	}
	handler(p, x)
}

// place tells from the journal where a call belongs.
func (g *gate) place(req *http.Request) place {
	rest, ok := strings.CutPrefix(req.URL.Path, "/addons/"+lab.DefaultSlug+"/")
	if !ok {
		return place{}
	}
	r := g.record()
	in := r.Intention
	if in == nil {
		return place{}
	}
	p := place{purpose: in.Purpose.String()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote = g.wrote && in.Stage == journal.Writing
	switch rest {
	case "options":
		p.step, g.wrote = writing, true
	case "restart":
		p.step = restarting
	case "start":
		p.step = starting
	case "info":
		p.step = map[journal.Stage]step{journal.Writing: reading, journal.Restarting: lookAfter, journal.Connecting: watching}[in.Stage]
		if p.step == reading && g.wrote {
			p.step = readBack
		}
	}
	return p
}

// answer is what Supervisor said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// forward has the call take effect, whatever becomes of its caller.
func (x *exchange) forward() answer {
	req, err := http.NewRequestWithContext(context.Background(), x.req.Method, x.g.target+x.req.URL.RequestURI(), bytes.NewReader(x.body))
	if err != nil {
		return answer{status: http.StatusBadGateway}
	}
	req.Header = x.req.Header.Clone()
	resp, err := x.g.client.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}
}

// pass forwards and answers.
func (x *exchange) pass() { x.give(x.forward()) }

func (x *exchange) give(a answer) {
	if a.status == 0 { // Supervisor is away
		x.reset()
		return
	}
	for k, v := range a.header {
		x.rw.Header()[k] = v
	}
	x.rw.WriteHeader(a.status)
	_, _ = x.rw.Write(a.body)
}

func (x *exchange) say(status int, kind, body string) {
	x.give(answer{status, http.Header{"Content-Type": {kind}}, []byte(body)})
}

// hang gives no answer until the caller goes or the gate is opened.
func (x *exchange) hang() {
	select {
	case <-x.req.Context().Done():
	case <-x.g.opened:
	}
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset.
func (x *exchange) reset() { x.cut(nil) }

// cut sends the beginning of an answer and resets the connection.
func (x *exchange) cut(a *answer) {
	conn, buf, err := http.NewResponseController(x.rw).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if a != nil {
		fmt.Fprintf(buf, "HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", a.status, len(a.body))
		_, _ = buf.Write(a.body[:len(a.body)/2])
		_ = buf.Flush()
		time.Sleep(5 * time.Millisecond) // so that the beginning is read before the reset throws it away
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}
