package diagnosis

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// aiohttp's words for a handshake it refuses, all with status 400 (aiohttp
// web_ws.py; docs/FACTS.md, Home Assistant). The beginning is matched: what follows names the header.
const (
	bodyNoUpgrade    = "No WebSocket UPGRADE hdr"
	bodyNoConnection = "No CONNECTION upgrade hdr"
	bodyNoKey        = "Handshake error"
	bodyNoVersion    = "Unsupported version"
)

const (
	// justUp is how long Cloudflare's edge may take to know of a new connection.
	justUp = 30 * time.Second
	// fallbackTime is how long cloudflared's auto may take to give QUIC up: 131 s measured.
	fallbackTime = 3 * time.Minute
	// hungTime is how long a running connector may be without a connection, and say
	// nothing of trouble, before it counts as hung.
	hungTime = 5 * time.Minute
	// ManyBreaks is how often connections must have broken before the tunnel is said to flap.
	ManyBreaks = 3
)

func unanswered(l evidence.Look) bool { return l.Done() && !l.Answered() }

// address is where a look was made, the empty one if that is no address.
func address(l evidence.Look) *url.URL {
	_, at, _ := strings.Cut(l.Asked, " ")
	if u, err := url.Parse(at); err == nil {
		return u
	}
	return &url.URL{}
}

// absent says whether nothing listens at Home Assistant's own address. A look that
// could not be made, or a name that nobody knows, says nothing of it.
func absent(l evidence.Look) bool {
	return unanswered(l) && reachTrouble(l) && !(l.Trouble == evidence.TimedOut && l.Stage >= evidence.Connected)
}

// reachTrouble says whether a look ended on the way to the other side.
func reachTrouble(l evidence.Look) bool {
	return slices.Contains([]evidence.Trouble{evidence.TimedOut, evidence.Refused, evidence.Unreachable, evidence.Cut}, l.Trouble)
}

// cloudflare says whether the answer came through Cloudflare's edge.
func cloudflare(l evidence.Look) bool { return l.Answered() && l.CFRay() != "" }

// answers says whether one with such a status did.
func answers(l evidence.Look, status ...int) bool {
	return cloudflare(l) && slices.Contains(status, l.Status)
}

// refusal says whether Cloudflare's edge answered with an error status, so that
// its error codes may be looked for in the body.
func refusal(l evidence.Look) bool { return cloudflare(l) && l.Status >= 400 }

func trimmed(l evidence.Look) string { return strings.TrimSpace(l.Body) }

// homeAssistants says whether a refusal is in the words of Home Assistant's web
// server: "404: Not Found", or those of a handshake.
func homeAssistants(l evidence.Look) bool {
	return strings.HasPrefix(trimmed(l), strconv.Itoa(l.Status)+": ") || aiohttpText(l)
}

func aiohttpText(l evidence.Look) bool {
	return startsWith(l, bodyNoUpgrade, bodyNoConnection, bodyNoKey, bodyNoVersion)
}

func startsWith(l evidence.Look, beginnings ...string) bool {
	return slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(trimmed(l), b) })
}

func handshake400(l evidence.Look, beginnings ...string) bool {
	return answers(l, 400) && startsWith(l, beginnings...)
}

// hidden400 is a refused handshake whose text an error page hides: the status, and
// the connector's count of 400s that rose during the probe.
func hidden400(e evidence.Evidence) bool {
	return answers(e.Public, 400) && !homeAssistants(e.Public) && !otherServer(e.Public) && carriedAnswer(e)
}

func handshakeRefused(e evidence.Evidence) bool {
	return handshake400(e.Public, bodyNoUpgrade, bodyNoConnection, bodyNoKey, bodyNoVersion) || hidden400(e)
}

// upgradeHung is a handshake that was never answered, or opened and stayed silent.
func upgradeHung(e evidence.Evidence) bool {
	l := e.Public
	if e.Direct.Healthy() && e.Direct.Took > l.Took {
		return false // Home Assistant itself took longer than was waited
	}
	silent := l.Stage == evidence.Upgraded && l.CFRay() != "" && (l.Trouble == evidence.TimedOut || l.Trouble == evidence.Cut)
	return silent || l.Stage == evidence.Secured && l.Trouble == evidence.TimedOut
}

// pageWorks says whether an ordinary page came through Cloudflare at the same moment.
func pageWorks(e evidence.Evidence) bool {
	return cloudflare(e.Page) && e.Page.Status < 400
}

// pagePasses says whether an ordinary request came through to whatever serves the
// name, even if that does not know the page: it is the way that is asked about.
func pagePasses(e evidence.Evidence) bool {
	return pageWorks(e) || answers(e.Page, 401, 404)
}

// ours says that nothing speaks against the probe's having been carried by this
// house's connector.
func ours(e evidence.Evidence) bool {
	c := e.Connector
	if c.Asked && (c.Status == 503 || c.Trouble == evidence.Refused) {
		return false
	}
	return !neverCarried(e)
}

// neverCarried says that the connector carried nothing while the probe was made.
func neverCarried(e evidence.Evidence) bool {
	rise, known := e.Connector.Carried()
	return known && rise.Requests == 0
}

// tunnelAlone says that all around the tunnel is well, so that a failed upgrade is
// the tunnel's: ordinary pages pass, Home Assistant greets directly, the zone lets
// WebSockets through, no proxy stands in between, and it was our connector.
func tunnelAlone(e evidence.Evidence) bool {
	if !pagePasses(e) || !e.Direct.Healthy() || e.Zone.WebSockets == evidence.Off || proxyBlamed(e) {
		return false
	}
	if e.Connector.Asked && e.Connector.Status != 0 && !e.Connector.Up() || e.Connector.Trouble == evidence.Refused {
		return false
	}
	if !neverCarried(e) {
		return true
	}
	// A handshake that the edge could not hand over leaves no trace here; then the
	// page, which passed, must have left one, or both went elsewhere.
	page, known := e.Connector.CarriedPage()
	return !e.Public.Answered() && known && page.Requests > 0
}

// proxyBlamed says that the tunnel leads to something in front of Home Assistant
// which was not seen to pass a WebSocket on. The add-on's own proxy is blamed only
// where it answered us, and refused.
func proxyBlamed(e evidence.Evidence) bool {
	r := e.Connector.Route
	return r.Asked && r.Found && !e.Service.Healthy() && (!r.HomeAssistant || e.Service.Answered())
}

// fromBehind says that an answer was certainly made behind the tunnel, not by the edge.
func fromBehind(l evidence.Look) bool {
	return l.CFRay() != "" && !l.Healthy() && (l.Stage == evidence.Upgraded || l.Answered() && (homeAssistants(l) || originText(l) || l.Status == 404 && trimmed(l) == ""))
}

func serverError(l evidence.Look) bool { return cloudflare(l) && l.Status >= 500 }

// originError is a server error that may be for want of an answer from Home Assistant.
func originError(l evidence.Look) bool {
	return serverError(l) && !noConnector(l) && !edgesOwn530(l)
}

// without says that the connector runs and has no connection to the edge.
func without(e evidence.Evidence) bool {
	return e.Connector.Asked && e.Connector.Status == 503
}

// offline is Cloudflare's word for it, too.
func offline(e evidence.Evidence) bool { return noConnector(e.Public) && without(e) }

func quicBlocked(e evidence.Evidence) bool {
	if !offline(e) || e.Internet == evidence.InternetDown {
		return false
	}
	l := e.Log
	if l.QUICFailed < 2 || l.HTTP2Failed > 0 || l.Rejected > 0 || l.FellBack {
		return false
	}
	// auto gives QUIC up on its own if it never once connected, and then shows whether
	// HTTP/2 passes at all: a restart would only take longer. Once connected, it dials QUIC
	// for ever.
	waits := e.AddOn.ProtocolKnown && e.AddOn.Protocol.Effective() == evidence.Auto && l.Registered == 0
	return !waits || e.Connector.ObservedDown >= fallbackTime
}

// flapping: connections break again and again, over whichever transport and whatever
// the words, or are made and never come to stand.
func flapping(e evidence.Evidence) bool {
	if e.Log.Lost < ManyBreaks || e.Log.Rejected > 0 || e.Log.FellBack || e.Internet == evidence.InternetDown || !e.Direct.Healthy() {
		return false
	}
	return noConnector(e.Public) || upgradeHung(e) || e.Public.CFRay() != "" && e.Public.Trouble == evidence.Cut
}

// hung tells a connector that Cloudflare has lost from a name that leads to another
// tunnel: with a connection that stands both show error 1033. Cloudflare's API
// knows; without it, that this very process carried a probe before and nobody uses
// it now. (Then a restart cuts nobody off, should the name have been moved to
// another tunnel just now.)
func hung(e evidence.Evidence) bool {
	c, l := e.Connector, e.Log
	if pageWorks(e) || e.Internet == evidence.InternetDown {
		return false
	}
	if without(e) {
		return offline(e) && l.Quiet() && c.ObservedDown >= hungTime && e.AddOn.State == evidence.StateStarted
	}
	if !named1033(e.Public) || !c.Up() || e.Zone.Connected == evidence.On || !neverCarried(e) {
		return false
	}
	return e.Zone.Connected == evidence.Off || e.Memory.ThisRun && c.Counters.Concurrent == 0
}

func misrouted(e evidence.Evidence) bool {
	c := e.Connector
	if pageWorks(e) || !named1033(e.Public) || !c.Up() || e.Zone.Connected == evidence.Off {
		return false
	}
	settled := c.ObservedUp == 0 || c.ObservedUp >= justUp
	rise, known := c.Carried()
	inUse := known && (rise.Requests > 0 || c.Counters.Concurrent > 0)
	return settled && known && (e.Zone.Connected == evidence.On || inUse || !e.Memory.ThisRun)
}

// connectorsOwn502 says that a 502 was made by cloudflared, which could not ask its
// service, and not by Cloudflare's edge.
func connectorsOwn502(e evidence.Evidence) bool {
	rise, known := e.Connector.Carried()
	return rise.Errors > 0 || !known && originText(e.Public)
}

// fromAfar says that it was looked from outside the house, where nothing inside can be
// asked: the answer alone has to tell.
func fromAfar(e evidence.Evidence) bool { return !e.Direct.Done() && !e.Connector.Asked }

func cloudflaresOwn5xx(e evidence.Evidence) bool {
	rise, known := e.Connector.Carried()
	switch l := e.Public; {
	case edgesOwn530(l):
		return true
	case !serverError(l) || noConnector(l) || originText(l):
		return false
	case fromAfar(e):
		return edgesPage(l)
	case known:
		return e.Direct.Healthy() && rise.Errors == 0 && rise.Codes[l.Status] == 0
	}
	return e.Direct.Healthy() && serverError(e.Page) && !originText(e.Page)
}

// untrusted: with Home Assistant's text; or with none, where ordinary pages get the same
// and Home Assistant itself is well. Another server's page for its own 400 is not that.
func untrusted(e evidence.Evidence) bool {
	if !answers(e.Public, 400) || e.Page.Done() && e.Page.Status != 400 || aiohttpText(e.Public) {
		return false
	}
	return trimmed(e.Public) == "400: Bad Request" || trimmed(e.Public) == "" && e.Page.Status == 400 && e.Direct.Healthy() && carriedAnswer(e)
}

// carriedAnswer says that the answer's status came through this house's connector.
func carriedAnswer(e evidence.Evidence) bool {
	rise, _ := e.Connector.Carried()
	return rise.Codes[e.Public.Status] > 0
}

// proxyRefuses: another web server stands behind the tunnel, and answers for itself. Its
// words tell, or, for the 502 to 504 that Home Assistant never gives, that the connector
// carried them.
func proxyRefuses(e evidence.Evidence) bool {
	l := e.Public
	if !answers(l, 400, 401, 403, 502, 503, 504) || homeAssistants(l) || unanswered(e.Direct) || connectorsFault(e) {
		return false
	}
	_, known := e.Connector.Carried()
	return (otherServer(l) || l.Status >= 502) && carriedAnswer(e) || otherServer(l) && !known && ours(e)
}

// connectorsFault says that cloudflared itself could not ask its service.
func connectorsFault(e evidence.Evidence) bool {
	rise, _ := e.Connector.Carried()
	return rise.Errors > 0 || originText(e.Public)
}

// record says that the DNS record of the name does not lead to a tunnel of this account.
func record(e evidence.Evidence) bool {
	l := e.Public
	return named(l, recordCodes) || answers(l, recordStatuses...) && !carriedAnswer(e)
}

// ended says that the app does not run.
func ended(e evidence.Evidence) bool {
	return e.AddOn.State.Ended() && !e.Connector.Up()
}

// coreRuns is Core's own word that it runs.
func coreRuns(e evidence.Evidence) bool {
	return e.Core.Asked && e.Core.Status == 200 && (e.Core.State == "" || e.Core.State == "RUNNING")
}

// unasked is cloudflared's own 502 for everything, while Home Assistant is well.
func unasked(e evidence.Evidence) bool {
	return answers(e.Public, 502) && !pagePasses(e) && connectorsOwn502(e) && ours(e) && (e.Direct.Healthy() || coreRuns(e))
}

// moved says that the tunnel leads to Home Assistant's name, and to another port than
// the one where Core listens now, or with another scheme.
func moved(e evidence.Evidence) bool {
	r := e.Connector.Route
	service, err := url.Parse(r.Service)
	if !r.Asked || !r.Found || err != nil || e.Core.Port == 0 {
		return false
	}
	host := strings.ToLower(service.Hostname())
	if host != "homeassistant" && !strings.HasPrefix(host, "homeassistant.") {
		return false
	}
	ssl := service.Scheme == "https"
	port := service.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[ssl]
	}
	return port != strconv.Itoa(e.Core.Port) || ssl != e.Core.SSL
}

// rewritten says that the app's start writes the tunnel's service anew from Core's
// settings: the tunnel is managed locally, and the host is the app's external_hostname.
func rewritten(e evidence.Evidence) bool {
	return e.AddOn.TokenKnown && !e.AddOn.HasToken && e.AddOn.External != "" && strings.EqualFold(address(e.Public).Hostname(), e.AddOn.External)
}

// originRefused says that nothing answers where the tunnel leads, though Core runs.
func originRefused(e evidence.Evidence) bool {
	return originError(e.Public) && absent(e.Direct) && coreRuns(e) || unasked(e) && (absent(e.Service) || e.Log.OriginOff > 0)
}

// originText is what cloudflared says when it cannot talk to its service.
func originText(l evidence.Look) bool {
	return strings.Contains(strings.ToLower(l.Body), "unable to reach the origin service")
}

// accessStands says that Cloudflare Access answered in Home Assistant's place.
func accessStands(l evidence.Look) bool {
	if to := redirect(l); to != nil {
		return strings.HasSuffix(strings.ToLower(to.Hostname()), ".cloudflareaccess.com") || strings.HasPrefix(to.Path, "/cdn-cgi/access/")
	}
	if !answers(l, 401, 403) {
		return false
	}
	for name := range l.Header {
		if strings.HasPrefix(name, "Cf-Access-") {
			return true
		}
	}
	return strings.Contains(l.HeaderValue("Www-Authenticate"), "Cloudflare-Access") || strings.Contains(l.Body, "cloudflareaccess.com")
}

// wantsClientCertificate says that mutual TLS stands in the way: by a TLS alert, by
// the words of the refusal, or by a refusal after a certificate was asked for that
// is not in Home Assistant's own words.
func wantsClientCertificate(l evidence.Look) bool {
	if l.Trouble == evidence.CertificateWanted {
		return true
	}
	if !answers(l, 400, 403) {
		return false
	}
	return says(l, certificateWords) || l.Status == 403 && l.Showed.CertificateWanted && !homeAssistants(l)
}

// redirect gives where a redirect leads, nil if the answer is none.
func redirect(l evidence.Look) *url.URL {
	if !cloudflare(l) || l.Status < 301 || l.Status > 308 || l.HeaderValue("Location") == "" {
		return nil
	}
	to, err := address(l).Parse(l.HeaderValue("Location"))
	if err != nil {
		return nil
	}
	return to
}

// toItself says whether following the redirect asks the same again. A forced
// https:// changes nothing behind a tunnel, where the visitor is on https already.
func toItself(l evidence.Look, to *url.URL) bool {
	from := address(l)
	return strings.EqualFold(to.Hostname(), from.Hostname()) && to.Path == from.Path
}
