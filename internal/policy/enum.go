package policy

import "tunnelmedic/internal/enum"

// The small enums below are kept and shown by name: what a person reads about them stands in
// the room of the words.

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

func (p Phase) String() string { return enum.Name(phaseNames, p) }

// MarshalText writes the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads it.
func (p *Phase) UnmarshalText(b []byte) error { return enum.Parse(phaseNames, "state", b, p) }

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

func (p Purpose) String() string { return enum.Name(purposeNames, p) }

// MarshalText writes the purpose's name.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads it.
func (p *Purpose) UnmarshalText(b []byte) error { return enum.Parse(purposeNames, "purpose", b, p) }

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

var resultNames = []string{"", "settled", "unsettled", "crashed", "other-transport", "rejected", "changed-by-hand", "stopped-by-hand",
	"busy", "secret", "no-answer", "not-restarted", "cannot-start", "budget", "disk", "still-fails", "no-verdict", "too-few", "better", "left"}

// results is what each says of the protocol: whether the tunnel runs on as before, whether it
// may be the protocol's fault that it never came to a verdict (cloudflared cannot run or
// connect with it) or chance, and whether the protocol has not had its chance at all.
var results = [...]struct{ untouched, unable, unproven bool }{
	Unsettled:      {unable: true},
	Crashed:        {unable: true, unproven: true},
	OtherTransport: {unable: true, unproven: true},
	Rejected:       {unable: true, unproven: true},
	UserStopped:    {unproven: true},
	Busy:           {untouched: true, unproven: true},
	AtRisk:         {untouched: true, unproven: true},
	NotAvailable:   {untouched: true, unproven: true},
	NotRestarted:   {untouched: true, unproven: true},
	CannotStart:    {untouched: true, unproven: true},
	OverBudget:     {untouched: true, unproven: true},
	Unkept:         {untouched: true, unproven: true},
	NoVerdicts:     {unproven: true},
	TooFew:         {unproven: true},
	Left:           {},
}

func (r Result) String() string { return enum.Name(resultNames, r) }

// MarshalText writes the result's name.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads it.
func (r *Result) UnmarshalText(b []byte) error { return enum.Parse(resultNames, "result", b, r) }

// Untouched says whether the tunnel runs on as before.
func (r Result) Untouched() bool { return results[r].untouched }

// fair says whether a trial that ended so has shown something of the protocol. One that
// could not be made has not.
func (r Result) fair() bool { return !results[r].unproven }
