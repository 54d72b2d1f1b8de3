package tunnel

import (
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// EventKind is what a line of the log tells of.
type EventKind uint8

const (
	Nothing    EventKind = iota // nothing worth telling, or part of what another line tells
	Began                       // a run of the app, or of cloudflared in it
	Attempted                   // a connection is being made
	Registered                  // it stands
	Broke                       // it is gone again, whether or not it ever stood
	DialFailed                  // it could not be made
	Refused                     // the edge does not take the tunnel's credentials
	FellBack                    // auto gave QUIC up
	OriginFailed
	LoginWanted
	LoggedIn
	StartFailed
	Stopped // in order
	Failed  // an error that the table does not know
)

// Reason is why something failed, as far as it decides what can help.
type Reason uint8

const (
	NoReason     Reason = iota
	MayBeBlocked        // no answer, refused, not permitted, or words that nobody knows: a network that lets nothing through explains it
	Unroutable          // no way to the address from this machine
	Untrusted           // the certificate was not taken, mostly for a wrong clock
	Unspoken            // TLS failed on this side
	Unresolved          // the address could not be looked up
	NoHost              // of an origin
	OriginTLS           // of an origin
	OriginOff           // of an origin
)

// Event is what a line, or several lines of one moment, tell of.
type Event struct {
	Kind      EventKind
	Conn      int       // the connection's index, -1 if none is named
	At        time.Time // zero: not known
	Transport evidence.Transport
	Reason    Reason
	Start     evidence.StartFailure // of StartFailed
	Line      string                // the first of its lines, shortened, without secrets
}

// sign is a row of the table: which words, in lower case, in the message and in the error, tell of
// what.
type sign struct {
	message string // "" fits all
	err     string // "" fits all
	either  string // in the message or in the error; "" fits all
	kind    EventKind
	over    evidence.Transport
	reason  Reason
	start   evidence.StartFailure
}

// signs is the table, tried from above. It knows the outer event of a fault, which
// cloudflared writes once for each connection whatever broke inside; the inner words
// differ by year and by which of three goroutines is first. The texts are those of
// cloudflared 2020.12 to 2026.8.2 (supervisor.Supervisor.Run, EdgeTunnelServer.Serve,
// serveTunnel, connection.HTTP2Connection, edgediscovery.DialEdge, token.RunTransfer,
// cfapi) and of the app's start script (prepare/run.sh).
var signs = []sign{
	{message: "initial protocol", kind: Began},
	{message: "starting tunnel", kind: Began},
	{message: "validating app (add-on) configuration", kind: Began},
	{message: "validating add-on configuration", kind: Began},
	{message: "using cloudflare remote management tunnel", kind: Began},
	{message: "s6-rc: info: service s6rc-oneshot-runner: starting", kind: Began},

	{message: "registered tunnel connection", kind: Registered},
	{message: "tunnel connection curve preferences", kind: Attempted},
	{message: "as curve preferences", kind: Attempted},
	{message: "switching to fallback protocol", kind: FellBack},

	{message: "initiating graceful shutdown", kind: Stopped},
	{either: "context canceled", kind: Nothing},

	// A request whose service could not be asked. The error may hold what strangers ask for.
	{message: "rest request failed", kind: StartFailed, start: evidence.StartAPIAway},     // of the app's start, below
	{message: "request failed", err: "canceled by remote with error code", kind: Nothing}, // a visitor who went away, over QUIC (CFD#1101, CFD#1300)
	{message: "request failed", err: "no host in request url", kind: OriginFailed, reason: NoHost},
	{message: "request failed", err: "server gave http response to https client", kind: OriginFailed, reason: OriginTLS},
	{message: "request failed", err: "malformed http response", kind: OriginFailed, reason: OriginTLS},
	{message: "request failed", err: "first record does not look like a tls handshake", kind: OriginFailed, reason: OriginTLS},
	{message: "request failed", kind: OriginFailed},
	{message: "failed to handle quic stream", kind: OriginFailed},
	{message: "failed to serve incoming request", err: "error shutting down control stream", kind: Nothing}, // HTTP/2, beside a break
	{message: "failed to serve incoming request", kind: OriginFailed},

	// What the edge answers to a registration.
	{either: "unauthorized: ", kind: Refused},
	{either: "provided tunnel token is not valid", kind: Refused},
	{either: "doesn't exist or is not a file", kind: Refused},                                            // the tunnel's credentials file
	{message: "unable to establish connection.", err: "already connected to this server", kind: Nothing}, // it takes another address on its own
	{message: "connection terminated", err: "already connected to this server", kind: Nothing},

	// Dialling. What Supervisor.Run repeats later bears the same error.
	{message: "failed to dial a quic connection", kind: DialFailed, over: evidence.OverQUIC},
	{message: "failed to dial to edge with quic", kind: DialFailed, over: evidence.OverQUIC},
	{message: "failed to create new quic connection", kind: DialFailed, over: evidence.OverQUIC}, // until 2024
	{message: "failed to create new tunnel connection", kind: DialFailed},                        // 2025
	{message: "unable to establish connection with cloudflare edge", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "connection unable to dial edge", kind: DialFailed, over: evidence.OverHTTP2},               // h2mux
	{message: "connection handshake with edge server failed", kind: DialFailed, over: evidence.OverHTTP2}, // h2mux
	{message: "dialcontext error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "tls handshake with edge error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "serve tunnel error", err: "dialcontext error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "serve tunnel error", err: "tls handshake with edge error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "serve tunnel error", err: "could not create tls configuration", kind: DialFailed},
	{message: "connection terminated", err: "failed to dial to edge with quic", kind: DialFailed, over: evidence.OverQUIC},
	{message: "connection terminated", err: "dialcontext error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "connection terminated", err: "tls handshake with edge error", kind: DialFailed, over: evidence.OverHTTP2},
	{message: "connection terminated", err: "could not create tls configuration", kind: DialFailed},
	{message: "register tunnel error from server side", kind: DialFailed},
	{message: "error looking up cloudflare edge ips", kind: DialFailed, reason: Unresolved},
	{err: "could not lookup srv records", kind: DialFailed, reason: Unresolved},
	{message: "failed to resolve to tcp address", kind: DialFailed, reason: Unresolved},
	{message: "failed to resolve to udp address", kind: DialFailed, reason: Unresolved},
	{either: "no free edge addresses left", kind: StartFailed, start: evidence.StartNoEdge},

	// A connection that is gone.
	{message: "serve tunnel error", err: "connection with edge closed", kind: Broke, over: evidence.OverHTTP2},
	{message: "lost connection with the edge", kind: Broke, over: evidence.OverHTTP2},
	{message: "unexpected muxer shutdown", kind: Broke, over: evidence.OverHTTP2}, // h2mux
	{message: "serve tunnel error", kind: Broke},
	{message: "connection terminated", err: "connection with edge closed", kind: Broke, over: evidence.OverHTTP2},
	{message: "connection terminated", kind: Broke},
	{message: "failed to serve tunnel connection", kind: Broke, over: evidence.OverQUIC},
	{message: "failed to serve quic connection", kind: Broke, over: evidence.OverQUIC},
	{message: "failed to serve the control stream", kind: Broke, over: evidence.OverQUIC},
	{message: "failed to accept incoming stream requests", kind: Broke, over: evidence.OverQUIC},
	{message: "failed to accept quic stream", kind: Broke, over: evidence.OverQUIC},
	{message: "failed to run the datagram handler", kind: Broke, over: evidence.OverQUIC},

	// The same of requests where cloudflared gives the error no message of its own.
	{err: "no host in request url", kind: OriginFailed, reason: NoHost},
	{err: "server gave http response to https client", kind: OriginFailed, reason: OriginTLS},
	{err: "malformed http response", kind: OriginFailed, reason: OriginTLS},
	{err: "first record does not look like a tls handshake", kind: OriginFailed, reason: OriginTLS},
	{either: "unable to reach the origin service", kind: OriginFailed},
	{err: "incoming request ended abruptly", kind: Nothing},
	{err: "canceled by remote with error code", kind: Nothing},

	// The app's start, and what cloudflared prints for it.
	{message: "please open the following url and log in", kind: LoginWanted},
	{message: "a browser window should have opened at the following url", kind: LoginWanted},
	{message: "please follow the cloudflare auth-steps", kind: LoginWanted},
	{message: "you have successfully logged in", kind: LoggedIn},
	{message: "authentication successful", kind: LoggedIn},
	{message: "existing certificate found", kind: LoggedIn},
	{message: "code: 10000", kind: StartFailed, start: evidence.StartAuthentication},
	{message: "server returned: 401", kind: StartFailed, start: evidence.StartAuthentication},
	{message: "server returned: 403", kind: StartFailed, start: evidence.StartAuthentication},
	{message: "failed to add route: unauthorized", kind: StartFailed, start: evidence.StartAuthentication},
	{message: "failed to add route: code: ", kind: StartFailed, start: evidence.StartDNSEntry},
	{message: "failed to add route: ", kind: StartFailed, start: evidence.StartAPIAway},
	{message: "api call to ", kind: StartFailed, start: evidence.StartAPIAway},
	{message: "failed to fetch page. server returned: ", kind: StartFailed, start: evidence.StartAPIAway},
	{message: "failed to create dns entry", kind: StartFailed, start: evidence.StartAPIAway}, // unless a line before it knows better
	{message: "tunnel name does not match", kind: StartFailed, start: evidence.StartTunnelName},
}

// harmless are grave lines that stand in the log of every healthy tunnel.
var harmless = []string{
	"failed to sufficiently increase receive buffer size",
	"cannot determine default origin certificate path", // with a token there is none
	"icmp router terminated", "icmp proxy",
	"dns local resolver", // of private networks behind the tunnel; the tunnel needs it for nothing (ingress/origins/dns.go; APP#1039)
	"no more connections active and exiting",
	"group id", "ping_group_range", // ICMP wants a group that containers do not have
	"please try the following things to diagnose", "ensure that argotunnel.com", "ensure that your dns resolver", "run your system's equivalent", "see github issue",
	"for example, you could use", "https://developers.cloudflare.com",
	"-----------", "configuration tunnel name:", "credentials file tunnel name:", "align add-on configuration", "align app (add-on) configuration", "or re-install the",
}

// failing are the beginnings of a line without a level that speaks of trouble all the same.
var failing = []string{"error", "failed", "fatal", "panic", "couldn't", "could not", "unable", "cannot", "can't", "invalid", "incorrect usage"}

// classify says what a line tells of: by the table, or, if it does not know the words and
// the line is grave, that there was an error.
func classify(e entry) sign {
	message, err := strings.ToLower(e.message), strings.ToLower(e.err)
	if i := slices.IndexFunc(signs, func(s sign) bool { return s.fits(message, err) }); i >= 0 {
		return signs[i].read(message, err)
	}
	has := func(h string) bool { return strings.Contains(message, h) }
	speaks := func(f string) bool { return strings.HasPrefix(message, f) }
	switch {
	case strings.HasPrefix(message, "connection ") && strings.HasSuffix(message, " registered"): // with its id in between, until 2022
		return sign{kind: Registered}
	case slices.ContainsFunc(harmless, has):
	case e.app && e.level == grave && strings.Contains(e.text, "FATAL:"):
		return sign{kind: StartFailed, start: evidence.StartOther}
	case e.level == grave && message+err != "", e.level != info && err != "", e.level == plain && slices.ContainsFunc(failing, speaks):
		return sign{kind: Failed}
	}
	return sign{}
}

// read is the sign with what the words of a line that fits it add.
func (s sign) read(message, err string) sign {
	switch {
	case s.kind == Registered && strings.Contains(message, "unregistered"):
		return sign{}
	case s.kind == DialFailed && s.reason == NoReason:
		s.reason = reasonIn(err+message, dialReasons, MayBeBlocked)
	case s.kind == OriginFailed && s.reason == NoReason:
		s.reason = reasonIn(err+message, originReasons, NoReason)
	}
	return s
}

func (s sign) fits(message, err string) bool {
	return strings.Contains(message, s.message) && strings.Contains(err, s.err) && (strings.Contains(message, s.either) || strings.Contains(err, s.either))
}

// why is a row of a table of reasons.
type why struct {
	words  string
	reason Reason
}

// dialReasons tell failures that no block explains from those that one does. Words
// that nobody knows count among the latter: newer cloudflareds reword them.
var dialReasons = []why{
	{"no application protocol", MayBeBlocked}, {"crypto_error 0x178", MayBeBlocked}, // a network that rejects QUIC at TLS level (CFD#1736)
	{"network is unreachable", Unroutable}, {"no route to host", Unroutable}, {"host is unreachable", Unroutable}, {"cannot assign requested address", Unroutable},
	{"address family not supported", Unroutable},
	{"x509", Untrusted}, {"certificate", Untrusted},
	{"no such host", Unresolved}, {"server misbehaving", Unresolved}, {"dns query failed", Unresolved},
	{"curvepreferences", Unspoken}, {"unsupported curve", Unspoken}, {"no supported elliptic curves", Unspoken}, {"could not create tls configuration", Unspoken},
	{"internal_error (local): tls", Unspoken}, {"crypto_error", Unspoken},
}

var originReasons = []why{{"connection refused", OriginOff}, {"no route to host", OriginOff}, {"network is unreachable", OriginOff}, {"no such host", OriginOff},
	{"host is unreachable", OriginOff}}

// reasonIn is the reason of the first row whose words are said.
func reasonIn(said string, table []why, otherwise Reason) Reason {
	for _, r := range table {
		if strings.Contains(said, r.words) {
			return r.reason
		}
	}
	return otherwise
}
