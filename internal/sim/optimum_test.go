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
			cut -= f.Weight * f.Told
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

// Nobody who keeps the promise is cut off for less than the optimum that knows which kind of
// fault it is, if it is one; only who knows the truth is.
func TestNobodyIsBetterThanTheOptimum(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 11*100)
	for _, f := range []Family{QUICOnly, Partial, Unequal, AnyRestart} {
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

// How finely losses are cut and how far it looks ahead changes next to nothing. Losses a
// third as large may hide in the noise for longer; there it errs in the optimum's favour.
func TestTheOptimumIsFineEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 0)
	for share, limit := range map[float64]float64{1: 0.01, 1. / 3: 0.1} {
		cfg.World.Share = share
		var cost [2]float64
		for i := range cost {
			m := cfg.model(Families())
			m.fine, m.ahead = fine<<i, ahead+400*i
			a, b := m.problem(quic, told), m.problem(quic, silent)
			cost[i] = unknowing(optimum.Promise(promised, a, b), a, b)
		}
		t.Logf("share %.2f: %.3f s and %.3f s", share, cost[0], cost[1])
		if d := cost[1]/cost[0] - 1; d < -0.002 || d > limit {
			t.Errorf("share %.2f: not to know costs %.3f s, and %.3f s when it is cut twice as fine and looks farther", share, cost[0], cost[1])
		}
	}
}
