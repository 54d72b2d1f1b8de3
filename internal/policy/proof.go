package policy

import "tunnelmedic/internal/detect"

// nothingPasses is how many failures in a row show that nothing gets through, so that
// a restart in vain takes nothing from anybody.
const nothingPasses = 30

// proven says whether the fault is certain enough for what would be tried. What was told of is proof at any time;
// whatever else fails may be a hiccup of some seconds, however many looks fall into it.
func (m *moment) proven() bool {
	s, i := m.s, m.s.Incident
	seen := i.struck()
	if seen.Probes < nothingPasses {
		if p, any := m.candidate(); any && s.gamble(p) {
			return false
		}
	}
	return s.rare(told(seen)) || i.LastBad.Sub(i.Onset) >= 5*m.r.Burst && s.rare(seen)
}

// told is what of a tally was told of.
func told(t detect.Tally) detect.Tally {
	return detect.Tally{Failures: t.Explicit, Explicit: t.Explicit, Probes: t.Probes}
}
