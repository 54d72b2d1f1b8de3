package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

func TestReadyIs503UntilAConnectionStands(t *testing.T) {
	w := start(t, Options{Timings: Timings{First: time.Hour}})
	wait(t, w, "listening", func() bool { return strings.Contains(w.Supervisor.Log(DefaultSlug), "Initial protocol quic") })
	want(t, get(t, w.Connector.URL()+"/ready"), 503, `"status":503`, `"readyConnections":0`, `"connectorId":"`)
	w = ready(t, Options{})
	want(t, get(t, w.Connector.URL()+"/ready"), 200, `{"status":200,"readyConnections":4,"connectorId":"`)
}

func TestTheMetricsServerRefusesBeforeItListensAndWhileStopped(t *testing.T) {
	refused := func(w *World) {
		t.Helper()
		if a := get(t, w.Connector.URL()+"/ready"); a.err == nil || !strings.Contains(a.err.Error(), "refused") {
			t.Error(a)
		}
	}
	refused(start(t, Options{Timings: Timings{Setup: time.Hour}}))
	w := ready(t, Options{})
	for range 3 {
		if err := w.User.Stops(DefaultSlug); err != nil {
			t.Fatal(err)
		}
		refused(w)
		if err := w.User.Starts(DefaultSlug); err != nil {
			t.Fatal(err)
		}
		wait(t, w, "up", func() bool { return w.Connector.Connections() == 4 })
		want(t, get(t, w.Connector.URL()+"/ready"), 200)
	}
}

func TestDiagLeavesOutTheProtocolOfHTTP2AndTheIndexZero(t *testing.T) {
	for flag, protocol := range map[string]any{"--protocol=quic": 1.0, "--protocol=http2": nil} {
		w := ready(t, Options{RunParameters: []string{flag}})
		before := strings.Count(w.Supervisor.Log(DefaultSlug), "\n")
		var d struct {
			TunnelID    string
			ConnectorID string
			Connections []map[string]any
		}
		a := get(t, w.Connector.URL()+"/diag/tunnel")
		if err := json.Unmarshal([]byte(a.body), &d); err != nil || d.TunnelID == "" || d.ConnectorID == "" || len(d.Connections) != 4 {
			t.Fatal(a)
		}
		for i, c := range d.Connections {
			index, there := c["index"]
			if c["isConnected"] != true || c["protocol"] != protocol || c["edgeAddress"] == "" || there != (i > 0) || there && index != float64(i) {
				t.Errorf("%s: %v", flag, c)
			}
		}
		if after := strings.Count(w.Supervisor.Log(DefaultSlug), "\n"); after != before+2 {
			t.Errorf("it wrote %d lines, not two", after-before)
		}
	}
}

func TestConfigTellsWhichHostLeadsHome(t *testing.T) {
	w := ready(t, Options{ServiceURL: "http://homeassistant:8123"})
	want(t, get(t, w.Connector.URL()+"/config"), 200, `"version":7`, `"hostname":"ha.example.com","originRequest":{},"path":"","service":"http://homeassistant:8123"`, `"service":"http_status:404"`)
	local := ready(t, Options{AddOns: []AddOn{{Slug: DefaultSlug, Name: "Cloudflared", Options: json.RawMessage(`{"external_hostname":"x.example.com","additional_hosts":[]}`)}}})
	want(t, get(t, local.Connector.URL()+"/config"), 200, `"version":-1`, `"hostname":"x.example.com"`)
}

// count reads one metric, "" if it is not there.
func count(t *testing.T, w *World, metric string) string {
	t.Helper()
	for line := range strings.Lines(get(t, w.Connector.URL()+"/metrics").body) {
		if v, ok := strings.CutPrefix(line, metric+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestCountersCountStrippedOnesAsOne400AndGoodOnesOnlyInTheTotal(t *testing.T) {
	w := ready(t, Options{})
	expect := func(when, total, bad, errors, open string) {
		t.Helper()
		for metric, want := range map[string]string{"cloudflared_tunnel_total_requests": total, `cloudflared_tunnel_response_by_code{status_code="400"}`: bad,
			"cloudflared_tunnel_request_errors": errors, "cloudflared_tunnel_concurrent_requests_per_tunnel": open, `cloudflared_tunnel_response_by_code{status_code="101"}`: ""} {
			if have := count(t, w, metric); have != want {
				t.Errorf("%s: %s is %q, want %q", when, metric, have, want)
			}
		}
	}
	expect("at first", "0", "", "0", "0")
	ws := dial(t, w.Edge.URL())
	expect("one open", "1", "", "0", "1")
	_ = ws.CloseNow()
	wait(t, w, "closed", func() bool { return count(t, w, "cloudflared_tunnel_concurrent_requests_per_tunnel") == "0" })
	w.SetFaults(Stripped(1))
	want(t, handshakeAt(t, w.Edge.URL()), 400)
	expect("one stripped", "2", "1", "0", "0")
	w.SetFaults(Faults{CoreDown: true})
	want(t, get(t, w.Edge.URL()+"/"), 502)
	expect("one that found nobody", "3", "1", "1", "0")
	want(t, get(t, w.Connector.URL()+"/metrics"), 200, `build_info{goversion=`, `version="2026.8.2"} 1`, `cloudflared_tunnel_server_locations{connection_id="0",edge_location="fra03"} 1`,
		"# TYPE cloudflared_tunnel_total_requests counter")
	w.SetFaults(Faults{})
	data(t, super(t, w, "POST", app_+"/restart", ""))
	wait(t, w, "up", func() bool { return w.Connector.Connections() == 4 })
	expect("after a restart", "0", "", "0", "0")
}

func TestTheLastProtocolFlagWins(t *testing.T) {
	w := ready(t, Options{RunParameters: []string{"--protocol=quic", "--retries=3", "--protocol=http2"}})
	if w.Connector.Transport() != evidence.OverHTTP2 {
		t.Error(w.Connector.Transport())
	}
}

func TestAnUnknownProtocolOrPostQuantumOverHTTP2OnAnOldVersionExits(t *testing.T) {
	pq := json.RawMessage(`{"external_hostname":"","additional_hosts":[],"post_quantum":true,"run_parameters":["--protocol=http2"]}`)
	wrong := json.RawMessage(`{"external_hostname":"","additional_hosts":[],"run_parameters":["--protocol=HTTP2"]}`)
	for name, c := range map[string]struct {
		options json.RawMessage
		version string
		log     string // "" if it lives
	}{
		"unknown protocol":                      {wrong, "2026.8.2", "unknown protocol HTTP2"},
		"post-quantum over http2 before 2026.5": {pq, "2025.11.1", "post-quantum is only supported with the quic transport"},
		"post-quantum over http2 from 2026.5":   {pq, "2026.5.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{Version: c.version, AddOns: []AddOn{{Slug: "396f0234_cloudflared", Name: "Cloudflared", Options: c.options}}})
			if c.log == "" {
				wait(t, w, "up", func() bool { return w.Connector.Connections() == 4 })
				return
			}
			wait(t, w, "exited", func() bool { return w.Supervisor.State("396f0234_cloudflared") == evidence.StateError })
			if l := w.Supervisor.Log("396f0234_cloudflared"); !strings.Contains(l, c.log) {
				t.Error(l)
			}
		})
	}
}

func TestAutoFallsBackOnlyWhenQUICNeverConnectedAndNeverGoesBack(t *testing.T) {
	w := start(t, Options{Faults: Faults{UDPBlocked: true}, Timings: Timings{Fallback: 100 * time.Millisecond}})
	wait(t, w, "fallen back", func() bool { return w.Connector.Transport() == evidence.OverHTTP2 && w.Connector.Connections() == 4 })
	log := w.Supervisor.Log(DefaultSlug)
	for _, line := range []string{"Initial protocol quic", "Failed to dial a quic connection", "Switching to fallback protocol http2", "Registered tunnel connection connIndex=0", "location=fra03 protocol=http2"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	w.SetFaults(Faults{InternetDown: true})
	wait(t, w, "lost", func() bool { return w.Connector.Connections() == 0 })
	w.SetFaults(Faults{})
	wait(t, w, "back", func() bool { return w.Connector.Connections() == 4 })
	if w.Connector.Transport() != evidence.OverHTTP2 {
		t.Error("it went back to QUIC")
	}
	ever := ready(t, Options{Timings: Timings{Fallback: time.Millisecond}})
	ever.SetFaults(Faults{UDPBlocked: true})
	wait(t, ever, "lost", func() bool { return ever.Connector.Connections() == 0 })
	stays(t, ever, 50*time.Millisecond, func() bool { return ever.Connector.Connections() == 0 })
}

func TestQUICNeverFallsBackAndHTTP2DoesNotCareForUDP(t *testing.T) {
	w := start(t, Options{RunParameters: []string{"--protocol=quic"}, Faults: Faults{UDPBlocked: true}, Timings: Timings{Fallback: time.Millisecond}})
	wait(t, w, "dialling", func() bool {
		return strings.Contains(w.Supervisor.Log(DefaultSlug), "Failed to dial a quic connection")
	})
	stays(t, w, 50*time.Millisecond, func() bool {
		return w.Connector.Connections() == 0 && w.Supervisor.State(DefaultSlug) == evidence.StateStarted
	})
	ready(t, Options{RunParameters: []string{"--protocol=http2"}, Faults: Faults{UDPBlocked: true}})
}

// stays makes sure that a condition holds for a while, looking at every change.
func stays(t *testing.T, w *World, d time.Duration, cond func() bool) {
	t.Helper()
	deadline := time.After(d)
	for {
		w.mu.Lock()
		change := w.change
		w.mu.Unlock()
		if !cond() {
			t.Fatalf("it did not stay\n%s", w.Supervisor.Log(DefaultSlug))
		}
		select {
		case <-change:
		case <-deadline:
			return
		}
	}
}

func TestConnectionsComeBackSoonerOverQUICThanOverHTTP2(t *testing.T) {
	took := map[string]time.Duration{}
	for _, p := range []string{"quic", "http2"} {
		bubbled(t, Options{RunParameters: []string{"--protocol=" + p}}, func(t *testing.T, w *World) {
			wait(t, w, "connected", func() bool { return w.Connector.Connections() == 4 })
			w.SetFaults(Faults{InternetDown: true})
			wait(t, w, "lost", func() bool { return w.Connector.Connections() == 0 })
			begun := time.Now()
			w.SetFaults(Faults{})
			wait(t, w, "back", func() bool { return w.Connector.Connections() > 0 })
			took[p] = time.Since(begun)
		})
	}
	if took["quic"] <= 0 || took["quic"] >= took["http2"] {
		t.Error(took)
	}
}

func TestFlappingShowsInTheLogAndOnlyOverQUIC(t *testing.T) {
	w := ready(t, Options{Faults: Faults{FlapQUIC: Duration(10 * time.Millisecond)}})
	wait(t, w, "flapping", func() bool { return strings.Count(w.Supervisor.Log(DefaultSlug), "failed to accept QUIC stream") >= 8 })
	w.SetFaults(Faults{})
	wait(t, w, "steady", func() bool { return w.Connector.Connections() == 4 })
	stays(t, w, 40*time.Millisecond, func() bool { return w.Connector.Connections() == 4 })
	h := ready(t, Options{RunParameters: []string{"--protocol=http2"}, Faults: Faults{FlapQUIC: Duration(time.Millisecond)}})
	stays(t, h, 30*time.Millisecond, func() bool { return h.Connector.Connections() == 4 })
}

func TestARejectedTunnelSaysSoAndNeverConnects(t *testing.T) {
	w := start(t, Options{Faults: Faults{TunnelRejected: true}, Timings: Timings{Fallback: time.Millisecond}})
	wait(t, w, "rejected", func() bool {
		return strings.Contains(w.Supervisor.Log(DefaultSlug), "Unauthorized: Invalid tunnel secret")
	})
	want(t, get(t, w.Connector.URL()+"/ready"), 503)
	want(t, get(t, w.Edge.URL()+"/"), 530, "error code: 1033")
}

func TestAHungConnectorIsMendedByARestart(t *testing.T) {
	w := ready(t, Options{})
	w.SetFaults(Faults{ConnectorHung: true})
	want(t, get(t, w.Edge.URL()+"/"), 530, "error code: 1033")
	want(t, get(t, w.Connector.URL()+"/ready"), 200)
	data(t, super(t, w, "POST", app_+"/restart", ""))
	wait(t, w, "up", func() bool { return w.Connector.Connections() == 4 })
	want(t, get(t, w.Edge.URL()+"/"), 200)
}

func TestASpoiledHandshakeReachesHomeAssistantAsBehindTheRealConnector(t *testing.T) {
	w := ready(t, Options{})
	for form, c := range map[Form]struct {
		body                     string
		upgrade, connection, key string
	}{
		NoUpgrade:    {"No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".", "", "keep-alive", "dGhlIHNhbXBsZSBub25jZQ=="},
		NoConnection: {"No CONNECTION upgrade hdr: keep-alive", "websocket", "keep-alive", "dGhlIHNhbXBsZSBub25jZQ=="},
		NoKey:        {"Handshake error: None", "websocket", "Upgrade", ""},
		NoVersion:    {"Unsupported version: ", "websocket", "Upgrade", "dGhlIHNhbXBsZSBub25jZQ=="},
	} {
		t.Run(string(form), func(t *testing.T) {
			w.SetFaults(Faults{Upgrade: map[evidence.Transport]UpgradeFault{evidence.OverQUIC: {Share: 1, Form: form}}})
			a := handshakeAt(t, w.Edge.URL())
			want(t, a, 400)
			if a.body != c.body {
				t.Errorf("%q", a.body)
			}
			var h = lastAt(t, w, "origin").Header
			if h.Get("Upgrade") != c.upgrade || h.Get("Connection") != c.connection || h.Get("Sec-WebSocket-Key") != c.key || h.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Error(h)
			}
			want(t, get(t, w.Edge.URL()+"/"), 200)
			dial(t, w.Core.URL())
		})
	}
	t.Run("refused", func(t *testing.T) {
		w.SetFaults(Faults{Upgrade: map[evidence.Transport]UpgradeFault{evidence.OverQUIC: {Share: 1, Form: Refused}}})
		want(t, handshakeAt(t, w.Edge.URL()), 502, "Unable to reach the origin service.")
		want(t, get(t, w.Edge.URL()+"/"), 200)
		if !strings.Contains(w.Supervisor.Log(DefaultSlug), "no Host in request URL") {
			t.Error("the log does not say why")
		}
	})
	t.Run("silent", func(t *testing.T) {
		w.SetFaults(Faults{Upgrade: map[evidence.Transport]UpgradeFault{evidence.OverQUIC: {Share: 1, Form: Silent}}})
		silentAt(t, w.Edge.URL())
	})
	t.Run("the other transport is not hit", func(t *testing.T) {
		w.SetFaults(Stripped(1, evidence.OverHTTP2))
		dial(t, w.Edge.URL())
	})
}

func lastAt(t *testing.T, w *World, server string) Request {
	t.Helper()
	all := w.Requests()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Server == server {
			return all[i]
		}
	}
	t.Fatal("nobody asked", server)
	return Request{}
}

func TestAShareOfHandshakesIsHitAndTheSameSeedHitsTheSame(t *testing.T) {
	draw := func(seed uint64) string {
		w := ready(t, Options{Seed: seed, Faults: Stripped(0.4)})
		var b strings.Builder
		for range 40 {
			fmt.Fprint(&b, handshakeAt(t, w.Edge.URL()).status, " ")
			get(t, w.Edge.URL()+"/") // draws nothing
		}
		return b.String()
	}
	first := draw(1)
	if n := strings.Count(first, "400"); n < 6 || n > 28 {
		t.Errorf("%d of 40 at a share of 0.4", n)
	}
	if again := draw(1); again != first {
		t.Error("another draw from the same seed")
	}
	if other := draw(2); other == first {
		t.Error("the same draw from another seed")
	}
}

// What the code says is in cloudflared.txt, and what is there is said.
func TestSayings(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	var code []byte
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code = append(code, raw...)
	}
	for _, m := range regexp.MustCompile(`\bsay\("([^"]+)"[,)]`).FindAllSubmatch(code, -1) {
		if sayings[string(m[1])] == "" {
			t.Errorf("%q is not in cloudflared.txt", m[1])
		}
	}
	for occasion := range sayings {
		name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(occasion, " lost"), "quic"), "http2")
		if !strings.HasPrefix(occasion, "What ") && !strings.Contains(string(code), `"`+name) {
			t.Errorf("%q is never said", occasion)
		}
	}
}
