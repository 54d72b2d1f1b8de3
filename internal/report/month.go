package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// monthDays is how far a month at a glance looks back, today included.
const monthDays = 30

// Month is a month at a glance.
type Month struct {
	From      time.Time
	Watched   time.Duration // time for which checks say how it was
	Lost      time.Duration // of it, cut off
	LostByUs  time.Duration // of that, by our own restarts
	Available float64       // 0…1; meaningless where Watched is 0
	Probes    int
	Failures  int
	Causes    []ByCause         // most costly first
	Restarts  int               // of the tunnel, by us
	Followed  map[words.Key]int // of those in incidents on record, by what they were for or what followed. Followed is not caused: the attributions say more
}

// ByCause is what one cause has cost. Time is lost to what never became an incident, too,
// such as a restart of Home Assistant.
type ByCause struct {
	Cause     string
	Incidents int
	Lost      time.Duration
}

// What a restart was for, or what followed it, in the order in which it is told.
const (
	recovery  words.Key = "month.recovery"
	noEffect  words.Key = "month.no-effect"
	restoring words.Key = "month.restoring"
	retrying  words.Key = "month.retrying"
	reviving  words.Key = "month.reviving"
)

// MonthOf gives the month before now.
func MonthOf(h journal.History, incidents []journal.Incident, now time.Time) Month {
	from := now.UTC().AddDate(0, 0, -monthDays+1).Truncate(24 * time.Hour)
	m := Month{From: from, Followed: map[words.Key]int{}}
	causes := map[string]ByCause{}
	cost := func(id string, incidents int, lost time.Duration) {
		c := causes[id]
		causes[id] = ByCause{id, c.Incidents + incidents, c.Lost + lost}
	}
	for _, d := range h.Days {
		if d.Date < from.Format(time.DateOnly) || d.Date > now.UTC().Format(time.DateOnly) {
			continue
		}
		m.Watched, m.Lost, m.LostByUs = m.Watched+d.Watched, m.Lost+d.Lost, m.LostByUs+d.LostByUs
		m.Probes, m.Failures, m.Restarts = m.Probes+d.Probes, m.Failures+d.Failures, m.Restarts+d.Restarts
		for id, t := range d.LostBy {
			cost(id, 0, t)
		}
	}
	if m.Watched > 0 {
		m.Available = max(0, 1-float64(m.Lost)/float64(m.Watched))
	}
	known := 0
	for _, i := range incidents {
		if i.Onset.Before(from) || i.Onset.After(now) {
			continue
		}
		cost(i.Cause.String(), 1, 0)
		last := lastChange(i)
		for _, c := range i.Account.Changes {
			if c.Restarts > 0 {
				m.Followed[followed(i, c, last)] += c.Restarts
				known += c.Restarts
			}
		}
	}
	m.Restarts = max(m.Restarts, known)
	m.Causes = slices.SortedFunc(maps.Values(causes), func(a, b ByCause) int { return cmp.Or(cmp.Compare(b.Lost, a.Lost), cmp.Compare(a.Cause, b.Cause)) })
	return m
}

// followed says what a change with a restart was for, or what followed it.
func followed(i journal.Incident, c journal.ChangeMade, last *journal.ChangeMade) words.Key {
	switch {
	case c.Purpose == policy.Restore, c.Purpose == policy.Return:
		return restoring
	case c.Purpose == policy.Failback:
		return retrying
	case i.Outcome == policy.StepCured && last != nil && c.At.Equal(last.At):
		return recovery
	case c.Purpose == policy.Revive:
		return reviving
	}
	return noEffect
}

// Markdown writes the month as a section's body.
func (m Month) Markdown() string {
	if m.Watched == 0 {
		return say("report.month.none") + "\n"
	}
	var b strings.Builder
	b.WriteString(say("report.month.since", words.With{"day": m.From.Format(time.DateOnly), "checks": checkCount(m.Probes), "failed": m.Failures}) + "\n\n")
	for _, r := range m.Rows(words.English()) {
		fmt.Fprintf(&b, "- **%s:** %s.\n", r.What, line(r.Text))
	}
	return b.String()
}

// Row is one line of the month.
type Row struct{ What, Text string }

// Rows gives the month in lines, none where nothing was watched.
func (m Month) Rows(l *words.Lang) []Row {
	if m.Watched == 0 {
		return nil
	}
	rows := []Row{{l.Say("month.open"), l.Say("month.open-text", words.With{"share": words.Share(m.Available), "span": Rounded(m.Watched)})}, m.Cost(l)}
	var causes []string
	for _, c := range m.Causes {
		with := words.With{"n": c.Incidents, "cause": c.Cause, "span": Rounded(c.Lost)}
		if c.Incidents > 0 {
			causes = append(causes, l.Say("month.incident", with))
		} else {
			causes = append(causes, l.Say("month.no-incident", with))
		}
	}
	if len(causes) > 0 {
		rows = append(rows, Row{l.Say("month.causes"), strings.Join(causes, ", ")})
	}
	return append(rows, m.Restarted(l))
}

// Cost is how long it was cut off.
func (m Month) Cost(l *words.Lang) Row {
	return Row{l.Say("month.lost"), l.Say("month.lost-text", words.With{"span": Rounded(m.Lost), "ours": Rounded(m.LostByUs)})}
}

// Restarted is how often the tunnel was restarted, and what followed.
func (m Month) Restarted(l *words.Lang) Row {
	if m.Restarts == 0 {
		return Row{l.Say("month.restarts"), l.Say("month.none")}
	}
	parts := []string{l.Write(m.Restarts)}
	for _, what := range []words.Key{recovery, noEffect, restoring, retrying, reviving} {
		if n := m.Followed[what]; n > 0 {
			parts = append(parts, l.Say(what, words.With{"n": n}))
		}
	}
	return Row{l.Say("month.restarts"), strings.Join(parts, "; ")}
}

// Rounded leaves out what an estimate does not know: of minutes and hours the seconds.
func Rounded(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Minute)
}
