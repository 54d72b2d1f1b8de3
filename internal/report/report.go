// Package report writes an incident as a document that a stranger can act on: what
// happened, what was seen, what was tried, what happened elsewhere at that time,
// and what the evidence does and does not support. It reads the journal and asks
// nobody.
package report

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/secret"
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
	section("What happened elsewhere", d.correlation)
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
	i := d.Incident
	fmt.Fprintf(b, "# Incident %s: %s\n\n", i.ID, title(i))
	fmt.Fprintf(b, "Written by Tunnel Medic %s on %s from what it recorded. ", d.Version, utc(d.Now))
	if f == Public {
		b.WriteString("Public form: host names, addresses, ids and the add-on's slug are placeholders, the same one for the same thing. The cf-ray ids are real: Cloudflare's support needs them, and only Cloudflare can look one up.\n")
	} else {
		b.WriteString("Private form: it names your host, addresses and ids. For an issue or a forum take the public form.\n")
	}
}

// title says what failed, in a line.
func title(i journal.Incident) string { return strings.TrimSuffix(cell(summaryOf(i)), ".") }

func (d Dossier) summary(b *strings.Builder) {
	i, a := d.Incident, d.Incident.Account
	fmt.Fprintf(b, "From %s %s Home Assistant's WebSocket could not be opened through the Cloudflare Tunnel%s (cause as diagnosed: `%s`). %s\n\n",
		utc(i.Onset), until(i), partly(i), i.Cause, line(summaryOf(i)))
	how := "It is not over."
	if !i.Ended.IsZero() {
		how = "“" + line(ending(i)) + "” (Tunnel Medic's own words of that moment)"
	}
	fmt.Fprintf(b, "- **End:** %s\n", how)
	fmt.Fprintf(b, "- **Cut off:** about %s, and %s more by Tunnel Medic's own restarts (%d).\n", long(a.Lost), long(a.LostByUs), restarts(i))
	if !i.LastGood.IsZero() {
		fmt.Fprintf(b, "- **Onset:** the last good probe was at %s, the first failed one at %s.\n", utc(i.LastGood), utc(i.Onset))
	} else {
		fmt.Fprintf(b, "- **Onset:** the first failed probe was at %s; no good one is known from before.\n", utc(i.Onset))
	}
	at := Attribute(i)
	fmt.Fprintf(b, "- **Attribution:** `%s`. %s\n", at.Verdict, at.Why)
	if e := nearest(d); e != "" {
		fmt.Fprintf(b, "- **Near the onset:** %s\n", line(e))
	}
}

func until(i journal.Incident) string {
	if i.Ended.IsZero() {
		return "on"
	}
	return fmt.Sprintf("until %s (%s)", utc(i.Ended), long(i.Ended.Sub(i.Onset)))
}

// partly says so where only some of the probes failed at the onset.
func partly(i journal.Incident) string {
	if len(i.Account.Tallies) == 0 {
		return ""
	}
	if t := i.Account.Tallies[0]; t.Probes >= 5 && t.Failures < t.Probes*9/10 {
		return fmt.Sprintf(" in part: %d of %d probes failed (%.0f %%) under the setting at the onset", t.Failures, t.Probes, 100*float64(t.Failures)/float64(t.Probes))
	}
	return ""
}

func ending(i journal.Incident) string {
	if s, _ := step(i, i.Outcome); s != nil {
		return s.Text
	}
	return string(i.Outcome)
}

func restarts(i journal.Incident) (n int) {
	for _, c := range i.Account.Changes {
		n += c.Restarts
	}
	return max(n, i.Restarts)
}

func (d Dossier) environment(b *strings.Builder) {
	i, v := d.Incident, d.Incident.Account.Versions
	row := func(k, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.Trim(text, " ,") != "" {
			fmt.Fprintf(b, "| %s | %s |\n", k, cell(text))
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("Public address", "%s", i.URL)
	row("cloudflared", "%s", v.Cloudflared)
	row("Cloudflared add-on", "%s %s", slug(i), v.AddOn)
	row("Home Assistant Core", "%s", v.Core)
	row("Supervisor", "%s", v.Supervisor)
	row("Operating system", "%s %s", v.OS, brackets(v.Machine))
	row("Protocol: own setting", "%s", flag(i.Own))
	row("Protocol at the onset", "%s, really in use: %s", flag(i.Before), transport(i.Transport))
	if !i.Ended.IsZero() {
		last := evidence.NoTransport
		if r := i.Account.Runs; len(r) > 0 {
			last = r[len(r)-1].Transport
		}
		row("Protocol at the end", "%s, really in use: %s", flag(i.After), transport(last))
	}
	row("Data centres that answered", "%s", strings.Join(colos(i), ", "))
	for _, u := range d.newest() {
		row("Zone: WebSockets", "%s", setting(u.WebSockets))
		row("Zone: HTTP/3 (browser to edge)", "%s", setting(u.HTTP3))
		row("Zone: visitors of this host need a certificate", "%s", setting(u.MutualTLS))
		for _, c := range u.Connectors {
			row("Connector as Cloudflare sees it", "cloudflared %s, %s, since %s, features: %s", c.Version, c.Arch, stamp(c.RunAt), strings.Join(c.Features, ", "))
			row("Its edge sessions", "%s", sessions(c))
		}
		for _, r := range u.Rules {
			row("Managed rules", "%s: version %s, updated %s", r.Name, r.Version, stamp(r.Updated))
		}
	}
}

// newest gives what Cloudflare's API said last, if it said anything.
func (d Dossier) newest() []evidence.Upstream {
	for _, u := range slices.Backward(d.Incident.Account.Asked) {
		if u.Zone != "" {
			return []evidence.Upstream{u}
		}
	}
	return nil
}

type entry struct {
	at   time.Time
	text string
	mark string // "elsewhere" for what was not here
}

func (d Dossier) timeline(b *strings.Builder) {
	i := d.Incident
	var list []entry
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() {
			list = append(list, entry{at, fmt.Sprintf(format, args...), ""})
		}
	}
	add(i.LastGood, "Last good probe%s.", rayAt(i, true, i.LastGood))
	add(i.Onset, "First failed probe%s.", rayAt(i, false, i.Onset))
	for _, s := range i.Steps {
		add(s.At, "%s", s.Text)
	}
	for _, c := range i.Account.Changes {
		if c.Result != policy.Settled { // where it settled a step says so
			add(c.At.Add(c.Took), "Change from %s to %s: %s after %s.", flag(c.From), flag(c.To), c.Result, long(c.Took))
		}
	}
	for _, e := range events(d) {
		from, to := i.Onset.Add(-nearOnset), d.Now
		if !i.Ended.IsZero() {
			to = i.Ended.Add(afterward)
		}
		if e.At.After(from) && !e.At.After(to) {
			list = append(list, entry{e.At, e.Text + ".", "elsewhere"})
		}
	}
	sort.SliceStable(list, func(a, b int) bool { return list[a].at.Before(list[b].at) })
	if n := len(list); n > 80 {
		list = append(append(slices.Clone(list[:40]), entry{list[40].at, fmt.Sprintf("(%d lines left out)", n-80), ""}), list[n-40:]...)
	}
	zone := d.location()
	fmt.Fprintf(b, "| UTC | Local (%s) | |\n|---|---|---|\n", i.Onset.In(zone).Format("UTC-07:00"))
	for _, e := range list {
		text := e.text
		if e.mark != "" {
			text = "*" + e.mark + ":* " + text
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", e.at.UTC().Format("2006-01-02 15:04:05"), e.at.In(zone).Format("Mon 15:04:05"), cell(text))
	}
}

// rayAt gives the cf-ray of the probe at a moment.
func rayAt(i journal.Incident, ok bool, at time.Time) string {
	for _, r := range i.Account.Runs {
		if r.OK != ok {
			continue
		}
		if ok && r.Last != "" && !r.To.After(at.Add(time.Second)) && !r.To.Before(at.Add(-time.Minute)) {
			return ", cf-ray " + r.Last
		}
		if !ok && r.First != "" && !r.From.Before(at.Add(-time.Minute)) {
			return ", cf-ray " + r.First
		}
	}
	return ""
}

func (d Dossier) evidence(b *strings.Builder) {
	a := d.Incident.Account
	b.WriteString("### Probes\n\nEach is a WebSocket handshake (HTTP/1.1) through the public name, to `/api/websocket`.\n\n")
	if len(a.Tallies) > 0 {
		b.WriteString("| Set to | In use | Failed | Of | From (UTC) | To (UTC) |\n|---|---|---:|---:|---|---|\n")
		for _, t := range a.Tallies {
			fmt.Fprintf(b, "| %s | %s | %d | %d | %s | %s |\n", flag(t.Setting), transport(t.Transport), t.Failures, t.Probes, short(t.From), short(t.To))
		}
		b.WriteString("\n")
	}
	if n := len(a.Runs); n > 0 {
		b.WriteString("Their outcomes, equal ones in a row as one line:\n\n| From (UTC) | To (UTC) | Probes | Outcome | In use | First and last cf-ray | Took |\n|---|---|---:|---|---|---|---:|\n")
		for at, r := range a.Runs {
			if n > 44 && at >= 22 && at < n-22 {
				if at == 22 {
					fmt.Fprintf(b, "| … | | | (%d lines left out) | | | |\n", n-44)
				}
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %d ms |\n", short(r.From), short(r.To), r.N, outcome(r), transport(r.Transport), raysOf(r), r.MS)
		}
		b.WriteString("\n")
	}
	if a.Dropped > 0 {
		fmt.Fprintf(b, "%s in the middle were left out of this list; the table above has them.\n\n", count(a.Dropped, "probe"))
	}
	if a.Missed400 > 0 {
		fmt.Fprintf(b, "A second witness: between these probes the connector itself counted %d more answers with status 400 (`cloudflared_tunnel_response_by_code`), from others than Tunnel Medic.\n\n", a.Missed400)
	}
	for _, s := range a.Snapshots {
		fmt.Fprintf(b, "### %s, %s\n\n", upper(s.When), utc(s.At))
		fmt.Fprintf(b, "Diagnosed: `%s`%s. Connector: %d of 4 connections, over %s%s.\n\n", s.Cause, restsOn(s.Rests), s.Ready, transport(s.Transport), line(edges(s.Edges)))
		for _, look := range []struct {
			name string
			a    *journal.Answer
		}{{"Through Cloudflare, WebSocket", s.Public}, {"Through Cloudflare, plain page", s.Page}, {"Straight to Home Assistant, WebSocket", s.Direct}} {
			if look.a != nil {
				fmt.Fprintf(b, "%s (`%s`, %d ms):\n\n%s\n", look.name, strings.ReplaceAll(plain.Sentence(look.a.Asked), "`", "'"), look.a.TookMS, fenced(raw(look.a)))
				if m := meaning(look.a); m != "" {
					b.WriteString(m + "\n\n")
				}
			}
		}
		keys := []string{}
		for k := range s.Seen {
			if !slices.Contains([]string{"public", "page", "direct"}, k) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(b, "- %s: %s\n", line(k), line(s.Seen[k]))
		}
		b.WriteString("\n")
	}
	if len(a.Snapshots) == 0 {
		bullets(b, inert(seenLines(d.Incident.Seen)), "No raw answers were kept.")
	}
}

// raw writes an answer as it came.
func raw(a *journal.Answer) string {
	var b strings.Builder
	if a.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d\n", a.Status)
	} else {
		fmt.Fprintf(&b, "no answer; it got as far as: %s\n", a.Stage)
	}
	if a.Trouble != "" {
		fmt.Fprintf(&b, "%s: %s\n", a.Trouble, plain.Sentence(a.Detail))
	}
	keys := make([]string, 0, len(a.Header))
	for k := range a.Header {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, "%s: %s\n", plain.Name(k), plain.Sentence(a.Header[k]))
	}
	if a.Body != "" {
		b.WriteString("\n" + strings.TrimRight(a.Body, "\n") + "\n")
	}
	return b.String()
}

// meaning explains answers whose text has one origin (aiohttp's web_ws.py).
func meaning(a *journal.Answer) string {
	body := strings.TrimSpace(a.Body)
	switch {
	case a.Status != 400:
		return ""
	case strings.HasPrefix(body, "No WebSocket UPGRADE hdr"):
		return "Home Assistant's web server (aiohttp) writes this text exactly when a request for a WebSocket arrives without `Upgrade: websocket`. The probe sent that header, so it was lost on the way."
	case strings.HasPrefix(body, "No CONNECTION upgrade hdr"):
		return "aiohttp writes this when `Upgrade` arrived and `Connection: upgrade` did not: the header was replaced on the way."
	case strings.HasPrefix(body, "Handshake error"):
		return "aiohttp writes this when `Sec-WebSocket-Key` did not arrive."
	case strings.HasPrefix(body, "Unsupported version"):
		return "aiohttp writes this when `Sec-WebSocket-Version` did not arrive."
	}
	return ""
}

func (d Dossier) tried(b *strings.Builder) {
	i := d.Incident
	if len(i.Account.Changes) == 0 {
		b.WriteString("Nothing was changed.\n")
		return
	}
	b.WriteString("| At (UTC) | Why | Set from → to | In use before → after | Result | Restarts | Took |\n|---|---|---|---|---|---:|---:|\n")
	for _, c := range i.Account.Changes {
		fmt.Fprintf(b, "| %s | %s | %s → %s | %s → %s | %s | %d | %s |\n", short(c.At), why(c.Purpose), flag(c.From), flag(c.To), transport(c.Before), transport(c.After), cell(string(c.Result)), c.Restarts, long(c.Took))
	}
	b.WriteString("\nHow the probes went under each is in the first table of the evidence. The tunnel's other options were not touched.\n")
}

func (d Dossier) attribution(b *strings.Builder) {
	a := Attribute(d.Incident)
	fmt.Fprintf(b, "**Verdict: `%s`.** %s\n", a.Verdict, a.Why)
	if a.Open != "" {
		fmt.Fprintf(b, "\nWhat stays open: %s\n", a.Open)
	}
	fmt.Fprintf(b, "\n%s\n", doubt)
}

func (d Dossier) about(b *strings.Builder, f Form) {
	var notes []string
	for _, u := range d.Incident.Account.Asked {
		for _, t := range u.Troubles {
			if !slices.Contains(notes, t) {
				notes = append(notes, t)
			}
		}
	}
	if len(d.Incident.Account.Asked) > 0 && len(d.newest()) == 0 && len(notes) == 0 {
		notes = append(notes, "Without a cloudflare_api_token the zone's settings, the tunnel's sessions and the rules' versions are not known.")
	}
	if len(d.Incident.Account.Snapshots) == 0 {
		notes = append(notes, "No raw answers were kept for this incident.")
	}
	bullets(b, append(inert(notes),
		"The probe is made from inside the house to the public name; a browser elsewhere may fare otherwise. What browsers met shows only in the connector's own count of 400s.",
		"Versions are noted when they are seen: a change lies between two looks.",
		"The rules' version is asked for daily and at an incident's beginning and end: of several pushes between two questions only the last is seen."), "")
	if f == Public {
		b.WriteString("- Read it through before you publish it: what a page of your own says could not be known when this was written.\n")
	}
}
