package survey

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/words"
)

const (
	// nameLimit bounds one question to a resolver.
	nameLimit = 3 * time.Second
	// leastSecond is what a second attempt gets at least; more, it gets half of the first's.
	leastSecond = 2 * time.Second
	// askHome is how often the house's own answer is tried again, once it was of no use.
	askHome = time.Hour
	// tellAgain keeps a house whose resolver comes and goes from filling the log.
	tellAgain = 24 * time.Hour
)

// Way leads from inside a house to the public name as visitors see it. The house's
// resolver may answer for that name otherwise than the world's do (split DNS, an ad
// blocker, a router's rebind protection): then the name is looked up outside, over
// DNS-over-HTTPS, and dialled there. It remembers which of the two it was, so that
// neither the log nor the verdict goes to and fro. The zero value knows no world
// outside. One goroutine at a time may use it.
type Way struct {
	World *probe.Resolver // nil: nobody outside can be asked
	Log   zerolog.Logger  // told when the name is looked up outside from now on

	outside bool      // the house's answer was of no use
	well    bool      // the last look was healthy: there is time to try the house's answer again
	bare    bool      // the last look was made at an address inside the house, with nothing shown
	checked time.Time // when the house's answer was tried last
	told    time.Time // when it was last said that the name is looked up outside
}

// Handshake is probe.Handshake through the public name, by the one rule of where it is
// looked up. known are resolvers' answers that the caller has already; of what is not
// known, as much is asked as is needed, and all of it is given back.
//
//   - An address inside the house (private, loopback, link-local, unspecified, carrier-grade
//     NAT, unique local), or a resolver that gives none: the name is looked up outside, and
//     dialled there. Nothing secret is shown at an address inside the house, unless the world
//     gives the same.
//   - An address of the internet is dialled. If it refuses, is silent, shows a certificate that
//     is not the name's, or answers without Cloudflare's mark, the name is looked up outside; if
//     the world gives another address, that is dialled.
//   - The world gives the same address, or cannot be asked: the first look stands.
//
// At most two handshakes are made; the second has half the first's time.
func (w *Way) Handshake(ctx context.Context, t probe.Target, known evidence.Names) (evidence.Look, evidence.Names) {
	w.bare = false
	now := time.Now()
	if !w.asks(t) {
		return probe.Handshake(ctx, t), known
	}
	if w.outside && (now.Sub(w.checked) < askHome || !w.well) {
		if l := probe.Handshake(ctx, w.from(t)); l.Stage > evidence.Asked || l.Trouble == evidence.Interrupted {
			w.well = l.Healthy()
			return l, known
		}
		// Nobody outside can be asked just now.
	}
	w.checked = now
	x := &search{way: w, target: t, names: known}
	l := x.run(ctx)
	w.well = l.Healthy()
	return l, x.names
}

// Where gives the target for looks that are no handshake and have none beside them: by
// the resolvers' answers alone, as far as they tell.
func (w *Way) Where(ctx context.Context, t probe.Target) probe.Target {
	if !w.asks(t) {
		return t
	}
	x := &search{way: w, target: t}
	x.names.House = probe.Lookup(ctx, x.asking(t))
	house := x.names.House
	indoors := slices.ContainsFunc(house.Addrs, Inside)
	switch {
	case house.Found() && !indoors:
		return t
	case x.elsewhere(ctx):
		return w.from(t)
	case indoors && !x.same():
		return t.Bare()
	}
	return t
}

// Like gives the target for looks beside the last handshake: it is looked up where that
// one was, and shows no more than that one did.
func (w *Way) Like(t probe.Target) probe.Target {
	switch {
	case w.outside:
		return w.from(t)
	case w.bare:
		return t.Bare()
	}
	return t
}

// asks says whether resolvers may differ: an address has none, and somebody outside is needed.
func (w *Way) asks(t probe.Target) bool {
	_, err := netip.ParseAddr(t.URL.Hostname())
	return err != nil && w.World != nil
}

func (w *Way) from(t probe.Target) probe.Target {
	t.Outside = w.World
	return t
}

// turn notes that the name is looked up outside from now on.
func (w *Way) turn(level zerolog.Level, why words.Text) {
	if now := time.Now(); !w.outside && (w.told.IsZero() || now.Sub(w.told) >= tellAgain) {
		w.told = now
		w.Log.WithLevel(level).Msg(words.English().Text(why))
	}
	w.outside = true
}

// search is one look by the rule.
type search struct {
	way    *Way
	target probe.Target
	names  evidence.Names
}

func (x *search) run(ctx context.Context) evidence.Look {
	if !x.names.House.Done() {
		x.names.House = probe.Lookup(ctx, x.asking(x.target))
	}
	house := x.names.House
	switch {
	case house.Trouble == evidence.Interrupted, house.Trouble == evidence.Unusable:
		return unresolved(x.target, house)
	case !house.Found():
		return x.unnamed(ctx)
	case slices.ContainsFunc(house.Addrs, Inside):
		return x.indoors(ctx)
	}
	return x.public(ctx)
}

// unnamed: the house's resolver gives no address.
func (x *search) unnamed(ctx context.Context) evidence.Look {
	l := unresolved(x.target, x.names.House)
	if !x.elsewhere(ctx) {
		return l
	}
	o := probe.Handshake(ctx, x.way.from(x.target))
	if o.CFRay() == "" && o.Trouble != evidence.Interrupted {
		return l
	}
	x.way.turn(zerolog.WarnLevel, words.Of("log.way.unnamed", words.With{"trouble": words.Trouble(l.Trouble)}))
	return o
}

// indoors: the house's resolver gives an address inside the house.
func (x *search) indoors(ctx context.Context) evidence.Look {
	at := x.target
	if x.elsewhere(ctx) {
		o := probe.Handshake(ctx, x.way.from(x.target))
		if o.Stage >= evidence.Connected || o.Trouble == evidence.Interrupted {
			x.way.turn(zerolog.InfoLevel, words.Of("log.way.indoors"))
			return o
		}
		at.Timeout = second(at)
	}
	if !x.same() {
		at, x.way.bare = at.Bare(), true
	}
	x.way.outside = false
	return x.confirmed(probe.Handshake(ctx, at))
}

// public: the house's resolver gives an address of the internet.
func (x *search) public(ctx context.Context) evidence.Look {
	l := probe.Handshake(ctx, x.target)
	if !astray(l) {
		x.way.outside = false
		return l
	}
	if !x.elsewhere(ctx) {
		x.way.outside = false
		return x.confirmed(l)
	}
	o := x.way.from(x.target)
	o.Timeout = second(o)
	there := probe.Handshake(ctx, o)
	if there.Trouble == evidence.Interrupted {
		return there
	}
	if there.Stage < evidence.Connected {
		x.way.outside = false
		return l
	}
	x.way.turn(zerolog.InfoLevel, words.Of("log.way.astray", words.With{"trouble": what(l)}))
	return there
}

// elsewhere says whether the world knows an address for the name that the house does not.
func (x *search) elsewhere(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if !x.names.World.Done() {
		x.names.World = probe.Lookup(ctx, x.asking(x.way.from(x.target)))
	}
	return x.names.World.Found() && !x.same()
}

// same says whether the world gives an address that the house gives, too.
func (x *search) same() bool {
	return slices.ContainsFunc(x.names.House.Addrs, func(a string) bool { return slices.Contains(x.names.World.Addrs, a) })
}

// confirmed marks an answer from an address which the world gives, too.
func (x *search) confirmed(l evidence.Look) evidence.Look {
	l.Outside = l.Outside || l.Answered() && l.CFRay() == "" && x.same()
	return l
}

// asking gives a target for the question to a resolver.
func (x *search) asking(t probe.Target) probe.Target {
	t.Timeout = min(t.Limit(), nameLimit)
	return t
}

// astray says whether what is at the house's address may not be what visitors reach: a
// certificate that is good for the name is.
func astray(l evidence.Look) bool {
	//exhaustive:ignore
	switch l.Trouble {
	case evidence.Interrupted, evidence.Unusable, evidence.CertificateWanted:
		return false
	}
	return l.Stage < evidence.Secured || l.Answered() && l.CFRay() == ""
}

// what says in a few words what came of a look.
func what(l evidence.Look) words.Text {
	if l.Answered() {
		return words.Of("log.way.unmarked")
	}
	return words.Trouble(l.Trouble)
}

// unresolved is the look of a name without an address.
func unresolved(t probe.Target, names evidence.Lookup) evidence.Look {
	u := *t.URL
	u.User, u.Path, u.RawPath, u.RawQuery, u.Fragment = nil, "/api/websocket", "", "", ""
	return evidence.Look{Asked: "GET " + u.String(), At: names.At, Took: names.Took, Stage: evidence.Asked, Trouble: names.Trouble, Detail: names.Detail}
}

// second is the time of a second attempt.
func second(t probe.Target) time.Duration { return min(t.Limit(), max(leastSecond, t.Limit()/2)) }

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: between a provider's NAT and the house
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122; an ad blocker's answer for what it blocks
)

// Inside says whether an address cannot be reached from outside the house: private, unique
// local, loopback, link-local, unspecified, or of a provider's NAT.
func Inside(addr string) bool {
	ip, err := netip.ParseAddr(addr)
	ip = ip.Unmap().WithZone("")
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() ||
		ip.Is4() && (sharedSpace.Contains(ip) || thisNetwork.Contains(ip)))
}
