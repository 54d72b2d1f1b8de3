package hostile

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// TestASecretReferenceIsNeverWrittenBack: some Supervisors would store the secret
// itself in its place. It is refused, and the household is told what to do.
func TestASecretReferenceIsNeverWrittenBack(t *testing.T) {
	t.Parallel()
	addOns := lab.DefaultAddOns(ownFlags...)
	addOns[0].Options = bytes.Replace(addOns[0].Options, []byte(`"`+lab.TunnelToken+`"`), []byte(`"!secret tunnel_token"`), 1)
	h := build(t, lab.Options{AddOns: addOns, Faults: lab.Faults{SecretsResolved: true}}, nil)
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	h.w.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
	h.until("a word about it", func() bool {
		for _, n := range h.w.Core.Told().NotificationLog {
			if strings.Contains(n.Message, "!secret") && strings.Contains(n.Message, "Cloudflared → Configuration") {
				return true
			}
		}
		return false
	})
	if !strings.Contains(h.log.String(), "!secret") {
		t.Error("the log does not name it")
	}
	for _, b := range h.promise(ownFlags, 0) {
		t.Error(b)
	}
}

// TestTraps are households in which a trial must go wrong: the way back is in time.
func TestTraps(t *testing.T) {
	t.Parallel()
	settle := 1500 * time.Millisecond
	for name, c := range map[string]struct {
		opt   lab.Options
		env   map[string]string
		ill   lab.Faults
		flags []string // at the end
		at    func(*house)
		most  int // restarts
	}{
		"post_quantum, and cloudflared too old to have it over http2": {
			opt: lab.Options{Version: "2026.4.1", AddOns: func() []lab.AddOn {
				a := lab.DefaultAddOns(ownFlags...)
				a[0].Options = bytes.Replace(a[0].Options, []byte(`"post_quantum":false`), []byte(`"post_quantum":true`), 1)
				return a
			}()},
			ill: lab.Stripped(1, evidence.OverQUIC), flags: ownFlags, most: 2,
		},
		"quic where UDP is blocked, and it cannot be asked": {
			opt: lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{UDPBlocked: true}}, env: map[string]string{"TUNNELMEDIC_PROTOCOLS": "quic", "TUNNELMEDIC_QUIC_EDGE": ""},
			ill: lab.Faults{UDPBlocked: true, Upgrade: lab.Stripped(1, evidence.OverHTTP2).Upgrade}, flags: []string{"--protocol=http2"}, most: 2,
			at: func(h *house) {
				began := time.Now()
				h.until("down", func() bool { return h.w.Connector.Connections() == 0 })
				h.until("back", func() bool {
					return h.w.Connector.Connections() == 4 && h.w.Connector.Transport() == evidence.OverHTTP2
				})
				if took := time.Since(began); took > settle+5*time.Second {
					t.Errorf("back after %s", took)
				}
			},
		},
		"quic where UDP is blocked: it is asked, and one new start is all": {
			opt: lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{UDPBlocked: true}}, env: map[string]string{"TUNNELMEDIC_PROTOCOLS": "quic"},
			ill: lab.Faults{UDPBlocked: true, Upgrade: lab.Stripped(1, evidence.OverHTTP2).Upgrade}, flags: []string{"--protocol=http2"}, most: 1,
		},
		"auto, which needs nearly all of its settle time to fall back": {
			// As 131 s are to 150 s.
			opt: lab.Options{RunParameters: []string{"--protocol=http2"}, Timings: lab.Timings{SettleTimeout: settle, Fallback: settle * 131 / 150}, Faults: lab.Faults{UDPBlocked: true}},
			ill: lab.Faults{UDPBlocked: true, Upgrade: lab.Stripped(1, evidence.OverHTTP2).Upgrade}, flags: []string{"--protocol=http2"}, most: 3, // a new start first
		},
		"WebSockets that stay open and stretch the stop": {
			opt: lab.Options{Timings: lab.Timings{Kill: 600 * time.Millisecond}}, ill: lab.Stripped(1, evidence.OverQUIC), flags: append(slices.Clone(ownFlags), "--protocol=http2"), most: 1,
		},
		"a stop that is shown as an error": {
			opt: lab.Options{Timings: lab.Timings{Kill: 100 * time.Millisecond}, Faults: lab.Faults{KilledShowsError: true}},
			ill: lab.Faults{KilledShowsError: true, Upgrade: lab.Stripped(1).Upgrade}, flags: ownFlags, most: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, c.opt, c.env)
			h.before = h.w.Supervisor.Options(lab.DefaultSlug)
			clients := h.w.StartClients(50*time.Millisecond, true)
			defer clients.Stop()
			h.live()
			h.until("health", func() bool { return h.phase(policy.Healthy) })
			h.w.SetFaults(c.ill)
			if c.at != nil {
				c.at(h)
			}
			h.until("the end", func() bool {
				return h.w.Supervisor.Restarts() > 0 && h.quiet(policy.Holding, policy.Healthy) && h.sound()
			})
			for _, b := range append(h.promise(c.flags, c.most), h.noHands()...) {
				t.Error(b)
			}
		})
	}
}

// TestSupervisorsWatchdogAtTheSameTime: it starts the add-on whenever it finds it
// ended, also while a treatment does.
func TestSupervisorsWatchdogAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := build(t, lab.Options{}, nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(7 * time.Millisecond):
				if h.w.Supervisor.State(lab.DefaultSlug) == evidence.StateError {
					_ = h.w.User.Restarts(lab.DefaultSlug) // another job may hold it
				}
			}
		}
	}()
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	h.w.SetFaults(lab.Stripped(1))
	h.until("a trial", func() bool { return h.w.Supervisor.Restarts() > 0 })
	for range 5 {
		h.w.Connector.Crash()
		time.Sleep(40 * time.Millisecond)
	}
	h.until("the end", func() bool { return h.quiet(policy.Holding, policy.Healthy) && h.sound() })
	for _, b := range append(h.promise(ownFlags, 6), h.noHands()...) {
		t.Error(b)
	}
}
