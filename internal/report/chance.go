package report

import (
	"fmt"
	"math"
	"time"
)

// atLeast is the probability that at least k of n independent events of probability
// p happen: the binomial tail.
func atLeast(k, n int, p float64) float64 {
	switch {
	case k <= 0 || p >= 1:
		return 1
	case p <= 0 || k > n:
		return 0
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(choose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return math.Min(sum, 1)
}

// luck is the probability that k1 failures in n1 probes look at least this much
// better than k2 in n2 by chance alone: Fisher's exact test, one-sided.
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

// probability writes a probability as far as it can be trusted.
func probability(p float64) string {
	switch {
	case p >= 0.995:
		return "about 1"
	case p < 0.0001:
		return "below 0.0001"
	case p < 0.01:
		return fmt.Sprintf("%.4f", p)
	}
	return fmt.Sprintf("%.2f", p)
}

// covered is the share of a span that lies within a window after one of the events.
func covered(events []time.Time, window time.Duration, from, to time.Time) float64 {
	if !to.After(from) {
		return 1
	}
	var in time.Duration
	end := from                // up to where it has been counted
	for _, e := range events { // in order
		a, b := e, e.Add(window)
		if a.Before(end) {
			a = end
		}
		if b.After(to) {
			b = to
		}
		if b.After(a) {
			in += b.Sub(a)
			end = b
		}
	}
	return float64(in) / float64(to.Sub(from))
}
