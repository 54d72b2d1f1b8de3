package evidence

import "tunnelmedic/internal/enum"

// Gap is why a part of Cloudflare's own word cannot be had.
type Gap struct {
	Kind    GapKind `json:"kind"`
	Of      GapOf   `json:"of,omitzero"`
	Trouble Trouble `json:"trouble,omitzero"` // that kept it from being asked
	Status  int     `json:"status,omitempty"` // HTTP status of the answer
	Code    int     `json:"code,omitempty"`   // of the API's first error
	Hosts   string  `json:"hosts,omitempty"`  // that no zone was found for
}

// GapKind is what went wrong.
type GapKind uint8

const (
	NoGap         GapKind = iota
	GapUnasked            // it could not be asked: Trouble
	GapTooLarge           // the answer was larger than any that means something
	GapUnexpected         // the answer is not what the reference describes
	GapTooOften           // HTTP 429
	GapToken              // the token is not accepted
	GapRight              // the token lacks a right
	GapNotFound           // HTTP 404
	GapStatus             // another answer that is no success
	GapNoZone             // the token sees no zone for Hosts
	GapNoTunnel           // the host's DNS record leads to no tunnel
	GapNoRules            // no managed DDoS rules are listed
)

var gapNames = []string{"none", "unasked", "too-large", "unexpected", "too-often", "token", "right", "not-found", "status", "no-zone", "no-tunnel", "no-rules"}

func (k GapKind) String() string { return enum.Name(gapNames, k) }

// MarshalText writes the name.
func (k GapKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is not known.
func (k *GapKind) UnmarshalText(b []byte) error {
	_ = enum.Parse(gapNames, "gap", b, k)
	return nil
}

// GapOf is what was asked of Cloudflare.
type GapOf uint8

const (
	AskedNothing    GapOf = iota
	AskedPage             // the status page
	AskedZone             // which zone the host is in
	AskedRecord           // the host's DNS record
	AskedTunnel           // who is connected to the tunnel
	AskedWebSockets       // the zone's setting
	AskedHTTP3            // the zone's setting
	AskedMutualTLS        // which hosts ask visitors for a certificate
	AskedRules            // the version of the managed DDoS rules
)

var askedNames = []string{"nothing", "page", "zone", "record", "tunnel", "websockets", "http3", "mutual-tls", "rules"}

func (a GapOf) String() string { return enum.Name(askedNames, a) }

// MarshalText writes the name.
func (a GapOf) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is not known.
func (a *GapOf) UnmarshalText(b []byte) error {
	_ = enum.Parse(askedNames, "question", b, a)
	return nil
}
