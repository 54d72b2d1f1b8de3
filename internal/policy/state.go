package policy

import (
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

	Stops        int             `json:"-"` // looks in a row that showed the app stopped, not by us
	Looked       bool            `json:"-"` // something was seen since the program started
	Trouble      diagnosis.Cause `json:"-"` // the last look's cause; Healthy if there is none
	TroubleSince time.Time       `json:"-"` // since when that cause
	Failed       bool            `json:"-"` // the last look did
	Mute         bool            `json:"-"` // the last look gave no verdict
	Told         bool            `json:"-"` // and an answer told of it
	LastGood     time.Time       `json:"-"` // changes with every probe: not worth a write each time

	Own       evidence.Protocol  `json:"own"`       // the user's own setting
	OwnKnown  bool               `json:"own_known"` // false until it was read once
	Doubt     Doubt              `json:"doubt,omitempty"`
	Set       evidence.Protocol  `json:"set"` // what we last saw or wrote
	Transport evidence.Transport `json:"transport,omitempty"`

	Unkept   bool `json:"-"` // nothing can be kept on the disk
	QUICShut bool `json:"-"` // the edge was asked over QUIC, and no handshake stood: this network seems to keep it out

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
	// RevivedFor is the cause of the last revival, until a look is good again.
	RevivedFor diagnosis.Cause `json:"revived_for,omitzero"`

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
	Tally                        // under that setting, until the alarm or the last trial
	Run       int                `json:"-"` // good probes in a row
	// Under that setting, since then: changes with every probe, not worth a write each time.
	Later    Tally `json:"-"`
	Lasting  Tally `json:"-"` // of those, since a connection that died at the alarm would have been given up
	LaterRun int   `json:"-"` // good ones at their end

	LastBad time.Time `json:"-"` // the last look that failed, since the alarm

	Tried    []Attempt `json:"tried,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
	Holds    int       `json:"holds,omitempty"`   // how often it was waited after what was tried
	PutOff   int       `json:"put_off,omitempty"` // how often a trial could not be begun
	Silent   time.Time `json:"silent,omitzero"`   // since when no look has given a verdict
}

// Attempt is a trial that has ended without a cure.
type Attempt struct {
	Protocol  evidence.Protocol  `json:"protocol"`
	Transport evidence.Transport `json:"transport,omitempty"`
	Tally
	Fair   bool   `json:"fair"` // false: it could not be tried, or something else came between
	Result Result `json:"result"`
	Holds  int    `json:"holds,omitempty"` // of the incident, before it
}

// left is the result of a protocol that was in force before a better one was kept.
const left Result = "left"

// unjudged says whether the attempt has not shown that the fault is there under its
// protocol, too.
func (a Attempt) unjudged() bool { return a.Result != left && (!a.Fair || a.Failures == 0) }

// OnTrial is a change that was ordered and, once settled, is being proven.
type OnTrial struct {
	Protocol  evidence.Protocol  `json:"protocol"`
	Purpose   Purpose            `json:"purpose"`
	Since     time.Time          `json:"since"` // ordered; once settled, settled
	Settled   bool               `json:"settled,omitempty"`
	Back      evidence.Protocol  `json:"back,omitempty"` // of a trial by hand: what was there before
	Transport evidence.Transport `json:"transport,omitempty"`
	Tally     `json:"-"`         // proven anew after a restart of the program
	Silent    time.Time          `json:"-"`              // since when no probe has given a verdict
	Ended     time.Time          `json:"-"`              // since when the app has not run, by an error
	Lasting   bool               `json:"-"`              // proven, but for how long it must stand
	Sent      bool               `json:"sent,omitempty"` // the setting was sent once, and may take effect late
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
	Cause    diagnosis.Cause   `json:"cause,omitzero"`
	Tally                      // of that one
}

// Cure is how often a protocol has helped; it counts half after two weeks.
type Cure struct {
	Weight float64   `json:"weight"`
	At     time.Time `json:"at"`
}

const cureHalfLife = 14 * day

// Tally is what looks showed, counted.
type Tally struct {
	Failures int `json:"failures"`
	Told     int `json:"told,omitempty"` // of them: those that an answer told of
	Probes   int `json:"probes"`
}

// take counts a look. An abstention is none.
func (t *Tally) take(in Sight) {
	if in.Vote == diagnosis.Abstains {
		return
	}
	t.Probes++
	if in.Vote == diagnosis.Fails {
		t.Failures++
		if in.told() {
			t.Told++
		}
	}
}

func (t Tally) plus(o Tally) Tally {
	return Tally{t.Failures + o.Failures, t.Told + o.Told, t.Probes + o.Probes}
}

// rate is the share that failed; of no looks, 0.
func (t Tally) rate() float64 { return float64(t.Failures) / float64(max(t.Probes, 1)) }

// first is the failure that a suspicion began with.
func (t Tally) first() Tally { return Tally{Failures: 1, Told: min(t.Told, 1), Probes: 1} }

func (t Tally) String() string {
	return count(t.Failures, "failure") + " in " + count(t.Probes, "probe")
}

// told says whether the failure is one that Home Assistant itself told of: the
// handshake arrived, without what makes it one. What is lost on the way is silent.
func (in Sight) told() bool {
	return in.Cause == diagnosis.UpgradeStripped || in.Cause == diagnosis.UpgradeMangled
}

// total is what was seen under the setting at the onset.
func (i *Incident) total() Tally { return i.Tally.plus(i.Later) }

// settle makes the total one that is kept, before it becomes what a trial is held
// against.
func (i *Incident) settle() { i.Tally, i.Later, i.LaterRun = i.total(), Tally{}, 0 }

// moveTo makes the protocol that stays the one which the incident is about: what
// comes is held against it from now on, and what was there before it becomes one that
// was tried.
func (i *Incident) moveTo(p evidence.Protocol, over evidence.Transport) {
	if p == i.Setting {
		return
	}
	left := Attempt{Protocol: i.Setting, Transport: i.Transport, Tally: i.total(), Fair: true, Result: left}
	i.Setting, i.Transport, i.Tally, i.Later, i.LaterRun, i.Run = p, over, Tally{}, Tally{}, 0, 0
	i.Tried = slices.DeleteFunc(i.Tried, func(a Attempt) bool {
		here := a.Protocol == p && a.Fair
		if here {
			i.Tally = i.Tally.plus(a.Tally)
		}
		return here
	})
	i.Tried = append(i.Tried, left)
}

// struck is total up to the last failure. The good probes since then may be the
// fault's end: counted in, they would make it look the rarer the longer it is gone,
// and its end never certain.
func (i *Incident) struck() Tally {
	t := i.total()
	t.Probes -= i.LaterRun
	return t
}

// share of the probes that failed under the setting at the onset.
func (i *Incident) share() float64 {
	t := i.struck()
	if t.Probes <= 0 {
		return 1
	}
	return t.rate()
}

// certain says whether the incident's fault is certain enough for a restart, in a
// home as noisy as this one.
func (s *State) certain() bool { return s.Calm.certainty(s.Incident.struck()) >= restart }

// Calm is what looks showed while nothing was suspected: how noisy this home is.
// What a fault begins with is none of it; a failure counts once it has turned out
// to be nothing lasting. It gathers anew after a start of the program.
type Calm struct{ Failures, Told, Probes float64 }

func (c *Calm) count(t Tally) {
	c.Failures, c.Told, c.Probes = c.Failures+float64(t.Failures), c.Told+float64(t.Told), c.Probes+float64(t.Probes)
	if c.Probes > 2*remembered {
		c.Failures, c.Told, c.Probes = c.Failures/2, c.Told/2, c.Probes/2
	}
}

// noise is the share of looks that fail in this home for no lasting reason, without
// a word and told of.
func (c Calm) noise() (silent, told float64) {
	share := func(failures, least, most float64) float64 {
		return min(max((failures+most*unknownLooks)/(c.Probes+unknownLooks), least), noisiest)
	}
	return share(c.Failures-c.Told, noise, unknown), share(c.Told, rare, rare)
}

// leak is the least loss that the detector looks for here, and the noise that it is
// held against.
func (c Calm) leak() (loss, silent float64) {
	silent, _ = c.noise()
	return max(leastLeak, leakOverNoise*silent), silent
}

func (i *Incident) count(in Sight, set evidence.Protocol, lasting bool) {
	switch in.Vote {
	case diagnosis.Abstains:
		return
	case diagnosis.Works:
		i.Run++
	case diagnosis.Fails:
		i.Run = 0
	}
	if set == i.Setting {
		i.Later.take(in)
		if lasting {
			i.Lasting.take(in)
		}
		i.LaterRun++
		if in.Vote == diagnosis.Fails {
			i.LaterRun = 0
		}
	}
}

// ended says whether so many good probes in a row cannot be luck.
func (i *Incident) ended() bool { return i.Run >= goodRun(i.share(), certainly) }

// pause is for how long connections that break again and again may stand in between: a
// log counts breaks of ten minutes (lostWindow in internal/tunnel).
const pause = 10 * time.Minute

// pausing says whether good looks, however many, may be but a pause of the fault: of
// connections that break again and again, the next break has nothing to do with them.
func (i *Incident) pausing(now time.Time) bool {
	return i.Cause == diagnosis.TunnelFlapping && now.Sub(later(i.Alarm, i.LastBad)) < pause
}

// flapped says whether what is on trial is tried because connections broke again and
// again: then a run of good looks proves nothing, and ten minutes must pass.
func (s *State) flapped() bool {
	switch t := s.Trial; {
	case t != nil && t.Purpose == Trial && s.Incident != nil:
		return s.Incident.Cause == diagnosis.TunnelFlapping
	case t != nil && t.Purpose == Failback && s.Failback != nil:
		return s.Failback.Cause == diagnosis.TunnelFlapping
	}
	return false
}

// unlikely says whether what came after the alarm speaks against a loss as rare as
// any that the detector looks for.
func (s *State) unlikely() bool {
	return s.Incident.Run > 0 && against(s.Calm.leak()).of(s.Incident.Later) <= clear
}

// worse says whether a protocol that was tried lost clearly more than what was
// there. What an earlier incident cured counts, too.
func (s *State) worse(p evidence.Protocol) bool {
	i := s.Incident
	n := slices.IndexFunc(i.Tried, func(a Attempt) bool { return a.Protocol == p && a.Fair })
	if n < 0 {
		return false
	}
	seen := i.Tried[n].Tally
	if f := s.Failback; f != nil && p == s.Own {
		seen = seen.plus(f.Tally)
	}
	return seen.Failures > 0 && seen.rate() >= 1.2*i.share()
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
	if s.certain() {
		d.say(now, StepRecovered, s.Set, "Home Assistant can be reached again; the fault has ended by itself.")
	} else { // as far as can be told, this home's noise
		d.say(now, StepRecovered, s.Set, "The probes are good again. Too few had failed to call it a fault: %s.", s.Incident.struck())
		s.Calm.count(s.Incident.struck().first())
	}
	s.owe(now)
	s.Incident, s.Detector = nil, Detector{}
}

// owe plans the return to the user's own setting where another one is in force
// that was never proven: the way back was blocked.
func (s *State) owe(now time.Time) {
	if s.Set == s.Own || s.Failback != nil || s.Incident == nil {
		return
	}
	s.Failback = &Comeback{Due: now, Wait: day, Cured: s.Set, Incident: s.Incident.ID, Cause: s.Incident.Cause, Tally: s.Incident.total()}
}

// note keeps what the last look said.
func (s *State) note(now time.Time, in Sight) {
	if in.Blind != "" {
		return
	}
	if in.Vote == diagnosis.Works {
		s.LastGood, s.RevivedFor = now, diagnosis.Unknown
	}
	s.Failed, s.Mute = in.Vote == diagnosis.Fails, in.Vote == diagnosis.Abstains
	s.Told = s.Failed && in.told()
	switch {
	case in.QUIC == evidence.On || in.Transport == evidence.OverQUIC:
		s.QUICShut = false
	case in.QUIC == evidence.Off:
		s.QUICShut = true
	}
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
	if !Forever(s.PausedUntil) {
		atMost(&s.PausedUntil, LongestPause)
	}
	atMost(&s.TroubleSince, 0)
	if s.Incident != nil {
		atMost(&s.Incident.Alarm, 0)
		atMost(&s.Incident.Silent, 0)
	}
	if s.Failback != nil {
		atMost(&s.Failback.Due, s.Failback.Wait)
	}
	if s.Trial != nil {
		atMost(&s.Trial.Since, 0)
		atMost(&s.Trial.Silent, 0)
		atMost(&s.Trial.Ended, 0)
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

// Alert says whether anything is suspected or under way.
func (s State) Alert() bool { return s.Trial != nil || s.Incident != nil || s.Detector.Score() > 0 }

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

// baseline is what the fault looked like before the trial.
func (s *State) baseline() Tally {
	switch {
	case s.Incident != nil:
		return s.Incident.total()
	case s.Failback != nil:
		return s.Failback.Tally
	}
	return Tally{Failures: 1, Probes: 1}
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
