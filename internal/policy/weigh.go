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

// count takes one vote. An abstention neither adds nor clears.
func (d *Detector) count(now time.Time, v diagnosis.Vote) {
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
	accepted
	refused
)

// judge holds the probes of a trial against two hypotheses: that the fault is
// there as it was before (or at least one handshake in five is lost), and that
// the protocol is clean. For a partial loss, both must be answered: 22 good
// probes mean little where nine in ten were good before.
func (r Rules) judge(t *OnTrial, failures, probes int) judgement {
	good := t.Probes - t.Failures
	score := against(fault, good, t.Failures)
	before := math.Min(math.Max(float64(failures)/math.Max(float64(probes), 1), 0.05), 0.95)
	switch {
	case score >= alarm || t.Failures >= refusalsAtEnd:
		return refused
	case score <= clear && against(before, good, t.Failures) <= clear:
		return accepted
	}
	return undecided
}

// against is the log-likelihood ratio of a loss of p against mere noise.
func against(p float64, good, bad int) float64 {
	return float64(bad)*math.Log(p/noise) + float64(good)*math.Log((1-p)/(1-noise))
}

// goodRun is how many good probes in a row make a loss of p, gone unseen, no more
// probable than alpha. Never below the run that clears a trial.
func goodRun(p, alpha float64) int {
	p = math.Min(math.Max(p, 0.05), 0.95)
	return int(math.Max(math.Ceil(math.Log(alpha)/math.Log(1-p)), math.Ceil(clear/perSuccess)))
}

// luck is the probability that a protocol with k1 failures in n1 probes looks at
// least this much better than one with k2 in n2 by chance alone: Fisher's exact
// test, one-sided.
func luck(k1, n1, k2, n2 int) float64 {
	k, n := k1+k2, n1+n2
	sum := 0.0
	for x := max(0, k-n2); x <= k1; x++ {
		sum += math.Exp(choose(n1, x) + choose(n2, k-x) - choose(n, k))
	}
	return math.Min(sum, 1)
}

// choose is the logarithm of the binomial coefficient.
func choose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return lg(n) - lg(k) - lg(n-k)
}

func decayed(weight float64, age time.Duration) float64 {
	return weight * math.Exp2(-float64(max(age, 0))/float64(cureHalfLife))
}
