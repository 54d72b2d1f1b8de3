package house_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

// saying waits for a cause on the page.
func saying(h *house.House, cause string, within time.Duration) medic.Status {
	h.Helper()
	var s medic.Status
	h.Wait("the cause "+cause, within, func() bool { s = h.Status(); return s.Diagnosis.Cause.String() == cause })
	return s
}

// A start page from Cloudflare's cache is told to people; for the tunnel all is well.
func TestAStalePageIsToldAndNotTreated(t *testing.T) {
	t.Parallel()
	house.Run(t, lab.Options{Faults: lab.Faults{CacheEverything: true}}, nil, func(h *house.House) {
		saying(h, "healthy", 5*time.Minute)
		h.Sleep(10 * time.Minute) // the page is in the cache
		h.World.Core.Update("2026.12.0")
		s := saying(h, "page-stale", time.Hour)
		if s.State != policy.Healthy || s.Detector.Score != 0 || !s.Reachable() {
			t.Errorf("state %s, score %v", s.State, s.Detector.Score)
		}
		if !strings.Contains(strings.Join(s.Diagnosis.Advice, " "), "Purge Everything") || !strings.Contains(s.Diagnosis.Seen["start page"], "cache") {
			t.Errorf("%q, %q", s.Diagnosis.Advice, s.Diagnosis.Seen["start page"])
		}
		h.Wait("the notification", time.Hour, func() bool {
			return strings.Contains(h.World.Core.Told().Notifications["tunnelmedic"].Message, "Purge")
		})
		h.World.SetFaults(lab.Faults{}) // the cache is purged, the rule is gone
		saying(h, "healthy", time.Hour)
		h.Wait("the notification's end", time.Hour, func() bool { return h.World.Core.Told().Notifications["tunnelmedic"].Message == "" })
		if n := h.World.Supervisor.Restarts(); n != 0 {
			t.Errorf("%d restarts", n)
		}
	})
}

// What looks like a stale page, and is none.
func TestWhatIsNoStalePage(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]lab.Faults{
		"an update of Home Assistant":  {},
		"while its files are replaced": {FrontendUpdating: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{Faults: f}, nil, func(h *house.House) {
				saying(h, "healthy", 5*time.Minute)
				h.World.Core.Update("2026.12.0")
				h.Holds("healthy", 2*time.Hour, func() bool { return h.Status().Diagnosis.Cause.String() == "healthy" })
			})
		})
	}
}

// The log of Home Assistant 2025.4 names browsers that break off; that of 2026.11 does
// not, and the connector's numbers have to do.
func TestBrowsersThatBreakTheSignInOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version string
		every   time.Duration // 0: nobody comes
		stay    bool          // and somebody else is connected well
		want    string
		seen    string
	}{
		"logged":                         {"2025.4.1", 5 * time.Minute / 2, false, "clients-close-during-sign-in", "Chrome or a relative"},
		"logged, others being connected": {"2025.4.1", time.Minute, true, "clients-close-during-sign-in", "Chrome or a relative"},
		"counted":                        {"2026.11.2", 45 * time.Second, false, "clients-close-during-sign-in", ""},
		"now and then":                   {"2026.11.2", 5 * time.Minute, false, "healthy", ""},
		"nobody":                         {"2025.4.1", 0, false, "healthy", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{HAVersion: c.version}, nil, func(h *house.House) {
				saying(h, "healthy", 5*time.Minute)
				if c.stay {
					defer h.World.StartClients(time.Hour, true).Stop()
				}
				if c.every > 0 {
					defer lab.StartBrowsers(h.World, c.every).Stop()
				}
				if c.want == "healthy" {
					h.Holds("healthy", 3*time.Hour, func() bool { return h.Status().Diagnosis.Cause.String() == "healthy" })
					return
				}
				s := saying(h, c.want, time.Hour)
				if s.State != policy.Healthy || s.Detector.Score != 0 || !strings.Contains(strings.Join(s.Diagnosis.Advice, " "), "hypothesis") {
					t.Errorf("state %s, score %v, %q", s.State, s.Detector.Score, s.Diagnosis.Advice)
				}
				if !strings.Contains(s.Diagnosis.Seen["core log"], c.seen) || strings.Contains(s.Diagnosis.Seen["core log"]+h.Log(), "Mozilla") {
					t.Errorf("core log: %q", s.Diagnosis.Seen["core log"])
				}
			})
		})
	}
}

// Home Assistant's own log tells a header that is wrong from a proxy that is not trusted.
func TestARefusedHeaderIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f           lab.Faults
		cause, says string
	}{
		"no address":         {lab.Faults{Forwarded: "address"}, "forwarded-header", "no IP address in X-Forwarded-For"},
		"an empty scheme":    {lab.Faults{Forwarded: "proto"}, "forwarded-header", "X-Forwarded-Proto"},
		"too many schemes":   {lab.Faults{Forwarded: "protos"}, "forwarded-header", "number of items in X-Forwarded-Proto"},
		"an empty host":      {lab.Faults{Forwarded: "host"}, "forwarded-header", "X-Forwarded-Host"},
		"proxies not set up": {lab.Faults{Forwarded: "unset"}, "proxy-not-trusted", ""},
		"an untrusted proxy": {lab.Faults{ProxyNotTrusted: true}, "proxy-not-trusted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{Faults: c.f}, nil, func(h *house.House) {
				s := saying(h, c.cause, 5*time.Minute)
				if !strings.Contains(s.Diagnosis.Summary, c.says) {
					t.Errorf("%q", s.Diagnosis.Summary)
				}
				if text := s.Diagnosis.Summary + s.Diagnosis.Seen["core log"]; strings.Contains(text, "172.30") || strings.Contains(text, "127.0.0.1") {
					t.Errorf("an address: %q", text)
				}
				h.Sleep(10 * time.Minute)
				reads := 0
				for _, r := range h.World.Requests() {
					if strings.HasPrefix(r.Path, "/core/logs") {
						reads++
					}
				}
				if reads == 0 || reads > 25 {
					t.Errorf("Home Assistant's log was read %d times", reads)
				}
			})
		})
	}
}

// What changed just before a fault is told with it; what the daemon changes itself is not.
func TestWhatChangedJustBeforeIsTold(t *testing.T) {
	house.Lasting(t)
	t.Parallel()
	house.Run(t, lab.Options{HAVersion: "2026.8.3"}, nil, func(h *house.House) {
		saying(h, "healthy", 5*time.Minute)
		h.Sleep(30 * time.Minute)
		if err := h.World.User.SetsOptions(lab.DefaultSlug, []byte(`{"external_hostname":"ha.example.com","additional_hosts":[],"tunnel_token":"`+lab.TunnelToken+`","run_parameters":["--loglevel=debug"]}`)); err != nil {
			t.Fatal(err)
		}
		h.Sleep(2 * time.Hour)
		h.World.Core.Update("2026.9.0")
		h.Sleep(40 * time.Minute)
		h.World.SetFaults(lab.Stripped(1))
		var s medic.Status
		h.Wait("an incident that is told", time.Hour, func() bool {
			s = h.Status()
			return s.Incident != nil && s.State == policy.Holding && strings.Contains(h.World.Core.Told().Notifications["tunnelmedic"].Message, "2026.9.0")
		})
		for _, want := range []string{"Home Assistant went from 2026.8.3 to 2026.9.0, 4", "min before", "flags of cloudflared went from none to loglevel"} {
			if !strings.Contains(s.Diagnosis.Changed, want) || !strings.Contains(s.Diagnosis.Seen["changed before"], want) || !strings.Contains(s.Incident.Seen["changed before"], want) {
				t.Errorf("%q is not in %q, or not kept: %q", want, s.Diagnosis.Changed, s.Incident.Seen["changed before"])
			}
		}
		if strings.Contains(s.Diagnosis.Changed, "protocol") || strings.Contains(s.Diagnosis.Changed, "debug") {
			t.Errorf("it tells of what it did itself, or of a flag's value: %q", s.Diagnosis.Changed)
		}
		if m := h.World.Core.Told().Notifications["tunnelmedic"].Message; !strings.Contains(m, "may not be the reason") {
			t.Errorf("%q", m)
		}
		h.World.SetFaults(lab.Faults{})
		h.Wait("health", 10*time.Hour, func() bool { s = h.Status(); return s.Diagnosis.Cause.String() == "healthy" })
		if s.Diagnosis.Changed != "" {
			t.Errorf("told of while all is well: %q", s.Diagnosis.Changed)
		}
	})
}
