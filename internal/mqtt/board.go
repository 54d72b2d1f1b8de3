package mqtt

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// view is what the entities show.
type view struct {
	medic.Status
	open  any           // whether Home Assistant can be reached; nil: not known
	cure  time.Time     // the last one
	found Findings      // of the doctor, asked for by the button
	day   journal.Watch // of 24 hours
	today journal.Watch // since midnight, by UTC
}

// probe is the last one, nothing if there was none.
func (v view) probe() (p medic.ProbeStatus) {
	if v.LastProbe != nil {
		p = *v.LastProbe
	}
	return p
}

func (v view) heals() bool { return v.Mode != "observe" }

// Findings are what the doctor found.
type Findings struct {
	At      time.Time `json:"-"`
	Summary string    `json:"summary"`
	Wrong   []string  `json:"wrong"` // what is wrong, and what to do about it
}

// attributes are the diagnosis's.
type attributes struct {
	State     policy.Phase `json:"state"`
	Summary   string       `json:"summary"`
	Advice    []string     `json:"advice"`
	Remedy    string       `json:"remedy"`
	Since     any          `json:"since"`
	Setting   string       `json:"protocol_set"`
	Own       string       `json:"protocol_own"`
	Incident  string       `json:"incident"`
	PublicURL string       `json:"url"`
}

// occurrence is one event of an incident.
type occurrence struct {
	Type     string `json:"event_type"`
	At       any    `json:"at"`
	Incident string `json:"incident,omitempty"`
	Cause    string `json:"cause"`
	Protocol string `json:"protocol,omitempty"`
	Summary  string `json:"summary"`
	number   int    // of all that there were
}

// maxOccurrences is how many events wait for a broker that is away. The newest matter.
const maxOccurrences = 16

// board holds what there is to show. Whoever tells never waits: of each entity only the newest
// state is kept until it can be sent.
type board struct {
	voice   *words.Voice
	version string
	scrub   func(string) string
	history func() journal.History
	wake    chan struct{}

	mu sync.Mutex // guards what follows
	view
	told    bool // something is known
	page    string
	support string
	events  []occurrence
	count   int                              // of events
	story   struct{ incident, cause string } // of the incident whose story is being told
}

// change changes what is shown, and has it sent.
func (b *board) change(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	say(b.wake, struct{}{})
}

// note takes the present status and what led to it. A single failed probe, which may be a hiccup,
// does not change yet whether Home Assistant can be reached.
func (b *board) note(s medic.Status, steps []policy.Step) {
	s = s.In(b.voice.Lang())
	day, today := b.available(time.Now())
	b.change(func() {
		b.day, b.today = day, today
		b.Status, b.told, b.open = s, true, reachable(s, b.open)
		if i := s.Incident; i != nil {
			b.story.incident, b.story.cause = i.ID, i.Cause.String()
		}
		for _, step := range steps {
			if step.Kind == policy.StepCured {
				b.cure = step.At
			}
			if told(step.Kind) {
				b.events = append(b.events, b.occurred(step))
			}
		}
		if s.Incident == nil && s.FailbackDue.IsZero() {
			b.story.incident, b.story.cause = "", ""
		}
		b.events = b.events[max(0, len(b.events)-maxOccurrences):]
	})
}

// reachable says whether Home Assistant can be reached; as before while that is in
// doubt, nil while it is not known.
func reachable(s medic.Status, before any) any {
	switch {
	case s.State == policy.Starting || s.State == policy.Blind:
		return nil
	case s.Reachable():
		return true
	case s.Incident == nil && s.Detector.Score > 0, s.LastProbe == nil:
		return before
	}
	return false
}

// available says how it was in 24 hours, and since midnight.
func (b *board) available(now time.Time) (day, today journal.Watch) {
	h := b.history()
	if n := len(h.Days); n > 0 && h.Days[n-1].Date == now.UTC().Format(time.DateOnly) {
		today = h.Days[n-1].Watch()
	}
	return h.Available(now, 24*time.Hour), today
}

func (b *board) occurred(s policy.Step) occurrence {
	b.count++
	return occurrence{number: b.count, Type: s.Kind.String(), At: moment(s.At), Incident: b.story.incident, Cause: cmp.Or(b.story.cause, b.Diagnosis.Cause.String()),
		Protocol: b.Protocol.Setting, Summary: b.voice.Lang().Step(s)}
}

// message is one for the broker. What is kept there, Home Assistant finds at its next start; an
// event is not, and has a number.
type message struct {
	topic, payload string
	event          int
}

// messages are all there are to send, in the order in which Home Assistant needs
// them.
func (b *board) messages() ([]message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.told {
		return nil, nil
	}
	values := map[string]any{}
	for _, e := range entities() {
		if e.value == nil {
			continue
		}
		values[e.key] = e.value(b.view)
		if is, binary := values[e.key].(bool); binary {
			values[e.key] = map[bool]string{true: on, false: off}[is]
		}
	}
	config, failed := b.discovery()
	written := func(v any) string {
		raw, err := json.Marshal(v)
		failed = cmp.Or(failed, err)
		return b.scrub(string(raw))
	}
	list := []message{{topic: discoveryTopic, payload: string(config)}, {topic: stateTopic, payload: written(values)}, {topic: attributesTopic, payload: written(b.attributes())},
		{topic: foundTopic, payload: written(b.found)}, {topic: availabilityTopic, payload: online}}
	for _, o := range b.events {
		list = append(list, message{topic: eventTopic, payload: written(o), event: o.number})
	}
	return list, failed
}

func (b *board) attributes() attributes {
	d := b.Diagnosis
	a := attributes{State: b.State, Summary: d.Summary, Advice: d.Advice, Remedy: d.Remedy.String(), Since: moment(d.Since), Setting: b.Protocol.Setting, Own: b.Protocol.Own, PublicURL: b.Target.URL}
	if b.Incident != nil {
		a.Incident = b.Incident.ID
	}
	return a
}

// happened takes an event away, which was sent, and those before it.
func (b *board) happened(number int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = slices.DeleteFunc(b.events, func(o occurrence) bool { return o.number <= number })
}
