package house_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

// What a hostile visitor may cost the home in two hours, whatever they send: each is
// little more than what a quiet home costs in that time.
const (
	siege         = 2 * time.Hour
	mostProbes    = 2 * (30 + 12 + 3) // an hour: thirty that are due, twelve that the sensor calls for
	mostWritten   = 2                 // times that the notification was written or taken away
	mostEvents    = 4                 // on Core's bus
	mostLines     = 10                // of the log, at the usual level
	mostDisk      = 10                // writes
	mostStates    = 6                 // changes of the diagnosis and the connectivity in Core's states
	mostCoreCalls = 2 * (6*60 + 2*45) // six states a minute, and the latency with each probe
)

// counted is what the home was put to.
type counted struct{ probes, written, rings, events, lines, disk, states, core int }

// besiege lets strangers have their way with a healthy home.
func besiege(h *house.House, tick func(n int)) (c counted) {
	h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
	h.Sleep(5 * time.Minute)
	notes, rings, events, log := len(h.World.Core.Told().NotificationLog), len(h.World.Core.Told().NotifyCalls), len(h.World.Core.Told().Events), len(h.Log())
	seen, states := map[string]os.FileInfo{}, map[string]string{}
	var last time.Time
	disk := func(first bool) {
		files, _ := os.ReadDir(h.Dir())
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				continue
			}
			if was := seen[f.Name()]; !first && (was == nil || !os.SameFile(was, info) || !was.ModTime().Equal(info.ModTime())) {
				c.disk++
			}
			seen[f.Name()] = info
		}
	}
	count := func() {
		for entity, raw := range h.World.Core.Told().EntityStates {
			if strings.HasSuffix(entity, "latency") { // it changes with each good probe, strangers or not
				continue
			}
			if was, ok := states[entity]; ok && was != string(raw) {
				c.states++
			}
			states[entity] = string(raw)
		}
		for _, r := range h.World.Requests() {
			if !r.At.After(last) {
				continue
			}
			last = r.At
			switch {
			case r.Server == "edge" && r.Path == "/api/websocket":
				c.probes++
			case r.Server == "supervisor" && strings.HasPrefix(r.Path, "/core/"):
				c.core++
			}
		}
	}
	last = time.Now()
	disk(true)
	for n := range int(siege / time.Second) {
		tick(n)
		h.Sleep(time.Second)
		if n%5 == 0 {
			disk(false)
		}
		if n%60 == 0 {
			count()
		}
	}
	count()
	c.written, c.rings, c.events = len(h.World.Core.Told().NotificationLog)-notes, len(h.World.Core.Told().NotifyCalls)-rings, len(h.World.Core.Told().Events)-events
	for line := range strings.Lines(h.Log()[log:]) {
		if !strings.Contains(line, `"level":"debug"`) {
			c.lines++
		}
	}
	return c
}

func TestAStrangerForHours(t *testing.T) {
	for name, tick := range map[string]func(w *lab.World, n int){
		"fifty wrong requests a second":    func(w *lab.World, _ int) { w.Connector.Strangers(50, 0, 0) },
		"in bursts, as the sensor forgets": func(w *lab.World, n int) { w.Connector.Strangers(50*(n/130%2), 0, 0) },
		"requests they hang up on, 502s":   func(w *lab.World, _ int) { w.Connector.Strangers(0, 30, 20) },
		"sockets that come and go": func(w *lab.World, n int) {
			w.Connector.StrangersSockets(100 - 200*(n/10%2))
			w.Connector.Strangers(30, 20, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{Notify: []string{"mobile_app_pixel"}}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel"}, func(h *house.House) {
				c := besiege(h, func(n int) { tick(h.World, n) })
				t.Logf("in %v: %+v", siege, c)
				for what, n := range map[string][2]int{
					"probes": {c.probes, mostProbes}, "times the notification was written": {c.written, mostWritten}, "rings": {c.rings, 0},
					"events": {c.events, mostEvents}, "log lines": {c.lines, mostLines}, "writes on the disk": {c.disk, mostDisk},
					"changes of state": {c.states, mostStates}, "calls of Core": {c.core, mostCoreCalls},
				} {
					if n[0] > n[1] {
						t.Errorf("%d %s, want at most %d", n[0], what, n[1])
					}
				}
				if c.probes < int(siege/(2*time.Minute))-10 {
					t.Errorf("%d probes: it looks away", c.probes)
				}
				if raw := string(h.World.Core.Told().EntityStates["binary_sensor.tunnelmedic_connectivity"]); !strings.Contains(raw, `"state":"on"`) {
					t.Errorf("strangers switched the connectivity off: %s", raw)
				}
				if n := h.World.Supervisor.Restarts(); n != 0 {
					t.Errorf("%d restarts", n)
				}
			})
		})
	}
}

// Strangers' sockets, which never end, do not put the return to the own setting off for
// ever.
func TestStrangersSocketsDoNotKeepTheWayBackShut(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{}, days, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
		h.Wait("the cure", 20*time.Minute, func() bool { s := h.Status(); return s.State == policy.Healthy && s.Protocol.Setting == "http2" })
		h.World.SetFaults(lab.Faults{})
		h.World.Connector.StrangersSockets(500)
		began := time.Now()
		for h.World.Supervisor.Restarts() < 2 && time.Since(began) < 52*time.Hour { // due a day later, and then in the next quiet hours
			h.Sleep(10 * time.Minute)
		}
		h.Wait("its own setting again", 10*time.Minute, func() bool { return h.Status().Protocol.Setting == "auto" })
	})
}

// press is a button on the page, pressed by a user whom ingress names; "" names nobody.
func press(h *house.House, path, user, body string) (int, string) {
	h.Helper()
	status, said, err := presses(h, path, user, body)
	if err != nil {
		h.Fatal(err)
	}
	return status, said
}

// presses is the same for a page that may go away meanwhile.
func presses(h *house.House, path, user, body string) (int, string, error) {
	h.Helper()
	client := &http.Client{Transport: h.Net.Plug().Network().Transport(), Timeout: time.Minute}
	raw, err := h.Get("/")
	if err != nil {
		h.Fatal(err)
	}
	token := regexp.MustCompile(`name="token" content="([^"]+)"`).FindSubmatch(raw)
	if token == nil {
		h.Fatal("the page has no token")
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+h.Env["TUNNELMEDIC_LISTEN"]+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Tunnelmedic-Token", string(token[1]))
	if user != "" {
		req.Header.Set("X-Remote-User-Id", user)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, _ = io.ReadAll(res.Body)
	var a struct{ Message string }
	_ = json.Unmarshal(raw, &a)
	return res.StatusCode, a.Message, nil
}

func TestOnlyAdministratorsPressButtons(t *testing.T) {
	former := "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c"
	users := []lab.User{
		{ID: lab.OwnerID, Name: "Owner", Owner: true, Active: true, Groups: []string{"system-admin"}},
		{ID: lab.ChildID, Name: "Child", Active: true, Groups: []string{"system-users"}},
		{ID: former, Name: "Former", Active: false, Groups: []string{"system-admin"}},
	}
	house.Run(t, lab.Options{Users: users}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		asked := len(h.World.Requests())
		for range 100 { // somebody who presses again and again
			if status, _ := press(h, "/api/pause", lab.ChildID, `{"minutes":60}`); status != http.StatusForbidden {
				t.Fatalf("somebody who is no administrator: HTTP %d", status)
			}
		}
		questions := 0
		for _, r := range h.World.Requests()[asked:] {
			if r.Path == "/core/websocket" {
				questions++
			}
		}
		if questions > 2 {
			t.Errorf("Core was asked %d times", questions)
		}
		for _, path := range []string{"/api/probe", "/api/try", "/api/pause", "/api/resume", "/api/shorten", "/api/doctor", "/api/forget"} {
			for _, user := range []string{lab.ChildID, former, "nobody"} {
				if status, message := press(h, path, user, `{}`); status != http.StatusForbidden || !strings.Contains(message, "administrators") {
					t.Errorf("%s by %s: HTTP %d %s", path, user, status, message)
				}
			}
		}
		if s := h.Status(); s.State != policy.Healthy {
			t.Errorf("the state is %s", s.State)
		}
		if status, message := press(h, "/api/pause", lab.OwnerID, `{"minutes":60}`); status != http.StatusAccepted {
			t.Errorf("the owner: HTTP %d %s", status, message)
		}
		h.Sleep(time.Minute)
		h.World.SetFaults(lab.Faults{CoreDown: true})
		if status, message := press(h, "/api/resume", lab.OwnerID, `{}`); status != http.StatusServiceUnavailable || !strings.Contains(message, "could not be asked") {
			t.Errorf("while Core cannot be asked: HTTP %d %s", status, message)
		}
	})
}

// Supervisor knows another token than ours: that is told as that, and the container's
// health says so, because a restart gives a new one.
func TestAWrongTokenIsToldAsThat(t *testing.T) {
	house.Run(t, lab.Options{}, map[string]string{"SUPERVISOR_TOKEN": "another-token-0123456789"}, func(h *house.House) {
		h.Sleep(10 * time.Minute)
		s := h.Status()
		if s.State != policy.Blind || !strings.Contains(s.Diagnosis.Summary, "does not accept Tunnel Medic's token") || !strings.Contains(s.Diagnosis.Summary, "Restart the Tunnel Medic app") {
			t.Errorf("told as %q: %+v", s.State, s.Diagnosis)
		}
		if n := strings.Count(h.Log(), `"level":"error"`); n != 1 {
			t.Errorf("%d errors in the log", n)
		}
		if strings.Contains(h.Log(), "does not answer") {
			t.Error("told as a Supervisor that does not answer")
		}
		if _, err := h.Get("/healthz"); err == nil {
			t.Error("the health check is content")
		}
	})
}

// At a boot Supervisor is not ready for a while. Link and quiet hours come right all the
// same.
func TestWhatSupervisorCouldNotTellAtTheStartIsAskedAgain(t *testing.T) {
	for version, link := range map[string]string{"2026.11.2": "/app/local_tunnelmedic", "2026.1.3": "/hassio/ingress/local_tunnelmedic"} {
		t.Run(version, func(t *testing.T) {
			house.Run(t, lab.Options{HAVersion: version, Faults: lab.Faults{SupervisorState: "setup"}}, nil, func(h *house.House) {
				h.Sleep(time.Minute)
				h.World.SetFaults(lab.Faults{Access: true})
				h.Wait("a notification that leads to "+link, 10*time.Minute, func() bool {
					return strings.Contains(h.World.Core.Told().Notifications["tunnelmedic"].Message, "]("+link+")")
				})
			})
		})
	}
}

// The tunnel's app may be called anything, and so may its versions.
func TestAForeignNameForgesNothing(t *testing.T) {
	const name = "Cloudflared\n2026-11-25 18:00:00 ERR forged\x1b[31m \u202e[Click](https://evil.example) <img src=x>"
	app := lab.AddOn{Slug: lab.DefaultSlug, Name: name, Version: "1\n2026-11-25 18:00:00 ERR forged", State: evidence.StateStopped, Options: json.RawMessage(`{"external_hostname":"ha.example.com","additional_hosts":[]}`)}
	house.Run(t, lab.Options{AddOns: []lab.AddOn{app}}, map[string]string{"TUNNELMEDIC_LOG_FORMAT": "console"}, func(h *house.House) {
		h.Sleep(time.Hour)
		page, err := h.Get("/")
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{"the log": h.Log(), "the page": string(page)}
		for id, n := range h.World.Core.Told().Notifications {
			texts[id] = n.Title + "\n" + n.Message
		}
		for _, e := range h.World.Core.Told().Events {
			texts["an event"] += string(e.Data)
		}
		for entity, raw := range h.World.Core.Told().EntityStates {
			texts[entity] = string(raw)
		}
		for where, text := range texts {
			for _, bad := range []string{"\n2026-11-25 18:00:00 ERR forged", "\x1b", `\u001b`, "\u202e", `\u202e`, "[Click](", "<img src=x>"} {
				if strings.Contains(text, bad) && !(bad == "[Click](" && where != "tunnelmedic") {
					t.Errorf("%q stands in %s", bad, where)
				}
			}
		}
		if !strings.Contains(fmt.Sprint(texts), "Cloudflared") {
			t.Error("the name stands nowhere: nothing was tried")
		}
	})
}
