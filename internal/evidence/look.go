// Package evidence holds what was seen, as plain values: how far each look got
// and what came back. It judges nothing, does no I/O and imports nothing of the
// project, so that probes can fill it, the diagnosis can read it, and a test can
// write it down by hand.
package evidence

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/enum"
)

// Stage is how far a look got: the furthest point it reached.
// The zero value says that the look was not done, and so says nothing.
type Stage uint8

const (
	NotAsked  Stage = iota // the look was not done
	Asked                  // it was begun and got nowhere: the name has no address
	Resolved               // the name has an address, nothing answered there
	Connected              // TCP stood
	Secured                // TLS stood (on http:// equal to Connected)
	Answered               // a whole HTTP answer head came, other than 101
	Upgraded               // 101 came, no greeting after it
	Greeted                // Home Assistant said auth_required
	SignedIn               // and accepted the token
)

var stageNames = []string{"not asked", "asked", "resolved", "connected", "secured", "answered", "upgraded", "greeted", "signed in"}

func (s Stage) String() string { return enum.Name(stageNames, s) }

// Trouble is what ended a look, where something did. An HTTP status is not a
// trouble: it is an answer.
type Trouble uint8

const (
	NoTrouble         Trouble = iota
	NameNotFound              // the resolver says that the name does not exist
	ResolverFailed            // no resolver could be asked, or it answered with an error
	Refused                   // the address refused the connection
	Unreachable               // no route to the address
	TimedOut                  // nothing came within the look's time
	Cut                       // the other side ended the connection before its answer was whole
	BadCertificate            // the certificate does not fit the name, has expired, or is signed by nobody known
	CertificateWanted         // the other side asked for a client certificate and would not go on without
	TLSFailed                 // any other failed TLS handshake
	Garbled                   // something came that is not the protocol it should be
	Interrupted               // our own side gave up (shutdown): the look says nothing
	Unusable                  // the look could not be begun: a bad URL or certificate file of ours
	Unverified                // the certificate cannot be judged here: this machine's clock is wrong, or the authority is newer than this program
)

var troubleNames = []string{"none", "name not found", "resolver failed", "connection refused", "unreachable", "timed out", "cut off",
	"bad certificate", "client certificate wanted", "TLS failed", "garbled", "interrupted", "unusable", "unverified"}

func (t Trouble) String() string { return enum.Name(troubleNames, t) }

// MarshalText writes the trouble's name.
func (t Trouble) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is not known.
func (t *Trouble) UnmarshalText(b []byte) error {
	_ = enum.Parse(troubleNames, "trouble", b, t)
	return nil
}

// SignIn is what became of the long-lived token in a look.
type SignIn uint8

const (
	NoToken       SignIn = iota // none was configured, or the look never got that far
	TokenAccepted               // auth_ok
	TokenRefused                // auth_invalid: it must never be sent again (Home Assistant bans the sender)
	TokenWithheld               // it was refused before, so it was not sent
	TokenKept                   // the greeting did not come from Cloudflare, so it was not sent
)

// Refused says that Home Assistant does not take the token, now or before.
func (s SignIn) Refused() bool { return s == TokenRefused || s == TokenWithheld }

// BodyLimit is how much of an answer's body a look keeps, in bytes.
const BodyLimit = 1024

// Look is one question to one place and what came back. A look never fails: what
// went wrong is what it saw.
type Look struct {
	Asked   string        // method and URL, without credentials or query
	At      time.Time     // when it was begun
	Took    time.Duration // until it ended
	Stage   Stage
	Trouble Trouble
	Detail  string // the error's text, one line, scrubbed; for people only

	Addr    string // IP address and port that were dialled, "" if none
	Outside bool   // the name was resolved over DNS-over-HTTPS, not by the house's resolver
	TLS     *TLS   // nil on http:// or where TLS did not stand

	Status int               // HTTP status, 101 included; 0 if no answer came
	Header map[string]string // the kept headers, canonical names (see Kept); values cut at 300 bytes
	Body   string            // at most BodyLimit bytes of a refusal's body

	HAVersion string // from auth_required
	SignIn    SignIn
	Showed    Credentials
}

// Credentials are what a look showed to be let in, so that a wrong one is told
// apart from a missing one.
type Credentials struct {
	ServiceToken      bool // Cloudflare Access's two headers were sent
	CertificateWanted bool // the server asked for a client certificate in the TLS handshake
	Certificate       bool // and one was given
}

// TLS is what a TLS handshake showed.
type TLS struct {
	Version  string    // "TLS 1.3"
	ALPN     string    // negotiated protocol, "" if none
	Names    []string  // DNS names of the leaf certificate
	Issuer   string    // issuer's common name, or organisation
	NotAfter time.Time // end of validity
}

// Kept lists the answer headers that a look keeps, by canonical name. A name that
// ends in "-" keeps all that begin so.
var Kept = []string{"Cf-Ray", "Cf-Mitigated", "Cf-Access-", "Cf-Cache-Status", "Server", "Location", "Content-Type", "Retry-After", "Upgrade", "Connection", "Www-Authenticate"}

// Done says whether the look was made and says something.
func (l Look) Done() bool { return l.Stage != NotAsked && l.Trouble != Interrupted }

// Answered says whether a whole HTTP answer head came.
func (l Look) Answered() bool { return l.Stage >= Answered }

// Healthy says whether Home Assistant greeted through this look.
func (l Look) Healthy() bool { return l.Stage >= Greeted && l.Trouble == NoTrouble }

// QUICPasses is what a look over QUIC says of whether cloudflared's QUIC gets through
// this network. A "no" to the handshake, and a certificate that is somebody else's, keep
// it out as silence does. What could not be sent or judged says nothing.
func (l Look) QUICPasses() Switch {
	switch {
	case l.Stage == Secured:
		return On
	case l.Trouble == TimedOut, l.Trouble == TLSFailed, l.Trouble == BadCertificate:
		return Off
	}
	return NotKnown
}

// HeaderValue gives a kept header, "" if it was not there.
func (l Look) HeaderValue(name string) string { return l.Header[http.CanonicalHeaderKey(name)] }

// FromCache says that Cloudflare gave the answer without asking anyone behind it
// (developers.cloudflare.com/cache/concepts/cache-responses).
func (l Look) FromCache() bool {
	return slices.Contains([]string{"HIT", "STALE", "UPDATING"}, strings.ToUpper(l.HeaderValue("Cf-Cache-Status")))
}

// CFRay gives Cloudflare's id of the request, "" if the answer did not pass
// Cloudflare: every answer of its edge bears one.
func (l Look) CFRay() string { return l.HeaderValue("Cf-Ray") }

// Colo gives the data centre's code from the cf-ray ("FRA"), "" if there is none.
func (l Look) Colo() string {
	if _, colo, ok := strings.Cut(l.CFRay(), "-"); ok {
		return colo
	}
	return ""
}
