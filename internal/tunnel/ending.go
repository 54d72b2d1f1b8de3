package tunnel

import "time"

// Ending is how the last run of the Cloudflared app ended, by its log.
type Ending uint8

const (
	EndNotKnown   Ending = iota // the log does not say
	NeverBegan                  // none began since: what it shows is how the one before was ended
	HardlyBegan                 // cloudflared was not there yet, and nothing had gone wrong
	EndedBySignal               // it was told to: by a person, or by Supervisor for one
	EndedByError                // it ended on its own
)

// EndingOf reads how the last run of an app that is stopped ended, if that run began since a
// moment: one from before may have been ended by a restart of ours. That signals before
// late; what was signalled later was so by another hand.
func EndingOf(text string, since, late time.Time) Ending {
	end, begun, unsure, starting := EndNotKnown, since.IsZero(), false, false
	r := read(text)
	for _, e := range r.events {
		starting = e.Kind == Began && e.At.IsZero() // the start script is
		//exhaustive:ignore
		switch e.Kind {
		case Began:
			// The log's times are whole seconds, and the start script's lines have none.
			if end = EndNotKnown; !e.At.IsZero() {
				begun = !e.At.Before(since)
				unsure = !begun && e.At.Add(time.Second).After(since)
			}
		case Stopped:
			end = EndedBySignal
			if e.At.After(late) {
				begun, unsure = true, false
			}
		case StartFailed, Failed:
			if end != EndedBySignal && r.wouldTell(e.Kind) {
				end = EndedByError
			}
		case Registered:
			end = EndNotKnown
		}
	}
	switch {
	case end == EndNotKnown && starting:
		return HardlyBegan
	case end == EndedBySignal && unsure:
		return EndNotKnown
	case end == EndedBySignal && !begun:
		return NeverBegan
	}
	return end
}

// wouldTell says whether a failure stands for the end of the run, without our doing. Where the lines of
// level info are missing, so may be the one that tells of a signal.
func (r *reading) wouldTell(kind EventKind) bool {
	return kind == StartFailed || r.informs || !r.writes
}
