package house_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

func healthy(h *house.House) bool { return h.Status().State == policy.Healthy }

// proving waits until another protocol is set, stands and is being proven.
func proving(h *house.House) {
	h.Helper()
	h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
	h.Sleep(10 * time.Minute)
	h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
	h.Wait("a trial that stands", 10*time.Minute, func() bool { return h.World.Connector.Transport() == http2 && h.Status().State == policy.Treating })
	h.Sleep(5 * time.Second)
}

func told(h *house.House, text string) bool {
	return slices.ContainsFunc(h.World.Core.Told().NotificationLog, func(n lab.NotificationStep) bool { return strings.Contains(n.Message, text) })
}

// flagOf is the protocol that is stored, "" for none.
func flagOf(w *lab.World) string {
	for _, p := range w.Supervisor.RunParameters() {
		if v, ok := strings.CutPrefix(p, "--protocol="); ok {
			return v
		}
	}
	return ""
}

// What is stored is not what info tells: Supervisor adds the defaults that are not stored, and a write loses a key
// that the schema has dropped since. Neither is an edit by a person.
func TestDefaultsThatAreNotStoredAndAKeyThatIsLostAreNobodysEdit(t *testing.T) {
	options := `{"tunnel_token":"` + lab.TunnelToken + `","use_builtin_proxy":true,"run_parameters":["--loglevel=debug"]}`
	opt := lab.Options{AddOns: []lab.AddOn{{Slug: lab.DefaultSlug, Name: "Cloudflared", Version: "6.0.3", Options: []byte(options)}}}
	house.Run(t, opt, nil, func(h *house.House) {
		proving(h)
		h.Wait("it is well", 3*time.Hour, func() bool { return healthy(h) && h.World.OpenShare() == 1 })
		const want = `{"additional_hosts":[],"external_hostname":"","run_parameters":["--loglevel=debug","--protocol=http2"],"tunnel_token":"` + lab.TunnelToken + `"}`
		if got := string(h.World.Supervisor.Options(lab.DefaultSlug)); got != want {
			h.Errorf("stored: %s", got)
		}
		if p := h.Status().Protocol; p.Own != "auto" || p.Setting != "http2" {
			h.Errorf("%+v", p)
		}
		h.Holds("nothing more is restarted", 2*time.Hour, func() bool { return h.World.Supervisor.Restarts() == 1 })
	})
}

func TestAnAppThatCrashesWhileAProtocolIsProvenIsStartedAgain(t *testing.T) {
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		proving(h)
		h.World.Connector.Crash()
		h.Wait("it runs again", 5*time.Minute, func() bool { return h.World.Connector.Connections() == 4 })
		h.Wait("it is well", 3*time.Hour, func() bool { return healthy(h) && h.World.OpenShare() == 1 })
	})
}

func TestAnAppThatIsStoppedWhileAProtocolIsProvenStaysStoppedWithItsOwnSetting(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		proving(h)
		if err := h.World.User.Stops(lab.DefaultSlug); err != nil {
			h.Fatal(err)
		}
		h.Wait("the own setting is stored again", 5*time.Minute, func() bool { return flagOf(h.World) == "" })
		h.Holds("it stays stopped", 6*time.Hour, func() bool { return h.World.Supervisor.State(lab.DefaultSlug) == evidence.StateStopped })
	})
}

func TestATunnelThatCouldNotStartAgainIsNotStopped(t *testing.T) {
	house.Run(t, lab.Options{Local: true}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.World.ChangeFaults(func(f *lab.Faults) { f.APIAway, f.Upgrade = true, lab.Stripped(1, quic).Upgrade })
		h.Sleep(3 * time.Hour)
		if n := h.World.Supervisor.Restarts(); n != 0 || flagOf(h.World) != "" || h.World.Connector.Connections() != 4 {
			h.Errorf("with Cloudflare's API away: %d restarts, protocol %q, %d connections", n, flagOf(h.World), h.World.Connector.Connections())
		}
		if s := h.Status(); !slices.Contains(s.Gates, policy.GateStart) {
			h.Errorf("the gate is not named: %v", s.Gates)
		}
		h.World.ChangeFaults(func(f *lab.Faults) { f.APIAway = false })
		h.Wait("it is healed once the API is back", time.Hour, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
	})
}

// What waits for a start, or only passes on its own, cuts people off all the same: it is
// told, with its end.
func TestWhatLastsIsToldThoughNothingCanBeDone(t *testing.T) {
	for name, c := range map[string]struct {
		local  bool
		begins func(*lab.World)
		ends   func(*lab.Faults)
	}{
		"a start that needs Cloudflare's API": {true, func(w *lab.World) {
			w.ChangeFaults(func(f *lab.Faults) { f.APIAway = true })
			w.Connector.Crash()
		}, func(f *lab.Faults) { f.APIAway = false }},
		"the internet": {false, func(w *lab.World) { w.ChangeFaults(func(f *lab.Faults) { f.InternetDown = true }) }, func(f *lab.Faults) { f.InternetDown = false }},
	} {
		t.Run(name, func(t *testing.T) {
			house.Run(t, lab.Options{Local: c.local}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_pixel"}, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
				c.begins(h.World)
				h.Wait("it is told", 13*time.Minute, func() bool { return told(h, "more than ten minutes") })
				h.Sleep(time.Hour)
				h.World.ChangeFaults(c.ends)
				h.Wait("its end is told, with its length", 45*time.Minute, func() bool { return told(h, "works again, after ") })
				if n := len(h.World.Core.Told().NotifyCalls); n != 2 {
					h.Errorf("phones rang %d times", n)
				}
				h.Wait("the last word goes", 30*time.Minute, func() bool { return len(h.World.Core.Told().Notifications) == 0 })
			})
		})
	}
}

// A restart that was noted, and never sent: nobody but a person can have stopped the app.
func TestAStopWhileAnInterruptedRestartIsWaitedForIsRespected(t *testing.T) {
	var trap house.Trap
	house.Run(t, lab.Options{Tap: trap.Spring}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		trap.Set("/restart", false, h.Crash) // which is never sent
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
		h.Wait("the crash", 10*time.Minute, func() bool { return !h.Lives() })
		h.Sleep(5 * time.Second)
		h.Start()
		h.Sleep(20 * time.Second)
		if err := h.World.User.Stops(lab.DefaultSlug); err != nil {
			h.Fatal(err)
		}
		h.Holds("it stays stopped", 2*time.Hour, func() bool { return h.World.Supervisor.State(lab.DefaultSlug) == evidence.StateStopped })
		if flagOf(h.World) != "" {
			h.Errorf("what was not proven is stored: %s", flagOf(h.World))
		}
	})
}

// A crash, and while nobody watches a person stops the app: minutes later, so that no restart
// of ours can have sent the signal that the log shows, or just after our restart, before
// cloudflared has written a line.
func TestAStopWhileNobodyWatchesIsRespected(t *testing.T) {
	for name, c := range map[string]struct {
		sent bool
		wait time.Duration
	}{"the restart was never sent": {false, time.Minute}, "it was made": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			var trap house.Trap
			house.Run(t, lab.Options{Tap: trap.Spring}, nil, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
				trap.Set("/restart", false, func() bool {
					if c.sent {
						go func() { _ = h.World.User.Restarts(lab.DefaultSlug) }() // by Supervisor, which had the call
					}
					return h.Crash()
				})
				h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
				h.Wait("the crash", 10*time.Minute, func() bool { return !h.Lives() })
				h.Sleep(c.wait)
				for h.World.User.Stops(lab.DefaultSlug) != nil {
					h.Sleep(100 * time.Millisecond) // Supervisor is busy with the restart
				}
				h.Sleep(3 * time.Minute)
				h.Start()
				h.Holds("it stays stopped", 2*time.Hour, func() bool { return h.World.Supervisor.State(lab.DefaultSlug) == evidence.StateStopped })
				if flagOf(h.World) != "" {
					h.Errorf("what was not proven is stored: %s", flagOf(h.World))
				}
			})
		})
	}
}

// The API goes away between the question and the start: what our restart has stopped is
// started within two minutes of its becoming possible, however long it took.
func TestWhatOurRestartStoppedIsStartedAsSoonAsItCanBe(t *testing.T) {
	for _, away := range []time.Duration{20 * time.Minute, 3 * time.Hour} {
		t.Run(away.String(), func(t *testing.T) {
			if testing.Short() && away > time.Hour {
				t.Skip("hours, second by second")
			}
			t.Parallel()
			house.Run(t, lab.Options{Local: true}, nil, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
				h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
				h.Wait("the restart", 10*time.Minute, func() bool { return h.World.Connector.Connections() == 0 })
				h.World.ChangeFaults(func(f *lab.Faults) { f.APIAway = true })
				h.Sleep(away)
				if h.World.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted {
					h.Fatal("it was to be down")
				}
				h.World.ChangeFaults(func(f *lab.Faults) { f.APIAway = false })
				h.Wait("it is started", 2*time.Minute+10*time.Second, func() bool { return h.World.Connector.Connections() > 0 })
				h.Wait("it is well", 3*time.Hour, func() bool { return healthy(h) && h.World.OpenShare() == 1 })
			})
		})
	}
}

func TestARestartThatIsCalledDoneAndIsNotIsNoVerdict(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.World.ChangeFaults(func(f *lab.Faults) { f.RestartFaked, f.Upgrade = true, lab.Stripped(1).Upgrade })
		h.Sleep(2 * time.Hour)
		if s := h.Status(); s.Diagnosis.Cause.String() == "stripped-everywhere" || told(h, "did not help") || told(h, "under every") {
			h.Errorf("nothing was ever tried, and it is called %s", s.Diagnosis.Cause)
		}
		if flagOf(h.World) != "" || h.World.Connector.Connections() != 4 {
			h.Errorf("protocol %q, %d connections", flagOf(h.World), h.World.Connector.Connections())
		}
		if n := len(meddled(h.World)); n > 120 {
			h.Errorf("%d orders to Supervisor in two hours", n)
		}
		h.World.ChangeFaults(func(f *lab.Faults) { f.RestartFaked, f.Upgrade = false, lab.Stripped(1, quic).Upgrade })
		h.Wait("it is healed", 2*time.Hour, func() bool { return healthy(h) && flagOf(h.World) == "http2" })
	})
}

func TestATransportThatDoesNotChangeIsNoVerdict(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{Faults: lab.Faults{IgnoresFlag: true}}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
		h.Sleep(3 * time.Hour)
		if s := h.Status(); s.Diagnosis.Cause.String() == "stripped-everywhere" || flagOf(h.World) != "" {
			h.Errorf("called %s, protocol %q", s.Diagnosis.Cause, flagOf(h.World))
		}
		if n := h.World.Supervisor.Restarts(); n == 0 || n > 6 {
			h.Errorf("%d restarts", n)
		}
	})
}

// Another job starts the app on its own at its end, with what is stored by then.
func TestAnUpdateThatHoldsTheAppDoesTheRestart(t *testing.T) {
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		updated := make(chan error, 1)
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
		h.Wait("an alarm", 10*time.Minute, func() bool { return h.Status().State == policy.Suspect })
		go func() { updated <- h.World.User.Updates(lab.DefaultSlug, "6.0.4", 3*time.Minute, 0) }()
		h.Wait("it is healed", 30*time.Minute, func() bool { return healthy(h) && h.World.Connector.Transport() == http2 })
		if err := <-updated; err != nil {
			h.Fatal(err)
		}
		restarts := 0
		for _, d := range meddled(h.World) {
			if d == "restart" {
				restarts++
			}
		}
		if n := h.World.Supervisor.Restarts(); n != 0 || restarts > 30 {
			h.Errorf("%d restarts were made beside the update's own, %d asked for", n, restarts)
		}
	})
}

func TestAPartialCureIsToldAsKept(t *testing.T) {
	house.Run(t, lab.Options{Seed: 7}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.World.ChangeFaults(func(f *lab.Faults) {
			f.Upgrade = map[evidence.Transport]lab.UpgradeFault{quic: {Share: 1}, http2: {Share: 0.3}}
		})
		h.Wait("something is kept", 2*time.Hour, func() bool { return h.Status().State == policy.Holding })
		h.Sleep(5 * time.Minute)
		if flagOf(h.World) != "http2" || !told(h, "http2 stays for now") || told(h, "is back") || h.Status().Diagnosis.Cause.String() == "stripped-everywhere" {
			h.Errorf("protocol %q, cause %s; told: %+v", flagOf(h.World), h.Status().Diagnosis.Cause, h.World.Core.Told().NotificationLog)
		}
	})
}

// What every protocol has shown is concluded of a handshake that is lost in a tunnel that
// stands. Where connections break under each, that stays what is told.
func TestATunnelThatBreaksUnderEveryProtocolIsNotToldAsStripped(t *testing.T) {
	house.Lasting(t)
	house.Run(t, lab.Options{}, nil, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
		h.World.ChangeFaults(func(f *lab.Faults) {
			f.FlapQUIC, f.FlapHTTP2 = lab.Duration(2*time.Second), lab.Duration(2*time.Second)
		})
		h.Wait("every protocol was tried", 6*time.Hour, func() bool {
			s := h.Status()
			return s.State == policy.Holding && slices.Contains(s.Gates, policy.GateCandidates)
		})
		h.Holds("it is told as what it is", 10*time.Minute, func() bool {
			c := h.Status().Diagnosis.Cause
			return c != diagnosis.StrippedEverywhere && c != diagnosis.WebSocketsDisabled
		})
	})
}

// Whoever ends the program again and again does not make it restart the tunnel more
// often than the day's budget allows.
func TestTheBudgetHoldsThroughStops(t *testing.T) {
	house.Lasting(t)
	for name, end := range map[string]func(*house.House){
		"SIGTERM": func(h *house.House) {
			if err := h.Stop(); err != nil {
				h.Fatal(err)
			}
		},
		"SIGKILL": func(h *house.House) { h.Crash() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house.Run(t, lab.Options{}, map[string]string{"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "3"}, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
				h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
				for n := range 40 {
					h.Sleep(time.Duration(7+11*(n%9)) * time.Second * time.Duration(1+n%4*8))
					end(h)
					h.Sleep(time.Duration(3+n%5*9) * time.Second)
					h.Start()
				}
				h.Sleep(time.Hour)
				if n := h.World.Supervisor.Restarts(); n > 3 {
					h.Errorf("%d restarts, the budget is 3", n)
				}
				if flagOf(h.World) != "" || h.World.Connector.Connections() != 4 {
					h.Errorf("protocol %q, %d connections", flagOf(h.World), h.World.Connector.Connections())
				}
			})
		})
	}
}

// stage is a state of a treatment, and how a home comes there.
type stage struct {
	name string
	env  map[string]string
	into func(*house.House)
}

var stages = []stage{
	{name: "restarting", into: func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1, quic).Upgrade })
		h.Wait("the restart", 10*time.Minute, func() bool { return h.World.Connector.Connections() == 0 })
	}},
	{name: "proving", into: proving},
	{name: "cured", into: func(h *house.House) {
		proving(h)
		h.Wait("the cure", 10*time.Minute, func() bool { return healthy(h) })
	}},
	{name: "failing back", env: map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": "1h"}, into: func(h *house.House) {
		proving(h)
		h.Wait("the cure", 10*time.Minute, func() bool { return healthy(h) })
		h.Wait("the fail-back", 30*time.Hour, func() bool { return h.Status().State == policy.Treating })
		h.Sleep(3 * time.Second)
	}},
	{name: "holding", into: func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
		h.Wait("a hold", 10*time.Minute, func() bool { return h.Status().State == policy.Holding })
	}},
}

// happenings are what may come between. stopped says that a person wants the app
// stopped, hand which protocol they want.
var happenings = []struct {
	name    string
	do      func(*house.House)
	stopped bool
	hand    string
}{
	{name: "it crashes", do: func(h *house.House) { h.World.Connector.Crash() }},
	{name: "it crashes, and cannot start for twenty minutes", do: func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { f.ConnectorDies = true })
		h.World.Connector.Crash()
		h.Sleep(20 * time.Minute)
		h.World.ChangeFaults(func(f *lab.Faults) { f.ConnectorDies = false })
	}},
	{name: "a person stops it", stopped: true, do: func(h *house.House) { byHand(h, func() error { return h.World.User.Stops(lab.DefaultSlug) }) }},
	{name: "a person restarts it", do: func(h *house.House) { byHand(h, func() error { return h.World.User.Restarts(lab.DefaultSlug) }) }},
	{name: "a person sets quic", hand: "quic", do: func(h *house.House) {
		byHand(h, func() error { return h.World.User.SetsProtocol(lab.DefaultSlug, evidence.QUIC) })
		byHand(h, func() error { return h.World.User.Restarts(lab.DefaultSlug) })
	}},
	{name: "Supervisor is away for twenty minutes", do: during(20*time.Minute, func(f *lab.Faults, on bool) { f.SupervisorDown = on })},
	{name: "the internet is away for twenty minutes", do: during(20*time.Minute, func(f *lab.Faults, on bool) { f.InternetDown = on })},
	{name: "Home Assistant is away for twenty minutes", do: during(20*time.Minute, func(f *lab.Faults, on bool) { f.CoreDown = on })},
	{name: "the program is killed", do: func(h *house.House) { h.Crash(); h.Sleep(time.Minute); h.Start() }},
	{name: "the program is stopped", do: func(h *house.House) {
		if err := h.Stop(); err != nil {
			h.Fatal(err)
		}
		h.Sleep(time.Minute)
		h.Start()
	}},
}

// byHand presses a button until Supervisor takes it: another job may hold the app.
func byHand(h *house.House, press func() error) {
	for range 60 {
		if press() == nil {
			return
		}
		h.Sleep(2 * time.Second)
	}
	h.Fatal("the button was never taken")
}

func during(d time.Duration, set func(*lab.Faults, bool)) func(*house.House) {
	return func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { set(f, true) })
		h.Sleep(d)
		h.World.ChangeFaults(func(f *lab.Faults) { set(f, false) })
	}
}

// TestEveryMomentHasAnExit crosses the moments of a treatment with what may happen to the
// home, with QUIC ill throughout. Within hours the home is open with http2, or as the
// person wants it.
func TestEveryMomentHasAnExit(t *testing.T) {
	for i, m := range stages {
		for j, x := range happenings {
			t.Run(m.name+", "+x.name, func(t *testing.T) {
				house.Sampled(t, i+j)
				t.Parallel()
				house.Run(t, lab.Options{}, m.env, func(h *house.House) {
					h.Wait("a good look", 5*time.Minute, func() bool { return healthy(h) })
					h.Sleep(5 * time.Minute)
					m.into(h)
					x.do(h)
					w := h.World
					if m.name == "holding" { // each protocol is tried once; it passes upstream, or not at all
						h.Sleep(time.Hour)
						w.ChangeFaults(func(f *lab.Faults) { f.Upgrade = nil })
					}
					switch {
					case x.stopped:
						h.Sleep(2 * time.Hour)
						if want := map[bool]string{true: "http2"}[m.name == "cured" || m.name == "failing back"]; w.Supervisor.State(lab.DefaultSlug) != evidence.StateStopped || flagOf(w) != want {
							h.Errorf("state %s, protocol %q, want it stopped with %q", w.Supervisor.State(lab.DefaultSlug), flagOf(w), want)
						}
					default:
						within := 3 * time.Hour // longer than a hold and its doubling
						h.Wait("open again and at rest", within, func() bool { return healthy(h) && w.OpenShare() == 1 && w.Connector.Connections() == 4 })
						want := "http2"
						if m.name == "holding" {
							want = x.hand
						}
						if got := h.Status().Protocol; flagOf(w) != want || x.hand != "" && got.Own != x.hand {
							h.Errorf("protocol %q, known as %+v", flagOf(w), got)
						}
					}
					if n := w.Supervisor.Restarts(); n > 6 {
						h.Errorf("%d restarts", n)
					}
				})
			})
		}
	}
	t.Logf("%d moments × %d happenings", len(stages), len(happenings))
}
