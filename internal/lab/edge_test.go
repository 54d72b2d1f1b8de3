package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/evidence"
)

var rayShape = regexp.MustCompile(`^[0-9a-f]{16}-FRA$`)

func TestEveryAnswerOfTheEdgeIsMarked(t *testing.T) {
	w := ready(t, Options{})
	for name, c := range map[string]struct {
		f      Faults
		status int
		header [2]string
		body   string
	}{
		"healthy":                {Faults{}, 200, [2]string{"Content-Type", "text/html; charset=utf-8"}, "Home Assistant"},
		"firewall":               {Faults{Firewall: 1020}, 403, [2]string{}, "1020"},
		"challenge":              {Faults{Challenge: true}, 403, [2]string{"Cf-Mitigated", "challenge"}, "Just a moment"},
		"rate limit":             {Faults{RateLimited: true}, 429, [2]string{"Retry-After", "10"}, "1015"},
		"an answer of its own":   {Faults{Answer: &EdgeAnswer{Status: 525, Header: map[string]string{"X-A": "b"}, Body: "error code: 525"}}, 525, [2]string{"X-A", "b"}, "error code: 525"},
		"another tunnel":         {Faults{Misrouted: true}, 530, [2]string{}, "error code: 1033"},
		"a replica elsewhere":    {Faults{ElsewhereToo: true}, 200, [2]string{}, "Home Assistant"},
		"unknown to the tunnel":  {Faults{Unrouted: true}, 404, [2]string{}, ""},
		"Home Assistant is away": {Faults{CoreDown: true}, 502, [2]string{}, "Unable to reach the origin service."},
	} {
		w.SetFaults(c.f)
		a := get(t, w.Edge.URL()+"/")
		want(t, a, c.status, c.body)
		if a.header.Get("Server") != "cloudflare" || !rayShape.MatchString(a.header.Get("Cf-Ray")) {
			t.Errorf("%s: %v", name, a.header)
		}
		if c.header[0] != "" && a.header.Get(c.header[0]) != c.header[1] {
			t.Errorf("%s: %s is %q", name, c.header[0], a.header.Get(c.header[0]))
		}
	}
	w.SetFaults(Faults{ElsewhereToo: true})
	before := count(t, w, "cloudflared_tunnel_total_requests")
	dial(t, w.Edge.URL())
	if after := count(t, w, "cloudflared_tunnel_total_requests"); after != before {
		t.Error("a replica's requests move our counters")
	}
}

func TestAGoodHandshakeIsMarkedToo(t *testing.T) {
	w := ready(t, Options{})
	a := get(t, w.Edge.URL()+"/api/websocket", append([]string{"Sec-WebSocket-Extensions", "permessage-deflate"}, upgrade...)...)
	if a.status != 101 || a.header.Get("Server") != "cloudflare" || !rayShape.MatchString(a.header.Get("Cf-Ray")) || a.header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || a.header.Get("Sec-WebSocket-Extensions") != "permessage-deflate" {
		t.Error(a)
	}
}

func TestAccessWantsAServiceToken(t *testing.T) {
	w := ready(t, Options{Faults: Faults{Access: true}})
	for _, a := range []answer{get(t, w.Edge.URL()+"/"), handshakeAt(t, w.Edge.URL())} {
		want(t, a, 302)
		if !regexp.MustCompile(`^https://[a-z]+\.cloudflareaccess\.com/cdn-cgi/access/login/`).MatchString(a.header.Get("Location")) {
			t.Error(a.header)
		}
	}
	token := []string{"CF-Access-Client-Id", AccessID, "CF-Access-Client-Secret", AccessSecret}
	want(t, get(t, w.Edge.URL()+"/", token...), 200)
	if h := lastAt(t, w, "origin").Header; h.Get("CF-Access-Client-Secret") != "" {
		t.Error("the secret went on to Home Assistant")
	}
	denied := get(t, w.Edge.URL()+"/", "CF-Access-Client-Id", AccessID, "CF-Access-Client-Secret", "wrong")
	want(t, denied, 403)
	if denied.header.Get("Cf-Access-Domain") == "" {
		t.Error(denied.header)
	}
	w.SetFaults(Faults{Access: true, AccessRefuses: true})
	want(t, get(t, w.Edge.URL()+"/", token...), 403)
}

func TestAnAnswerMayBeForWebSocketsOnly(t *testing.T) {
	w := ready(t, Options{Faults: Faults{Answer: &EdgeAnswer{Status: 502, To: "websocket"}}})
	want(t, handshakeAt(t, w.Edge.URL()), 502)
	want(t, get(t, w.Edge.URL()+"/"), 200)
	w.SetFaults(Faults{Answer: &EdgeAnswer{Status: 503, To: "page"}})
	want(t, get(t, w.Edge.URL()+"/"), 503)
	dial(t, w.Edge.URL())
}

func TestWebSocketsOffAtTheZoneLooksLikeTheBugOnEveryTransport(t *testing.T) {
	for _, p := range []string{"quic", "http2"} {
		w := ready(t, Options{RunParameters: []string{"--protocol=" + p}, Faults: Faults{WebSocketsOff: true}})
		want(t, handshakeAt(t, w.Edge.URL()), 400, "No WebSocket UPGRADE hdr: None")
		want(t, get(t, w.Outside.door.url()+"/client/v4/zones/"+ZoneID+"/settings/websockets", "Authorization", "Bearer "+CloudflareToken), 200, `"value":"off"`)
	}
}

func TestSilenceLastsUntilTheVisitorGoes(t *testing.T) {
	w := ready(t, Options{})
	for name, f := range map[string]Faults{"edge": {EdgeSilent: true}, "upgrade": {Upgrade: map[evidence.Transport]UpgradeFault{evidence.OverQUIC: {Share: 1, Form: Hanging}}}} {
		w.SetFaults(f)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		req, _ := http.NewRequestWithContext(ctx, "GET", w.Edge.URL()+"/api/websocket", nil)
		for i := 0; i < len(upgrade); i += 2 {
			req.Header.Set(upgrade[i], upgrade[i+1])
		}
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil || ctx.Err() == nil {
			t.Error(name, resp, err)
		}
		cancel()
	}
}

func TestWithoutInternetTheEdgeAndTheResolverRefuseAndTheTunnelIsLost(t *testing.T) {
	w := ready(t, Options{})
	ws := dial(t, w.Edge.URL())
	w.SetFaults(Faults{InternetDown: true})
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the WebSocket lives on")
	}
	wait(t, w, "lost", func() bool { return w.Connector.Connections() == 0 })
	for _, u := range []string{w.Edge.URL(), w.Outside.door.url() + "/dns-query"} {
		if a := get(t, u); a.err == nil || !strings.Contains(a.err.Error(), "refused") {
			t.Error(u, a)
		}
	}
	dial(t, w.Core.URL())
}

func TestSplitDNSAsAFaultAnswersWithoutARay(t *testing.T) {
	w := ready(t, Options{Faults: Faults{SplitDNS: true}})
	a := get(t, w.Edge.URL()+"/")
	want(t, a, 200, "Home Assistant")
	if a.header.Get("Cf-Ray") != "" || !strings.HasPrefix(a.header.Get("Server"), "Python/") {
		t.Error(a.header)
	}
	if h := lastAt(t, w, "origin").Header; h.Get("X-Forwarded-For") != "" {
		t.Error("nothing stands between")
	}
	dial(t, w.Edge.URL())
}

// ask is a DNS query in wire format.
func ask1(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTheResolverOutsideKnowsThePublicName(t *testing.T) {
	w := start(t, Options{SplitDNS: true})
	doh := w.Env()["TUNNELMEDIC_DOH_URL"]
	read := func(a answer) dnsmessage.Message {
		t.Helper()
		want(t, a, 200)
		var m dnsmessage.Message
		if err := m.Unpack([]byte(a.body)); err != nil || m.ID != 7 || !m.Response || a.header.Get("Content-Type") != "application/dns-message" {
			t.Fatal(err, a)
		}
		return m
	}
	post := func(name string, kind dnsmessage.Type) dnsmessage.Message {
		return read(fetch(t, "POST", doh, string(ask1(t, name, kind)), "Content-Type", "application/dns-message"))
	}
	for _, m := range []dnsmessage.Message{post("localhost.", dnsmessage.TypeA), post("ha.example.com.", dnsmessage.TypeA)} {
		if len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{127, 0, 0, 2} {
			t.Error(m.GoString())
		}
	}
	if m := post("localhost.", dnsmessage.TypeAAAA); len(m.Answers) != 0 || m.RCode != dnsmessage.RCodeSuccess {
		t.Error(m.GoString())
	}
	if m := post("other.example.com.", dnsmessage.TypeA); m.RCode != dnsmessage.RCodeNameError {
		t.Error(m.GoString())
	}
	want(t, fetch(t, "POST", doh, "rubbish", "Content-Type", "application/dns-message"), 400)
	w.SetFaults(Faults{ResolverDown: true})
	if a := get(t, doh); a.err == nil {
		t.Error(a)
	}
}

func TestAHouseWithSplitDNSHasHomeAssistantAndTheEdgeAtOnePort(t *testing.T) {
	w := ready(t, Options{SplitDNS: true})
	if !strings.HasPrefix(w.Edge.URL(), "http://localhost:") || w.Core.door.port() != w.Edge.door.port() {
		t.Fatal(w.Edge.URL())
	}
	if a := get(t, w.Edge.URL()+"/"); a.status != 200 || a.header.Get("Cf-Ray") != "" {
		t.Error(a)
	}
	if a := get(t, "http://127.0.0.2:"+w.Edge.door.port()+"/"); a.status != 200 || a.header.Get("Cf-Ray") == "" {
		t.Error(a)
	}
	c := w.StartClients(time.Millisecond, false)
	defer c.Stop()
	wait(t, w, "a visitor comes by the edge", func() bool { return c.Tally().Opened > 0 })
	if lastAt(t, w, "edge").Path != "/api/websocket" {
		t.Error("the visitor did not pass the edge")
	}
}

func TestTheEdgeMaySpeakTLSWithTheLabsCA(t *testing.T) {
	w := ready(t, Options{TLS: true})
	raw, err := os.ReadFile(w.Env()["TUNNELMEDIC_CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) || !strings.HasPrefix(w.Edge.URL(), "https://") {
		t.Fatal(w.Edge.URL())
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	resp, err := client.Get(w.Edge.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); resp.ProtoMajor != 2 || !bytes.Contains(body, []byte("Home Assistant")) {
		t.Error(resp.Proto, string(body))
	}
	if _, err := http.Get(w.Edge.URL()); err == nil {
		t.Error("the certificate is trusted without the CA")
	}
	c := w.StartClients(time.Millisecond, false)
	defer c.Stop()
	wait(t, w, "a visitor over TLS", func() bool { return c.Tally().Opened > 0 })
}

func TestCloudflaresStatusPageAndAPI(t *testing.T) {
	w := ready(t, Options{})
	env := w.Env()
	want(t, get(t, env["TUNNELMEDIC_CLOUDFLARE_STATUS_URL"]+"/summary.json"), 200, "All Systems Operational")
	want(t, get(t, env["TUNNELMEDIC_CLOUDFLARE_STATUS_URL"]+"/incidents.json"), 200, `"incidents":[]`)
	api := env["TUNNELMEDIC_CLOUDFLARE_API_URL"]
	want(t, get(t, api+"/zones/"+ZoneID+"/rulesets"), 403, `"success":false`)
	for path, part := range map[string]string{"/zones/" + ZoneID + "/rulesets": "ddos_l7", "/zones/" + ZoneID + "/settings/websockets": `"value":"on"`, "/accounts/" + AccountID + "/cfd_tunnel/" + tunnelID + "/connections": `"client_version":"2026.8.2"`} {
		want(t, get(t, api+path, "Authorization", "Bearer "+CloudflareToken), 200, part, `"success":true`)
	}
}

func TestClientsMoveTheCounters(t *testing.T) {
	bubbled(t, Options{Faults: Stripped(1)}, func(t *testing.T, w *World) {
		wait(t, w, "connected", func() bool { return w.Connector.Connections() == 4 })
		c := w.StartClients(time.Millisecond, true)
		wait(t, w, "failing", func() bool { return c.Tally().Attempts >= 3 })
		if tally := c.Tally(); tally.Opened != 0 || !strings.Contains(tally.Last, "400") {
			t.Error(tally)
		}
		w.SetFaults(Faults{})
		wait(t, w, "in", func() bool { return c.Tally().Opened == 1 })
		stays(t, w, 20*time.Millisecond, func() bool { return c.Tally().Opened == 1 }) // it stays
		w.Connector.Crash()
		wait(t, w, "thrown out", func() bool { return c.Tally().Last != "" })
		c.Stop()
		if a := fetchOver(t, w.Network().Transport(), "GET", w.Connector.URL()+"/metrics", ""); a.err == nil {
			t.Error("a crashed connector still answers", a.body)
		}
	})
}
