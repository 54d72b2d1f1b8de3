package web_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/web"
)

const ingress = "172.30.32.2"

const kept = "20261121T220512Z"

// page gives the page of a loop that has not begun to run.
func page(t *testing.T, peers ...string) http.Handler {
	t.Helper()
	j, _, err := journal.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC)
	err = j.Write(journal.Incident{ID: kept, Onset: at, Ended: at.Add(time.Minute), Outcome: policy.StepCured, Cause: diagnosis.UpgradeStripped, URL: "https://ha.example.com",
		After: evidence.HTTP2, Restarts: 1, Steps: []policy.Step{{At: at, Kind: policy.StepAlarm, Text: "The fault is certain: 4 < 5 & so on."}}})
	if err != nil {
		t.Fatal(err)
	}
	c := web.Config{Medic: medic.New(medic.Settings{Version: "1.2.3", Rules: policy.Rules{Budget: 6, Interval: time.Minute}}, nil, j, zerolog.Nop()), Incidents: j, Log: zerolog.Nop()}
	for _, p := range peers {
		c.Peers = append(c.Peers, netip.MustParseAddr(p))
	}
	return web.Handler(web.Whole(c))
}

func ask(h http.Handler, method, path, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOnlyTheIngressMayAsk(t *testing.T) {
	for rule, c := range map[string]struct {
		peers  []string
		from   string
		status int
		health int
	}{
		"the ingress":                              {[]string{ingress}, ingress + ":40000", 200, 200},
		"the ingress in IPv6 clothes":              {[]string{ingress}, "[::ffff:" + ingress + "]:40000", 200, 200},
		"a peer written in IPv6 clothes":           {[]string{"::ffff:" + ingress}, ingress + ":40000", 200, 200},
		"an IPv6 peer":                             {[]string{"fd00::2"}, "[fd00::2]:40000", 200, 200},
		"an IPv6 peer with its zone":               {[]string{"fe80::2"}, "[fe80::2%eth0]:40000", 200, 200},
		"one of several":                           {[]string{"127.0.0.1", "::1"}, "[::1]:40000", 200, 200},
		"another add-on":                           {[]string{ingress}, "172.30.33.4:40000", 403, 403},
		"Supervisor's gateway":                     {[]string{ingress}, "172.30.32.1:40000", 403, 403},
		"this machine: its health alone":           {[]string{ingress}, "127.0.0.1:40000", 403, 200},
		"this machine over IPv6":                   {[]string{ingress}, "[::1]:40000", 403, 200},
		"this machine in IPv6 clothes":             {[]string{ingress}, "[::ffff:127.0.0.1]:40000", 403, 200},
		"nobody is a peer":                         {nil, ingress + ":40000", 403, 403},
		"an address that is none":                  {[]string{ingress}, "@", 403, 403},
		"an address without a port":                {[]string{ingress}, ingress, 403, 403},
		"a name that begins with a peer's address": {[]string{ingress}, ingress + ".example.com:40000", 403, 403},
	} {
		t.Run(rule, func(t *testing.T) {
			h := page(t, c.peers...)
			for _, path := range []string{"/api/status", "/api/incidents", "/api/incidents/" + kept} {
				if got := ask(h, "GET", path, c.from); got.Code != c.status {
					t.Errorf("%s: %d, want %d", path, got.Code, c.status)
				} else if c.status == 403 && strings.Contains(got.Body.String(), "ha.example.com") {
					t.Errorf("%s: a refusal tells something: %s", path, got.Body)
				}
			}
			if got := ask(h, "GET", "/healthz", c.from); got.Code != c.health {
				t.Errorf("/healthz: %d, want %d", got.Code, c.health)
			}
		})
	}
}

func TestAForwardedAddressIsNotBelieved(t *testing.T) {
	r := httptest.NewRequest("GET", "/api/status", nil)
	r.RemoteAddr = "172.30.33.4:40000"
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Ingress-Path", "X-Remote-User-Name"} {
		r.Header.Set(name, ingress)
	}
	w := httptest.NewRecorder()
	page(t, ingress).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}

func TestAnswersAndRefusals(t *testing.T) {
	h := page(t, ingress)
	for rule, c := range map[string]struct {
		method, path string
		status       int
	}{
		"status":                       {"GET", "/api/status", 200},
		"its head":                     {"HEAD", "/api/status", 200},
		"incidents":                    {"GET", "/api/incidents", 200},
		"an incident":                  {"GET", "/api/incidents/" + kept, 200},
		"an unknown incident":          {"GET", "/api/incidents/20200101T000000Z", 404},
		"an incident that leads away":  {"GET", "/api/incidents/..%2f..%2fjournal", 404},
		"an unknown path":              {"GET", "/api/nothing", 404},
		"status is not written":        {"POST", "/api/status", 405},
		"nor deleted":                  {"DELETE", "/api/status", 405},
		"incidents are not written":    {"PUT", "/api/incidents", 405},
		"nor deleted one by one":       {"DELETE", "/api/incidents/" + kept, 405},
		"health is not written":        {"POST", "/healthz", 405},
		"nor asked about by a browser": {"OPTIONS", "/api/status", 405},
	} {
		t.Run(rule, func(t *testing.T) {
			got := ask(h, c.method, c.path, ingress+":40000")
			if got.Code != c.status {
				t.Errorf("%d, want %d", got.Code, c.status)
			}
			for name := range got.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("another site may read this: %s", name)
				}
			}
			if got.Header().Get("X-Content-Type-Options") != "nosniff" || got.Header().Get("Cache-Control") == "" {
				t.Errorf("headers %v", got.Header())
			}
			if c.status == 200 && c.method == "GET" && !strings.HasPrefix(got.Header().Get("Content-Type"), "application/json") {
				t.Errorf("type %s", got.Header().Get("Content-Type"))
			}
		})
	}
}

// The contract that automations and the page hold on to.
func TestStatusHasItsFieldsFromTheFirstMoment(t *testing.T) {
	var s map[string]any
	got := ask(page(t, ingress), "GET", "/api/status", ingress+":40000")
	if err := json.Unmarshal(got.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s["version"] != "1.2.3" || s["state"] != "starting" || s["budget"] != 6.0 || s["restarts_24h"] != 0.0 {
		t.Errorf("%s", got.Body)
	}
	if _, err := time.Parse(time.RFC3339, s["since"].(string)); err != nil {
		t.Error(err)
	}
	for object, fields := range map[string][]string{
		"target": {"slug", "name", "url"}, "protocol": {"own", "setting", "transport"}, "diagnosis": {"cause", "remedy", "summary"},
	} {
		for _, f := range fields {
			if _, ok := s[object].(map[string]any)[f].(string); !ok {
				t.Errorf("%s.%s is no text: %s", object, f, got.Body)
			}
		}
	}
	if _, ok := s["protocol"].(map[string]any)["ready"].(float64); !ok {
		t.Error("protocol.ready is no number")
	}
	if _, ok := s["diagnosis"].(map[string]any)["advice"].([]any); !ok {
		t.Error("diagnosis.advice is no list")
	}
	if _, ok := s["diagnosis"].(map[string]any)["seen"].(map[string]any); !ok {
		t.Error("diagnosis.seen is no object")
	}
	detector := s["detector"].(map[string]any)
	if detector["score"] != 0.0 || detector["alarm"] != detect.Alarm {
		t.Errorf("detector %v", detector)
	}
	for _, f := range []string{"incident", "last_probe"} {
		if v, ok := s[f]; !ok || v != nil {
			t.Errorf("%s is %v, want null", f, v)
		}
	}
}

func TestAnIncidentIsToldWhole(t *testing.T) {
	h := page(t, ingress)
	var list []map[string]any
	if err := json.Unmarshal(ask(h, "GET", "/api/incidents", ingress+":1").Body.Bytes(), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	var one map[string]any
	if err := json.Unmarshal(ask(h, "GET", "/api/incidents/"+kept, ingress+":1").Body.Bytes(), &one); err != nil {
		t.Fatal(err)
	}
	for _, i := range []map[string]any{one, list[0]} {
		steps, _ := i["steps"].([]any)
		if i["id"] != kept || i["cause"] != "upgrade-stripped" || i["outcome"] != "cured" || i["after"] != "http2" || i["restarts"] != 1.0 || len(steps) != 1 {
			t.Errorf("%v", i)
			continue
		}
		if step := steps[0].(map[string]any); step["step"] != "alarm" || step["text"] != "The fault is certain: 4 < 5 & so on." {
			t.Errorf("%v", step)
		}
	}
}

func TestALoopThatHangsIsNotWell(t *testing.T) {
	j, _, err := journal.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := web.Handler(web.Whole(web.Config{Medic: medic.New(medic.Settings{}, nil, j, zerolog.Nop()), Incidents: j, Log: zerolog.Nop()}))
		if got := ask(h, "GET", "/healthz", "127.0.0.1:1"); got.Code != 200 || got.Body.String() != "ok\n" {
			t.Errorf("begun just now: %d", got.Code)
		}
		time.Sleep(6 * time.Minute)
		if got := ask(h, "GET", "/healthz", "127.0.0.1:1"); got.Code != 503 {
			t.Errorf("no sign of life for six minutes: %d", got.Code)
		}
	})
}

func TestTheServerIsNoPrey(t *testing.T) {
	s := web.Server(web.Config{})
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("%+v", s)
	}
}

// What net/http says of its own accord goes through our writer, which scrubs, a line at
// a time, and not without end.
func TestWhatTheServerSaysGoesIntoOurLog(t *testing.T) {
	var out bytes.Buffer
	s := web.Server(web.Config{Log: zerolog.New(&out)})
	s.ErrorLog.Printf("http: panic serving 10.0.0.1:1: it broke\r\x1b[31m forged\ngoroutine 7 [running]:\nmain.go:1")
	got := out.String()
	if strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\r\x1b") || !strings.Contains(got, `"level":"error"`) || !strings.Contains(got, "panic serving") ||
		!strings.Contains(got, `"stack":"goroutine 7`) {
		t.Errorf("%q", got)
	}
	for range 1000 {
		s.ErrorLog.Print("http: Accept error: too many open files; retrying in 1s")
	}
	if n := strings.Count(out.String(), "\n"); n > 10 {
		t.Errorf("it said so %d times", n)
	}
}
