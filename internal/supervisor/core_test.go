package supervisor

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestTheInternet(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		want       evidence.Internet
	}{
		{"both say yes", `{"host_internet":true,"supervisor_internet":true}`, evidence.InternetUp},
		{"both say no", `{"host_internet":false,"supervisor_internet":false}`, evidence.InternetDown},
		{"null says nothing: the other counts", `{"host_internet":null,"supervisor_internet":true}`, evidence.InternetUp},
		{"null says nothing: the other counts against", `{"host_internet":null,"supervisor_internet":false}`, evidence.InternetDown},
		{"a contradiction is not known", `{"host_internet":true,"supervisor_internet":false}`, evidence.InternetUnknown},
		{"null twice is not known", `{"host_internet":null,"supervisor_internet":null}`, evidence.InternetUnknown},
		{"nothing said is not known", `{"interfaces":[]}`, evidence.InternetUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := serve(t, ok(tt.data)).Network(context.Background()); err != nil || got != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got, err := serve(t, noRole).Network(context.Background()); got != evidence.InternetUnknown || !Is(err, NoRole) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestVersionsAndPlaces(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/info":
			ok(`{"supervisor":"2026.08.1","homeassistant":"2026.8.2","hassos":null,"operating_system":"Debian","docker":"28.1","machine":"qemux86-64","arch":"amd64","channel":"stable","timezone":"Europe/Vienna","state":"running","supported":true,"features":["x"]}`)(w, r)
		case "/core/info":
			ok(`{"version":"2026.8.2","version_latest":"2026.8.3","port":8123,"ssl":true,"ip_address":"172.30.32.1","machine":"qemux86-64","boot":true}`)(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	ctx := context.Background()
	system, err := c.SystemInfo(ctx)
	if want := (System{Supervisor: "2026.08.1", HomeAssistant: "2026.8.2", OperatingSystem: "Debian", Machine: "qemux86-64", TimeZone: "Europe/Vienna"}); err != nil || system != want {
		t.Errorf("got %+v, %v", system, err)
	}
	core, err := c.CoreInfo(ctx)
	if want := (CoreInfo{Version: "2026.8.2", Port: 8123, SSL: true, IPAddress: "172.30.32.1"}); err != nil || core != want {
		t.Errorf("got %+v, %v", core, err)
	}
}

func TestTheBroker(t *testing.T) {
	ctx := context.Background()
	c := serve(t, ok(`{"host":"core-mosquitto","port":1883,"username":"addons","password":"`+optionCanary+`","ssl":false,"protocol":"3.1.1"}`))
	b, there, err := c.MQTT(ctx)
	if err != nil || !there || b.Host != "core-mosquitto" || b.Port != 1883 || b.Username != "addons" || b.Password != optionCanary || b.SSL || b.Protocol != "3.1.1" {
		t.Errorf("got %v, %v, %v", b, there, err)
	}
	noCanary(t, b)
	noCanary(t, &b)
	if s := c.line.keeper.Scrub(optionCanary); strings.Contains(s, "canary") {
		t.Error("the keeper does not know the password")
	}

	if _, there, err = serve(t, reply(400, `{"result":"error","message":"Service not enabled"}`)).MQTT(ctx); there || err != nil {
		t.Errorf("none: got %v, %v", there, err)
	}
	if _, there, err = serve(t, text(403, "403: Forbidden")).MQTT(ctx); there || !Is(err, Unauthorised) {
		t.Errorf("not allowed: got %v, %v", there, err)
	}
	if _, there, err = serve(t, ok(`{"host":null}`)).MQTT(ctx); there || !Is(err, Unexpected) {
		t.Errorf("half an answer: got %v, %v", there, err)
	}
}

func TestCoresConfiguration(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/core/api/config" {
			t.Errorf("asked %s", r.URL.Path)
		}
		reply(200, `{"external_url":"https://ha.example.com","internal_url":null,"version":"2026.8.2","state":"RUNNING","time_zone":"Europe/Vienna","location_name":"Home","latitude":1.5}`)(w, r)
	})
	cfg, err := c.CoreConfig(context.Background())
	if want := (CoreConfig{ExternalURL: "https://ha.example.com", Version: "2026.8.2", State: "RUNNING"}); err != nil || cfg != want {
		t.Errorf("got %+v, %v", cfg, err)
	}
	if _, err := serve(t, reply(200, `{"message":"hello"}`)).CoreConfig(context.Background()); !Is(err, Unexpected) {
		t.Errorf("something else was taken for it: %v", err)
	}
}

func TestCoresState(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   evidence.Core
		failed bool
	}{
		{"it runs", reply(200, `{"version":"1","state":"RUNNING"}`), evidence.Core{Asked: true, Status: 200, State: "RUNNING"}, false},
		{"it starts", reply(200, `{"version":"1","state":"STARTING"}`), evidence.Core{Asked: true, Status: 200, State: "STARTING"}, false},
		{"it is down: an answer", text(502, "502: Bad Gateway"), evidence.Core{Asked: true, Status: 502}, false},
		{"it fails: an answer", text(500, "500 Internal Server Error"), evidence.Core{Asked: true, Status: 500}, false},
		{"Supervisor is away: no answer", cut(""), evidence.Core{}, true},
		{"the token is not accepted: no answer", text(401, "401: Unauthorized"), evidence.Core{}, true},
		{"a page: no answer", answer(200, "text/html", "<html>"), evidence.Core{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTime(t, tt.answer, func(t *testing.T, c *Client) {
				got, err := c.CoreState(t.Context())
				if got != tt.want || (err != nil) != tt.failed {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		})
	}
}

func TestTellingCore(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		do   func(*Client) error
		want string
	}{
		{"a service", func(c *Client) error {
			return c.CallService(ctx, "notify", "mobile_app_pixel", map[string]string{"message": "hi"})
		}, `POST /core/api/services/notify/mobile_app_pixel {"message":"hi"}`},
		{"a service without data", func(c *Client) error { return c.CallService(ctx, "a", "b", nil) }, `POST /core/api/services/a/b {}`},
		{"an event", func(c *Client) error { return c.FireEvent(ctx, "tunnelmedic", map[string]int{"n": 1}) }, `POST /core/api/events/tunnelmedic {"n":1}`},
		{"a state", func(c *Client) error { _, err := c.SetState(ctx, "sensor.x", "on", map[string]any{"a": 1}); return err }, `POST /core/api/states/sensor.x {"attributes":{"a":1},"state":"on"}`},
		{"a state without attributes", func(c *Client) error { _, err := c.SetState(ctx, "sensor.x", "on", nil); return err }, `POST /core/api/states/sensor.x {"state":"on"}`},
		{"a state's end", func(c *Client) error { return c.DeleteState(ctx, "sensor.x") }, `DELETE /core/api/states/sensor.x `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = r.Method + " " + r.URL.Path + " " + string(body)
				reply(200, `[]`)(w, r)
			})
			if err := tt.do(c); err != nil || got != tt.want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestTellingCoreWhatItRefuses(t *testing.T) {
	ctx := context.Background()
	if err := serve(t, text(400, "400: Bad Request")).CallService(ctx, "notify", "gone", nil); !Is(err, Rejected) || !strings.Contains(err.Error(), "notify.gone") {
		t.Errorf("got %v", err)
	}
	if err := serve(t, text(502, "502: Bad Gateway")).FireEvent(ctx, "x", nil); !Is(err, CoreAway) {
		t.Errorf("got %v", err)
	}
	if err := serve(t, reply(404, `{"message":"Entity not found."}`)).DeleteState(ctx, "sensor.x"); err != nil {
		t.Errorf("what is gone cannot be removed: %v", err)
	}
	if err := serve(t, ok(`{}`)).FireEvent(ctx, "x", func() {}); !Is(err, Rejected) {
		t.Errorf("got %v", err)
	}
}

// What python-slugify 8.0.4 makes of them, with either unidecode.
func TestAPhonesServiceIsCalledAsCoreCallsIt(t *testing.T) {
	for name, want := range map[string]string{
		"Pixel 9":            "mobile_app_pixel_9",
		"Zoë's iPhone":       "mobile_app_zoe_s_iphone",
		"Zoë’s iPhone":       "mobile_app_zoes_iphone",
		"Zoe\u0308's iPhone": "mobile_app_zoe_s_iphone", // the mark on its own
		"Jürgens Handy":      "mobile_app_jurgens_handy",
		"Straße – Küche":     "mobile_app_strasse_kuche",
		"Søren Łódź Đorđe":   "mobile_app_soren_lodz_dorde",
		"Ærø & Þór":          "mobile_app_aero_thor",
		"iPad 12,9 (2. Gen)": "mobile_app_ipad_129_2_gen",
		"1,2,3 – 4,":         "mobile_app_123_4",
		"téléphone_de_Zoé":   "mobile_app_telephone_de_zoe",
		"İstanbul ıssız":     "mobile_app_istanbul_issiz",
		"ｉＰhone ²":           "mobile_app_iphone_2",
		"…":                  "mobile_app",
		"":                   "mobile_app",
		"手机":                 "", // not covered: another script, a picture, an entity
		"Телефон":            "",
		"My 📱":               "",
		"A &amp; B":          "",
	} {
		if got := slugify("mobile_app_" + name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
