package diagnosis

import (
	"net/url"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// aiohttp's words for a handshake it refuses, all with status 400 (aiohttp
// web_ws.py; FACTS §4). The beginning is matched: what follows names the header.
const (
	bodyNoUpgrade    = "No WebSocket UPGRADE hdr"
	bodyNoConnection = "No CONNECTION upgrade hdr"
	bodyNoKey        = "Handshake error"
	bodyNoVersion    = "Unsupported version"
)

func asked(l evidence.Look) bool    { return l.Done() }
func answered(l evidence.Look) bool { return l.Stage >= evidence.Answered }

// reached says whether Home Assistant itself spoke HTTP, whatever it said.
func reached(l evidence.Look) bool { return answered(l) }

// cloudflare says whether the answer came through Cloudflare's edge.
func cloudflare(l evidence.Look) bool { return answered(l) && l.CFRay() != "" }

func trimmed(l evidence.Look) string { return strings.TrimSpace(l.Body) }

func handshake400(l evidence.Look, beginnings ...string) bool {
	if !cloudflare(l) || l.Status != 400 {
		return false
	}
	for _, b := range beginnings {
		if strings.HasPrefix(trimmed(l), b) {
			return true
		}
	}
	return false
}

// pageWorks says whether an ordinary page came through Cloudflare at the same moment.
func pageWorks(e evidence.Evidence) bool {
	return cloudflare(e.Page) && e.Page.Status < 400
}

func serverError(l evidence.Look) bool { return cloudflare(l) && l.Status >= 500 }

// noConnector is Cloudflare's word that the tunnel has no connection: status 530,
// error 1033. A custom error page may hide the text, not the status.
func noConnector(l evidence.Look) bool {
	return cloudflare(l) && (l.Status == 530 && !hasErrorCode(l, 1016) || hasErrorCode(l, 1033))
}

// hasErrorCode looks for Cloudflare's "error code: 1033" (plain) or "Error 1033" (page).
func hasErrorCode(l evidence.Look, codes ...int) bool {
	body := strings.ToLower(l.Body)
	for _, c := range codes {
		n := strconv.Itoa(c)
		for _, form := range []string{"error code: " + n, "error code " + n, "error " + n} {
			if i := strings.Index(body, form); i >= 0 && !digitAt(body, i+len(form)) {
				return true
			}
		}
	}
	return false
}

func digitAt(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }

// originText is what cloudflared says when it cannot talk to its service.
func originText(l evidence.Look) bool {
	return strings.Contains(strings.ToLower(l.Body), "unable to reach the origin service")
}

func accessLogin(e evidence.Evidence) bool {
	if !cloudflare(e.Public) || e.Public.Status < 300 || e.Public.Status > 399 {
		return false
	}
	u, err := url.Parse(e.Public.HeaderValue("Location"))
	return err == nil && (strings.HasSuffix(u.Hostname(), ".cloudflareaccess.com") || strings.HasPrefix(u.Path, "/cdn-cgi/access/login"))
}

func accessDenied(e evidence.Evidence) bool {
	if !cloudflare(e.Public) || e.Public.Status != 403 && e.Public.Status != 401 {
		return false
	}
	for name := range e.Public.Header {
		if strings.HasPrefix(name, "Cf-Access-") {
			return true
		}
	}
	return strings.Contains(e.Public.Body, "cloudflareaccess.com")
}

func wantsClientCertificate(e evidence.Evidence) bool {
	if e.Public.Trouble == evidence.CertificateWanted {
		return true
	}
	body := strings.ToLower(e.Public.Body)
	return cloudflare(e.Public) && (e.Public.Status == 403 || e.Public.Status == 400) &&
		(strings.Contains(body, "no required ssl certificate") || strings.Contains(body, "client certificate"))
}

func redirectsToItself(e evidence.Evidence) bool {
	if !answered(e.Public) || e.Public.Status < 300 || e.Public.Status > 399 {
		return false
	}
	_, at, _ := strings.Cut(e.Public.Asked, " ")
	from, err1 := url.Parse(at)
	to, err2 := url.Parse(e.Public.HeaderValue("Location"))
	if err1 != nil || err2 != nil {
		return false
	}
	to = from.ResolveReference(to)
	return to.Hostname() == from.Hostname() && to.Path == from.Path
}
