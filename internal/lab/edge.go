package lab

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// Edge is Cloudflare's edge, and the network before it.
type Edge struct {
	w      *World
	door   *door
	url    string    // Home Assistant's, as the world outside knows it
	quic   *quicEdge // the UDP port; nil in memory
	certs  certificates
	caFile string // of the CA that signs its certificates

	// World.mu guards these.
	cache map[string]*httptest.ResponseRecorder // by path: what it keeps
	rng   *rand.Rand                            // draws whom a fault hits
	rays  *rand.Rand                            // draws ids, apart from the former so that plain requests change nothing
}

// serve is Cloudflare's edge, and the network before it.
func (e *Edge) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := e.w.watch("edge", out, req)
	defer done()
	f := e.w.Faults().at(req)
	switch {
	case f.SplitDNS:
		e.bypass(rw, req)
		return
	case f.EdgeSilent:
		e.w.silence(req)
	}
	ray := e.ray()
	h := rw.Header()
	h["Server"], h["CF-RAY"] = []string{"cloudflare"}, []string{ray}
	if req.URL.Path == "/cdn-cgi/trace" { // answered before Access, rules and the tunnel
		text(rw, http.StatusOK, "h="+req.Host+"\nvisit_scheme=https\ncolo="+Colo+"\nhttp=http/1.1\n")
		return
	}
	if e.guard(rw, req, f) {
		return
	}
	ws := isWebSocket(req)
	if a := f.Answer; a.meant(ws) {
		for k, v := range a.Header {
			h.Set(k, v)
		}
		rw.WriteHeader(a.Status)
		_, _ = io.WriteString(rw, a.Body)
		return
	}
	if f.CacheEverything && !ws && (req.URL.Path == "/" || strings.HasPrefix(req.URL.Path, "/frontend_")) {
		e.fromCache(rw, req, f, ray)
		return
	}
	e.tunnelled(rw, req, f, ws, ray)
}

// at are the faults that a request's host name meets.
func (f Faults) at(req *http.Request) Faults {
	if f.OnlyHost != "" && f.OnlyHost != (&url.URL{Host: req.Host}).Hostname() {
		f.Access, f.Challenge, f.Firewall, f.RateLimited, f.MutualTLS, f.Answer, f.ElsewhereToo = false, false, 0, false, "", nil, false
	}
	return f
}

// meant says whether it is for such a request.
func (a *EdgeAnswer) meant(ws bool) bool {
	return a != nil && (a.To == "" || ws == (a.To == "websocket"))
}

// fromCache answers as an edge does that is told to cache everything: the first answer
// stands for all later ones.
func (e *Edge) fromCache(rw *watched, req *http.Request, f Faults, ray string) {
	e.w.mu.Lock()
	kept, hit := e.cache[req.URL.Path]
	e.w.mu.Unlock()
	if !hit {
		in := req.Clone(req.Context())
		in.Method = http.MethodGet // the edge fetches the whole
		kept = httptest.NewRecorder()
		e.tunnelled(&watched{ResponseWriter: kept}, in, f, false, ray)
		if kept.Code == http.StatusOK || kept.Code == http.StatusNotFound {
			e.w.mu.Lock()
			if e.cache == nil {
				e.cache = map[string]*httptest.ResponseRecorder{}
			}
			e.cache[req.URL.Path] = kept
			e.w.mu.Unlock()
		}
	}
	maps.Copy(rw.Header(), kept.Header())
	rw.Header()["CF-RAY"], rw.Header()["Server"] = []string{ray}, []string{"cloudflare"}
	rw.Header().Set("Cf-Cache-Status", map[bool]string{true: "HIT", false: "MISS"}[hit])
	rw.WriteHeader(kept.Code)
	if req.Method != http.MethodHead {
		_, _ = rw.Write(kept.Body.Bytes())
	}
}

// ray draws a request's id, 16 hex digits and the data centre.
func (e *Edge) ray() string {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return fmt.Sprintf("%016x-%s", e.rays.Uint64(), Colo)
}

// guard is what the edge may ask or refuse before it looks at the tunnel. It says
// whether it has answered.
func (e *Edge) guard(rw http.ResponseWriter, req *http.Request, f Faults) bool {
	h := rw.Header()
	page := func(status int, body string) bool {
		h.Set("Cache-Control", "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0")
		respond(rw, status, "text/html; charset=UTF-8", body)
		return true
	}
	switch {
	case f.Firewall != 0:
		return page(http.StatusForbidden, "<!DOCTYPE html><html><head><title>Access denied | "+req.Host+" used Cloudflare to restrict access</title></head><body><h1>Error "+strconv.Itoa(f.Firewall)+"</h1><p>error code: "+strconv.Itoa(f.Firewall)+"</p></body></html>")
	case f.MutualTLS == ByRule && !e.knows(req):
		return page(http.StatusForbidden, "<!DOCTYPE html><html lang=\"en-US\"><head><title>Attention Required! | Cloudflare</title></head><body><h1>Sorry, you have been blocked</h1></body></html>")
	case f.RateLimited:
		h.Set("Retry-After", "10")
		text(rw, http.StatusTooManyRequests, "error code: 1015")
		return true
	case f.Challenge:
		h.Set("Cf-Mitigated", "challenge")
		return page(http.StatusForbidden, "<!DOCTYPE html><html lang=\"en-US\"><head><title>Just a moment...</title></head><body></body></html>")
	case f.Access:
		id, secret := req.Header.Get("CF-Access-Client-Id"), req.Header.Get("CF-Access-Client-Secret")
		switch {
		case id == AccessID && secret == AccessSecret && !f.AccessRefuses:
			return false
		case id != "" || secret != "":
			h.Set("Cf-Access-Domain", req.Host)
			h.Set("Cf-Access-Aud", "b1652f0e")
			return page(http.StatusForbidden, "<!DOCTYPE html><html><head><title>Forbidden. You don't have permission to view this.</title></head></html>")
		}
		h.Set("Location", "https://house.cloudflareaccess.com/cdn-cgi/access/login/"+req.Host+"?kid=b1652f0e&redirect_url="+strings.ReplaceAll(req.URL.Path, "/", "%2F"))
		h.Set("Www-Authenticate", `Cloudflare-Access resource_metadata="https://`+req.Host+`/.well-known/cloudflare-access-protected-resource/"`)
		h.Set("Cf-Access-Domain", req.Host)
		rw.WriteHeader(http.StatusFound)
		return true
	}
	return false
}

// tunnelled gives the request to the connector, marked as a WebSocket or not.
func (e *Edge) tunnelled(rw *watched, req *http.Request, f Faults, ws bool, ray string) {
	e.w.mu.Lock()
	r := e.w.Connector.run
	up := r != nil && r.ready() > 0 && !r.hung && !f.Misrouted
	form := Form("")
	if up && ws {
		form = e.spoiled(f, r.transport)
	}
	e.w.mu.Unlock()
	switch {
	case f.ElsewhereToo:
		r = &run{w: e.w, app: &app{}, codes: map[int]uint64{}, sockets: map[*watched]context.CancelFunc{}} // a connector in another place
	case !up:
		text(rw, 530, "error code: 1033")
		return
	case form == Hanging:
		e.w.silence(req)
	case f.Unrouted:
		e.w.mu.Lock()
		r.total++
		r.codes[http.StatusNotFound]++
		e.w.mu.Unlock()
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	in := req.Clone(req.Context())
	in.Header.Set("X-Forwarded-For", visitorIP(req))
	in.Header.Set("X-Forwarded-Proto", "https")
	in.Header.Set("Cf-Connecting-Ip", visitorIP(req))
	in.Header.Set("Cf-Ray", ray)
	in.Header.Set("Cdn-Loop", "cloudflare; loops=1")
	in.Header.Del("CF-Access-Client-Secret")
	r.carry(rw, in, ws, form)
}

// spoiled is what becomes of a handshake on its way, "" if nothing does. The caller holds mu.
func (e *Edge) spoiled(f Faults, over evidence.Transport) Form {
	u := f.Upgrade[over]
	if !f.WebSocketsOff && (u.Share <= 0 || e.rng.Float64() >= u.Share) {
		return ""
	}
	if f.WebSocketsOff || u.Form == "" {
		return NoUpgrade
	}
	return u.Form
}

// bypass is a visitor whose resolver names Home Assistant itself: no Cloudflare at all.
func (e *Edge) bypass(rw *watched, req *http.Request) {
	// A panic is what a refused connection looks like once it has been taken.
	e.w.passOn(rw, req, e.w.Core.addr(), func(http.Header) {}, nil, func(error) { panic(http.ErrAbortHandler) })
}
