package optimum

import (
	"math"
	"math/rand/v2"
	"testing"
)

// doubtful is a problem with all that may stand in one: a total fault that any restart
// ends, partial ones, one that the other way has worse, noise, and a trouble that passes.
func doubtful() *Problem {
	p := &Problem{First: 10, Failed: 2.5, Good: 0.65, Looks: 120, Faults: []Fault{{Weight: 1, Loss: 1, Delay: 1, Switch: 12, Again: 8, Told: 8}}}
	for _, loss := range []float64{0.1, 0.2, 0.3, 0.5} {
		p.Faults = append(p.Faults, Fault{Weight: 0.5, Loss: loss, Delay: loss, Switch: 12, Again: 20, Told: 12})
	}
	p.Faults = append(p.Faults, Fault{Weight: 0.3, Loss: 0.2, Switch: 16, Again: 8})
	p.Chances = []Chance{
		{Yearly: 2600, Loss: 0.01},
		{Yearly: 1, Loss: 0.25, Lasts: func(t float64) float64 { return max(0, 1-t/29) }},
	}
	return p
}

// The plan, played by dice, attains what was computed for it.
func TestAPlanAttainsItsValue(t *testing.T) {
	p := doubtful()
	s := Promise(0.01, p)
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
	if math.Abs(s.Needless-0.01) > 1e-9 {
		t.Errorf("%g needless restarts a year", s.Needless)
	}
}

func play(p *Problem, plan *Plan, f Fault, rng *rand.Rand) (cut float64) {
	for n, k := 1, 1; ; n++ {
		switch plan.Act(n, k) {
		case Switch:
			return cut + f.Switch
		case Again:
			return cut + f.Again
		case Ask:
			return cut + f.Told
		case Look:
		}
		if rng.Float64() < f.Loss {
			cut, k = cut+f.Delay*p.Failed, k+1
		} else {
			cut += f.Delay * p.Good
		}
	}
}

// What is needless is counted look by look, too: noise, and a trouble whose end is drawn.
func TestAPlanRestartsForNothingAsOftenAsComputed(t *testing.T) {
	p := doubtful()
	plan := solve(p.weigh(), 5)
	rng := rand.New(rand.NewPCG(3, 4))
	got := 0.0
	const times = 300_000
	for _, c := range p.Chances {
		hits := 0
		for range times {
			ends := math.Inf(1)
			if c.Lasts != nil {
				ends = 29 * rng.Float64()
			}
			for n, k := 1, 1; p.at(n, k) < ends; n++ {
				if act := plan.Act(n, k); act == Ask {
					break
				} else if act != Look {
					hits++
					break
				}
				if rng.Float64() < c.Loss {
					k++
				}
			}
		}
		got += c.Yearly * float64(hits) / times
	}
	if plan.Needless < 0.1 || math.Abs(got-plan.Needless) > plan.Needless/10 {
		t.Errorf("%.4f needless restarts a year counted, %.4f computed", got, plan.Needless)
	}
}

// Whatever else keeps the promise is cut off for longer: rules of so many failures in a
// row, of a sum that speaks for a fault, and of so many failures of so many looks.
func TestNoOtherRuleIsBetter(t *testing.T) {
	p := doubtful()
	states := p.weigh()
	rules := 0
	for _, promise := range []float64{1e-4, 1e-2, 1} {
		best := Promise(promise, p)
		for base := 2.0; base <= 14; base++ {
			for slope := 0.0; slope <= 0.3; slope += 0.02 {
				for _, act := range []Act{Switch, Again} {
					w := value(states, func(n, k int) Act {
						if float64(k) >= base+slope*float64(n) || k == n && float64(k) >= base {
							return act
						}
						return Look
					})
					if w.needless > promise {
						continue
					}
					if rules++; w.cut < best.Cut-1e-9 {
						t.Errorf("promise %g: %v failures and %.2f a look are better: %.3f s, not %.3f", promise, base, slope, w.cut, best.Cut)
					}
				}
			}
		}
	}
	if rules < 100 {
		t.Errorf("only %d rules keep the promise", rules)
	}
}

// value is what a rule brings.
func value(states [][]state, rule func(n, k int) Act) worth {
	last := len(states) - 1
	next := make([]worth, last+1)
	for k := range next {
		next[k] = states[last][k].told
	}
	for n := last - 1; n > 0; n-- {
		for k := 1; k <= n; k++ {
			at := states[n][k]
			switch rule(n, k) {
			case Switch:
				next[k] = at.other
			case Again:
				next[k] = at.again
			default:
				next[k] = worth{at.look.cut + next[k].cut + next[k+1].cut, next[k].needless + next[k+1].needless}
			}
		}
	}
	return next[1]
}

// A promise that is wider is never worse, and one that does not bind costs nothing.
func TestAWiderPromiseIsNeverWorse(t *testing.T) {
	last := math.Inf(1)
	for _, yearly := range []float64{1e-8, 1e-6, 1e-4, 1e-2, 1, 100, 10_000} {
		s := Promise(yearly, doubtful())
		if s.Cut > last+1e-9 || s.Needless > yearly+1e-9 {
			t.Errorf("%g: %.4f s after %.4f s, %g needless", yearly, s.Cut, last, s.Needless)
		}
		last = s.Cut
	}
}
