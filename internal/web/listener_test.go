package web_test

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/web"
)

// line is a connection whose other end has an address of its choice.
type line struct {
	net.Conn
	from   string
	read   *atomic.Int64 // bytes
	closed *atomic.Bool
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func (l line) RemoteAddr() net.Addr { return address(l.from) }
func (l line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.read.Add(int64(n))
	return n, err
}
func (l line) Close() error { l.closed.Store(true); return l.Conn.Close() }

// exchange hands out the lines that call.
type exchange struct{ calls chan net.Conn }

func (e exchange) Accept() (net.Conn, error) {
	c, ok := <-e.calls
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (e exchange) Close() error   { close(e.calls); return nil }
func (e exchange) Addr() net.Addr { return address("127.0.0.1:8099") }

func (e exchange) call(from string) (net.Conn, line) {
	near, far := net.Pipe()
	l := line{far, from, new(atomic.Int64), new(atomic.Bool)}
	e.calls <- l
	return near, l
}

func TestForeignPeersAreNotReadAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := web.Config{Medic: nil, Peers: []netip.Addr{netip.MustParseAddr("172.30.32.2")}}
		ex := exchange{make(chan net.Conn)}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") })}
		go func() { _ = server.Serve(config.Listener(ex)) }()
		for from, in := range map[string]bool{
			"172.30.32.2:40000": true, "[::ffff:172.30.32.2]:40000": true, "127.0.0.1:40000": true, "[::1]:40000": true,
			"172.30.33.4:40000": false, "192.168.1.20:40000": false, "[fe80::1%eth0]:40000": false, "@": false,
		} {
			near, far := ex.call(from)
			_ = near.SetDeadline(time.Now().Add(time.Second))
			_, err := near.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			if got := err == nil; got != in {
				t.Errorf("%s: let in is %v (%v)", from, got, err)
			}
			synctest.Wait()
			if !in && (far.read.Load() != 0 || !far.closed.Load()) {
				t.Errorf("%s: %d bytes were read, closed is %v", from, far.read.Load(), far.closed.Load())
			}
			_ = near.Close()
		}
		_ = server.Close()
	})
}

// Somebody who sends their header byte by byte, or nothing at all, goes; and however
// many come, the places are given back.
func TestSlowPeersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := web.Config{Peers: []netip.Addr{netip.MustParseAddr("172.30.32.2")}}
		ex := exchange{make(chan net.Conn)}
		server := web.Server(config)
		go func() { _ = server.Serve(config.Listener(ex)) }()
		var lines []line
		for range 300 {
			near, far := ex.call("172.30.32.2:40000")
			lines = append(lines, far)
			go func() { _, _ = io.Copy(io.Discard, near) }()
			go func() {
				for { // for ever, one byte a second
					if _, err := near.Write([]byte("G")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
		}
		synctest.Wait()
		open := 0
		for _, l := range lines {
			if !l.closed.Load() {
				open++
			}
		}
		if open == 0 || open > 128 {
			t.Errorf("%d connections are open at once", open)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, l := range lines {
			if !l.closed.Load() {
				t.Fatalf("the slow peer %d is still there", i)
			}
		}
		near, far := ex.call("172.30.32.2:40000")
		synctest.Wait()
		if far.closed.Load() {
			t.Error("the places were not given back")
		}
		_ = near.Close()
		_ = server.Close()
	})
}
