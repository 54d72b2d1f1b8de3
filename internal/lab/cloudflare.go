package lab

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cloudflare's ids in this world, invented.
const (
	ZoneID    = "023e105f4ecef8ad9ca31a8372d0c353"
	AccountID = "01a7362d577a6c3019a474fd6f485823"
)

// Cloudflare is what Cloudflare tells of itself in this world. The forms are Statuspage's and those of Cloudflare's API reference.
type Cloudflare struct {
	Rules    string    // version of the managed DDoS L7 rule set
	RulesAt  time.Time // its last update
	Reports  []Report  // on the status page, newest first
	NoRecord bool      // DNS names no tunnel for the public host
	Zone     string    // name of the zone that the token sees; "" is example.com

	// Missing are rights that the token lacks: zone, dns, tunnel, settings, tls, rules.
	Missing []string
}

// Report is an incident on the status page.
type Report struct {
	Name, Status, Impact, Body string
	Components                 []string
	Started, Resolved          time.Time // Resolved is zero while it is open
}

func (c *Cloudflare) init(now time.Time) {
	c.Rules, c.RulesAt = "3299", now.Add(-30*24*time.Hour)
}

// Change changes what Cloudflare tells.
func (o *Outside) Change(change func(*Cloudflare)) {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	change(&o.cloudflare)
	o.w.changed()
}

// Push is a push of the managed DDoS L7 rules, at a time of Cloudflare's clock.
func (o *Outside) Push(version string, at time.Time) {
	o.Change(func(c *Cloudflare) { c.Rules, c.RulesAt = version, at })
}

// statusPage is Statuspage's format.
func (o *Outside) statusPage(rw http.ResponseWriter, req *http.Request, what string) {
	o.w.mu.Lock()
	c := o.cloudflare
	reports := slices.Clone(c.Reports)
	o.w.mu.Unlock()
	page := sample("status page", map[string]any{"updated_at": o.w.started.UTC().Format(time.RFC3339)})
	all, open := []any{}, []any{}
	for i, r := range reports {
		one := r.json(i)
		all = append(all, one)
		if r.Resolved.IsZero() {
			open = append(open, one)
		}
	}
	status := map[string]string{"indicator": "none", "description": "All Systems Operational"}
	if len(open) > 0 {
		status = map[string]string{"indicator": "minor", "description": "Minor Service Outage"}
	}
	switch what {
	case "summary.json":
		writeJSON(rw, http.StatusOK, map[string]any{"page": page, "components": []any{}, "incidents": open, "scheduled_maintenances": []any{}, "status": status})
	case "incidents.json":
		writeJSON(rw, http.StatusOK, map[string]any{"page": page, "incidents": all})
	default:
		http.Error(rw, "not found", http.StatusNotFound)
	}
}

func (r Report) json(i int) map[string]any {
	stamp := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	components, affected := []any{}, []any{}
	for _, name := range r.Components {
		components = append(components, map[string]any{"id": "c" + strconv.Itoa(len(components)), "name": name, "status": "operational", "group": false})
		affected = append(affected, map[string]any{"code": "c" + strconv.Itoa(len(affected)), "name": name, "old_status": "operational", "new_status": "degraded_performance"})
	}
	id, began := "p31zjtct2jer"+strconv.Itoa(i), stamp(r.Started)
	update := map[string]any{"id": "u" + id, "incident_id": id, "status": r.Status, "body": r.Body, "created_at": began, "display_at": began, "updated_at": began, "affected_components": affected}
	return sample("status page, incident", map[string]any{"id": id, "name": r.Name, "status": r.Status, "impact": r.Impact, "shortlink": "https://stspg.io/" + id,
		"created_at": began, "started_at": began, "updated_at": began, "resolved_at": stamp(r.Resolved), "components": components, "incident_updates": []any{update}})
}

// api is the part of Cloudflare's API that a read-only token sees.
func (o *Outside) api(rw http.ResponseWriter, req *http.Request, path string) {
	o.w.mu.Lock()
	c, f := o.cloudflare, o.w.faults
	o.w.mu.Unlock()
	if f.APIAway {
		o.w.silence(req)
	}
	refuse := func(status, code int, message string) {
		writeJSON(rw, status, map[string]any{"result": nil, "success": false, "errors": []any{map[string]any{"code": code, "message": message}}, "messages": []any{}})
	}
	right, result := o.resource(c, f, path, req.URL.Query())
	switch {
	case path != "/ips" && req.Header.Get("Authorization") != "Bearer "+CloudflareToken: // the addresses are for anybody
		refuse(http.StatusForbidden, 9109, "Invalid access token")
	case req.Method != http.MethodGet, slices.Contains(c.Missing, right):
		refuse(http.StatusForbidden, 10000, "Authentication error")
	case result == nil && (strings.HasPrefix(path, "/zones/") || strings.HasPrefix(path, "/accounts/")):
		refuse(http.StatusNotFound, 7003, "Could not route to "+path+", perhaps your object identifier is invalid?")
	case result == nil:
		refuse(http.StatusNotFound, 7000, "No route for that URI")
	default:
		writeJSON(rw, http.StatusOK, map[string]any{"result": result, "success": true, "errors": []any{}, "messages": []any{}})
	}
}

// resource is what stands at a path, and the right that it takes; nil is nothing.
func (o *Outside) resource(c Cloudflare, f Faults, path string, q url.Values) (right string, result any) {
	switch path {
	case "/ips":
		return "", samples["/ips"]
	case "/zones":
		return "", c.zones(q.Get("name"))
	case "/accounts/" + AccountID + "/cfd_tunnel/" + tunnelID + "/connections":
		return "tunnel", o.edgeSees()
	case "/zones/" + ZoneID + "/dns_records":
		return "dns", records(c, q)
	case "/zones/" + ZoneID + "/settings/websockets":
		return "settings", setting("websockets", !f.WebSocketsOff)
	case "/zones/" + ZoneID + "/settings/http3":
		return "settings", setting("http3", true)
	case "/zones/" + ZoneID + "/certificate_authorities/hostname_associations":
		return "tls", map[string]any{"hostnames": []string{}}
	case "/zones/" + ZoneID + "/rulesets":
		updated := func(name string, at time.Time) map[string]any {
			return sample(name, map[string]any{"last_updated": at.UTC().Format(time.RFC3339Nano)})
		}
		ours := updated("/zones/{zone}/rulesets", c.RulesAt)
		ours["version"] = c.Rules
		return "rules", []any{updated("/zones/{zone}/rulesets, another", c.RulesAt.Add(-time.Hour)), ours}
	}
	return "", nil
}

// zones are those that the token sees: none without the right.
func (c Cloudflare) zones(name string) []any {
	zone := sample("/zones", nil)
	if c.Zone != "" {
		zone["name"] = c.Zone
	}
	if name != "" && name != zone["name"] || slices.Contains(c.Missing, "zone") {
		return []any{}
	}
	return []any{zone}
}

// edgeSees are the connectors that the edge knows of.
func (o *Outside) edgeSees() []any {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	conns, began := []any{}, o.w.started.UTC().Format(time.RFC3339)
	r := o.w.Connector.run
	for i := range 4 {
		if r != nil && r.conns[i] {
			id := "4f1d9c0" + strconv.Itoa(i) + "-0a3e-4b77-9d25-6a1f30c1e8b0"
			conns = append(conns, sample("/accounts/{account}/cfd_tunnel/{tunnel}/connections, one", map[string]any{"id": id, "uuid": id, "client_id": r.id,
				"client_version": o.w.opt.Version, "colo_name": "fra0" + strconv.Itoa(3+i), "opened_at": began}))
		}
	}
	if len(conns) == 0 {
		return []any{}
	}
	return []any{sample("/accounts/{account}/cfd_tunnel/{tunnel}/connections", map[string]any{"id": r.id, "version": o.w.opt.Version, "conns": conns, "run_at": began})}
}

func records(c Cloudflare, q url.Values) []any {
	if name := q.Get("name"); c.NoRecord || name != "" && name != PublicHost {
		return []any{}
	}
	return []any{samples["/zones/{zone}/dns_records"]}
}

func setting(id string, on bool) map[string]any {
	one := sample("/zones/{zone}/settings/{setting}", map[string]any{"id": id})
	if !on {
		one["value"] = "off"
	}
	return one
}
