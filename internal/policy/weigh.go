package policy

import (
	"math"
	"time"

	"tunnelmedic/internal/diagnosis"
)

// The detector is a CUSUM over Bernoulli trials, from one lost handshake in a
// hundred (a healthy home's noise) to one in five (the rarest fault seen).
const (
	noise = 0.01
	fault = 0.2
	alarm = 9.2 // about one false alarm in 100,000 probes

	// A restart needs more than the alarm: a home that loses one handshake in a
	// hundred at random sees the alarm now and then, and may not be restarted for it
	// in ten thousand years. It begins some 3·10⁷ suspicions in that time, so mere
	// noise must look like this less than once in e^25 = 7·10¹⁰ times. That is six
	// failures in a row.
	restart = 25

	// How noisy a home is, it shows while all is well. Until it has, noise counts as
	// unknown among this many looks.
	unknown, unknownLooks = 0.03, 200
	// Older looks count half after so many: a week at the default interval.
	remembered = 5000

	// A trial speaks against the fault when this much evidence has gathered: 22
	// good handshakes in a row. After a total loss it is refused at this many
	// failures in a row; a partial one takes as long as it needs, up to longest.
	clear    = -4.6 // ln 0.01
	refusals = 4
	longest  = 300 // probes
	// certainly is how improbable the fault's going unseen must be before an
	// incident counts as over.
	certainly = 1e-4
)

// Detector gathers evidence for a fault: a CUSUM over Bernoulli trials (Page
// 1954). Failures add ln(p1/p0), successes take ln((1-p0)/(1-p1)) away, never
// below zero.
type Detector struct {
	Score    float64   `json:"score"`
	Failures int       `json:"failures,omitempty"` // since the score left zero
	Probes   int       `json:"probes,omitempty"`
	Since    time.Time `json:"since,omitzero"` // the first failure of the present suspicion
}

// Alarm is the score at which a fault is taken as certain.
const Alarm = alarm

var (
	perFailure = math.Log(fault / noise)             // +3.00
	perSuccess = math.Log((1 - fault) / (1 - noise)) // -0.21
)

// Count takes one vote. An abstention neither adds nor clears.
func (d *Detector) Count(now time.Time, v diagnosis.Vote) {
	switch v {
	case diagnosis.Fails:
		if d.Score == 0 {
			*d = Detector{Since: now}
		}
		d.Failures++
		d.Probes++
		// Capped: how long a fault has lasted must not decide how long its end goes unseen.
		d.Score = min(d.Score+perFailure, alarm+perFailure)
	case diagnosis.Works:
		if d.Score == 0 {
			return
		}
		d.Probes++
		if d.Score += perSuccess; d.Score <= 0 {
			*d = Detector{}
		}
	}
}

type judgement uint8

const (
	undecided judgement = iota
	clean
	improved // not clean, but clearly better than what was there
	refused
)

// judge holds the probes of a trial against what was there before it: failures of
// probes.
//
// Clean is what speaks both against the old fault and against one handshake in
// five being lost: 22 good probes mean little where nine in ten were good before.
// What is not clean is compared: half as bad as before, or the same? A failure
// counts ln 2 for the same, so that after a total loss four in a row decide.
func (r Rules) judge(t *OnTrial, failures, probes int) judgement {
	bad, good := t.Failures, t.Probes-t.Failures
	before := min(max(float64(failures)/float64(max(probes, 1)), 0.05), 0.95)
	// Few probes may have shown too dark a picture: a standard error is taken off.
	n := float64(probes + 2)
	old := float64(failures+1) / n
	old -= math.Sqrt(old * (1 - old) / n)
	same := float64(bad)*math.Ln2 + float64(good)*math.Log((1-old)/(1-old/2))
	switch {
	case against(fault, good, bad) <= clear && against(before, good, bad) <= clear:
		return clean
	case t.Purpose != Trial && bad >= refusals:
		return refused // there is something clean to return to
	case same >= refusals*math.Ln2-1e-9, t.Probes >= longest && same >= 0:
		return refused
	case bad >= refusals && same <= clear, t.Probes >= longest:
		return improved
	}
	return undecided
}

// against is the log-likelihood ratio of a loss of p against mere noise.
func against(p float64, good, bad int) float64 {
	return float64(bad)*math.Log(p/noise) + float64(good)*math.Log((1-p)/(1-noise))
}

// certainty is how improbable noise alone makes so many failures: the logarithm of
// the likelihood ratio of the loss that fits them best.
func certainty(failures, probes int, noise float64) float64 {
	p := float64(failures) / float64(max(probes, 1))
	if p <= noise {
		return 0
	}
	sum := float64(failures) * math.Log(p/noise)
	if failures < probes {
		sum += float64(probes-failures) * math.Log((1-p)/(1-noise))
	}
	return sum
}

// goodRun is how many good probes in a row make a loss of p, gone unseen, no more
// probable than alpha. Never below the run that clears a trial.
func goodRun(p, alpha float64) int {
	p = math.Min(math.Max(p, 0.05), 0.95)
	return int(math.Max(math.Ceil(math.Log(alpha)/math.Log(1-p)), math.Ceil(clear/perSuccess)))
}

func decayed(weight float64, age time.Duration) float64 {
	return weight * math.Exp2(-float64(max(age, 0))/float64(cureHalfLife))
}
