package lab

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The answers below were taken from aiohttp 3.8.6 itself, asked the same.
func TestHomeAssistantAnswersHandshakesAsAiohttpDoes(t *testing.T) {
	w := start(t, Options{})
	const v, u, c, k = "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	const stripped = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."
	for name, c := range map[string]struct {
		header []string
		want   string // of a 400, or the accepted key
	}{
		"Upgrade lost":                        {[]string{c, v, k}, stripped},
		"Upgrade lost, Connection replaced":   {[]string{"Connection: keep-alive", v, k}, stripped},
		"another protocol":                    {[]string{"Upgrade: h2c", c, v, k}, "No WebSocket UPGRADE hdr: h2c\n Can \"Upgrade\" only to \"WebSocket\"."},
		"Connection replaced":                 {[]string{u, "Connection: keep-alive", v, k}, "No CONNECTION upgrade hdr: keep-alive"},
		"Connection lost":                     {[]string{u, v, k}, "No CONNECTION upgrade hdr: None"},
		"key lost":                            {[]string{u, c, v}, "Handshake error: None"},
		"key empty":                           {[]string{u, c, v, "Sec-WebSocket-Key:"}, "Handshake error: ''"},
		"key too short":                       {[]string{u, c, v, "Sec-WebSocket-Key: YWJj"}, "Handshake error: 'YWJj'"},
		"key with bad padding":                {[]string{u, c, v, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="}, "Handshake error: 'dGhlIHNhbXBsZSBub25jZQ='"},
		"key with a quote":                    {[]string{u, c, v, "Sec-WebSocket-Key: ab'c"}, `Handshake error: "ab'c"`},
		"key with both quotes":                {[]string{u, c, v, `Sec-WebSocket-Key: ab'"c`}, `Handshake error: 'ab\'"c'`},
		"version lost":                        {[]string{u, c, k}, "Unsupported version: "},
		"version unknown":                     {[]string{u, c, k, "Sec-WebSocket-Version: 12"}, "Unsupported version: 12"},
		"the version is asked before the key": {[]string{u, c}, "Unsupported version: "},
		"good":                                {[]string{u, c, v, k}, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		"good, Connection a list":             {[]string{u, "Connection: keep-alive, Upgrade", v, k}, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		"good, an unknown subprotocol":        {[]string{u, c, v, k, "Sec-WebSocket-Protocol: foo"}, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", w.Core.door.addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET /api/websocket HTTP/1.1\r\nHost: x\r\n"+strings.Join(c.header, "\r\n")+"\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == http.StatusSwitchingProtocols {
				if have := res.Header.Get("Sec-WebSocket-Accept"); have != c.want || res.Header.Get("Sec-WebSocket-Protocol") != "" {
					t.Errorf("%v", res.Header)
				}
				return
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusBadRequest || string(body) != c.want || res.Header.Get("Content-Type") != plainText {
				t.Errorf("%d %q, want %q; %v", res.StatusCode, body, c.want, res.Header)
			}
		})
	}
}

func TestHomeAssistantsOtherPages(t *testing.T) {
	w := start(t, Options{})
	want(t, get(t, w.Core.URL()+"/nope"), 404, "404: Not Found")
	want(t, get(t, w.Core.URL()+"/api/"), 401, "401: Unauthorized")
	res, err := http.Post(w.Core.URL()+"/api/websocket", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET,HEAD" || res.Header.Get("Server") != aiohttpServer {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestHomeAssistantSignsInWithItsTokenAndCountsWrongOnes(t *testing.T) {
	w := start(t, Options{})
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
	if w.Core.Told().WrongTokens != 2 || w.Core.Told().SignIns != 1 {
		t.Fatal(w.Core.Told().WrongTokens, w.Core.Told().SignIns)
	}
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
