package lab

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// The Cloudflared app's own, by its config.
const (
	cloudflaredVersion  = "6.0.3"
	cloudflaredDefaults = `{"external_hostname":"","additional_hosts":[]}`
)

// merged are the options as the app gets them and info tells: its own over the defaults (App.options of
// Supervisor's apps/app.py).
func (a *app) merged() json.RawMessage {
	if !a.cloudflared() {
		return a.Options
	}
	all, _ := members(json.RawMessage(cloudflaredDefaults))
	own, _ := members(a.Options) // both were read before
	for _, m := range own {
		if i := slices.IndexFunc(all, func(d member) bool { return d.key == m.key }); i >= 0 {
			all[i].value = m.value
		} else {
			all = append(all, m)
		}
	}
	return object(all)
}

// DefaultAddOns are those of a world that was not told which to have: the
// Cloudflared add-on, with everything in its options that must survive, and
// another add-on with a secret that is none of our business.
func DefaultAddOns(runParameters ...string) []AddOn {
	if runParameters == nil {
		runParameters = []string{}
	}
	flags, _ := json.Marshal(runParameters) // strings always marshal
	options := fmt.Appendf(nil, `{"external_hostname":%q,"additional_hosts":[{"hostname":"files.example.com","service":"http://files.internal:80"}],`+
		`"tunnel_name":"homeassistant","tunnel_token":%q,"post_quantum":false,"log_level":"info","run_parameters":%s}`, PublicHost, TunnelToken, flags)
	return []AddOn{
		{Slug: DefaultSlug, Name: "Cloudflared", Version: cloudflaredVersion, Options: options},
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
		one := s.add(a)
		if _, err := members(one.Options); err != nil {
			return fmt.Errorf("options of %s: %w", a.Slug, err)
		}
		if one == s.watched() && one.running() {
			s.w.Connector.start(one)
		}
	}
	return nil
}

// add puts an add-on in, or back. The caller holds mu.
func (s *Supervisor) add(a AddOn) *app {
	if a.State == "" {
		a.State = evidence.StateStarted
	}
	if a.Options == nil {
		a.Options = json.RawMessage(`{}`)
	}
	a.Options = slices.Clone(a.Options)
	one := s.find(a.Slug)
	if one == nil {
		one = &app{}
		s.apps = append(s.apps, one)
	}
	one.AddOn, one.installed = a, true
	return one
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

// installed is the add-on of this slug, nil if it is not there.
func (s *Supervisor) installed(slug string) *app {
	if a := s.find(slug); a != nil && a.installed {
		return a
	}
	return nil
}

// errNotInstalled is Supervisor's word on an app that it knows of from a store alone.
var errNotInstalled = refuse(http.StatusBadRequest, "App is not installed")

// lookup finds an installed app. The stores know the Cloudflared app, and what was installed once.
// The caller holds mu.
func (s *Supervisor) lookup(slug string) (*app, error) {
	store, name, _ := strings.Cut(slug, "_")
	switch a := s.find(slug); {
	case a != nil && a.installed:
		return a, nil
	case a != nil, name == "cloudflared" && stores[store] != "":
		return nil, errNotInstalled
	}
	return nil, refuse(http.StatusNotFound, "App %s does not exist", slug)
}

// hold takes the add-on's job for as long as do takes, or says that another holds it.
func (s *Supervisor) hold(slug string, do func(*app) error) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	a, err := s.lookup(slug)
	if err != nil {
		return err
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
		if what != "start" && byAPI && s.w.faults.RestartFaked {
			return nil // stop_container of Supervisor's docker/manager.py swallows that Docker could not stop it; start finds it running
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
		return invalid(a, complain("Missing option 'additional_hosts' in root in %s (%s). Got %s", a.Name, a.Slug, pyRepr(a.Options)))
	case BadPort:
		return &refusal{http.StatusBadRequest, "Cannot start app " + a.Slug + " because port 36500 is already in use", "app_port_conflict", map[string]any{"name": a.Slug, "port": 36500}}
	case BadDocker:
		a.State = evidence.StateError
		return &refusal{http.StatusInternalServerError, "An unknown error occurred with app " + a.Slug + ". Check Supervisor logs for details", "app_unknown_error", map[string]any{"app": a.Slug}}
	}
	if _, err := a.schema(s.w).validate(a.merged()); err != nil {
		return invalid(a, err)
	}
	a.State = evidence.StateStarted
	if a == s.watched() {
		s.w.Connector.start(a)
	}
	s.w.changed()
	return nil
}

func invalid(a *app, err error) error {
	return &refusal{http.StatusBadRequest, "App " + a.Slug + " has invalid options: " + err.Error(), "app_configuration_invalid_error", map[string]any{"app": a.Slug, "validation_error": err.Error()}}
}

// setOptions stores options, all of them, or none. The caller holds mu.
func (s *Supervisor) setOptions(a *app, raw json.RawMessage) error {
	stored, err := a.schema(s.w).validate(raw)
	if err != nil {
		return invalid(a, err)
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
	if a := s.installed(slug); a != nil {
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
	if a := s.installed(slug); a != nil {
		return a.State
	}
	return evidence.StateUnknown
}

// Log is what the add-on's containers wrote so far, all runs.
func (s *Supervisor) Log(slug string) string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var all []string
	if a := s.find(slug); a != nil {
		for _, r := range a.logs {
			all = append(all, r.lines...)
		}
	}
	return joined(all)
}

//go:embed cloudflared.txt
var cloudflaredFile string

// sayings are the lines of cloudflared.txt, by occasion.
var sayings = func() map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(cloudflaredFile, "\n= ") {
		occasion, lines, _ := strings.Cut(part, "\n")
		all[occasion] = strings.TrimRight(lines, "\n")
	}
	return all
}()

// say writes what the app does on an occasion; with are the placeholders and what they stand for. The caller holds mu.
func (a *app) say(occasion string, with ...string) {
	now := time.Now()
	filled := strings.NewReplacer(append(with, "{at}", now.UTC().Format(time.RFC3339), "{clock}", now.Format("15:04:05"))...).Replace(sayings[occasion])
	if len(a.logs) == 0 {
		a.logs = append(a.logs, logRun{})
	}
	r := &a.logs[len(a.logs)-1]
	if r.lines = append(r.lines, strings.Split(filled, "\n")...); len(r.lines) > 2000 {
		r.lines = r.lines[1000:]
	}
}

// connection are the placeholders for one of the connector's connections.
func connection(i int, more ...string) []string {
	return append(more, "{i}", strconv.Itoa(i), "{ip}", "198.41.192."+strconv.Itoa(7+i*20), "{city}", "fra0"+strconv.Itoa(3+i))
}

func joined(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// Restarts is how often the running watched add-on was stopped for a restart that
// was asked through Supervisor's API (not by the user's hands).
func (s *Supervisor) Restarts() int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.restarts
}
