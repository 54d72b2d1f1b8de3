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

// Next is the time to the next look, after one at this moment that changes nothing.
func (r *Rules) Next(s *State, now time.Time) time.Duration {
	t := turn{moment: moment{r: r, s: s, now: now}}
	return t.next()
}

// next spaces the probes: often where the answer decides something, seldom where
// it only waits, and never so often that it prolongs the trouble. Closest after a
// failure: then a few answers decide, and the household is waiting.
func (t *turn) next() time.Duration {
	s, r := t.s, t.r
	lasted := t.now.Sub(s.TroubleSince)
	switch {
	case s.Trial != nil:
		return s.Trial.next(t)
	case s.Trouble == diagnosis.RateLimited:
		// Seldomer the longer it lasts: what it hides may have to be mended.
		return min(max(lasted, r.Interval), 5*r.Interval)
	case s.Incident != nil:
		return s.Incident.next(t)
	case s.StoppedByUs:
		return min(r.retry(0)/2, r.Interval) // it is started as soon as it can be
	case s.Detector.Suspects() && s.Last == detect.Good:
		return r.Doubting(s.Detector.Probes)
	case s.Detector.Suspects() && s.Last != detect.NoVerdict:
		return s.soonest(r.Burst)
	case s.Trouble.ChecksSucceed() || s.Trouble.Blinds() || s.TroubleSince.IsZero():
		return r.Interval
	}
	return r.patient(lasted)
}

// quick is how many looks of a suspicion follow closely on each other, good ones too: they
// are no more than they were, only sooner known, and a small loss shows itself in them. Most
// suspicions that come to nothing end within so many; beyond, good looks between breaks would
// hide how many fail.
const quick = 40

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

// soonest is the least time to the next look, after one that decides something.
func (s *Suspicion) soonest(burst time.Duration) time.Duration {
	if s.Last == detect.Explicit {
		return burst / 8
	}
	return burst / 4
}

// next spaces the probes of a trial.
func (o *OnTrial) next(t *turn) time.Duration {
	switch burst := t.r.Burst; {
	case !o.Retry.IsZero():
		return max(o.Retry.Sub(t.now), burst)
	case o.Lasting:
		return 5 * burst
	case o.Failures > 0:
		return burst / 4 // it is not clean: soon it is known whether it stays
	default:
		return burst / 2 // each look is a connection of its own, so that they need not lie further apart
	}
}

// closely is how many looks are made closely when a suspicion begins again.
const closely = 8

// next spaces the probes of an open incident.
func (i *Incident) next(t *turn) time.Duration {
	s, burst := t.s, t.r.Burst
	lasted := t.now.Sub(i.Alarm)
	switch {
	case i.Run > 0 && i.share() > detect.NearlyAll:
		return burst // a total loss that lets one through is ending: see it soon
	case s.Detector.Suspects() && lasted < gathering*burst && !(i.Run > 0 && i.Cause == diagnosis.TunnelFlapping) && !t.proven():
		// Good looks between breaks say nothing of the next break, and would but hide how many fail.
		return burst / 4 // a restart waits for proof, and it is very likely a fault
	case s.Detector.Suspects() && !s.Detector.Certain() && s.Detector.Probes < closely:
		return s.soonest(burst) // after a start of the program it gathers again, and people are cut off
	case detect.Ending(i.Run, i.share()):
		return 5 * burst
	}
	return t.r.patient(lasted)
}

// patient is a tenth of the time that it has already lasted: soon at first, then less and less.
func (r Rules) patient(lasted time.Duration) time.Duration {
	return min(max(lasted/10, r.Burst), r.Interval)
}
