package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
)

// gathering is for how many bursts after the alarm proof is gathered closely: a quarter of
// an hour, because a loss of one in twenty takes that long to tell from noise. What has shown by then neither that it is a fault nor that it is none can
// wait, and Home Assistant logs every probe that does not sign in.
const gathering = 450

// next spaces the probes: often where the answer decides something, seldom where
// it only waits, and never so often that it prolongs the trouble. Closest after a
// failure: then a few answers decide, and the household is waiting.
func (r Rules) next(s *State, now time.Time) time.Duration {
	switch {
	case s.Trial != nil:
		return r.proof(s.Trial, now)
	case s.Trouble == diagnosis.RateLimited:
		// Seldomer the longer it lasts: what it hides may have to be mended.
		return min(max(now.Sub(s.TroubleSince), r.Interval), 5*r.Interval)
	case s.Incident != nil:
		return r.following(s, now)
	case s.StoppedByUs:
		return min(soon(r)/2, r.Interval) // it is started as soon as it can be
	case s.Detector.Suspects() && s.Last != detect.NoVerdict:
		if s.Last == detect.Good {
			return r.Doubting(s.Detector.Probes)
		}
		return r.burst(s.Last)
	case s.Trouble.ChecksSucceed() || s.Trouble.Blinds() || s.TroubleSince.IsZero():
		return r.Interval
	}
	return r.patient(now.Sub(s.TroubleSince))
}

// quick is how many looks of a suspicion follow closely on each other, good ones too: they
// are no more than they were, only sooner known, and a small loss shows itself in them.
const quick = 12

// Doubting is the time to the next look after a good one, of so many of a suspicion.
func (r Rules) Doubting(looks int) time.Duration {
	if looks < quick {
		return r.Burst / 4
	}
	return r.Burst
}

// Doubted is the time that n good looks take which follow on one another and on a good one,
// of so many of a suspicion.
func (r Rules) Doubted(looks, n int) time.Duration {
	soon := min(max(quick-looks, 0), n)
	return time.Duration(soon)*r.Doubting(0) + time.Duration(n-soon)*r.Doubting(quick)
}

// burst is the least time after a look that decides something.
func (r Rules) burst(last detect.Look) time.Duration {
	if last == detect.Explicit {
		return r.Burst / 8
	}
	return r.Burst / 4
}

// proof spaces the probes of a trial.
func (r Rules) proof(t *OnTrial, now time.Time) time.Duration {
	switch {
	case !t.Retry.IsZero():
		return max(t.Retry.Sub(now), r.Burst)
	case t.Lasting:
		return 5 * r.Burst
	case t.Failures > 0:
		return r.Burst / 4 // it is not clean: soon it is known whether it stays
	}
	return r.Burst / 2 // each look is a connection of its own, so that they need not lie further apart
}

// closely is how many looks are made closely when a suspicion begins again.
const closely = 8

// following spaces the probes of an open incident.
func (r Rules) following(s *State, now time.Time) time.Duration {
	i := s.Incident
	switch {
	case i.Run > 0 && i.share() > detect.NearlyAll:
		return r.Burst // a total loss that lets one through is ending: see it soon
	case s.Detector.Suspects() && now.Sub(i.Alarm) < gathering*r.Burst && !(i.Run > 0 && i.Cause == diagnosis.TunnelFlapping) && !r.proven(s):
		// Good looks between breaks say nothing of the next break, and would but hide how many fail.
		return r.Burst / 4 // a restart waits for proof, and it is very likely a fault
	case s.Detector.Suspects() && !s.Detector.Certain() && s.Detector.Probes < closely:
		return r.burst(s.Last) // after a start of the program it gathers again, and people are cut off
	case detect.Ending(i.Run, i.share()):
		return 5 * r.Burst
	}
	return r.patient(now.Sub(i.Alarm))
}

// patient is a tenth of the time that it has already lasted: soon at first, then less and less.
func (r Rules) patient(lasted time.Duration) time.Duration {
	return min(max(lasted/10, r.Burst), r.Interval)
}

// soon is when something that could not be done is tried again: after a minute.
func soon(r Rules) time.Duration { return r.HoldBase / 30 }
