package mqtt

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// well is a healthy home's status.
func well(tookMS int64) medic.Status {
	return medic.Status{Mode: "heal", State: policy.Healthy, Restarts: 2,
		Protocol:  medic.ProtocolStatus{Own: "auto", Setting: "http2", Transport: "http2"},
		Diagnosis: medic.DiagnosisStatus{Cause: diagnosis.Healthy},
		LastProbe: &medic.ProbeStatus{OK: true, TookMS: tookMS}}
}

func ill(state policy.Phase, incident bool) medic.Status {
	s := well(0)
	s.State, s.LastProbe = state, &medic.ProbeStatus{}
	s.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.ProbeBanned, Remedy: diagnosis.Rotate}
	s.Detector.Score = 3
	if incident {
		s.Incident = &journal.Incident{ID: "20261121T220512Z"}
	}
	return s
}

func TestWhatTheEntitiesShow(t *testing.T) {
	was := reading{Connectivity: ptr(on)}
	for _, c := range []struct {
		rule    string
		status  medic.Status
		connect string // "" is unknown
		healing string
	}{
		{"a healthy home is connected", well(84), on, on},
		{"one failed probe is no lost connection yet", ill(policy.Suspect, false), on, on},
		{"an incident is", ill(policy.Suspect, true), off, on},
		{"waiting after a treatment is", ill(policy.Holding, true), off, on},
		{"what cannot be watched is not known", func() medic.Status { s := ill(policy.Blind, false); return s }(), "", on},
		{"at the start nothing is known", medic.Status{Mode: "heal", State: policy.Starting}, "", on},
		{"paused, and well", func() medic.Status { s := well(1); s.State = policy.Paused; return s }(), on, off},
		{"in mode observe nothing is healed", func() medic.Status { s := well(1); s.Mode = "observe"; return s }(), on, off},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, _ := read(c.status, was)
			got := ""
			if r.Connectivity != nil {
				got = *r.Connectivity
			}
			if got != c.connect || r.Healing != c.healing {
				t.Errorf("connectivity %q, healing %q", got, r.Healing)
			}
		})
	}
}

func TestTheDeviceIsDescribedByHomeAssistantsConventions(t *testing.T) {
	raw, err := discovery(words.English(), "1.0.0", "/hassio/ingress/x", true)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Device       map[string]any
		Origin       map[string]any
		Availability []map[string]string
		Components   map[string]map[string]any
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if d.Device["configuration_url"] != "homeassistant://hassio/ingress/x" || d.Origin["name"] != "Tunnel Medic" || d.Availability[0]["topic"] != availabilityTopic {
		t.Errorf("device %v, origin %v, availability %v", d.Device, d.Origin, d.Availability)
	}
	for key, want := range map[string]map[string]any{
		"connectivity":  {"platform": "binary_sensor", "device_class": "connectivity"},
		"diagnosis":     {"platform": "sensor", "device_class": "enum", "json_attributes_topic": attributesTopic},
		"protocol":      {"platform": "sensor", "device_class": "enum"},
		"last_cure":     {"platform": "sensor", "device_class": "timestamp"},
		"probe_latency": {"platform": "sensor", "device_class": "duration", "unit_of_measurement": "ms", "state_class": "measurement"},
		"restarts_24h":  {"platform": "sensor", "state_class": "measurement"},
		"probe":         {"platform": "button", "command_topic": probeTopic, "payload_press": press},
		"healing":       {"platform": "switch", "command_topic": healingTopic, "entity_category": "config"},
	} {
		for k, v := range want {
			if d.Components[key][k] != v {
				t.Errorf("%s: %s is %v, want %v", key, k, d.Components[key][k], v)
			}
		}
		if d.Components[key]["unique_id"] != "tunnelmedic_"+key {
			t.Errorf("%s has the unique id %v", key, d.Components[key]["unique_id"])
		}
		if name, _ := d.Components[key]["name"].(string); name == "" || strings.HasPrefix(name, "entity.") {
			t.Errorf("%s is called %q", key, name)
		}
	}
	options, _ := d.Components["diagnosis"]["options"].([]any)
	if !slices.Contains(options, any("healthy")) || !slices.Contains(options, any("unknown")) {
		t.Errorf("the diagnosis may be %v", options)
	}
	raw, _ = discovery(words.English(), "1.0.0", "", false)
	if !strings.Contains(string(raw), `"healing":{"platform":"switch"}`) {
		t.Error("in mode observe the switch is still there")
	}
}

func TestEverythingIsKeptAtTheBrokerAndAnnouncedInOrder(t *testing.T) {
	b := newBroker(t)
	h := &home{at: &b.addr, user: "addons", secret: "pass"}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), []policy.Step{{Kind: policy.StepCured, At: time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC)}})
	b.until("all topics", func() bool { _, n := b.last(availabilityTopic); return n > 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	var order []string
	for _, m := range b.got {
		order = append(order, m.topic)
	}
	if want := []string{discoveryTopic, stateTopic, attributesTopic, availabilityTopic}; !slices.Equal(order, want) {
		t.Errorf("published %v, want %v", order, want)
	}
	if state, _ := b.last(stateTopic); state != `{"connectivity":"ON","diagnosis":"healthy","protocol":"http2","last_cure":"2026-11-21T22:05:12Z","probe_latency":84,"restarts_24h":2,"healing":"ON"}` {
		t.Errorf("state %s", state)
	}
	c := b.connect[0]
	if c.WillTopic != availabilityTopic || string(c.WillMessage) != offline || !c.WillRetain || c.Username != "addons" || string(c.Password) != "pass" {
		t.Errorf("will %q %q kept %v, user %q", c.WillTopic, c.WillMessage, c.WillRetain, c.Username)
	}
}

func TestWhatDoesNotChangeIsNotSentAgain(t *testing.T) {
	b := newBroker(t)
	e, _, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("online", func() bool { _, n := b.last(availabilityTopic); return n == 1 })
	e.Tell(well(84), nil)
	e.Tell(well(85), nil)
	b.until("the new latency", func() bool { s, _ := b.last(stateTopic); return strings.Contains(s, `"probe_latency":85`) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) != 5 {
		t.Errorf("%d messages for four topics and one change", len(b.got))
	}
}

func TestTheLastWordIsOffline(t *testing.T) {
	b := newBroker(t)
	h := &home{at: &b.addr}
	e := New(Config{Supervisor: h, Pace: quick})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx, newHands()) }()
	e.Tell(well(84), nil)
	b.until("online", func() bool { s, _ := b.last(availabilityTopic); return s == online })
	cancel()
	<-done
	b.until("offline", func() bool { s, _ := b.last(availabilityTopic); return s == offline })
}

func TestHomeAssistantsBirthAndABrokersReturnBringEverythingAgain(t *testing.T) {
	b := newBroker(t)
	e, _, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("once", func() bool { _, n := b.last(availabilityTopic); return n == 1 && len(b.subs) == 3 })
	b.say(birthTopic, online, false)
	b.until("again, after the birth", func() bool {
		_, n := b.last(discoveryTopic)
		_, m := b.last(availabilityTopic)
		return n == 2 && m == 2
	})
	b.say(birthTopic, offline, false)
	b.cut()
	b.until("again, after the broker's return", func() bool {
		_, n := b.last(discoveryTopic)
		return n == 3 && len(b.connect) == 2 && len(b.subs) == 6
	})
}

func TestCommandsAreObeyedOnce(t *testing.T) {
	b := newBroker(t)
	e, who, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("subscribed", func() bool { return len(b.subs) == 3 })
	b.say(probeTopic, press, true) // kept by the broker: pressed some time in the past
	b.say(probeTopic, "nonsense", false)
	b.say(healingTopic, "maybe", false)
	b.say(healingTopic, off, false)
	if got := <-who.came; got != "off" {
		t.Errorf("asked for %s", got)
	}
	b.say(healingTopic, on, false)
	if got := <-who.came; got != "on" {
		t.Errorf("asked for %s", got)
	}
	b.say(probeTopic, press, false)
	if got := <-who.came; got != "probe" {
		t.Errorf("asked for %s", got)
	}
}

func TestWrongCredentialsAreSaidOnceWithoutThemAndAskedForAnew(t *testing.T) {
	b := newBroker(t)
	b.refuse = 0x86 // bad user name or password
	h := &home{at: &b.addr, user: "addons", secret: "hunter2-of-the-broker"}
	pace := quick
	pace.Ask = 30 * time.Millisecond
	e, _, log := run(t, h, pace)
	e.Tell(well(84), nil)
	b.until("three tries", func() bool { return len(b.connect) >= 3 })
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "refuses Tunnel Medic's sign-in") || strings.Contains(got, "hunter2") {
		t.Errorf("log:\n%s", got)
	}
	h.mu.Lock()
	if h.asked < 2 {
		t.Error("Supervisor was not asked for new credentials")
	}
	h.secret = "new"
	h.mu.Unlock()
	b.change(func() { b.refuse = 0 })
	b.until("in with the new one", func() bool { _, n := b.last(availabilityTopic); return n > 0 })
}

func TestABrokerThatAcknowledgesNothingHoldsNothingUpAndGetsTheNewestLater(t *testing.T) {
	b := newBroker(t)
	b.mute = true
	e, _, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(1), nil)
	b.until("the first message", func() bool { return len(b.got) > 0 })
	began := time.Now()
	for i := range 10_000 {
		e.Tell(well(int64(i)), nil)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("telling took %v", took)
	}
	b.change(func() { b.mute = false })
	b.until("the newest", func() bool { s, _ := b.last(stateTopic); return strings.Contains(s, `"probe_latency":9999`) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) > 100 {
		t.Errorf("%d messages were kept for a broker that took none", len(b.got))
	}
}

func TestWithoutABrokerTheSensorsAreCoresStatesSentAgainAndAgain(t *testing.T) {
	h := &home{}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), nil)
	wait(t, "the states", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == 6 })
	h.mu.Lock()
	got := h.states["sensor.tunnelmedic_probe_latency"]
	if got["state"] != "84" || got["attributes"].(map[string]any)["unit_of_measurement"] != "ms" || h.states["binary_sensor.tunnelmedic_connectivity"]["state"] != "on" {
		t.Errorf("states %v", h.states)
	}
	h.states = nil // Core has restarted
	h.mu.Unlock()
	wait(t, "the states again", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == 6 })
}

func TestABrokerThatComesLaterTakesThePlaceOfTheStates(t *testing.T) {
	b := newBroker(t)
	h := &home{}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), nil)
	wait(t, "the states", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == 6 })
	h.mu.Lock()
	h.at = &b.addr
	h.mu.Unlock()
	b.until("online", func() bool { s, _ := b.last(availabilityTopic); return s == online })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) != 0 {
		t.Errorf("left over: %v", h.states)
	}
}

func TestForgottenIsGoneFromTheBroker(t *testing.T) {
	b := newBroker(t)
	e, _, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("online", func() bool { s, _ := b.last(availabilityTopic); return s == online })
	if err := e.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range []string{discoveryTopic, stateTopic, attributesTopic, availabilityTopic} {
		if last, _ := b.last(topic); last != "" {
			t.Errorf("%s still holds %s", topic, last)
		}
	}
	n := len(b.got)
	e.Tell(well(99), nil)
	if len(b.got) != n {
		t.Error("it says more after it was told to forget")
	}
}

func TestForgottenIsGoneFromCore(t *testing.T) {
	h := &home{}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), nil)
	wait(t, "the states", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == 6 })
	h.mu.Lock()
	h.away = errAway
	h.mu.Unlock()
	if err := e.Forget(t.Context()); err == nil {
		t.Error("Core is away, and it says that all is removed")
	}
	h.mu.Lock()
	h.away = nil
	h.mu.Unlock()
	if err := e.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) != 0 {
		t.Errorf("left over: %v", h.states)
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
