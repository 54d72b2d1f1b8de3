package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ActionEvent is what both companion apps fire when a button of a notification is pressed.
const ActionEvent = "mobile_app_notification_action"

// PhoneNote is a notification as it stands on a phone.
type PhoneNote struct {
	At             time.Time
	Title, Message string
	Data           PhoneData
}

// PhoneData is what a companion app reads of data.
type PhoneData struct {
	Tag     string        `json:"tag"`
	Actions []PhoneAction `json:"actions"`
	raw     map[string]any
}

// PhoneAction is a button.
type PhoneAction struct {
	Action string `json:"action"`
	Title  string `json:"title"`
	URI    string `json:"uri,omitempty"`
}

// OnPhone are the notifications that stand on the phone behind a notify service, oldest first: one with the tag
// of another has taken its place, and "clear_notification" has taken it away, as both companion apps do.
func (c *Core) OnPhone(service string) (list []PhoneNote) {
	for _, call := range c.Told().NotifyCalls {
		if call.Name != service {
			continue
		}
		var m struct {
			Title   string          `json:"title"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		}
		if json.Unmarshal(call.Data, &m) != nil {
			continue
		}
		n := PhoneNote{At: call.At, Title: m.Title, Message: m.Message}
		if m.Data != nil {
			_ = json.Unmarshal(m.Data, &n.Data)
			_ = json.Unmarshal(m.Data, &n.Data.raw)
		}
		list = slices.DeleteFunc(list, func(old PhoneNote) bool { return n.Data.Tag != "" && old.Data.Tag == n.Data.Tag })
		if m.Message != "clear_notification" {
			list = append(list, n)
		}
	}
	return list
}

// apple says whether a phone is one of Apple's, by its name.
func apple(service string) bool { return strings.Contains(service, "iphone") }

// DeviceID is the id under which the phone behind a notify service has registered.
func DeviceID(service string) string { return fmt.Sprintf("%016x", []byte(service)[len(service)-4:]) }

// devices are the phones in Core's device registry (config/device_registry/list), by the names from which
// notify makes its services (_target_service_name of components/notify/legacy.py).
func (c *Core) devices() []map[string]any {
	list := []map[string]any{{"id": "0f00", "name": "Sun", "name_by_user": nil, "identifiers": [][]string{{"sun", "1"}}}}
	for _, service := range c.w.opt.Notify {
		if name, ok := strings.CutPrefix(service, "mobile_app_"); ok {
			list = append(list, map[string]any{"id": "1f" + name, "name": strings.ReplaceAll(name, "_", " "), "name_by_user": "A phone", "identifiers": [][]string{{"mobile_app", DeviceID(service)}}})
		}
	}
	return list
}

// Presses is a person pressing the button of this title, on the newest notification on their phone that has it. What
// becomes of it is an event on Core's bus, by the webhook of mobile_app: with all that the notification holds, the
// button and the device by Android's app (NotificationActionReceiver.kt, IntegrationRepositoryImpl.fireEvent); with
// nothing but the button and its action_data by Apple's (mobileAppNotificationActionEvent of HAAPI.swift). The
// webhook knows the person (registration_context of mobile_app/helpers.py).
func (h *Hands) Presses(service, title string) error {
	notes := h.w.Core.OnPhone(service)
	for _, n := range slices.Backward(notes) {
		for i, a := range n.Data.Actions {
			if a.Title == title {
				h.PressesAction(service, n, i)
				return nil
			}
		}
	}
	return fmt.Errorf("no notification on %s has a button %q: %+v", service, title, notes)
}

// PressesAction is the same, of a notification that need not stand on the phone any more, or is another phone's.
func (h *Hands) PressesAction(service string, n PhoneNote, action int) {
	a := n.Data.Actions[action]
	if a.Action == "URI" { // it opens a page, and tells nobody
		return
	}
	data := map[string]any{"action": a.Action}
	if apple(service) {
		if more, ok := n.Data.raw["action_data"]; ok {
			data["action_data"] = more
		}
	} else {
		data["title"], data["message"], data["tag"], data["device_id"] = n.Title, n.Message, n.Data.Tag, DeviceID(service)
		for i, b := range n.Data.Actions {
			data[fmt.Sprintf("action_%d_key", i+1)], data[fmt.Sprintf("action_%d_title", i+1)] = b.Action, b.Title
		}
	}
	raw, _ := json.Marshal(data)
	h.Fires(ActionEvent, raw)
}

// Fires puts an event on Core's bus, as any app and any phone of the house can.
func (h *Hands) Fires(kind string, data json.RawMessage) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.Core.publish(kind, data, OwnerID)
}
