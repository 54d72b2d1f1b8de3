package web

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

// wayOf reads the drawn way as a screen reader does: an item of the list after the other.
func wayOf(t *testing.T, page string) (items []string) {
	t.Helper()
	for n := range parsed(t, page).Descendants() {
		if n.Data != "ol" || attribute(n, "class") != "way" {
			continue
		}
		for li := range n.ChildNodes() {
			var b strings.Builder
			for n := range li.Descendants() {
				if n.Type == html.TextNode {
					b.WriteString(strings.TrimSpace(n.Data) + " ")
				}
			}
			items = append(items, strings.Join(strings.Fields(b.String()), " "))
		}
	}
	return items
}

func TestTheWayInShowsWhereItBreaksAndWhatIsNotKnown(t *testing.T) {
	const breaks, ends, silent, unseen = diagnosis.Breaks, diagnosis.Ends, diagnosis.Silent, diagnosis.Unseen
	to := func(cause diagnosis.Cause, cloudflare, at, tunnel, on, home diagnosis.Sight) medic.WayStatus {
		return medic.WayStatus{Cause: cause, Place: cause.Place(), Parts: diagnosis.Way{diagnosis.ToCloudflare: cloudflare, diagnosis.AtCloudflare: at,
			diagnosis.AtTunnel: tunnel, diagnosis.ToHomeAssistant: on, diagnosis.AtHomeAssistant: home}}
	}
	direct := &medic.DirectStatus{TookMS: 3, OK: true, Status: 101}
	for name, c := range map[string]struct {
		way    medic.WayStatus
		change func(*medic.Status)
		want   []string
	}{
		"all is well": {to(diagnosis.Healthy, well, well, well, well, well), func(s *medic.Status) { s.Way.Core = "2026.11.2" }, []string{
			"Outside https://ha.example.com The whole way and back in 84 ms", "Cloudflare works data centre FRA", "Tunnel works quic, 4 of 4 connections", "Home Assistant works version 2026.11.2"}},
		"nothing was looked at yet": {medic.WayStatus{}, func(s *medic.Status) { s.LastProbe = nil }, []string{
			"Outside https://ha.example.com", "Cloudflare not known", "Tunnel not known", "Home Assistant not known"}},
		"the tunnel is down": {to(diagnosis.TunnelDown, well, well, breaks, unseen, well), func(s *medic.Status) {
			s.Way.Direct, s.Protocol.Ready, s.Protocol.Transport = direct, 0, ""
			s.LastProbe.OK, s.LastProbe.Status = false, 530
		}, []string{"Outside https://ha.example.com", "Cloudflare works HTTP 530 after 84 ms, data centre FRA",
			"Tunnel breaks here 0 of 4 connections The tunnel has no connection to Cloudflare.", "Home Assistant works HTTP 101 inside your home, in 3 ms"}},
		"the name is gone, and Home Assistant too": {to(diagnosis.HostnameUnknown, breaks, unseen, well, unseen, silent), func(s *medic.Status) {
			s.LastProbe.OK, s.LastProbe.Status, s.LastProbe.Colo = false, 0, ""
		}, []string{"Outside https://ha.example.com", "breaks here Your public address does not exist in the DNS, or points to nothing.", "Cloudflare not known",
			"Tunnel works quic, 4 of 4 connections", "Home Assistant does not answer"}},
		"a login page": {to(diagnosis.AccessLogin, well, ends, well, unseen, well), func(s *medic.Status) {
			s.LastProbe.OK, s.LastProbe.Status = false, 302
		}, []string{"Outside https://ha.example.com", "Cloudflare checks end here HTTP 302 after 84 ms, data centre FRA Cloudflare Access asks for a login, so the WebSocket behind it can't be watched.",
			"Tunnel works quic, 4 of 4 connections", "Home Assistant works"}},
		"one in five is lost, and the last was good": {to(diagnosis.UpgradeStripped, well, well, diagnosis.Doubtful, well, well), nil, []string{
			"Outside https://ha.example.com The whole way and back in 84 ms", "Cloudflare works data centre FRA",
			"Tunnel something is wrong here quic, 4 of 4 connections The WebSocket upgrade is lost on its way through the tunnel: pages load, but dashboards cannot connect.", "Home Assistant works"}},
		"a restart is under way": {to(diagnosis.UpgradeStripped, well, well, breaks, well, well), func(s *medic.Status) {
			s.State, s.Trial = policy.Treating, &medic.TrialStatus{Protocol: "http2"}
		}, []string{"Outside https://ha.example.com The whole way and back in 84 ms", "Cloudflare works data centre FRA",
			"Tunnel is being restarted quic, 4 of 4 connections", "Home Assistant works"}},
		"another protocol has to prove itself": {to(diagnosis.UpgradeStripped, well, well, diagnosis.Doubtful, well, well), func(s *medic.Status) {
			s.State, s.Protocol.Transport, s.Trial = policy.Treating, "http2", &medic.TrialStatus{Protocol: "http2", Settled: true}
		}, []string{"Outside https://ha.example.com The whole way and back in 84 ms", "Cloudflare works data centre FRA",
			"Tunnel on trial http2, 4 of 4 connections", "Home Assistant works"}},
	} {
		h := newHouse(t)
		s := wellNow()
		s.Way = c.way
		if c.way.Cause != diagnosis.UpgradeStripped {
			s.Diagnosis.Cause = c.way.Cause
		}
		if c.change != nil {
			c.change(&s)
		}
		h.loop.status = s
		_, _, page := h.get("/")
		if got := wayOf(t, page); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// What the page marks must have a colour, a shape and a word of its own.
func TestEverySightHasAWord(t *testing.T) {
	for s := diagnosis.Unseen; s <= diagnosis.Doubtful; s++ {
		if sights[s].word == "" || sights[s].class == "" {
			t.Errorf("%v has no word or no class", s)
		}
	}
}
