// Package report writes an incident as a document that a stranger can act on: what
// happened, what was seen, what was tried, what happened elsewhere at that time,
// and what the evidence does and does not support. It reads the journal and asks
// nobody.
package report

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/secret"
	"tunnelmedic/internal/words"
)

// Form is for whom a report is.
type Form uint8

const (
	Public  Form = iota // names, host names, addresses and ids are placeholders
	Private             // as they are; secrets are in neither form
)

// Dossier is what a report is made from.
type Dossier struct {
	Incident journal.Incident
	History  journal.History
	Now      time.Time
	Version  string              // of this program
	Scrub    func(string) string // cuts secrets out; nil: those that are known by their shape
}

// Of gathers the dossier of an incident; ok is false if there is none of this id.
// "" is the newest.
func Of(j *journal.Journal, id string, now time.Time, version string) (d Dossier, ok bool) {
	d = Dossier{History: j.History(), Now: now, Version: version}
	if list := j.Incidents(); id == "" && len(list) > 0 {
		id = list[0].ID
	}
	d.Incident, ok = j.Incident(id)
	return d, ok
}

// Markdown writes the report.
func Markdown(d Dossier, f Form) string {
	if f == Public {
		d.Incident.Account.Snapshots = public(d.Incident.Account.Snapshots)
	}
	var b strings.Builder
	d.title(&b, f)
	for _, section := range []struct {
		name  string
		write func(*strings.Builder)
	}{
		{"Summary", d.summary},
		{"Environment", d.environment},
		{"Timeline", d.timeline},
		{"Evidence", d.evidence},
		{"What was ruled out, and how", d.ruledOut},
		{"What was tried", d.tried},
		{"What happened elsewhere", d.elsewhere},
		{"See for yourself", d.commands},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", section.name)
		section.write(&b)
	}
	if d.Scrub == nil {
		d.Scrub = new(secret.Keeper).Scrub
	}
	text := d.Scrub(b.String())
	if f == Public {
		own, _ := url.Parse(d.Incident.URL)
		text = newVeil(own).over(text)
	}
	return text
}

func (d Dossier) title(b *strings.Builder, f Form) {
	cause := words.English().Cause(d.Incident.Cause)
	fmt.Fprintf(b, "# %s\n\n", strings.TrimSuffix(line(say("report.title", words.With{"incident": d.Incident.ID, "summary": cause})), "."))
	form := words.Key("report.form.private")
	if f == Public {
		form = "report.form.public"
	}
	b.WriteString(say("report.written", words.With{"version": d.Version, "at": utc(d.Now)}) + " " + say(form) + "\n")
}

func (d Dossier) summary(b *strings.Builder) {
	i, a := d.Incident, d.Incident.Account
	key := words.Key("report.summary.open")
	if !i.Ended.IsZero() {
		key = "report.summary.over"
	}
	said := say(key, words.With{"onset": utc(i.Onset), "end": utc(i.Ended), "span": i.Ended.Sub(i.Onset)})
	fmt.Fprintf(b, "%s%s `%s`: %s\n\n", said, partly(a), i.Cause, line(words.English().Cause(i.Cause)))

	restarts := 0
	for _, c := range a.Changes {
		restarts += c.Restarts
	}
	fmt.Fprintf(b, "- **Cut off:** %s\n", say("report.cut-off", words.With{"span": a.Lost, "ours": a.LostByUs, "restarts": words.Count{N: max(restarts, i.Restarts), Of: "count.restarts"}}))
	at := Attribute(i)
	fmt.Fprintf(b, "- **Verdict: `%s`.** %s\n", at.Verdict, at.Why)
	if before, after := d.nearby(); len(before) > 0 {
		fmt.Fprintf(b, "- **Near the onset:** %s\n", before[len(before)-1])
	} else if len(after) > 0 {
		fmt.Fprintf(b, "- **Near the onset:** %s\n", after[0])
	}
}

// partly says so where only some of the checks failed at the onset.
func partly(a journal.Account) string {
	if len(a.Tallies) == 0 || a.Tallies[0].Probes < 5 || a.Tallies[0].Failures >= a.Tallies[0].Probes*9/10 {
		return ""
	}
	return " " + say("report.partly", words.With{"lost": a.Tallies[0].Failures, "checks": checks(a.Tallies[0].Probes)})
}

func (d Dossier) environment(b *strings.Builder) {
	i, v, u := d.Incident, d.Incident.Account.Versions, d.newest()
	row := func(k, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.Trim(text, " ,()") != "" {
			fmt.Fprintf(b, "| %s | %s |\n", k, line(strings.TrimSuffix(text, " ()")))
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("Public address", "%s", i.URL)
	row("cloudflared", "%s", v.Cloudflared)
	row("Cloudflared app", "%s %s", i.App, v.AddOn)
	row("Home Assistant Core", "%s", v.Core)
	row("Supervisor", "%s", v.Supervisor)
	row("Operating system", "%s (%s)", v.OS, v.Machine)
	row("Protocol: your own setting", "%s", flag(i.Own))
	row("Protocol at the onset", "%s, in use: %s", flag(i.Before), transport(i.Transport))
	if r := i.Account.Runs; !i.Ended.IsZero() && len(r) > 0 {
		row("Protocol at the end", "%s, in use: %s", flag(i.After), transport(r[len(r)-1].Transport))
	}
	row("Data centres that failed checks met", "%s", strings.Join(colos(i.Account.Runs, false), ", "))
	row("Data centres that good checks met", "%s", strings.Join(colos(i.Account.Runs, true), ", "))

	row("Zone: WebSockets", "%s", setting(u.WebSockets))
	row("Zone: HTTP/3 (browser to edge)", "%s", setting(u.HTTP3))
	row("Zone: visitors of this host need a certificate", "%s", setting(u.MutualTLS))
	for _, c := range u.Connectors {
		row("Connector as Cloudflare sees it", "cloudflared %s, since %s, connected to %s, features: %s", c.Version, utc(c.RunAt), strings.Join(c.Colos, ", "), strings.Join(c.Features, ", "))
	}
	for _, r := range u.Rules {
		row("Managed rules", "%s: version %s, updated %s", r.Name, r.Version, utc(r.Updated))
	}
	d.gaps(b)
}

// gaps says why Cloudflare's word is not, or not wholly, to be had.
func (d Dossier) gaps(b *strings.Builder) {
	var notes []string
	for _, u := range d.Incident.Account.Asked {
		for _, t := range words.English().Texts(words.Gaps(u.Troubles)) {
			if !slices.Contains(notes, line(t)) {
				notes = append(notes, line(t))
			}
		}
	}
	if len(notes) == 0 && d.newest().Zone == "" {
		notes = append(notes, say("report.no-token"))
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	bullets(b, notes)
}
