package web

import (
	"net"
	"sync"
)

// maxConns is how many connections are open at once. Ingress opens one for each request
// that is under way; one for each open page carries its events.
const maxConns = 128

// Listener lets in only who may ask for something: the ingress peers, and this machine
// for its health. Everybody else's connection is closed before a byte of theirs is
// read, and so is one too many.
func (c Config) Listener(ln net.Listener) net.Listener {
	return &doorkeeper{Listener: ln, config: c, places: make(chan struct{}, maxConns)}
}

type doorkeeper struct {
	net.Listener
	config Config
	places chan struct{}
}

// Accept waits for somebody who may come in.
func (d *doorkeeper) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if peer := sender(conn.RemoteAddr().String()); !peer.IsLoopback() && !d.config.known(peer) {
			_ = conn.Close()
			continue
		}
		select {
		case d.places <- struct{}{}:
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { <-d.places })}, nil
		default:
			_ = conn.Close()
		}
	}
}

// guest gives its place back when it goes.
type guest struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
