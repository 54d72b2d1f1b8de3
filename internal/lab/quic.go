package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"golang.org/x/net/quic"
)

// QUICFault is what the network makes of QUIC, where it lets UDP through: cloudflared gets no
// connection over it.
type QUICFault string

// The faults.
const (
	QUICRejected  QUICFault = "rejected"  // CRYPTO_ERROR 0x178, no application protocol: CFD#1736, APP#553
	QUICInspected QUICFault = "inspected" // a firewall answers in the edge's place, with a certificate of its own
)

// edgeName and edgeALPN are what cloudflared asks the edge for over QUIC
// (edgeQUICServerName and quicProtos in its connection/protocol.go).
const (
	edgeName = "quic.cftunnel.com"
	edgeALPN = "argotunnel"
)

// quicEdge is the edge's UDP port. Who shakes hands gets a connection, on which nothing
// is ever answered: the tunnel itself is a call (see the package).
type quicEdge struct {
	endpoint *quic.Endpoint
	socket   net.PacketConn
}

// openQUIC opens the port. The certificates are of the lab's CA, and a stranger's.
func (e *Edge) openQUIC(own, foreign tls.Certificate) error {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("opening the edge's UDP port: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{edgeALPN}}
			switch e.w.Faults().QUIC {
			case QUICRejected:
				c.NextProtos = []string{"h3"}
			case QUICInspected:
				c.Certificates = []tls.Certificate{foreign}
			}
			return c, nil
		}}
	endpoint, err := quic.NewEndpoint(lossy{socket, e.w}, &quic.Config{TLSConfig: config})
	if err != nil {
		_ = socket.Close()
		return fmt.Errorf("starting the edge over QUIC: %w", err)
	}
	e.quic = &quicEdge{endpoint, socket}
	return nil
}

func (q *quicEdge) close() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = q.endpoint.Close(over)
}

// lossy is a socket in a network that may let no datagram through, either way.
type lossy struct {
	net.PacketConn
	w *World
}

func (l lossy) lost() bool { f := l.w.Faults(); return f.UDPBlocked || f.InternetDown }

func (l lossy) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.PacketConn.ReadFrom(b)
		if err != nil || !l.lost() {
			return n, from, err
		}
	}
}

func (l lossy) WriteTo(b []byte, to net.Addr) (int, error) {
	if l.lost() {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, to)
}
