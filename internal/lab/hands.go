package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// Hands are what people do in this world.
type Hands struct{ w *World }

// SetsOptions is the user saving the add-on's options on its page.
func (h *Hands) SetsOptions(slug string, raw json.RawMessage) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	a := h.w.Supervisor.installed(slug)
	if a == nil {
		return errors.New(slug + " is not installed")
	}
	return h.w.Supervisor.setOptions(a, raw)
}

// SetsProtocol is the user writing a protocol into run_parameters and saving,
// without a restart; Default takes the flag away. Other flags stay as they are.
func (h *Hands) SetsProtocol(slug string, p evidence.Protocol) error {
	ms, err := members(h.w.Supervisor.Options(slug))
	if err != nil {
		return errors.New(slug + " is not installed")
	}
	flags := []string{}
	i := slices.IndexFunc(ms, func(m member) bool { return m.key == "run_parameters" })
	if i >= 0 {
		if err := json.Unmarshal(ms[i].value, &flags); err != nil {
			return fmt.Errorf("reading run_parameters: %w", err)
		}
		flags = slices.DeleteFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--protocol=") })
	} else {
		ms = append(ms, member{key: "run_parameters"})
		i = len(ms) - 1
	}
	if p != evidence.Default {
		flags = append(flags, "--protocol="+p.Flag())
	}
	if ms[i].value, err = json.Marshal(flags); err != nil {
		return err
	}
	return h.SetsOptions(slug, object(ms))
}

// Stops is the user's stop button; it returns when the add-on is stopped.
func (h *Hands) Stops(slug string) error { return h.w.Supervisor.act(slug, "stop", false) }

// Starts is the user's start button.
func (h *Hands) Starts(slug string) error { return h.w.Supervisor.act(slug, "start", false) }

// Restarts is the user's restart button. It does not count in Restarts.
func (h *Hands) Restarts(slug string) error { return h.w.Supervisor.act(slug, "restart", false) }

// Updates is an update of the add-on, by a person or on its own, as App.update of Supervisor
// goes: it holds the add-on while it pulls the new image, then stops it, takes its time over
// the rest, and starts what ran again, with the options stored by then. It blocks until done.
func (h *Hands) Updates(slug, version string, pull, install time.Duration) error {
	s := h.w.Supervisor
	return s.hold(slug, func(a *app) error {
		h.w.sleep(h.w.ctx, pull)
		ran := a.running()
		s.stopApp(a)
		if !h.w.sleep(h.w.ctx, install) {
			return h.w.ctx.Err()
		}
		a.Version = version
		if !ran {
			return nil
		}
		return s.startApp(a)
	})
}

// Uninstalls takes the add-on away; its options go with it.
func (h *Hands) Uninstalls(slug string) error {
	if err := h.w.Supervisor.act(slug, "stop", false); err != nil {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	a := h.w.Supervisor.find(slug)
	a.installed, a.Options, a.State, a.logs = false, json.RawMessage(`{}`), evidence.StateUnknown, nil
	h.w.changed()
	return nil
}

// Installs puts an add-on in, or back, and starts it if its state says so.
func (h *Hands) Installs(a AddOn) error {
	start := a.State == "" || a.State == evidence.StateStarted
	a.State = evidence.StateStopped
	h.w.mu.Lock()
	if h.w.Supervisor.installed(a.Slug) != nil {
		h.w.mu.Unlock()
		return errors.New(a.Slug + " is installed already")
	}
	h.w.Supervisor.add(a)
	h.w.changed()
	h.w.mu.Unlock()
	if start {
		return h.Starts(a.Slug)
	}
	return nil
}

// RestartsCore restarts Home Assistant; it is back after Timings.CoreStart.
func (h *Hands) RestartsCore() { h.w.ChangeFaults(func(f *Faults) { f.CoreStarting = true }) }
