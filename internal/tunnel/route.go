package tunnel

import (
	"context"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
)

// Totals reads the connector's counters alone, nil if they are not to be had: for
// readings just before and after a probe.
func (c *Connector) Totals(ctx context.Context) *evidence.Counters {
	counters, err := c.counters(ctx)
	if err != nil {
		return nil
	}
	return &counters
}

// Route asks where the tunnel's ingress rules send a host name. origin is Home
// Assistant's own address, nil if not known. The URL is that of the service where it
// is a web server that is not Home Assistant itself, else nil.
func (c *Connector) Route(ctx context.Context, host string, origin *url.URL) (evidence.Route, *url.URL) {
	if _, err := netip.ParseAddr(host); err == nil {
		return evidence.Route{}, nil // rules name hosts, not addresses
	}
	rules, err := c.Ingress(ctx)
	if err != nil {
		return evidence.Route{}, nil
	}
	return routeOf(rules, host, origin)
}

func routeOf(rules []Rule, host string, origin *url.URL) (evidence.Route, *url.URL) {
	r := evidence.Route{Asked: true}
	for _, rule := range rules {
		if !fits(rule.Hostname, host) {
			continue
		}
		u, err := url.Parse(rule.Service)
		if err != nil || strings.HasPrefix(rule.Service, "http_status:") {
			return r, nil // the catch-all, or something cloudflared answers itself
		}
		u.User = nil
		r.Found, r.Service = true, u.String()
		r.HomeAssistant = homeAssistant(u, origin) || ownMachine(u)
		if homeAssistant(u, origin) || u.Scheme != "http" && u.Scheme != "https" {
			return r, nil
		}
		return r, u
	}
	return r, nil
}

// fits says whether an ingress rule takes a host: an empty one takes all, and
// cloudflared's wildcard stands for one label or more.
func fits(pattern, host string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if rest, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(host, rest)
	}
	same, err := path.Match(pattern, host)
	return err == nil && same
}

// homeAssistant says whether a service is Home Assistant itself: by the name it
// bears in every installation, by its own port, or by its address.
func homeAssistant(u, origin *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if host == "homeassistant" || strings.HasPrefix(host, "homeassistant.") {
		return true
	}
	if origin != nil && u.Port() == origin.Port() && (host == strings.ToLower(origin.Hostname()) || u.Port() != "" && u.Port() != "80" && u.Port() != "443") { // by whatever address
		return true
	}
	return u.Port() == "8123"
}

// ownMachine says whether a service stands on the add-on's own machine: the proxy
// that the Cloudflared add-on brings along, and made for Home Assistant.
func ownMachine(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Cores tells where Core listens.
type Cores interface {
	CoreInfo(context.Context) (supervisor.CoreInfo, error)
}

// Origin is Home Assistant's address on the internal network: at where it is given,
// else what Supervisor says; nil if it is not known.
func Origin(ctx context.Context, s Cores, at string) *url.URL {
	if at == "" {
		info, err := s.CoreInfo(ctx)
		if err != nil {
			return nil
		}
		at = info.Address()
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil
	}
	return u
}
