package journal

import (
	"maps"
	"slices"
	"time"
)

// The last day is kept in quarters of an hour: days go by UTC, and "the last 24 hours" is
// none of them.
const (
	quarter      = 15 * time.Minute
	keptQuarters = int(24 * time.Hour / quarter)
)

// Watch is how long a stretch was watched, and how much of it was cut off. Time for which
// no check says how it was is in neither.
type Watch struct {
	Watched  time.Duration `json:"watched"`
	Lost     time.Duration `json:"lost,omitempty"`       // of it, cut off
	LostByUs time.Duration `json:"lost_by_us,omitempty"` // of that, by our own restarts
}

// Quarter is a quarter of an hour.
type Quarter struct {
	At time.Time `json:"at"` // its beginning
	Watch
}

// enough is how long must have been watched before a share of it says anything.
const enough = time.Minute

// Share is the part of the watched time in which remote access worked, from 0 to 1; known
// is false where too little was watched to say.
func (w Watch) Share() (share float64, known bool) {
	if w.Watched < enough {
		return 0, false
	}
	return min(max(0, 1-float64(w.Lost)/float64(w.Watched)), 1), true
}

// Minutes is how long remote access was cut off.
func (w Watch) Minutes() float64 { return w.Lost.Minutes() }

func (w Watch) and(o Watch) Watch {
	return Watch{w.Watched + o.Watched, w.Lost + o.Lost, w.LostByUs + o.LostByUs}
}

// Available gives what is known of the time before now: up to a day to the quarter of an
// hour, more than that by whole days of UTC, today included.
func (h History) Available(now time.Time, span time.Duration) (w Watch) {
	if span <= 24*time.Hour {
		for _, q := range h.Quarters {
			if q.At.After(now.Add(-span)) && !q.At.After(now) {
				w = w.and(q.Watch)
			}
		}
		return w
	}
	from, today := now.UTC().Add(24*time.Hour-span).Format(time.DateOnly), now.UTC().Format(time.DateOnly)
	for _, d := range h.Days {
		if d.Date >= from && d.Date <= today {
			w = w.and(d.Watch())
		}
	}
	return w
}

// Watch is the day without what it was made of.
func (d Day) Watch() Watch { return Watch{d.Watched, d.Lost, d.LostByUs} }

// Count adds a watched stretch that has just ended to the quarter that now falls in.
func (h *History) Count(now time.Time, w Watch) {
	at := now.UTC().Truncate(quarter)
	// A clock that was ahead has left quarters that are yet to come.
	h.Quarters = slices.DeleteFunc(h.Quarters, func(q Quarter) bool { return q.At.After(at) })
	if n := len(h.Quarters); n == 0 || h.Quarters[n-1].At.Before(at) {
		h.Quarters = append(h.Quarters, Quarter{At: at})
	}
	h.Quarters = newest(h.Quarters, keptQuarters)
	last := &h.Quarters[len(h.Quarters)-1]
	last.Watch = last.and(w)
}

// snapshot gives a copy that shares nothing that the loop changes.
func (h History) snapshot() *History {
	h.Days, h.Quarters = slices.Clone(h.Days), slices.Clone(h.Quarters)
	h.Pushes, h.Versions = slices.Clone(h.Pushes), slices.Clone(h.Versions)
	if n := len(h.Days); n > 0 { // those before it do not change any more
		d := &h.Days[n-1]
		d.LostBy = maps.Clone(d.LostBy)
	}
	return &h
}
