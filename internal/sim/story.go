// Package sim puts the real diagnosis and policy, unchanged, into thousands of virtual homes,
// beside their rivals and an oracle, and measures how long each home is cut off and
// how often it is restarted for nothing. Time is virtual and jumps from event to
// event; everything is drawn from a seed, so that a run can be repeated.
//
// A look shows evidence (shown.go), from which the program's own rooms conclude. What the
// program does beside that (looking, waiting, the sensor, a treatment) is modelled in care.go
// with the costs of docs/FACTS.md; a test holds the model against the real daemon over real
// sockets.
package sim

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// span is a stretch of time.
type span struct{ from, to time.Duration }

var always = span{math.MinInt64, never}

// spell is a time in which something is wrong.
type spell struct {
	from, to time.Duration // since the story's start
	kind     kind
	loss     [3]float64 // of a fault: the share of handshakes lost, by transport
	cause    diagnosis.Cause
	mends    bool          // stripping that any restart ends
	hangs    bool          // what is lost is never answered, so a look takes as long as it waits
	late     time.Duration // how much longer HTTP/2 takes to be back after it
}

type kind uint8

const (
	stripping kind = iota // the upgrade is lost: what the program is for
	away                  // nobody gets through, and a look shows another cause
	unready               // the same, and the connector has no connection
	blinding              // people get through, the probe does not
	blocked               // the network keeps a transport out: no connection, and no start over it has one
	breaking              // the connections over a transport broke, and are away for a moment
)

// fault says whether it is one that another transport may not have: what the program is for.
func (sp *spell) fault() bool { return sp.kind == stripping || sp.cuts() }

// cuts says whether whom it touches has no connection.
func (sp *spell) cuts() bool { return sp.kind == blocked || sp.kind == breaking }

// unready says whether the connector of whom it touches has no connection, whatever the reason.
func (sp *spell) unready() bool { return sp.kind == unready || sp.cuts() }

// story is what happens in one home, known to the oracle alone.
type story struct {
	family Family
	index  int
	start  time.Time
	own    evidence.Protocol
	spells []spell       // in order, never two at once
	end    time.Duration // when the last of them is over
	noQUIC span          // in which the network keeps it out
	noise  float64       // the share of handshakes that fails at any time, for no lasting reason
	world  Assumptions
	pace   Pace
	salt   uint64

	pictured bool // what becomes of its tunnels is kept for a picture
}

// at gives the spell of a moment; i is where to begin to search, and moves on.
func (s *story) at(t time.Duration, i *int) *spell {
	for *i < len(s.spells) && s.spells[*i].to+s.spells[*i].late <= t {
		*i++
	}
	if *i < len(s.spells) && s.spells[*i].from <= t {
		return &s.spells[*i]
	}
	return nil
}

func (s *story) clock(t time.Duration) time.Time { return s.start.Add(t) }

// shut is until when the network keeps QUIC out at a moment; 0 if it does not.
func (s *story) shut(t time.Duration) time.Duration {
	if n := s.noQUIC; n.from <= t && t < n.to {
		return n.to
	}
	return 0
}

// onset is when the fault begins.
func (s *story) onset() time.Duration {
	if len(s.spells) == 0 {
		return 0
	}
	return s.spells[0].from
}

// Assumptions scale what is assumed of the world; 1 is as stated at each
// distribution.
type Assumptions struct {
	Duration float64 `json:"duration"` // of the faults
	Share    float64 `json:"share"`    // odds of a handshake's being lost, in partial faults
	Visits   float64 `json:"visits"`   // how often somebody connects
	Noise    float64 `json:"noise"`    // random losses
	Restart  float64 `json:"restart"`  // what a restart costs
	Events   float64 `json:"events"`   // how often the ordinary troubles of family F come
	Silent   bool    `json:"silent"`   // every lost handshake hangs, instead of being refused in Home Assistant's words
}

// AsStated is the world as the distributions state it.
func AsStated() Assumptions { return Assumptions{1, 1, 1, 1, 1, 1, false} }

// Family is a kind of fault.
type Family byte

// The families. Durations are drawn log-uniformly: reports give a range over more
// than one order of magnitude and nothing within it.
const (
	QUICOnly   Family = 'A' // quic-only total stripping, 2–48 h
	Everywhere Family = 'B' // total on every protocol, 1–12 h, passes on its own
	Partial    Family = 'C' // 10–50 % lost on one transport, 2–48 h
	Unequal    Family = 'D' // 5–50 % lost on both, one at least 1.5 times the other, 2–48 h
	AnyRestart Family = 'E' // total on every protocol, 2–48 h, cured by any restart
	Ordinary   Family = 'F' // no stripping: a year of ordinary troubles
	SwitchOff  Family = 'G' // the zone's WebSocket switch is off, 1–14 days, until a person turns it on
	Flapping   Family = 'H' // total stripping that comes and goes for 6–24 h, on one transport or both
	NoUDP      Family = 'I' // UDP blocked at home, 10–100 % lost on HTTP/2, 1–12 h
	Blocked    Family = 'J' // UDP becomes blocked while the tunnel is connected over QUIC, 1 h – 14 days
	Breaking   Family = 'K' // QUIC's connections break again and again for 6–48 h
	Noisy      Family = 'L' // a home that loses 2–5 % at any time, and after a week 5–15 % more on one transport for 2–48 h
)

// Families lists all, in order.
func Families() []Family {
	return []Family{QUICOnly, Everywhere, Partial, Unequal, AnyRestart, Ordinary, SwitchOff, Flapping, NoUDP, Blocked, Breaking, Noisy}
}

var titles = map[Family]string{
	QUICOnly: "QUIC only, total", Everywhere: "every protocol, total", Partial: "one transport, partial", Unequal: "both, unequal",
	AnyRestart: "any restart cures", Ordinary: "a year without", SwitchOff: "switch is off", Flapping: "comes and goes", NoUDP: "HTTP/2, UDP blocked",
	Blocked: "UDP becomes blocked", Breaking: "QUIC breaks and breaks", Noisy: "a noisy home, small loss",
}

// abouts say what is assumed of a family's faults, as draw draws them.
var abouts = map[Family]string{
	QUICOnly:   "every WebSocket over QUIC is lost for 2 to 48 h; the home is on auto or quic",
	Everywhere: "every WebSocket is lost for 1 to 12 h; it passes by itself",
	Partial:    "10 to 50 % are lost over the transport in use for 2 to 48 h; in half of the homes told of by Home Assistant, in half silent",
	Unequal:    "5 to 50 % are lost over each transport, one at least 1.5 times the other, for 2 to 48 h; half silent",
	AnyRestart: "every WebSocket is lost for 2 to 48 h, or until any restart",
	Ordinary: "a year: 30 starts of Home Assistant, 12 outages of the internet, 12 updates of cloudflared, 52 dying connections (a quarter lost for up to 29 s), " +
		"0.3 lapsed logins, 4 rate limits, 1 % of all probes lost at random",
	SwitchOff: "the zone's WebSocket switch is off for 1 to 14 days, until a person turns it on",
	Flapping:  "every WebSocket is lost for 5 to 60 min, again and again with as much between, for 6 to 24 h; over QUIC, over HTTP/2, or both",
	NoUDP:     "UDP is blocked in the house, and 10 to 100 % are lost over HTTP/2 for 1 to 12 h",
	Blocked:   "the network begins to block UDP while the tunnel is connected over QUIC, for 1 h to 14 days; the home is on auto or quic, and dials QUIC for ever",
	Breaking: "over QUIC all connections break again and again for 6 to 48 h: in each home they stand for its own 20 s to 5 min and are away for its own 1 to 40 s, " +
		"each time up to a half more or a third less; the home is on auto or quic",
	Noisy: "each home loses its own 2 to 5 % of all probes at random, at any time; after a week 5 to 15 % more are lost over the transport in use for 2 to 48 h, in silence",
}

// About says what is assumed of the family's faults.
func (f Family) About() string { return abouts[f] }

func (f Family) String() string { return string(rune(f)) }

// Title says what the family is, in a few words.
func (f Family) Title() string { return titles[f] }

// Faults of stripping lasted from hours to two days in the reports (CFD#1652, the
// reporter's update); partial ones as long.
var lasting = [2]float64{2, 48}

const (
	quic  = evidence.OverQUIC
	http2 = evidence.OverHTTP2
)

// draw makes the story of a home.
func draw(f Family, index int, seed uint64, world Assumptions, pace Pace, zone *time.Location) *story {
	salt := seed*0x9e3779b97f4a7c15 + uint64(f)<<32 + uint64(index)
	rng := rand.New(rand.NewPCG(salt, 1))
	s := &story{family: f, index: index, world: world, pace: pace, salt: salt, noise: math.Min(0.01*world.Noise, 0.5)}
	// Any minute of a year: the time of day decides who is trying to connect, the
	// time of year moves the clocks.
	s.start = time.Date(2026, 1, 1, 0, 0, 0, 0, zone).Add(time.Duration(rng.Int64N(365*24*60)) * time.Minute)
	s.own = owner(rng)
	onset := pace.WarmUp + time.Duration(rng.Int64N(int64(pace.Spread)))
	hours := func(least, most float64) time.Duration {
		return time.Duration(least * math.Pow(most/least, rng.Float64()) * world.Duration * float64(time.Hour))
	}
	share := func(least, most float64) float64 { return odds(least+(most-least)*rng.Float64(), world.Share) }
	strip := func(loss [3]float64, lasts time.Duration) {
		s.spells = append(s.spells, spell{from: onset, to: onset + lasts, loss: loss, cause: diagnosis.UpgradeStripped})
	}
	// Of the two partial faults that were reported, one was told of and one was silent.
	form := func() {
		if rng.IntN(2) == 0 {
			s.spells[0].cause, s.spells[0].hangs = diagnosis.UpgradeSilent, true
		}
	}
	all := [3]float64{0, 1, 1}
	switch f {
	case QUICOnly:
		s.overQUIC(rng)
		strip([3]float64{quic: 1}, hours(lasting[0], lasting[1]))
	case Everywhere:
		strip(all, hours(1, 12))
	case Partial:
		// Either transport, and a home that is on it.
		hit := oneOf(rng, quic, http2)
		for over(s.own) != hit {
			s.own = owner(rng)
		}
		var loss [3]float64
		loss[hit] = share(0.1, 0.5)
		strip(loss, hours(lasting[0], lasting[1]))
		form()
	case Unequal:
		var loss [3]float64
		for loss[quic]/loss[http2] < 1.5 && loss[http2]/loss[quic] < 1.5 || loss[http2] == 0 {
			loss[quic], loss[http2] = share(0.05, 0.5), share(0.05, 0.5)
		}
		strip(loss, hours(lasting[0], lasting[1]))
		form()
	case AnyRestart:
		strip(all, hours(lasting[0], lasting[1]))
		s.spells[0].mends = true
	case Ordinary:
		s.ordinary(rng)
	case SwitchOff:
		strip(all, hours(24, 14*24))
	case Flapping:
		// QUIC, HTTP/2 or both alike; on for 5–60 min, off for 5–60 min.
		loss := [][3]float64{{0, 1, 0}, {0, 0, 1}, all}[rng.IntN(3)]
		end := onset + hours(6, 24)
		for t := onset; t < end; {
			on := hours(5.0/60, 1)
			s.spells = append(s.spells, spell{from: t, to: t + on, loss: loss, cause: diagnosis.UpgradeStripped})
			t += on + hours(5.0/60, 1)
		}
	case NoUDP:
		s.noQUIC = always
		for s.own == evidence.QUIC { // such a home would never have worked
			s.own = owner(rng)
		}
		strip([3]float64{http2: share(0.1, 1)}, hours(1, 12))
	case Blocked:
		// In the reports (APP#631, #751, #1030, CFD#1736) it lasted until a person set http2 or
		// changed the router, in some for months. A home that its people rely on is not left so for
		// longer than two weeks, as in G.
		s.overQUIC(rng)
		s.noQUIC = span{onset, onset + hours(1, 14*24)}
		s.spells = []spell{{from: onset, to: s.noQUIC.to, kind: blocked, loss: [3]float64{quic: 1}}}
	case Breaking:
		// By the logs in the reports: away for 2 s (APP#581), 10 s (APP#671), and 33 s with 31 and
		// 54 s in between (CFD#1105). Whatever cloudflared dials in vain meanwhile is left out: it
		// would name the fault sooner.
		s.overQUIC(rng)
		s.breaks(rng, onset, onset+hours(6, 48))
	case Noisy:
		// A wireless or mobile line loses some handshakes for good; the least that people notice
		// beside it is about one in ten.
		s.noise = min((leastNoise+(mostNoise-leastNoise)*rng.Float64())*world.Noise, 0.5)
		onset += 7 * 24 * time.Hour // in which there is nothing to mend
		var loss [3]float64
		loss[over(s.own)] = share(0.05, 0.15)
		strip(loss, hours(lasting[0], lasting[1]))
		s.spells[0].cause, s.spells[0].hangs = diagnosis.UpgradeSilent, true
	}
	for i := range s.spells {
		if world.Silent && s.spells[i].kind == stripping {
			s.spells[i].cause, s.spells[i].hangs = diagnosis.UpgradeSilent, true
		}
	}
	if n := len(s.spells); n > 0 {
		s.end = max(s.end, s.spells[n-1].to)
	}
	return s
}

// overQUIC makes the home one that is connected over QUIC: one on http2 would not
// notice, and has no story.
func (s *story) overQUIC(rng *rand.Rand) {
	for s.own == evidence.HTTP2 {
		s.own = owner(rng)
	}
}

// breaks draws the breaks of QUIC's connections. A home's are alike: each time they
// stand and are away for as long as is usual there, up to a half more or a third less.
func (s *story) breaks(rng *rand.Rand, from, to time.Duration) {
	draw := func(least, most float64) float64 { return least * math.Pow(most/least, rng.Float64()) }
	stand, away := draw(20, 5*60), draw(1, 40)
	around := func(usual, least, most float64) time.Duration {
		return time.Duration(min(max(usual*draw(1/1.5, 1.5), least), most) * float64(time.Second))
	}
	for t := from; t < to; {
		lasts := around(away, 1, 40)
		s.spells = append(s.spells, spell{from: t, to: t + lasts, kind: breaking, loss: [3]float64{quic: 1}})
		t += lasts + around(stand, 20, 5*60)
	}
}

// owner draws what a user has set: most never touch it; some took the workaround.
func owner(rng *rand.Rand) evidence.Protocol {
	switch x := rng.Float64(); {
	case x < 0.6:
		return evidence.Default
	case x < 0.7:
		return evidence.Auto
	case x < 1-onHTTP2:
		return evidence.QUIC
	}
	return evidence.HTTP2
}

// over is the transport of a protocol where nothing is blocked.
func over(p evidence.Protocol) evidence.Transport {
	if p == evidence.HTTP2 {
		return http2
	}
	return quic
}

// odds scales a probability's odds, so that it stays one.
func odds(p, by float64) float64 { return p * by / (1 - p + p*by) }

func oneOf[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

const year = 365 * 24 * time.Hour

// What homes have set, and how much the noisy ones lose at random.
const (
	onHTTP2               = 0.2
	leastNoise, mostNoise = 0.02, 0.05
)

// ordinary draws a year of what goes wrong in any home. How often: estimates for a
// home that is kept up to date, varied threefold in the sensitivity table.
func (s *story) ordinary(rng *rand.Rand) {
	s.end = year
	for _, e := range []struct {
		perYear     float64
		least, most time.Duration
		spell
	}{
		// Two releases a month, and changes that need a restart.
		{30, 30 * time.Second, 2 * time.Minute, spell{kind: away, cause: diagnosis.OriginStarting}},
		{12, 30 * time.Second, 4 * time.Hour, spell{kind: unready, cause: diagnosis.NoInternet}},
		// cloudflared's releases, about monthly; the add-on is back within seconds.
		{12, 10 * time.Second, 30 * time.Second, spell{kind: unready, cause: diagnosis.TunnelDown}},
		// One of the four connections dies unnoticed, for up to 29 s (docs/FACTS.md, cloudflared). A
		// WebSocket that is sent there is never answered while the page, sent elsewhere,
		// loads: for so long it looks like a partial fault.
		{52, time.Second, 29 * time.Second, spell{kind: stripping, cause: diagnosis.UpgradeSilent, loss: [3]float64{0, 0.25, 0.25}, hangs: true}},
		// A login that lapses until somebody has time to renew it.
		{0.3, 24 * time.Hour, 14 * 24 * time.Hour, spell{kind: blinding, cause: diagnosis.AccessLogin}},
		{4, 10 * time.Minute, time.Hour, spell{kind: blinding, cause: diagnosis.RateLimited}},
	} {
		for t := gap(rng, e.perYear*s.world.Events, year); t < year; t += gap(rng, e.perYear*s.world.Events, year) {
			sp := e.spell
			if sp.kind == unready {
				// After the edge drops a tunnel, HTTP/2 takes 15 to 29 s to be back, QUIC one (docs/FACTS.md, cloudflared).
				sp.late = 15*time.Second + time.Duration(rng.Int64N(int64(14*time.Second)))
			}
			sp.from, sp.to = t, t+time.Duration(float64(e.least)*math.Pow(float64(e.most)/float64(e.least), rng.Float64()))
			s.spells = append(s.spells, sp)
		}
	}
	sort.Slice(s.spells, func(i, j int) bool { return s.spells[i].from < s.spells[j].from })
	apart := s.spells[:0]
	for _, sp := range s.spells { // of two at once the later is passed over
		if n := len(apart); n == 0 || sp.from > apart[n-1].to+apart[n-1].late {
			apart = append(apart, sp)
		}
	}
	s.spells = apart
}

// gap draws the time to the next of events that come n times in a span.
func gap(rng *rand.Rand, n float64, span time.Duration) time.Duration {
	return time.Duration(rng.ExpFloat64() / n * float64(span))
}

// day is the rhythm of a home: for each hour, how often somebody opens Home
// Assistant from outside, and how likely a WebSocket is open just then. About 40
// openings a day by a family's phones, most in the evening; those who leave it open
// are most at home with it in the evening, too.
func day(hour int) (openings, open float64) {
	switch {
	case hour < 6:
		return 0.1, 0.2
	case hour < 9:
		return 2.5, 0.6
	case hour < 17:
		return 1.5, 0.5
	case hour < 23:
		return 3, 0.7
	}
	return 1, 0.4
}

const mostOpenings = 3 // an hour

// socketsOpen says whether WebSockets are open at a moment. It is the home's truth,
// the same for everyone who restarts its tunnel then.
func (s *story) socketsOpen(t time.Duration) bool {
	_, open := day(s.clock(t).Hour())
	var draw rand.PCG
	draw.Seed(s.salt, uint64(t/(10*time.Minute)))
	return unit(&draw) < open
}
