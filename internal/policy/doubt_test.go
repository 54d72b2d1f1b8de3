package policy

import (
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

func patientRules() Rules {
	return Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: day,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}
}

func failing(setting evidence.Protocol) Sight {
	return Sight{Vote: diagnosis.Fails, Cause: diagnosis.UpgradeStripped, Remedy: diagnosis.Rotate, Setting: setting, SettingKnown: true, Transport: evidence.OverHTTP2,
		ThroughCloudflare: true, DirectWorks: true, Internet: evidence.InternetUp, Running: time.Hour, SupervisorFree: true}
}

// suffer looks at a fault for an hour, and gives what was ordered first.
func suffer(t *testing.T, r Rules, s State, in Sight) (State, *Change, []Gate) {
	t.Helper()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var closed []Gate
	for range 1800 {
		var d Decision
		s, d = r.Observe(s, now, in)
		if d.Change != nil {
			return s, d.Change, nil
		}
		if len(d.Closed) > 0 {
			closed = d.Closed
		}
		now = now.Add(2 * time.Second)
	}
	return s, nil, closed
}

func TestWhoDoesNotKnowTheOwnSettingChangesNothing(t *testing.T) {
	r := patientRules()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	lost := r.Awake(State{Setting: Setting{Doubt: Unsure}}, now.Add(-2*day))
	if lost.Spent(now.Add(-2*day)) != r.Budget {
		t.Error("restarts that are forgotten do not count")
	}
	s, c, closed := suffer(t, r, lost, failing(evidence.HTTP2))
	if c != nil || len(closed) != 1 || closed[0] != GateMemory || s.Incident == nil {
		t.Fatalf("change %v, closed %v, %+v", c, closed, s)
	}

	// A person says that the present one is theirs…
	confirmed, d := r.Resume(s, now)
	if confirmed.Doubt != NoDoubt || confirmed.Own != evidence.HTTP2 || len(d.Steps) != 1 {
		t.Errorf("confirmed: %+v, %v", confirmed, d.Steps)
	}
	if _, c, closed := suffer(t, r, confirmed, failing(evidence.HTTP2)); c == nil {
		t.Errorf("after that nothing is done: %v", closed)
	}
	// …or sets another.
	set, _ := r.Observe(s, now, failing(evidence.QUIC))
	if set.Doubt != NoDoubt || set.Own != evidence.QUIC {
		t.Errorf("set by hand: %+v", set)
	}
}

func TestAfterDamageAnUnexplainedProtocolIsNobodysWord(t *testing.T) {
	r := patientRules()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	recalled := State{Setting: Setting{Own: evidence.Auto, OwnKnown: true, Set: evidence.Auto, Doubt: Recalled}}
	s, d := r.Observe(recalled, now, failing(evidence.HTTP2))
	if s.Own != evidence.Auto || s.Doubt != Unsure || len(d.Steps) == 0 || d.Steps[0].Kind != StepUnsure {
		t.Errorf("it was taken for a person's: %+v, %v", s, d.Steps)
	}
	if s, d := r.Observe(recalled, now, failing(evidence.Auto)); s.Doubt != NoDoubt || s.Own != evidence.Auto || len(d.Steps) > 1 {
		t.Errorf("what is explained stays in doubt: %+v, %v", s, d.Steps)
	}
	// The own setting is back already: nobody's hand was in it.
	cured := State{Setting: Setting{Own: evidence.Auto, OwnKnown: true, Set: evidence.HTTP2, Doubt: Recalled}, Plan: Plan{Failback: &Comeback{Wait: day, Cured: evidence.HTTP2}}}
	if s, d := r.Observe(cured, now, failing(evidence.Auto)); s.Doubt != NoDoubt || s.Failback != nil || s.Set != evidence.Auto || d.Steps[0].Kind == StepUser {
		t.Errorf("%+v, %v", s, d.Steps)
	}
}

func TestADiskThatTakesNothingBeginsNoTrialButEndsOne(t *testing.T) {
	r := patientRules()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	in := failing(evidence.Default)
	in.Unkept = true
	if _, c, closed := suffer(t, r, State{}, in); c != nil || len(closed) != 1 || closed[0] != GateDisk {
		t.Errorf("change %v, closed %v", c, closed)
	}
	if _, _, err := r.Try(State{Setting: Setting{OwnKnown: true}}, now, in, evidence.HTTP2); err == nil {
		t.Error("a trial by hand begins")
	}

	// Known only when the trial was to be noted: it is as if nothing had been ordered.
	in.Unkept = false
	s, c, _ := suffer(t, r, State{}, in)
	if c == nil || c.Purpose != Trial {
		t.Fatalf("no trial: %+v", c)
	}
	untouched, d := r.Treated(s, now, Outcome{Result: Unkept, Setting: evidence.Default})
	if untouched.Trial != nil || d.Change != nil || !untouched.Unkept || untouched.Incident == nil {
		t.Errorf("%+v, %v", untouched, d.Change)
	}

	// The disk becomes full while a protocol is being proven: refused, it goes back, and no other is tried.
	s, _ = r.Treated(s, now, Outcome{Result: Settled, Setting: c.Protocol, Transport: evidence.OverHTTP2, Restarts: 1})
	in = failing(c.Protocol)
	in.Unkept = true
	_, back, _ := suffer(t, r, s, in)
	if back == nil || back.Purpose != Restore || back.Protocol != evidence.Default {
		t.Errorf("the way back is %+v", back)
	}
	// And where that is found out only at the next trial's beginning.
	s.Incident.Tried = []Attempt{{Protocol: c.Protocol, Fair: true}}
	s.Trial = &OnTrial{Protocol: evidence.QUIC, Purpose: Trial}
	if _, d := r.Treated(s, now, Outcome{Result: Unkept, Setting: c.Protocol}); d.Change == nil || d.Change.Purpose != Restore {
		t.Errorf("the way back is %+v", d.Change)
	}
}
