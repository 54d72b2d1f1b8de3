package house_test

import (
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// Where there is no broker, Supervisor is asked for one seldom; one that is installed later is found
// as soon as the list of apps shows it.
func TestABrokerIsAskedForSeldomAndFoundSoon(t *testing.T) {
	apps := lab.DefaultAddOns()
	house.Run(t, lab.Options{AddOns: apps[:1], MQTT: &lab.MQTT{Host: "127.0.0.9", Port: 1883}}, nil, func(h *house.House) {
		known := h.World.Supervisor.Inject(lab.Injection{Path: "/services/mqtt", Status: 400, Body: `{"result":"error","message":"Service not enabled"}`})
		if err := h.Stop(); err != nil { // which has asked before
			h.Fatal(err)
		}
		h.Start()
		asked := func(status int) (n int) {
			for _, r := range h.World.Requests() {
				if r.Path == "/services/mqtt" && r.Status == status {
					n++
				}
			}
			return n
		}
		h.Wait("it is well", 10*time.Minute, func() bool { return healthy(h) })
		h.Sleep(6 * time.Hour)
		before := asked(400)
		if before > 10 {
			t.Errorf("a broker was asked for %d times in six hours", before)
		}
		h.Sleep(17 * time.Minute)
		if err := h.World.User.Installs(apps[1]); err != nil {
			h.Fatal(err)
		}
		time.AfterFunc(2*time.Minute, known) // it starts, and says late that it is there
		had := asked(200)
		h.Wait("the broker is found", 20*time.Minute, func() bool { return asked(200) > had })
		if n := asked(400) - before; n > 3 {
			t.Errorf("it was asked for %d times more in vain", n)
		}
	})
}
