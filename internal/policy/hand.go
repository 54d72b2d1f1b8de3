package policy

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
)

// LongestPause is the longest that a person may ask for, other than for good.
const LongestPause = 7 * day

// ForGood is an end that nobody lives to see: a pause until a person ends it.
var ForGood = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Refusal is why something that a person asked for is not done.
type Refusal struct {
	Because  Refused
	Protocol evidence.Protocol
	Gates    []Gate          // that are closed
	Cause    diagnosis.Cause // why nothing can be seen
}

func (r Refusal) Error() string { return "refused: " + r.Because.String() }

// Refused is the reason of a refusal.
type Refused uint8

// The reasons of a refusal.
const (
	UnderWay     Refused = iota // a protocol is being changed or proven
	NotAllowed                  // the protocol is not among those that may be tried
	SetAlready                  // the tunnel is set to it
	GatesShut                   // gates are closed
	NotSeen                     // whether it works could not be seen
	TooMany                     // too many wishes wait
	NobodyLeft                  // whoever asked has gone
	NotAsked                    // the question that was answered does not stand any more
	Answered                    // it was answered so already
	OwnGrace                    // a person has set another grace period
	HoldsSecrets                // the app's options hold !secret, which a write could burn in
	NotValid                    // Supervisor does not take it
	NotReached                  // Supervisor could not be asked
)

var refusedNames = []string{"under-way", "not-allowed", "set-already", "gates", "not-seen", "too-many", "nobody", "not-asked", "answered", "own-grace", "secrets", "not-valid", "not-reached"}

func (r Refused) String() string { return enum.Name(refusedNames, r) }

// Forever says whether a pause has no end of its own.
func Forever(until time.Time) bool { return !until.Before(ForGood) }

// Try orders the trial of a protocol that a person asks for. It is carried out and proven
// like any other, within the same budget, and put back if it does not hold; only the gates
// that guard against acting without need are left out, because a person stands behind it.
// With an incident open it is one of its trials; without one, what proves good becomes the
// user's own setting. An error is a Refusal.
func (r Rules) Try(s State, now time.Time, in Sight, p evidence.Protocol) (State, Decision, error) {
	t := r.on(&s, now, &in)
	if why := t.refuse(p); why != nil {
		return s, t.decided(), *why
	}
	back, purpose := s.Set, ByHand
	if s.Incident != nil {
		purpose = Trial
	}
	if t.begin(p, purpose, Step{Why: WhyAsked, Other: back}); purpose == ByHand {
		s.Trial.Back = back
	}
	return s, t.decided(), nil
}

// refuse says why a trial by hand is not done now, nil if it is.
func (t *turn) refuse(p evidence.Protocol) *Refusal {
	closed := t.gates(byWish)
	switch {
	case t.s.Trial != nil:
		return &Refusal{Because: UnderWay}
	case !t.r.allows(p):
		return &Refusal{Because: NotAllowed, Protocol: p}
	case t.s.OwnKnown && p.Effective() == t.s.Set.Effective():
		return &Refusal{Because: SetAlready, Protocol: p}
	case len(closed) > 0:
		return &Refusal{Because: GatesShut, Gates: closed}
	case t.in.Blind || t.in.Cause.Blinds():
		return &Refusal{Because: NotSeen, Cause: t.in.Cause}
	}
	return nil
}

// Pause asks for quiet until the given time, or for good (ForGood); probes go on, nothing is
// changed.
func (r Rules) Pause(s State, now, until time.Time) (State, Decision) {
	t := r.on(&s, now, &Sight{})
	switch {
	case !Forever(until):
		s.PausedFor = until.Sub(now)
		t.tell(Step{Kind: StepPaused, Until: r.local(until)})
	case !Forever(s.PausedUntil):
		t.tell(Step{Kind: StepPaused, Why: WhyForGood})
	}
	s.PausedUntil = until
	s.drop(&t, StepWithdrawn, NoReason)
	return s, t.decided()
}

// Resume ends a pause, and confirms a setting that is in doubt.
func (r Rules) Resume(s State, now time.Time) (State, Decision) {
	t := r.on(&s, now, &Sight{})
	if now.Before(s.PausedUntil) {
		t.tell(Step{Kind: StepResumed})
	}
	s.confirmed(&t)
	s.PausedUntil = time.Time{}
	return s, t.decided()
}
