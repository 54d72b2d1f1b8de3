package survey

import (
	"context"
	"net/http"
	"time"

	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
)

// Name is a look of the plan.
type Name uint8

const (
	Names     Name = iota // what the house's resolver and the world's say of the public name
	Public                // the probe, with the connector's totals around it
	Other                 // the same over the other family of addresses
	Page                  // a plain GET of the same host
	StartPage             // Home Assistant's start page and its script
	Direct                // the handshake straight to Home Assistant
	Service               // where the tunnel leads, and the handshake there
	AddOn                 // Supervisor's word on the app
	Start                 // whether the app could start now
	Connector             // what cloudflared says of itself
	QUIC                  // whether QUIC gets to Cloudflare's edge
	Log                   // the app's log
	Core                  // Home Assistant Core, through Supervisor
	CoreLog               // Home Assistant's own log
	Internet              // Supervisor's word on the internet

	allNames = iota
)

var names = []string{"the resolvers' answers", "the public name", "the other family of addresses", "the page", "the start page", "Home Assistant directly",
	"the tunnel's service", "the app", "whether the app could start", "the connector", "QUIC to the edge", "the app's log", "Core", "Core's log", "the internet"}

func (n Name) String() string { return enum.Name(names, n) }

// fill puts what a look saw into its part of the evidence. It may be called again while
// the answer counts.
type fill func(*Seen)

// look is one way of looking, and when it is worth it.
type look struct {
	name  Name
	first bool                       // before the others, in the order of the plan; else side by side with them
	after []Name                     // what it rests on
	needs func(*round) bool          // what must be there for it; nil: nothing
	when  func(*round) bool          // when the daemon makes it; nil: always. The doctor makes all.
	every func(*round) time.Duration // how long an answer counts; nil: it is asked again
	make  func(context.Context, *round) (fill, error)
}

// plan is every look. Whoever adds one adds a row here, and one to the doctor's table.
var plan = [...]look{
	{name: Names, first: true, when: never, make: lookUp},
	{name: Public, first: true, make: lookPublic},

	{name: Other, needs: twoFamilies, when: never, make: lookOther},
	{name: Page, when: failing, make: lookPage},
	{name: StartPage, needs: greeted, when: main, make: lookStartPage},
	{name: Direct, needs: inHouse, when: failing, make: lookDirect},
	{name: Service, needs: connectorKnown, when: failing, make: lookService},
	{name: AddOn, needs: inHouse, when: mainOrFailing, make: lookAddOn},
	{name: Start, after: []Name{AddOn}, needs: startAsks, when: startMatters, every: lasting(30 * time.Second), make: lookStart}, // before a restart it is asked again
	{name: Connector, needs: connectorKnown, when: mainOrFailing, make: lookConnector},
	// What a network lets pass changes seldom, and waiting for an answer that does not come takes seconds.
	{name: QUIC, after: []Name{Connector}, needs: inHouse, when: quicMatters, every: lasting(10 * time.Minute), make: lookQUIC},
	// The log is up to 256 KiB.
	{name: Log, needs: appKnown, when: connectorSuspect, every: func(r *round) time.Duration { return LogLasts(r.set.Burst) }, make: lookLog},
	{name: Core, needs: inHouse, when: failing, make: lookCore},
	{name: CoreLog, needs: inHouse, when: coreLogMatters, every: coreLogCounts, make: lookCoreLog},
	{name: Internet, needs: inHouse, when: failing, make: lookInternet},
}

// LogLasts is how long what the app's log says counts.
func LogLasts(burst time.Duration) time.Duration { return 3 * burst }

func lasting(d time.Duration) func(*round) time.Duration {
	return func(*round) time.Duration { return d }
}

// What must be there for a look.

func inHouse(r *round) bool        { return r.set.Supervisor != nil }
func appKnown(r *round) bool       { return inHouse(r) && r.home.Slug != "" }
func connectorKnown(r *round) bool { return inHouse(r) && r.home.Connector != nil }
func greeted(r *round) bool        { return r.soFar().Public.Healthy() } // elsewhere nobody gets as far as the start page
func twoFamilies(r *round) bool    { return r.soFar().Others != "" }

// startAsks says whether it is known what the app's start needs, and somebody to ask.
func startAsks(r *round) bool {
	s := r.soFar()
	return r.set.Cloudflare != nil && s.Info != nil && s.Info.OptionsError == nil
}

// When the daemon makes a look.

func never(*round) bool           { return false }
func failing(r *round) bool       { return !r.soFar().Public.Healthy() }
func main(r *round) bool          { return !r.moment.Beside }
func mainOrFailing(r *round) bool { return main(r) || failing(r) }
func deciding(r *round) bool {
	return r.moment.Due || failing(r)
}

// startMatters says whether something may hang on a start of the app. One whose tunnel is
// managed at Cloudflare needs nothing for it.
func startMatters(r *round) bool {
	s := r.soFar()
	return deciding(r) && (supervisor.Managed(s.Info.Options) || r.moment.Due || r.moment.Starting || s.Info.State == evidence.StateError)
}

func quicMatters(r *round) bool {
	return r.moment.QUICMatters(failing(r)) && r.soFar().Connector.Transport != evidence.OverQUIC
}

// QUICMatters says whether it matters what QUIC to the edge does: a tunnel that uses it shows itself that it passes.
func (m Moment) QUICMatters(failing bool) bool {
	return (m.Due || failing) && m.Transport != evidence.OverQUIC
}

// connectorSuspect says whether the connector may be at fault. While something is suspected
// a look follows a look.
func connectorSuspect(r *round) bool {
	status := r.soFar().Public.Status
	return failing(r) && (status == 0 || status >= 500 || status == http.StatusSwitchingProtocols)
}

// coreLogMatters says whether Home Assistant's own log can say more: of an answer that it
// gave, or of what others meet.
func coreLogMatters(r *round) bool {
	if !failing(r) {
		return r.moment.Curious
	}
	l := r.soFar().Public
	return l.CFRay() != "" && (l.Status == http.StatusBadRequest || l.Status == http.StatusForbidden)
}

func coreLogCounts(r *round) time.Duration {
	if failing(r) {
		return 15 * r.set.Burst
	}
	return 5 * r.set.Interval
}
