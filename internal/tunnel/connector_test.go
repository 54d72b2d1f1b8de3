package tunnel_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/tunnel"
)

// cloudflared is a metrics server whose answers can be changed while it runs.
type cloudflared struct {
	*httptest.Server
	ready, diag, metrics atomic.Pointer[http.HandlerFunc]
	diags                atomic.Int32
	made                 atomic.Int32 // connections it was given
}

func says(status int, body string) *http.HandlerFunc {
	f := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	return &f
}

const (
	fourQUIC = `{"tunnelID":"t","connectorID":"c","connections":[{"isConnected":true,"protocol":1,"edgeAddress":"198.41.192.27","index":1},{"isConnected":true,"protocol":1,"edgeAddress":"198.41.192.7"}],"icmp_sources":["192.168.1.20"]}`
	twoHTTP2 = `{"connections":[{"isConnected":true,"edgeAddress":"198.41.192.7"},{"isConnected":true,"edgeAddress":"2606:4700:a0::1","index":2},{"edgeAddress":"198.41.192.9","index":1,"protocol":1}]}`
)

func readyBody(n int, id string) string {
	return fmt.Sprintf(`{"status":200,"readyConnections":%d,"connectorId":%q}`, n, id)
}

func metricsBody(requests int) string {
	return fmt.Sprintf(`# HELP build_info Build and version information
# TYPE build_info gauge
build_info{goversion="go1.26.2",revision="2026-08-20-1011 UTC",type="",version="2026.8.2"} 1
# TYPE cloudflared_tunnel_concurrent_requests_per_tunnel gauge
cloudflared_tunnel_concurrent_requests_per_tunnel 3
# TYPE cloudflared_tunnel_request_errors counter
cloudflared_tunnel_request_errors 5
cloudflared_tunnel_response_by_code{status_code="200"} 1.25e+03
cloudflared_tunnel_response_by_code{status_code="400"} 7
cloudflared_tunnel_response_by_code{status_code="odd"} 9
cloudflared_tunnel_server_locations{connection_id="0",edge_location="fra03"} 1
cloudflared_tunnel_total_requests %d
process_start_time_seconds 1.7637e+09
`, requests)
}

func newCloudflared(t *testing.T) *cloudflared {
	t.Helper()
	c := &cloudflared{}
	c.ready.Store(says(200, readyBody(4, "one")))
	c.diag.Store(says(200, fourQUIC))
	c.metrics.Store(says(200, metricsBody(100)))
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ready":
			(*c.ready.Load())(w, r)
		case "/metrics":
			(*c.metrics.Load())(w, r)
		case "/diag/tunnel":
			c.diags.Add(1)
			(*c.diag.Load())(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	c.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			c.made.Add(1)
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestAHealthyConnectorTellsAll(t *testing.T) {
	c := newCloudflared(t)
	got := tunnel.NewConnector(c.URL).Inspect(t.Context(), noon)
	if !got.Up() || got.Status != 200 || got.Ready != 4 || got.Trouble != evidence.NoTrouble || got.Transport != evidence.OverQUIC {
		t.Errorf("%+v", got)
	}
	if want := []string{"198.41.192.7", "198.41.192.27"}; !slices.Equal(got.Edges, want) {
		t.Errorf("edges %v, want them in order of index, %v", got.Edges, want)
	}
	n := got.Counters
	if n == nil || n.Requests != 100 || n.Errors != 5 || n.Codes[400] != 7 || n.Codes[200] != 1250 || len(n.Codes) != 2 || n.Concurrent != 3 || n.Version != "2026.8.2" {
		t.Errorf("counters %+v", n)
	}
}

func TestOmittedFieldsOfDiagMeanHTTP2AndIndexZero(t *testing.T) {
	c := newCloudflared(t)
	c.diag.Store(says(200, twoHTTP2))
	got := tunnel.NewConnector(c.URL).Inspect(t.Context(), noon)
	if want := []string{"198.41.192.7", "2606:4700:a0::1"}; got.Transport != evidence.OverHTTP2 || !slices.Equal(got.Edges, want) {
		t.Errorf("%v over %v, want http2 over %v: one that is not connected does not count", got.Edges, got.Transport, want)
	}
}

func TestWithoutConnectionsItIsNotUp(t *testing.T) {
	c := newCloudflared(t)
	c.ready.Store(says(503, `{"status":503,"readyConnections":0,"connectorId":"one"}`))
	got := tunnel.NewConnector(c.URL).Inspect(t.Context(), noon)
	if got.Up() || got.Status != 503 || got.Trouble != evidence.NoTrouble || got.ObservedUp != 0 || c.diags.Load() != 0 {
		t.Errorf("%+v; diag was asked %d times", got, c.diags.Load())
	}
}

func TestAnyAnswerIsAnObservation(t *testing.T) {
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat("x", 64<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	drip := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"status":200,`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	truncated := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		_, _ = w.Write([]byte(`{"status":200,"readyConn`))
	})
	reset := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   evidence.Trouble
	}{
		"empty":                   {*says(200, ""), evidence.Garbled},
		"HTML":                    {*says(200, "<html><body>Welcome</body></html>"), evidence.Garbled},
		"an error page":           {*says(500, "oops"), evidence.Garbled},
		"JSON of another program": {*says(200, `{}`), evidence.Garbled},
		"null":                    {*says(200, `null`), evidence.Garbled},
		"a list":                  {*says(200, `[4]`), evidence.Garbled},
		"a text for a number":     {*says(200, `{"readyConnections":"4"}`), evidence.Garbled},
		"less than none":          {*says(200, `{"readyConnections":-1}`), evidence.Garbled},
		"a status of its own":     {*says(404, readyBody(4, "one")), evidence.Garbled},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, evidence.Garbled},
		"huge":             {endless, evidence.Garbled},
		"truncated":        {truncated, evidence.Cut},
		"reset":            {reset, evidence.Cut},
		"not HTTP":         {raw("SSH-2.0-OpenSSH_10.2\r\n\r\n"), evidence.Garbled},
		"silent":           {slow, evidence.TimedOut},
		"slow in its body": {drip, evidence.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCloudflared(t)
			for _, part := range []*atomic.Pointer[http.HandlerFunc]{&s.ready, &s.diag, &s.metrics} {
				part.Store(&c.answer)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			connector := tunnel.NewConnector(s.URL)
			got := connector.Inspect(ctx, noon)
			if got.Up() || got.Trouble != c.want || !got.Asked || got.Counters != nil {
				t.Errorf("got %+v, want %v", got, c.want)
			}
			// The same from the counters and the connections of a connector that is ready.
			s.ready.Store(says(200, readyBody(4, "one")))
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if got := connector.Inspect(ctx, noon); !got.Up() || got.Counters != nil || got.Transport != evidence.NoTransport {
				t.Errorf("with bad counters and connections: %+v", got)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		if got := tunnel.NewConnector(s.URL).Inspect(t.Context(), noon); got.Trouble != evidence.Refused {
			t.Errorf("got %v", got.Trouble)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := tunnel.NewConnector(newCloudflared(t).URL).Inspect(ctx, noon); got.Trouble != evidence.Interrupted {
			t.Errorf("got %v", got.Trouble)
		}
	})
}

func TestOddCountersAreMissingOnes(t *testing.T) {
	for name, body := range map[string]string{
		"none of cloudflared's": "go_goroutines 12\n",
		"no total":              "cloudflared_tunnel_request_errors 1\n",
		"NaN":                   "cloudflared_tunnel_total_requests NaN\n",
		"below zero":            "cloudflared_tunnel_total_requests -4\n",
		"infinite":              "cloudflared_tunnel_total_requests +Inf\n",
		"no value":              "cloudflared_tunnel_total_requests\n",
		"an open brace":         `cloudflared_tunnel_total_requests{a="b 4` + "\n",
		"too much":              "cloudflared_tunnel_total_requests 4\n" + strings.Repeat("go_goroutines 12\n", 1<<16),
		"a line without end":    "cloudflared_tunnel_total_requests 4\n# " + strings.Repeat("x", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudflared(t)
			c.metrics.Store(says(200, body))
			if got := tunnel.NewConnector(c.URL).Look(t.Context(), noon); got.Counters != nil || !got.Up() {
				t.Errorf("%+v", got.Counters)
			}
		})
	}
}

func TestWhereQUICIsAskedFor(t *testing.T) {
	c := newCloudflared(t)
	e := tunnel.NewConnector(c.URL).Inspect(t.Context(), noon)
	want := []netip.AddrPort{netip.MustParseAddrPort("198.41.192.7:7844"), netip.MustParseAddrPort("198.41.192.27:7844")}
	if got := tunnel.QUICEdges(e, netip.AddrPort{}, ""); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	e.Edges = []string{"nonsense", "2606:4700:a0::1", "198.41.192.7", "198.41.192.9"}
	want = []netip.AddrPort{netip.MustParseAddrPort("[2606:4700:a0::1]:7844"), netip.MustParseAddrPort("198.41.192.7:7844")}
	if got := tunnel.QUICEdges(e, netip.AddrPort{}, ""); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := tunnel.QUICEdges(evidence.Connector{}, netip.AddrPort{}, ""); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestUptimeIsWhatWasSeenWithoutABreak(t *testing.T) {
	c := newCloudflared(t)
	connector := tunnel.NewConnector(c.URL)
	step := func(at time.Duration, want time.Duration) {
		t.Helper()
		if got := connector.Look(t.Context(), noon.Add(at)).ObservedUp; got != want {
			t.Errorf("after %v it was seen up for %v, want %v", at, got, want)
		}
	}
	step(0, 0)
	step(time.Minute, time.Minute)
	c.ready.Store(says(503, `{"status":503,"readyConnections":0,"connectorId":"one"}`))
	step(2*time.Minute, 0)
	c.ready.Store(says(200, readyBody(1, "one")))
	step(3*time.Minute, 0)
	step(5*time.Minute, 2*time.Minute)
}

func TestARestartOfTheProcessIsSeen(t *testing.T) {
	for name, restart := range map[string]func(c *cloudflared){
		"by its id": func(c *cloudflared) {
			c.ready.Store(says(200, readyBody(4, "two")))
			c.metrics.Store(says(200, metricsBody(900)))
		},
		"by smaller counters": func(c *cloudflared) { c.metrics.Store(says(200, metricsBody(3))) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudflared(t)
			connector := tunnel.NewConnector(c.URL)
			connector.Inspect(t.Context(), noon)
			if got := connector.Inspect(t.Context(), noon.Add(time.Hour)); got.ObservedUp != time.Hour || c.diags.Load() != 1 {
				t.Fatalf("up for %v; connections were asked for %d times, want once per process", got.ObservedUp, c.diags.Load())
			}
			c.diag.Store(says(200, twoHTTP2))
			restart(c)
			if got := connector.Look(t.Context(), noon.Add(2*time.Hour)); got.ObservedUp != 0 || got.Transport != evidence.NoTransport {
				t.Errorf("the old process's data are told of the new one: %+v", got)
			}
			if got := connector.Inspect(t.Context(), noon.Add(3*time.Hour)); got.Transport != evidence.OverHTTP2 || got.ObservedUp != time.Hour || c.diags.Load() != 2 {
				t.Errorf("%+v after %d questions", got, c.diags.Load())
			}
		})
	}
}

func TestMoreRequestsAreNoRestart(t *testing.T) {
	c := newCloudflared(t)
	connector := tunnel.NewConnector(c.URL)
	connector.Inspect(t.Context(), noon)
	c.metrics.Store(says(200, metricsBody(101)))
	connector.Inspect(t.Context(), noon.Add(time.Minute))
	c.metrics.Store(says(500, "")) // counters that cannot be read say nothing
	connector.Inspect(t.Context(), noon.Add(2*time.Minute))
	c.metrics.Store(says(200, metricsBody(101)))
	if got := connector.Inspect(t.Context(), noon.Add(3*time.Minute)); got.ObservedUp != 3*time.Minute || c.diags.Load() != 1 {
		t.Errorf("up for %v, asked %d times", got.ObservedUp, c.diags.Load())
	}
}

func TestAfterForgetANewProcessIsToldFromTheOld(t *testing.T) {
	c := newCloudflared(t)
	connector := tunnel.NewConnector(c.URL)
	if connector.Renewed(noon) {
		t.Error("nothing has answered yet")
	}
	connector.Inspect(t.Context(), noon)
	connector.Forget()
	if connector.Renewed(noon) {
		t.Error("nothing has answered since")
	}
	if got := connector.Inspect(t.Context(), noon.Add(time.Minute)); connector.Renewed(noon) || got.ObservedUp != 0 || c.diags.Load() != 2 {
		t.Errorf("the same process answers: %+v", got)
	}
	c.ready.Store(says(200, readyBody(4, "two")))
	if connector.Inspect(t.Context(), noon.Add(2*time.Minute)); !connector.Renewed(noon) || connector.Process() != "two" {
		t.Errorf("another process answers, %q", connector.Process())
	}
}

// Both run on one small computer, where to pack and unpack is only work.
func TestTheCountersComeAsPlainText(t *testing.T) {
	c := newCloudflared(t)
	asked := ""
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept-Encoding")
		(*says(200, metricsBody(100)))(w, r)
	})
	c.metrics.Store(&plain)
	if e := tunnel.NewConnector(c.URL).Look(t.Context(), time.Now()); e.Counters == nil || asked != "identity" {
		t.Errorf("Accept-Encoding: %q, counters %v", asked, e.Counters)
	}
}
