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
// the finding was newly said, and the last.
func watch(w diagnosis.Witness, from time.Time, minutes int, per uint64, good func(minute int) bool) (diagnosis.Witness, int, *diagnosis.Finding) {
	well := stripped()
	well.Public = greeted()
	bad := stripped()
	var refused, requests uint64
	begun := 0
	var last *diagnosis.Finding
	for m := range minutes {
		now := from.Add(time.Duration(m) * time.Minute)
		refused += per
		requests += per + 5
		w = w.Count(now, &evidence.Counters{Requests: requests, Codes: map[int]uint64{400: refused}}, every)
		if m%2 != 0 {
			continue
		}
		d := diagnosis.Of(well)
		if !good(m) {
			d = diagnosis.Of(bad)
		}
		w = w.Probe(now, d, every)
		before := w.Said()
		w, last = w.Finding(now, every)
		if !w.Said().Equal(before) {
			begun++
		}
	}
	return w, begun, last
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
			_, said, f := watch(diagnosis.Witness{}, start, c.minutes, c.per, c.good)
			if said != c.said {
				t.Errorf("said %d times, want %d (last: %v)", said, c.said, f)
			}
			if c.said > 0 && (f == nil || f.Refused < 100 || f.Good < 10) {
				t.Errorf("the numbers are %+v", f)
			}
		})
	}
	t.Run("it was said earlier today, by an earlier run", func(t *testing.T) {
		if _, said, f := watch(diagnosis.Remembering(start.Add(-time.Hour)), start, 60, 4, always); said != 0 || f != nil {
			t.Errorf("said again: %v", f)
		}
	})
	t.Run("it speaks with its numbers and never asks for a restart", func(t *testing.T) {
		_, _, f := watch(diagnosis.Witness{}, start, 60, 4, always)
		d := diagnosis.AboutClients(*f, stripped())
		if d.Remedy != diagnosis.Tell || d.Says() != diagnosis.Abstains || !strings.Contains(words.English().TurnedAway(*d.Clients), "HTTP 400") {
			t.Errorf("remedy %s, says %v: %s", d.Remedy, d.Says(), d.Seen)
		}
		f.Refused++
		if again := diagnosis.AboutClients(*f, stripped()); words.English().Summary(again) != words.English().Summary(d) || !slices.Equal(words.English().Advice(again), words.English().Advice(d)) {
			t.Errorf("one more makes it another sentence: %s", words.English().Summary(again))
		}
	})
	t.Run("a connector that was started anew begins a new story", func(t *testing.T) {
		w, _, _ := watch(diagnosis.Witness{}, start, 14, 2, always)
		_, said, _ := watch(w, start.Add(14*time.Minute), 8, 3, always) // its counters begin at zero again
		if said != 0 {
			t.Error("two processes' counts were added up")
		}
	})
}
