package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// What Go's HTTP client says in cloudflared's log.
var (
	errNoHost      = errors.New("http: no Host in request URL")
	errNobodyThere = errors.New("dial tcp 172.30.32.1:8123: connect: connection refused")
	errWrongScheme = errors.New("http: server gave HTTP response to HTTPS client")
)

// passOn gives a request on to another server, under the headers that shape makes of its own, and the answer
// back. answered sees the answer first; it may be nil. failed answers where there is none.
func (w *World) passOn(rw *watched, req *http.Request, to string, shape func(http.Header), answered func(*http.Response), failed func(error)) {
	// net/http's own count of the connection ends where a WebSocket begins.
	joined := func() {}
	defer func() { joined() }()
	proxy := httputil.ReverseProxy{
		Transport: w.origin,
		ErrorLog:  mute,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", to
			r.Out.Header = r.In.Header.Clone()
			shape(r.Out.Header)
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode == http.StatusSwitchingProtocols {
				rw.status = answer.StatusCode
				w.wg.Add(1)
				joined = w.wg.Done
			}
			if answered != nil {
				answered(answer)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed(err) },
	}
	proxy.ServeHTTP(rw, req)
}

// asMarked is what cloudflared makes of a request's headers. Marked as a WebSocket it goes on as one; unmarked it
// is a plain request with Connection: keep-alive, whatever the visitor had asked for. The forms are what was seen
// behind the real one.
func asMarked(h http.Header, marked bool, form Form) {
	h.Del("Connection")
	h.Del("Keep-Alive")
	switch {
	case form == NoConnection:
		h.Set("Connection", "keep-alive")
	case marked && form != NoUpgrade:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		h.Set("Sec-Websocket-Version", "13")
		if form == NoKey {
			h.Del("Sec-Websocket-Key")
		}
		if form == NoVersion {
			h.Del("Sec-Websocket-Version")
		}
	default:
		h.Del("Upgrade")
		h.Set("Connection", "keep-alive")
	}
}

// unheard takes the place of an origin's side of a WebSocket: nothing comes through, either way.
type unheard struct {
	io.Closer
	over context.Context
}

func (u unheard) Read([]byte) (int, error)    { <-u.over.Done(); return 0, io.EOF }
func (u unheard) Write(p []byte) (int, error) { return len(p), nil }

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
