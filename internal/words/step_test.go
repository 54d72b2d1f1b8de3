package words_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// Whatever the policy can tell of, there is a sentence for it. So homes are led through
// whatever may happen, in any order, and every step is said.
func TestEveryStepOfThePolicyIsSaid(t *testing.T) {
	unsaid := regexp.MustCompile(`^$|\{|^(step|result|gate|refused|cause)\.|unknown\(`)
	r := policy.Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 24, Failback: time.Minute,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}
	said := map[string]bool{}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		oneOf := func(n int) bool { return rng.IntN(n) == 0 }
		now := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
		s, set, weather := policy.State{}, evidence.Auto, 0
		if oneOf(4) {
			s.Own, s.OwnKnown, s.Set, s.Doubt = evidence.Auto, true, evidence.Auto, policy.Recalled
		}
		var d policy.Decision
		hear := func() {
			for _, step := range d.Steps {
				text := words.English().Step(step)
				if unsaid.MatchString(text) {
					t.Fatalf("seed %d: %q for %+v", seed, text, step)
				}
				said[strings.Join([]string{step.Kind.String(), step.Why.String(), step.Purpose.String()}, "/")] = true
			}
		}
		for range 300 {
			now = now.Add(max(d.Next, time.Second))
			in := policy.Sight{Vote: diagnosis.Works, Cause: diagnosis.Healthy, Setting: set, SettingKnown: true, Transport: evidence.OverQUIC, ThroughCloudflare: true,
				DirectWorks: true, Internet: evidence.InternetUp, State: evidence.StateStarted, Running: time.Hour, SupervisorFree: true}
			if oneOf(20) {
				weather = rng.IntN(6)
			}
			switch weather {
			case 0, 1:
				in.Vote, in.Cause, in.Remedy = diagnosis.Fails, diagnosis.UpgradeStripped, diagnosis.Rotate
			case 2:
				in.Vote, in.Cause, in.State = diagnosis.Abstains, diagnosis.TunnelDown, []evidence.AddOnState{evidence.StateStarted, evidence.StateError, evidence.StateStopped}[rng.IntN(3)]
				if in.State == evidence.StateError {
					in.Remedy = diagnosis.Start
				}
			case 3:
				in.Vote, in.Cause = diagnosis.Abstains, diagnosis.AccessLogin
				now = now.Add(time.Duration(rng.IntN(30)) * time.Minute)
			}
			if oneOf(60) {
				set = r.Allowed[rng.IntN(3)]
				in.Setting = set
			}
			s, d = r.Observe(s, now, in)
			hear()
			for d.Change != nil {
				out := policy.Outcome{Result: policy.Settled, Restarts: 1, Setting: d.Change.Protocol, Transport: evidence.OverHTTP2}
				if oneOf(3) {
					out.Result = policy.Result(1 + rng.IntN(int(policy.Unkept)))
				}
				if out.Result.Untouched() || out.Result == policy.Rejected {
					out.Setting, out.Restarts = s.Set, 0
				}
				s, d = r.Treated(s, now, out)
				hear()
				set = s.Set
			}
			switch rng.IntN(80) {
			case 0:
				s, d = r.Pause(s, now, now.Add(time.Minute))
			case 1:
				s, d = r.Resume(s, now)
			case 2:
				s, d = r.Pause(s, now, policy.ForGood)
			case 3:
				var err error
				var why policy.Refusal
				s, d, err = r.Try(s, now, in, r.Allowed[rng.IntN(3)])
				if errors.As(err, &why) && unsaid.MatchString(words.English().Text(words.Refused(why))) {
					t.Fatalf("%q for %v", words.English().Text(words.Refused(why)), err)
				}
			default:
				continue
			}
			hear()
		}
	}
	if len(said) < 45 {
		t.Errorf("only %d kinds of steps came up: %v", len(said), said)
	}
	if got := words.English().Step(policy.Step{Kind: policy.StepCured, Text: "http2 is proven:\nit works."}); got != "http2 is proven: it works." {
		t.Errorf("what is in words already: %q", got)
	}
}
