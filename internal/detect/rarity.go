package detect

import (
	"math"
	"time"
)

// Rarity is how seldom chance alone can bring about what was seen: at most once in so
// many years, whatever looks may have to do with one another, as long as in health the
// chance that the next one fails is never above the noise.
//
// The theorem. Of each look of a healthy home let the chance that it fails in silence be
// at most s, and that it fails explicitly at most e, whatever the looks before it were.
// Then for any s' ≥ s and e' ≥ e the factor which is s'/s for a silent failure, e'/e for
// an explicit one and (1-s'-e')/(1-s-e) for a good look is 1 at most in expectation,
// given all before: it grows with both chances, and is 1 where they are s and e. So a
// process M that never exceeds such a factor times (M before + the time since the look
// before), and falls to 0 when it has reached c, grows no faster than time, in
// expectation, less c for each time that it did: in a time T it reaches c no more than
// T/c times. That is the argument behind the e-detectors of Shin, Ramdas and Rinaldo (2022)
// and their bound on the average run length, in years instead of looks. Means of such
// processes are such processes; here, over the losses of mixture.
//
// M is 0 while nothing is suspected, begins with the time since the last good look times the
// factor of the first that failed, and gathers no further time. So it is a
// function of the tally since then.
type Rarity struct {
	Years    float64 `json:"years"`
	Silent   float64 `json:"silent"`   // s
	Explicit float64 `json:"explicit"` // e
}

// Rarely is the rarity that a restart takes: chance brings about no more than one in a
// thousand years.
const Rarely = 1000

// mixture are the losses among which a fault is looked for, in silence and explicitly
// alike: above any noise, and with it below one.
var mixture = [...]float64{0.08, 0.1, 0.13, 0.17, 0.25, 0.4, 0.6, 0.94}

// mostYears is the most that is told of: what is assumed is not that certain.
const mostYears = 1e6

// Rarity is that of a tally that begins with the failure of a look so long after the last
// good one, held against this noise and against what may pass on its own.
func (n Noise) Rarity(t Tally, rest time.Duration, p *Passing) Rarity {
	seen := n.seen(t)
	return Rarity{Years: seen.years(rest, p, mostYears), Silent: seen.s, Explicit: seen.e}
}

// Rare says whether that is seldom enough for a restart.
func (n Noise) Rare(t Tally, rest time.Duration, p *Passing) bool {
	seen := n.seen(t)
	if seen.silent > 0 && seen.atMost(rest) < Rarely { // what is explicit is rare at once, or never
		return false
	}
	return seen.years(rest, p, Rarely) >= Rarely
}

// seen is a tally beside the noise that it is held against.
type seen struct{ silent, explicit, good, s, e float64 }

func (n Noise) seen(t Tally) seen {
	s, e := n.rates()
	return seen{float64(t.Failures - t.Explicit), float64(t.Explicit), t.good(), s, e}
}

// hidden and told are the logarithms of how much better a loss in silence, or an explicit one,
// explains it than the noise. For the latter, silence is as much as a good look.
func (c *seen) hidden(q float64) float64 {
	return times(c.silent, q/c.s) + times(c.good, (1-q-c.e)/(1-c.s-c.e))
}

func (c *seen) told(q float64) float64 {
	return times(c.explicit, q/c.e) + times(c.good+c.silent, (1-q)/(1-c.e))
}

// in is the span, in years.
func in(span time.Duration) float64 {
	const year = 365 * 24 * time.Hour
	return span.Seconds() / year.Seconds()
}

// years adds the mixture up, no further than to so many years. A spell explains nothing that was
// explicit.
func (c *seen) years(rest time.Duration, p *Passing, most float64) (years float64) {
	if c.silent+c.explicit == 0 || rest <= 0 {
		return 0
	}
	sum, spells, begins := 0.0, math.Log1p(p.Ratio()), in(rest)
	for _, q := range mixture {
		sum += math.Exp(c.hidden(q) - spells)
		sum += math.Exp(c.told(q))
		if years = begins * sum / float64(2*len(mixture)); years >= most {
			return most
		}
	}
	return years
}

// atMost is a bound for years, found in a tenth of the time: no loss explains what was seen
// better than the very share that was lost. What rounding may take away is added.
func (c *seen) atMost(rest time.Duration) float64 {
	hidden := c.hidden(c.silent / (c.silent + c.good) * (1 - c.e))
	told := c.told(c.explicit / (c.silent + c.explicit + c.good))
	return in(rest) * (math.Exp(hidden) + math.Exp(told)) / 2 * 1.000001
}

// times is the logarithm of a factor that counts so often.
func times(n, factor float64) float64 {
	if n == 0 {
		return 0
	}
	return n * math.Log(factor)
}
