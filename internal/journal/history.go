package journal

import (
	"maps"
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
	keptPlaces   = 12 // data centres told apart in a day
	historyLimit = 4 << 20
)

// History is what correlation needs of the quiet times too. It lives in one small
// compressed file that is written a few times a day.
type History struct {
	Version  int                `json:"version"`
	TimeZone string             `json:"time_zone,omitempty"` // Home Assistant's
	Days     []Day              `json:"days,omitempty"`      // oldest first
	Quarters []Quarter          `json:"quarters,omitempty"`  // of the last day, oldest first
	Pushes   []Push             `json:"pushes,omitempty"`    // of managed rules, oldest first
	Versions []diagnosis.Change `json:"versions,omitempty"`  // and settings, oldest first
	Notes    []evidence.Gap     `json:"notes,omitempty"`     // why Cloudflare's word is not, or not wholly, to be had
	NotesAt  time.Time          `json:"notes_at,omitzero"`
	AskedAt  time.Time          `json:"asked_at,omitzero"` // when Cloudflare was last asked
	First    time.Time          `json:"first,omitzero"`    // since when there is a history
}

// Day is one day's account, by UTC.
type Day struct {
	Date       string                   `json:"date"` // 2006-01-02
	Probes     int                      `json:"probes"`
	Failures   int                      `json:"failures"`
	Watched    time.Duration            `json:"watched"` // time for which probes say how it was
	Lost       time.Duration            `json:"lost"`    // of it, cut off
	LostByUs   time.Duration            `json:"lost_by_us,omitempty"`
	LostBy     map[string]time.Duration `json:"lost_by,omitempty"` // by cause
	Restarts   int                      `json:"restarts,omitempty"`
	Colos      map[string]int           `json:"colos,omitempty"`      // probes by data centre
	Transports map[string]time.Duration `json:"transports,omitempty"` // watched time by transport
}

// Push is a version of a managed rule set, and since when it is in force.
type Push struct {
	Rules   string    `json:"rules"` // the set's id
	Name    string    `json:"name"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`   // by Cloudflare: last_updated
	Seen    time.Time `json:"seen"` // when it was first seen here
	// First is true for the version that was there when watching began: that it was
	// pushed is known, what was there before is not.
	First bool `json:"first,omitempty"`
}

// Day gives the account of the day that t falls on, making it if need be. Days
// that lie behind the newest, as after a clock was set back, count as the newest.
func (h *History) Day(t time.Time) *Day {
	date := t.UTC().Format(time.DateOnly)
	if n := len(h.Days); n == 0 || h.Days[n-1].Date < date {
		h.Days = append(h.Days, Day{Date: date})
	}
	h.Days = newest(h.Days, keptDays)
	if h.First.IsZero() {
		h.First = t
	}
	return &h.Days[len(h.Days)-1]
}

// Lose counts time cut off.
func (d *Day) Lose(cause string, t time.Duration) {
	d.Lost += t
	count(&d.LostBy, cause, t)
}

// Over counts watched time over a transport.
func (d *Day) Over(transport string, t time.Duration) {
	if transport != "" {
		count(&d.Transports, transport, t)
	}
}

// Met counts a probe that a data centre answered.
func (d *Day) Met(colo string) {
	if _, known := d.Colos[colo]; colo != "" && (known || len(d.Colos) < keptPlaces) {
		count(&d.Colos, colo, 1)
	}
}

// Rules notes the rule sets' versions; it says whether any is new.
func (h *History) Rules(now time.Time, sets []evidence.RuleSet) (news bool) {
	for _, s := range sets {
		known, last := false, ""
		for _, p := range h.Pushes {
			if p.Rules == s.ID {
				known, last = true, p.Version+p.At.UTC().String()
			}
		}
		if last == s.Version+s.Updated.UTC().String() {
			continue
		}
		h.Pushes = append(h.Pushes, Push{Rules: s.ID, Name: s.Name, Version: s.Version, At: s.Updated, Seen: now, First: !known})
		news = true
	}
	h.Pushes = newest(h.Pushes, keptPushes)
	return news
}

// Note notes the versions in use; it says whether any has changed.
func (h *History) Note(now time.Time, v Versions) (news bool) { return h.note(now, v.Parts()) }

// Settings are those that a fault may come with. Empty ones are not known.
type Settings struct {
	Port     string // at which Home Assistant listens
	SSL      string // "on" or "off"
	Flags    string // names of cloudflared's flags in run_parameters, but the protocol's; "none"
	Protocol string // the user's own
}

// NoteSettings notes the settings in force; it says whether any has changed.
func (h *History) NoteSettings(now time.Time, s Settings) (news bool) {
	parts := map[string]string{partPort: s.Port, partSSL: s.SSL, partFlags: s.Flags, partProtocol: s.Protocol}
	maps.DeleteFunc(parts, func(_, v string) bool { return v == "" })
	return h.note(now, parts)
}

// The settings' names, beside those of Versions.Parts.
const (
	partPort     = "Home Assistant's port"
	partSSL      = "Home Assistant's SSL"
	partFlags    = "flags of cloudflared"
	partProtocol = "your own protocol"
)

func (h *History) note(now time.Time, parts map[string]string) (news bool) {
	for _, part := range []string{"cloudflared", "Cloudflared add-on", "Home Assistant Core", "Supervisor", "operating system", partPort, partSSL, partFlags, partProtocol} {
		version, given := parts[part]
		if !given {
			continue
		}
		was := ""
		for _, s := range h.Versions {
			if s.Part == part {
				was = s.Version
			}
		}
		if was != version {
			h.Versions = append(h.Versions, diagnosis.Change{Part: part, Version: version, Was: was, At: now})
			news = true
		}
	}
	h.Versions = newest(h.Versions, keptVersions)
	return news
}

// newest keeps so many of a list.
func newest[T any](list []T, n int) []T { return slices.Delete(list, 0, max(0, len(list)-n)) }

// count adds to what a map holds, which need not be there yet.
func count[N int | time.Duration](m *map[string]N, what string, n N) {
	if *m == nil {
		*m = map[string]N{}
	}
	(*m)[what] += n
}
