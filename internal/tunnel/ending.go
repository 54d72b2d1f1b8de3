package tunnel

import (
	"strings"
	"time"
)

// Ending is how the last run of the Cloudflared app ended, by its log.
type Ending uint8

const (
	EndNotKnown   Ending = iota // the log does not say, or no run began since
	EndedBySignal               // it was told to: by a person, or by Supervisor for one
	EndedByError                // it ended by itself
)

// EndingOf reads how the last run ended that began since a moment. cloudflared announces
// what ended it ("Initiating graceful shutdown due to signal terminated", "Initiating
// shutdown error=…"); the app's start script says FATAL before it gives up.
func EndingOf(text string, since time.Time) Ending {
	end, begun := EndNotKnown, since.IsZero()
	for line := range strings.Lines(text) {
		at, dated := lineTime(strings.TrimSpace(line))
		// The log's times are whole seconds.
		if dated && !at.Add(time.Second).Before(since) {
			begun = true
		}
		switch has := func(s string) bool { return strings.Contains(line, s) }; {
		case has("Initial protocol "), has("Starting tunnel"), has("Starting metrics server"), has("Validating app (add-on) configuration"), has("Validating add-on configuration"):
			end = EndNotKnown
			if dated && at.Add(time.Second).Before(since) {
				begun = false
			}
		case has("due to signal"):
			end = EndedBySignal
		case has(" FATAL: "), has("Initiating shutdown error="), has("Couldn't start tunnel"), has("Tunnel server stopped") && end != EndedBySignal:
			end = EndedByError
		}
	}
	if !begun && end == EndedBySignal { // the one that our own restart was to end
		return EndNotKnown
	}
	return end
}
