package evidence

import "time"

// Evidence is everything seen at one moment. Parts that were not looked at are
// zero and say nothing.
type Evidence struct {
	At        time.Time
	Public    Look // the probe: the WebSocket handshake through the public name
	Page      Look // a plain GET of the same host
	Direct    Look // the handshake straight to Home Assistant
	Connector Connector
	AddOn     AddOn
	Core      Core
	Internet  Internet
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
	Edges      []string // addresses of the edge, in order of connection index
	Counters   *Counters
	ObservedUp time.Duration // how long we have seen it up without a break; 0 if not known
}

// Up says whether the connector says of itself that it can carry requests.
func (c Connector) Up() bool { return c.Asked && c.Status == 200 && c.Ready > 0 }

// Counters are the connector's totals since its start (cloudflared_tunnel_*).
type Counters struct {
	Requests   uint64         // total_requests: everything it carried, good WebSockets included
	Errors     uint64         // request_errors: the origin could not be asked
	Codes      map[int]uint64 // response_by_code: a stripped WebSocket adds one 400; a 101 is never counted
	Concurrent int            // concurrent_requests_per_tunnel: open WebSockets included
	Version    string         // build_info
}

// AddOn is Supervisor's word on the watched add-on.
type AddOn struct {
	Asked     bool
	Installed bool
	Slug      string
	Name      string
	Version   string
	State     AddOnState
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

// Core is Home Assistant Core's answer through Supervisor's proxy.
type Core struct {
	Asked  bool
	Status int    // 200, or 502 while Core is down or starting
	State  string // RUNNING, STARTING… from /api/config, "" if it did not answer
}

// Internet is Supervisor's word on the internet.
type Internet uint8

const (
	InternetUnknown Internet = iota
	InternetUp
	InternetDown
)

var internetNames = [...]string{"unknown", "up", "down"}

func (i Internet) String() string { return name(internetNames[:], i) }
