package probe_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/probe"
)

// A look at whatever answers ends in time, keeps no more than it may, and repeats no secret.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
		"HTTP/1.1 400 Bad Request\r\nServer: cloudflare\r\nCF-RAY: 8f1d2c3b4a5e6f70-FRA\r\n\r\nNo WebSocket UPGRADE hdr: None",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: https://house.cloudflareaccess.com/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na secret-of-access b\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nx", "HTTP/1.1 -1 \r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n\r\n<script type=\"module\">import(\"/frontend_latest/app.f8a4e760fab10455.js\")</script>", "\x15\x03\x01\x00\x02\x02\x28", "",
	} {
		f.Add([]byte(answer))
	}
	const secret = "a secret-of-access"
	f.Fuzz(func(t *testing.T, answer []byte) {
		target := probe.Target{URL: parse(t, "http://127.0.0.1:1"), Net: wire.Saying(answer), Timeout: time.Second,
			Access: probe.Access{ID: "an-id.access", Secret: secret}, Token: probe.NewToken("a-long-lived-token", false)}
		start, script := probe.StartPage(t.Context(), target)
		if len(script) > 300 || strings.ContainsAny(script, " \r\n\"'<>") {
			t.Errorf("the start page's script is %q", script)
		}
		for _, l := range []evidence.Look{probe.Handshake(t.Context(), target), probe.Page(t.Context(), target), start} {
			whole, err := json.Marshal(l)
			if err != nil {
				t.Fatalf("the look cannot be written: %v", err)
			}
			if len(l.Body) > evidence.BodyLimit || !utf8.ValidString(l.Body) || len(l.Header) > 32 || strings.ContainsAny(l.Detail, "\r\n") {
				t.Errorf("it keeps too much, or what is no text: %s", whole)
			}
			if strings.Contains(string(whole), secret) || strings.Contains(string(whole), "a-long-lived-token") {
				t.Errorf("it repeats a secret: %s", whole)
			}
			if l.Stage == evidence.NotAsked || l.Healthy() && l.HAVersion == "" && l.Status != 101 {
				t.Errorf("it says too much or nothing: %s", whole)
			}
			if strings.Contains(l.Detail, "panic") {
				t.Errorf("it panicked: %s", l.Detail)
			}
		}
	})
}

// Whatever a DNS-over-HTTPS server answers, it is addresses or an error, and no more of
// them than a message can hold.
func FuzzDoH(f *testing.F) {
	name := dnsmessage.MustNewName("ha.example.com.")
	question := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	for _, m := range []dnsmessage.Message{
		{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{question}, Answers: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}}}},
		{Header: dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError}, Questions: []dnsmessage.Question{question}},
		{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{question}, Answers: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}, Body: &dnsmessage.CNAMEResource{CNAME: name}}}},
	} {
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := probe.NewResolver("http://127.0.0.1:1/dns-query", nil)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := r.Over(wire.Saying(wire.HTTP("200 OK", "application/dns-message", message))).LookupNetIP(t.Context(), "ip", "ha.example.com")
		if (err == nil) != (len(addrs) > 0) {
			t.Errorf("%v, %v", addrs, err)
		}
		for _, a := range addrs {
			if !a.IsValid() || a == (netip.Addr{}) {
				t.Errorf("%v is no address", a)
			}
		}
	})
}

// An address that is taken is one that is taken again as it is, and leads where it says.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://ha.example.com", "https://HA.Example.com.:8443/", "http://127.0.0.1:8123", "https://user:pw@ha.example.com/x?y#z", "https://[::1]:1", "ha.example.com", "https://xn--bcher-kva.example", "https://bücher.example", "https://a_b.example:0", "\x00://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := probe.CheckURL(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error is more than a line: %q", err)
			}
			return
		}
		if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("%q became %q", text, u)
		}
		again, err := probe.CheckURL(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("%q became %q, which becomes %v, %v", text, u, again, err)
		}
	})
}
