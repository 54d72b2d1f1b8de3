package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// mute is the log of servers whose visitors are cut off on purpose.
var mute = log.New(io.Discard, "", 0)

// door is a TCP address that can be open or shut while the world runs. Shut, it
// refuses, as an address does at which nothing listens.
type door struct {
	w     *World
	addr  string
	serve http.Handler
	tls   *tls.Config   // may offer h2
	hold  io.Closer     // keeps the port ours while the door is shut
	idle  time.Duration // how long a connection may be; 0: as long as a request may take

	mu     sync.Mutex
	ln     net.Listener
	srv    *http.Server
	end    context.CancelFunc // of what was asked through it, WebSockets included
	closed bool
}

func newDoor(w *World, addr string, serve http.Handler) (*door, error) {
	addr, hold, err := w.hold(addr)
	if err != nil {
		return nil, err
	}
	d := &door{w: w, addr: addr, serve: serve, hold: hold}
	w.doors = append(w.doors, d)
	return d, nil
}

func (d *door) url() string { return "http://" + d.addr }

func (d *door) port() string { _, p, _ := net.SplitHostPort(d.addr); return p }

func (d *door) set(open bool) {
	if open {
		_ = d.open() // the port is held, so that it can only fail while another shut is under way
	} else {
		d.shut()
	}
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ln != nil || d.closed {
		return nil
	}
	ln, err := d.w.way.Listen("tcp", d.addr)
	if err != nil {
		return fmt.Errorf("opening %s: %w", d.addr, err)
	}
	if d.tls != nil {
		ln = tls.NewListener(ln, d.tls)
	}
	d.ln = ln
	ctx, end := context.WithCancel(d.w.ctx)
	d.end = end
	d.srv = &http.Server{
		Handler:           d.serve,
		ErrorLog:          mute,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       d.idle,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// A connection is counted before Serve can return, so that nobody waits for a count that may still grow.
		ConnState: func(_ net.Conn, s http.ConnState) {
			//exhaustive:ignore
			switch s {
			case http.StateNew:
				d.w.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				d.w.wg.Done()
			}
		},
	}
	srv := d.srv
	d.w.wg.Go(func() { _ = srv.Serve(ln) })
	return nil
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ln == nil {
		return
	}
	_ = d.ln.Close()
	d.ln = nil
	d.end()
	_ = d.srv.Close()
}

// close shuts the door for good.
func (d *door) close() {
	d.shut()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.hold != nil {
		_ = d.hold.Close()
		d.hold = nil
	}
}
