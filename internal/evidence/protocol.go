package evidence

import (
	"fmt"

	"tunnelmedic/internal/enum"
)

// Protocol is what cloudflared is told to use for its connections to the edge:
// the value of its --protocol flag.
type Protocol uint8

const (
	Default Protocol = iota // no flag: cloudflared does what Auto does
	Auto                    // QUIC first, HTTP/2 if QUIC never once connected
	QUIC                    // QUIC only; a network that blocks UDP takes the tunnel down for good
	HTTP2                   // HTTP/2 over TCP only
)

var protocolFlags = []string{"", "auto", "quic", "http2"}

// ParseProtocol reads a flag's value. cloudflared takes exactly auto, quic and
// http2, in lower case; "" is no flag.
func ParseProtocol(s string) (p Protocol, err error) {
	if enum.Parse(protocolFlags, "protocol", []byte(s), &p) != nil {
		err = fmt.Errorf("protocol %q is not one of auto, quic, http2", s)
	}
	return p, err
}

// String gives the name people know: a missing flag is "auto", because that is
// what cloudflared does without one.
func (p Protocol) String() string { return p.Effective().Flag() }

// Flag gives the flag's value, "" for no flag.
func (p Protocol) Flag() string { return enum.Name(protocolFlags, p) }

// Effective gives what cloudflared does under this setting: Auto for no flag.
func (p Protocol) Effective() Protocol {
	if p == Default {
		return Auto
	}
	return p
}

// MarshalText writes the flag's value, so that "no flag" survives a round trip.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.Flag()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Protocol) UnmarshalText(b []byte) (err error) { *p, err = ParseProtocol(string(b)); return }

// Transport is what the connector really uses to the edge.
type Transport uint8

const (
	NoTransport Transport = iota // not known, or no connection stands
	OverQUIC
	OverHTTP2
)

var transportNames = []string{"", "quic", "http2"}

func (t Transport) String() string { return enum.Name(transportNames, t) }

// MarshalText writes "quic", "http2", or "" for not known.
func (t Transport) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Transport) UnmarshalText(b []byte) error {
	return enum.Parse(transportNames, "transport", b, t)
}
