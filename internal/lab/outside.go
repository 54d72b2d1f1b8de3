package lab

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Outside is the rest of the internet.
type Outside struct {
	spoilable
	door       *door
	cloudflare Cloudflare // World.mu guards it
}

// serve is the rest of the internet: DNS-over-HTTPS, Cloudflare's status
// page and its API.
func (o *Outside) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := o.w.watch("outside", out, req)
	defer done()
	o.spoilOr(rw, req, func(rw http.ResponseWriter) {
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
	})
}

// resolve answers DNS over HTTPS (RFC 8484, POST). It knows the public name only.
func (o *Outside) resolve(rw http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(req.Body, 64<<10))
	var q dnsmessage.Message
	if err != nil || q.Unpack(raw) != nil || len(q.Questions) != 1 || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/dns-message" {
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
