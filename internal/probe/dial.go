package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
)

// leastPerAddress keeps a name with many addresses from giving each of them too
// little time to answer.
const leastPerAddress = 2 * time.Second

// connect resolves, dials and secures, one step after the other, and notes each
// step that stood.
func (v *visit) connect(ctx context.Context) error {
	conn, err := v.reach(ctx)
	if err != nil {
		return err
	}
	v.look.Stage = evidence.Connected
	if v.target.URL.Scheme == "https" {
		if conn, err = v.secure(ctx, conn); err != nil {
			return err
		}
	}
	v.look.Stage = evidence.Secured
	v.conn = conn
	return nil
}

// reach gives a TCP connection to the target.
func (v *visit) reach(ctx context.Context) (net.Conn, error) {
	if v.target.at != "" {
		v.look.Addr = v.target.at
		return v.target.Net.Dial(ctx, cmp.Or(v.target.Network, "tcp"), v.target.at)
	}
	addrs, err := v.resolve(ctx)
	if err != nil {
		return nil, err
	}
	v.look.Stage = evidence.Resolved
	port := v.target.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[v.target.URL.Scheme]
	}
	return v.dial(ctx, addrs, port)
}

func (v *visit) resolve(ctx context.Context) ([]netip.Addr, error) {
	host := v.target.URL.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	family := map[string]string{"tcp4": "ip4", "tcp6": "ip6"}[v.target.Network]
	if v.target.Outside != nil {
		v.look.Outside = true
		return v.target.Outside.LookupNetIP(ctx, cmp.Or(family, "ip"), host)
	}
	addrs, err := v.target.Net.Lookup(ctx, cmp.Or(family, "ip"), host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errResolving, err)
	}
	return addrs, nil
}

// dial tries the addresses in order until one answers. What it reports of a
// failure is the first address's, the preferred one; but where that one had no
// route at all (IPv6 in a house without it), the next one's says more.
func (v *visit) dial(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	var first error
	for i, ip := range addrs {
		conn, addr, err := v.dialOne(ctx, ip, port, len(addrs)-i)
		if err == nil {
			v.look.Addr = addr
			return conn, nil
		}
		if first == nil || network.Unreachable(first) && !network.Unreachable(err) {
			first, v.look.Addr = err, addr
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// dialOne gives an address its share of the time left, as net.Dialer does.
func (v *visit) dialOne(ctx context.Context, ip netip.Addr, port string, left int) (net.Conn, string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(leastPerAddress, time.Until(deadline)/time.Duration(left)))
		defer cancel()
	}
	addr := net.JoinHostPort(ip.Unmap().String(), port)
	conn, err := v.target.Net.Dial(ctx, cmp.Or(v.target.Network, "tcp"), addr)
	return conn, addr, err
}

// secure makes the TLS handshake. HTTP/1.1 alone is offered unless the look is one
// over HTTP/2: a WebSocket over HTTP/2 is another thing, and Home Assistant's apps
// open theirs over HTTP/1.1.
func (v *visit) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	protocols := v.target.protocols
	if protocols == nil {
		protocols = []string{"http/1.1"}
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: v.target.name(),
		RootCAs:    v.target.RootCAs,
		NextProtos: protocols,
		MinVersion: tls.VersionTLS12,
		// See DirectTarget for why its certificate is not verified.
		InsecureSkipVerify: v.target.direct,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			v.certWanted = true
			v.look.Showed.CertificateWanted = true
			if v.target.Certificate != nil && !v.target.direct {
				v.look.Showed.Certificate = true
				return v.target.Certificate, nil
			}
			return new(tls.Certificate), nil
		},
	})
	stood := false
	defer func() {
		if !stood {
			raw.Close()
		}
	}()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	stood = true
	v.look.TLS = shown(conn.ConnectionState())
	return conn, nil
}

// shown is what a handshake that stands showed.
func shown(s tls.ConnectionState) *evidence.TLS {
	leaf := s.PeerCertificates[0]
	return &evidence.TLS{Version: tls.VersionName(s.Version), ALPN: s.NegotiatedProtocol, Names: certificateNames(leaf), Issuer: issuer(leaf), NotAfter: leaf.NotAfter}
}
