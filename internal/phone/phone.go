// Package phone gives the buttons under notifications on people's phones a meaning: it makes up the name of each,
// hears on Core's bus when one is pressed, judges whether that counts, and hands on what the person wants.
//
// A companion app fires an event with the button's name, and nothing else that both Android's and Apple's say.
// So the name is the proof: it is random, made for one phone and one notification, counts once, and counts no more
// when the notification is out of date. Nobody but the phone knows it, and administrators, who see every call of a
// service on Core's bus and may press the buttons of the page anyway.
//
// Core's WebSocket is open only while a button is out there. A home in which nothing happens has neither the
// connection nor its pings, and a Core whose WebSocket fails is noticed by nobody who does not need it.
package phone

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// Event is what the companion apps fire: Apple's with action, action_data and reply_text (mobileAppNotificationActionEvent of
// HAAPI.swift), Android's with device_id and all that the notification held (NotificationActionReceiver.kt and
// IntegrationRepositoryImpl.fireEvent).
const Event = "mobile_app_notification_action"

// Prefix begins the name of each of our buttons: others' are none of our business.
const Prefix = "TUNNELMEDIC_"

// Core is what it asks of Home Assistant.
type Core interface {
	Listen(ctx context.Context, event string, up func(), heard func(data json.RawMessage)) error
	Phones(ctx context.Context) (services map[string]string, err error)
}

// Hands carry out what a button asks for. A policy.Refusal is a sentence for the person.
type Hands interface {
	Answer(ctx context.Context, question string, yes bool) error
	Try(ctx context.Context, p evidence.Protocol) error
	Pause(ctx context.Context, d time.Duration) error
}

// Wish is what a button asks for.
type Wish struct {
	Question string            // the one that it answers, "" for none
	Yes      bool              // to that question
	Try      evidence.Protocol // to be tried; counts where Pause is 0 and there is no question
	Pause    time.Duration
}

// Button is one under a notification.
type Button struct {
	Title string
	Wish  Wish
}

// Action is a button as a notify service takes it.
type Action struct {
	Action string `json:"action"`
	Title  string `json:"title"`
	URI    string `json:"uri,omitempty"`
}

const (
	standing  = 24 * time.Hour // how long a button counts at most
	remember  = 3 * standing   // for how long one that counts no more is told from one that never did
	maxHeard  = 16             // presses that wait for their turn
	patience  = 20 * time.Second
	firstWait = 2 * time.Second // before the WebSocket is opened again; doubles
	lastWait  = 2 * time.Minute
	deafFor   = 3 * time.Minute // until people are told: a restart of Core is shorter
	sayEvery  = time.Minute     // between two lines of the log on buttons of others
)

// offer is a button that is out there.
type offer struct {
	service string // whose phone has it
	about   string // what the notification is about
	wish    Wish
	until   time.Time
	past    bool // it counts no more
}

// Buttons are those that are out there.
type Buttons struct {
	core  Core
	hands Hands
	log   zerolog.Logger
	reply func(service string, text words.Text)

	wake  chan struct{}
	heard chan press

	mu   sync.Mutex
	made map[string]offer // by name
	deaf time.Time
	told bool      // that it is deaf
	said time.Time // when a line on a stranger's button was last written
}

// press is a button that was pressed, as the event tells it.
type press struct {
	Action string `json:"action"`
	Device string `json:"device_id"`
}

// New makes the room. reply says something on a phone, by its notify service; it must not block.
func New(core Core, hands Hands, log zerolog.Logger, reply func(service string, text words.Text)) *Buttons {
	return &Buttons{core: core, hands: hands, log: log, reply: reply, wake: make(chan struct{}, 1), heard: make(chan press, maxHeard), made: map[string]offer{}}
}

// Offer puts buttons on a phone, in the place of those it had about the same. about is what they are about.
func (b *Buttons) Offer(service, about string, buttons []Button) []Action {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retire(func(o offer) bool { return o.service == service && o.about == about })
	actions := make([]Action, len(buttons))
	for i, button := range buttons {
		name := Prefix + rand.Text()
		b.made[name] = offer{service: service, about: about, wish: button.Wish, until: time.Now().Add(standing)}
		actions[i] = Action{Action: name, Title: button.Title}
	}
	b.poke()
	return actions
}

// Withdraw makes the buttons about something count no more, on every phone.
func (b *Buttons) Withdraw(about string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retire(func(o offer) bool { return o.about == about })
	b.poke()
}

// retire makes buttons those of the past. The caller holds mu.
func (b *Buttons) retire(which func(offer) bool) {
	for name, o := range b.made {
		if which(o) {
			o.past = true
			b.made[name] = o
		}
	}
}

// poke wakes Run. The caller holds mu.
func (b *Buttons) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due says how long there is something to listen for, 0 for no more.
func (b *Buttons) due(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retire(func(o offer) bool { return !now.Before(o.until) })
	maps.DeleteFunc(b.made, func(_ string, o offer) bool { return now.Sub(o.until) >= remember })
	longest := time.Duration(0)
	for _, o := range b.made {
		if !o.past {
			longest = max(longest, o.until.Sub(now))
		}
	}
	return longest
}

// Run listens while there is something to listen for, until the context ends.
func (b *Buttons) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	wg.Go(func() { b.judgeAll(ctx) })
	wait := firstWait
	for ctx.Err() == nil {
		left := b.due(time.Now())
		if left == 0 {
			wait = firstWait
			b.hears(time.Time{}, nil)
			select {
			case <-b.wake:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		err := b.listen(ctx, left)
		if err == nil {
			continue
		}
		b.log.Debug().Err(err).Msg("Core's WebSocket does not say when a button is pressed; it is opened again soon.")
		if time.Since(began) > deafFor { // it had stood
			wait = firstWait
		}
		b.hears(time.Now(), err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastWait)
	}
}

// listen hears until there is nothing more to listen for, and then gives no error.
func (b *Buttons) listen(ctx context.Context, left time.Duration) error {
	open, shut := context.WithTimeout(ctx, left)
	defer shut()
	done := make(chan error, 1)
	go func() {
		done <- b.core.Listen(open, Event, func() { b.hears(time.Time{}, nil) }, b.take)
	}()
	for {
		select {
		case err := <-done:
			if open.Err() != nil {
				return nil
			}
			return err
		case <-b.wake:
			if b.due(time.Now()) == 0 {
				shut()
			}
		}
	}
}

// hears notes since when it has been deaf, zero if it hears, and says so once.
func (b *Buttons) hears(now time.Time, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case why == nil && b.told:
		b.log.Info().Msg("Buttons on phones work again.")
		b.deaf, b.told = time.Time{}, false
	case why == nil:
		b.deaf = time.Time{}
	case b.deaf.IsZero():
		b.deaf = now
	case !b.told && now.Sub(b.deaf) >= deafFor:
		b.told = true
		b.log.Warn().Err(why).Msg(words.English().Say("page.buttons-deaf"))
	}
}

// Wrong says, for the page, that nothing is heard of the buttons.
func (b *Buttons) Wrong() []words.Text {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.told {
		return nil
	}
	return []words.Text{words.Of("page.buttons-deaf")}
}

// take takes an event in. It must not keep the connection waiting.
func (b *Buttons) take(data json.RawMessage) {
	var p press
	if json.Unmarshal(data, &p) != nil || !strings.HasPrefix(p.Action, Prefix) {
		return
	}
	select {
	case b.heard <- p:
	default: // nobody presses so many in earnest
	}
}

func (b *Buttons) judgeAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-b.heard:
			b.judge(ctx, p)
		}
	}
}

// judge takes a button that was pressed: it counts on the phone that it was made for, once.
func (b *Buttons) judge(ctx context.Context, p press) {
	o, known := b.find(p.Action)
	switch {
	case !known:
		return
	case o.past:
		b.log.Info().Str("by", o.service).Msg("A button of a notification that is out of date was pressed; nothing was done.")
		b.reply(o.service, words.Of("phone.not.past"))
		return
	}
	if p.Device != "" {
		ctx, cancel := context.WithTimeout(ctx, patience)
		phones, err := b.core.Phones(ctx)
		cancel()
		if err != nil { // its name is proof enough
			b.log.Debug().Err(err).Msg("Which phone a button was pressed on is not known.")
			phones = nil
		}
		if service, registered := phones[p.Device]; registered && service != o.service {
			b.log.Warn().Str("asked", o.service).Str("pressed", service).Msg("A button was pressed on another phone than the one it was made for; nothing was done.")
			b.reply(o.service, words.Of("phone.not.device"))
			return
		}
	}
	if !b.use(p.Action) { // meanwhile it has been withdrawn
		b.judge(ctx, press{Action: p.Action})
		return
	}
	err := b.carryOut(ctx, o.wish)
	var why policy.Refusal
	switch {
	case err == nil:
		b.log.Info().Str("by", o.service).Msg("A button on a phone was pressed, and heard.")
	case errors.As(err, &why):
		b.log.Info().Str("by", o.service).Msg("A button on a phone was pressed; nothing was done. " + words.English().Text(words.Refused(why)))
		b.reply(o.service, words.Refused(why))
	case ctx.Err() == nil:
		b.log.Info().Str("by", o.service).Msg("A button on a phone was pressed, and waits for its turn.")
		b.reply(o.service, words.Of("phone.later"))
	}
}

// find gives the button that was pressed, and forgets one that is told to be out of date: whoever
// presses it again may do so for hours.
func (b *Buttons) find(name string) (o offer, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	o, known = b.made[name]
	if o.past = o.past || !now.Before(o.until); o.past {
		delete(b.made, name)
	}
	if !known && now.Sub(b.said) >= sayEvery {
		b.said = now
		b.log.Info().Msg("A button was pressed that this program has not made, or made before it was restarted; nothing was done.")
	}
	return o, known
}

// use uses a button up, with the others under the same notification; false if it is not out there any more.
func (b *Buttons) use(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	used, known := b.made[name]
	if !known || used.past {
		return false
	}
	b.retire(func(o offer) bool { return o.service == used.service && o.about == used.about })
	b.poke()
	return true
}

func (b *Buttons) carryOut(ctx context.Context, w Wish) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch {
	case w.Question != "":
		return b.hands.Answer(ctx, w.Question, w.Yes)
	case w.Pause > 0:
		return b.hands.Pause(ctx, w.Pause)
	}
	return b.hands.Try(ctx, w.Try)
}
