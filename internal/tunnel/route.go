package tunnel

import (
	"context"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
)

// websocketPath is what a rule's path is held against.
const websocketPath = "/api/websocket"

// Totals reads the connector's counters alone, nil if they cannot be had: for
// readings just before and after a probe.
func (c *Connector) Totals(ctx context.Context) *evidence.Counters {
	counters, err := c.counters(ctx)
	if err != nil {
		return nil
	}
	return &counters
}

// Route asks where the tunnel's ingress rules send the WebSocket of a host name. The
// URL is that of the service where it is a web server that is not Home Assistant
// itself, else nil.
func (c *Connector) Route(ctx context.Context, host string, home Home) (evidence.Route, *url.URL) {
	if _, err := netip.ParseAddr(host); err == nil {
		return evidence.Route{}, nil // rules name hosts, not addresses
	}
	rules, err := c.Ingress(ctx)
	if err != nil {
		return evidence.Route{}, nil
	}
	return routeOf(rules, host, home)
}

func routeOf(rules []Rule, host string, home Home) (evidence.Route, *url.URL) {
	r := evidence.Route{Asked: true}
	rule, ok := taker(rules, host)
	if !ok {
		return r, nil
	}
	u, err := url.Parse(rule.Service)
	if err != nil || strings.HasPrefix(rule.Service, "http_status:") {
		return r, nil // the catch-all, or something cloudflared answers itself
	}
	u.User = nil
	kin := home.kinship(u)
	r.Found, r.Service = true, u.String()
	r.HomeAssistant = kin != foreign
	if kin >= likely || !web(u) {
		return r, nil
	}
	u.Scheme = map[string]string{"http": "http", "ws": "http", "https": "https", "wss": "https"}[u.Scheme] // a handshake is one either way
	return r, u
}

// Rule is one ingress rule of the tunnel. A service may bear no path, so where it
// leads is all in its host and port (validateIngress in cloudflared's ingress).
type Rule struct {
	Hostname string `json:"hostname"`
	Path     string `json:"path"` // a regular expression, "" for every path
	Service  string `json:"service"`
}

// taker is the rule that takes the WebSocket of a host name: the first that matches
// (FindMatchingRule in cloudflared's ingress).
func taker(rules []Rule, host string) (Rule, bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.takes(host) })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}

// takes says whether a rule matches the WebSocket of a host name in lower case, as
// cloudflared decides it (Rule.Matches): the name as it stands there, or its
// punycode, equal or below a leading "*."; and the path anywhere in the request's.
func (r Rule) takes(host string) bool {
	if !r.everyHost() && !fits(r.Hostname, host) {
		puny, err := idna.Lookup.ToASCII(r.Hostname)
		if err != nil || !fits(puny, host) {
			return false
		}
	}
	if r.Path == "" {
		return true
	}
	path, err := regexp.Compile(r.Path)
	return err == nil && path.MatchString(websocketPath) // with one that does not compile, cloudflared does not start
}

// everyHost says whether a rule names no host.
func (r Rule) everyHost() bool { return r.Hostname == "" || r.Hostname == "*" }

func fits(pattern, host string) bool {
	rest, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && strings.HasPrefix(rest, ".") && strings.HasSuffix(host, rest)
}

// web says whether cloudflared speaks HTTP with a service (its isHTTPService).
func web(u *url.URL) bool {
	return slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme)
}

// Home is where Home Assistant listens, so that it is recognised where a tunnel's
// rules lead to it. The zero value knows nothing of it.
type Home struct {
	URL   *url.URL     // on the internal network; nil: not known
	Addrs []netip.Addr // of the machine it runs on; nil: not known
}

// kinship is how likely a service is Home Assistant.
type kinship uint8

const (
	foreign  kinship = iota // something else, or another Home Assistant
	ownProxy                // the proxy that older Cloudflared apps bring along, made for Home Assistant
	likely                  // at its port, by a name that nobody here can resolve
	itself                  // at its own address and port
)

// hassioGateway is the machine itself in the apps' network, where Core listens, as
// it does on every address of the machine (DOCKER_NETWORK_MASK in Supervisor's
// const.py).
var hassioGateway = netip.MustParseAddr("172.30.32.1")

// kinship tells Home Assistant by its own address and port: what the machine offers
// at another port is another app, and what another machine offers at the same one is
// another Home Assistant. Which scheme stands there does not matter: a wrong one is
// meant for it all the same.
func (h Home) kinship(u *url.URL) kinship {
	if !web(u) {
		return foreign
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(host)
	literal := err == nil
	ip = ip.Unmap()
	here := h.is(host) || literal && (ip == hassioGateway || slices.Contains(h.Addrs, ip))
	switch {
	case here && h.listens(port(u)):
		return itself
	case host == "localhost" || strings.HasSuffix(host, ".localhost") || literal && ip.IsLoopback():
		return ownProxy
	case here, !h.distinctive(port(u)), literal && h.Addrs != nil:
		return foreign
	}
	return likely
}

// is says whether a name is Home Assistant's: the one it bears in every installation,
// with whatever domain, or the one that it was found by.
func (h Home) is(host string) bool {
	return host == "homeassistant" || strings.HasPrefix(host, "homeassistant.") || h.URL != nil && host == strings.ToLower(h.URL.Hostname())
}

// listens says whether Core listens at a port: where it is not known, at the one of
// older installations, the one of new ones, or the one for TLS.
func (h Home) listens(p string) bool {
	if h.URL == nil {
		return slices.Contains([]string{"8123", "80", "443"}, p)
	}
	return p == port(h.URL)
}

// distinctive says whether a port alone tells of Home Assistant: 80 and 443 are those
// of every web server.
func (h Home) distinctive(p string) bool { return h.listens(p) && p != "80" && p != "443" }

// port is a URL's, written out or not.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}[u.Scheme]
}

// Cores tells where Core listens.
type Cores interface {
	CoreInfo(context.Context) (supervisor.CoreInfo, error)
	Addresses(context.Context) ([]netip.Addr, error)
}

// HomeOf is where Home Assistant listens: its URL is at, where that is given, else
// what Supervisor says.
func HomeOf(ctx context.Context, s Cores, at string) (h Home) {
	info, err := s.CoreInfo(ctx)
	if at == "" && err == nil {
		at = info.Address()
	}
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		h.URL = u
	}
	// None at all is a machine whose network Supervisor does not manage.
	if list, err := s.Addresses(ctx); err == nil && len(list) > 0 {
		h.Addrs = list
		if ip, err := netip.ParseAddr(info.IPAddress); err == nil {
			h.Addrs = append(h.Addrs, ip.Unmap())
		}
	}
	return h
}
