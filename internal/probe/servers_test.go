package probe_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

const (
	// enough is a look's time where the outcome does not hang on it.
	enough = 20 * time.Second
	// short is a look's time where the server is to let it pass.
	short = 300 * time.Millisecond

	rightToken = "right-token-0123456789"
	wrongToken = "wrong-token-0123456789"

	greeting = `{"type":"auth_required","ha_version":"2026.11.1"}`
)

func parse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// serveRaw lets handle speak to each connection; the connection ends with it.
func serveRaw(t testing.TB, handle func(net.Conn)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, handle)
	return parse(t, "http://"+l.Addr().String())
}

func serveOn(t testing.TB, l net.Listener, handle func(net.Conn)) {
	ctx, stop := context.WithCancel(context.Background())
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { stop(); l.Close(); open.Wait() })
}

// readHead reads a request's head.
func readHead(conn net.Conn) *http.Request {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return nil
	}
	return req
}

// hold keeps a connection open, silent, until the other side ends it.
func hold(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// serveText answers each request with the same bytes and closes.
func serveText(t testing.TB, text string) *url.URL {
	return serveRaw(t, func(conn net.Conn) {
		if readHead(conn) != nil {
			_, _ = io.WriteString(conn, text)
		}
	})
}

// homeAssistant speaks the WebSocket API up to the sign-in, and counts.
type homeAssistant struct {
	*httptest.Server
	signIns  atomic.Int32 // auth messages
	refusals atomic.Int32 // auth_invalid sent
	closed   chan websocket.StatusCode
	requests chan http.Header

	// then replaces what is done after the 101.
	then func(context.Context, *websocket.Conn)
}

func (h *homeAssistant) URL(t testing.TB) *url.URL { return parse(t, h.Server.URL) }

func newHomeAssistant(t testing.TB, then func(context.Context, *websocket.Conn)) *homeAssistant {
	h := unstartedHomeAssistant(t, then)
	h.Start()
	return h
}

func unstartedHomeAssistant(t testing.TB, then func(context.Context, *websocket.Conn)) *homeAssistant {
	h := &homeAssistant{then: then, closed: make(chan websocket.StatusCode, 1000), requests: make(chan http.Header, 1000)}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *homeAssistant) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case h.requests <- r.Header.Clone():
	default:
	}
	w.Header().Set("Cf-Ray", "8f00000000000000-FRA")
	if r.URL.Path != "/api/websocket" {
		_, _ = io.WriteString(w, `{"name":"Home Assistant"}`)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	if h.then != nil {
		h.then(r.Context(), conn)
		return
	}
	_ = conn.Write(r.Context(), websocket.MessageText, []byte(greeting))
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			select {
			case h.closed <- websocket.CloseStatus(err):
			default:
			}
			return
		}
		h.signIns.Add(1)
		if string(data) == `{"access_token":"`+rightToken+`","type":"auth"}` {
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"auth_ok","ha_version":"2026.11.1"}`))
			continue
		}
		h.refusals.Add(1)
		_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"auth_invalid","message":"Invalid access token or password"}`))
	}
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Test Authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

// leaf is a certificate for the names, valid for the time given from now.
func (a *authority) leaf(t testing.TB, valid time.Duration, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{NotAfter: time.Now().Add(valid), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	cert, key := issue(t, template, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func issue(t testing.TB, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// zone is what a name server knows of one name.
type zone struct {
	rcode dnsmessage.RCode
	addrs []netip.Addr
	// answer, where set, replaces the whole reply.
	answer func(query []byte) []byte
}

func addrs(texts ...string) zone {
	var z zone
	for _, s := range texts {
		z.addrs = append(z.addrs, netip.MustParseAddr(s))
	}
	return z
}

func (z zone) reply(query []byte) []byte {
	if z.answer != nil {
		return z.answer(query)
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil
	}
	m.Response, m.RecursionAvailable, m.RCode, m.Additionals = true, true, z.rcode, nil
	q := m.Questions[0]
	for _, a := range z.addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// house is a resolver that asks a name server on loopback.
func (z zone) house(t testing.TB) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := z.reply(buf[:n]); reply != nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	})
	t.Cleanup(func() { server.Close(); done.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// doh is a DNS-over-HTTPS server's handler.
func (z zone) doh() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/dns-message" || r.Header.Get("Accept") != "application/dns-message" {
			http.Error(w, "not RFC 8484", http.StatusUnsupportedMediaType)
			return
		}
		query, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(z.reply(query))
	}
}

func (z zone) outside(t testing.TB) *probe.Resolver {
	t.Helper()
	return resolverFor(t, z.doh())
}

func resolverFor(t testing.TB, h http.Handler) *probe.Resolver {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	r, err := probe.NewResolver(srv.URL+"/dns-query", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want compares how far a look got and what ended it.
func want(t testing.TB, l evidence.Look, stage evidence.Stage, trouble evidence.Trouble) {
	t.Helper()
	if l.Stage != stage || l.Trouble != trouble {
		t.Fatalf("%s: stage %q, trouble %q; want %q, %q (detail: %s)", l.Asked, l.Stage, l.Trouble, stage, trouble, l.Detail)
	}
	if (l.Trouble != evidence.NoTrouble) != (l.Detail != "") && l.SignIn != evidence.TokenRefused {
		t.Fatalf("trouble %q with detail %q", l.Trouble, l.Detail)
	}
	if l.At.IsZero() || l.Took <= 0 {
		t.Fatalf("at %v, took %v", l.At, l.Took)
	}
}
