package report

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

func (d Dossier) timeline(b *strings.Builder) {
	i, zone := d.Incident, d.location()
	fmt.Fprintf(b, "| UTC | Local (%s) | |\n|---|---|---|\n", i.Onset.In(zone).Format("UTC-07:00"))
	row := func(at time.Time, text string) {
		if !at.IsZero() {
			fmt.Fprintf(b, "| %s | %s | %s |\n", at.UTC().Format(time.DateTime), at.In(zone).Format("Mon 15:04:05"), line(text))
		}
	}
	row(i.LastGood, say("report.line.good"))
	row(i.Onset, say("report.line.first"))
	ends(b, i.Steps, 40, "| … | | %s |\n", func(s policy.Step) { row(s.At, words.English().Step(s)) })
}

// location is where the house is.
func (d Dossier) location() *time.Location {
	if l, err := time.LoadLocation(d.History.TimeZone); err == nil {
		return l
	}
	return time.UTC
}

// ends writes a list's first and last n items, and between them how many were left out.
func ends[T any](b *strings.Builder, list []T, n int, left string, write func(T)) {
	for at, x := range list {
		switch {
		case at < n, at >= len(list)-n:
			write(x)
		case at == n:
			fmt.Fprintf(b, left, say("report.lines-left-out", words.With{"n": len(list) - 2*n}))
		}
	}
}

func (d Dossier) evidence(b *strings.Builder) {
	d.checks(b)
	for _, s := range d.Incident.Account.Snapshots {
		moment(b, s)
	}
}

// checks writes how the checks went.
func (d Dossier) checks(b *strings.Builder) {
	a := d.Incident.Account
	b.WriteString("### Checks\n\n" + say("report.checks") + "\n\n")
	if len(a.Tallies) > 0 {
		b.WriteString("| Set to | In use | Failed | Of | From (UTC) | To (UTC) |\n|---|---|---:|---:|---|---|\n")
		for _, t := range a.Tallies {
			fmt.Fprintf(b, "| %s | %s | %d | %d | %s | %s |\n", flag(t.Setting), transport(t.Transport), t.Failures, t.Probes, short(t.From), short(t.To))
		}
		b.WriteString("\n")
	}
	if len(a.Runs) > 0 {
		b.WriteString(say("report.outcomes") + "\n\n| From (UTC) | To (UTC) | Checks | Outcome | In use | First and last cf-ray |\n|---|---|---:|---|---|---|\n")
		ends(b, a.Runs, 22, "| … | | | %s | | |\n", func(r journal.Run) {
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s |\n", short(r.From), short(r.To), r.N, outcome(r), transport(r.Transport), rays(r))
		})
		b.WriteString("\n")
	}
	if n := slices.IndexFunc(d.Incident.Steps, func(s policy.Step) bool { return s.Rarity.Years >= detect.Rarely }); n >= 0 {
		b.WriteString(words.English().Text(words.Rarity(d.Incident.Steps[n].Rarity)) + "\n\n")
	}
	if a.Dropped > 0 {
		b.WriteString(say("report.dropped", words.With{"n": a.Dropped}) + "\n\n")
	}
	if a.Missed400 > 0 {
		b.WriteString(say("report.missed400", words.With{"n": int64(a.Missed400)}) + "\n\n")
	}
}

// moments are what the step was at which the evidence was kept.
var moments = map[policy.StepKind]words.Key{
	policy.StepAlarm: "report.moment.alarm", policy.StepRefused: "report.moment.refused", policy.StepCured: "report.moment.well", policy.StepRecovered: "report.moment.well",
	policy.StepReturning: "report.moment.returning", policy.StepFailedBack: "report.moment.failed-back",
}

// moment writes the evidence of one moment.
func moment(b *strings.Builder, s journal.Snapshot) {
	fmt.Fprintf(b, "### %s, %s\n\n`%s`.", line(say(moments[s.Step], words.With{"protocol": s.Setting})), utc(s.At), s.Cause)
	if s.Cause != diagnosis.Healthy {
		basis := words.English().Basis(diagnosis.Diagnosis{Cause: s.Cause, Particulars: diagnosis.Particulars{Basis: s.Basis}})
		b.WriteString(" " + line(say("report.based-on", words.With{"basis": strings.TrimSuffix(basis, ".")})))
	}
	b.WriteString(" " + say("report.connector", words.With{"n": s.Ready, "over": transport(s.Transport)}))
	if len(s.Edges) > 0 {
		b.WriteString(" " + line(say("report.edges", words.With{"places": strings.Join(s.Edges, ", ")})))
	}
	b.WriteString("\n\n")
	for _, look := range []struct {
		name words.Key
		a    *journal.Answer
	}{{"page.seen.public", s.Public}, {"page.seen.page", s.Page}, {"page.seen.direct", s.Direct}} {
		if look.a == nil {
			continue
		}
		fmt.Fprintf(b, "%s (`%s`, %d ms):\n\n%s\n", say(look.name), strings.ReplaceAll(plain.Sentence(look.a.Asked), "`", "'"), look.a.TookMS, fenced(raw(look.a)))
		// Its web server's own words, and they have one origin: aiohttp's web_ws.py.
		if look.a.Status == 400 && strings.HasPrefix(strings.TrimSpace(look.a.Body), "No WebSocket UPGRADE hdr") {
			b.WriteString(say("report.aiohttp") + "\n\n")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Seen)) {
		if k != "public" && k != "page" && k != "direct" { // they stand above, as they came
			fmt.Fprintf(b, "- %s: %s\n", line(k), line(s.Seen[k]))
		}
	}
	b.WriteString("\n")
}

// raw writes an answer as it came.
func raw(a *journal.Answer) string {
	var b strings.Builder
	if a.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d\n", a.Status)
	} else {
		b.WriteString(say("report.no-answer", words.With{"step": a.Stage}) + "\n")
	}
	if a.Trouble != "" {
		fmt.Fprintf(&b, "%s: %s\n", a.Trouble, plain.Sentence(a.Detail))
	}
	for _, k := range slices.Sorted(maps.Keys(a.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", plain.Name(k), plain.Sentence(a.Header[k]))
	}
	if a.Body != "" {
		b.WriteString("\n" + strings.TrimRight(a.Body, "\n") + "\n")
	}
	return b.String()
}

// ruledOut writes what the evidence excludes, and what it leaves open.
func (d Dossier) ruledOut(b *strings.Builder) {
	a := d.Incident.Account
	n := slices.IndexFunc(a.Snapshots, func(s journal.Snapshot) bool { return s.Cause != diagnosis.Healthy })
	if n < 0 {
		b.WriteString(say("report.ruled-out.nothing") + "\n")
		return
	}
	var out, open []string
	rule := func(excluded bool, how, not string) {
		if excluded {
			out = append(out, how)
		} else if not != "" {
			open = append(open, not)
		}
	}
	page, direct, u := deref(a.Snapshots[n].Page), deref(a.Snapshots[n].Direct), d.newest()
	rule(direct.Status == 101 && direct.Trouble == "", say("report.ruled-out.home-assistant"), say("report.not-ruled-out.home-assistant"))
	rule(page.Status > 0 && page.Status < 400 && page.Header["Cf-Ray"] != "", say("report.ruled-out.tunnel", words.With{"status": page.Status}), say("report.not-ruled-out.tunnel"))
	if u.WebSockets != nil && u.WebSockets.Value == "on" {
		rule(true, say("report.ruled-out.websockets"), "")
	} else {
		good := !d.Incident.LastGood.IsZero() || slices.ContainsFunc(a.Runs, func(r journal.Run) bool { return r.OK })
		rule(good, say("report.ruled-out.websockets-for-good"), say("report.not-ruled-out.websockets"))
	}
	over := map[evidence.Transport]bool{}
	for _, t := range a.Tallies {
		over[t.Transport] = over[t.Transport] || t.Failures >= 2
	}
	rule(over[evidence.OverQUIC] && over[evidence.OverHTTP2], say("report.ruled-out.transport"), "")
	bullets(b, out)
	if len(open) > 0 {
		b.WriteString("\n" + say("report.not-ruled-out") + "\n\n")
		bullets(b, open)
	}
}

func (d Dossier) tried(b *strings.Builder) {
	if len(d.Incident.Account.Changes) == 0 {
		b.WriteString(say("report.nothing-changed") + "\n")
		return
	}
	b.WriteString("| At (UTC) | Why | Set from → to | In use before → after | Result | Restarts | Took |\n|---|---|---|---|---|---:|---:|\n")
	for _, c := range d.Incident.Account.Changes {
		fmt.Fprintf(b, "| %s | %s | %s → %s | %s → %s | %s | %d | %s |\n", short(c.At), c.Purpose,
			flag(c.From), flag(c.To), transport(c.Before), transport(c.After), line(words.English().Text(words.Result(c.Result))), c.Restarts, words.English().Write(c.Took))
	}
	b.WriteString("\n" + say("report.tried") + "\n")
}

// commandsPage is what anyone can run to see the same, from the outside in. It needs curl.
//
//go:embed commands.md
var commandsPage string

func (d Dossier) commands(b *strings.Builder) {
	base := strings.ReplaceAll(strings.TrimRight(d.Incident.URL, "/"), "'", `'\''`) // it is pasted into a shell, and a foreign app may have chosen it
	b.WriteString(strings.ReplaceAll(commandsPage, "{{URL}}", base))
}
