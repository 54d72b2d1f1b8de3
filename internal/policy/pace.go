package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
)

// gathering is for how many bursts after the alarm proof is gathered closely: five
// minutes. What has shown by then neither that it is a fault nor that it is none can
// wait, and Home Assistant logs every probe that does not sign in.
const gathering = 150

// closely is how many looks are made closely when a suspicion begins anew.
const closely = 8

// next spaces the probes: often where the answer decides something, seldom where
// it only waits, and never so often that it prolongs the trouble. Closest after a
// failure: then a few answers decide, and the household is waiting.
func (r Rules) next(s *State, now time.Time) time.Duration {
	// A tenth of the time that it has already lasted: soon at first, then less and less.
	patient := func(since time.Time) time.Duration { return min(max(now.Sub(since)/10, r.Burst), r.Interval) }
	burst := r.Burst
	switch {
	case s.Last == detect.Explicit:
		burst /= 8
	case s.Last.Failed():
		burst /= 4
	}
	switch {
	case s.Trial != nil && !s.Trial.Retry.IsZero():
		return max(s.Trial.Retry.Sub(now), r.Burst)
	case s.Trial != nil && s.Trial.Lasting:
		return 5 * r.Burst
	case s.Trial != nil && s.Trial.Failures > 0:
		return r.Burst / 4 // it is not clean: soon it is known whether it stays
	case s.Trial != nil:
		return r.Burst
	case s.Trouble == diagnosis.RateLimited:
		// Seldomer the longer it lasts: what it hides may have to be mended.
		return min(max(now.Sub(s.TroubleSince), r.Interval), 5*r.Interval)
	case s.Incident != nil && s.Incident.Run > 0 && s.Incident.share() > detect.NearlyAll:
		return r.Burst // a total loss that lets one through is ending: see it soon
	case s.Incident != nil && !r.proven(s) && s.Detector.Suspects() && now.Sub(s.Incident.Alarm) < gathering*r.Burst:
		return r.Burst / 4 // a restart waits for proof, and it is very likely a fault
	case s.Incident != nil && s.Detector.Suspects() && !s.Detector.Certain() && s.Detector.Probes < closely:
		return burst // after a start of the program it gathers anew, and people are cut off
	case s.Incident != nil && s.Incident.ending():
		return 5 * r.Burst
	case s.Incident != nil:
		return patient(s.Incident.Alarm)
	case s.Felled:
		return min(soon(r)/2, r.Interval) // it is started as soon as it can be
	case s.Detector.Suspects() && s.Last != detect.NoVerdict:
		return burst
	case s.Trouble == diagnosis.Healthy || s.Trouble.Blinds() || s.TroubleSince.IsZero():
		return r.Interval
	}
	return patient(s.TroubleSince)
}
