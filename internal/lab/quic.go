package lab

import (
	"encoding/binary"
	"net"
)

// serveQUIC is the edge's UDP port, as far as the lab goes: it answers a greeting in
// a version that nobody knows with the versions it knows (RFC 9000 §6), until the
// socket is closed. Where UDP is blocked nothing comes through.
func (w *World) serveQUIC(c net.PacketConn) {
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if list := versionsFor(b[:n]); list != nil && !w.Faults().UDPBlocked {
			_, _ = c.WriteTo(list, from)
		}
	}
}

// versionsFor answers a first datagram (RFC 8999 §5.1 and §6), nil if it is none.
func versionsFor(b []byte) []byte {
	const first = 1200
	if len(b) < first || b[0]&0x80 == 0 || binary.BigEndian.Uint32(b[1:]) == 1 {
		return nil
	}
	to, rest := b[6:6+int(b[5])], b[6+int(b[5]):]
	from := rest[1 : 1+int(rest[0])]
	list := append([]byte{0x80, 0, 0, 0, 0, byte(len(from))}, from...)
	list = append(append(list, byte(len(to))), to...)
	return binary.BigEndian.AppendUint32(list, 1)
}
