package policy

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

const (
	works, fails, abstains = diagnosis.Works, diagnosis.Fails, diagnosis.Abstains
	quic, http2            = evidence.OverQUIC, evidence.OverHTTP2
)

// untilOrder gives how many failing looks it takes until something is ordered.
func (h *home) untilOrder() int {
	h.t.Helper()
	for n := 1; n <= 1000; n++ {
		if h.look(fails); len(h.orders) > 0 {
			return n
		}
	}
	h.t.Fatalf("nothing was ordered\n%s", h.story())
	return 0
}

func TestATotalLossAlarmsAtTheFourthProbe(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.times(3, fails)
	if h.s.Incident != nil || h.told(StepSuspected) != 1 {
		t.Fatalf("three probes were enough\n%s", h.story())
	}
	at := h.now
	h.look(fails)
	if h.s.Incident == nil || !h.s.Incident.Alarm.Equal(at) || h.told(StepAlarm) != 1 {
		t.Fatalf("no alarm at the fourth\n%s", h.story())
	}
	if inc := h.s.Incident; inc.Failures != 4 || inc.Probes != 4 || at.Sub(inc.Onset) > 8*time.Second || inc.LastGood.IsZero() {
		t.Errorf("%+v", inc)
	}
}

func TestAnAbstentionNeitherAddsNorClears(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.times(3, fails)
	score := h.s.Detector
	h.times(50, abstains)
	if h.s.Detector != score {
		t.Errorf("%+v became %+v", score, h.s.Detector)
	}
	if h.look(fails); h.s.Incident == nil {
		t.Error("the fourth failure did not alarm")
	}
}

func TestALoneFailureIsNothingLasting(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.s.Noise = detect.Noise{Failures: 25, Probes: 2500}
	h.look(fails)
	h.times(42, works)
	if h.told(StepCleared) != 0 {
		t.Error("a loss of one in 25 would show no second failure so soon, either")
	}
	h.times(1, works)
	if h.told(StepCleared) != 1 || h.s.Phase != Healthy || h.d.Next != h.r.Interval {
		t.Errorf("phase %s, next %s\n%s", h.s.Phase, h.d.Next, h.story())
	}
}

// A home that loses one in thirty at random must not be looked at closely for ever: one in a hundred
// brings no more close looks than there are others, more noise half as many again.
func TestANoisyHomeIsLeftInPeace(t *testing.T) {
	for name, c := range map[string]struct{ loss, most float64 }{
		"one in a hundred": {0.01, 0.5}, "one in fifty": {0.02, 0.6}, "one in thirty": {0.033, 0.6},
	} {
		rng := rand.New(rand.NewPCG(1, 3)) // of its own, in whatever order they come
		h := newHome(t, evidence.Auto)
		h.sight, h.s.Noise = silent, detect.Noise{Failures: math.Round(3000 * c.loss), Probes: 3000}
		close, looks := 0, 20_000
		for range looks {
			v := works
			if rng.Float64() < c.loss {
				v = fails
			}
			if h.look(v); h.d.Next < h.r.Interval {
				close++
			}
		}
		if share := float64(close) / float64(looks); share > c.most || len(h.orders) > 0 {
			t.Errorf("%s: %.3f of the looks are close ones, orders %v", name, share, h.orders)
		}
	}
}

func TestEveryClosedGateNamesItselfAndNothingIsOrdered(t *testing.T) {
	for gate, shut := range map[Gate]func(*home){
		GateMode:       func(h *home) { h.r.Heal = false },
		GatePause:      func(h *home) { h.s.PausedUntil = h.now.Add(time.Hour) },
		GateHold:       func(h *home) { h.s.HoldUntil = h.now.Add(time.Hour) },
		GateCloudflare: func(h *home) { h.sight = func(in *Sight) { in.ThroughCloudflare = false } },
		GateDirect:     func(h *home) { h.sight = func(in *Sight) { in.DirectWorks = false } },
		GateInternet: func(h *home) {
			h.sight = func(in *Sight) { in.Internet, in.ThroughCloudflare = evidence.InternetDown, false }
		},
		GateConnector:  func(h *home) { h.sight = func(in *Sight) { in.Running = 0 } },
		GateStart:      func(h *home) { h.sight = func(in *Sight) { in.Startable = evidence.Off } },
		GateUptime:     func(h *home) { h.sight = func(in *Sight) { in.Running = 2*time.Minute - 1 } },
		GateSetting:    func(h *home) { h.sight = func(in *Sight) { in.SettingKnown = false } },
		GateSecret:     func(h *home) { h.sight = func(in *Sight) { in.SecretAtRisk = true } },
		GateSupervisor: func(h *home) { h.sight = func(in *Sight) { in.SupervisorFree = false } },
		GateBudget:     func(h *home) { h.s.Restarts = slices.Repeat([]time.Time{h.now}, 5) },
		GateCandidates: func(h *home) { h.r.Allowed = []evidence.Protocol{evidence.Auto} },
	} {
		t.Run(gate.String(), func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			shut(h)
			h.times(40, fails)
			closed := []Gate{gate}
			if gate == GateInternet { // a cf-ray would prove it up
				closed = []Gate{GateCloudflare, gate}
			}
			if !slices.Equal(h.d.Closed, closed) {
				t.Errorf("closed: %q", h.d.Closed)
			}
			h.ordered()
			if h.s.Incident == nil {
				t.Error("a gate keeps from acting, not from noticing")
			}
		})
	}
}

func TestUnknownInternetAndExactUptimeKeepNoGateShut(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.sight = func(in *Sight) { in.Internet, in.Running = evidence.InternetUnknown, 2*time.Minute }
	h.untilOrder()
}

func TestTheTransportThatFailsIsLeftFirst(t *testing.T) {
	for name, c := range map[string]struct {
		own   evidence.Protocol
		noUDP bool
		allow []evidence.Protocol
		cures map[string]Cure
		want  []evidence.Protocol
	}{
		"from no flag, on QUIC: HTTP/2":             {own: evidence.Default, want: []evidence.Protocol{evidence.HTTP2}},
		"from auto, on QUIC: HTTP/2":                {own: evidence.Auto, want: []evidence.Protocol{evidence.HTTP2}},
		"from quic: HTTP/2":                         {own: evidence.QUIC, want: []evidence.Protocol{evidence.HTTP2}},
		"from http2: auto, which falls back":        {own: evidence.HTTP2, want: []evidence.Protocol{evidence.Auto}},
		"from http2 without auto: QUIC":             {own: evidence.HTTP2, allow: []evidence.Protocol{evidence.QUIC}, want: []evidence.Protocol{evidence.QUIC}},
		"what cured before comes first":             {own: evidence.HTTP2, cures: map[string]Cure{"quic": {Weight: 2}}, want: []evidence.Protocol{evidence.QUIC}},
		"QUIC is not tried where auto fell back":    {own: evidence.Auto, noUDP: true, want: []evidence.Protocol{evidence.HTTP2}},
		"auto showed that QUIC is blocked":          {own: evidence.HTTP2, noUDP: true, want: []evidence.Protocol{evidence.Auto}},
		"no other transport allowed: one new start": {own: evidence.QUIC, allow: []evidence.Protocol{evidence.Auto, evidence.QUIC}, want: []evidence.Protocol{evidence.Auto}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, c.own)
			h.noUDP = c.noUDP
			if c.allow != nil {
				h.r.Allowed = c.allow
			}
			if c.cures != nil {
				h.s.Cures = map[string]Cure{}
				for k, v := range c.cures {
					h.s.Cures[k] = Cure{v.Weight, h.now}
				}
			}
			h.lossy[quic], h.lossy[http2] = true, true
			h.runFor(10 * time.Hour)
			want := []Change{}
			for _, p := range c.want {
				want = append(want, Change{p, Trial})
			}
			if len(want) > 0 {
				want = append(want, Change{c.own, Restore})
			}
			h.ordered(want...)
		})
	}
}

func TestWhatHelpedIsForgottenByHalvesInTwoWeeks(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var s State
	s.remember(now, evidence.HTTP2)
	if got := s.cured(now.Add(14*day), evidence.HTTP2); math.Abs(got-0.5) > 1e-9 {
		t.Errorf("after two weeks %v", got)
	}
	s.remember(now.Add(14*day), evidence.HTTP2)
	if got := s.cured(now.Add(14*day), evidence.HTTP2); math.Abs(got-1.5) > 1e-9 {
		t.Errorf("helped twice: %v", got)
	}
	if s.cured(now.Add(-day), evidence.HTTP2) != 1.5 {
		t.Error("a clock that went back must not make it count more")
	}
}

func TestOneRestartIsAlwaysKeptForTheWayBack(t *testing.T) {
	for used, want := range map[int][]Change{
		4: {{evidence.HTTP2, Trial}, {evidence.Auto, Restore}},
		5: nil,
		6: nil,
	} {
		h := stripped(t, evidence.Auto, quic, http2)
		h.s.Restarts = slices.Repeat([]time.Time{h.now}, used)
		h.runFor(2 * time.Hour)
		h.ordered(want...)
	}
}

func TestRestartsCountForADay(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.s.Restarts = slices.Repeat([]time.Time{h.now.Add(-23 * time.Hour)}, 6)
	h.run("the budget is free again", func() bool { return len(h.orders) > 0 })
	if since := h.now.Sub(time.Date(2026, 11, 3, 18, 0, 0, 0, berlin)); since < time.Hour || since > 90*time.Minute {
		t.Errorf("acted after %s", since)
	}
}

func TestACureIsProvenAndRemembered(t *testing.T) {
	h := stripped(t, evidence.Default, quic)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	h.ordered(Change{evidence.HTTP2, Trial})
	if h.s.Incident != nil || h.s.Trial != nil || h.s.Own != evidence.Default || h.s.Set != evidence.HTTP2 || h.s.Failback == nil {
		t.Errorf("%+v", h.s)
	}
	if h.s.cured(h.now, evidence.HTTP2) < 0.9 {
		t.Error("not remembered")
	}
	if h.s.Phase != Healthy || h.s.Story() == "" {
		t.Errorf("phase %s, story %q", h.s.Phase, h.s.Story())
	}
	h.runFor(4 * time.Hour)
	h.ordered(Change{evidence.HTTP2, Trial})
}

func TestNothingHelpedTheOwnSettingGoesBackAndHolds(t *testing.T) {
	h := stripped(t, evidence.Auto, quic, http2)
	h.run("holding", func() bool { return h.s.Phase == Holding })
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Restore})
	if h.setting != evidence.Auto || h.s.Set != h.s.Own || !h.r.Exhausted(&h.s) {
		t.Errorf("%+v", h.s)
	}
	if left := h.s.HoldUntil.Sub(h.now); left < 29*time.Minute || left > 30*time.Minute {
		t.Errorf("holds for %s", left)
	}
	h.runFor(30 * day)
	if len(h.orders) != 2 {
		t.Errorf("a candidate was tried twice in one incident: %v", h.orders)
	}
	h.lossy = nil
	at := h.now
	h.run("recovered", func() bool { return h.told(StepRecovered) > 0 })
	if seen := h.steps[len(h.steps)-1].At.Sub(at); seen > 2*time.Minute || h.s.Phase != Healthy {
		t.Errorf("its end was seen after %s; phase %s", seen, h.s.Phase)
	}
}

func TestHoldsDoubleAndOneRecoveryDoesNotResetThem(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.r.Budget = 24
	for i, want := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 6 * time.Hour} {
		h.lossy = map[evidence.Transport]bool{quic: true, http2: true}
		h.run("holding", func() bool { return h.told(StepHold) == i+1 })
		if got := h.s.HoldUntil.Sub(h.s.Since.Truncate(0)); got < want-time.Second || got > want+time.Second {
			t.Fatalf("hold %d is %s, want %s", i+1, got, want)
		}
		h.lossy = nil
		h.run("recovered", func() bool { return h.s.Incident == nil })
	}
	h.runFor(8 * time.Hour)
	if h.s.HoldLevel == 0 {
		t.Error("reset by one recovery")
	}
	h.runFor(25 * time.Hour)
	if h.s.HoldLevel != 0 {
		t.Error("a day in health has not reset it")
	}
}

func TestARecoveryNeedsARunThatIsNotLuck(t *testing.T) {
	for name, c := range map[string]struct{ bad, of, run int }{
		"after a total loss, as many as clear a trial": {8, 8, 22},
		"where a third was lost, luck is rarer":        {30, 90, 23},
		"where one in ten was lost, it takes longer":   {30, 300, 88},
	} {
		t.Run(name, func(t *testing.T) {
			inc := Incident{Tally: detect.Tally{Failures: c.bad, Probes: c.of}}
			inc.Run = c.run - 1
			if detect.Over(inc.Run, inc.share()) {
				t.Error("over too soon")
			}
			if inc.Run = c.run; !detect.Over(inc.Run, inc.share()) {
				t.Error("not over")
			}
			if p := math.Pow(1-inc.share(), float64(c.run)); p > 1e-4 {
				t.Errorf("luck of %.2g ended it", p)
			}
		})
	}
	t.Run("one failure begins it anew", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic, http2)
		h.run("holding", func() bool { return h.s.Phase == Holding })
		h.times(15, works)
		h.look(fails)
		h.times(15, works)
		if h.s.Incident == nil {
			t.Error("recovered by 15 good probes")
		}
	})
}

// trialWith begins a trial of HTTP/2 after a loss of bad in of probes, and shows it
// a pattern again and again until it ends.
func trialWith(t *testing.T, bad, of int, pattern ...diagnosis.Vote) *home {
	h := newHome(t, evidence.Auto)
	for i := 0; len(h.orders) == 0; i++ {
		v := works
		if i*bad%of < bad {
			v = fails
		}
		h.look(v)
		if i > 5000 {
			t.Fatalf("no trial\n%s", h.story())
		}
	}
	for i := 0; h.s.Trial != nil; i++ {
		h.look(pattern[i%len(pattern)])
		if i > 5000 {
			t.Fatalf("the trial does not end\n%s", h.story())
		}
	}
	return h
}

func TestATrialIsClearlyBetterNotLucky(t *testing.T) {
	each := func(n int) []diagnosis.Vote { return append(slices.Repeat([]diagnosis.Vote{works}, n-1), fails) }
	for name, c := range map[string]struct {
		bad, of int
		pattern []diagnosis.Vote
		stays   bool
	}{
		"clean after a total loss":                               {1, 1, []diagnosis.Vote{works}, true},
		"clean after one in five":                                {1, 5, []diagnosis.Vote{works}, true},
		"a total loss again":                                     {1, 1, []diagnosis.Vote{fails}, false},
		"half after a total loss: not clean, but clearly better": {1, 1, each(2), true},
		"one in ten after a half":                                {1, 2, each(10), true},
		"two in five after a half: not clearly":                  {1, 2, []diagnosis.Vote{works, fails, works, fails, works}, false},
		"one in five after one in five":                          {1, 5, each(5), false},
		"a half after one in five":                               {1, 5, each(2), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := trialWith(t, c.bad, c.of, c.pattern...)
			if stays := h.setting == evidence.HTTP2; stays != c.stays {
				t.Errorf("stays: %v\n%s", stays, h.story())
			}
			if last := h.orders[len(h.orders)-1]; c.stays != (len(h.orders) == 1) || !c.stays && last != (Change{evidence.Auto, Restore}) {
				t.Errorf("ordered %v", h.orders)
			}
		})
	}
}

func TestACleanTrialTakesAsManyProbesAsItNeeds(t *testing.T) {
	clean := func(bad, of int) int {
		h := trialWith(t, bad, of, works)
		settled := slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepSettled })
		cured := slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepCured })
		return int(h.steps[cured].At.Sub(h.steps[settled].At)/h.r.Burst) + 1
	}
	if total := clean(1, 1); total > 25 {
		t.Errorf("after a total loss %d", total)
	}
	if partial, total := clean(1, 10), clean(1, 1); partial <= total {
		t.Errorf("22 good probes mean little where nine in ten were good before: %d, %d", partial, total)
	}
}

func TestATrialThatDoesNotConnectIsUndone(t *testing.T) {
	for _, result := range []Result{Unsettled, Crashed, Rejected} {
		t.Run(result.String(), func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			h.outcome = func(c Change) *Outcome {
				if c.Purpose != Trial {
					return nil
				}
				if result == Rejected {
					return &Outcome{Result: Rejected, Setting: evidence.Auto}
				}
				return &Outcome{Result: result, Restarts: 1, Setting: c.Protocol}
			}
			h.run("holding", func() bool { return h.s.Phase == Holding })
			if h.setting != evidence.Auto || h.s.Set != evidence.Auto {
				t.Errorf("%s is set\n%s", h.setting, h.story())
			}
			if want := map[Result]int{Unsettled: 2, Crashed: 2, Rejected: 0}[result]; len(h.s.Restarts) != want {
				t.Errorf("%d restarts, want %d\n%s", len(h.s.Restarts), want, h.story())
			}
		})
	}
}

func TestAProtocolThatLosesItsConnectionOnTrialIsUndone(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("on trial", func() bool { return h.s.Trial != nil })
	h.sight = func(in *Sight) {
		if h.setting == evidence.HTTP2 {
			in.Vote, in.Cause = abstains, diagnosis.TunnelDown
		}
	}
	at := h.now
	h.run("undone", func() bool { return h.setting == evidence.Auto })
	if waited := h.now.Sub(at); waited < lost || waited > lost+30*time.Second {
		t.Errorf("after %s", waited)
	}
}

func TestATrialWithoutVerdictIsUndoneAndMayBeTriedAgain(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("on trial", func() bool { return h.s.Trial != nil })
	blind := true
	h.sight = func(in *Sight) {
		if blind {
			in.Vote, in.Cause, in.Internet = abstains, diagnosis.NoInternet, evidence.InternetDown
		}
	}
	at := h.now
	h.run("undone", func() bool { return h.setting == evidence.Auto })
	if waited := h.now.Sub(at); waited < noVerdict || waited > noVerdict+2*time.Minute+30*time.Second {
		t.Errorf("after %s", waited)
	}
	blind = false
	h.run("tried again after the hold", func() bool { return h.told(StepCured) > 0 })
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Restore}, Change{evidence.HTTP2, Trial})
}

func TestThePersonWins(t *testing.T) {
	for name, c := range map[string]struct {
		until func(*home) bool
		to    evidence.Protocol
	}{
		"while all is well":                      {func(*home) bool { return true }, evidence.QUIC},
		"while something is suspected":           {func(h *home) bool { return h.s.Detector.Suspects() }, evidence.HTTP2},
		"on trial, to a third":                   {func(h *home) bool { return h.s.Trial != nil }, evidence.QUIC},
		"on trial, back to their own":            {func(h *home) bool { return h.s.Trial != nil }, evidence.Auto},
		"while it holds":                         {func(h *home) bool { return h.s.Phase == Holding }, evidence.HTTP2},
		"after the cure":                         {func(h *home) bool { return h.s.Failback != nil }, evidence.Auto},
		"while their own setting is tried again": {func(h *home) bool { return h.s.Trial != nil && h.s.Trial.Purpose == Failback }, evidence.QUIC},
	} {
		t.Run(name, func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			if name == "while it holds" {
				h.lossy[http2] = true
			}
			h.run(name, func() bool { return c.until(h) })
			n := len(h.orders)
			h.setting = c.to
			at := h.now
			h.look(abstains)
			if h.s.Own != c.to || h.s.Set != c.to || h.s.Trial != nil || h.s.Incident != nil || h.s.Failback != nil || h.told(StepUser) != 1 {
				t.Fatalf("%+v\n%s", h.s, h.story())
			}
			h.lossy = map[evidence.Transport]bool{quic: true, http2: true}
			if name != "while all is well" && name != "while something is suspected" && name != "after the cure" {
				h.run("25 minutes", func() bool { return h.now.Sub(at) > 25*time.Minute })
				if len(h.orders) != n {
					t.Errorf("their choice was not given its time: %v", h.orders[n:])
				}
			}
			h.runFor(3 * time.Hour)
			if h.setting != c.to {
				t.Errorf("their own is %s, but %s is set", c.to, h.setting)
			}
		})
	}
}

func TestWhatAPersonDidDuringATreatmentStands(t *testing.T) {
	t.Run("changed", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.outcome = func(Change) *Outcome { return &Outcome{Result: UserChanged, Setting: evidence.QUIC} }
		h.untilOrder()
		if h.s.Own != evidence.QUIC || h.s.Trial != nil || h.s.Incident != nil || !h.now.Before(h.s.HoldUntil) {
			t.Errorf("%+v", h.s)
		}
	})
	t.Run("changed back to what was theirs", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.outcome = func(Change) *Outcome { return &Outcome{Result: UserChanged, Setting: evidence.Auto} }
		h.untilOrder()
		if h.s.Own != evidence.Auto || h.s.Set != evidence.Auto || h.s.Trial != nil || h.s.Incident != nil {
			t.Errorf("%+v", h.s)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.outcome = func(c Change) *Outcome { return &Outcome{Result: UserStopped, Setting: evidence.Auto} }
		h.untilOrder()
		if h.s.Trial != nil || h.s.Incident != nil || h.told(StepUser) != 1 {
			t.Errorf("%+v", h.s)
		}
	})
	t.Run("stopped in mid-trial: their own comes back some night", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.outcome = func(c Change) *Outcome {
			if c.Purpose == Trial {
				return &Outcome{Result: UserStopped, Restarts: 1, Setting: c.Protocol}
			}
			return nil
		}
		h.untilOrder()
		h.lossy = nil
		h.run("own again", func() bool { return h.setting == evidence.Auto && h.s.Trial == nil })
		if hour := h.now.Hour(); hour < 3 || hour > 5 {
			t.Errorf("at %s", h.now)
		}
	})
}

func TestAnOrderThatCouldNotBeCarriedOutIsNotLost(t *testing.T) {
	for _, result := range []Result{Busy, NotAvailable, AtRisk} {
		t.Run("the first trial: "+result.String(), func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			h.outcome = func(Change) *Outcome { return &Outcome{Result: result, Setting: evidence.Auto} }
			h.untilOrder()
			if h.s.Trial != nil || h.s.Incident == nil || len(h.s.Restarts) != 0 || h.told(StepPostponed) != 1 {
				t.Fatalf("%+v", h.s)
			}
			at := h.now
			h.outcome = nil
			h.run("ordered again", func() bool { return h.told(StepCured) > 0 })
			if h.now.Sub(at) > 5*time.Minute {
				t.Errorf("after %s", h.now.Sub(at))
			}
		})
		t.Run("the way back: "+result.String(), func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic, http2)
			blocked := 0
			h.outcome = func(c Change) *Outcome {
				if c.Purpose == Restore && blocked < 5 {
					blocked++
					return &Outcome{Result: result, Setting: evidence.HTTP2}
				}
				return nil
			}
			at := h.now
			h.run("back", func() bool { return h.told(StepRestored) > 0 })
			if got := h.now.Sub(at); blocked != 5 || got < 5*time.Minute || got > 2*time.Hour {
				t.Errorf("tried %d times in %s", blocked, got)
			}
			if h.setting != evidence.Auto || len(h.s.Restarts) != 2 {
				t.Errorf("%s, %d restarts", h.setting, len(h.s.Restarts))
			}
		})
	}
}

// Also where the user's own setting is never tried again after a cure: this was none.
func TestAWayBackThatSupervisorRejectsIsMadeUpForInTheNight(t *testing.T) {
	for _, after := range []time.Duration{day, 0} {
		h := stripped(t, evidence.Auto, quic, http2)
		h.r.Failback = after
		h.outcome = func(c Change) *Outcome {
			if c.Purpose == Restore {
				return &Outcome{Result: Rejected, Setting: evidence.HTTP2}
			}
			return nil
		}
		h.run("the way back", func() bool { return h.told(StepRestoring) > 0 })
		h.runFor(15 * time.Hour) // it is nine in the morning
		h.lossy, h.outcome = nil, nil
		h.run("own again", func() bool { return h.setting == evidence.Auto && h.s.Trial == nil })
		at := h.steps[slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepFailback })].At.In(berlin)
		if at.Hour() < quietFrom || at.Hour() >= quietTo {
			t.Errorf("with fail-back after %s it was tried at %s", after, at)
		}
	}
}

func TestFailbackWaitsForAQuietHourOfTheHouse(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		zone  *time.Location
		cured time.Time
	}{
		"in winter":                              {berlin, time.Date(2026, 1, 10, 19, 0, 0, 0, berlin)},
		"in summer":                              {berlin, time.Date(2026, 7, 10, 19, 0, 0, 0, berlin)},
		"in the night of the spring change":      {berlin, time.Date(2026, 3, 28, 1, 0, 0, 0, berlin)},
		"in the night of the autumn change":      {berlin, time.Date(2026, 10, 24, 1, 0, 0, 0, berlin)},
		"elsewhere":                              {newYork, time.Date(2026, 3, 7, 1, 0, 0, 0, newYork)},
		"where no zone is known, by UTC":         {nil, time.Date(2026, 7, 10, 19, 0, 0, 0, time.UTC)},
		"not in the quiet hour before it is due": {berlin, time.Date(2026, 7, 10, 3, 30, 0, 0, berlin)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, evidence.Auto)
			h.r.Location, h.now = c.zone, c.cured
			h.lossy[quic] = true
			h.run("cured", func() bool { return h.told(StepCured) > 0 })
			due := h.s.Failback.Due
			h.lossy = nil
			h.run("trying", func() bool { return h.told(StepFailback) > 0 })
			at := h.steps[slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepFailback })].At.In(cmp.Or(c.zone, time.UTC))
			if at.Before(due) || at.Sub(due) > 28*time.Hour || at.Hour() < 3 || at.Hour() >= 5 {
				t.Errorf("due %s, tried %s", due, at)
			}
			h.run("back", func() bool { return h.s.Failback == nil })
			if h.setting != evidence.Auto || h.told(StepFailedBack) != 1 {
				t.Errorf("%s\n%s", h.setting, h.story())
			}
			h.runFor(5 * day)
			h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Failback})
		})
	}
}

func TestFailbackNeverMeansNever(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.r.Failback = 0
	h.runFor(60 * day)
	h.ordered(Change{evidence.HTTP2, Trial})
}

func TestWhereTheFaultIsBackItReturnsInOneRestartAndDoublesTheWait(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	for i, want := range []time.Duration{2 * day, 4 * day, 8 * day} {
		h.run("returned", func() bool { return h.told(StepReturned) == i+1 })
		if h.s.Failback == nil || h.s.Failback.Wait != want || h.setting != evidence.HTTP2 || h.s.Set != evidence.HTTP2 {
			t.Fatalf("%+v\n%s", h.s.Failback, h.story())
		}
	}
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Failback}, Change{evidence.HTTP2, Return},
		Change{evidence.Auto, Failback}, Change{evidence.HTTP2, Return}, Change{evidence.Auto, Failback}, Change{evidence.HTTP2, Return})
	last := h.steps[len(h.steps)-1]
	begun := slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepReturning })
	if last.Kind != StepReturned || begun < 0 {
		t.Error(h.story())
	}
}

func TestAPauseChangesNothingAndResumeGoesOn(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.follow(h.pure(func(s State) (State, Decision) { return h.r.Pause(s, h.now, h.now.Add(time.Hour)) }))
	h.runFor(50 * time.Minute)
	if h.s.Phase != Paused || h.s.Incident == nil {
		t.Errorf("phase %s, incident %v", h.s.Phase, h.s.Incident)
	}
	h.ordered()
	h.follow(h.pure(func(s State) (State, Decision) { return h.r.Resume(s, h.now) }))
	h.run("acting", func() bool { return len(h.orders) > 0 })
	if h.told(StepPaused) != 1 || h.told(StepResumed) != 1 {
		t.Error(h.story())
	}
}

func TestAPauseInMidTrialAllowsTheWayBackOnly(t *testing.T) {
	h := stripped(t, evidence.Auto, quic, http2)
	h.run("on trial", func() bool { return h.s.Trial != nil })
	h.follow(h.r.Pause(h.s, h.now, h.now.Add(time.Hour)))
	h.runFor(50 * time.Minute)
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Restore})
}

func TestAPauseEndsByItself(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.follow(h.r.Pause(h.s, h.now, h.now.Add(time.Hour)))
	h.runFor(70 * time.Minute)
	h.ordered(Change{evidence.HTTP2, Trial})
}

func TestBlindIsNeitherGoodNorBad(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.times(2, fails)
	before := h.s.Detector
	h.sight = func(in *Sight) { in.Blind = true }
	h.times(10, fails)
	if h.s.Phase != Blind || h.s.Detector != before {
		t.Errorf("%s %+v", h.s.Phase, h.s.Detector)
	}
	h.sight = func(in *Sight) { in.Cause = diagnosis.AccessLogin }
	if h.times(10, abstains); h.s.Phase != Suspect && h.s.Phase != Blind {
		t.Errorf("behind a login wall: %s", h.s.Phase)
	}
}

func TestRateLimitsAreNotProlonged(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.sight = func(in *Sight) { in.Cause = diagnosis.RateLimited }
	h.look(abstains)
	if h.d.Next < h.r.Interval {
		t.Errorf("next probe in %s", h.d.Next)
	}
	h.runFor(time.Hour)
	if h.d.Next < 5*h.r.Interval {
		t.Errorf("after an hour of it the next probe is in %s", h.d.Next)
	}
}

func TestInModeObserveItSeesAndSaysButDoesNotAct(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.r.Heal = false
	h.runFor(2 * time.Hour)
	h.ordered()
	if h.s.Phase != Observing || h.d.Next < 20*time.Second || h.d.Next > h.r.Interval {
		t.Errorf("%s, next %s", h.s.Phase, h.d.Next)
	}
	h.lossy = nil
	h.run("recovered", func() bool { return h.told(StepRecovered) == 1 })
}

func TestAfterAStartAnOpenOrderIsGivenAgain(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.outcome = func(c Change) *Outcome { return &Outcome{Result: NotAvailable, Setting: evidence.Auto} }
	h.untilOrder()
	s, d := h.r.Observe(State{Setting: Setting{OwnKnown: true, Own: evidence.Auto, Set: evidence.HTTP2},
		Case: Case{Incident: h.s.Incident, Trial: &OnTrial{Protocol: evidence.Auto, Purpose: Restore, Since: h.now}}}, h.now, Sight{Blind: true})
	if d.Change != nil {
		t.Fatal("an order under way was given twice")
	}
	s = h.r.Awake(s, h.now)
	if s.Phase != Starting {
		t.Error(s.Phase)
	}
	if _, d = h.r.Observe(s, h.now, Sight{Blind: true}); d.Change == nil || *d.Change != (Change{evidence.Auto, Restore}) {
		t.Errorf("%+v", d.Change)
	}
}

func TestATrialGoesOnAfterAStart(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.run("on trial", func() bool { return h.s.Trial != nil })
	h.times(10, works)
	h.s = h.r.Awake(roundTrip(t, h.s), h.now)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	h.ordered(Change{evidence.HTTP2, Trial})
}

func TestWhatIsUnprovenAtTheEndIsTakenBack(t *testing.T) {
	t.Run("a trial", func(t *testing.T) {
		h := stripped(t, evidence.Default, quic)
		h.run("on trial", func() bool { return h.s.Trial != nil })
		s, _ := h.pure(func(s State) (State, Decision) { return h.r.Abandon(s, h.now), Decision{} })
		if s.Trial == nil || s.Trial.Protocol != evidence.Default || s.Trial.Purpose != Restore || s.Trial.Settled {
			t.Errorf("%+v", s.Trial)
		}
		h.s = h.r.Awake(roundTrip(t, s), h.now)
		h.lossy[http2] = true
		h.run("restored", func() bool { return h.setting == evidence.Default })
	})
	t.Run("a new start has no way back", func(t *testing.T) {
		h := stripped(t, evidence.HTTP2, http2)
		h.noUDP = true
		h.sight = func(in *Sight) { in.QUIC = evidence.Off }
		h.run("on trial", func() bool { return h.s.Trial != nil })
		if s := h.r.Abandon(h.s, h.now); s.Trial == nil || s.Trial.Purpose != Trial || !s.Trial.Settled {
			t.Errorf("%+v", s.Trial)
		}
	})
	t.Run("a fail-back", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.run("failing back", func() bool { return h.s.Trial != nil && h.s.Trial.Purpose == Failback })
		s := h.r.Abandon(h.s, h.now)
		if s.Trial == nil || s.Trial.Protocol != evidence.HTTP2 || s.Trial.Purpose != Return {
			t.Errorf("%+v", s.Trial)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		h := newHome(t, evidence.Auto)
		if s := h.r.Abandon(h.s, h.now); s.Trial != nil {
			t.Errorf("%+v", s.Trial)
		}
	})
}

func TestAClockThatWasWrongHoldsNothingUpForYears(t *testing.T) {
	future := time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	t.Run("a hold", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.s.HoldUntil = future
		h.runFor(7 * time.Hour)
		h.ordered(Change{evidence.HTTP2, Trial})
	})
	t.Run("a fail-back", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.run("cured", func() bool { return h.s.Failback != nil })
		h.s.Failback.Due = future
		h.lossy = nil
		h.runFor(3 * day)
		if h.setting != evidence.Auto {
			t.Error("still waiting")
		}
	})
	t.Run("the budget stays kept", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic)
		h.s.Restarts = slices.Repeat([]time.Time{future}, 6)
		h.runFor(23 * time.Hour)
		h.ordered()
		h.runFor(2 * time.Hour)
		h.ordered(Change{evidence.HTTP2, Trial})
	})
	t.Run("back to the past in mid-incident", func(t *testing.T) {
		h := stripped(t, evidence.Auto, quic, http2)
		h.run("holding", func() bool { return h.s.Phase == Holding })
		h.now = h.now.Add(-40 * day)
		h.runFor(time.Hour)
		if h.d.Next > h.r.Interval || len(h.s.Restarts) > h.r.Budget {
			t.Errorf("%s, %d", h.d.Next, len(h.s.Restarts))
		}
		h.lossy = nil
		h.run("recovered", func() bool { return h.s.Incident == nil })
	})
}

func roundTrip(t *testing.T, s State) State {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(raw) {
		t.Fatalf("%s\n%s", raw, again)
	}
	return back
}

func TestTheStateSurvivesAsJSONAtEveryStage(t *testing.T) {
	h := stripped(t, evidence.Default, quic)
	seen := map[Phase]bool{}
	h.run("the whole story", func() bool {
		seen[h.s.Phase] = true
		back := roundTrip(t, h.s)
		if back.Own != h.s.Own || back.Set != h.s.Set || back.OwnKnown != h.s.OwnKnown || (back.Trial == nil) != (h.s.Trial == nil) ||
			(back.Incident == nil) != (h.s.Incident == nil) || !reflect.DeepEqual(h.s.Failback, back.Failback) && h.s.Failback.Due.UnixNano() != back.Failback.Due.UnixNano() {
			t.Fatalf("%+v\n%+v", h.s, back)
		}
		return h.told(StepReturned) > 0
	})
	for _, p := range []Phase{Healthy, Suspect, Treating} {
		if !seen[p] {
			t.Errorf("never %s", p)
		}
	}
}

func TestAZeroStateLearnsTheOwnSettingOnce(t *testing.T) {
	r, now := defaults(), time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s, d := r.Observe(State{}, now, Sight{Vote: works, Cause: diagnosis.Healthy, Setting: evidence.HTTP2, SettingKnown: true})
	if !s.OwnKnown || s.Own != evidence.HTTP2 || s.Set != evidence.HTTP2 || len(d.Steps) != 0 || d.Change != nil {
		t.Errorf("%+v %+v", s, d)
	}
}

func TestAnAlarmIsNotYetEnoughForARestart(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.sight, h.takes = silent, 40*time.Second
	h.times(4, fails)
	if h.s.Incident == nil || !slices.Equal(h.d.Closed, []Gate{GateEvidence}) {
		t.Fatalf("closed: %q", h.d.Closed)
	}
	if n := 4 + h.untilOrder(); n != 7 {
		t.Errorf("in a home whose noise is not known yet it took %d failures in a row", n)
	}
}

// silent makes a failure one that may be a loss on the way.
func silent(in *Sight) {
	if in.Vote == fails {
		in.Cause = diagnosis.UpgradeSilent
	}
}

// Home Assistant's own words weigh more than silence, as far as this home has not
// shown otherwise. Looks that take so long outlast any dying connection.
func TestHowManyFailuresInARowARestartTakes(t *testing.T) {
	for name, c := range map[string]struct {
		noise detect.Noise
		sight func(*Sight)
		want  int
	}{
		"silent, noise not known yet":             {detect.Noise{}, silent, 7},
		"silent, one in a hundred is lost":        {detect.Noise{Failures: 20, Probes: 2000}, silent, 6},
		"silent, three in a hundred are lost":     {detect.Noise{Failures: 150, Probes: 5000}, silent, 7},
		"told of, noise not known yet":            {detect.Noise{}, nil, 4},
		"told of, one in a hundred is lost":       {detect.Noise{Failures: 20, Probes: 2000}, nil, 4},
		"told of, where that happens by chance":   {detect.Noise{Failures: 20, Explicit: 20, Probes: 2000}, nil, 5},
		"silent, where only words come by chance": {detect.Noise{Failures: 20, Explicit: 20, Probes: 2000}, silent, 5},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, evidence.Auto)
			h.s.Noise, h.sight, h.takes = c.noise, c.sight, 40*time.Second
			if n := h.untilOrder(); n != c.want {
				t.Errorf("%d", n)
			}
		})
	}
}

func TestAnAlarmThatWasNoiseEndsByItself(t *testing.T) {
	h := newHome(t, evidence.Auto)
	for range 4 {
		h.look(fails)
		h.look(works)
	}
	if h.s.Incident == nil {
		t.Fatal("no alarm")
	}
	at := h.now
	h.run("over", func() bool { return h.s.Incident == nil })
	if len(h.orders) > 0 || h.now.Sub(at) > 15*time.Minute {
		t.Errorf("%v, after %s", h.orders, h.now.Sub(at))
	}
}

func TestWhatIsBetterButNotCleanStaysWhileTheFaultLasts(t *testing.T) {
	h := trialWith(t, 1, 2, works, works, works, works, works, works, works, works, works, fails)
	if h.told(StepAdopted) != 1 || h.s.Incident == nil || h.setting != evidence.HTTP2 || h.s.Phase != Holding {
		t.Fatalf("%s\n%s", h.s.Phase, h.story())
	}
	for range 200 {
		h.times(9, works)
		h.look(fails)
	}
	if len(h.orders) != 1 || h.s.Incident == nil {
		t.Fatalf("%v\n%s", h.orders, h.story())
	}
	h.run("over, and the own setting back", func() bool { return h.s.Incident == nil && h.setting == evidence.Auto && h.s.Trial == nil })
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Failback})
}

func TestACureThatIsBetterThanTheOwnSettingGoesBack(t *testing.T) {
	h := stripped(t, evidence.Default, quic)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	// Now the cure loses a part, while the own setting still loses all.
	for i := 0; h.s.Phase != Holding; i++ {
		switch {
		case h.setting == evidence.HTTP2 && i%5 == 0, h.setting != evidence.HTTP2:
			h.look(fails)
		default:
			h.look(works)
		}
		if i > 5000 {
			t.Fatal(h.story())
		}
	}
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Default, Trial}, Change{evidence.HTTP2, Restore})
}

// The good probes after a fault must not make it look so rare that its end is never
// certain.
func TestAnIncidentEndsSoonHoweverFewFailuresItBeganWith(t *testing.T) {
	for _, failures := range []int{4, 6, 8, 9, 20} {
		h := stripped(t, evidence.Auto, quic, http2)
		h.r.Heal = false // nothing is tried: the failures are these alone
		h.times(failures, fails)
		if h.s.Incident == nil {
			t.Fatalf("%d failures open no incident", failures)
		}
		h.times(22, works)
		if h.s.Incident != nil {
			t.Errorf("a total loss of %d probes is not over after 22 good ones", failures)
		}
	}
}

// One of the four connections may have died unnoticed, for up to 29 s: what fails in
// silence for so long, and passes, is not worth a restart.
func TestWhatMayBeADyingConnectionIsWaitedOut(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	h.sight = silent
	for len(h.orders) == 0 {
		h.look(fails)
		h.look(works)
	}
	if waited := h.steps[len(h.steps)-1].At.Sub(h.s.Incident.Alarm); waited < 30*time.Second || waited > 60*time.Second { // the restart's 12 s included
		t.Errorf("after %s", waited)
	}
	// Enough of it, then little more than what this home loses at random: that is no proof.
	h = stripped(t, evidence.Auto, quic)
	h.sight, h.s.Noise = silent, detect.Noise{Failures: 25, Probes: 2500}
	h.times(4, fails)
	for range 12 {
		h.times(2, works)
		h.look(fails)
	}
	for range 12 {
		h.times(30, works)
		h.look(fails)
	}
	h.ordered()
	// A dying connection takes a quarter; that all is lost it does not explain.
	h = stripped(t, evidence.Auto, quic)
	h.sight, h.takes, h.s.Noise = silent, 2*time.Second, detect.Noise{Failures: 25, Probes: 2500}
	if n := h.untilOrder(); n != 8 {
		t.Errorf("a total silence took %d probes", n)
	}
	// What is refused at once may be a hiccup of some seconds, however many looks fall into it.
	h = stripped(t, evidence.Auto, quic)
	h.sight, h.takes, h.s.Noise = silent, 400*time.Millisecond, detect.Noise{Failures: 25, Probes: 2500}
	h.look(fails)
	began := h.now
	h.untilOrder()
	if waited := h.steps[len(h.steps)-1].At.Sub(began) - 12*time.Second; waited < 8*time.Second || waited > 12*time.Second {
		t.Errorf("after %s", waited)
	}
	h = stripped(t, evidence.Auto, quic)
	onset := h.now
	h.untilOrder()
	if waited := h.now.Sub(onset); waited > 15*time.Second { // the restart's own 12 s
		t.Errorf("Home Assistant told of it, and it took %s", waited)
	}
}

func TestQUICThatGetsNoAnswerIsTriedOnlyWhereNothingGetsThrough(t *testing.T) {
	for name, c := range map[string]struct {
		quic  evidence.Switch
		share int // one failure in so many looks
		own   evidence.Protocol
		want  []Change
	}{
		"a partial loss, no answer":          {evidence.Off, 3, evidence.HTTP2, nil},
		"a partial loss, it answers":         {evidence.On, 3, evidence.HTTP2, []Change{{evidence.Auto, Trial}}},
		"a partial loss, it was not asked":   {evidence.NotKnown, 3, evidence.HTTP2, []Change{{evidence.Auto, Trial}}},
		"a total loss, no answer: anew":      {evidence.Off, 1, evidence.HTTP2, []Change{{evidence.HTTP2, Trial}}},
		"a total loss, auto has fallen back": {evidence.Off, 1, evidence.Auto, []Change{{evidence.HTTP2, Trial}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, c.own)
			h.noUDP = c.quic == evidence.Off
			h.sight = func(in *Sight) { in.QUIC = c.quic }
			looks := 0
			for ; len(h.orders) == 0 && looks < 400; looks++ {
				v := works
				if looks%c.share == 0 {
					v = fails
				}
				h.look(v)
			}
			if !slices.Equal(h.orders, c.want) {
				t.Fatalf("ordered %v\n%s", h.orders, h.story())
			}
			if c.quic == evidence.Off && len(c.want) > 0 && looks < nothingPasses {
				t.Errorf("after %d looks: a restart that very likely is in vain takes proof that it takes nothing from anybody", looks)
			}
			if len(c.want) == 0 && (h.s.Phase != Holding || !slices.Contains(h.d.Closed, GateQUIC) && !slices.Contains(closedTo(h.r, trying, h.s, h.now, h.sees(fails)), GateQUIC)) {
				t.Errorf("nothing can be tried, and the phase is %s", h.s.Phase)
			}
		})
	}
	t.Run("a tunnel over QUIC knows better", func(t *testing.T) {
		h := newHome(t, evidence.HTTP2)
		h.sight = func(in *Sight) { in.QUIC = evidence.Off }
		h.look(works)
		h.setting, h.sight = evidence.QUIC, nil // by hand
		h.look(works)
		if h.s.QUICShut {
			t.Error("it still counts as blocked")
		}
	})
}

func TestFailbackWaitsUntilNobodyIsConnected(t *testing.T) {
	for name, c := range map[string]struct {
		inUse    func(time.Time) bool
		interval time.Duration
		from, to int // minutes after three
	}{
		"nobody":                            {func(time.Time) bool { return false }, 2 * time.Minute, 0, 3},
		"somebody until half past three":    {func(at time.Time) bool { return at.Hour() == 3 && at.Minute() < 30 }, 2 * time.Minute, 30, 33},
		"somebody always":                   {func(time.Time) bool { return true }, 2 * time.Minute, 90, 93},
		"somebody always, and looks seldom": {func(time.Time) bool { return true }, time.Hour, 0, 60},
	} {
		t.Run(name, func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			h.r.Interval = c.interval
			h.run("cured", func() bool { return h.told(StepCured) > 0 })
			h.lossy = nil
			h.sight = func(in *Sight) { in.InUse = c.inUse(h.now) }
			h.run("trying", func() bool { return h.told(StepFailback) > 0 })
			at := h.steps[slices.IndexFunc(h.steps, func(s Step) bool { return s.Kind == StepFailback })].At
			if min := (at.Hour()-3)*60 + at.Minute(); min < c.from || min > c.to {
				t.Errorf("at %s", at.Format("15:04"))
			}
		})
	}
}

// By bad luck the protocol that loses less looked no better on its trial. What is
// seen since, under the setting that went back, shows it.
func TestARefusalOnThinEvidenceGetsASecondChance(t *testing.T) {
	each := func(n int) []diagnosis.Vote { return append(slices.Repeat([]diagnosis.Vote{works}, n-1), fails) }
	h, looks := newHome(t, evidence.Auto), 0
	show := func(votes ...diagnosis.Vote) { // under their own setting every third is lost
		h.look(votes[looks%len(votes)])
		looks++
	}
	for len(h.orders) == 0 {
		show(each(3)...)
	}
	for h.s.Trial != nil { // now nearly a third, too
		show(each(4)...)
	}
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Restore})
	held := h.now
	for len(h.orders) == 2 {
		show(each(2)...) // but a half, in truth, under their own
		if h.now.Sub(held) > 3*time.Hour {
			t.Fatalf("no second chance\n%s", h.story())
		}
	}
	if h.now.Sub(held) < 29*time.Minute {
		t.Error("the hold was not kept")
	}
	for h.s.Trial != nil {
		show(each(6)...)
	}
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Restore}, Change{evidence.HTTP2, Trial})
	if h.told(StepAdopted) != 1 {
		t.Error(h.story())
	}
}

func TestNoProtocolGetsAThirdChance(t *testing.T) {
	inc := Incident{Setting: evidence.Auto, Transport: quic, Tally: detect.Tally{Failures: 300, Probes: 600}}
	seen := Attempt{Protocol: evidence.HTTP2, Transport: http2, Tally: detect.Tally{Failures: 20, Probes: 60}, Fair: true}
	inc.Tried = []Attempt{seen}
	if inc.tried(evidence.HTTP2) {
		t.Error("no second chance, though it lost a third where their own loses a half")
	}
	inc.Tried = append(inc.Tried, seen)
	if !inc.tried(evidence.HTTP2) {
		t.Error("a third chance")
	}
	for name, a := range map[string]detect.Tally{"as bad": {Failures: 30, Probes: 60}, "hardly better": {Failures: 27, Probes: 60}, "a total loss": {Failures: 4, Probes: 4}, "too few to tell": {Failures: 1, Probes: 3}} {
		inc.Tried = []Attempt{{Protocol: evidence.HTTP2, Transport: http2, Tally: a, Fair: true}}
		if !inc.tried(evidence.HTTP2) {
			t.Errorf("%s: a second chance", name)
		}
	}
}

func TestOfTwoOverTheSameTransportTheirOwnIsTried(t *testing.T) {
	h := stripped(t, evidence.QUIC, quic)
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	h.lossy = map[evidence.Transport]bool{http2: true}
	h.run("tried again", func() bool { return len(h.orders) > 1 })
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.QUIC, Trial})
}

func TestTheReturnOfAFaultThatIsToldOfIsSeenAtTheSecondProbe(t *testing.T) {
	for name, c := range map[string]struct {
		sight func(*Sight)
		want  int
	}{"told of": {nil, 2}, "silent": {silent, 3}} {
		t.Run(name, func(t *testing.T) {
			h := stripped(t, evidence.Auto, quic)
			h.s.Noise = detect.Noise{Failures: 10, Probes: 4000}
			h.run("failing back", func() bool { return h.s.Trial != nil && h.s.Trial.Purpose == Failback })
			h.sight = c.sight
			n := 0
			for ; h.s.Trial != nil && h.s.Trial.Purpose == Failback; n++ {
				h.look(fails)
			}
			if n != c.want {
				t.Errorf("%d", n)
			}
		})
	}
}

func TestAnAlarmByChanceCountsAsThisHomesNoise(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.sight = silent
	for range 4 {
		h.look(fails)
		h.look(works)
	}
	if h.s.Incident == nil || h.s.Noise.Failures != 0 {
		t.Fatalf("%+v, %+v", h.s.Incident, h.s.Noise)
	}
	h.run("over", func() bool { return h.s.Incident == nil })
	if h.s.Noise.Failures != 1 {
		t.Errorf("%+v", h.s.Noise)
	}
	h.look(fails)
	h.run("clear", func() bool { return h.s.Detector.Score() == 0 })
	if h.s.Noise.Failures != 2 || h.s.Noise.Explicit != 0 {
		t.Errorf("%+v", h.s.Noise)
	}
}

func TestTheLastWordSaysWhetherItWasAFault(t *testing.T) {
	for failures, fault := range map[int]bool{4: false, 20: true} {
		h := stripped(t, evidence.Auto, quic)
		h.r.Heal, h.sight, h.takes = false, silent, 3*time.Second
		h.times(failures, fails)
		h.run("over", func() bool { h.lossy = nil; return h.s.Incident == nil })
		last := h.steps[len(h.steps)-1]
		if last.Kind != StepRecovered || (last.Why == NoReason) != fault || last.Seen == (detect.Tally{Failures: 4, Probes: 4}) == fault {
			t.Errorf("after %d failures: %+v", failures, last)
		}
		if h.s.Noise.Failures > 0 == fault {
			t.Errorf("after %d failures noise is %+v", failures, h.s.Noise)
		}
	}
}

// Where QUIC gets no answer, a new start comes first: it has no way back. Only when
// that has not helped either, and nothing gets through, QUIC is tried all the same.
func TestWhereNoOtherWayIsToBeHadTheTunnelIsStartedAnew(t *testing.T) {
	h := stripped(t, evidence.HTTP2, http2)
	h.noUDP = true
	h.sight = func(in *Sight) { in.QUIC = evidence.Off }
	h.runFor(5 * time.Hour)
	h.ordered(Change{evidence.HTTP2, Trial}, Change{evidence.Auto, Trial}, Change{evidence.HTTP2, Restore})
	if h.s.Phase != Holding {
		t.Errorf("%s\n%s", h.s.Phase, h.story())
	}
	h = stripped(t, evidence.HTTP2, http2)
	h.noUDP = true
	h.sight = func(in *Sight) { in.QUIC = evidence.Off }
	h.outcome = func(Change) *Outcome { h.lossy = nil; return nil } // any restart cures
	h.run("cured", func() bool { return h.told(StepCured) > 0 })
	h.ordered(Change{evidence.HTTP2, Trial})
	if h.s.Failback != nil || h.s.Set != h.s.Own {
		t.Errorf("%+v", h.s.Failback)
	}
}

// What is neither proven nor refuted is not asked after twice a second for ever.
func TestProofIsGatheredCloselyForFiveMinutes(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.sight, h.s.Noise = silent, detect.Noise{Failures: 25, Probes: 2500}
	looks, began := 0, time.Time{}
	for i := 0; began.IsZero() || h.now.Sub(began) < time.Hour; i++ {
		v := works
		if i%25 == 0 || began.IsZero() { // one in 25
			v = fails
		}
		h.look(v)
		if h.s.Incident != nil && began.IsZero() {
			began = h.now
		}
		if !began.IsZero() {
			looks++
		}
	}
	if len(h.orders) == 0 && looks > 5*60*2+200 {
		t.Errorf("%d looks in an hour", looks)
	}
}

func TestWhatIsThereAlreadyIsNotRestored(t *testing.T) {
	h := newHome(t, evidence.Auto)
	h.setting, h.s.Set = evidence.HTTP2, evidence.HTTP2 // a cure
	h.s.Incident = &Incident{Setting: evidence.HTTP2, Transport: http2, Tally: detect.Tally{Failures: 10, Probes: 100}, Alarm: h.now,
		Tried: []Attempt{{Protocol: evidence.Auto, Transport: quic, Tally: detect.Tally{Failures: 9, Probes: 10}, Fair: true}}}
	h.follow(h.pure(func(s State) (State, Decision) {
		s = s.clone()
		turn := turn{moment: moment{&h.r, &s, h.now, &Sight{}}}
		s.Incident.giveUp(&turn)
		return s, turn.decided()
	}))
	h.ordered()
	if h.told(StepHold) != 1 {
		t.Error(h.story())
	}
}
