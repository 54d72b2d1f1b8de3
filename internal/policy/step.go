package policy

import (
	"fmt"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// Step is one thing that happened, in words for the people of the house.
type Step struct {
	At       time.Time         `json:"at"`
	Kind     StepKind          `json:"step"`
	Protocol evidence.Protocol `json:"protocol"` // the protocol it is about
	Text     string            `json:"text"`
}

// StepKind names a step for the log's field and for automations.
type StepKind string

const (
	StepSuspected  StepKind = "suspected"
	StepCleared    StepKind = "cleared"
	StepAlarm      StepKind = "alarm"
	StepTrial      StepKind = "trial"
	StepSettled    StepKind = "settled"
	StepRefused    StepKind = "refused"
	StepCured      StepKind = "cured"
	StepAdopted    StepKind = "adopted" // not clean, but clearly better
	StepRestoring  StepKind = "restoring"
	StepRestored   StepKind = "restored"
	StepHold       StepKind = "hold"
	StepRecovered  StepKind = "recovered"
	StepLapsed     StepKind = "lapsed" // it could not be followed any more
	StepFailback   StepKind = "failback"
	StepFailedBack StepKind = "failed-back"
	StepReturning  StepKind = "returning"
	StepReturned   StepKind = "returned"
	StepPostponed  StepKind = "postponed"
	StepUser       StepKind = "changed-by-hand"
	StepPaused     StepKind = "paused"
	StepResumed    StepKind = "resumed"
)

// Afterwards says whether a step still belongs to an incident that has ended.
func (k StepKind) Afterwards() bool {
	//exhaustive:ignore
	switch k {
	case StepSuspected, StepCleared, StepPaused, StepResumed, StepReviving, StepRevived:
		return false
	}
	return true
}

// stepOf names the step with which a change begins.
var stepOf = map[Purpose]StepKind{Trial: StepTrial, Restore: StepRestoring, Failback: StepFailback, Return: StepReturning,
	ByHand: StepTrial, HandBack: StepReturning}

func (d *Decision) say(now time.Time, k StepKind, p evidence.Protocol, text string, args ...any) {
	d.Steps = append(d.Steps, Step{At: now, Kind: k, Protocol: p, Text: fmt.Sprintf(text, args...)})
}

// seen is a tally in words.
func seen(t detect.Tally) string {
	return count(t.Failures, "failure") + " in " + count(t.Probes, "probe")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func hours(d time.Duration) string {
	if d >= time.Hour && d%time.Hour == 0 {
		return count(int(d/time.Hour), "hour")
	}
	return d.Round(time.Second).String()
}

func orUnknown(t evidence.Transport) string {
	if t == evidence.NoTransport {
		return "transport not known"
	}
	return "over " + t.String()
}
