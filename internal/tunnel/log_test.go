package tunnel

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

// Lines as cloudflared 2026.8.2 and 2025.11.1 write them.
const (
	lineQUIC       = "2026-11-21T20:00:00Z INF Initial protocol quic\n"
	lineHTTP2      = "2026-11-21T20:00:00Z INF Initial protocol http2\n"
	lineRegistered = "2026-11-21T20:00:01Z INF Registered tunnel connection connIndex=0 connection=5b1f event=0 ip=198.41.192.7 location=fra03 protocol=quic\n"
	lineDial       = "2026-11-21T20:00:10Z ERR Failed to dial a quic connection error=\"failed to dial to edge with quic: timeout: no recent network activity\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineLost0      = "2026-11-21T20:05:00Z ERR failed to accept incoming stream requests error=\"failed to accept QUIC stream: timeout: no recent network activity\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineLost1      = "2026-11-21T20:05:00Z ERR failed to accept incoming stream requests error=\"failed to accept QUIC stream: timeout: no recent network activity\" connIndex=1 event=0 ip=198.41.192.27\n"
	lineTCP        = "2026-11-21T20:00:10Z ERR Unable to establish connection with Cloudflare edge error=\"DialContext error: dial tcp 198.41.192.7:7844: i/o timeout\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineRejected   = "2026-11-21T20:00:10Z ERR Register tunnel error from server side error=\"Unauthorized: Invalid tunnel secret\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineDeleted    = "2026-11-21T20:00:10Z ERR Register tunnel error from server side error=\"Unauthorized: Failed to get tunnel\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineFallback   = "2026-11-21T20:02:11Z INF Switching to fallback protocol http2 connIndex=0 event=0 ip=198.41.192.7\n"
	linePrecheck   = "2026-11-21T20:00:00Z INF precheck: QUIC connectivity failed, http2 will be used\n"
	lineNoHost     = "2026-11-21T20:03:00Z ERR  error=\"http: no Host in request URL\" connIndex=2 event=1 ingressRule=0 originService=http://homeassistant:8123\n"
	lineScheme     = "2026-11-21T20:03:00Z ERR  error=\"Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared: http: server gave HTTP response to HTTPS client\" connIndex=0\n"
)

func TestReadLog(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 6, 0, 0, time.UTC)
	for rule, c := range map[string]struct {
		text  string
		since time.Time
		want  evidence.Log
	}{
		"nothing at all":                                    {"", time.Time{}, evidence.Log{}},
		"dialling over QUIC fails":                          {lineQUIC + lineDial + lineDial, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, QUICFailed: 2}},
		"what failed before the internet was back is past":  {lineQUIC + lineDial, now.Add(-time.Minute), evidence.Log{Initial: evidence.OverQUIC}},
		"a connection that came to stand ends the failing":  {lineQUIC + lineDial + lineRegistered, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, Registered: 1}},
		"an earlier run does not count":                     {lineQUIC + lineDial + lineDial + lineHTTP2, time.Time{}, evidence.Log{Initial: evidence.OverHTTP2}},
		"one loss breaks several connections":               {lineQUIC + lineRegistered + lineLost0 + lineLost1, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, Registered: 1, Lost: 1}},
		"it breaks again and again":                         {lineQUIC + strings.Repeat(lineRegistered+lineLost0+lineLost1, 3), time.Time{}, evidence.Log{Initial: evidence.OverQUIC, Registered: 3, Lost: 3}},
		"dialling over HTTP/2 fails":                        {lineHTTP2 + lineTCP + lineTCP, time.Time{}, evidence.Log{Initial: evidence.OverHTTP2, HTTP2Failed: 2}},
		"the secret is wrong":                               {lineQUIC + lineRejected, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, Rejected: 1}},
		"the tunnel was deleted":                            {lineQUIC + lineDeleted, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, Rejected: 1}},
		"auto fell back":                                    {lineQUIC + lineDial + lineFallback, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, QUICFailed: 1, FellBack: true}},
		"the precheck's table is not believed":              {linePrecheck + lineQUIC, time.Time{}, evidence.Log{Initial: evidence.OverQUIC}},
		"an upgrade that cannot be passed on":               {lineQUIC + lineNoHost, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, NoHost: 1}},
		"http and https mixed up":                           {lineQUIC + lineScheme, time.Time{}, evidence.Log{Initial: evidence.OverQUIC, OriginTLS: 1}},
		"losses of long ago":                                {strings.ReplaceAll(lineQUIC+lineLost0, "T20:", "T02:"), time.Time{}, evidence.Log{Initial: evidence.OverQUIC}},
		"a receive buffer that cannot be grown is no fault": {"2026-11-21T20:00:00Z INF failed to sufficiently increase receive buffer size (was: 208 kiB, wanted: 7168 kiB, got: 416 kiB)\n", time.Time{}, evidence.Log{}},
	} {
		t.Run(rule, func(t *testing.T) {
			l := ReadLog(c.text, now, c.since)
			if len(l.Telling) > tellingLines {
				t.Errorf("%d telling lines are kept", len(l.Telling))
			}
			l.Telling, c.want.Asked = nil, true
			if !equalLogs(l, c.want) {
				t.Errorf("read as %+v\nwant    %+v", l, c.want)
			}
		})
	}
}

func equalLogs(a, b evidence.Log) bool {
	return a.Initial == b.Initial && a.Registered == b.Registered && a.FellBack == b.FellBack && a.Rejected == b.Rejected && a.QUICFailed == b.QUICFailed &&
		a.HTTP2Failed == b.HTTP2Failed && a.Lost == b.Lost && a.NoHost == b.NoHost && a.OriginTLS == b.OriginTLS && a.Asked == b.Asked
}

func TestRoutes(t *testing.T) {
	origin := &url.URL{Scheme: "http", Host: "homeassistant:8123"}
	for rule, c := range map[string]struct {
		rules   []Rule
		want    evidence.Route
		askable bool
	}{
		"Home Assistant by its name":             {[]Rule{{"ha.example.com", "http://homeassistant:8123"}}, evidence.Route{Found: true, Service: "http://homeassistant:8123", HomeAssistant: true}, false},
		"Home Assistant by its port":             {[]Rule{{"ha.example.com", "http://192.168.1.20:8123"}}, evidence.Route{Found: true, Service: "http://192.168.1.20:8123", HomeAssistant: true}, false},
		"a reverse proxy":                        {[]Rule{{"ha.example.com", "https://a0d7b954-nginxproxymanager:443"}}, evidence.Route{Found: true, Service: "https://a0d7b954-nginxproxymanager:443"}, true},
		"the add-on's own proxy":                 {[]Rule{{"ha.example.com", "https://localhost:443"}}, evidence.Route{Found: true, Service: "https://localhost:443", HomeAssistant: true}, true},
		"the first rule that fits":               {[]Rule{{"other.example.com", "http://nas"}, {"*.example.com", "http://homeassistant:8123"}, {"", "http_status:404"}}, evidence.Route{Found: true, Service: "http://homeassistant:8123", HomeAssistant: true}, false},
		"the catch-all alone":                    {[]Rule{{"other.example.com", "http://homeassistant:8123"}, {"", "http_status:404"}}, evidence.Route{}, false},
		"no rules":                               {nil, evidence.Route{}, false},
		"credentials in the service are dropped": {[]Rule{{"", "http://user:password@proxy:80"}}, evidence.Route{Found: true, Service: "http://proxy:80"}, true},
		"not a web server":                       {[]Rule{{"ha.example.com", "ssh://nas:22"}}, evidence.Route{Found: true, Service: "ssh://nas:22"}, false},
	} {
		t.Run(rule, func(t *testing.T) {
			c.want.Asked = true
			r, u := routeOf(c.rules, "HA.example.com", origin)
			if r != c.want || (u != nil) != c.askable {
				t.Errorf("leads to %+v (to be asked at %v), want %+v", r, u, c.want)
			}
		})
	}
}

func FuzzReadLog(f *testing.F) {
	for _, s := range []string{lineQUIC, lineHTTP2, lineRegistered, lineDial, lineLost0, lineTCP, lineRejected, lineFallback, linePrecheck, lineNoHost, lineScheme, "\xff connIndex=", "Initial protocol "} {
		f.Add(s)
		f.Add(lineQUIC + s + s)
	}
	now := time.Date(2026, 11, 21, 20, 6, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		l := ReadLog(text, now, now.Add(-time.Hour))
		lines := strings.Count(text, "\n") + 1
		for _, n := range []int{l.Registered, l.Rejected, l.QUICFailed, l.HTTP2Failed, l.Lost, l.NoHost, l.OriginTLS, len(l.Telling)} {
			if n < 0 || n > lines {
				t.Fatalf("%d of %d lines: %+v", n, lines, l)
			}
		}
		for _, s := range l.Telling {
			if len(s) > tellingBytes || strings.ContainsAny(s, "\n\r\x00") {
				t.Fatalf("a telling line is %q", s)
			}
		}
	})
}

func FuzzParseCounters(f *testing.F) {
	f.Add("cloudflared_tunnel_total_requests 12\ncloudflared_tunnel_response_by_code{status_code=\"400\"} 3\nbuild_info{goversion=\"go1.26\",version=\"2026.8.2\"} 1\n")
	f.Add("cloudflared_tunnel_total_requests NaN\n")
	f.Add("cloudflared_tunnel_response_by_code{status_code=\"400\" 3\ncloudflared_tunnel_total_requests 1e300\n")
	f.Add("cloudflared_tunnel_concurrent_requests_per_tunnel{} -1\n}{\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCounters(strings.NewReader(text))
		if err != nil {
			return
		}
		if c.Codes == nil || c.Concurrent < 0 || c.Requests > 1e15 {
			t.Fatalf("%+v", c)
		}
		for code := range c.Codes {
			if code < 100 || code > 999 {
				t.Fatalf("status %d", code)
			}
		}
	})
}
