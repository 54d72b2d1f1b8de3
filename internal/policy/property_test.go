package policy

import (
	"math/rand/v2"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Whatever is seen and however orders end, in whatever order: the budget of every
// 24 hours is kept, no trial begins behind a closed gate, and once nothing more is
// wrong the user's own setting is there, or one that has proven better.
func TestWhateverHappens(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 0))
		own := []evidence.Protocol{evidence.Default, evidence.Auto, evidence.QUIC, evidence.HTTP2}[rng.IntN(4)]
		h := newHome(t, own)
		h.r.Budget = 2 + rng.IntN(8)
		var restarts []time.Time
		history := ""
		wild := true
		h.outcome = func(c Change) *Outcome {
			result := Settled
			if wild && rng.IntN(4) == 0 {
				result = []Result{Unsettled, Crashed, Busy, NotAvailable, AtRisk, UserChanged, Rejected}[rng.IntN(7)]
			}
			out := &Outcome{Result: result, Setting: c.Protocol}
			switch result {
			case Settled, Unsettled, Crashed:
				out.Restarts = 1
				if result != Crashed { // what does not run after a restart of ours is started again, whatever it costs
					restarts = append(restarts, h.now)
				}
				history += h.now.Format("02 15:04:05 ") + c.Purpose.String() + " " + c.Protocol.String() + " " + result.String() + "\n"
			case UserChanged:
				out.Setting = evidence.Protocol(rng.IntN(4))
			default:
				out.Setting = h.s.Set
			}
			was := h.setting
			h.setting = out.Setting
			out.Transport = h.transport()
			h.setting = was
			if c.Purpose == Trial && result == Settled && h.s.Incident == nil {
				t.Fatalf("seed %d: a trial without an incident", seed)
			}
			return out
		}
		shut := NoGate
		h.sight = func(in *Sight) {
			if !wild {
				return
			}
			shut = NoGate
			switch rng.IntN(40) {
			case 0:
				in.ThroughCloudflare, shut = false, GateCloudflare
			case 1:
				in.DirectWorks, shut = false, GateDirect
			case 2:
				in.Internet, in.ThroughCloudflare, shut = evidence.InternetDown, false, GateInternet
			case 3:
				in.SettingKnown, shut = false, GateSetting
			case 4:
				in.SecretAtRisk, shut = true, GateSecret
			case 5:
				in.SupervisorFree, shut = false, GateSupervisor
			case 6:
				in.Running, shut = time.Minute, GateUptime
			case 7:
				in.Blind = true
			case 8:
				in.QUIC = evidence.Switch(rng.IntN(3))
			case 9:
				in.InUse = true
			}
			if in.Vote == diagnosis.Fails && rng.IntN(3) == 0 {
				in.Cause = diagnosis.UpgradeSilent
			}
		}
		votes := []diagnosis.Vote{works, works, fails, fails, fails, abstains}
		loss := rng.Float64()
		for range 2500 {
			if rng.IntN(200) == 0 {
				loss = rng.Float64() * float64(rng.IntN(3)) / 2
			}
			if rng.IntN(500) == 0 {
				h.setting = evidence.Protocol(rng.IntN(4)) // a person's hand
			}
			if rng.IntN(700) == 0 {
				h.s = h.r.Awake(roundTrip(t, h.r.Abandon(h.s, h.now)), h.now)
			}
			v := works
			if rng.Float64() < loss {
				v = fails
			} else if rng.IntN(10) == 0 {
				v = votes[rng.IntN(len(votes))]
			}
			n, trial := len(h.orders), h.s.Trial
			h.look(v)
			if trial == nil && len(h.orders) > n && h.orders[n].Purpose == Trial && (shut != NoGate || h.now.Before(h.s.PausedUntil)) {
				t.Fatalf("seed %d: tried behind %s\n%s", seed, shut, h.story())
			}
		}
		for i := range restarts {
			n := 0
			for _, at := range restarts[i:] {
				if at.Sub(restarts[i]) < day {
					n++
				}
			}
			if n > h.r.Budget {
				t.Fatalf("seed %d: %d restarts in 24 hours, the budget is %d\n%s", seed, n, h.r.Budget, history)
			}
		}
		wild, h.lossy = false, nil
		h.r.Interval = 20 * time.Minute // fewer looks to the same end
		h.runFor(90 * day)
		if h.s.Set.Effective() != h.s.Own.Effective() || h.s.Trial != nil || h.s.Incident != nil || h.setting != h.s.Set {
			t.Fatalf("seed %d: own %s, set %s, there %s, %+v\n%s", seed, h.s.Own, h.s.Set, h.setting, h.s.Failback, h.story())
		}
	}
}

func BenchmarkStepInHealth(b *testing.B) { benchmarkStep(b, works, diagnosis.Healthy, State{}) }

func BenchmarkStepInAnIncident(b *testing.B) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	benchmarkStep(b, fails, diagnosis.UpgradeStripped, State{
		Setting: Setting{OwnKnown: true, Own: evidence.Auto, Set: evidence.Auto}, Plan: Plan{Restarts: []time.Time{now, now}},
		Case: Case{HoldUntil: now.Add(time.Hour), Incident: &Incident{Alarm: now, Setting: evidence.Auto, Transport: quic, Tally: detect.Tally{Failures: 9, Probes: 9}, Tried: []Attempt{{Protocol: evidence.HTTP2, Fair: true}}}},
	})
}

func benchmarkStep(b *testing.B, v diagnosis.Vote, cause diagnosis.Cause, s State) {
	r, now := defaults(), time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	in := Sight{Vote: v, Cause: cause, Setting: evidence.Auto, SettingKnown: true, Transport: quic, ThroughCloudflare: true, DirectWorks: true,
		Running: time.Hour, SupervisorFree: true}
	b.ReportAllocs()
	for b.Loop() {
		s, _ = r.Observe(s, now, in)
	}
}
