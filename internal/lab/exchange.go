package lab

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"
)

// What Go's HTTP client says in cloudflared's log.
var (
	errNoHost      = errors.New("http: no Host in request URL")
	errNobodyThere = errors.New("dial tcp 172.30.32.1:8123: connect: connection refused")
	errWrongScheme = errors.New("http: server gave HTTP response to HTTPS client")
)

// exchange is one request to the origin and its answer.
type exchange struct {
	conn    net.Conn
	br      *bufio.Reader
	resp    *http.Response
	release func() // nil or told once when the exchange is over
}

func (x *exchange) close() {
	_ = x.conn.Close()
	if x.release != nil {
		x.release()
	}
}

// passOn gives Home Assistant's answer on as it is.
func (x *exchange) passOn(w *World, rw *watched) {
	defer x.close()
	if x.resp.StatusCode == http.StatusSwitchingProtocols {
		x.join(w, rw, nil, false, [][2]string{{"Server", x.resp.Header.Get("Server")}})
		return
	}
	x.forward(rw)
}

// forward gives a plain answer on, without the headers named.
func (x *exchange) forward(rw http.ResponseWriter, without ...string) {
	from := x.resp.Header.Clone()
	for _, name := range append(without, "Connection", "Keep-Alive", "Transfer-Encoding") {
		from.Del(name)
	}
	maps.Copy(rw.Header(), from)
	rw.WriteHeader(x.resp.StatusCode)
	_, _ = io.Copy(rw, x.resp.Body)
}

// join makes the visitor's connection and the origin's one WebSocket, until either
// ends, the connector does, or the world. Silent, nothing comes back after the 101.
func (x *exchange) join(w *World, rw *watched, r *run, silent bool, header [][2]string) {
	w.wg.Add(1) // the connection's own count ends with the hijack
	defer w.wg.Done()
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	rw.status = http.StatusSwitchingProtocols
	pair := &socketPair{conn, x.conn}
	defer func() { _ = pair.Close() }()
	if r == nil {
		r = &run{sockets: map[io.Closer]struct{}{}} // no connector stands between
	}
	w.mu.Lock()
	r.sockets[pair] = struct{}{}
	late := w.ctx.Err() != nil || r.ctx != nil && r.ready() == 0
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(r.sockets, pair)
		w.changed()
	}()
	if late {
		return
	}
	stop := context.AfterFunc(w.ctx, func() { _ = pair.Close() })
	defer stop()
	for _, name := range []string{"Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"} {
		if v := x.resp.Header.Get(name); v != "" {
			header = append(header, [2]string{strings.ReplaceAll(name, "Websocket", "WebSocket"), v})
		}
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
	for _, h := range header {
		head += h[0] + ": " + h[1] + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return
	}
	if silent {
		_, _ = io.Copy(io.Discard, buf)
		return
	}
	splice(conn, buf, x.conn, x.br)
}

// ask sends the request over a connection of its own, in the form it has: nothing
// is added.
func (w *scene) ask(ctx context.Context, addr string, req *http.Request) (*exchange, error) {
	conn, err := w.way.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	x := &exchange{conn: conn, br: bufio.NewReader(conn)}
	if err = req.Write(conn); err == nil {
		x.resp, err = http.ReadResponse(x.br, req)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return x, nil
}

// originRequest is what cloudflared makes of a request. Marked as a WebSocket it
// goes on as one; unmarked it is a plain request with Connection: keep-alive,
// whatever the visitor had asked for. The forms are what was seen behind the real one.
func originRequest(in *http.Request, marked bool, form Form) *http.Request {
	out := plainRequest(in)
	h := out.Header
	h.Del("Connection")
	h.Del("Keep-Alive")
	switch {
	case form == NoConnection:
		h.Set("Connection", "keep-alive")
	case marked && form != NoUpgrade:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		if form == NoKey {
			h.Del("Sec-Websocket-Key")
		}
		if form == NoVersion {
			h.Del("Sec-Websocket-Version")
		} else {
			h.Set("Sec-Websocket-Version", "13")
		}
	default:
		h.Del("Upgrade")
		h.Set("Connection", "keep-alive")
	}
	return out
}

// plainRequest is the request as it came, fit to be written to a server.
func plainRequest(in *http.Request) *http.Request {
	out := in.Clone(in.Context())
	out.RequestURI = ""
	if _, set := out.Header["User-Agent"]; !set {
		out.Header["User-Agent"] = nil // or Go writes its own name
	}
	return out
}

// visitorIP is the address a request came from.
func visitorIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func isWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// splice copies both ways until either side ends.
func splice(visitor net.Conn, fromVisitor io.Reader, origin net.Conn, fromOrigin io.Reader) {
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(origin, fromVisitor); done <- struct{}{} }()
	go func() { _, _ = io.Copy(visitor, fromOrigin); done <- struct{}{} }()
	<-done
	_ = visitor.Close()
	_ = origin.Close()
	<-done
}
