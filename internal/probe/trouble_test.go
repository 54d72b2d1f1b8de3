package probe_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
)

var looks = map[string]func(context.Context, probe.Target) evidence.Look{"handshake": probe.Handshake, "page": probe.Page}

func TestAServerThatMisbehaves(t *testing.T) {
	page := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		timeout time.Duration
		stage   evidence.Stage
		trouble evidence.Trouble
	}{
		"hangs up at once":            {func(net.Conn) {}, enough, evidence.Secured, evidence.Cut},
		"hangs up after the question": {func(c net.Conn) { readHead(c) }, enough, evidence.Secured, evidence.Cut},
		"resets":                      {func(c net.Conn) { readHead(c); _ = c.(*net.TCPConn).SetLinger(0) }, enough, evidence.Secured, evidence.Cut},
		"cuts the first line":         {send("HTTP/1.1 4"), enough, evidence.Secured, evidence.Cut},
		"cuts the head":               {send("HTTP/1.1 400 Bad Request\r\nServer: clo"), enough, evidence.Secured, evidence.Cut},
		"cuts the body":               {send(page + "Content-Length: 100\r\n\r\nhalf of it"), enough, evidence.Answered, evidence.Cut},
		"cuts a chunk":                {send(page + "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf"), enough, evidence.Answered, evidence.Cut},
		"is no HTTP":                  {send("SSH-2.0-OpenSSH_9.9\r\n"), enough, evidence.Secured, evidence.Garbled},
		"is no HTTP and ends no line": {send("\x00\x00\x12\x04\x00\x00\x00\x00\x00"), enough, evidence.Secured, evidence.Garbled},
		"speaks first":                {func(c net.Conn) { _, _ = io.WriteString(c, "220 mail\r\n"); hold(c) }, enough, evidence.Secured, evidence.Garbled},
		"has a broken first line":     {send("HTTP/1.1 many OK\r\n\r\n"), enough, evidence.Secured, evidence.Garbled},
		"has a broken header":         {send("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"), enough, evidence.Secured, evidence.Garbled},
		"has a broken length":         {send("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), enough, evidence.Secured, evidence.Garbled},
		"has a broken chunk":          {send(page + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), enough, evidence.Answered, evidence.Garbled},
		"floods the head":             {flood("HTTP/1.1 200 OK\r\n", "X-Flood: "+strings.Repeat("x", 1000)+"\r\n"), enough, evidence.Secured, evidence.Garbled},
		"floods with hints":           {flood("", "HTTP/1.1 103 Early Hints\r\n\r\n"), enough, evidence.Secured, evidence.Garbled},
		"never answers":               {func(c net.Conn) { hold(c) }, short, evidence.Secured, evidence.TimedOut},
		"stops in the head":           {func(c net.Conn) { send("HTTP/1.1 200 OK\r\nServer: x")(c); hold(c) }, short, evidence.Secured, evidence.TimedOut},
		"stops in the body":           {func(c net.Conn) { send(page + "Content-Length: 100\r\n\r\nhalf")(c); hold(c) }, short, evidence.Answered, evidence.TimedOut},
		"drips the head":              {drip("HTTP/1.1 200 OK\r\nX: "), short, evidence.Secured, evidence.TimedOut},
		"drips the body":              {drip(page + "\r\n"), short, evidence.Answered, evidence.TimedOut},
		"sends a page":                {send(page + "\r\n<html></html>"), enough, evidence.Answered, evidence.NoTrouble},
		"sends 10 MB":                 {send(page + "Content-Length: 10485760\r\n\r\n" + strings.Repeat("x", 10<<20)), enough, evidence.Answered, evidence.NoTrouble},
	} {
		for kind, see := range looks {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				l := see(t.Context(), probe.Target{URL: serveRaw(t, c.serve), Timeout: c.timeout})
				want(t, l, c.stage, c.trouble)
				if len(l.Body) > evidence.BodyLimit || (l.Stage == evidence.Answered) != (l.Status == 200) {
					t.Errorf("status %d, body of %d bytes", l.Status, len(l.Body))
				}
				if c.timeout == short && (l.Took < short || time.Since(begun) > enough/2) {
					t.Errorf("took %s", l.Took)
				}
				if name == "cuts the body" && l.Body != "half of it" {
					t.Errorf("body %q", l.Body)
				}
			})
		}
	}
}

func send(text string) func(net.Conn) {
	return func(c net.Conn) {
		if readHead(c) != nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// flood sends until the other side has had enough.
func flood(head, more string) func(net.Conn) {
	return func(c net.Conn) {
		send(head)(c)
		for {
			if _, err := io.WriteString(c, more); err != nil {
				return
			}
		}
	}
}

// drip sends a byte now and then until the other side gives up.
func drip(head string) func(net.Conn) {
	return func(c net.Conn) {
		send(head)(c)
		tick := time.NewTicker(short / 10)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}
}

func TestAnAddressThatDoesNotAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for kind, see := range looks {
		t.Run("refused, "+kind, func(t *testing.T) {
			look := see(t.Context(), probe.Target{URL: parse(t, "http://"+addr), Timeout: enough})
			want(t, look, evidence.Resolved, evidence.Refused)
			if look.Addr != addr || look.Status != 0 {
				t.Errorf("address %q, status %d", look.Addr, look.Status)
			}
		})
	}
	t.Run("time-out of the dial", func(t *testing.T) {
		look := probe.Handshake(t.Context(), probe.Target{URL: fullBacklog(t), Timeout: short})
		want(t, look, evidence.Resolved, evidence.TimedOut)
	})
}

func TestAName(t *testing.T) {
	h := newHomeAssistant(t, nil)
	mute := zone{answer: func([]byte) []byte { return nil }}
	for name, c := range map[string]struct {
		zone    zone
		network string
		timeout time.Duration
		stage   evidence.Stage
		trouble evidence.Trouble
	}{
		"resolves":                         {addrs("127.0.0.1"), "", enough, evidence.Greeted, evidence.NoTrouble},
		"is not found":                     {zone{rcode: dnsmessage.RCodeNameError}, "", enough, evidence.Asked, evidence.NameNotFound},
		"has no address":                   {zone{}, "", enough, evidence.Asked, evidence.NameNotFound},
		"has no address of the kind asked": {addrs("127.0.0.1"), "tcp6", enough, evidence.Asked, evidence.NameNotFound},
		"cannot be told":                   {zone{rcode: dnsmessage.RCodeServerFailure}, "", enough, evidence.Asked, evidence.ResolverFailed},
		"gets no answer in time":           {mute, "", short, evidence.Asked, evidence.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			l := probe.Handshake(t.Context(), probe.Target{
				URL: parse(t, "http://localhost.:"+h.URL(t).Port()), Net: network.Network{Names: c.zone.house(t)}, Network: c.network, Timeout: c.timeout,
			})
			want(t, l, c.stage, c.trouble)
			if l.Addr != "" && c.trouble != evidence.NoTrouble {
				t.Errorf("dialled %s", l.Addr)
			}
		})
	}
}

func TestALookThatCannotBegin(t *testing.T) {
	for name, target := range map[string]probe.Target{
		"no URL":                 {},
		"no host":                {URL: parse(t, "https:///x")},
		"another scheme":         {URL: parse(t, "ftp://ha.example.com")},
		"http over the internet": {URL: parse(t, "http://ha.example.com")},
		"an unknown network":     {URL: parse(t, "https://ha.example.com"), Network: "udp"},
	} {
		for kind, see := range looks {
			t.Run(name+", "+kind, func(t *testing.T) {
				want(t, see(t.Context(), target), evidence.Asked, evidence.Unusable)
			})
		}
	}
}

func TestACancelledLookSaysNothing(t *testing.T) {
	silent := serveRaw(t, hold)
	for name, target := range map[string]probe.Target{
		"while resolving": {URL: parse(t, "https://ha.example.com"), Net: network.Network{Names: zone{answer: func([]byte) []byte { return nil }}.house(t)}},
		"while asking outside": {URL: parse(t, "https://ha.example.com"), Outside: resolverFor(t, http.HandlerFunc(
			func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }))},
		"while dialling":      {URL: fullBacklog(t)},
		"while securing":      {URL: parse(t, "https://"+silent.Host)},
		"while awaiting it":   {URL: silent},
		"while being greeted": {URL: newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) { _, _, _ = c.Read(ctx) }).URL(t)},
	} {
		t.Run(name, func(t *testing.T) {
			target.Timeout = enough
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(short/3, cancel)
			begun := time.Now()
			l := probe.Handshake(ctx, target)
			if l.Trouble != evidence.Interrupted || l.Done() {
				t.Errorf("trouble %q at %q: %s", l.Trouble, l.Stage, l.Detail)
			}
			if took := time.Since(begun); took > enough/4 {
				t.Errorf("took %s to give up", took)
			}
		})
	}
}
