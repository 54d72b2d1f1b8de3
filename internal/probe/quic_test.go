package probe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// What cloudflared asks the edge for: edgeQUICServerName and quicProtos in its
// connection/protocol.go.
const (
	edgeName = "quic.cftunnel.com"
	edgeALPN = "argotunnel"
)

// anEdge is a QUIC server that is not ours, and what it saw of each connection.
type anEdge struct {
	at     netip.AddrPort
	asked  chan *tls.ClientHelloInfo
	closed chan error
}

func serveQUIC(t *testing.T, at, alpn string, cert tls.Certificate, retry bool) *anEdge {
	t.Helper()
	e := &anEdge{asked: make(chan *tls.ClientHelloInfo, 9), closed: make(chan error, 9)}
	server, err := quic.Listen("udp", at, &quic.Config{RequireAddressValidation: retry, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: []tls.Certificate{cert},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { e.asked <- h; return nil, nil },
		// A certificate is asked for: a client that must show one would.
		ClientAuth: tls.RequestClientCert,
	}})
	if err != nil {
		t.Fatal(err)
	}
	e.at = server.LocalAddr()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := server.Accept(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				err := conn.Wait(context.Background())
				if s, _ := conn.AcceptStream(t.Context()); s != nil {
					err = errors.New("the client opened a stream")
				}
				if len(conn.ConnectionState().PeerCertificates) > 0 {
					err = errors.New("the client showed a certificate")
				}
				e.closed <- err
			})
		}
	})
	t.Cleanup(func() { shutEndpoint(server); wg.Wait() })
	return e
}

func shutEndpoint(e *quic.Endpoint) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Close(over)
}

// udp is a socket on loopback that does with each datagram what answer says.
func udp(t *testing.T, answer func(b []byte) []byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				_, _ = c.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// relay passes datagrams on to an edge and back, of which there says which, and after
// what time.
func relay(t *testing.T, to netip.AddrPort, there func(out bool, n int) (passes bool, after time.Duration)) netip.AddrPort {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	var mu sync.Mutex // guards client and counts
	var client netip.AddrPort
	counts := map[bool]int{}
	type datagram struct {
		b    []byte
		at   time.Time
		send func([]byte)
	}
	ways := map[bool]chan datagram{true: make(chan datagram, 99), false: make(chan datagram, 99)}
	for _, way := range ways {
		go func() { // in order
			for d := range way {
				time.Sleep(time.Until(d.at))
				d.send(d.b)
			}
		}()
		t.Cleanup(func() { close(way) })
	}
	t.Cleanup(func() { front.Close(); back.Close(); readers.Wait() })
	pass := func(out bool, b []byte, send func([]byte)) {
		mu.Lock()
		counts[out]++
		passes, after := there(out, counts[out])
		mu.Unlock()
		if passes {
			ways[out] <- datagram{append([]byte(nil), b...), time.Now().Add(after), send}
		}
	}
	readers.Go(func() {
		b := make([]byte, 2000)
		for {
			n, from, err := front.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			pass(true, b[:n], func(b []byte) { _, _ = back.Write(b) })
		}
	})
	readers.Go(func() {
		b := make([]byte, 2000)
		for {
			n, err := back.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			mu.Lock()
			to := client
			mu.Unlock()
			pass(false, b[:n], func(b []byte) { _, _ = front.WriteToUDPAddrPort(b, to) })
		}
	})
	return front.LocalAddr().(*net.UDPAddr).AddrPort()
}

// versions is a server's list of versions in answer to a first datagram (RFC 8999 §6).
func versions(b []byte, list ...uint32) []byte {
	if len(b) < 1200 || b[0]&0x80 == 0 {
		return nil
	}
	to, rest := b[6:6+b[5]], b[6+b[5]:]
	from := rest[1 : 1+rest[0]]
	a := append([]byte{0x80, 0, 0, 0, 0, byte(len(from))}, from...)
	a = append(append(a, byte(len(to))), to...)
	for _, v := range list {
		a = binary.BigEndian.AppendUint32(a, v)
	}
	return a
}

// TestNetworksAsQUICFindsThem: each kind of network, what the look shows, and what
// that says of whether cloudflared's QUIC gets through.
func TestNetworksAsQUICFindsThem(t *testing.T) {
	const named, loopback = edgeName, "127.0.0.1:0"
	cloudflare, somebody := newAuthority(t), newAuthority(t)
	newer := &authority{}
	newer.cert, newer.key = issue(t, &x509.Certificate{Subject: pkix.Name{Organization: []string{"CloudFlare, Inc."}}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	own := cloudflare.leaf(t, time.Hour, named)
	edge := func(t *testing.T) netip.AddrPort { return serveQUIC(t, loopback, edgeALPN, own, false).at }
	deaf := func(t *testing.T) netip.AddrPort { return udp(t, func([]byte) []byte { return nil }) }
	refuses := func(t *testing.T) netip.AddrPort { return serveQUIC(t, loopback, "h3", own, false).at }
	// A datagram to port 0 is one that the kernel does not send.
	unroutable := func(*testing.T) netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:0") }
	type edges = []func(*testing.T) netip.AddrPort

	type network struct {
		at      edges
		stage   evidence.Stage
		trouble evidence.Trouble
		passes  evidence.Switch
		detail  string // part of it
		within  time.Duration
	}
	networks := map[string]network{
		"open": {at: edges{edge}, stage: evidence.Secured, passes: evidence.On, within: time.Second},
		"an IPv4 address in IPv6's clothes": {at: edges{func(t *testing.T) netip.AddrPort {
			a := edge(t)
			return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
		}}, stage: evidence.Secured, passes: evidence.On, within: time.Second},
		"the edge wants the address proven first": {at: edges{func(t *testing.T) netip.AddrPort { return serveQUIC(t, loopback, edgeALPN, own, true).at }},
			stage: evidence.Secured, passes: evidence.On, within: time.Second},
		"slow": {at: edges{func(t *testing.T) netip.AddrPort {
			return relay(t, edge(t), func(out bool, _ int) (bool, time.Duration) {
				return true, map[bool]time.Duration{false: 2500 * time.Millisecond}[out]
			})
		}}, stage: evidence.Secured, passes: evidence.On, within: 3 * time.Second},
		"the first flight gets lost": {at: edges{func(t *testing.T) netip.AddrPort {
			return relay(t, edge(t), func(out bool, n int) (bool, time.Duration) { return !out || n > 2, 0 })
		}}, stage: evidence.Secured, passes: evidence.On, within: 3 * time.Second},
		"the first answer gets lost": {at: edges{func(t *testing.T) netip.AddrPort {
			return relay(t, edge(t), func(out bool, n int) (bool, time.Duration) { return out || n > 1, 0 })
		}}, stage: evidence.Secured, passes: evidence.On, within: 3 * time.Second},
		"one of two edges answers":          {at: edges{deaf, edge}, stage: evidence.Secured, passes: evidence.On, within: time.Second},
		"one refuses, the other takes it":   {at: edges{refuses, edge}, stage: evidence.Secured, passes: evidence.On, within: time.Second},
		"one cannot be reached, one passes": {at: edges{unroutable, edge}, stage: evidence.Secured, passes: evidence.On, within: time.Second},

		// CFD#1736, APP#553 (a FortiGate that inspects).
		"rejected at TLS level": {at: edges{refuses}, stage: evidence.Connected, trouble: evidence.TLSFailed, passes: evidence.Off,
			detail: "CRYPTO_ERROR 0x178 (tls: no application protocol)", within: time.Second},
		"rejected, and the other is silent": {at: edges{deaf, refuses}, stage: evidence.Connected, trouble: evidence.TLSFailed, passes: evidence.Off, detail: "0x178", within: 4 * time.Second},
		"QUIC is inspected": {at: edges{func(t *testing.T) netip.AddrPort {
			return serveQUIC(t, loopback, edgeALPN, somebody.leaf(t, time.Hour, named), false).at
		}}, stage: evidence.Connected, trouble: evidence.BadCertificate, passes: evidence.Off, detail: `issued by "Test Authority" for quic.cftunnel.com`, within: time.Second},
		"somebody else's server": {at: edges{func(t *testing.T) netip.AddrPort {
			return serveQUIC(t, loopback, edgeALPN, cloudflare.leaf(t, time.Hour, "other.example.com"), false).at
		}}, stage: evidence.Connected, trouble: evidence.BadCertificate, passes: evidence.Off, detail: "other.example.com", within: time.Second},
		"speaks another version only": {at: edges{func(t *testing.T) netip.AddrPort {
			return udp(t, func(b []byte) []byte { return versions(b, 0x6b3343cf) })
		}}, stage: evidence.Connected, trouble: evidence.TLSFailed, passes: evidence.Off, detail: "version 1", within: time.Second},
		"lists versions and does nothing else": {at: edges{func(t *testing.T) netip.AddrPort {
			return udp(t, func(b []byte) []byte { return versions(b, 1) })
		}}, stage: evidence.Connected, trouble: evidence.TimedOut, passes: evidence.Off, detail: "datagrams came back", within: 4 * time.Second},
		"what comes back is what went out": {at: edges{func(t *testing.T) netip.AddrPort { return udp(t, func(b []byte) []byte { return b }) }},
			stage: evidence.Connected, trouble: evidence.TimedOut, passes: evidence.Off, detail: "datagrams came back", within: 4 * time.Second},
		"UDP is blocked": {at: edges{deaf}, stage: evidence.Asked, trouble: evidence.TimedOut, passes: evidence.Off, detail: "no answer", within: 4 * time.Second},
		"nobody listens": {at: edges{func(t *testing.T) netip.AddrPort {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return c.LocalAddr().(*net.UDPAddr).AddrPort()
		}}, stage: evidence.Asked, trouble: evidence.TimedOut, passes: evidence.Off, detail: "no answer", within: 4 * time.Second},
		"blocked, and no way to the other": {at: edges{unroutable, deaf}, stage: evidence.Asked, trouble: evidence.TimedOut, passes: evidence.Off, detail: "no answer", within: 4 * time.Second},

		// What says nothing of the network.
		"there is no way there": {at: edges{unroutable}, stage: evidence.Asked, trouble: evidence.Unreachable, detail: "127.0.0.1:0", within: time.Second},
		"no address is known":   {stage: evidence.Asked, trouble: evidence.Unusable, detail: "no address", within: time.Second},
		"this clock is wrong": {at: edges{func(t *testing.T) netip.AddrPort {
			return serveQUIC(t, loopback, edgeALPN, cloudflare.leaf(t, -time.Hour, named), false).at
		}}, stage: evidence.Connected, trouble: evidence.Unverified, detail: "expired", within: time.Second},
		"Cloudflare has a newer authority": {at: edges{func(t *testing.T) netip.AddrPort {
			return serveQUIC(t, loopback, edgeALPN, newer.leaf(t, time.Hour, named), false).at
		}}, stage: evidence.Connected, trouble: evidence.Unverified, detail: "unknown authority", within: time.Second},
	}
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err == nil { // this machine has IPv6
		c.Close()
		networks["open, over IPv6"] = network{at: edges{func(t *testing.T) netip.AddrPort { return serveQUIC(t, "[::1]:0", edgeALPN, own, false).at }},
			stage: evidence.Secured, passes: evidence.On, within: time.Second}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards looks
	looks := map[string]evidence.Look{}
	for name, c := range networks {
		var at []netip.AddrPort
		for _, a := range c.at {
			at = append(at, a(t))
		}
		wg.Go(func() { // all at once: many of them wait for nothing
			l := probe.Edge{Roots: cloudflare.pool}.QUIC(t.Context(), at...)
			mu.Lock()
			defer mu.Unlock()
			looks[name] = l
		})
	}
	wg.Wait()
	for name, c := range networks {
		t.Run(name, func(t *testing.T) {
			l := looks[name]
			if l.Stage != c.stage || l.Trouble != c.trouble || l.QUICPasses() != c.passes || !l.Done() {
				t.Errorf("passes %v; %+v", l.QUICPasses(), l)
			}
			if l.Took > c.within {
				t.Errorf("it took %s", l.Took)
			}
			if (l.Detail == "") != (c.trouble == evidence.NoTrouble) || !strings.Contains(l.Detail, c.detail) || strings.Contains(l.Detail, "\n") {
				t.Errorf("detail %q", l.Detail)
			}
			if (l.TLS != nil) != (c.stage == evidence.Secured) || l.TLS != nil && (l.TLS.ALPN != edgeALPN || l.TLS.Names[0] != named) {
				t.Errorf("TLS %+v", l.TLS)
			}
		})
	}
}

func TestQUICAsksAsCloudflaredDoesAndLeavesAtOnce(t *testing.T) {
	a := newAuthority(t)
	e := serveQUIC(t, "127.0.0.1:0", edgeALPN, a.leaf(t, time.Hour, edgeName), false)
	if l := (probe.Edge{Roots: a.pool}).QUIC(t.Context(), e.at); l.Stage != evidence.Secured {
		t.Fatalf("%+v", l)
	}
	if h := <-e.asked; h.ServerName != edgeName || len(h.SupportedProtos) != 1 || h.SupportedProtos[0] != edgeALPN {
		t.Errorf("asked for %q %v", h.ServerName, h.SupportedProtos)
	}
	select {
	case err := <-e.closed:
		// An application error, no stream before it, no certificate of ours.
		if !errors.Is(err, &quic.ConnectionCloseError{Code: 0}) {
			t.Errorf("the connection ended with %v", err)
		}
	case <-time.After(time.Second):
		t.Error("the edge still holds a connection")
	}
}

// Whatever comes back, nothing of a question goes on when its answer is there: no
// goroutine, no socket.
func TestNothingOfAQuestionOverQUICGoesOn(t *testing.T) {
	a := newAuthority(t)
	deaf, echo := udp(t, func([]byte) []byte { return nil }), udp(t, func(b []byte) []byte { return b })
	open := serveQUIC(t, "127.0.0.1:0", edgeALPN, a.leaf(t, time.Hour, edgeName), false)
	refuses := serveQUIC(t, "127.0.0.1:0", "h3", a.leaf(t, time.Hour, edgeName), false)
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open files are counted on Linux only: ", err)
		}
		return len(list)
	}
	before := files()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		probe.Edge{Roots: a.pool}.QUIC(ctx, deaf, echo)
		cancel()
		probe.Edge{Roots: a.pool}.QUIC(t.Context(), deaf, open.at)
		probe.Edge{Roots: a.pool}.QUIC(t.Context(), refuses.at)
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if s := string(stacks); strings.Contains(s, "dialQUIC") || strings.Contains(s, "(*socket)") {
			t.Fatalf("it goes on:\n%s", s)
		}
	}
	if after := files(); after > before {
		t.Errorf("%d open files before, %d after", before, after)
	}
}

func TestOurOwnEndSaysNothingOfQUIC(t *testing.T) {
	deaf := udp(t, func([]byte) []byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if l := (probe.Edge{}).QUIC(ctx, deaf); l.Done() || l.Trouble != evidence.Interrupted || l.QUICPasses() != evidence.NotKnown || l.Took > time.Second {
		t.Errorf("%+v", l)
	}
}

// The authorities in the file are the three that cloudflared trusts; the lab's edge
// proves none of them.
func TestQUICKnowsCloudflaresAuthorities(t *testing.T) {
	raw, err := os.ReadFile("edge_roots.pem")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) || strings.Count(string(raw), "BEGIN CERTIFICATE") != 3 || strings.Count(string(raw), "END CERTIFICATE") != 3 {
		t.Error("they cannot be read")
	}
	a := newAuthority(t)
	e := serveQUIC(t, "127.0.0.1:0", edgeALPN, a.leaf(t, time.Hour, edgeName), false)
	if l := (probe.Edge{}).QUIC(t.Context(), e.at); l.Trouble != evidence.BadCertificate {
		t.Errorf("an edge that nobody vouches for: %+v", l)
	}
}
