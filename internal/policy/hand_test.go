package policy

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

var handRules = Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6,
	Failback: 24 * time.Hour, Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}

var handNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// handSight is a look at a healthy house whose tunnel has just been started: too
// short a time ago for the program to act of its own accord.
func handSight(setting evidence.Protocol) Sight {
	return Sight{Vote: diagnosis.Works, Cause: diagnosis.Healthy, Setting: setting, SettingKnown: true, Transport: evidence.OverQUIC,
		ThroughCloudflare: true, DirectWorks: true, Internet: evidence.InternetUp, SupervisorFree: true}
}

func handState() State {
	return State{Setting: Setting{Own: evidence.Auto, Set: evidence.Auto, OwnKnown: true}}
}

func handFails(s Sight) Sight {
	s.Vote, s.Cause, s.Remedy = diagnosis.Fails, diagnosis.UpgradeStripped, diagnosis.Rotate
	return s
}

func TestAPersonMayTryAProtocol(t *testing.T) {
	for _, c := range []struct {
		rule   string
		state  func(*State)
		rules  func(*Rules)
		sight  func(*Sight)
		try    evidence.Protocol
		refuse *Refusal // nil if it is done
	}{
		{rule: "while all is well", try: evidence.HTTP2},
		{rule: "while paused by hand", try: evidence.HTTP2, state: func(s *State) { s.PausedUntil = handNow.Add(time.Hour) }},
		{rule: "while waiting after an earlier treatment", try: evidence.HTTP2, state: func(s *State) { s.HoldUntil = handNow.Add(time.Hour) }},
		{rule: "while the tunnel itself is down", try: evidence.HTTP2, sight: func(s *Sight) { s.Vote, s.Cause, s.ThroughCloudflare = diagnosis.Abstains, diagnosis.TunnelDown, false }},
		{rule: "not in mode observe", try: evidence.HTTP2, rules: func(r *Rules) { r.Heal = false }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateMode}}},
		{rule: "not what is set already", try: evidence.Auto, refuse: &Refusal{Because: SetAlready, Protocol: evidence.Auto}},
		{rule: "not what the options exclude", try: evidence.QUIC, rules: func(r *Rules) { r.Allowed = r.Allowed[:1] }, refuse: &Refusal{Because: NotAllowed, Protocol: evidence.QUIC}},
		{rule: "not while another is on trial", try: evidence.HTTP2, state: func(s *State) { s.Trial = &OnTrial{Protocol: evidence.QUIC, Purpose: ByHand} }, refuse: &Refusal{Because: UnderWay}},
		{rule: "not at the risk of a secret", try: evidence.HTTP2, sight: func(s *Sight) { s.SecretAtRisk = true }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateSecret}}},
		{rule: "not while Supervisor is busy", try: evidence.HTTP2, sight: func(s *Sight) { s.SupervisorFree = false }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateSupervisor}}},
		{rule: "not with unreadable options", try: evidence.HTTP2, sight: func(s *Sight) { s.SettingKnown = false }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateSetting}}},
		{rule: "not without internet", try: evidence.HTTP2, sight: func(s *Sight) { s.Internet, s.ThroughCloudflare = evidence.InternetDown, false }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateInternet}}},
		{rule: "not while Home Assistant is down", try: evidence.HTTP2, sight: func(s *Sight) { s.DirectWorks = false }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateDirect}}},
		{rule: "not where nothing could be seen of it", try: evidence.HTTP2, sight: func(s *Sight) { s.Vote, s.Cause = diagnosis.Abstains, diagnosis.AccessLogin }, refuse: &Refusal{Because: NotSeen, Cause: diagnosis.AccessLogin}},
		{rule: "not beyond the day's restarts, the way back included", try: evidence.HTTP2, rules: func(r *Rules) { r.Budget = 2 },
			state: func(s *State) { s.Restarts = []time.Time{handNow.Add(-time.Hour)} }, refuse: &Refusal{Because: GatesShut, Gates: []Gate{GateBudget}}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s, r, in := handState(), handRules, handSight(evidence.Auto)
			if c.state != nil {
				c.state(&s)
			}
			if c.rules != nil {
				c.rules(&r)
			}
			if c.sight != nil {
				c.sight(&in)
			}
			before := s.clone()
			s, d, err := r.Try(s, handNow, in, c.try)
			if c.refuse == nil {
				if err != nil || d.Change == nil || *d.Change != (Change{c.try, ByHand}) || s.Phase != Treating {
					t.Fatalf("err %v, change %+v, phase %s", err, d.Change, s.Phase)
				}
				return
			}
			var why Refusal
			if !errors.As(err, &why) || !reflect.DeepEqual(why, *c.refuse) {
				t.Errorf("refused with %+v, want %+v", why, *c.refuse)
			}
			if d.Change != nil || s.Set != before.Set || (s.Trial == nil) != (before.Trial == nil) {
				t.Error("a refused trial changed something")
			}
		})
	}
}

func TestWhatProvesGoodByHandStaysAndIsTheUsersOwn(t *testing.T) {
	s, _, err := handRules.Try(handState(), handNow, handSight(evidence.Auto), evidence.HTTP2)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = handRules.Treated(s, handNow, Outcome{Result: Settled, Restarts: 1, Setting: evidence.HTTP2, Transport: evidence.OverHTTP2})
	now, probes := handNow, 0
	for ; s.Trial != nil && probes < 100; probes++ {
		now = now.Add(2 * time.Second)
		s, _ = handRules.Observe(s, now, handSight(evidence.HTTP2))
	}
	if probes != 22 {
		t.Errorf("proven after %d probes, want the 22 of any trial", probes)
	}
	if s.Own != evidence.HTTP2 || s.Set != evidence.HTTP2 || s.Failback != nil || s.Incident != nil || s.Phase != Healthy {
		t.Errorf("own %s, set %s, fail-back %v, incident %v, phase %s", s.Own, s.Set, s.Failback, s.Incident, s.Phase)
	}
	if len(s.Cures) != 0 {
		t.Error("a trial without a fault was remembered as a cure")
	}
}

func TestWhatDoesNotHoldByHandIsPutBack(t *testing.T) {
	for _, c := range []struct {
		rule   string
		result Result // of the change; Settled: the probes fail afterwards
		back   bool
	}{
		{"when the probes fail", Settled, true},
		{"when it does not connect", Unsettled, true},
		{"when the add-on does not run with it", Crashed, true},
		{"not when nothing was changed", Busy, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := handState() // cured before: what is there is not the user's own
			s.Set, s.Failback = evidence.QUIC, &Comeback{Due: handNow.Add(time.Hour), Cured: evidence.QUIC, Wait: time.Hour, Tally: detect.Tally{Failures: 4, Probes: 4}}
			s, _, err := handRules.Try(s, handNow, handSight(evidence.QUIC), evidence.HTTP2)
			if err != nil {
				t.Fatal(err)
			}
			out := Outcome{Result: c.result, Restarts: 1, Setting: evidence.HTTP2, Transport: evidence.OverHTTP2}
			if !c.back {
				out.Restarts, out.Setting = 0, evidence.QUIC
			}
			s, d := handRules.Treated(s, handNow, out)
			for i := 0; c.result == Settled && d.Change == nil && i < 10; i++ {
				s, d = handRules.Observe(s, handNow, handFails(handSight(evidence.HTTP2)))
			}
			if !c.back {
				if s.Trial != nil || d.Change != nil || s.Set != evidence.QUIC {
					t.Fatalf("trial %+v, change %+v", s.Trial, d.Change)
				}
				return
			}
			if d.Change == nil || *d.Change != (Change{evidence.QUIC, HandBack}) {
				t.Fatalf("change %+v, want the way back to quic", d.Change)
			}
			s, _ = handRules.Treated(s, handNow, Outcome{Result: Settled, Restarts: 1, Setting: evidence.QUIC, Transport: evidence.OverQUIC})
			if s.Trial != nil || s.Set != evidence.QUIC || s.Own != evidence.Auto || s.Failback == nil {
				t.Errorf("trial %+v, set %s, own %s, fail-back %v", s.Trial, s.Set, s.Own, s.Failback)
			}
		})
	}
}

func TestATrialByHandIsPutBackWhenTheProgramStops(t *testing.T) {
	s, _, err := handRules.Try(handState(), handNow, handSight(evidence.Auto), evidence.HTTP2)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = handRules.Treated(s, handNow, Outcome{Result: Settled, Restarts: 1, Setting: evidence.HTTP2, Transport: evidence.OverHTTP2})
	s = handRules.Abandon(s, handNow)
	if s.Trial == nil || s.Trial.Purpose != HandBack || s.Trial.Protocol != evidence.Auto {
		t.Errorf("%+v", s.Trial)
	}
}

func TestInAnIncidentATrialByHandIsOneOfItsTrials(t *testing.T) {
	s := handState()
	s.Incident = &Incident{ID: "20261121T120000Z", Setting: evidence.Auto, Transport: evidence.OverQUIC, Tally: detect.Tally{Failures: 4, Probes: 4}, Alarm: handNow, Cause: diagnosis.UpgradeStripped}
	s.HoldUntil = handNow.Add(time.Hour)
	s, d, err := handRules.Try(s, handNow, handFails(handSight(evidence.Auto)), evidence.HTTP2)
	if err != nil || d.Change == nil || d.Change.Purpose != Trial {
		t.Fatalf("err %v, change %+v", err, d.Change)
	}
	s, _ = handRules.Treated(s, handNow, Outcome{Result: Settled, Restarts: 1, Setting: evidence.HTTP2, Transport: evidence.OverHTTP2})
	for i := 0; s.Trial != nil && i < 50; i++ {
		s, _ = handRules.Observe(s, handNow.Add(time.Duration(i)*time.Second), handSight(evidence.HTTP2))
	}
	if s.Incident != nil || s.Own != evidence.Auto || s.Failback == nil {
		t.Errorf("incident %v, own %s, fail-back %v: it should be a cure like any other", s.Incident, s.Own, s.Failback)
	}
}

func TestSwitchedOffStaysOffUntilAPersonSaysOtherwise(t *testing.T) {
	s, d := handRules.Pause(handState(), handNow, ForGood)
	if s.Phase != Paused || len(d.Steps) != 1 || !Forever(s.PausedUntil) {
		t.Fatalf("phase %s, steps %v, until %s", s.Phase, d.Steps, s.PausedUntil)
	}
	if _, d := handRules.Pause(s, handNow, ForGood); len(d.Steps) != 0 {
		t.Error("switching off twice is told twice")
	}
	s, _ = handRules.Observe(s, handNow.AddDate(5, 0, 0), handFails(handSight(evidence.Auto)))
	if s.Phase != Paused {
		t.Errorf("after five years the phase is %s", s.Phase)
	}
	if s, _ = handRules.Resume(s, handNow); s.Phase == Paused {
		t.Error("resuming did not end it")
	}
}
