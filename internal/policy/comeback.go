package policy

import (
	"time"
)

// The quiet hours, in which the user's own protocol is tried again, and how much of
// them is left when it is no longer waited for a moment at which nobody is connected.
const (
	quietFrom, quietTo = 3, 5
	lastCall           = 30 * time.Minute
)

// failBack tries the user's own protocol again, some time after a cure.
func (r Rules) failBack(s *State, d *Decision, now time.Time, in Sight) {
	f := s.Failback
	if f != nil && s.Set == s.Own { // it came back by another way
		s.Failback = nil
		return
	}
	if f == nil || now.Before(f.Due) || !r.convenient(now, in.InUse) || len(r.gates(failingBack, s, now, in)) > 0 {
		return
	}
	s.begin(d, now, s.Own, Failback, "Trying your own setting (%s) again, %s after the cure.", s.Own, hours(f.Wait))
}

// convenient says whether it is a moment at which nobody minds a restart: in the
// quiet hours, when nobody is connected. Then the restart is shorter, too: cloudflared
// does not wait for open WebSockets (docs/FACTS.md, cloudflared). Where somebody always is, towards the
// end of those hours. Fail-back times below an hour are those of tests, which cannot
// wait for the night.
func (r Rules) convenient(now time.Time, inUse bool) bool {
	if r.Failback < time.Hour {
		return true
	}
	return r.quiet(now) && !(inUse && r.quiet(now.Add(max(lastCall, 2*r.Interval))))
}

// Quiet says whether the return to the user's own setting may come now, by the clock.
func (r Rules) Quiet(now time.Time) bool { return r.Failback < time.Hour || r.quiet(now) }

func (r Rules) quiet(now time.Time) bool {
	h := now.In(r.location()).Hour()
	return quietFrom <= h && h < quietTo
}

func (r Rules) location() *time.Location {
	if r.Location == nil {
		return time.UTC
	}
	return r.Location
}
