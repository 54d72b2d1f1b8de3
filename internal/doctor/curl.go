package doctor

import (
	"net/url"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// curls gives, for every failing look at the public name, a command that shows the
// same outside this program.
func (x *examination) curls() []string {
	t := x.place.Public
	var list []string
	add := func(l evidence.Look, network string, websocket bool) {
		if !l.Done() || l.Trouble == evidence.Unusable || websocket && l.Healthy() || !websocket && l.Answered() && l.Status < 400 {
			return
		}
		path := "/manifest.json"
		if websocket {
			path = "/api/websocket"
		}
		list = append(list, curl(t, network, path, websocket))
	}
	first := ""
	if x.seen.Others != "" {
		first = x.seen.Network
	}
	add(x.seen.Public, first, true)
	add(x.seen.Other, x.seen.Others, true)
	add(x.seen.Page, "", false)
	return list
}

// curl writes the request of a look as a command. Secrets stand as the names of
// variables that the reader sets himself.
func curl(t probe.Target, network, path string, websocket bool) string {
	args := []string{"curl", "-sS", "-i", "-N", "--http1.1", "--max-time 10"}
	args = append(args, SharedCurl(t)...)
	switch network {
	case "tcp4":
		args = append(args, "-4")
	case "tcp6":
		args = append(args, "-6")
	}
	if websocket {
		args = append(args, `-H 'Connection: Upgrade'`, `-H 'Upgrade: websocket'`, `-H 'Sec-WebSocket-Version: 13'`, `-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='`)
	}
	return strings.Join(append(args, Quoted(t.URL, path)), " ")
}

// SharedCurl gives the arguments of curl that every request to the target needs.
func SharedCurl(t probe.Target) (args []string) {
	if t.Access.ID != "" && t.Access.Secret != "" {
		args = append(args, `-H "CF-Access-Client-Id: $CF_ACCESS_CLIENT_ID"`, `-H "CF-Access-Client-Secret: $CF_ACCESS_CLIENT_SECRET"`)
	}
	if t.Certificate != nil {
		args = append(args, "--cert certificate.pem --key key.pem")
	}
	if t.RootCAs != nil && t.URL != nil && t.URL.Scheme == "https" {
		args = append(args, `--cacert "$TUNNELMEDIC_CA_FILE"`)
	}
	return args
}

// Quoted gives an address as an argument on a command line.
func Quoted(base *url.URL, path string) string {
	u := url.URL{Scheme: base.Scheme, Host: base.Host}
	at, query, _ := strings.Cut(path, "?")
	u.Path, u.RawQuery = at, query
	return "'" + strings.ReplaceAll(u.String(), "'", "%27") + "'"
}
