package policy

import (
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// breaking is a home whose QUIC connections break again and again: every so often its
// looks fail for a while.
func breaking(t *testing.T, stands, away time.Duration) (h *home, live func(time.Duration)) {
	h = newHome(t, evidence.Auto)
	h.s.Noise = detect.Noise{Failures: 25, Probes: 2500}
	h.sight = func(in *Sight) {
		if in.Vote == fails {
			in.Cause = diagnosis.TunnelFlapping
		}
	}
	began := h.now
	return h, func(d time.Duration) {
		for end := h.now.Add(d); h.now.Before(end) && len(h.orders) == 0; {
			h.lossy[quic] = h.now.Sub(began)%(stands+away) >= stands
			h.truth()
		}
	}
}

// What works between two breaks says nothing against the next one.
func TestConnectionsThatBreakAgainAndAgainAreOneFault(t *testing.T) {
	for _, c := range []struct{ stands, away, within time.Duration }{
		{time.Minute, 3 * time.Second, 30 * time.Minute}, {25 * time.Second, 30 * time.Second, 10 * time.Minute}, {4 * time.Minute, 10 * time.Second, time.Hour},
	} {
		h, live := breaking(t, c.stands, c.away)
		live(c.within)
		if len(h.orders) != 1 || h.orders[0] != (Change{evidence.HTTP2, Trial}) || h.told(StepRecovered) != 0 {
			t.Errorf("up for %s, away for %s: ordered %v within %s\n%s", c.stands, c.away, h.orders, c.within, h.story())
		}
	}
}

func TestConnectionsThatStandForTenMinutesBreakNoMore(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.sight = func(in *Sight) { in.Cause = diagnosis.TunnelFlapping }
	h.times(5, fails)
	h.sight = nil
	h.runFor(9 * time.Minute)
	if h.s.Incident == nil {
		t.Errorf("it ended too soon\n%s", h.story())
	}
	h.runFor(12 * time.Minute)
	if h.s.Incident != nil || h.told(StepRecovered) != 1 || len(h.orders) > 0 {
		t.Errorf("it never ended\n%s", h.story())
	}
}

// A fail-back that falls between two breaks looks well for minutes.
func TestTheOwnSettingMustStandForLongerThanBetweenTwoBreaks(t *testing.T) {
	for _, back := range []bool{false, true} {
		h := newHome(t, evidence.Auto)
		h.sight = func(in *Sight) {
			if in.Vote == fails {
				in.Cause = diagnosis.TunnelFlapping
			}
		}
		h.lossy[quic] = true
		h.run("the cure", func() bool { return h.told(StepCured) > 0 })
		delete(h.lossy, quic)
		h.run("the own setting is tried again", func() bool { return h.s.Trial != nil && h.s.Trial.Purpose == Failback })
		h.runFor(5 * time.Minute)
		if h.s.Trial == nil {
			t.Fatalf("five minutes were enough\n%s", h.story())
		}
		if !back {
			h.runFor(8 * time.Minute)
			if h.s.Trial != nil || h.setting != evidence.Auto || h.told(StepFailedBack) != 1 {
				t.Errorf("the own setting is not back\n%s", h.story())
			}
			continue
		}
		h.look(fails) // by its log, it has broken three times
		if h.setting != evidence.HTTP2 || h.told(StepReturned) != 1 {
			t.Errorf("the cure is not back\n%s", h.story())
		}
	}
}
