package tunnel

import (
	"net/netip"
	"net/url"
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestRoutes(t *testing.T) {
	found := func(service string, homeAssistant bool) evidence.Route {
		return evidence.Route{Asked: true, Found: true, Service: service, HomeAssistant: homeAssistant}
	}
	none := evidence.Route{Asked: true}
	at := func(host, service string) Rule { return Rule{Hostname: host, Service: service} }
	const ha = "http://homeassistant:8123"
	for rule, c := range map[string]struct {
		rules []Rule
		want  evidence.Route
		asked string // "" if the service is not to be asked itself
	}{
		"Home Assistant by its name":             {[]Rule{at("ha.example.com", ha)}, found(ha, true), ""},
		"with a scheme that is wrong":            {[]Rule{at("ha.example.com", "https://homeassistant:8123")}, found("https://homeassistant:8123", true), ""},
		"by an address of its machine":           {[]Rule{at("ha.example.com", "http://192.168.1.20:8123")}, found("http://192.168.1.20:8123", true), ""},
		"by the address of another machine":      {[]Rule{at("ha.example.com", "http://192.168.1.21:8123")}, found("http://192.168.1.21:8123", false), "http://192.168.1.21:8123"},
		"another app on the same machine":        {[]Rule{at("ha.example.com", "http://homeassistant:1880")}, found("http://homeassistant:1880", false), "http://homeassistant:1880"},
		"at a port where it listens no more":     {[]Rule{at("ha.example.com", "http://homeassistant")}, found("http://homeassistant", false), "http://homeassistant"},
		"a reverse proxy":                        {[]Rule{at("ha.example.com", "https://a0d7b954-nginxproxymanager:443")}, found("https://a0d7b954-nginxproxymanager:443", false), "https://a0d7b954-nginxproxymanager:443"},
		"a reverse proxy as a WebSocket":         {[]Rule{at("ha.example.com", "wss://npm:443")}, found("wss://npm:443", false), "https://npm:443"},
		"the app's own proxy":                    {[]Rule{at("ha.example.com", "https://localhost:443")}, found("https://localhost:443", true), "https://localhost:443"},
		"the first rule that fits":               {[]Rule{at("other.example.com", "http://nas"), at("*.example.com", ha), at("", "http_status:404")}, found(ha, true), ""},
		"the catch-all alone":                    {[]Rule{at("other.example.com", ha), at("", "http_status:404")}, none, ""},
		"no rules":                               {nil, none, ""},
		"credentials in the service are dropped": {[]Rule{at("", "http://user:password@proxy:80")}, found("http://proxy:80", false), "http://proxy:80"},
		"not a web server":                       {[]Rule{at("ha.example.com", "ssh://nas:22")}, found("ssh://nas:22", false), ""},
		"a rule for another path is passed":      {[]Rule{{"ha.example.com", "^/static/", "http://cdn"}, at("ha.example.com", ha)}, found(ha, true), ""},
		"a rule for the WebSocket's path is not": {[]Rule{{"ha.example.com", "/api/.*", "http://proxy"}, at("ha.example.com", ha)}, found("http://proxy", false), "http://proxy"},
		"a path without a name":                  {[]Rule{{"", "websocket", "http://proxy"}, at("ha.example.com", ha)}, found("http://proxy", false), "http://proxy"},
		"a name in capitals, by its punycode":    {[]Rule{at("HA.Example.com", ha)}, found(ha, true), ""},
		"a wildcard in capitals fits nothing":    {[]Rule{at("*.Example.com", ha)}, none, ""},
		"a wildcard without a dot fits nothing":  {[]Rule{at("*example.com", ha)}, none, ""},
		"a wildcard inside a name fits nothing":  {[]Rule{at("h*.example.com", ha)}, none, ""},
		"a wildcard alone fits all":              {[]Rule{at("*", ha)}, found(ha, true), ""},
		"a wildcard of another domain":           {[]Rule{at("*.ample.com", ha)}, none, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			home := Home{URL: &url.URL{Scheme: "http", Host: "homeassistant:8123"}, Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.20")}}
			r, u := routeOf(c.rules, "HA.example.com.", home)
			asked := ""
			if u != nil {
				asked = u.String()
			}
			if r != c.want || asked != c.asked {
				t.Errorf("leads to %+v (to be asked at %q), want %+v (%q)", r, asked, c.want, c.asked)
			}
		})
	}
}
