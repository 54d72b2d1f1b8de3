package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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

// Told is what Home Assistant was told and asked.
type Told struct {
	Notifications   map[string]Notification    `json:"notifications"` // that stand now, by id
	NotificationLog []NotificationStep         `json:"-"`             // every creation and dismissal, oldest first
	Events          []Event                    `json:"events"`        // fired on its bus, oldest first
	NotifyCalls     []Event                    `json:"notify_calls"`  // calls of notify services, oldest first
	EntityStates    map[string]json.RawMessage `json:"-"`             // set through its API, by entity
	WrongTokens     int                        `json:"wrong_tokens"`  // how often somebody tried to sign in with one
	SignIns         int                        `json:"-"`             // how often somebody signed in with the right one
	Listeners       int                        `json:"-"`             // how many connections hear the bus
}

// Core is Home Assistant: its web server, and its API behind Supervisor's proxy. World.mu
// guards what it remembers.
type Core struct {
	w       *World
	door    *door
	version atomic.Pointer[string] // now

	told    Told
	log     []string
	sockets map[*socket]struct{}
}

// Told is what it was told so far, and does not change any more.
func (c *Core) Told() Told {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	t := c.told
	t.Notifications, t.EntityStates = maps.Clone(t.Notifications), maps.Clone(t.EntityStates)
	for s := range c.sockets {
		if len(s.subs) > 0 {
			t.Listeners++
		}
	}
	return t
}

// serveAPI is Core's REST API behind Supervisor's proxy (APIProxy of its api/proxy.py).
func (c *Core) serveAPI(rw http.ResponseWriter, req *http.Request) {
	words := strings.Split(req.Header.Get("Authorization"), " ")
	if words[len(words)-1] != SupervisorToken {
		plain(rw, http.StatusUnauthorized)
		return
	}
	if f := c.w.Faults(); f.CoreDown || f.CoreStarting {
		plain(rw, http.StatusBadGateway)
		return
	}
	raw, _ := io.ReadAll(io.LimitReader(req.Body, bodyLimit)) // a body that breaks off is no JSON
	if req.Method == http.MethodPost && len(raw) > 0 && !json.Valid(raw) {
		writeJSON(rw, http.StatusBadRequest, map[string]string{"message": "Data should be valid JSON."})
		return
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	kind, name, _ := strings.Cut(req.PathValue("path"), "/")
	switch req.Method + " " + kind {
	case "GET config":
		writeJSON(rw, http.StatusOK, sample("/core/api/config", map[string]any{"time_zone": c.w.opt.Timezone, "language": c.w.opt.Language, "version": *c.version.Load(), "external_url": c.w.opt.ExternalURL}))
	case "GET services":
		if name != "" {
			plain(rw, http.StatusMethodNotAllowed)
			return
		}
		writeJSON(rw, http.StatusOK, c.services())
	case "POST services":
		c.callService(rw, name, raw)
	case "POST events":
		c.publish(name, raw, nil)
		writeJSON(rw, http.StatusOK, map[string]string{"message": "Event " + name + " fired."})
	case "POST states", "DELETE states":
		c.serveState(rw, req.Method, name, raw)
	default:
		plain(rw, http.StatusNotFound)
	}
}

// services are those that exist, as the view of the same name in components/api/__init__.py gives
// them: by domain. What a form for each needs is left out.
func (c *Core) services() []map[string]any {
	none := struct{}{}
	notify := map[string]any{"persistent_notification": none, "send_message": none}
	for _, name := range c.w.opt.Notify {
		notify[name] = none
	}
	return []map[string]any{{"domain": "homeassistant", "services": map[string]any{"restart": none}}, {"domain": "notify", "services": notify}}
}

// SetNotify changes which notify services exist, as a phone does that is set up or taken away.
func (c *Core) SetNotify(services ...string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.opt.Notify = services
}

// callService answers 400 for a service that does not exist, as Core does.
func (c *Core) callService(rw http.ResponseWriter, service string, raw json.RawMessage) {
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
			delete(c.told.Notifications, n.ID)
		} else {
			c.told.Notifications[n.ID] = n
		}
		c.told.NotificationLog = append(c.told.NotificationLog, step)
	case domain == "notify" && (name == "persistent_notification" || slices.Contains(c.w.opt.Notify, name)):
		var m struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &m) != nil || m.Message == "" {
			plain(rw, http.StatusBadRequest)
			return
		}
		c.told.NotifyCalls = append(c.told.NotifyCalls, Event{now, name, raw})
	default:
		plain(rw, http.StatusBadRequest)
		return
	}
	writeJSON(rw, http.StatusOK, []any{})
	c.w.changed()
}

func (c *Core) serveState(rw http.ResponseWriter, method, entity string, raw json.RawMessage) {
	_, known := c.told.EntityStates[entity]
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
		c.told.EntityStates[entity] = raw
		status := http.StatusCreated
		if known {
			status = http.StatusOK
		}
		writeJSON(rw, status, map[string]any{"entity_id": entity, "state": s.State, "attributes": s.Attributes})
		c.w.changed()
	case !known:
		writeJSON(rw, http.StatusNotFound, map[string]string{"message": "Entity not found."})
	default:
		delete(c.told.EntityStates, entity)
		writeJSON(rw, http.StatusOK, map[string]string{"message": "Entity removed."})
		c.w.changed()
	}
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

// logf writes a line into Home Assistant's own log, in the home's time.
func (c *Core) logf(level, logger, format string, args ...any) {
	at := time.Now()
	if l, err := time.LoadLocation(c.w.opt.Timezone); err == nil {
		at = at.In(l)
	}
	line := fmt.Sprintf("%s %s (MainThread) [homeassistant.components.%s] ", at.Format("2006-01-02 15:04:05.000-07:00"), level, logger) + fmt.Sprintf(format, args...)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.log = append(c.log, line); len(c.log) > keptCoreLog {
		c.log = c.log[1:]
	}
}

// Update makes Home Assistant another version, from one moment to the next: its start
// page names other scripts, and the old ones are gone.
func (c *Core) Update(version string) { c.version.Store(&version) }

// port is where Home Assistant really listens here.
func (c *Core) port() string { _, port, _ := net.SplitHostPort(c.addr()); return port }
