// Package seeds plays whole lives of homes from seeds: the daemon as it ships and the lab
// in one bubble of testing/synctest, with faults of the network, of Supervisor's calls and
// of the disk, people's hands, strangers, crashes at every moment; and it holds what
// happens against the promises that the program makes to a home. It strikes where nobody
// thought of striking.
//
// Everything that an episode does is drawn from its seed. One that breaks a promise is
// shrunk, event by event, and printed as a line that plays it again:
//
//	go test ./internal/lab/seeds -run TestReplay -replay 4711:0,3
//
// testdata/broken holds each that ever broke a promise; go test plays them all.
package seeds

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is an episode that has not been played yet.
type Plan struct {
	Seed   uint64
	Events []Event // in the order of their time
	all    int     // how many the seed had
	lone   bool    // one fault that can be healed, and nothing else
}

// Event is something that happens in an episode.
type Event struct {
	N    int           // its number among the seed's
	At   time.Duration // after the daemon's first start
	kind *kind
	draw uint64 // the seed of what it draws itself
}

// The disturbed part of an episode.
const (
	calmAtFirst = 20 * time.Second
	disturbed   = 14 * time.Minute
	mostEvents  = 6
)

// Draw plans a seed's episode.
func Draw(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, all: 1 + r.IntN(mostEvents)}
	weights := 0
	for _, k := range kinds {
		weights += k.weight
	}
	for n := range p.all {
		at := r.IntN(weights)
		i := slices.IndexFunc(kinds, func(k *kind) bool { at -= k.weight; return at < 0 })
		// Most happens soon after the first: that is when there is most to spoil.
		within := disturbed
		if r.IntN(2) == 0 {
			within = disturbed / 4
		}
		p.Events = append(p.Events, Event{N: n, At: calmAtFirst + time.Duration(r.Int64N(int64(within))), kind: kinds[i], draw: r.Uint64()})
	}
	if p.lone = r.IntN(6) == 0; p.lone {
		p.all, p.Events = 1, p.Events[:1]
		p.Events[0] = Event{At: calmAtFirst, kind: kindNamed(lone[r.IntN(len(lone))]), draw: r.Uint64()}
		return p
	}
	// Half of all faults are healed by a protocol: so that acting, the dangerous part, is at work.
	if r.IntN(2) == 0 {
		p.Events[0].kind, p.Events[0].At = kindNamed("quic strips WebSockets"), calmAtFirst
	}
	p.sort()
	return p
}

func (p *Plan) sort() {
	slices.SortFunc(p.Events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.At, b.At), a.N-b.N) })
}

// Without is the plan with one event fewer.
func (p Plan) Without(i int) Plan {
	p.Events = slices.Delete(slices.Clone(p.Events), i, i+1)
	return p
}

// String is what Parse reads: the seed, and which of its events happen if not all do.
func (p Plan) String() string {
	if len(p.Events) == p.all {
		return fmt.Sprint(p.Seed)
	}
	var kept []string
	for _, e := range p.Events {
		kept = append(kept, strconv.Itoa(e.N))
	}
	slices.Sort(kept)
	return fmt.Sprintf("%d:%s", p.Seed, strings.Join(kept, ","))
}

// Frozen is a line that Parse reads too, and that names its events: it means the same when
// the kinds of events, of which a seed draws, have become others.
func (p Plan) Frozen() string {
	line := fmt.Sprint(p.Seed)
	if p.lone {
		line += " alone"
	}
	for _, e := range p.Events {
		line += fmt.Sprintf(" | %s %s %d", e.At, e.kind.name, e.draw)
	}
	return line
}

// Parse reads a plan from a line.
func Parse(line string) (Plan, error) {
	if strings.Contains(line, "|") {
		return thaw(line)
	}
	seed, events, some := strings.Cut(strings.TrimSpace(line), ":")
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return Plan{}, errors.New("a plan is a seed, or a seed and its events: 4711:0,3")
	}
	p := Draw(n)
	if !some {
		return p, nil
	}
	kept := map[int]bool{}
	for _, e := range strings.Split(events, ",") {
		if e == "" {
			continue
		}
		i, err := strconv.Atoi(e)
		if err != nil || i < 0 || i >= p.all {
			return Plan{}, fmt.Errorf("seed %d has no event %s", n, e)
		}
		kept[i] = true
	}
	p.Events = slices.DeleteFunc(p.Events, func(e Event) bool { return !kept[e.N] })
	return p, nil
}

func thaw(line string) (Plan, error) {
	parts := strings.Split(line, "|")
	head, lone := strings.CutSuffix(strings.TrimSpace(parts[0]), " alone")
	seed, err := strconv.ParseUint(head, 10, 64)
	if err != nil {
		return Plan{}, errors.New("a plan begins with its seed")
	}
	p := Plan{Seed: seed, all: len(parts) - 1, lone: lone}
	for n, part := range parts[1:] {
		at, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
		space := strings.LastIndexByte(rest, ' ')
		if space < 0 {
			return Plan{}, fmt.Errorf("%q is no event: when, what, and the seed of what it draws", part)
		}
		e := Event{N: n}
		var when, what error
		e.At, when = time.ParseDuration(at)
		e.draw, what = strconv.ParseUint(rest[space+1:], 10, 64)
		i := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == rest[:space] })
		if when != nil || what != nil || i < 0 {
			return Plan{}, fmt.Errorf("%q is no event that is known", part)
		}
		e.kind = kinds[i]
		p.Events = append(p.Events, e)
	}
	return p, nil
}

// near is the seed's home with events of these kinds instead of those that it draws: the
// first at first, the others soon after.
func (p Plan) near(names []string) Plan {
	r := rand.New(rand.NewPCG(p.Seed, 4))
	p.Events, p.all, p.lone = nil, len(names), len(names) == 1 && slices.Contains(lone, names[0])
	for n, name := range names {
		e := Event{N: n, At: calmAtFirst, kind: kindNamed(name), draw: r.Uint64()}
		if n > 0 {
			e.At += time.Duration(r.Int64N(int64(disturbed / 4)))
		}
		p.Events = append(p.Events, e)
	}
	p.sort()
	return p
}
