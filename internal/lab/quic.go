package lab

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/quic"
)

// QUICFault is what the network makes of QUIC, where it lets UDP through.
type QUICFault string

// The faults. Behind the first three cloudflared gets no connection over QUIC.
const (
	QUICVersions  QUICFault = "versions"  // a greeting in an unknown version is answered, a handshake never
	QUICRejected  QUICFault = "rejected"  // CRYPTO_ERROR 0x178, no application protocol: CFD#1736, APP#553
	QUICInspected QUICFault = "inspected" // a firewall answers in the edge's place, with a certificate of its own
	QUICSlow      QUICFault = "slow"      // each answer takes 2.5 s; cloudflared waits 5 (HandshakeIdleTimeout)
	QUICRetry     QUICFault = "retry"     // the edge wants the address proven first (RFC 9000 §8.1.2)
)

// keepsOut says whether cloudflared gets no connection.
func (f QUICFault) keepsOut() bool {
	return f == QUICVersions || f == QUICRejected || f == QUICInspected
}

// dialError is how cloudflared's log words what its dialling came to.
func (f QUICFault) dialError() string {
	//exhaustive:ignore
	switch f {
	case QUICRejected:
		return "CRYPTO_ERROR 0x178 (remote): tls: no application protocol"
	case QUICInspected:
		return "CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate signed by unknown authority"
	}
	return "timeout: no recent network activity"
}

// edgeName and edgeALPN are what cloudflared asks the edge for over QUIC
// (edgeQUICServerName and quicProtos in its connection/protocol.go).
const (
	edgeName = "quic.cftunnel.com"
	edgeALPN = "argotunnel"
)

// quicSlowness is how long an answer of a slow network takes.
const quicSlowness = 2500 * time.Millisecond

// quicEdge is the edge's UDP port. Who shakes hands gets a connection, on which nothing
// is ever answered: the tunnel itself is a call (see the package). Two servers stand
// behind the one socket, since a server either asks for Retry or does not.
type quicEdge struct {
	w       *World
	socket  net.PacketConn
	servers map[bool]*quicServer // by whether it sends Retry
	late    chan late
}

type late struct {
	b  []byte
	to net.Addr
	at time.Time
}

// openQUIC opens the port. The certificates are of the lab's CA, and a stranger's.
func (d *Edge) openQUIC(own, foreign tls.Certificate) (err error) {
	e := &quicEdge{w: d.w, servers: map[bool]*quicServer{}, late: make(chan late, 1000)}
	if e.socket, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("opening the edge's UDP port: %w", err)
	}
	d.quic = e
	config := &quic.Config{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{edgeALPN}}
			//exhaustive:ignore
			switch d.w.Faults().QUIC {
			case QUICRejected:
				c.NextProtos = []string{"h3"}
			case QUICInspected:
				c.Certificates = []tls.Certificate{foreign}
			}
			return c, nil
		}}}
	for _, retry := range []bool{false, true} {
		c := config.Clone()
		c.RequireAddressValidation = retry
		s := &quicServer{edge: e, in: make(chan late, 100), shut: make(chan struct{})}
		if s.endpoint, err = quic.NewEndpoint(s, c); err != nil {
			return fmt.Errorf("starting the edge over QUIC: %w", err)
		}
		e.servers[retry] = s
		d.w.wg.Go(s.hold)
	}
	d.w.wg.Go(e.serve)
	d.w.wg.Go(e.deliver)
	return nil
}

func (e *quicEdge) close() {
	_ = e.socket.Close()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range e.servers {
		_ = s.endpoint.Close(over)
	}
}

// serve hands what comes in to the server of the hour, until the socket is closed.
func (e *quicEdge) serve() {
	b := make([]byte, 2048)
	for {
		n, from, err := e.socket.ReadFrom(b)
		if err != nil {
			return
		}
		f := e.w.Faults()
		switch {
		case f.UDPBlocked || f.InternetDown:
		case f.QUIC == QUICVersions:
			if list := versionsFor(b[:n]); list != nil {
				_, _ = e.socket.WriteTo(list, from)
			}
		default:
			select {
			case e.servers[f.QUIC == QUICRetry].in <- late{b: append([]byte(nil), b[:n]...), to: from}:
			default: // lost, as datagrams are
			}
		}
	}
}

// deliver sends what takes its time, in order.
func (e *quicEdge) deliver() {
	for {
		select {
		case <-e.w.ctx.Done():
			return
		case d := <-e.late:
			if !sleepOr(e.w.ctx, time.Until(d.at)) {
				return
			}
			_, _ = e.socket.WriteTo(d.b, d.to)
		}
	}
}

func sleepOr(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// quicServer is one QUIC server behind the edge's socket, which it takes for its own.
type quicServer struct {
	edge     *quicEdge
	endpoint *quic.Endpoint
	in       chan late
	shut     chan struct{}
}

// hold lets connections stand until the other side has enough of them.
func (s *quicServer) hold() {
	for {
		conn, err := s.endpoint.Accept(context.Background())
		if err != nil {
			return
		}
		s.edge.w.wg.Go(func() {
			_ = conn.Wait(context.Background()) // ends with the endpoint, too
			conn.Abort(nil)
		})
	}
}

// ReadFrom, WriteTo, Close and the rest make the server's share of the socket a
// net.PacketConn.
func (s *quicServer) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.in:
		return copy(b, d.b), d.to, nil
	case <-s.shut:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends at once, or after the network's time.
func (s *quicServer) WriteTo(b []byte, to net.Addr) (int, error) {
	switch f := s.edge.w.Faults(); {
	case f.UDPBlocked || f.InternetDown:
		return len(b), nil
	case f.QUIC == QUICSlow:
		select {
		case s.edge.late <- late{append([]byte(nil), b...), to, time.Now().Add(quicSlowness)}:
		default: // lost
		}
		return len(b), nil
	}
	return s.edge.socket.WriteTo(b, to)
}

// Close is called once, by the endpoint.
func (s *quicServer) Close() error                     { close(s.shut); return nil }
func (s *quicServer) LocalAddr() net.Addr              { return s.edge.socket.LocalAddr() }
func (s *quicServer) SetDeadline(time.Time) error      { return nil }
func (s *quicServer) SetReadDeadline(time.Time) error  { return nil }
func (s *quicServer) SetWriteDeadline(time.Time) error { return nil }

// versionsFor answers a first datagram in an unknown version (RFC 8999 §5.1 and §6)
// with the one that is known, nil if it is none.
func versionsFor(b []byte) []byte {
	const first = 1200
	if len(b) < first || b[0]&0x80 == 0 || binary.BigEndian.Uint32(b[1:]) == 1 || int(b[5]) > 20 {
		return nil
	}
	to, rest := b[6:6+int(b[5])], b[6+int(b[5]):]
	if int(rest[0]) > 20 {
		return nil
	}
	from := rest[1 : 1+int(rest[0])]
	list := append([]byte{0x80, 0, 0, 0, 0, byte(len(from))}, from...)
	list = append(append(list, byte(len(to))), to...)
	return binary.BigEndian.AppendUint32(list, 1)
}
