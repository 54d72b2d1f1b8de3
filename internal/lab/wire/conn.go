package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// buffered is how much may be under way in one direction, as in a socket's buffers.
const buffered = 1 << 20

// Conn is one end of a connection.
type Conn struct {
	plug    *Plug
	in, out *flow
	near    *net.TCPAddr
	far     *net.TCPAddr

	hard, closed atomic.Bool // hard: Close is a reset
}

// flow is one direction of a connection.
type flow struct {
	mu    sync.Mutex // guards all below
	moved sync.Cond
	data  []byte
	end   error // what the reader gets once the data has been read: io.EOF or a reset
	gone  error // what the writer gets

	read, write deadline
}

// deadline is a moment at which those who wait are woken.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(at time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if left := time.Until(at); !at.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, wake)
	}
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newFlow() *flow {
	f := &flow{}
	f.moved.L = &f.mu
	return f
}

func pair(a, b *net.TCPAddr) (*Conn, *Conn) {
	to, from := newFlow(), newFlow()
	return &Conn{in: from, out: to, near: a, far: b}, &Conn{in: to, out: from, near: b, far: a}
}

// Read takes what has come.
func (c *Conn) Read(p []byte) (int, error) {
	f := c.in
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case c.closed.Load():
			return 0, c.failed("read", net.ErrClosed)
		case f.read.over():
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		case len(f.data) > 0:
			n := copy(p, f.data)
			if f.data = f.data[n:]; len(f.data) == 0 {
				f.data = nil
			}
			f.moved.Broadcast()
			return n, nil
		case errors.Is(f.end, io.EOF):
			return 0, io.EOF
		case f.end != nil:
			return 0, c.failed("read", f.end)
		case len(p) == 0:
			return 0, nil
		}
		f.moved.Wait()
	}
}

// Write sends. It waits while the other side does not read.
func (c *Conn) Write(p []byte) (n int, err error) {
	f := c.out
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case c.closed.Load():
			return n, c.failed("write", net.ErrClosed)
		case f.write.over():
			return n, c.failed("write", os.ErrDeadlineExceeded)
		case f.gone != nil:
			return n, c.failed("write", f.gone)
		}
		some := min(len(p)-n, buffered-len(f.data))
		f.data = append(f.data, p[n:n+some]...)
		if n += some; some > 0 {
			f.moved.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		f.moved.Wait()
	}
}

// Close ends both directions. As in TCP, what has come and was not read turns the
// goodbye into a reset.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.failed("close", net.ErrClosed)
	}
	c.shut(c.hard.Load())
	return nil
}

// reset ends both directions as a process's death or a firewall does.
func (c *Conn) reset() error {
	c.hard.Store(true)
	return c.Close()
}

func (c *Conn) shut(hard bool) {
	c.in.mu.Lock()
	hard = hard || len(c.in.data) > 0
	c.in.data = nil
	c.in.gone = os.NewSyscallError("write", syscall.EPIPE)
	c.in.read.set(time.Time{}, nil)
	c.in.moved.Broadcast()
	c.in.mu.Unlock()

	c.out.mu.Lock()
	if c.out.end = io.EOF; hard {
		c.out.end = os.NewSyscallError("read", syscall.ECONNRESET)
	}
	c.out.write.set(time.Time{}, nil)
	c.out.moved.Broadcast()
	c.out.mu.Unlock()
	if c.plug != nil {
		c.plug.disown(c)
	}
}

func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.near, Addr: c.far, Err: err}
}

// SetLinger with 0 makes Close a reset, as with a TCP socket.
func (c *Conn) SetLinger(seconds int) error {
	c.hard.Store(seconds == 0)
	return nil
}

// LocalAddr and RemoteAddr are TCP addresses.
func (c *Conn) LocalAddr() net.Addr { return c.near }

// RemoteAddr is the other side's.
func (c *Conn) RemoteAddr() net.Addr { return c.far }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(at time.Time) error {
	_ = c.SetReadDeadline(at)
	return c.SetWriteDeadline(at)
}

// SetReadDeadline ends a Read that waits when the time has come.
func (c *Conn) SetReadDeadline(at time.Time) error { return c.in.until(&c.in.read, at, c) }

// SetWriteDeadline ends a Write that waits when the time has come.
func (c *Conn) SetWriteDeadline(at time.Time) error { return c.out.until(&c.out.write, at, c) }

func (f *flow) until(d *deadline, at time.Time, c *Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.closed.Load() {
		return c.failed("set", net.ErrClosed)
	}
	d.set(at, f.moved.Broadcast)
	f.moved.Broadcast()
	return nil
}

var _ net.Conn = (*Conn)(nil)
