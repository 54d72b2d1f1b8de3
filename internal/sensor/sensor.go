// Package sensor compares the connector's counters with those before. What it sees
// is never a verdict: it only calls for a probe earlier than planned. It is pure.
package sensor

import (
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
)

// Sensor remembers the last reading. The zero value has taken none.
type Sensor struct {
	known   bool
	ready   int
	bad     uint64 // 400s and errors of reaching the origin
	quiet   time.Time
	pause   time.Duration // grows while its calls prove groundless
	standby time.Time     // no call before
	refused []time.Time   // calls for refused requests lately
}

// What anybody on the internet can bring about, refused requests, calls for so many
// probes within so many of the longest pauses, in whatever rhythm they come: with two
// minutes between probes twelve in an hour, beside the thirty that are made anyhow. Lost
// connections are the tunnel's own, and are not counted.
const (
	mostRefused = 12
	within      = 30
)

// Read takes a reading and says what calls for a probe, "" for nothing. longest
// bounds the pause after groundless calls: people whose browsers fail for another
// reason must not make it probe for ever.
func (s *Sensor) Read(c evidence.Connector, now time.Time, longest time.Duration) string {
	if !c.Asked || c.Trouble == evidence.Interrupted {
		return ""
	}
	if s.known && now.Before(s.standby) {
		return "" // without taking the reading over: what happens now must not be lost
	}
	was := *s
	s.known, s.ready = true, c.Ready
	if c.Counters != nil {
		s.bad = c.Counters.Codes[400] + c.Counters.Errors
	}
	if !was.known {
		return ""
	}
	why := ""
	switch {
	case c.Ready < was.ready:
		why = "connections were lost"
	case was.ready == 0 && c.Ready > 0:
		why = "connections are back"
	case c.Counters != nil && s.bad > was.bad && s.mayCall(now, longest):
		why = "count of refused requests rose"
	}
	if why == "" {
		if now.Sub(s.quiet) > longest {
			s.pause = 0
		}
		return ""
	}
	s.pause = min(max(2*s.pause, longest/12), longest)
	s.standby, s.quiet = now.Add(s.pause), now
	return why
}

// Standby is until when no reading is taken over, so that none calls for a probe.
func (s *Sensor) Standby() time.Time { return s.standby }

// mayCall says whether refused requests may call for one more probe, and notes that
// they do.
func (s *Sensor) mayCall(now time.Time, longest time.Duration) bool {
	if len(s.refused) > 0 && now.Sub(s.refused[0]) >= within*longest {
		s.refused = slices.DeleteFunc(s.refused, func(at time.Time) bool { return now.Sub(at) >= within*longest })
	}
	if len(s.refused) >= mostRefused {
		return false
	}
	s.refused = append(s.refused, now)
	return true
}
