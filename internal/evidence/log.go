package evidence

// Log is what the telling lines of the connector's log amount to, those of its
// present run. Counts are of lines, unless they say otherwise.
type Log struct {
	Asked   bool
	Initial Transport // "Initial protocol quic"

	Registered int  // connections to the edge that came to stand
	FellBack   bool // "Switching to fallback protocol http2"

	Rejected    int // the edge does not take the tunnel's credentials
	QUICFailed  int // dialling the edge over QUIC failed, since the last connection that stood
	HTTP2Failed int // the same over HTTP/2
	Lost        int // how often, of late, QUIC connections that stood broke
	NoHost      int // "no Host in request URL": cloudflared's own words for an upgrade it cannot pass on
	OriginTLS   int // the service was asked over http where it speaks https, or the other way round

	// StartFailed is why the app's own start script gave up before cloudflared ran,
	// in its last run.
	StartFailed StartFailure

	Telling []string // the newest telling lines, oldest first, a few
}

// StartFailure is why the Cloudflared app ended at its start, before cloudflared ran.
type StartFailure uint8

const (
	StartClean          StartFailure = iota // nothing of the kind is in the log
	StartDNSEntry                           // Cloudflare refused a DNS entry, with a code of its own
	StartTunnelName                         // the tunnel's name is not the one in the options
	StartAuthentication                     // Cloudflare's API does not accept the app's login (code 10000)
	StartAPIAway                            // Cloudflare's API could not be asked
	StartNoEdge                             // cloudflared found no address of Cloudflare's edge that it may use
	StartOther                              // anything else that the start script calls fatal
)

var startFailureNames = [...]string{"clean", "DNS entry", "tunnel name", "authentication", "Cloudflare's API away", "no edge address", "other"}

func (s StartFailure) String() string { return name(startFailureNames[:], s) }

// MarshalText writes the reason's name.
func (s StartFailure) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
