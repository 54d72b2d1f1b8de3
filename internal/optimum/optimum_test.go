package optimum

import (
	"math"
	"math/rand/v2"
	"testing"
)

// doubtful is a problem with all that may stand in one: a total fault that any restart
// ends, partial ones, one that the other way has worse, noise, and a trouble that passes.
func doubtful() *Problem {
	p := &Problem{First: 10, Failed: 2.5, Good: 0.65, Even: 120, Looks: 300, Faults: []Fault{{Weight: 1, Loss: 1, Delay: 1, Switch: 12, Again: 8}}}
	for _, loss := range []float64{0.05, 0.1, 0.2, 0.3, 0.5} {
		p.Faults = append(p.Faults, Fault{Weight: 0.5, Loss: loss, Delay: loss, Switch: 12, Again: 20})
	}
	p.Faults = append(p.Faults, Fault{Weight: 0.3, Loss: 0.2, Switch: 16, Again: 8})
	p.Chances = []Chance{
		{Yearly: 2600, Loss: 0.01},
		{Yearly: 1, Loss: 0.25, Lasts: func(t float64) float64 { return max(0, 1-t/29) }},
	}
	return p
}

// narrow is a budget that binds: twice as many looks would be made if they cost nothing.
var narrow = Budget{Needless: 0.01, Looks: 100_000}

// The plans, played by dice, attain what was computed for them, and spend the budget.
func TestAStrategyAttainsItsValue(t *testing.T) {
	p := doubtful()
	s := Within(narrow, p)
	const n = 400_000
	rng := rand.New(rand.NewPCG(1, 2))
	var sum, squares, weights float64
	for _, f := range p.Faults {
		weights += f.Weight
	}
	for range n {
		f, at := p.Faults[0], rng.Float64()*weights
		for i := 0; at >= p.Faults[i].Weight; i++ {
			at -= p.Faults[i].Weight
			f = p.Faults[i+1]
		}
		cut := play(p, s.Plan(0, rng.Float64()), f, rng) * weights
		sum, squares = sum+cut, squares+cut*cut
	}
	mean := sum / n
	if sigma := math.Sqrt((squares/n - mean*mean) / n); math.Abs(mean-s.Cut) > 4*sigma || sigma > s.Cut/100 {
		t.Errorf("%.3f ± %.3f s played, %.3f s computed", mean, sigma, s.Cut)
	}
	if math.Abs(s.Needless/narrow.Needless-1) > 1e-9 || math.Abs(s.Looks/narrow.Looks-1) > 1e-9 {
		t.Errorf("spent: %+v", s.Budget)
	}
}

// play goes on until a restart, however often it is let go.
func play(p *Problem, plan *Plan, f Fault, rng *rand.Rand) (cut float64) {
	fails := func() bool { return rng.Float64() < f.Loss }
	for n, k := 1, 1; ; {
		switch plan.Act(n, k) {
		case Switch:
			return cut + f.Switch
		case Again:
			return cut + f.Again
		case Drop:
			for cut += f.Delay * p.Even; !fails(); cut += f.Delay * p.Even {
				cut += f.Delay * p.Good
			}
			cut += f.Delay * p.First
			n, k = 1, 1
		case Look:
			if n++; fails() {
				cut, k = cut+f.Delay*p.Failed, k+1
			} else {
				cut += f.Delay * p.Good
			}
		}
	}
}

// What is spent is counted look by look, too: in noise, and in a trouble whose end is drawn.
func TestAPlanSpendsAsMuchAsComputed(t *testing.T) {
	p := doubtful()
	s := newSolver(p)
	plan := s.improve(prices{1, 1e-3})
	rng := rand.New(rand.NewPCG(3, 4))
	var got Budget
	const times = 300_000
	for _, c := range p.Chances {
		for range times {
			ends := math.Inf(1)
			if c.Lasts != nil {
				ends = 29 * rng.Float64()
			}
			for n, k := 1, 1; p.at(n, k) < ends && plan.Act(n, k) != Drop; n++ {
				if plan.Act(n, k) != Look {
					got.Needless += c.Yearly / times
					break
				}
				if got.Looks += c.Yearly / times; rng.Float64() < c.Loss {
					k++
				}
			}
		}
	}
	if plan.Needless < 0.1 || math.Abs(got.Needless/plan.Needless-1) > 0.1 || math.Abs(got.Looks/plan.Looks-1) > 0.02 {
		t.Errorf("%+v counted, %+v computed", got, plan.Budget)
	}
}

// Whatever else spends no more is cut off for longer: rules of so many failures in a row, of
// a sum that speaks for a fault, and of so many failures of so many looks, which let it go after
// so many good looks, or when the sum is that low.
func TestNoOtherRuleIsBetter(t *testing.T) {
	p := doubtful()
	s := newSolver(p)
	rules := 0
	for _, budget := range []Budget{{1e-4, 60_000}, {1e-2, 80_000}, {1, 100_000}, {1e-2, 1e9}} {
		best := Within(budget, p)
		for base := 2.0; base <= 14; base++ {
			for slope := 0.0; slope <= 0.3; slope += 0.06 {
				for _, patience := range []float64{5, 10, 20, 40, 299} {
					for _, act := range []Act{Switch, Again} {
						plan := s.by(func(n, k int) Act {
							switch {
							case float64(k) >= base+slope*float64(n) || k == n && float64(k) >= base:
								return act
							case float64(n) >= patience*float64(k):
								return Drop
							}
							return Look
						})
						if plan.Needless > budget.Needless || plan.Looks > budget.Looks {
							continue
						}
						if rules++; plan.Cut < best.Cut-1e-9 {
							t.Errorf("%+v: %v failures and %.2f a look, let go after %v, are better: %.3f s, not %.3f", budget, base, slope, patience, plan.Cut, best.Cut)
						}
					}
				}
			}
		}
	}
	if rules < 300 {
		t.Errorf("only %d rules keep within", rules)
	}
}

// by is the plan that follows a rule wherever one may look.
func (s *solver) by(rule func(n, k int) Act) *Plan {
	plan := &Plan{rows: s.rows}
	for n := range s.rows {
		r := &s.rows[n]
		acts := make([]Act, len(r.states))
		for i := range acts {
			k := r.from + i
			if acts[i] = rule(n+1, k); acts[i] == Look && (k < r.first || k > r.last) {
				acts[i] = Drop
			}
		}
		plan.acts = append(plan.acts, acts)
	}
	s.weigh(plan)
	return plan
}

// A wider budget is never worse, and one that does not bind is not spent.
func TestAWiderBudgetIsNeverWorse(t *testing.T) {
	for _, widen := range []func(float64) Budget{
		func(x float64) Budget { return Budget{1e-6 * x, 150_000} },
		func(x float64) Budget { return Budget{1e-3, 80_000 + 2000*x} },
	} {
		last := math.Inf(1)
		for _, x := range []float64{1, 3, 10, 100, 1000} {
			budget := widen(x)
			s := Within(budget, doubtful())
			if s.Cut > last*1.0001 || s.Needless > budget.Needless*(1+1e-9) || s.Looks > budget.Looks*(1+1e-9) {
				t.Errorf("%+v: %.4f s after %.4f s, spent %+v", budget, s.Cut, last, s.Budget)
			}
			last = s.Cut
		}
	}
}

// Where one may look on at all changes next to nothing.
func TestTheBandIsBroadEnough(t *testing.T) {
	broad := doubtful()
	broad.wider = 5
	if a, b := Within(narrow, doubtful()).Cut, Within(narrow, broad).Cut; math.Abs(a/b-1) > 1e-3 {
		t.Errorf("%.4f s, and %.4f s where it may look on longer", a, b)
	}
}
