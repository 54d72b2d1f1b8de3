package lab

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"text/template"

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
	asJSON := func(answer any) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(answer)
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
		conns := []connection{}
		for i, up := range r.conns {
			if up {
				conns = append(conns, connection{true, map[evidence.Transport]int{evidence.OverQUIC: 1}[r.transport], fmt.Sprintf("198.41.192.%d", 7+i*20), i})
			}
		}
		asJSON(map[string]any{"tunnelID": tunnelID, "connectorID": r.id, "connections": conns, "icmp_sources": []string{"192.168.1.20"}})
	case "/config":
		asJSON(r.config())
	case "/metrics":
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
		r.expose(rw)
	default:
		http.NotFound(rw, req)
	}
}

func (r *run) config() any {
	rules := []any{}
	sends := func(host, service string) {
		rules = append(rules, sample("ingress rule", map[string]any{"hostname": host, "service": service}))
	}
	if service := r.w.opt.ServiceURL; r.opt.ExternalHostname != "" {
		if r.followed {
			service = "http://homeassistant:" + strconv.Itoa(movedPort)
		}
		sends(r.opt.ExternalHostname, service)
	}
	for _, h := range r.opt.AdditionalHosts {
		sends(h.Hostname, h.Service)
	}
	for _, h := range r.w.opt.Hosts {
		sends(h, r.w.opt.ServiceURL)
	}
	sends("", "http_status:404")
	version := -1
	if r.opt.TunnelToken != "" {
		version = 7 // managed from outside
	}
	return map[string]any{"version": version, "config": map[string]any{"ingress": rules, "warp-routing": map[string]any{}, "originRequest": map[string]any{}}}
}

//go:embed metrics.txt
var metricsText string

// exposition is what cloudflared tells Prometheus. Of its connections, those that dial are among them.
var exposition = template.Must(template.New("metrics").Parse(metricsText))

func (r *run) expose(to io.Writer) {
	_ = exposition.Execute(to, map[string]any{"Version": r.w.opt.Version, "Open": r.open, "Connections": len(r.conns), "Errors": r.errors, "Codes": r.codes,
		"Located": r.located, "Started": fmt.Sprintf("%.2f", float64(r.began.UnixMilli())/1000), "Total": r.total})
}
