package house_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/medic"
)

// beside is the edge under its other name, as it stands in the option also_watch.
func beside(h *house.House) string {
	return "http://localhost:" + h.World.Edge.URL()[strings.LastIndex(h.World.Edge.URL(), ":")+1:]
}

// both leads to Home Assistant under either name.
var both = lab.Options{Hosts: []string{"localhost"}}

// withBeside plays a story in a home that watches its other name, too.
func withBeside(t *testing.T, opt lab.Options, env map[string]string, story func(h *house.House, also func() medic.AddressStatus)) {
	t.Helper()
	house.Run(t, opt, nil, func(h *house.House) {
		if err := h.Stop(); err != nil {
			h.Fatal(err)
		}
		h.Env["TUNNELMEDIC_ALSO_WATCH"], h.Env["TUNNELMEDIC_NOTIFY"] = beside(h), "mobile_app_pixel"
		for k, v := range env {
			h.Env[k] = v
		}
		h.Start()
		also := func() medic.AddressStatus {
			if list := h.Status().Also; len(list) == 1 {
				return list[0]
			}
			return medic.AddressStatus{}
		}
		h.Wait("a look at both", 5*time.Minute, func() bool { return healthy(h) && !also().At.IsZero() })
		story(h, also)
	})
}

func TestAnAddressThatFailsAloneIsToldAndNotTreated(t *testing.T) {
	withBeside(t, both, nil, func(h *house.House, also func() medic.AddressStatus) {
		if a := also(); !a.Well() || a.URL != beside(h) {
			h.Fatalf("%+v", a)
		}
		h.World.ChangeFaults(func(f *lab.Faults) { f.Access, f.OnlyHost = true, "localhost" })
		h.Wait("it is seen", 5*time.Minute, func() bool { return also().Cause == diagnosis.AccessLogin })
		h.Wait("it is told", 15*time.Minute, func() bool { return told(h, "Your main address works") })
		h.Sleep(2 * time.Hour)
		if !healthy(h) || h.World.Supervisor.Restarts() != 0 || len(h.World.Core.Told().NotifyCalls) != 1 {
			h.Errorf("the main address is %s; %d restarts; phones rang %d times", h.Status().Diagnosis.Cause, h.World.Supervisor.Restarts(), len(h.World.Core.Told().NotifyCalls))
		}
		var asked time.Time
		for _, r := range h.World.Requests() {
			if r.Path == "/config" && r.At.Sub(asked) < time.Second {
				h.Error("one check asks for the tunnel's rules twice, at", r.At)
			}
			if r.Path == "/config" {
				asked = r.At
			}
		}
		h.World.ChangeFaults(func(f *lab.Faults) { f.Access = false })
		h.Wait("its end is told, with its length", 5*time.Minute, func() bool { return told(h, "works again, after 2 h") })
		h.Wait("the last word goes", 30*time.Minute, func() bool { return len(h.World.Core.Told().Notifications) == 0 })
		if log := h.Log(); strings.Count(log, "does not work, though") != 1 || !strings.Contains(log, "works again, after 2 h") {
			h.Error("the log does not tell it once, with its end")
		}
	})
}

func TestAFaultOfTheTunnelIsToldOnce(t *testing.T) {
	house.Lasting(t)
	withBeside(t, both, nil, func(h *house.House, also func() medic.AddressStatus) {
		h.World.SetFaults(lab.Stripped(1))
		h.Wait("both fail", 10*time.Minute, func() bool { return also().Cause == diagnosis.UpgradeStripped })
		h.Sleep(2 * time.Hour)
		if told(h, "Your main address works") || len(h.World.Core.Told().Notifications) != 1 {
			h.Errorf("told: %+v", h.World.Core.Told().Notifications)
		}
		h.World.SetFaults(lab.Faults{})
		h.Wait("both work", 3*time.Hour, func() bool { return healthy(h) && also().Well() })
	})
}

// What is not this home's is refused with the reason, and no credential goes there.
func TestAnAddressThatIsNotThisHomes(t *testing.T) {
	t.Run("the tunnel has no rule for it", func(t *testing.T) {
		withBeside(t, lab.Options{}, map[string]string{"TUNNELMEDIC_HA_TOKEN": "canary-token", "TUNNELMEDIC_ACCESS_CLIENT_ID": "canary-id", "TUNNELMEDIC_ACCESS_CLIENT_SECRET": "canary-secret"},
			func(h *house.House, also func() medic.AddressStatus) {
				h.Wait("it is refused", 5*time.Minute, func() bool { return also().Refused == medic.NotInTunnel })
				before := len(h.World.Requests())
				h.Sleep(50 * time.Minute)
				for _, r := range h.World.Requests()[before:] {
					if r.Server == "edge" && strings.HasPrefix(r.Host, "localhost") {
						h.Fatalf("it was asked all the same: %+v", r)
					}
				}
			})
	})
	t.Run("another tunnel carries it", func(t *testing.T) {
		withBeside(t, both, nil, func(h *house.House, also func() medic.AddressStatus) {
			h.World.ChangeFaults(func(f *lab.Faults) { f.ElsewhereToo, f.OnlyHost = true, "localhost" })
			h.Wait("it is refused", 5*time.Minute, func() bool { return also().Refused == medic.OtherTunnel })
			h.Holds("the main one stays well", time.Hour, func() bool { return healthy(h) })
			if !strings.Contains(h.Log(), "is not watched. Something answers at this address") {
				h.Error("the log does not say why")
			}
		})
	})
	t.Run("it is the main one", func(t *testing.T) {
		house.Run(t, lab.Options{FindURL: true}, nil, func(h *house.House) {
			if err := h.Stop(); err != nil {
				h.Fatal(err)
			}
			h.Env["TUNNELMEDIC_ALSO_WATCH"] = "https://" + lab.PublicHost
			h.Start()
			h.Wait("it is refused", 5*time.Minute, func() bool { s := h.Status(); return len(s.Also) == 1 && s.Also[0].Refused == medic.IsMain })
		})
	})
}
