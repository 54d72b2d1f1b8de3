package addon_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"tunnelmedic/internal/lab"
)

// mobile is a phone with the companion app: Core's own mobile_app knows it, and pushes to it.
type mobile struct {
	name, device string
	webhook      string

	mu     sync.Mutex
	pushes []push
}

type push struct {
	Title   string `json:"title"`
	Message string `json:"message"`
	Data    struct {
		Tag     string `json:"tag"`
		Actions []struct {
			Action string `json:"action"`
			Title  string `json:"title"`
		} `json:"actions"`
	} `json:"data"`
}

// register adds a phone to Core as the companion app does it.
func (h *core) register(t *testing.T, name, device string) *mobile {
	t.Helper()
	m := &mobile{name: name, device: device}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var p push
		if json.NewDecoder(r.Body).Decode(&p) == nil {
			m.mu.Lock()
			m.pushes = append(m.pushes, p)
			m.mu.Unlock()
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusCreated)
		_, _ = rw.Write([]byte(`{}`))
	}))
	t.Cleanup(s.Close)
	var answer struct {
		Webhook string `json:"webhook_id"`
	}
	h.ask("POST", "/api/mobile_app/registrations", h.token, map[string]any{"device_id": device, "app_id": "io.homeassistant.companion.android", "app_name": "Home Assistant", "app_version": "2026.11.1",
		"device_name": name, "manufacturer": "Google", "model": name, "os_name": "Android", "os_version": "16", "supports_encryption": false,
		"app_data": map[string]any{"push_token": "a-token", "push_url": s.URL + "/push"}}, &answer)
	if m.webhook = answer.Webhook; m.webhook == "" {
		t.Fatal("the phone could not be registered")
	}
	return m
}

// got gives the newest push for which something holds.
func (m *mobile) got(t *testing.T, what string, ok func(push) bool) push {
	t.Helper()
	var found push
	until(t, "on "+m.name+": "+what, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, p := range slices.Backward(m.pushes) {
			if ok(p) {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// presses fires what Android's app fires (NotificationActionReceiver.kt), by the webhook.
func (m *mobile) presses(h *core, p push, button int) {
	a := p.Data.Actions[button]
	h.ask("POST", "/api/webhook/"+m.webhook, "", map[string]any{"type": "fire_event", "data": map[string]any{"event_type": "mobile_app_notification_action",
		"event_data": map[string]any{"action": a.Action, "action_1_key": a.Action, "message": p.Message, "title": p.Title, "tag": p.Data.Tag, "device_id": m.device}}}, nil)
}

// answeredOnThePhone asks by the real mobile_app, and has the answer come back over Core's own bus.
func answeredOnThePhone(t *testing.T, ha *core, w *lab.World, super *front) {
	t.Helper()
	t.Log("a yes on the phone, by Core's own mobile_app; the blueprint tells the phone, too")
	mine, other := ha.register(t, "Pixel 9", "a1b2c3d4e5f60718"), ha.register(t, "Tablet", "0102030405060708")
	ha.automate(t, "Pixel 9")
	d := startDaemon(t, w, super.url, "TUNNELMEDIC_HA_TOKEN="+ha.token, "TUNNELMEDIC_MODE=ask", "TUNNELMEDIC_NOTIFY=mobile_app_pixel_9", "TUNNELMEDIC_HOLD_BASE=5m", "TUNNELMEDIC_LOG_LEVEL=debug")
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	over := w.Connector.Transport()
	w.SetFaults(lab.Stripped(1, over))
	d.until(t, "asking", func(s map[string]any) bool { return s["question"] != nil })
	question := mine.got(t, "a question with its buttons", func(p push) bool { return len(p.Data.Actions) >= 2 && p.Data.Actions[0].Title == "Yes" })
	mine.got(t, "the blueprint's word", func(p push) bool {
		return p.Data.Tag == "tunnelmedic_blueprint" && strings.Contains(p.Title, "can't be reached") && p.Message != ""
	})

	until(t, "the daemon listens to Core's bus", func() bool { return super.sockets() > 0 })
	other.presses(ha, question, 0)
	mine.got(t, "another device is refused", func(p push) bool { return strings.Contains(p.Message, "on another device") })
	if s := d.until(t, "still asking", func(map[string]any) bool { return true }); s["question"] == nil {
		t.Error("another phone's answer counts")
	}
	mine.presses(ha, question, 0)
	d.until(t, "healed", func(s map[string]any) bool {
		return s["state"] == "healthy" && w.Connector.Transport() != over && w.OpenShare() == 1
	})
	mine.got(t, "the question is taken away", func(p push) bool { return p.Message == "clear_notification" && p.Data.Tag == question.Data.Tag })
	mine.got(t, "the blueprint's word of the end", func(p push) bool { return p.Data.Tag == "tunnelmedic_blueprint" && strings.Contains(p.Title, "again") })
	until(t, "the daemon listens no more", func() bool { return super.sockets() == 0 })
	d.stop(t)
	for _, a := range question.Data.Actions {
		if a.Action != "URI" && strings.Contains(d.log.String(), a.Action) {
			t.Error("the name of a button stands in the log")
		}
	}
	w.SetFaults(lab.Faults{})
}

// automate makes an automation of the blueprint, for a phone, as its form does.
func (h *core) automate(t *testing.T, phone string) {
	t.Helper()
	list, _ := h.command(map[string]any{"type": "config/device_registry/list"})["result"].([]any)
	i := slices.IndexFunc(list, func(d any) bool { return d.(map[string]any)["name"] == phone })
	if i < 0 {
		t.Fatal("Core does not know the phone")
	}
	h.ask("POST", "/api/config/automation/config/1763000000000", h.token, map[string]any{"alias": "By the blueprint", "use_blueprint": map[string]any{"path": "tunnelmedic/tunnel_trouble.yaml",
		"input": map[string]any{"phone": list[i].(map[string]any)["id"], "states": []string{"holding"}}}}, nil)
	blueprints, _ := h.command(map[string]any{"type": "blueprint/list", "domain": "automation"})["result"].(map[string]any)
	if b, _ := blueprints["tunnelmedic/tunnel_trouble.yaml"].(map[string]any); b["metadata"] == nil || b["error"] != nil {
		t.Errorf("the blueprint: %v", b)
	}
}
