package house_test

import (
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

// An hour at the real pace: all is well, QUIC begins to strip WebSockets, the daemon
// finds out, changes to HTTP/2 and proves it; a crash and a restart later it still knows.
func TestAnHourOfAHome(t *testing.T) {
	began := time.Now()
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		h.Sleep(10 * time.Minute)
		h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
		h.Wait("the home is open again", 10*time.Minute, func() bool { return h.World.OpenShare() == 1 })
		h.Wait("the cure is proven", 15*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		if n := h.World.Supervisor.Restarts(); n != 1 {
			h.Errorf("%d restarts, want 1", n)
		}
		h.Crash()
		h.Sleep(time.Minute)
		h.Start()
		h.Wait("it watches again", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		if got := h.Status().Protocol; got.Own != "auto" || got.Setting != "http2" {
			h.Errorf("after the crash it knows %+v", got)
		}
		h.Holds("nothing more is restarted", 30*time.Minute, func() bool { return h.World.Supervisor.Restarts() == 1 })
	})
	t.Logf("in %s", time.Since(began))
}
