package lab

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Clients is somebody outside who tries to connect, as a phone does: again and
// again while it fails. Their attempts move the connector's counters.
type Clients struct {
	w      *World
	stay   bool
	agent  string // "": Go's own
	cancel context.CancelFunc
	done   chan struct{}
	http   *http.Client

	tally Tally // World.mu guards it
}

// Tally is how the attempts went.
type Tally struct {
	Attempts int
	Opened   int    // those that Home Assistant greeted
	Last     string // why the last one failed, "" if it did not
}

// StartClients sends somebody to the public address every interval. With stay they
// keep the socket once it opens and try again when it breaks; else they leave at
// once. They go when Stop is called, or with the world.
func (w *World) StartClients(every time.Duration, stay bool) *Clients {
	return startClients(w, every, stay, "")
}

// Browser is the user agent of those that StartBrowsers sends.
const Browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

// StartBrowsers sends a browser to the public address every interval, whose socket opens
// and which then breaks its sign-in off, as was reported of Chrome behind mutual TLS and
// HTTP/3.
func StartBrowsers(w *World, every time.Duration) *Clients {
	return startClients(w, every, false, Browser)
}

func startClients(w *World, every time.Duration, stay bool, agent string) *Clients {
	ctx, cancel := context.WithCancel(w.ctx)
	c := &Clients{w: w, stay: stay, agent: agent, cancel: cancel, done: make(chan struct{})}
	// It always dials the edge, whatever the house's resolver says, and keeps no connection. It stands for a phone; the
	// certificate is the daemon's to judge.
	c.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.way.Dial(ctx, network, w.Edge.door.addr)
		}}}
	if !w.enter() {
		cancel()
		close(c.done)
		return c
	}
	go func() {
		defer w.wg.Done()
		defer close(c.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			c.try(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// Stop sends them home; it returns when they have gone.
func (c *Clients) Stop() { c.cancel(); <-c.done }

// Tally is how it went so far.
func (c *Clients) Tally() Tally {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.tally
}

func (c *Clients) try(ctx context.Context) {
	ws, err := c.knock(ctx)
	if ctx.Err() != nil {
		if ws != nil {
			_ = ws.CloseNow()
		}
		return
	}
	c.w.mu.Lock()
	c.tally.Attempts++
	if c.tally.Last = ""; err != nil {
		c.tally.Last = err.Error()
	} else {
		c.tally.Opened++
	}
	c.w.changed()
	c.w.mu.Unlock()
	if err != nil {
		return
	}
	if c.stay {
		_, _, _ = ws.Read(ctx) // nothing comes: it ends with the socket
	}
	_ = ws.CloseNow()
}

// knock opens a WebSocket through the public address and waits for the greeting.
func (c *Clients) knock(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.timings.ProbeTimeout)
	defer cancel()
	header := http.Header{}
	if c.agent != "" {
		header.Set("User-Agent", c.agent)
	}
	ws, _, err := websocket.Dial(ctx, c.w.Edge.url+"/api/websocket", &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	if _, _, err := ws.Read(ctx); err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	return ws, nil
}
