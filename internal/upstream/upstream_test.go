package upstream

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/secret"
	"tunnelmedic/internal/words"
)

func world(t *testing.T) *lab.World {
	t.Helper()
	w, err := lab.New(lab.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func client(w *lab.World, token string) *Client {
	env := w.Env()
	k := &secret.Keeper{}
	k.Add(token)
	return New(Config{StatusURL: env["TUNNELMEDIC_CLOUDFLARE_STATUS_URL"], APIURL: env["TUNNELMEDIC_CLOUDFLARE_API_URL"], Token: token, Timeout: 300 * time.Millisecond, Keeper: k})
}

func ask(t *testing.T, w *lab.World, token string, change ...func(*Question)) evidence.Upstream {
	t.Helper()
	q := Question{Hosts: []string{lab.PublicHost}, Reports: true, Colos: []string{"FRA"}, From: time.Now().Add(-72 * time.Hour)}
	for _, c := range change {
		c(&q)
	}
	return client(w, token).Ask(t.Context(), q)
}

func TestEverythingIsFoundByTheHostNameAlone(t *testing.T) {
	w := world(t)
	pushed := time.Now().Add(-10 * time.Hour).Truncate(time.Millisecond)
	w.Outside.Push("3300", pushed)
	u := ask(t, w, lab.CloudflareToken)
	if len(u.Troubles) > 0 {
		t.Fatal(u.Troubles)
	}
	if u.Zone != "example.com" || len(u.Connectors) != 1 {
		t.Fatalf("%+v", u)
	}
	c := u.Connectors[0]
	if c.Version != "2026.8.2" || c.RunAt.IsZero() || len(c.Colos) != 4 || c.Colos[0] != "fra03" || strings.Join(c.Features, " ") != "allow_remote_config serialized_headers support_datagram_v2 support_quic_eof management_logs" {
		t.Errorf("%+v", c)
	}
	if u.WebSockets.Value != "on" || u.HTTP3.Value != "on" || u.MutualTLS.Value != "off" {
		t.Errorf("%v %v %v", u.WebSockets, u.HTTP3, u.MutualTLS)
	}
	if len(u.Rules) != 1 || u.Rules[0].Version != "3300" || !u.Rules[0].Updated.Equal(pushed) {
		t.Errorf("%+v", u.Rules)
	}
	if z := u.Said(); z.WebSockets != evidence.On || z.Connected != evidence.On {
		t.Errorf("%+v", z)
	}
	for _, r := range w.Requests() {
		if r.Server == "outside" && r.Method != "GET" {
			t.Error("a read-only question was asked with", r.Method)
		}
	}
}

// said gives the gaps as the log and the page have them.
func said(u evidence.Upstream) string {
	return strings.Join(words.English().Texts(words.Gaps(u.Troubles)), "\n")
}

func TestEveryMissingRightIsNamedAndTheRestStillAsked(t *testing.T) {
	w := world(t)
	for missing, want := range map[string]string{
		"zone":     "Zone → Zone → Read",
		"tunnel":   "Account → Cloudflare Tunnel → Read",
		"settings": "Zone → Zone Settings → Read",
		"tls":      "Zone → SSL and Certificates → Read",
		"rules":    "Zone → HTTP DDoS Managed Ruleset → Read",
		"dns":      "Zone → DNS → Read",
	} {
		w.Outside.Change(func(c *lab.Cloudflare) { c.Missing = []string{missing} })
		u := ask(t, w, lab.CloudflareToken)
		if !strings.Contains(said(u), want) {
			t.Errorf("without %s: %q", missing, said(u))
		}
		for right, got := range map[string]bool{"tunnel": u.Connectors != nil, "settings": u.WebSockets != nil, "tls": u.MutualTLS != nil, "rules": u.Rules != nil} {
			if want := missing != "zone" && right != missing && !(missing == "dns" && right == "tunnel"); got != want {
				t.Errorf("without %s, %s: %v", missing, right, got)
			}
		}
		if !u.PageAsked {
			t.Error("the status page was not asked")
		}
	}
}

func TestTheConnectorsTunnelIDStandsInForDNS(t *testing.T) {
	w := world(t)
	const id = "f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01" // the lab's
	for _, spoil := range []func(*lab.Cloudflare){
		func(c *lab.Cloudflare) { c.NoRecord = true },
		func(c *lab.Cloudflare) { c.Missing = []string{"dns"} },
	} {
		w.Outside.Change(func(c *lab.Cloudflare) { c.NoRecord, c.Missing = false, nil; spoil(c) })
		if u := ask(t, w, lab.CloudflareToken); u.Connectors != nil {
			t.Errorf("%+v", u)
		}
		u := ask(t, w, lab.CloudflareToken, func(q *Question) { q.Tunnel = func(context.Context) string { return id } })
		if len(u.Troubles) != 0 || len(u.Connectors) != 1 {
			t.Errorf("%+v", u)
		}
	}
}

func TestATokenOfAnotherZoneSaysSo(t *testing.T) {
	w := world(t)
	w.Outside.Change(func(c *lab.Cloudflare) { c.Zone = "example.org" })
	u := ask(t, w, lab.CloudflareToken)
	if len(u.Troubles) != 1 || !strings.Contains(said(u), "sees no domain for ha.example.com: it belongs to another domain") || u.Zone != "" {
		t.Error(said(u))
	}
}

func TestAWrongTokenIsNamedOnceAndNeverShown(t *testing.T) {
	w := world(t)
	u := ask(t, w, "wrong-token-0123456789")
	if len(u.Troubles) != 1 || !strings.Contains(said(u), "does not accept the Cloudflare API token") || strings.Contains(said(u), "0123456789") {
		t.Error(said(u))
	}
}

func TestWithoutATokenOnlyTheStatusPageIsAsked(t *testing.T) {
	w := world(t)
	u := ask(t, w, "")
	if !u.PageAsked || len(u.Troubles) != 0 || u.Zone != "" {
		t.Errorf("%+v", u)
	}
	for _, r := range w.Requests() {
		if strings.HasPrefix(r.Path, "/client/v4") {
			t.Error(r.Path)
		}
	}
}

type trouble struct {
	lab.Injection
	want string
}

// troubles are what may go wrong with one of Cloudflare's services, and what is said of it.
func troubles(w *lab.World, path string) map[string]trouble {
	return map[string]trouble{
		"slow":      {lab.Injection{Path: path, Hang: true}, "timed out"},
		"garbled":   {lab.Injection{Path: path, Status: 200, ContentType: "text/html", Body: "<html>Sorry, something"}, "an unexpected format"},
		"strange":   {lab.Injection{Path: path, Status: 200, ContentType: "application/json", Body: "[1,2,3]"}, "an unexpected format"},
		"limited":   {lab.Injection{Path: path, Status: 429, Header: map[string]string{"Retry-After": "300"}, Body: `{"success":false,"errors":[{"code":971}],"result":null}`}, "asked too often (HTTP 429)"},
		"failing":   {lab.Injection{Path: path, Status: 500, Body: "<html>500</html>"}, "HTTP 500"},
		"endless":   {lab.Injection{Path: path, Huge: 64 << 20}, "too large"},
		"elsewhere": {lab.Injection{Path: path, Status: 302, Header: map[string]string{"Location": w.Edge.URL() + "/elsewhere"}}, "HTTP 302"},
	}
}

func TestTroublesOfTheAPIAreOneSentence(t *testing.T) {
	w := world(t)
	for trouble, c := range troubles(w, "/client/v4/**") {
		mended := w.Outside.Inject(c.Injection)
		began := time.Now()
		u := ask(t, w, lab.CloudflareToken)
		mended()
		if len(u.Troubles) != 1 || !strings.Contains(said(u), c.want) || strings.ContainsAny(said(u), "\n<") {
			t.Errorf("%s: %q", trouble, said(u))
		}
		if time.Since(began) > 5*time.Second {
			t.Error(trouble, "took", time.Since(began))
		}
		if !u.PageAsked {
			t.Error(trouble, "of the API kept the status page from being asked")
		}
		for _, r := range w.Requests() {
			if r.Server == "edge" && r.Header.Get("Authorization") != "" {
				t.Error("the token followed a redirect")
			}
		}
	}
}

func TestTroublesOfThePageAreOneSentence(t *testing.T) {
	w := world(t)
	for trouble, c := range troubles(w, "/api/v2/**") {
		mended := w.Outside.Inject(c.Injection)
		u := ask(t, w, lab.CloudflareToken)
		mended()
		if len(u.Troubles) != 1 || !strings.Contains(said(u), c.want) || u.PageAsked || u.Zone == "" {
			t.Errorf("%s: %q %v", trouble, said(u), u.Zone)
		}
	}
}

func TestBothAwayIsTwoSentences(t *testing.T) {
	c := New(Config{StatusURL: "http://127.0.0.1:9", APIURL: "http://127.0.0.1:9", Token: "a-token-that-is-secret", Timeout: time.Second})
	u := c.Ask(t.Context(), Question{Hosts: []string{"ha.example.com"}, Reports: true})
	if len(u.Troubles) != 2 || strings.Contains(said(u), "secret") {
		t.Error(said(u))
	}
}

func TestTheReportsThatMayTouchThisTunnel(t *testing.T) {
	w := world(t)
	now := time.Now()
	old := now.Add(-100 * time.Hour)
	for name, c := range map[string]struct {
		report lab.Report
		why    string // "" is none of ours
	}{
		"of tunnels by its title":         {lab.Report{Name: "Issues with Cloudflare Tunnel"}, "Tunnel"},
		"of tunnels by a component":       {lab.Report{Name: "Elevated errors", Components: []string{"Cloudflare Tunnel"}}, "Tunnel"},
		"of WebSockets by its text":       {lab.Report{Name: "Elevated errors", Body: "WebSocket connections may fail."}, "WebSocket"},
		"of HTTP/2":                       {lab.Report{Name: "HTTP/2 origin requests"}, "HTTP/2"},
		"of the DDoS rules":               {lab.Report{Name: "DDoS managed ruleset false positives"}, "DDoS"},
		"of the data centre that was met": {lab.Report{Name: "Network performance", Components: []string{"Frankfurt, Germany - (FRA)"}}, "data centre FRA"},
		"of another data centre":          {lab.Report{Name: "Network performance", Components: []string{"Tokyo, Japan - (NRT)"}}, ""},
		"of billing":                      {lab.Report{Name: "Billing page slow", Components: []string{"Billing"}}, ""},
		"that had long ended":             {lab.Report{Name: "Issues with Cloudflare Tunnel", Started: old, Resolved: old.Add(time.Hour)}, ""},
		"that has lasted for long":        {lab.Report{Name: "Issues with Cloudflare Tunnel", Started: old}, "Tunnel"},
	} {
		if c.report.Started.IsZero() {
			c.report.Started = now.Add(-time.Hour)
		}
		c.report.Status, c.report.Impact = "investigating", "minor"
		w.Outside.Change(func(cf *lab.Cloudflare) { cf.Reports = []lab.Report{c.report} })
		u := ask(t, w, "")
		got := ""
		if len(u.Reports) > 0 {
			got = u.Reports[0].Why
			if u.Reports[0].Link == "" || u.Reports[0].Started.IsZero() {
				t.Errorf("%s: %+v", name, u.Reports[0])
			}
		}
		if got != c.why {
			t.Errorf("a report %s: %q, not %q", name, got, c.why)
		}
	}
}

func TestZonesAreLookedForFromTheHostNameUp(t *testing.T) {
	for host, want := range map[string][]string{
		"ha.home.example.co.uk": {"ha.home.example.co.uk", "home.example.co.uk", "example.co.uk", "co.uk"},
		"example.com.":          {"example.com"},
		"192.0.2.7":             nil,
		"2001:db8::1":           nil,
		"localhost":             nil,
	} {
		if got := zoneNames(host); !slices.Equal(got, want) {
			t.Error(host, got)
		}
	}
}
