package addon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"tunnelmedic/addon"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/survey"
)

// TestHomeAssistant runs the daemon against a real Home Assistant Core, with the lab
// for everything around it. It needs TUNNELMEDIC_TEST_HASS=/path/to/hass, and, for
// the entities, TUNNELMEDIC_TEST_MOSQUITTO=/usr/sbin/mosquitto.
func TestHomeAssistant(t *testing.T) {
	program := os.Getenv("TUNNELMEDIC_TEST_HASS")
	if program == "" {
		t.Skip("TUNNELMEDIC_TEST_HASS is not set")
	}
	super := startFront(t)
	ha := startCore(t, program, super)
	broker := startMosquitto(t)
	if broker != nil {
		ha.addMQTT(broker)
	}
	events := ha.subscribe("tunnelmedic")
	fired := ha.subscribe("blueprint_fired")

	config, _ := ha.command(map[string]any{"type": "get_config"})["result"].(map[string]any)
	w, err := lab.New(lab.Options{Origin: ha.addr, HAVersion: fmt.Sprint(config["version"]), MQTT: broker, Timings: lab.Timings{ProbeInterval: 2 * time.Second, BurstInterval: 100 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	super.stand(t, w.Supervisor.URL(), "http://"+w.Env()["TUNNELMEDIC_LISTEN"], ha)

	t.Log("signed in with a token, as the documentation recommends")
	d := startDaemon(t, w, super.url, "TUNNELMEDIC_HA_TOKEN="+ha.token)
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	if got := ha.until(t, events, "to", "healthy"); got["from"] != "starting" {
		t.Errorf("event %v", got)
	}
	if n := ha.logged(`\(tunnelmedic.*during auth phase|invalid authentication`); n != 0 {
		t.Errorf("with a token Home Assistant logs %d lines about the probes", n)
	}

	if broker != nil {
		entitiesInCore(t, ha, d)
	}

	t.Log("the upgrade is lost, and mended")
	w.SetFaults(lab.Stripped(1, evidence.OverQUIC))
	ha.until(t, events, "to", "treating")
	began := ""
	until(t, "the notification", func() bool { began = ha.notification(); return began != "" })
	got := ha.until(t, events, "to", "healthy")
	if got["from"] != "treating" || got["protocol"] != "http2" {
		t.Errorf("event %v", got)
	}
	if got := ha.until(t, fired, "to", "treating"); got["cause"] != "upgrade-stripped" {
		t.Errorf("the blueprint's action saw %v", got)
	}
	until(t, "the closing word", func() bool { n := ha.notification(); return n != "" && n != began })
	until(t, "the notification goes", func() bool { return ha.notification() == "" })
	if broker != nil {
		until(t, "the protocol's entity", func() bool { return ha.state("sensor.tunnel_medic_protocol_in_use")["state"] == "http2" })
		until(t, "the last cure's entity", func() bool {
			at, err := time.Parse(time.RFC3339, fmt.Sprint(ha.state("sensor.tunnel_medic_last_cure")["state"]))
			return err == nil && time.Since(at) < time.Minute
		})
		until(t, "the event's entity", func() bool {
			a, _ := ha.state("event.tunnel_medic_incident")["attributes"].(map[string]any)
			return a["event_type"] == "cured" && a["cause"] == "upgrade-stripped" && a["summary"] != ""
		})
		if list := ha.lines(`homeassistant.components.mqtt`); slices.ContainsFunc(list, func(l string) bool { return strings.Contains(l, " WARNING ") || strings.Contains(l, " ERROR ") }) {
			t.Errorf("Home Assistant says of the entities: %q", list)
		}
		d.forget(t)
		until(t, "the entities are gone", func() bool {
			return ha.state("binary_sensor.tunnel_medic_connectivity") == nil && ha.state("switch.tunnel_medic_healing") == nil
		})
	}

	d.stop(t)

	t.Log("no protocol helps, and the notification's link is followed")
	w.SetFaults(lab.Stripped(1))
	d = startDaemon(t, w, super.url, "TUNNELMEDIC_HA_TOKEN="+ha.token)
	until(t, "the notification", func() bool { return ha.notification() != "" })
	if text := ha.notification(); strings.Contains(text, fmt.Sprint(config["version"])) {
		t.Errorf("the Core that has run all the while is told as a change: %s", text)
	}
	followTheLink(t, ha, super)
	d.stop(t)
	w.SetFaults(lab.Faults{})

	answeredOnThePhone(t, ha, w, super)

	t.Log("without a token: what Home Assistant logs of it")
	d = startDaemon(t, w, super.url)
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	d.stop(t)
	lines := ha.lines(`\(tunnelmedic.*Disconnected during auth phase`)
	if len(lines) == 0 || slices.ContainsFunc(lines, func(l string) bool { return !strings.Contains(l, " DEBUG ") }) {
		t.Errorf("a check that does not sign in leaves %d lines in Home Assistant's log, want some, and at debug alone: %q", len(lines), lines)
	} else {
		t.Logf("%d lines like: %s", len(lines), lines[len(lines)-1])
	}
	if log := survey.ReadCoreLog(ha.out.String(), time.Now(), time.UTC); log.Ours != len(lines) {
		t.Errorf("of %d such lines %d are read as ours", len(lines), log.Ours)
	}
	if n := ha.logged(`invalid authentication`); n != 0 {
		t.Errorf("without a token Home Assistant logs %d refused sign-ins", n)
	}

	t.Log("with a token that is wrong")
	before := ha.logged(`invalid authentication`)
	d = startDaemon(t, w, super.url, "TUNNELMEDIC_HA_TOKEN="+strings.ReplaceAll(ha.token, ".", ".x"))
	probes := map[any]bool{}
	d.until(t, "five probes", func(s map[string]any) bool {
		if p, ok := s["last_probe"].(map[string]any); ok {
			probes[p["at"]] = true
		}
		return len(probes) >= 5
	})
	d.stop(t)
	if n := ha.logged(`invalid authentication`) - before; n != 1 {
		t.Errorf("a wrong token was sent %d times, want once", n)
	}
	if _, err := os.Stat(filepath.Join(ha.dir, "ip_bans.yaml")); err == nil {
		t.Error("Home Assistant has banned the probe's address")
	}
	d = startDaemon(t, w, super.url, "TUNNELMEDIC_HA_TOKEN="+strings.ReplaceAll(ha.token, ".", ".x"))
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	d.stop(t)
	if n := ha.logged(`invalid authentication`) - before; n > 2 {
		t.Errorf("after a restart in a new data folder a wrong token was sent %d times in all", n)
	}
}

func entitiesInCore(t *testing.T, ha *core, d *daemon) {
	t.Helper()
	t.Log("the entities, with their classes")
	for id, want := range map[string]map[string]any{
		"binary_sensor.tunnel_medic_connectivity":         {"device_class": "connectivity", "friendly_name": "Tunnel Medic Remote access", "state": "on"},
		"sensor.tunnel_medic_diagnosis":                   {"device_class": "enum", "state": "healthy"},
		"sensor.tunnel_medic_protocol_in_use":             {"device_class": "enum", "state": "quic"},
		"sensor.tunnel_medic_last_cure":                   {"device_class": "timestamp", "state": "unknown"},
		"sensor.tunnel_medic_probe_latency":               {"device_class": "duration", "unit_of_measurement": "ms", "state_class": "measurement"},
		"sensor.tunnel_medic_tunnel_restarts_in_24_hours": {"state_class": "measurement", "state": "0"},
		"button.tunnel_medic_probe_now":                   {},
		"switch.tunnel_medic_healing":                     {"state": "on"},
		"binary_sensor.tunnel_medic_needs_attention":      {"device_class": "problem", "friendly_name": "Tunnel Medic Needs you", "state": "off"},
		"sensor.tunnel_medic_state":                       {"device_class": "enum", "state": "healthy"},
		"sensor.tunnel_medic_protocol_set":                {"device_class": "enum", "state": "auto"},
		"sensor.tunnel_medic_failback_due":                {"device_class": "timestamp", "state": "unknown"},
		"sensor.tunnel_medic_data_centre":                 {"state": lab.Colo},
		"sensor.tunnel_medic_availability_in_24_hours":    {"unit_of_measurement": "%", "state_class": "measurement"},
		"sensor.tunnel_medic_cut_off_today":               {"device_class": "duration", "unit_of_measurement": "min", "state_class": "total_increasing"},
		"sensor.tunnel_medic_doctor":                      {"device_class": "timestamp", "state": "unknown"},
		"event.tunnel_medic_incident":                     {"state": "unknown"},
		"button.tunnel_medic_run_the_doctor":              {},
		"button.tunnel_medic_pause_for_an_hour":           {},
	} {
		until(t, id, func() bool { s := ha.state(id); return s != nil && s["state"] != "unavailable" })
		s := ha.state(id)
		attrs, _ := s["attributes"].(map[string]any)
		for k, v := range want {
			if got := attrs[k]; got != v && s[k] != v {
				t.Errorf("%s: %s is %v (state %v), want %v", id, k, got, s["state"], v)
			}
		}
	}
	if a, _ := ha.state("sensor.tunnel_medic_diagnosis")["attributes"].(map[string]any); a["summary"] == "" || a["summary"] == nil {
		t.Errorf("the diagnosis has the attributes %v", a)
	}
	t.Log("the switch and the button")
	ha.call("switch", "turn_off", map[string]any{"entity_id": "switch.tunnel_medic_healing"})
	d.until(t, "paused", func(s map[string]any) bool { return s["state"] == "paused" })
	until(t, "the switch shows it", func() bool { return ha.state("switch.tunnel_medic_healing")["state"] == "off" })
	ha.call("switch", "turn_on", map[string]any{"entity_id": "switch.tunnel_medic_healing"})
	s := d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	was := s["last_probe"].(map[string]any)["at"]
	ha.call("button", "press", map[string]any{"entity_id": "button.tunnel_medic_probe_now"})
	d.until(t, "a probe", func(s map[string]any) bool { return s["last_probe"].(map[string]any)["at"] != was })
	ha.call("button", "press", map[string]any{"entity_id": "button.tunnel_medic_pause_for_an_hour"})
	d.until(t, "paused", func(s map[string]any) bool { return s["state"] == "paused" })
	until(t, "the state shows it", func() bool { return ha.state("sensor.tunnel_medic_state")["state"] == "paused" })
	ha.call("switch", "turn_on", map[string]any{"entity_id": "switch.tunnel_medic_healing"})
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	ha.call("button", "press", map[string]any{"entity_id": "button.tunnel_medic_run_the_doctor"})
	until(t, "what the doctor found", func() bool {
		a, _ := ha.state("sensor.tunnel_medic_doctor")["attributes"].(map[string]any)
		return a["summary"] != nil && a["summary"] != "" && a["wrong"] != nil
	})
}

// core is a running Home Assistant Core.
type core struct {
	t     *testing.T
	dir   string
	addr  string
	token string // long-lived
	out   said   // its log: below Supervisor it writes no file
	conn  *websocket.Conn

	mu     sync.Mutex
	id     int
	wait   map[int]chan map[string]any
	events map[int][]map[string]any
}

// Who owns the home.
const ownerName, ownerPassword = "owner", "correct horse"

func startCore(t *testing.T, program string, super *front) *core {
	t.Helper()
	h := &core{t: t, dir: t.TempDir(), addr: freeAddr(t), wait: map[int]chan map[string]any{}, events: map[int][]map[string]any{}}
	_, port, _ := net.SplitHostPort(h.addr)
	text := fmt.Sprintf(`homeassistant:
  name: Home
  latitude: 48.2
  longitude: 16.4
  elevation: 170
  unit_system: metric
  time_zone: Europe/Vienna
  country: AT
  currency: EUR
http:
  server_host: 127.0.0.1
  server_port: %s
  use_x_forwarded_for: true
  trusted_proxies: [127.0.0.1]
  ip_ban_enabled: true
  login_attempts_threshold: 5
logger:
  default: info
  logs:
    homeassistant.components.websocket_api.http.connection: debug
mobile_app:
automation ui: !include automations.yaml
automation:
  - alias: From the blueprint
    use_blueprint:
      path: tunnelmedic/tunnel_trouble.yaml
      input:
        states: [treating]
        actions:
          - event: blueprint_fired
            event_data:
              to: "{{ trigger.event.data.to }}"
              cause: "{{ trigger.event.data.cause }}"
`, port)
	if err := errorsOf(os.WriteFile(filepath.Join(h.dir, "configuration.yaml"), []byte(text), 0o600), os.WriteFile(filepath.Join(h.dir, "automations.yaml"), []byte("[]\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	blueprint, err := os.ReadFile("../blueprints/automation/tunnelmedic/tunnel_trouble.yaml")
	if err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(h.dir, "blueprints", "automation", "tunnelmedic")
	if err := errorsOf(os.MkdirAll(there, 0o700), os.WriteFile(filepath.Join(there, "tunnel_trouble.yaml"), blueprint, 0o600)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "--config", h.dir, "--skip-pip")
	c.Env = append(os.Environ(), "SUPERVISOR="+strings.TrimPrefix(super.url, "http://"), "SUPERVISOR_TOKEN="+lab.SupervisorToken)
	c.Stdout, c.Stderr = &h.out, &h.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		late.Stop()
		if t.Failed() {
			t.Logf("Home Assistant's log:\n%s", h.out.String())
		}
	})
	began := time.Now()
	until(t, "Home Assistant answers", func() bool {
		res, err := http.Get("http://" + h.addr + "/api/onboarding")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	})
	t.Logf("Home Assistant is up after %v", time.Since(began).Round(time.Second))
	h.onboard()
	return h
}

// onboard does by the API what the first user does in the browser.
func (h *core) onboard() {
	h.t.Helper()
	client := "http://" + h.addr + "/"
	var code struct {
		AuthCode string `json:"auth_code"`
	}
	h.ask("POST", "/api/onboarding/users", "", map[string]any{"client_id": client, "name": "Owner", "username": ownerName, "password": ownerPassword, "language": "en"}, &code)
	res, err := http.PostForm("http://"+h.addr+"/auth/token", url.Values{"grant_type": {"authorization_code"}, "code": {code.AuthCode}, "client_id": {client}})
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.AccessToken == "" {
		h.t.Fatalf("signing in: %v, HTTP %d", err, res.StatusCode)
	}
	for _, step := range []string{"core_config", "analytics"} {
		h.ask("POST", "/api/onboarding/"+step, token.AccessToken, map[string]any{}, nil)
	}
	h.ask("POST", "/api/onboarding/integration", token.AccessToken, map[string]any{"client_id": client, "redirect_uri": client}, nil)
	h.dial(token.AccessToken)
	h.token, _ = h.command(map[string]any{"type": "auth/long_lived_access_token", "client_name": "Tunnel Medic", "lifespan": 30})["result"].(string)
	if h.token == "" {
		h.t.Fatal("Home Assistant gives no long-lived token")
	}
}

func (h *core) ask(method, path, token string, body, into any) int {
	h.t.Helper()
	var r io.Reader
	if body != nil {
		raw, _ := json.Marshal(body)
		r = bytes.NewReader(raw)
	}
	req, _ := http.NewRequest(method, "http://"+h.addr+path, r)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	if into != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(raw, into); err != nil {
			h.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	if res.StatusCode >= 300 && res.StatusCode != http.StatusNotFound {
		h.t.Fatalf("%s %s: HTTP %d %s", method, path, res.StatusCode, raw)
	}
	return res.StatusCode
}

func (h *core) dial(token string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, _, err := websocket.Dial(ctx, "ws://"+h.addr+"/api/websocket", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetReadLimit(8 << 20)
	var m map[string]any
	_ = wsjson.Read(ctx, c, &m)
	_ = wsjson.Write(ctx, c, map[string]string{"type": "auth", "access_token": token})
	if err := wsjson.Read(ctx, c, &m); err != nil || m["type"] != "auth_ok" {
		h.t.Fatalf("signing in at the WebSocket: %v %v", err, m)
	}
	h.conn = c
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m map[string]any
			if wsjson.Read(ctx, c, &m) != nil {
				return
			}
			id := int(m["id"].(float64))
			h.mu.Lock()
			if e, ok := m["event"].(map[string]any); ok {
				data, _ := e["data"].(map[string]any)
				h.events[id] = append(h.events[id], data)
			} else if ch := h.wait[id]; ch != nil {
				ch <- m
			}
			h.mu.Unlock()
		}
	}()
	h.t.Cleanup(func() { cancel(); _ = c.CloseNow(); <-done })
}

func (h *core) command(m map[string]any) map[string]any {
	h.t.Helper()
	h.mu.Lock()
	h.id++
	m["id"] = h.id
	answer := make(chan map[string]any, 1)
	h.wait[h.id] = answer
	h.mu.Unlock()
	if err := wsjson.Write(context.Background(), h.conn, m); err != nil {
		h.t.Fatal(err)
	}
	select {
	case got := <-answer:
		return got
	case <-time.After(15 * time.Second):
		h.t.Fatalf("no answer to %v", m)
		return nil
	}
}

func (h *core) subscribe(event string) (id int) {
	h.command(map[string]any{"type": "subscribe_events", "event_type": event})
	return h.id
}

// until takes the subscriber's events up to the first in which a field is so.
func (h *core) until(t *testing.T, sub int, key, value string) map[string]any {
	t.Helper()
	var found map[string]any
	until(t, "an event with "+key+" "+value, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		i := slices.IndexFunc(h.events[sub], func(e map[string]any) bool { return e[key] == value })
		if i >= 0 {
			found = h.events[sub][i]
			h.events[sub] = h.events[sub][i+1:]
		}
		return i >= 0
	})
	return found
}

func (h *core) notification() string {
	list, _ := h.command(map[string]any{"type": "persistent_notification/get"})["result"].([]any)
	for _, n := range list {
		if n := n.(map[string]any); n["notification_id"] == "tunnelmedic" {
			return fmt.Sprint(n["message"])
		}
	}
	return ""
}

func (h *core) state(entity string) map[string]any {
	var s map[string]any
	if h.ask("GET", "/api/states/"+entity, h.token, nil, &s) == http.StatusNotFound {
		return nil
	}
	return s
}

func (h *core) call(domain, service string, data map[string]any) {
	h.t.Helper()
	h.ask("POST", "/api/services/"+domain+"/"+service, h.token, data, nil)
}

// addMQTT goes through the form of the MQTT integration.
func (h *core) addMQTT(b *lab.MQTT) {
	h.t.Helper()
	var flow map[string]any
	h.ask("POST", "/api/config/config_entries/flow", h.token, map[string]any{"handler": "mqtt", "show_advanced_options": false}, &flow)
	for range 3 {
		if flow["type"] == "create_entry" {
			return
		}
		id, _ := flow["flow_id"].(string)
		data := map[string]any{"broker": b.Host, "port": b.Port, "other_settings": map[string]any{"set_client_cert": false, "set_ca_cert": "off", "transport": "tcp"}}
		if flow["type"] == "menu" {
			data = map[string]any{"next_step_id": "broker"}
		}
		flow = nil
		h.ask("POST", "/api/config/config_entries/flow/"+id, h.token, data, &flow)
	}
	if flow["type"] != "create_entry" {
		h.t.Fatalf("the MQTT integration could not be set up: %v", flow)
	}
}

func (h *core) lines(pattern string) []string {
	re := regexp.MustCompile(pattern)
	var list []string
	for _, l := range strings.Split(h.out.String(), "\n") {
		if re.MatchString(l) {
			list = append(list, l)
		}
	}
	return list
}

func (h *core) logged(pattern string) int { return len(h.lines(pattern)) }

// daemon is the program at work.
type daemon struct {
	url  string
	end  context.CancelFunc
	done chan error
	log  *bytes.Buffer
}

func startDaemon(t *testing.T, w *lab.World, supervisor string, more ...string) *daemon {
	t.Helper()
	env := w.Env()
	env["TUNNELMEDIC_SUPERVISOR_URL"] = supervisor
	env["TUNNELMEDIC_DATA_DIR"] = t.TempDir()
	env["TUNNELMEDIC_OPTIONS_FILE"] = filepath.Join(env["TUNNELMEDIC_DATA_DIR"], "options.json")
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{url: "http://" + env["TUNNELMEDIC_LISTEN"], end: cancel, done: make(chan error, 1), log: &bytes.Buffer{}}
	go func() { d.done <- addon.Run(ctx, append(lab.Environ(env), more...), "test", d.log) }()
	t.Cleanup(cancel)
	return d
}

func (d *daemon) stop(t *testing.T) {
	t.Helper()
	d.end()
	if err := <-d.done; err != nil {
		t.Errorf("the daemon ended with %v\n%s", err, d.log)
	}
}

func (d *daemon) until(t *testing.T, what string, ok func(map[string]any) bool) map[string]any {
	t.Helper()
	var s map[string]any
	until(t, "the daemon is "+what, func() bool {
		res, err := http.Get(d.url + "/api/status")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		s = nil
		return json.NewDecoder(res.Body).Decode(&s) == nil && ok(s)
	})
	return s
}

func (d *daemon) forget(t *testing.T) {
	t.Helper()
	res, err := http.Get(d.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	token := regexp.MustCompile(`name="token" content="([^"]+)"`).FindSubmatch(raw)
	if token == nil {
		t.Fatal("the page has no token")
	}
	res, err = http.PostForm(d.url+"/api/forget", url.Values{"token": {string(token[1])}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK { // after the redirect to the page
		t.Errorf("forgetting: HTTP %d", res.StatusCode)
	}
}

func startMosquitto(t *testing.T) *lab.MQTT {
	program := os.Getenv("TUNNELMEDIC_TEST_MOSQUITTO")
	if program == "" {
		t.Log("TUNNELMEDIC_TEST_MOSQUITTO is not set: the entities are not looked at")
		return nil
	}
	host, port, _ := net.SplitHostPort(freeAddr(t))
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte("listener "+port+" "+host+"\nallow_anonymous true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-c", conf)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	m := &lab.MQTT{Host: host, Protocol: "3.1.1"}
	if _, err := fmt.Sscan(port, &m.Port); err != nil {
		t.Fatal(err)
	}
	until(t, "the broker listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return m
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
