package policy

import (
	"math"
	"time"

	"tunnelmedic/internal/diagnosis"
)

// The detector is two CUSUMs over Bernoulli trials side by side. One goes from one
// lost handshake in a hundred to one in five (the rarest fault reported), and is quick.
// The other goes from this home's own noise to four times that, or to one in fourteen,
// and finds in a fraction of the time what falls through the first one's mesh; held
// against a fixed noise, it would never rest in a home that loses one in thirty.
const (
	noise         = 0.01
	fault         = 0.2
	leastLeak     = 0.07
	leakOverNoise = 4

	alarm = 9.2 // about one false alarm in 100,000 probes

	// A restart needs more than the alarm: a home that loses one handshake in a
	// hundred at random sees the alarm now and then, and may not be restarted for it
	// in ten thousand years. It begins some 3·10⁷ suspicions in that time, so mere
	// noise must look like this less than once in e^25 = 7·10¹⁰ times. That is four
	// failures in a row that Home Assistant itself told of, and six that may be losses
	// on the way; of these, a dying connection explains more (see proven).
	restart = 25
	// To leave the user's own setting again, on its return after a cure, takes less:
	// there is something good to go back to. Two failures that were told of, or three
	// that were not.
	leave = 13

	// How noisy a home is, it shows while all is well. Until it has, noise counts as
	// unknown among this many looks.
	unknown, unknownLooks = 0.03, 200
	// What is lost at random is silent. That a handshake arrived without its headers,
	// in Home Assistant's own words, no lost packet can say; still, something unknown
	// may, once in so many looks.
	rare = 0.0015
	// A home's noise is never so much that a fault could pass for it.
	noisiest = 0.05
	// Older looks count half after so many: a week at the default interval.
	remembered = 5000

	// A trial speaks against the fault when this much evidence has gathered: 22
	// good handshakes in a row. After a total loss it is refused at this many
	// failures in a row; a partial one takes as long as it needs, up to longest.
	clear    = -4.6 // ln 0.01
	refusals = 4
	longest  = 300 // probes
	// nearlyAll is the share from which on a loss counts as total.
	nearlyAll = 0.9
	// How much must speak for one protocol's losing less than another, in nats: before
	// it stays for that, about one in a hundred that it is luck; before it gets a second
	// chance, one in twenty.
	proof, hint = 3, 1.35
	// certainly is how improbable the fault's going unseen must be before an
	// incident counts as over.
	certainly = 1e-4
)

// Detector gathers evidence for a fault (Page 1954). In each of its CUSUMs a failure
// adds ln(p1/p0) and a success takes ln((1-p0)/(1-p1)) away, never below zero.
type Detector struct {
	sudden, slow cusum
	Tally                  // since the score left zero
	Since        time.Time // the first failure of the present suspicion
	Heard        time.Time // the last look that gave a verdict
}

// Alarm is the score at which a fault is taken as certain.
const Alarm = alarm

// Score is how much speaks for a fault; 0 where nothing does.
func (d Detector) Score() float64 { return max(d.sudden.score, d.slow.score) }

// Count takes one look. An abstention neither adds nor clears.
func (d *Detector) Count(now time.Time, in Sight, calm Calm) {
	if in.Vote != diagnosis.Abstains && d.Score() > 0 {
		d.Heard = now
	}
	switch {
	case in.Vote == diagnosis.Abstains || in.Vote == diagnosis.Works && d.Score() == 0:
		return
	case in.Vote == diagnosis.Works:
		d.Works(1)
		return
	case d.Score() == 0:
		*d = Detector{sudden: against(fault, noise), slow: against(calm.leak()), Since: now, Heard: now}
	}
	d.take(in)
	d.sudden.fails()
	d.slow.fails()
}

// Works counts n good looks.
func (d *Detector) Works(n int) {
	d.Probes += n
	d.sudden.works(n)
	d.slow.works(n)
	if d.Score() == 0 {
		*d = Detector{}
	}
}

// Left is how many good looks in a row take the score to zero.
func (d Detector) Left() int { return max(d.sudden.left(), d.slow.left()) }

// cusum sums up what speaks for a loss rather than for noise.
type cusum struct{ score, failure, success float64 }

// against is a cusum from a loss of p0, which is noise, to p1. One in a hundred to one
// in five is +3.00 a failure and -0.21 a success, to one in fourteen +1.95 and -0.06.
func against(p1, p0 float64) cusum {
	return cusum{failure: math.Log(p1 / p0), success: math.Log((1 - p1) / (1 - p0))}
}

// Capped: how long a fault has lasted must not decide how long its end goes unseen.
func (c *cusum) fails() { c.score = min(c.score+c.failure, alarm+c.failure) }

func (c *cusum) works(n int) { c.score = max(c.score+float64(n)*c.success, 0) }

func (c cusum) left() int {
	if c.score == 0 {
		return 0
	}
	return int(math.Ceil(c.score / -c.success))
}

// of is the whole sum over a tally, below zero where it speaks for noise.
func (c cusum) of(t Tally) float64 {
	return float64(t.Failures)*c.failure + float64(t.Probes-t.Failures)*c.success
}

type judgement uint8

const (
	undecided judgement = iota
	clean
	improved // not clean, but clearly better than what was there
	refused
)

// judge holds the probes of a trial against those under what was there before it;
// beside are those of earlier trials over the same transport.
//
// Clean is what speaks both against the old fault and against one handshake in
// five being lost: 22 good probes mean little where nine in ten were good before.
// What is not clean must be clearly better, not lucky. How many looks fell into the
// breaks of connections that flapped says nothing of what the next looks must show.
func (r Rules) judge(t *OnTrial, was, beside Tally, calm Calm, flapped bool) judgement {
	bad := t.Failures
	least := 0.05
	if flapped {
		least = fault
	}
	before := min(max(was.rate(), least), 0.95)
	if against(fault, noise).of(t.Tally) <= clear && against(before, noise).of(t.Tally) <= clear {
		return clean
	}
	if t.Purpose != Trial { // there is something clean to return to
		if calm.certainty(t.Tally) >= leave || t.Probes >= longest {
			return refused
		}
		return undecided
	}
	if before > nearlyAll {
		return afterTotal(t.Tally, was)
	}
	switch all := t.Tally.plus(beside); {
	case bad < refusals:
		return undecided
	case better(all, was, proof):
		return improved
	case better(was, all, proof):
		return refused
	case t.Probes < min(longest, 2*was.Probes+30): // beyond that, more probes of this side alone tell little
		return undecided
	case better(all, was, hint):
		return improved
	}
	return refused
}

// afterTotal judges a trial that is not clean by whether it loses half of what was
// lost before, or the same. A failure counts ln 2 for the same, so that after a total
// loss four in a row decide.
func afterTotal(now, was Tally) judgement {
	// Few probes may have shown too dark a picture: a standard error is taken off.
	n := float64(was.Probes + 2)
	old := float64(was.Failures+1) / n
	old -= math.Sqrt(old * (1 - old) / n)
	same := float64(now.Failures)*math.Ln2 + float64(now.Probes-now.Failures)*math.Log((1-old)/(1-old/2))
	switch {
	case same >= refusals*math.Ln2-1e-9, now.Probes >= longest && same >= 0:
		return refused
	case now.Failures >= refusals && same <= clear, now.Probes >= longest:
		return improved
	}
	return undecided
}

// better says whether one loss is so much rarer than another that it cannot be luck:
// by the likelihood ratio of two losses against one that both share, in nats.
func better(a, b Tally, nats float64) bool {
	if 1.2*a.rate() >= b.rate() {
		return false
	}
	p := a.plus(b).rate()
	return a.over(p)+b.over(p) >= nats
}

// over is how much better the tally's own rate fits it than p does, in nats.
func (t Tally) over(p float64) float64 {
	sum := 0.0
	if n := float64(t.Failures); n > 0 {
		sum += n * math.Log(t.rate()/p)
	}
	if n := float64(t.Probes - t.Failures); n > 0 {
		sum += n * math.Log((1-t.rate())/(1-p))
	}
	return sum
}

// certainty is how improbable this home's noise alone makes so many failures: the
// logarithm of the likelihood ratio of the losses that fit them best, of either
// kind.
func (c Calm) certainty(t Tally) float64 {
	silent, told := c.noise()
	return excess(t, silent, told)
}

// excess is how much better the losses that fit a tally best explain it than these do.
func excess(t Tally, silent, told float64) float64 {
	sum, lost, expected := 0.0, 0.0, 0.0
	for _, k := range []struct{ failures, noise float64 }{{float64(t.Failures - t.Told), silent}, {float64(t.Told), told}} {
		if p := k.failures / float64(max(t.Probes, 1)); p > k.noise {
			sum += k.failures * math.Log(p/k.noise)
			lost, expected = lost+p, expected+k.noise
		}
	}
	if good := float64(t.Probes - t.Failures); good > 0 {
		sum += good * math.Log((1-lost)/(1-expected))
	}
	return sum
}

// goodRun is how many good probes in a row make a loss of p, gone unseen, no more
// probable than alpha. Never below the run that clears a trial.
func goodRun(p, alpha float64) int {
	p = math.Min(math.Max(p, 0.05), 0.95)
	return int(math.Max(math.Ceil(math.Log(alpha)/math.Log(1-p)), math.Ceil(clear/against(fault, noise).success)))
}

func decayed(weight float64, age time.Duration) float64 {
	return weight * math.Exp2(-float64(max(age, 0))/float64(cureHalfLife))
}
