package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
)

// What counts as near, fixed beforehand and for every incident alike: chosen after
// the fact, a window finds what it was cut for.
const (
	nearOnset = 48 * time.Hour // before the onset
	afterward = 2 * time.Hour  // after onset or end
	window    = 24 * time.Hour // before the onset, for what incidents have in common
)

// event is something elsewhere that may have to do with an incident.
type event struct {
	at   time.Time
	kind eventKind
	text string
}

type eventKind uint8

const (
	reported eventKind = iota // on Cloudflare's status page
	pushed                    // a version of the managed rules
	updated                   // a version of something in the house
)

// events gives what happened elsewhere, in order.
func events(d Dossier) (list []event) {
	add := func(at time.Time, kind eventKind, format string, args ...any) {
		list = append(list, event{at, kind, fmt.Sprintf(format, args...)})
	}
	versions := map[string]string{} // of each set of rules
	for _, p := range d.History.Pushes {
		at, when := p.At, ""
		if at.IsZero() {
			at, when = p.Seen, " (time of the push not told; first seen then)"
		}
		was := versions[p.Rules]
		versions[p.Rules] = p.Version
		switch {
		case was != "":
			add(at, pushed, "Cloudflare's managed DDoS L7 rules went from version %s to %s%s", was, p.Version, when)
		case p.First:
			add(at, pushed, "Cloudflare's managed DDoS L7 rules: version %s (%s), pushed before watching began%s", p.Version, p.Name, when)
		default:
			add(at, pushed, "Cloudflare's managed DDoS L7 rules: version %s (%s)%s", p.Version, p.Name, when)
		}
	}
	for _, v := range d.History.Versions {
		if v.Was != "" {
			add(v.At, updated, "%s went from %s to %s (seen then)", v.Part, v.Was, v.Version)
		}
	}
	for _, r := range onStatusPage(d.Incident) {
		add(r.Started, reported, "Cloudflare's status page: %s", strings.TrimSpace(fmt.Sprintf("“%s” began (%s, %s; it touches: %s) %s", r.Name, r.Impact, r.Status, r.Why, r.Link)))
		if !r.Resolved.IsZero() {
			add(r.Resolved, reported, "Cloudflare's status page: “%s” resolved", r.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b event) int { return a.at.Compare(b.at) })
	return list
}

// onStatusPage gives the status page's incidents, each as it was told last.
func onStatusPage(i journal.Incident) (list []evidence.Reported) {
	for _, u := range slices.Backward(i.Account.Asked) {
		for _, r := range u.Reports {
			if !slices.ContainsFunc(list, func(o evidence.Reported) bool { return o.Name == r.Name && o.Started.Equal(r.Started) }) {
				list = append(list, r)
			}
		}
	}
	return list
}

// nearby gives the events before and after the onset, as far as they are near, each with
// its distance.
func nearby(d Dossier) (before, after []string) {
	for _, e := range events(d) {
		switch gap := d.Incident.Onset.Sub(e.at); {
		case gap >= 0 && gap <= nearOnset:
			before = append(before, line(fmt.Sprintf("%s, %s before the onset.", e.text, long(gap))))
		case gap < 0 && gap >= -afterward:
			after = append(after, line(fmt.Sprintf("%s, %s after the onset.", e.text, long(gap))))
		}
	}
	return before, after
}

// elsewhere writes what happened elsewhere near the onset, and what the incidents on record
// have in common.
func (d Dossier) elsewhere(b *strings.Builder) {
	before, after := nearby(d)
	list := slices.Concat(before, after)
	if len(list) == 0 {
		list = append(list, "Nothing is known of the two days before the onset and the two hours after it.")
	}
	if n := len(d.Incident.Account.Asked); n == 0 {
		list = append(list, "Cloudflare was not asked about this incident.")
	} else if asked := d.Incident.Account.Asked[n-1]; asked.PageAsked && len(onStatusPage(d.Incident)) == 0 {
		list = append(list, fmt.Sprintf("Cloudflare's status page, asked last at %s, reports nothing that may touch this tunnel. That is no proof: not everything is reported there.", utc(asked.At)))
	}
	bullets(b, append(list, d.common()...))
	b.WriteString("\nThe timeline has these and what came later, marked *elsewhere*.\n")
}

// common tells how many of the incidents on record began soon after a push of rules, or
// after an update. How many such events there were in all stands beside it: what
// happens daily comes before everything.
func (d Dossier) common() (list []string) {
	all := d.all()
	for kind, what := range map[eventKind]string{pushed: "a push of Cloudflare's managed DDoS L7 rules", updated: "a new version of cloudflared, the app, Core or Supervisor"} {
		of := slices.DeleteFunc(events(d), func(e event) bool { return e.kind != kind })
		has := 0
		for _, i := range all {
			if slices.ContainsFunc(of, func(e event) bool { return !e.at.After(i.Onset) && i.Onset.Sub(e.at) <= window }) {
				has++
			}
		}
		if has >= 2 {
			list = append(list, fmt.Sprintf("%d of %d incidents on record began within a day after %s, of which there were %d in %s.", has, len(all), what, len(of), long(d.Now.Sub(d.History.First))))
		}
	}
	slices.Sort(list)
	return list
}

// bullets writes a list. What is foreign in it has gone through line.
func bullets(b *strings.Builder, list []string) {
	for _, l := range list {
		b.WriteString("- " + l + "\n")
	}
}

// inert makes each text one harmless line.
func inert(list []string) (out []string) {
	for _, l := range list {
		out = append(out, line(l))
	}
	return out
}
