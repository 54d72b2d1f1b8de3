package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
)

// Core is Home Assistant Core: what Supervisor says of it, and what it says itself by
// Supervisor's proxy.
type Core struct {
	line    *line
	admins  admins
	stopped atomic.Bool // its container did not run when that was asked last, and it has not answered since
}

// CoreInfo is Supervisor's word on Home Assistant Core.
type CoreInfo struct {
	Version   string `json:"version"`
	Port      int    `json:"port"`
	SSL       bool   `json:"ssl"`
	IPAddress string `json:"ip_address"` // in Docker's network
}

// CoreInfo reads where Core listens.
func (c *Core) CoreInfo(ctx context.Context) (CoreInfo, error) {
	return read[CoreInfo](ctx, c.line, "reading Core's data", nil, "core", "info")
}

// Address gives Home Assistant's address on the internal network: "homeassistant" is
// its name there in every installation.
func (c CoreInfo) Address() string {
	scheme := "http"
	if c.SSL {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort("homeassistant", strconv.Itoa(cmp.Or(c.Port, 8123)))
}

// Into puts where Core listens, and which it is, into the evidence of how it is.
func (c CoreInfo) Into(e *evidence.Core) { e.Port, e.SSL, e.Version = c.Port, c.SSL, c.Version }

// CoreRuns says whether Home Assistant's container runs: Supervisor gives its load
// then, and refuses to otherwise. A Core that runs and does not answer is starting,
// or hangs. Each refusal is two errors with a traceback in Supervisor's log, so that a
// container that does not run is asked about once, until Core answers again.
func (c *Core) CoreRuns(ctx context.Context) evidence.Switch {
	if c.stopped.Load() {
		return evidence.Off
	}
	_, err := read[struct{}](ctx, c.line, "reading Core's load", nil, "core", "stats")
	switch {
	case err == nil:
		return evidence.On
	case Is(err, Rejected):
		c.stopped.Store(true)
		return evidence.Off
	}
	return evidence.NotKnown
}

// CoreLog is [Apps.Log] for Home Assistant itself. It holds addresses and names of people: who
// reads it keeps counts alone.
func (c *Core) CoreLog(ctx context.Context) (string, error) {
	return c.line.log(ctx, "Home Assistant", "core")
}

// CoreConfig is Core's own word on itself.
type CoreConfig struct {
	ExternalURL string `json:"external_url"` // "" if not set
	Version     string `json:"version"`
	State       string `json:"state"`    // RUNNING, STARTING, NOT_RUNNING…
	Language    string `json:"language"` // such as "de" or "pt-BR"
}

// CoreConfig reads Core's configuration; kind CoreAway while Core is down or starting.
func (c *Core) CoreConfig(ctx context.Context) (CoreConfig, error) {
	cfg, err := read(ctx, c.line, "reading Core's configuration", func(c *CoreConfig) string { return unless(c.Version != "", "a version") }, "core", "api", "config")
	if err != nil {
		return cfg, err
	}
	c.stopped.Store(false)
	for _, text := range []*string{&cfg.Version, &cfg.State, &cfg.Language} {
		*text = plain.Name(*text)
	}
	return cfg, nil
}

// CoreState asks how Core is, for the evidence. A Core that is down or fails is an
// answer (502, 500) and no error; an error says that Core could not be asked.
func (c *Core) CoreState(ctx context.Context) (evidence.Core, error) {
	cfg, err := c.CoreConfig(ctx)
	if err == nil {
		return evidence.Core{Asked: true, Status: http.StatusOK, State: cfg.State}, nil
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Status >= 500 {
		return evidence.Core{Asked: true, Status: e.Status}, nil
	}
	return evidence.Core{}, err
}

// NotifyServices are the notify services that Core has, in order.
func (c *Core) NotifyServices(ctx context.Context) ([]string, error) {
	domains, err := read[[]struct {
		Domain   string              `json:"domain"`
		Services map[string]struct{} `json:"services"` // what describes them is long, and not kept
	}](ctx, c.line, "reading the notify services", nil, "core", "api", "services")
	for _, d := range domains {
		if d.Domain == "notify" {
			return slices.DeleteFunc(slices.Sorted(maps.Keys(d.Services)), func(name string) bool { return !isWord(name) }), nil
		}
	}
	return nil, err
}

// CallService calls a service (an action) of Core: "notify", "mobile_app_pixel". data is
// marshalled to JSON; nil stands for none.
func (c *Core) CallService(ctx context.Context, domain, service string, data any) error {
	_, err := c.tell(ctx, "calling "+domain+"."+service, http.MethodPost, data, "services", domain, service)
	return err
}

// FireEvent fires an event on Core's bus.
func (c *Core) FireEvent(ctx context.Context, event string, data any) error {
	_, err := c.tell(ctx, "firing the event "+event, http.MethodPost, data, "events", event)
	return err
}

// SetState sets an entity's state, and says whether Core did not have it before (it answers 201
// then, else 200: APIEntityStateView in components/api/__init__.py). Such an entity has no
// integration behind it: it is gone when Core restarts.
func (c *Core) SetState(ctx context.Context, entity, state string, attributes map[string]any) (made bool, err error) {
	data := map[string]any{"state": state}
	if attributes != nil {
		data["attributes"] = attributes
	}
	status, err := c.tell(ctx, "setting the state of "+entity, http.MethodPost, data, "states", entity)
	return status == http.StatusCreated, err
}

// DeleteState takes an entity's state away; one that is not there is no error.
func (c *Core) DeleteState(ctx context.Context, entity string) error {
	_, err := c.tell(ctx, "removing the state of "+entity, http.MethodDelete, nil, "states", entity)
	if Is(err, NotFound) {
		return nil
	}
	return err
}

// tell gives Core something, and the status of its answer.
func (c *Core) tell(ctx context.Context, op, method string, data any, path ...string) (status int, err error) {
	q := call{op: op, method: method, path: append([]string{"core", "api"}, path...), patience: telling, status: &status}
	if method == http.MethodPost {
		if data == nil {
			data = struct{}{}
		}
		if q.body, err = json.Marshal(data); err != nil { // the error's text may quote a value
			return 0, &Error{Op: op, Kind: Rejected, Message: "its data cannot be written as JSON"}
		}
	}
	_, err = c.line.do(ctx, q)
	return status, err
}
