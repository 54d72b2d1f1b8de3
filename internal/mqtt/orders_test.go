package mqtt

import (
	"strings"
	"testing"
	"time"
)

func TestCommandsAreBounded(t *testing.T) {
	o := newOrders()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	done, said := 0, 0
	for range 60 * 60 * 20 { // twenty a second, for an hour
		if now = now.Add(50 * time.Millisecond); o.may(probeTopic, now) {
			done++
		} else if o.first() {
			said++
		}
	}
	if want := hurry + int(time.Hour/perOrder); done < want-2 || done > want+1 {
		t.Errorf("%d commands were carried out, want about %d", done, want)
	}
	if said != 1 {
		t.Errorf("said %d times", said)
	}
	if !o.may(healingTopic, now) {
		t.Error("another topic pays for it")
	}
	now = now.Add(2 * time.Minute)
	for i := range hurry { // a person in a hurry, after a calm time
		if !o.may(probeTopic, now) {
			t.Errorf("press %d was passed over", i+1)
		}
	}
	if o.may(probeTopic, now); !o.first() {
		t.Error("a new run of too many is not said")
	}
}

// Another client of the broker, or an automation gone wrong.
func TestAFloodOfCommandsIsPassedOverAndSaidOnce(t *testing.T) {
	b := newBroker(t)
	e, who, log := run(t, &home{at: &b.addr}, quick)
	e.Tell(well(84), nil)
	b.until("subscribed", func() bool { return len(b.subs) == 5 })
	garbage := strings.Repeat("\x00\x1b[31m\n", 1000)
	for range 100 {
		b.say(probeTopic, press, false)
		b.say(healingTopic, off, false)
		b.say(healingTopic, garbage, false)
		b.say(birthTopic, online, false)
	}
	b.say(healingTopic, off, true) // kept: passed over, as the mark behind it shows
	b.until("everything was read", func() bool { return strings.Contains(log.String(), "faster than anybody") })
	who.mu.Lock()
	n := len(who.asked)
	who.mu.Unlock()
	if n > 2*hurry {
		t.Errorf("%d commands were carried out", n)
	}
	if text := log.String(); strings.Count(text, "faster than anybody") != 1 || strings.Contains(text, "\\u001b") || strings.Count(text, "\n") > 12 {
		t.Errorf("the log:\n%s", text)
	}
}
