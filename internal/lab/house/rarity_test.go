package house_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

// everythingHangs is a fault in which no WebSocket over QUIC is ever answered.
func everythingHangs() lab.Faults {
	return lab.Faults{Upgrade: map[evidence.Transport]lab.UpgradeFault{evidence.OverQUIC: {Share: 1, Form: lab.Hanging}}}
}

// Eight checks in a row that are never answered are proof: half a minute from the first, with
// the restart. What they are worth stands in the status, and in the report.
func TestASilenceIsProofWithinHalfAMinuteAndSaysWhatItIsWorth(t *testing.T) {
	t.Parallel()
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		saying(h, "healthy", 5*time.Minute)
		h.Sleep(10 * time.Minute)
		h.World.SetFaults(everythingHangs())
		h.Wait("a suspicion", 5*time.Minute, func() bool { return h.Status().State == policy.Suspect })
		years := 0.0
		h.Wait("the restart", 25*time.Second, func() bool {
			years = max(years, h.Status().Detector.Rarity.Years)
			return h.World.Supervisor.Restarts() > 0
		})
		if years < 2 {
			t.Errorf("before it chance brought this about once in %g years", years)
		}
		id := h.Status().Incident.ID
		report, err := h.Get("/incidents/" + id + ".md")
		if err != nil || !strings.Contains(string(report), "Chance alone") {
			t.Errorf("%v\n%s", err, report)
		}
		for _, s := range h.Status().Incident.Steps {
			if s.Kind == policy.StepTrial && s.Rarity.Years < detect.Rarely {
				t.Errorf("it tried on what chance brings about once in %g years", s.Rarity.Years)
			}
		}
	})
}

// The same silence that is over after a quarter of a minute is a hiccup.
func TestASilenceOfSomeSecondsIsNoProof(t *testing.T) {
	t.Parallel()
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		saying(h, "healthy", 5*time.Minute)
		h.Sleep(10 * time.Minute)
		h.World.SetFaults(everythingHangs())
		h.Wait("a suspicion", 5*time.Minute, func() bool { return h.Status().State == policy.Suspect })
		h.Sleep(8 * time.Second)
		h.World.SetFaults(lab.Faults{})
		h.Wait("all is well", time.Hour, func() bool { return h.Status().State == policy.Healthy })
		h.Sleep(time.Hour)
		if n := h.World.Supervisor.Restarts(); n != 0 {
			t.Errorf("%d restarts", n)
		}
	})
}
