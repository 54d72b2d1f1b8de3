// Package wire is a network in memory: connections with buffers and deadlines, ports
// that refuse while nothing listens, cables that can be pulled. It behaves as loopback
// does, but a goroutine that waits on it waits as testing/synctest understands waiting,
// so that time in a bubble can pass.
package wire

import (
	"context"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tunnelmedic/internal/network"
)

// delay is how long it takes to connect to a port. Without any, whoever tries again at
// once would do so for ever at one moment of a bubble's time. It differs from port to port,
// so that what is asked at one moment is answered in one order.
func delay(address string) time.Duration {
	a := addrOf(address)
	if a == nil {
		return time.Millisecond
	}
	return time.Millisecond + time.Duration(a.Port%64)*7*time.Microsecond
}

// firstPort is the first that is handed out to listen on. Who dials comes from a port above
// firstCaller, one after the other and then again, as on Linux.
const (
	firstPort   = 20000
	firstCaller = 32768
)

// backlog is how many connections may wait to be accepted.
const backlog = 128

// Net is a network. It may be used by several goroutines at once.
type Net struct {
	mu     sync.Mutex
	next   int // port to hand out
	caller int // port of whoever dials next
	listen map[string]*listener
}

// New makes a network on which nobody listens.
func New() *Net { return &Net{next: firstPort, caller: firstCaller, listen: map[string]*listener{}} }

// Reserve gives an address with a port that nobody has or will be given. Until somebody
// listens there, it refuses.
func (n *Net) Reserve(ip string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	return net.JoinHostPort(ip, strconv.Itoa(n.next-1))
}

// Plug is one program's way into the network.
type Plug struct {
	net *Net
	ip  string // that others see

	mu     sync.Mutex
	pulled bool
	conns  map[*Conn]struct{}
	listen map[*listener]struct{}
}

// Plug makes a way into the network, for somebody on this machine.
func (n *Net) Plug() *Plug { return n.PlugAt("127.0.0.1") }

// PlugAt makes a way into the network for somebody whom others see under this address.
func (n *Net) PlugAt(ip string) *Plug {
	return &Plug{net: n, ip: ip, conns: map[*Conn]struct{}{}, listen: map[*listener]struct{}{}}
}

// Network is the plug as programs take it. Of names it knows localhost only.
func (p *Plug) Network() network.Network {
	return network.Network{Dialer: p.Dial, Listener: p.Listen, Names: names{}}
}

// Pull ends the program's part in the network for good, as its death would: connections
// are reset, ports refuse, and nothing that it does later reaches anybody.
func (p *Plug) Pull() {
	p.mu.Lock()
	p.pulled = true
	var ends []func() error
	for c := range p.conns {
		ends = append(ends, c.reset)
	}
	for l := range p.listen {
		ends = append(ends, l.Close)
	}
	p.mu.Unlock()
	for _, end := range ends {
		_ = end()
	}
}

// Dial connects to an address, as a net.Dialer does.
func (p *Plug) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	failed := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addrOf(address), Err: err}
	}
	t := time.NewTimer(delay(address))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return failed(ctx.Err())
	}
	address, err := resolved(address)
	if err != nil {
		return failed(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		return failed(os.NewSyscallError("connect", syscall.ENETDOWN))
	}
	p.net.mu.Lock()
	l := p.net.listen[address]
	if l == nil {
		if _, port, _ := net.SplitHostPort(address); port != "" {
			l = p.net.listen[net.JoinHostPort("", port)]
		}
	}
	from := addrOf(net.JoinHostPort(p.ip, strconv.Itoa(p.net.caller)))
	if p.net.caller++; p.net.caller > math.MaxUint16 {
		p.net.caller = firstCaller
	}
	p.net.mu.Unlock()
	if l == nil {
		return failed(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	near, far := pair(from, addrOf(address))
	near.plug, far.plug = p, l.plug
	// Known to its program before it can be used: a pull misses nothing.
	p.conns[near] = struct{}{}
	if err := l.take(far); err != nil {
		delete(p.conns, near)
		return failed(err)
	}
	return near, nil
}

// Listen opens an address, as net.Listen does. Port 0 is one that nobody has.
func (p *Plug) Listen(network, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = ""
	}
	if port == "0" {
		_, port, _ = net.SplitHostPort(p.net.Reserve(host))
	}
	l := &listener{plug: p, addr: net.JoinHostPort(host, port), queue: make(chan *Conn, backlog), done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	switch {
	case p.pulled:
		err = syscall.ENETDOWN
	case p.net.listen[l.addr] != nil:
		err = syscall.EADDRINUSE
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: addrOf(l.addr), Err: os.NewSyscallError("bind", err)}
	}
	p.net.listen[l.addr] = l
	p.listen[l] = struct{}{}
	return l, nil
}

// listener is an open port.
type listener struct {
	plug  *Plug
	addr  string
	queue chan *Conn
	done  chan struct{}

	mu     sync.Mutex // guards closed, and queue against what comes after it
	closed bool
}

// take puts a connection into the queue, or says why it cannot.
func (l *listener) take(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	select {
	case l.queue <- c:
		return nil
	default:
		return os.NewSyscallError("connect", syscall.ETIMEDOUT)
	}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		select {
		case <-l.done:
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		case c := <-l.queue:
			if l.plug.own(c) {
				return c, nil
			}
			_ = c.reset()
		}
	}
}

// own notes a connection as the program's, unless its plug has been pulled.
func (p *Plug) own(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.pulled {
		p.conns[c] = struct{}{}
	}
	return !p.pulled
}

func (p *Plug) disown(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Close shuts the port: who waits to be accepted is reset, as Linux does it.
func (l *listener) Close() error {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	if already {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	close(l.done)
	l.plug.mu.Lock()
	delete(l.plug.listen, l)
	l.plug.net.mu.Lock()
	delete(l.plug.net.listen, l.addr)
	l.plug.net.mu.Unlock()
	l.plug.mu.Unlock()
	for {
		select {
		case c := <-l.queue:
			_ = c.reset()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return addrOf(l.addr) }

// resolved gives an address with an IP in it.
func resolved(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.Unmap().String(), port), nil
	}
	ips, err := names{}.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(ips[0].String(), port), nil
}

func addrOf(address string) *net.TCPAddr {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	n, _ := strconv.Atoi(port) // a port that is no number is 0
	return &net.TCPAddr{IP: net.ParseIP(host), Port: n}
}

// names is a resolver that knows this machine only.
type names struct{}

func (names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") && network != "ip6" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, Server: "memory", IsNotFound: true}
}
