package journal

import (
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Bounds of the history: some 20 KB before compression, 3 KB after.
const (
	keptDays     = 62
	keptPushes   = 120
	keptVersions = 120
	historyLimit = 4 << 20
)

// History is what is kept of the quiet times too. It lives in one small
// compressed file that is written a few times a day.
type History struct {
	Version  int                `json:"version"`
	TimeZone string             `json:"time_zone,omitempty"` // Home Assistant's
	Days     []Day              `json:"days,omitempty"`      // oldest first
	Quarters []Quarter          `json:"quarters,omitempty"`  // of the last day, oldest first
	Pushes   []Push             `json:"pushes,omitempty"`    // of managed rules, oldest first
	Versions []diagnosis.Change `json:"versions,omitempty"`  // and settings, oldest first
	Notes    []evidence.Gap     `json:"notes,omitempty"`     // why Cloudflare's word is not, or not wholly, to be had
	AskedAt  time.Time          `json:"asked_at,omitzero"`   // when Cloudflare was last asked
}

// Day is one day's account, by UTC.
type Day struct {
	Date     string                   `json:"date"`    // 2006-01-02
	Watched  time.Duration            `json:"watched"` // time for which probes say how it was
	Lost     time.Duration            `json:"lost"`    // of it, cut off
	LostByUs time.Duration            `json:"lost_by_us,omitempty"`
	LostBy   map[string]time.Duration `json:"lost_by,omitempty"` // by cause
	Restarts int                      `json:"restarts,omitempty"`
}

// Push is a version of a managed rule set, and since when it is in force.
type Push struct {
	Rules   string    `json:"rules"` // the set's id
	Name    string    `json:"name"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`   // by Cloudflare: last_updated
	Seen    time.Time `json:"seen"` // when it was first seen here
}

// Day gives the account of the day that t falls on, making it if need be. Days
// that lie behind the newest, as after a clock was set back, count as the newest.
func (h *History) Day(t time.Time) *Day {
	date := t.UTC().Format(time.DateOnly)
	if n := len(h.Days); n == 0 || h.Days[n-1].Date < date {
		h.Days = append(h.Days, Day{Date: date})
	}
	h.Days = newest(h.Days, keptDays)
	return &h.Days[len(h.Days)-1]
}

// Lose counts time cut off.
func (d *Day) Lose(cause string, t time.Duration) {
	d.Lost += t
	if d.LostBy == nil {
		d.LostBy = map[string]time.Duration{}
	}
	d.LostBy[cause] += t
}

// Rules notes the rule sets' versions; it says whether any is new.
func (h *History) Rules(now time.Time, sets []evidence.RuleSet) (news bool) {
	for _, s := range sets {
		var last Push
		for _, p := range h.Pushes {
			if p.Rules == s.ID {
				last = p
			}
		}
		if last.Version == s.Version && last.At.Equal(s.Updated) {
			continue
		}
		h.Pushes = append(h.Pushes, Push{Rules: s.ID, Name: s.Name, Version: s.Version, At: s.Updated, Seen: now})
		news = true
	}
	h.Pushes = newest(h.Pushes, keptPushes)
	return news
}

// Settings are those that a fault may come with. Empty ones are not known.
type Settings struct {
	Port     string // at which Home Assistant listens
	SSL      string // "on" or "off"
	Flags    string // names of cloudflared's flags in run_parameters, but the protocol's; "none"
	Protocol string // the user's own
}

// Note notes the versions and settings in use; it says whether any has changed.
func (h *History) Note(now time.Time, v Versions, s Settings) (news bool) {
	for _, p := range []struct{ part, version string }{
		{"cloudflared", v.Cloudflared}, {"Cloudflared add-on", v.AddOn}, {"Home Assistant Core", v.Core}, {"Supervisor", v.Supervisor}, {"operating system", v.OS},
		{"Home Assistant's port", s.Port}, {"Home Assistant's SSL", s.SSL}, {"flags of cloudflared", s.Flags}, {"your own protocol", s.Protocol},
	} {
		was := ""
		for _, c := range h.Versions {
			if c.Part == p.part {
				was = c.Version
			}
		}
		if p.version != "" && p.version != was {
			h.Versions = append(h.Versions, diagnosis.Change{Part: p.part, Version: p.version, Was: was, At: now})
			news = true
		}
	}
	h.Versions = newest(h.Versions, keptVersions)
	return news
}

// newest keeps so many of a list.
func newest[T any](list []T, n int) []T { return slices.Delete(list, 0, max(0, len(list)-n)) }
