package network

import (
	"net"
	"sync"
)

// Few lets no more connections in than most, and of those only whom may lets in; nil lets in
// everybody. Others are closed before a byte of theirs is read.
func Few(l net.Listener, most int, may func(net.Addr) bool) net.Listener {
	return &door{Listener: l, may: may, places: make(chan struct{}, most)}
}

type door struct {
	net.Listener
	may    func(net.Addr) bool
	places chan struct{}
}

// Accept waits for somebody who may come in.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.may != nil && !d.may(conn.RemoteAddr()) {
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
