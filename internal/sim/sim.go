package sim

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// Actor is somebody in whose hands a home may be.
type Actor int

// The actors, in the order of the tables.
const (
	Medic    Actor = iota // the real policy
	Nothing               // nobody does anything
	Static                // http2 was set long ago, and stays
	Sidecar               // three failures in a row, and on to the next protocol, for ever
	Watchdog              // two failures in a row, and a restart
	Optimum               // the best that can be done with the same eyes
	SameEyes              // an oracle that learns of the fault by Medic's own first failing look
	Oracle                // an oracle that acts at the onset
	actors
)

var actorNames = [...]string{"Tunnel Medic", "nothing", "static http2", "sidecar", "watchdog", "optimum", "same eyes", "oracle"}

func (a Actor) String() string { return actorNames[a] }

// MarshalText writes the actor's name.
func (a Actor) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Config says what to simulate.
type Config struct {
	Incidents int // in all, evenly of every family but F; and as many household-years of F
	Seed      uint64
	Families  []Family
	World     Assumptions
	Rules     policy.Rules
	Pace      Pace
	Zone      *time.Location
	Progress  func(string) // told what is worked on; nil: nobody

	best *optima // the optimum's strategies; nil: Run solves them
	wald Wald    // of this seed; zero: Run measures it
}

func (cfg *Config) say(what string) {
	if cfg.Progress != nil {
		cfg.Progress(what)
	}
}

// Standard is the configuration of the tables. interval is the time between probes
// while all is well; 0 is the add-on's default.
func Standard(incidents int, seed uint64, interval time.Duration) (Config, error) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return Config{}, fmt.Errorf("the virtual homes live by Berlin's clock: %w; install the package tzdata", err)
	}
	rules := Defaults()
	rules.Location = zone
	if interval > 0 {
		rules.Interval, rules.Burst = interval, min(rules.Burst, interval)
	}
	pace := Real()
	pace.Spread = rules.Interval
	return Config{Incidents: incidents, Seed: seed, Families: Families(), World: AsStated(), Rules: rules, Pace: pace, Zone: zone}, nil
}

// ending is how an incident went in somebody's hands.
type ending struct {
	cut      float64 // minutes
	delay    float64 // seconds from the onset to the alarm; negative if there was none
	bound    float64 // seconds from the onset to the earliest alarm that the looks allowed; negative if unknown
	restarts int
	needless int
	misled   int
	alarms   int
}

// limit is how long after a fault's end a home is still watched: the return to the
// user's setting may have been put off twice.
const limit = 10 * 24 * time.Hour

// live plays one story in everybody's hands.
func (cfg *Config) live(s *story) (all [actors]ending) {
	put := func(a Actor, t *tunnel) {
		e := ending{cut: t.cut / 60, delay: -1, bound: -1, restarts: t.restarts, needless: t.needless, misled: t.misled, alarms: t.alarms}
		if t.alarm != never && len(s.spells) > 0 {
			e.delay = (t.alarm - s.onset()).Seconds()
		}
		all[a] = e
	}
	m := newCare(s, cfg.Rules)
	m.live(s.end + limit)
	if put(Medic, m.tunnel); all[Medic].delay >= 0 && m.noticed != never {
		// The fourth failing look alarms; after one that was told of they come at an eighth of the burst.
		all[Medic].bound = (m.noticed - s.onset() + 3*(cfg.Rules.Burst/8+cfg.Pace.Bad)).Seconds()
	}
	put(Nothing, alone(s, s.own))
	put(Static, alone(s, evidence.HTTP2))
	put(Sidecar, sidecar().live(s))
	put(Watchdog, watchdog().live(s))
	eyes, onset := oracles(s, m.noticed)
	put(Optimum, cfg.best.optimal(s, cfg, m.noticed))
	put(SameEyes, eyes)
	put(Oracle, onset)
	return all
}

// play plays all stories of a family, on every processor. The result does not
// depend on how many there are.
func (cfg *Config) play(ctx context.Context, f Family) [][actors]ending {
	n := cfg.Incidents
	if f != Ordinary {
		n = (n + len(Families()) - 2) / (len(Families()) - 1)
	}
	ends := make([][actors]ending, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ends) || ctx.Err() != nil {
					return
				}
				ends[i] = cfg.live(draw(f, i, cfg.Seed, cfg.World, cfg.Pace, cfg.Zone))
			}
		})
	}
	wg.Wait()
	return ends
}
