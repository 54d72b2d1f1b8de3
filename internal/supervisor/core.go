package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
)

// CoreConfig is Core's own word on itself.
type CoreConfig struct {
	ExternalURL  string `json:"external_url"` // "" if not set
	Version      string `json:"version"`
	State        string `json:"state"` // RUNNING, STARTING, NOT_RUNNING…
	TimeZone     string `json:"time_zone"`
	LocationName string `json:"location_name"`
	Language     string `json:"language"` // such as "de" or "pt-BR"
}

// CoreConfig reads Core's configuration; kind CoreAway while Core is down or starting.
func (c *Client) CoreConfig(ctx context.Context) (CoreConfig, error) {
	q := call{op: "reading Core's configuration", method: http.MethodGet, path: "/core/api/config", core: true, patience: reading}
	body, err := c.do(ctx, q)
	if err != nil {
		return CoreConfig{}, err
	}
	var cfg CoreConfig
	if err := decode(q, body, &cfg); err != nil {
		return CoreConfig{}, err
	}
	if cfg.Version == "" {
		return CoreConfig{}, unexpected(q, "an answer without a version")
	}
	c.coreStopped.Store(false)
	cfg.Version, cfg.State, cfg.LocationName = plain.Name(cfg.Version), plain.Name(cfg.State), plain.Name(cfg.LocationName)
	cfg.Language = plain.Name(cfg.Language)
	return cfg, nil
}

// CoreState asks how Core is, for the evidence. A Core that is down or fails is an
// answer (502, 500) and no error; an error says that Core could not be asked.
func (c *Client) CoreState(ctx context.Context) (evidence.Core, error) {
	cfg, err := c.CoreConfig(ctx)
	var e *Error
	switch {
	case err == nil:
		return evidence.Core{Asked: true, Status: http.StatusOK, State: cfg.State}, nil
	case errors.As(err, &e) && e.Status >= 500:
		return evidence.Core{Asked: true, Status: e.Status}, nil
	}
	return evidence.Core{}, err
}

// NotifyServices are the notify services that Core has, in order.
func (c *Client) NotifyServices(ctx context.Context) ([]string, error) {
	q := call{op: "reading the notify services", method: http.MethodGet, path: "/core/api/services", core: true, patience: reading}
	body, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	var domains []struct {
		Domain   string              `json:"domain"`
		Services map[string]struct{} `json:"services"` // what describes them is long, and not kept
	}
	if err := decode(q, body, &domains); err != nil {
		return nil, err
	}
	for _, d := range domains {
		if d.Domain == "notify" {
			return slices.DeleteFunc(slices.Sorted(maps.Keys(d.Services)), func(name string) bool { return !isWord(name) }), nil
		}
	}
	return nil, nil
}

// CallService calls a service (an action) of Core: "notify", "mobile_app_pixel". data is
// marshalled to JSON; nil stands for none.
func (c *Client) CallService(ctx context.Context, domain, service string, data any) error {
	op := "calling " + domain + "." + service
	_, err := c.tell(ctx, op, "a service", http.MethodPost, []string{"services", domain, service}, data)
	return err
}

// FireEvent fires an event on Core's bus.
func (c *Client) FireEvent(ctx context.Context, event string, data any) error {
	_, err := c.tell(ctx, "firing the event "+event, "an event", http.MethodPost, []string{"events", event}, data)
	return err
}

// SetState sets an entity's state, and says whether Core did not have it before (it answers 201
// then, else 200: APIEntityStateView in components/api/__init__.py). Such an entity has no
// integration behind it: it is gone when Core restarts.
func (c *Client) SetState(ctx context.Context, entity, state string, attributes map[string]any) (made bool, err error) {
	data := map[string]any{"state": state}
	if attributes != nil {
		data["attributes"] = attributes
	}
	status, err := c.tell(ctx, "setting the state of "+entity, "an entity", http.MethodPost, []string{"states", entity}, data)
	return status == http.StatusCreated, err
}

// DeleteState takes an entity's state away; one that is not there is no error.
func (c *Client) DeleteState(ctx context.Context, entity string) error {
	_, err := c.tell(ctx, "removing the state of "+entity, "an entity", http.MethodDelete, []string{"states", entity}, nil)
	if Is(err, NotFound) {
		return nil
	}
	return err
}

// tell gives Core something, and the status of its answer.
func (c *Client) tell(ctx context.Context, op, what, method string, path []string, data any) (status int, err error) {
	q := call{op: op, method: method, path: "/core/api", core: true, patience: telling, status: &status}
	for _, name := range path {
		if err := named(what, name); err != nil {
			return 0, err
		}
		q.path += "/" + name
	}
	if method == http.MethodPost {
		if data == nil {
			data = struct{}{}
		}
		body, err := json.Marshal(data)
		if err != nil {
			// The error's text may quote a value.
			return 0, &Error{Op: op, Kind: Rejected, Message: "its data cannot be written as JSON"}
		}
		q.body = body
	}
	_, err = c.do(ctx, q)
	return status, err
}
