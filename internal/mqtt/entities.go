package mqtt

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
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
	foundTopic        = "tunnelmedic/doctor/attributes"
	eventTopic        = "tunnelmedic/incident"
	probeTopic        = "tunnelmedic/probe/set"
	doctorTopic       = "tunnelmedic/doctor/set"
	pauseTopic        = "tunnelmedic/pause/set"
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
	id         string // of the entity, behind "tunnel_medic_", where it is not the key: the same in every language, as automations name it
	platform   string
	class      string
	unit       string
	stateClass string
	category   string
	icon       string
	options    []string // of an enum, or an event's types
	digits     string   // behind the point, as a number is shown; "" leaves it to Home Assistant
	command    string   // the topic of its commands
	attributes string   // the topic of its attributes
	healOnly   bool     // only where the program may act
	value      func(view) any
}

// entities are all of them, made once: they are gone through at every state that is shown.
var entities = sync.OnceValue(func() []entity {
	const sensor, binary, button = "sensor", "binary_sensor", "button"
	return []entity{
		{key: "connectivity", platform: binary, class: "connectivity", value: func(v view) any { return v.open }},
		{key: "needs_attention", platform: binary, class: "problem", value: func(v view) any { return known(v.State != policy.Starting, v.NeedsYou()) }},
		{key: "state", platform: sensor, class: "enum", icon: "mdi:state-machine", options: phases(), value: func(v view) any { return text(v.State.String()) }},
		{key: "diagnosis", platform: sensor, class: "enum", icon: "mdi:stethoscope", options: causes(), attributes: attributesTopic,
			value: func(v view) any { return known(v.State != policy.Starting, v.Diagnosis.Cause.String()) }},
		{key: "protocol", id: "protocol_in_use", platform: sensor, class: "enum", category: "diagnostic", icon: "mdi:transit-connection-variant", options: []string{"quic", "http2"},
			value: func(v view) any { return text(v.Protocol.Transport) }},
		{key: "protocol_set", platform: sensor, class: "enum", category: "diagnostic", icon: "mdi:tune-variant", options: protocols(), value: func(v view) any { return text(v.Protocol.Setting) }},
		{key: "failback_due", platform: sensor, class: "timestamp", category: "diagnostic", icon: "mdi:clock-start", value: func(v view) any { return moment(v.FailbackDue) }},
		{key: "data_centre", platform: sensor, category: "diagnostic", icon: "mdi:server-network", value: func(v view) any { return text(v.probe().Colo) }},
		{key: "last_cure", platform: sensor, class: "timestamp", category: "diagnostic", value: func(v view) any { return moment(v.cure) }},
		{key: "probe_latency", platform: sensor, class: "duration", unit: "ms", stateClass: "measurement", category: "diagnostic", digits: "0",
			value: func(v view) any { return known(v.probe().OK, v.probe().TookMS) }},
		{key: "restarts_24h", id: "tunnel_restarts_in_24_hours", platform: sensor, stateClass: "measurement", category: "diagnostic", icon: "mdi:restart", digits: "0",
			value: func(v view) any { return v.Restarts }},
		{key: "availability", id: "availability_in_24_hours", platform: sensor, unit: "%", stateClass: "measurement", icon: "mdi:chart-timeline-variant", digits: "2", value: availability},
		{key: "cut_off", id: "cut_off_today", platform: sensor, class: "duration", unit: "min", stateClass: "total_increasing", icon: "mdi:lan-disconnect", digits: "1", value: cutOff},
		{key: "doctor", platform: sensor, class: "timestamp", category: "diagnostic", icon: "mdi:clipboard-pulse-outline", attributes: foundTopic, value: func(v view) any { return moment(v.found.At) }},
		{key: "incident", platform: "event", icon: "mdi:timeline-alert-outline", options: happenings()},
		{key: "probe", id: "probe_now", platform: button, icon: "mdi:radar", command: probeTopic},
		{key: "examine", id: "run_the_doctor", platform: button, category: "diagnostic", icon: "mdi:clipboard-pulse-outline", command: doctorTopic},
		{key: "pause", id: "pause_for_an_hour", platform: button, category: "config", icon: "mdi:pause-circle-outline", command: pauseTopic},
		{key: "healing", platform: "switch", category: "config", icon: "mdi:medical-bag", command: healingTopic, healOnly: true, value: func(v view) any { return v.heals() && v.State != policy.Paused }},
	}
})

// causes are what the diagnosis may be.
func causes() (list []string) {
	for _, row := range diagnosis.Catalogue() {
		list = append(list, row.ID)
	}
	return list
}

// phases are what the state may be, by the same names as in the event and the API.
func phases() (list []string) {
	for p := policy.Starting; p <= policy.Paused; p++ {
		list = append(list, p.String())
	}
	return list
}

func protocols() []string {
	return []string{evidence.Auto.String(), evidence.QUIC.String(), evidence.HTTP2.String()}
}

// told says whether a step of an incident is worth an event of its own.
func told(k policy.StepKind) bool {
	//exhaustive:ignore
	switch k {
	case policy.NoStep, policy.StepSuspected, policy.StepCleared, policy.StepSettled, policy.StepPostponed, policy.StepPaused, policy.StepResumed, policy.StepUnsure:
		return false
	}
	return true
}

// happenings are the event's types: the steps of an incident, as reports and DOCS name them.
func happenings() (list []string) {
	for k := policy.StepSuspected; k <= policy.StepUnsure; k++ {
		if told(k) {
			list = append(list, k.String())
		}
	}
	return list
}

// known is a value, or nil, which is "unknown" in Home Assistant.
func known(is bool, value any) any {
	if !is {
		return nil
	}
	return value
}

func text(s string) any { return known(s != "", s) }

func moment(t time.Time) any {
	return known(!t.IsZero(), t.UTC().Truncate(time.Second).Format(time.RFC3339))
}

// availability is rounded so that a quiet home's does not change with every check.
func availability(v view) any {
	share, watched := v.day.Share()
	return known(watched, math.Round(share*10_000)/100)
}

// cutOff begins at nought each day, as a meter does that is read by the day: so Home Assistant's
// statistics add the days up.
func cutOff(v view) any {
	return known(v.today.Watched != 0, math.Round(v.today.Minutes()*10)/10)
}

// written is a value as the states of Core have it.
func written(value any) string {
	switch value {
	case nil:
		return "unknown"
	case true:
		return "on"
	case false:
		return "off"
	}
	return fmt.Sprint(value)
}

// coreID is an entity's id among Core's states. It differs from the one that MQTT
// gives, so that an entity that came by MQTT later does not find its name taken.
func (e entity) coreID() string { return e.platform + ".tunnelmedic_" + e.key }

// name is the entity's name for people.
func (e entity) name(l *words.Lang) string { return l.Say(words.Key("entity." + e.key)) }

// plain are what Home Assistant knows of an entity whichever way it comes.
func (e entity) plain() map[string]any {
	c := map[string]any{}
	fill(c, map[string]string{"device_class": e.class, "unit_of_measurement": e.unit, "state_class": e.stateClass, "icon": e.icon})
	if e.options != nil {
		c["options"] = e.options
	}
	return c
}

// fill puts in what there is.
func fill(c map[string]any, with map[string]string) {
	for key, value := range with {
		if value != "" {
			c[key] = value
		}
	}
}

// config is the entity's part of the device's description. default_entity_id is known since Core
// 2025.10, and the option that it replaced is gone since 2026.4; an older Core makes the id of the
// name.
func (e entity) config(l *words.Lang) map[string]any {
	c := e.plain()
	c["platform"], c["unique_id"], c["name"] = e.platform, "tunnelmedic_"+e.key, e.name(l)
	c["default_entity_id"] = e.platform + ".tunnel_medic_" + cmp.Or(e.id, e.key)
	fill(c, map[string]string{"entity_category": e.category, "command_topic": e.command, "json_attributes_topic": e.attributes})
	if e.digits != "" {
		c["suggested_display_precision"] = json.Number(e.digits)
	}
	switch e.platform {
	case "button":
		c["payload_press"] = press
	case "event":
		delete(c, "options")
		c["event_types"], c["state_topic"] = e.options, eventTopic
	default:
		c["state_topic"], c["value_template"] = stateTopic, "{{ value_json."+e.key+" }}"
	}
	return c
}

// discovery is the device's description for Home Assistant.
func (b *board) discovery() ([]byte, error) {
	l := b.voice.Lang()
	device := map[string]any{"identifiers": []string{"tunnelmedic"}, "name": "Tunnel Medic", "manufacturer": "Tunnel Medic", "model": l.Say("entity.model"), "sw_version": b.version}
	if b.page != "" {
		device["configuration_url"] = "homeassistant:/" + b.page
	}
	origin := map[string]any{"name": "Tunnel Medic", "sw_version": b.version}
	if b.support != "" {
		origin["support_url"] = b.support
	}
	components := map[string]any{}
	for _, e := range entities() {
		if e.healOnly && !b.heals() {
			// An empty one takes away what an earlier start, with another mode, had put there.
			components[e.key] = map[string]any{"platform": e.platform}
			continue
		}
		components[e.key] = e.config(l)
	}
	return json.Marshal(map[string]any{
		"device":       device,
		"origin":       origin,
		"availability": []any{map[string]any{"topic": availabilityTopic}},
		"qos":          1,
		"components":   components,
	})
}
