package detect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// home is a healthy one, by the chance that its next look fails after those before: it is
// told how the last one went, how many failed in a row, and a die of its own.
type home struct {
	name   string
	chance func(rng *rand.Rand, row int) float64
	spells bool // it has some, which the noise alone does not explain
}

// dying is what passes on its own: of looks two minutes apart, up to fifteen.
var dying = Spell{Yearly: 260, Share: 0.25, Longest: 30 * time.Minute}

func homes(p0 float64) []home {
	bad := false
	left := 0
	return []home{
		{name: "independent losses", chance: func(*rand.Rand, int) float64 { return p0 }},
		{name: "losses that come in spells", chance: func(rng *rand.Rand, _ int) float64 { // Markov-modulated
			if rng.Float64() < 0.02 {
				bad = !bad
			}
			if bad {
				return p0
			}
			return 0
		}},
		{name: "one loss makes the next as likely as may be", chance: func(_ *rand.Rand, row int) float64 {
			if row > 0 {
				return p0
			}
			return p0 / 3
		}},
		{name: "whoever plays against it goes on while it pays", chance: func(_ *rand.Rand, row int) float64 {
			if row > 0 && row < 3 {
				return p0
			}
			return p0 / 2
		}},
		{name: "connections that die", spells: true, chance: func(rng *rand.Rand, _ int) float64 {
			if left--; left > 0 {
				return p0 + dying.Share*(1-p0)
			}
			if rng.Float64() < dying.Yearly/(365*24*30) {
				left = 1 + rng.IntN(15)
			}
			return p0
		}},
	}
}

// The theorem's one step, exactly: whatever was seen, the next look leaves the rarity as it
// is in expectation if it fails as often as it may in health, and makes it less if it fails
// less often. The first failure turns no more than the time before it into one.
func TestInHealthARarityDoesNotGrowInExpectation(t *testing.T) {
	const rest = 2 * time.Minute
	for _, noise := range []Noise{{}, {Failures: 25, Probes: 2500}, {Failures: 300, Explicit: 3, Probes: 2500}, {Failures: 5000, Probes: 9000}} {
		s, e := noise.rates()
		years := func(silent, explicit, good int) float64 {
			return noise.Rarity(Tally{Failures: silent + explicit, Explicit: explicit, Probes: silent + explicit + good}, rest, new(Passing)).Years
		}
		expect := func(ps, pe float64, silent, explicit, good int) float64 {
			return ps*years(silent+1, explicit, good) + pe*years(silent, explicit+1, good) + (1-ps-pe)*years(silent, explicit, good+1)
		}
		for _, at := range [][3]int{{1, 0, 0}, {0, 1, 0}, {2, 0, 3}, {1, 1, 5}, {3, 0, 40}, {0, 2, 7}} {
			was := years(at[0], at[1], at[2])
			if same := expect(s, e, at[0], at[1], at[2]); math.Abs(same/was-1) > 1e-9 {
				t.Errorf("%+v, after %v: %g years become %g", noise, at, was, same)
			}
			for _, part := range [][2]float64{{0, 0}, {1, 0}, {0, 1}, {0.5, 0.5}} {
				if less := expect(s*part[0], e*part[1], at[0], at[1], at[2]); less > was*(1+1e-9) {
					t.Errorf("%+v, after %v, failing %v as often as it may: %g years become %g", noise, at, part, was, less)
				}
			}
		}
		if begins := s*years(1, 0, 0) + e*years(0, 1, 0); begins > rest.Hours()/(365*24) {
			t.Errorf("%+v: it begins with %g years, after %s", noise, begins, rest)
		}
	}
}

// In any home that keeps to the assumption, chance brings a rarity about no more often than
// it says; so it does where connections die now and then, which noise alone would not explain.
func TestChanceBringsARarityAboutNoMoreOftenThanItSays(t *testing.T) {
	noise := Noise{Failures: 100, Probes: 10_000}
	p0, _ := noise.rates()
	for _, h := range homes(p0) {
		t.Run(h.name, func(t *testing.T) {
			const spans = 20_000 // between two looks
			crossed, alone, passed := crossings(h, noise, spans)
			expected := passed / spans
			t.Logf("%.0f, without regard to what passes %.0f, of at most %.0f", crossed, alone, expected)
			if crossed > expected || (alone > expected) != h.spells {
				t.Errorf("%.0f times, without regard to what passes %.0f, in a time in which it may %.0f times", crossed, alone, expected)
			}
		})
	}
}

// crossings plays looks, two minutes apart, and counts how often a rarity is reached, also if
// it were held against the noise alone, and how many such spans passed. What has been reached counts once in a suspicion.
func crossings(h home, noise Noise, c float64) (crossed, alone, spans float64) {
	const every = 2 * time.Minute
	rng := rand.New(rand.NewPCG(1, 1))
	var d Detector
	var passing Passing
	var reached, reachedAlone bool
	row, now := 0, time.Unix(0, 0)
	limit := c * every.Hours() / (365 * 24)
	for range 2_000_000 {
		now = now.Add(every)
		look := Good
		if rng.Float64() < h.chance(rng, row) {
			look = Silent
		}
		if row++; look == Good {
			row = 0
		}
		if d.Count(now, look, noise); !d.Suspects() {
			reached, reachedAlone = false, false
			spans++ // what a suspicion takes is not even counted
			continue
		}
		if look == Good {
			continue // it makes it less rare
		}
		if d.Probes == 1 {
			passing = Passing{}
		}
		passing.Fail(now, now, look, d.Tally, noise, dying)
		if !reached && noise.Rarity(d.Tally, every, &passing).Years >= limit {
			reached = true
			crossed++
		}
		if !reachedAlone && noise.Rarity(d.Tally, every, new(Passing)).Years >= limit {
			reachedAlone = true
			alone++
		}
	}
	return crossed, alone, spans
}

// Whether something is rare is asked at every look, and answered as soon as it is known.
func TestRareIsWhatTheRaritySays(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	rare := 0
	for range 20000 {
		n := Noise{Failures: float64(rng.IntN(300)), Explicit: float64(rng.IntN(4)), Probes: float64(rng.IntN(9000))}
		tally := Tally{Failures: rng.IntN(20)}
		tally.Explicit = rng.IntN(tally.Failures + 1)
		tally.Probes = tally.Failures + rng.IntN(1+rng.IntN(400))
		rest := time.Duration(rng.IntN(120)) * time.Second
		passing := &Passing{over: 10 * rng.ExpFloat64() * float64(rng.IntN(2))}
		years := n.Rarity(tally, rest, passing).Years
		if got := n.Rare(tally, rest, passing); got != (years >= Rarely) {
			t.Fatalf("%+v, %+v after %s: %g years, and rare: %v", n, tally, rest, years, got)
		} else if got {
			rare++
		}
	}
	if rare < 5000 || rare > 15000 {
		t.Errorf("%d are rare", rare)
	}
}
