package sensor

import (
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

// reading is a connector with so many connections and refused requests.
func reading(ready int, refused, errors uint64) evidence.Connector {
	status := 200
	if ready == 0 {
		status = 503
	}
	return evidence.Connector{Asked: true, Status: status, Ready: ready, Counters: &evidence.Counters{Codes: map[int]uint64{400: refused}, Errors: errors}}
}

func TestWhatCallsForAProbe(t *testing.T) {
	blank := reading(4, 5, 0)
	blank.Counters = nil
	for rule, c := range map[string]struct {
		before, after evidence.Connector
		calls         bool
	}{
		"nothing has changed":              {reading(4, 5, 1), reading(4, 5, 1), false},
		"a refused request":                {reading(4, 5, 1), reading(4, 6, 1), true},
		"an origin that was not reached":   {reading(4, 5, 1), reading(4, 5, 2), true},
		"a connection lost":                {reading(4, 5, 1), reading(3, 5, 1), true},
		"all connections lost":             {reading(4, 5, 1), reading(0, 5, 1), true},
		"the first connection is back":     {reading(0, 5, 1), reading(1, 5, 1), true},
		"one more connection":              {reading(3, 5, 1), reading(4, 5, 1), false},
		"a new process counts from zero":   {reading(4, 5, 1), reading(4, 0, 0), false},
		"counters that cannot be read":     {reading(4, 5, 1), blank, false},
		"it does not answer any more":      {reading(4, 5, 1), evidence.Connector{Asked: true, Trouble: evidence.Refused}, true},
		"a stop of the program is nothing": {reading(4, 5, 1), evidence.Connector{Asked: true, Trouble: evidence.Interrupted}, false},
		"the first reading compares":       {evidence.Connector{}, reading(0, 9, 9), false},
	} {
		t.Run(rule, func(t *testing.T) {
			var s Sensor
			now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			if why := s.Read(c.before, now, time.Minute); why != "" {
				t.Fatalf("the first reading called: %s", why)
			}
			if why := s.Read(c.after, now.Add(10*time.Second), time.Minute); (why != "") != c.calls {
				t.Errorf("it said %q", why)
			}
		})
	}
}

// Browsers that fail for a reason of their own must not make it probe for ever, and
// what happens in a pause must not be lost.
func TestGroundlessCallsGrowSeldomAndNoneIsLost(t *testing.T) {
	var s Sensor
	const longest = 2 * time.Minute
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := uint64(0)
	s.Read(reading(4, refused, 0), now, longest)
	calls := 0
	for range 360 { // an hour of somebody who tries every ten seconds
		now = now.Add(10 * time.Second)
		refused++
		if s.Read(reading(4, refused, 0), now, longest) != "" {
			calls++
		}
	}
	if calls < 8 || calls > mostRefused {
		t.Errorf("%d calls in an hour, want at most %d", calls, mostRefused)
	}
	now = now.Add(time.Hour)
	s.Read(reading(4, refused, 0), now, longest) // quiet: whatever was held back is said
	now = now.Add(3 * longest)
	s.Read(reading(4, refused, 0), now, longest)
	now = now.Add(10 * time.Second)
	if s.Read(reading(4, refused+1, 0), now, longest) == "" {
		t.Error("after a quiet time it must call at once")
	}
	now = now.Add(time.Second) // within the pause
	if s.Read(reading(4, refused+2, 0), now, longest) != "" {
		t.Error("it called within the pause")
	}
	now = now.Add(longest)
	if s.Read(reading(4, refused+2, 0), now, longest) == "" {
		t.Error("what happened within the pause was lost")
	}
}

// A stranger may choose the rhythm: whichever it is, the calls are bounded. What the
// tunnel itself loses still calls.
func TestNoRhythmOfStrangersMakesItProbeWithoutBound(t *testing.T) {
	const longest, hours = 2 * time.Minute, 12
	for every := 10 * time.Second; every <= 5*time.Minute; every += 10 * time.Second {
		for _, burst := range []int{1, 2, 5, 50} {
			var s Sensor
			now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			refused, calls := uint64(0), 0
			s.Read(reading(4, refused, 0), now, longest)
			for tick := range hours * 360 {
				now = now.Add(10 * time.Second)
				if step := int(every / (10 * time.Second)); tick/step%2 == 0 || tick%step < burst {
					refused += 500
				}
				if s.Read(reading(4, refused, 0), now, longest) != "" {
					calls++
				}
			}
			if calls > hours*mostRefused {
				t.Errorf("a burst of %d every %v: %d calls in %d hours", burst, every, calls, hours)
			}
			if now = now.Add(longest); s.Read(reading(3, refused, 0), now, longest) == "" {
				t.Errorf("a burst of %d every %v: a lost connection did not call", burst, every)
			}
		}
	}
}
