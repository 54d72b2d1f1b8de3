package h2check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/h2check"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/probe"
)

// h2Server speaks HTTP/2 without TLS, as badly as a test wants.
type h2Server struct {
	treat func(n int64, empty bool) fate // the n-th request, and whether an empty DATA frame ended it
	n     atomic.Int64
}

type fate int

const (
	answer fate = iota
	forget
	reset
	hangUp
)

// start has the server listen in a network of memory.
func (s *h2Server) start(t *testing.T) probe.Target {
	t.Helper()
	way := wire.New().Plug().Network()
	ln, err := way.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				s.serve(c)
			})
		}
	})
	return probe.Target{URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}, Net: way}
}

func (s *h2Server) serve(c net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	if strings.HasPrefix(string(preface), "GET /cdn-cgi/trace") { // whether this is Cloudflare, before a service token is sent
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nServer: cloudflare\r\nCF-RAY: 8e1f0c2a3b4d5e6f-FRA\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100}) != nil {
		return
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && fr.WriteSettingsAck() != nil {
				return
			}
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() && !s.end(fr, false) {
				return
			}
		case *http2.DataFrame:
			if f.StreamEnded() && len(f.Data()) == 0 && !s.end(fr, true) {
				return
			}
		}
	}
}

func (s *h2Server) end(fr *http2.Framer, empty bool) bool {
	switch s.treat(s.n.Add(1), empty) {
	case forget:
	case reset:
		return fr.WriteRSTStream(1, http2.ErrCodeProtocol) == nil
	case hangUp:
		return false
	default:
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "200", "server", "cloudflare", "cf-ray", "8e1f0c2a3b4d5e6f-FRA"), EndHeaders: true}) == nil &&
			fr.WriteData(1, true, []byte(`{"name":"Home Assistant"}`)) == nil
	}
	return true
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func examine(t *testing.T, to probe.Target, count int) h2check.Report {
	t.Helper()
	to.Timeout, to.Access = 5*time.Second, probe.Access{ID: "an-id.access", Secret: "a-secret-of-access"}
	return h2check.Examine(t.Context(), doctor.Place{Public: to}, "/manifest.json", count, nil)
}

func TestAServerThatMishandlesTheEmptyDataFrameIsFound(t *testing.T) {
	for rule, c := range map[string]struct {
		fate fate
		of   func(h2check.Tally) int
	}{
		"it forgets every fifth":  {forget, func(t h2check.Tally) int { return t.TimedOut }},
		"it resets every fifth":   {reset, func(t h2check.Tally) int { return t.Reset }},
		"it hangs up every fifth": {hangUp, func(t h2check.Tally) int { return t.Ended }},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen atomic.Int64
				s := &h2Server{treat: func(_ int64, empty bool) fate {
					if empty && seen.Add(1)%5 == 0 {
						return c.fate
					}
					return answer
				}}
				r := examine(t, s.start(t), 40)
				plain, empty := r.Tallies[0], r.Tallies[1]
				if plain.Answered != 40 || plain.Failures() != 0 {
					t.Errorf("HEADERS alone: %+v", plain)
				}
				if empty.Answered != 32 || c.of(empty) != 8 {
					t.Errorf("HEADERS + empty DATA: %d answered, %d timed out, %d reset, %d ended", empty.Answered, empty.TimedOut, empty.Reset, empty.Ended)
				}
				if empty.Low > 0.2 || empty.High < 0.2 || empty.Low < 0.05 || empty.High > 0.4 {
					t.Errorf("one in five lies outside %.3f–%.3f", empty.Low, empty.High)
				}
				if r.Code != doctor.Ill || !strings.Contains(empty.Curl, "-T -") || plain.Curl != "" {
					t.Errorf("code %d, curl %q and %q", r.Code, empty.Curl, plain.Curl)
				}
				var text strings.Builder
				if err := r.Write(&text); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"about one in 5", "→ DATA stream=1 length=0 END_STREAM", "← SETTINGS", "the first that failed", "something on the way there mishandles it", "cf-access-client-secret=[hidden]"} {
					if !strings.Contains(text.String(), want) {
						t.Errorf("the report lacks %q:\n%s", want, text.String())
					}
				}
				raw, err := json.Marshal(r)
				if err != nil || strings.Contains(string(raw)+text.String(), "a-secret-of-access") {
					t.Errorf("the secret is in the report, or it cannot be written: %v", err)
				}
			})
		})
	}
}

func TestTheTwoShapesAreToldApartByNumbersAlone(t *testing.T) { synctest.Test(t, testTheTwoShapes) }

func testTheTwoShapes(t *testing.T) {
	always := &h2Server{treat: func(_ int64, empty bool) fate {
		if empty {
			return reset
		}
		return answer
	}}
	r := examine(t, always.start(t), 10)
	if said := strings.Join(r.Said, "\n"); !strings.Contains(said, "something on the way there mishandles it") || !strings.Contains(said, "every one") {
		t.Errorf("said: %s", said)
	}
	once := &h2Server{treat: func(n int64, _ bool) fate {
		if n == 3 {
			return reset
		}
		return answer
	}}
	r = examine(t, once.start(t), 4)
	if said := strings.Join(r.Said, "\n"); !strings.Contains(said, "do not tell the two shapes apart") {
		t.Errorf("said: %s", said)
	}
}

func TestAServerWithoutHTTP2CannotBeTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}
	})
	r := examine(t, probe.Target{URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}}, 2)
	if r.Code != doctor.CantTell {
		t.Errorf("code %d: %v", r.Code, r.Said)
	}
	_ = ln.Close()
	if r := examine(t, probe.Target{URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}}, 1); r.Code != doctor.CantTell {
		t.Errorf("a server that is not there: code %d: %v", r.Code, r.Said)
	}
}

// The interval against Wilson's own formula worked by hand, and at the ends.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{{0, 0, 0, 1}, {0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {1, 5, 0.0362, 0.6245}, {20, 100, 0.1334, 0.2888}} {
		low, high := h2check.Wilson(c.k, c.n)
		if low < c.low-0.0002 || low > c.low+0.0002 || high < c.high-0.0002 || high > c.high+0.0002 {
			t.Errorf("%d of %d: %.4f–%.4f, want %.4f–%.4f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}

// The lab's edge speaks HTTP/2 with Go's own server, through a connector to Home
// Assistant.
func TestTheLabsEdgeOverHTTP2(t *testing.T) {
	w, err := lab.New(lab.Options{TLS: true, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Connector.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(w.Edge.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := doctor.Place{Public: probe.Target{URL: u, Timeout: 5 * time.Second}}
	if p.Public.RootCAs, err = probe.LoadRoots(w.Env()["TUNNELMEDIC_CA_FILE"]); err != nil {
		t.Fatal(err)
	}
	r := h2check.Examine(t.Context(), p, "/manifest.json", 20, nil)
	if r.Code != doctor.Healthy || r.Tallies[0].Statuses[200] != 20 || r.Tallies[1].Statuses[200] != 20 {
		t.Errorf("code %d: %v", r.Code, r.Said)
	}
}

// What a server says over HTTP/2 is taken for what it is, frame by frame.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x01"+"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"), uint8(0), "/api/websocket")
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"+"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), uint8(1), "/")
	f.Add([]byte("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x02"), uint8(0), "")
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(1), "/x")
	f.Fuzz(func(t *testing.T, frames []byte, shape uint8, path string) {
		target := probe.Target{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Net: wire.Saying(frames), Timeout: time.Second, Access: probe.Access{ID: "an-id.access", Secret: "a secret-of-access"}}
		l := h2check.Ask(t.Context(), target, h2check.Shape(shape%2), path)
		whole, err := json.Marshal(l)
		if err != nil {
			t.Fatalf("the look cannot be written: %v", err)
		}
		if strings.Contains(string(whole), "a secret-of-access") || strings.Contains(l.Look.Detail, "panic") || len(l.Look.Body) > evidence.BodyLimit {
			t.Errorf("%s", whole)
		}
	})
}
