package report

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
)

// What counts as near, fixed beforehand and for every incident alike: chosen after
// the fact, a window finds what it was cut for.
const (
	nearOnset = 48 * time.Hour // before the onset, for the list
	nearEnd   = 24 * time.Hour // before the end, for the list
	afterward = 2 * time.Hour  // after either, for the list
	window    = 24 * time.Hour // before the onset, for the test of chance
	// A history shorter than this says nothing about chance.
	leastHistory = 7 * 24 * time.Hour
)

// Event is something elsewhere that may have to do with an incident.
type Event struct {
	At   time.Time
	Kind string // "rules", "status", "version"
	Text string
}

// events gives what happened elsewhere, in order: rule pushes, changes of version,
// and what Cloudflare's status page reported.
func events(d Dossier) []Event {
	var list []Event
	for n, p := range d.History.Pushes {
		text := fmt.Sprintf("Cloudflare's managed DDoS L7 rules: version %s (%s)", p.Version, p.Name)
		if was := before(d.History.Pushes[:n], p); was != "" {
			text = fmt.Sprintf("Cloudflare's managed DDoS L7 rules went from version %s to %s", was, p.Version)
		} else if p.First {
			text += ", pushed before watching began"
		}
		at := p.At
		if at.IsZero() {
			at = p.Seen
			text += " (time of the push not told; first seen then)"
		}
		list = append(list, Event{at, "rules", text})
	}
	for _, v := range d.History.Versions {
		if v.Was != "" {
			list = append(list, Event{v.At, "version", fmt.Sprintf("%s went from %s to %s (seen then)", v.Part, v.Was, v.Version)})
		}
	}
	for _, r := range reported(d.Incident) {
		link := ""
		if r.Link != "" {
			link = " " + r.Link
		}
		list = append(list, Event{r.Started, "status", fmt.Sprintf("Cloudflare's status page: “%s” began (%s, %s; it touches: %s)%s", r.Name, r.Impact, r.Status, r.Why, link)})
		if !r.Resolved.IsZero() {
			list = append(list, Event{r.Resolved, "status", fmt.Sprintf("Cloudflare's status page: “%s” resolved", r.Name)})
		}
	}
	sort.SliceStable(list, func(a, b int) bool { return list[a].At.Before(list[b].At) })
	return list
}

func before(earlier []journal.Push, p journal.Push) string {
	for _, e := range slices.Backward(earlier) {
		if e.Rules == p.Rules {
			return e.Version
		}
	}
	return ""
}

// reported gives the status page's incidents, each as it was told last.
func reported(i journal.Incident) []evidence.Reported {
	var list []evidence.Reported
	for _, u := range slices.Backward(i.Account.Asked) {
		for _, r := range u.Reports {
			if !slices.ContainsFunc(list, func(o evidence.Reported) bool { return o.Name == r.Name && o.Started.Equal(r.Started) }) {
				list = append(list, r)
			}
		}
	}
	return list
}

// nearby picks the events near the onset and near the end, each with its distance.
func nearby(d Dossier) (onset, end []string) {
	i := d.Incident
	for _, e := range events(d) {
		if gap := i.Onset.Sub(e.At); gap <= nearOnset && gap >= -afterward && (i.Ended.IsZero() || e.At.Before(i.Ended) || gap > 0) {
			onset = append(onset, fmt.Sprintf("%s: %s, %s.", utc(e.At), e.Text, distance(gap, "the onset")))
		}
		if i.Ended.IsZero() {
			continue
		}
		if gap := i.Ended.Sub(e.At); gap <= nearEnd && gap >= -afterward && e.At.After(i.Onset) {
			end = append(end, fmt.Sprintf("%s: %s, %s.", utc(e.At), e.Text, distance(gap, "the end")))
		}
	}
	return onset, end
}

// nearest gives the last event before the onset, or else the first one after it.
func nearest(d Dossier) (text string) {
	i := d.Incident
	for _, e := range events(d) {
		gap := i.Onset.Sub(e.At)
		if gap > nearOnset || gap < -afterward || gap < 0 && text != "" {
			continue
		}
		text = fmt.Sprintf("%s, %s.", e.Text, distance(gap, "the onset"))
		if gap < 0 {
			break
		}
	}
	return text
}

func distance(gap time.Duration, of string) string {
	if gap < 0 {
		return long(gap) + " after " + of
	}
	return long(gap) + " before " + of
}

// Common is something that several incidents have in common, and how likely that
// many are by chance.
type Common struct {
	What   string
	Has    int     // incidents that have it
	Of     int     // incidents for which it is known
	Chance float64 // that one incident has it if it had nothing to do with it
	P      float64 // that at least Has of Of have it then, before the correction for their number
}

// together compares all incidents. Each thing compared is a binomial test against
// the share of watched time in which it held anyway; enough says whether the
// history is long enough for that. compared counts all that was looked at, what was
// not found in common included: the correction is for that number.
func together(d Dossier) (list []Common, compared int, enough bool) {
	all := d.all()
	if len(all) < 2 || d.History.First.IsZero() {
		return nil, 0, false
	}
	enough = d.Now.Sub(d.History.First) >= leastHistory
	add := func(what string, has, of int, chance float64) {
		compared++
		if of >= 2 && has >= 2 {
			list = append(list, Common{what, has, of, chance, atLeast(has, of, chance)})
		}
	}
	// What came before: pushes of rules, changes of version.
	for _, kind := range []struct{ kind, what string }{{"rules", "a push of Cloudflare's managed DDoS L7 rules"}, {"version", "a new version of cloudflared, the add-on, Core or Supervisor"}} {
		var at []time.Time
		for _, e := range events(d) {
			if e.Kind == kind.kind {
				at = append(at, e.At)
			}
		}
		if len(at) == 0 {
			continue
		}
		has := 0
		for _, i := range all {
			if slices.ContainsFunc(at, func(t time.Time) bool { return !t.After(i.Onset) && i.Onset.Sub(t) <= window }) {
				has++
			}
		}
		add(fmt.Sprintf("%s in the %s before the onset", kind.what, long(window)), has, len(all), covered(at, window, d.History.First, d.Now))
	}
	// The hour, in eighths of a day: the fullest of eight, so the chance is that of any of them.
	eighths := map[int]int{}
	for _, i := range all {
		eighths[i.Onset.In(d.location()).Hour()/3]++
	}
	hour, most := top(eighths)
	if most < 2 {
		hour, most = 0, 0
	}
	c := Common{What: fmt.Sprintf("an onset between %02d:00 and %02d:00 local time", 3*hour, 3*hour+3), Has: most, Of: len(all), Chance: 1. / 8}
	c.P = min(1, 8*atLeast(most, len(all), c.Chance))
	compared++
	if most > 0 {
		list = append(list, c)
	}
	// The data centre and the transport, against how often they are met anyway.
	colos, transports := map[string]int{}, map[string]int{}
	for _, i := range all {
		if c := colo(i); c != "" {
			colos[c]++
		}
		if t := i.Transport.String(); t != "" {
			transports[t]++
		}
	}
	colosAll, transportsAll := map[string]float64{}, map[string]float64{}
	for _, day := range d.History.Days {
		for c, n := range day.Colos {
			colosAll[c] += float64(n)
		}
		for t, n := range day.Transports {
			transportsAll[t] += float64(n)
		}
	}
	if name, n := top(colos); n > 0 {
		add("the data centre "+name, n, total(colos), share(colosAll, name))
	}
	if name, n := top(transports); n > 0 {
		add("the transport "+name, n, total(transports), share(transportsAll, name))
	}
	return list, compared, enough
}

// all gives every incident that is known, the one at hand included, oldest first.
func (d Dossier) all() []journal.Incident {
	list := []journal.Incident{d.Incident}
	for _, i := range d.Others {
		if i.ID != d.Incident.ID {
			list = append(list, i)
		}
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Onset.Before(list[b].Onset) })
	return list
}

// colo is the data centre that failed probes met most.
func colo(i journal.Incident) string {
	met := map[string]int{}
	for _, r := range i.Account.Runs {
		if !r.OK && r.Colo != "" {
			met[r.Colo] += r.N
		}
	}
	name, _ := top(met)
	return name
}

func top[K interface{ ~int | ~string }](m map[K]int) (best K, n int) {
	for k, v := range m {
		if v > n || v == n && k < best {
			best, n = k, v
		}
	}
	return best, n
}

func total[K comparable](m map[K]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func share(m map[string]float64, of string) float64 {
	sum := 0.0
	for _, v := range m {
		sum += v
	}
	if sum == 0 {
		return 1
	}
	return m[of] / sum
}

// correlation writes the section.
func (d Dossier) correlation(b *strings.Builder) {
	onset, end := nearby(d)
	fmt.Fprintf(b, "Near the onset (%s before to %s after):\n\n", long(nearOnset), long(afterward))
	bullets(b, inert(onset), "nothing known.")
	if !d.Incident.Ended.IsZero() {
		fmt.Fprintf(b, "\nNear the end (%s before to %s after):\n\n", long(nearEnd), long(afterward))
		bullets(b, inert(end), "nothing known.")
	}
	if n := len(d.Incident.Account.Asked); n == 0 {
		b.WriteString("\nCloudflare was not asked about this incident.\n")
	} else if asked := d.Incident.Account.Asked[n-1]; asked.PageAsked && len(reported(d.Incident)) == 0 {
		fmt.Fprintf(b, "\nCloudflare's status page, asked last at %s, reports nothing that may touch this tunnel. That is no proof: not everything is reported there.\n", utc(asked.At))
	}
	list, compared, enough := together(d)
	if len(d.all()) > 1 && len(list) == 0 {
		fmt.Fprintf(b, "\n%d incidents are on record; nothing of what was compared (%d things) is common to them.\n", len(d.all()), compared)
		return
	}
	if len(list) == 0 {
		b.WriteString("\nThis is the only incident on record, so there is nothing to compare it with.\n")
		return
	}
	fmt.Fprintf(b, "\n### %d incidents together\n\n", len(d.all()))
	if !enough {
		b.WriteString("| In common | Incidents |\n|---|---:|\n")
		for _, c := range list {
			fmt.Fprintf(b, "| %s | %d of %d |\n", cell(c.What), c.Has, c.Of)
		}
		fmt.Fprintf(b, "\nHow likely this is by chance cannot be said yet: the history is %s long, and less than %s says nothing.\n", long(d.Now.Sub(d.History.First)), long(leastHistory))
		return
	}
	b.WriteString("| In common | Incidents | So much of the time it holds anyway | By chance |\n|---|---:|---:|---:|\n")
	for _, c := range list {
		fmt.Fprintf(b, "| %s | %d of %d | %.0f %% | %s |\n", cell(c.What), c.Has, c.Of, 100*c.Chance, probability(min(1, c.P*float64(compared))))
	}
	fmt.Fprintf(b, "\n“By chance” is the probability that at least so many incidents have this in common if it has nothing to do with them: a one-sided binomial test against the share of the watched time (%s) in which it holds anyway, times %d for the number of things that were compared, shown here or not (Bonferroni). It takes incidents for independent of each other, which they need not be. %s\n",
		long(d.Now.Sub(d.History.First)), compared, few(len(d.all())))
}

func few(n int) string {
	if n < 5 {
		return "With so few incidents even a small number here is a hint, no proof."
	}
	return "A small number is a hint, no proof: two things may have a third behind them."
}

// bullets writes a list. What is foreign in it has gone through line.
func bullets(b *strings.Builder, list []string, none string) {
	if len(list) == 0 {
		list = []string{none}
	}
	for _, l := range list {
		b.WriteString("- " + l + "\n")
	}
}

// inert makes each text one harmless line.
func inert(list []string) []string {
	var out []string
	for _, l := range list {
		out = append(out, line(l))
	}
	return out
}
