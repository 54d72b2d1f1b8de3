// Package notify tells the household: one persistent notification in Home
// Assistant, updated in place; notify services for what is worth a phone's sound;
// and an event on Core's bus for automations. It reads what the loop publishes and
// changes nothing.
package notify

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/phone"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
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
	core     Core
	log      zerolog.Logger
	services []string
	scrub    func(string) string
	voice    *words.Voice
	interval time.Duration // between probes while all is well: the measure of patience

	wake   chan struct{}
	warned map[string]bool // troubles that were said; Run's goroutine alone

	mu                    sync.Mutex
	want                  *notice // what should stand in Home Assistant; nil: nothing
	until                 time.Time
	queue                 []func(context.Context) error
	screens               Screens
	buttons               Buttons               // nil: there are none
	page                  string                // the page's path in Home Assistant, "" if not known
	rung                  map[subject]time.Time // when phones rang for what, and when what rings nobody was shown
	shown                 time.Time             // when want was last worded again
	reword                func() *notice        // words want in the language of the moment
	spoken                *words.Lang           // the one that want is worded in
	story                 string                // the last incident that was heard of
	shut                  time.Time             // since when nobody got in, when that was last so
	last                  policy.Phase          // that Core's bus was told of
	writes, events, rings pace
	behind                bool     // want differs from what stands there
	silent                bool     // nothing is to be told any more
	down                  bool     // the main address does not work
	also                  []also   // what was told of each further address
	missing, existing     []string // notify services: asked for and not there; there
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

// awaited says whether people wait for what is next.
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

// quiet is for how long it does not ring again.
func (s subject) quiet() time.Duration {
	if s.incident != "" {
		return memory
	}
	return quietTime
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
	return &Notifier{core: core, log: log, services: services, scrub: scrub, voice: voice, interval: interval, page: page,
		wake: make(chan struct{}, 1), warned: map[string]bool{}, rung: map[subject]time.Time{}, behind: true, last: policy.Starting}
}

// Link takes the page's path in Home Assistant, which may become known, or another,
// while the program runs. What stands in Home Assistant is written again with it, and in
// the language that is spoken by now.
func (n *Notifier) Link(page string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if page == n.page && n.voice.Lang() == n.spoken || n.silent {
		n.page = page
		return
	}
	n.page = page
	if n.want == nil {
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

// Buttons make the buttons under notifications on phones mean something.
type Buttons interface {
	Offer(service, about string, buttons []phone.Button) []phone.Action
	Withdraw(about string)
}

// With gives phones' notifications buttons. It is called before Run.
func (n *Notifier) With(b Buttons) { n.buttons = b }

// askTag is the tag of a question on a phone: answered, it is taken away, and what else stands there is not.
const askTag = ID + "_question"

// answered takes the question away from phones, when it is none any more.
func (n *Notifier) answered(s medic.Status, steps []policy.Step) {
	over := s.Question == nil && n.want != nil && n.want.about.kind == asking
	for _, step := range steps {
		over = over || step.Kind == policy.StepAnswered || step.Kind == policy.StepExpired || step.Kind == policy.StepWithdrawn
	}
	if !over {
		return
	}
	for _, service := range n.services {
		if mobile(service) {
			data := map[string]any{"message": "clear_notification", "data": map[string]any{"tag": askTag}}
			n.enqueue(func(ctx context.Context) error { return n.core.CallService(ctx, "notify", service, data) })
		}
	}
}

// Reply says on a phone what came of a button that was pressed there.
func (n *Notifier) Reply(service string, text words.Text) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent || !n.rings.take(time.Now(), quietTime, maxRings) {
		return
	}
	lang := n.voice.Lang()
	data := n.phone(service, ID+"_answer", lang.Say("phone.not.title"), lang.Text(text))
	n.enqueue(func(ctx context.Context) error { return n.core.CallService(ctx, "notify", service, data) })
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
	n.answered(s, steps)
	msg := n.compose(s, steps, now)
	maps.DeleteFunc(n.rung, func(s subject, at time.Time) bool { return now.Sub(at) >= s.quiet() })
	// A last word that has not arrived yet is none any more once something is wrong again.
	overtaken := n.want != nil && n.want.closing && n.behind && !s.Healthy()
	if !n.news(msg, now) && !overtaken {
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
	if old := n.want; n.buttons != nil && old != nil && (msg == nil || msg.about.ringing() != old.about.ringing()) {
		n.buttons.Withdraw(old.about.ringing().String())
	}
	n.want, n.behind, n.shown = msg, true, now
	if msg != nil {
		n.until = now.Add(5 * n.interval)
		if msg.daily {
			n.rung[msg.about] = now
		}
		if _, lately := n.rung[msg.about.ringing()]; msg.rings && !lately && n.rings.take(now, quietTime, maxRings) {
			n.rung[msg.about.ringing()] = now
			n.ring(*msg)
		}
	}
	n.poke()
}

// news says whether a message is to take the place of the one that stands; nil is
// that nothing needs to be said.
func (n *Notifier) news(msg *notice, now time.Time) bool {
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
	case msg.awaited(): // people wait for its steps
		return true
	}
	return now.Sub(n.shown) >= restTime
}

// pace is how often something happened lately.
type pace struct{ at []time.Time }

// take says whether it may happen now, at most so many times within a span, and notes
// that it does.
func (p *pace) take(now time.Time, span time.Duration, most int) bool {
	if p.wait(now, span, most) > 0 {
		return false
	}
	p.at = append(p.at, now)
	return true
}

// wait gives how long it must wait.
func (p *pace) wait(now time.Time, span time.Duration, most int) time.Duration {
	for len(p.at) > 0 && now.Sub(p.at[0]) >= span {
		p.at = p.at[1:]
	}
	if len(p.at) < most {
		return 0
	}
	return p.at[0].Add(span).Sub(now)
}

// event queues the change of state for Core's bus.
func (n *Notifier) event(from policy.Phase, s medic.Status) {
	data := map[string]any{"from": from, "to": s.State, "cause": s.Diagnosis.Cause, "protocol": s.Protocol.Setting,
		"transport": s.Protocol.Transport, "summary": plain.Sentence(n.scrub(s.In(n.voice.Lang()).Diagnosis.Summary))}
	if s.Incident != nil {
		data["incident"] = s.Incident.ID
	}
	n.enqueue(func(ctx context.Context) error { return n.core.FireEvent(ctx, ID, data) })
}

// ring queues the notify services.
func (n *Notifier) ring(m notice) {
	if m.about.kind == asking {
		n.ringAs(askTag, m)
		return
	}
	n.ringAs(ID, m)
}

// ringAs does so with a tag: on a phone, what has the same takes the place of the one before.
func (n *Notifier) ringAs(tag string, m notice) {
	if m.short == "" {
		m.short = m.Message
	}
	for _, service := range n.services {
		data := n.phone(service, tag, m.Title, m.short)
		if extra, ok := data["data"].(map[string]any); ok {
			if actions := n.actions(service, m); len(actions) > 0 {
				extra["actions"] = actions
			}
		}
		n.enqueue(func(ctx context.Context) error { return n.core.CallService(ctx, "notify", service, data) })
	}
}

// phone is what a notify service is called with. The caller holds mu.
func (n *Notifier) phone(service, tag, title, text string) map[string]any {
	data := map[string]any{"title": plain.Phone(n.scrub(title)), "message": plain.Phone(n.scrub(text))}
	if mobile(service) {
		// On the phone, too, the newest takes the place of the one before; a touch opens the page.
		extra := map[string]any{"tag": tag}
		if n.page != "" {
			extra["url"], extra["clickAction"] = n.page, n.page
		}
		data["data"] = extra
	}
	return data
}

// mobile says whether a notify service is a companion app's.
func mobile(service string) bool { return strings.HasPrefix(service, "mobile_app_") }

// actions are the buttons under a notification, one that opens the page included. Android shows three of them. The
// caller holds mu.
func (n *Notifier) actions(service string, m notice) []phone.Action {
	actions := []phone.Action{}
	if n.buttons != nil && len(m.buttons) > 0 {
		actions = n.buttons.Offer(service, m.about.ringing().String(), m.buttons)
	}
	if n.page != "" {
		actions = append(actions, phone.Action{Action: "URI", Title: n.voice.Lang().Say("phone.open"), URI: n.page})
	}
	return actions
}

func (n *Notifier) enqueue(f func(context.Context) error) {
	n.queue = append(n.queue, f)
	if len(n.queue) > maxWaiting {
		n.queue = n.queue[len(n.queue)-maxWaiting:]
	}
	n.poke()
}

func (n *Notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Forget takes the notification away and says nothing more.
func (n *Notifier) Forget(ctx context.Context) error {
	n.mu.Lock()
	if n.want != nil && n.buttons != nil {
		n.buttons.Withdraw(n.want.about.ringing().String())
	}
	n.silent, n.want, n.queue, n.behind = true, nil, nil, false
	n.mu.Unlock()
	errs := []error{n.show(ctx, nil, ""), n.dismiss(ctx, testID)}
	for i := range n.also {
		errs = append(errs, n.dismiss(ctx, alsoID(i)))
	}
	return errors.Join(errs...)
}

// Run sends until the context ends.
func (n *Notifier) Run(ctx context.Context) {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	for {
		wait := n.send(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// send makes Home Assistant's notification what it should be and empties the
// queue. It gives the time until it should be called again.
func (n *Notifier) send(ctx context.Context) time.Duration {
	want, queue, until, page, full := n.due()
	next := time.Hour
	if want.behind && full == 0 {
		switch err := n.show(ctx, want.notice, page); {
		case err != nil && away(err):
			n.log.Debug().Err(err).Msg("The notification could not be sent yet.")
			n.keep(queue)
			return retryEvery
		case err != nil: // it may have been Core's own trouble: what stands there is not left to stand for good
			n.refused(err)
			next = refusedEvery
			n.written(want.notice, page, false)
		default:
			n.written(want.notice, page, true)
		}
	}
	if !n.call(ctx, queue) {
		return retryEvery
	}
	switch {
	case full > 0:
		return full
	case want.notice != nil && want.closing:
		return min(max(time.Until(until), time.Millisecond), next)
	}
	return next
}

// wanted is what is to stand, and whether something else does.
type wanted struct {
	*notice
	behind bool
}

// due takes what is to be sent: what is to stand, the calls, until when a closing word
// stands, the page it links to, and how long the notification must not be written.
func (n *Notifier) due() (want wanted, queue []func(context.Context) error, until time.Time, page string, full time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.want != nil && n.want.closing && !time.Now().Before(n.until) {
		n.want, n.behind = nil, true
	}
	queue, n.queue = n.queue, nil
	if n.behind {
		full = n.writes.wait(time.Now(), time.Hour, maxRewrites)
	}
	return wanted{n.want, n.behind}, queue, n.until, n.page, full
}

// written notes that the notification was written, or refused. What did not arrive was none.
func (n *Notifier) written(what *notice, page string, stands bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes.take(time.Now(), time.Hour, maxRewrites)
	if stands && n.want == what && n.page == page {
		n.behind = false
	}
}

// call makes the calls; false is that the rest of them waits for Home Assistant.
func (n *Notifier) call(ctx context.Context, queue []func(context.Context) error) bool {
	for i, f := range queue {
		c, cancel := context.WithTimeout(ctx, callTimeout)
		err := f(c)
		cancel()
		switch {
		case err == nil:
		case supervisor.EffectUnknown(err):
			// Twice the same sound on a phone is worse than none.
			n.log.Debug().Err(err).Msg("Whether Home Assistant was told is not known.")
		case away(err):
			n.log.Debug().Err(err).Msg("Home Assistant could not be told yet.")
			n.keep(queue[i:])
			return false
		default:
			n.refused(err)
		}
	}
	return true
}

// refused says, once, what Home Assistant would not take.
func (n *Notifier) refused(err error) {
	if n.warned[err.Error()] || len(n.warned) >= maxWaiting {
		return
	}
	n.warned[err.Error()] = true
	n.log.Warn().Err(err).Msg("Home Assistant would not take a message; if it names a notify service, check the option notify.")
}

// keep puts back what could not be sent, before what has come since.
func (n *Notifier) keep(rest []func(context.Context) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(rest[:len(rest):len(rest)], n.queue...)
	if len(n.queue) > maxWaiting {
		n.queue = n.queue[len(n.queue)-maxWaiting:]
	}
}

func (n *Notifier) dismiss(ctx context.Context, id string) error {
	return n.core.CallService(ctx, "persistent_notification", "dismiss", map[string]any{"notification_id": id})
}

func (n *Notifier) show(ctx context.Context, m *notice, page string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if m == nil {
		return n.dismiss(ctx, ID)
	}
	return n.create(ctx, ID, plain.Sentence(n.scrub(m.Title)), n.scrub(n.linked(m, page)))
}

// create writes a notification, in the place of the one that has its id.
func (n *Notifier) create(ctx context.Context, id, title, message string) error {
	return n.core.CallService(ctx, "persistent_notification", "create", map[string]any{"notification_id": id, "title": title, "message": message})
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
