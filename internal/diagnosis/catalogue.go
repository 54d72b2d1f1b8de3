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
	Cause  Cause
	ID     string
	Remedy Remedy
	Place  Place  // where on the way in it lies
	Source string // where the signature was reported
	Blinds bool   // the probe cannot see past it to the WebSocket
	Passes bool   // every check of ours succeeds: nothing is wrong, or people fail at something other than the WebSocket's way
	// LosesUpgrade says that the handshake is lost, or spoilt, in a tunnel that stands. Of a
	// tunnel that does not, what every protocol has shown says nothing of WebSockets.
	LosesUpgrade bool
	// Told says that an answer came and said so itself, which no lost packet brings about. That
	// of a handshake which arrived without its headers Home Assistant gives in its own words, and
	// cloudflared says that it dials QUIC in vain: then it has no connection at all, so that it is
	// not one of four that is dying.
	Told bool
	Down bool // the tunnel has no connection, and a restart may be what it takes
	// Variants are the wordings that it has beside its own, for what may be known of it
	// or for what the verdict is based on.
	Variants []string

	match func(evidence.Evidence) bool // nil: decided by more than one moment's evidence
	// fit notes what the evidence knows of a cause, and chooses among remedies; nil: the
	// row says it all.
	fit func(evidence.Evidence, *Diagnosis)
}

// Catalogue gives every row in the order in which they are tried.
func Catalogue() []Row { return slices.Clone(catalogue) }

// String gives the cause's id, as in the log, the events and the JSON.
func (c Cause) String() string { return c.row().ID }

// Blinds says that the probe cannot see past this cause to the WebSocket.
func (c Cause) Blinds() bool { return c.row().Blinds }

// ChecksSucceed says that every check of ours succeeds: nothing is wrong, or people fail at
// something other than the WebSocket's way.
func (c Cause) ChecksSucceed() bool { return c.row().Passes }

// Restarts says that a restart under the same protocol may end this cause.
func (c Cause) Restarts() bool {
	r := c.row()
	return r.Remedy == Restart || r.Remedy == Start || r.Down
}

// Told says that an answer came and said so itself.
func (c Cause) Told() bool { return c.row().Told }

// Down says that the tunnel has no connection, and that a restart may be what it takes.
func (c Cause) Down() bool { return c.row().Down }

// Anchor is the link target in DOCS.md that explains the cause.
func (c Cause) Anchor() string { return "cause-" + c.String() }

// MarshalText writes the cause's id.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a cause's id.
func (c *Cause) UnmarshalText(b []byte) error {
	i := slices.IndexFunc(catalogue, func(r Row) bool { return r.ID == string(b) })
	if i < 0 {
		return fmt.Errorf("no cause is called %q", b)
	}
	*c = catalogue[i].Cause
	return nil
}

func (c Cause) row() *Row { return rows[min(int(c), len(rows)-1)] }

// rows are those of the catalogue by their causes; a number that is none of them is Unknown.
var rows = func() []*Row {
	list := make([]*Row, len(catalogue)+1)
	list[len(catalogue)] = &catalogue[len(catalogue)-1] // unknown stands last
	for i := range catalogue {
		list[catalogue[i].Cause] = &catalogue[i]
	}
	return list
}()

// catalogue is the table of causes, in order of certainty: what one answer shows
// beyond doubt stands before what several looks suggest together. docs/CAUSES.md is
// written from it. Sources: CFD = cloudflare/cloudflared issues, APP =
// homeassistant-apps/app-cloudflared issues, DOC = Cloudflare's documentation.
var catalogue = []Row{
	{
		Cause: Healthy, ID: "healthy", Remedy: NoRemedy, Passes: true,
		Variants: []string{"token-refused", "elsewhere"},
		match:    func(e evidence.Evidence) bool { return e.Public.Healthy() && e.Public.CFRay() != "" },
		fit:      healthyBut,
	},
	{
		Cause: SignInUnanswered, ID: "sign-in-unanswered", Remedy: Wait, Place: AtHomeAssistant,
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			return e.Public.Stage >= evidence.Greeted && e.Public.Trouble != evidence.NoTrouble && e.Public.CFRay() != ""
		},
	},
	{
		Cause: NotProxied, ID: "not-proxied", Remedy: Tell, Place: ToCloudflare, Blinds: true,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Answered() && e.Public.CFRay() == "" && e.Public.Outside
		},
	},
	{
		Cause: NotCloudflare, ID: "not-cloudflare", Remedy: Tell, Place: ToCloudflare, Blinds: true,
		Source: "community guides on split DNS",
		match:  func(e evidence.Evidence) bool { return e.Public.Answered() && e.Public.CFRay() == "" },
	},
	{
		Cause: Challenged, ID: "challenged", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "home-assistant/core#127520",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && strings.EqualFold(e.Public.HeaderValue("Cf-Mitigated"), "challenge")
		},
	},
	{
		Cause: RateLimited, ID: "rate-limited", Remedy: Wait, Place: AtCloudflare, Blinds: true,
		Source: "DOC",
		match:  func(e evidence.Evidence) bool { return answers(e.Public, 429) || named(e.Public, rateCodes) },
	},
	{
		Cause: RecordNotTunnel, ID: "record-not-tunnel", Remedy: Tell, Place: AtCloudflare,
		Source: "DOC; APP#129, APP#342",
		match:  record,
	},
	{
		Cause: AccessDenied, ID: "access-denied", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "DOC",
		match:  func(e evidence.Evidence) bool { return accessStands(e.Public) && e.Public.Showed.ServiceToken },
	},
	{
		Cause: AccessLogin, ID: "access-login", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "home-assistant/android#3205",
		match:  func(e evidence.Evidence) bool { return accessStands(e.Public) },
	},
	{
		Cause: ClientCertificateRefused, ID: "client-certificate-refused", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "DOC; CFD#1066",
		match:  func(e evidence.Evidence) bool { return wantsClientCertificate(e.Public) && e.Public.Showed.Certificate },
	},
	{
		Cause: ClientCertificateRequired, ID: "client-certificate-required", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "CFD#1066",
		match:  func(e evidence.Evidence) bool { return wantsClientCertificate(e.Public) },
	},
	{
		Cause: ProbeBanned, ID: "probe-banned", Remedy: Tell, Place: AtHomeAssistant, Blinds: true,
		Source: "Home Assistant's http.ban",
		match:  func(e evidence.Evidence) bool { return answers(e.Public, 403) && trimmed(e.Public) == "403: Forbidden" },
	},
	{
		Cause: Firewalled, ID: "firewalled", Remedy: Tell, Place: AtCloudflare, Blinds: true,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return blockPage(e.Public) || answers(e.Public, 403) && (named(e.Public, firewallCodes) || neverCarried(e) && !otherServer(e.Public))
		},
	},
	{
		Cause: ForwardedHeader, ID: "forwarded-header", Remedy: Tell, Place: AtHomeAssistant,
		Source: "homeassistant/components/http/forwarded.py",
		match:  func(e evidence.Evidence) bool { return untrusted(e) && e.CoreLog.Forwarded.AboutHeader() },
		fit:    func(e evidence.Evidence, d *Diagnosis) { d.Forwarded = e.CoreLog.Forwarded }, // the header that the log names
	},
	{
		Cause: ProxyNotTrusted, ID: "proxy-not-trusted", Remedy: Tell, Place: AtHomeAssistant,
		Variants: []string{"screen", "file"},
		Source:   "APP#745",
		match:    untrusted,
		// Where trusted proxies are set in this Core.
		fit: func(e evidence.Evidence, d *Diagnosis) {
			d.Variant = map[evidence.Switch]string{evidence.On: "screen", evidence.Off: "file"}[screen(e.Core)]
		},
	},
	{
		Cause: RedirectLoop, ID: "redirect-loop", Remedy: Tell, Place: AtCloudflare,
		Source: "APP#574",
		match:  func(e evidence.Evidence) bool { to := redirect(e.Public); return to != nil && toItself(e.Public, to) },
	},
	{
		Cause: Redirected, ID: "redirected", Remedy: Tell, Place: AtCloudflare,
		Source: "DOC",
		match:  func(e evidence.Evidence) bool { return redirect(e.Public) != nil },
	},
	{
		Cause: WebSocketsDisabled, ID: "websockets-disabled", Remedy: Tell, Place: AtCloudflare,
		Variants: []string{"sure"},
		Source:   "APP#820, APP#93",
		match: func(e evidence.Evidence) bool {
			return cloudflare(e.Public) && e.Zone.WebSockets == evidence.Off && (handshakeRefused(e) || upgradeHung(e))
		},
		// What Cloudflare's API said is told apart from what is inferred.
		fit: func(e evidence.Evidence, d *Diagnosis) {
			if e.Zone.WebSockets == evidence.Off {
				d.Variant, d.Basis = "sure", "sure"
			}
		},
	},
	{
		Cause: OtherConnector, ID: "other-connector", Remedy: Tell, Place: AtTunnel, Blinds: true,
		Source: "CFD#698",
		match:  func(e evidence.Evidence) bool { return fromBehind(e.Public) && !ours(e) },
	},
	{
		Cause: WaitingForLogin, ID: "waiting-for-login", Remedy: Tell, Place: AtTunnel,
		Source: "APP#925, APP#896, APP#590, APP#472",
		// The app is in its first start, and waits for a person.
		match: func(e evidence.Evidence) bool {
			runs := e.AddOn.State.Runs()
			return runs && e.Connector.Asked && e.Connector.Trouble == evidence.Refused && e.Log.LoginWanted
		},
	},
	{
		Cause: ProxyBetween, ID: "proxy-between", Remedy: Tell, Place: ToHomeAssistant,
		Variants: []string{"known"},
		Source:   "inferred",
		match: func(e evidence.Evidence) bool {
			return (handshakeRefused(e) || upgradeHung(e) || answers(e.Public, 502)) && pageWorks(e) && e.Direct.Healthy() && proxyBlamed(e)
		},
		fit: servedAt,
	},
	{
		Cause: UpgradeStripped, ID: "upgrade-stripped", Remedy: Rotate, Place: AtTunnel, LosesUpgrade: true, Told: true,
		Source: "CFD#1652",
		match: func(e evidence.Evidence) bool {
			return (handshake400(e.Public, bodyNoUpgrade) || hidden400(e)) && tunnelAlone(e)
		},
	},
	{
		Cause: UpgradeMangled, ID: "upgrade-mangled", Remedy: Rotate, Place: AtTunnel, LosesUpgrade: true, Told: true,
		Source: "CFD#883, and seen with cloudflared itself",
		match: func(e evidence.Evidence) bool {
			return handshake400(e.Public, bodyNoConnection, bodyNoKey, bodyNoVersion) && tunnelAlone(e)
		},
	},
	{
		Cause: UpgradeRefused, ID: "upgrade-refused", Remedy: Rotate, Place: AtTunnel, LosesUpgrade: true,
		Source: "CFD#1208, CFD#560",
		match:  func(e evidence.Evidence) bool { return answers(e.Public, 502) && connectorsOwn502(e) && tunnelAlone(e) },
	},
	{
		Cause: UpgradeSilent, ID: "upgrade-silent", Remedy: Rotate, Place: AtTunnel, LosesUpgrade: true,
		Source: "CFD#526; the partial HTTP/2 failure of March 2026",
		match:  func(e evidence.Evidence) bool { return upgradeHung(e) && tunnelAlone(e) },
	},
	{
		Cause: ConnectorMissing, ID: "connector-missing", Remedy: Tell, Place: AtTunnel,
		Source: "own finding",
		match:  func(e evidence.Evidence) bool { return e.AddOn.Asked && !e.AddOn.Installed && !e.Connector.Up() },
	},
	{
		Cause: StartRefused, ID: "start-refused", Remedy: Tell, Place: AtTunnel,
		Variants: []string{"api-away", "api-away-stopped", "no-edge", "login", "dns-entry", "tunnel-name"},
		Source:   "APP#450, APP#517, APP#257, APP#510, APP#622",
		// The app ended on its own at its start.
		match: func(e evidence.Evidence) bool { return ended(e) && e.Log.StartFailed != evidence.StartClean },
		fit:   startRefusedBy,
	},
	{
		Cause: ConnectorStopped, ID: "connector-stopped", Remedy: Tell, Place: AtTunnel,
		Source: "APP#600",
		match:  func(e evidence.Evidence) bool { return e.AddOn.Asked && ended(e) },
		// An app that ended with an error may be started; one that a person stopped stays stopped.
		fit: func(e evidence.Evidence, d *Diagnosis) {
			if e.AddOn.State == evidence.StateError {
				d.Remedy = Start
			}
		},
	},
	{
		Cause: NoInternet, ID: "no-internet", Remedy: Wait, Place: AtTunnel,
		Source: "Supervisor",
		match: func(e evidence.Evidence) bool {
			return unanswered(e.Public) && (e.Internet == evidence.InternetDown || e.Public.Trouble == evidence.Unreachable && e.Internet != evidence.InternetUp && !e.Connector.Up())
		},
	},
	{
		Cause: ResolverFailed, ID: "resolver-failed", Remedy: Tell, Place: ToCloudflare,
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			l := e.Public
			silent := l.Stage == evidence.Asked && l.Trouble == evidence.TimedOut
			return !l.Outside && (l.Trouble == evidence.ResolverFailed || silent) || l.Trouble == evidence.NameNotFound && e.Names.World.Found()
		},
	},
	{
		Cause: HostnameUnknown, ID: "hostname-unknown", Remedy: Tell, Place: ToCloudflare,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.NameNotFound || named(e.Public, unknownCodes)
		},
	},
	{
		Cause: TLSFailed, ID: "tls-failed", Remedy: Tell, Place: ToCloudflare,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return e.Public.Trouble == evidence.BadCertificate || e.Public.Trouble == evidence.TLSFailed
		},
	},
	{
		Cause: ConnectorRejected, ID: "connector-rejected", Remedy: Tell, Place: AtTunnel,
		Source: "CFD#426, APP#323",
		match:  func(e evidence.Evidence) bool { return offline(e) && e.Log.Rejected > 0 },
	},
	{
		Cause: EdgeUnroutable, ID: "edge-unroutable", Remedy: Tell, Place: AtTunnel,
		Source: "CFD#842",
		// This machine has no way to the addresses of the edge that cloudflared was given, and
		// nothing else is known to be wrong.
		match: func(e evidence.Evidence) bool {
			l := e.Log
			return offline(e) && e.Internet != evidence.InternetDown && l.Unroutable > 0 && l.QUICFailed == 0 && l.HTTP2Failed == 0 && l.Rejected == 0
		},
	},
	{
		Cause: QUICBlocked, ID: "quic-blocked", Remedy: Rotate, Place: AtTunnel, Told: true,
		Source: "APP#631, CFD#1736",
		match:  quicBlocked,
	},
	{
		Cause: TunnelBlocked, ID: "tunnel-blocked", Remedy: Tell, Place: AtTunnel,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return offline(e) && e.Internet != evidence.InternetDown && e.Log.HTTP2Failed >= 2
		},
	},
	{
		Cause: TunnelFlapping, ID: "tunnel-flapping", Remedy: Rotate, Place: AtTunnel,
		Variants: []string{"quic", "http2"},
		Source:   "APP#464, APP#581, APP#872, APP#885",
		match:    flapping,
		fit:      func(e evidence.Evidence, d *Diagnosis) { d.Variant = e.Log.LostOver.String() },
	},
	{
		Cause: ConnectorHung, ID: "connector-hung", Remedy: Restart, Place: AtTunnel, Down: true,
		Source: "CFD#306",
		match:  hung,
	},
	{
		Cause: TunnelMisrouted, ID: "tunnel-misrouted", Remedy: Tell, Place: AtCloudflare,
		Source: "DOC",
		match:  misrouted,
	},
	{
		Cause: TunnelDown, ID: "tunnel-down", Remedy: Wait, Place: AtTunnel, Down: true,
		Source: "DOC 1033",
		match: func(e evidence.Evidence) bool {
			return noConnector(e.Public) && !pageWorks(e) && (!e.Connector.Up() || e.Connector.ObservedUp > 0 && e.Connector.ObservedUp < justUp)
		},
	},
	{
		Cause: OriginStarting, ID: "origin-starting", Remedy: Wait, Place: AtHomeAssistant,
		Source: "Supervisor",
		match: func(e evidence.Evidence) bool {
			starting := e.Core.Asked && (e.Core.Status == 200 && e.Core.State != "" && e.Core.State != "RUNNING" || e.Core.Status != 200 && e.Core.Runs == evidence.On)
			return originError(e.Public) && absent(e.Direct) && starting
		},
	},
	{
		Cause: OriginDown, ID: "origin-down", Remedy: Wait, Place: AtHomeAssistant,
		Source: "APP#671",
		match: func(e evidence.Evidence) bool {
			// Core's own word that it runs would contradict it.
			return originError(e.Public) && (absent(e.Direct) || fromAfar(e) && originText(e.Public)) && !(e.Core.Asked && e.Core.Status == 200)
		},
	},
	{
		Cause: OriginMoved, ID: "origin-moved", Remedy: Tell, Place: ToHomeAssistant,
		Variants: []string{"restart", "token", "known"},
		Source:   "APP#1048, APP#1056, APP#1060",
		match:    func(e evidence.Evidence) bool { return unasked(e) && moved(e) && !e.Service.Answered() },
		fit:      originMovedTo,
	},
	{
		Cause: OriginRefused, ID: "origin-refused", Remedy: Tell, Place: ToHomeAssistant,
		Variants: []string{"known", "silent"},
		Source:   "own finding",
		match:    originRefused,
		fit:      originRefusedAt,
	},
	{
		Cause: OriginSilent, ID: "origin-silent", Remedy: Wait, Place: AtHomeAssistant,
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			mute := e.Direct.Done() && e.Direct.Stage >= evidence.Connected && !e.Direct.Healthy() && (e.Direct.Trouble == evidence.TimedOut || e.Direct.Trouble == evidence.Cut)
			return mute && !e.Public.Healthy() && (e.Public.Stage == evidence.Upgraded || e.Public.Trouble == evidence.TimedOut || originError(e.Public))
		},
	},
	{
		Cause: ProxyRefuses, ID: "proxy-refuses", Remedy: Tell, Place: ToHomeAssistant,
		Variants: []string{"known", "unreached"},
		Source:   "APP#759",
		match:    proxyRefuses,
		fit:      proxyRefusesAt,
	},
	{
		Cause: OriginMisconfigured, ID: "origin-misconfigured", Remedy: Tell, Place: ToHomeAssistant,
		Variants: []string{"known"},
		Source:   "DOC",
		match: func(e evidence.Evidence) bool {
			return answers(e.Public, 502) && e.Page.Status == 502 && e.Direct.Healthy() && connectorsOwn502(e) && ours(e)
		},
		fit: servedAt,
	},
	{
		Cause: CloudflareError, ID: "cloudflare-error", Remedy: Wait, Place: AtCloudflare,
		Source: "DOC",
		match:  cloudflaresOwn5xx,
	},
	{
		Cause: HostnameUnrouted, ID: "hostname-unrouted", Remedy: Tell, Place: ToHomeAssistant,
		Source: "APP#437",
		match: func(e evidence.Evidence) bool {
			return answers(e.Public, 404) && e.Page.Status == 404 &&
				(e.Connector.Route.Asked && !e.Connector.Route.Found || trimmed(e.Public) == "" && e.Direct.Healthy())
		},
	},
	{
		Cause: NotHomeAssistant, ID: "not-home-assistant", Remedy: Tell, Place: ToHomeAssistant, Blinds: true,
		Source: "own finding",
		match: func(e evidence.Evidence) bool {
			l := e.Public
			foreign := l.Status >= 200 && l.Status < 300 || answers(l, 404, 405, 426, 501) && trimmed(l) != "" && !homeAssistants(l)
			return cloudflare(l) && (foreign || otherServer(l)) && e.Direct.Healthy()
		},
	},
	{
		Cause: EdgeUnreachable, ID: "edge-unreachable", Remedy: Wait, Place: ToCloudflare,
		Source: "DOC",
		match: func(e evidence.Evidence) bool {
			return unanswered(e.Public) && e.Public.Stage >= evidence.Resolved && reachTrouble(e.Public) && !e.Page.Answered()
		},
	},
	{
		Cause: SupervisorAway, ID: "supervisor-away", Remedy: Wait, Blinds: true,
		Source: "Supervisor",
		match:  func(e evidence.Evidence) bool { return e.SupervisorAway != "" },
	},
	{
		Cause: StrippedEverywhere, ID: "stripped-everywhere", Remedy: Wait, Place: AtCloudflare,
		Source: "CFD#1652, update",
	},
	{
		Cause: ClientsFailProbeFine, ID: "clients-fail-probe-fine", Remedy: Tell, Place: AtVisitors, Passes: true,
		Source: "the recovery script's author, later finding; APP#904",
	},
	{
		Cause: ClientsCloseDuringSignIn, ID: "clients-close-during-sign-in", Remedy: Tell, Place: AtVisitors, Passes: true,
		Variants: []string{"counted", "logged", "both", "suspect", "cleared"},
		fit:      closedAs,
		Source:   "the recovery script's author, June 2026",
	},
	{
		Cause: PageStale, ID: "page-stale", Remedy: Tell, Place: AtCloudflare, Passes: true,
		Variants: []string{"cached"},
		fit: func(e evidence.Evidence, d *Diagnosis) {
			if e.Frontend.Cached() { // a cache holds it
				d.Basis = "cached"
			}
		},
		Source: "home-assistant/epics#113, home-assistant/core#176912",
	},
	{
		Cause: Unknown, ID: "unknown", Remedy: Tell,
	},
}
