package story

import (
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/report"
)

// Two incidents that were told by those who met them, played again: what the
// program writes about them can be held against what they wrote.

// told is the environment in which Cloudflare's own word is heard.
var told = map[string]string{"TUNNELMEDIC_CLOUDFLARE_API_TOKEN": lab.CloudflareToken}

// replays are the scenarios of this file.
var replays = []Scenario{
	{
		// cloudflare/cloudflared issue 1652: the upgrade lost over QUIC, http2 helps; a week later lost over http2
		// too, and back on its own; a push of the managed DDoS rules some hours before each.
		Name: "lost-twice", About: "the upgrade is lost over QUIC, and HTTP/2 helps; then it is lost over HTTP/2 too, and comes back by itself.",
		Env: told,
		Script: func(s *Stage) {
			s.healthy()
			s.pass(1) // the rules' version is remembered
			s.tell.say("world", "Twelve hours ago Cloudflare pushed its managed DDoS rules, from 3299 to 3300.")
			s.World.Outside.Push("3300", time.Now().Add(-12*time.Hour))
			s.happens("Over QUIC, every WebSocket upgrade is lost from now on.", lab.Stripped(1, evidence.OverQUIC))
			s.until("a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == "http2" })
			s.pass(2)
			s.keepReports() // as it was then: the lab's time is too short for what comes next not to reach back
			s.tell.say("world", "Ten hours ago they were pushed again, from 3300 to 3301.")
			s.World.Outside.Push("3301", time.Now().Add(-10*time.Hour))
			s.happens("Now the upgrade is lost over HTTP/2 too.", lab.Stripped(1))
			s.untilState("holding")
			s.pass(2)
			s.World.Outside.Push("3302", time.Now().Add(-time.Second))
			s.happens("They are pushed once more, and the upgrade arrives again. Nobody in the house has done anything.", lab.Faults{})
			s.healthy()
			s.pass(2)
			s.checkVerdicts(report.Undetermined, report.Upstream)
			s.checkReported(0, "went from version 3299 to 3300", "12 h before the onset", "No WebSocket UPGRADE hdr: None")
			s.checkReported(1, "went from version 3300 to 3301", "10 h before the onset", "went from version 3301 to 3302", "over quic and over http2")
			s.checkDownloads()
		},
		Limit: 50 * time.Second,
	},
	{
		// The HTTP/2 incident of March 2026 as a hosting provider told it: one request in five hangs, over HTTP/2 only;
		// a mitigation holds; then Cloudflare rolls back, and the mitigation turns out not to be needed any more.
		Name: "rolled-back", About: "one handshake in five hangs over HTTP/2; QUIC helps; then Cloudflare rolls back, and HTTP/2 is well again.",
		World: lab.Options{RunParameters: []string{"--protocol=http2"}, Timings: lab.Timings{ProbeInterval: time.Second, BurstInterval: 60 * time.Millisecond, ProbeTimeout: 300 * time.Millisecond}},
		Env:   map[string]string{"TUNNELMEDIC_CLOUDFLARE_API_TOKEN": lab.CloudflareToken, "TUNNELMEDIC_FAILBACK_HOURS": "4s"},
		Script: func(s *Stage) {
			s.healthy()
			s.pass(1)
			began := time.Now()
			s.happens("Over HTTP/2, one handshake in five is never answered.", lab.Faults{Upgrade: map[evidence.Transport]lab.UpgradeFault{evidence.OverHTTP2: {Share: 0.2, Form: lab.Hanging}}})
			trouble := lab.Report{Name: "Issues with HTTP/2 requests between Cloudflare and origins", Status: "investigating", Impact: "minor", Body: "We are investigating requests over HTTP/2 that time out.",
				Components: []string{"Network", "CDN/Cache"}, Started: began}
			s.World.Outside.Change(func(c *lab.Cloudflare) { c.Reports = []lab.Report{trouble} })
			s.until("a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == "auto" })
			trouble.Status, trouble.Resolved, trouble.Body = "resolved", time.Now(), "A change was rolled back; this incident is resolved."
			s.World.Outside.Change(func(c *lab.Cloudflare) { c.Reports = []lab.Report{trouble} })
			s.happens("Cloudflare rolls its change back.", lab.Faults{})
			s.until("the user's own setting, tried again and well", func(st status) bool {
				return st.State == "healthy" && st.Protocol.Setting == "http2"
			})
			s.pass(2)
			s.checkProtocol("--protocol=http2")
			s.checkVerdicts(report.Upstream)
			s.checkReported(0, "Issues with HTTP/2 requests", "the fault had passed")
		},
		Limit: 100 * time.Second,
	},
}

// incidents reads what the daemon has recorded, oldest first.
func (s *Stage) incidents() ([]journal.Incident, *journal.Journal) {
	j, err := journal.Reader(s.dir)
	if err != nil {
		return nil, nil
	}
	list := j.Incidents()
	slices.Reverse(list)
	return list, j
}

// keepReports keeps the reports as they are now.
func (s *Stage) keepReports() {
	for _, r := range s.reports(report.Public) {
		s.kept[r.Name] = r
	}
}

// documents are the reports of all incidents: those that were kept, as they were.
func (s *Stage) documents() []Report {
	list := s.reports(report.Public)
	for i, r := range list {
		if k, ok := s.kept[r.Name]; ok {
			list[i] = k
		}
	}
	return list
}

// reports are those of all incidents, oldest first.
func (s *Stage) reports(f report.Form) (list []Report) {
	incidents, j := s.incidents()
	for _, i := range incidents {
		if d, ok := report.Of(j, i.ID, time.Now(), "lab"); ok {
			list = append(list, Report{d.Name(f), report.Markdown(d, f)})
		}
	}
	return list
}

// checkVerdicts notes a failure unless the incidents' attributions are these.
func (s *Stage) checkVerdicts(want ...report.Verdict) {
	incidents, _ := s.incidents()
	s.check(len(incidents) == len(want), "%d incidents are on record, not %d", len(incidents), len(want))
	for n := range min(len(want), len(incidents)) {
		a := report.Attribute(incidents[n])
		s.check(a.Verdict == want[n], "the attribution of incident %d is %s, not %s: %s", n+1, a.Verdict, want[n], a.Why)
	}
}

// checkReported notes a failure unless the report of an incident says all this.
func (s *Stage) checkReported(n int, parts ...string) {
	list := s.reports(report.Private)
	if n >= len(list) {
		s.fail("there is no report of incident %d", n+1)
		return
	}
	for _, p := range parts {
		s.check(strings.Contains(list[n].Text, p), "the report of incident %d does not say %q", n+1, p)
	}
}

// checkDownloads notes a failure unless the page gives every report in its public
// form.
func (s *Stage) checkDownloads() {
	incidents, _ := s.incidents()
	for _, i := range incidents {
		text, err := s.get(s.ctx, "/incidents/"+i.ID+".md")
		s.check(err == nil && strings.HasPrefix(text, "# Incident "+i.ID) && strings.Contains(text, "Public form:") && !strings.Contains(text, lab.DefaultSlug),
			"the page does not give the report of %s: %v", i.ID, err)
	}
}
