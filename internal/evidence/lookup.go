package evidence

import "time"

// Names is what resolvers say of the public name.
type Names struct {
	House Lookup // the house's own resolver
	World Lookup // DNS-over-HTTPS, outside the house
}

// Lookup is one question to a resolver and its answer.
type Lookup struct {
	Asked   string // the name, and whom
	At      time.Time
	Took    time.Duration
	Addrs   []string // IP addresses, IPv4 first
	Trouble Trouble
	Detail  string // the error's text, one line
}

// Done says whether the question was put and its answer says something.
func (l Lookup) Done() bool { return !l.At.IsZero() && l.Trouble != Interrupted }

// Found says whether the resolver knows an address.
func (l Lookup) Found() bool { return l.Done() && len(l.Addrs) > 0 }
