package detect_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
)

// toAlarm counts the looks until a detector's alarm, from zero.
func toAlarm(rng *rand.Rand, p float64) int {
	var d detect.Detector
	home := detect.Noise{Failures: 100, Probes: 10_000}
	for n := 1; ; n++ {
		look := detect.Good
		if rng.Float64() < p {
			look = detect.Silent
		}
		if d.Count(time.Time{}, look, home); d.Certain() {
			return n
		}
	}
}

func TestTheDetectorsNumbersAreThoseOfTheDesign(t *testing.T) {
	for name, c := range map[string]struct {
		loss, least, most float64
		runs              int
	}{
		"a total loss takes 4 probes":           {1, 4, 4, 1},
		"one in five takes about 23":            {0.2, 20, 27, 20_000},
		"one in ten takes about 60":             {0.1, 50, 70, 20_000},
		"one in fourteen takes about 100":       {0.07, 90, 120, 10_000},
		"one in a hundred alarms once in 1e5":   {0.01, 0.8e5, 2e5, 300},
		"half of all takes less than 10 probes": {0.5, 6, 10, 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.least*float64(c.runs) > 1e7 {
				t.Skip("seconds of computing")
			}
			rng, sum := rand.New(rand.NewPCG(1, 2)), 0
			for range c.runs {
				sum += toAlarm(rng, c.loss)
			}
			if mean := float64(sum) / float64(c.runs); mean < c.least || mean > c.most {
				t.Errorf("%.4g probes on average", mean)
			}
		})
	}
}

func TestFailuresOfBothKindsAddUp(t *testing.T) {
	home := detect.Noise{Failures: 25, Probes: 2500}
	both := home.Certainty(detect.Tally{Failures: 4, Explicit: 2, Probes: 6})
	for name, fewer := range map[string]detect.Tally{"the silent ones left out": {Failures: 2, Explicit: 2, Probes: 6}, "the explicit ones left out": {Failures: 2, Probes: 6},
		"one good probe more": {Failures: 4, Explicit: 2, Probes: 7}, "all silent": {Failures: 4, Probes: 6}} {
		if got := home.Certainty(fewer); got >= both || got <= 0 {
			t.Errorf("%s: %.1f, with them %.1f", name, got, both)
		}
	}
	if got := home.Certainty(detect.Tally{Failures: 10, Probes: 1000}); got != 0 {
		t.Errorf("as much as this home's noise: %.2f", got)
	}
	if got := home.Certainty(detect.Tally{Failures: 1000, Explicit: 999, Probes: 1000}); math.IsNaN(got) || math.IsInf(got, 0) || got < 1000 {
		t.Errorf("%.2f", got)
	}
	if got := home.Certainty(detect.Tally{}); got != 0 {
		t.Errorf("nothing seen: %.2f", got)
	}
}

func TestALookWithoutAVerdictCountsForNothing(t *testing.T) {
	var d detect.Detector
	var tally detect.Tally
	now := time.Unix(0, 0)
	d.Count(now, detect.Silent, detect.Noise{})
	before := d
	d.Count(now.Add(time.Minute), detect.NoVerdict, detect.Noise{})
	tally.Count(detect.NoVerdict)
	if d != before || tally != (detect.Tally{}) {
		t.Errorf("%+v, then %+v; %v", before, d, tally)
	}
}

// The score falls by looks alone: as many as Left says, and not one fewer.
func TestGoodLooksTakeTheScoreToZero(t *testing.T) {
	for failures := range 12 {
		var d detect.Detector
		for range failures + 1 {
			d.Count(time.Time{}, detect.Explicit, detect.Noise{})
		}
		left := d.Left()
		if d.Works(left - 1); !d.Suspects() {
			t.Errorf("after %d failures: clear one look before the %d", failures+1, left)
		}
		if d.Works(1); d.Suspects() || d != (detect.Detector{}) {
			t.Errorf("after %d failures and %d good looks: %+v", failures+1, left, d)
		}
	}
}

// A trial is held against what was there before it, and says no more than it has seen.
func TestATrialIsJudgedByWhatWasThereBefore(t *testing.T) {
	of := func(bad, probes int) detect.Tally { return detect.Tally{Failures: bad, Probes: probes} }
	for name, c := range map[string]struct {
		trial detect.Trial
		want  detect.Verdict
	}{
		"21 good looks after a total loss":            {detect.Trial{Seen: of(0, 21), Before: of(8, 8)}, detect.Undecided},
		"22 of them":                                  {detect.Trial{Seen: of(0, 22), Before: of(8, 8)}, detect.Clean},
		"22 after a loss of one in ten":               {detect.Trial{Seen: of(0, 22), Before: of(10, 100)}, detect.Undecided},
		"100 after a loss of one in ten":              {detect.Trial{Seen: of(0, 100), Before: of(10, 100)}, detect.Clean},
		"22 between bursts that few looks fell into":  {detect.Trial{Seen: of(0, 22), Before: of(1, 100), Bursts: true}, detect.Clean},
		"three failures after a total loss":           {detect.Trial{Seen: of(3, 3), Before: of(8, 8)}, detect.Undecided},
		"four":                                        {detect.Trial{Seen: of(4, 4), Before: of(8, 8)}, detect.Refused},
		"half of it after a total loss":               {detect.Trial{Seen: of(10, 30), Before: of(20, 20)}, detect.Improved},
		"one in ten after a half":                     {detect.Trial{Seen: of(4, 40), Before: of(30, 60)}, detect.Improved},
		"a half after one in ten":                     {detect.Trial{Seen: of(20, 40), Before: of(6, 60)}, detect.Refused},
		"the same as before, as long as it may take":  {detect.Trial{Seen: of(60, 300), Before: of(60, 300)}, detect.Refused},
		"the same as before, while it may be learned": {detect.Trial{Seen: of(10, 50), Before: of(60, 300)}, detect.Undecided},
		"few of this one, but earlier ones as bad":    {detect.Trial{Seen: of(4, 12), Before: of(6, 60), Earlier: of(30, 60)}, detect.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.trial.Judge(); got != c.want {
				t.Errorf("verdict %d, want %d", got, c.want)
			}
		})
	}
}

// Where there is something clean to go back to, less is enough.
func TestARecheckTakesLess(t *testing.T) {
	home := detect.Noise{Failures: 25, Probes: 2500}
	for n, want := range []detect.Verdict{detect.Undecided, detect.Undecided, detect.Refused} {
		seen := detect.Tally{Failures: n, Explicit: n, Probes: n}
		if got := (detect.Trial{Seen: seen, Before: detect.Tally{Failures: 4, Probes: 4}}).Recheck(home); got != want {
			t.Errorf("after %d explicit failures %d", n, got)
		}
	}
	if got := (detect.Trial{Seen: detect.Tally{Probes: 22}, Before: detect.Tally{Failures: 4, Probes: 4}}).Recheck(home); got != detect.Clean {
		t.Errorf("after 22 good looks %d", got)
	}
}
