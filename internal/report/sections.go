package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	row("Protocol at the onset", "%s, really in use: %s", flag(i.Before), transport(i.Transport))
	if !i.Ended.IsZero() {
		last := evidence.NoTransport
		if r := i.Account.Runs; len(r) > 0 {
			last = r[len(r)-1].Transport
		}
		row("Protocol at the end", "%s, really in use: %s", flag(i.After), transport(last))
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
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() {
			list = append(list, entry{at, line(fmt.Sprintf(format, args...))})
		}
	}
	add(i.LastGood, "Last good check.")
	add(i.Onset, "First failed check%s.", firstRay(i))
	for _, s := range i.Steps {
		add(s.At, "%s", words.English().Step(s))
	}
	for _, c := range i.Account.Changes {
		if c.Result != policy.Settled { // where it settled a step says so
			add(c.At.Add(c.Took), "Change from %s to %s: %s after %s.", flag(c.From), flag(c.To), words.English().Result(c.Result), long(c.Took))
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
	ends(b, list, 40, "| … | | (%d lines left out) |\n", func(e entry) {
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
			fmt.Fprintf(b, left, len(list)-2*n)
		}
	}
}

func (d Dossier) evidence(b *strings.Builder) {
	a := d.Incident.Account
	checks(b, a)
	for _, s := range a.Snapshots {
		moment(b, s)
	}
	if len(a.Snapshots) == 0 {
		b.WriteString("No raw answers were kept.\n\n")
		seen(b, d.Incident.Seen)
	}
}

// checks writes how the checks went.
func checks(b *strings.Builder, a journal.Account) {
	b.WriteString("### Checks\n\nEach is a WebSocket handshake (HTTP/1.1) through the public name, to `/api/websocket`.\n\n")
	if len(a.Tallies) > 0 {
		b.WriteString("| Set to | In use | Failed | Of | From (UTC) | To (UTC) |\n|---|---|---:|---:|---|---|\n")
		for _, t := range a.Tallies {
			fmt.Fprintf(b, "| %s | %s | %d | %d | %s | %s |\n", flag(t.Setting), transport(t.Transport), t.Failures, t.Probes, short(t.From), short(t.To))
		}
		b.WriteString("\n")
	}
	if len(a.Runs) > 0 {
		b.WriteString("Their outcomes, equal ones in a row as one line:\n\n| From (UTC) | To (UTC) | Checks | Outcome | In use | First and last cf-ray | Took |\n|---|---|---:|---|---|---|---:|\n")
		ends(b, a.Runs, 22, "| … | | | (%d lines left out) | | | |\n", func(r journal.Run) {
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %d ms |\n", short(r.From), short(r.To), r.N, outcome(r), transport(r.Transport), raysOf(r), r.MS)
		})
		b.WriteString("\n")
	}
	if a.Dropped > 0 {
		fmt.Fprintf(b, "%s in the middle were left out of this list; the table above has them.\n\n", checkCount(a.Dropped))
	}
	if a.Missed400 > 0 {
		fmt.Fprintf(b, "A second witness: between these checks the connector itself counted %d more answers with status 400 (`cloudflared_tunnel_response_by_code`), from others than Tunnel Medic.\n\n", a.Missed400)
	}
}

// moment writes the evidence of one moment.
func moment(b *strings.Builder, s journal.Snapshot) {
	rests, edges := "", ""
	if s.Rests != "" {
		rests = ", based on: " + line(strings.TrimSuffix(s.Rests, "."))
	}
	if len(s.Edges) > 0 {
		edges = ", to the edge at " + line(strings.Join(s.Edges, ", "))
	}
	fmt.Fprintf(b, "### %s, %s\n\n", upper(s.When), utc(s.At))
	fmt.Fprintf(b, "Diagnosed: `%s`%s. Connector: %d of 4 connections, over %s%s.\n\n", s.Cause, rests, s.Ready, transport(s.Transport), edges)
	for _, look := range []struct {
		name string
		a    *journal.Answer
	}{{"Through Cloudflare, WebSocket", s.Public}, {"Through Cloudflare, plain page", s.Page}, {"Straight to Home Assistant, WebSocket", s.Direct}} {
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
		fmt.Fprintf(&b, "no answer; it got as far as: %s\n", a.Stage)
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
var aiohttps = []struct{ words, mean string }{
	{"No WebSocket UPGRADE hdr", "Home Assistant's web server (aiohttp) writes this text exactly when a request for a WebSocket arrives without `Upgrade: websocket`. The check sent that header, so it was lost on the way."},
	{"No CONNECTION upgrade hdr", "aiohttp writes this when `Upgrade` arrived and `Connection: upgrade` did not: the header was replaced on the way."},
	{"Handshake error", "aiohttp writes this when `Sec-WebSocket-Key` did not arrive."},
	{"Unsupported version", "aiohttp writes this when `Sec-WebSocket-Version` did not arrive."},
}

func meaning(a *journal.Answer) string {
	for _, m := range aiohttps {
		if a.Status == 400 && strings.HasPrefix(strings.TrimSpace(a.Body), m.words) {
			return m.mean
		}
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
		fmt.Fprintf(b, "| %s | %s | %s → %s | %s → %s | %s | %d | %s |\n", short(c.At), line(cmp.Or(purposes[c.Purpose], c.Purpose.String())),
			flag(c.From), flag(c.To), transport(c.Before), transport(c.After), line(words.English().Result(c.Result)), c.Restarts, long(c.Took))
	}
	b.WriteString("\nHow the checks went under each is in the first table of the evidence. The tunnel's other options were not touched.\n")
}

func (d Dossier) attribution(b *strings.Builder) {
	a := Attribute(d.Incident)
	fmt.Fprintf(b, "**Verdict: `%s`.** %s\n", a.Verdict, a.Why)
	if a.Open != "" {
		fmt.Fprintf(b, "\nWhat stays open: %s\n", a.Open)
	}
	if lastChange(d.Incident) != nil {
		b.WriteString("\nFaults of this kind have been seen to vanish under one protocol, to come back under the same one, and to go away on their own within hours (cloudflared's issue 1652). So what came after a change is told here as what came after it, no more.\n")
	}
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
	if len(d.Incident.Account.Asked) > 0 && d.newest().Zone == "" && len(notes) == 0 {
		notes = append(notes, "Without a cloudflare_api_token the zone's settings, the tunnel's sessions and the rules' versions are not known.")
	}
	bullets(b, append(inert(notes),
		"The check is made from inside the house to the public name; a browser elsewhere may fare otherwise. What browsers met shows only in the connector's own count of 400s.",
		"Versions of apps and of the rules are asked for now and then: a change lies between two looks, and of several pushes between them only the last is seen."))
	if f == Public {
		b.WriteString("- Read it through before you publish it: what a page of your own says could not be known when this was written.\n")
	}
}
