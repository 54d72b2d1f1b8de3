package policy

import (
	"math"
	"time"

	"tunnelmedic/internal/diagnosis"
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
