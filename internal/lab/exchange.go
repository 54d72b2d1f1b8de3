package lab

import (
	"bufio"
	"context"
	"errors"
	"io"
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
