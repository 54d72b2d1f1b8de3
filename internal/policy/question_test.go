package policy

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// asked is a home in the mode ask whose QUIC loses every upgrade, at the moment of the question.
func asked(t *testing.T) *home {
	h := stripped(t, evidence.Auto, quic)
	h.r.Ask = true
	h.run("a question", func() bool { return h.s.Question != nil })
	return h
}

// answer is a person's answer to the question that stands.
func (h *home) answer(yes bool) {
	h.t.Helper()
	if err := h.answers(h.s.Question.ID, yes); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) answers(id string, yes bool) error {
	h.t.Helper()
	var refused error
	h.follow(h.pure(func(s State) (State, Decision) {
		s, d, err := h.r.Answer(s, h.now, id, yes)
		refused = err
		return s, d
	}))
	h.now = h.now.Add(h.d.Next)
	return refused
}

func (h *home) last(k StepKind) Step {
	h.t.Helper()
	for n := len(h.steps) - 1; n >= 0; n-- {
		if h.steps[n].Kind == k {
			return h.steps[n]
		}
	}
	h.t.Fatalf("no step %s\n%s", k, h.story())
	return Step{}
}

func TestNothingIsDoneBeforeAYes(t *testing.T) {
	h := asked(t)
	if q := h.s.Question; q.Purpose != Trial || q.Protocol != evidence.HTTP2 || h.s.Phase != Holding {
		t.Fatalf("%+v, %s", q, h.s.Phase)
	}
	h.times(12, diagnosis.Fails)
	h.ordered()
	h.answer(true)
	h.look(diagnosis.Fails)
	h.ordered(Change{evidence.HTTP2, Trial})
	h.run("a cure", func() bool { return h.told(StepCured) == 1 })
	if n := h.told(StepAsked); n != 1 || h.s.Question != nil {
		t.Errorf("asked %d times, %+v", n, h.s.Question)
	}
}

// A question whose time is over is told, and asked again later and later; a no is one for hours.
func TestAQuestionIsAskedLessAndLess(t *testing.T) {
	h := asked(t)
	var when []time.Time
	h.until(h.now.Add(day), func() {
		if n := h.told(StepAsked); n > len(when) {
			when = append(when, h.now)
		}
	})
	h.ordered()
	if n := h.told(StepExpired); n < 4 || n > 7 || len(when) < n {
		t.Fatalf("in a day asked at %v, and %d times in vain\n%s", when, n, h.story())
	}
	h.run("a question", func() bool { return h.s.Question != nil })
	h.answer(false)
	if s := h.last(StepAnswered); s.Why != WhyNo || s.Until.Sub(h.now) < 5*time.Hour || h.s.Phase != Holding {
		t.Errorf("%+v, %s", s, h.s.Phase)
	}
	before := h.told(StepAsked)
	h.until(h.now.Add(5*time.Hour), func() {})
	h.ordered()
	if n := h.told(StepAsked); n != before {
		t.Errorf("asked again %d times within hours of a no", n-before)
	}
}

func TestAnAnswerCountsOnceAndInTime(t *testing.T) {
	past := func(h *home) string { return h.s.Question.ID }
	for name, c := range map[string]struct {
		before func(*home)
		id     func(*home) string
		yes    bool
		want   Refused
	}{
		"another id":                {func(*home) {}, func(*home) string { return "20200101T000000.000Z" }, true, NotAsked},
		"none":                      {func(h *home) { h.answer(false) }, func(*home) string { return "" }, true, NotAsked},
		"late":                      {func(h *home) { h.now = h.s.Question.Until }, past, true, NotAsked},
		"yes twice":                 {func(h *home) { h.answer(true) }, past, true, Answered},
		"what has passed by itself": {func(h *home) { lossless(h); h.run("well", func() bool { return h.s.Incident == nil }) }, nil, true, NotAsked},
		"changed by hand":           {func(h *home) { h.setting = evidence.QUIC; h.look(diagnosis.Fails) }, nil, true, NotAsked},
		"paused":                    {func(h *home) { h.s, _ = h.r.Pause(h.s, h.now, h.now.Add(time.Hour)) }, nil, true, NotAsked},
		"begun":                     {func(h *home) { h.answer(true); h.look(diagnosis.Fails) }, nil, false, NotAsked},
	} {
		t.Run(name, func(t *testing.T) {
			h := asked(t)
			stood := h.s.Question.ID
			c.before(h)
			id := stood
			if c.id != nil {
				id = c.id(h)
			}
			var why Refusal
			if err := h.answers(id, c.yes); !errors.As(err, &why) || why.Because != c.want {
				t.Errorf("%v\n%s", err, h.story())
			}
		})
	}
}

// Two people who do not agree leave the tunnel as it is.
func TestANoCountsAfterAYes(t *testing.T) {
	h := asked(t)
	id := h.s.Question.ID
	h.answer(true)
	if err := h.answers(id, false); err != nil {
		t.Fatal(err)
	}
	h.times(20, diagnosis.Fails)
	h.ordered()
}

func TestAYesWhileNothingCanBeSeenWaitsAndLapses(t *testing.T) {
	h := asked(t)
	h.sight = func(in *Sight) { *in = Sight{Blind: true} }
	h.look(diagnosis.Fails)
	h.answer(true)
	h.look(diagnosis.Fails)
	h.ordered()
	h.sight = nil
	h.look(diagnosis.Fails)
	h.ordered(Change{evidence.HTTP2, Trial})

	h = asked(t)
	h.answer(true)
	h.sight = func(in *Sight) { *in = Sight{Blind: true} }
	h.until(h.now.Add(time.Hour), func() {})
	if s := h.last(StepExpired); s.Why != WhyUndone || h.s.Question != nil {
		t.Errorf("%+v", s)
	}
	h.ordered()
}

// What a person agreed to and Supervisor was too busy for needs no second yes.
func TestAYesOutlivesABusySupervisor(t *testing.T) {
	h := asked(t)
	busy := true
	h.outcome = func(c Change) *Outcome {
		if !busy {
			return nil
		}
		busy = false
		return &Outcome{Result: Busy, Setting: h.s.Set}
	}
	h.answer(true)
	h.run("a second order", func() bool { return len(h.orders) == 2 })
	if h.told(StepAsked) != 1 {
		t.Error(h.story())
	}
}

// Putting back what did not help never waits; the next protocol is asked about, at once.
func TestTheWayBackNeverWaitsForAYes(t *testing.T) {
	h := stripped(t, evidence.HTTP2, quic, http2)
	h.r.Ask = true
	h.run("a question", func() bool { return h.s.Question != nil })
	h.answer(true)
	h.run("the own setting is back", func() bool { return h.told(StepRestored) == 1 })
	h.ordered(Change{evidence.Auto, Trial}, Change{evidence.HTTP2, Restore})
	if h.told(StepAsked) != 1 {
		t.Error(h.story())
	}
}

// What was asked survives the end of the program, and a change of the mode ends it.
func TestAQuestionSurvives(t *testing.T) {
	h := asked(t)
	raw, err := json.Marshal(h.s)
	if err != nil {
		t.Fatal(err)
	}
	id := h.s.Question.ID
	h.s = State{}
	if err := json.Unmarshal(raw, &h.s); err != nil {
		t.Fatal(err)
	}
	h.s = h.r.Awake(h.s, h.now)
	h.times(5, diagnosis.Fails)
	if h.s.Question == nil || h.s.Question.ID != id {
		t.Fatalf("%+v\n%s", h.s.Question, h.story())
	}
	h.answer(true)
	h.run("a trial", func() bool { return len(h.orders) == 1 })

	h = asked(t)
	h.r.Ask, h.r.Heal = false, false
	h.look(diagnosis.Fails)
	if h.s.Question != nil || h.told(StepWithdrawn) != 1 {
		t.Error(h.story())
	}
}

// The return to the own setting is asked about by day and made at night; a no is for a day, and a new trouble ends it.
func TestTheNightIsAskedAboutByDay(t *testing.T) {
	night := func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.run("a cure", func() bool { return h.s.Failback != nil && h.s.Incident == nil })
		lossless(h)
		h.r.Ask = true
		h.run("a question", func() bool { return h.s.Question != nil })
		if q, hour := h.s.Question, h.now.In(berlin).Hour(); q.Purpose != Failback || q.Protocol != evidence.Auto || hour < awakeFrom || hour > awakeTo || h.s.Phase != Healthy {
			t.Fatalf("at %d: %+v, %s", hour, q, h.s.Phase)
		}
		h.orders = nil
		return h
	}
	h := night(t)
	h.answer(true)
	h.run("the own setting again", func() bool { return len(h.orders) > 0 })
	if at := h.now.In(berlin).Hour(); at < quietFrom || at >= quietTo {
		t.Errorf("at %d", at)
	}
	h.ordered(Change{evidence.Auto, Failback})

	h = night(t)
	h.answer(false)
	h.until(h.now.Add(20*time.Hour), func() {})
	h.ordered()

	h = night(t)
	h.answer(true)
	h.lossy[http2] = true
	h.run("another question", func() bool { return h.told(StepAsked) == 2 })
	if h.s.Question.Purpose != Trial {
		t.Error(h.story())
	}
}

// A restart of a tunnel that hangs waits too, and ends with the reason for it. The start of an app that does not run does not.
func TestARestartIsAskedAbout(t *testing.T) {
	hung := func(in *Sight) {
		in.Vote, in.Cause, in.Remedy, in.Transport = abstains, diagnosis.ConnectorHung, diagnosis.Restart, evidence.NoTransport
	}
	h := newHome(t, evidence.Auto)
	h.r.Ask, h.sight = true, hung
	h.run("a question", func() bool { return h.s.Question != nil })
	if q := h.s.Question; q.Purpose != Revive {
		t.Fatalf("%+v", q)
	}
	h.answer(true)
	h.run("a restart", func() bool { return len(h.orders) > 0 })
	h.ordered(Change{evidence.Auto, Revive})

	h = newHome(t, evidence.Auto)
	h.r.Ask, h.sight = true, hung
	h.run("a question", func() bool { return h.s.Question != nil })
	h.sight = nil
	h.look(diagnosis.Works)
	if h.s.Question != nil || h.told(StepWithdrawn) != 1 {
		t.Error(h.story())
	}

	h = newHome(t, evidence.Auto)
	h.r.Ask = true
	h.sight = func(in *Sight) {
		in.Vote, in.Cause, in.Remedy, in.State, in.Running, in.SupervisorFree = abstains, diagnosis.ConnectorStopped, diagnosis.Start, evidence.StateError, 0, false
	}
	h.run("a start", func() bool { return len(h.orders) > 0 })
	if h.told(StepAsked) != 0 {
		t.Error(h.story())
	}
}
