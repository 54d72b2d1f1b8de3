package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"tunnelmedic/internal/evidence"
)

const (
	// unknownVersion is a QUIC version of the form that is reserved to make a server
	// say which it knows (RFC 9000 §15): it answers without a handshake.
	unknownVersion = 0x1a2a3a4a
	// initialSize is how long a first datagram must be to be answered (RFC 9000 §14.1).
	initialSize = 1200
	// quicWait is how long an edge may take: cloudflared's is some 20 ms away.
	quicWait = 3 * time.Second
	idLength = 8
)

// QUIC asks Cloudflare's edge, at these addresses at once, whether QUIC gets there
// and back: Secured if one answers, else Asked. It says nothing of the WebSocket. The
// edge sees a greeting in a version that nobody speaks, and no connection begins.
func QUIC(ctx context.Context, edges ...netip.AddrPort) (l evidence.Look) {
	l = evidence.Look{Asked: "QUIC at Cloudflare's edge", At: time.Now(), Stage: evidence.Asked}
	defer func() { l.Took = time.Since(l.At) }()
	if len(edges) == 0 {
		l.Trouble, l.Detail = evidence.Unusable, "no address of the edge is known"
		return l
	}
	limited, cancel := context.WithTimeout(ctx, quicWait)
	defer cancel()
	answers := make(chan error, len(edges))
	for _, to := range edges {
		go func() {
			err := greet(limited, to)
			if err != nil {
				err = fmt.Errorf("%s: %w", to, err)
			}
			answers <- err
		}()
	}
	for range edges {
		err := <-answers
		if err == nil {
			l.Stage, l.Trouble, l.Detail = evidence.Secured, evidence.NoTrouble, ""
			return l
		}
		l.Detail = err.Error()
	}
	switch {
	case ctx.Err() != nil:
		l.Trouble = evidence.Interrupted
	case limited.Err() != nil:
		l.Trouble = evidence.TimedOut
	default: // it could not even be sent
		l.Trouble = evidence.Unreachable
	}
	return l
}

// greet sends the greeting until one is answered: datagrams get lost.
func greet(ctx context.Context, to netip.AddrPort) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	ids := make([]byte, 2*idLength)
	_, _ = rand.Read(ids) // never fails
	greeting := greetingOf(ids[:idLength], ids[idLength:])
	got := make([]byte, 1500)
	for wait := quicWait / 8; ; wait *= 2 {
		// A firewall's refusal of an earlier datagram is reported here; the next may pass.
		if _, err := conn.Write(greeting); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		until := time.Now().Add(wait)
		_ = conn.SetReadDeadline(until)
		for time.Now().Before(until) {
			n, err := conn.Read(got)
			switch {
			case err == nil && answers(got[:n], ids[:idLength], ids[idLength:]):
				return nil
			case ctx.Err() != nil:
				return errors.New("no answer")
			case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
				select {
				case <-ctx.Done():
				case <-time.After(time.Until(until)):
				}
			}
		}
	}
}

// greetingOf is a long header (RFC 8999 §5.1) in an unknown version, as long as a
// first datagram must be.
func greetingOf(to, from []byte) []byte {
	b := append(make([]byte, 0, initialSize), 0xc0)
	b = binary.BigEndian.AppendUint32(b, unknownVersion)
	b = append(append(b, byte(len(to))), to...)
	b = append(append(b, byte(len(from))), from...)
	return b[:initialSize]
}

// answers says whether a datagram is a server's list of versions (RFC 8999 §6) in
// answer to our greeting: it bears both our ids, the other way round.
func answers(b, to, from []byte) bool {
	var head []byte
	head = append(head, 0, 0, 0, 0, byte(len(from)))
	head = append(append(append(head, from...), byte(len(to))), to...)
	return len(b) > 1+len(head) && b[0]&0x80 != 0 && bytes.HasPrefix(b[1:], head)
}
