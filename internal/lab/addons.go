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

func (w *World) install() error {
	addOns := w.opt.AddOns
	if addOns == nil {
		addOns = DefaultAddOns(w.opt.RunParameters...)
		if w.opt.Local {
			addOns[0].Options = withoutToken(addOns[0].Options)
		}
	}
	addOns = append([]AddOn{{Slug: SelfSlug, Name: "Tunnel Medic", Version: "dev"}}, addOns...)
	w.mu.Lock()
	defer w.mu.Unlock()
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
		w.apps = append(w.apps, one)
		if one == w.watched() && one.running() {
			w.startContainer(one)
		}
	}
	return nil
}

// watched is the add-on whose connector the world has: the first Cloudflared one.
// The caller holds mu.
func (w *World) watched() *app {
	for _, a := range w.apps {
		if a.installed && a.cloudflared() {
			return a
		}
	}
	return nil
}

func (w *World) find(slug string) *app {
	for _, a := range w.apps {
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

// seize takes the add-on's job, or says that another holds it. The caller holds mu.
func (w *World) seize(a *app) error {
	if a.job || w.faults.Busy {
		return refuse(http.StatusBadRequest, "Another job is running for job group app_%s", a.Slug)
	}
	a.job = true
	return nil
}

// act does one of start, stop, restart as Supervisor does, and returns when it is
// done: the caller's going away does not stop it.
func (w *World) act(slug, what string, byAPI bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	if a == nil || !a.installed {
		return refuse(http.StatusBadRequest, "App %s is not installed", slug)
	}
	if err := w.seize(a); err != nil {
		return err
	}
	defer func() { a.job = false; w.changed() }()
	if what == "restart" && byAPI && w.faults.RestartFaked {
		return nil // App.restart swallows that Docker could not stop the container
	}
	wasRunning := a.running()
	if what != "start" {
		w.stopApp(a)
	}
	if what == "stop" {
		return nil
	}
	if what == "restart" && byAPI && wasRunning && a == w.watched() {
		w.restarts++
	}
	return w.startApp(a)
}

// Updates is Supervisor updating the add-on: it holds the add-on meanwhile, and starts
// it by itself at the end, with the options stored by then. It blocks until done.
func (w *World) Updates(slug, version string, pull time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	if a == nil || !a.installed {
		return refuse(http.StatusBadRequest, "App %s is not installed", slug)
	}
	if err := w.seize(a); err != nil {
		return err
	}
	defer func() { a.job = false; w.changed() }()
	w.sleep(w.ctx, pull)
	wasRunning := a.running()
	w.stopApp(a)
	a.Version = version
	if !wasRunning {
		return nil
	}
	return w.startApp(a)
}

// stopApp blocks until the add-on is stopped; mu is free meanwhile. The caller
// holds mu.
func (w *World) stopApp(a *app) {
	if !a.running() && w.run == nil {
		return
	}
	state := evidence.StateStopped
	if r := w.run; r != nil && r.app == a {
		killed := w.stopContainer(r)
		if killed && w.faults.KilledShowsError {
			state = evidence.StateError
		}
	}
	if a.running() {
		a.State = state
	}
	w.changed()
}

// startApp starts the add-on, or leaves it stopped or failed. The caller holds mu.
func (w *World) startApp(a *app) error {
	if w.run != nil && w.run.app == a {
		a.State = evidence.StateStarted
	}
	if a.running() {
		return nil // Supervisor warns in its own log and answers 200
	}
	switch w.faults.StartFails {
	case BadOptions:
		return w.invalid(a, complain("Missing option 'external_hostname' in root in %s (%s). Got %s", a.Name, a.Slug, pyRepr(a.Options)))
	case BadPort:
		return &refusal{status: http.StatusBadRequest, text: "Cannot start app " + a.Slug + " because port 36500 is already in use", key: "app_port_conflict", extra: map[string]any{"name": a.Slug, "port": 36500}}
	case BadDocker:
		a.State = evidence.StateError
		return &refusal{status: http.StatusInternalServerError, text: "An unknown error occurred with app " + a.Slug + ". Check supervisor logs for details (check with 'ha supervisor logs')", key: "app_unknown_error", extra: map[string]any{"app": a.Slug}}
	}
	if _, err := a.schema(w).validate(a.Options); err != nil {
		return w.invalid(a, err)
	}
	a.State, a.since = evidence.StateStarted, time.Now()
	if a == w.watched() {
		w.startContainer(a)
	}
	w.changed()
	return nil
}

func (w *World) invalid(a *app, err error) error {
	return &refusal{status: http.StatusBadRequest, text: "App " + a.Slug + " has invalid options: " + err.Error(), key: "app_configuration_invalid_error",
		extra: map[string]any{"app": a.Slug, "validation_error": err.Error()}}
}

// setOptions stores options, all of them, or none. The caller holds mu.
func (w *World) setOptions(a *app, raw json.RawMessage) error {
	stored, err := a.schema(w).validate(raw)
	if err != nil {
		return w.invalid(a, err)
	}
	a.Options = stored
	w.changed()
	return nil
}

// Options are the add-on's, byte for byte as Supervisor stores them; nil if it is
// not installed.
func (w *World) Options(slug string) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.find(slug); a != nil && a.installed {
		return slices.Clone(a.Options)
	}
	return nil
}

// RunParameters are the watched add-on's, as stored.
func (w *World) RunParameters() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.watched(); a != nil {
		return parseOptions(a.Options).RunParameters
	}
	return nil
}

// State is Supervisor's of the add-on: unknown if it is not installed.
func (w *World) State(slug string) evidence.AddOnState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.find(slug); a != nil && a.installed {
		return a.State
	}
	return evidence.StateUnknown
}

// SetState makes Supervisor believe a state of the add-on, whatever its container does.
func (w *World) SetState(slug string, state evidence.AddOnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.find(slug); a != nil {
		a.State = state
		w.changed()
	}
}

// UserSetsOptions is the user saving the add-on's options on its page.
func (w *World) UserSetsOptions(slug string, raw json.RawMessage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	if a == nil || !a.installed {
		return errors.New(slug + " is not installed")
	}
	return w.setOptions(a, raw)
}

// UserSetsProtocol is the user writing a protocol into run_parameters and saving,
// without a restart; Default takes the flag away. Other flags stay as they are.
func (w *World) UserSetsProtocol(slug string, p evidence.Protocol) error {
	ms, err := members(w.Options(slug))
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
	return w.UserSetsOptions(slug, object(ms))
}

// UserStops is the user's stop button; it returns when the add-on is stopped.
func (w *World) UserStops(slug string) error { return w.act(slug, "stop", false) }

// UserStarts is the user's start button.
func (w *World) UserStarts(slug string) error { return w.act(slug, "start", false) }

// UserRestarts is the user's restart button. It does not count in Restarts.
func (w *World) UserRestarts(slug string) error { return w.act(slug, "restart", false) }

// UserUpdates is an update of the add-on, by a person or by itself: Supervisor holds the
// job, stops what runs, takes a while for the new image, and starts it again.
func (w *World) UserUpdates(slug, version string, takes time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	if a == nil || !a.installed {
		return refuse(http.StatusBadRequest, "App %s is not installed", slug)
	}
	if err := w.seize(a); err != nil {
		return err
	}
	defer func() { a.job = false; w.changed() }()
	ran := a.running()
	w.stopApp(a)
	if !w.sleep(w.ctx, takes) {
		return w.ctx.Err()
	}
	a.Version = version
	if !ran {
		return nil
	}
	return w.startApp(a)
}

// UserUninstalls takes the add-on away; its options go with it.
func (w *World) UserUninstalls(slug string) error {
	if err := w.act(slug, "stop", false); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	a.installed, a.Options, a.State, a.logs = false, json.RawMessage(`{}`), evidence.StateUnknown, nil
	w.changed()
	return nil
}

// UserInstalls puts an add-on in, or back, and starts it if its state says so.
func (w *World) UserInstalls(a AddOn) error {
	if a.Options == nil {
		a.Options = json.RawMessage(`{}`)
	}
	start := a.State == "" || a.State == evidence.StateStarted
	a.State = evidence.StateStopped
	w.mu.Lock()
	if have := w.find(a.Slug); have != nil {
		if have.installed {
			w.mu.Unlock()
			return errors.New(a.Slug + " is installed already")
		}
		have.AddOn, have.installed = a, true
	} else {
		w.apps = append(w.apps, &app{AddOn: a, installed: true})
	}
	w.changed()
	w.mu.Unlock()
	if start {
		return w.UserStarts(a.Slug)
	}
	return nil
}

// UserRestartsCore restarts Home Assistant; it is back after Timings.CoreStart.
func (w *World) UserRestartsCore() { w.ChangeFaults(func(f *Faults) { f.CoreStarting = true }) }

// Log is what the add-on's containers wrote so far, all runs.
func (w *World) Log(slug string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(slug)
	if a == nil {
		return ""
	}
	return logText(a.logs)
}

// logf writes a line as cloudflared does. The caller holds mu.
func (w *World) logf(a *app, level, format string, args ...any) {
	w.logRaw(a, time.Now().UTC().Format(time.RFC3339)+" "+level+" "+fmt.Sprintf(format, args...))
}

// logRaw writes a line as it is. The caller holds mu.
func (w *World) logRaw(a *app, line string) {
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
