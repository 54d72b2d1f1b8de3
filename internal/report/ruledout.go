package report

import (
	"slices"
	"strings"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// exclusions are what the evidence rules out, each with how, and what it does not.
type exclusions struct{ out, not []string }

// rule notes what is excluded if it is, and what is not if that is worth saying.
func (x *exclusions) rule(excluded bool, how, not string) {
	switch {
	case excluded:
		x.out = append(x.out, how)
	case not != "":
		x.not = append(x.not, not)
	}
}

// ruledOut writes what the evidence excludes.
func (d Dossier) ruledOut(b *strings.Builder) {
	var x exclusions
	shots := d.Incident.Account.Snapshots
	if n := slices.IndexFunc(shots, func(s journal.Snapshot) bool { return s.Cause != diagnosis.Healthy }); n >= 0 {
		x.atThatMoment(shots[n])
		x.atCloudflare(d.newest(), anyGood(d.Incident))
		x.overTime(d.Incident)
		x.updates(d)
	}
	if len(x.out)+len(x.not) == 0 {
		b.WriteString(say("report.ruled-out.nothing") + "\n")
	}
	bullets(b, x.out)
	if len(x.not) > 0 {
		b.WriteString("\n" + say("report.not-ruled-out") + "\n\n")
		bullets(b, x.not)
	}
}

// atThatMoment weighs what was seen at one moment.
func (x *exclusions) atThatMoment(s journal.Snapshot) {
	public, page, direct := deref(s.Public), deref(s.Page), deref(s.Direct)
	x.rule(direct.Status == 101 && direct.Trouble == "", say("report.ruled-out.home-assistant"),
		say("report.not-ruled-out.home-assistant"))
	x.rule(page.Status > 0 && page.Status < 400 && page.Header["Cf-Ray"] != "",
		say("report.ruled-out.tunnel", words.With{"status": page.Status}),
		say("report.not-ruled-out.tunnel"))
	x.rule(public.Header["Cf-Ray"] != "", say("report.ruled-out.past-cloudflare"), "")
	x.rule(public.Status == 0 && public.Header["Cf-Ray"] == "" && page.Header["Cf-Ray"] != "",
		say("report.ruled-out.past-cloudflare-page"), "")
	x.rule(s.Internet == evidence.InternetUp, say("report.ruled-out.internet"), "")
	x.rule(s.Ready > 0, say("report.ruled-out.connector", words.With{"n": s.Ready, "over": transport(s.Transport)}),
		say("report.not-ruled-out.connector"))
	x.rule(!slices.Contains([]int{0, 302, 401, 403, 429}, public.Status), say("report.ruled-out.walls"), "")
}

// atCloudflare weighs the zone's settings, as far as they are known.
func (x *exclusions) atCloudflare(u evidence.Upstream, good bool) {
	if u.WebSockets != nil && u.WebSockets.Value == "on" {
		x.rule(true, say("report.ruled-out.websockets"), "")
	} else {
		x.rule(good, say("report.ruled-out.websockets-for-good"),
			say("report.not-ruled-out.websockets"))
	}
	if u.MutualTLS == nil || u.HTTP3 == nil {
		x.rule(false, "", say("report.not-ruled-out.browsers-unknown"))
		return
	}
	x.rule(u.MutualTLS.Value != "on" || u.HTTP3.Value != "on",
		say("report.ruled-out.browsers"),
		say("report.not-ruled-out.browsers"))
}

// overTime weighs what the checks met in the course of the incident.
func (x *exclusions) overTime(i journal.Incident) {
	bad, same := map[string]bool{}, false
	for _, r := range i.Account.Runs {
		bad[r.Colo] = bad[r.Colo] || !r.OK
	}
	for _, r := range i.Account.Runs {
		same = same || r.OK && r.Colo != "" && bad[r.Colo]
	}
	x.rule(same, say("report.ruled-out.data-centre"),
		say("report.not-ruled-out.data-centre"))

	over := map[evidence.Transport]bool{}
	for _, t := range i.Account.Tallies {
		over[t.Transport] = over[t.Transport] || t.Failures >= 2
	}
	x.rule(over[evidence.OverQUIC] && over[evidence.OverHTTP2], say("report.ruled-out.transport"), "")
}

// updates weighs what was updated in the house before the onset.
func (x *exclusions) updates(d Dossier) {
	var changed []string
	for _, v := range d.History.Versions {
		if gap := d.Incident.Onset.Sub(v.At); v.Was != "" && gap > 0 && gap <= nearOnset {
			changed = append(changed, line(say("report.version", words.With{"part": v.Part, "was": v.Was, "now": v.Version})))
		}
	}
	if len(changed) > 0 {
		x.rule(false, "", say("report.not-ruled-out.changed")+" "+strings.Join(changed, "; ")+".")
		return
	}
	x.rule(!d.History.First.IsZero() && d.Incident.Onset.Sub(d.History.First) >= nearOnset,
		say("report.ruled-out.update"),
		say("report.not-ruled-out.update"))
}

func deref(a *journal.Answer) journal.Answer {
	if a == nil {
		return journal.Answer{}
	}
	return *a
}

func anyGood(i journal.Incident) bool {
	return !i.LastGood.IsZero() || slices.ContainsFunc(i.Account.Runs, func(r journal.Run) bool { return r.OK })
}
