package diagnosis

import (
	"fmt"
	"strings"

	"tunnelmedic/internal/evidence"
)

// seen puts the evidence into short words, for the page, the log at debug, and
// reports.
func seen(e evidence.Evidence) map[string]string {
	s := map[string]string{}
	put := func(name, text string) {
		if text != "" {
			s[name] = text
		}
	}
	for name, l := range map[string]evidence.Look{"public": e.Public, "page": e.Page, "direct": e.Direct, "service": e.Service} {
		if l.Stage != evidence.NotAsked {
			s[name] = LookInShort(l)
		}
	}
	for name, l := range map[string]evidence.Lookup{"name at home": e.Names.House, "name outside": e.Names.World} {
		if l.Done() {
			s[name] = LookupInShort(l)
		}
	}
	put("quic", QUICInShort(e.QUIC))
	put("connector", ConnectorInShort(e.Connector))
	put("carried", carriedInShort(e.Connector))
	put("log", LogInShort(e.Log))
	put("core log", CoreLogInShort(e.CoreLog))
	put("start page", FrontendInShort(e.Frontend))
	put("addon", addOnInShort(e.AddOn))
	if e.Core.Asked {
		s["core"] = strings.TrimSpace(fmt.Sprintf("%d %s", e.Core.Status, e.Core.State))
		if e.Core.Runs != evidence.NotKnown {
			s["core"] += ", its container is " + e.Core.Runs.String()
		}
	}
	if e.Internet != evidence.InternetUnknown {
		s["internet"] = e.Internet.String()
	}
	if e.Zone.WebSockets != evidence.NotKnown {
		s["zone"] = "WebSockets " + e.Zone.WebSockets.String()
	}
	put("supervisor", e.SupervisorAway)
	return s
}

// LookInShort gives a look in a few words.
func LookInShort(l evidence.Look) string {
	var b strings.Builder
	if l.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d", l.Status)
	} else {
		b.WriteString(l.Stage.String())
	}
	if l.Stage > evidence.Answered {
		b.WriteString(", " + l.Stage.String())
	}
	if l.Trouble != evidence.NoTrouble {
		b.WriteString(", " + l.Trouble.String())
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(l.Body), "\n"); line != "" && (l.Status >= 400 || l.Status == 0) {
		fmt.Fprintf(&b, " %q", shortened(line, 80))
	}
	if ray := l.CFRay(); ray != "" {
		b.WriteString(" cf-ray " + ray)
	}
	if l.Outside {
		b.WriteString(" (name looked up outside the house)")
	}
	return b.String()
}

// LookupInShort gives a resolver's answer in a few words.
func LookupInShort(l evidence.Lookup) string {
	switch {
	case len(l.Addrs) > 0:
		return strings.Join(l.Addrs, ", ")
	case l.Trouble != evidence.NoTrouble:
		return l.Trouble.String()
	}
	return "no address"
}

// QUICInShort gives the edge's answer over QUIC, "" if it was not asked.
func QUICInShort(l evidence.Look) string {
	switch passes := l.QUICPasses(); {
	case passes == evidence.On:
		return "a QUIC handshake with Cloudflare's edge succeeds"
	case l.Trouble == evidence.TLSFailed:
		return "UDP passes, but a QUIC handshake with Cloudflare's edge is refused: " + l.Detail
	case l.Trouble == evidence.BadCertificate:
		return "something on the way answers in the place of Cloudflare's edge, with a certificate of its own: " + l.Detail
	case l.Trouble == evidence.Unverified:
		return "an answer came, but its certificate cannot be checked: " + l.Detail
	case passes == evidence.Off && l.Stage >= evidence.Connected:
		return "UDP passes, but a QUIC handshake with Cloudflare's edge never ends"
	case passes == evidence.Off:
		return "no answer from Cloudflare's edge: UDP to port 7844 seems to be blocked"
	case l.Done():
		return "could not be asked: " + l.Detail
	}
	return ""
}

// ConnectorInShort gives the connector's word on itself, "" if it was not asked.
func ConnectorInShort(c evidence.Connector) string {
	switch {
	case !c.Asked:
		return ""
	case c.Status == 0:
		return "/ready: " + c.Trouble.String()
	}
	s := fmt.Sprintf("/ready %d, %d connections", c.Status, c.Ready)
	if c.Transport != evidence.NoTransport {
		s += " over " + c.Transport.String()
	}
	if c.Route.Asked && c.Route.Found {
		s += ", leading to " + c.Route.Service
	} else if c.Route.Asked {
		s += ", no rule for this host name"
	}
	return s
}

func carriedInShort(c evidence.Connector) string {
	rise, known := c.Carried()
	if !known {
		return ""
	}
	s := fmt.Sprintf("%d requests during the check", rise.Requests)
	if n := rise.Codes[400]; n > 0 {
		s += fmt.Sprintf(", %d answered with 400", n)
	}
	if rise.Errors > 0 {
		s += fmt.Sprintf(", %d not passed on", rise.Errors)
	}
	return s
}

// LogInShort gives what the app's log tells of, in counts, "" if there is nothing of
// the kind.
func LogInShort(l evidence.Log) string {
	var parts []string
	if l.StartFailed != evidence.StartClean {
		parts = append(parts, "its last start failed ("+l.StartFailed.String()+")")
	}
	if l.LoginWanted {
		parts = append(parts, "waits for a login at Cloudflare")
	}
	for _, p := range []struct {
		n    int
		what string
	}{
		{l.Rejected, "refused by Cloudflare"}, {l.QUICFailed, "QUIC failed to connect"}, {l.HTTP2Failed, "HTTP/2 failed to connect"},
		{l.Unroutable, "no route to Cloudflare"}, {l.Untrusted, "Cloudflare's certificate not accepted"}, {l.Unspoken, "TLS failed on this side"},
		{l.Unresolved, "Cloudflare's addresses not found"}, {l.Lost, "connections broke"},
		{l.NoHost, "no Host in request URL"}, {l.OriginTLS, "http and https mixed up"}, {l.OriginOff, "nothing answered at the tunnel's service"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s (%d)", p.what, p.n))
		}
	}
	if l.FellBack {
		parts = append(parts, "fell back to http2")
	}
	if l.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("other errors (%d), the last: %s", l.Unknown, shortened(l.LastError, 120)))
	}
	return strings.Join(parts, ", ")
}

// CoreLogInShort gives what Home Assistant's own log says of the last half hour, "" if
// nothing that matters.
func CoreLogInShort(l evidence.CoreLog) string {
	var parts []string
	if l.Refused > 0 {
		parts = append(parts, fmt.Sprintf("%d requests refused, last for %s", l.Refused, l.Forwarded))
	}
	for c, n := range l.Closed {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d sign-ins broken off by %s", n, evidence.Client(c)))
		}
	}
	if l.Bans > 0 {
		parts = append(parts, fmt.Sprintf("%d addresses banned", l.Bans))
	}
	return strings.Join(parts, ", ")
}

// FrontendInShort gives what came of the look at the start page, "" if it was not made.
func FrontendInShort(f evidence.Frontend) string {
	switch {
	case !f.Done():
		return ""
	case f.Script == "":
		return LookInShort(f.Page) + ", no start page of Home Assistant"
	}
	s := "names " + f.Script
	if f.Entry.Done() {
		s += fmt.Sprintf(" (HTTP %d)", f.Entry.Status)
	}
	switch {
	case f.OwnScript == "":
	case f.OwnScript == f.Script:
		s += ", as Home Assistant's own does"
	default:
		s += ", Home Assistant's own names " + f.OwnScript
	}
	if f.Cached() {
		s += ", from Cloudflare's cache"
	}
	return s
}

func addOnInShort(a evidence.AddOn) string {
	switch {
	case !a.Asked:
		return ""
	case !a.Installed:
		return a.Slug + " is not installed"
	}
	s := strings.TrimSpace(a.Slug + " " + string(a.State))
	if a.ProtocolKnown {
		s += ", protocol " + a.Protocol.String()
	}
	return s
}

func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
