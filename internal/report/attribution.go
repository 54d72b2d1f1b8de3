package report

import (
	"fmt"
	"strings"
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
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why"`
	Open    string  `json:"open,omitempty"`
}

// Attribute weighs an incident. A cause counts only where its counterpart was seen
// too: that something helped, only where the same without it did not; that nothing
// of ours helped, only where the fault outlived it or was gone without it.
func Attribute(i journal.Incident) Attribution {
	back, _ := step(i, policy.StepReturning)
	passed, _ := step(i, policy.StepFailedBack)
	hand, _ := step(i, policy.StepUser)
	last := lastChange(i)
	switch {
	case back != nil && passed != nil && passed.At.After(back.At):
		return Attribution{Protocol,
			fmt.Sprintf("While the fault lasted, it was there under %s, gone under %s, and there again when %s was tried once more at %s. At %s %s worked again: by then the fault had passed.", i.Own, i.After, i.Own, utc(back.At), utc(passed.At), i.Own),
			"This speaks for the protocol as one condition of the fault, not as its origin."}
	case passed != nil:
		return Attribution{Upstream,
			fmt.Sprintf("Tried again, the setting under which the fault began (%s) worked, as was certain at %s: the fault had passed, and the change of protocol is not needed for it to stay away.%s", i.Own, utc(passed.At), thenAndNow(i)),
			"When it passed cannot be said: it may have been before the change of protocol, at it, or any time until that trial. That trial was a restart too."}
	case back != nil:
		return Attribution{Protocol,
			fmt.Sprintf("The fault was there under %s, was gone under %s, and was there again when %s was tried once more at %s.", i.Own, i.After, i.Own, utc(back.At)),
			"This speaks for the protocol as one condition of the fault, not as its origin: what lies behind it can be anything on that path."}
	case i.Ended.IsZero():
		return Attribution{Undetermined, "The incident is not over.", ""}
	case hand != nil && i.Outcome == policy.StepUser:
		return Attribution{Undetermined, "A person changed the setting in the middle of it, so what would have happened otherwise is not known.", ""}
	case i.Outcome == policy.StepRecovered && last == nil:
		return Attribution{Upstream, "It ended while nothing was changed here: Tunnel Medic made no change and no restart between its onset and its end.",
			"That it ended by itself does not say where: Cloudflare, the network between, or something in the house that is not watched."}
	case i.Outcome == policy.StepRecovered:
		if n, until := failedAfter(i, last.At.Add(last.Took)); n > 0 {
			return Attribution{Upstream,
				fmt.Sprintf("The fault outlived everything that was tried: %s still failed after the last change at %s, until %s; then it ended while nothing was changed here.", count(n, "probe"), utc(last.At), utc(until)),
				"That it ended by itself does not say where."}
		}
		return Attribution{Undetermined, "From the last restart on, no probe failed any more: that restart and an end by itself cannot be told apart.", ""}
	case i.Outcome == policy.StepCured && last != nil:
		return cured(i, *last)
	}
	return Attribution{Undetermined, "What was seen does not show what ended it.", ""}
}

// cured weighs an end that came with a change.
func cured(i journal.Incident, last journal.ChangeMade) Attribution {
	better := comparison(i, last)
	for _, c := range i.Account.Changes {
		if c.Restarts == 0 || !c.At.Before(last.At) || c.After == evidence.NoTransport || c.After == last.After {
			continue
		}
		if n, _ := failedBetween(i, c.At.Add(c.Took), last.At); n > 0 {
			return Attribution{Protocol,
				fmt.Sprintf("Right before, a restart over the other transport (%s, set to %s) had not helped: %s failed after it. Over %s, set to %s at %s, it worked. So a restart alone was not what it took.%s",
					c.After, c.To, count(n, "probe"), last.After, last.To, utc(last.At), better),
				"That it ended by itself in just that minute is improbable, not impossible; trying the old setting again would show it."}
		}
	}
	if last.Before != evidence.NoTransport && last.Before == last.After {
		return Attribution{Restart,
			fmt.Sprintf("It worked after a restart at %s over the same transport as before (%s): the protocol in use did not change, so it cannot be what made the difference.%s", utc(last.At), last.After, better),
			"The restart and an end by itself in the same moment cannot be told apart by one incident."}
	}
	return Attribution{Undetermined,
		fmt.Sprintf("It worked after the change from %s to %s at %s. That change was a restart and a change of protocol at once, and the fault may have ended by itself just then: one incident does not tell these three apart.%s", last.From, last.To, utc(last.At), better),
		"Trying the old setting again tells more. Tunnel Medic does so at a quiet hour if failback_hours is not 0; its outcome is then written here."}
}

// comparison holds the probes before and after a change against chance.
func comparison(i journal.Incident, c journal.ChangeMade) string {
	before, after := around(i, c)
	if before.Probes == 0 || after.Probes == 0 {
		return ""
	}
	return fmt.Sprintf(" Before, %d of %d probes failed; after, %d of %d. That chance alone makes such a difference has a probability of %s (Fisher's exact test, one-sided, as if probes were independent); this speaks of a difference, not of its cause.",
		before.Failures, before.Probes, after.Failures, after.Probes, probability(luck(after.Failures, after.Probes, before.Failures, before.Probes)))
}

// thenAndNow holds the probes under the own setting at the onset against those of
// its new trial.
func thenAndNow(i journal.Incident) string {
	list := i.Account.Tallies
	if len(list) < 2 {
		return ""
	}
	then, now := list[0], list[len(list)-1]
	if then.Setting != now.Setting || then.Failures == 0 {
		return ""
	}
	return fmt.Sprintf(" At the onset %d of %d probes failed under it, on the new trial %d of %d.", then.Failures, then.Probes, now.Failures, now.Probes)
}

// around gives how the probes went from the change before until this one, and from
// this one until the next.
func around(i journal.Incident, c journal.ChangeMade) (before, after journal.Tally) {
	for _, t := range i.Account.Tallies {
		switch {
		case t.From.Before(c.At):
			before = t
		case after.Probes == 0:
			after = t
		}
	}
	return before, after
}

// step gives the newest step of a kind, nil if there is none.
func step(i journal.Incident, k policy.StepKind) (*policy.Step, int) {
	for n := len(i.Steps) - 1; n >= 0; n-- {
		if i.Steps[n].Kind == k {
			return &i.Steps[n], n
		}
	}
	return nil, -1
}

// lastChange gives the last change with a restart before the incident's end.
func lastChange(i journal.Incident) *journal.ChangeMade {
	var last *journal.ChangeMade
	for n, c := range i.Account.Changes {
		if c.Restarts > 0 && (i.Ended.IsZero() || !c.At.After(i.Ended)) {
			last = &i.Account.Changes[n]
		}
	}
	return last
}

// failedAfter counts the failed probes from a moment on, and says when the last was.
func failedAfter(i journal.Incident, t time.Time) (n int, last time.Time) {
	return failedBetween(i, t, i.Ended.Add(time.Second))
}

func failedBetween(i journal.Incident, from, to time.Time) (n int, last time.Time) {
	for _, r := range i.Account.Runs {
		if r.OK || !r.Counts || r.To.Before(from) || r.From.After(to) {
			continue
		}
		n += r.N
		last = r.To
	}
	return n, last
}

// doubt is what no single incident settles: it was reported of faults of this kind
// (cloudflared's issue 1652 and what its reporter found later).
const doubt = "A fault of this kind has been seen to vanish under one protocol, to come back under the same one, and to go away by itself within hours; in one house it turned out to be the browsers' side (mutual TLS with HTTP/3). So a change of protocol is a hypothesis each time. What came after a change is told here as what came after it."

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// long writes a duration for people.
func long(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		h := int(d.Hours())
		if m := int(d.Minutes()) - 60*h; m > 0 {
			return fmt.Sprintf("%d h %d min", h, m)
		}
		return fmt.Sprintf("%d h", h)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Hours()/24), ".0") + " days"
}
