// Package optimum solves the watcher's dilemma exactly: after a look that failed, is it
// better to look again, or to restart at once? It is dynamic programming on the belief, for
// a yardstick of what can be had with the same eyes and the same promise not to restart for
// nothing.
//
// What the belief rests on is how many looks there were and how many of them failed: for
// looks that are independent, given what is wrong, nothing else counts. So the state is
// two whole numbers and needs no grid. Whatever the model leaves out, it leaves out in the
// optimum's favour: looking costs nothing but time; from the first restart on, and after
// the last look of the horizon, the truth is told for nothing.
package optimum

import "math"

// Act is what may be done after a look.
type Act uint8

// The acts. To wait is never better than to look, which costs nothing and takes as long.
const (
	Look   Act = iota
	Switch     // restart with another transport
	Again      // restart with the same
	Ask        // be told the truth, beyond the horizon
)

// Fault is what a failing look may come from that a restart can end.
type Fault struct {
	Weight float64 // how many incidents of the drawn ones it is
	Loss   float64 // the share of looks that fail
	Delay  float64 // seconds cut off per second in which nothing is done
	Switch float64 // seconds cut off from such a restart on, with the truth told after it
	Again  float64
	Told   float64 // the same, with the truth told before it
}

// Chance is what a failing look may come from that is no fault: it passes on its own, and a
// restart for it is needless.
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
	// Seconds: of the first failing look, and from the end of one look to that of the next.
	First, Failed, Good float64
	Looks               int // the horizon, at most 1,000: likelihoods of more are too small for a float64
}

// Plan is what to do after so many looks of which so many failed.
type Plan struct {
	Cut      float64 // seconds cut off from the end of the first failing look on, summed over the faults by weight
	Needless float64 // restarts a year without a fault
	acts     [][]Act
}

// Act is what to do after n looks of which k failed. Beyond the horizon the truth is told.
func (p *Plan) Act(n, k int) Act {
	if n >= len(p.acts) {
		return Ask
	}
	return p.acts[n][k]
}

// worth is what comes of a state, not yet divided by how likely it is.
type worth struct{ cut, needless float64 }

// state is what the acts bring at once in a state, whatever a needless restart costs.
type state struct{ look, other, again, told worth }

// weigh goes through the states: after n looks of which k failed.
func (p *Problem) weigh() [][]state {
	faults, chances := make([]path, len(p.Faults)), make([]path, len(p.Chances))
	for i, f := range p.Faults {
		faults[i] = p.paths(f.Loss)
	}
	for i, c := range p.Chances {
		chances[i] = p.paths(c.Loss)
	}
	states := make([][]state, p.Looks+1)
	for n := 1; n <= p.Looks; n++ {
		states[n] = make([]state, n+1)
		for k := 1; k <= n; k++ {
			at := &states[n][k]
			for i, f := range p.Faults {
				w := f.Weight * faults[i].to(n, k)
				at.look.cut += w * f.Delay * (f.Loss*p.Failed + (1-f.Loss)*p.Good)
				at.other.cut += w * f.Switch
				at.again.cut += w * f.Again
				at.told.cut += w * f.Told
			}
			for i, c := range p.Chances {
				at.other.needless += c.Yearly * chances[i].to(n, k) * c.lasts(p.at(n, k))
			}
			at.again.needless = at.other.needless
		}
	}
	return states
}

// solve finds the plan that costs least where each needless restart has this price, from
// the horizon back.
func solve(states [][]state, price float64) *Plan {
	last := len(states) - 1
	plan := &Plan{acts: make([][]Act, last)}
	next := make([]worth, last+1)
	for k := range next {
		next[k] = states[last][k].told
	}
	for n := last - 1; n > 0; n-- {
		plan.acts[n] = make([]Act, n+1)
		for k := 1; k <= n; k++ { // next[k+1] is not overwritten yet
			at := states[n][k]
			look := worth{at.look.cut + next[k].cut + next[k+1].cut, next[k].needless + next[k+1].needless}
			next[k], plan.acts[n][k] = least(price, look, at.other, at.again)
		}
	}
	plan.Cut, plan.Needless = next[1].cut, next[1].needless
	return plan
}

// least is the act that costs least: the first in the order of the acts.
func least(price float64, acts ...worth) (worth, Act) {
	best := 0
	for i, w := range acts {
		if w.cut+price*w.needless < acts[best].cut+price*acts[best].needless {
			best = i
		}
	}
	return acts[best], Act(best)
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

// path is how likely so many failing and so many good looks are, by number.
type path struct{ failed, good []float64 }

func (p *Problem) paths(loss float64) path {
	l := path{make([]float64, p.Looks+1), make([]float64, p.Looks+1)}
	l.failed[0], l.good[0] = 1, 1
	for i := range p.Looks {
		l.failed[i+1], l.good[i+1] = l.failed[i]*loss, l.good[i]*(1-loss)
	}
	return l
}

// to is how likely one order of n looks, of which the first and k in all fail, is after the first.
func (l path) to(n, k int) float64 { return l.failed[k-1] * l.good[n-k] }

// Strategy is the best that can be had by who keeps a promise. Its two plans for each
// problem lie on either side of the promise; to follow the one with the given odds, by lot,
// keeps it exactly, and nobody who keeps it can be cut off for less (the promise's
// Lagrangian dual, which is tight where lots may be drawn).
type Strategy struct {
	Cut         float64 // seconds, summed over the faults of all problems by weight
	Needless    float64 // restarts a year
	eager       float64 // how likely the eager plans are followed
	plans, keen []*Plan
}

// Plan is the one to follow in a problem, by a lot between 0 and 1.
func (s *Strategy) Plan(problem int, lot float64) *Plan {
	if lot < s.eager {
		return s.keen[problem]
	}
	return s.plans[problem]
}

// Promise solves problems that share a promise of so many needless restarts a year.
func Promise(yearly float64, problems ...*Problem) *Strategy {
	states := make([][][]state, len(problems))
	for i, p := range problems {
		states[i] = p.weigh()
	}
	all := func(price float64) (plans []*Plan, sum worth) {
		for _, of := range states {
			plan := solve(of, price)
			plans, sum = append(plans, plan), worth{sum.cut + plan.Cut, sum.needless + plan.Needless}
		}
		return plans, sum
	}
	plans, kept := all(0)
	s := &Strategy{Cut: kept.cut, Needless: kept.needless, plans: plans}
	if kept.needless <= yearly {
		return s
	}
	s.keen = plans
	keen := kept
	// Seconds, by their logarithm: from next to nothing to more than any fault takes.
	for low, high := -5.0, 25.0; high-low > 1e-3; {
		mid := (low + high) / 2
		if plans, sum := all(math.Exp(mid)); sum.needless <= yearly {
			high, s.plans, kept = mid, plans, sum
		} else {
			low, s.keen, keen = mid, plans, sum
		}
	}
	s.eager = (yearly - kept.needless) / (keen.needless - kept.needless)
	s.Cut, s.Needless = kept.cut+s.eager*(keen.cut-kept.cut), yearly
	return s
}
