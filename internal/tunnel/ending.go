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
	r, last := read(text), lastRun{begun: since.IsZero()}
	for _, e := range r.events {
		last.take(e, since, late, r.wouldTell(e.Kind))
	}
	switch {
	case last.end == EndNotKnown && last.starting:
		return HardlyBegan
	case last.end == EndedBySignal && last.unsure:
		return EndNotKnown
	case last.end == EndedBySignal && !last.begun:
		return NeverBegan
	}
	return last.end
}

// lastRun is the last run as far as the log was read.
type lastRun struct {
	end           Ending
	starting      bool // the start script is
	begun, unsure bool // since the moment that is asked about; not for certain, as the log's times are whole seconds
}

func (l *lastRun) take(e Event, since, late time.Time, tells bool) {
	l.starting = e.Kind == Began && e.At.IsZero() // the start script's lines have no time
	//exhaustive:ignore
	switch e.Kind {
	case Began:
		if l.end = EndNotKnown; !e.At.IsZero() {
			l.begun = !e.At.Before(since)
			l.unsure = !l.begun && e.At.Add(time.Second).After(since)
		}
	case Stopped:
		l.end = EndedBySignal
		if e.At.After(late) {
			l.begun, l.unsure = true, false
		}
	case StartFailed, Failed:
		if l.end != EndedBySignal && tells {
			l.end = EndedByError
		}
	case Registered:
		l.end = EndNotKnown
	}
}

// wouldTell says whether a failure stands for the end of the run, without our doing. Where the lines of
// level info are missing, so may be the one that tells of a signal.
func (r *reading) wouldTell(kind EventKind) bool {
	return kind == StartFailed || r.informs || !r.writes
}
