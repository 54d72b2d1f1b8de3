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
	Others   []journal.Incident // all on record; the one at hand may be among them
	History  journal.History
	Location *time.Location // nil: the history's time zone
	Now      time.Time
	Version  string              // of this program
	Scrub    func(string) string // cuts secrets out; nil: those that are known by their shape
}

// Of gathers the dossier of an incident; ok is false if there is none of this id.
// "" is the newest.
func Of(j *journal.Journal, id string, now time.Time, version string) (d Dossier, ok bool) {
	d = Dossier{Others: j.Incidents(), History: j.History(), Now: now, Version: version}
	if id == "" && len(d.Others) > 0 {
		d.Incident = d.Others[0]
		return d, true
	}
	d.Incident, ok = j.Incident(id)
	return d, ok
}

// Name is the file name that a report is downloaded under.
func (d Dossier) Name(f Form) string {
	if f == Private {
		return "tunnelmedic-" + d.Incident.ID + "-private.md"
	}
	return "tunnelmedic-" + d.Incident.ID + ".md"
}

// all gives every incident that is known, the one at hand included.
func (d Dossier) all() []journal.Incident {
	if slices.ContainsFunc(d.Others, func(i journal.Incident) bool { return i.ID == d.Incident.ID }) {
		return d.Others
	}
	return append(slices.Clone(d.Others), d.Incident)
}

func (d Dossier) location() *time.Location {
	if d.Location != nil {
		return d.Location
	}
	if l, err := time.LoadLocation(d.History.TimeZone); err == nil && d.History.TimeZone != "" {
		return l
	}
	return time.UTC
}

// Markdown writes the report.
func Markdown(d Dossier, f Form) string {
	if d.Now.IsZero() {
		d.Now = time.Now()
	}
	if f == Public {
		d = d.public()
	}
	var b strings.Builder
	d.title(&b, f)
	section := func(name string, write func(*strings.Builder)) {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		write(&b)
	}
	section("Summary", d.summary)
	section("Environment", d.environment)
	section("Timeline", d.timeline)
	section("Evidence", d.evidence)
	section("What was ruled out, and how", d.ruledOut)
	section("What was tried", d.tried)
	section("What happened elsewhere", d.elsewhere)
	section("Attribution", d.attribution)
	section("See for yourself", d.commands)
	section("The month at a glance", func(b *strings.Builder) { b.WriteString(MonthOf(d.History, d.all(), d.Now).Markdown()) })
	section("About this report", func(b *strings.Builder) { d.about(b, f) })
	text := b.String()
	if d.Scrub == nil {
		d.Scrub = new(secret.Keeper).Scrub
	}
	text = d.Scrub(text)
	if f == Public {
		own, _ := url.Parse(d.Incident.URL)
		text = newVeil(own).over(text)
	}
	return text
}

// public takes out what no pattern would find: bodies that are not the same for
// everyone, and what stands behind a question mark.
func (d Dossier) public() Dossier {
	d.Incident.Account.Snapshots = slices.Clone(d.Incident.Account.Snapshots)
	for n := range d.Incident.Account.Snapshots {
		s := &d.Incident.Account.Snapshots[n]
		for _, a := range []**journal.Answer{&s.Public, &s.Page, &s.Direct} {
			if *a == nil {
				continue
			}
			c := **a
			c.Body = publicBody(c.Body, c.Header["Content-Type"])
			c.Header = map[string]string{}
			for k, v := range (**a).Header {
				if strings.HasPrefix(k, "Cf-Access-") || k == "Www-Authenticate" {
					v = "(set)"
				}
				c.Header[k] = v
			}
			*a = &c
		}
	}
	return d
}

func (d Dossier) title(b *strings.Builder, f Form) {
	fmt.Fprintf(b, "# %s\n\n", strings.TrimSuffix(line(say("report.title", words.With{"incident": d.Incident.ID, "summary": summaryOf(d.Incident)})), "."))
	form := words.Key("report.form.private")
	if f == Public {
		form = "report.form.public"
	}
	b.WriteString(say("report.written", words.With{"version": d.Version, "at": utc(d.Now)}) + " " + say(form) + "\n")
}

func (d Dossier) summary(b *strings.Builder) {
	i, a := d.Incident, d.Incident.Account
	with := words.With{"onset": utc(i.Onset), "end": utc(i.Ended), "span": i.Ended.Sub(i.Onset), "good": utc(i.LastGood)}
	key, end, onset := words.Key("report.summary.open"), say("report.why.not-over"), say("report.onset.first", with)
	if !i.Ended.IsZero() {
		key, end = "report.summary.over", line(say("report.end", words.With{"step": ending(i)}))
	}
	if !i.LastGood.IsZero() {
		onset = say("report.onset.good", with)
	}
	fmt.Fprintf(b, "%s%s `%s`: %s\n\n", say(key, with), partly(i), i.Cause, line(summaryOf(i)))
	fmt.Fprintf(b, "- **End:** %s\n", end)
	fmt.Fprintf(b, "- **Cut off:** %s\n", say("report.cut-off", words.With{"span": a.Lost, "ours": a.LostByUs, "restarts": words.Count{N: restarts(i), Of: "count.restarts"}}))
	fmt.Fprintf(b, "- **Onset:** %s\n", onset)
	at := Attribute(i)
	fmt.Fprintf(b, "- **Attribution:** `%s`. %s\n", at.Verdict, at.Why)
	if before, after := nearby(d); len(before) > 0 {
		fmt.Fprintf(b, "- **Near the onset:** %s\n", before[len(before)-1])
	} else if len(after) > 0 {
		fmt.Fprintf(b, "- **Near the onset:** %s\n", after[0])
	}
}

// partly says so where only some of the checks failed at the onset.
func partly(i journal.Incident) string {
	if len(i.Account.Tallies) == 0 {
		return ""
	}
	t := i.Account.Tallies[0]
	if t.Probes < 5 || t.Failures >= t.Probes*9/10 {
		return ""
	}
	return " " + say("report.partly", words.With{"lost": t.Failures, "checks": words.Count{N: t.Probes, Of: "count.checks"}})
}

func ending(i journal.Incident) string {
	if s := step(i, i.Outcome); s != nil {
		return words.English().Step(*s)
	}
	return i.Outcome.String()
}

func restarts(i journal.Incident) (n int) {
	for _, c := range i.Account.Changes {
		n += c.Restarts
	}
	return max(n, i.Restarts)
}
