package report

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// The reporter's first occurrence, with times within what was told of it.
var onset = time.Date(2026, 5, 22, 22, 30, 0, 0, time.UTC)

// story builds an incident: steps and changes at minutes after the onset.
type story struct{ journal.Incident }

func begun(setting evidence.Protocol, transport evidence.Transport) *story {
	s := &story{journal.Incident{ID: onset.Format("20060102T150405Z"), Onset: onset, LastGood: onset.Add(-2 * time.Minute), Cause: diagnosis.UpgradeStripped, URL: "https://canary-home.example.org",
		Own: setting, Before: setting, Transport: transport, After: setting}}
	s.step(0, policy.StepAlarm, setting)
	return s
}

func minute(n int) time.Time { return onset.Add(time.Duration(n) * time.Minute) }

func (s *story) step(at int, k policy.StepKind, p evidence.Protocol) *story {
	s.Steps = append(s.Steps, policy.Step{At: minute(at), Kind: k, Protocol: p, Text: "Step " + k.String() + "."})
	return s
}

func (s *story) change(at int, why policy.Purpose, from, to evidence.Protocol, before, after evidence.Transport) *story {
	s.Account.Change(journal.ChangeMade{At: minute(at), Took: 10 * time.Second, Purpose: why, From: from, To: to, Before: before, After: after, Result: policy.Settled, Restarts: 1})
	return s
}

func (s *story) probes(at, n int, ok bool, p evidence.Protocol, t evidence.Transport) *story {
	r := journal.Run{From: minute(at).Add(20 * time.Second), To: minute(at).Add(50 * time.Second), N: n, OK: ok, Counts: true, Cause: diagnosis.UpgradeStripped, Status: 400, Setting: p, Transport: t, Colo: "LAX", First: "8f0b2c4d6e8a0b1c-LAX", Last: "8f0b2c4d6e8a0b1d-LAX"}
	if ok {
		r.Cause, r.Status = diagnosis.Healthy, 101
	}
	s.Account.Probe(r)
	return s
}

func (s *story) end(at int, k policy.StepKind, p evidence.Protocol) journal.Incident {
	s.step(at, k, p)
	s.Ended, s.Outcome, s.After = minute(at), k, p
	return s.Incident
}

func TestTheVerdictClaimsNoMoreThanTheEvidence(t *testing.T) {
	const quic, http2, def = evidence.QUIC, evidence.HTTP2, evidence.Default
	q, h := evidence.OverQUIC, evidence.OverHTTP2
	after := func(i journal.Incident, at int, k policy.StepKind) journal.Incident {
		s := &story{i}
		return s.step(at, k, def).Incident
	}
	cured := func() journal.Incident {
		return begun(def, q).probes(0, 8, false, def, q).change(1, policy.Trial, def, http2, q, h).probes(1, 22, true, http2, h).end(2, policy.StepCured, http2)
	}
	for rule, c := range map[string]struct {
		i    journal.Incident
		want Verdict
		says string
	}{
		"it ended while nothing was changed":                   {begun(http2, h).probes(0, 8, false, http2, h).probes(30, 22, true, http2, h).end(31, policy.StepRecovered, http2), Upstream, "no change and no restart"},
		"it outlived all that was tried":                       {begun(http2, h).probes(0, 8, false, http2, h).change(1, policy.Trial, http2, quic, h, q).probes(1, 4, false, quic, q).change(2, policy.Restore, quic, http2, q, h).probes(3, 9, false, http2, h).probes(60, 22, true, http2, h).end(61, policy.StepRecovered, http2), Upstream, "outlived"},
		"it was gone from the last restart on":                 {begun(http2, h).probes(0, 8, false, http2, h).change(1, policy.Trial, http2, quic, h, q).probes(1, 4, false, quic, q).change(2, policy.Restore, quic, http2, q, h).probes(3, 22, true, http2, h).end(4, policy.StepRecovered, http2), Undetermined, "cannot be told apart"},
		"cured by one change of protocol":                      {cured(), Undetermined, "a restart and a change of protocol at once"},
		"cured, and the old setting was well when tried again": {after(cured(), 1500, policy.StepFailedBack), Upstream, "the fault had passed"},
		"cured, and it came back with the old setting":         {after(cured(), 1500, policy.StepReturning), Protocol, "there again"},
		"it came back with the old setting, and passed later":  {after(after(cured(), 1500, policy.StepReturning), 3000, policy.StepFailedBack), Protocol, "While the fault lasted"},
		"cured, after a restart over the other had not helped": {begun(def, q).probes(0, 8, false, def, q).change(1, policy.Trial, def, quic, q, q).probes(1, 4, false, quic, q).change(2, policy.Trial, quic, http2, q, h).probes(2, 22, true, http2, h).end(3, policy.StepCured, http2), Protocol, "a restart over the other transport (quic, set to quic) had not helped"},
		"cured by a restart over the same transport":           {begun(def, q).probes(0, 8, false, def, q).change(1, policy.Trial, def, quic, q, q).probes(1, 22, true, quic, q).end(2, policy.StepCured, quic), Restart, "cannot be what made the difference"},
		"a person changed the setting":                         {begun(def, q).probes(0, 8, false, def, q).end(2, policy.StepUser, http2), Undetermined, "A person"},
		"it is not over":                                       {begun(def, q).probes(0, 8, false, def, q).Incident, Undetermined, "not over"},
		"an old record without an account":                     {journal.Incident{Ended: onset, Outcome: policy.StepCured}, Undetermined, "does not show"},
	} {
		a := Attribute(c.i)
		if a.Verdict != c.want || !strings.Contains(a.Why, c.says) {
			t.Errorf("%s: %s: %s", rule, a.Verdict, a.Why)
		}
		if claim := regexp.MustCompile(`(?i)\b(fixed|cured|solved|mended|healed) by\b|\bthanks to\b|\bbecause of the (change|restart)\b`).FindString(Markdown(Dossier{Incident: c.i, Now: minute(5000)}, Private)); claim != "" {
			t.Errorf("%s: the report says %q", rule, claim)
		}
	}
}

// second is what the reporter of cloudflared's issue 1652 lived through the second time, with
// the times told there, in a house that had been watched for two months.
func second() Dossier {
	again := time.Date(2026, 5, 29, 4, 40, 0, 0, time.UTC)
	i := journal.Incident{ID: "20260529T044000Z", Onset: again, LastGood: again.Add(-2 * time.Minute), Cause: diagnosis.UpgradeStripped, URL: "https://canary-home.example.org", Own: evidence.HTTP2, Before: evidence.HTTP2, Transport: evidence.OverHTTP2,
		After: evidence.HTTP2, Ended: again.Add(5 * time.Hour), Outcome: policy.StepRecovered, Steps: []policy.Step{{At: again, Kind: policy.StepAlarm, Text: "The fault is certain."}, {At: again.Add(5 * time.Hour), Kind: policy.StepRecovered, Text: "It has ended by itself."}}}
	i.Account.Probe(journal.Run{From: again, To: again.Add(4 * time.Hour), N: 400, Counts: true, Cause: diagnosis.UpgradeStripped, Status: 400, Transport: evidence.OverHTTP2, Colo: "LAX", First: "8f0b2c4d6e8a0b1e-LAX"})
	i.Account.Probe(journal.Run{From: again.Add(5 * time.Hour), To: again.Add(5 * time.Hour), N: 22, OK: true, Counts: true, Cause: diagnosis.Healthy, Status: 101, Transport: evidence.OverHTTP2, Colo: "LAX", First: "8f0b2c4d6e8a0b1f-LAX"})
	h := journal.History{TimeZone: "Europe/Berlin"}
	for _, p := range []struct {
		v  string
		at time.Time
	}{{"3298", onset.AddDate(0, 0, -40)}, {"3299", onset.AddDate(0, 0, -20)}, {"3300", time.Date(2026, 5, 22, 11, 49, 51, 0, time.UTC)}, {"3301", time.Date(2026, 5, 28, 18, 35, 29, 0, time.UTC)}} {
		h.Rules(p.at, []evidence.RuleSet{{ID: "4d21379b4f9f4bb088e0729962c8b3cf", Name: "DDoS L7 ruleset", Version: p.v, Updated: p.at}})
	}
	return Dossier{Incident: i, History: h, Now: again.Add(24 * time.Hour), Version: "1.0.0"}
}

func TestThePushBeforeTheOnsetIsFound(t *testing.T) {
	text := Markdown(second(), Public)
	for _, part := range []string{
		"went from version 3300 to 3301, 10 h 4 min before the onset",
		"2026-05-28 18:35:29",
		"**Verdict: `upstream`.**", "Local (UTC+02:00)", "Fri 06:40:00",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the report does not say %q", part)
		}
	}
	if strings.Contains(text, "Europe/Berlin") {
		t.Error("the time zone's name tells where the house is")
	}
}

// canaries are what must not be left in a public report, whatever section they
// came in through.
var canaries = []string{"canary-home", "canary.example", "canaryhost", "192.0.2.77", "198.51.100.9", "2001:db8:77::5", "fd00:77::9", "9074a9fa_canaryflared", "f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01", "0123456789abcdef0123456789abcdef",
	"someone@canary.example.net", "canaryteam", "Canary family", "kid=canary", "canary-nas", "müllerscanary"}

// laden is an incident with a canary in every field that text comes into.
func laden() Dossier {
	d := second()
	i := &d.Incident
	i.URL = "https://canary-home.example.org"
	i.App = "9074a9fa_canaryflared"
	i.Seen = map[string]string{"addon": "9074a9fa_canaryflared started", "public": "HTTP 400"}
	i.Steps = append(i.Steps, policy.Step{At: i.Onset, Kind: policy.StepHold, Text: "Waiting for canary-home.example.org at 192.0.2.77."})
	bad := &journal.Answer{Asked: "GET https://canary-home.example.org/api/websocket", Stage: "answered", Status: 400,
		Header: map[string]string{"Cf-Ray": "8f0b2c4d6e8a0b1e-LAX", "Server": "cloudflare", "Location": "https://canaryteam.cloudflareaccess.com/cdn-cgi/access/login/canary-home.example.org?kid=canary", "Cf-Access-Aud": "0123456789abcdef0123456789abcdef", "Www-Authenticate": `Cloudflare-Access resource_metadata="https://canary-home.example.org/x"`},
		Body:   "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."}
	page := &journal.Answer{Asked: "GET https://canary-home.example.org/", Stage: "answered", Status: 200, Header: map[string]string{"Cf-Ray": "8f0b2c4d6e8a0b2e-LAX", "Content-Type": "text/html; charset=utf-8"}, Body: "<title>Canary family</title>"}
	direct := &journal.Answer{Asked: "GET http://canary-nas:8123/api/websocket", Stage: "asked", Trouble: "name not found", Detail: "lookup canary.example.lan on 192.0.2.77:53: no such host; tried fd00:77::9 and someone@canary.example.net, müllerscanary.example"}
	i.Account.Snap(journal.Snapshot{At: i.Onset, Step: policy.StepAlarm, Cause: diagnosis.UpgradeStripped, Ready: 4, Transport: evidence.OverHTTP2, Edges: []string{"198.51.100.9"}, Public: bad, Page: page, Direct: direct,
		Seen: map[string]string{"addon": "9074a9fa_canaryflared started", "service": "http://canary-nas:8123", "names": "canary-home.example.org: 192.0.2.77, 2001:db8:77::5", "connector": "f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01"}})
	i.Account.Hear(evidence.Upstream{At: i.Onset, Zone: "canary.example", WebSockets: &evidence.Setting{Value: "on"},
		Connectors: []evidence.TunnelClient{{Version: "2026.5.0", Colos: []string{"lax01"}}},
		Troubles:   []evidence.Gap{{Kind: evidence.GapNoZone, Of: evidence.AskedZone, Hosts: "canaryhost.example.net"}}})
	i.Account.Versions = journal.Versions{Cloudflared: "2026.5.0", AddOn: "6.0.3", Core: "2026.5.1", Supervisor: "2026.05.0.dev2801", OS: "Home Assistant OS 16.2"}
	return d
}

func TestNothingPrivateIsLeftInAPublicReport(t *testing.T) {
	d := laden()
	public, private := Markdown(d, Public), Markdown(d, Private)
	for _, c := range canaries {
		if strings.Contains(strings.ToLower(public), strings.ToLower(c)) {
			at := strings.Index(strings.ToLower(public), strings.ToLower(c))
			t.Errorf("%q is left: …%s…", c, public[max(0, at-80):min(len(public), at+80)])
		}
	}
	for _, kept := range []string{"canary-home.example.org", "192.0.2.77", "9074a9fa_canaryflared", "Canary family"} {
		if !strings.Contains(private, kept) {
			t.Errorf("the private report lacks %q", kept)
		}
	}
	for _, kept := range []string{"8f0b2c4d6e8a0b1e-LAX", "No WebSocket UPGRADE hdr: None", "URL='https://host-1.example'", "host-1.example/api/websocket", "addon-1 6.0.3", "2026.5.0", "2026.05.0.dev2801", "http://homeassistant:8123/api/websocket", "lax01", "3301"} {
		if !strings.Contains(public, kept) {
			t.Errorf("the public report lacks %q", kept)
		}
	}
	// Beyond the canaries: no address, no id, and no name outside .example but everyone's.
	for _, m := range regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b|[0-9a-f]{20,}`).FindAllString(public, -1) {
		t.Errorf("an address or an id is left: %s", m)
	}
	for _, m := range regexp.MustCompile(`https?://[^/\s"'`+"`"+`)]+`).FindAllString(public, -1) {
		u, err := url.Parse(m)
		if err != nil {
			continue // $CLOUDFLARED
		}
		if h := u.Hostname(); !strings.HasSuffix(h, ".example") && !strings.HasPrefix(h, "address-") && h != "homeassistant" && !strings.HasPrefix(h, "$") {
			t.Errorf("a host is left: %s", m)
		}
	}
}

func TestThePlaceholdersAreStable(t *testing.T) {
	d := laden()
	if a, b := Markdown(d, Public), Markdown(d, Public); a != b {
		t.Error("two public reports of one incident differ")
	}
	v := newVeil(&url.URL{Host: "ha.example.com"})
	if got := v.over("ha.example.com 192.0.2.1 192.0.2.2 HA.example.com 192.0.2.1 other.example.com"); got != "host-1.example address-1 address-2 host-1.example address-1 host-2.example" {
		t.Error(got)
	}
}

func TestSecretsAreInNeitherForm(t *testing.T) {
	d := laden()
	d.Incident.Account.Snapshots[0].Public.Body = "400: Bad Request eyJhIjoiYWNjb3VudCIsInQiOiJ0dW5uZWwifQ and my-known-secret"
	d.Scrub = func(s string) string { return strings.ReplaceAll(s, "my-known-secret", "[hidden]") }
	for _, f := range []Form{Public, Private} {
		if text := Markdown(d, f); strings.Contains(text, "my-known-secret") {
			t.Error("a known secret is left in form", f)
		}
	}
	d.Scrub = nil
	for _, f := range []Form{Public, Private} {
		if text := Markdown(d, f); strings.Contains(text, "eyJhIjoi") {
			t.Error("a token is left in form", f)
		}
	}
}

func TestAnAnswerCannotBreakOutOfTheDocument(t *testing.T) {
	d := laden()
	a := d.Incident.Account.Snapshots[0].Public
	a.Body = "```\n# Not a heading\n<script>alert(1)</script>\x1b[31m"
	a.Header["Server"] = "x\r\n# y"
	d.Incident.Steps[0].Text = "a | b <img src=x>"
	text := Markdown(d, Private)
	if !strings.Contains(text, "````text\n") || strings.Contains(text, "\x1b") {
		t.Error("the code block can be ended from within")
	}
	if strings.Contains(text, "<img") || !strings.Contains(text, `a \| b &lt;img src=x&gt;`) {
		t.Error("a step can break the table")
	}
}

func TestAReportOfAlmostNothingIsStillADocument(t *testing.T) {
	for name, d := range map[string]Dossier{
		"an old record":   {Incident: journal.Incident{ID: "20260101T000000Z", Onset: onset, Cause: diagnosis.UpgradeStripped, Ended: onset.Add(time.Minute), Outcome: policy.StepRecovered}},
		"an open one":     {Incident: begun(evidence.Default, evidence.OverQUIC).Incident},
		"an empty record": {},
	} {
		text := Markdown(d, Public)
		for _, section := range []string{"## Summary", "## Environment", "## Timeline", "## Evidence", "## What was ruled out", "## What was tried", "## What happened elsewhere", "## See for yourself"} {
			if !strings.Contains(text, section) {
				t.Errorf("%s lacks %s", name, section)
			}
		}
	}
}

func TestAMomentIsToldByItsStep(t *testing.T) {
	for want, s := range map[string]journal.Snapshot{
		"### When quic was given up, ":                                   {Step: policy.StepRefused, Setting: evidence.QUIC, Cause: diagnosis.UpgradeStripped},
		"`page-stale`. Based on: ":                                       {Step: policy.StepAlarm, Cause: diagnosis.PageStale, Basis: "cached"},
		"### When it worked again, 0001-01-01 00:00:00 UTC\n\n`healthy`": {Step: policy.StepCured, Cause: diagnosis.Healthy},
	} {
		s.At = s.At.Add(time.Nanosecond)
		var b strings.Builder
		moment(&b, s)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestTroublesWithCloudflareAreSaidOnce(t *testing.T) {
	d := laden()
	lacks := evidence.Gap{Kind: evidence.GapRight, Of: evidence.AskedRecord, Status: 403, Code: 10000}
	const said = "the Cloudflare API token lacks the permission Zone → DNS → Read."
	for range 3 {
		d.Incident.Account.Hear(evidence.Upstream{At: onset, Troubles: []evidence.Gap{lacks}})
	}
	if n := strings.Count(Markdown(d, Public), said); n != 1 {
		t.Error(n, "times")
	}
}

// Whoever made an app, a page or a status text may have put Markdown into it.
func TestForeignTextIsNoMarkdownInAReport(t *testing.T) {
	const evil = "x\n# Forged\n[click](https://evil.example) ![p](//evil.example/p.png) <script>alert(1)</script> | a | **b** `c` \x1b[31m \u202eback"
	d := laden()
	i := &d.Incident
	i.URL = "https://ha.example.com';curl$(id)"
	i.Seen = map[string]string{evil: evil}
	i.Steps = append(i.Steps, policy.Step{At: i.Onset, Kind: policy.StepHold, Text: evil})
	i.Account.Versions = journal.Versions{Cloudflared: evil, AddOn: evil, Core: evil, Supervisor: evil, OS: evil}
	for n := range i.Account.Snapshots {
		s := &i.Account.Snapshots[n]
		s.Seen, s.Edges = map[string]string{evil: evil}, []string{evil}
		for _, a := range []*journal.Answer{s.Public, s.Page, s.Direct} {
			if a != nil {
				a.Asked, a.Body, a.Detail, a.Header = evil, evil+"\n```\n# Forged", evil, map[string]string{evil: evil}
			}
		}
	}
	i.Account.Hear(evidence.Upstream{At: i.Onset, Troubles: []evidence.Gap{{Kind: evidence.GapNoZone, Hosts: evil}}, Reports: []evidence.Reported{{Name: evil, Impact: evil, Status: evil, Why: evil, Started: i.Onset}}})
	d.History.Versions = append(d.History.Versions, diagnosis.Change{Part: evil, Was: evil, Version: evil, At: i.Onset.Add(-time.Minute)})
	for _, form := range []Form{Public, Private} {
		fence := ""
		for l := range strings.Lines(Markdown(d, form)) {
			if marks := l[:len(l)-len(strings.TrimLeft(l, "`"))]; len(marks) >= 3 && (fence == "" || strings.TrimSpace(l) == fence) {
				if fence == "" {
					fence = marks
				} else {
					fence = ""
				}
				continue
			}
			if strings.ContainsAny(l, "\x1b\u202e") {
				t.Errorf("a control character in %q", l)
			}
			if fence != "" {
				if strings.Contains(l, "URL=") && !strings.HasPrefix(l, `URL='`) {
					t.Errorf("the address is not quoted for a shell: %s", l)
				}
				continue
			}
			l = regexp.MustCompile("(^|[^`])`[^`]+`").ReplaceAllString(l, "$1") // code means nothing
			for _, bad := range []string{"# Forged", "[click](", "![p](", "<script", " **b** "} {
				if strings.Contains(l, bad) && !(bad == "# Forged" && !strings.HasPrefix(l, "#")) {
					t.Errorf("%q stands in %q", bad, l)
				}
			}
		}
		if fence != "" {
			t.Error("a code block is not closed")
		}
	}
}
