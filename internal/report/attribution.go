package report

import (
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// Verdict is what the evidence of one incident supports as to what ended it.
type Verdict string

const (
	Protocol     Verdict = "protocol"     // the tunnel's protocol mattered
	Restart      Verdict = "restart"      // a restart over the same transport came before the end
	Upstream     Verdict = "upstream"     // it ended without us, or was gone under the old setting too
	Undetermined Verdict = "undetermined" // what was seen does not tell these apart
)

// Attribution is a verdict, and why, with what that leaves open.
type Attribution struct {
	Verdict Verdict
	Why     string
}

// Attribute weighs an incident. A cause counts only where its counterpart was seen
// too: that something helped, only where the same without it did not; that nothing
// of ours helped, only where the fault outlived it or was gone without it.
func Attribute(i journal.Incident) Attribution {
	back, passed, last := step(i, policy.StepReturning), step(i, policy.StepFailedBack), lastChange(i)
	switch {
	case back != nil && passed != nil && passed.At.After(back.At):
		return Attribution{Protocol, say("report.why.back-then-passed", words.With{"own": i.Own, "other": i.After, "back": utc(back.At), "passed": utc(passed.At)})}
	case passed != nil:
		return Attribution{Upstream, say("report.why.passed", words.With{"own": i.Own, "passed": utc(passed.At)})}
	case back != nil:
		return Attribution{Protocol, say("report.why.back", words.With{"own": i.Own, "other": i.After, "back": utc(back.At)})}
	case i.Ended.IsZero():
		return Attribution{Undetermined, say("report.why.not-over")}
	case i.Outcome == policy.StepUser:
		return Attribution{Undetermined, say("report.why.by-hand")}
	case i.Outcome == policy.StepRecovered && last == nil:
		return Attribution{Upstream, say("report.why.untouched")}
	case i.Outcome == policy.StepRecovered:
		if n, until := failed(i, last.At.Add(last.Took), i.Ended.Add(time.Second)); n > 0 {
			return Attribution{Upstream, say("report.why.outlived", words.With{"checks": checks(n), "at": utc(last.At), "until": utc(until)})}
		}
		return Attribution{Undetermined, say("report.why.restart-or-not")}
	case i.Outcome == policy.StepCured && last != nil:
		return cured(i, *last)
	}
	return Attribution{Undetermined, say("report.why.unknown")}
}

// cured weighs an end that came with a change.
func cured(i journal.Incident, last journal.ChangeMade) Attribution {
	for _, c := range i.Account.Changes {
		if c.Restarts == 0 || !c.At.Before(last.At) || c.After == evidence.NoTransport || c.After == last.After {
			continue
		}
		if n, _ := failed(i, c.At.Add(c.Took), last.At); n > 0 {
			return Attribution{Protocol,
				say("report.why.other-transport", words.With{"over": c.After, "setting": c.To, "checks": checks(n), "transport": last.After, "protocol": last.To, "at": utc(last.At)})}
		}
	}
	if last.Before != evidence.NoTransport && last.Before == last.After {
		return Attribution{Restart, say("report.why.same-transport", words.With{"at": utc(last.At), "transport": last.After})}
	}
	return Attribution{Undetermined, say("report.why.change", words.With{"own": last.From, "protocol": last.To, "at": utc(last.At)})}
}

// step gives the newest step of a kind, nil if there is none.
func step(i journal.Incident, k policy.StepKind) *policy.Step {
	for _, s := range slices.Backward(i.Steps) {
		if s.Kind == k {
			return &s
		}
	}
	return nil
}

// lastChange gives the last change with a restart before the incident's end.
func lastChange(i journal.Incident) *journal.ChangeMade {
	for _, c := range slices.Backward(i.Account.Changes) {
		if c.Restarts > 0 && (i.Ended.IsZero() || !c.At.After(i.Ended)) {
			return &c
		}
	}
	return nil
}

// failed counts the checks that failed between two moments, and says when the last was.
func failed(i journal.Incident, from, to time.Time) (n int, last time.Time) {
	for _, r := range i.Account.Runs {
		if !r.OK && r.Counts && !r.To.Before(from) && !r.From.After(to) {
			n, last = n+r.N, r.To
		}
	}
	return n, last
}
