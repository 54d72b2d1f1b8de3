package tunnel_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/tunnel"
)

func TestReadingsGoOverOneConnection(t *testing.T) {
	c := newCloudflared(t)
	connector := tunnel.NewConnector(c.URL)
	for i := range 100 {
		c.metrics.Store(says(200, metricsBody(100+i/2)))
		if e := connector.Read(t.Context(), noon.Add(time.Duration(i)*4*time.Second)); !e.Up() || e.Counters == nil || e.Counters.Requests != uint64(100+i/2) {
			t.Fatalf("reading %d: %+v", i, e)
		}
	}
	if n := c.made.Load(); n != 1 {
		t.Errorf("%d connections for 100 readings", n)
	}
	// cloudflared closes one that was idle for ten seconds, perhaps just as it is used.
	at := noon.Add(396 * time.Second)
	for i := range 3 {
		if e := connector.Read(t.Context(), at.Add(time.Duration(i+1)*9*time.Second)); !e.Up() {
			t.Fatalf("%+v", e)
		}
	}
	if n := c.made.Load(); n != 4 {
		t.Errorf("%d connections after three readings nine seconds apart, want one for each", n-1)
	}
	connector.Forget()
	if connector.Read(t.Context(), at.Add(28*time.Second)); c.made.Load() != 5 {
		t.Error("the connection of a process that is to go was used after it")
	}
}

// Another process is never missed, and what the connection to the last one says never
// counts, however that ends.
func TestAReadingIsOfTheProcessThatRuns(t *testing.T) {
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
	answer := func(head, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	old := readyBody(4, "old")
	for name, last := range map[string]http.HandlerFunc{
		"it is closed":                     raw(""),
		"half an answer":                   raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + old),
		"one answer of two":                raw(answer("", metricsBody(999))),
		"a last answer":                    raw(answer("Connection: close\r\n", metricsBody(999)) + answer("Connection: close\r\n", old)),
		"more than was asked for":          raw(answer("", metricsBody(999)) + answer("", old) + "x"),
		"an answer that says nothing":      raw(answer("", metricsBody(999)) + answer("", `{}`)),
		"a line that does not end":         raw(answer("", strings.Repeat("x", 1<<16)) + answer("", old)),
		"counters of another program":      raw(answer("", "go_goroutines 5\n") + answer("", old)),
		"counters that cannot be had":      raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + answer("", old)),
		"an answer that does not come":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"an answer that is not HTTP":       raw("SSH-2.0-OpenSSH_10.2\r\n\r\n"),
		"counters of more than any answer": raw(answer("", strings.Repeat("go_goroutines 12\n", 1<<17)) + answer("", old)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ending atomic.Bool
			var first atomic.Pointer[string]
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first.CompareAndSwap(nil, &r.RemoteAddr)
				switch {
				case r.RemoteAddr == *first.Load() && ending.Load():
					last(w, r)
				case r.URL.Path == "/ready" && ending.Load():
					_, _ = w.Write([]byte(readyBody(3, "new")))
				case r.URL.Path == "/ready":
					_, _ = w.Write([]byte(old))
				default:
					_, _ = w.Write([]byte(metricsBody(7)))
				}
			}))
			defer s.Close()
			connector := tunnel.NewConnector(s.URL)
			if e := connector.Read(t.Context(), noon); e.Ready != 4 || connector.Process() != "old" {
				t.Fatalf("%+v", e)
			}
			ending.Store(true)
			e := connector.Read(t.Context(), noon.Add(4*time.Second))
			if e.Ready != 3 || connector.Process() != "new" || e.Counters == nil || e.Counters.Requests != 7 {
				t.Errorf("it read %+v of the process %q", e, connector.Process())
			}
		})
	}
	t.Run("nobody listens any more", func(t *testing.T) {
		c := newCloudflared(t)
		connector := tunnel.NewConnector(c.URL)
		connector.Read(t.Context(), noon)
		c.Close()
		if e := connector.Read(t.Context(), noon.Add(4*time.Second)); e.Trouble != evidence.Refused || e.Counters != nil {
			t.Errorf("%+v", e)
		}
	})
}

// canned is a connector that answers without allocating anything.
func canned(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	page := strings.Repeat("# HELP go_gc_duration_seconds A summary of the wall-time pause duration in garbage collection cycles.\n", 110) + metricsBody(5)
	metrics := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(page), page)
	ready := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(readyBody(4, "one")), readyBody(4, "one"))
	serve := func(conn net.Conn) {
		defer conn.Close()
		answer := metrics
		for in := bufio.NewReader(conn); ; {
			switch line, err := in.ReadSlice('\n'); {
			case err != nil:
				return
			case bytes.HasPrefix(line, []byte("GET /ready")):
				answer = ready
			case bytes.HasPrefix(line, []byte("GET ")):
				answer = metrics
			case len(line) == len("\r\n"):
				_, _ = conn.Write(answer)
			}
		}
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + ln.Addr().String()
}

// A reading is made twenty thousand times a day, on a small computer.
func TestAReadingAllocatesNextToNothing(t *testing.T) {
	connector := tunnel.NewConnector(canned(t))
	read := func() {
		if e := connector.Read(t.Context(), noon); !e.Up() || e.Counters == nil {
			t.Fatalf("%+v", e)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n > 40 {
		t.Errorf("%.0f allocations for a reading in which nothing has changed", n)
	}
}

// Its twin, over connections of their own, is what a verdict rests on, and was every reading once.
func BenchmarkReading(b *testing.B) {
	connector := tunnel.NewConnector(canned(b))
	for name, look := range map[string]func(context.Context, time.Time) evidence.Connector{"kept": connector.Read, "anew": connector.Look} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if e := look(b.Context(), noon); !e.Up() {
					b.Fatalf("%+v", e)
				}
			}
		})
	}
}
