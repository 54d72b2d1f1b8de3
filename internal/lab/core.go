package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Notification is a persistent notification of Home Assistant's.
type Notification struct {
	ID      string `json:"notification_id"`
	Title   string `json:"title"`
	Message string `json:"message"`
}

// NotificationStep is one change to the notifications.
type NotificationStep struct {
	At        time.Time `json:"at"`
	Dismissed bool      `json:"dismissed,omitempty"` // else created, or replaced
	Notification
}

// Event is one fired on Core's bus, or one call of a notify service.
type Event struct {
	At   time.Time       `json:"at"`
	Name string          `json:"name"` // the event's type, or the service
	Data json.RawMessage `json:"data,omitempty"`
}

// coreState is what Home Assistant Core remembers. World.mu guards it.
type coreState struct {
	notifications map[string]Notification
	steps         []NotificationStep
	events        []Event
	notified      []Event
	states        map[string]json.RawMessage
	wrongTokens   int
	signIns       int
	log           []string
	banned        bool
}

func (c *coreState) init() {
	c.notifications, c.states = map[string]Notification{}, map[string]json.RawMessage{}
}

// Notifications are the persistent notifications that stand now, by id.
func (w *World) Notifications() map[string]Notification {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.core.notifications)
}

// NotificationLog is every creation and dismissal, oldest first.
func (w *World) NotificationLog() []NotificationStep {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.core.steps)
}

// Events are those fired on Core's bus, oldest first.
func (w *World) Events() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.core.events)
}

// NotifyCalls are the calls of notify services, oldest first.
func (w *World) NotifyCalls() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.core.notified)
}

// WrongTokens is how often somebody tried to sign in with a wrong token.
func (w *World) WrongTokens() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.core.wrongTokens
}

// SignIns is how often somebody signed in with the right one.
func (w *World) SignIns() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.core.signIns
}

// serveCore is Core's REST API behind Supervisor's proxy.
func (w *World) serveCore(rw http.ResponseWriter, req *http.Request, path string) {
	if !allow(rw, req, http.MethodGet, http.MethodPost, http.MethodDelete) {
		return
	}
	if f := w.Faults(); f.CoreDown || f.CoreStarting {
		plain(rw, http.StatusBadGateway)
		return
	}
	raw, _ := io.ReadAll(io.LimitReader(req.Body, bodyLimit)) // a body that breaks off is no JSON
	if req.Method == http.MethodPost && len(raw) > 0 && !json.Valid(raw) {
		writeJSON(rw, http.StatusBadRequest, map[string]string{"message": "Data should be valid JSON."})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	get, post := req.Method == http.MethodGet, req.Method == http.MethodPost
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case get && path == "":
		writeJSON(rw, http.StatusOK, map[string]string{"message": "API running."})
	case get && path == "config":
		writeJSON(rw, http.StatusOK, map[string]any{"location_name": "Home", "time_zone": w.opt.Timezone, "version": *w.haVersion.Load(), "state": "RUNNING", "external_url": w.opt.ExternalURL,
			"internal_url": nil, "components": []string{"api", "http", "websocket_api", "hassio", "persistent_notification", "notify"}, "safe_mode": false, "recovery_mode": false})
	case post && kind == "services":
		w.callService(rw, name, raw)
	case post && kind == "events" && name != "":
		w.core.events = append(w.core.events, Event{time.Now(), name, raw})
		writeJSON(rw, http.StatusOK, map[string]string{"message": "Event " + name + " fired."})
		w.changed()
	case kind == "states" && name != "":
		w.serveState(rw, req.Method, name, raw)
	default:
		plain(rw, http.StatusNotFound)
	}
}

// callService answers 400 for a service that does not exist, as Core does.
func (w *World) callService(rw http.ResponseWriter, service string, raw json.RawMessage) {
	now := time.Now()
	switch domain, name, _ := strings.Cut(service, "/"); {
	case service == "persistent_notification/create" || service == "persistent_notification/dismiss":
		var n Notification
		if json.Unmarshal(raw, &n) != nil || strings.HasSuffix(service, "create") && n.Message == "" || strings.HasSuffix(service, "dismiss") && n.ID == "" {
			plain(rw, http.StatusBadRequest)
			return
		}
		step := NotificationStep{At: now, Dismissed: strings.HasSuffix(service, "dismiss"), Notification: n}
		if step.Dismissed {
			delete(w.core.notifications, n.ID)
		} else {
			w.core.notifications[n.ID] = n
		}
		w.core.steps = append(w.core.steps, step)
	case domain == "notify" && (name == "persistent_notification" || slices.Contains(w.opt.Notify, name)):
		var m struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &m) != nil || m.Message == "" {
			plain(rw, http.StatusBadRequest)
			return
		}
		w.core.notified = append(w.core.notified, Event{now, name, raw})
	default:
		plain(rw, http.StatusBadRequest)
		return
	}
	writeJSON(rw, http.StatusOK, []any{})
	w.changed()
}

func (w *World) serveState(rw http.ResponseWriter, method, entity string, raw json.RawMessage) {
	have, known := w.core.states[entity]
	switch {
	case method == http.MethodPost:
		var s struct {
			State      *string         `json:"state"`
			Attributes json.RawMessage `json:"attributes,omitempty"`
		}
		if json.Unmarshal(raw, &s) != nil || s.State == nil {
			writeJSON(rw, http.StatusBadRequest, map[string]string{"message": "No state specified."})
			return
		}
		w.core.states[entity] = raw
		status := http.StatusCreated
		if known {
			status = http.StatusOK
		}
		writeJSON(rw, status, map[string]any{"entity_id": entity, "state": s.State, "attributes": s.Attributes})
		w.changed()
	case !known:
		writeJSON(rw, http.StatusNotFound, map[string]string{"message": "Entity not found."})
	case method == http.MethodDelete:
		delete(w.core.states, entity)
		writeJSON(rw, http.StatusOK, map[string]string{"message": "Entity removed."})
		w.changed()
	default:
		writeJSON(rw, http.StatusOK, have)
	}
}

// EntityStates are those set through Core's API, by entity.
func (w *World) EntityStates() map[string]json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.core.states)
}

// connectorIP is the Cloudflared app's address in Supervisor's network.
const connectorIP = "172.30.33.4"

// forwardedTexts are what homeassistant/components/http/forwarded.py logs, by what is
// wrong with the headers.
var forwardedTexts = map[string]string{
	"unset":   "A request from a reverse proxy was received from " + connectorIP + ", but your HTTP integration is not set-up for reverse proxies%.0s",
	"address": "Invalid IP address in X-Forwarded-For: unknown, %s",
	"proto":   "Empty item received in X-Forward-Proto header: https,%.0s",
	"protos":  "Incorrect number of elements in X-Forward-Proto. Expected 1 or 1, got 2: https,http%.0s",
	"host":    "Empty value received in X-Forward-Host header%.0s",
}

// keptCoreLog is how many lines Home Assistant's log holds here.
const keptCoreLog = 2000

// coreLogf writes a line into Home Assistant's own log, in the home's time.
func (w *World) coreLogf(level, logger, format string, args ...any) {
	at := time.Now()
	if l, err := time.LoadLocation(w.opt.Timezone); err == nil {
		at = at.In(l)
	}
	line := fmt.Sprintf("%s %s (MainThread) [homeassistant.components.%s] ", at.Format("2006-01-02 15:04:05.000"), level, logger) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.core.log = append(w.core.log, line); len(w.core.log) > keptCoreLog {
		w.core.log = w.core.log[1:]
	}
}

// CoreLog is what Home Assistant has written into its log.
func (w *World) CoreLog() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.core.log, "\n")
}

// UpdateCore makes Home Assistant another version, from one moment to the next: its start
// page names other scripts, and the old ones are gone.
func (w *World) UpdateCore(version string) { w.haVersion.Store(&version) }
