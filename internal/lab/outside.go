package lab

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Outside is the rest of the internet.
type Outside struct {
	w          *World
	door       *door
	cloudflare Cloudflare // World.mu guards it
}

// serve is the rest of the internet: DNS-over-HTTPS, Cloudflare's status
// page and its API.
func (o *Outside) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := o.w.watch("outside", out, req)
	defer done()
	switch p := req.URL.Path; {
	case p == "/dns-query":
		o.resolve(rw, req)
	case strings.HasPrefix(p, "/api/v2/"):
		o.statusPage(rw, req, strings.TrimPrefix(p, "/api/v2/"))
	case strings.HasPrefix(p, "/client/v4/"):
		o.api(rw, req, strings.TrimPrefix(p, "/client/v4"))
	default:
		http.NotFound(rw, req)
	}
}

// resolve answers DNS over HTTPS: the wire format (RFC 8484, GET and POST) and the
// JSON that resolvers offer beside it. It knows the public name only.
func (o *Outside) resolve(rw http.ResponseWriter, req *http.Request) {
	if name := req.URL.Query().Get("name"); name != "" {
		o.resolveJSON(rw, name, req.URL.Query().Get("type"))
		return
	}
	var raw []byte
	var err error
	if req.Method == http.MethodPost {
		raw, err = io.ReadAll(io.LimitReader(req.Body, 64<<10))
	} else {
		raw, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(req.URL.Query().Get("dns"), "="))
	}
	var q dnsmessage.Message
	if err != nil || q.Unpack(raw) != nil || len(q.Questions) != 1 || req.Method == http.MethodPost && req.Header.Get("Content-Type") != "application/dns-message" {
		http.Error(rw, "not a DNS query", http.StatusBadRequest)
		return
	}
	ip, known := o.lookup(q.Questions[0].Name.String())
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: q.RecursionDesired, RecursionAvailable: true}, Questions: q.Questions}
	switch {
	case !known:
		answer.RCode = dnsmessage.RCodeNameError
	case q.Questions[0].Type == dnsmessage.TypeA:
		answer.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte(ip)}}}
	}
	packed, err := answer.Pack()
	if err != nil {
		http.Error(rw, "not a DNS query", http.StatusBadRequest)
		return
	}
	rw.Header().Set("Content-Type", "application/dns-message")
	_, _ = rw.Write(packed)
}

func (o *Outside) resolveJSON(rw http.ResponseWriter, name, kind string) {
	ip, known := o.lookup(name)
	answer := map[string]any{"Status": 0, "TC": false, "RD": true, "RA": true, "AD": false, "CD": false, "Question": []any{map[string]any{"name": name, "type": 1}}}
	switch {
	case !known:
		answer["Status"] = 3
	case kind == "" || strings.EqualFold(kind, "A") || kind == "1":
		answer["Answer"] = []any{map[string]any{"name": name, "type": 1, "TTL": 60, "data": ip.String()}}
	}
	rw.Header().Set("Content-Type", "application/dns-json")
	_ = json.NewEncoder(rw).Encode(answer)
}

// lookup gives the edge's address for the public name.
func (o *Outside) lookup(name string) (net.IP, bool) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	u, err := url.Parse(o.w.Edge.url)
	if err != nil || name != PublicHost && name != u.Hostname() {
		return nil, false
	}
	host, _, _ := net.SplitHostPort(o.w.Edge.door.addr)
	return net.ParseIP(host).To4(), true
}
