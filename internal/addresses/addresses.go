// Package addresses watches the further public addresses of the same Home Assistant, those
// of the option also_watch: each is looked at, diagnosed, told of and shown. Nothing is
// treated for them: one that fails while the main address works fails by something of its
// own, and a fault of the tunnel shows at the main one.
package addresses

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

const (
	// routeCounts is how long the tunnel's rules count: somebody has to change them by hand.
	routeCounts = time.Hour
	// refusedEvery is how often an address is looked at that is not this home's.
	refusedEvery = time.Hour
	// doubtful is how soon a check follows one that began to fail: one odd answer is no news.
	doubtful = 15 * time.Second
)

// Watched is what the loop watches now.
type Watched func() (tunnel.Target, *tunnel.Connector)

// Settings are what the watch is given.
type Settings struct {
	Addresses []*url.URL
	Public    probe.Target // everything but the URL; credentials are shown where the tunnel leads to Home Assistant
	Looks     survey.Settings
	Watched   Watched
	Interval  time.Duration // between checks
	Location  func() *time.Location
	Changed   func([]medic.AddressStatus) // is told all of them after each check; it must not block
	Log       zerolog.Logger
}

// Watch looks at the addresses, one after the other. Make it with New, then call Run once.
type Watch struct {
	set  Settings
	list []*address

	mu     sync.Mutex
	status []medic.AddressStatus
}

// address is one of them. Run's goroutine alone touches it.
type address struct {
	url   *url.URL
	looks *survey.Surveyor

	route   evidence.Route // that the tunnel's rules have for it
	routeAt time.Time
	due     time.Time
	said    medic.AddressStatus // as the log has it
}

// New makes a watch. It looks at nothing yet.
func New(set Settings) *Watch {
	w := &Watch{set: set}
	for _, u := range set.Addresses {
		w.list = append(w.list, &address{url: u, looks: survey.New(set.Looks)})
		w.status = append(w.status, medic.AddressStatus{URL: u.String()})
	}
	return w
}

// Status is what is known of each address, in the order of the option.
func (w *Watch) Status() []medic.AddressStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.status)
}

// Run looks until the context ends.
func (w *Watch) Run(ctx context.Context) {
	for len(w.list) > 0 {
		now := time.Now()
		next := slices.MinFunc(w.list, func(a, b *address) int { return a.due.Compare(b.due) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(next.due.Sub(now)):
		}
		w.check(ctx, next)
	}
}

// check looks at an address once.
func (w *Watch) check(ctx context.Context, a *address) {
	now := time.Now()
	a.due = now.Add(w.set.Interval)
	target, connector := w.set.Watched()
	if connector == nil { // nothing is watched yet; the loop tells why
		a.due = now.Add(min(doubtful, w.set.Interval))
		return
	}
	s := medic.AddressStatus{URL: a.url.String(), Since: now, At: now}
	switch {
	case target.URL != nil && target.URL.Host == a.url.Host:
		s.Refused = medic.IsMain
	default:
		w.ask(ctx, a, target, connector, &s)
	}
	if ctx.Err() != nil {
		return
	}
	w.keep(a, s)
}

// ask fills in what a look at an address shows.
func (w *Watch) ask(ctx context.Context, a *address, target tunnel.Target, connector *tunnel.Connector, s *medic.AddressStatus) {
	w.lead(ctx, a, connector)
	if a.route.Asked && !a.route.Found {
		s.Refused = medic.NotInTunnel
		return
	}
	t := w.set.Public
	t.URL = a.url
	if !a.route.HomeAssistant { // who would read them is not known
		t = t.Bare()
	}
	seen := a.looks.Survey(ctx, survey.Home{Public: t, Slug: target.Slug, Connector: connector, Location: w.set.Location()}, survey.Moment{Beside: true})
	d := diagnosis.Of(seen.Evidence)
	s.Cause, s.Remedy, s.Particulars = d.Cause, d.Remedy, d.Particulars
	if seen.Connector.Route.Asked { // as where it does not work
		a.route, a.routeAt = seen.Connector.Route, s.At
	}
	p := seen.Public
	s.TookMS, s.Status, s.Colo = p.Took.Milliseconds(), p.Status, p.Colo()
	if d.Sign == diagnosis.OtherConnector || d.Sign == diagnosis.Healthy && d.Elsewhere {
		s.Refused = medic.OtherTunnel
	}
}

// lead asks where the tunnel's rules lead an address, where that is not known of late.
func (w *Watch) lead(ctx context.Context, a *address, connector *tunnel.Connector) {
	if now := time.Now(); a.routeAt.IsZero() || now.Sub(a.routeAt) >= routeCounts || now.Before(a.routeAt) || !a.route.Asked || !a.route.Found {
		a.route, _ = connector.Route(ctx, a.url.Hostname(), tunnel.HomeOf(ctx, w.set.Looks.Supervisor, w.set.Looks.OriginURL))
		a.routeAt = now
	}
}

// keep makes what was seen the present status, and says what has changed.
func (w *Watch) keep(a *address, s medic.AddressStatus) {
	w.mu.Lock()
	i := slices.Index(w.list, a)
	was := w.status[i]
	if !was.At.IsZero() && was.Cause == s.Cause && was.Refused == s.Refused {
		s.Since = was.Since
	}
	switch {
	case !was.Well():
		s.Down = was.Down
	case !s.Well():
		s.Down = s.At
	}
	w.status[i] = s
	all := slices.Clone(w.status)
	w.mu.Unlock()

	switch {
	case s.Refused != medic.Accepted && was.Refused == s.Refused:
		a.due = s.At.Add(max(refusedEvery, w.set.Interval))
	case !s.Well() && was.Well():
		a.due = s.At.Add(min(doubtful, w.set.Interval))
	}
	w.say(a, was, s)
	if w.set.Changed != nil {
		w.set.Changed(all)
	}
}

// say logs once what an address turns out to be.
func (w *Watch) say(a *address, was, s medic.AddressStatus) {
	en := words.English()
	log := w.set.Log.With().Str("address", s.URL).Stringer("cause", s.Cause).Logger()
	switch {
	case s.Refused != medic.Accepted:
		if a.said.Refused != s.Refused && was.Refused == s.Refused { // the second check in a row
			log.Warn().Msg(en.Say("log.address.refused", words.With{"address": s.URL, "reason": s.Reason(en)}))
			a.said = s
		}
	case !s.Well() && !was.Well() && (a.said.Well() || a.said.Cause != s.Cause):
		log.Warn().Msg(en.Say("log.address.down", words.With{"address": s.URL, "summary": s.In(en).Summary}))
		a.said = s
	case s.Well() && !a.said.At.IsZero() && !a.said.Well():
		log.Info().Msg(en.Say("log.address.again", words.With{"address": s.URL, "span": s.At.Sub(a.said.Down).Round(time.Second)}))
		a.said = s
	case s.Well() && a.said.At.IsZero():
		log.Info().Msg(en.Say("log.address.well", words.With{"address": s.URL, "took": words.Millis(s.TookMS)}))
		a.said = s
	}
}
