package lab

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

//go:embed control.txt
var help string

// faultHelp tells all faults, part by part.
func faultHelp() string {
	var b strings.Builder
	part := ""
	for _, f := range AllFaults() {
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(&b, "\n  %s\n", part)
		}
		fmt.Fprintf(&b, "    %-20s %s (%s)\n", f.Name, f.About, f.Values)
	}
	return b.String()
}

// Snapshot is the world at one moment, as /control/state gives it.
type Snapshot struct {
	UptimeMS      int64                          `json:"uptime_ms"`
	PublicURL     string                         `json:"public_url"`
	AddOns        map[string]evidence.AddOnState `json:"addons"`
	RunParameters []string                       `json:"run_parameters"`
	Transport     evidence.Transport             `json:"transport"`
	Connections   int                            `json:"connections"`
	OpenShare     float64                        `json:"open_share"`
	CutOffMS      int64                          `json:"cut_off_ms"`
	Restarts      int                            `json:"restarts"`
	Told
	Faults   Faults         `json:"faults"`
	Requests map[string]int `json:"requests"` // by server
}

// Snapshot looks at the world.
func (w *World) Snapshot() Snapshot {
	s := Snapshot{UptimeMS: time.Since(w.started).Milliseconds(), PublicURL: w.Edge.url, AddOns: map[string]evidence.AddOnState{}, RunParameters: w.Supervisor.RunParameters(), Transport: w.Connector.Transport(),
		Connections: w.Connector.Connections(), OpenShare: w.OpenShare(), CutOffMS: w.CutOff().Milliseconds(), Restarts: w.Supervisor.Restarts(),
		Told: w.Core.Told(), Faults: w.Faults(), Requests: map[string]int{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.Supervisor.apps {
		if a.installed {
			s.AddOns[a.Slug] = a.State
		}
	}
	for _, r := range w.requests {
		s.Requests[r.Server]++
	}
	return s
}

// control is the world driven by hand over HTTP.
type control struct{ *World }

// handler serves it. GET /control says how. A mistake
// is answered with 400 and one line.
func (w *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.demo)
	mux.HandleFunc("POST /break", w.demoAct)
	mux.HandleFunc("POST /mend", w.demoAct)
	mux.HandleFunc("POST /do", w.demoAct)
	mux.HandleFunc("GET /control", func(rw http.ResponseWriter, _ *http.Request) { text(rw, http.StatusOK, help+faultHelp()) })
	mux.HandleFunc("GET /control/state", func(rw http.ResponseWriter, _ *http.Request) { pretty(rw, w.Snapshot()) })
	mux.HandleFunc("GET /control/faults", func(rw http.ResponseWriter, _ *http.Request) { pretty(rw, w.Faults()) })
	mux.HandleFunc("PUT /control/faults", func(rw http.ResponseWriter, req *http.Request) { w.controlFaults(rw, req, Faults{}) })
	mux.HandleFunc("PATCH /control/faults", func(rw http.ResponseWriter, req *http.Request) { w.controlFaults(rw, req, w.Faults()) })
	mux.HandleFunc("GET /control/log", func(rw http.ResponseWriter, _ *http.Request) {
		text(rw, http.StatusOK, w.Supervisor.Log(w.watchedSlug()))
	})
	change := func(pattern string, do func(*http.Request) error) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, req *http.Request) { settled(rw, do(req)) })
	}
	change("POST /control/inject", func(req *http.Request) error {
		var i Injection
		if err := readControl(req, &i); err != nil {
			return err
		}
		w.Supervisor.Inject(i)
		return i.Check()
	})
	change("DELETE /control/inject", func(*http.Request) error { w.Supervisor.ClearInjections(); return nil })
	change("POST /control/user", func(req *http.Request) error {
		var u userAct
		if err := readControl(req, &u); err != nil {
			return err
		}
		return w.user(u)
	})
	return mux
}

func (w *control) controlFaults(rw http.ResponseWriter, req *http.Request, f Faults) {
	err := readControl(req, &f)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		settled(rw, err)
		return
	}
	w.SetFaults(f)
	pretty(rw, w.Faults())
}

// userAct is one act of the user's.
type userAct struct {
	Action   string          `json:"action"`
	Slug     string          `json:"slug"`
	Protocol string          `json:"protocol"`
	Options  json.RawMessage `json:"options"`
}

// act is something that people can do. The demonstration offers what has words.
type act struct {
	Action, Words string
	do            func(*Hands, userAct) error
}

var acts = []act{
	{"core-restart", "restart Home Assistant", func(h *Hands, _ userAct) error { h.RestartsCore(); return nil }},
	{"restart", "restart the Cloudflared app", func(h *Hands, u userAct) error { return h.Restarts(u.Slug) }},
	{"stop", "stop the Cloudflared app", func(h *Hands, u userAct) error { return h.Stops(u.Slug) }},
	{"start", "start the Cloudflared app", func(h *Hands, u userAct) error { return h.Starts(u.Slug) }},
	{"crash", "cloudflared crashes", func(h *Hands, _ userAct) error { h.w.Connector.Crash(); return nil }},
	{"uninstall", "", func(h *Hands, u userAct) error { return h.Uninstalls(u.Slug) }},
	{"options", "", func(h *Hands, u userAct) error { return h.SetsOptions(u.Slug, u.Options) }},
	{"protocol", "", func(h *Hands, u userAct) error {
		p, err := evidence.ParseProtocol(u.Protocol)
		if err != nil {
			return err
		}
		return h.SetsProtocol(u.Slug, p)
	}},
}

func (w *control) user(u userAct) error {
	u.Slug = cmp.Or(u.Slug, w.watchedSlug())
	var names []string
	for _, a := range acts {
		if a.Action == u.Action {
			return a.do(w.User, u)
		}
		names = append(names, a.Action)
	}
	return fmt.Errorf("action %.60q is not one of %s", u.Action, strings.Join(names, ", "))
}

func (w *control) watchedSlug() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.Supervisor.watched(); a != nil {
		return a.Slug
	}
	return DefaultSlug
}

func readControl(req *http.Request, into any) error {
	raw, err := io.ReadAll(io.LimitReader(req.Body, bodyLimit))
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return strict(raw, into)
}

func settled(rw http.ResponseWriter, err error) {
	if err != nil {
		text(rw, http.StatusBadRequest, strings.ReplaceAll(err.Error(), "\n", " ")+"\n")
		return
	}
	text(rw, http.StatusOK, "done\n")
}

func pretty(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(rw)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
