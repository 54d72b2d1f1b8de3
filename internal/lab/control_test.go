package lab

import (
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestTheControlTellsHowItIsUsed(t *testing.T) {
	w := start(t, Options{})
	a := get(t, w.ControlURL()+"/control")
	want(t, a, 200, "PUT    /control/faults")
	for _, f := range AllFaults() {
		if f.About == "" || f.Part == "" || !strings.Contains(a.body, " "+f.Name+" ") {
			t.Errorf("the help does not tell what %s is", f.Name)
		}
	}
}

func TestFaultsAreReplacedChangedAndRefusedByHand(t *testing.T) {
	w := ready(t, Options{})
	faults := w.ControlURL() + "/control/faults"
	want(t, fetch(t, "PUT", faults, `{"upgrade":{"quic":{"share":0.5,"form":"no-key"}},"flap_quic":"1h"}`), 200, `"share": 0.5`)
	want(t, fetch(t, "PATCH", faults, `{"busy":true}`), 200)
	if f := w.Faults(); !f.Busy || f.Upgrade[evidence.OverQUIC] != (UpgradeFault{0.5, NoKey}) {
		t.Errorf("%+v", f)
	}
	for body, part := range map[string]string{
		`{"stripp":1}`:                              `unknown field "stripp"`,
		`{"upgrade":{"udp":{"share":1}}}`:           `transport "udp" is none that this program knows`,
		`{"upgrade":{"quic":{"share":2}}}`:          "it goes from 0 to 1",
		`{"upgrade":{"quic":{"form":"odd"}}}`:       `"odd" is not one of no-upgrade`,
		`{"upgrade":{"":{"share":1}}}`:              "name a transport",
		`{"firewall":1}`:                            "1020",
		`{"answer":{"status":7}}`:                   "from 200 to 599",
		`{"answer":{"status":500,"to":"everyone"}}`: "websocket, page",
		`{"start_fails":"magic"}`:                   "options, port, docker",
		`{"quic":"odd"}`:                            "rejected, inspected",
		`{"flap_quic":"soon"}`:                      "soon",
		`{"busy":true} {}`:                          "there is more",
		``:                                          "EOF",
	} {
		a := fetch(t, "PUT", faults, body)
		want(t, a, 400, part)
		if strings.Count(a.body, "\n") != 1 {
			t.Errorf("not one line: %q", a.body)
		}
	}
	if !w.Faults().Busy {
		t.Error("a refused change has changed something")
	}
	want(t, fetch(t, "PUT", faults, `{}`), 200)
	if w.OpenShare() != 1 {
		t.Error(w.Faults())
	}
}

func TestTheUsersHandsByHand(t *testing.T) {
	w := ready(t, Options{})
	user := func(body string) answer {
		t.Helper()
		return fetch(t, "POST", w.ControlURL()+"/control/user", body)
	}
	want(t, user(`{"action":"protocol","protocol":"http2"}`), 200)
	want(t, user(`{"action":"restart"}`), 200)
	wait(t, w, "over http2", func() bool { return w.Connector.Transport() == evidence.OverHTTP2 && w.Connector.Connections() == 4 })
	want(t, user(`{"action":"stop"}`), 200)
	want(t, get(t, w.ControlURL()+"/control/state"), 200, `"9074a9fa_cloudflared": "stopped"`, `"--protocol=http2"`, `"connections": 0`, `"cut_off_ms"`)
	want(t, user(`{"action":"start"}`), 200)
	want(t, user(`{"action":"crash"}`), 200)
	want(t, user(`{"action":"core-restart"}`), 200)
	want(t, user(`{"action":"options","options":{"external_hostname":"","additional_hosts":[]}}`), 200)
	want(t, user(`{"action":"options","options":{}}`), 400, "additional_hosts")
	want(t, user(`{"action":"uninstall"}`), 200)
	want(t, user(`{"action":"stop"}`), 400, "is not installed")
	want(t, user(`{"action":"dance"}`), 400, `"dance" is not one of core-restart, restart`)
	want(t, user(`{"action":"protocol","protocol":"tcp"}`), 400, "is not one of auto, quic, http2")
	want(t, get(t, w.ControlURL()+"/control/log"), 200)
}

func TestInjectionsByHand(t *testing.T) {
	w := start(t, Options{})
	inject := w.ControlURL() + "/control/inject"
	want(t, fetch(t, "POST", inject, `{"path":"/info","status":500}`), 200)
	want(t, super(t, w, "GET", "/info", ""), 500)
	want(t, fetch(t, "DELETE", inject, ""), 200)
	want(t, super(t, w, "GET", "/info", ""), 200)
	want(t, fetch(t, "POST", inject, `{"path":"/info"}`), 400, "name one of")
}
