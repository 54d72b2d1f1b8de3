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

	Telling []string // the newest telling lines, oldest first, a few
}
