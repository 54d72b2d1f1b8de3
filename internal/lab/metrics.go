package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tunnelmedic/internal/evidence"
)

// tunnelID is the tunnel's, invented.
const tunnelID = "f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01"

// connectorID is what the n-th run calls itself: cloudflared draws a new id at every start.
func connectorID(n int) string { return fmt.Sprintf("0c4e7a11-2d3b-4f58-8a90-%012x", n) }

// serve is cloudflared's metrics server.
func (n *Connector) serve(rw http.ResponseWriter, req *http.Request) {
	rw, done := n.w.watch("connector", rw, req)
	defer done()
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	r := n.run
	if r == nil || !r.listening {
		panic(http.ErrAbortHandler) // the door is being shut
	}
	switch req.URL.Path {
	case "/ready":
		status := http.StatusOK
		if r.ready() == 0 {
			status = http.StatusServiceUnavailable
		}
		rw.WriteHeader(status)
		_, _ = fmt.Fprintf(rw, `{"status":%d,"readyConnections":%d,"connectorId":"%s"}`, status, r.ready(), r.id)
	case "/diag/tunnel":
		r.app.say("asked for its state")
		type connection struct {
			IsConnected bool   `json:"isConnected,omitempty"`
			Protocol    int    `json:"protocol,omitempty"` // 1 is quic; 0, http2, is left out
			EdgeAddress string `json:"edgeAddress,omitempty"`
			Index       int    `json:"index,omitempty"` // 0 is left out
		}
		answer := struct {
			TunnelID    string       `json:"tunnelID"`
			ConnectorID string       `json:"connectorID"`
			Connections []connection `json:"connections"`
			ICMP        []string     `json:"icmp_sources"`
		}{tunnelID, r.id, []connection{}, []string{"192.168.1.20"}}
		for i, up := range r.conns {
			if !up {
				continue
			}
			c := connection{IsConnected: true, EdgeAddress: fmt.Sprintf("198.41.192.%d", 7+i*20), Index: i}
			if r.transport == evidence.OverQUIC {
				c.Protocol = 1
			}
			answer.Connections = append(answer.Connections, c)
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(answer)
	case "/config":
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(r.config())
	case "/metrics":
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
		_, _ = rw.Write([]byte(r.exposition()))
	default:
		http.NotFound(rw, req)
	}
}

func (r *run) config() any {
	type rule struct {
		Hostname      string         `json:"hostname"`
		Path          string         `json:"path"`
		Service       string         `json:"service"`
		Handlers      any            `json:"Handlers"`
		OriginRequest map[string]any `json:"originRequest"`
	}
	rules := []rule{}
	if r.opt.ExternalHostname != "" {
		service := r.w.opt.ServiceURL
		if r.followed {
			service = "http://homeassistant:" + strconv.Itoa(movedPort)
		}
		rules = append(rules, rule{Hostname: r.opt.ExternalHostname, Service: service, OriginRequest: map[string]any{}})
	}
	for _, h := range r.opt.AdditionalHosts {
		rules = append(rules, rule{Hostname: h.Hostname, Service: h.Service, OriginRequest: map[string]any{}})
	}
	for _, h := range r.w.opt.Hosts {
		rules = append(rules, rule{Hostname: h, Service: r.w.opt.ServiceURL, OriginRequest: map[string]any{}})
	}
	rules = append(rules, rule{Service: "http_status:404", OriginRequest: map[string]any{}})
	version := -1
	if r.opt.TunnelToken != "" {
		version = 7 // managed from outside
	}
	return map[string]any{"version": version, "config": map[string]any{"ingress": rules, "warp-routing": map[string]any{}, "originRequest": map[string]any{}}}
}

func (r *run) exposition() string {
	var b strings.Builder
	metric := func(name, kind, help string, lines ...string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		for _, l := range lines {
			fmt.Fprintf(&b, "%s%s\n", name, l)
		}
	}
	metric("build_info", "gauge", "Build and version information", fmt.Sprintf(`{goversion="go1.26.2",revision="2026-08-20-1011 UTC",type="",version="%s"} 1`, r.w.opt.Version))
	metric("cloudflared_tunnel_concurrent_requests_per_tunnel", "gauge", "Concurrent requests proxied through each tunnel", fmt.Sprintf(" %d", r.open))
	metric("cloudflared_tunnel_ha_connections", "gauge", "Number of active ha connections", fmt.Sprintf(" %d", len(r.conns))) // those that dial are among them
	metric("cloudflared_tunnel_request_errors", "counter", "Count of error proxying to origin", fmt.Sprintf(" %d", r.errors))
	if len(r.codes) > 0 {
		var lines []string
		for _, code := range slices.Sorted(maps.Keys(r.codes)) {
			lines = append(lines, fmt.Sprintf(`{status_code="%d"} %d`, code, r.codes[code]))
		}
		metric("cloudflared_tunnel_response_by_code", "counter", "Count of responses by HTTP status code", lines...)
	}
	if r.located {
		var lines []string
		for i := range r.conns {
			lines = append(lines, fmt.Sprintf(`{connection_id="%d",edge_location="fra0%d"} 1`, i, 3+i))
		}
		metric("cloudflared_tunnel_server_locations", "gauge", "Where each tunnel is connected to. 1 means current location, 0 means previous locations.", lines...)
	}
	metric("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", fmt.Sprintf(" %.2f", float64(r.began.UnixMilli())/1000))
	metric("cloudflared_tunnel_total_requests", "counter", "Amount of requests proxied through all the tunnels", fmt.Sprintf(" %d", r.total))
	return b.String()
}
