package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
)

// Step is one thing that happened. It holds what is known of it, and no sentence: how a
// step is told, its kind, purpose and Why decide together.
type Step struct {
	At       time.Time         `json:"at"`
	Kind     StepKind          `json:"step"`
	Protocol evidence.Protocol `json:"protocol"` // the protocol it is about

	Why       Why                `json:"why,omitempty"`     // which of several things it is
	Purpose   Purpose            `json:"purpose,omitempty"` // of the change that it belongs to
	Result    Result             `json:"result,omitempty"`
	Other     evidence.Protocol  `json:"other,omitempty"` // what was set before; of a failed return to the user's own, that
	Transport evidence.Transport `json:"transport,omitempty"`
	Cause     diagnosis.Cause    `json:"cause,omitzero"`
	Seen      detect.Tally       `json:"seen,omitzero"`
	Before    detect.Tally       `json:"before,omitzero"` // under what was there before
	Until     time.Time          `json:"until,omitzero"`
	Span      time.Duration      `json:"span,omitempty"`
	Rarity    detect.Rarity      `json:"rarity,omitzero"` // of what made it try

	Ends    bool   `json:"ends,omitempty"`    // with that, a treatment that was under way
	App     string `json:"app,omitempty"`     // that was left
	Instead string `json:"instead,omitempty"` // the one that is watched from now on, "" if none is

	// Text says it in words. Nothing but the room of the words writes it, on the way out;
	// what has it keeps it.
	Text string `json:"text,omitempty"`
}

// StepKind names a step for the log's field and for automations.
type StepKind uint8

// The kinds of steps.
const (
	NoStep StepKind = iota
	StepSuspected
	StepCleared
	StepAlarm
	StepTrial
	StepSettled
	StepRefused
	StepCured
	StepAdopted // not clean, but clearly better
	StepRestoring
	StepRestored
	StepHold
	StepRecovered
	StepLapsed // it could not be followed any more
	StepFailback
	StepFailedBack
	StepReturning
	StepReturned
	StepPostponed
	StepUser
	StepPaused
	StepResumed
	StepKept // a trial by hand that has proven good
	StepReviving
	StepRevived
	StepUnsure // what was known of the user's own setting is lost
	StepAsked  // a person is asked whether an act may be done
	StepAnswered
	StepExpired   // nobody answered in time; or what was agreed to could not be done in time
	StepWithdrawn // the question has no reason any more
)

var stepNames = []string{"", "suspected", "cleared", "alarm", "trial", "settled", "refused", "cured", "adopted", "restoring", "restored", "hold",
	"recovered", "lapsed", "failback", "failed-back", "returning", "returned", "postponed", "changed-by-hand", "paused", "resumed", "kept",
	"reviving", "revived", "unsure", "asked", "answered", "expired", "withdrawn"}

func (k StepKind) String() string { return enum.Name(stepNames, k) }

// MarshalText writes the kind's name.
func (k StepKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads it.
func (k *StepKind) UnmarshalText(b []byte) error { return enum.Parse(stepNames, "step", b, k) }

// Afterwards says whether a step still belongs to an incident that has ended.
func (k StepKind) Afterwards() bool {
	//exhaustive:ignore
	switch k {
	case StepSuspected, StepCleared, StepPaused, StepResumed, StepReviving, StepRevived:
		return false
	}
	return true
}

// Why tells steps of one kind apart.
type Why uint8

// The reasons.
const (
	NoReason      Why = iota
	WhyUnseen         // cleared: it cannot be seen any more
	WhyNoise          // recovered: too few had failed to call it a fault
	WhySameAgain      // trial: the same protocol once more, before the gamble on another
	WhyAsked          // trial: a person asked for it
	WhyWorse          // restoring, restored: the user's own is worse than an earlier cure, which goes back
	WhyNotTried       // refused: it could not be tried; hold: not everything could
	WhyUnclean        // hold: what stays is better, but not clean
	WhyElsewhere      // hold: no protocol helped
	WhyAppStopped     // changed by hand: the app was stopped
	WhyAppGone        // changed by hand: the app that was watched is not there any more
	WhyAppLeft        // changed by hand: another app is watched from now on
	WhyWayBack        // postponed: the protocol could not be changed back yet, which is tried again
	WhyConfirmed      // resumed: what is set is the user's own
	WhyForGood        // paused: until a person ends it
	WhyNotRunning     // reviving: an app that does not run since a restart of ours
	WhyFailed         // reviving: an app that ended with an error
	WhyHangs          // reviving: a tunnel that does not come back on its own
	WhyMends          // reviving: a restart can mend what is wrong
	WhyYes            // answered: yes
	WhyNo             // answered: no
	WhyUndone         // expired: it was agreed to, and could not be done in time
)

var whyNames = []string{"", "unseen", "noise", "same-again", "asked", "worse", "not-tried", "unclean", "elsewhere", "app-stopped", "app-gone", "app-left", "way-back",
	"confirmed", "for-good", "not-running", "failed", "hangs", "mends", "yes", "no", "undone"}

func (w Why) String() string { return enum.Name(whyNames, w) }

// MarshalText writes the reason's name.
func (w Why) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads it.
func (w *Why) UnmarshalText(b []byte) error { return enum.Parse(whyNames, "reason", b, w) }
