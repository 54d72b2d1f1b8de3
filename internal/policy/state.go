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
	Failed       bool            `json:"-"` // the last look did
	LastGood     time.Time       `json:"-"` // changes with every probe: not worth a write each time

	Own       evidence.Protocol  `json:"own"`       // the user's own setting
	OwnKnown  bool               `json:"own_known"` // false until it was read once
	Set       evidence.Protocol  `json:"set"`       // what we last saw or wrote
	Transport evidence.Transport `json:"transport,omitempty"`

	Calm        Calm        `json:"-"`
	Detector    Detector    `json:"-"`                  // gathers anew within seconds
	Incident    *Incident   `json:"incident,omitempty"` // the open one
	Trial       *OnTrial    `json:"trial,omitempty"`    // the change ordered or being proven
	Failback    *Comeback   `json:"failback,omitempty"` // set after a cure
	HoldUntil   time.Time   `json:"hold_until,omitzero"`
	HoldLevel   int         `json:"hold_level,omitempty"`
	PausedUntil time.Time   `json:"paused_until,omitzero"`
	Restarts    []time.Time `json:"restarts,omitempty"` // of the last 24 hours

	Felled    bool      `json:"felled,omitempty"`   // the add-on does not run, by a restart of ours
	Revivals  int       `json:"revivals,omitempty"` // new starts under the same protocol, each soon after the last
	RevivedAt time.Time `json:"revived_at,omitzero"`

	Cures map[string]Cure `json:"cures,omitempty"` // by protocol flag: what helped in this home
}

// Incident is what the policy needs to know of an open incident.
type Incident struct {
	ID        string             `json:"id"`
	Onset     time.Time          `json:"onset"`
	LastGood  time.Time          `json:"last_good,omitzero"`
	Alarm     time.Time          `json:"alarm"`
	Cause     diagnosis.Cause    `json:"cause"`
	Setting   evidence.Protocol  `json:"setting"`             // in force at the onset, or adopted since
	Transport evidence.Transport `json:"transport,omitempty"` // in use with it
	Failures  int                `json:"failures"`            // under that setting, until the alarm or the last trial
	Probes    int                `json:"probes"`
	Run       int                `json:"-"` // good probes in a row
	// Under that setting, since then: changes with every probe, not worth a write each time.
	LaterFailures int `json:"-"`
	LaterProbes   int `json:"-"`
	LaterRun      int `json:"-"` // good ones at their end

	Tried    []Attempt `json:"tried,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
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
	Back      evidence.Protocol  `json:"back,omitempty"` // of a trial by hand: what was there before
	Transport evidence.Transport `json:"transport,omitempty"`
	Failures  int                `json:"-"` // proven anew after a restart of the program
	Probes    int                `json:"-"`
	Silent    time.Time          `json:"-"` // since when no probe has given a verdict
	Unfair    bool               `json:"unfair,omitempty"`
	Retry     time.Time          `json:"retry,omitzero"`  // when to order it again; zero: it is under way
	Tries     int                `json:"tries,omitempty"` // how often it was put off
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

// tally is what was seen under the setting at the onset.
func (i *Incident) tally() (failures, probes int) {
	return i.Failures + i.LaterFailures, i.Probes + i.LaterProbes
}

// settle makes the tally one that is kept, before it becomes what a trial is held
// against.
func (i *Incident) settle() {
	i.Failures, i.Probes = i.tally()
	i.LaterFailures, i.LaterProbes, i.LaterRun = 0, 0, 0
}

// share of the probes that failed under the setting at the onset, up to the last
// failure. The good ones since then may be its end: counted in, they would make
// the fault look the rarer the longer it is gone, and its end never certain.
func (i *Incident) share() float64 {
	failures, probes := i.tally()
	if probes -= i.LaterRun; probes <= 0 {
		return 1
	}
	return float64(failures) / float64(probes)
}

// certain says whether the incident's fault is certain enough for a restart, in a
// home as noisy as this one.
func (s *State) certain() bool {
	failures, probes := s.Incident.tally()
	return certainty(failures, probes, s.Calm.noise()) >= restart
}

// Calm is what looks showed while nothing was suspected: how noisy this home is.
// It gathers anew after a start of the program.
type Calm struct{ Failures, Probes float64 }

func (c *Calm) count(v diagnosis.Vote) {
	if v == diagnosis.Abstains {
		return
	}
	if c.Probes++; v == diagnosis.Fails {
		c.Failures++
	}
	if c.Probes > 2*remembered {
		c.Failures, c.Probes = c.Failures/2, c.Probes/2
	}
}

// noise is the share of looks that fail in this home for no lasting reason; never
// less than the detector's, nor so much that a fault could pass for it.
func (c Calm) noise() float64 {
	return min(max((c.Failures+unknown*unknownLooks)/(c.Probes+unknownLooks), noise), 0.05)
}

func (i *Incident) count(v diagnosis.Vote, set evidence.Protocol) {
	switch v {
	case diagnosis.Abstains:
		return
	case diagnosis.Works:
		i.Run++
	case diagnosis.Fails:
		i.Run = 0
	}
	if set == i.Setting {
		i.LaterProbes++
		i.LaterRun++
		if v == diagnosis.Fails {
			i.LaterFailures++
			i.LaterRun = 0
		}
	}
}

// over says whether so many good probes in a row cannot be luck.
func (i *Incident) over() bool { return i.Run >= goodRun(i.share(), certainly) }

// unlikely says whether what came after the alarm speaks against one in ten being
// lost.
func (i *Incident) unlikely() bool {
	return i.Run > 0 && against(0.1, i.LaterProbes-i.LaterFailures, i.LaterFailures) <= clear
}

// worse says whether a protocol that was tried lost clearly more than what was
// there.
func (i *Incident) worse(p evidence.Protocol) bool {
	return slices.ContainsFunc(i.Tried, func(a Attempt) bool {
		return a.Protocol == p && a.Fair && float64(a.Failures) >= 1.5*i.share()*float64(a.Probes) && a.Failures > 0
	})
}

func rate(failures, probes int) string {
	return fmt.Sprintf("%s in %s", count(failures, "failure"), count(probes, "probe"))
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
	s.owe(now)
	s.Incident, s.Detector = nil, Detector{}
}

// owe plans the return to the user's own setting where another one is in force
// that was never proven: the way back was blocked.
func (s *State) owe(now time.Time) {
	if s.Set == s.Own || s.Failback != nil || s.Incident == nil {
		return
	}
	failures, probes := s.Incident.tally()
	s.Failback = &Comeback{Due: now, Wait: day, Cured: s.Set, Incident: s.Incident.ID, Failures: failures, Probes: probes}
}

// note keeps what the last look said.
func (s *State) note(now time.Time, in Sight) {
	if in.Blind != "" {
		return
	}
	if in.Vote == diagnosis.Works {
		s.LastGood = now
	}
	s.Failed = in.Vote == diagnosis.Fails
	if in.Cause != s.Trouble || s.TroubleSince.IsZero() {
		s.Trouble, s.TroubleSince = in.Cause, now
	}
}

// forget drops what no longer counts. Times further in the future than they can
// have been meant are those of a clock that was wrong. Restarts count as just now
// then, so that the budget stays kept; waits become as long as they can be.
func (r Rules) forget(s *State, now time.Time) {
	atMost := func(t *time.Time, wait time.Duration) {
		if limit := now.Add(wait); t.After(limit) {
			*t = limit
		}
	}
	atMost(&s.HoldUntil, holdSteps*r.HoldBase)
	atMost(&s.TroubleSince, 0)
	if s.Incident != nil {
		atMost(&s.Incident.Alarm, 0)
	}
	if s.Failback != nil {
		atMost(&s.Failback.Due, s.Failback.Wait)
	}
	if s.Trial != nil {
		atMost(&s.Trial.Silent, 0)
		atMost(&s.Trial.Retry, r.HoldBase)
	}
	for i := range s.Restarts {
		atMost(&s.Restarts[i], 0)
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
		return s.Incident.tally()
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
