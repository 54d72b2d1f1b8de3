package mqtt

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
)

type counted struct{ probes, off, on atomic.Int32 }

func (c *counted) Probe()                          { c.probes.Add(1) }
func (c *counted) SwitchOff(context.Context) error { c.off.Add(1); return nil }
func (c *counted) Resume(context.Context) error    { c.on.Add(1); return nil }

// A message is obeyed if it is exactly one of the three that mean something.
func FuzzCommand(f *testing.F) {
	f.Add(probeTopic, press)
	f.Add(healingTopic, on)
	f.Add(healingTopic, off)
	f.Add(healingTopic, "on ")
	f.Add("homeassistant/status", "online")
	f.Fuzz(func(t *testing.T, topic, payload string) {
		synctest.Test(t, func(t *testing.T) {
			var hands counted
			New(Config{Log: zerolog.Nop()}).obey(t.Context(), topic, []byte(payload), &hands)
			synctest.Wait()
			want := [3]bool{topic == probeTopic && payload == press, topic == healingTopic && payload == off, topic == healingTopic && payload == on}
			if got := [3]bool{hands.probes.Load() == 1, hands.off.Load() == 1, hands.on.Load() == 1}; got != want {
				t.Errorf("%q %q does %v, not %v", topic, payload, got, want)
			}
		})
	})
}
