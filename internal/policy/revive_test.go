package policy

import (
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// downWith is a home whose tunnel gives no verdict, for this cause.
func downWith(t *testing.T, cause diagnosis.Cause, remedy diagnosis.Remedy, change func(*Sight)) *home {
	h := newHome(t, evidence.Auto)
	h.sight = func(in *Sight) {
		in.Vote, in.Cause, in.Remedy = diagnosis.Abstains, cause, remedy
		if change != nil {
			change(in)
		}
	}
	return h
}

func TestWhatDoesNotComeBackIsStartedAnew(t *testing.T) {
	ended := func(in *Sight) { in.State, in.SupervisorFree, in.Running = evidence.StateError, false, 0 }
	for rule, c := range map[string]struct {
		cause  diagnosis.Cause
		remedy diagnosis.Remedy
		change func(*Sight)
		rules  func(*home)
		after  time.Duration // 0: never
	}{
		"a connector that hangs, after four minutes":        {cause: diagnosis.ConnectorHung, remedy: diagnosis.Restart, after: 4 * time.Minute},
		"a tunnel that stays down, after four minutes":      {cause: diagnosis.TunnelDown, remedy: diagnosis.Wait, change: func(in *Sight) { in.Running = 0 }, after: 4 * time.Minute},
		"an add-on that ended with an error, after two":     {cause: diagnosis.ConnectorStopped, remedy: diagnosis.Start, change: ended, after: 2 * time.Minute},
		"never one that a person stopped":                   {cause: diagnosis.ConnectorStopped, remedy: diagnosis.Tell, change: ended},
		"never while the internet is down":                  {cause: diagnosis.TunnelDown, change: func(in *Sight) { in.Internet, in.ThroughCloudflare = evidence.InternetDown, false }},
		"never where Home Assistant itself does not answer": {cause: diagnosis.ConnectorHung, change: func(in *Sight) { in.DirectWorks = false }},
		"never while Supervisor is busy with it":            {cause: diagnosis.ConnectorHung, change: func(in *Sight) { in.SupervisorFree = false }},
		"never in mode observe":                             {cause: diagnosis.ConnectorHung, rules: func(h *home) { h.r.Heal = false }},
		"never while paused":                                {cause: diagnosis.ConnectorHung, rules: func(h *home) { h.s.PausedUntil = h.now.Add(day) }},
		"never beyond the budget": {cause: diagnosis.ConnectorHung, rules: func(h *home) {
			for range h.r.Budget {
				h.s.Restarts = append(h.s.Restarts, h.now)
			}
		}},
		"never for another cause": {cause: diagnosis.CloudflareError, remedy: diagnosis.Wait},
	} {
		t.Run(rule, func(t *testing.T) {
			h := downWith(t, c.cause, c.remedy, c.change)
			if c.rules != nil {
				c.rules(h)
			}
			began := h.now
			for len(h.orders) == 0 && h.now.Sub(began) < 2*time.Hour {
				h.look(diagnosis.Abstains)
			}
			switch took := h.now.Sub(began); {
			case c.after == 0 && len(h.orders) > 0:
				t.Errorf("ordered %v", h.orders)
			case c.after > 0 && (len(h.orders) == 0 || h.orders[0] != (Change{evidence.Auto, Revive}) || took < c.after || took > c.after+4*time.Minute):
				t.Errorf("ordered %v after %s", h.orders, took)
			}
		})
	}
}

func TestRevivalsGrowSeldomAndKeepTheBudget(t *testing.T) {
	h := downWith(t, diagnosis.ConnectorHung, diagnosis.Restart, nil)
	var at []time.Time
	for began := h.now; h.now.Sub(began) < day-time.Hour; {
		n := len(h.orders)
		h.look(diagnosis.Abstains)
		if len(h.orders) > n {
			at = append(at, h.now)
		}
	}
	if len(at) < 3 || len(at) > h.r.Budget {
		t.Fatalf("%d revivals in a day", len(at))
	}
	for i := 2; i < len(at); i++ {
		if at[i].Sub(at[i-1]) < at[i-1].Sub(at[i-2]) {
			t.Errorf("the pauses do not grow: %v", at)
		}
	}
}

func TestAnAddOnThatARestartOfOursLeftDownIsStarted(t *testing.T) {
	h := stripped(t, evidence.Auto, quic)
	down, tried := true, 0
	h.outcome = func(c Change) *Outcome {
		if !down {
			return nil
		}
		tried++
		return &Outcome{Result: Crashed, Restarts: 1, Setting: c.Protocol}
	}
	h.sight = func(in *Sight) {
		if h.s.StoppedByUs {
			in.Vote, in.Cause, in.Remedy, in.State, in.SupervisorFree = diagnosis.Abstains, diagnosis.ConnectorStopped, diagnosis.Tell, evidence.StateStopped, false
		}
	}
	began := h.now
	for h.now.Sub(began) < 5*time.Hour {
		h.truth()
	}
	if tried < tries || !h.s.StoppedByUs {
		t.Fatalf("%d starts in five hours\n%s", tried, h.story())
	}
	down = false
	h.run("running again, with the own setting", func() bool { return !h.s.StoppedByUs && h.setting == evidence.Auto })
}
