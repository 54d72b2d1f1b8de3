package report

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// What may stand in a public report as it is: the same for everyone.
var everyones = []string{"api.cloudflare.com", "www.cloudflarestatus.com", "cloudflarestatus.com", "stspg.io", "developers.cloudflare.com", "cfargotunnel.com", "cloudflareaccess.com", "homeassistant", "localhost"}

// veil replaces what is somebody's own by placeholders: the same by the same,
// wherever it stands, numbered in order of appearance. It goes over the whole
// document, so that no section can forget to.
//
// cf-ray ids stay, in both forms: Cloudflare's support asks for them first, only
// Cloudflare can resolve one, and all they tell others is the data centre. The UTC
// offset stays, the time zone's name does not.
type veil struct{ names map[string]string }

func newVeil(own *url.URL) *veil {
	v := &veil{names: map[string]string{}}
	if own != nil && own.Hostname() != "" {
		v.host(own.Hostname()) // always host-1
	}
	return v
}

// pattern compiles a regular expression when it is first needed: most homes never make
// a report, and these take as much memory as all else that is done while all is well.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	urls       = pattern(`\b((?:https?|wss?)://)([^\s/?#"'<>()|\x60\\$]+)([^\s?#"'<>()|\x60\\]*)(\?[^\s"'<>()|\x60\\]*)?`)
	emails     = pattern(`[\p{L}\p{N}._%+-]+@[\p{L}\p{N}.-]+\.\p{L}{2,}`)
	uuids      = pattern(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	hexes      = pattern(`(?i)\b[0-9a-f]{20,}\b`)
	slugs      = pattern(`\b(?:[0-9a-f]{8}|local|core)_[a-z0-9_-]+`)
	addresses  = pattern(`(?i)\b(?:\d{1,3}\.){3}\d{1,3}\b|[0-9a-f]*:(?:[0-9a-f]*:)+(?:[0-9a-f]+|(?:\d{1,3}\.){3}\d{1,3})?(?:%\w+)?`)
	dotted     = pattern(`(?:\*\.)?[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)+`)
	redacted   = pattern(`^host-\d+\.example$`)
	statusLink = pattern(`https://stspg\.io/[\w-]+`)
)

func (v *veil) over(text string) string {
	text = urls().ReplaceAllStringFunc(text, func(m string) string {
		if statusLink().MatchString(m) {
			return m
		}
		p := urls().FindStringSubmatch(m)
		host, port := p[2], ""
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			host = host[i+1:]
		}
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
			host, port = host[:i], host[i:]
		}
		if strings.HasPrefix(host, "$") {
			return m
		}
		return p[1] + v.host(strings.Trim(host, "[]")) + port + p[3] // what stands behind the question mark is left out
	})
	for _, own := range []struct {
		kind string
		in   func() *regexp.Regexp
	}{{"mailbox", emails}, {"id", uuids}, {"id", hexes}, {"addon", slugs}} {
		text = own.in().ReplaceAllStringFunc(text, func(m string) string { return v.name(own.kind, m) })
	}
	text = addresses().ReplaceAllStringFunc(text, func(m string) string {
		if _, err := netip.ParseAddr(m); err != nil {
			return m
		}
		return v.host(m)
	})
	var b strings.Builder
	last := 0
	for _, at := range dotted().FindAllStringIndex(text, -1) {
		m := text[at[0]:at[1]]
		b.WriteString(text[last:at[0]])
		if last = at[1]; hostLike(m) && (at[0] == 0 || text[at[0]-1] != '.') { // .result.value is a path in JSON
			m = v.host(m)
		}
		b.WriteString(m)
	}
	return b.String() + text[last:]
}

// files are endings of file names that are no top-level domains.
var files = []string{"json", "html", "htm", "txt", "js", "css", "png", "ico", "svg", "gz", "yaml", "yml", "webmanifest", "php", "log"}

// hostLike tells a host name from a version and from an ordinary abbreviation.
func hostLike(s string) bool {
	labels := strings.Split(s, ".")
	last := labels[len(labels)-1]
	if len(last) < 2 || last[0] >= '0' && last[0] <= '9' || slices.Contains(files, strings.ToLower(last)) {
		return false
	}
	return slices.ContainsFunc(labels[:len(labels)-1], func(l string) bool { return strings.Trim(l, "0123456789") != "" })
}

func (v *veil) host(h string) string {
	low := strings.ToLower(strings.TrimSuffix(h, "."))
	if slices.Contains(everyones, low) || redacted().MatchString(low) {
		return h
	}
	if _, err := netip.ParseAddr(low); err == nil {
		return v.name("address", low)
	}
	return v.name("host", low)
}

// name gives the placeholder of a value, always the same one.
func (v *veil) name(kind, value string) string {
	value = strings.ToLower(value)
	if p, ok := v.names[value]; ok {
		return p
	}
	n := 1
	for _, p := range v.names {
		if strings.HasPrefix(p, kind+"-") {
			n++
		}
	}
	p := fmt.Sprintf("%s-%d", kind, n)
	if kind == "host" {
		p += ".example" // reserved for this, and good in a command (RFC 2606)
	}
	v.names[value] = p
	return p
}

// known are texts that an answer's body may hold and that are the same for
// everyone: aiohttp's, cloudflared's, and Cloudflare's own. Any other body may be
// somebody's page, with what they have written there.
var known = pattern(`^(No WebSocket UPGRADE hdr|No CONNECTION upgrade hdr|Handshake error|Unsupported version|400: Bad Request|403: Forbidden|404: Not Found|40[0-9]: |50[0-9]: |error code: \d{3,4}$|\{"type":"auth_(required|invalid)")`)

// publicBody gives a body for the public form.
func publicBody(body, kind string) string {
	if trimmed := strings.TrimSpace(body); trimmed == "" || len(trimmed) < 200 && known().MatchString(trimmed) {
		return body
	}
	kind, _, _ = strings.Cut(cmp.Or(kind, "text"), ";")
	return say("report.body.left-out", words.With{"n": len(body), "kind": kind})
}

// public takes out of the answers what no pattern would find: bodies that are not the same
// for everyone, and what Cloudflare Access says of its team.
func public(shots []journal.Snapshot) []journal.Snapshot {
	shots = slices.Clone(shots)
	for n := range shots {
		s := &shots[n]
		for _, a := range []**journal.Answer{&s.Public, &s.Page, &s.Direct} {
			if *a == nil {
				continue
			}
			c := **a
			c.Body = publicBody(c.Body, c.Header["Content-Type"])
			c.Header = maps.Clone(c.Header)
			for k := range c.Header {
				if strings.HasPrefix(k, "Cf-Access-") || k == "Www-Authenticate" {
					c.Header[k] = "(set)"
				}
			}
			*a = &c
		}
	}
	return shots
}
