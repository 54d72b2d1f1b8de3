package report

import (
	"fmt"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// Verdict is what the evidence of one incident supports as to what ended it.
type Verdict string

const (
	Protocol     Verdict = "protocol"     // the tunnel's protocol mattered
	Restart      Verdict = "restart"      // a restart over the same transport came before the end
	Upstream     Verdict = "upstream"     // it ended without us, or was gone under the old setting too
	Undetermined Verdict = "undetermined" // what was seen does not tell these apart
)

// Attribution is a verdict with the sentence why, and what it leaves open.
type Attribution struct {
	Verdict Verdict
	Why     string
	Open    string
}

// Attribute weighs an incident. A cause counts only where its counterpart was seen
// too: that something helped, only where the same without it did not; that nothing
// of ours helped, only where the fault outlived it or was gone without it.
func Attribute(i journal.Incident) Attribution {
	back, passed, last := step(i, policy.StepReturning), step(i, policy.StepFailedBack), lastChange(i)
	switch {
	case back != nil && passed != nil && passed.At.After(back.At):
		return Attribution{Protocol,
			fmt.Sprintf("While the fault lasted, it was there under %s, gone under %s, and there again when %s was tried once more at %s. At %s %s worked again: by then the fault had passed.", i.Own, i.After, i.Own, utc(back.At), utc(passed.At), i.Own),
			"This speaks for the protocol as one condition of the fault, not as its origin."}
	case passed != nil:
		return Attribution{Upstream,
			fmt.Sprintf("The setting under which it began (%s) worked when it was tried again, as was certain at %s: the fault had passed, and the change of protocol is not needed for it to stay away.", i.Own, utc(passed.At)),
			"When it passed is not known: before the change of protocol, at it, or any time until that trial, which was a restart too."}
	case back != nil:
		return Attribution{Protocol,
			fmt.Sprintf("The fault was there under %s, was gone under %s, and was there again when %s was tried once more at %s.", i.Own, i.After, i.Own, utc(back.At)),
			"This speaks for the protocol as one condition of the fault, not as its origin: what lies behind it can be anything on that path."}
	case i.Ended.IsZero():
		return Attribution{Undetermined, "The incident is not over.", ""}
	case i.Outcome == policy.StepUser:
		return Attribution{Undetermined, "A person changed the setting in the middle of it, so what would have happened otherwise is not known.", ""}
	case i.Outcome == policy.StepRecovered:
		return recovered(i, last)
	case i.Outcome == policy.StepCured && last != nil:
		return cured(i, *last)
	}
	return Attribution{Undetermined, "What was seen does not show what ended it.", ""}
}

// recovered weighs an end that no change brought.
func recovered(i journal.Incident, last *journal.ChangeMade) Attribution {
	const where = "That it went away on its own does not say where it was: at Cloudflare, in the network between, or in something in the house that is not watched."
	if last == nil {
		return Attribution{Upstream, "It ended while nothing was changed here: Tunnel Medic made no change and no restart between its onset and its end.", where}
	}
	if n, until := failed(i, last.At.Add(last.Took), i.Ended.Add(time.Second)); n > 0 {
		return Attribution{Upstream, fmt.Sprintf("The fault outlived everything that was tried: %s still failed after the last change at %s, until %s; then it ended while nothing was changed here.",
			checkCount(n), utc(last.At), utc(until)), where}
	}
	return Attribution{Undetermined, "From the last restart on, no check failed any more: that restart and an end by itself cannot be told apart.", ""}
}

// cured weighs an end that came with a change.
func cured(i journal.Incident, last journal.ChangeMade) Attribution {
	compared := beforeAndAfter(i, last)
	for _, c := range i.Account.Changes {
		if c.Restarts == 0 || !c.At.Before(last.At) || c.After == evidence.NoTransport || c.After == last.After {
			continue
		}
		if n, _ := failed(i, c.At.Add(c.Took), last.At); n > 0 {
			return Attribution{Protocol,
				fmt.Sprintf("Right before, a restart over the other transport (%s, set to %s) had not helped: %s failed after it. Over %s, set to %s at %s, it worked. So a restart alone was not what it took.%s",
					c.After, c.To, checkCount(n), last.After, last.To, utc(last.At), compared),
				"That it ended by itself in just that minute is improbable, not impossible; trying the old setting again would show it."}
		}
	}
	if last.Before != evidence.NoTransport && last.Before == last.After {
		return Attribution{Restart,
			fmt.Sprintf("It worked after a restart at %s over the same transport as before (%s): the protocol in use did not change, so it cannot be what made the difference.%s", utc(last.At), last.After, compared),
			"The restart and an end by itself in the same moment cannot be told apart by one incident."}
	}
	return Attribution{Undetermined,
		fmt.Sprintf("It worked after the change from %s to %s at %s. That change was a restart and a change of protocol at once, and the fault may have ended by itself just then: one incident does not tell these three apart.%s", last.From, last.To, utc(last.At), compared),
		"Trying the old setting again tells more. Tunnel Medic does so at a quiet hour if failback_hours is not 0; its outcome is then written here."}
}

// beforeAndAfter tells how the checks went from the change before until this one, and
// from this one until the next.
func beforeAndAfter(i journal.Incident, c journal.ChangeMade) string {
	var before, after journal.Tally
	for _, t := range i.Account.Tallies {
		switch {
		case t.From.Before(c.At):
			before = t
		case after.Probes == 0:
			after = t
		}
	}
	if before.Probes == 0 || after.Probes == 0 {
		return ""
	}
	return fmt.Sprintf(" Before, %d of %d checks failed; after, %d of %d.", before.Failures, before.Probes, after.Failures, after.Probes)
}

// step gives the newest step of a kind, nil if there is none.
func step(i journal.Incident, k policy.StepKind) *policy.Step {
	for n := len(i.Steps) - 1; n >= 0; n-- {
		if i.Steps[n].Kind == k {
			return &i.Steps[n]
		}
	}
	return nil
}

// lastChange gives the last change with a restart before the incident's end.
func lastChange(i journal.Incident) (last *journal.ChangeMade) {
	for n, c := range i.Account.Changes {
		if c.Restarts > 0 && (i.Ended.IsZero() || !c.At.After(i.Ended)) {
			last = &i.Account.Changes[n]
		}
	}
	return last
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
