package house_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// days is for homes of days, which would be twenty thousand readings each.
var days = map[string]string{"TUNNELMEDIC_SENSOR_INTERVAL": "1m"}

const shorter = "--grace-period=1s"

// cutBy is for how long a restart by hand cuts off somebody who is connected.
func cutBy(h *house.House) time.Duration {
	h.Sleep(5 * time.Minute)
	before := h.World.CutOff()
	if err := h.World.User.Restarts(lab.DefaultSlug); err != nil {
		h.Fatal(err)
	}
	h.Sleep(2 * time.Minute)
	return h.World.CutOff() - before
}

// The restart after the next is short, a treatment leaves the flag where it is, and taken away
// again it leaves the options as they were.
func TestShorterRestartsAreAPersonsWish(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{RunParameters: []string{"--loglevel=debug"}}, days, func(h *house.House) {
		people := h.World.StartClients(5*time.Second, true) // Home Assistant ends what does not sign in after ten seconds
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		was := h.World.Supervisor.Options(lab.DefaultSlug)
		if status, _ := press(h, "/api/shorten", lab.OwnerID, `{}`); status != http.StatusBadRequest {
			h.Errorf("without a yes: HTTP %d", status)
		}
		if status, _ := press(h, "/api/shorten", lab.ChildID, `{"yes":true}`); status != http.StatusForbidden {
			h.Errorf("somebody who is no administrator: HTTP %d", status)
		}
		if now := h.World.Supervisor.Options(lab.DefaultSlug); !sameOptions(now, was) {
			h.Fatalf("nobody agreed, and the options are %s", now)
		}
		if status, said := press(h, "/api/shorten", lab.OwnerID, `{"yes":true}`); status != http.StatusAccepted || !strings.Contains(said, "next restart still takes") {
			h.Fatalf("HTTP %d %s", status, said)
		}
		if got := h.World.Supervisor.RunParameters(); !slices.Equal(got, []string{"--loglevel=debug", shorter}) || h.Status().Protocol.Grace != "1s" {
			h.Fatalf("run_parameters are %v, the status says %q", got, h.Status().Protocol.Grace)
		}
		if status, _ := press(h, "/api/shorten", lab.OwnerID, `{"yes":true}`); status != http.StatusAccepted {
			h.Errorf("once more: HTTP %d", status)
		}
		if n := h.World.Supervisor.Restarts(); n != 0 {
			h.Errorf("%d restarts for it", n)
		}
		long, short := cutBy(h), cutBy(h)
		people.Stop()
		h.Logf("the first restart cuts off for %v, the second for %v", long, short)
		if short > 6*time.Second || long-short < 8*time.Second {
			h.Errorf("the first restart cuts off for %v, the second for %v", long, short)
		}
		h.World.SetFaults(lab.Stripped(1, quic))
		h.Wait("it is healed", time.Hour, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
		if got := h.World.Supervisor.RunParameters(); !slices.Contains(got, shorter) {
			h.Errorf("after a treatment run_parameters are %v", got)
		}
		h.World.SetFaults(lab.Faults{})
		h.Wait("the own setting is back", 60*time.Hour, func() bool { return healthy(h) && flagOf(h.World) == "" && h.Status().Trial == nil })
		if status, said := press(h, "/api/shorten", lab.OwnerID, `{"yes":false}`); status != http.StatusAccepted {
			h.Fatalf("HTTP %d %s", status, said)
		}
		if now := h.World.Supervisor.Options(lab.DefaultSlug); !sameOptions(now, was) || h.Status().Protocol.Grace != "" {
			h.Errorf("taken away again, the options are\n%s, and were\n%s", now, was)
		}
	})
}

// What must not be touched is not, and the reason is said.
func TestShorterRestartsAreRefusedWhereAWriteWouldHarm(t *testing.T) {
	base := `{"external_hostname":"","additional_hosts":[],"tunnel_token":"` + lab.TunnelToken + `"`
	for name, c := range map[string]struct {
		options, mode, said string
		body                string
	}{
		"a period of one's own":             {base + `,"run_parameters":["--grace-period=5s"]}`, "heal", "--grace-period of your own", `{"yes":true}`},
		"a period of one's own, to be gone": {base + `,"run_parameters":["--grace-period=5s"]}`, "heal", "--grace-period of your own", `{"yes":false}`},
		"a secret":                          {`{"external_hostname":"!secret host","additional_hosts":[],"run_parameters":[]}`, "heal", "secrets.yaml", `{"yes":true}`},
		"the mode observe":                  {base + `}`, "observe", "Not now", `{"yes":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			app := lab.AddOn{Slug: lab.DefaultSlug, Name: "Cloudflared", Version: "6.0.4", Options: json.RawMessage(c.options)}
			house.Run(t, lab.Options{AddOns: []lab.AddOn{app}}, map[string]string{"TUNNELMEDIC_MODE": c.mode}, func(h *house.House) {
				h.Sleep(5 * time.Minute)
				status, said := press(h, "/api/shorten", lab.OwnerID, c.body)
				if status != http.StatusConflict || !strings.Contains(said, c.said) {
					h.Errorf("HTTP %d %s", status, said)
				}
				if now := string(h.World.Supervisor.Options(lab.DefaultSlug)); now != c.options || len(posted(h)) > 0 {
					h.Errorf("the options are %s; sent: %v", now, posted(h))
				}
			})
		})
	}
}

// sameOptions says whether two apps' options are the same; in which order they stand does not matter.
func sameOptions(a, b json.RawMessage) bool {
	var x, y map[string]any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// posted are the writes of options.
func posted(h *house.House) (list []string) {
	for _, r := range h.World.Requests() {
		if r.Server == "supervisor" && r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/options") {
			list = append(list, r.Path)
		}
	}
	return list
}

// Whatever cuts the power, the options are those before, or those that were asked for; an option
// that the app's schema knows no longer, which Supervisor drops, keeps nothing from being done.
func TestShorterRestartsThroughAPowerCut(t *testing.T) {
	options := `{"external_hostname":"","additional_hosts":[],"tunnel_token":"` + lab.TunnelToken + `","use_builtin_proxy":true,"run_parameters":["--loglevel=debug"]}`
	for _, late := range []bool{false, true} {
		var trap house.Trap
		app := lab.AddOn{Slug: lab.DefaultSlug, Name: "Cloudflared", Version: "6.0.4", Options: json.RawMessage(options)}
		house.Run(t, lab.Options{AddOns: []lab.AddOn{app}, Tap: trap.Spring}, nil, func(h *house.House) {
			h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
			trap.Set("/options", late, h.Crash)
			pressed := make(chan struct{})
			go func() { defer close(pressed); _, _, _ = presses(h, "/api/shorten", lab.OwnerID, `{"yes":true}`) }()
			h.Wait("the crash", time.Minute, func() bool { return !h.Lives() })
			<-pressed
			h.Start()
			h.Wait("well again", 10*time.Minute, func() bool { return healthy(h) })
			h.Sleep(time.Hour)
			want := []string{"--loglevel=debug"}
			if late {
				want = append(want, shorter)
			}
			if got := h.World.Supervisor.RunParameters(); !slices.Equal(got, want) || h.World.Supervisor.Restarts() != 0 || told(h, "by hand") {
				h.Errorf("late %v: run_parameters are %v after %d restarts", late, got, h.World.Supervisor.Restarts())
			}
			if status, said := press(h, "/api/shorten", lab.OwnerID, `{"yes":true}`); status != http.StatusAccepted {
				h.Errorf("late %v, again: HTTP %d %s", late, status, said)
			}
			if got := h.World.Supervisor.RunParameters(); !slices.Equal(got, []string{"--loglevel=debug", shorter}) {
				h.Errorf("late %v: run_parameters are %v", late, got)
			}
			if err := h.World.User.SetsOptions(lab.DefaultSlug, json.RawMessage(`{"external_hostname":"","additional_hosts":[],"tunnel_token":"`+lab.TunnelToken+`","run_parameters":["--loglevel=info"]}`)); err != nil {
				h.Fatal(err)
			}
			h.Wait("what a person takes away is seen as gone", 10*time.Minute, func() bool { return h.Status().Protocol.Grace == "" })
		})
	}
}

// The answer to the write gets lost, or does not come: what counts is what is stored.
func TestShorterRestartsWhoseAnswerGetsLost(t *testing.T) {
	for name, i := range map[string]lab.Injection{
		"after it took effect": {Method: "POST", Path: "/addons/*/options", AfterEffect: true, Reset: true, Times: 1},
		"before":               {Method: "POST", Path: "/addons/*/options", Reset: true, Times: 1},
		"with an error":        {Method: "POST", Path: "/addons/*/options", Status: 500, Body: `{"result":"error","message":"Unknown error"}`, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			house.Run(t, lab.Options{}, nil, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
				h.World.Supervisor.Inject(i)
				if status, said := press(h, "/api/shorten", lab.OwnerID, `{"yes":true}`); status != http.StatusAccepted {
					h.Errorf("HTTP %d %s", status, said)
				}
				if got := h.World.Supervisor.RunParameters(); !slices.Equal(got, []string{shorter}) {
					h.Errorf("run_parameters are %v", got)
				}
			})
		})
	}
	t.Run("a schema that does not take it", func(t *testing.T) {
		house.Run(t, lab.Options{}, nil, func(h *house.House) {
			h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
			h.World.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options/validate", Status: 200, Body: `{"result":"ok","data":{"message":"not that one","valid":false,"pwned":null}}`})
			status, said := press(h, "/api/shorten", lab.OwnerID, `{"yes":true}`)
			if status != http.StatusConflict || !strings.Contains(said, "does not accept") || len(h.World.Supervisor.RunParameters()) > 0 {
				h.Errorf("HTTP %d %s; run_parameters are %v", status, said, h.World.Supervisor.RunParameters())
			}
		})
	})
}
