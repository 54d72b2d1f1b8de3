package mqtt

import (
	"encoding/json"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// The topics. The state is one JSON value; each entity takes its part of it.
const (
	discoveryTopic    = "homeassistant/device/tunnelmedic/config"
	birthTopic        = "homeassistant/status" // Home Assistant says "online" here when it has started
	availabilityTopic = "tunnelmedic/availability"
	stateTopic        = "tunnelmedic/state"
	attributesTopic   = "tunnelmedic/diagnosis/attributes"
	probeTopic        = "tunnelmedic/probe/set"
	healingTopic      = "tunnelmedic/healing/set"
)

const (
	online, offline = "online", "offline"
	on, off         = "ON", "OFF"
	press           = "PRESS"
)

// entity is one entity in Home Assistant. The names and classes are its conventions:
// what is a device class, a unit or a category there is named so here.
type entity struct {
	key        string // in the state, and of the unique id
	id         string // of the entity, behind "tunnel_medic_": the same in every language, as automations name it
	platform   string
	class      string
	unit       string
	stateClass string
	category   string
	icon       string
	options    []string
	precision  bool // whole numbers
	command    string
	attributes bool
	healOnly   bool // only where the program may act
}

func entities() []entity {
	var causes []string
	for _, row := range diagnosis.Catalogue() {
		causes = append(causes, row.ID)
	}
	return []entity{
		{key: "connectivity", id: "connectivity", platform: "binary_sensor", class: "connectivity"},
		{key: "diagnosis", id: "diagnosis", platform: "sensor", class: "enum", icon: "mdi:stethoscope", options: causes, attributes: true},
		{key: "protocol", id: "protocol_in_use", platform: "sensor", class: "enum", category: "diagnostic", icon: "mdi:transit-connection-variant", options: []string{"quic", "http2"}},
		{key: "last_cure", id: "last_cure", platform: "sensor", class: "timestamp", category: "diagnostic"},
		{key: "probe_latency", id: "probe_latency", platform: "sensor", class: "duration", unit: "ms", stateClass: "measurement", category: "diagnostic", precision: true},
		{key: "restarts_24h", id: "tunnel_restarts_in_24_hours", platform: "sensor", stateClass: "measurement", category: "diagnostic", icon: "mdi:restart", precision: true},
		{key: "probe", id: "probe_now", platform: "button", icon: "mdi:radar", command: probeTopic},
		{key: "healing", id: "healing", platform: "switch", category: "config", icon: "mdi:medical-bag", command: healingTopic, healOnly: true},
	}
}

// reading is what the entities show. A nil is "unknown" in Home Assistant.
type reading struct {
	Connectivity *string    `json:"connectivity"`
	Diagnosis    *string    `json:"diagnosis"`
	Protocol     *string    `json:"protocol"`
	LastCure     *time.Time `json:"last_cure"`
	ProbeLatency *int64     `json:"probe_latency"`
	Restarts     int        `json:"restarts_24h"`
	Healing      string     `json:"healing"`
}

// attributes are the diagnosis's.
type attributes struct {
	State     policy.Phase `json:"state"`
	Summary   string       `json:"summary"`
	Advice    []string     `json:"advice"`
	Remedy    string       `json:"remedy"`
	Since     *time.Time   `json:"since"`
	Setting   string       `json:"protocol_set"`
	Own       string       `json:"protocol_own"`
	Incident  string       `json:"incident"`
	PublicURL string       `json:"url"`
}

// read takes the entities' states from the status. before is what they showed: a
// single failed probe, which may be a hiccup, does not change the connectivity yet.
func read(s medic.Status, before reading) (reading, attributes) {
	r := reading{LastCure: before.LastCure, Restarts: s.Restarts, Healing: on}
	if s.Mode != "heal" || s.State == policy.Paused {
		r.Healing = off
	}
	r.Connectivity = connectivity(s, before)
	if s.State != policy.Starting {
		r.Diagnosis = ptr(s.Diagnosis.Cause.String())
	}
	if s.Protocol.Transport != "" {
		r.Protocol = ptr(s.Protocol.Transport)
	}
	if p := s.LastProbe; p != nil && p.OK {
		r.ProbeLatency = ptr(p.TookMS)
	}
	a := attributes{State: s.State, Summary: s.Diagnosis.Summary, Advice: s.Diagnosis.Advice, Remedy: s.Diagnosis.Remedy.String(), Setting: s.Protocol.Setting, Own: s.Protocol.Own, PublicURL: s.Target.URL}
	if !s.Diagnosis.Since.IsZero() {
		a.Since = ptr(s.Diagnosis.Since.UTC().Truncate(time.Second))
	}
	if s.Incident != nil {
		a.Incident = s.Incident.ID
	}
	return r, a
}

// connectivity says whether Home Assistant can be reached; as before while that is in
// doubt, nil while it is not known.
func connectivity(s medic.Status, before reading) *string {
	switch {
	case s.State == policy.Starting || s.State == policy.Blind:
		return nil
	case s.Reachable():
		return ptr(on)
	case s.Incident == nil && s.Detector.Score > 0, s.LastProbe == nil:
		return before.Connectivity
	}
	return ptr(off)
}

// cured gives the time of a cure among the steps.
func cured(steps []policy.Step) *time.Time {
	for _, s := range steps {
		if s.Kind == policy.StepCured {
			return ptr(s.At.UTC().Truncate(time.Second))
		}
	}
	return nil
}

// discovery is the device's description for Home Assistant.
func discovery(l *words.Lang, version, page string, heals bool) ([]byte, error) {
	device := map[string]any{"identifiers": []string{"tunnelmedic"}, "name": "Tunnel Medic", "manufacturer": "Tunnel Medic", "model": l.Say("entity.model"), "sw_version": version}
	if page != "" {
		device["configuration_url"] = "homeassistant:/" + page
	}
	components := map[string]any{}
	for _, e := range entities() {
		if e.healOnly && !heals {
			// An empty one takes away what an earlier start, with another mode, had put there.
			components[e.key] = map[string]any{"platform": e.platform}
			continue
		}
		components[e.key] = e.config(l)
	}
	return json.Marshal(map[string]any{
		"device":       device,
		"origin":       map[string]any{"name": "Tunnel Medic", "sw_version": version},
		"availability": []any{map[string]any{"topic": availabilityTopic}},
		"qos":          1,
		"components":   components,
	})
}

// name is the entity's name for people.
func (e entity) name(l *words.Lang) string { return l.Say(words.Key("entity." + e.key)) }

func (e entity) config(l *words.Lang) map[string]any {
	c := map[string]any{"platform": e.platform, "unique_id": "tunnelmedic_" + e.key, "name": e.name(l),
		"default_entity_id": e.platform + ".tunnel_medic_" + e.id}
	for key, value := range map[string]string{"device_class": e.class, "unit_of_measurement": e.unit, "state_class": e.stateClass, "entity_category": e.category, "icon": e.icon, "command_topic": e.command} {
		if value != "" {
			c[key] = value
		}
	}
	if e.options != nil {
		c["options"] = e.options
	}
	if e.precision {
		c["suggested_display_precision"] = 0
	}
	if e.attributes {
		c["json_attributes_topic"] = attributesTopic
	}
	if e.platform == "button" {
		c["payload_press"] = press
		return c
	}
	c["state_topic"] = stateTopic
	c["value_template"] = "{{ value_json." + e.key + " }}"
	return c
}

func ptr[T any](v T) *T { return &v }
