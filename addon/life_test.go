package addon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// stopTime is what a stop may take; the image's own limit lies above.
const stopTime = 5 * time.Second

// household is a world with a daemon in it, which can be stopped and started.
type household struct {
	*lab.World
	env  map[string]string
	log  *logBook
	end  context.CancelFunc
	done chan error
}

// logBook is a log that may be read while it is written.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// String is the end, for a failed test.
func (l *logBook) String() string {
	text := l.all()
	return text[max(0, len(text)-3000):]
}

// TestMain lets more tests live side by side than there are processors: they wait more than they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// settle gives a world, connected unless its options forbid it, with a data folder
// for its daemon; the daemon does not run yet.
func settle(t *testing.T, opt lab.Options) *household {
	t.Helper()
	w, err := lab.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	h := &household{World: w, env: w.Env(), log: &logBook{}}
	h.env["TUNNELMEDIC_DATA_DIR"], h.env["TUNNELMEDIC_LOG_LEVEL"], h.env["TUNNELMEDIC_LOG_FORMAT"] = t.TempDir(), "trace", "json"
	h.env["TUNNELMEDIC_PATIENCE"] = "0.2"
	h.wait(t, "connected", func() bool { return w.Connector.Connections() == 4 })
	return h
}

func (h *household) start(t *testing.T) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	h.end, h.done = end, make(chan error, 1)
	go func() { h.done <- addon.Run(ctx, lab.Environ(h.env), "test", h.log) }()
	t.Cleanup(end)
}

// stop is a SIGTERM: it must end well, and in time.
func (h *household) stop(t *testing.T) {
	t.Helper()
	h.end()
	begun := time.Now()
	select {
	case err := <-h.done:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(2 * stopTime):
		t.Fatalf("it did not end\n%s", h.log)
	}
	if took := time.Since(begun); took > stopTime {
		t.Errorf("it took %v to end", took)
	}
}

func (h *household) wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := h.Wait(ctx, cond); err != nil {
		t.Fatalf("%s: %v; state %q\n%s", what, err, h.state(), h.log)
	}
}

// state is the daemon's own, as its page tells; "" if it does not answer.
func (h *household) state() string {
	s, _ := h.ask("/api/status")["state"].(string)
	return s
}

func (h *household) ask(path string) map[string]any {
	var m map[string]any
	if raw := h.fetch(path); raw != nil {
		_ = json.Unmarshal(raw, &m)
	}
	return m
}

func (h *household) fetch(path string) []byte {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + h.env["TUNNELMEDIC_LISTEN"] + path)
	if err != nil {
		return nil
	}
	defer func() { _ = res.Body.Close() }()
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	return b.Bytes()
}

func (h *household) told(from, to string) func() bool {
	return func() bool {
		return slices.ContainsFunc(h.Core.Told().Events, func(e lab.Event) bool {
			var d struct{ From, To string }
			_ = json.Unmarshal(e.Data, &d)
			return (from == "" || d.From == from) && d.To == to
		})
	}
}

func (h *household) calls(call string) (n int) {
	for _, r := range h.Requests() {
		if r.Server == "supervisor" && strings.HasSuffix(r.Path, call) && r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// asItWas holds the end against the user's own: every option byte for byte, and
// cloudflared running and connected with them.
func (h *household) asItWas(t *testing.T, options json.RawMessage) {
	t.Helper()
	h.wait(t, "the user's own options", func() bool { return sameMembers(t, h.Supervisor.Options(lab.DefaultSlug), options) })
	h.wait(t, "cloudflared runs", func() bool {
		return h.Connector.Connections() == 4 && h.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted
	})
	if tr := h.Connector.Transport(); tr != evidence.OverQUIC {
		t.Errorf("it runs over %v, not as the user has set", tr)
	}
}

// sameMembers compares two objects value by value, byte for byte.
func sameMembers(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	var x, y map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return maps.EqualFunc(x, y, func(v, w json.RawMessage) bool { return bytes.Equal(v, w) })
}

func TestAStopEndsItInTimeWhateverItDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults lab.Faults
		until  func(t *testing.T, h *household)
	}{
		"healthy": {until: func(t *testing.T, h *household) { h.wait(t, "healthy", h.told("", "healthy")) }},
		"at once": {until: func(*testing.T, *household) {}},
		"in a probe of an edge that hangs": {faults: lab.Faults{EdgeSilent: true}, until: func(t *testing.T, h *household) {
			h.wait(t, "a probe", func() bool {
				return slices.ContainsFunc(h.Requests(), func(r lab.Request) bool { return r.Server == "edge" && r.Status == 0 })
			})
		}},
		"while Supervisor hangs": {until: func(t *testing.T, h *household) {
			h.Supervisor.Inject(lab.Injection{Hang: true})
			n := len(h.Requests())
			h.wait(t, "a call", func() bool { return len(h.Requests()) > n })
		}},
		"while Supervisor is gone": {faults: lab.Faults{SupervisorDown: true}, until: func(*testing.T, *household) {}},
		"while Core hangs": {until: func(t *testing.T, h *household) {
			h.Supervisor.Inject(lab.Injection{Path: "/core/api/**", Hang: true})
			n := len(h.Requests())
			h.wait(t, "a call", func() bool { return len(h.Requests()) > n })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := settle(t, lab.Options{Timings: lab.Timings{ProbeTimeout: 10 * time.Second}})
			before := h.Supervisor.Options(lab.DefaultSlug)
			h.SetFaults(c.faults)
			h.start(t)
			c.until(t, h)
			h.stop(t)
			h.SetFaults(lab.Faults{})
			h.asItWas(t, before)
			if h.Supervisor.Restarts() != 0 {
				t.Errorf("the tunnel was restarted %d times", h.Supervisor.Restarts())
			}
		})
	}
}

func TestAStopInATreatmentPutsTheUsersOwnBack(t *testing.T) {
	t.Parallel()
	restart := func(i lab.Injection) func(h *household) {
		return func(h *household) { i.Method, i.Path = "POST", "/addons/*/restart"; h.Supervisor.Inject(i) }
	}
	for name, c := range map[string]struct {
		prepare func(h *household)
		until   func(h *household) bool
		opt     lab.Options
	}{
		"while the trial is proven": {
			until: func(h *household) bool {
				return h.Connector.Transport() == evidence.OverHTTP2 && h.Connector.Connections() == 4
			},
			// Slow enough that the stop comes before the proof.
			opt: lab.Options{Timings: lab.Timings{BurstInterval: 200 * time.Millisecond}},
		},
		"while the restart hangs before its effect": {prepare: restart(lab.Injection{Hang: true, Times: 1}), until: func(h *household) bool { return h.calls("/restart") > 0 }},
		"while the restart hangs after its effect":  {prepare: restart(lab.Injection{Hang: true, AfterEffect: true, Times: 1}), until: func(h *household) bool { return h.Connector.Transport() == evidence.OverHTTP2 }},
		"while the restart is under way":            {until: func(h *household) bool { return h.Supervisor.Restarts() > 0 }, opt: lab.Options{Timings: lab.Timings{Setup: 500 * time.Millisecond}}},
		"just when the options were written":        {prepare: restart(lab.Injection{Status: 400, Body: `{"result":"error","message":"Another job is running for job group app_9074a9fa_cloudflared"}`, Times: 4}), until: func(h *household) bool { return h.calls("/restart") > 1 }},
		"while it cannot connect":                   {prepare: func(h *household) { h.ChangeFaults(func(f *lab.Faults) { f.TCPBlocked = true }) }, until: func(h *household) bool { return h.Supervisor.Restarts() > 0 && h.Connector.Connections() == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := settle(t, c.opt)
			before := h.Supervisor.Options(lab.DefaultSlug)
			h.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			if c.prepare != nil {
				c.prepare(h)
			}
			h.start(t)
			h.wait(t, "the trial", func() bool { return c.until(h) })
			h.stop(t)
			h.asItWas(t, before)

			// It comes again, the fault has gone: the user's own stays, and all is well.
			h.SetFaults(lab.Faults{})
			h.Supervisor.ClearInjections()
			n := len(h.Core.Told().Events)
			h.start(t)
			h.wait(t, "sane again", func() bool {
				return len(h.Core.Told().Events) > n && (h.state() == "healthy" || h.state() == "holding")
			})
			h.asItWas(t, before)
			h.stop(t)
			h.asItWas(t, before)
			if r := h.Supervisor.Restarts(); r > 4 {
				t.Errorf("the tunnel was restarted %d times", r)
			}
		})
	}
}

func TestAStartAfterAKillInATreatmentEndsWell(t *testing.T) {
	t.Parallel()
	h := settle(t, lab.Options{})
	before := h.Supervisor.Options(lab.DefaultSlug)
	h.SetFaults(lab.Stripped(1, evidence.OverQUIC))
	h.start(t)
	h.wait(t, "the trial", func() bool { return h.Connector.Transport() == evidence.OverHTTP2 })
	// What a kill leaves is the data folder as it is now.
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(h.env["TUNNELMEDIC_DATA_DIR"])); err != nil {
		t.Fatal(err)
	}
	options := h.Supervisor.Options(lab.DefaultSlug)
	h.stop(t)
	h.asItWas(t, before)
	if err := h.User.SetsOptions(lab.DefaultSlug, options); err != nil { // as the kill would have left them
		t.Fatal(err)
	}
	if err := h.User.Restarts(lab.DefaultSlug); err != nil {
		t.Fatal(err)
	}
	h.env["TUNNELMEDIC_DATA_DIR"] = left
	h.start(t)
	h.wait(t, "proven", h.told("treating", "healthy"))
	if tr := h.Connector.Transport(); tr != evidence.OverHTTP2 {
		t.Errorf("it runs over %v", tr)
	}
	h.stop(t)
	if got := h.Supervisor.RunParameters(); !slices.Equal(got, []string{"--protocol=http2"}) {
		t.Errorf("what was proven is gone: %q", got)
	}
}

func TestAnIncidentWhoseFileIsLostAndASupervisorAwayIsNoCrash(t *testing.T) {
	t.Parallel()
	h := settle(t, lab.Options{})
	h.SetFaults(lab.Stripped(1))
	h.start(t)
	h.wait(t, "holding", h.told("", "holding"))
	h.stop(t)
	if err := os.RemoveAll(filepath.Join(h.env["TUNNELMEDIC_DATA_DIR"], "incidents")); err != nil {
		t.Fatal(err)
	}
	h.SetFaults(lab.Faults{SupervisorDown: true})
	h.start(t)
	deadline := time.Now().Add(10 * time.Second)
	for h.state() != "holding" && h.state() != "blind" {
		if time.Now().After(deadline) {
			t.Fatalf("state %q\n%s", h.state(), h.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.stop(t)
}

// Whatever comes instead of an answer is an observation: no crash, and no restart
// of the tunnel.
func TestNonsenseIsNoReasonForARestart(t *testing.T) {
	t.Parallel()
	page := "<html><head><title>Welcome</title></head><body>Sign in to the hotel's network</body></html>"
	everything := func(i lab.Injection) func(h *household) { return func(h *household) { h.Supervisor.Inject(i) } }
	for name, meddle := range map[string]func(h *household){
		"Supervisor: HTML":          everything(lab.Injection{Status: 200, ContentType: "text/html", Body: page}),
		"Supervisor: an error page": everything(lab.Injection{Status: 502, ContentType: "text/html", Body: page}),
		"Supervisor: nothing":       everything(lab.Injection{Status: 200, Body: ""}),
		"Supervisor: broken JSON":   everything(lab.Injection{Status: 200, Body: `{"result":"ok","data":{"addons":[{"slug":`}),
		"Supervisor: empty data":    everything(lab.Injection{Status: 200, Body: `{"result":"ok","data":{}}`}),
		"Supervisor: wrong types":   everything(lab.Injection{Status: 200, Body: `{"result":"ok","data":{"addons":7,"slug":[],"options":"x","state":5}}`}),
		"Supervisor: resets":        everything(lab.Injection{Reset: true}),
		"Supervisor: huge":          everything(lab.Injection{Huge: 6 << 20}),
		"Supervisor: slow":          everything(lab.Injection{Delay: lab.Duration(300 * time.Millisecond)}),
		"Supervisor: not ready":     func(h *household) { h.SetFaults(lab.Faults{SupervisorState: "setup"}) },
		"Supervisor: not a manager": func(h *household) { h.SetFaults(lab.Faults{NotManager: true}) },
		"edge: HTML":                func(h *household) { h.SetFaults(lab.Faults{Answer: &lab.EdgeAnswer{Status: 200, Body: page}}) },
		"edge: huge": func(h *household) {
			h.SetFaults(lab.Faults{Answer: &lab.EdgeAnswer{Status: 500, Body: strings.Repeat(page, 20000)}})
		},
		"edge: a status of its own":  func(h *household) { h.SetFaults(lab.Faults{Answer: &lab.EdgeAnswer{Status: 299}}) },
		"edge: silence":              func(h *household) { h.SetFaults(lab.Faults{EdgeSilent: true}) },
		"edge: a challenge":          func(h *household) { h.SetFaults(lab.Faults{Challenge: true}) },
		"edge: rate limit":           func(h *household) { h.SetFaults(lab.Faults{RateLimited: true}) },
		"origin: down":               func(h *household) { h.SetFaults(lab.Faults{CoreDown: true}) },
		"origin: silence":            func(h *household) { h.SetFaults(lab.Faults{OriginSilent: true}) },
		"origin: banned":             func(h *household) { h.SetFaults(lab.Faults{Banned: true}) },
		"internet: down":             func(h *household) { h.SetFaults(lab.Faults{InternetDown: true}) },
		"a fault, and no Supervisor": func(h *household) { f := lab.Stripped(1); f.SupervisorDown = true; h.SetFaults(f) },
		"a fault, and a Supervisor of nonsense": func(h *household) {
			h.SetFaults(lab.Stripped(1))
			h.Supervisor.Inject(lab.Injection{Path: "/addons/**", Status: 200, ContentType: "text/html", Body: page})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := settle(t, lab.Options{Timings: lab.Timings{ProbeTimeout: 150 * time.Millisecond, ProbeInterval: 60 * time.Millisecond, BurstInterval: 20 * time.Millisecond, MinUptime: time.Millisecond}})
			before := h.Supervisor.Options(lab.DefaultSlug)
			h.start(t)
			h.wait(t, "healthy", h.told("", "healthy"))
			meddle(h)
			probes := func() (n int) {
				for _, r := range h.Requests() {
					if r.Path == "/api/websocket" {
						n++
					}
				}
				return n
			}
			// Enough for an alarm, were it a fault; with the internet down there is nothing to be asked.
			n := probes()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = h.Wait(ctx, func() bool { return probes() >= n+6 })
			if h.state() == "" {
				t.Errorf("the page does not answer\n%s", h.log)
			}
			select {
			case err := <-h.done:
				t.Fatalf("it ended: %v\n%s", err, h.log)
			default:
			}
			h.stop(t)
			h.Supervisor.ClearInjections()
			h.SetFaults(lab.Faults{})
			if h.calls("/restart")+h.calls("/start")+h.calls("/stop")+h.calls("/options") > 0 || h.Supervisor.Restarts() > 0 {
				t.Errorf("the tunnel was touched: %d restarts", h.Supervisor.Restarts())
			}
			h.asItWas(t, before)
		})
	}
}

// A connector that answers nonsense is another server in its place.
func TestAConnectorOfNonsenseIsNoReasonForARestart(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"HTML": "<html>Welcome</html>", "empty": "", "another's JSON": `{"ready":true}`, "huge": strings.Repeat("x", 3<<20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := settle(t, lab.Options{Timings: lab.Timings{ProbeInterval: 60 * time.Millisecond, BurstInterval: 20 * time.Millisecond}})
			odd := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })}
			h.env["TUNNELMEDIC_CONNECTOR_URL"] = serve(t, odd)
			h.SetFaults(lab.Stripped(1))
			h.start(t)
			h.wait(t, "the alarm", h.told("", "suspect"))
			time.Sleep(300 * time.Millisecond) // long enough for a treatment to begin, were it to
			h.stop(t)
			if h.calls("/restart")+h.calls("/options") > 0 {
				t.Error("without the connector's word on its uptime nothing may be restarted")
			}
		})
	}
}

func serve(t *testing.T, s *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}

// An interrupted trial that turns out not to help orders the next step, and that
// one is taken too.
func TestWhatFollowsFromAnInterruptedChangeIsDone(t *testing.T) {
	t.Parallel()
	h := settle(t, lab.Options{RunParameters: []string{"--protocol=http2"}, Timings: lab.Timings{SettleTimeout: 300 * time.Millisecond}})
	j, _, err := journal.Open(h.env["TUNNELMEDIC_DATA_DIR"], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute)
	err = j.Update(func(r *journal.Record) {
		r.Slug = lab.DefaultSlug
		r.Policy = policy.State{
			Phase: policy.Treating, Since: at,
			Setting: policy.Setting{OwnKnown: true, Own: evidence.Default, Set: evidence.Default, Transport: evidence.OverQUIC},
			Case: policy.Case{Incident: &policy.Incident{ID: "20261121T220512Z", Onset: at, Alarm: at, Cause: diagnosis.UpgradeStripped, Transport: evidence.OverQUIC, Tally: detect.Tally{Failures: 4, Probes: 4}},
				Trial: &policy.OnTrial{Protocol: evidence.HTTP2, Purpose: policy.Trial, Since: at}},
		}
		r.Intention = &journal.Intention{Slug: lab.DefaultSlug, To: evidence.HTTP2, Purpose: policy.Trial, Stage: journal.Writing, At: at, Before: evidence.OverQUIC}
	})
	if err != nil {
		t.Fatal(err)
	}
	f := lab.Stripped(1)
	f.TCPBlocked = true // HTTP/2 connects nowhere
	h.SetFaults(f)
	h.start(t)
	h.wait(t, "the user's own is back", func() bool { return len(h.Supervisor.RunParameters()) == 0 && h.Connector.Connections() == 4 })
	h.wait(t, "holding", h.told("", "holding"))
	h.stop(t)
	if got := h.Supervisor.RunParameters(); len(got) != 0 || h.Connector.Transport() != evidence.OverQUIC {
		t.Errorf("%q over %v", got, h.Connector.Transport())
	}
}

// The contract that automations and the page hold on to, once it has looked.
func TestStatusTellsWhatWasSeen(t *testing.T) {
	t.Parallel()
	h := settle(t, lab.Options{RunParameters: []string{"--protocol=http2"}})
	h.start(t)
	h.wait(t, "healthy", h.told("", "healthy"))
	s := h.ask("/api/status")
	h.stop(t)
	for path, want := range map[string]any{
		"state": "healthy", "version": "test", "budget": 6.0, "restarts_24h": 0.0, "incident": nil,
		"target.slug": lab.DefaultSlug, "target.name": "Cloudflared", "target.url": h.Edge.URL(),
		"protocol.own": "http2", "protocol.setting": "http2", "protocol.transport": "http2", "protocol.ready": 4.0,
		"diagnosis.cause": "healthy", "detector.score": 0.0, "detector.alarm": detect.Alarm,
		"last_probe.ok": true, "last_probe.status": 101.0, "last_probe.colo": lab.Colo,
	} {
		var got any = s
		for key := range strings.SplitSeq(path, ".") {
			m, _ := got.(map[string]any)
			v, ok := m[key]
			if !ok {
				t.Errorf("%s is missing", path)
			}
			got = v
		}
		if got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	probe := s["last_probe"].(map[string]any)
	if _, err := time.Parse(time.RFC3339, probe["at"].(string)); err != nil {
		t.Error(err)
	}
	if ray, _ := probe["cf_ray"].(string); !strings.HasSuffix(ray, "-"+lab.Colo) {
		t.Errorf("cf_ray %q", ray)
	}
	if _, ok := probe["took_ms"].(float64); !ok {
		t.Errorf("took_ms %v", probe["took_ms"])
	}
	if seen, ok := s["diagnosis"].(map[string]any)["seen"].(map[string]any); !ok || len(seen) == 0 {
		t.Errorf("seen %v", seen)
	}
}
