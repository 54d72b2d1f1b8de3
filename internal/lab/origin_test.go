package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rawAsk sends lines to Home Assistant and gives everything of the answer's head
// and body, byte for byte, but for Date and the Server's versions.
func rawAsk(t *testing.T, w *World, lines ...string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", w.Core.door.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	var b strings.Builder
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, b.String())
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		b.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	if lines[0] != "HEAD / HTTP/1.1" {
		body := make([]byte, length)
		if _, err := io.ReadFull(br, body); err != nil {
			t.Fatal(err)
		}
		b.Write(body)
	}
	return regexp.MustCompile(`Date: [^\r]*|Python/[0-9.]+ aiohttp/[0-9.]+`).ReplaceAllString(b.String(), "~")
}

// The bytes below were taken from aiohttp 3.8.6 itself, asked the same.
func TestHomeAssistantAnswersHandshakesAsAiohttpByteForByte(t *testing.T) {
	const get, v, u, c = "GET /api/websocket HTTP/1.1\r\nHost: x", "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade"
	const k = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	refused := func(body string, more ...string) string {
		return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n~\r\nServer: ~\r\n%s\r\n%s", len(body), strings.Join(more, ""), body)
	}
	accepted := func(accept string, more string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n" + more + "Content-Type: application/octet-stream\r\n~\r\nServer: ~\r\n\r\n"
	}
	const stripped = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."
	const hello = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	w := start(t, Options{})
	for name, c := range map[string]struct {
		ask  []string
		want string
	}{
		"Upgrade lost":                        {[]string{get, c, v, k}, refused(stripped)},
		"Upgrade lost, Connection replaced":   {[]string{get, "Connection: keep-alive", v, k}, refused(stripped)},
		"another protocol":                    {[]string{get, "Upgrade: h2c", c, v, k}, refused("No WebSocket UPGRADE hdr: h2c\n Can \"Upgrade\" only to \"WebSocket\".")},
		"Connection replaced":                 {[]string{get, u, "Connection: keep-alive", v, k}, refused("No CONNECTION upgrade hdr: keep-alive")},
		"Connection lost":                     {[]string{get, u, v, k}, refused("No CONNECTION upgrade hdr: None")},
		"key lost":                            {[]string{get, u, c, v}, refused("Handshake error: None")},
		"key empty":                           {[]string{get, u, c, v, "Sec-WebSocket-Key:"}, refused("Handshake error: ''")},
		"key too short":                       {[]string{get, u, c, v, "Sec-WebSocket-Key: YWJj"}, refused("Handshake error: 'YWJj'")},
		"key with bad padding":                {[]string{get, u, c, v, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="}, refused("Handshake error: 'dGhlIHNhbXBsZSBub25jZQ='")},
		"key with a quote":                    {[]string{get, u, c, v, "Sec-WebSocket-Key: ab'c"}, refused(`Handshake error: "ab'c"`)},
		"key with both quotes":                {[]string{get, u, c, v, `Sec-WebSocket-Key: ab'"c`}, refused(`Handshake error: 'ab\'"c'`)},
		"version lost":                        {[]string{get, u, c, k}, refused("Unsupported version: ")},
		"version unknown":                     {[]string{get, u, c, k, "Sec-WebSocket-Version: 12"}, refused("Unsupported version: 12")},
		"the version is asked before the key": {[]string{get, u, c}, refused("Unsupported version: ")},
		"refused and closed":                  {[]string{get, "Connection: close", v, k}, refused(stripped, "Connection: close\r\n")},
		"good":                                {[]string{get, u, c, v, k}, accepted(hello, "")},
		"good, Connection a list":             {[]string{get, u, "Connection: keep-alive, Upgrade", v, k}, accepted(hello, "")},
		"good, an unknown subprotocol":        {[]string{get, u, c, v, k, "Sec-WebSocket-Protocol: foo"}, accepted(hello, "")},
		"good, a key with other characters":   {[]string{get, u, c, v, "Sec-WebSocket-Key: $$dGhlIHNhbXBsZSBub25jZQ=="}, accepted("tuZOYguZf7i8E4nFC0QgSYP5+qg=", "")},
		"good, compression offered": {[]string{get, u, c, v, k, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"},
			accepted(hello, "Sec-WebSocket-Extensions: permessage-deflate\r\n")},
		"good, compression without context": {[]string{get, u, c, v, k, "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
			accepted(hello, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n")},
		"another method": {[]string{"POST /api/websocket HTTP/1.1\r\nHost: x\r\nContent-Length: 0"},
			"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: GET,HEAD\r\nContent-Length: 23\r\n~\r\nServer: ~\r\n\r\n405: Method Not Allowed"},
		"no such page": {[]string{"GET /nope HTTP/1.1\r\nHost: x"},
			"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n~\r\nServer: ~\r\n\r\n404: Not Found"},
		"no token": {[]string{"GET /api/ HTTP/1.1\r\nHost: x"},
			"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n~\r\nServer: ~\r\n\r\n401: Unauthorized"},
		"HTTP/1.0, kept": {[]string{"GET /nope HTTP/1.0\r\nConnection: keep-alive"},
			"HTTP/1.0 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n~\r\nServer: ~\r\nConnection: keep-alive\r\n\r\n404: Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			if have := rawAsk(t, w, c.ask...); have != c.want {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
		})
	}
}

func TestPython64(t *testing.T) {
	for s, c := range map[string]struct {
		n  int
		ok bool
	}{"": {0, true}, "YQ==": {1, true}, "YQ": {1, false}, "YQ=": {1, false}, "YWI=": {2, true}, "YWJj": {3, true}, "Y": {0, false}, "=YWJj": {3, true}, "YQ=a": {2, false}, "YQ==YWJj": {1, true}} {
		if n, ok := pyBase64Len(s); ok != c.ok || ok && n != c.n {
			t.Errorf("%q: %d %v, want %d %v", s, n, ok, c.n, c.ok)
		}
	}
}

func TestARefusedHandshakeKeepsTheConnectionForTheNextRequest(t *testing.T) {
	w := start(t, Options{})
	conn, err := net.Dial("tcp", w.Core.door.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	br := bufio.NewReader(conn)
	for range 2 {
		_, _ = io.WriteString(conn, "GET /api/websocket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 400 {
			t.Fatal(resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

func TestHomeAssistantSignsInWithItsTokenAndCountsWrongOnes(t *testing.T) {
	w := start(t, Options{BanAfter: 2})
	good := dial(t, w.Core.URL())
	say(t, good, `{"type":"auth","access_token":"`+HAToken+`"}`)
	if m := hear(t, good); m["type"] != "auth_ok" || m["ha_version"] != w.opt.HAVersion {
		t.Fatal(m)
	}
	say(t, good, `{"id":7,"type":"ping"}`)
	if m := hear(t, good); m["type"] != "pong" || m["id"] != 7.0 {
		t.Fatal(m)
	}
	for range 2 {
		bad := dial(t, w.Core.URL())
		say(t, bad, `{"type":"auth","access_token":"no"}`)
		if m := hear(t, bad); m["type"] != "auth_invalid" || m["message"] != "Invalid access token or password" {
			t.Fatal(m)
		}
		if _, _, err := bad.Read(t.Context()); err == nil {
			t.Fatal("the socket stays")
		}
	}
	if w.Core.WrongTokens() != 2 || w.Core.SignIns() != 1 {
		t.Fatal(w.Core.WrongTokens(), w.Core.SignIns())
	}
	want(t, handshakeAt(t, w.Core.URL()), 403, "403: Forbidden")
}

func TestHomeAssistantFaults(t *testing.T) {
	w := ready(t, Options{})
	t.Run("an IP ban is 403: Forbidden on every path", func(t *testing.T) {
		w.SetFaults(Faults{Banned: true})
		want(t, handshakeAt(t, w.Core.URL()), 403, "403: Forbidden")
		want(t, get(t, w.Edge.URL()+"/"), 403, "403: Forbidden")
	})
	t.Run("without trusted_proxies every proxied path is 400: Bad Request and the direct way is fine", func(t *testing.T) {
		w.SetFaults(Faults{ProxyNotTrusted: true})
		for _, a := range []answer{get(t, w.Edge.URL()+"/"), get(t, w.Edge.URL()+"/manifest.json"), handshakeAt(t, w.Edge.URL())} {
			want(t, a, 400)
			if a.body != "400: Bad Request" {
				t.Error(a.body)
			}
		}
		dial(t, w.Core.URL())
	})
	t.Run("silent, it says 101 and no greeting", func(t *testing.T) {
		w.SetFaults(Faults{OriginSilent: true})
		silentAt(t, w.Core.URL())
	})
	t.Run("down, it refuses, and the edge says 502", func(t *testing.T) {
		w.SetFaults(Faults{CoreDown: true})
		if a := get(t, w.Core.URL()); a.err == nil || !strings.Contains(a.err.Error(), "refused") {
			t.Error(a)
		}
		want(t, get(t, w.Edge.URL()+"/"), 502, "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared")
		want(t, super(t, w, "GET", "/core/api/config", ""), 502, "502: Bad Gateway")
	})
	t.Run("starting, it is down for a while and comes back by itself", func(t *testing.T) {
		w.SetFaults(Faults{})
		w.User.RestartsCore()
		want(t, super(t, w, "GET", "/core/api/config", ""), 502)
		wait(t, w, "back", func() bool { return !w.Faults().CoreStarting })
		dial(t, w.Edge.URL())
	})
}
