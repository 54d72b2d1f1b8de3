package detect

import "math"

const (
	// Until a home has shown how noisy it is, its noise counts as unknown among this
	// many looks.
	unknown, unknownLooks = 0.03, 200
	// What is lost at random is silent. That an answer came and told of a failure no lost
	// packet can bring about; still, something unknown may, once in so many looks.
	rare = 0.0015
	// A home's noise is never so much that a fault could pass for it.
	noisiest = 0.05
	// Older looks count half after so many: a week at the default interval.
	remembered = 5000
)

// Noise is what looks showed while nothing was suspected: how noisy this home is.
// What a fault begins with is none of it; a failure counts once it has turned out
// to be nothing lasting.
type Noise struct{ Failures, Explicit, Probes float64 }

// Learn adds what was seen.
func (n *Noise) Learn(t Tally) {
	n.Failures, n.Explicit, n.Probes = n.Failures+float64(t.Failures), n.Explicit+float64(t.Explicit), n.Probes+float64(t.Probes)
	if n.Probes > 2*remembered {
		n.Failures, n.Explicit, n.Probes = n.Failures/2, n.Explicit/2, n.Probes/2
	}
}

// rates are the shares of looks that fail in this home for no lasting reason.
func (n Noise) rates() (silent, explicit float64) {
	share := func(failures, least, most float64) float64 {
		return min(max((failures+most*unknownLooks)/(n.Probes+unknownLooks), least), noisiest)
	}
	return share(n.Failures-n.Explicit, noise, unknown), share(n.Explicit, rare, rare)
}

// leak is the least loss that the detector looks for here, and the noise that it is
// held against.
func (n Noise) leak() (loss, silent float64) {
	silent, _ = n.rates()
	return max(leastLeak, leakOverNoise*silent), silent
}

// Certainty is how improbable this noise alone makes so many failures: the logarithm
// of the likelihood ratio of the losses that fit them best, of either kind.
func (n Noise) Certainty(t Tally) float64 {
	silent, explicit := n.rates()
	return excess(t, silent, explicit)
}

// Refutes says whether looks speak against a loss as rare as any that the detector
// looks for here.
func (n Noise) Refutes(t Tally) bool { return against(n.leak()).of(t) <= clear }

// excess is how much better the losses that fit a tally best explain it than these do.
func excess(t Tally, silent, explicit float64) float64 {
	sum, lost, expected := 0.0, 0.0, 0.0
	for _, k := range []struct{ failures, noise float64 }{{float64(t.Failures - t.Explicit), silent}, {float64(t.Explicit), explicit}} {
		if p := k.failures / float64(max(t.Probes, 1)); p > k.noise {
			sum += k.failures * math.Log(p/k.noise)
			lost, expected = lost+p, expected+k.noise
		}
	}
	if good := t.good(); good > 0 {
		sum += good * math.Log((1-lost)/(1-expected))
	}
	return sum
}
