package policy

import (
	"fmt"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// lossless lets a home's tunnel be well under every protocol.
func lossless(h *home) { h.lossy = map[evidence.Transport]bool{} }

// The states that the policy can be in, and how a home comes there.
var states = map[string]func(*testing.T) *home{
	"healthy":   func(t *testing.T) *home { return newHome(t, evidence.Auto) },
	"suspected": func(t *testing.T) *home { h := newHome(t, evidence.Auto); h.look(fails); return h },
	"alarmed, not proven": func(t *testing.T) *home {
		h := newHome(t, evidence.Auto)
		h.sight = silent
		h.run("an incident", func() bool { h.look(fails); return h.s.Incident != nil })
		h.sight = nil
		return h
	},
	"proving": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.run("a trial", func() bool { return h.s.Trial != nil && h.s.Trial.Settled })
		return h
	},
	"proving the last candidate": func(t *testing.T) *home {
		h := stripped(t, evidence.HTTP2, quic, http2)
		h.run("a trial", func() bool { return h.s.Trial != nil && h.s.Trial.Settled && h.s.Trial.Purpose == Trial })
		return h
	},
	"holding": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic, http2)
		h.run("a hold", func() bool { return h.now.Before(h.s.HoldUntil) })
		return h
	},
	"cured": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.run("a cure", func() bool { return h.s.Failback != nil && h.s.Incident == nil })
		return h
	},
	"failing back": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.run("a fail-back", func() bool { return h.s.Trial != nil && h.s.Trial.Settled && h.s.Trial.Purpose == Failback })
		return h
	},
	"proving by hand": func(t *testing.T) *home {
		h := newHome(t, evidence.Auto)
		s, d, err := h.r.Try(h.s, h.now, h.sees(works), evidence.HTTP2)
		if err != nil {
			t.Fatal(err)
		}
		h.follow(s, d)
		return h
	},
	"the way back not made": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic, http2)
		h.outcome = func(c Change) *Outcome {
			if c.Purpose != Restore {
				return nil
			}
			return &Outcome{Result: CannotStart, Setting: c.Protocol}
		}
		h.run("a way back that waits", func() bool { return h.s.Trial != nil && h.s.Trial.Purpose == Restore })
		return h
	},
	"stopped by us": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.outcome = func(c Change) *Outcome { return &Outcome{Result: Crashed, Restarts: 1, Setting: c.Protocol} }
		h.run("stopped by us", func() bool { return h.s.StoppedByUs })
		return h
	},
	"paused": func(t *testing.T) *home {
		h := newHome(t, evidence.Auto)
		h.s, _ = h.r.Pause(h.s, h.now, h.now.Add(time.Hour))
		return h
	},
	"asked":             func(t *testing.T) *home { return asked(t) },
	"asked, and agreed": func(t *testing.T) *home { h := asked(t); h.answer(true); return h },
	"asked about the night, and agreed": func(t *testing.T) *home {
		h := stripped(t, evidence.Auto, quic)
		h.run("a cure", func() bool { return h.s.Failback != nil && h.s.Incident == nil })
		h.r.Ask = true
		lossless(h)
		h.run("a question", func() bool { return h.s.Question != nil })
		h.answer(true)
		return h
	},
	"unsure": func(t *testing.T) *home { h := newHome(t, evidence.Auto); h.s.Doubt = Unsure; return h },
}

// kindsOfEvidence are what a look may say, for as long as one looks.
var kindsOfEvidence = map[string]func(*Sight){
	"works":    func(in *Sight) { in.Vote, in.Cause, in.Remedy = works, diagnosis.Healthy, diagnosis.NoRemedy },
	"stripped": func(in *Sight) { in.Vote, in.Cause, in.Remedy = fails, diagnosis.UpgradeStripped, diagnosis.Rotate },
	"silent":   func(in *Sight) { in.Vote, in.Cause, in.Remedy = fails, diagnosis.UpgradeSilent, diagnosis.Rotate },
	"quic blocked": func(in *Sight) {
		in.Vote, in.Cause, in.Remedy, in.QUIC = fails, diagnosis.QUICBlocked, diagnosis.Rotate, evidence.Off
	},
	"tunnel down":    func(in *Sight) { in.Vote, in.Cause, in.Remedy = abstains, diagnosis.TunnelDown, diagnosis.Wait },
	"hung":           func(in *Sight) { in.Vote, in.Cause, in.Remedy = abstains, diagnosis.ConnectorHung, diagnosis.Restart },
	"a login before": func(in *Sight) { in.Vote, in.Cause, in.Remedy = abstains, diagnosis.AccessLogin, diagnosis.Tell },
	"unknown":        func(in *Sight) { in.Vote, in.Cause, in.Remedy = abstains, diagnosis.Unknown, diagnosis.Tell },
	"no internet": func(in *Sight) {
		in.Vote, in.Cause, in.Remedy, in.Internet, in.ThroughCloudflare = abstains, diagnosis.NoInternet, diagnosis.Wait, evidence.InternetDown, false
	},
	"the app down": func(in *Sight) {
		in.Vote, in.Cause, in.Remedy = abstains, diagnosis.ConnectorStopped, diagnosis.Tell
		if in.State == evidence.StateError {
			in.Remedy = diagnosis.Start
		}
	},
	"nothing to look at": func(in *Sight) { *in = Sight{Blind: true} },
}

var appStates = []evidence.AddOnState{"", evidence.StateStartup, evidence.StateStarted, evidence.StateStopped, evidence.StateError, evidence.StateUnknown}

// TestEveryStateIsLeft holds every state against every state of the app and every kind of
// evidence, for 26 hours of the same, and then two days in which all is well. Nothing
// may be proven for longer than a few hours, a way back is tried again and again, and in
// the end the home runs with its own setting, or with one that has proven better.
func TestEveryStateIsLeft(t *testing.T) {
	combinations := 0
	for state, into := range states {
		for _, app := range appStates {
			for kind, shows := range kindsOfEvidence {
				combinations++
				if testing.Short() && combinations%8 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s, app %q, %s", state, app, kind), func(t *testing.T) {
					t.Parallel()
					h := into(t)
					h.r.Interval, h.quick = 20*time.Minute, true // fewer looks to the same end
					h.sight = func(in *Sight) {
						in.State, in.SupervisorFree, in.SettingKnown = app, app == evidence.StateStarted, app != ""
						if !in.SupervisorFree {
							in.Running, in.Transport = 0, evidence.NoTransport
						}
						shows(in)
					}
					h.outcome = func(c Change) *Outcome { return carriedOut(app, h, c) }
					proving := time.Duration(0)
					h.until(h.now.Add(day+2*time.Hour), func() {
						if tr := h.s.Trial; tr != nil && tr.Settled {
							proving = max(proving, h.now.Sub(tr.Since))
						}
					})
					if proving > proving1 {
						t.Errorf("proven for %s\n%s", proving, h.story())
					}
					if tr := h.s.Trial; tr != nil && (tr.Settled && h.now.Sub(tr.Since) > proving1 || !tr.Settled && (tr.Retry.IsZero() || tr.Retry.After(h.now.Add(h.r.HoldBase)))) {
						t.Errorf("a trial that nothing ends: %+v\n%s", *tr, h.story())
					}
					if inc := h.s.Incident; inc != nil && !inc.Silent.IsZero() && h.now.Sub(inc.Silent) > day+time.Hour {
						t.Errorf("an incident that nothing ends: %+v\n%s", *inc, h.story())
					}
					h.sight, h.outcome = nil, nil
					lossless(h)
					h.until(h.now.Add(2*day), func() {})
					if h.s.Trial != nil || h.s.Incident != nil || h.s.StoppedByUs {
						t.Errorf("all is well, and it is %s: trial %+v, incident %+v, stopped by us %t\n%s", h.s.Phase, h.s.Trial, h.s.Incident, h.s.StoppedByUs, h.story())
					}
					if h.setting.Effective() != h.s.Own.Effective() && h.s.Failback == nil || h.setting != h.s.Set {
						t.Errorf("own %s, set %s, there %s\n%s", h.s.Own, h.s.Set, h.setting, h.story())
					}
				})
			}
		}
	}
	t.Logf("%d states × %d of the app × %d kinds of evidence = %d", len(states), len(appStates), len(kindsOfEvidence), combinations)
}

// proving1 is how long a trial may be proven, and a look more.
const proving1 = proving + time.Hour

// until looks until a time, as the sight says, and lets each look be looked at.
func (h *home) until(end time.Time, each func()) {
	h.t.Helper()
	for n := 0; h.now.Before(end); n++ {
		if n > 20_000 {
			h.t.Fatalf("looked at every %s: phase %s, trial %+v, incident %+v\n%s", h.d.Next, h.s.Phase, h.s.Trial, h.s.Incident, h.story())
		}
		h.truth()
		each()
	}
}

// carriedOut is what becomes of a change with an app in this state.
func carriedOut(app evidence.AddOnState, h *home, c Change) *Outcome {
	//exhaustive:ignore
	switch app {
	case evidence.StateStarted:
		return nil
	case evidence.StateStopped:
		back := c.Protocol
		if c.Purpose == Trial || c.Purpose == Failback || c.Purpose == ByHand {
			back = h.setting // it is not begun
		}
		return &Outcome{Result: UserStopped, Setting: back}
	case evidence.StateError:
		return &Outcome{Result: Crashed, Setting: c.Protocol}
	case "":
		return &Outcome{Result: NotAvailable, Setting: h.setting}
	}
	return &Outcome{Result: Busy, Setting: h.setting}
}
