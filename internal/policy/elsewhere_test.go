package policy

import (
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestElsewhereKeepsWhatWasSpentAndLearned(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	s := h.s.Elsewhere(State{})
	if s.OwnKnown || s.Incident != nil || s.Failback != nil || len(s.Restarts) != 1 || len(s.Cures) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsLeftComesBack(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	kept := h.s.Kept(h.now)
	if kept.Own != evidence.Auto || kept.Set != evidence.HTTP2 || kept.Failback == nil || len(kept.Restarts) != 0 || len(kept.Cures) != 0 {
		t.Fatalf("kept %+v", kept)
	}
	away := h.s.Elsewhere(State{})
	away.Own, away.Set, away.OwnKnown = evidence.QUIC, evidence.QUIC, true
	back := away.Elsewhere(kept)
	if back.Own != evidence.Auto || back.Set != evidence.HTTP2 || back.Failback == nil || *back.Failback != *h.s.Failback || len(back.Restarts) != 1 || len(back.Cures) != 1 {
		t.Errorf("back %+v", back)
	}
	back.Failback.Wait = 0
	if kept.Failback.Wait == 0 || h.s.Failback.Wait == 0 {
		t.Error("one state holds what another one changes")
	}
}

// A protocol that is in force unproven, because an incident was open, is owed a way back.
func TestWhatIsLeftUnprovenIsOwed(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("on trial", func() bool { return h.s.Trial != nil && h.s.Trial.Settled })
	kept := h.s.Kept(h.now)
	if kept.Trial != nil || kept.Incident != nil || kept.Failback == nil || kept.Failback.Cured != h.s.Set || kept.Own != evidence.Auto {
		t.Errorf("kept %+v", kept)
	}
}
