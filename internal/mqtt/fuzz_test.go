package mqtt

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

type counted struct{ probes, off, on, paused, examined atomic.Int32 }

func (c *counted) Probe()                                     { c.probes.Add(1) }
func (c *counted) SwitchOff(context.Context) error            { c.off.Add(1); return nil }
func (c *counted) Resume(context.Context) error               { c.on.Add(1); return nil }
func (c *counted) Pause(context.Context, time.Duration) error { c.paused.Add(1); return nil }
func (c *counted) doctor(context.Context) (Findings, error) {
	c.examined.Add(1)
	return Findings{}, nil
}

// A message is obeyed if it is exactly one of the five that mean something.
func FuzzCommand(f *testing.F) {
	f.Add(probeTopic, press)
	f.Add(healingTopic, on)
	f.Add(healingTopic, off)
	f.Add(healingTopic, "on ")
	f.Add(doctorTopic, press)
	f.Add(pauseTopic, press)
	f.Add("homeassistant/status", "online")
	f.Fuzz(func(t *testing.T, topic, payload string) {
		synctest.Test(t, func(t *testing.T) {
			var hands counted
			newDesk(device(Config{Log: zerolog.Nop(), Doctor: hands.doctor}), &hands).obey(t.Context(), topic, []byte(payload))
			synctest.Wait()
			want := [5]bool{topic == probeTopic && payload == press, topic == healingTopic && payload == off, topic == healingTopic && payload == on,
				topic == pauseTopic && payload == press, topic == doctorTopic && payload == press}
			if got := [5]bool{hands.probes.Load() == 1, hands.off.Load() == 1, hands.on.Load() == 1, hands.paused.Load() == 1, hands.examined.Load() == 1}; got != want {
				t.Errorf("%q %q does %v, not %v", topic, payload, got, want)
			}
		})
	})
}
