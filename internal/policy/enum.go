package policy

import (
	"fmt"
	"slices"
)

// The small enums below are kept and shown by name: what a person reads about them stands in
// the room of the words.

func nameOf[E ~uint8](names []string, e E) string {
	if int(e) >= len(names) {
		return fmt.Sprintf("unknown(%d)", e)
	}
	return names[e]
}

func parse[E ~uint8](names []string, what string, raw []byte, e *E) error {
	n := slices.Index(names, string(raw))
	if n < 0 {
		return fmt.Errorf("%s %.40q is none that this program knows", what, raw)
	}
	*e = E(n)
	return nil
}

// Phase is the state of the program as people see it.
type Phase uint8

// The phases. The zero value is a time in which nobody watched.
const (
	Unwatched Phase = iota
	Starting
	Healthy
	Suspect   // something is wrong, or may be; it is looked at closely
	Treating  // a protocol is being changed or on trial
	Holding   // what could be tried was tried; waiting for recovery
	Blind     // the WebSocket cannot be watched
	Observing // a fault that could be treated, in mode observe
	Paused    // a person asked for quiet
)

var phaseNames = []string{"", "starting", "healthy", "suspect", "treating", "holding", "blind", "observing", "paused"}

func (p Phase) String() string { return nameOf(phaseNames, p) }

// MarshalText writes the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads it.
func (p *Phase) UnmarshalText(b []byte) error { return parse(phaseNames, "state", b, p) }

// Purpose is why a protocol is set.
type Purpose uint8

// The purposes.
const (
	NoPurpose Purpose = iota
	Trial             // may cure it
	Restore           // the user's own goes back
	Failback          // after a cure: is the user's own well again?
	Return            // it was not
	ByHand            // a person wants to see another protocol at work
	HandBack          // it did not hold: what was there before goes back
	Revive            // the same protocol again, of a tunnel that does not come back on its own
)

var purposeNames = []string{"", "trial", "restore", "failback", "return", "by hand", "back by hand", "revive"}

// beginning is the step with which a change of this purpose begins.
var beginning = [...]StepKind{Trial: StepTrial, Restore: StepRestoring, Failback: StepFailback, Return: StepReturning,
	ByHand: StepTrial, HandBack: StepReturning, Revive: StepReviving}

func (p Purpose) String() string { return nameOf(purposeNames, p) }

// MarshalText writes the purpose's name.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads it.
func (p *Purpose) UnmarshalText(b []byte) error { return parse(purposeNames, "purpose", b, p) }

// Result is how an ordered change ended, or a trial.
type Result uint8

// The results.
const (
	NoResult       Result = iota
	Settled               // restarted, running, connected over the transport that was asked for
	Unsettled             // running, but no connection within the settle time
	Crashed               // the app does not stay up with it
	OtherTransport        // connected, but not over the transport that was asked for
	Rejected              // Supervisor would not take the setting; nothing was restarted
	UserChanged           // a person set another protocol meanwhile
	UserStopped           // a person stopped the app meanwhile

	// With these the tunnel runs on as before.
	Busy         // Supervisor had another job on the app
	AtRisk       // a !secret in the options
	NotAvailable // Supervisor did not answer
	NotRestarted // Supervisor did not restart the app
	CannotStart  // Cloudflare's API does not answer, and Cloudflared cannot start without it
	OverBudget   // the restarts of the day are used up
	Unkept       // it could not be noted first

	// These end a trial by what was seen in it.
	StillFails    // the fault is there too
	NoVerdicts    // nothing could be seen for too long
	TooFew        // too few verdicts in all that time
	ClearlyBetter // not clean, but kept
	Left          // it was in force before a better one was kept
)

// results is what each is called, and was by an earlier version, and what it says of the
// protocol: whether the tunnel runs on as before, whether it may be the protocol's fault
// that it never came to a verdict (cloudflared cannot run or connect with it) or chance,
// and whether the protocol has had its chance at all.
var results = [...]struct {
	name, former                string
	untouched, unable, unproven bool
}{
	NoResult:       {},
	Settled:        {name: "settled"},
	Unsettled:      {name: "unsettled", former: "not connected", unable: true},
	Crashed:        {name: "crashed", former: "not running", unable: true, unproven: true},
	OtherTransport: {name: "other-transport", former: "connected, but not over the transport that was asked for", unable: true, unproven: true},
	Rejected:       {name: "rejected", unable: true, unproven: true},
	UserChanged:    {name: "changed-by-hand", former: "changed by hand"},
	UserStopped:    {name: "stopped-by-hand", former: "stopped by hand", unproven: true},
	Busy:           {name: "busy", former: "Supervisor was busy with the app", untouched: true, unproven: true},
	AtRisk:         {name: "secret", former: "secret at risk", untouched: true, unproven: true},
	NotAvailable:   {name: "no-answer", former: "Supervisor did not answer", untouched: true, unproven: true},
	NotRestarted:   {name: "not-restarted", former: "Supervisor did not restart the app", untouched: true, unproven: true},
	CannotStart:    {name: "cannot-start", former: "Cloudflare's API does not answer, and Cloudflared cannot start without it", untouched: true, unproven: true},
	OverBudget:     {name: "budget", former: "the restarts of the day are used up", untouched: true, unproven: true},
	Unkept:         {name: "disk", former: "nothing can be kept on the disk", untouched: true, unproven: true},
	StillFails:     {name: "still-fails", former: "the fault is there too"},
	NoVerdicts:     {name: "no-verdict", former: "no verdict possible", unproven: true},
	TooFew:         {name: "too-few", former: "too few verdicts", unproven: true},
	ClearlyBetter:  {name: "better", former: "clearly better"},
	Left:           {name: "left"},
}

func (r Result) String() string {
	if int(r) >= len(results) {
		return fmt.Sprintf("unknown(%d)", r)
	}
	return results[r].name
}

// MarshalText writes the result's name.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads it.
func (r *Result) UnmarshalText(b []byte) error {
	for n, known := range results {
		if string(b) == known.name || known.former != "" && string(b) == known.former {
			*r = Result(n)
			return nil
		}
	}
	return fmt.Errorf("result %.40q is none that this program knows", b)
}

// Untouched says whether the tunnel runs on as before.
func (r Result) Untouched() bool { return results[r].untouched }

// fair says whether a trial that ended so has shown something of the protocol. One that
// could not be made has not.
func (r Result) fair() bool { return !results[r].unproven }
