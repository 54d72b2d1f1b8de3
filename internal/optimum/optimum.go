// Package optimum solves the watcher's dilemma: after a look that failed, is it better to
// look again, to restart at once, or to let it go? It is dynamic programming on the belief, for
// a yardstick of what can be had with the same eyes: as many looks, and the same promise not to
// restart for nothing.
//
// What the belief rests on is how many looks there were since the first that failed, and how
// many of them failed: for looks that are independent, given what is wrong, nothing else
// counts. So the state is two whole numbers and needs no grid. Who lets it go forgets, looks
// at even times again, and begins anew with the next look that fails. How often a fault comes
// back to that depends on the whole plan, so a plan is improved on until no other act in a
// state makes it better.
//
// Nothing is told for nothing while it looks. From the first restart on the truth is, which is
// in the optimum's favour.
package optimum

import (
	"cmp"
	"math"
	"slices"
)

// Act is what may be done after a look.
type Act uint8

// The acts.
const (
	Look   Act = iota // again, at once
	Switch            // restart with another transport
	Again             // restart with the same
	Drop              // let it go, until a look at an even time fails
)

// Fault is what a failing look may come from that a restart can end.
type Fault struct {
	Weight float64 // how many incidents of the drawn ones it is
	Loss   float64 // the share of looks that fail: above every chance's that lasts for ever, and below 1 or 1
	Delay  float64 // seconds cut off per second in which nothing is done
	Switch float64 // seconds cut off from such a restart on, with the truth told after it
	Again  float64
}

// Chance is what a failing look may come from that is no fault: it passes on its own, and a
// restart for it is needless. The first of a problem is its noise, and lasts for ever.
type Chance struct {
	Yearly float64 // how often in a year a look fails for it, the last one having been good
	Loss   float64
	// Lasts is how likely it is to be there still, seconds after; nil: for ever. The moment
	// at which it ends is told.
	Lasts func(seconds float64) float64
}

// Problem is what may be behind a first failing look, and how long looks take.
type Problem struct {
	Faults  []Fault
	Chances []Chance
	// Seconds: of the first failing look, from the end of one look to that of the next, and
	// from one look at an even time to the next.
	First, Failed, Good, Even float64
	Looks                     int // the horizon

	wider float64 // by how many nats a fault may be less likely, or surer, than is usual while it looks
}

// Budget is what a strategy may spend in a year in which nothing is wrong.
type Budget struct {
	Needless float64 // restarts
	Looks    float64 // beside those at even times
}

// Plan is what to do after so many looks of which so many failed.
type Plan struct {
	Cut float64 // seconds cut off from the end of the first failing look on, summed over the faults by weight
	Budget
	rows    []row
	acts    [][]Act
	courses []course
}

// Act is what to do after n looks of which k failed. What no look leads to is let go.
func (p *Plan) Act(n, k int) Act {
	if n > len(p.acts) || k < p.rows[n-1].from || k-p.rows[n-1].from >= len(p.acts[n-1]) {
		return Drop
	}
	return p.acts[n-1][k-p.rows[n-1].from]
}

// row are the states after so many looks, by how many failed; from some number on. It is looked
// again only in the middle ones.
type row struct {
	from        int
	first, last int // of the middle ones
	states      []state
}

// state is one, in proportion to how likely noise leads there.
type state struct {
	chance float64   // times a year in health
	faults []float64 // how likely each leads there
}

// rows goes through the states which one may look on from: where a fault is neither all but
// refuted nor all but certain.
func (p *Problem) rows() []row {
	low, high := 7+p.wider, 40+p.wider // a restart takes about 20 where one in ten thousand years may be needless
	weights := 0.0
	for _, f := range p.Faults {
		weights += f.Weight
	}
	var rows []row
	for n, from, to := 1, 1, 1; n <= p.Looks && from <= to; n++ {
		r := row{from: from, first: to + 1, last: from - 1}
		for k := from; k <= to; k++ {
			s, sum := p.state(n, k)
			r.states = append(r.states, s)
			if nats := math.Log(sum / weights); n < p.Looks && nats >= -low && nats <= high {
				r.first, r.last = min(r.first, k), k
			}
		}
		rows = append(rows, r)
		from, to = r.first, r.last+1
		if r.last < r.first {
			break
		}
	}
	return rows
}

// state gives the one after n looks of which k failed, and what speaks for a fault in it.
func (p *Problem) state(n, k int) (s state, sum float64) {
	s.faults = make([]float64, len(p.Faults))
	for i, f := range p.Faults {
		s.faults[i] = p.ratio(f.Loss, n, k)
		sum += f.Weight * s.faults[i]
	}
	for _, c := range p.Chances {
		s.chance += c.Yearly * p.ratio(c.Loss, n, k) * c.lasts(p.at(n, k))
	}
	return s, sum
}

// ratio is how much likelier a loss leads to a state than noise does, after the first failure.
func (p *Problem) ratio(loss float64, n, k int) float64 {
	noise, sum := p.Chances[0].Loss, 0.0
	if k > 1 {
		sum += float64(k-1) * math.Log(loss/noise)
	}
	if n > k {
		sum += float64(n-k) * math.Log((1-loss)/(1-noise))
	}
	return math.Exp(sum)
}

// at is how many seconds after the beginning of the first failing look a state is reached.
func (p *Problem) at(n, k int) float64 {
	return p.First + float64(k-1)*p.Failed + float64(n-k)*p.Good
}

func (c Chance) lasts(seconds float64) float64 {
	if c.Lasts == nil {
		return 1
	}
	return c.Lasts(seconds)
}

// prices are what is paid, in seconds cut off, for what is done in a year in which nothing is wrong.
type prices struct{ restart, look float64 }

// solver is a problem on the way to its solution.
type solver struct {
	*Problem
	rows    []row
	courses []course // as far as is known
	found   []*Plan
}

// course is how a fault goes with a plan.
type course struct {
	*Fault
	wait  float64 // seconds cut off while it is looked once more
	anew  float64 // and from the moment it is let go to the end of the next look that fails
	cut   float64 // from the end of a first failing look on
	often float64 // how many first failing looks it takes until it is found
}

func newSolver(p *Problem) *solver {
	s := &solver{Problem: p, rows: p.rows()}
	for i := range p.Faults {
		f := &p.Faults[i]
		s.courses = append(s.courses, course{
			Fault: f, cut: f.Delay*1e6 + min(f.Switch, f.Again), often: 1, wait: f.Delay * (f.Loss*p.Failed + (1-f.Loss)*p.Good),
			anew: f.Delay * (p.Even/f.Loss + p.Good*(1/f.Loss-1) + p.First),
		})
	}
	plan := s.plan(prices{})
	s.weigh(plan)
	s.found = []*Plan{plan}
	return s
}

// best is the best plan found so far.
func (s *solver) best(price prices) *Plan {
	return slices.MinFunc(s.found, func(a, b *Plan) int { return cmp.Compare(a.worth(price), b.worth(price)) })
}

// improve takes a step of policy iteration from the last plan on, for the next price is near; from the best where the
// last step led astray, as it may because how often what is let go comes back depends on all states together.
func (s *solver) improve(price prices) *Plan {
	const astray = 1.3
	if last, best := s.found[len(s.found)-1], s.best(price); last.worth(price) > astray*best.worth(price) {
		s.courses = best.courses
	}
	plan := s.plan(price)
	s.weigh(plan)
	s.courses, s.found = plan.courses, append(s.found, plan)
	return s.best(price)
}

func (p *Plan) worth(price prices) float64 {
	return p.Cut + price.restart*p.Needless + price.look*p.Looks
}

// plan finds what costs least at these prices, from the horizon back, where each fault comes as often to a first
// failing look, and what is let go costs as much, as is known.
func (s *solver) plan(price prices) *Plan {
	plan := &Plan{rows: s.rows, acts: make([][]Act, len(s.rows))}
	fails := s.Chances[0].Loss // of noise, a failing look leads on with its loss, and a good one with the rest
	var next []float64
	for n := len(s.rows) - 1; n >= 0; n-- {
		r := &s.rows[n]
		here, acts := make([]float64, len(r.states)), make([]Act, len(r.states))
		for i := range r.states {
			wait, other, again, drop := s.brings(&r.states[i])
			best, act := other, Switch
			if again < other {
				best, act = again, Again
			}
			if best += price.restart * r.states[i].chance; drop < best {
				best, act = drop, Drop
			}
			if k := r.from + i; k >= r.first && k <= r.last {
				to := k - s.rows[n+1].from
				if look := wait + price.look*r.states[i].chance + (1-fails)*next[to] + fails*next[to+1]; look < best {
					best, act = look, Look
				}
			}
			here[i], acts[i] = best, act
		}
		next, plan.acts[n] = here, acts
	}
	return plan
}

// brings is what the acts cost at once in a state, in seconds cut off.
func (s *solver) brings(at *state) (wait, other, again, drop float64) {
	for i := range s.courses {
		f := &s.courses[i]
		w := f.Weight * f.often * at.faults[i]
		wait += w * f.wait
		other += w * f.Switch
		again += w * f.Again
		drop += w * (f.anew + f.cut)
	}
	return wait, other, again, drop
}

// weigh is what a plan brings, and how the faults go with it.
func (s *solver) weigh(plan *Plan) {
	plan.courses = slices.Clone(s.courses)
	for i := range plan.courses {
		f := &plan.courses[i]
		cut, dropped := s.follow(plan, f)
		f.often = 1 / max(1-dropped, 1e-9) // it begins anew, and as it did
		f.cut = (cut + dropped*f.anew) * f.often
		plan.Cut += f.Weight * f.cut
	}
	fails := s.Chances[0].Loss
	reach := []float64{1}
	for n, acts := range plan.acts {
		r := &s.rows[n]
		var next []float64
		if n+1 < len(s.rows) {
			next = make([]float64, len(s.rows[n+1].states))
		}
		for i, p := range reach {
			switch c := p * r.states[i].chance; acts[i] {
			case Look:
				plan.Looks += c
				to := r.from + i - s.rows[n+1].from
				next[to] += p * (1 - fails)
				next[to+1] += p * fails
			case Switch, Again:
				plan.Needless += c
			case Drop:
			}
		}
		reach = next
	}
}

// follow goes through a plan with a fault: seconds cut off until it is let go or restarted, with
// what that brings, and how likely it is let go.
func (s *solver) follow(plan *Plan, f *course) (cut, dropped float64) {
	reach := []float64{1}
	for n, acts := range plan.acts {
		var next []float64
		if n+1 < len(s.rows) {
			next = make([]float64, len(s.rows[n+1].states))
		}
		for i, p := range reach {
			if p == 0 {
				continue
			}
			switch acts[i] {
			case Look:
				cut += p * f.wait
				to := s.rows[n].from + i - s.rows[n+1].from
				next[to] += p * (1 - f.Loss)
				next[to+1] += p * f.Loss
			case Switch:
				cut += p * f.Switch
			case Again:
				cut += p * f.Again
			case Drop:
				dropped += p
			}
		}
		reach = next
	}
	return cut, dropped
}

// Strategy is the best that can be had within a budget: plans to be followed by lot, so that it is
// spent exactly.
type Strategy struct {
	Cut float64 // seconds, summed over the faults of all problems by weight
	Budget
	ways []way
}

// way is one plan for each problem, and how likely it is followed.
type way struct {
	odds  float64
	plans []*Plan
}

// Plan is the one to follow in a problem, by a lot between 0 and 1.
func (s *Strategy) Plan(problem int, lot float64) *Plan {
	for _, w := range s.ways[1:] {
		if lot -= w.odds; lot < 0 {
			return w.plans[problem]
		}
	}
	return s.ways[0].plans[problem]
}

// mixed follows one strategy or another by lot, so that together they spend what is allowed.
func mixed(over, within *Strategy, spent func(*Strategy) float64, allowed float64) *Strategy {
	if over == nil || within == nil {
		return cmp.Or(within, over)
	}
	odds := (allowed - spent(within)) / (spent(over) - spent(within))
	mix := func(a, b float64) float64 { return b + odds*(a-b) }
	s := &Strategy{Cut: mix(over.Cut, within.Cut), Budget: Budget{mix(over.Needless, within.Needless), mix(over.Looks, within.Looks)}}
	for _, w := range within.ways {
		s.ways = append(s.ways, way{w.odds * (1 - odds), w.plans})
	}
	for _, w := range over.ways {
		s.ways = append(s.ways, way{w.odds * odds, w.plans})
	}
	return s
}

// pool are problems that share a budget.
type pool struct {
	solvers []*solver
	budget  Budget
}

// Within solves problems that share a budget.
func Within(budget Budget, problems ...*Problem) *Strategy {
	all := pool{budget: budget}
	for _, p := range problems {
		all.solvers = append(all.solvers, newSolver(p))
	}
	all.explore()
	best, _ := spend(free, most, 1e-3, looks, budget.Looks, func(look float64) *Strategy {
		s, _ := all.at(look, free, dear, 1e-3, (*solver).best)
		return s
	})
	return best
}

// Prices by their logarithm: next to nothing, more than any look is worth, and more than any fault takes.
const free, most, dear = -20, 0, 25

func looks(s *Strategy) float64    { return s.Looks }
func needless(s *Strategy) float64 { return s.Needless }

// explore improves on the plans while looks become dearer, until no more of them are made than may be: by small
// steps, for each improves on the last.
func (all *pool) explore() {
	const step = 0.5
	low, high := float64(free), float64(dear)
	for range 3 { // the first step is the longest
		_, at := all.at(math.Exp(free), low, high, step/4, (*solver).improve)
		low, high = at-1, at+1
	}
	for look := float64(free); look < most; look += step {
		s, at := all.at(math.Exp(look), low, high, step/4, (*solver).improve)
		if low, high = at-1, at+1; s.Looks <= all.budget.Looks {
			return
		}
		look = max(look, -14) // where they begin to matter
	}
}

// at is the strategy where looks have a price, and restarts one that is between others; and that of restarts, by its logarithm.
func (all *pool) at(look, low, high, close float64, by func(*solver, prices) *Plan) (*Strategy, float64) {
	return spend(low, high, close, needless, all.budget.Needless, func(restart float64) *Strategy {
		s := &Strategy{ways: []way{{odds: 1}}}
		for _, of := range all.solvers {
			p := by(of, prices{restart, look})
			s.ways[0].plans = append(s.ways[0].plans, p)
			s.Cut, s.Needless, s.Looks = s.Cut+p.Cut, s.Needless+p.Needless, s.Looks+p.Looks
		}
		return s
	})
}

// spend finds the strategy that spends what is allowed of something, by its price, and that as closely as it says.
func spend(low, high, close float64, spent func(*Strategy) float64, allowed float64, at func(price float64) *Strategy) (*Strategy, float64) {
	var over, within *Strategy
	for high-low > close {
		mid := (low + high) / 2
		if s := at(math.Exp(mid)); spent(s) <= allowed {
			high, within = mid, s
		} else {
			low, over = mid, s
		}
	}
	return mixed(over, within, spent, allowed), high
}
