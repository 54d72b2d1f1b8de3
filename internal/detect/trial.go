package detect

import "math"

const (
	// A trial speaks against the fault when this much evidence has gathered: 22
	// good looks in a row. After a total loss it is refused at this many failures in a
	// row; a partial one takes as long as it needs, up to longest.
	clear    = -4.6 // ln 0.01
	refusals = 4
	longest  = 300 // looks

	// NearlyAll is the share from which on a loss counts as total.
	NearlyAll = 0.9

	// How much must speak for one loss being rarer than another, in nats: Proof is about
	// one in a hundred that it is luck, Hint one in twenty.
	Proof, Hint = 3, 1.35

	// certainly is how improbable a fault's going unseen must be before it counts as over.
	certainly = 1e-4
)

// Verdict is what a trial has shown.
type Verdict uint8

// The verdicts.
const (
	Undecided Verdict = iota
	Clean
	Improved // not clean, but clearly better than what was there
	Refused
)

// Trial is what is known while something else is tried.
type Trial struct {
	Seen    Tally
	Before  Tally // under what was there before it
	Earlier Tally // of earlier trials of the same way
	// Bursts says that the fault comes and goes: how many looks fell into it says nothing
	// of what the next looks must show.
	Bursts bool
}

// floor is the loss that was there before, bounded to what looks can tell.
func (t Trial) floor() float64 {
	least := 0.05
	if t.Bursts {
		least = fault
	}
	return min(max(t.Before.Rate(), least), 0.95)
}

// clean is what speaks both against the old fault and against one look in five being
// lost: 22 good ones mean little where nine in ten were good before.
func (t Trial) clean() bool {
	return sudden.of(t.Seen) <= clear && against(t.floor(), noise).of(t.Seen) <= clear
}

// Judge holds the trial against what was there before. What is not clean must be
// clearly better, not lucky.
func (t Trial) Judge() Verdict {
	switch all := t.Seen.Plus(t.Earlier); {
	case t.clean():
		return Clean
	case t.floor() > NearlyAll:
		return t.afterTotal()
	case t.Seen.Failures < refusals:
		return Undecided
	case Better(all, t.Before, Proof):
		return Improved
	case Better(t.Before, all, Proof):
		return Refused
	case t.Seen.Probes < min(longest, 2*t.Before.Probes+100): // beyond that, more looks at this side alone tell little
		return Undecided
	case Better(all, t.Before, Hint):
		return Improved
	}
	return Refused
}

// leave is how certain a fault must be for a way to be left again while there is
// something good to go back to. Two explicit failures, or three silent ones.
const leave = 13

// Recheck judges a return to what had failed once, when there is something clean to go
// back to: that takes less than a first alarm.
func (t Trial) Recheck(n Noise) Verdict {
	switch {
	case t.clean():
		return Clean
	case n.Certainty(t.Seen) >= leave || t.Seen.Probes >= longest:
		return Refused
	}
	return Undecided
}

// afterTotal judges a trial that is not clean by whether it loses half of what was
// lost before, or the same. A failure counts ln 2 for the same, so that after a total
// loss four in a row decide.
func (t Trial) afterTotal() Verdict {
	// Few looks may have shown too dark a picture: a standard error is taken off.
	n := float64(t.Before.Probes + 2)
	old := float64(t.Before.Failures+1) / n
	old -= math.Sqrt(old * (1 - old) / n)
	same := float64(t.Seen.Failures)*math.Ln2 + t.Seen.good()*math.Log((1-old)/(1-old/2))
	switch {
	case same >= refusals*math.Ln2-1e-9, t.Seen.Probes >= longest && same >= 0:
		return Refused
	case t.Seen.Failures >= refusals && same <= clear, t.Seen.Probes >= longest:
		return Improved
	}
	return Undecided
}

// Better says whether one loss is so much rarer than another that it cannot be luck:
// by the likelihood ratio of two losses against one that both share, in nats.
func Better(a, b Tally, nats float64) bool {
	if 1.2*a.Rate() >= b.Rate() {
		return false
	}
	p := a.Plus(b).Rate()
	return a.over(p)+b.over(p) >= nats
}

// Over says whether so many good looks in a row cannot be luck while a loss of p lasts.
func Over(run int, p float64) bool { return run >= goodRun(p, certainly) }

// goodRun is how many good looks in a row make a loss of p, gone unseen, no more
// probable than alpha. Never below the run that clears a trial.
func goodRun(p, alpha float64) int {
	return max(luck(p, alpha), int(math.Ceil(clear/sudden.success)))
}

// luck is how many good looks in a row a loss of p leaves with a probability of alpha.
func luck(p, alpha float64) int {
	p = min(max(p, 0.05), 0.95)
	return int(math.Ceil(math.Log(alpha) / math.Log(1-p)))
}

// Ending says whether so many good looks in a row make it likely that a fault with this
// share is over: it leaves them by luck once in five times.
func Ending(run int, share float64) bool { return run > 0 && run >= luck(share, 0.2) }
