package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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
		LastProbe: &medic.ProbeStatus{OK: true, TookMS: tookMS, Colo: "FRA"}}
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
	with := func(s medic.Status, change func(*medic.Status)) medic.Status { change(&s); return s }
	for _, c := range []struct {
		rule   string
		status medic.Status
		open   any // nil is unknown
		heals  bool
		needs  any
	}{
		{"a healthy home is connected", well(84), true, true, false},
		{"one failed probe is no lost connection yet", ill(policy.Suspect, false), true, true, false},
		{"an incident is", ill(policy.Suspect, true), false, true, false},
		{"waiting after a treatment is", ill(policy.Holding, true), false, true, false},
		{"what only a person can end", with(ill(policy.Suspect, true), func(s *medic.Status) { s.Diagnosis.Remedy = diagnosis.Tell }), false, true, true},
		{"whatever was suspected before", with(ill(policy.Suspect, false), func(s *medic.Status) { s.Diagnosis.Remedy = diagnosis.Tell }), true, true, true},
		{"nobody but a person knows their own setting", with(well(1), func(s *medic.Status) { s.Unsure = true }), true, true, true},
		{"what cannot be watched is not known", ill(policy.Blind, false), nil, true, false},
		{"at the start nothing is known", medic.Status{Mode: "heal", State: policy.Starting}, nil, true, nil},
		{"paused, and well", with(well(1), func(s *medic.Status) { s.State = policy.Paused }), true, false, false},
		{"in mode observe nothing is healed", with(well(1), func(s *medic.Status) { s.Mode = "observe" }), true, false, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b := device(Config{}).board
			b.open = true
			b.note(c.status, nil)
			for key, want := range map[string]any{"connectivity": c.open, "healing": c.heals, "needs_attention": c.needs} {
				i := slices.IndexFunc(entities(), func(e entity) bool { return e.key == key })
				if got := entities()[i].value(b.view); got != want {
					t.Errorf("%s is %v, want %v", key, got, want)
				}
			}
		})
	}
}

// Every id that automations, dashboards and statistics hold on to, from the first release on.
func TestIdsStayWhatTheyAre(t *testing.T) {
	got := map[string]string{}
	for _, e := range entities() {
		c := e.config(words.English())
		got[fmt.Sprint(c["unique_id"])] = fmt.Sprint(c["default_entity_id"])
	}
	want := map[string]string{
		"tunnelmedic_connectivity":    "binary_sensor.tunnel_medic_connectivity",
		"tunnelmedic_needs_attention": "binary_sensor.tunnel_medic_needs_attention",
		"tunnelmedic_state":           "sensor.tunnel_medic_state",
		"tunnelmedic_diagnosis":       "sensor.tunnel_medic_diagnosis",
		"tunnelmedic_protocol":        "sensor.tunnel_medic_protocol_in_use",
		"tunnelmedic_protocol_set":    "sensor.tunnel_medic_protocol_set",
		"tunnelmedic_failback_due":    "sensor.tunnel_medic_failback_due",
		"tunnelmedic_data_centre":     "sensor.tunnel_medic_data_centre",
		"tunnelmedic_last_cure":       "sensor.tunnel_medic_last_cure",
		"tunnelmedic_probe_latency":   "sensor.tunnel_medic_probe_latency",
		"tunnelmedic_restarts_24h":    "sensor.tunnel_medic_tunnel_restarts_in_24_hours",
		"tunnelmedic_availability":    "sensor.tunnel_medic_availability_in_24_hours",
		"tunnelmedic_cut_off":         "sensor.tunnel_medic_cut_off_today",
		"tunnelmedic_doctor":          "sensor.tunnel_medic_doctor",
		"tunnelmedic_incident":        "event.tunnel_medic_incident",
		"tunnelmedic_probe":           "button.tunnel_medic_probe_now",
		"tunnelmedic_examine":         "button.tunnel_medic_run_the_doctor",
		"tunnelmedic_pause":           "button.tunnel_medic_pause_for_an_hour",
		"tunnelmedic_healing":         "switch.tunnel_medic_healing",
	}
	if !maps.Equal(got, want) {
		t.Errorf("the ids are %v", got)
	}
}

func TestTheDeviceIsDescribedByHomeAssistantsConventions(t *testing.T) {
	e := device(Config{Version: "1.0.0"})
	e.Link("/app/x", "https://github.com/somebody/apps")
	e.Tell(well(1), nil)
	raw, err := e.board.discovery()
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
	if d.Device["configuration_url"] != "homeassistant://app/x" || d.Origin["name"] != "Tunnel Medic" || d.Origin["support_url"] != "https://github.com/somebody/apps" || d.Availability[0]["topic"] != availabilityTopic {
		t.Errorf("device %v, origin %v, availability %v", d.Device, d.Origin, d.Availability)
	}
	for key, want := range map[string]map[string]any{
		"connectivity":    {"platform": "binary_sensor", "device_class": "connectivity"},
		"diagnosis":       {"platform": "sensor", "device_class": "enum", "json_attributes_topic": attributesTopic},
		"protocol":        {"platform": "sensor", "device_class": "enum"},
		"last_cure":       {"platform": "sensor", "device_class": "timestamp"},
		"probe_latency":   {"platform": "sensor", "device_class": "duration", "unit_of_measurement": "ms", "state_class": "measurement"},
		"restarts_24h":    {"platform": "sensor", "state_class": "measurement"},
		"needs_attention": {"platform": "binary_sensor", "device_class": "problem"},
		"state":           {"platform": "sensor", "device_class": "enum"},
		"failback_due":    {"platform": "sensor", "device_class": "timestamp"},
		"incident":        {"platform": "event", "state_topic": eventTopic, "value_template": nil, "options": nil},
		"doctor":          {"platform": "sensor", "json_attributes_topic": foundTopic},
		"probe":           {"platform": "button", "command_topic": probeTopic, "payload_press": press},
		"healing":         {"platform": "switch", "command_topic": healingTopic, "entity_category": "config"},
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
	if types, _ := d.Components["incident"]["event_types"].([]any); !slices.Contains(types, any("cured")) || slices.Contains(types, any("suspected")) {
		t.Errorf("the event may be %v", types)
	}
	observing := well(1)
	observing.Mode = "observe"
	e.Tell(observing, nil)
	raw, _ = e.board.discovery()
	if !strings.Contains(string(raw), `"healing":{"platform":"switch"}`) {
		t.Error("in mode observe the switch is still there")
	}
}

func TestEverythingIsKeptAtTheBrokerAndAnnouncedInOrder(t *testing.T) {
	b := newBroker(t)
	h := &home{at: &b.addr, user: "addons", secret: "pass"}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), []policy.Step{{Kind: policy.StepCured, At: time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC)}})
	b.until("all topics", func() bool { _, n := b.last(eventTopic); return n > 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	var order []string
	for _, m := range b.got {
		order = append(order, m.topic)
	}
	if want := []string{discoveryTopic, stateTopic, attributesTopic, foundTopic, availabilityTopic, eventTopic}; !slices.Equal(order, want) {
		t.Errorf("published %v, want %v", order, want)
	}
	if state, _ := b.last(stateTopic); state != `{"availability":null,"connectivity":"ON","cut_off":null,"data_centre":"FRA","diagnosis":"healthy","doctor":null,"failback_due":null,"healing":"ON","last_cure":"2026-11-21T22:05:12Z","needs_attention":"OFF",`+
		`"probe_latency":84,"protocol":"http2","protocol_set":"http2","restarts_24h":2,"state":"healthy"}` {
		t.Errorf("state %s", state)
	}
	c := b.connect[0]
	if c.WillTopic != availabilityTopic || string(c.WillMessage) != offline || !c.WillRetain || c.Username != "addons" || string(c.Password) != "pass" {
		t.Errorf("will %q %q kept %v, user %q", c.WillTopic, c.WillMessage, c.WillRetain, c.Username)
	}
}

// The figures are those of the journal, as of now; those of yesterday are not today's.
func TestHowItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h journal.History
		b := device(Config{History: func() journal.History { return h }}).board
		shown := func() string {
			b.note(well(1), nil)
			return fmt.Sprint(availability(b.view), " ", cutOff(b.view))
		}
		lose := func(lost time.Duration) {
			h.Day(time.Now()).Watched += time.Hour
			h.Day(time.Now()).Lose("tunnel-down", lost)
			h.Count(time.Now(), journal.Watch{Watched: time.Hour, Lost: lost})
		}
		if got := shown(); got != "<nil> <nil>" {
			t.Errorf("of nothing it shows %s", got)
		}
		lose(90 * time.Second)
		if got := shown(); got != "97.5 1.5" {
			t.Errorf("of a minute and a half in an hour it shows %s", got)
		}
		time.Sleep(23 * time.Hour) // the bubble's time begins at midnight
		if got := shown(); got != "97.5 1.5" {
			t.Errorf("before midnight it shows %s", got)
		}
		time.Sleep(2 * time.Hour)
		if got := shown(); got != "<nil> <nil>" {
			t.Errorf("after midnight, before the first check, it shows %s", got)
		}
		lose(0)
		if got := shown(); got != "100 0" {
			t.Errorf("after midnight it shows %s", got)
		}
	})
}

// The event that ends an incident still names it, and what waits for a broker that is away comes
// when it is back: the newest, each once.
func TestEventsNameTheirIncidentAndWaitForTheBroker(t *testing.T) {
	b := newBroker(t)
	e, _, _ := run(t, &home{at: &b.addr}, quick)
	at := time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC)
	began := ill(policy.Suspect, true)
	began.Incident.Cause = diagnosis.ProbeBanned
	for range 20 { // nobody has connected yet
		e.Tell(began, []policy.Step{{Kind: policy.StepSuspected, At: at}, {Kind: policy.StepAlarm, At: at}})
	}
	e.Tell(well(84), []policy.Step{{Kind: policy.StepRecovered, At: at}})
	e.Tell(well(84), []policy.Step{{Kind: policy.StepUser, At: at}})
	b.until("the newest event", func() bool { s, _ := b.last(eventTopic); return strings.Contains(s, "changed-by-hand") })
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []string
	for _, m := range b.got {
		if m.topic == eventTopic {
			got = append(got, m.payload)
		}
	}
	if len(got) < 2 || len(got) > 22 {
		t.Fatalf("%d events", len(got))
	}
	var end, after occurrence
	if err := errors.Join(json.Unmarshal([]byte(got[len(got)-2]), &end), json.Unmarshal([]byte(got[len(got)-1]), &after)); err != nil {
		t.Fatal(err)
	}
	if end.Type != "recovered" || end.Incident != "20261121T220512Z" || end.Cause != "probe-banned" || end.At != "2026-11-21T22:05:12Z" || end.Summary == "" {
		t.Errorf("the end is %+v", end)
	}
	if after.Incident != "" || after.Cause != "healthy" {
		t.Errorf("what happened outside an incident is %+v", after)
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
	if len(b.got) != 6 {
		t.Errorf("%d messages for five topics and one change", len(b.got))
	}
}

func TestTheLastWordIsOffline(t *testing.T) {
	b := newBroker(t)
	h := &home{at: &b.addr}
	e := device(Config{Supervisor: h, Pace: quick})
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
	b.until("once", func() bool { _, n := b.last(availabilityTopic); return n == 1 && len(b.subs) == 5 })
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
		return n == 3 && len(b.connect) == 2 && len(b.subs) == 10
	})
}

func TestCommandsAreObeyedOnce(t *testing.T) {
	b := newBroker(t)
	e, who, _ := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("subscribed", func() bool { return len(b.subs) == 5 })
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
	b.say(pauseTopic, press, false)
	if got := <-who.came; got != "pause 1h0m0s" {
		t.Errorf("asked for %s", got)
	}
	b.say(doctorTopic, press, false)
	if got := <-who.came; got != "doctor" {
		t.Errorf("asked for %s", got)
	}
	b.until("what the doctor found", func() bool {
		found, _ := b.last(foundTopic)
		state, _ := b.last(stateTopic)
		return found == `{"summary":"One thing is wrong.","wrong":["QUIC: no answer."]}` && strings.Contains(state, `"doctor":"2026-11-21T22:05:12Z"`)
	})
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

func TestWithoutABrokerTheSensorsAreCoresStatesAndSentWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &home{}
		e, _, _ := run(t, h, Pace{})
		e.Tell(well(84), nil)
		synctest.Wait()
		all := len(shown())
		if states, sets := h.has(); states != all || sets != all {
			t.Fatalf("%d states, sent %d times", states, sets)
		}
		got, open := h.state("sensor.tunnelmedic_probe_latency"), h.state("binary_sensor.tunnelmedic_connectivity")
		if got["state"] != "84" || got["attributes"].(map[string]any)["unit_of_measurement"] != "ms" || open["state"] != "on" {
			t.Errorf("states %v, %v", got, open)
		}
		if h.state("event.tunnelmedic_incident") != nil {
			t.Error("an event among the states would come again with each start of Core")
		}
		for range 30 { // an hour of checks, each as fast as the one before
			time.Sleep(2 * time.Minute)
			e.Tell(well(84), nil)
		}
		synctest.Wait()
		if _, sets := h.has(); sets > all+31 {
			t.Errorf("sent %d times in an hour in which nothing changes, %d at most", sets, all+31)
		}

		h.restarts()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if states, _ := h.has(); states != all {
			t.Errorf("after Core's restart it has %d states of %d", states, all)
		}
		h.restarts() // and again, and what changes tells it
		e.Tell(well(85), nil)
		synctest.Wait()
		if states, _ := h.has(); states != all {
			t.Errorf("after a change it has %d states of %d", states, all)
		}
	})
}

func TestABrokerThatComesLaterTakesThePlaceOfTheStates(t *testing.T) {
	b := newBroker(t)
	h := &home{}
	e, _, _ := run(t, h, quick)
	e.Tell(well(84), nil)
	wait(t, "the states", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == len(shown()) })
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
	for _, topic := range kept() {
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
	wait(t, "the states", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.states) == len(shown()) })
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
