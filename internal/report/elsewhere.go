package report

import (
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// What counts as near, fixed beforehand and for every incident alike: chosen after
// the fact, a window finds what it was cut for.
const (
	nearOnset = 48 * time.Hour // before the onset
	afterward = 2 * time.Hour  // after the end
)

// event is something elsewhere that may have to do with an incident.
type event struct {
	at   time.Time
	text string
}

// events gives what happened elsewhere, in order.
func (d Dossier) events() (list []event) {
	versions := map[string]string{} // of each set of rules
	for _, p := range d.History.Pushes {
		key, was := words.Key("report.rules.new"), versions[p.Rules]
		if was != "" {
			key = "report.rules.moved"
		}
		versions[p.Rules] = p.Version
		at := p.At
		if at.IsZero() {
			at = p.Seen
		}
		list = append(list, event{at, say(key, words.With{"names": p.Name, "was": was, "now": p.Version})})
	}
	for _, v := range d.History.Versions {
		if v.Was != "" {
			list = append(list, event{v.At, say("report.updated", words.With{"part": v.Part, "was": v.Was, "now": v.Version})})
		}
	}
	for _, r := range d.onStatusPage() {
		until := ""
		if !r.Resolved.IsZero() {
			until = utc(r.Resolved)
		}
		list = append(list, event{r.Started, say("report.status", words.With{"title": r.Name, "impact": r.Impact, "state": strings.TrimSpace(r.Status + " " + until), "why": r.Why, "link": r.Link})})
	}
	slices.SortStableFunc(list, func(a, b event) int { return a.at.Compare(b.at) })
	return list
}

// newest is what Cloudflare's API said last; zero if it said nothing.
func (d Dossier) newest() evidence.Upstream {
	for _, u := range slices.Backward(d.Incident.Account.Asked) {
		if u.Zone != "" {
			return u
		}
	}
	return evidence.Upstream{}
}

// onStatusPage gives the status page's incidents, each as it was told last.
func (d Dossier) onStatusPage() (list []evidence.Reported) {
	for _, u := range slices.Backward(d.Incident.Account.Asked) {
		for _, r := range u.Reports {
			if !slices.ContainsFunc(list, func(o evidence.Reported) bool { return o.Name == r.Name && o.Started.Equal(r.Started) }) {
				list = append(list, r)
			}
		}
	}
	return list
}

// nearby gives what happened elsewhere from shortly before the onset until shortly after the
// end, each with its distance from the onset.
func (d Dossier) nearby() (before, after []string) {
	onset, until := d.Incident.Onset, d.Now
	if end := d.Incident.Ended; !end.IsZero() {
		until = end.Add(afterward)
	}
	for _, e := range d.events() {
		with := words.With{"at": utc(e.at), "event": e.text, "span": onset.Sub(e.at).Abs()}
		switch {
		case e.at.Before(onset.Add(-nearOnset)), e.at.After(until):
		case e.at.After(onset):
			after = append(after, line(say("report.near.after", with)))
		default:
			before = append(before, line(say("report.near.before", with)))
		}
	}
	return before, after
}

// elsewhere writes what happened elsewhere near the incident.
func (d Dossier) elsewhere(b *strings.Builder) {
	before, after := d.nearby()
	list := slices.Concat(before, after)
	if len(list) == 0 {
		list = append(list, say("report.near.none"))
	}
	if asked := d.Incident.Account.Asked; len(asked) > 0 && asked[len(asked)-1].PageAsked && len(d.onStatusPage()) == 0 {
		list = append(list, say("report.near.page-quiet", words.With{"at": utc(asked[len(asked)-1].At)}))
	}
	bullets(b, list)
}
