package lab

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"tunnelmedic/internal/evidence"
)

// hold keeps a port for the world while nothing listens there.
func (w *World) hold(addr string) (string, io.Closer, error) {
	if w.opt.Net == nil {
		return holdPort(addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "0" {
		return addr, io.NopCloser(nil), err // nobody else is on this network
	}
	return w.opt.Net.Reserve(host), io.NopCloser(nil), nil
}

// quicAddr is where the edge takes QUIC. In memory nobody listens there: AskQUIC answers.
func (e *Edge) quicAddr() string {
	if e.quic == nil {
		return "127.0.0.1:7844"
	}
	return e.quic.socket.LocalAddr().String()
}

// AskQUIC is what a look at the edge over QUIC sees in this world. It stands for the real
// one where there are no sockets.
func (e *Edge) AskQUIC(ctx context.Context, edges ...netip.AddrPort) evidence.Look {
	const roundTrip, patience = 20 * time.Millisecond, 3 * time.Second
	l := evidence.Look{Asked: "QUIC at Cloudflare's edge", At: time.Now(), Stage: evidence.Asked}
	f := e.w.Faults()
	lost := f.UDPBlocked || f.InternetDown || len(edges) == 0
	wait := roundTrip
	if lost {
		wait = patience
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		l.Trouble = evidence.Interrupted
	case <-t.C:
		switch {
		case lost:
			l.Trouble, l.Detail = evidence.TimedOut, "no answer"
		case f.QUIC == QUICRejected:
			l.Stage, l.Trouble, l.Detail = evidence.Connected, evidence.TLSFailed, dialErrors[string(f.QUIC)]
		case f.QUIC == QUICInspected:
			l.Stage, l.Trouble, l.Detail = evidence.Connected, evidence.BadCertificate, dialErrors[string(f.QUIC)]
		default:
			l.Stage = evidence.Secured
		}
	}
	l.Took = time.Since(l.At)
	return l
}
