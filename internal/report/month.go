package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// monthDays is how far a month at a glance looks back, today included.
const monthDays = 30

// Month is a month at a glance.
type Month struct {
	From      time.Time     `json:"from"`
	Watched   time.Duration `json:"watched_ns"`    // time for which probes say how it was
	Lost      time.Duration `json:"lost_ns"`       // of it, cut off
	LostByUs  time.Duration `json:"lost_by_us_ns"` // of that, by our own restarts
	Available float64       `json:"available"`     // 0…1; meaningless where Watched is 0
	Probes    int           `json:"probes"`
	Failures  int           `json:"failures"`
	Causes    []ByCause     `json:"causes"` // most costly first
	Restarts  Bought        `json:"restarts"`
}

// ByCause is what one cause has cost.
type ByCause struct {
	Cause     string        `json:"cause"`
	Incidents int           `json:"incidents"`
	Lost      time.Duration `json:"lost_ns"`
}

// Bought is what the restarts of the month were followed by. Followed is not
// caused: the incidents' attributions say more.
type Bought struct {
	All       int `json:"all"`
	Recovery  int `json:"recovery"`   // it worked afterwards
	Nothing   int `json:"nothing"`    // it did not
	WayBack   int `json:"way_back"`   // your own setting put back after nothing had helped, or a fail-back undone
	OwnWell   int `json:"own_well"`   // your own setting tried again, and well
	OwnFaulty int `json:"own_faulty"` // your own setting tried again, and not
}

// MonthOf gives the month before now.
func MonthOf(h journal.History, incidents []journal.Incident, now time.Time) Month {
	from := now.UTC().AddDate(0, 0, -monthDays+1).Truncate(24 * time.Hour)
	m := Month{From: from, Causes: []ByCause{}}
	causes := map[string]*ByCause{}
	cause := func(id string) *ByCause {
		if causes[id] == nil {
			causes[id] = &ByCause{Cause: id}
		}
		return causes[id]
	}
	for _, d := range h.Days {
		if d.Date < from.Format(time.DateOnly) || d.Date > now.UTC().Format(time.DateOnly) {
			continue
		}
		m.Watched, m.Lost, m.LostByUs = m.Watched+d.Watched, m.Lost+d.Lost, m.LostByUs+d.LostByUs
		m.Probes, m.Failures, m.Restarts.All = m.Probes+d.Probes, m.Failures+d.Failures, m.Restarts.All+d.Restarts
		for id, t := range d.LostBy {
			cause(id).Lost += t
		}
	}
	if m.Watched > 0 {
		m.Available = max(0, 1-float64(m.Lost)/float64(m.Watched))
	}
	for _, i := range incidents {
		if i.Onset.Before(from) || i.Onset.After(now) {
			continue
		}
		cause(i.Cause.String()).Incidents++
		m.Restarts.of(i)
	}
	m.Restarts.All = max(m.Restarts.All, m.Restarts.Recovery+m.Restarts.Nothing+m.Restarts.WayBack+m.Restarts.OwnWell+m.Restarts.OwnFaulty)
	for _, id := range slices.Sorted(maps.Keys(causes)) {
		m.Causes = append(m.Causes, *causes[id])
	}
	slices.SortStableFunc(m.Causes, func(a, b ByCause) int { return cmp.Compare(b.Lost, a.Lost) })
	return m
}

// of counts an incident's restarts by what followed.
func (b *Bought) of(i journal.Incident) {
	last := lastChange(i)
	for n, c := range i.Account.Changes {
		if c.Restarts == 0 {
			continue
		}
		switch c.Purpose {
		case policy.Restore, policy.Return:
			b.WayBack += c.Restarts
		case policy.Failback:
			if passed, _ := step(i, policy.StepFailedBack); passed != nil && !passed.At.Before(c.At) && !slices.ContainsFunc(i.Account.Changes[n+1:], func(o journal.ChangeMade) bool { return o.Purpose == policy.Failback }) {
				b.OwnWell += c.Restarts
			} else {
				b.OwnFaulty += c.Restarts
			}
		default:
			if i.Outcome == policy.StepCured && last != nil && c.At.Equal(last.At) {
				b.Recovery += c.Restarts
			} else {
				b.Nothing += c.Restarts
			}
		}
	}
}

// Markdown writes the month as a section's body.
func (m Month) Markdown() string {
	var b strings.Builder
	if m.Watched == 0 {
		return "Nothing has been watched long enough yet.\n"
	}
	fmt.Fprintf(&b, "Since %s (UTC), watched for %s. The WebSocket could be opened **%.2f %%** of that time; it was cut off for about %s, of which %s by Tunnel Medic's own restarts. ",
		m.From.Format(time.DateOnly), long(m.Watched), 100*m.Available, long(m.Lost), long(m.LostByUs))
	fmt.Fprintf(&b, "%s, %d failed. The times are estimates: each gap between two probes counts as what the probe at its end saw.\n\n", count(m.Probes, "probe"), m.Failures)
	if len(m.Causes) > 0 {
		b.WriteString("| Cause | Incidents | Cut off |\n|---|---:|---:|\n")
		for _, c := range m.Causes {
			incidents := "–" // time lost to what never became an incident, such as a restart of Home Assistant
			if c.Incidents > 0 {
				incidents = strconv.Itoa(c.Incidents)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(c.Cause), incidents, long(c.Lost))
		}
		b.WriteString("\n")
	}
	b.WriteString(m.Restarts.sentence() + "\n")
	return b.String()
}

// sentence tells the restarts and what followed them.
func (b Bought) sentence() string {
	if b.All == 0 {
		return "No restart of the tunnel by Tunnel Medic."
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{b.Recovery, "followed by recovery"}, {b.Nothing, "without effect"}, {b.WayBack, "to put a setting back"}, {b.OwnWell, "to try the own setting again, which was well"}, {b.OwnFaulty, "to try the own setting again, which was not"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.text))
		}
	}
	if len(parts) == 0 {
		return count(b.All, "restart") + " of the tunnel by Tunnel Medic."
	}
	return fmt.Sprintf("%s of the tunnel by Tunnel Medic: %s.", count(b.All, "restart"), strings.Join(parts, ", "))
}

// Row is one line of the month for the page.
type Row struct{ What, Text string }

// Rows gives the month for the page.
func (m Month) Rows() []Row {
	if m.Watched == 0 {
		return nil
	}
	rows := []Row{
		{"WebSocket could be opened", fmt.Sprintf("%.2f %% of %s watched", 100*m.Available, long(m.Watched))},
		{"Cut off", fmt.Sprintf("about %s, of which %s by restarts of Tunnel Medic", long(m.Lost), long(m.LostByUs))},
	}
	var causes []string
	for _, c := range m.Causes {
		if c.Incidents > 0 {
			causes = append(causes, fmt.Sprintf("%d × %s (%s)", c.Incidents, c.Cause, long(c.Lost)))
		}
	}
	if len(causes) > 0 {
		rows = append(rows, Row{"Incidents", strings.Join(causes, ", ")})
	}
	return append(rows, Row{"Restarts", strings.TrimSuffix(m.Restarts.sentence(), ".")})
}
