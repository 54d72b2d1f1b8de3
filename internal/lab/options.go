package lab

import (
	"iter"
	"net/http"
	"reflect"
	"time"

	"tunnelmedic/internal/lab/wire"
)

// The world's credentials, all invented.
const (
	SupervisorToken = "lab-supervisor-token-5d1f0c"
	HAToken         = "lab-long-lived-token-77ab31" // signs in at Home Assistant
	AccessID        = "lab-access-id.access"
	AccessSecret    = "lab-access-secret-90c2e4"
	CloudflareToken = "lab-cloudflare-api-token-13fe"
	LoginSecret     = "lab-login-link-0c77d1"   // of the link that Faults.LoginWanted prints
	TunnelToken     = "lab-tunnel-token-6b0a52" // in the default add-on's options
)

// The world's names.
const (
	DefaultSlug = "9074a9fa_cloudflared"
	SelfSlug    = "local_tunnelmedic"
	PublicHost  = "ha.example.com"
	Colo        = "FRA"
)

// Options says what the world is to be. The zero value is a healthy house with
// the Cloudflared add-on running on its own choice of protocol.
type Options struct {
	Seed uint64 // of everything drawn; the same seed draws the same

	// Speed divides all Timings, the daemon's included: 1, the default, suits
	// tests, 0.1 suits eyes. Timings that are set stand as they are.
	Speed   float64
	Timings Timings

	AddOns        []AddOn           // installed; nil is the Cloudflared add-on and another one, empty is none
	RunParameters []string          // of the default Cloudflared add-on
	Local         bool              // its tunnel is managed locally: it has no tunnel_token, and its start needs Cloudflare's API
	Version       string            // of cloudflared; "" is 2026.8.2
	Stores        map[string]string // addresses of stores by their slug; those of the Cloudflared app are known

	FindURL     bool     // leave TUNNELMEDIC_PUBLIC_URL out of Env
	ExternalURL string   // of Core's config; "" is the edge's URL
	Origin      string   // host:port of a Home Assistant that is not the lab's; "" is the lab's own
	ServiceURL  string   // where the connector's rules send PublicHost; "" is http://homeassistant at Home Assistant's port
	Hosts       []string // further names that the connector's rules send there
	TLS         bool     // the edge speaks https, with a certificate of a CA of its own
	Proxy       bool     // a reverse proxy stands between connector and Home Assistant; ServiceURL "" is its address
	SplitDNS    bool     // the public name is localhost: Home Assistant at 127.0.0.1, the edge at 127.0.0.2, same port (Linux)

	HAVersion string   // "" is 2026.11.2
	Timezone  string   // "" is Europe/Berlin
	Language  string   // of Home Assistant; "" is en
	Notify    []string // notify services that exist; nil is mobile_app_pixel
	Users     []User   // of Home Assistant; nil is an owner and somebody who is no administrator
	MQTT      *MQTT    // the broker that Supervisor knows; nil is none
	Faults    Faults   // from the first moment

	// Tap is told of each call of Supervisor's API that takes effect, and lets it, or does
	// not; nil lets all. It is for a test that watches, or that strikes in the middle.
	Tap func(req *http.Request, effect func())

	Net *wire.Net // the network in memory that the world lives on, in a bubble of testing/synctest; nil is loopback
}

// User is a user of Home Assistant's, as its config/auth/list tells.
type User struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Owner  bool     `json:"is_owner"`
	Active bool     `json:"is_active"`
	Groups []string `json:"group_ids"`
}

// The ids of the users in a world that names none.
const (
	OwnerID = "1f0e4c6a5b3d4e2f9a8b7c6d5e4f3a2b" // an administrator
	ChildID = "2a1b3c4d5e6f708192a3b4c5d6e7f809" // none
)

// MQTT is Supervisor's word on the broker.
type MQTT struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	SSL      bool   `json:"ssl"`
	Protocol string `json:"protocol"`
}

// Timings is how long things take. Zero fields take the default over Speed, which is fast; real is what the
// real parts were measured to take, and the daemon's own default.
type Timings struct {
	Setup         time.Duration `fast:"50ms" real:"4s"`     // from the container's start until cloudflared runs
	First         time.Duration `fast:"20ms" real:"200ms"`  // until the first connection stands
	All           time.Duration `fast:"60ms" real:"2100ms"` // until all four stand
	Fallback      time.Duration `fast:"600ms" real:"131s"`  // until auto gives up QUIC
	BackOverQUIC  time.Duration `fast:"20ms" real:"1s"`     // until connections that broke stand again
	BackOverHTTP2 time.Duration `fast:"200ms" real:"20s"`
	Kill          time.Duration `fast:"150ms" real:"10s"` // Supervisor's patience with a stop
	CoreStart     time.Duration `fast:"200ms" real:"40s"` // Home Assistant's start

	// The daemon's; with Own, Env names none of them, so that it takes its own.
	Own            bool
	ProbeInterval  time.Duration `fast:"500ms" real:"2m" env:"TUNNELMEDIC_PROBE_INTERVAL"`
	BurstInterval  time.Duration `fast:"40ms" real:"2s" env:"TUNNELMEDIC_BURST_INTERVAL"`
	SensorInterval time.Duration `fast:"100ms" real:"4s" env:"TUNNELMEDIC_SENSOR_INTERVAL"`
	MinUptime      time.Duration `fast:"300ms" real:"2m" env:"TUNNELMEDIC_MIN_UPTIME"`
	SettleTimeout  time.Duration `fast:"3s" real:"60s" env:"TUNNELMEDIC_SETTLE_TIMEOUT"`
	HoldBase       time.Duration `fast:"2s" real:"30m" env:"TUNNELMEDIC_HOLD_BASE"`
	ProbeTimeout   time.Duration `fast:"1s" real:"10s" env:"TUNNELMEDIC_PROBE_TIMEOUT"`
}

// RealTimings are those of the world outside. They are for a bubble, where time costs nothing.
func RealTimings() Timings { return Timings{Own: true}.filled("real", 1) }

// filled gives each time that is not set what a tag says, over speed.
func (t Timings) filled(tag string, speed float64) Timings {
	for d, tags := range t.all() {
		if *d == 0 {
			span, _ := time.ParseDuration(tags.Get(tag)) // a test reads them all
			*d = time.Duration(float64(span) / speed)
		}
	}
	return t
}

// all are the times, with their tags.
func (t *Timings) all() iter.Seq2[*time.Duration, reflect.StructTag] {
	return func(yield func(*time.Duration, reflect.StructTag) bool) {
		for field, value := range reflect.ValueOf(t).Elem().Fields() {
			if d, ok := value.Addr().Interface().(*time.Duration); ok && !yield(d, field.Tag) {
				return
			}
		}
	}
}
