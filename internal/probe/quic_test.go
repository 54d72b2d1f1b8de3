package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"tunnelmedic/internal/evidence"
)

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

// versions is a server's list of versions in answer to a greeting.
func versions(b []byte) []byte {
	to, from := b[6:6+idLength], b[7+idLength:7+2*idLength]
	a := append([]byte{0x80, 0, 0, 0, 0, idLength}, from...)
	a = append(append(a, idLength), to...)
	return append(a, 0, 0, 0, 1)
}

// A QUIC server that is not ours must understand the greeting.
func TestAForeignQUICServerAnswers(t *testing.T) {
	e, err := quic.Listen("udp", "127.0.0.1:0", &quic.Config{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"argotunnel"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Close(ctx)
	})
	l := QUIC(t.Context(), e.LocalAddr())
	if l.Stage != evidence.Secured || l.Trouble != evidence.NoTrouble || l.Took > time.Second {
		t.Errorf("%+v", l)
	}
}

func TestQUICThatDoesNotGetThrough(t *testing.T) {
	deaf := udp(t, func([]byte) []byte { return nil })
	foreign := udp(t, func(b []byte) []byte { // an answer to somebody else's greeting proves nothing
		a := versions(b)
		a[8]++
		return a
	})
	echo := udp(t, func(b []byte) []byte { return b })
	nobody := func() netip.AddrPort { // a port at which nobody listens
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort()
	}()
	open := udp(t, versions)
	lossy, n := netip.AddrPort{}, 0
	lossy = udp(t, func(b []byte) []byte {
		if n++; n < 3 {
			return nil
		}
		return versions(b)
	})
	for name, c := range map[string]struct {
		at      []netip.AddrPort
		stage   evidence.Stage
		trouble evidence.Trouble
	}{
		"nobody answers":               {[]netip.AddrPort{deaf}, evidence.Asked, evidence.TimedOut},
		"what comes is not the answer": {[]netip.AddrPort{foreign, echo}, evidence.Asked, evidence.TimedOut},
		"nobody listens":               {[]netip.AddrPort{nobody}, evidence.Asked, evidence.TimedOut},
		"one of two answers":           {[]netip.AddrPort{deaf, open}, evidence.Secured, evidence.NoTrouble},
		"the first datagrams get lost": {[]netip.AddrPort{lossy}, evidence.Secured, evidence.NoTrouble},
		"no address is known":          {nil, evidence.Asked, evidence.Unusable},
		"there is no way there":        {[]netip.AddrPort{netip.MustParseAddrPort("[fe80::1]:7844")}, evidence.Asked, evidence.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := QUIC(t.Context(), c.at...)
			if l.Stage != c.stage || l.Trouble != c.trouble || l.Took > quicWait+time.Second {
				t.Errorf("%+v", l)
			}
			if (l.Detail == "") != (c.trouble == evidence.NoTrouble) || strings.Contains(l.Detail, "\n") {
				t.Errorf("detail %q", l.Detail)
			}
		})
	}
	t.Run("our own end is no verdict", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if l := QUIC(ctx, deaf); l.Done() || l.Trouble != evidence.Interrupted {
			t.Errorf("%+v", l)
		}
	})
}

func TestTheGreetingIsAsLongAsAFirstDatagramMustBe(t *testing.T) {
	b := greetingOf([]byte("12345678"), []byte("abcdefgh"))
	if len(b) != initialSize || b[0] != 0xc0 || !answers(versions(b), []byte("12345678"), []byte("abcdefgh")) {
		t.Errorf("% x", b[:32])
	}
	for n := range 24 {
		if answers(versions(b)[:n], []byte("12345678"), []byte("abcdefgh")) && n < 23 {
			t.Errorf("%d bytes of an answer are enough", n)
		}
	}
}
