package evidence

import "time"

// OfLate is how far back connections that broke count.
const OfLate = 10 * time.Minute

// Log is what the log of the Cloudflared app amounts to, cloudflared's lines and
// those of the app's own start script, both of its present run. Counts are of
// events: one connection that breaks writes up to three lines, and is one event.
type Log struct {
	Asked bool
	// Terse says that cloudflared's lines of level info are missing (--loglevel=error, or
	// it never ran), so that what is told there only proves nothing by its absence.
	Terse bool

	Registered int  // connections to the edge that came to stand
	FellBack   bool // "Switching to fallback protocol http2"

	// What failed since the last connection that stood.
	Rejected    int // the edge does not take the tunnel's credentials
	QUICFailed  int // dialling the edge over QUIC failed in a way that a block explains
	HTTP2Failed int // the same over HTTP/2
	Unroutable  int // no way to the edge's address: "network is unreachable"
	Untrusted   int // the edge's certificate was not taken: a wrong clock, or something that looks into TLS
	Unspoken    int // TLS failed on this side: "CurvePreferences includes unsupported curve"
	Unresolved  int // the edge's addresses could not be looked up

	Lost     int       // how often, of late (OfLate), one connection broke, the one that broke most
	LostOver Transport // over what it did

	// What single requests met, of late.
	NoHost    int // "no Host in request URL": cloudflared's own words for an upgrade it cannot pass on
	OriginTLS int // the service was asked over http where it speaks https, or the other way round
	OriginOff int // the service refused the connection, or has no route or name

	LoginWanted bool // the app waits until somebody logs in at Cloudflare
	// StartFailed is why the app's own start script gave up before cloudflared ran,
	// in its last run.
	StartFailed StartFailure

	Unknown   int    // errors that no row of the table knows
	LastError string // the newest of them, shortened, without the paths of its links

	// Failures is how many events since the last connection that stood speak of
	// trouble, known or not, other than with single requests.
	Failures int

	Telling []string // the newest telling lines, oldest first, a few
}

// Quiet says that the log was read, is one that would tell, and tells of no trouble since
// a connection last stood.
func (l Log) Quiet() bool { return l.Asked && !l.Terse && l.Failures == 0 }

// StartFailure is why the Cloudflared app ended at its start, before cloudflared
// carried anything.
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
