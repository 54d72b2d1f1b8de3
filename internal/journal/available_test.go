package journal

import (
	"testing"
	"time"
)

func TestAvailability(t *testing.T) {
	var h History
	watch := func(at time.Time, w Watch) {
		d := h.Day(at)
		d.Watched, d.Lost, d.LostByUs = d.Watched+w.Watched, d.Lost+w.Lost, d.LostByUs+w.LostByUs
		h.Count(at, w)
	}
	if _, known := h.Available(noon, 24*time.Hour).Share(); known {
		t.Error("what was never watched has no share")
	}
	watch(noon, Watch{Watched: 500 * time.Millisecond, Lost: 500 * time.Millisecond})
	if _, known := h.Available(noon, 24*time.Hour).Share(); known {
		t.Error("half a second says nothing of a day")
	}
	for at := noon; at.Before(noon.Add(10 * 24 * time.Hour)); at = at.Add(2 * time.Minute) {
		watch(at, Watch{Watched: 2 * time.Minute})
		if at.Equal(noon.Add(9*24*time.Hour + time.Hour)) {
			watch(at, Watch{Watched: 10 * time.Minute, Lost: 6 * time.Minute, LostByUs: time.Minute})
		}
	}
	watch(noon.Add(10*24*time.Hour), Watch{Watched: 4 * time.Minute, Lost: 3 * time.Minute})
	now := noon.Add(10 * 24 * time.Hour)
	for _, c := range []struct {
		name       string
		now        time.Time
		span       time.Duration
		lost, ours time.Duration
	}{
		{"a day", now, 24 * time.Hour, 9 * time.Minute, time.Minute},
		{"a day, two hours later", now.Add(2 * time.Hour), 24 * time.Hour, 3 * time.Minute, 0},
		{"what is long past fades", now.Add(25 * time.Hour), 24 * time.Hour, 0, 0},
		{"a week", now, 7 * 24 * time.Hour, 9 * time.Minute, time.Minute},
		{"a week that ended before", noon.Add(6 * 24 * time.Hour), 7 * 24 * time.Hour, 500 * time.Millisecond, 0},
		{"a month", now, 30 * 24 * time.Hour, 9*time.Minute + 500*time.Millisecond, time.Minute},
	} {
		if w := h.Available(c.now, c.span); w.Lost != c.lost || w.LostByUs != c.ours {
			t.Errorf("%s: %+v", c.name, w)
		}
	}
	if len(h.Quarters) != keptQuarters {
		t.Errorf("%d quarters are kept", len(h.Quarters))
	}
	if w := h.Available(now, 24*time.Hour); w.Watched > 24*time.Hour+14*time.Minute || w.Watched < 23*time.Hour {
		t.Errorf("of a day %v were watched", w.Watched)
	}
	if share, known := (Watch{Watched: 10 * time.Minute, Lost: 3 * time.Minute}).Share(); !known || share != 0.7 {
		t.Error(share, known)
	}
	if share, _ := (Watch{Watched: time.Minute, Lost: 3 * time.Minute}).Share(); share != 0 {
		t.Error("a share below nothing", share)
	}
}

func TestTimeIsCountedAgainAfterAClockThatWasAhead(t *testing.T) {
	var h History
	h.Count(noon.AddDate(1, 0, 0), Watch{Watched: time.Hour, Lost: time.Hour})
	h.Count(noon, Watch{Watched: 2 * time.Minute, Lost: time.Minute})
	if w := h.Available(noon, 24*time.Hour); w.Watched != 2*time.Minute || w.Lost != time.Minute {
		t.Errorf("%+v", w)
	}
}

func TestTheHistoryIsReadAsItStands(t *testing.T) {
	j, _, err := Open(t.TempDir(), noon)
	if err != nil {
		t.Fatal(err)
	}
	var h History
	h.Day(noon).Lose("tunnel-down", time.Minute)
	if err := j.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	h.Day(noon).Lose("tunnel-down", time.Minute)
	j.Live(h)
	h.Day(noon).Lose("tunnel-down", time.Hour) // the loop goes on; readers keep what they were given
	if d := j.History().Days[0]; d.Lost != 2*time.Minute || d.LostBy["tunnel-down"] != 2*time.Minute {
		t.Errorf("%+v", d)
	}
}
