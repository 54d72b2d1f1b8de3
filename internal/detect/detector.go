package detect

import (
	"math"
	"time"
)

// The detector is two CUSUMs over Bernoulli trials side by side. One goes from one
// lost handshake in a hundred to one in five (the rarest fault reported), and is quick.
// The other goes from this home's own noise to two and a half times that, or to one in 25,
// and finds in a fraction of the time what falls through the first one's mesh; held
// against a fixed noise, it would never rest in a home that loses one in thirty.
const (
	noise         = 0.01
	fault         = 0.2
	leastLeak     = 0.04
	leakOverNoise = 2.5
)

// Alarm is the score at which a fault is taken as certain: of noise alone, about once
// in 100,000 looks.
const Alarm = 9.2

// Detector gathers evidence for a fault (Page 1954). In each of its CUSUMs a failure
// adds ln(p1/p0) and a success takes ln((1-p0)/(1-p1)) away, never below zero.
type Detector struct {
	sudden, slow cusum
	Tally                      // since the score left zero
	Since        time.Time     // the first failure of the present suspicion
	Verdict      time.Time     // the last look that gave one
	Rest         time.Duration // from the last good look to that failure
}

// Score is how much speaks for a fault; 0 where nothing does.
func (d *Detector) Score() float64 { return max(d.sudden.score, d.slow.score) }

// Suspects says whether anything does.
func (d *Detector) Suspects() bool { return d.Score() > 0 }

// Certain says whether it is enough for an alarm.
func (d *Detector) Certain() bool { return d.Score() >= Alarm }

// Count takes one look. One without a verdict neither adds nor clears.
func (d *Detector) Count(now time.Time, l Look, n Noise) {
	if l != NoVerdict && d.Suspects() {
		d.Verdict = now
	}
	switch {
	case l == NoVerdict || l == Good && !d.Suspects():
		return
	case l == Good:
		d.Works(1)
		return
	case !d.Suspects():
		*d = Detector{sudden: sudden, slow: against(n.leak()), Since: now, Verdict: now}
	}
	d.Tally.Count(l)
	d.sudden.fails()
	d.slow.fails()
}

// Works counts n good looks.
func (d *Detector) Works(n int) {
	d.Probes += n
	d.sudden.works(n)
	d.slow.works(n)
	if !d.Suspects() {
		*d = Detector{}
	}
}

// Left is how many good looks in a row take the score to zero.
func (d *Detector) Left() int { return max(d.sudden.left(), d.slow.left()) }

// cusum sums up what speaks for a loss rather than for noise.
type cusum struct{ score, failure, success float64 }

// sudden is the quick one, from which every suspicion begins.
var sudden = against(fault, noise)

// against is a cusum from a loss of p0, which is noise, to p1. One in a hundred to one
// in five is +3.00 a failure and -0.21 a success, to one in 25 +1.39 and -0.03.
func against(p1, p0 float64) cusum {
	return cusum{failure: math.Log(p1 / p0), success: math.Log((1 - p1) / (1 - p0))}
}

// Capped: how long a fault has lasted must not decide how long its end goes unseen.
func (c *cusum) fails() { c.score = min(c.score+c.failure, Alarm+c.failure) }

func (c *cusum) works(n int) { c.score = max(c.score+float64(n)*c.success, 0) }

func (c cusum) left() int {
	if c.score == 0 {
		return 0
	}
	return int(math.Ceil(c.score / -c.success))
}

// of is the whole sum over a tally, below zero where it speaks for noise.
func (c cusum) of(t Tally) float64 { return float64(t.Failures)*c.failure + t.good()*c.success }
