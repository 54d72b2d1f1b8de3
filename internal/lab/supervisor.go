package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// Supervisor is Home Assistant's Supervisor: its API, and the add-ons that it runs.
// World.mu guards what it remembers.
type Supervisor struct {
	w    *World
	door *door

	apps       []*app
	injections []*Injection
	restarts   int
}

// serve is Supervisor's API, version 1.
func (s *Supervisor) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := s.w.watch("supervisor", out, req)
	defer done()
	answer := func(rw http.ResponseWriter) {
		if s.w.opt.Tap == nil {
			s.answer(rw, req)
			return
		}
		s.w.opt.Tap(req, func() { s.answer(rw, req) })
	}
	if i := s.injection(req); i != nil && s.spoil(i, rw, req, answer) {
		return
	}
	answer(rw)
}

// answer is the call without anything injected: state, then token, then role, then route, as
// Supervisor's own layers lie.
func (s *Supervisor) answer(rw http.ResponseWriter, req *http.Request) {
	f := s.w.Faults()
	if f.SupervisorState != "" {
		fail(rw, refuse(http.StatusBadRequest, "System is not ready with state: %s", f.SupervisorState))
		return
	}
	p := req.URL.Path
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if rest, ok := strings.CutPrefix(p, "/core/api/"); ok {
		if token != SupervisorToken {
			plain(rw, http.StatusUnauthorized)
			return
		}
		s.w.Core.serveAPI(rw, req, rest)
		return
	}
	if p == "/core/websocket" {
		s.w.Core.serveProxied(rw, req)
		return
	}
	manager := !f.NotManager
	switch {
	case p == "/supervisor/ping":
		succeed(rw, struct{}{})
		return
	case token == "":
		plain(rw, http.StatusUnauthorized)
		return
	case token != SupervisorToken, !manager && !strings.HasSuffix(p, "/info") && !strings.HasPrefix(p, "/services") && !strings.HasPrefix(p, "/addons/self/"):
		plain(rw, http.StatusForbidden)
		return
	}
	if rest, ok := strings.CutPrefix(p, "/addons/"); ok {
		slug, call, _ := strings.Cut(rest, "/")
		if slug == "self" {
			slug = SelfSlug
		}
		s.serveAddOn(rw, req, slug, call, manager)
		return
	}
	read := map[string]func() any{
		"/addons":          s.addOns,
		"/info":            s.info,
		"/supervisor/info": s.supervisorInfo,
		"/core/info":       s.coreInfo,
		"/network/info":    s.networkInfo,
	}[p]
	switch {
	case read != nil:
		if allow(rw, req, http.MethodGet) {
			succeed(rw, read())
		}
	case p == "/core/logs", p == "/core/logs/latest":
		switch {
		case !allow(rw, req, http.MethodGet):
		case strings.Contains(req.Header.Get("Accept"), "application/json"):
			text(rw, http.StatusBadRequest, "Invalid content type requested. Only text/plain and text/x-log supported for now.")
		default:
			text(rw, http.StatusOK, s.w.Core.Log())
		}
	case p == "/core/stats":
		if !allow(rw, req, http.MethodGet) {
			return
		}
		if s.w.Faults().CoreDown {
			fail(rw, refuse(http.StatusBadRequest, "Container homeassistant is not running"))
			return
		}
		succeed(rw, map[string]any{"cpu_percent": 7.5, "memory_usage": 412 << 20, "memory_limit": 4 << 30, "memory_percent": 10.1, "network_rx": 1 << 20, "network_tx": 1 << 20, "blk_read": 0, "blk_write": 0})
	case p == "/services/mqtt":
		if !allow(rw, req, http.MethodGet) {
			return
		}
		if s.w.opt.MQTT == nil {
			fail(rw, refuse(http.StatusBadRequest, "Service not enabled"))
			return
		}
		succeed(rw, s.w.opt.MQTT)
	case strings.HasPrefix(p, "/store/repositories/"):
		if !allow(rw, req, http.MethodGet) {
			return
		}
		slug := strings.TrimPrefix(p, "/store/repositories/")
		source, ok := s.store(slug)
		if !ok {
			fail(rw, refuse(http.StatusNotFound, "Repository %s does not exist in the store", slug))
			return
		}
		succeed(rw, map[string]any{"slug": slug, "name": slug, "source": source, "url": source, "maintainer": "somebody"})
	default:
		plain(rw, http.StatusNotFound)
	}
}

func (s *Supervisor) serveAddOn(rw http.ResponseWriter, req *http.Request, slug, call string, manager bool) {
	method := http.MethodPost
	switch call {
	case "info", "stats", "logs", "logs/latest":
		method = http.MethodGet
	case "options", "options/validate", "start", "stop", "restart":
	default:
		plain(rw, http.StatusNotFound)
		return
	}
	if !allow(rw, req, method) {
		return
	}
	s.w.mu.Lock()
	a := s.find(slug)
	installed := a != nil && a.installed
	s.w.mu.Unlock()
	if !installed && call != "info" {
		fail(rw, refuse(http.StatusBadRequest, "App %s is not installed", slug))
		return
	}
	var err error
	switch call {
	case "info":
		succeed(rw, s.addOnInfo(a, slug, manager))
		return
	case "logs", "logs/latest":
		s.addOnLogs(rw, req, a, call == "logs/latest")
		return
	case "stats":
		var stats any
		if stats, err = s.addOnStats(a); err == nil {
			succeed(rw, stats)
			return
		}
	case "options":
		err = s.postOptions(a, req)
	case "options/validate":
		var raw json.RawMessage
		if raw, err = readJSON(req); err == nil {
			s.w.mu.Lock()
			_, invalid := a.schema(s.w).validate(raw)
			s.w.mu.Unlock()
			message := ""
			if invalid != nil {
				message = invalid.Error()
			}
			succeed(rw, map[string]any{"message": message, "valid": invalid == nil, "pwned": false})
			return
		}
	default:
		err = s.act(slug, call, true)
	}
	if err != nil {
		fail(rw, err)
		return
	}
	succeed(rw, struct{}{})
}

func (s *Supervisor) postOptions(a *app, req *http.Request) error {
	raw, err := readJSON(req)
	if err != nil {
		return err
	}
	ms, err := members(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "expected a dictionary. Got %s", pyRepr(raw))
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
			return refuse(http.StatusBadRequest, "extra keys not allowed @ data['%s']. Got %s", m.key, pyRepr(m.value))
		}
	}
	switch string(options) {
	case "":
		return nil
	case "null": // Supervisor's way to reset them to the defaults
		options = json.RawMessage(`{"external_hostname":"","additional_hosts":[]}`)
	}
	return s.setOptions(a, options)
}

func readJSON(req *http.Request) (json.RawMessage, error) {
	raw, err := io.ReadAll(io.LimitReader(req.Body, bodyLimit))
	if err != nil || !json.Valid(raw) {
		return nil, refuse(http.StatusBadRequest, "Invalid json")
	}
	return raw, nil
}

func (s *Supervisor) addOns() any {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	all := []any{}
	for _, a := range s.apps {
		if a.installed {
			all = append(all, map[string]any{"slug": a.Slug, "name": a.Name, "description": a.Name, "advanced": false, "stage": "stable", "version": a.Version, "version_latest": a.Version,
				"update_available": false, "available": true, "detached": false, "homeassistant": nil, "state": a.State, "repository": repository(a.Slug), "build": false,
				"url": nil, "icon": true, "logo": true, "system_managed": false})
		}
	}
	return map[string]any{"addons": all}
}

// store gives a store's address. Every installed app has one: Supervisor keeps a store
// while an app from it is installed.
func (s *Supervisor) store(slug string) (source string, ok bool) {
	if source, ok = s.w.opt.Stores[slug]; ok {
		return source, true
	}
	if source, ok = map[string]string{"9074a9fa": "https://github.com/brenner-tobias/ha-addons", "396f0234": "https://github.com/homeassistant-apps/repository", "local": "local", "core": "core"}[slug]; ok {
		return source, true
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, a := range s.apps {
		ok = ok || a.installed && repository(a.Slug) == slug
	}
	return "https://github.com/somebody/" + slug, ok
}

func repository(slug string) string { r, _, _ := strings.Cut(slug, "_"); return r }

func (s *Supervisor) addOnInfo(a *app, slug string, manager bool) any {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	host := strings.ReplaceAll(slug, "_", "-")
	if a == nil || !a.installed {
		return map[string]any{"slug": slug, "name": "Cloudflared", "hostname": host, "version": nil, "version_latest": "6.0.3", "state": evidence.StateUnknown, "update_available": false,
			"options": struct{}{}, "schema": nil, "boot": "manual", "watchdog": nil, "protected": nil, "rating": 7, "ip_address": nil, "repository": repository(slug)}
	}
	options := json.RawMessage(`{}`)
	if manager {
		options = a.Options
	}
	info := map[string]any{"slug": a.Slug, "name": a.Name, "hostname": host, "dns": []string{host + ".local.hass.io"}, "description": a.Name, "version": a.Version, "version_latest": a.Version,
		"update_available": false, "state": a.State, "options": options, "schema": []any{}, "boot": "auto", "watchdog": false, "protected": true, "rating": 6, "auto_update": false,
		"ip_address": "172.30.33.4", "repository": repository(a.Slug), "host_network": false, "ingress": a.Slug == SelfSlug}
	if a.Slug == SelfSlug {
		info["ingress_url"], info["ingress_entry"], info["ingress_port"] = "/api/hassio_ingress/lab/", "/api/hassio_ingress/lab", 8099
	}
	return info
}

func (s *Supervisor) addOnStats(a *app) (any, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if !a.running() {
		return nil, &refusal{status: http.StatusBadRequest, text: "App " + a.Slug + " is not running", key: "app_not_running_error", extra: map[string]any{"app": a.Slug}}
	}
	return map[string]any{"cpu_percent": 0.4, "memory_usage": 41_943_040, "memory_limit": 4_102_213_632, "memory_percent": 1.02, "network_rx": 0, "network_tx": 0, "blk_read": 0, "blk_write": 0}, nil
}

// addOnLogs answers with text, errors included.
func (s *Supervisor) addOnLogs(rw http.ResponseWriter, req *http.Request, a *app, latest bool) {
	if strings.Contains(req.Header.Get("Accept"), "application/json") {
		text(rw, http.StatusBadRequest, "Invalid content type requested. Only text/plain and text/x-log supported for now.")
		return
	}
	s.w.mu.Lock()
	runs := a.logs
	if latest && len(runs) > 0 {
		runs = runs[len(runs)-1:]
	}
	body := logText(runs)
	s.w.mu.Unlock()
	if latest && body == "" {
		text(rw, http.StatusInternalServerError, "Could not determine the container's log epoch: no log entries found")
		return
	}
	text(rw, http.StatusOK, body)
}

func (s *Supervisor) info() any {
	return map[string]any{"supervisor": "2026.08.3", "homeassistant": *s.w.Core.version.Load(), "hassos": "17.1", "docker": "29.0.1", "hostname": "homeassistant", "operating_system": "Home Assistant OS 17.1",
		"features": []string{"reboot", "network", "journal"}, "machine": "generic-x86-64", "arch": "amd64", "supported_arch": []string{"amd64"}, "state": "running", "supported": true,
		"channel": "stable", "logging": "info", "timezone": s.w.opt.Timezone}
}

func (s *Supervisor) supervisorInfo() any {
	return map[string]any{"version": "2026.08.3", "version_latest": "2026.08.3", "update_available": false, "channel": "stable", "arch": "amd64", "supported": true, "healthy": true,
		"ip_address": "172.30.32.2", "timezone": s.w.opt.Timezone, "logging": "info", "debug": false, "addons_repositories": []string{}}
}

// coreInfo names the port at which Home Assistant really listens here.
func (s *Supervisor) coreInfo() any {
	port, _ := strconv.Atoi(s.w.Core.port())
	if s.w.Faults().CoreMoved {
		port = movedPort
	}
	return map[string]any{"version": *s.w.Core.version.Load(), "version_latest": *s.w.Core.version.Load(), "update_available": false, "machine": "generic-x86-64", "arch": "amd64", "ip_address": "127.0.0.1",
		"image": "ghcr.io/home-assistant/generic-x86-64-homeassistant", "boot": true, "port": port, "ssl": false, "watchdog": true}
}

// movedPort is where Home Assistant listens, by its own word, under Faults.CoreMoved.
const movedPort = 80

func (s *Supervisor) networkInfo() any {
	up := !s.w.Faults().InternetDown
	lan := map[string]any{"interface": "end0", "type": "ethernet", "enabled": true, "connected": true, "primary": true, "mac": "02:00:00:00:00:10",
		"ipv4": map[string]any{"method": "auto", "address": []string{LANAddress + "/24"}, "gateway": "192.168.7.1", "nameservers": []string{"192.168.7.1"}, "ready": true}, "ipv6": nil, "wifi": nil, "vlan": nil}
	return map[string]any{"interfaces": []any{lan}, "docker": map[string]any{"interface": "hassio", "address": "172.30.32.0/23", "gateway": "172.30.32.1", "dns": "172.30.32.3"},
		"host_internet": up, "supervisor_internet": up}
}

// allow answers 405 to other methods.
func allow(rw http.ResponseWriter, req *http.Request, methods ...string) bool {
	for _, m := range methods {
		if req.Method == m {
			return true
		}
	}
	rw.Header().Set("Allow", strings.Join(methods, ","))
	plain(rw, http.StatusMethodNotAllowed)
	return false
}

func succeed(rw http.ResponseWriter, data any) {
	writeJSON(rw, http.StatusOK, map[string]any{"result": "ok", "data": data})
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
	rw.Header().Set("Server", "Python/3.14 aiohttp/3.13.2")
	rw.WriteHeader(status)
	e := json.NewEncoder(rw)
	e.SetEscapeHTML(false)
	_ = e.Encode(body)
}

// plain is aiohttp's own text for a status: "403: Forbidden".
func plain(rw http.ResponseWriter, status int) {
	text(rw, status, fmt.Sprintf("%d: %s", status, http.StatusText(status)))
}

func text(rw http.ResponseWriter, status int, body string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, body)
}
