package diagnosis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

const every = 2 * time.Minute

// watch plays minutes of readings, with a probe every other one, and gives how often
// the finding was newly said, and the last diagnosis.
func watch(o diagnosis.Others, from time.Time, minutes int, per uint64, good func(minute int) bool) (_ diagnosis.Others, begun int, last diagnosis.Diagnosis) {
	well := stripped()
	well.Public = greeted()
	bad := stripped()
	var refused, requests uint64
	for m := range minutes {
		now := from.Add(time.Duration(m) * time.Minute)
		refused += per
		requests += per + 5 // pages of the others
		o = o.Count(now, &evidence.Counters{Requests: requests, Codes: map[int]uint64{200: requests - refused, 400: refused}}, every)
		if m%2 != 0 {
			continue
		}
		e := well
		if !good(m) {
			e = bad
		}
		e.At = now
		before := o.Refused.Said
		last, o = diagnosis.Conclude(e, diagnosis.History{Interval: every, Others: o})
		if !o.Refused.Said.Equal(before) {
			begun++
		}
	}
	return o, begun, last
}

func TestTheSecondWitness(t *testing.T) {
	start := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	always := func(int) bool { return true }
	for rule, c := range map[string]struct {
		minutes int
		per     uint64
		good    func(int) bool
		said    int
	}{
		"clients fail for an hour while every probe is fine": {60, 4, always, 1},
		"they go on for two days, and it stays said":         {48 * 60, 4, always, 1},
		"nobody fails":                                    {60, 0, always, 0},
		"a scanner passes by for five minutes":            {5, 30, always, 0},
		"one stray 400 a minute for a quarter of an hour": {15, 1, always, 0},
		"our own probes fail now and then":                {60, 4, func(m int) bool { return m%6 != 0 }, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			_, said, d := watch(diagnosis.Others{}, start, c.minutes, c.per, c.good)
			if said != c.said {
				t.Errorf("said %d times, want %d (last: %v)", said, c.said, d.Clients)
			}
			f := d.Clients
			if (d.Cause == diagnosis.ClientsFailProbeFine) != (f != nil) {
				t.Errorf("taken for %s", d.Cause)
			}
			if c.said > 0 && (f == nil || f.Refused < 100 || f.Good < 10) {
				t.Errorf("the numbers are %+v", f)
			}
		})
	}
	t.Run("it was said earlier today, by an earlier run", func(t *testing.T) {
		told := diagnosis.Others{Refused: diagnosis.Saying{Said: start.Add(-time.Hour)}}
		if _, said, d := watch(told, start, 60, 4, always); said != 0 || d.Cause != diagnosis.Healthy {
			t.Errorf("said again: %s", d.Cause)
		}
	})
	t.Run("it speaks with its numbers and never asks for a restart", func(t *testing.T) {
		_, _, d := watch(diagnosis.Others{}, start, 60, 4, always)
		if d.Remedy != diagnosis.Tell || d.Sign != diagnosis.Healthy || d.Vote != diagnosis.Works || !strings.Contains(words.English().Text(words.TurnedAway(*d.Clients)), "HTTP 400") {
			t.Errorf("remedy %s, says %v: %s", d.Remedy, d.Vote, words.English().Summary(d))
		}
		again, more := d, *d.Clients
		more.Refused++
		if again.Clients = &more; words.English().Summary(again) != words.English().Summary(d) || !slices.Equal(words.English().Advice(again), words.English().Advice(d)) {
			t.Errorf("one more makes it another sentence: %s", words.English().Summary(again))
		}
	})
	t.Run("a connector that was started anew begins a new story", func(t *testing.T) {
		o, _, _ := watch(diagnosis.Others{}, start, 14, 2, always)
		_, said, _ := watch(o, start.Add(14*time.Minute), 8, 3, always) // its counters begin at zero again
		if said != 0 {
			t.Error("two processes' counts were added up")
		}
	})
}
