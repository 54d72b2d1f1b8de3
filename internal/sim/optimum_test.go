package sim

import (
	"math"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/optimum"
)

// unknowing is what not knowing the truth costs by the model, in seconds an incident.
func unknowing(s *optimum.Strategy, problems ...*optimum.Problem) float64 {
	cut := s.Cut
	for _, p := range problems {
		for _, f := range p.Faults {
			cut -= f.Weight * min(f.Switch, f.Again)
		}
	}
	return cut
}

// The strategy, played in the simulator, attains what dynamic programming says it is worth.
func TestTheOptimumAttainsItsValue(t *testing.T) {
	cfg := standard(t, 0)
	cfg.Families = nil // no noisy homes
	for _, silently := range []bool{false, true} {
		cfg.World.Silent = silently
		for _, f := range []Family{QUICOnly, Partial, AnyRestart} {
			m := cfg.model([]Family{f})
			all := cfg.optima(m.kinds)
			want := 0.0
			for _, over := range []evidence.Transport{quic, http2} {
				want += unknowing(all.usual[over], m.problem(over, told), m.problem(over, silent))
			}
			var more []float64
			for i := range 2000 {
				s := draw(f, i, 7, cfg.World, cfg.Pace, cfg.Zone)
				at := s.onset() + time.Second
				first := s.own
				if f != AnyRestart {
					first = otherWay(s.own)
				}
				more = append(more, all.optimal(s, &cfg, at).cut-s.knowing(at+cfg.Pace.Write, first).cut)
			}
			got := mean(more)
			t.Logf("%s, silent %v: %s s played, %.2f s computed", f, silently, got, want)
			if math.Abs(got.Mean-want) > 2*got.CI+0.02 || want < 0.5 {
				t.Errorf("%s, silent %v: not to know costs %s s as it is played, %.2f s as it is computed", f, silently, got, want)
			}
		}
	}
}

// So does the one of a noisy home, which lets most of what fails go, and begins anew; and it makes as
// many looks as the policy.
func TestTheOptimumOfANoisyHomeAttainsItsValue(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 0)
	m, all := cfg.model(Families()), solved()
	for _, i := range []int{0, noises - 1} {
		s, budget := all.noisy[i], cfg.budget(m.noiseOf(i), 0)
		if s.Looks > budget.Looks*1.001 || s.Looks < budget.Looks*0.999 || s.Needless > promised*1.001 {
			t.Errorf("%.3f: spent %+v of %+v", m.noiseOf(i), s.Budget, budget)
		}
		want := unknowing(s, m.noisy(m.noiseOf(i)))
		var more []float64
		for k := range 1000 {
			s := draw(Noisy, k, 7, cfg.World, cfg.Pace, cfg.Zone)
			s.noise = m.noiseOf(i)
			at := s.onset() + time.Second
			more = append(more, all.optimal(s, &cfg, at).cut-s.knowing(at+cfg.Pace.Write, otherWay(s.own)).cut)
		}
		got := mean(more)
		t.Logf("%.3f: %s s played, %.2f s computed", m.noiseOf(i), got, want)
		if math.Abs(got.Mean-want) > 2*got.CI+0.02*want {
			t.Errorf("%.3f: not to know costs %s s as it is played, %.2f s as it is computed", m.noiseOf(i), got, want)
		}
	}
}

// Nobody who looks no more often and keeps the promise is cut off for less than the optimum that knows which kind of
// fault it is, if it is one; only who knows the truth is.
func TestNobodyIsBetterThanTheOptimum(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 11*100)
	for _, f := range []Family{QUICOnly, Partial, Unequal, AnyRestart, Noisy} {
		cfg.Families = []Family{f}
		cfg.best = cfg.optima([]Family{f})
		row := row(f, cfg.play(t.Context(), f))
		medic, eyes := row.Scores[Medic].ToBest, row.Scores[SameEyes].ToBest
		t.Logf("%s: %s times the optimum's", f, medic)
		if medic.Mean+1.5*medic.CI < 1 {
			t.Errorf("%s: the policy is cut off for %s times the optimum's", f, medic)
		}
		if eyes.Mean > 1 {
			t.Errorf("%s: who knows the truth is cut off for %s times the optimum's", f, eyes)
		}
	}
}

// How finely losses are cut and how far it looks ahead changes next to nothing: with losses a third as large, and
// with much noise.
func TestTheOptimumIsFineEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 0)
	small := cfg
	small.World.Share = 1. / 3
	usual, much := cfg.budget(cfg.model(nil).silent(), rare), cfg.budget(mostNoise, 0)
	for name, of := range map[string]struct {
		cfg      Config
		budget   optimum.Budget
		problems func(*model) []*optimum.Problem
	}{
		"a usual home": {cfg, usual, func(m *model) []*optimum.Problem {
			return []*optimum.Problem{m.problem(quic, told), m.problem(quic, silent)}
		}},
		"small losses": {small, usual, func(m *model) []*optimum.Problem {
			return []*optimum.Problem{m.problem(quic, told), m.problem(quic, silent)}
		}},
		"much noise": {cfg, much, func(m *model) []*optimum.Problem { return []*optimum.Problem{m.noisy(mostNoise)} }},
	} {
		var cost [2]float64
		for i := range cost {
			m := of.cfg.model(Families())
			m.fine, m.ahead = fine<<i, ahead+400*i
			p := of.problems(m)
			cost[i] = unknowing(optimum.Within(of.budget, p...), p...)
		}
		t.Logf("%s: %.3f s and %.3f s", name, cost[0], cost[1])
		if math.Abs(cost[1]/cost[0]-1) > 0.02 {
			t.Errorf("%s: not to know costs %.3f s, and %.3f s when it is cut twice as fine and looks farther", name, cost[0], cost[1])
		}
	}
}
