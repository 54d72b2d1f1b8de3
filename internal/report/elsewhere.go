package report

import (
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
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
	add := func(at time.Time, kind eventKind, key words.Key, with words.With) {
		list = append(list, event{at, kind, say(key, with)})
	}
	versions := map[string]string{} // of each set of rules
	for _, p := range d.History.Pushes {
		at, push := p.At, words.With{"was": versions[p.Rules], "now": p.Version, "names": p.Name}
		if at.IsZero() {
			at = p.Seen
		}
		was := versions[p.Rules]
		versions[p.Rules] = p.Version
		switch {
		case was != "" && p.At.IsZero():
			add(at, pushed, "report.rules.seen", push)
		case was != "":
			add(at, pushed, "report.rules.moved", push)
		case p.First:
			add(at, pushed, "report.rules.found", push)
		case p.At.IsZero():
			add(at, pushed, "report.rules.new-seen", push)
		default:
			add(at, pushed, "report.rules.new", push)
		}
	}
	for _, v := range d.History.Versions {
		if v.Was != "" {
			add(v.At, updated, "report.updated", words.With{"part": v.Part, "was": v.Was, "now": v.Version})
		}
	}
	for _, r := range onStatusPage(d.Incident) {
		add(r.Started, reported, "report.status.began", words.With{"title": r.Name, "impact": r.Impact, "state": r.Status, "why": r.Why, "link": r.Link})
		if !r.Resolved.IsZero() {
			add(r.Resolved, reported, "report.status.resolved", words.With{"title": r.Name})
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
			before = append(before, line(say("report.near.before", words.With{"event": e.text, "span": gap})))
		case gap < 0 && gap >= -afterward:
			after = append(after, line(say("report.near.after", words.With{"event": e.text, "span": gap.Abs()})))
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
		list = append(list, say("report.near.none"))
	}
	if n := len(d.Incident.Account.Asked); n == 0 {
		list = append(list, say("report.near.not-asked"))
	} else if asked := d.Incident.Account.Asked[n-1]; asked.PageAsked && len(onStatusPage(d.Incident)) == 0 {
		list = append(list, say("report.near.page-quiet", words.With{"at": utc(asked.At)}))
	}
	bullets(b, append(list, d.common()...))
	b.WriteString("\n" + say("report.near.timeline") + "\n")
}

// common tells how many of the incidents on record began soon after a push of rules, or
// after an update. How many such events there were in all is told with it: what
// happens daily comes before everything.
func (d Dossier) common() (list []string) {
	all := d.all()
	for kind, key := range map[eventKind]words.Key{pushed: "report.common.pushes", updated: "report.common.updates"} {
		of := slices.DeleteFunc(events(d), func(e event) bool { return e.kind != kind })
		has := 0
		for _, i := range all {
			if slices.ContainsFunc(of, func(e event) bool { return !e.at.After(i.Onset) && i.Onset.Sub(e.at) <= window }) {
				has++
			}
		}
		if has >= 2 {
			list = append(list, say(key, words.With{"began": has, "incidents": len(all), "n": len(of), "span": d.Now.Sub(d.History.First)}))
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
