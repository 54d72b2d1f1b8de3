package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// Faults is everything that can be wrong at one moment. The zero value is a
// healthy world.
type Faults struct {
	// Upgrade is what happens to WebSocket handshakes, by the transport that the
	// connector uses. Plain requests pass.
	Upgrade map[evidence.Transport]UpgradeFault `json:"upgrade,omitempty"`

	// The edge and the zone.
	WebSocketsOff   bool             `json:"websockets_off,omitempty"`   // the zone's switch Network → WebSockets
	Access          bool             `json:"access,omitempty"`           // a login wall; AccessID and AccessSecret pass it
	AccessRefuses   bool             `json:"access_refuses,omitempty"`   // the wall refuses a service token too
	Challenge       bool             `json:"challenge,omitempty"`        // bot protection
	Firewall        int              `json:"firewall,omitempty"`         // a firewall rule's code: 1005, 1006, 1009, 1010 or 1020
	RateLimited     bool             `json:"rate_limited,omitempty"`     // 429, error code 1015
	Answer          *EdgeAnswer      `json:"answer,omitempty"`           // anything else that the edge may say
	Misrouted       bool             `json:"misrouted,omitempty"`        // DNS names a tunnel that has no connector: 1033, whatever ours does
	ElsewhereToo    bool             `json:"elsewhere_too,omitempty"`    // a replica in another place takes every request
	Unrouted        bool             `json:"unrouted,omitempty"`         // the tunnel's rules do not know the host name: its catch-all 404
	EdgeSilent      bool             `json:"edge_silent,omitempty"`      // connections stand, nothing is ever answered
	EmptyData       float64          `json:"empty_data,omitempty"`       // 0…1 of the HTTP/2 requests that end with an empty DATA frame are reset; with Options.TLS
	CacheEverything bool             `json:"cache_everything,omitempty"` // a rule lets the edge keep the start page and the frontend's scripts, 404s too
	MutualTLS       MutualTLS        `json:"mutual_tls,omitempty"`       // visitors need a client certificate: see Edge.ClientCertificate; with Options.TLS
	Certificate     CertificateFault `json:"certificate,omitempty"`      // what is wrong with the edge's own; with Options.TLS

	// The house's network.
	InternetDown bool      `json:"internet_down,omitempty"` // edge and resolver refuse, the connector loses its connections
	UDPBlocked   bool      `json:"udp_blocked,omitempty"`   // QUIC connects nowhere
	QUIC         QUICFault `json:"quic,omitempty"`          // what else becomes of QUIC
	TCPBlocked   bool      `json:"tcp_blocked,omitempty"`   // HTTP/2 connects nowhere (the connector's port only)
	SplitDNS     bool      `json:"split_dns,omitempty"`     // the public address is Home Assistant itself: answers without cf-ray
	ResolverDown bool      `json:"resolver_down,omitempty"` // DNS-over-HTTPS is out of reach

	// The connector.
	TunnelRejected bool      `json:"tunnel_rejected,omitempty"` // the edge does not take the tunnel's secret
	ConnectorHung  bool      `json:"connector_hung,omitempty"`  // 1033 though /ready says four; holds for the run that stands when it is set
	ConnectorDies  bool      `json:"connector_dies,omitempty"`  // it exits with 1 soon after every start
	FlapQUIC       Duration  `json:"flap_quic,omitempty"`       // QUIC connections drop after this long, again and again
	FlapHTTP2      Duration  `json:"flap_http2,omitempty"`      // the same over HTTP/2
	Dial           DialFault `json:"dial,omitempty"`            // what else becomes of connecting to the edge
	LoginWanted    bool      `json:"login_wanted,omitempty"`    // runs that begin wait for a login: cloudflared does not run in them
	APIAway        bool      `json:"api_away,omitempty"`        // Cloudflare's API does not answer: an app whose tunnel is managed locally cannot start
	APIRefuses     bool      `json:"api_refuses,omitempty"`     // it answers, and does not accept the app's login any more (code 10000)
	IgnoresFlag    bool      `json:"ignores_flag,omitempty"`    // it connects over QUIC whatever --protocol says
	WrongScheme    bool      `json:"wrong_scheme,omitempty"`    // its rule says https, and Home Assistant speaks http
	ProxyStrips    bool      `json:"proxy_strips,omitempty"`    // the proxy of Options.Proxy passes no WebSocket on
	ProxyAnswers   int       `json:"proxy_answers,omitempty"`   // the proxy of Options.Proxy answers everything with this status, in its own words

	// Home Assistant.
	CoreDown         bool   `json:"core_down,omitempty"`         // refused; 502 through Supervisor
	CoreStarting     bool   `json:"core_starting,omitempty"`     // the same, and ends by itself after Timings.CoreStart
	CoreMoved        bool   `json:"core_moved,omitempty"`        // its port is another one: a connector finds it that is managed locally and was started since
	CoreUnreachable  bool   `json:"core_unreachable,omitempty"`  // refused, though Core runs and answers through Supervisor
	ProxyNotTrusted  bool   `json:"proxy_not_trusted,omitempty"` // trusted_proxies is missing: 400 on every proxied request
	Forwarded        string `json:"forwarded,omitempty"`         // what is wrong with the forwarded headers: 400 on every proxied request
	FrontendUpdating bool   `json:"frontend_updating,omitempty"` // it does not know its own entry script
	OriginSilent     bool   `json:"origin_silent,omitempty"`     // 101, and no greeting
	Banned           bool   `json:"banned,omitempty"`            // 403 to everyone

	// Supervisor.
	SupervisorDown   bool      `json:"supervisor_down,omitempty"`    // refused
	SupervisorState  string    `json:"supervisor_state,omitempty"`   // "setup": System is not ready with state: setup
	NotManager       bool      `json:"not_manager,omitempty"`        // the caller's role is default, not manager
	RestartFaked     bool      `json:"restart_faked,omitempty"`      // a restart is answered with 200 and not made: Docker could not stop the container
	Busy             bool      `json:"busy,omitempty"`               // another job holds the add-on
	StartFails       StartTrap `json:"start_fails,omitempty"`        // what start (and restart, after its stop) fails with
	SecretsResolved  bool      `json:"secrets_resolved,omitempty"`   // posting options back stores !secret values in plain text
	KilledShowsError bool      `json:"killed_shows_error,omitempty"` // an add-on killed after its stop time is shown as error, not stopped
}

// UpgradeFault is what happens to some of the WebSocket handshakes.
type UpgradeFault struct {
	Share float64 `json:"share"`          // 0…1 of the handshakes, drawn with the world's seed
	Form  Form    `json:"form,omitempty"` // "" is NoUpgrade
}

// Form is how a WebSocket handshake fails on its way.
type Form string

// The forms. The first four are what was seen at the origin behind the real
// cloudflared when the edge had not marked a request as a WebSocket.
const (
	NoUpgrade    Form = "no-upgrade"    // a plain GET with Connection: keep-alive
	NoConnection Form = "no-connection" // Upgrade kept, Connection: keep-alive
	NoKey        Form = "no-key"        // Sec-WebSocket-Key lost
	NoVersion    Form = "no-version"    // Sec-WebSocket-Version lost
	Refused      Form = "refused"       // 502 by the connector, which could not ask the origin
	Silent       Form = "silent"        // 101, then nothing
	Hanging      Form = "hanging"       // no answer at all
)

var forms = []Form{NoUpgrade, NoConnection, NoKey, NoVersion, Refused, Silent, Hanging}

// StartTrap is why a start fails.
type StartTrap string

// The traps: 400, 400, and 500 after which the add-on is left in state error.
const (
	BadOptions StartTrap = "options"
	BadPort    StartTrap = "port"
	BadDocker  StartTrap = "docker"
)

// DialFault is how the connector fails to connect to the edge.
type DialFault string

// The kinds of it. Unregistered and those about TLS are of QUIC alone.
const (
	Unroutable   DialFault = "unroutable"   // there is no route to the edge's addresses
	Untrusted    DialFault = "untrusted"    // a wrong clock makes the edge's certificate look expired
	Unspoken     DialFault = "unspoken"     // TLS does not know a curve
	Unregistered DialFault = "unregistered" // a connection is made and never comes to stand
)

// over says whether it is a fault of this transport.
func (d DialFault) over(t evidence.Transport) bool {
	return d == Unroutable || d != "" && t == evidence.OverQUIC
}

// EdgeAnswer is an answer that the edge gives itself, with its own headers added.
type EdgeAnswer struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	To     string            `json:"to,omitempty"` // "websocket", "page", or "" for every request
}

// Duration is a time.Duration that JSON writes Go's way ("200ms").
type Duration time.Duration

func (d Duration) value() time.Duration { return time.Duration(d) }

// MarshalText writes "200ms".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "200ms".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Stripped gives faults under which a share of the handshakes arrives at Home
// Assistant as plain GETs, over the given transports (none given: over all).
func Stripped(share float64, transports ...evidence.Transport) Faults {
	if len(transports) == 0 {
		transports = []evidence.Transport{evidence.OverQUIC, evidence.OverHTTP2}
	}
	f := Faults{Upgrade: map[evidence.Transport]UpgradeFault{}}
	for _, t := range transports {
		f.Upgrade[t] = UpgradeFault{Share: share, Form: NoUpgrade}
	}
	return f
}

// Check says in one line what in the faults has no meaning.
func (f Faults) Check() error {
	for t, u := range f.Upgrade {
		if t == evidence.NoTransport {
			return errors.New("upgrade: name a transport, quic or http2")
		}
		if !(u.Share >= 0 && u.Share <= 1) {
			return fmt.Errorf("upgrade.%s.share is %v; it goes from 0 to 1", t, u.Share)
		}
		if u.Form != "" && !slices.Contains(forms, u.Form) {
			return fmt.Errorf("upgrade.%s.form %q is not one of %s", t, u.Form, list(forms))
		}
	}
	if codes := []int{0, 1005, 1006, 1009, 1010, 1020}; !slices.Contains(codes, f.Firewall) {
		return fmt.Errorf("firewall is %d; it is one of 1005, 1006, 1009, 1010, 1020", f.Firewall)
	}
	if _, known := forwardedTexts[f.Forwarded]; f.Forwarded != "" && !known {
		return fmt.Errorf("forwarded %q is not one of %s", f.Forwarded, strings.Join(slices.Sorted(maps.Keys(forwardedTexts)), ", "))
	}
	if f.Answer != nil && (f.Answer.Status < 200 || f.Answer.Status > 599) {
		return fmt.Errorf("answer.status is %d; it goes from 200 to 599", f.Answer.Status)
	}
	if f.Answer != nil && !slices.Contains([]string{"", "websocket", "page"}, f.Answer.To) {
		return fmt.Errorf("answer.to %q is not one of websocket, page", f.Answer.To)
	}
	if traps := []StartTrap{"", BadOptions, BadPort, BadDocker}; !slices.Contains(traps, f.StartFails) {
		return fmt.Errorf("start_fails %q is not one of %s", f.StartFails, list(traps[1:]))
	}
	if !(f.EmptyData >= 0 && f.EmptyData <= 1) {
		return fmt.Errorf("empty_data is %v; it goes from 0 to 1", f.EmptyData)
	}
	if ways := []MutualTLS{"", ByRule, ByAlert}; !slices.Contains(ways, f.MutualTLS) {
		return fmt.Errorf("mutual_tls %q is not one of %s", f.MutualTLS, list(ways[1:]))
	}
	if kinds := []CertificateFault{"", Expired, WrongName, Intercepted}; !slices.Contains(kinds, f.Certificate) {
		return fmt.Errorf("certificate %q is not one of %s", f.Certificate, list(kinds[1:]))
	}
	if kinds := []QUICFault{"", QUICVersions, QUICRejected, QUICInspected, QUICSlow, QUICRetry}; !slices.Contains(kinds, f.QUIC) {
		return fmt.Errorf("quic %q is not one of %s", f.QUIC, list(kinds[1:]))
	}
	if f.FlapQUIC < 0 || f.FlapHTTP2 < 0 {
		return fmt.Errorf("flap_quic or flap_http2 is %v; it is a time like 200ms", time.Duration(min(f.FlapQUIC, f.FlapHTTP2)))
	}
	if kinds := []DialFault{"", Unroutable, Untrusted, Unspoken, Unregistered}; !slices.Contains(kinds, f.Dial) {
		return fmt.Errorf("dial %q is not one of %s", f.Dial, list(kinds[1:]))
	}
	if f.ProxyAnswers != 0 && (f.ProxyAnswers < 400 || f.ProxyAnswers > 599) {
		return fmt.Errorf("proxy_answers is %d; it goes from 400 to 599", f.ProxyAnswers)
	}
	return nil
}

// clone keeps what the caller holds apart from what the world holds.
func (f Faults) clone() Faults {
	if f.Upgrade != nil {
		m := make(map[evidence.Transport]UpgradeFault, len(f.Upgrade))
		for t, u := range f.Upgrade {
			m[t] = u
		}
		f.Upgrade = m
	}
	if f.Answer != nil {
		a := *f.Answer
		f.Answer = &a
	}
	return f
}

// strict reads one JSON value that may hold known fields only.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the JSON value")
	}
	return nil
}

func list[T ~string](all []T) string {
	var s []string
	for _, v := range all {
		s = append(s, string(v))
	}
	return strings.Join(s, ", ")
}
