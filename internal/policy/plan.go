package policy

import (
	"math"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Plan is what is to be done later, and what limits it.
type Plan struct {
	Failback    *Comeback   `json:"failback,omitempty"` // set after a cure
	PausedUntil time.Time   `json:"paused_until,omitzero"`
	Restarts    []time.Time `json:"restarts,omitempty"` // of the last 24 hours
	// PausedFor is how long the pause was to be: a clock that goes back must not prolong it.
	PausedFor time.Duration `json:"paused_for,omitempty"`

	Felled    bool      `json:"felled,omitempty"`   // the add-on does not run, by a restart of ours
	Revivals  int       `json:"revivals,omitempty"` // new starts under the same protocol, each soon after the last
	RevivedAt time.Time `json:"revived_at,omitzero"`
	// RevivedFor is the cause of the last revival, until a look is good again.
	RevivedFor diagnosis.Cause `json:"revived_for,omitzero"`

	Cures map[string]Cure `json:"cures,omitempty"` // by protocol flag: what helped in this home
}

// Comeback is the plan to try the user's own setting again.
type Comeback struct {
	Due          time.Time         `json:"due"`
	Wait         time.Duration     `json:"wait"`
	Cured        evidence.Protocol `json:"cured"`    // where to return to
	Incident     string            `json:"incident"` // the id of the one it cured
	Cause        diagnosis.Cause   `json:"cause,omitzero"`
	detect.Tally                   // of that one
}

// Cure is how often a protocol has helped; it counts half after two weeks.
type Cure struct {
	Weight float64   `json:"weight"`
	At     time.Time `json:"at"`
}

const cureHalfLife = 14 * day

// spent is how many restarts the budget of the last 24 hours has paid for.
func (s *State) spent(now time.Time) int {
	n := 0
	for _, t := range s.Restarts {
		if now.Sub(t) < day {
			n++
		}
	}
	return n
}

// Left is how many restarts the day's budget has left; below zero if none, because zero
// stands for any number.
func (r Rules) Left(s State, now time.Time) int {
	if left := r.Budget - s.spent(now); left > 0 {
		return left
	}
	return -1
}

// Spent is how many restarts were made in the 24 hours before now.
func (s State) Spent(now time.Time) int { return s.spent(now) }

// remember notes that a protocol has helped.
func (s *State) remember(now time.Time, p evidence.Protocol) {
	if s.Cures == nil {
		s.Cures = map[string]Cure{}
	}
	s.Cures[p.String()] = Cure{Weight: s.cured(now, p) + 1, At: now}
}

// cured is how much speaks for a protocol from earlier incidents in this home.
func (s *State) cured(now time.Time, p evidence.Protocol) float64 {
	c := s.Cures[p.String()]
	return decayed(c.Weight, now.Sub(c.At))
}

func decayed(weight float64, age time.Duration) float64 {
	return weight * math.Exp2(-float64(max(age, 0))/float64(cureHalfLife))
}
