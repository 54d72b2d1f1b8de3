package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// AddOn is an installed add-on.
type AddOn struct {
	Slug    string
	Name    string
	Version string
	State   evidence.AddOnState // "" is started
	Options json.RawMessage     // as stored; nil is {}
}

type app struct {
	AddOn
	installed bool
	job       bool // a start, stop or restart is under way
	logs      []logRun
	since     time.Time
}

// logRun is what one run of a container wrote.
type logRun struct{ lines []string }

// cloudflared says whether the add-on is the Cloudflared one, as its slug does.
func (a *app) cloudflared() bool { return strings.HasSuffix(a.Slug, "_cloudflared") }

func (a *app) running() bool {
	return a.State == evidence.StateStarted || a.State == evidence.StateStartup
}

func (a *app) schema(w *World) *schema {
	if !a.cloudflared() {
		return nil
	}
	return &schema{fields: cloudflaredFields, name: a.Name, slug: a.Slug, secrets: map[string]string{"tunnel_token": TunnelToken}, resolve: w.faults.SecretsResolved}
}

// DefaultAddOns are those of a world that was not told which to have: the
// Cloudflared add-on, with everything in its options that must survive, and
// another add-on with a secret that is none of our business.
func DefaultAddOns(runParameters ...string) []AddOn {
	if runParameters == nil {
		runParameters = []string{}
	}
	options, _ := json.Marshal(struct { // strings and lists always marshal
		ExternalHostname string   `json:"external_hostname"`
		AdditionalHosts  []any    `json:"additional_hosts"`
		TunnelName       string   `json:"tunnel_name"`
		TunnelToken      string   `json:"tunnel_token"`
		PostQuantum      bool     `json:"post_quantum"`
		LogLevel         string   `json:"log_level"`
		RunParameters    []string `json:"run_parameters"`
	}{PublicHost, []any{map[string]string{"hostname": "files.example.com", "service": "http://files.internal:80"}}, "homeassistant", TunnelToken, false, "info", runParameters})
	return []AddOn{
		{Slug: DefaultSlug, Name: "Cloudflared", Version: "6.0.3", Options: options},
		{Slug: "core_mosquitto", Name: "Mosquitto broker", Version: "6.5.2", Options: json.RawMessage(`{"logins":[{"username":"house","password":"lab-mosquitto-password"}]}`)},
	}
}

// withoutToken makes a tunnel one that is managed locally.
func withoutToken(options json.RawMessage) json.RawMessage {
	ms, _ := members(options) // the default ones can be read
	return object(slices.DeleteFunc(ms, func(m member) bool { return m.key == "tunnel_token" }))
}

func (s *Supervisor) install() error {
	addOns := s.w.opt.AddOns
	if addOns == nil {
		addOns = DefaultAddOns(s.w.opt.RunParameters...)
		if s.w.opt.Local {
			addOns[0].Options = withoutToken(addOns[0].Options)
		}
	}
	addOns = append([]AddOn{{Slug: SelfSlug, Name: "Tunnel Medic", Version: "dev"}}, addOns...)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, a := range addOns {
		if a.State == "" {
			a.State = evidence.StateStarted
		}
		if a.Options == nil {
			a.Options = json.RawMessage(`{}`)
		}
		if _, err := members(a.Options); err != nil {
			return fmt.Errorf("options of %s: %w", a.Slug, err)
		}
		a.Options = slices.Clone(a.Options)
		one := &app{AddOn: a, installed: true, since: time.Now()}
		s.apps = append(s.apps, one)
		if one == s.watched() && one.running() {
			s.w.Connector.start(one)
		}
	}
	return nil
}

// watched is the add-on whose connector the world has: the first Cloudflared one.
// The caller holds mu.
func (s *Supervisor) watched() *app {
	for _, a := range s.apps {
		if a.installed && a.cloudflared() {
			return a
		}
	}
	return nil
}

func (s *Supervisor) find(slug string) *app {
	for _, a := range s.apps {
		if a.Slug == slug {
			return a
		}
	}
	return nil
}

// refusal is an error as Supervisor's API words it.
type refusal struct {
	status int
	text   string
	key    string
	extra  map[string]any
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// hold takes the add-on's job for as long as do takes, or says that another holds it.
func (s *Supervisor) hold(slug string, do func(*app) error) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	a := s.find(slug)
	if a == nil || !a.installed {
		return refuse(http.StatusBadRequest, "App %s is not installed", slug)
	}
	if a.job || s.w.faults.Busy {
		return refuse(http.StatusBadRequest, "Another job is running for job group app_%s", a.Slug)
	}
	a.job = true
	defer func() { a.job = false; s.w.changed() }()
	return do(a)
}

// act does one of start, stop, restart as Supervisor does, and returns when it is
// done: the caller's going away does not stop it.
func (s *Supervisor) act(slug, what string, byAPI bool) error {
	return s.hold(slug, func(a *app) error {
		if what == "restart" && byAPI && s.w.faults.RestartFaked {
			return nil // App.restart swallows that Docker could not stop the container
		}
		wasRunning := a.running()
		if what != "start" {
			s.stopApp(a)
		}
		if what == "stop" {
			return nil
		}
		if what == "restart" && byAPI && wasRunning && a == s.watched() {
			s.restarts++
		}
		return s.startApp(a)
	})
}

// stopApp blocks until the add-on is stopped; mu is free meanwhile. The caller
// holds mu.
func (s *Supervisor) stopApp(a *app) {
	if !a.running() && s.w.Connector.run == nil {
		return
	}
	state := evidence.StateStopped
	if r := s.w.Connector.run; r != nil && r.app == a {
		killed := s.w.Connector.stop(r)
		if killed && s.w.faults.KilledShowsError {
			state = evidence.StateError
		}
	}
	if a.running() {
		a.State = state
	}
	s.w.changed()
}

// startApp starts the add-on, or leaves it stopped or failed. The caller holds mu.
func (s *Supervisor) startApp(a *app) error {
	if s.w.Connector.run != nil && s.w.Connector.run.app == a {
		a.State = evidence.StateStarted
	}
	if a.running() {
		return nil // Supervisor warns in its own log and answers 200
	}
	switch s.w.faults.StartFails {
	case BadOptions:
		return s.invalid(a, complain("Missing option 'external_hostname' in root in %s (%s). Got %s", a.Name, a.Slug, pyRepr(a.Options)))
	case BadPort:
		return &refusal{status: http.StatusBadRequest, text: "Cannot start app " + a.Slug + " because port 36500 is already in use", key: "app_port_conflict", extra: map[string]any{"name": a.Slug, "port": 36500}}
	case BadDocker:
		a.State = evidence.StateError
		return &refusal{status: http.StatusInternalServerError, text: "An unknown error occurred with app " + a.Slug + ". Check supervisor logs for details (check with 'ha supervisor logs')", key: "app_unknown_error", extra: map[string]any{"app": a.Slug}}
	}
	if _, err := a.schema(s.w).validate(a.Options); err != nil {
		return s.invalid(a, err)
	}
	a.State, a.since = evidence.StateStarted, time.Now()
	if a == s.watched() {
		s.w.Connector.start(a)
	}
	s.w.changed()
	return nil
}

func (s *Supervisor) invalid(a *app, err error) error {
	return &refusal{status: http.StatusBadRequest, text: "App " + a.Slug + " has invalid options: " + err.Error(), key: "app_configuration_invalid_error",
		extra: map[string]any{"app": a.Slug, "validation_error": err.Error()}}
}

// setOptions stores options, all of them, or none. The caller holds mu.
func (s *Supervisor) setOptions(a *app, raw json.RawMessage) error {
	stored, err := a.schema(s.w).validate(raw)
	if err != nil {
		return s.invalid(a, err)
	}
	a.Options = stored
	s.w.changed()
	return nil
}

// Options are the add-on's, byte for byte as Supervisor stores them; nil if it is
// not installed.
func (s *Supervisor) Options(slug string) json.RawMessage {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if a := s.find(slug); a != nil && a.installed {
		return slices.Clone(a.Options)
	}
	return nil
}

// RunParameters are the watched add-on's, as stored.
func (s *Supervisor) RunParameters() []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if a := s.watched(); a != nil {
		return parseOptions(a.Options).RunParameters
	}
	return nil
}

// State is Supervisor's of the add-on: unknown if it is not installed.
func (s *Supervisor) State(slug string) evidence.AddOnState {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if a := s.find(slug); a != nil && a.installed {
		return a.State
	}
	return evidence.StateUnknown
}

// SetState makes Supervisor believe a state of the add-on, whatever its container does.
func (s *Supervisor) SetState(slug string, state evidence.AddOnState) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if a := s.find(slug); a != nil {
		a.State = state
		s.w.changed()
	}
}

// SetsOptions is the user saving the add-on's options on its page.
func (h *Hands) SetsOptions(slug string, raw json.RawMessage) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	a := h.w.Supervisor.find(slug)
	if a == nil || !a.installed {
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

// Updates is an update of the add-on, by a person or by itself, as App.update of Supervisor
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
	if a.Options == nil {
		a.Options = json.RawMessage(`{}`)
	}
	start := a.State == "" || a.State == evidence.StateStarted
	a.State = evidence.StateStopped
	h.w.mu.Lock()
	if have := h.w.Supervisor.find(a.Slug); have != nil {
		if have.installed {
			h.w.mu.Unlock()
			return errors.New(a.Slug + " is installed already")
		}
		have.AddOn, have.installed = a, true
	} else {
		h.w.Supervisor.apps = append(h.w.Supervisor.apps, &app{AddOn: a, installed: true})
	}
	h.w.changed()
	h.w.mu.Unlock()
	if start {
		return h.Starts(a.Slug)
	}
	return nil
}

// RestartsCore restarts Home Assistant; it is back after Timings.CoreStart.
func (h *Hands) RestartsCore() { h.w.ChangeFaults(func(f *Faults) { f.CoreStarting = true }) }

// Log is what the add-on's containers wrote so far, all runs.
func (s *Supervisor) Log(slug string) string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	a := s.find(slug)
	if a == nil {
		return ""
	}
	return logText(a.logs)
}

// logf writes a line as cloudflared does. The caller holds mu.
func (s *Supervisor) logf(a *app, level, format string, args ...any) {
	s.logRaw(a, time.Now().UTC().Format(time.RFC3339)+" "+level+" "+fmt.Sprintf(format, args...))
}

// logRaw writes a line as it is. The caller holds mu.
func (s *Supervisor) logRaw(a *app, line string) {
	if len(a.logs) == 0 {
		a.logs = append(a.logs, logRun{})
	}
	r := &a.logs[len(a.logs)-1]
	if r.lines = append(r.lines, line); len(r.lines) > 2000 {
		r.lines = r.lines[1000:]
	}
}

func logText(runs []logRun) string {
	var b strings.Builder
	for _, r := range runs {
		for _, l := range r.lines {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// sleep waits without mu, which the caller holds before and after. It says
// whether the time ran out by itself.
func (w *World) sleep(ctx context.Context, d time.Duration) bool {
	w.mu.Unlock()
	defer w.mu.Lock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// until waits without mu, which the caller holds before and after, until cond
// holds (true) or d has passed or the context has ended (false).
func (w *World) until(ctx context.Context, d time.Duration, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for !cond() {
		change := w.change
		w.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			w.mu.Lock()
			return cond()
		}
		w.mu.Lock()
	}
	return true
}

// Hands are what people do in this world.
type Hands struct{ w *World }
