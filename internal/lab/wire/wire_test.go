package wire_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/lab/wire"
)

// connected gives both ends of a connection between two programs, and their plugs.
func connected(t *testing.T) (near, far net.Conn, caller, called *wire.Plug) {
	t.Helper()
	n := wire.New()
	caller, called = n.Plug(), n.Plug()
	l, err := called.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = caller.Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far, caller, called
}

func TestConnectionsEndAsOnLoopback(t *testing.T) {
	for name, c := range map[string]struct {
		do        func(near, far net.Conn, caller, called *wire.Plug)
		reads     string
		then      error // of the near end's next read
		thenWrite error
	}{
		"an orderly end": {func(_, far net.Conn, _, _ *wire.Plug) { _, _ = far.Write([]byte("bye")); _ = far.Close() }, "bye", io.EOF, syscall.EPIPE},
		"a reset":        {func(_, far net.Conn, _, _ *wire.Plug) { _ = far.(*wire.Conn).SetLinger(0); _ = far.Close() }, "", syscall.ECONNRESET, syscall.EPIPE},
		"closed with something unread": {func(near, far net.Conn, _, _ *wire.Plug) { _, _ = near.Write([]byte("a question")); _ = far.Close() }, "",
			syscall.ECONNRESET, syscall.EPIPE},
		"the other program dies": {func(_, far net.Conn, _, called *wire.Plug) { _, _ = far.Write([]byte("half")); called.Pull() }, "half", syscall.ECONNRESET, syscall.EPIPE},
		"our own end":            {func(near, _ net.Conn, _, _ *wire.Plug) { _ = near.Close() }, "", net.ErrClosed, net.ErrClosed},
		"nothing in time": {func(near, _ net.Conn, _, _ *wire.Plug) { _ = near.SetReadDeadline(time.Now().Add(time.Second)) }, "",
			os.ErrDeadlineExceeded, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far, caller, called := connected(t)
				c.do(near, far, caller, called)
				got := make([]byte, len(c.reads))
				if _, err := io.ReadFull(near, got); err != nil || string(got) != c.reads {
					t.Fatalf("read %q, %v; want %q", got, err, c.reads)
				}
				if _, err := near.Read(make([]byte, 1)); !errors.Is(err, c.then) {
					t.Errorf("then the read gives %v, want %v", err, c.then)
				}
				if _, err := near.Write([]byte("x")); !errors.Is(err, c.thenWrite) {
					t.Errorf("then the write gives %v, want %v", err, c.thenWrite)
				}
			})
		})
	}
}

func TestWhereNobodyListensIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wire.New()
		p := n.Plug()
		addr := n.Reserve("127.0.0.1")
		refused := func(when string) {
			t.Helper()
			if _, err := p.Dial(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v, want a refusal", when, err)
			}
		}
		refused("before anybody listened")
		l, err := n.Plug().Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second listener: %v", err)
		}
		waiting, err := p.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("who waited to be accepted reads %v, want a reset", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the closed listener accepts: %v", err)
		}
		refused("after the listener closed")
		p.Pull()
		if _, err := p.Dial(t.Context(), "tcp", addr); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("a pulled plug dials: %v", err)
		}
	})
}

func TestWhoDoesNotReadKeepsTheWriterWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, _, _ := connected(t)
		_ = near.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := near.Write(make([]byte, 4<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == 4<<20 {
			t.Fatalf("%d bytes went into nobody's ears, %v", n, err)
		}
		_ = near.SetWriteDeadline(time.Time{})
		go func() { _, _ = io.Copy(io.Discard, far) }()
		if _, err := near.Write(make([]byte, 4<<20)); err != nil {
			t.Error(err)
		}
		_ = near.Close()
		synctest.Wait()
	})
}

// A home of a week makes more connections than there are ports.
func TestACallersPortIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plug := wire.New().Plug()
		ln, err := plug.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for range 1 << 16 {
			conn, err := plug.Dial(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := netip.ParseAddrPort(conn.LocalAddr().String()); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			if _, err := ln.Accept(); err != nil { // or they would wait in a row
				t.Fatal(err)
			}
		}
	})
}
