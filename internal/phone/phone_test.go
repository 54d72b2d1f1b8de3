package phone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// world is Core and the loop, and what is said on phones.
type world struct {
	mu      sync.Mutex
	heard   func(json.RawMessage) // while somebody listens
	opened  int
	fails   error // of the next connections
	phones  error
	wishes  []string
	refuses error
	replies []string
	log     bytes.Buffer
}

func (w *world) Listen(ctx context.Context, event string, up func(), heard func(json.RawMessage)) error {
	w.mu.Lock()
	w.opened++
	err := w.fails
	w.mu.Unlock()
	if err != nil {
		return err
	}
	if event != "mobile_app_notification_action" {
		return errors.New("another event: " + event)
	}
	w.mu.Lock()
	w.heard = heard
	w.mu.Unlock()
	up()
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = nil
	return ctx.Err()
}

func (w *world) Phones(context.Context) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string]string{"1": "mobile_app_a", "2": "mobile_app_b"}, w.phones
}

func (w *world) note(wish string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wishes = append(w.wishes, wish)
	return w.refuses
}

func (w *world) Answer(_ context.Context, q string, yes bool) error {
	return w.note(fmt.Sprintf("%s %t", q, yes))
}
func (w *world) Try(_ context.Context, p evidence.Protocol) error {
	return w.note("try " + p.String())
}
func (w *world) Pause(_ context.Context, d time.Duration) error { return w.note("pause " + d.String()) }

func (w *world) reply(service string, text words.Text) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies = append(w.replies, service+" "+string(text.Key))
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) listens() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard != nil
}

// press is a button pressed on a device; nobody may be listening.
func (w *world) press(action, device string) {
	w.mu.Lock()
	heard := w.heard
	w.mu.Unlock()
	if heard != nil {
		raw, _ := json.Marshal(map[string]any{"action": action, "device_id": device, "tag": "x"})
		heard(raw)
	}
	synctest.Wait()
}

func (w *world) times() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

func (w *world) logged(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.log.String(), text)
}

var asked = []Button{{"Yes", Wish{Question: "q", Yes: true}}, {"No", Wish{Question: "q"}}}

func play(t *testing.T, story func(t *testing.T, w *world, b *Buttons)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		b := New(w, w, zerolog.New(w), w.reply)
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.Run(ctx) }()
		synctest.Wait()
		story(t, w, b)
		end()
		<-done
	})
}

func TestWhatCounts(t *testing.T) {
	for name, c := range map[string]struct {
		do      func(w *world, b *Buttons, yes, no string)
		wishes  []string
		replies []string
		log     string
	}{
		"a press": {func(w *world, _ *Buttons, yes, _ string) { w.press(yes, "1") }, []string{"q true"}, nil, "pressed, and heard"},
		"one of Apple's, which does not say who it is": {func(w *world, _ *Buttons, _, no string) { w.press(no, "") }, []string{"q false"}, nil, ""},
		"twice":                          {func(w *world, _ *Buttons, yes, _ string) { w.press(yes, "1"); w.press(yes, "1"); w.press(yes, "1") }, []string{"q true"}, []string{"mobile_app_a phone.not.past"}, "out of date"},
		"yes, then no on the same phone": {func(w *world, _ *Buttons, yes, no string) { w.press(yes, "1"); w.press(no, "1") }, []string{"q true"}, []string{"mobile_app_a phone.not.past"}, ""},
		"another phone, then the right one": {func(w *world, _ *Buttons, yes, _ string) { w.press(yes, "2"); w.press(yes, "1") }, []string{"q true"}, []string{"mobile_app_a phone.not.device"},
			"another phone than the one it was made for"},
		"a phone that Core does not know": {func(w *world, _ *Buttons, yes, _ string) { w.press(yes, "3") }, []string{"q true"}, nil, ""},
		"Core does not say which phones there are": {func(w *world, _ *Buttons, yes, _ string) {
			w.mu.Lock()
			w.phones = errors.New("away")
			w.mu.Unlock()
			w.press(yes, "2")
		}, []string{"q true"}, nil, ""},
		"withdrawn": {func(w *world, b *Buttons, yes, _ string) {
			b.Offer("mobile_app_b", "other", asked)
			b.Withdraw("about")
			w.press(yes, "1")
		}, nil, []string{"mobile_app_a phone.not.past"}, ""},
		"offered again": {func(w *world, b *Buttons, yes, _ string) { b.Offer("mobile_app_a", "about", asked); w.press(yes, "1") }, nil, []string{"mobile_app_a phone.not.past"}, ""},
		"made up":       {func(w *world, _ *Buttons, _, _ string) { w.press(Prefix+"AAAA", "1"); w.press(Prefix+"BBBB", "1") }, nil, nil, "has not made"},
		"others'":       {func(w *world, _ *Buttons, _, _ string) { w.press("LIGHT", "1"); w.press(Prefix, "1"); w.press("", "1") }, nil, nil, ""},
		"refused": {func(w *world, _ *Buttons, yes, _ string) {
			w.mu.Lock()
			w.refuses = policy.Refusal{Because: policy.NotAsked}
			w.mu.Unlock()
			w.press(yes, "1")
		}, []string{"q true"}, []string{"mobile_app_a refused.not-asked"}, "not asked any more"},
		"the loop is busy": {func(w *world, _ *Buttons, yes, _ string) {
			w.mu.Lock()
			w.refuses = context.DeadlineExceeded
			w.mu.Unlock()
			w.press(yes, "1")
		}, []string{"q true"}, []string{"mobile_app_a phone.later"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world, b *Buttons) {
				actions := b.Offer("mobile_app_a", "about", asked)
				b.Offer("mobile_app_b", "about", asked) // so that somebody listens
				synctest.Wait()
				c.do(w, b, actions[0].Action, actions[1].Action)
				w.mu.Lock()
				defer w.mu.Unlock()
				if !slices.Equal(w.wishes, c.wishes) || !slices.Equal(w.replies, c.replies) {
					t.Errorf("wishes %q, said on phones %q", w.wishes, w.replies)
				}
				log := w.log.String()
				if !strings.Contains(log, c.log) || strings.Count(log, "has not made") > 1 {
					t.Errorf("the log: %s", log)
				}
				for _, a := range actions {
					if strings.Contains(log, a.Action) {
						t.Error("the name of a button stands in the log")
					}
				}
			})
		})
	}
}

func TestOtherWishes(t *testing.T) {
	play(t, func(t *testing.T, w *world, b *Buttons) {
		list := []Button{{"Try", Wish{Try: evidence.HTTP2}}}
		w2 := []Button{{"Pause", Wish{Pause: time.Hour}}}
		try, pause := b.Offer("mobile_app_a", "x", list), b.Offer("mobile_app_a", "y", w2)
		synctest.Wait()
		w.press(try[0].Action, "")
		w.press(pause[0].Action, "")
		if want := []string{"try http2", "pause 1h0m0s"}; !slices.Equal(w.wishes, want) {
			t.Errorf("%q", w.wishes)
		}
	})
}

// Nobody listens but while a button is out there, and a button is for a day.
func TestItListensOnlyWhileItMust(t *testing.T) {
	play(t, func(t *testing.T, w *world, b *Buttons) {
		time.Sleep(time.Hour)
		if w.times() != 0 {
			t.Fatal("it listens though there is nothing to hear")
		}
		b.Offer("mobile_app_a", "x", asked)
		synctest.Wait()
		if !w.listens() {
			t.Fatal("it does not listen")
		}
		b.Withdraw("x")
		synctest.Wait()
		if w.listens() {
			t.Error("it goes on listening")
		}
		yes := b.Offer("mobile_app_a", "x", asked)[0].Action
		time.Sleep(standing + time.Second)
		synctest.Wait()
		if w.listens() {
			t.Error("a button of yesterday is listened for")
		}
		b.Offer("mobile_app_b", "y", asked)
		synctest.Wait()
		w.press(yes, "1")
		if len(w.wishes) != 0 || len(w.replies) != 1 {
			t.Errorf("a button of yesterday: %q %q", w.wishes, w.replies)
		}
	})
}

// A WebSocket that does not work is opened less and less often, told once, and once that it works again.
func TestADeafEarIsToldOnce(t *testing.T) {
	play(t, func(t *testing.T, w *world, b *Buttons) {
		w.mu.Lock()
		w.fails = errors.New("refused")
		w.mu.Unlock()
		b.Offer("mobile_app_a", "x", asked)
		time.Sleep(2 * time.Minute)
		if b.Wrong() != nil {
			t.Error("told while it may be a restart of Core")
		}
		time.Sleep(5 * time.Hour)
		if n := w.times(); n < 100 || n > 200 {
			t.Errorf("tried %d times in five hours", n)
		}
		if b.Wrong() == nil || w.logged("not heard") != 1 {
			t.Errorf("told %d times", w.logged("not heard"))
		}
		w.mu.Lock()
		w.fails = nil
		w.mu.Unlock()
		time.Sleep(3 * time.Minute)
		if b.Wrong() != nil || w.logged("work again") != 1 || !w.listens() {
			t.Error("it works again, and that is not told")
		}
	})
}

// Somebody who floods the bus neither blocks the connection nor fills the log or the memory.
func TestAFlood(t *testing.T) {
	play(t, func(t *testing.T, w *world, b *Buttons) {
		b.Offer("mobile_app_a", "x", asked)
		synctest.Wait()
		for i := range 10_000 {
			w.heard(json.RawMessage(fmt.Sprintf(`{"action":"%s%d","device_id":"1"}`, Prefix, i)))
		}
		for i := range 500 { // far more than notifications may ring
			b.Offer("mobile_app_a", "x", asked)
			b.Offer("mobile_app_a", fmt.Sprint(i), nil)
		}
		synctest.Wait()
		count := func(past bool) (n int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range b.made {
				if m.past == past {
					n++
				}
			}
			return n
		}
		if n := count(false); n != 2 || w.logged("\n") > 2 {
			t.Errorf("%d count, %d lines", n, w.logged("\n"))
		}
		time.Sleep(standing + remember)
		b.Withdraw("nothing")
		synctest.Wait()
		if n := count(true); n != 0 {
			t.Errorf("%d of the past are kept for good", n)
		}
	})
}
