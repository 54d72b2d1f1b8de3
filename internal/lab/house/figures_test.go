package house_test

import (
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// rounds is from how many beginnings of a fault, evenly spread, a median is taken: with -long
// so many that none keeps step with readings, people or probes.
func rounds() int {
	if *house.Long {
		return 11
	}
	return 3
}

// course is how long after a fault's beginning something came, in seconds.
type course struct{ seen, told, open, proven []float64 }

// play has every WebSocket over QUIC stripped, and waits until the home is open again.
func (c *course) play(t *testing.T, every, offset time.Duration) {
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.Sleep(5 * time.Minute)
		if every > 0 {
			h.World.StartClients(every, false)
		}
		h.Sleep(10*time.Second + offset)
		notes, began := len(h.World.Core.Told().NotificationLog), time.Now()
		h.World.SetFaults(lab.Stripped(1, quic))
		after := func(within time.Duration, cond func() bool) float64 {
			for !cond() {
				if time.Since(began) > within {
					h.Fatal("waited in vain")
				}
				h.Sleep(50 * time.Millisecond)
			}
			return time.Since(began).Seconds()
		}
		c.seen = append(c.seen, after(3*time.Minute, func() bool { return !healthy(h) }))
		c.told = append(c.told, after(5*time.Minute, func() bool { return len(h.World.Core.Told().NotificationLog) > notes }))
		c.open = append(c.open, after(10*time.Minute, func() bool { return h.World.OpenShare() == 1 }))
		c.proven = append(c.proven, after(10*time.Minute, func() bool { return healthy(h) }))
	})
}

func median(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }

// figure prints what .ci/bench gathers.
func figure(t *testing.T, name string, value float64) { t.Logf("figure: %-40s %8.1f", name, value) }

// TestHowSoonAFaultIsSeenToldAndMended measures a total fault of one transport at the real
// pace, and holds it to what is promised where somebody is trying to connect.
func TestHowSoonAFaultIsSeenToldAndMended(t *testing.T) {
	house.Lasting(t)
	for _, c := range []struct {
		name          string
		every, spread time.Duration
		most          [4]float64
	}{
		{"somebody trying every 3 s", 3 * time.Second, time.Minute, [...]float64{4, 5, 10, 40}},
		{"nobody trying", 0, 2 * time.Minute, [...]float64{70, 71, 76, 105}},
	} {
		var all course
		for i := range rounds() {
			all.play(t, c.every, c.spread*time.Duration(i)/time.Duration(rounds()))
		}
		for i, what := range []struct {
			name string
			took []float64
		}{{"seen", all.seen}, {"told", all.told}, {"open again", all.open}, {"proven", all.proven}} {
			took := median(what.took)
			if figure(t, c.name+": "+what.name+", s", took); took > c.most[i] {
				t.Errorf("%s: %s after %.1f s, %v at most", c.name, what.name, took, c.most[i])
			}
		}
	}
}

// TestWhatAnHourOfHealthAsksOfOthers counts who is asked how often while nothing happens.
func TestWhatAnHourOfHealthAsksOfOthers(t *testing.T) {
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.Sleep(10 * time.Minute)
		before := len(h.World.Requests())
		h.Sleep(time.Hour)
		asked := map[string]int{}
		for _, r := range h.World.Requests()[before:] {
			asked[r.Server]++
		}
		for server, most := range map[string]int{"edge": 60, "supervisor": 700, "connector": 2200, "origin": 60, "outside": 10} {
			if asked[server] > most {
				t.Errorf("%s was asked %d times in an hour, %d at most", server, asked[server], most)
			}
		}
		for _, server := range []string{"edge", "supervisor", "connector", "origin", "outside"} {
			figure(t, "asked in a quiet hour: "+server, float64(asked[server]))
		}
	})
}

// TestHowLongARestartCutsPeopleOff measures a restart by hand, with and without somebody whose
// WebSocket is open: cloudflared waits for it, and Supervisor ends it after ten seconds.
func TestHowLongARestartCutsPeopleOff(t *testing.T) {
	for _, c := range []struct {
		name string
		stay bool
		opt  lab.Options
		most float64
	}{
		{"a restart's cut, nobody connected, s", false, lab.Options{}, 5},
		{"a restart's cut, somebody connected, s", true, lab.Options{}, 15},
		{"a restart's cut, somebody connected, grace period 1 s, s", true, lab.Options{RunParameters: []string{shorter}}, 6},
	} {
		house.Run(t, c.opt, nil, func(h *house.House) {
			if c.stay {
				h.World.StartClients(time.Minute, true)
			}
			h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
			h.Sleep(5 * time.Minute)
			before := h.World.CutOff()
			if err := h.World.User.Restarts(lab.DefaultSlug); err != nil {
				h.Fatal(err)
			}
			h.Sleep(2 * time.Minute)
			cut := (h.World.CutOff() - before).Seconds()
			if figure(t, c.name, cut); cut == 0 || cut > c.most {
				t.Errorf("%s: %.1f", c.name, cut)
			}
		})
	}
}
