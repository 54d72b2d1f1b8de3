package hostile

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// TestRevival starts again what does not come back on its own, under the same
// protocol, and leaves alone what a person stopped.
func TestRevival(t *testing.T) {
	t.Parallel()
	revived := func(h *house) bool { return strings.Contains(h.log.String(), `"step":"revived"`) }
	for name, c := range map[string]struct {
		breaks   func(*house)
		restarts int
	}{
		"a connector that hangs":             {func(h *house) { h.w.SetFaults(lab.Faults{ConnectorHung: true}) }, 1},
		"an add-on that ended with an error": {func(h *house) { h.w.Connector.Crash() }, 0},
		"a hung connector, after the internet came back": {func(h *house) {
			h.w.SetFaults(lab.Faults{InternetDown: true})
			h.until("no-internet", func() bool { return strings.Contains(h.log.String(), `"cause":"no-internet"`) })
			time.Sleep(4 * h.w.Timings().MinUptime)
			if h.w.Supervisor.Restarts() > 0 {
				h.Error("restarted while the internet was away")
			}
			h.w.SetFaults(lab.Faults{ConnectorHung: true})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, lab.Options{}, nil)
			h.live()
			h.until("health", func() bool { return h.phase(policy.Healthy) })
			c.breaks(h)
			h.until("a revival", func() bool { return revived(h) && h.quiet(policy.Healthy) && h.sound() })
			for _, b := range append(h.promise(ownFlags, c.restarts), h.noHands()...) {
				t.Error(b)
			}
		})
	}
	t.Run("never one that was stopped", func(t *testing.T) {
		t.Parallel()
		h := build(t, lab.Options{}, nil)
		h.live()
		h.until("health", func() bool { return h.phase(policy.Healthy) })
		if err := h.w.User.Stops(lab.DefaultSlug); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * h.w.Timings().MinUptime)
		if s := h.w.Supervisor.State(lab.DefaultSlug); s != evidence.StateStopped || strings.Contains(h.log.String(), "reviving") {
			t.Errorf("the add-on is %s", s)
		}
	})
	t.Run("with growing pauses, and never more than the budget", func(t *testing.T) {
		t.Parallel()
		h := build(t, lab.Options{Timings: lab.Timings{HoldBase: 100 * time.Millisecond}}, map[string]string{"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "3"})
		h.live()
		h.until("health", func() bool { return h.phase(policy.Healthy) })
		stop := time.Now().Add(8 * time.Second)
		for time.Now().Before(stop) { // it hangs again after every start
			h.w.SetFaults(lab.Faults{})
			h.w.SetFaults(lab.Faults{ConnectorHung: true})
			time.Sleep(20 * time.Millisecond)
		}
		if n := h.w.Supervisor.Restarts(); n == 0 || n > 3 {
			t.Errorf("%d restarts", n)
		}
		h.w.SetFaults(lab.Faults{})
		h.until("recovery to be noticed", func() bool { return h.quiet(policy.Healthy) })
		for _, b := range h.promise(ownFlags, 3) {
			t.Error(b)
		}
	})
}
