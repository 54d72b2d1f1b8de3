package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// Faults is everything that can be wrong at one moment. The zero value is a healthy world.
//
// A fault is declared here, and nowhere else: its tags say how the control endpoint, a story and
// a seeded world name it, which values it takes (one of some, or from a number to another), whether
// it shuts the WebSocket out (at Home Assistant itself, or on the way through Cloudflare), and what
// it means. plain is what it is to somebody who tries the demonstration; what has none is not
// offered there. The help, docs/LAB.md, Check and the demonstration are made of them.
type Faults struct {
	Upgrade map[evidence.Transport]UpgradeFault `json:"upgrade,omitempty" part:"the handshake" about:"what happens to WebSocket handshakes, by the transport that the connector uses; plain requests pass"`

	WebSocketsOff   bool             `json:"websockets_off,omitempty" part:"the edge and the zone" shuts:"way" about:"the zone's switch Network → WebSockets" plain:"WebSockets are switched off at Cloudflare"`
	Access          bool             `json:"access,omitempty" shuts:"way" about:"a login wall; AccessID and AccessSecret pass it" plain:"Cloudflare Access asks for a login"`
	AccessRefuses   bool             `json:"access_refuses,omitempty" about:"the wall refuses a service token too"`
	Challenge       bool             `json:"challenge,omitempty" shuts:"way" about:"bot protection" plain:"Cloudflare's bot protection stands in the way"`
	Firewall        int              `json:"firewall,omitempty" one:"1005 1006 1009 1010 1020" shuts:"way" about:"a firewall rule's code" plain:"a firewall rule of Cloudflare's blocks visitors"`
	RateLimited     bool             `json:"rate_limited,omitempty" shuts:"way" about:"429, error code 1015" plain:"Cloudflare says there were too many requests"`
	Answer          *EdgeAnswer      `json:"answer,omitempty" about:"anything else that the edge may say"`
	OnlyHost        string           `json:"only_host,omitempty" about:"what the edge itself asks, refuses or answers meets visitors of this host name alone"`
	Misrouted       bool             `json:"misrouted,omitempty" shuts:"way" about:"DNS names a tunnel that has no connector: 1033, whatever ours does" plain:"the public name leads to another tunnel"`
	ElsewhereToo    bool             `json:"elsewhere_too,omitempty" about:"a replica in another place takes every request"`
	Unrouted        bool             `json:"unrouted,omitempty" shuts:"way" about:"the tunnel's rules do not know the host name: its catch-all 404"`
	EdgeSilent      bool             `json:"edge_silent,omitempty" shuts:"way" about:"connections stand, nothing is ever answered" plain:"Cloudflare does not answer any more"`
	CacheEverything bool             `json:"cache_everything,omitempty" about:"a rule lets the edge keep the start page and the frontend's scripts, 404s too"`
	MutualTLS       MutualTLS        `json:"mutual_tls,omitempty" one:"rule alert" shuts:"way" about:"visitors need a client certificate: see Edge.ClientCertificate; with Options.TLS"`
	Certificate     CertificateFault `json:"certificate,omitempty" one:"expired name unknown" shuts:"way" about:"what is wrong with the edge's own; with Options.TLS"`

	InternetDown bool      `json:"internet_down,omitempty" part:"the home's network" shuts:"way" about:"edge and resolver refuse, the connector loses its connections" plain:"the internet is down"`
	UDPBlocked   bool      `json:"udp_blocked,omitempty" about:"QUIC connects nowhere" plain:"the network blocks QUIC"`
	QUIC         QUICFault `json:"quic,omitempty" one:"rejected inspected" about:"UDP passes, and no handshake stands: nobody there speaks the tunnel's protocol, or a firewall answers in the edge's place"`
	TCPBlocked   bool      `json:"tcp_blocked,omitempty" about:"HTTP/2 connects nowhere (the connector's port only)"`
	SplitDNS     bool      `json:"split_dns,omitempty" about:"the public address is Home Assistant itself: answers without cf-ray" plain:"at home, the public name leads past Cloudflare"`
	ResolverDown bool      `json:"resolver_down,omitempty" about:"DNS-over-HTTPS is out of reach"`

	TunnelRejected bool      `json:"tunnel_rejected,omitempty" part:"the connector" about:"the edge does not take the tunnel's secret" plain:"Cloudflare does not take the tunnel's token"`
	ConnectorHung  bool      `json:"connector_hung,omitempty" about:"1033 though /ready says four; holds for the run that stands when it is set" plain:"cloudflared hangs"`
	ConnectorDies  bool      `json:"connector_dies,omitempty" about:"it exits with 1 soon after every start" plain:"cloudflared ends soon after every start"`
	FlapQUIC       Duration  `json:"flap_quic,omitempty" about:"QUIC connections drop after this long, again and again" plain:"connections over QUIC break again and again"`
	FlapHTTP2      Duration  `json:"flap_http2,omitempty" about:"the same over HTTP/2"`
	Dial           DialFault `json:"dial,omitempty" one:"unroutable untrusted unspoken unregistered" about:"what else becomes of connecting to the edge"`
	LoginWanted    bool      `json:"login_wanted,omitempty" about:"runs that begin wait for a login: cloudflared does not run in them"`
	APIAway        bool      `json:"api_away,omitempty" about:"Cloudflare's API does not answer: an app whose tunnel is managed locally cannot start"`
	APIRefuses     bool      `json:"api_refuses,omitempty" about:"it answers, and does not accept the app's login any more (code 10000)"`
	IgnoresFlag    bool      `json:"ignores_flag,omitempty" about:"it connects over QUIC whatever --protocol says"`
	WrongScheme    bool      `json:"wrong_scheme,omitempty" shuts:"way" about:"its rule says https, and Home Assistant speaks http"`
	ProxyStrips    bool      `json:"proxy_strips,omitempty" shuts:"way" about:"the proxy of Options.Proxy passes no WebSocket on"`
	ProxyAnswers   int       `json:"proxy_answers,omitempty" from:"400 599" shuts:"way" about:"the proxy of Options.Proxy answers everything with this status, in its own words"`

	CoreDown         bool   `json:"core_down,omitempty" part:"Home Assistant" shuts:"home" about:"refused; 502 through Supervisor" plain:"Home Assistant is down"`
	CoreStarting     bool   `json:"core_starting,omitempty" shuts:"home" about:"the same, and ends by itself after Timings.CoreStart"`
	CoreMoved        bool   `json:"core_moved,omitempty" about:"its port is another one: a connector finds it that is managed locally and was started since"`
	CoreUnreachable  bool   `json:"core_unreachable,omitempty" shuts:"home" about:"refused, though Core runs and answers through Supervisor"`
	ProxyNotTrusted  bool   `json:"proxy_not_trusted,omitempty" shuts:"way" about:"trusted_proxies is missing: 400 on every proxied request" plain:"Home Assistant does not trust the proxy"`
	Forwarded        string `json:"forwarded,omitempty" one:"unset address proto protos host" shuts:"way" about:"what is wrong with the forwarded headers: 400 on every proxied request"`
	FrontendUpdating bool   `json:"frontend_updating,omitempty" about:"it does not know its own entry script"`
	OriginSilent     bool   `json:"origin_silent,omitempty" shuts:"home" about:"101, and no greeting" plain:"Home Assistant hangs"`
	Banned           bool   `json:"banned,omitempty" shuts:"home" about:"403 to everyone" plain:"Home Assistant has banned the tunnel's address"`

	CoreSocket SocketFault `json:"core_socket,omitempty" one:"refused shut denied slow silent" about:"what becomes of Core's WebSocket behind Supervisor's proxy"`

	SupervisorDown   bool      `json:"supervisor_down,omitempty" part:"Supervisor" about:"refused" plain:"Supervisor is down"`
	SupervisorState  string    `json:"supervisor_state,omitempty" about:"setup: System is not ready with state: setup"`
	NotManager       bool      `json:"not_manager,omitempty" about:"the caller's role is default, not manager"`
	RestartFaked     bool      `json:"restart_faked,omitempty" about:"a stop or restart is answered with 200 and not made: Docker could not stop the container"`
	Busy             bool      `json:"busy,omitempty" about:"another job holds the add-on"`
	StartFails       StartTrap `json:"start_fails,omitempty" one:"options port docker" about:"what start (and restart, after its stop) fails with"`
	SecretsResolved  bool      `json:"secrets_resolved,omitempty" about:"posting options back stores !secret values in plain text"`
	KilledShowsError bool      `json:"killed_shows_error,omitempty" about:"an add-on killed after its stop time is shown as error, not stopped"`
}

// UpgradeFault is what happens to some of the WebSocket handshakes.
type UpgradeFault struct {
	Share float64 `json:"share" from:"0 1"`                                                                       // of the handshakes, drawn with the world's seed
	Form  Form    `json:"form,omitempty" one:"no-upgrade no-connection no-key no-version refused silent hanging"` // "" is NoUpgrade
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
	Status int               `json:"status" from:"200 599"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	To     string            `json:"to,omitempty" one:"websocket page"` // "" for every request
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
		if err := checked("upgrade."+t.String()+".", u); err != nil {
			return err
		}
	}
	if f.FlapQUIC < 0 || f.FlapHTTP2 < 0 {
		return fmt.Errorf("flap_quic or flap_http2 is %v; it is a time like 200ms", time.Duration(min(f.FlapQUIC, f.FlapHTTP2)))
	}
	if f.Answer != nil {
		if err := checked("answer.", *f.Answer); err != nil {
			return err
		}
	}
	return checked("", f)
}

// checked holds the fields of a struct against their tags. What is left out has its meaning, unless
// its name must be given.
func checked(prefix string, of any) error {
	v := reflect.ValueOf(of)
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		name, omitted, _ := strings.Cut(field.Tag.Get("json"), ",")
		if value.IsZero() && omitted != "" {
			continue
		}
		if one := strings.Fields(field.Tag.Get("one")); len(one) > 0 && !slices.Contains(one, fmt.Sprint(value)) {
			return fmt.Errorf("%s%s %q is not one of %s", prefix, name, fmt.Sprint(value), strings.Join(one, ", "))
		}
		if from, to, ok := strings.Cut(field.Tag.Get("from"), " "); ok {
			low, _ := strconv.ParseFloat(from, 64)
			high, _ := strconv.ParseFloat(to, 64)
			if x, _ := strconv.ParseFloat(fmt.Sprint(value), 64); !(x >= low && x <= high) {
				return fmt.Errorf("%s%s is %v; it goes from %s to %s", prefix, name, value, from, to)
			}
		}
	}
	return nil
}

// A Fault is one of the Faults as its tags tell it.
type Fault struct{ Name, Part, Values, About string }

// AllFaults are those that there are, in the order of their declaration.
func AllFaults() (all []Fault) {
	part := ""
	for field := range reflect.TypeFor[Faults]().Fields() {
		tag := field.Tag
		if p := tag.Get("part"); p != "" {
			part = p
		}
		f := Fault{Part: part, Values: strings.ReplaceAll(tag.Get("one"), " ", ", "), About: tag.Get("about")}
		f.Name, _, _ = strings.Cut(tag.Get("json"), ",")
		if from := tag.Get("from"); from != "" {
			f.Values = strings.Replace(from, " ", "…", 1)
		}
		switch field.Type {
		case reflect.TypeFor[bool]():
			f.Values = "true"
		case reflect.TypeFor[Duration]():
			f.Values = "200ms"
		case reflect.TypeFor[map[evidence.Transport]UpgradeFault]():
			form, _ := reflect.TypeFor[UpgradeFault]().FieldByName("Form")
			f.Values = `{"quic":{"share":0…1,"form":F},"http2":…}; F is ` + strings.ReplaceAll(form.Tag.Get("one"), " ", ", ")
		case reflect.TypeFor[*EdgeAnswer]():
			f.Values = `{"status","header","body","to":"websocket"|"page"}`
		}
		all = append(all, f)
	}
	return all
}

// A Damage is something wrong as the demonstration offers it.
type Damage struct {
	Name, Words string
	Done        bool // it is in force
	do, undo    func(*Faults)
}

// Damages are what the demonstration offers, and which of it are in force.
func (f Faults) Damages() []Damage {
	all := []Damage{
		stripping(f, "quic", "every WebSocket is lost over QUIC", 1, evidence.OverQUIC),
		stripping(f, "quic-some", "one WebSocket in five is lost over QUIC", 0.2, evidence.OverQUIC),
		stripping(f, "everywhere", "every WebSocket is lost, over QUIC and HTTP/2", 1),
	}
	for field := range reflect.TypeFor[Faults]().Fields() {
		words := field.Tag.Get("plain")
		if words == "" {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value := "true"
		if one := strings.Fields(field.Tag.Get("one")); len(one) > 0 {
			value = one[0]
		} else if field.Type == reflect.TypeFor[Duration]() {
			value = `"300ms"`
		}
		at := func(f *Faults) reflect.Value { return reflect.ValueOf(f).Elem().FieldByIndex(field.Index) }
		all = append(all, Damage{name, words, !at(&f).IsZero(),
			func(f *Faults) { _ = json.Unmarshal([]byte(value), at(f).Addr().Interface()) }, // a test holds that it is one of the field's
			func(f *Faults) { at(f).SetZero() }})
	}
	return all
}

func stripping(f Faults, name, words string, share float64, over ...evidence.Transport) Damage {
	those := Stripped(share, over...).Upgrade
	return Damage{name, words, maps.Equal(f.Upgrade, those), func(f *Faults) { f.Upgrade = maps.Clone(those) }, func(f *Faults) { f.Upgrade = nil }}
}

// shutting are the fields that shut the WebSocket out, by where.
var shutting = func() map[string][]int {
	at := map[string][]int{}
	for field := range reflect.TypeFor[Faults]().Fields() {
		where := field.Tag.Get("shuts")
		at[where] = append(at[where], field.Index[0])
	}
	return at
}()

// shut says whether one of the faults shuts the WebSocket out there.
func (f *Faults) shut(where string) bool {
	v := reflect.ValueOf(f).Elem()
	return slices.ContainsFunc(shutting[where], func(i int) bool { return !v.Field(i).IsZero() })
}

// clone keeps what the caller holds apart from what the world holds.
func (f Faults) clone() Faults {
	f.Upgrade = maps.Clone(f.Upgrade)
	if f.Answer != nil {
		f.Answer = new(*f.Answer)
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
