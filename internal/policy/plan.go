package policy

import (
	"maps"
	"math"
	"slices"
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

	StoppedByUs bool      `json:"felled,omitempty"`   // the add-on does not run, by a restart of ours
	Revivals    int       `json:"revivals,omitempty"` // new starts under the same protocol, each soon after the last
	RevivedAt   time.Time `json:"revived_at,omitzero"`
	// RevivedFor is the cause of the last revival, until a look is good again.
	RevivedFor diagnosis.Cause `json:"revived_for,omitzero"`

	Cures map[string]Cure `json:"cures,omitempty"` // by protocol flag: what helped in this home

	Question *Question `json:"question,omitempty"` // that waits for an answer, or whose yes waits to be carried out
}

func (p Plan) clone() Plan {
	p.Failback, p.Question = copied(p.Failback), copied(p.Question)
	p.Restarts, p.Cures = slices.Clone(p.Restarts), maps.Clone(p.Cures)
	return p
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

// Spent is how many restarts were made in the 24 hours before now.
func (p Plan) Spent(now time.Time) int {
	n := 0
	for _, t := range p.Restarts {
		if now.Sub(t) < day {
			n++
		}
	}
	return n
}

// Left is how many restarts the day's budget has left; below zero if none, because zero
// stands for any number.
func (r Rules) Left(s State, now time.Time) int {
	if left := r.Budget - s.Spent(now); left > 0 {
		return left
	}
	return -1
}

// remember notes that a protocol has helped.
func (p *Plan) remember(now time.Time, helped evidence.Protocol) {
	if p.Cures == nil {
		p.Cures = map[string]Cure{}
	}
	p.Cures[helped.String()] = Cure{Weight: p.cured(now, helped) + 1, At: now}
}

// cured is how much speaks for a protocol from earlier incidents in this home.
func (p Plan) cured(now time.Time, by evidence.Protocol) float64 {
	c, ever := p.Cures[by.String()]
	if !ever {
		return 0
	}
	return c.Weight * math.Exp2(-float64(max(now.Sub(c.At), 0))/float64(cureHalfLife))
}

// The quiet hours, in which the user's own protocol is tried again, and how much of
// them is left when it is no longer waited for a moment at which nobody is connected.
const (
	quietFrom, quietTo = 3, 5
	lastCall           = 30 * time.Minute
)

// note keeps what a look says of the plans.
func (p *Plan) note(in *Sight) {
	if in.Vote == diagnosis.Works && !in.Blind {
		p.RevivedFor = diagnosis.Unknown
	}
	p.StoppedByUs = p.StoppedByUs && !in.SupervisorFree
}

// failBack tries the user's own protocol again, some time after a cure.
func (p *Plan) failBack(t *turn) {
	f := p.Failback
	if f != nil && t.s.Set == t.s.Own { // it came back by another way
		p.Failback = nil
		return
	}
	if f == nil || t.now.Before(f.Due) {
		return
	}
	// A yes in the evening is one for the night.
	if asks := t.r.Ask && p.Question == nil; asks && !t.r.between(awakeFrom, awakeTo, t.now) || !asks && !t.convenient() ||
		!t.may(failingBack, Question{Purpose: Failback, Protocol: t.s.Own, Until: t.morning()}) {
		return
	}
	t.begin(t.s.Own, Failback, Step{Span: f.Wait})
}

// convenient says whether it is a moment at which nobody minds a restart: in the
// quiet hours, when nobody is connected. Then the restart is shorter, too: cloudflared
// does not wait for open WebSockets (docs/FACTS.md, cloudflared). Where somebody always is, towards the
// end of those hours.
func (t *turn) convenient() bool {
	return t.r.Quiet(t.now) && (!t.in.InUse || t.r.hasty() || !t.r.Quiet(t.now.Add(max(lastCall, 2*t.r.Interval))))
}

// FailbackDue says whether the return to the user's own setting is due, so that it should be
// known whether it can be.
func (r *Rules) FailbackDue(s *State, now time.Time) bool {
	f := s.Failback
	return f != nil && s.Trial == nil && !now.Before(f.Due) && r.Quiet(now)
}

// Quiet says whether the return to the user's own setting may come now, by the clock.
func (r Rules) Quiet(now time.Time) bool { return r.between(quietFrom, quietTo, now) }

// between says whether it lies between two hours of the house's clock.
func (r Rules) between(from, to int, now time.Time) bool {
	h := r.local(now).Hour()
	return r.hasty() || from <= h && h < to
}

// NextQuiet is the first moment at which it may, from one on.
func (r *Rules) NextQuiet(from time.Time) time.Time {
	at := r.local(from)
	if r.Quiet(at) {
		return from
	}
	day := at.Day()
	if at.Hour() >= quietTo {
		day++
	}
	return time.Date(at.Year(), at.Month(), day, quietFrom, 0, 0, 0, at.Location())
}

// hasty says whether times of day do not count: fail-back times below an hour are those of
// tests, which cannot wait for the night.
func (r Rules) hasty() bool { return r.Failback > 0 && r.Failback < time.Hour }
