// Package survey holds the one plan of looks: which are made, when, how often, on what
// condition, and what is remembered of a home between them. The daemon and the doctor both
// look by it.
package survey

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// Supervisor is what the looks, and the doctor, ask of the Supervisor.
type Supervisor interface {
	tunnel.Source
	SystemInfo(context.Context) (supervisor.System, error)
	CoreState(context.Context) (evidence.Core, error)
	CoreRuns(context.Context) evidence.Switch
	Network(context.Context) (evidence.Internet, error)
	Log(ctx context.Context, slug string) (string, error)
	CoreLog(ctx context.Context) (string, error)
}

// Cloudflare says whether its API answers.
type Cloudflare interface {
	Answers(context.Context) error
}

// AskQUIC asks edges whether QUIC gets there and back. It needs a socket of the machine's
// own, which a network in memory does not have.
type AskQUIC func(ctx context.Context, edges ...netip.AddrPort) evidence.Look

// Settings are what the looks need besides the home. What is nil is not asked.
type Settings struct {
	Supervisor   Supervisor      // nil: outside Home Assistant
	Cloudflare   Cloudflare      // without its API, an app with a locally managed tunnel cannot start
	World        *probe.Resolver // for names that the house answers itself
	ConnectorURL string          // "": by the add-on's host name
	OriginURL    string          // "": from Core's info
	Edge         netip.AddrPort  // asked over QUIC; not valid: the edges that the connector is connected to
	QUIC         AskQUIC         // nil: as package probe does
	Timeout      time.Duration   // of a look on the house's network
	Limit        time.Duration   // of all looks beside the probe together; 0: 15 s

	Interval, Burst time.Duration // between probes, in health and while one fails

	// Recall says what earlier probes of a host name showed; nil: nobody kept count.
	Recall func(host string) evidence.Memory
	// Remember notes that Home Assistant greeted through the tunnel on a day.
	Remember func(host string, p evidence.Protocol, day string) error

	Log zerolog.Logger
}

// Home is what is to be looked at.
type Home struct {
	Public    probe.Target      // the public name, and what may be shown to it; its network is that of all looks
	Slug      string            // of the Cloudflared app; "": none was found
	Connector *tunnel.Connector // nil: not known
	Location  *time.Location    // in whose time Home Assistant's log is written; nil: the machine's
	Zone      evidence.Zone     // Cloudflare's own word, where somebody asked
}

// Moment is what the looks of one moment hang on, besides what they see themselves.
type Moment struct {
	// Whole asks for every look that can be made, once: the doctor's. Without, each is made
	// where the plan says that it is worth it.
	Whole bool

	// Beside asks for what a further address takes: of one that works, the probe alone.
	Beside bool

	Suspected bool // something is being decided: a probe that takes much longer than usual is given up
	Due       bool // the return to the user's own setting is due: what it hangs on is looked at in health, too
	Starting  bool // something may hang on whether the app could start
	Curious   bool // the counters say that clients fail while the probe succeeds
	Transport evidence.Transport

	// Done is told each look as it ends, one at a time; it may be nil.
	Done func(Finding)
}

// Finding is the end of one look.
type Finding struct {
	Of   Name
	Seen Seen // so far
	Took time.Duration
	Err  error // why it saw nothing
}

// Seen is what a survey gives.
type Seen struct {
	evidence.Evidence

	Info    *supervisor.Info // Supervisor's word on the app as it came, nil if there is none
	Refused bool             // Supervisor does not accept our token

	Network string        // of the probe, where the whole was asked for: tcp4 or tcp6; "": whichever is quicker
	Other   evidence.Look // the handshake over the other family of addresses
	Others  string        // which one that is
}

// Surveyor makes looks by the plan, and remembers of a home what they need of one another.
// One goroutine at a time may use it.
type Surveyor struct {
	set  Settings
	home Home
	way  Way // to the public name
	recollection
	kept [allNames]answer
	page startPage
}

// answer is one that still counts.
type answer struct {
	at   time.Time
	fill fill
}

// controlLimit bounds the looks beside the probe: evidence is of one moment, and a Supervisor
// that takes longer counts as away.
const controlLimit = 15 * time.Second

// New makes a surveyor. It looks at nothing yet.
func New(set Settings) *Surveyor {
	set.Limit = cmp.Or(set.Limit, controlLimit)
	s := &Surveyor{set: set}
	s.forget()
	return s
}

// forget drops what is remembered of a home.
func (s *Surveyor) forget() {
	s.way = Way{World: s.set.World, Log: s.set.Log}
	s.kept = [allNames]answer{}
	s.page = startPage{}
	s.recollection = recollection{edges: tunnel.QUICEdges(evidence.Connector{}, s.set.Edge, s.set.ConnectorURL)}
}

// Survey makes the looks of one moment. It never fails: what went wrong is what was seen.
func (s *Surveyor) Survey(ctx context.Context, home Home, m Moment) Seen {
	if host := home.Public.URL.Host; s.home.Public.URL == nil || host != s.home.Public.URL.Host || home.Slug != s.home.Slug {
		s.forget()
	}
	s.home = home
	r := &round{Surveyor: s, moment: m, origin: make(chan *tunnel.Home, 1)}
	r.origin <- nil
	r.seen.At, r.seen.Zone = time.Now(), home.Zone
	for i := range r.done {
		r.done[i] = make(chan struct{})
	}
	for _, l := range plan {
		if l.first {
			r.make(ctx, l)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.set.Limit)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range plan {
		if !l.first {
			wg.Go(func() { r.aside(ctx, l) })
		}
	}
	wg.Wait()
	r.remember()
	return r.seen
}

// round is the looks of one moment.
type round struct {
	*Surveyor
	moment Moment
	done   [allNames]chan struct{}
	origin chan *tunnel.Home // one: where Home Assistant listens, nil until somebody has asked

	mu   sync.Mutex // guards seen
	seen Seen
}

// aside makes a look beside the others. One that fails by a fault of the program's own has
// seen nothing; the others have.
func (r *round) aside(ctx context.Context, l look) {
	defer func() {
		if p := recover(); p != nil {
			fault := Fault{l.name, p}
			r.set.Log.Error().Str("stack", string(debug.Stack())).Msg(fault.Error())
			r.take(l.name, nil, 0, fault)
		}
	}()
	r.make(ctx, l)
}

// Fault is a look that failed by a fault of the program's own.
type Fault struct {
	Of    Name
	Value any // of the panic
}

func (f Fault) Error() string { return fmt.Sprintf("The look at %s itself failed: %v.", f.Of, f.Value) }

// make makes a look where the plan says so, once those that it rests on have ended.
func (r *round) make(ctx context.Context, l look) {
	defer close(r.done[l.name])
	for _, before := range l.after {
		<-r.done[before]
	}
	if l.needs != nil && !l.needs(r) || !r.moment.Whole && l.when != nil && !l.when(r) {
		return
	}
	now := time.Now()
	if kept := r.kept[l.name]; kept.fill != nil && l.every != nil && now.Sub(kept.at) < l.every(r) && !now.Before(kept.at) {
		r.take(l.name, kept.fill, 0, nil)
		return
	}
	put, err := l.make(ctx, r)
	if put != nil && l.every != nil {
		r.kept[l.name] = answer{now, put}
	}
	r.take(l.name, put, time.Since(now), err)
}

// take puts what a look saw into the evidence.
func (r *round) take(of Name, put fill, took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if put != nil {
		put(&r.seen)
	}
	if r.moment.Done != nil {
		r.moment.Done(Finding{of, r.seen, took, err})
	}
}

// soFar is what has been seen until now.
func (r *round) soFar() Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// away notes that Supervisor did not answer, and why.
func (r *round) away(err error) {
	why, refused := supervisor.WhyAway(err), supervisor.Is(err, supervisor.Unauthorised)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Refused = r.seen.Refused || refused
	if why != "" {
		r.seen.SupervisorAway = why
	}
}
