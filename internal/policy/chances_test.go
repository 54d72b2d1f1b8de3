package policy

import (
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

// A protocol with which the tunnel did not come up may have met a moment in which nothing would
// have: after a hold it gets a second chance, and no third.
func TestAProtocolThatCouldNotBeTriedGetsASecondChanceAfterAHold(t *testing.T) {
	for _, result := range []Result{Unsettled, Crashed, OtherTransport, Rejected} {
		t.Run(result.String(), func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			h.r.Allowed = []evidence.Protocol{evidence.Auto, evidence.HTTP2}
			var tried []time.Time
			h.outcome = func(c Change) *Outcome {
				if c.Purpose != Trial || c.Protocol != evidence.HTTP2 {
					return nil
				}
				tried = append(tried, h.now)
				if result == Rejected {
					return &Outcome{Result: result, Setting: evidence.Auto}
				}
				return &Outcome{Result: result, Restarts: 1, Setting: c.Protocol}
			}
			h.runFor(12 * time.Hour)
			if len(tried) != 2 {
				t.Fatalf("tried at %v\n%s", tried, h.story())
			}
			if apart := tried[1].Sub(tried[0]); apart < h.r.HoldBase {
				t.Errorf("the second chance came after %s: the hold was not kept", apart)
			}
		})
	}
}

// Whom Supervisor puts off asks again after a minute, and then after twice that each time, up to
// the first hold. A trial that was begun has shown that there is a way in: the waits begin anew.
func TestATrialThatIsPutOffAgainAndAgainWaitsLonger(t *testing.T) {
	h := stripped(t, evidence.Auto, quic, http2)
	busy := true
	var asked []time.Time
	h.outcome = func(c Change) *Outcome {
		if c.Purpose != Trial {
			return nil
		}
		asked = append(asked, h.now)
		if busy {
			return &Outcome{Result: Busy, Setting: evidence.Auto}
		}
		return nil
	}
	want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute}
	waits := func() {
		t.Helper()
		for n, least := range want {
			// A look is due two minutes later at the latest.
			if got := asked[n+1].Sub(asked[n]); got < least || got > least+h.r.Interval+time.Second {
				t.Errorf("wait %d took %s, want %s", n+1, got, least)
			}
		}
	}
	h.run("asked eight times", func() bool { return len(asked) == len(want)+1 })
	waits()
	busy = false
	h.run("all was tried", func() bool { return h.told(StepHold) > 0 })
	busy, asked = true, nil
	h.s.Incident.Tried = slices.DeleteFunc(h.s.Incident.Tried, func(a Attempt) bool { return a.Protocol == evidence.HTTP2 }) // as if it had not had its chance
	h.run("asked eight times more", func() bool { return len(asked) == len(want)+1 })
	waits()
}
