package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/quic"

	"tunnelmedic/internal/evidence"
)

const (
	// edgeName and edgeALPN are what cloudflared asks the edge for over QUIC
	// (edgeQUICServerName and quicProtos in its connection/protocol.go). Its prechecks ask
	// for probe.cftunnel.com; a firewall that goes by names would answer another question.
	edgeName = "quic.cftunnel.com"
	edgeALPN = "argotunnel"

	// quicWait is how long an edge may take: cloudflared's is some 20 ms away.
	quicWait = 3 * time.Second
)

// Edge is Cloudflare's edge as cloudflared dials it over QUIC. The zero value is the
// real one.
type Edge struct {
	Roots *x509.CertPool // who may vouch for it, besides Cloudflare itself; nil: the system's list
}

// QUIC asks the edge, at these addresses at once, whether cloudflared could connect
// over QUIC: it shakes hands as cloudflared does, and closes at once. No stream is
// opened and nothing registers, as in cloudflared's own prechecks (probeQUIC). It says
// nothing of the WebSocket.
//
// Secured: the handshake stood at one of them. Connected: datagrams came back, and no
// handshake stood (see [evidence.Look.QUICPasses]). Asked: nothing came back.
func (e Edge) QUIC(ctx context.Context, edges ...netip.AddrPort) evidence.Look {
	return e.ask(ctx, quicWait, edges)
}

func (e Edge) ask(ctx context.Context, wait time.Duration, edges []netip.AddrPort) evidence.Look {
	l := evidence.Look{Asked: "QUIC at Cloudflare's edge", At: time.Now(), Stage: evidence.Asked}
	if len(edges) == 0 {
		l.Trouble, l.Detail = evidence.Unusable, "no address of the edge is known"
		return l
	}
	config, err := e.config()
	if err != nil {
		l.Trouble, l.Detail = evidence.Unusable, err.Error()
		return l
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answers := make(chan evidence.Look, len(edges))
	var wg sync.WaitGroup
	for _, to := range edges {
		wg.Go(func() { answers <- dialQUIC(limited, l, config, to) })
	}
	best := <-answers
	for range len(edges) - 1 {
		if best.Stage == evidence.Secured {
			break
		}
		best = slices.MaxFunc([]evidence.Look{best, <-answers}, tellsMore)
	}
	best.Took = time.Since(l.At)
	cancel()
	wg.Wait() // nothing of it may go on
	if best.Stage != evidence.Secured && ctx.Err() != nil {
		best.Trouble, best.Detail = evidence.Interrupted, ctx.Err().Error()
	}
	return best
}

// tellsMore compares what two edges had to say of the one network: how far it came,
// then what somebody said over silence, then silence over what could not be sent.
func tellsMore(a, b evidence.Look) int {
	rank := func(l evidence.Look) int {
		return slices.Index([]evidence.Trouble{evidence.Unreachable, evidence.TimedOut, evidence.TLSFailed, evidence.BadCertificate, evidence.Unverified}, l.Trouble)
	}
	return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(rank(a), rank(b)))
}

//go:embed edge_roots.pem
var edgeRoots []byte

// config is cloudflared's side of the handshake. Like it (CreateTunnelConfig in its
// tlsconfig), it takes the system's authorities and Cloudflare's own, shows no
// certificate, and offers the curves of its "prefer" mode, whose hello is two datagrams
// long: where only short ones pass, cloudflared does not get through.
func (e Edge) config() (*quic.Config, error) {
	roots := x509.NewCertPool()
	if e.Roots != nil {
		roots = e.Roots.Clone()
	} else if system, err := x509.SystemCertPool(); err == nil { // without it, Cloudflare's own are left
		roots = system
	}
	if !roots.AppendCertsFromPEM(edgeRoots) {
		return nil, errors.New("the authorities of Cloudflare cannot be read")
	}
	return &quic.Config{TLSConfig: &tls.Config{
		ServerName: edgeName, NextProtos: []string{edgeALPN}, RootCAs: roots, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.CurveP256},
	}}, nil
}

// dialQUIC shakes hands with one edge. When it returns, the connection and its socket
// are gone.
func dialQUIC(ctx context.Context, l evidence.Look, config *quic.Config, to netip.AddrPort) evidence.Look {
	l.Addr = to.String()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	own, err := newSocket(to, stop)
	if err != nil {
		return own.outcome(ctx, l, err)
	}
	from, err := quic.NewEndpoint(own, nil)
	if err != nil {
		_ = own.Close()
		return own.outcome(ctx, l, err)
	}
	conn, err := from.Dial(ctx, "udp", own.edge.String(), config)
	if err == nil {
		conn.Abort(&quic.ConnectionCloseError{Reason: "only asked whether QUIC gets through"})
	}
	over, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	_ = from.Close(over) // says goodbye, waits for nobody
	if err == nil {
		// Dial is content too with a connection that has ended without an error. TLS could
		// not be asked earlier: in the middle of a handshake it would wait for the rest.
		if s := conn.ConnectionState(); s.HandshakeComplete {
			l.Stage, l.TLS = evidence.Secured, shown(s)
			return l
		}
		err = errors.New("the other side closed the connection in the middle of the handshake")
	}
	return own.outcome(ctx, l, err)
}

// socket is that of one question. It notes whether anything comes back from the
// edge, and stops when nothing can be sent: QUIC itself passes both over. It is not
// bound to the edge, so that a firewall's "unreachable" is what it is in effect, silence.
type socket struct {
	net.PacketConn
	edge  netip.AddrPort
	stop  context.CancelCauseFunc
	heard atomic.Bool
}

func newSocket(edge netip.AddrPort, stop context.CancelCauseFunc) (*socket, error) {
	s := &socket{edge: netip.AddrPortFrom(edge.Addr().Unmap(), edge.Port()), stop: stop}
	network := "udp4"
	if s.edge.Addr().Is6() {
		network = "udp6"
	}
	var err error
	s.PacketConn, err = net.ListenPacket(network, ":0")
	return s, err
}

// ReadFrom notes what comes from the edge.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(b)
	if u, ok := from.(*net.UDPAddr); ok && n > 0 {
		if a := u.AddrPort(); a.Addr().Unmap().WithZone("") == s.edge.Addr().WithZone("") && a.Port() == s.edge.Port() {
			s.heard.Store(true)
		}
	}
	return n, from, err
}

// WriteTo stops what cannot be sent.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := s.PacketConn.WriteTo(b, to)
	if err != nil {
		s.stop(err)
	}
	return n, err
}

// outcome is what a handshake that did not stand shows. err is why it did not.
func (s *socket) outcome(ctx context.Context, l evidence.Look, err error) evidence.Look {
	heard, late := s.heard.Load(), errors.Is(ctx.Err(), context.DeadlineExceeded)
	bad, isBad := errors.AsType[*tls.CertificateVerificationError](err)
	if heard {
		l.Stage = evidence.Connected
	}
	switch {
	case late && heard:
		l.Trouble, err = evidence.TimedOut, errors.New("datagrams came back, but the handshake never ended")
	case late:
		l.Trouble, err = evidence.TimedOut, errors.New("no answer")
	case ctx.Err() != nil: // see WriteTo
		l.Trouble, err = evidence.Unreachable, context.Cause(ctx)
	case !heard:
		l.Trouble = evidence.Unreachable
	case isBad && ours(bad):
		l.Trouble = evidence.Unverified
	case isBad:
		l.Trouble = evidence.BadCertificate
	default: // a "no" by the other side, or an answer that is no QUIC of version 1
		l.Trouble = evidence.TLSFailed
	}
	l.Detail = oneLine(l.Addr + ": " + refusal.ReplaceAllStringFunc(detail(err), named))
	return l
}

// refusal is how golang.org/x/net/quic prints that TLS said no, "CRYPTO_ERROR(120)".
// named writes it as cloudflared's log does, for who compares the two.
var refusal = regexp.MustCompile(`CRYPTO_ERROR\((\d+)\)`)

func named(s string) string {
	n, err := strconv.ParseUint(refusal.FindStringSubmatch(s)[1], 10, 8)
	if err != nil {
		return s
	}
	return fmt.Sprintf("CRYPTO_ERROR 0x%x (%v)", 0x100+n, tls.AlertError(n))
}

// ours says whether a certificate that was refused may be the edge's own all the same.
// Whoever inspects QUIC on the way signs with an authority of his own, under the name
// that was asked for, and cloudflared refuses that as we do: QUIC does not work there.
// But a small computer's clock may be wrong, and Cloudflare may have a newer authority
// than the ones known here, which a newer cloudflared knows.
func ours(bad *tls.CertificateVerificationError) bool {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](bad.Err); ok && invalid.Reason == x509.Expired {
		return true
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](bad.Err)
	return unknown && slices.ContainsFunc(bad.UnverifiedCertificates, func(c *x509.Certificate) bool {
		return slices.ContainsFunc(c.Issuer.Organization, func(o string) bool { return strings.HasPrefix(strings.ToLower(o), "cloudflare") })
	})
}
