package addon_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

const (
	oldApp = lab.DefaultSlug
	newApp = "396f0234_cloudflared"
)

var own = []string{"--edge-ip-version=4"}

// The moment at which another app begins to be watched, times what is changed: what was
// open on the old one is put back, its own setting is not lost, and the new one is
// watched in bounded time.
func TestAChangeOfAppDropsNothing(t *testing.T) {
	healthy := func(h *house.House) {
		h.Wait("a good look", 10*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		h.Sleep(10 * time.Minute)
	}
	// Each ends with the daemon gone, in the middle of something.
	moments := map[string]func(*house.House, *house.Trap){
		"all is well": func(h *house.House, _ *house.Trap) { healthy(h); h.Crash() },
		"the options are about to be written": func(h *house.House, p *house.Trap) {
			healthy(h)
			p.Set("/options", false, h.Crash)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			h.Wait("the write", 20*time.Minute, func() bool { return !h.Lives() })
		},
		"the options are written": func(h *house.House, p *house.Trap) {
			healthy(h)
			p.Set("/options", true, h.Crash)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			h.Wait("the write", 20*time.Minute, func() bool { return !h.Lives() })
		},
		"it was restarted": func(h *house.House, p *house.Trap) {
			healthy(h)
			p.Set("/restart", true, h.Crash)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			h.Wait("the restart", 20*time.Minute, func() bool { return !h.Lives() })
		},
		"it is being proven": func(h *house.House, _ *house.Trap) {
			healthy(h)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC, evidence.OverHTTP2))
			h.Catch("the trial", 20*time.Minute, func() bool { t := h.Record().Policy.Trial; return t != nil && t.Settled })
			h.Crash()
		},
		"it is being proven, and a stop puts it back": func(h *house.House, _ *house.Trap) {
			healthy(h)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			h.Catch("the trial", 20*time.Minute, func() bool { t := h.Record().Policy.Trial; return t != nil && t.Settled })
			if err := h.Stop(); err != nil {
				h.Error(err)
			}
		},
		"it is cured": func(h *house.House, _ *house.Trap) {
			healthy(h)
			h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
			h.Wait("the cure", 30*time.Minute, func() bool { return h.Record().Policy.Failback != nil })
			h.Crash()
		},
	}
	for i, name := range slices.Sorted(maps.Keys(moments)) {
		moment, cured := moments[name], name == "it is cured"
		changes := map[string]func(*house.House, *house.Trap){
			"another app is named": func(h *house.House, _ *house.Trap) { h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = newApp; h.Start() },
			"it was stopped by hand, and another one is named": func(h *house.House, _ *house.Trap) {
				h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = newApp
				if err := h.World.User.Stops(oldApp); err != nil {
					h.Fatal(err)
				}
				h.Start()
			},
			"it is gone, and another one is there": func(h *house.House, _ *house.Trap) {
				if err := h.World.User.Uninstalls(oldApp); err != nil {
					h.Fatal(err)
				}
				h.Start()
			},
			"another app is named, and Supervisor is away for a while": func(h *house.House, _ *house.Trap) {
				h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = newApp
				h.World.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = true })
				h.Start()
				h.Sleep(7 * time.Minute)
				h.World.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = false })
			},
			"another app is named, and the program crashes in the way back's restart": func(h *house.House, p *house.Trap) {
				h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = newApp
				p.Set("/"+oldApp+"/restart", true, h.Crash)
				h.Start()
				if h.Comes(5*time.Minute, func() bool { return !h.Lives() }) {
					h.Start()
				}
				p.Clear()
			},
			"another app is named, and the program crashes in the way back's write": func(h *house.House, p *house.Trap) {
				h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = newApp
				p.Set("/"+oldApp+"/options", false, h.Crash)
				h.Start()
				if h.Comes(5*time.Minute, func() bool { return !h.Lives() }) {
					h.Start()
				}
				p.Clear()
			},
		}
		for j, what := range slices.Sorted(maps.Keys(changes)) {
			change := changes[what]
			t.Run(name+": "+what, func(t *testing.T) {
				house.Sampled(t, i+j)
				gone, byHand := strings.Contains(what, "gone"), strings.Contains(what, "by hand")
				apps := append(lab.DefaultAddOns(own...), halted(luring(newApp)))
				p := &house.Trap{}
				house.Run(t, lab.Options{AddOns: apps, Tap: p.Spring}, nil, func(h *house.House) {
					before := lacking(h.World.Supervisor.Options(oldApp), "run_parameters")
					moment(h, p)
					p.Clear()
					h.World.SetFaults(lab.Faults{}) // or the other app would have an incident of its own
					change(h, p)
					h.Wait("the other app is watched", time.Hour, func() bool { r := h.Record(); return r.Slug == newApp && h.Status().Target.Slug == newApp })
					r := h.Record()
					if r.Intention != nil || r.Policy.Trial != nil || r.Policy.Incident != nil {
						h.Errorf("open: %+v, %+v, %+v", r.Intention, r.Policy.Trial, r.Policy.Incident)
					}
					want := own
					if cured {
						want = append(slices.Clone(own), "--protocol=http2")
						if k := r.Elsewhere[oldApp]; k.Own != evidence.Default || !k.OwnKnown || k.Set != evidence.HTTP2 || k.Failback == nil {
							h.Errorf("kept of the old one: %+v", k)
						}
					} else if k, ok := r.Elsewhere[oldApp]; !gone && (!ok || k.Own != evidence.Default || !k.OwnKnown || k.Set != k.Own || k.Failback != nil) {
						h.Errorf("kept of the old one: %+v", k)
					}
					if list := posted(h.World, newApp); len(list) > 0 {
						h.Errorf("done to the new one: %q", list)
					}
					if !gone {
						if got := flags(h.World.Supervisor.Options(oldApp)); !slices.Equal(got, want) {
							h.Errorf("the old one's run_parameters are %q, want %q", got, want)
						}
						if got := lacking(h.World.Supervisor.Options(oldApp), "run_parameters"); got != before {
							h.Errorf("the old one's options are %s, want %s", got, before)
						}
						state := evidence.StateStarted
						if byHand {
							state = evidence.StateStopped
						}
						if got := h.World.Supervisor.State(oldApp); got != state {
							h.Errorf("the old one is %s, want %s", got, state)
						}
						if !byHand && !cured && h.World.Connector.Transport() != evidence.OverQUIC {
							h.Errorf("the old one runs over %s", h.World.Connector.Transport())
						}
					}
					most := 2
					switch {
					case strings.Contains(name, "options") || name == "all is well":
						most = 0 // nothing was running with anything but its own
					case cured:
						most = 1
					case strings.Contains(what, "way back's restart"):
						most = 3 // which process it was that should go is not always known after two crashes
					}
					if n := h.World.Supervisor.Restarts(); n > most {
						h.Errorf("%d restarts, want %d at most", n, most)
					}
					if gone {
						return
					}
					// The old one is named again.
					if err := h.Stop(); err != nil {
						h.Error(err)
					}
					h.Env["TUNNELMEDIC_CLOUDFLARED_SLUG"] = oldApp
					h.Start()
					h.Wait("the old one is watched again", 10*time.Minute, func() bool { return h.Status().Target.Slug == oldApp && h.Status().Protocol.Own != "" })
					if s := h.Status(); s.Protocol.Own != "auto" || cured == s.FailbackDue.IsZero() {
						h.Errorf("back at the old one it knows %+v, fail-back due %s", s.Protocol, s.FailbackDue)
					}
				})
			})
		}
	}
}

// A move from one store to the other, while the program runs: the old app is
// uninstalled, the new one takes over, and nobody has to say so.
func TestAMoveFromOneStoreToTheOther(t *testing.T) {
	apps := lab.DefaultAddOns(own...)
	next := apps[0]
	next.Slug = newApp
	house.Run(t, lab.Options{AddOns: apps}, nil, func(h *house.House) {
		h.Wait("it is well", 10*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
		h.Catch("the trial", 20*time.Minute, func() bool { t := h.Record().Policy.Trial; return t != nil && t.Settled })
		if err := h.World.User.Installs(halted(next)); err != nil {
			h.Fatal(err)
		}
		h.Sleep(30 * time.Minute)
		if got := h.Status().Target.Slug; got != oldApp {
			h.Errorf("the second app took over: %s", got)
		}
		if n := strings.Count(h.Log(), "Another Cloudflared app is installed as well"); n != 1 {
			h.Errorf("told %d times", n)
		}
		h.World.SetFaults(lab.Faults{})
		if err := h.World.User.Uninstalls(oldApp); err != nil {
			h.Fatal(err)
		}
		if err := h.World.User.Starts(newApp); err != nil {
			h.Fatal(err)
		}
		h.Wait("the new one is watched", 15*time.Minute, func() bool {
			s := h.Status()
			return s.Target.Slug == newApp && s.State == policy.Healthy && s.Protocol.Own == "auto"
		})
		r := h.Record()
		if k := r.Elsewhere[oldApp]; r.Slug != newApp || !k.OwnKnown || k.Own != evidence.Default {
			h.Errorf("the journal is about %s and keeps %+v", r.Slug, r.Elsewhere)
		}
		if list := posted(h.World, newApp); len(list) > 0 {
			h.Errorf("done to the new one: %q", list)
		}
	})
}

func flags(raw json.RawMessage) (list []string) {
	var o struct {
		RunParameters []string `json:"run_parameters"`
	}
	_ = json.Unmarshal(raw, &o) // the lab's own, always an object
	return o.RunParameters
}

func lacking(raw json.RawMessage, key string) string {
	m := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &m)
	delete(m, key)
	out, _ := json.Marshal(m)
	return string(out)
}
