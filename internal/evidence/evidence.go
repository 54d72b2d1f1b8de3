package evidence

import (
	"time"

	"tunnelmedic/internal/enum"
)

// Evidence is everything seen at one moment. Parts that were not looked at are
// zero and say nothing.
type Evidence struct {
	At        time.Time
	Public    Look // the probe: the WebSocket handshake through the public name
	Page      Look // a plain GET of the same host
	Direct    Look // the handshake straight to Home Assistant
	Service   Look // the handshake at the tunnel's service, where that is not Home Assistant itself
	QUIC      Look // QUIC to Cloudflare's edge, where the tunnel does not use it
	Names     Names
	Connector Connector
	Log       Log
	CoreLog   CoreLog
	Frontend  Frontend
	AddOn     AddOn
	Core      Core
	Internet  Internet
	Zone      Zone
	Memory    Memory
	// SupervisorAway is why the Supervisor API did not answer, "" if it did or was not asked.
	SupervisorAway string
}

// Connector is what the running cloudflared says of itself on its metrics server.
type Connector struct {
	Asked      bool
	Trouble    Trouble // of asking: Refused before it listens or while it is stopped
	Status     int     // of /ready: 200 or 503
	Ready      int     // connections to the edge that stand, of four
	Transport  Transport
	Edges      []string      // addresses of the edge, in order of connection index
	ObservedUp time.Duration // how long we have seen it up without a break; 0 if not known
	// Running is how long its process has run, connected or not; 0 if it does not answer.
	Running time.Duration
	// ObservedDown is how long it has been seen running without one connection; 0 if it has one, or is not known.
	ObservedDown time.Duration

	// The totals around the probe: just before it, just after it, and after the
	// plain GET that follows a failed one. nil where they could not be read.
	Before, Counters, AfterPage *Counters

	Route Route
}

// Carried is how many requests the connector carried while the probe was made.
// Other people's are among them: one or more proves little, none proves that the
// probe took another way. known is false where the totals could not be read or
// the connector was restarted in between.
func (c Connector) Carried() (rise Counters, known bool) { return c.Counters.since(c.Before) }

// CarriedPage is Carried for the plain GET after a failed probe.
func (c Connector) CarriedPage() (rise Counters, known bool) { return c.AfterPage.since(c.Counters) }

// Route is where the tunnel's ingress rules send the public name.
type Route struct {
	Asked         bool
	Found         bool   // a rule names the host, or fits it
	Service       string // such as http://homeassistant:8123, without credentials
	HomeAssistant bool   // the service is Home Assistant, or the add-on's own proxy in front of it
}

// Up says whether the connector says of itself that it can carry requests.
func (c Connector) Up() bool { return c.Asked && c.Status == 200 && c.Ready > 0 }

// Counters are the connector's totals since its start (cloudflared_tunnel_*).
type Counters struct {
	Requests   uint64         // total_requests: everything it carried, good WebSockets included
	Errors     uint64         // request_errors: the origin could not be asked
	Codes      map[int]uint64 // response_by_code: a stripped WebSocket adds one 400; a 101 is never counted
	Concurrent int            // concurrent_requests_per_tunnel: open WebSockets included
	Began      time.Time      // process_start_time_seconds: when the process was started; zero if not told
	Version    string         // build_info
	Locations  []string       // server_locations: data centres such as fra03, as of the connections' start; it goes stale
}

// since gives how much the totals rose since an earlier reading of one process.
func (c *Counters) since(before *Counters) (rise Counters, known bool) {
	if c == nil || before == nil || c.Requests < before.Requests || c.Errors < before.Errors {
		return Counters{}, false
	}
	rise = Counters{Requests: c.Requests - before.Requests, Errors: c.Errors - before.Errors, Codes: map[int]uint64{}}
	for code, n := range c.Codes {
		if n < before.Codes[code] {
			return Counters{}, false
		}
		if n > before.Codes[code] {
			rise.Codes[code] = n - before.Codes[code]
		}
	}
	return rise, true
}

// AddOn is Supervisor's word on the watched add-on.
type AddOn struct {
	Asked     bool
	Installed bool
	Slug      string
	Name      string
	Version   string
	State     AddOnState

	Protocol      Protocol // as Supervisor has it stored
	ProtocolKnown bool
	Grace         string // --grace-period as stored, "" for none

	// HasToken says that the option tunnel_token is set: the tunnel is managed at
	// Cloudflare, and the app's start asks Cloudflare's API for nothing. The token
	// itself is nobody's evidence.
	HasToken   bool
	TokenKnown bool // the options could be read
	// External is the option external_hostname, for which the app's start writes the
	// service from Home Assistant's own port and SSL; "" with a token, which voids it.
	External string

	// Startable says whether a start could succeed now: a locally managed tunnel needs
	// Cloudflare's API for it. NotKnown if that was not asked.
	Startable Switch
}

// AddOnState is Supervisor's state of an add-on.
type AddOnState string

const (
	StateStartup AddOnState = "startup"
	StateStarted AddOnState = "started"
	StateStopped AddOnState = "stopped" // exit 0: a person's choice, as a rule
	StateError   AddOnState = "error"   // any other exit
	StateUnknown AddOnState = "unknown"
)

// Ended says whether it does not run.
func (s AddOnState) Ended() bool { return s == StateStopped || s == StateError }

// Runs says whether its container runs.
func (s AddOnState) Runs() bool { return s == StateStartup || s == StateStarted }

// Core is Home Assistant Core's answer through Supervisor's proxy.
type Core struct {
	Asked  bool
	Status int    // 200, or 502 while Core is down or starting
	State  string // RUNNING, STARTING… from /api/config, "" if it did not answer
	Runs   Switch // whether its container runs, by Supervisor

	// Where Supervisor says that it listens, and which Core it is.
	Port    int  // 0: not known
	SSL     bool // it speaks https there
	Version string
}

// Internet is Supervisor's word on the internet.
type Internet uint8

const (
	InternetUnknown Internet = iota
	InternetUp
	InternetDown
)

var internetNames = []string{"unknown", "up", "down"}

func (i Internet) String() string { return enum.Name(internetNames, i) }

// Switch is something that is on, off, or not known.
type Switch uint8

const (
	NotKnown Switch = iota
	On
	Off
)

var switchNames = []string{"not known", "on", "off"}

func (s Switch) String() string { return enum.Name(switchNames, s) }

// Zone is Cloudflare's own word, from its API, which takes a token to ask.
type Zone struct {
	WebSockets Switch // the zone's setting Network → WebSockets
	// Connected says whether Cloudflare sees a connection of the tunnel that this
	// house's connector belongs to.
	Connected Switch
	// SignIn says whether the zone has both of what is suspected to break browsers' sign-in:
	// mutual TLS and HTTP/3.
	SignIn Switch
}

// Memory is what earlier probes of this host name showed.
type Memory struct {
	Known bool // somebody has kept count
	Ever  bool // Home Assistant has greeted through the tunnel, under any protocol
	// ThisRun says that it did so carried by the connector's present process.
	ThisRun bool
}
