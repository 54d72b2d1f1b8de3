package report

import (
	"cmp"
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

func (d Dossier) environment(b *strings.Builder) {
	i, v := d.Incident, d.Incident.Account.Versions
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
	if !i.Ended.IsZero() {
		last := evidence.NoTransport
		if r := i.Account.Runs; len(r) > 0 {
			last = r[len(r)-1].Transport
		}
		row("Protocol at the end", "%s, in use: %s", flag(i.After), transport(last))
	}
	row("Data centres that answered", "%s", strings.Join(colos(i), ", "))

	u := d.newest()
	row("Zone: WebSockets", "%s", setting(u.WebSockets))
	row("Zone: HTTP/3 (browser to edge)", "%s", setting(u.HTTP3))
	row("Zone: visitors of this host need a certificate", "%s", setting(u.MutualTLS))
	for _, c := range u.Connectors {
		row("Connector as Cloudflare sees it", "cloudflared %s, %s, since %s, features: %s", c.Version, c.Arch, utc(c.RunAt), strings.Join(c.Features, ", "))
		row("Its edge sessions", "%s", sessions(c))
	}
	for _, r := range u.Rules {
		row("Managed rules", "%s: version %s, updated %s", r.Name, r.Version, utc(r.Updated))
	}
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

// entry is a line of the timeline, its text harmless already.
type entry struct {
	at   time.Time
	text string
}

func (d Dossier) timeline(b *strings.Builder) {
	i := d.Incident
	var list []entry
	add := func(at time.Time, text string) {
		if !at.IsZero() {
			list = append(list, entry{at, line(text)})
		}
	}
	add(i.LastGood, say("report.line.good"))
	if ray := firstRay(i); ray != "" {
		add(i.Onset, say("report.line.first-ray", words.With{"ray": ray}))
	} else {
		add(i.Onset, say("report.line.first"))
	}
	for _, s := range i.Steps {
		add(s.At, words.English().Step(s))
	}
	for _, c := range i.Account.Changes {
		if c.Result != policy.Settled { // where it settled a step says so
			add(c.At.Add(c.Took), say("report.line.change", words.With{"was": flag(c.From), "now": flag(c.To), "result": words.Result(c.Result), "span": c.Took}))
		}
	}
	until := d.Now
	if !i.Ended.IsZero() {
		until = i.Ended.Add(afterward)
	}
	for _, e := range events(d) {
		if e.at.After(i.Onset.Add(-nearOnset)) && !e.at.After(until) {
			list = append(list, entry{e.at, "*elsewhere:* " + line(e.text+".")})
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return a.at.Compare(b.at) })

	zone := d.location()
	fmt.Fprintf(b, "| UTC | Local (%s) | |\n|---|---|---|\n", i.Onset.In(zone).Format("UTC-07:00"))
	ends(b, list, 40, "| … | | %s |\n", func(e entry) {
		fmt.Fprintf(b, "| %s | %s | %s |\n", e.at.UTC().Format(time.DateTime), e.at.In(zone).Format("Mon 15:04:05"), e.text)
	})
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
	a := d.Incident.Account
	checks(b, d.Incident)
	for _, s := range a.Snapshots {
		moment(b, s)
	}
	if len(a.Snapshots) == 0 {
		b.WriteString(say("report.no-answers") + "\n\n")
		seen(b, d.Incident.Seen)
	}
}

// checks writes how the checks went.
func checks(b *strings.Builder, i journal.Incident) {
	a := i.Account
	b.WriteString("### Checks\n\n" + say("report.checks") + "\n\n")
	if len(a.Tallies) > 0 {
		b.WriteString("| Set to | In use | Failed | Of | From (UTC) | To (UTC) |\n|---|---|---:|---:|---|---|\n")
		for _, t := range a.Tallies {
			fmt.Fprintf(b, "| %s | %s | %d | %d | %s | %s |\n", flag(t.Setting), transport(t.Transport), t.Failures, t.Probes, short(t.From), short(t.To))
		}
		b.WriteString("\n")
	}
	if len(a.Runs) > 0 {
		b.WriteString(say("report.outcomes") + "\n\n| From (UTC) | To (UTC) | Checks | Outcome | In use | First and last cf-ray | Took |\n|---|---|---:|---|---|---|---:|\n")
		ends(b, a.Runs, 22, "| … | | | %s | | | |\n", func(r journal.Run) {
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %d ms |\n", short(r.From), short(r.To), r.N, outcome(r), transport(r.Transport), raysOf(r), r.MS)
		})
		b.WriteString("\n")
	}
	if n := slices.IndexFunc(i.Steps, func(s policy.Step) bool { return s.Rarity.Years >= detect.Rarely }); n >= 0 {
		r := i.Steps[n].Rarity
		b.WriteString(say("report.rarity", words.With{"worth": words.Rarity(r), "silent": words.Share(r.Silent), "told": words.Share(r.Explicit)}) + "\n\n")
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
	policy.NoStep: "report.moment.other", policy.StepAlarm: "report.moment.alarm", policy.StepRefused: "report.moment.refused",
	policy.StepCured: "report.moment.well", policy.StepRecovered: "report.moment.well",
	policy.StepReturning: "report.moment.returning", policy.StepFailedBack: "report.moment.failed-back",
}

// moment writes the evidence of one moment.
func moment(b *strings.Builder, s journal.Snapshot) {
	basis, edges := "", ""
	if rests := cmp.Or(s.Rests, words.English().Basis(diagnosis.Diagnosis{Cause: s.Cause, Particulars: diagnosis.Particulars{Basis: s.Basis}})); s.Cause != diagnosis.Healthy {
		basis = " " + line(say("report.based-on", words.With{"basis": strings.TrimSuffix(rests, ".")}))
	}
	if len(s.Edges) > 0 {
		edges = " " + line(say("report.edges", words.With{"places": strings.Join(s.Edges, ", ")}))
	}
	when := cmp.Or(s.When, say(moments[s.Step], words.With{"protocol": s.Setting}))
	fmt.Fprintf(b, "### %s, %s\n\n", upper(line(when)), utc(s.At))
	fmt.Fprintf(b, "`%s`.%s %s%s\n\n", s.Cause, basis, connections(s), edges)
	for _, look := range []struct {
		name string
		a    *journal.Answer
	}{{say("page.seen.public"), s.Public}, {say("page.seen.page"), s.Page}, {say("page.seen.direct"), s.Direct}} {
		if look.a == nil {
			continue
		}
		fmt.Fprintf(b, "%s (`%s`, %d ms):\n\n%s\n", look.name, strings.ReplaceAll(plain.Sentence(look.a.Asked), "`", "'"), look.a.TookMS, fenced(raw(look.a)))
		if m := meaning(look.a); m != "" {
			b.WriteString(m + "\n\n")
		}
	}
	seen(b, s.Seen)
	b.WriteString("\n")
}

// connections is how many the connector had.
func connections(s journal.Snapshot) string {
	if s.Transport == evidence.NoTransport {
		return say("report.connector-unknown", words.With{"n": s.Ready})
	}
	return say("report.connector", words.With{"n": s.Ready, "over": s.Transport})
}

// seen writes what a verdict rests on, beside the raw answers.
func seen(b *strings.Builder, list map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(list)) {
		if !slices.Contains([]string{"public", "page", "direct"}, k) {
			fmt.Fprintf(b, "- %s: %s\n", line(k), line(list[k]))
		}
	}
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

// aiohttps are the words with which Home Assistant's web server refuses a handshake, and
// what each means: it has one origin (aiohttp's web_ws.py).
var aiohttps = []struct {
	words string
	mean  words.Key
}{
	{"No WebSocket UPGRADE hdr", "report.aiohttp.upgrade"},
	{"No CONNECTION upgrade hdr", "report.aiohttp.connection"},
	{"Handshake error", "report.aiohttp.key"},
	{"Unsupported version", "report.aiohttp.version"},
}

func meaning(a *journal.Answer) string {
	for _, m := range aiohttps {
		if a.Status == 400 && strings.HasPrefix(strings.TrimSpace(a.Body), m.words) {
			return say(m.mean)
		}
	}
	return ""
}

func (d Dossier) tried(b *strings.Builder) {
	i := d.Incident
	if len(i.Account.Changes) == 0 {
		b.WriteString(say("report.nothing-changed") + "\n")
		return
	}
	b.WriteString("| At (UTC) | Why | Set from → to | In use before → after | Result | Restarts | Took |\n|---|---|---|---|---|---:|---:|\n")
	for _, c := range i.Account.Changes {
		fmt.Fprintf(b, "| %s | %s | %s → %s | %s → %s | %s | %d | %s |\n", short(c.At), say(purposes[c.Purpose]),
			flag(c.From), flag(c.To), transport(c.Before), transport(c.After), line(words.English().Text(words.Result(c.Result))), c.Restarts, long(c.Took))
	}
	b.WriteString("\n" + say("report.tried") + "\n")
}

func (d Dossier) attribution(b *strings.Builder) {
	a := Attribute(d.Incident)
	fmt.Fprintf(b, "**Verdict: `%s`.** %s\n", a.Verdict, a.Why)
	if a.Open != "" {
		b.WriteString("\n" + say("report.open", words.With{"why": a.Open}) + "\n")
	}
	if lastChange(d.Incident) != nil {
		b.WriteString("\n" + say("report.after-not-by") + "\n")
	}
}

func (d Dossier) about(b *strings.Builder, f Form) {
	var notes []string
	for _, u := range d.Incident.Account.Asked {
		for _, t := range words.English().Texts(words.Gaps(u.Troubles)) {
			if !slices.Contains(notes, t) {
				notes = append(notes, t)
			}
		}
	}
	if len(d.Incident.Account.Asked) > 0 && d.newest().Zone == "" && len(notes) == 0 {
		notes = append(notes, say("report.no-token"))
	}
	bullets(b, append(inert(notes),
		say("report.about.inside"), say("report.about.versions")))
	if f == Public {
		bullets(b, []string{say("report.about.read")})
	}
}
