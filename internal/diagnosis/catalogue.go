package diagnosis

import (
	"fmt"

	"tunnelmedic/internal/evidence"
)

// Cause is why Home Assistant cannot be reached, or that it can. The zero value
// is Unknown.
type Cause uint8

const (
	Unknown Cause = iota
	Healthy
	UpgradeStripped
	UpgradeMangled
	UpgradeRefused
	UpgradeSilent
	ProxyNotTrusted
	ProbeBanned
	NotCloudflare
	AccessLogin
	AccessDenied
	Challenged
	ClientCertificateRequired
	RateLimited
	Firewalled
	HostnameUnknown
	NoInternet
	TLSFailed
	RedirectLoop
	HostnameUnrouted
	ConnectorStopped
	ConnectorHung
	TunnelDown
	OriginStarting
	OriginDown
	OriginMisconfigured
	CloudflareError
	SupervisorAway
	StrippedEverywhere
	causes // how many there are
)

// Row is one cause of the catalogue: everything the program knows of it.
type Row struct {
	Cause   Cause
	ID      string
	Remedy  Remedy
	Summary string   // one sentence for the notification and the page
	Advice  []string // steps a home user can follow
	Rests   string   // what the verdict rests on
	Source  string   // where the signature was reported
	Blinds  bool     // the probe cannot see past it to the WebSocket

	match func(evidence.Evidence) bool // nil: decided by an incident's history
}

// Catalogue gives every row in the order in which they are tried.
func Catalogue() []Row { return append([]Row(nil), catalogue...) }

// String gives the cause's id, as in the log, the events and the JSON.
func (c Cause) String() string { return c.row().ID }

// Blinds says that the probe cannot see past this cause to the WebSocket.
func (c Cause) Blinds() bool { return c.row().Blinds }

// Anchor is the heading in DOCS.md that explains the cause.
func (c Cause) Anchor() string { return "cause-" + c.String() }

// MarshalText writes the cause's id.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a cause's id.
func (c *Cause) UnmarshalText(b []byte) error {
	for i := range catalogue {
		if catalogue[i].ID == string(b) {
			*c = catalogue[i].Cause
			return nil
		}
	}
	return fmt.Errorf("no cause is called %q", b)
}

func (c Cause) row() *Row {
	for i := range catalogue {
		if catalogue[i].Cause == c {
			return &catalogue[i]
		}
	}
	return &catalogue[len(catalogue)-1] // unknown stands last
}

// catalogue is the table of causes, in order of certainty: what one answer shows
// beyond doubt stands before what several looks suggest together. Signatures are
// those of FAILURES.md; sources: CFD = cloudflare/cloudflared issues, APP =
// homeassistant-apps/app-cloudflared issues, DOC = Cloudflare's documentation.
var catalogue = []Row{
	{
		Cause: Healthy, ID: "healthy", Remedy: NoRemedy,
		Summary: "Home Assistant answers through the tunnel.",
		Rests:   "the WebSocket handshake and Home Assistant's greeting came through Cloudflare",
		match:   func(e evidence.Evidence) bool { return e.Public.Healthy() && e.Public.CFRay() != "" },
	},
	{
		Cause: NotCloudflare, ID: "not-cloudflare", Remedy: Tell, Blinds: true,
		Summary: "The public name leads straight to Home Assistant from inside your house, so the way through Cloudflare cannot be watched.",
		Advice: []string{
			"Nothing is broken by this: your router or DNS server answers for the public name itself (split DNS).",
			"To have the tunnel watched, allow this machine to reach https://1.1.1.1/dns-query, or take the public name out of your own DNS server.",
		},
		Rests:  "an answer came that bears no cf-ray header; every answer of Cloudflare's edge has one",
		Source: "community guides on split DNS",
		match:  func(e evidence.Evidence) bool { return answered(e.Public) && e.Public.CFRay() == "" },
	},
	{
		Cause: AccessLogin, ID: "access-login", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare Access asks for a login, so the WebSocket behind it cannot be watched.",
		Advice: []string{
			"In Cloudflare Zero Trust, open Access → Service credentials → Service tokens, and create a service token.",
			"In the Access application of Home Assistant, add a policy with the action Service Auth that includes this token.",
			"Put its Client ID and Client Secret into this add-on's options access_client_id and access_client_secret.",
		},
		Rests:  "the probe was redirected to a cloudflareaccess.com login page",
		Source: "home-assistant/android#3205",
		match:  accessLogin,
	},
	{
		Cause: Challenged, ID: "challenged", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare's bot protection holds the probe back.",
		Advice: []string{
			"In the Cloudflare dashboard, open Security → Events and look for blocked requests to /api/websocket.",
			"Add a custom rule that skips bot protection for your Home Assistant host name, or for this home's address.",
		},
		Rests:  "HTTP 403 with the header cf-mitigated: challenge",
		Source: "home-assistant/core#127520",
		match: func(e evidence.Evidence) bool {
			return answered(e.Public) && e.Public.HeaderValue("Cf-Mitigated") == "challenge"
		},
	},
	{
		Cause: RateLimited, ID: "rate-limited", Remedy: Wait, Blinds: true,
		Summary: "Cloudflare limits how often this home may ask.",
		Advice: []string{
			"Wait: asking more often prolongs it, so probes are made seldom until it ends.",
			"If it keeps coming back, look at Security → WAF → Rate limiting rules in the Cloudflare dashboard.",
		},
		Rests:  "HTTP 429, or error 1015",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && (e.Public.Status == 429 || hasErrorCode(e.Public, 1015))
		},
	},
	{
		Cause: ClientCertificateRequired, ID: "client-certificate-required", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare asks the probe for a client certificate (mutual TLS).",
		Advice: []string{
			"Create a client certificate in the Cloudflare dashboard under SSL/TLS → Client certificates.",
			"Put its two files into the /ssl folder and name them in the options client_certificate and client_key.",
		},
		Rests:  "a TLS alert that wants a certificate, or a 403 that speaks of one",
		Source: "CFD#1066",
		match:  wantsClientCertificate,
	},
	{
		Cause: AccessDenied, ID: "access-denied", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare Access refuses the probe.",
		Advice: []string{
			"Check that access_client_id and access_client_secret belong to a service token that has not expired.",
			"The policy that includes the token must have the action Service Auth; with the action Allow it is not enough.",
		},
		Rests:  "HTTP 403 with Access headers",
		Source: "DOC",
		match:  accessDenied,
	},
	{
		Cause: Firewalled, ID: "firewalled", Remedy: Tell, Blinds: true,
		Summary: "A firewall rule at Cloudflare blocks the probe.",
		Advice: []string{
			"In the Cloudflare dashboard, open Security → Events, find the blocked request to /api/websocket, and see which rule blocked it.",
			"Let that rule except your Home Assistant host name, or this home's address.",
		},
		Rests:  "HTTP 403 with an error code of Cloudflare's firewall (1005, 1006, 1009, 1010 or 1020)",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 403 && hasErrorCode(e.Public, 1005, 1006, 1009, 1010, 1020)
		},
	},
	{
		Cause: ProbeBanned, ID: "probe-banned", Remedy: Tell, Blinds: true,
		Summary: "Home Assistant has banned the address the probe comes from.",
		Advice: []string{
			"Open ip_bans.yaml in Home Assistant's configuration folder, remove this home's address, and restart Home Assistant.",
			"If the option ha_token is set, make a new long-lived token: a refused token is a common reason for a ban.",
		},
		Rests:  "HTTP 403 with Home Assistant's own text",
		Source: "Home Assistant's http.ban",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 403 && trimmed(e.Public) == "403: Forbidden"
		},
	},
	{
		Cause: ProxyNotTrusted, ID: "proxy-not-trusted", Remedy: Tell,
		Summary: "Home Assistant does not trust the tunnel as a proxy, and refuses everything that comes through it.",
		Advice: []string{
			"Add to configuration.yaml:  http:  use_x_forwarded_for: true  and under trusted_proxies the network 172.30.33.0/24.",
			"Restart Home Assistant.",
		},
		Rests:  "HTTP 400 with Home Assistant's text for an untrusted proxy, on ordinary pages too",
		Source: "APP#745",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 400 && trimmed(e.Public) == "400: Bad Request"
		},
	},
	{
		Cause: UpgradeStripped, ID: "upgrade-stripped", Remedy: Rotate,
		Summary: "The WebSocket upgrade is lost on its way through the tunnel: pages load, but dashboards cannot connect.",
		Advice: []string{
			"Nothing to do as long as the mode is heal: another tunnel protocol is tried, and undone if it does not help.",
		},
		Rests:  "HTTP 400 `No WebSocket UPGRADE hdr` through Cloudflare, while ordinary pages and a handshake straight to Home Assistant work",
		Source: "CFD#1652",
		match: func(e evidence.Evidence) bool {
			return handshake400(e.Public, bodyNoUpgrade) && pageWorks(e) && e.Direct.Healthy()
		},
	},
	{
		Cause: UpgradeMangled, ID: "upgrade-mangled", Remedy: Rotate,
		Summary: "The WebSocket upgrade arrives at Home Assistant damaged: pages load, but dashboards cannot connect.",
		Advice: []string{
			"Nothing to do as long as the mode is heal: another tunnel protocol is tried, and undone if it does not help.",
		},
		Rests:  "HTTP 400 of Home Assistant's handshake through Cloudflare (Connection, key or version lost), while ordinary pages and a handshake straight to Home Assistant work",
		Source: "CFD#883, and seen with cloudflared itself",
		match: func(e evidence.Evidence) bool {
			return handshake400(e.Public, bodyNoConnection, bodyNoKey, bodyNoVersion) && pageWorks(e) && e.Direct.Healthy()
		},
	},
	{
		Cause: UpgradeSilent, ID: "upgrade-silent", Remedy: Rotate,
		Summary: "The WebSocket opens but nothing comes through it: pages load, but dashboards cannot connect.",
		Advice: []string{
			"Nothing to do as long as the mode is heal: another tunnel protocol is tried, and undone if it does not help.",
		},
		Rests:  "the handshake or Home Assistant's greeting never arrived through Cloudflare, while ordinary pages and a handshake straight to Home Assistant work",
		Source: "CFD#526; the partial HTTP/2 failure of March 2026",
		match: func(e evidence.Evidence) bool {
			silent := e.Public.Stage == evidence.Upgraded && e.Public.CFRay() != "" ||
				e.Public.Trouble == evidence.TimedOut && e.Public.Status == 0 && e.Public.Stage == evidence.Secured
			return silent && pageWorks(e) && e.Direct.Healthy()
		},
	},
	{
		Cause: RedirectLoop, ID: "redirect-loop", Remedy: Tell,
		Summary: "The public name redirects to itself for ever.",
		Advice: []string{
			"A forced redirect to HTTPS stands behind the tunnel. In the tunnel's ingress, let the service be https://… or switch the redirect off.",
		},
		Rests:  "a redirect of /api/websocket to itself",
		Source: "APP#574",
		match:  redirectsToItself,
	},
	{
		Cause: ConnectorStopped, ID: "connector-stopped", Remedy: Tell,
		Summary: "The Cloudflared add-on is not running.",
		Advice: []string{
			"Open Settings → Add-ons → Cloudflared and press Start.",
			"If it stops again, its Log tab says why.",
		},
		Rests:  "Supervisor's state of the add-on",
		Source: "APP#600",
		match: func(e evidence.Evidence) bool {
			gone := e.AddOn.Asked && (!e.AddOn.Installed || e.AddOn.State == evidence.StateStopped || e.AddOn.State == evidence.StateError)
			return gone && !e.Connector.Up() && !e.Public.Healthy()
		},
	},
	{
		Cause: NoInternet, ID: "no-internet", Remedy: Wait,
		Summary: "Your home has no internet connection.",
		Advice:  []string{"Check the router. The tunnel connects by itself when the internet is back."},
		Rests:   "no route to the public name, or Supervisor's own check of the internet",
		match: func(e evidence.Evidence) bool {
			return !answered(e.Public) && asked(e.Public) && (e.Internet == evidence.InternetDown || e.Public.Trouble == evidence.Unreachable)
		},
	},
	{
		Cause: HostnameUnknown, ID: "hostname-unknown", Remedy: Tell,
		Summary: "The public name does not exist in the DNS.",
		Advice: []string{
			"Check the option public_url, and in the Cloudflare dashboard under DNS that a record for this name points to your tunnel.",
		},
		Rests:  "the resolver's answer that there is no such name, or Cloudflare's error 1000, 1001, 1002 or 1016",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.NameNotFound || cloudflare(e.Public) && hasErrorCode(e.Public, 1000, 1001, 1002, 1016)
		},
	},
	{
		Cause: TLSFailed, ID: "tls-failed", Remedy: Tell,
		Summary: "No secure connection to the public name can be made.",
		Advice: []string{
			"Check that the name is covered by your Cloudflare certificate: a name with two dots before the domain (a.b.example.com) is not covered by the free one.",
			"If a firewall or virus scanner inspects HTTPS in your network, except this name.",
		},
		Rests:  "the TLS handshake failed",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.BadCertificate || e.Public.Trouble == evidence.TLSFailed
		},
	},
	{
		Cause: ConnectorHung, ID: "connector-hung", Remedy: Restart,
		Summary: "cloudflared believes it is connected, but Cloudflare does not see it.",
		Advice:  []string{"Usually it connects anew by itself within a minute."},
		Rests:   "error 1033 from Cloudflare although the connector says that it is ready",
		Source:  "CFD#306",
		match:   func(e evidence.Evidence) bool { return noConnector(e.Public) && e.Connector.Up() },
	},
	{
		Cause: TunnelDown, ID: "tunnel-down", Remedy: Wait,
		Summary: "The tunnel has no connection to Cloudflare.",
		Advice:  []string{"Usually it comes back by itself within a minute. If not, the Log tab of the Cloudflared add-on says why."},
		Rests:   "error 1033 from Cloudflare, or a connector that says that it is not ready",
		Source:  "DOC 1033",
		match: func(e evidence.Evidence) bool {
			return noConnector(e.Public) || e.Connector.Asked && !e.Connector.Up() && !e.Public.Healthy() && serverError(e.Public)
		},
	},
	{
		Cause: OriginStarting, ID: "origin-starting", Remedy: Wait,
		Summary: "Home Assistant is starting.",
		Rests:   "an error from the tunnel, no answer from Home Assistant itself, and Core in its start",
		match: func(e evidence.Evidence) bool {
			return serverError(e.Public) && !reached(e.Direct) && e.Core.Asked && e.Core.Status == 200 && e.Core.State != "" && e.Core.State != "RUNNING"
		},
	},
	{
		Cause: OriginDown, ID: "origin-down", Remedy: Wait,
		Summary: "Home Assistant itself does not answer.",
		Advice: []string{
			"If it was just restarted or updated, wait a few minutes.",
			"If it stays like this, open Home Assistant by its local address and look at Settings → System → Logs.",
		},
		Rests:  "an error from the tunnel, and no answer from Home Assistant itself",
		Source: "APP#671",
		match:  func(e evidence.Evidence) bool { return serverError(e.Public) && e.Direct.Done() && !reached(e.Direct) },
	},
	{
		Cause: OriginMisconfigured, ID: "origin-misconfigured", Remedy: Tell,
		Summary: "The tunnel asks Home Assistant in a way it does not answer (http or https).",
		Advice: []string{
			"Check that the service in the tunnel's configuration begins with https:// exactly when Home Assistant has its own certificate, and with http:// otherwise.",
		},
		Rests:  "HTTP 502 for every page, while Home Assistant answers directly",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Status == 502 && cloudflare(e.Public) && e.Page.Status == 502 && reached(e.Direct) && originText(e.Public)
		},
	},
	{
		Cause: UpgradeRefused, ID: "upgrade-refused", Remedy: Rotate,
		Summary: "The tunnel refuses the WebSocket: pages load, but dashboards cannot connect.",
		Advice: []string{
			"Nothing to do as long as the mode is heal: another tunnel protocol is tried, and undone if it does not help.",
		},
		Rests:  "HTTP 502 for the WebSocket, while ordinary pages and a handshake straight to Home Assistant work",
		Source: "CFD#1208, CFD#560",
		match: func(e evidence.Evidence) bool {
			return e.Public.Status == 502 && cloudflare(e.Public) && pageWorks(e) && e.Direct.Healthy()
		},
	},
	{
		Cause: CloudflareError, ID: "cloudflare-error", Remedy: Wait,
		Summary: "Cloudflare itself answers with an error.",
		Advice:  []string{"See www.cloudflarestatus.com. Nothing in your home can mend it."},
		Rests:   "a server error with Cloudflare's mark for every page, while Home Assistant answers directly",
		Source:  "DOC",
		match: func(e evidence.Evidence) bool {
			return serverError(e.Public) && serverError(e.Page) && e.Direct.Healthy()
		},
	},
	{
		Cause: HostnameUnrouted, ID: "hostname-unrouted", Remedy: Tell,
		Summary: "The tunnel does not know this host name.",
		Advice:  []string{"Check external_hostname (or the public hostnames of a remotely managed tunnel) against the option public_url."},
		Rests:   "HTTP 404 for every page, from the tunnel's catch-all",
		Source:  "APP#437",
		match: func(e evidence.Evidence) bool {
			return e.Public.Status == 404 && e.Page.Status == 404 && cloudflare(e.Public) && e.Direct.Healthy()
		},
	},
	{
		Cause: SupervisorAway, ID: "supervisor-away", Remedy: Wait, Blinds: true,
		Summary: "Home Assistant's Supervisor does not answer just now.",
		Advice:  []string{"Usually it is updating itself and is back within minutes. Nothing is decided until then."},
		Rests:   "no answer from the Supervisor API",
		match:   func(e evidence.Evidence) bool { return e.SupervisorAway != "" },
	},
	{
		Cause: StrippedEverywhere, ID: "stripped-everywhere", Remedy: Wait,
		Summary: "The WebSocket upgrade is lost under every tunnel protocol, so the cause lies upstream. Your own setting is back.",
		Advice: []string{
			"Wait: such incidents have ended by themselves within hours.",
			"At home, use the local address of Home Assistant meanwhile.",
		},
		Rests:  "every allowed protocol was tried in this incident, and each failed",
		Source: "CFD#1652, update",
	},
	{
		Cause: Unknown, ID: "unknown", Remedy: Tell,
		Summary: "Home Assistant cannot be reached through the tunnel, and what was seen fits no known cause.",
		Advice:  []string{"Open the add-on's page: everything seen is listed there. It may help the people you ask."},
		Rests:   "nothing that would bear a verdict",
	},
}
