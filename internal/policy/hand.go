package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// What a person asks for by hand. A trial by hand is carried out and proven like
// any other, within the same budget, and put back if it does not hold; only the
// gates that guard against acting without need are left out, because a person
// stands behind it.
const (
	ByHand   Purpose = "by hand"      // a person wants to see another protocol at work
	HandBack Purpose = "back by hand" // it did not hold: what was there before goes back
)

// StepKept ends a trial by hand that has proven good.
const StepKept StepKind = "kept"

// LongestPause is the longest that a person may ask for, other than for good.
const LongestPause = 7 * day

// forever is an end that nobody lives to see: a pause until a person ends it.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Refusal is why something that a person asked for is not done: a sentence for them.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func refusal(text string, args ...any) error { return Refusal(fmt.Sprintf(text, args...)) }

// Forever says whether a pause has no end of its own.
func Forever(until time.Time) bool { return !until.Before(forever) }

// Try orders the trial of a protocol that a person asks for. With an incident open
// it is one of its trials; without one, what proves good becomes the user's own
// setting. An error is a Refusal.
func (r Rules) Try(s State, now time.Time, in Sight, p evidence.Protocol) (State, Decision, error) {
	s = s.clone()
	var d Decision
	if err := r.refuse(&s, now, in, p); err != nil {
		r.finish(&s, &d, now, in)
		return s, d, err
	}
	if s.Incident != nil {
		s.begin(&d, now, p, Trial, "Trying %s instead of %s, as asked on the page.", p, s.Set)
	} else {
		back := s.Set
		s.begin(&d, now, p, ByHand, "Trying %s instead of %s, as asked on the page.", p, back)
		s.Trial.Back = back
	}
	r.finish(&s, &d, now, in)
	return s, d, nil
}

// refuse says why a trial by hand is not done now.
func (r Rules) refuse(s *State, now time.Time, in Sight, p evidence.Protocol) error {
	allowed := slices.ContainsFunc(r.Allowed, func(a evidence.Protocol) bool { return a.Effective() == p.Effective() })
	switch {
	case s.Trial != nil:
		return refusal("A protocol is being changed or proven already. Wait until it is done.")
	case !allowed:
		return refusal("%s is not among the protocols that may be tried; see the option protocols.", p)
	case s.OwnKnown && p.Effective() == s.Set.Effective():
		return refusal("The tunnel is set to %s already.", p)
	}
	switch closed := r.gates(byWish, s, now, in); {
	case len(closed) > 0:
		return refusal("Not now: %s.", strings.Join(Words(closed), "; "))
	case in.Blind != "" || in.Cause.Blinds():
		return refusal("Not now: whether it works could not be seen (%s).", in.Cause)
	}
	return nil
}

// Pause asks for quiet until the given time; probes go on, nothing is changed.
func (r Rules) Pause(s State, now, until time.Time) (State, Decision) {
	s = s.clone()
	var d Decision
	s.PausedUntil, s.PausedFor = until, until.Sub(now)
	d.say(now, StepPaused, evidence.Default, "Paused until %s: probes go on, nothing is changed.", until.In(r.location()).Format("15:04"))
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// Resume ends a pause.
func (r Rules) Resume(s State, now time.Time) (State, Decision) {
	s = s.clone()
	var d Decision
	if now.Before(s.PausedUntil) {
		d.say(now, StepResumed, evidence.Default, "Resumed.")
	}
	s.PausedUntil = time.Time{}
	s.confirmed(&d, now)
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// SwitchOff asks for quiet until a person says otherwise.
func (r Rules) SwitchOff(s State, now time.Time) (State, Decision) {
	s = s.clone()
	var d Decision
	if !Forever(s.PausedUntil) {
		d.say(now, StepPaused, evidence.Default, "Healing is switched off: probes go on, nothing is changed until it is switched on again.")
	}
	s.PausedUntil = forever
	r.finish(&s, &d, now, Sight{})
	return s, d
}

// keep ends a trial by hand that went well: what a person asked for, and what has
// proven good, is their own setting.
func (s *State) keep(d *Decision, now time.Time) {
	t := s.Trial
	s.Own, s.Doubt, s.Trial, s.Failback, s.Detector = s.Set, NoDoubt, nil, nil, detect.Detector{}
	d.say(now, StepKept, t.Protocol, "%s works: %d of %d probes were good. It stays, and is your own setting from now on.", t.Protocol, t.Probes-t.Failures, t.Probes)
}

// undo orders the way back from a trial by hand.
func (s *State) undo(d *Decision, now time.Time, why Result) {
	t := s.Trial
	d.say(now, StepRefused, t.Protocol, "%s did not help (%s).", t.Protocol, why)
	s.begin(d, now, t.Back, HandBack, "Going back to %s, which was there before.", t.Back)
}

// notice compares the stored setting with what we last saw or wrote there. A
// difference is a person's doing, and the person wins.
func (r Rules) notice(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	if !s.OwnKnown {
		s.Own, s.Set, s.OwnKnown = setting, setting, true
		return
	}
	woke := s.Woke
	s.Woke = false
	switch {
	case setting != s.Set && woke && r.wentBack(s, d, now, setting):
	case setting != s.Set:
		r.byHand(s, d, now, setting)
	case s.Doubt == Recalled && s.Trial == nil:
		s.Doubt = NoDoubt // what stands there is explained
	}
}

// wentBack says whether what is found at a start is the way back from what was being proven
// before, which a disk that took nothing could not note. A person's choice of just this, in
// just the moment when nobody watched, cannot be told from it, and it is their own or what
// was there before: nothing of theirs is lost.
func (r Rules) wentBack(s *State, d *Decision, now time.Time, setting evidence.Protocol) bool {
	back := r.Abandon(*s, now).Trial
	if back == nil || !s.Trial.Settled || back.Protocol != setting || back.Protocol == s.Trial.Protocol {
		return false
	}
	s.Restarts = append(s.Restarts, now) // made or not, it counts
	s.Trial = back
	r.settled(s, d, now, Outcome{Setting: setting, Transport: s.Transport})
	return true
}

// byHand makes what a person has set the user's own setting.
func (r Rules) byHand(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	if s.unexplained(d, now, setting) {
		return
	}
	s.Own, s.Set, s.Doubt = setting, setting, NoDoubt
	s.Failback = nil
	text := "The protocol was changed by hand to %s; this is your own setting from now on."
	if s.Trial != nil || s.Incident != nil {
		text += " The treatment ends here."
	}
	s.yield(d, now, r.HoldBase, text, setting)
}
