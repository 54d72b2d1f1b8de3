package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// State is everything the policy remembers. It is a value that survives a restart
// of the program as JSON; the zero value is a program that has seen nothing yet.
type State struct {
	Phase Phase     `json:"phase,omitempty"`
	Since time.Time `json:"since,omitzero"`

	Looked       bool            `json:"-"` // something was seen since the program started
	Trouble      diagnosis.Cause `json:"-"` // the last look's cause; Healthy if there is none
	TroubleSince time.Time       `json:"-"` // since when that cause
	LastGood     time.Time       `json:"-"` // changes with every probe: not worth a write each time

	Own       evidence.Protocol  `json:"own"`       // the user's own setting
	OwnKnown  bool               `json:"own_known"` // false until it was read once
	Set       evidence.Protocol  `json:"set"`       // what we last saw or wrote
	Transport evidence.Transport `json:"transport,omitempty"`

	Detector    Detector    `json:"-"`                  // gathers anew within seconds
	Incident    *Incident   `json:"incident,omitempty"` // the open one
	Trial       *OnTrial    `json:"trial,omitempty"`    // the change ordered or being proven
	Failback    *Comeback   `json:"failback,omitempty"` // set after a cure
	HoldUntil   time.Time   `json:"hold_until,omitzero"`
	HoldLevel   int         `json:"hold_level,omitempty"`
	PausedUntil time.Time   `json:"paused_until,omitzero"`
	Restarts    []time.Time `json:"restarts,omitempty"` // of the last 24 hours

	Cures map[string]Cure `json:"cures,omitempty"` // by protocol flag: what helped in this home
}

// Incident is what the policy needs to know of an open incident.
type Incident struct {
	ID        string             `json:"id"`
	Onset     time.Time          `json:"onset"`
	LastGood  time.Time          `json:"last_good,omitzero"`
	Alarm     time.Time          `json:"alarm"`
	Cause     diagnosis.Cause    `json:"cause"`
	Setting   evidence.Protocol  `json:"setting"`             // in force at the onset
	Transport evidence.Transport `json:"transport,omitempty"` // in use at the onset
	Failures  int                `json:"failures"`            // under that setting
	Probes    int                `json:"probes"`
	Run       int                `json:"-"` // good probes in a row
	Tried     []Attempt          `json:"tried,omitempty"`
	Restarts  int                `json:"restarts,omitempty"`
}

// Attempt is a trial that has ended without a cure.
type Attempt struct {
	Protocol  evidence.Protocol  `json:"protocol"`
	Transport evidence.Transport `json:"transport,omitempty"`
	Failures  int                `json:"failures"`
	Probes    int                `json:"probes"`
	Fair      bool               `json:"fair"` // false: something else came between, so it may be tried again
	Result    Result             `json:"result"`
}

// OnTrial is a change that was ordered and, once settled, is being proven.
type OnTrial struct {
	Protocol  evidence.Protocol  `json:"protocol"`
	Purpose   Purpose            `json:"purpose"`
	Since     time.Time          `json:"since"` // ordered; once settled, settled
	Settled   bool               `json:"settled,omitempty"`
	Transport evidence.Transport `json:"transport,omitempty"`
	Failures  int                `json:"-"` // proven anew after a restart of the program
	Probes    int                `json:"-"`
	Silent    time.Time          `json:"-"` // since when no probe has given a verdict
	Unfair    bool               `json:"unfair,omitempty"`
	Retry     time.Time          `json:"retry,omitzero"` // when to order it again; zero: it is under way
}

// Comeback is the plan to try the user's own setting again.
type Comeback struct {
	Due      time.Time         `json:"due"`
	Wait     time.Duration     `json:"wait"`
	Cured    evidence.Protocol `json:"cured"`    // where to return to
	Incident string            `json:"incident"` // the id of the one it cured
	Failures int               `json:"failures"`
	Probes   int               `json:"probes"`
}

// Cure is how often a protocol has helped; it counts half after two weeks.
type Cure struct {
	Weight float64   `json:"weight"`
	At     time.Time `json:"at"`
}

const cureHalfLife = 14 * day

// Share of probes that failed under the setting at the onset.
func (i *Incident) share() float64 {
	if i.Probes == 0 {
		return 1
	}
	return float64(i.Failures) / float64(i.Probes)
}

func (i *Incident) count(v diagnosis.Vote) {
	switch v {
	case diagnosis.Works:
		i.Run++
	case diagnosis.Fails:
		i.Run = 0
	}
}

// over says whether so many good probes in a row cannot be luck.
func (i *Incident) over() bool { return i.Run >= goodRun(i.share(), certainly) }

// best gives the tried protocol that was clearly better than the setting at the
// onset, if one was.
func (i *Incident) best() (Attempt, bool) {
	var best Attempt
	found := false
	for _, a := range i.Tried {
		if a.Probes > 0 && a.share() <= i.share()/2 && luck(a.Failures, a.Probes, i.Failures, i.Probes) < better && (!found || a.share() < best.share()) {
			best, found = a, true
		}
	}
	return best, found
}

func (a Attempt) share() float64 { return float64(a.Failures) / float64(a.Probes) }
func (a Attempt) rate() string {
	return fmt.Sprintf("%s in %s", count(a.Failures, "failure"), count(a.Probes, "probe"))
}

func (t *OnTrial) count(v diagnosis.Vote) {
	t.Probes++
	if v == diagnosis.Fails {
		t.Failures++
	}
}

// begin orders a change.
func (s *State) begin(d *Decision, now time.Time, p evidence.Protocol, why Purpose, text string, args ...any) {
	s.Trial = &OnTrial{Protocol: p, Purpose: why, Since: now}
	s.Detector = Detector{}
	d.Change = &Change{Protocol: p, Purpose: why}
	d.say(now, stepOf[why], p, text, args...)
}

// yield ends whatever is under way in favour of what a person did.
func (s *State) yield(d *Decision, now time.Time, hold time.Duration, text string, args ...any) {
	d.say(now, StepUser, s.Set, text, args...)
	if s.Trial != nil || s.Incident != nil {
		s.HoldUntil = now.Add(hold) // their choice gets its time before anything is tried again
	}
	s.Trial, s.Incident, s.Detector = nil, nil, Detector{}
}

// recovered closes the incident: the fault has gone without our doing.
func (s *State) recovered(d *Decision, now time.Time) {
	d.say(now, StepRecovered, s.Set, "Home Assistant can be reached again; the fault has ended by itself.")
	s.Incident, s.Detector = nil, Detector{}
}

// note keeps what the last look said.
func (s *State) note(now time.Time, in Sight) {
	if in.Blind != "" {
		return
	}
	if in.Vote == diagnosis.Works {
		s.LastGood = now
	}
	if in.Cause != s.Trouble || s.TroubleSince.IsZero() {
		s.Trouble, s.TroubleSince = in.Cause, now
	}
}

// forget drops what no longer counts. Times in the future are those of a clock
// that was wrong; they count as just now, so that the budget stays kept.
func (s *State) forget(now time.Time) {
	for i, t := range s.Restarts {
		if t.After(now) {
			s.Restarts[i] = now
		}
	}
	s.Restarts = slices.DeleteFunc(s.Restarts, func(t time.Time) bool { return now.Sub(t) >= day })
	if s.HoldLevel > 0 && s.Incident == nil && now.Sub(s.HoldUntil) >= day {
		s.HoldLevel = 0
	}
}

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

// Story is the id of the incident whose story is still being told: the open one,
// or the cured one until the user's own setting is back; "" if there is none.
func (s State) Story() string {
	switch {
	case s.Incident != nil:
		return s.Incident.ID
	case s.Failback != nil:
		return s.Failback.Incident
	}
	return ""
}

// Elsewhere is the state for another add-on than before: what belonged to the old
// one's tunnel is dropped, what was spent and learned stays.
func (s State) Elsewhere() State {
	return State{Phase: s.Phase, Since: s.Since, Restarts: s.Restarts, Cures: s.Cures, PausedUntil: s.PausedUntil}
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

// baseline is what the fault looked like before the trial.
func (s *State) baseline() (failures, probes int) {
	switch {
	case s.Incident != nil:
		return s.Incident.Failures, s.Incident.Probes
	case s.Failback != nil:
		return s.Failback.Failures, s.Failback.Probes
	}
	return 1, 1
}

func (s State) clone() State {
	if s.Incident != nil {
		c := *s.Incident
		c.Tried = slices.Clone(c.Tried)
		s.Incident = &c
	}
	if s.Trial != nil {
		c := *s.Trial
		s.Trial = &c
	}
	if s.Failback != nil {
		c := *s.Failback
		s.Failback = &c
	}
	s.Restarts = slices.Clone(s.Restarts)
	s.Cures = maps.Clone(s.Cures)
	return s
}
