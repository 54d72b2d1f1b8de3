package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Supervisor is Home Assistant's Supervisor: its API, and the apps that it runs. World.mu
// guards what it remembers.
type Supervisor struct {
	spoilable
	door *door
	api  *api

	apps     []*app
	restarts int
}

func newSupervisor(w *World) *Supervisor {
	s := &Supervisor{spoilable: spoilable{w: w}}
	s.api = &api{Supervisor: s}
	s.api.mux = s.api.routes()
	return s
}

// api is Supervisor's API, version 1. docs/LAB.md is the table of its answers.
type api struct {
	*Supervisor
	mux *http.ServeMux
}

// URL is that of Supervisor's API.
func (s *Supervisor) URL() string { return s.door.url() }

// arrival is the key of the moment at which a call came in.
type arrival struct{}

// Arrived says when a call that Options.Tap is told of came in: an injection may have held it up.
func Arrived(req *http.Request) time.Time {
	at, _ := req.Context().Value(arrival{}).(time.Time)
	return at
}

// serve spoils the call if an injection says so, and lets it take effect.
func (s *Supervisor) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := s.w.watch("supervisor", out, req)
	defer done()
	req = req.WithContext(context.WithValue(req.Context(), arrival{}, time.Now()))
	s.spoilOr(rw, req, func(rw http.ResponseWriter) {
		if s.w.opt.Tap == nil {
			s.api.answer(rw, req)
			return
		}
		s.w.opt.Tap(req, func() { s.api.answer(rw, req) })
	})
}

// What an app may call, by Supervisor's api/middleware/security.py.
var (
	blacklisted = regexp.MustCompile(`^/(core|homeassistant)/api/hassio[/_]`)
	unguarded   = regexp.MustCompile(`^/(core/api/.*|core/websocket)$`)
	bypass      = regexp.MustCompile(`^/(addons/self/[^/]+|info|services.*|discovery.*|auth)$`)
	roles       = map[bool]*regexp.Regexp{ // by whether it is manager, or default
		false: regexp.MustCompile(`^/.+/info$`),
		true:  regexp.MustCompile(`^/(.+/info|addons(/[^/]+/.+|/reload)?|(core|host|jobs|network|supervisor)/.+|(backups|store).*)$`),
	}
)

// answer is the call as Supervisor's own layers lie: state, token, role, route.
func (s *api) answer(rw http.ResponseWriter, req *http.Request) {
	f, p := s.w.Faults(), req.URL.Path
	token := req.Header.Get("X-Supervisor-Token")
	if token == "" {
		words := strings.Split(req.Header.Get("Authorization"), " ")
		token = words[len(words)-1]
	}
	switch {
	case f.SupervisorState != "" && !slices.Contains([]string{"startup", "running", "freeze"}, f.SupervisorState):
		fail(rw, refuse(http.StatusBadRequest, "System is not ready with state: %s", f.SupervisorState))
	case blacklisted.MatchString(p):
		plain(rw, http.StatusForbidden)
	case unguarded.MatchString(p):
		s.route(rw, req)
	case token == "":
		plain(rw, http.StatusUnauthorized)
	case token != SupervisorToken || !bypass.MatchString(p) && !roles[!f.NotManager].MatchString(p):
		plain(rw, http.StatusForbidden)
	default:
		s.route(rw, req)
	}
}

// route finds the call, or answers as aiohttp does for one that there is not.
func (s *api) route(rw http.ResponseWriter, req *http.Request) {
	if no, pattern := s.mux.Handler(req); pattern == "" {
		lost := httptest.NewRecorder()
		no.ServeHTTP(lost, req)
		if allowed := lost.Header().Get("Allow"); allowed != "" {
			rw.Header().Set("Allow", strings.ReplaceAll(allowed, " ", ""))
		}
		plain(rw, lost.Code)
		return
	}
	s.mux.ServeHTTP(rw, req)
}

func (s *api) routes() *http.ServeMux {
	mux := http.NewServeMux()
	call := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, req *http.Request) {
			data, err := do(req)
			if err != nil {
				fail(rw, err)
				return
			}
			writeJSON(rw, http.StatusOK, map[string]any{"result": "ok", "data": data})
		})
	}
	read := func(path string, data func() any) {
		call("GET "+path, func(*http.Request) (any, error) {
			s.w.mu.Lock()
			defer s.w.mu.Unlock()
			return data(), nil
		})
	}
	read("/addons", s.list)
	read("/info", s.info)
	read("/core/info", s.coreInfo)
	read("/network/info", s.networkInfo)
	call("GET /core/stats", s.coreStats)
	call("GET /services/{service}", s.service)
	call("GET /store/repositories/{repository}", s.repository)
	mux.HandleFunc("GET /core/logs", s.coreLogs)
	mux.HandleFunc("GET /core/logs/latest", s.coreLogs)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		mux.HandleFunc(method+" /core/api/{path...}", s.w.Core.serveAPI)
	}
	mux.HandleFunc("GET /core/websocket", s.w.Core.serveProxied)

	call("GET /addons/{app}/info", s.appInfo)
	mux.HandleFunc("GET /addons/{app}/logs", s.appLogs)
	mux.HandleFunc("GET /addons/{app}/logs/latest", s.appLogs)
	about := func(pattern string, do func(*app, *http.Request) (any, error)) {
		call(pattern, func(req *http.Request) (any, error) {
			a, err := s.called(req)
			if err != nil {
				return nil, err
			}
			return do(a, req)
		})
	}
	about("POST /addons/{app}/options", s.postOptions)
	about("POST /addons/{app}/options/validate", s.validateOptions)
	for _, what := range []string{"start", "stop", "restart"} {
		about("POST /addons/{app}/"+what, func(a *app, _ *http.Request) (any, error) { return struct{}{}, s.act(a.Slug, what, true) })
	}
	return mux
}

// called is the app that a call is about.
func (s *api) called(req *http.Request) (*app, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	slug := req.PathValue("app")
	if slug == "self" {
		slug = SelfSlug
	}
	return s.lookup(slug)
}

// postOptions replaces the options. What the schema of a setting takes beside them is not kept here.
func (s *api) postOptions(a *app, req *http.Request) (any, error) {
	raw, err := readJSON(req)
	if err != nil {
		return nil, err
	}
	ms, err := members(raw)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "expected a dictionary. Got %s", pyRepr(raw))
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var options json.RawMessage
	for _, m := range ms {
		switch m.key {
		case "options":
			options = m.value
		case "boot", "auto_update", "watchdog", "network", "ingress_panel", "audio_input", "audio_output":
		default:
			return nil, refuse(http.StatusBadRequest, "extra keys not allowed @ data['%s']. Got %s", m.key, pyRepr(m.value))
		}
	}
	switch _, err := members(options); {
	case options == nil:
		return struct{}{}, nil
	case string(options) == "null": // back to the defaults
		a.Options = json.RawMessage(`{}`)
		s.w.changed()
		return struct{}{}, nil
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "not a valid value for dictionary value @ data['options']. Got %s", pyRepr(options))
	}
	return struct{}{}, s.setOptions(a, options)
}

// validateOptions takes an empty body, or an empty dictionary, for what is stored.
func (s *api) validateOptions(a *app, req *http.Request) (any, error) {
	raw, err := readJSON(req)
	if err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if string(raw) == "{}" {
		raw = a.merged()
	}
	message := ""
	if _, err := a.schema(s.w).validate(raw); err != nil {
		message = err.Error()
	}
	return map[string]any{"message": message, "valid": message == "", "pwned": false}, nil
}

// readJSON takes no body for an empty dictionary, as json_loads of Supervisor's api/utils.py does.
func readJSON(req *http.Request) (json.RawMessage, error) {
	raw, err := io.ReadAll(io.LimitReader(req.Body, bodyLimit))
	if len(raw) == 0 {
		raw = []byte(`{}`)
	}
	if err != nil || !json.Valid(raw) {
		return nil, refuse(http.StatusBadRequest, "Invalid json")
	}
	return raw, nil
}

func (s *api) list() any {
	all := []any{}
	for _, a := range s.apps {
		if a.installed {
			all = append(all, a.described("/addons"))
		}
	}
	return map[string]any{"addons": all}
}

// described is an answer about an app.
func (a *app) described(name string) map[string]any {
	return sample(name, map[string]any{"slug": a.Slug, "name": a.Name, "description": a.Name, "version": a.Version, "version_latest": a.Version,
		"repository": storeOf(a.Slug), "state": a.State})
}

// stores are those that have the Cloudflared app.
var stores = map[string]string{"9074a9fa": "https://github.com/brenner-tobias/ha-addons", "396f0234": "https://github.com/homeassistant-apps/repository"}

// repository gives a store's address. Every installed app has one: Supervisor keeps a store
// while an app from it is installed.
func (s *api) repository(req *http.Request) (any, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	slug := req.PathValue("repository")
	source := s.w.opt.Stores[slug]
	if source == "" {
		source = stores[slug]
	}
	if source == "" && (slug == "local" || slug == "core") {
		source = slug
	}
	if source == "" && slices.ContainsFunc(s.apps, func(a *app) bool { return a.installed && storeOf(a.Slug) == slug }) {
		source = "https://github.com/somebody/" + slug
	}
	if source == "" {
		return nil, refuse(http.StatusNotFound, "Repository %s does not exist in the store", slug)
	}
	return sample("/store/repositories/{repository}", map[string]any{"slug": slug, "name": slug, "source": source, "url": source}), nil
}

func storeOf(slug string) string { store, _, _ := strings.Cut(slug, "_"); return store }

// appInfo is the store's word on an app that is not installed.
func (s *api) appInfo(req *http.Request) (any, error) {
	a, err := s.called(req)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if slug := req.PathValue("app"); errors.Is(err, errNotInstalled) {
		return sample("/addons/{app}/info, not installed", map[string]any{"slug": slug, "repository": storeOf(slug)}), nil
	}
	if err != nil {
		return nil, err
	}
	info := a.described("/addons/{app}/info")
	host := strings.ReplaceAll(a.Slug, "_", "-")
	info["hostname"], info["dns"] = host, []string{host + ".local.hass.io"}
	switch {
	case a.Slug == SelfSlug:
		maps.Copy(info, samples["/addons/self/info"])
	case s.w.faults.NotManager:
		return info, nil
	}
	info["options"] = a.merged()
	return info, nil
}

func (s *api) coreStats(*http.Request) (any, error) {
	if s.w.Faults().CoreDown {
		return nil, refuse(http.StatusBadRequest, "Container homeassistant is not running")
	}
	return samples["/core/stats"], nil
}

func (s *api) service(req *http.Request) (any, error) {
	switch name := req.PathValue("service"); {
	case name != "mqtt" && name != "mysql":
		return nil, refuse(http.StatusNotFound, "Service does not exist")
	case name == "mysql": // the app's config asks for MQTT alone
		return nil, refuse(http.StatusForbidden, "No access to mysql service!")
	case s.w.opt.MQTT == nil:
		return nil, refuse(http.StatusBadRequest, "Service not enabled")
	}
	return s.w.opt.MQTT, nil
}

// appLogs answers with text, errors included.
func (s *api) appLogs(rw http.ResponseWriter, req *http.Request) {
	a, err := s.called(req)
	var r *refusal
	if errors.As(err, &r) {
		text(rw, r.status, r.text)
		return
	}
	s.w.mu.Lock()
	runs := slices.Clone(a.logs)
	s.w.mu.Unlock()
	logs(rw, req, "addon_"+a.Slug+", app_"+a.Slug, runs)
}

func (s *api) coreLogs(rw http.ResponseWriter, req *http.Request) {
	s.w.mu.Lock()
	log := strings.Join(s.w.Core.log, "\n")
	s.w.mu.Unlock()
	logs(rw, req, "homeassistant", []logRun{{strings.Split(log, "\n")}})
}

// logs is advanced_logs_handler of Supervisor's api/host.py: the newest lines, or the whole latest run.
func logs(rw http.ResponseWriter, req *http.Request, identifiers string, runs []logRun) {
	latest := strings.HasSuffix(req.URL.Path, "/latest")
	if latest && len(runs) > 0 {
		runs = runs[len(runs)-1:]
	}
	var all []string
	for _, r := range runs {
		all = append(all, r.lines...)
	}
	accept := req.Header.Get("Accept")
	switch {
	case latest && len(all) == 0:
		text(rw, http.StatusInternalServerError, "Cannot determine CONTAINER_LOG_EPOCH of "+identifiers+". Check Supervisor logs for details")
		return
	case !slices.Contains([]string{"", "*/*", "text/plain", "text/x-log"}, accept):
		text(rw, http.StatusBadRequest, "Invalid content type requested. Only text/plain and text/x-log supported for now.")
		return
	}
	newest := 100
	if n, err := strconv.Atoi(req.URL.Query().Get("lines")); err == nil {
		newest = max(2, n)
	} else if latest {
		newest = len(all)
	}
	text(rw, http.StatusOK, joined(all[max(0, len(all)-newest):]))
}

func (s *api) info() any {
	return sample("/info", map[string]any{"homeassistant": *s.w.Core.version.Load(), "state": cmp.Or(s.w.faults.SupervisorState, "running"), "timezone": s.w.opt.Timezone})
}

// coreInfo names the port at which Home Assistant really listens here.
func (s *api) coreInfo() any {
	port, _ := strconv.Atoi(s.w.Core.port())
	if s.w.faults.CoreMoved {
		port = movedPort
	}
	version := *s.w.Core.version.Load()
	return sample("/core/info", map[string]any{"version": version, "version_latest": version, "port": port})
}

// movedPort is where Home Assistant listens, by its own word, under Faults.CoreMoved.
const movedPort = 80

func (s *api) networkInfo() any {
	up := !s.w.faults.InternetDown
	return sample("/network/info", map[string]any{"host_internet": up, "supervisor_internet": up})
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

func fail(rw http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	body := map[string]any{"result": "error", "message": r.text}
	if r.key != "" {
		body["error_key"], body["extra_fields"] = r.key, r.extra
	}
	writeJSON(rw, r.status, body)
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.Header().Set("Server", aiohttpServer)
	rw.WriteHeader(status)
	e := json.NewEncoder(rw)
	e.SetEscapeHTML(false)
	_ = e.Encode(body)
}

// plain is aiohttp's own text for a status: "403: Forbidden".
func plain(rw http.ResponseWriter, status int) {
	text(rw, status, fmt.Sprintf("%d: %s", status, http.StatusText(status)))
}

func text(rw http.ResponseWriter, status int, body string) { respond(rw, status, plainText, body) }

// respond is a whole answer of one kind.
func respond(rw http.ResponseWriter, status int, kind, body string) {
	rw.Header().Set("Content-Type", kind)
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, body)
}
