package evidence

import "tunnelmedic/internal/enum"

// CoreLog is what Home Assistant's own log says of requests that came to it, as counts:
// no address, no name, no user agent is kept.
type CoreLog struct {
	Asked bool // it was read

	Forwarded ForwardedReason // why its HTTP server refused a forwarded request last, of late
	Refused   int             // how many it refused so
	Bans      int             // addresses banned

	// Connections closed during sign-in, by kind of client. Home Assistant 2025.4 writes
	// them as warnings, 2026.11 at debug alone: that there are none proves nothing, unless
	// our own are there.
	Closed [NumClients]int
	Ours   int // of them our own checks', which are not among Closed
}

// ClosedByBrowsers is how many connections browsers and Home Assistant's app closed during sign-in.
func (l CoreLog) ClosedByBrowsers() (n int) {
	for c, k := range l.Closed {
		if Client(c) != OtherClient {
			n += k
		}
	}
	return n
}

// Client is a kind of client, by its user agent.
type Client uint8

const (
	OtherClient Client = iota // no browser: a monitor, a script, or nothing said
	Chromium                  // Chrome and its relatives
	Firefox
	Safari
	CompanionApp // Home Assistant's own, a browser engine inside

	NumClients = iota
)

var clientNames = []string{"others", "Chrome or a relative", "Firefox", "Safari", "Home Assistant's app"}

func (c Client) String() string { return enum.Name(clientNames, c) }

// ForwardedReason is why Home Assistant's HTTP server answers a request from a reverse
// proxy with "400: Bad Request" (homeassistant/components/http/forwarded.py).
type ForwardedReason uint8

const (
	NotForwarded      ForwardedReason = iota // none was logged
	ForwardedUnset                           // use_x_forwarded_for is off
	ForwardedDistrust                        // the proxy's address is not among trusted_proxies
	ForwardedAddress                         // X-Forwarded-For holds something that is no IP address
	ForwardedNoProto                         // an empty item in X-Forwarded-Proto
	ForwardedProtos                          // X-Forwarded-Proto has neither one item nor as many as X-Forwarded-For
	ForwardedNoHost                          // an empty X-Forwarded-Host
	ForwardedTwice                           // one of these headers came more than once (Home Assistant before 2026)
)

// AboutHeader says that the reason lies in a header, and not in whom Home Assistant trusts.
func (r ForwardedReason) AboutHeader() bool { return r > ForwardedDistrust }
