package diagnosis

import (
	"fmt"
	"slices"
	"strings"

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
	WebSocketsDisabled
	ClientsFailProbeFine
	TunnelFlapping
	QUICBlocked
	TunnelBlocked
	ConnectorMissing
	ConnectorRejected
	TunnelMisrouted
	OtherConnector
	ProxyBetween
	OriginSilent
	ClientCertificateRefused
	NotProxied
	ResolverFailed
	EdgeUnreachable
	Redirected
	NotHomeAssistant
	SignInUnanswered
	ForwardedHeader
	PageStale
	ClientsCloseDuringSignIn
	WaitingForLogin
	StartRefused
	OriginMoved
	OriginRefused
	RecordNotTunnel
	EdgeUnroutable
	ProxyRefuses
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

	match func(evidence.Evidence) bool // nil: decided by more than one moment's evidence
	// fit puts what the evidence knows into the words, and chooses among remedies; nil:
	// the row says it all.
	fit func(evidence.Evidence, *Diagnosis)
}

// Catalogue gives every row in the order in which they are tried.
func Catalogue() []Row { return append([]Row(nil), catalogue...) }

// String gives the cause's id, as in the log, the events and the JSON.
func (c Cause) String() string { return c.row().ID }

// Blinds says that the probe cannot see past this cause to the WebSocket.
func (c Cause) Blinds() bool { return c.row().Blinds }

// Restarts says that a start anew under the same protocol may end this cause.
func (c Cause) Restarts() bool {
	r := c.row().Remedy
	return r == Restart || r == Start || c == TunnelDown
}

// Anchor is the link target in DOCS.md that explains the cause.
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

// tunnelHeals is the advice where the program itself has a remedy.
const tunnelHeals = "As long as the mode is heal, you don't need to do anything: another tunnel protocol is tried, and undone if it does not help."

// catalogue is the table of causes, in order of certainty: what one answer shows
// beyond doubt stands before what several looks suggest together. docs/CAUSES.md is
// written from it. Sources: CFD = cloudflare/cloudflared issues, APP =
// homeassistant-apps/app-cloudflared issues, DOC = Cloudflare's documentation.
var catalogue = []Row{
	{
		Cause: Healthy, ID: "healthy", Remedy: NoRemedy,
		Summary: "Home Assistant answers through the tunnel.",
		Rests:   "the WebSocket handshake and Home Assistant's greeting came through Cloudflare",
		match:   func(e evidence.Evidence) bool { return e.Public.Healthy() && e.Public.CFRay() != "" },
		fit:     healthyBut,
	},
	{
		Cause: SignInUnanswered, ID: "sign-in-unanswered", Remedy: Wait,
		Summary: "Home Assistant greets through the tunnel but does not answer the sign-in.",
		Advice: []string{
			"The way there is open. If it stays like this, Home Assistant may be overloaded: look at Settings → System → Logs.",
			"To leave the sign-in out of the checks, empty \"Home Assistant token\" in Tunnel Medic's configuration.",
		},
		Rests:  "Home Assistant's greeting came through Cloudflare; nothing usable came after the token was sent",
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			return e.Public.Stage >= evidence.Greeted && e.Public.Trouble != evidence.NoTrouble && e.Public.CFRay() != ""
		},
	},
	{
		Cause: NotProxied, ID: "not-proxied", Remedy: Tell, Blinds: true,
		Summary: "The public name does not lead through Cloudflare, not even from outside your house.",
		Advice: []string{
			"In the Cloudflare dashboard under DNS, look at the record of this name: it must point to the tunnel and be proxied (orange cloud).",
			"If another DNS provider serves your domain, or \"Public address\" in Tunnel Medic's configuration is wrong, put that right.",
		},
		Rests:  "an answer without a cf-ray header from the address that the world's resolvers give; every answer of Cloudflare's edge has one",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return answered(e.Public) && e.Public.CFRay() == "" && e.Public.Outside
		},
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
		Cause: Challenged, ID: "challenged", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare's bot protection blocks the checks.",
		Advice: []string{
			"In the Cloudflare dashboard, open Security → Events and look for blocked requests to /api/websocket.",
			"Add a custom rule that skips bot protection for your Home Assistant host name, or for this home's address.",
		},
		Rests:  "HTTP 403 with the header cf-mitigated: challenge",
		Source: "home-assistant/core#127520",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && strings.EqualFold(e.Public.HeaderValue("Cf-Mitigated"), "challenge")
		},
	},
	{
		Cause: RateLimited, ID: "rate-limited", Remedy: Wait, Blinds: true,
		Summary: "Cloudflare limits how often this home may ask.",
		Advice: []string{
			"Wait: asking more often prolongs it, so checks are made seldom until it ends.",
			"If it keeps coming back, look at Security → WAF → Rate limiting rules in the Cloudflare dashboard.",
		},
		Rests:  "HTTP 429, or error 1015",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && (e.Public.Status == 429 || named(e.Public, rateCodes))
		},
	},
	{
		Cause: RecordNotTunnel, ID: "record-not-tunnel", Remedy: Tell,
		Summary: "The DNS record of the public name does not lead to your tunnel.",
		Advice: []string{
			"In the Cloudflare dashboard under DNS, look at the record of this name: it must be a CNAME to your tunnel (….cfargotunnel.com), not an address.",
			"Delete a record that leads elsewhere, and restart the Cloudflared app: it writes the record again. With a tunnel token, add the public hostname to the tunnel again.",
			"Error 1014 means that the tunnel and the domain are in two different Cloudflare accounts: create the tunnel in the account of the domain.",
		},
		Rests:  "HTTP 521, 522, 523, 525 or 526, which Cloudflare gives only where a record leads to an address, or its error 1000 or 1014",
		Source: "DOC; APP#129, APP#342",
		match:  record,
	},
	{
		Cause: AccessDenied, ID: "access-denied", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare Access refuses the service token of the checks.",
		Advice: []string{
			"Check that \"Access service token, client ID\" and \"client secret\" in Tunnel Medic's configuration belong to a service token that has not expired.",
			"The policy that includes the token must have the action Service Auth; with the action Allow it is not enough.",
		},
		Rests:  "Access answered (its headers, or its login page) although a service token was sent",
		Source: "DOC",
		match:  func(e evidence.Evidence) bool { return accessStands(e.Public) && e.Public.Showed.ServiceToken },
	},
	{
		Cause: AccessLogin, ID: "access-login", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare Access asks for a login, so the WebSocket behind it cannot be watched.",
		Advice: []string{
			"In Cloudflare Zero Trust, open Access controls → Service credentials → Service Tokens, and create a service token.",
			"In the Access application of Home Assistant, add a policy with the action Service Auth that includes this token.",
			"Enter its Client ID and Client Secret under \"Access service token\" in Tunnel Medic's configuration.",
		},
		Rests:  "the check, which showed no service token, was sent to a cloudflareaccess.com login page or refused by Access",
		Source: "home-assistant/android#3205",
		match:  func(e evidence.Evidence) bool { return accessStands(e.Public) },
	},
	{
		Cause: ClientCertificateRefused, ID: "client-certificate-refused", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare does not accept the client certificate of the checks (mutual TLS).",
		Advice: []string{
			"Check that the certificate has not expired or been revoked: SSL/TLS → Client Certificates in the Cloudflare dashboard.",
			"Check that it was issued by the authority which the mutual TLS rule of this host name names.",
			"If it is good, Security → Events shows which rule blocks the request to /api/websocket.",
		},
		Rests:  "a client certificate was asked for and given, and then refused by a TLS alert or HTTP 403",
		Source: "DOC; CFD#1066",
		match: func(e evidence.Evidence) bool {
			return wantsClientCertificate(e.Public) && e.Public.Showed.Certificate
		},
	},
	{
		Cause: ClientCertificateRequired, ID: "client-certificate-required", Remedy: Tell, Blinds: true,
		Summary: "Cloudflare asks the checks for a client certificate (mutual TLS), and they have none to show.",
		Advice: []string{
			"Create a client certificate in the Cloudflare dashboard under SSL/TLS → Client Certificates.",
			"Put its two files into the /ssl folder, and name them under \"Client certificate\" and \"Key of the client certificate\" in Tunnel Medic's configuration.",
		},
		Rests:  "a TLS alert that wants a certificate, or a refusal (HTTP 403 or 400) after one was asked for and not given",
		Source: "CFD#1066",
		match:  func(e evidence.Evidence) bool { return wantsClientCertificate(e.Public) },
	},
	{
		Cause: ProbeBanned, ID: "probe-banned", Remedy: Tell, Blinds: true,
		Summary: "Home Assistant has banned the address that the checks come from.",
		Advice: []string{
			"Open ip_bans.yaml in Home Assistant's configuration folder, remove this home's address, and restart Home Assistant.",
			"If \"Home Assistant token\" is set in Tunnel Medic's configuration, make a new long-lived token: a refused token is a common reason for a ban.",
		},
		Rests:  "HTTP 403 with Home Assistant's own text",
		Source: "Home Assistant's http.ban",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 403 && trimmed(e.Public) == "403: Forbidden"
		},
	},
	{
		Cause: Firewalled, ID: "firewalled", Remedy: Tell, Blinds: true,
		Summary: "A firewall rule at Cloudflare blocks the checks.",
		Advice: []string{
			"In the Cloudflare dashboard, open Security → Events, find the blocked request to /api/websocket, and see which rule blocked it.",
			"Exempt your Home Assistant host name, or this home's address, from that rule.",
		},
		Rests:  "an error code of Cloudflare's firewall (1005, 1006, 1009, 1010 or 1020), its page for blocked visitors, or HTTP 403 that never reached the tunnel",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return blockPage(e.Public) || cloudflare(e.Public) && e.Public.Status == 403 && (named(e.Public, firewallCodes) || neverCarried(e) && !otherServer(e.Public))
		},
	},
	{
		Cause: ForwardedHeader, ID: "forwarded-header", Remedy: Tell,
		Summary: "Home Assistant refuses everything that comes through the tunnel, because of a header that says where it comes from.",
		Advice: []string{
			"Look for whatever sets or changes the headers X-Forwarded-For, X-Forwarded-Proto or X-Forwarded-Host: a proxy between the tunnel and Home Assistant, or a rule in the Cloudflare dashboard under Rules → Transform Rules.",
			"Let it leave these headers as cloudflared sends them. Settings → System → Logs shows each refused request.",
		},
		Rests:  "HTTP 400 for ordinary pages too, and Home Assistant's own log, which names the header",
		Source: "homeassistant/components/http/forwarded.py",
		match:  func(e evidence.Evidence) bool { return untrusted(e) && e.CoreLog.Forwarded.AboutHeader() },
		fit:    forwardedAs,
	},
	{
		Cause: ProxyNotTrusted, ID: "proxy-not-trusted", Remedy: Tell,
		Summary: "Home Assistant does not trust the tunnel as a proxy, and refuses everything that comes through it.",
		Advice: []string{
			"Open Settings → System → Network → HTTP server, switch on the use of X-Forwarded-For, and add 172.30.33.0/24 to the trusted proxies. If that network stands there with another ending, such as /32, correct it.",
			"Before Home Assistant 2026.8, add to configuration.yaml instead:  http:  use_x_forwarded_for: true  and under trusted_proxies the network 172.30.33.0/24. Then restart Home Assistant.",
		},
		Rests:  "HTTP 400 for ordinary pages too, with Home Assistant's text for an untrusted proxy or while it answers directly",
		Source: "APP#745",
		match:  untrusted,
		fit:    trustedWhere,
	},
	{
		Cause: RedirectLoop, ID: "redirect-loop", Remedy: Tell,
		Summary: "The public name redirects to itself for ever.",
		Advice: []string{
			"A forced redirect to HTTPS stands behind the tunnel. In the tunnel's ingress, let the service be https://… or switch the redirect off.",
		},
		Rests:  "a redirect of /api/websocket to itself",
		Source: "APP#574",
		match:  func(e evidence.Evidence) bool { to := redirect(e.Public); return to != nil && toItself(e.Public, to) },
	},
	{
		Cause: Redirected, ID: "redirected", Remedy: Tell,
		Summary: "The public name sends its visitors on to another address.",
		Advice: []string{
			"If Home Assistant is at that other address, enter it as \"Public address\" in Tunnel Medic's configuration.",
			"If not, look for a redirect rule in the Cloudflare dashboard under Rules, or in the proxy behind the tunnel.",
		},
		Rests:  "a redirect of /api/websocket to another place",
		Source: "DOC",
		match:  func(e evidence.Evidence) bool { return redirect(e.Public) != nil },
	},
	{
		Cause: WebSocketsDisabled, ID: "websockets-disabled", Remedy: Tell,
		Summary: "Either WebSockets are switched off for your domain at Cloudflare, which is very likely, or there is an incident at Cloudflare.",
		Advice: []string{
			"In the Cloudflare dashboard, open your domain, then Network, and switch WebSockets on.",
			"If they are on, see www.cloudflarestatus.com.",
		},
		Rests:  "every allowed protocol was tried and failed, and no WebSocket was ever seen to pass; with a Cloudflare API token, Cloudflare's own word on the setting",
		Source: "APP#820, APP#93",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Zone.WebSockets == evidence.Off && (handshakeRefused(e) || upgradeHung(e))
		},
		fit: disabledPerhaps,
	},
	{
		Cause: OtherConnector, ID: "other-connector", Remedy: Tell, Blinds: true,
		Summary: "Another cloudflared than the one in this house answers for the public name.",
		Advice: []string{
			"In Cloudflare Zero Trust under Networks → Tunnels, open the tunnel and look at its connectors: one of them runs elsewhere.",
			"Stop that one, or give it a tunnel of its own. Until then some visitors reach it instead of this house.",
		},
		Rests:  "an answer from behind the tunnel, while this house's connector carried nothing or has no connection",
		Source: "CFD#698",
		match:  func(e evidence.Evidence) bool { return fromBehind(e.Public) && !ours(e) },
	},
	{
		Cause: WaitingForLogin, ID: "waiting-for-login", Remedy: Tell,
		Summary: "The Cloudflared app waits for you to log in at Cloudflare.",
		Advice: []string{
			"Open Settings → Apps → Cloudflared, and there the Log tab. Open the link that it shows, log in, and choose your domain.",
			"Do not restart the app meanwhile: each start makes a new link, and the old one is void.",
		},
		Rests:  "the app runs, cloudflared in it does not yet, and the app's log asks to open a link and log in",
		Source: "APP#925, APP#896, APP#590, APP#472",
		match:  waitsForLogin,
	},
	{
		Cause: ProxyBetween, ID: "proxy-between", Remedy: Tell,
		Summary: "A reverse proxy between the tunnel and Home Assistant does not pass WebSockets on.",
		Advice: []string{
			"In that proxy, switch on WebSocket support for Home Assistant (Nginx Proxy Manager: the switch Websockets Support of the proxy host).",
			"Or let the tunnel's service be Home Assistant itself.",
		},
		Rests:  "the handshake fails through the tunnel and at the tunnel's own service, which is not Home Assistant, while one straight to Home Assistant works",
		Source: "inferred",
		match: func(e evidence.Evidence) bool {
			return (handshakeRefused(e) || upgradeHung(e) || cloudflare(e.Public) && e.Public.Status == 502) &&
				pageWorks(e) && e.Direct.Healthy() && proxyBlamed(e)
		},
		fit: pastTheProxy,
	},
	{
		Cause: UpgradeStripped, ID: "upgrade-stripped", Remedy: Rotate,
		Summary: "The WebSocket upgrade is lost on its way through the tunnel: pages load, but dashboards cannot connect.",
		Advice:  []string{tunnelHeals},
		Rests:   "HTTP 400 for the handshake through Cloudflare, from Home Assistant by its text or by the connector's count, while ordinary pages and a handshake straight to Home Assistant work",
		Source:  "CFD#1652",
		match: func(e evidence.Evidence) bool {
			return (handshake400(e.Public, bodyNoUpgrade) || hidden400(e)) && tunnelAlone(e)
		},
	},
	{
		Cause: UpgradeMangled, ID: "upgrade-mangled", Remedy: Rotate,
		Summary: "The WebSocket upgrade arrives at Home Assistant damaged: pages load, but dashboards cannot connect.",
		Advice:  []string{tunnelHeals},
		Rests:   "HTTP 400 of Home Assistant's handshake through Cloudflare (Connection, key or version lost), while ordinary pages and a handshake straight to Home Assistant work",
		Source:  "CFD#883, and seen with cloudflared itself",
		match: func(e evidence.Evidence) bool {
			return handshake400(e.Public, bodyNoConnection, bodyNoKey, bodyNoVersion) && tunnelAlone(e)
		},
	},
	{
		Cause: UpgradeRefused, ID: "upgrade-refused", Remedy: Rotate,
		Summary: "The tunnel refuses the WebSocket: pages load, but dashboards cannot connect.",
		Advice:  []string{tunnelHeals},
		Rests:   "HTTP 502 of cloudflared itself for the WebSocket, by its text or by the connector's count, while ordinary pages and a handshake straight to Home Assistant work",
		Source:  "CFD#1208, CFD#560",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 502 && connectorsOwn502(e) && tunnelAlone(e)
		},
	},
	{
		Cause: UpgradeSilent, ID: "upgrade-silent", Remedy: Rotate,
		Summary: "The WebSocket opens but nothing comes through it: pages load, but dashboards cannot connect.",
		Advice:  []string{tunnelHeals},
		Rests:   "the handshake or Home Assistant's greeting never arrived through Cloudflare, while ordinary pages and a handshake straight to Home Assistant work",
		Source:  "CFD#526; the partial HTTP/2 failure of March 2026",
		match:   func(e evidence.Evidence) bool { return upgradeHung(e) && tunnelAlone(e) },
	},
	{
		Cause: ConnectorMissing, ID: "connector-missing", Remedy: Tell,
		Summary: "The Cloudflared app is not installed.",
		Advice: []string{
			"Install it from Settings → Apps → App store and start it; it is detected automatically.",
			"If it is installed under another slug, enter that as \"Cloudflared app\" in Tunnel Medic's configuration.",
		},
		Rests:  "Supervisor's list of apps",
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			return e.AddOn.Asked && !e.AddOn.Installed && !e.Connector.Up()
		},
	},
	{
		Cause: StartRefused, ID: "start-refused", Remedy: Tell,
		Summary: "The Cloudflared app ended at its own start.",
		Advice:  []string{"Open Settings → Apps → Cloudflared: the last lines of the Log tab say why. Put that right, and press Start."},
		Rests:   "Supervisor's state of the app, and an error of its start script in the app's log",
		Source:  "APP#450, APP#517, APP#257, APP#510, APP#622",
		match:   startRefused,
		fit:     startRefusedBy,
	},
	{
		Cause: ConnectorStopped, ID: "connector-stopped", Remedy: Tell,
		Summary: "The Cloudflared app is not running.",
		Advice: []string{
			"Open Settings → Apps → Cloudflared and press Start.",
			"If it stops again, its Log tab says why.",
		},
		Rests:  "Supervisor's state of the app",
		Source: "APP#600",
		match: func(e evidence.Evidence) bool {
			gone := e.AddOn.Asked && (e.AddOn.State == evidence.StateStopped || e.AddOn.State == evidence.StateError)
			return gone && !e.Connector.Up()
		},
		fit: startedOnce,
	},
	{
		Cause: NoInternet, ID: "no-internet", Remedy: Wait,
		Summary: "Your home has no internet connection.",
		Advice:  []string{"Check the router. The tunnel connects on its own when the internet is back."},
		Rests:   "no answer to the check, and no route to the public name or Supervisor's own check of the internet",
		Source:  "Supervisor",
		match: func(e evidence.Evidence) bool {
			return unanswered(e.Public) && (e.Internet == evidence.InternetDown || e.Public.Trouble == evidence.Unreachable && e.Internet != evidence.InternetUp && !e.Connector.Up())
		},
	},
	{
		Cause: ResolverFailed, ID: "resolver-failed", Remedy: Tell,
		Summary: "Your home's DNS server does not give the address of the public name.",
		Advice: []string{
			"Visitors from outside do not depend on it, but the tunnel itself may: look at the DNS servers under Settings → System → Network.",
			"If an ad blocker or a DNS server of your own stands in between, exempt the public name and argotunnel.com.",
		},
		Rests:  "the house's resolver gave no answer, or says that there is no such name while the world's resolvers know it",
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.ResolverFailed && !e.Public.Outside || resolverSilent(e.Public) ||
				e.Public.Trouble == evidence.NameNotFound && e.Names.World.Found()
		},
	},
	{
		Cause: HostnameUnknown, ID: "hostname-unknown", Remedy: Tell,
		Summary: "The public name does not exist in the DNS, or points to nothing.",
		Advice: []string{
			"Check \"Public address\" in Tunnel Medic's configuration, and in the Cloudflare dashboard under DNS that a record of this name points to your tunnel.",
		},
		Rests:  "the resolver's answer that there is no such name, or Cloudflare's error 1001, 1002 or 1016",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.NameNotFound || named(e.Public, unknownCodes)
		},
	},
	{
		Cause: TLSFailed, ID: "tls-failed", Remedy: Tell,
		Summary: "No secure connection to the public name can be made.",
		Advice: []string{
			"Check that the name is covered by your Cloudflare certificate: a name with two dots before the domain (a.b.example.com) is not covered by the free one.",
			"If a firewall or virus scanner inspects HTTPS in your network, exempt this name.",
			"Check the date and time of this machine: with a wrong clock every certificate looks expired.",
		},
		Rests:  "the TLS handshake failed; the certificate's names, issuer and end are among what was seen",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.BadCertificate || e.Public.Trouble == evidence.TLSFailed
		},
	},
	{
		Cause: ConnectorRejected, ID: "connector-rejected", Remedy: Tell,
		Summary: "Cloudflare does not accept this tunnel: its token or secret is wrong, or the tunnel was deleted.",
		Advice: []string{
			"In Cloudflare Zero Trust under Networks → Tunnels, see whether the tunnel still exists.",
			"If the Cloudflared app has a tunnel token (Settings → Apps → Cloudflared → Configuration), copy the token again from there. If it has none, create the tunnel again as the app's documentation says.",
		},
		Rests:  "the connector has no connection, and its log holds Cloudflare's refusal",
		Source: "CFD#426, APP#323",
		match:  func(e evidence.Evidence) bool { return noConnector(e.Public) && without(e) && e.Log.Rejected > 0 },
	},
	{
		Cause: EdgeUnroutable, ID: "edge-unroutable", Remedy: Tell,
		Summary: "This machine has no route to Cloudflare's addresses that cloudflared was given.",
		Advice: []string{
			"If your network has no IPv6, add --edge-ip-version=4 to the run parameters of the Cloudflared app (Settings → Apps → Cloudflared → Configuration), and restart it.",
			"If they hold --edge-ip-version or --edge-bind-address already, remove it.",
		},
		Rests:  "the connector has no connection, its log says that the network is unreachable, and of no other trouble, and the internet works",
		Source: "CFD#842",
		match:  unroutable,
	},
	{
		Cause: QUICBlocked, ID: "quic-blocked", Remedy: Rotate,
		Summary: "Your network does not let the tunnel's protocol QUIC (UDP) through.",
		Advice: []string{
			tunnelHeals,
			"To have it for good, let the network pass UDP to port 7844 without inspecting it, or set the protocol http2.",
		},
		Rests:  "the connector has no connection, its log holds failed QUIC dialling and no other trouble, and the internet works",
		Source: "APP#631, CFD#1736",
		match:  quicBlocked,
	},
	{
		Cause: TunnelBlocked, ID: "tunnel-blocked", Remedy: Tell,
		Summary: "Your network does not let the tunnel connect to Cloudflare.",
		Advice: []string{
			"Let your router or firewall pass TCP and UDP from this machine to port 7844.",
			"If the protocol http2 is set for the Cloudflared app, try auto.",
		},
		Rests:  "the connector has no connection, its log holds failed dialling over HTTP/2, and the internet works",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return noConnector(e.Public) && without(e) && e.Log.HTTP2Failed >= 2 && e.Internet != evidence.InternetDown
		},
	},
	{
		Cause: TunnelFlapping, ID: "tunnel-flapping", Remedy: Rotate,
		Summary: "The tunnel's connections break again and again.",
		Advice:  []string{tunnelHeals},
		Rests:   "the log holds connections that broke again and again while the internet worked, and the check just now failed with them",
		Source:  "APP#464, APP#581, APP#872, APP#885",
		match:   flapping,
		fit:     flapsOver,
	},
	{
		Cause: ConnectorHung, ID: "connector-hung", Remedy: Restart,
		Summary: "cloudflared hangs: it believes it is connected, or does not try to connect, and Cloudflare does not see it.",
		Advice:  []string{"As long as the mode is heal, you don't need to do anything. Otherwise restart the Cloudflared app: Settings → Apps → Cloudflared."},
		Rests:   "error 1033 from Cloudflare although the connector says that it is ready and did carry checks in this run, or a connector that stays without connection for minutes, and silent, while the internet works",
		Source:  "CFD#306",
		match:   hung,
	},
	{
		Cause: TunnelMisrouted, ID: "tunnel-misrouted", Remedy: Tell,
		Summary: "The public name leads to another tunnel than the one in this house.",
		Advice: []string{
			"In the Cloudflare dashboard under DNS, see which tunnel the record of this name points to (….cfargotunnel.com).",
			"Let it point to the tunnel of this house; the Cloudflared app writes the record again at its next start if the old one is deleted.",
		},
		Rests:  "error 1033 from Cloudflare although the connector is connected, and the check never reached it",
		Source: "DOC",
		match:  misrouted,
	},
	{
		Cause: TunnelDown, ID: "tunnel-down", Remedy: Wait,
		Summary: "The tunnel has no connection to Cloudflare.",
		Advice:  []string{"Usually it comes back on its own within a minute. If not, the Log tab of the Cloudflared app says why."},
		Rests:   "HTTP 530 (error 1033) from Cloudflare, and a connector that is not ready, or only just",
		Source:  "DOC 1033",
		match: func(e evidence.Evidence) bool {
			return noConnector(e.Public) && !pageWorks(e) && (!e.Connector.Up() || e.Connector.ObservedUp > 0 && e.Connector.ObservedUp < justUp)
		},
	},
	{
		Cause: OriginStarting, ID: "origin-starting", Remedy: Wait,
		Summary: "Home Assistant is starting.",
		Advice:  []string{"Wait a few minutes. After an update it can take longer."},
		Rests:   "an error from the tunnel, no answer from Home Assistant itself, and Core in its start",
		Source:  "Supervisor",
		match: func(e evidence.Evidence) bool {
			starting := e.Core.Asked && (e.Core.Status == 200 && e.Core.State != "" && e.Core.State != "RUNNING" || e.Core.Status != 200 && e.Core.Runs == evidence.On)
			return originError(e.Public) && absent(e.Direct) && starting
		},
	},
	{
		Cause: OriginDown, ID: "origin-down", Remedy: Wait,
		Summary: "Home Assistant itself does not answer.",
		Advice: []string{
			"If it was just restarted or updated, wait a few minutes.",
			"If it stays like this, open Home Assistant by its local address and look at Settings → System → Logs.",
		},
		Rests:  "an error from the tunnel, and no answer from Home Assistant itself; from outside the house, cloudflared's own word that it gets none",
		Source: "APP#671",
		match: func(e evidence.Evidence) bool {
			// Core's own word that it runs would contradict it.
			return originError(e.Public) && (absent(e.Direct) || fromAfar(e) && originText(e.Public)) && !(e.Core.Asked && e.Core.Status == 200)
		},
	},
	{
		Cause: OriginMoved, ID: "origin-moved", Remedy: Tell,
		Summary: "Home Assistant listens at another port, or with another scheme, than the tunnel asks for.",
		Advice: []string{
			"In Cloudflare Zero Trust under Networks → Tunnels, let the public hostname's service be the address where Home Assistant listens now.",
		},
		Rests:  "HTTP 502 of cloudflared itself for every page, and Core's own port or SSL, which differ from the tunnel's service",
		Source: "APP#1048, APP#1056, APP#1060",
		match:  originMoved,
		fit:    originMovedTo,
	},
	{
		Cause: OriginRefused, ID: "origin-refused", Remedy: Tell,
		Summary: "Home Assistant runs, but nothing answers at the address where the tunnel leads.",
		Advice: []string{
			"Compare the tunnel's service with the address where Home Assistant listens: Settings → System → Network → HTTP server.",
			"If the tunnel leads to a proxy, see whether that runs.",
		},
		Rests:  "an error from the tunnel, a refused or unanswered connection at the address where it leads, and Core's own word that it runs",
		Source: "own finding",
		match:  originRefused,
		fit:    originRefusedAt,
	},
	{
		Cause: OriginSilent, ID: "origin-silent", Remedy: Wait,
		Summary: "Home Assistant accepts connections but says nothing: it hangs, or is overloaded.",
		Advice: []string{
			"Wait a few minutes. If it stays like this, restart Home Assistant.",
			"Settings → System → Logs may name an integration that blocks it.",
		},
		Rests:  "neither through Cloudflare nor directly does Home Assistant's greeting come, though the connection stands",
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			mute := e.Direct.Done() && e.Direct.Stage >= evidence.Connected && !e.Direct.Healthy() && (e.Direct.Trouble == evidence.TimedOut || e.Direct.Trouble == evidence.Cut)
			return mute && !e.Public.Healthy() && (e.Public.Stage == evidence.Upgraded || e.Public.Trouble == evidence.TimedOut || originError(e.Public))
		},
	},
	{
		Cause: ProxyRefuses, ID: "proxy-refuses", Remedy: Tell,
		Summary: "Another web server than Home Assistant answers behind the tunnel, and refuses.",
		Advice: []string{
			"The tunnel leads to a proxy or to another app. Look there for the host name of Home Assistant, and at its log.",
			"Or let the tunnel's service be Home Assistant itself.",
		},
		Rests:  "a refusal that came through this house's connector, and that Home Assistant never gives",
		Source: "APP#759",
		match:  proxyRefuses,
		fit:    proxyRefusesAt,
	},
	{
		Cause: OriginMisconfigured, ID: "origin-misconfigured", Remedy: Tell,
		Summary: "The tunnel asks for Home Assistant in a way or at a place where it does not answer.",
		Advice: []string{
			"Check that the service in the tunnel's configuration begins with https:// exactly when Home Assistant has its own certificate, and with http:// otherwise.",
			"Compare its host and port with the address where Home Assistant listens: Settings → System → Network → HTTP server.",
		},
		Rests:  "HTTP 502 of cloudflared itself for every page, by its text or by the connector's count, while Home Assistant answers directly",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 502 && e.Page.Status == 502 && e.Direct.Healthy() && connectorsOwn502(e) && ours(e)
		},
		fit: askedAt,
	},
	{
		Cause: CloudflareError, ID: "cloudflare-error", Remedy: Wait,
		Summary: "Cloudflare itself answers with an error.",
		Advice:  []string{"See www.cloudflarestatus.com. Nothing in your home can mend it."},
		Rests:   "a server error with Cloudflare's mark that did not come from this house, while Home Assistant answers directly",
		Source:  "DOC",
		match:   cloudflaresOwn5xx,
	},
	{
		Cause: HostnameUnrouted, ID: "hostname-unrouted", Remedy: Tell,
		Summary: "The tunnel does not know this host name.",
		Advice:  []string{"Compare the host name in the Cloudflared app's configuration (with a tunnel token: the tunnel's public hostnames in Cloudflare Zero Trust) with \"Public address\" in Tunnel Medic's configuration."},
		Rests:   "HTTP 404 for every page, from the tunnel's catch-all",
		Source:  "APP#437",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Public.Status == 404 && e.Page.Status == 404 &&
				(unrouted(e) || trimmed(e.Public) == "" && e.Direct.Healthy())
		},
	},
	{
		Cause: NotHomeAssistant, ID: "not-home-assistant", Remedy: Tell, Blinds: true,
		Summary: "Something other than Home Assistant answers at the public name.",
		Advice: []string{
			"Check \"Public address\" in Tunnel Medic's configuration: it must be the address at which you open Home Assistant from outside.",
			"Check which service the tunnel's configuration names for this host.",
		},
		Rests:  "an answer to the handshake that Home Assistant never gives, while Home Assistant itself greets directly",
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			foreign := e.Public.Status >= 200 && e.Public.Status < 300 || slices.Contains([]int{404, 405, 426, 501}, e.Public.Status) && trimmed(e.Public) != "" && !homeAssistants(e.Public)
			return cloudflare(e.Public) && (foreign || otherServer(e.Public)) && e.Direct.Healthy()
		},
	},
	{
		Cause: EdgeUnreachable, ID: "edge-unreachable", Remedy: Wait,
		Summary: "Cloudflare does not answer at the public name.",
		Advice: []string{
			"If www.cloudflarestatus.com reports nothing, a firewall in your network may hold this machine back from the public name.",
			"Try the address on a phone without Wi-Fi: if it opens there, only this home is affected.",
		},
		Rests:  "the public name has an address, but neither the check nor a plain page got an answer there, while the internet is not known to be down",
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return unanswered(e.Public) && e.Public.Stage >= evidence.Resolved && reachTrouble(e.Public) && !answered(e.Page)
		},
	},
	{
		Cause: SupervisorAway, ID: "supervisor-away", Remedy: Wait, Blinds: true,
		Summary: "Home Assistant's Supervisor does not answer just now.",
		Advice:  []string{"Usually it is updating itself and is back within minutes. Nothing is decided until then."},
		Rests:   "no answer from the Supervisor API",
		Source:  "Supervisor",
		match:   func(e evidence.Evidence) bool { return e.SupervisorAway != "" },
	},
	{
		Cause: StrippedEverywhere, ID: "stripped-everywhere", Remedy: Wait,
		Summary: "The WebSocket upgrade is lost under every tunnel protocol, so the cause lies upstream.",
		Advice: []string{
			"Wait: such incidents have ended by themselves within hours.",
			"At home, use the local address of Home Assistant meanwhile.",
		},
		Rests:  "every allowed protocol was tried in this incident, and each failed",
		Source: "CFD#1652, update",
	},
	{
		Cause: ClientsFailProbeFine, ID: "clients-fail-probe-fine", Remedy: Tell,
		Summary: "Every check from here succeeds. Meanwhile Home Assistant turned away requests of somebody else: a device of yours, or a stranger.",
		Advice: []string{
			"If everyone in your home connects as usual, you don't need to do anything: strangers try every address on the internet. Security → Events in the Cloudflare dashboard shows who it is.",
			"If browsers fail and the apps do not, mutual TLS together with HTTP/3 may be why: switch HTTP/3 off under Speed → Settings in the Cloudflare dashboard, " +
				"or use one address with mutual TLS for the apps and another for browsers.",
			"If one device alone fails, sign in there again and switch its browser extensions off.",
		},
		Rests:  "the connector's count of HTTP 400 rises for minutes while no check of ours fails; who was turned away, and from what, the count does not tell",
		Source: "the recovery script's author, later finding; APP#904",
	},
	{
		Cause: ClientsCloseDuringSignIn, ID: "clients-close-during-sign-in", Remedy: Tell,
		Summary: "Every check from here succeeds, yet somebody's browser seems to break off the sign-in again and again.",
		Advice: []string{
			"A hypothesis, from one report, whose mechanism is unproven: mutual TLS and HTTP/3 together. If you use both, switch HTTP/3 off under Speed → Settings in the Cloudflare dashboard for a day, and see whether it ends.",
			"If that helps, use one address with mutual TLS for the apps and another for browsers.",
			"If one device alone is affected, sign in there again and switch its browser extensions off.",
		},
		Rests:  "WebSockets that end within seconds, by the connector's counters, or sign-ins that browsers broke off, by Home Assistant's log, while no check of ours fails",
		Source: "the recovery script's author, June 2026",
	},
	{
		Cause: PageStale, ID: "page-stale", Remedy: Tell,
		Summary: "The WebSocket works, but your address serves an old start page of Home Assistant. Browsers may show a white page.",
		Advice: []string{
			"In the Cloudflare dashboard, open Caching → Configuration and choose Purge Everything.",
			"Under Caching → Cache Rules, let the rule that caches everything exempt this host name: Home Assistant's start page must never be cached.",
			"If one device still shows a white page then, clear its browser's data for this address.",
		},
		Rests:  "the script that the start page names is gone, while Home Assistant itself names one that is there",
		Source: "home-assistant/epics#113, home-assistant/core#176912",
	},
	{
		Cause: Unknown, ID: "unknown", Remedy: Tell,
		Summary: "Home Assistant cannot be reached through the tunnel, and what was seen fits no known cause.",
		Advice:  []string{"Open Tunnel Medic's page: everything that was seen is listed there, for the people you ask."},
		Rests:   "nothing that would bear a verdict",
	},
}
