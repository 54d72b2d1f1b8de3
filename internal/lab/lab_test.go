package lab

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab/wire"
)

const patience = 10 * time.Second

// start gives a world that is connected, unless its faults or add-ons forbid it.
func start(t *testing.T, opt Options) *World {
	t.Helper()
	if opt.Speed == 0 {
		opt.Speed = 4
	}
	w, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func ready(t *testing.T, opt Options) *World {
	t.Helper()
	w := start(t, opt)
	wait(t, w, "connected", func() bool { return w.Connector.Connections() == 4 })
	return w
}

func wait(t *testing.T, w *World, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.Wait(ctx, cond); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, w.Supervisor.Log(DefaultSlug))
	}
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func fetch(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	return fetchOver(t, &http.Transport{}, method, url, body, header...)
}

// bubbled plays a test in a bubble of virtual time, over a network of memory.
func bubbled(t *testing.T, opt Options, play func(*testing.T, *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opt.Net = wire.New()
		t.Cleanup(func() { time.Sleep(time.Second) }) // net/http goes on dialling for a request that was given up
		play(t, start(t, opt))
	})
}

func fetchOver(t *testing.T, way *http.Transport, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	way.DisableKeepAlives = true
	client := &http.Client{Timeout: patience, Transport: way, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return answer{status: resp.StatusCode, header: resp.Header} // what follows is no body
	}
	raw, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(raw), err}
}

func get(t *testing.T, url string, header ...string) answer {
	return fetch(t, "GET", url, "", header...)
}

// super calls Supervisor with the token.
func super(t *testing.T, w *World, method, path, body string) answer {
	t.Helper()
	return fetch(t, method, w.Supervisor.URL()+path, body, "Authorization", "Bearer "+SupervisorToken)
}

// data reads an envelope that must be ok.
func data(t *testing.T, a answer) map[string]any {
	t.Helper()
	var e struct {
		Result string
		Data   map[string]any
	}
	if a.err != nil || json.Unmarshal([]byte(a.body), &e) != nil || e.Result != "ok" || a.status != 200 {
		t.Fatalf("not ok: %+v", a)
	}
	return e.Data
}

func want(t *testing.T, a answer, status int, parts ...string) {
	t.Helper()
	if a.err != nil || a.status != status {
		t.Fatalf("want %d, have %+v", status, a)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Fatalf("body lacks %q: %q", p, a.body)
		}
	}
}

var upgrade = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}

// handshakeAt does the handshake by hand, for refusals.
func handshakeAt(t *testing.T, base string) answer {
	t.Helper()
	return get(t, base+"/api/websocket", upgrade...)
}

// dial opens a WebSocket and reads the greeting.
func dial(t *testing.T, base string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, base+"/api/websocket", &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	if m := hear(t, ws); m["type"] != "auth_required" || m["ha_version"] == "" {
		t.Fatalf("greeting: %v", m)
	}
	return ws
}

func hear(t *testing.T, ws *websocket.Conn) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, raw, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAHealthyWorldGreetsThroughTheEdgeAndDirectly(t *testing.T) {
	for name, opt := range map[string]Options{"plain": {}, "http2": {RunParameters: []string{"--protocol=http2"}}} {
		t.Run(name, func(t *testing.T) {
			w := ready(t, opt)
			dial(t, w.Edge.URL())
			dial(t, w.Core.URL())
			if w.OpenShare() != 1 {
				t.Errorf("open share %v", w.OpenShare())
			}
		})
	}
}

func TestTheEnvironmentNamesEveryPartAndNothingOutside(t *testing.T) {
	w := start(t, Options{})
	for k, v := range w.Env() {
		if strings.HasSuffix(k, "_URL") {
			u, err := url.Parse(v)
			if err != nil || u.Hostname() != "127.0.0.1" {
				t.Errorf("%s=%s leaves the loopback", k, v)
			}
		}
	}
	if _, set := start(t, Options{FindURL: true}).Env()["TUNNELMEDIC_PUBLIC_URL"]; set {
		t.Error("the public URL is to be found")
	}
}

func TestSpeedStretchesTimings(t *testing.T) {
	for _, tag := range []string{"fast", "real"} {
		all := Timings{}.filled(tag, 1)
		for d, tags := range all.all() {
			if *d <= 0 {
				t.Errorf("a time's tag %s says nothing: %s", tag, tags)
			}
		}
	}
	slow := Timings{}.filled("fast", 0.5)
	if slow.Setup != 100*time.Millisecond || slow.ProbeInterval != time.Second {
		t.Errorf("%+v", slow)
	}
	if kept := (Timings{Setup: time.Second}).filled("fast", 10); kept.Setup != time.Second {
		t.Errorf("a timing that was set has changed: %v", kept.Setup)
	}
}

func TestClosingEndsEveryGoroutineAndPort(t *testing.T) {
	before := runtime.NumGoroutine()
	w := ready(t, Options{TLS: true})
	ca := w.Env()["TUNNELMEDIC_CA_FILE"]
	if _, err := os.Stat(ca); err != nil {
		t.Fatal(err)
	}
	c := w.StartClients(5*time.Millisecond, true)
	hung := make(chan struct{})
	w.Supervisor.Inject(Injection{Path: "/info", Hang: true})
	go func() {
		defer close(hung)
		_ = super(t, w, "GET", "/info", "")
	}()
	wait(t, w, "visited and hanging", func() bool {
		return c.Tally().Opened > 0 && slices.ContainsFunc(w.Requests(), func(r Request) bool { return r.Path == "/info" })
	})
	w.SetFaults(Faults{CoreStarting: true})
	w.Close()
	<-hung
	for _, addr := range []string{w.Supervisor.door.addr, w.Edge.door.addr, w.Connector.door.addr, w.Core.door.addr, w.Outside.door.addr, w.control.addr} {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s still answers", addr)
		}
	}
	if _, err := os.Stat(ca); err == nil {
		t.Error("the CA file is still there")
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, n, buf[:runtime.Stack(buf, true)])
	}
	w.Close() // twice does no harm
}

func TestCutOffCountsTheTimeWeightedByTheShare(t *testing.T) {
	now := time.Unix(0, 0)
	m := meter{last: now, share: 1}
	m.turn(now.Add(10*time.Second), 0.5)
	m.turn(now.Add(30*time.Second), 0)
	if got := m.total(now.Add(time.Hour)); got != 20*time.Second {
		t.Errorf("have %v, want 20 s", got)
	}
	w := ready(t, Options{})
	healthy := w.CutOff()
	if healthy <= 0 {
		t.Error("until the connector stands nobody gets in")
	}
	if again := w.CutOff(); again != healthy {
		t.Errorf("it grows in a healthy world: %v, then %v", healthy, again)
	}
	w.SetFaults(Stripped(1))
	for start := w.CutOff(); w.CutOff() == start; {
		runtime.Gosched()
	}
}

func TestOpenShareFollowsWhatAVisitorMeets(t *testing.T) {
	w := ready(t, Options{})
	for name, c := range map[string]struct {
		f    Faults
		want float64
	}{
		"a fault on the other transport":  {Stripped(1, evidence.OverHTTP2), 1},
		"a partial fault on this one":     {Stripped(0.25, evidence.OverQUIC), 0.75},
		"websockets off at the zone":      {Faults{WebSocketsOff: true}, 0},
		"an answer for pages only":        {Faults{Answer: &EdgeAnswer{Status: 503, To: "page"}}, 1},
		"a replica elsewhere":             {Faults{ElsewhereToo: true}, 1},
		"Home Assistant away":             {Faults{CoreDown: true}, 0},
		"Supervisor away is not felt":     {Faults{SupervisorDown: true}, 1},
		"a name that leads home directly": {Faults{SplitDNS: true, Firewall: 1020}, 1},
	} {
		w.SetFaults(c.f)
		if got := w.OpenShare(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func say(t *testing.T, ws *websocket.Conn, message string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// silentAt opens a WebSocket and makes sure that nothing comes for a while.
func silentAt(t *testing.T, base string) {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), base+"/api/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, raw, err := ws.Read(ctx); ctx.Err() == nil {
		t.Fatalf("heard %q, %v", raw, err)
	}
}
