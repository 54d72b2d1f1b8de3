package web

import (
	"net"

	"tunnelmedic/internal/network"
)

// maxConns is how many connections are open at once. Ingress opens one for each request
// that is under way; one for each open page carries its events.
const maxConns = 128

// Listener lets in only who may ask for something: the ingress peers, and this machine
// for its health. Everybody else's connection is closed before a byte of theirs is
// read, and so is one too many.
func (c Config) Listener(l net.Listener) net.Listener {
	return network.Few(l, maxConns, func(from net.Addr) bool {
		peer := sender(from.String())
		return peer.IsLoopback() || c.known(peer)
	})
}
