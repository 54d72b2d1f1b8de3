// Package network is the program's one door to the network: whatever dials, listens or
// looks a name up does it over a [Network] that it was given. So the whole program can
// live on another network than the machine's own, such as one in memory.
package network

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Network is a way to others. The zero value is the machine's own network.
type Network struct {
	Dialer   func(ctx context.Context, network, address string) (net.Conn, error) // nil: the machine's
	Listener func(network, address string) (net.Listener, error)                  // nil: the machine's
	Names    Names                                                                // the house's resolver; nil: the machine's
}

// Names looks names up, as a *net.Resolver does: network is "ip", "ip4" or "ip6".
type Names interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial connects to an address, as a net.Dialer does.
func (n Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if n.Dialer != nil {
		return n.Dialer(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Listen opens a local address, as net.Listen does.
func (n Network) Listen(network, address string) (net.Listener, error) {
	if n.Listener != nil {
		return n.Listener(network, address)
	}
	return net.Listen(network, address)
}

// Lookup asks the house's resolver for the addresses of a name.
func (n Network) Lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if n.Names != nil {
		return n.Names.LookupNetIP(ctx, network, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

// headerLimit is how long an answer's head may be, in bytes. net/http takes 10 MB.
const headerLimit = 64 << 10

// Transport makes what an HTTP client needs to ask over this network. It uses no proxy,
// and every request has a connection of its own: what is asked here is asked too seldom
// to hold one.
func (n Network) Transport() *http.Transport {
	return &http.Transport{
		DialContext:            n.Dial,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: headerLimit,
	}
}
