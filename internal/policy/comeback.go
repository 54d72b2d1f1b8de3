package policy

import (
	"time"
)

// The quiet hours, in which the user's own protocol is tried again.
const quietFrom, quietTo = 3, 5

// failBack tries the user's own protocol again, some time after a cure, in a
// quiet hour.
func (r Rules) failBack(s *State, d *Decision, now time.Time, in Sight) {
	f := s.Failback
	if f != nil && s.Set == s.Own { // it came back by another way
		s.Failback = nil
		return
	}
	if f == nil || now.Before(f.Due) || !r.quiet(now) || len(r.gates(s, now, in)) > 0 {
		return
	}
	s.begin(d, now, s.Own, Failback, "Trying your own setting (%s) again, %s after the cure.", s.Own, hours(f.Wait))
}

// quiet says whether it is an hour at which nobody minds a restart. Fail-back
// times below an hour are those of tests, which cannot wait for the night.
func (r Rules) quiet(now time.Time) bool {
	h := now.In(r.location()).Hour()
	return 0 < r.Failback && r.Failback < time.Hour || quietFrom <= h && h < quietTo
}

func (r Rules) location() *time.Location {
	if r.Location == nil {
		return time.UTC
	}
	return r.Location
}
