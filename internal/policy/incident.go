package policy

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Case is the open incident and what is done about it.
type Case struct {
	Incident  *Incident `json:"incident,omitempty"` // the open one
	Trial     *OnTrial  `json:"trial,omitempty"`    // the change ordered or being proven
	HoldUntil time.Time `json:"hold_until,omitzero"`
	HoldLevel int       `json:"hold_level,omitempty"`
}

func (c Case) clone() Case {
	if c.Incident, c.Trial = copied(c.Incident), copied(c.Trial); c.Incident != nil {
		c.Incident.Tried = slices.Clone(c.Incident.Tried)
	}
	return c
}

// Incident is what the policy needs to know of an open incident.
type Incident struct {
	ID           string             `json:"id"`
	Onset        time.Time          `json:"onset"`
	LastGood     time.Time          `json:"last_good,omitzero"`
	Alarm        time.Time          `json:"alarm"`
	Cause        diagnosis.Cause    `json:"cause"`
	Setting      evidence.Protocol  `json:"setting"`             // in force at the onset, or adopted since
	Transport    evidence.Transport `json:"transport,omitempty"` // in use with it
	detect.Tally                    // under that setting, until the alarm or the last trial
	Run          int                `json:"-"` // good probes in a row
	// Under that setting, since then: changes with every probe, not worth a write each time.
	Later    detect.Tally `json:"-"`
	LaterRun int          `json:"-"` // good ones at their end

	LastBad time.Time      `json:"-"` // the last look that failed, since the alarm
	Passing detect.Passing `json:"-"` // what of the total may pass on its own

	Rest time.Duration `json:"rest,omitempty"` // from the last good look to the onset; 0: not known

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
	detect.Tally
	Fair   bool   `json:"fair"` // false: it could not be tried, or something else came between
	Result Result `json:"result"`
	Holds  int    `json:"holds,omitempty"` // of the incident, before it
}

// unjudged says whether the attempt has not shown that the fault is there under its
// protocol, too.
func (a Attempt) unjudged() bool { return a.Result != Left && (!a.Fair || a.Failures == 0) }

// unable says whether the attempt never came to a verdict, by what may be the protocol's
// fault (cloudflared cannot run with it, or cannot connect) or chance (a crash, the
// internet away for a moment). It gets a second chance, after a hold.
func (a Attempt) unable() bool { return results[a.Result].unable }

// note keeps a trial that has ended so.
func (i *Incident) note(o *OnTrial, as Result) {
	i.Tried = append(i.Tried, Attempt{Protocol: o.Protocol, Transport: o.Transport, Tally: o.Tally, Fair: as.fair(), Result: as, Holds: i.Holds})
}

// total is what was seen under the setting at the onset.
func (i *Incident) total() detect.Tally { return i.Tally.Plus(i.Later) }

// struck is total up to the last failure. The good probes since then may be the
// fault's end: counted in, they would make it look the rarer the longer it is gone,
// and its end never certain.
func (i *Incident) struck() detect.Tally {
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
	return t.Rate()
}

// settle makes the total one that is kept, before it becomes what a trial is held
// against.
func (i *Incident) settle() { i.Tally, i.Later, i.LaterRun = i.total(), detect.Tally{}, 0 }

// moveTo makes the protocol that stays the one which the incident is about: what
// comes is held against it from now on, and what was there before it becomes one that
// was tried.
func (i *Incident) moveTo(p evidence.Protocol, over evidence.Transport) {
	if p == i.Setting {
		return
	}
	left := Attempt{Protocol: i.Setting, Transport: i.Transport, Tally: i.total(), Fair: true, Result: Left}
	i.Setting, i.Transport, i.Tally, i.Run = p, over, detect.Tally{}, 0
	i.Later, i.LaterRun, i.Passing = detect.Tally{}, 0, detect.Passing{}
	i.Tried = slices.DeleteFunc(i.Tried, func(a Attempt) bool {
		here := a.Protocol == p && a.Fair
		if here {
			i.Tally = i.Tally.Plus(a.Tally)
		}
		return here
	})
	i.Tried = append(i.Tried, left)
}

// count takes a look while no protocol is on trial.
func (i *Incident) count(t *turn) {
	s, look := t.s, t.in.look()
	switch {
	case look == detect.NoVerdict:
		return
	case look == detect.Good:
		i.Run++
	default:
		i.Run, i.LastBad = 0, t.now
	}
	if s.Set != i.Setting {
		return
	}
	i.Later.Count(look)
	if i.LaterRun++; look.Failed() {
		i.LaterRun = 0
		i.Passing.Fail(t.now.Add(-t.in.Took), t.now, look, i.total(), s.Noise, dying(t.r.Burst))
	}
}

// pause is for how long connections that break again and again may stand in between: a
// log counts no older breaks.
const pause = evidence.OfLate

// pausing says whether good looks, however many, may be but a pause of the fault: of
// connections that break again and again, the next break has nothing to do with them.
func (i *Incident) pausing(now time.Time) bool {
	return i.Cause == diagnosis.TunnelFlapping && now.Sub(later(i.Alarm, i.LastBad)) < pause
}

// rest is the time from the last good look to the onset. Where a start of the program has left no good look before it,
// that was as little before as may be.
func (i *Incident) rest() time.Duration { return cmp.Or(i.Rest, time.Second) }

// Rarity is how seldom chance brings about in this home what speaks for a fault now.
func (s *State) Rarity() detect.Rarity {
	if i := s.Incident; i != nil {
		return s.Noise.Rarity(i.struck(), i.rest(), &i.Passing)
	}
	return s.Noise.Rarity(s.Detector.Tally, s.Detector.Rest, &s.Passing)
}

// rare says whether chance brings it about seldom enough for a restart. That takes more
// than the alarm, which a home that loses one handshake in a hundred sees now and then: four
// failures in a row that Home Assistant itself told of, and six that may be losses on the
// way; or as many more as it takes to be no dying connection.
func (s *State) rare(t detect.Tally) bool {
	return s.Noise.Rare(t, s.Incident.rest(), &s.Incident.Passing)
}

// dying is one of the connector's four connections that has died unnoticed: until it is given up, after 29 s at most
// (docs/FACTS.md, cloudflared), a quarter of the handshakes hangs. That it happens once a week is an estimate. In
// bursts, not seconds: the clock of the lab runs quicker.
func dying(burst time.Duration) detect.Spell {
	return detect.Spell{Yearly: 52, Share: 0.25, Longest: 15 * burst}
}

// followed counts a look of an open incident, and says whether the incident is over: so
// many good looks in a row cannot be luck, or what came after the alarm speaks against a
// loss as rare as any that is looked for.
func (i *Incident) followed(t *turn) (over bool) {
	s := t.s
	i.count(t)
	if i.Run == 0 || i.pausing(t.now) {
		return false
	}
	step, passed := Step{Kind: StepRecovered}, detect.Over(i.Run, i.share())
	switch {
	case (passed || s.Noise.Refutes(i.Later)) && !s.rare(i.struck()): // as far as can be told, this home's noise
		s.Noise.Learn(i.struck().First())
		step.Why, step.Seen = WhyNoise, i.struck()
	case !passed:
		return false
	}
	t.shut(step)
	return true
}

// unseen is after how long without a verdict an incident is no longer one that can be
// followed: something stands before the WebSocket that the probe cannot see past.
const unseen = day

// lapse closes an incident that could not be followed for a day.
func (c *Case) lapse(t *turn) {
	i := c.Incident
	if i == nil {
		return
	}
	i.Silent = since(i.Silent, c.Trial == nil && t.in.Vote == diagnosis.Abstains, t.now)
	if !i.Silent.IsZero() && t.now.Sub(i.Silent) >= unseen {
		t.shut(Step{Kind: StepLapsed, Cause: t.in.Cause})
	}
}

// since is from when on something has been so; the zero time while it is not.
func since(t time.Time, is bool, now time.Time) time.Time {
	switch {
	case !is:
		return time.Time{}
	case t.IsZero():
		return now
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// try orders the next candidate.
func (i *Incident) try(t *turn) {
	s := t.s
	next, _ := t.candidate()
	if q := s.Question; q != nil && t.r.Ask { // what somebody said yes to, though another may look better by now
		next = q.Protocol
	}
	i.settle()
	step := Step{Other: s.Set, Rarity: s.Rarity()}
	if next == s.Set {
		step.Why = WhySameAgain
	}
	t.begin(next, Trial, step)
}

// tryNext orders the next candidate where that may be, or concludes the incident's treatment.
func (i *Incident) tryNext(t *turn) {
	if len(t.gates(tryingNext)) > 0 {
		i.giveUp(t)
		return
	}
	i.try(t)
}

// giveUp restores the user's own setting, and waits. Where the trouble began under
// another one, an earlier cure, and their own has just proved to be worse than that,
// it switches back to the cure.
func (i *Incident) giveUp(t *turn) {
	s, cure := t.s, i.Setting
	switch worse := cure != s.Own && s.worse(); {
	case worse && s.Set != cure:
		t.begin(cure, Restore, Step{Why: WhyWorse, Other: s.Own})
	case !worse && s.Set != s.Own:
		t.begin(s.Own, Restore, Step{})
	default:
		i.hold(t)
	}
}

// worse says whether the user's own setting was tried and lost clearly more than what was
// there.
func (s *State) worse() bool {
	i := s.Incident
	n := slices.IndexFunc(i.Tried, func(a Attempt) bool { return a.Protocol == s.Own && a.Fair })
	return n >= 0 && i.Tried[n].Failures > 0 && i.Tried[n].Rate() >= 1.2*i.share()
}

// hold waits for recovery: what can be tried has been.
func (i *Incident) hold(t *turn) {
	s := t.s
	s.Trial = nil
	more := t.r.Ask && t.left() // the next is not tried, but asked about: for that nobody need wait
	i.moveTo(s.Set, s.Transport)
	if more {
		return
	}
	s.HoldUntil = t.now.Add(t.r.hold(s.HoldLevel))
	s.HoldLevel++
	i.Holds++
	i.Run = 0
	why := WhyElsewhere
	switch {
	case s.Set != s.Own:
		why = WhyUnclean
	case t.left() || slices.ContainsFunc(i.Tried, Attempt.unjudged):
		why = WhyNotTried
	}
	t.tell(Step{Kind: StepHold, Protocol: s.Set, Why: why, Until: t.r.local(s.HoldUntil)})
}

// Exhausted says whether the open incident has seen the fault under every allowed
// protocol, and none is kept for being better than the user's own. A protocol that
// could not be tried, or did not connect, has shown nothing of it.
func (r *Rules) Exhausted(s *State) bool {
	i, m := s.Incident, moment{r: r, s: s}
	return i != nil && len(i.Tried) > 0 && s.Set == s.Own && !slices.ContainsFunc(i.Tried, Attempt.unjudged) && !m.left()
}

// Resigned says whether the open incident but waits for the fault's end: each allowed protocol
// has lost every look, that it is a fault is proven, and looks are as far apart as they ever
// are. Then one more look that fails as the last one did is counted, and changes nothing else.
func (r *Rules) Resigned(s *State, now time.Time) bool {
	i := s.Incident
	return i != nil && s.Trial == nil && s.Failback == nil && s.Question == nil && s.Last == detect.Explicit && s.Detector.Certain() &&
		r.patient(now.Sub(i.Alarm)) == r.Interval && s.Set == i.Setting && i.share() == 1 && r.Exhausted(s) && s.rare(told(i.total())) &&
		!slices.ContainsFunc(i.Tried, func(a Attempt) bool { return a.Failures < a.Probes })
}

// FailsAgain counts such a look.
func (s *State) FailsAgain(now time.Time) {
	s.Detector.Count(now, s.Last, s.Noise)
	s.Incident.Later.Count(s.Last)
	s.Incident.LastBad = now
}
