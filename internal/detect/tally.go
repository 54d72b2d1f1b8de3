// Package detect weighs looks: how many of them failed, how much that speaks for a
// fault rather than for noise, and whether one loss is rarer than another. It is
// statistics alone: it knows nothing of tunnels, of causes or of what is done about them.
package detect

import "math"

// Look is what one look showed.
type Look uint8

// A failure is silent like everything that is lost on the way, or explicit: an answer
// came, and said so itself, which no lost packet does.
const (
	NoVerdict Look = iota
	Good
	Silent
	Explicit
)

// Failed says whether the look did.
func (l Look) Failed() bool { return l == Silent || l == Explicit }

// Tally is what looks showed, counted.
type Tally struct {
	Failures int `json:"failures"`
	Explicit int `json:"told,omitempty"` // of the failures
	Probes   int `json:"probes"`
}

// Count takes a look. One without a verdict is none.
func (t *Tally) Count(l Look) {
	if l == NoVerdict {
		return
	}
	t.Probes++
	if l.Failed() {
		t.Failures++
	}
	if l == Explicit {
		t.Explicit++
	}
}

// Plus adds two tallies up.
func (t Tally) Plus(o Tally) Tally {
	return Tally{t.Failures + o.Failures, t.Explicit + o.Explicit, t.Probes + o.Probes}
}

// Rate is the share that failed; of no looks, 0.
func (t Tally) Rate() float64 { return float64(t.Failures) / float64(max(t.Probes, 1)) }

// First is the failure that a suspicion began with.
func (t Tally) First() Tally { return Tally{Failures: 1, Explicit: min(t.Explicit, 1), Probes: 1} }

func (t Tally) good() float64 { return float64(t.Probes - t.Failures) }

// over is how much better the tally's own rate fits it than p does, in nats.
func (t Tally) over(p float64) float64 {
	sum := 0.0
	if n := float64(t.Failures); n > 0 {
		sum += n * math.Log(t.Rate()/p)
	}
	if n := t.good(); n > 0 {
		sum += n * math.Log((1-t.Rate())/(1-p))
	}
	return sum
}
