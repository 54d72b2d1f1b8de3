package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// TestPeopleInterfere lets a person's hand come in between two calls of a
// treatment. Their word wins, and nothing of theirs is lost.
func TestPeopleInterfere(t *testing.T) {
	t.Parallel()
	const slug = lab.DefaultSlug
	edit := func(h *house, change func(map[string]json.RawMessage)) {
		var o map[string]json.RawMessage
		if err := json.Unmarshal(h.w.Supervisor.Options(slug), &o); err != nil {
			h.Error(err)
		}
		change(o)
		raw, err := json.Marshal(o)
		if err != nil {
			h.Error(err)
		}
		if err := h.w.User.SetsOptions(slug, raw); err != nil {
			h.Error(err)
		}
	}
	logLevel := func(h *house) {
		edit(h, func(o map[string]json.RawMessage) { o["log_level"] = json.RawMessage(`"debug"`) })
	}
	sets := func(p evidence.Protocol) func(*house) {
		return func(h *house) {
			if err := h.w.User.SetsProtocol(slug, p); err != nil {
				h.Error(err)
			}
		}
	}
	stops := func(h *house) {
		if err := h.w.User.Stops(slug); err != nil {
			h.Error(err)
		}
	}
	kept := func(h *house) {
		if !bytes.Contains(h.w.Supervisor.Options(slug), []byte(`"log_level":"debug"`)) {
			h.Errorf("the person's edit is lost: %s", h.w.Supervisor.Options(slug))
		}
	}
	own := func(h *house) {
		h.until("own setting", func() bool { return h.quiet(policy.Holding, policy.Healthy) && h.sound() })
		if got := h.w.Supervisor.RunParameters(); !slices.Equal(got, ownFlags) {
			h.Errorf("run_parameters are %q", got)
		}
	}
	theirs := func(flag string) func(*house) {
		return func(h *house) {
			h.until("the end of the treatment", func() bool {
				r := h.record()
				return r.Policy.Trial == nil && r.Intention == nil && r.Policy.Own.Flag() == flag
			})
			n := h.w.Supervisor.Restarts()
			time.Sleep(150 * time.Millisecond) // it would be at them again by now: a dozen probes
			if got := h.w.Supervisor.RunParameters(); !slices.Equal(got, append(slices.Clone(ownFlags), "--protocol="+flag)) {
				h.Errorf("run_parameters are %q", got)
			}
			if h.w.Supervisor.Restarts() != n {
				h.Error("their tunnel was restarted")
			}
		}
	}
	staysStopped := func(h *house) {
		h.until("the end of the treatment", func() bool { r := h.record(); return r.Policy.Trial == nil && r.Intention == nil })
		time.Sleep(300 * time.Millisecond)
		if s := h.w.Supervisor.State(slug); s != evidence.StateStopped {
			h.Errorf("the add-on is %s", s)
		}
		if got := h.w.Supervisor.RunParameters(); !slices.Equal(got, ownFlags) {
			h.Errorf("stopped with run_parameters %q", got)
		}
	}
	gone := func(h *house) {
		h.until("the end of the treatment", func() bool { r := h.record(); return r.Policy.Trial == nil && r.Intention == nil })
	}
	const before, after = true, false
	trial, way := "trial", "restore"

	for name, c := range map[string]struct {
		at    place
		first bool // the hand comes before the call takes effect, not after
		does  func(*house)
		then  func(*house)
		ends  func(*house)
		never bool // may the tunnel be restarted
	}{
		"another option, before it is read":             {at: place{trial, reading}, first: before, does: logLevel, then: kept, ends: own},
		"another option, while it is written back":      {at: place{trial, writing}, first: after, does: logLevel, then: kept, ends: own},
		"another option, before it is read back":        {at: place{trial, readBack}, first: before, does: logLevel, then: kept, ends: own},
		"another option, during the restart":            {at: place{trial, restarting}, first: after, does: logLevel, then: kept, ends: own},
		"another option, on the way back":               {at: place{way, reading}, first: before, does: logLevel, then: kept, ends: own},
		"another option, during the way back's restart": {at: place{way, restarting}, first: before, does: logLevel, then: kept, ends: own},
		"a protocol, before it is read":                 {at: place{trial, reading}, first: before, does: sets(evidence.QUIC), ends: theirs("quic"), never: true},
		"a protocol, before it is read back":            {at: place{trial, readBack}, first: before, does: sets(evidence.QUIC), ends: theirs("quic")},
		"a protocol, during the restart":                {at: place{trial, restarting}, first: before, does: sets(evidence.QUIC), ends: theirs("quic")},
		"a protocol, before the way back is read":       {at: place{way, reading}, first: before, does: sets(evidence.QUIC), ends: theirs("quic")},
		"a protocol, before the way back's restart":     {at: place{way, restarting}, first: before, does: sets(evidence.QUIC), ends: theirs("quic")},
		"stopped, before it is read":                    {at: place{trial, reading}, first: before, does: stops, ends: staysStopped, never: true},
		"stopped, before the restart":                   {at: place{trial, readBack}, first: before, does: stops, ends: staysStopped},
		"stopped, before the way back":                  {at: place{way, reading}, first: before, does: stops, ends: staysStopped},
		"uninstalled, before it is read":                {at: place{trial, reading}, first: before, does: func(h *house) { _ = h.w.User.Uninstalls(slug) }, ends: gone},
		"uninstalled, before the restart":               {at: place{trial, restarting}, first: before, does: func(h *house) { _ = h.w.User.Uninstalls(slug) }, ends: gone},
		"uninstalled, before the way back":              {at: place{way, writing}, first: before, does: func(h *house) { _ = h.w.User.Uninstalls(slug) }, ends: gone},
		"restarted by hand, before the restart":         {at: place{trial, restarting}, first: before, does: func(h *house) { _ = h.w.User.Restarts(slug) }, ends: own},
		"restored from a backup, during the restart": {at: place{trial, restarting}, first: after, ends: own, does: func(h *house) {
			// A restore stops the add-on, puts the stored options back, and starts it.
			if err := h.w.User.SetsOptions(slug, h.before); err != nil {
				h.Error(err)
			}
			_ = h.w.User.Restarts(slug)
		}},
		"replaced by another store's, before the restart": {at: place{trial, restarting}, first: before, does: func(h *house) {
			_ = h.w.User.Uninstalls(slug)
			if err := h.w.User.Installs(lab.AddOn{Slug: "396f0234_cloudflared", Name: "Cloudflared", Version: "6.0.4", Options: h.before}); err != nil {
				h.Error(err)
			}
		}, ends: func(h *house) {
			h.until("the new one is watched", func() bool { return h.record().Slug == "396f0234_cloudflared" })
			h.w.SetFaults(lab.Faults{})
			h.until("health", func() bool { return h.quiet(policy.Healthy) })
			if a, b := others(h.before), others(h.w.Supervisor.Options("396f0234_cloudflared")); !maps.EqualFunc(a, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
				h.Error("the new add-on's options were changed")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, lab.Options{}, nil)
			var once sync.Once
			hit := make(chan struct{})
			h.gate.guard(func(p place, x *exchange) {
				mine := false
				if p == c.at {
					once.Do(func() { mine = true })
				}
				if mine && c.first {
					c.does(h)
					defer close(hit)
				}
				a := x.forward()
				if mine && !c.first {
					c.does(h)
					defer close(hit)
				}
				x.give(a)
			})
			h.live()
			h.until("health", func() bool { return h.phase(policy.Healthy) })
			h.w.ChangeFaults(func(f *lab.Faults) { f.Upgrade = lab.Stripped(1).Upgrade })
			select {
			case <-hit:
			case <-time.After(limit):
				t.Fatalf("the step %s never came", c.at)
			}
			c.ends(h)
			if c.then != nil {
				c.then(h)
			}
			if c.never && h.w.Supervisor.Restarts() > 0 {
				t.Errorf("%d restarts", h.w.Supervisor.Restarts())
			}
			if bad := append(h.secrets(), h.journalBroken()...); len(bad) > 0 {
				t.Error(strings.Join(bad, "; "))
			}
		})
	}
}

// TestOurOwnStop stops the daemon in order, as Supervisor does before an update, at
// every step: what is not proven is undone on the way out, or by the next start.
func TestOurOwnStop(t *testing.T) {
	t.Parallel()
	for _, purpose := range []string{"trial", "restore"} {
		for _, s := range []step{reading, writing, readBack, restarting} {
			for _, returns := range []bool{true, false} {
				at := place{purpose, s}
				name := "at " + at.String() + ", and it comes again"
				if !returns {
					name = "at " + at.String() + ", for good"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					h := build(t, lab.Options{}, nil)
					var once sync.Once
					hit := make(chan struct{})
					h.gate.guard(func(p place, x *exchange) {
						if p == at {
							once.Do(func() { close(hit); time.Sleep(10 * time.Millisecond) })
						}
						x.pass()
					})
					h.live()
					h.until("health", func() bool { return h.phase(policy.Healthy) })
					h.w.SetFaults(lab.Stripped(1))
					reached(t, hit)
					began := time.Now()
					h.leave()
					if took := time.Since(began); took > 8*time.Second {
						t.Errorf("the stop took %s", took)
					}
					if returns {
						h.live()
						h.until("the end", func() bool { return h.quiet(policy.Holding, policy.Healthy) && h.sound() })
					} else {
						h.until("the tunnel's return", h.sound)
					}
					for _, b := range append(h.promise(ownFlags, 6), h.noHands()...) {
						if !returns && strings.Contains(b, "were counted") {
							continue // the last one is counted by the next start, if there is one
						}
						t.Error(b)
					}
				})
			}
		}
	}
}

// TestANewStartIsInterrupted stops or kills the daemon while it starts the tunnel anew
// under the same protocol: there is no way back, and nobody is restarted twice for it.
func TestANewStartIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, at := range []step{reading, restarting, watching} {
		for _, killed := range []bool{false, true} {
			name := fmt.Sprintf("stopped at %s", at)
			if killed {
				name = fmt.Sprintf("killed at %s", at)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				flags := []string{"--protocol=http2"}
				// cloudflared comes up slowly enough for the program to look while it does, on a busy machine, too.
				h := build(t, lab.Options{RunParameters: flags, Faults: lab.Faults{UDPBlocked: true}, Timings: lab.Timings{Setup: 700 * time.Millisecond}}, map[string]string{"TUNNELMEDIC_PROTOCOLS": "http2"})
				var once sync.Once
				hit := make(chan struct{})
				h.gate.guard(func(p place, x *exchange) {
					if p == (place{"trial", at}) {
						once.Do(func() { close(hit); time.Sleep(10 * time.Millisecond) })
					}
					x.pass()
				})
				binary := program(t)
				begin, end := h.live, h.leave
				if killed {
					begin, end = func() { h.spawn(binary) }, h.kill
				}
				begin()
				h.until("health", func() bool { return h.phase(policy.Healthy) })
				h.w.SetFaults(lab.Faults{UDPBlocked: true, Upgrade: lab.Stripped(1, evidence.OverHTTP2).Upgrade})
				reached(t, hit)
				end()
				begin()
				h.until("the end", func() bool { return h.w.Supervisor.Restarts() > 0 && h.quiet(policy.Holding) && h.sound() })
				for _, b := range append(h.promise(flags, 1), h.noHands()...) {
					t.Error(b)
				}
			})
		}
	}
}

// reached waits for the place at which a test strikes.
func reached(t *testing.T, hit <-chan struct{}) {
	t.Helper()
	select {
	case <-hit:
	case <-time.After(time.Minute):
		t.Fatal("the program never came to the place at which it was to be struck")
	}
}
