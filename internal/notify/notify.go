// Package notify tells the household: one persistent notification in Home
// Assistant, updated in place; notify services for what is worth a phone's sound;
// and an event on Core's bus for automations. It reads what the loop publishes and
// changes nothing.
package notify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/phone"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// ID is the notification's id, and the event's type.
const ID = "tunnelmedic"

// Core is what it asks of Home Assistant.
type Core interface {
	CallService(ctx context.Context, domain, service string, data any) error
	FireEvent(ctx context.Context, event string, data any) error
	NotifyServices(ctx context.Context) ([]string, error)
}

const (
	callTimeout  = 10 * time.Second
	retryEvery   = 15 * time.Second // while Core is down or starting
	refusedEvery = 10 * time.Minute // where Core refuses to show what should stand there
	maxWaiting   = 50               // events and calls kept while Core is away; the oldest go first
	quietTime    = 24 * time.Hour   // what has no incident does not ring twice within it
	memory       = 30 * quietTime   // an incident does not ring twice within it: longer than any has lasted
	restTime     = time.Hour        // between two wordings of the same message, unless a treatment goes on
)

// What is sent at most, whatever happens outside: a stranger who finds a way to change
// our mind again and again must neither empty a phone's battery nor fill Core's
// recorder. What exceeds it waits; the newest state is what is then told.
const (
	maxRewrites = 30 // of the notification, in an hour
	maxEvents   = 60 // on Core's bus, in an hour
	maxRings    = 20 // of each notify service, in a day
)

// Notifier passes the present state on to Home Assistant. Tell never blocks: what
// Core cannot take now is kept and sent when it can.
type Notifier struct {
	*outbox
	*roster
	interval time.Duration // between probes while all is well: the measure of patience
	screens  Screens

	mu sync.Mutex // over what follows
	standing
	phones
	story  string       // the last incident that was heard of
	shut   time.Time    // since when nobody got in, when that was last so
	last   policy.Phase // that Core's bus was told of
	events pace
	silent bool   // nothing is to be told any more
	down   bool   // the main address does not work
	also   []also // what was told of each further address
}

// standing is the notification in Home Assistant: what should stand there, and whether it does.
type standing struct {
	want   *notice               // nil: nothing
	behind bool                  // something else stands there
	until  time.Time             // a closing word stands
	shown  time.Time             // when want was last worded again
	rung   map[subject]time.Time // when phones rang for what, and when what rings nobody was shown
	writes pace
	reword func() *notice // words want in the language of the moment
	spoken *words.Lang    // the one that want is worded in
}

// news says whether a message is to take the place of the one that stands; nil is
// that nothing needs to be said.
func (n *standing) news(msg *notice, now time.Time) bool {
	stands := n.want
	switch {
	case msg == nil && stands == nil:
		return false
	case msg == nil:
		return !stands.closing || !now.Before(n.until) // the closing word stands for a while
	case msg.about.kind == recovered && (stands == nil || stands.daily):
		return false // nobody was told of what has ended: a few lost probes, as a rule
	case stands == nil || msg.about != stands.about:
		_, today := n.rung[msg.about]
		return !(msg.daily && today)
	case msg.facts == stands.facts || msg.daily:
		return false
	}
	return msg.awaited() || now.Sub(n.shown) >= restTime
}

// overtaken says whether a last word has not arrived, and is none any more since something
// is wrong again.
func (n *standing) overtaken(s *medic.Status) bool {
	return n.want != nil && n.want.closing && n.behind && !s.Healthy()
}

// answered says whether the question that stands is one no longer.
func (n *standing) answered(s *medic.Status, steps []policy.Step) bool {
	if s.Question == nil && n.want != nil && n.want.about.kind == asking {
		return true
	}
	return slices.ContainsFunc(steps, func(step policy.Step) bool {
		return step.Kind == policy.StepAnswered || step.Kind == policy.StepExpired || step.Kind == policy.StepWithdrawn
	})
}

// due says what is to be shown in its place, if something else stands there, and for how
// long it must not be written yet.
func (n *standing) due(now time.Time) (want *notice, behind bool, full time.Duration) {
	if n.want != nil && n.want.closing && !now.Before(n.until) {
		n.want, n.behind = nil, true
	}
	if n.behind {
		full = n.writes.wait(now, time.Hour, maxRewrites)
	}
	return n.want, n.behind, full
}

// notice is a message for people. Two notices are the same if they are about the same
// subject and the same facts; their words are not compared, because words hold what
// changes on its own: counts, times, milliseconds.
type notice struct {
	Title, Message string
	short          string // for phones, which show a line or two; "" is the message
	about          subject
	facts          facts
	rings          bool // phones; once for a subject
	daily          bool // it is worth a look and no more: shown once a day, worded once
	closing        bool // a last word: it goes on its own
	buttons        []phone.Button
	app            string // the Cloudflared app's slug, where the message names it: what names it leads to it
}

// awaited says whether people wait for its steps.
func (n *notice) awaited() bool {
	return n.closing || n.about.kind == treating || n.about.kind == asking
}

// subject is what a notice is about. gates are those that a person can open.
type subject struct{ kind, cause, incident, gates string }

// String tells one subject from another.
func (s subject) String() string {
	return strings.Join([]string{s.kind, s.incident, s.cause, s.gates}, "/")
}

// ringing is what phones ring for: the same incident does not ring again because its
// cause or its gates are seen otherwise now.
func (s subject) ringing() subject {
	if s.incident != "" {
		s.cause, s.gates = "", ""
	}
	return s
}

// facts are what may change about a subject and is worth telling.
type facts struct {
	steps int // of the incident's story
	todo  string
}

// New makes a notifier. services are notify services such as mobile_app_pixel;
// interval is the time between probes while all is well: what a person must mend is
// told when it has lasted half of it, and a closing word stands for five; nil speaks
// English. Nothing is sent before Run.
func New(core Core, log zerolog.Logger, services []string, scrub func(string) string, interval time.Duration, page string, voice *words.Voice) *Notifier {
	out := &outbox{core: core, log: log, wake: make(chan struct{}, 1), warned: map[string]bool{}}
	return &Notifier{outbox: out, roster: &roster{out: out, asked: services}, interval: interval, last: policy.Starting,
		standing: standing{behind: true, rung: map[subject]time.Time{}},
		phones:   phones{out: out, services: services, scrub: scrub, voice: voice, page: page}}
}

// Link takes the page's path in Home Assistant, which may become known, or another,
// while the program runs. What stands in Home Assistant is written again with it, and in
// the language that is spoken by now.
func (n *Notifier) Link(page string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	same := page == n.page && n.voice.Lang() == n.spoken
	n.page = page
	if same || n.silent || n.want == nil {
		return
	}
	if again := n.reword(); again != nil && n.voice.Lang() != n.spoken {
		n.want.Title, n.want.Message, n.want.short = again.Title, again.Message, again.short
		n.spoken = n.voice.Lang()
	}
	n.behind = true
	n.poke()
}

// Screens gives the paths of Home Assistant's own screens: that of an app by its slug, and Tunnel
// Medic's configuration; "" where one is not known.
type Screens func(slug string) (app, own string)

// LeadTo lets messages lead to those screens. It is called before Run.
func (n *Notifier) LeadTo(s Screens) { n.screens = s }

// With gives phones' notifications buttons. It is called before Run.
func (n *Notifier) With(b Buttons) { n.buttons = b }

// Reply says on a phone what came of a button that was pressed there.
func (n *Notifier) Reply(service string, text words.Text) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.silent && n.rings.take(time.Now(), quietTime, maxRings) {
		lang := n.voice.Lang()
		n.add(call{"notify", service, n.message(service, ID+"_answer", lang.Say("phone.not.title"), lang.Text(text))})
	}
}

// Tell takes the present status and what led to it.
func (n *Notifier) Tell(s medic.Status, steps []policy.Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent {
		return
	}
	now := time.Now()
	if s.State != n.last && n.events.take(now, time.Hour, maxEvents) {
		n.event(n.last, s)
		n.last = s.State
	}
	n.down = !s.Reachable()
	if s.Incident != nil {
		n.story = s.Incident.ID
	}
	if s.Incident != nil && s.Healthy() && len(steps) == 0 {
		return // one good probe amid a fault is no news; its end is a step
	}
	if n.answered(&s, steps) {
		n.clear(askTag)
	}
	msg := n.compose(s, steps, now)
	maps.DeleteFunc(n.rung, func(s subject, at time.Time) bool {
		return now.Sub(at) >= memory || s.incident == "" && now.Sub(at) >= quietTime
	})
	if !n.news(msg, now) && !n.overtaken(&s) {
		return
	}
	n.put(msg, now)
	n.spoken, n.reword = n.voice.Lang(), func() *notice { return n.compose(s, steps, now) }
}

// compose makes the message of a moment; nil is none. The caller holds mu.
func (n *Notifier) compose(s medic.Status, steps []policy.Step, now time.Time) *notice {
	lang := n.voice.Lang()
	msg := compose(lang, s, steps, now, n.interval/2)
	if !s.ShutSince.IsZero() {
		n.shut = s.ShutSince
	}
	if msg == nil && s.Healthy() && n.want != nil && n.want.about.kind == lasting {
		msg = composer{lang, s}.good(lang.Say("notify.good.lasted", words.With{"lasted": now.Sub(n.shut).Round(time.Minute)}), recovered)
	}
	if msg != nil && msg.closing {
		msg.about.incident = n.story
	}
	if msg != nil && strings.Contains(msg.Message, "Cloudflared") {
		msg.app = s.Target.Slug
	}
	return msg
}

// put lets a message take the place of the one that stands, and rings where it is to. The
// caller holds mu.
func (n *Notifier) put(msg *notice, now time.Time) {
	if old := n.want; old != nil && (msg == nil || msg.about.ringing() != old.about.ringing()) {
		n.withdraw(old)
	}
	n.want, n.behind, n.shown = msg, true, now
	if msg != nil {
		n.until = now.Add(5 * n.interval)
		if msg.daily {
			n.rung[msg.about] = now
		}
		if _, lately := n.rung[msg.about.ringing()]; msg.rings && !lately && n.rings.take(now, quietTime, maxRings) {
			n.rung[msg.about.ringing()] = now
			tag := ID
			if msg.about.kind == asking {
				tag = askTag
			}
			n.ring(tag, *msg)
		}
	}
	n.poke()
}

// event queues the change of state for Core's bus.
func (n *Notifier) event(from policy.Phase, s medic.Status) {
	data := map[string]any{"from": from, "to": s.State, "cause": s.Diagnosis.Cause, "protocol": s.Protocol.Setting,
		"transport": s.Protocol.Transport, "summary": plain.Sentence(n.scrub(s.In(n.voice.Lang()).Diagnosis.Summary))}
	if s.Incident != nil {
		data["incident"] = s.Incident.ID
	}
	n.add(call{name: ID, data: data})
}

// Forget takes the notification away and says nothing more.
func (n *Notifier) Forget(ctx context.Context) error {
	n.mu.Lock()
	n.withdraw(n.want)
	n.silent, n.want, n.behind = true, nil, false
	n.drop()
	n.mu.Unlock()
	errs := []error{n.make(ctx, dismiss(ID)), n.make(ctx, dismiss(testID))}
	for i := range n.also {
		errs = append(errs, n.make(ctx, dismiss(alsoID(i))))
	}
	return errors.Join(errs...)
}

// Run sends until the context ends.
func (n *Notifier) Run(ctx context.Context) {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	for {
		timer.Reset(n.send(ctx))
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// send makes Home Assistant's notification what it should be and delivers the rest. It gives
// the time until it should be called again.
func (n *Notifier) send(ctx context.Context) time.Duration {
	n.mu.Lock()
	want, behind, full := n.due(time.Now())
	until, page := n.until, n.page
	n.mu.Unlock()
	next := time.Hour
	if behind && full == 0 {
		err := n.make(ctx, n.shows(want, page))
		if err != nil && away(err) {
			n.log.Debug().Err(err).Msg("The notification could not be sent yet.")
			return retryEvery
		}
		if err != nil { // it may have been Core's own trouble: what stands there is not left to stand for good
			n.refused(err)
			next = refusedEvery
		}
		n.mu.Lock()
		n.writes.take(time.Now(), time.Hour, maxRewrites) // what did not arrive was none
		if err == nil && n.want == want && n.page == page {
			n.behind = false
		}
		n.mu.Unlock()
	}
	switch {
	case !n.deliver(ctx):
		return retryEvery
	case full > 0:
		return full
	case want != nil && want.closing:
		return min(max(time.Until(until), time.Millisecond), next)
	}
	return next
}

// shows is the call after which Home Assistant shows a message, or nothing.
func (n *Notifier) shows(m *notice, page string) call {
	if m == nil {
		return dismiss(ID)
	}
	return create(ID, plain.Sentence(n.scrub(m.Title)), n.scrub(n.linked(m, page)))
}

// linked puts links below a message, where the page is known.
func (n *Notifier) linked(m *notice, page string) string {
	if page == "" {
		return m.Message
	}
	link := func(key words.Key, path string) string {
		return "[" + plain.Markdown(n.voice.Lang().Say(key)) + "](" + path + ")"
	}
	links := []string{link("notify.open", page)}
	if n.screens != nil {
		app, own := n.screens(m.app)
		if app != "" {
			links = append(links, link("notify.open-app", app))
		}
		if own != "" && m.about.kind == observing { // the mode is set there
			links = append(links, link("page.configuration", own))
		}
	}
	return m.Message + "\n\n" + strings.Join(links, " · ")
}
