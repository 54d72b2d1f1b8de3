package house_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// shownTrouble is what stands on the page about what keeps the program from its work.
func shownTrouble(h *house.House) string {
	h.Helper()
	raw, err := h.Get("/")
	if err != nil {
		h.Fatal(err)
	}
	_, after, _ := strings.Cut(string(raw), `id="troubles"`)
	text, _, _ := strings.Cut(after, "</section>")
	return text
}

// A notify service that does not exist is told before it is needed, and is told no more once it
// does.
func TestAWrongNotifyServiceIsShown(t *testing.T) {
	t.Parallel()
	house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel,mobile_app_pixl"}, func(h *house.House) {
		const told = "no notify service called mobile_app_pixl."
		h.Wait("it is on the page", 5*time.Minute, func() bool { return strings.Contains(shownTrouble(h), told) })
		if text := shownTrouble(h); !strings.Contains(text, "These exist: mobile_app_pixel.") || !strings.Contains(text, `href="/config/app/local_tunnelmedic/config" target="_top"`) {
			t.Error(text)
		}
		h.Sleep(3 * time.Hour)
		if n := strings.Count(h.Log(), told); n != 1 {
			t.Errorf("said %d times in the log", n)
		}
		h.World.Core.SetNotify("mobile_app_pixel", "mobile_app_pixl")
		h.Wait("it is gone", time.Hour, func() bool { return !strings.Contains(shownTrouble(h), told) })
	})
}

// A phone's service comes some moments after Home Assistant; and a Home Assistant that is down
// says nothing about its services.
func TestANotifyServiceThatComesLateIsNotWrong(t *testing.T) {
	t.Parallel()
	opt := lab.Options{Notify: []string{}, Faults: lab.Faults{CoreDown: true}}
	house.Run(t, opt, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel"}, func(h *house.House) {
		h.Sleep(10 * time.Minute)
		h.World.SetFaults(lab.Faults{})
		h.Sleep(time.Minute)
		h.World.Core.SetNotify("mobile_app_pixel")
		h.Sleep(30 * time.Minute)
		if strings.Contains(h.Log(), "no notify service") || strings.Contains(shownTrouble(h), "no notify service") {
			t.Error("it was called wrong")
		}
	})
}

// The button sends what people would be sent, and says what became of it.
func TestTheTestNotification(t *testing.T) {
	t.Parallel()
	house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel"}, func(h *house.House) {
		h.Sleep(5 * time.Minute)
		send := func() (int, string) { return press(h, "/api/test", lab.OwnerID, `{}`) }
		if status, message := send(); status != http.StatusAccepted || !strings.Contains(message, "passed on to mobile_app_pixel.") {
			t.Errorf("HTTP %d %s", status, message)
		}
		if n := h.World.Core.Told().Notifications["tunnelmedic_test"]; !strings.Contains(n.Title, "Test") || !strings.Contains(n.Message, "](/app/local_tunnelmedic)") {
			t.Errorf("%+v", n)
		}
		if calls := h.World.Core.Told().NotifyCalls; len(calls) != 1 || !strings.Contains(string(calls[0].Data), "This is how") {
			t.Errorf("%+v", calls)
		}
		if status, _ := send(); status != http.StatusTooManyRequests {
			t.Errorf("pressed again at once: HTTP %d", status)
		}
		h.Sleep(time.Minute)
		if status, _ := press(h, "/api/test", lab.ChildID, `{}`); status != http.StatusForbidden || len(h.World.Core.Told().NotifyCalls) != 1 {
			t.Errorf("pressed by a child: HTTP %d", status)
		}
		h.World.Core.SetNotify()
		if status, message := send(); status != http.StatusBadGateway || !strings.Contains(message, "did not get through to mobile_app_pixel.") {
			t.Errorf("the phone is gone: HTTP %d %s", status, message)
		}
		h.Sleep(time.Minute)
		h.World.SetFaults(lab.Faults{CoreDown: true})
		status, message := send()
		if slices.Contains([]int{http.StatusAccepted, http.StatusInternalServerError}, status) || !strings.Contains(message, "could not be asked") {
			t.Errorf("Home Assistant is down: HTTP %d %s", status, message)
		}
		h.World.SetFaults(lab.Faults{})
		if status, message := press(h, "/api/forget", lab.OwnerID, `{}`); status != http.StatusAccepted || len(h.World.Core.Told().Notifications) != 0 {
			t.Errorf("HTTP %d %s, left over: %v", status, message, h.World.Core.Told().Notifications)
		}
	})
}

// The page leads to the Cloudflared app, in each frontend's own way.
func TestThePageLeadsToTheCloudflaredApp(t *testing.T) {
	t.Parallel()
	for version, link := range map[string]string{"2026.11.2": "/config/app/" + lab.DefaultSlug + "/info", "2026.1.3": "/hassio/addon/" + lab.DefaultSlug + "/info"} {
		house.Run(t, lab.Options{HAVersion: version}, nil, func(h *house.House) {
			h.Wait("a link to "+link, 5*time.Minute, func() bool {
				raw, err := h.Get("/")
				return err == nil && strings.Contains(string(raw), `href="`+link+`" target="_top"`)
			})
		})
	}
}

// A message that names the Cloudflared app leads to it, and one about the mode to where that is set.
func TestMessagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	for version, at := range map[string]string{"2026.11.2": "/config/app/", "2026.1.3": "/hassio/addon/"} {
		message := func(h *house.House) string { return h.World.Core.Told().Notifications["tunnelmedic"].Message }
		house.Run(t, lab.Options{HAVersion: version}, nil, func(h *house.House) {
			h.Sleep(5 * time.Minute)
			if err := h.World.User.Stops(lab.DefaultSlug); err != nil {
				t.Fatal(err)
			}
			h.Wait("a message that leads to the app", time.Hour, func() bool {
				return strings.Contains(message(h), "[Open the Cloudflared app]("+at+lab.DefaultSlug+"/info)")
			})
		})
		house.Run(t, lab.Options{HAVersion: version}, map[string]string{"TUNNELMEDIC_MODE": "observe"}, func(h *house.House) {
			h.Sleep(5 * time.Minute)
			h.World.SetFaults(lab.Stripped(1))
			h.Wait("a message that leads to the mode", time.Hour, func() bool {
				return strings.Contains(message(h), "[Open the configuration]("+at+lab.SelfSlug+"/config)")
			})
		})
	}
}

// A pause keeps it from acting, not from telling: people are cut off all the same.
func TestAnOutageDuringAPauseIsTold(t *testing.T) {
	house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel"}, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		if status, message := press(h, "/api/pause", lab.OwnerID, `{"minutes":180}`); status != http.StatusAccepted {
			h.Fatal(message)
		}
		h.World.SetFaults(lab.Stripped(1))
		h.Sleep(8 * time.Minute)
		if len(h.World.Core.Told().Notifications) != 0 || len(h.World.Core.Told().NotifyCalls) != 0 {
			h.Error("told within eight minutes")
		}
		h.Wait("it is told, with what the pause has to do with it", 6*time.Minute, func() bool { return told(h, "more than ten minutes") && told(h, "Resume") })
		h.Sleep(time.Hour)
		if h.World.Supervisor.Restarts() != 0 || len(h.World.Core.Told().NotifyCalls) != 1 {
			h.Errorf("%d restarts, phones rang %d times", h.World.Supervisor.Restarts(), len(h.World.Core.Told().NotifyCalls))
		}
		h.World.SetFaults(lab.Faults{})
		h.Wait("its end is told", 30*time.Minute, func() bool { return told(h, "works again, after ") || told(h, "went away") })
	})
}
