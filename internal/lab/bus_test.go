package lab

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/lab/wire"
)

// heard signs in at Core's WebSocket through Supervisor, sends the messages, and gives all that came within a time,
// with how it ended.
func heard(t *testing.T, w *World, token string, within time.Duration, meanwhile func(), messages ...string) (all []string, end error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(w.Supervisor.URL(), "http")+"/core/websocket", &websocket.DialOptions{HTTPClient: &http.Client{Transport: w.Network().Transport()}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = ws.CloseNow() }()
	for _, m := range append([]string{`{"type":"auth","access_token":"` + token + `"}`}, messages...) {
		if err := ws.Write(ctx, websocket.MessageText, []byte(m)); err != nil {
			return all, err
		}
	}
	go func() { time.Sleep(time.Minute); meanwhile() }()
	for {
		_, raw, err := ws.Read(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, string(raw))
	}
}

func TestCoresWebSocketThroughSupervisor(t *testing.T) {
	const subscribe = `{"id":1,"type":"subscribe_events","event_type":"mobile_app_notification_action"}`
	for name, c := range map[string]struct {
		fault     SocketFault
		token     string
		messages  []string
		meanwhile func(*World)
		within    time.Duration
		want      string // in all that was heard
		not       string
		status    websocket.StatusCode // of the end; -1: none came
	}{
		"an event that is subscribed to": {token: SupervisorToken, messages: []string{subscribe, `{"id":2,"type":"ping"}`}, within: 5 * time.Minute, status: -1,
			meanwhile: func(w *World) {
				w.User.Fires("other", nil)
				w.User.Fires(ActionEvent, json.RawMessage(`{"action":"A"}`))
			},
			want: `"event":{"context":{"id":"01JDLABLABLABLABLABLABLABL","parent_id":null,"user_id":"` + OwnerID + `"},"data":{"action":"A"},"event_type":"mobile_app_notification_action"`, not: `"other"`},
		"a pong":                {token: SupervisorToken, messages: []string{`{"id":2,"type":"ping"}`}, within: 2 * time.Minute, want: `{"id":2,"type":"pong"}`, status: -1},
		"another token":         {token: "another", within: 2 * time.Minute, want: "auth_invalid", not: "auth_ok", status: websocket.StatusNormalClosure},
		"not permitted":         {fault: SocketRefused, token: SupervisorToken, within: 2 * time.Minute, want: "auth_invalid", status: websocket.StatusNormalClosure},
		"Core does not answer":  {fault: SocketShut, token: SupervisorToken, messages: []string{subscribe}, within: 2 * time.Minute, want: "auth_ok", not: "result", status: websocket.StatusNormalClosure},
		"no administrator":      {fault: SocketDenied, token: SupervisorToken, messages: []string{subscribe}, within: 2 * time.Minute, want: "unauthorized", status: -1},
		"it says nothing more":  {fault: SocketSilent, token: SupervisorToken, messages: []string{subscribe}, within: time.Hour, want: "auth_ok", not: "result", status: -1},
		"the frontend's own":    {token: SupervisorToken, messages: []string{`{"id":1,"type":"hassio/x"}`}, within: 2 * time.Minute, want: "unauthorized", status: -1},
		"Core restarts":         {token: SupervisorToken, messages: []string{subscribe}, meanwhile: func(w *World) { w.User.RestartsCore() }, within: 5 * time.Minute, want: `"success":true`, status: websocket.StatusNormalClosure},
		"Supervisor goes":       {token: SupervisorToken, messages: []string{subscribe}, meanwhile: func(w *World) { w.SetFaults(Faults{SupervisorDown: true}) }, within: 5 * time.Minute, want: `"success":true`, status: -1},
		"what is no JSON":       {token: SupervisorToken, messages: []string{`{`}, within: 2 * time.Minute, want: "auth_ok", status: websocket.StatusNormalClosure},
		"the phones of a house": {token: SupervisorToken, messages: []string{`{"id":1,"type":"config/device_registry/list"}`}, within: 2 * time.Minute, want: `["mobile_app","` + DeviceID("mobile_app_pixel") + `"]`, status: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := New(Options{Net: wire.New(), Timings: RealTimings(), Faults: Faults{CoreSocket: c.fault}})
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				all, end := heard(t, w, c.token, c.within, func() {
					if c.meanwhile != nil {
						c.meanwhile(w)
					}
				}, c.messages...)
				if said := strings.Join(all, "\n"); !strings.Contains(said, c.want) || c.not != "" && strings.Contains(said, c.not) {
					t.Errorf("heard:\n%s", said)
				}
				if got := websocket.CloseStatus(end); got != c.status {
					t.Errorf("it ended with %d (%v)", got, end)
				}
				time.Sleep(2 * time.Minute)
				if n := w.Core.Told().Listeners; n != 0 {
					t.Errorf("%d still listen", n)
				}
			})
		})
	}
}

// What the two companion apps fire for a button differs: only Android's names the device and repeats the notification.
func TestPhonesFireWhatTheirAppsFire(t *testing.T) {
	w := start(t, Options{Notify: []string{"mobile_app_pixel", "mobile_app_iphone"}})
	for _, phone := range w.opt.Notify {
		want(t, super(t, w, "POST", "/core/api/services/notify/"+phone, `{"title":"T","message":"M","data":{"tag":"t","action_data":{"a":1},"actions":[{"action":"YES","title":"Yes"},{"action":"URI","title":"Open","uri":"/"}]}}`), 200)
		for _, button := range []string{"Yes", "Open"} {
			if err := w.User.Presses(phone, button); err != nil {
				t.Fatal(err)
			}
		}
	}
	events := w.Core.Told().Events
	if len(events) != 2 {
		t.Fatalf("%+v", events)
	}
	if got, expect := string(events[0].Data), `{"action":"YES","action_1_key":"YES","action_1_title":"Yes","action_2_key":"URI","action_2_title":"Open","device_id":"`+DeviceID("mobile_app_pixel")+`","message":"M","tag":"t","title":"T"}`; got != expect {
		t.Errorf("Android: %s, want %s", got, expect)
	}
	if got, expect := string(events[1].Data), `{"action":"YES","action_data":{"a":1}}`; got != expect {
		t.Errorf("iOS: %s, want %s", got, expect)
	}
	want(t, super(t, w, "POST", "/core/api/services/notify/mobile_app_pixel", `{"message":"clear_notification","data":{"tag":"t"}}`), 200)
	if err := w.User.Presses("mobile_app_pixel", "Yes"); err == nil {
		t.Error("a notification that was cleared still stands")
	}
}
