package tunnel_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// house answers what Find asks of Supervisor. Its one app is the one in info.
type house struct {
	info   supervisor.Info
	others []supervisor.AddOn
	core   supervisor.CoreConfig
	port   int      // of Core; 0: not to be had
	addrs  []string // of the machine
	stores map[string]string

	addOnErr, infoErr, coreErr error
}

func (h house) AddOns(context.Context) ([]supervisor.AddOn, error) {
	if h.addOnErr != nil || h.info.Slug == "" {
		return nil, h.addOnErr
	}
	return append([]supervisor.AddOn{{Slug: h.info.Slug, State: h.info.State}}, h.others...), nil
}

func (h house) Info(_ context.Context, slug string) (supervisor.Info, error) {
	i := h.info
	if slug != i.Slug {
		i = supervisor.Info{Slug: slug, State: evidence.StateStarted, Version: "1"}
	}
	return i, h.infoErr
}

func (h house) CoreConfig(context.Context) (supervisor.CoreConfig, error) { return h.core, h.coreErr }

func (h house) CoreInfo(context.Context) (supervisor.CoreInfo, error) {
	if h.port == 0 {
		return supervisor.CoreInfo{}, &supervisor.Error{Kind: supervisor.Unexpected}
	}
	return supervisor.CoreInfo{Port: h.port, IPAddress: "172.30.32.1"}, nil
}

func (h house) Addresses(context.Context) (list []netip.Addr, err error) {
	for _, a := range h.addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, nil
}

func (h house) Repository(_ context.Context, slug string) (supervisor.Repository, error) {
	source, ok := h.stores[slug]
	if !ok {
		return supervisor.Repository{}, &supervisor.Error{Kind: supervisor.NotFound, Status: 404}
	}
	return supervisor.Repository{Source: source}, nil
}

const known = "9074a9fa_cloudflared"

// home is a house with one app; external is Core's external URL.
func home(t *testing.T, slug, opt, external string) house {
	t.Helper()
	h := house{info: supervisor.Info{Slug: slug, Name: "Cloudflared", Hostname: strings.ReplaceAll(slug, "_", "-"), State: evidence.StateStarted, Version: "6.0.3"},
		core: supervisor.CoreConfig{ExternalURL: external, Version: "1"}, port: 8123, addrs: []string{"192.168.1.10", "fd00::10"}}
	if opt != "" {
		h.info.Options = options(t, opt)
	}
	return h
}

// on puts Core at another port, "" options and all.
func (h house) on(port int) house { h.port = port; return h }

func (h house) with(change func(*house)) house { change(&h); return h }

// rules gives a connector that tells of these ingress rules; "" answers nothing.
func rules(t *testing.T, config string) func(tunnel.Target) *tunnel.Connector {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/config" || config == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(config))
	}))
	t.Cleanup(s.Close)
	return func(tunnel.Target) *tunnel.Connector { return tunnel.NewConnector(s.URL) }
}

// ingress writes rules as cloudflared's /config does: a path is a text or null.
func ingress(rules ...string) string {
	return `{"version":7,"config":{"ingress":[` + strings.Join(append(rules, `{"hostname":"","path":null,"service":"http_status:404"}`), ",") + `],"warp-routing":{}}}`
}

func rule(host, service string) string { return ruleAt(host, "", service) }

func ruleAt(host, path, service string) string {
	raw, _ := json.Marshal(map[string]any{"hostname": host, "path": nil, "service": service, "Handlers": nil, "originRequest": map[string]any{}})
	if path != "" {
		p, _ := json.Marshal(path)
		return strings.Replace(string(raw), `"path":null`, `"path":`+string(p), 1)
	}
	return string(raw)
}

const (
	ha    = "http://homeassistant:8123"
	token = `{"tunnel_token":"x"}`
)

func TestTheAddressIsFoundWhereItIsMostSurelyRight(t *testing.T) {
	away := &supervisor.Error{Kind: supervisor.Away, Message: "refused"}
	all := home(t, known, `{"external_hostname":"app.example.com"}`, "https://core.example.com")
	toHA := ingress(rule("rules.example.com", ha))

	for name, c := range map[string]struct {
		house   house
		wish    tunnel.Wish
		rules   string // of the connector; "" if it does not answer
		url     string
		how     string
		trouble []string
		fails   bool // with an error that is no trouble
	}{
		"the user's own word goes before all":          {house: all, wish: tunnel.Wish{URL: "https://own.example.com"}, rules: toHA, url: "https://own.example.com", how: "public_url"},
		"an impossible own word is said":               {house: all, wish: tunnel.Wish{URL: "http://own.example.com"}, rules: toHA, trouble: []string{"\"Public address\"", "https://own.example.com"}},
		"then the app's external_hostname":             {house: all, rules: toHA, url: "https://app.example.com", how: "external_hostname"},
		"with a token external_hostname means nothing": {house: home(t, known, `{"external_hostname":"app.example.com","tunnel_token":"x"}`, ""), rules: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"with a token and a silent connector neither":  {house: home(t, known, `{"external_hostname":"app.example.com","tunnel_token":"x"}`, "https://core.example.com"), url: "https://core.example.com", how: "external URL"},
		"an empty token is none":                       {house: home(t, known, `{"external_hostname":"app.example.com","tunnel_token":""}`, ""), rules: toHA, url: "https://app.example.com", how: "external_hostname"},
		"then the connector's rules":                   {house: home(t, known, token, "https://core.example.com"), rules: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"an impossible external_hostname is passed":    {house: home(t, known, `{"external_hostname":"not a host"}`, "https://core.example.com"), rules: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"then Core's external URL":                     {house: home(t, known, `{}`, "https://core.example.com/"), url: "https://core.example.com", how: "external URL"},
		"hidden options keep nothing from it":          {house: home(t, known, "", "https://core.example.com"), rules: toHA, url: "https://rules.example.com", how: "ingress rules"},

		// The option as people write it: the start script takes the bare name only, but what is meant is plain.
		"external_hostname with a scheme":         {house: home(t, known, `{"external_hostname":"https://ha.example.com"}`, ""), url: "https://ha.example.com"},
		"external_hostname with a path":           {house: home(t, known, `{"external_hostname":"ha.example.com/lovelace/0?x=1#y"}`, ""), url: "https://ha.example.com"},
		"external_hostname with Core's port":      {house: home(t, known, `{"external_hostname":"http://ha.example.com:8123/"}`, ""), url: "https://ha.example.com"},
		"external_hostname in capitals":           {house: home(t, known, `{"external_hostname":" HA.Example.COM "}`, ""), url: "https://ha.example.com"},
		"external_hostname with a dot at the end": {house: home(t, known, `{"external_hostname":"ha.example.com."}`, ""), url: "https://ha.example.com"},
		"external_hostname with an umlaut":        {house: home(t, known, `{"external_hostname":"haus.bücher.example"}`, ""), url: "https://haus.xn--bcher-kva.example"},
		"external_hostname that is an address":    {house: home(t, known, `{"external_hostname":"192.0.2.1"}`, ""), trouble: []string{"was not found"}},
		"external_hostname with a password":       {house: home(t, known, `{"external_hostname":"https://me:secret@ha.example.com"}`, ""), trouble: []string{"was not found"}},
		"external_hostname that is a number":      {house: home(t, known, `{"external_hostname":8123}`, "https://core.example.com"), url: "https://core.example.com"},

		// Several names.
		"several lead there: the external URL's":      {house: home(t, known, token, "https://b.example.com"), rules: ingress(rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://b.example.com", how: "ingress rules"},
		"several, none of them the external URL's":    {house: home(t, known, token, "https://c.example.com"), rules: ingress(rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://a.example.com", how: "ingress rules"},
		"the external URL's leads elsewhere":          {house: home(t, known, token, "https://nas.example.com"), rules: ingress(rule("nas.example.com", "http://nas"), rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://a.example.com"},
		"several, and Core is away: the first":        {house: home(t, known, token, "").with(func(h *house) { h.coreErr = &supervisor.Error{Kind: supervisor.CoreAway} }), rules: ingress(rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://a.example.com"},
		"one of the additional hosts is meant":        {house: home(t, known, `{"external_hostname":"ha.example.com","additional_hosts":[{"hostname":"home.example.com","service":"http://192.168.1.10:8123"}]}`, "https://home.example.com"), url: "https://home.example.com", how: "options"},
		"an additional host alone":                    {house: home(t, known, `{"external_hostname":"","additional_hosts":[{"hostname":"nas.example.com","service":"http://nas"},{"hostname":"home.example.com","service":"http://homeassistant:8123"}]}`, ""), url: "https://home.example.com", how: "options"},
		"the external URL at Cloudflare's other port": {house: home(t, known, token, "https://b.example.com:8443"), rules: ingress(rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://b.example.com:8443"},
		"the external URL past Cloudflare":            {house: home(t, known, token, "https://b.example.com:8123"), rules: ingress(rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://a.example.com"},

		// Wildcards and the catch-all.
		"below a wildcard":                      {house: home(t, known, token, "https://ha.example.com"), rules: ingress(rule("*.example.com", ha)), url: "https://ha.example.com", how: "ingress rules"},
		"below a wildcard, two labels deep":     {house: home(t, known, token, "https://a.b.example.com"), rules: ingress(rule("*.example.com", ha)), url: "https://a.b.example.com", how: "ingress rules"},
		"not below it: the name itself":         {house: home(t, known, token, "https://example.com"), rules: ingress(rule("*.example.com", ha)), url: "https://example.com", how: "external URL"},
		"a wildcard and a name: the external's": {house: home(t, known, token, "https://x.example.com"), rules: ingress(rule("ha.example.com", ha), rule("*.example.com", ha)), url: "https://x.example.com", how: "ingress rules"},
		"a wildcard to something else":          {house: home(t, known, token, "https://x.example.com"), rules: ingress(rule("*.example.com", "http://npm:80")), url: "https://x.example.com", how: "external URL"},
		"a wildcard behind a nearer rule":       {house: home(t, known, token, "https://nas.example.com"), rules: ingress(rule("nas.example.com", "http://nas"), rule("*.example.com", ha)), url: "https://nas.example.com", how: "external URL"},
		"all that is left leads there":          {house: home(t, known, `{"catch_all_service":"http://homeassistant:8123"}`, "https://ha.example.com"), url: "https://ha.example.com", how: "options"},
		"a name goes before all that is left":   {house: home(t, known, `{"external_hostname":"ha.example.com","catch_all_service":"http://homeassistant:8123"}`, "https://home.duckdns.example"), url: "https://ha.example.com", how: "external_hostname"},
		"a wildcard without an external URL":    {house: home(t, known, token, ""), rules: ingress(rule("*.example.com", ha)), trouble: []string{"was not found"}},

		// Paths.
		"a path that does not fit":            {house: home(t, known, token, ""), rules: ingress(ruleAt("a.example.com", "^/blog", ha), rule("b.example.com", ha)), url: "https://b.example.com"},
		"a path that fits":                    {house: home(t, known, token, ""), rules: ingress(ruleAt("a.example.com", "^/api/", ha), rule("b.example.com", ha)), url: "https://a.example.com"},
		"a path that fits anywhere":           {house: home(t, known, token, ""), rules: ingress(ruleAt("a.example.com", "socket", ha), rule("b.example.com", ha)), url: "https://a.example.com"},
		"the WebSocket's path goes elsewhere": {house: home(t, known, token, ""), rules: ingress(ruleAt("a.example.com", "/api/websocket$", "http://npm:80"), rule("a.example.com", ha), rule("b.example.com", ha)), url: "https://b.example.com"},
		"a path that is no expression":        {house: home(t, known, token, ""), rules: ingress(ruleAt("a.example.com", "(", ha), rule("b.example.com", ha)), url: "https://b.example.com"},

		// Home Assistant's own address and port.
		"at port 80, as new installations":      {house: home(t, known, token, "").on(80), rules: ingress(rule("a.example.com", "http://homeassistant:8123"), rule("b.example.com", "http://homeassistant")), url: "https://b.example.com"},
		"at port 80 by the machine's address":   {house: home(t, known, token, "").on(80), rules: ingress(rule("a.example.com", "http://192.168.1.11"), rule("b.example.com", "http://192.168.1.10:80")), url: "https://b.example.com"},
		"at port 443":                           {house: home(t, known, token, "").on(443), rules: ingress(rule("a.example.com", "http://homeassistant"), rule("b.example.com", "https://homeassistant.local.hass.io")), url: "https://b.example.com"},
		"another app on the same machine":       {house: home(t, known, token, ""), rules: ingress(rule("red.example.com", "http://homeassistant:1880"), rule("ha.example.com", ha)), url: "https://ha.example.com"},
		"another Home Assistant":                {house: home(t, known, token, ""), rules: ingress(rule("other.example.com", "http://192.168.1.99:8123"), rule("ha.example.com", "http://192.168.1.10:8123")), url: "https://ha.example.com"},
		"another Home Assistant alone":          {house: home(t, known, token, "https://ha.example.com"), rules: ingress(rule("other.example.com", "http://192.168.1.99:8123")), url: "https://ha.example.com", how: "external URL"},
		"by the gateway of the apps' network":   {house: home(t, known, token, ""), rules: ingress(rule("ha.example.com", "http://172.30.32.1:8123")), url: "https://ha.example.com"},
		"by IPv6":                               {house: home(t, known, token, ""), rules: ingress(rule("ha.example.com", "http://[fd00::10]:8123")), url: "https://ha.example.com"},
		"by a name of the house's":              {house: home(t, known, token, ""), rules: ingress(rule("ha.example.com", "http://hass.lan:8123")), url: "https://ha.example.com"},
		"its own name goes before another":      {house: home(t, known, token, ""), rules: ingress(rule("a.example.com", "http://hass.lan:8123"), rule("ha.example.com", "https://homeassistant.local:8123")), url: "https://ha.example.com"},
		"the app's own proxy":                   {house: home(t, known, token, ""), rules: ingress(rule("nas.example.com", "http://nas"), rule("ha.example.com", "https://caddy.localhost")), url: "https://ha.example.com"},
		"Home Assistant goes before that":       {house: home(t, known, token, ""), rules: ingress(rule("a.example.com", "https://localhost"), rule("ha.example.com", ha)), url: "https://ha.example.com"},
		"as a WebSocket service":                {house: home(t, known, token, ""), rules: ingress(rule("ha.example.com", "ws://homeassistant:8123")), url: "https://ha.example.com"},
		"Supervisor is not Home Assistant":      {house: home(t, known, token, "").on(80), rules: ingress(rule("a.example.com", "http://supervisor"), rule("b.example.com", "http://homeassistant")), url: "https://b.example.com"},
		"where Core listens is not known":       {house: home(t, known, token, "").on(0), rules: ingress(rule("nas.example.com", "http://nas"), rule("ha.example.com", ha)), url: "https://ha.example.com"},
		"by port, the first of several":         {house: home(t, known, token, "").with(func(h *house) { h.addrs = nil }), rules: ingress(rule("a.example.com", "http://192.168.1.5:8123"), rule("b.example.com", "http://192.168.1.6:8123")), url: "https://a.example.com"},
		"an address as a name is none":          {house: home(t, known, token, ""), rules: ingress(rule("192.0.2.7", ha), rule("ha.example.com", ha)), url: "https://ha.example.com"},
		"other services are not Home Assistant": {house: home(t, known, token, "https://core.example.com"), rules: ingress(rule("files.example.com", "http://files.internal:80"), rule("ssh.example.com", "ssh://homeassistant:8123"), rule("db.example.com", "tcp://192.168.1.10:8123"), rule("u.example.com", "unix:/run/ha.sock"), rule("h.example.com", "hello_world")), url: "https://core.example.com", how: "external URL"},

		"an external URL over http is not outside":    {house: home(t, known, "", "http://core.example.com:8123"), trouble: []string{"was not found", "\"Public address\""}},
		"nothing is known":                            {house: home(t, known, "", ""), trouble: []string{"was not found", "\"Public address\"", "https://ha.example.com"}},
		"rules that are no JSON are passed":           {house: home(t, known, "", ""), rules: "<html>", trouble: []string{"\"Public address\""}},
		"the list of apps is not to be had":           {house: house{addOnErr: away}, fails: true},
		"the app cannot be read":                      {house: all.with(func(h *house) { h.infoErr = away }), fails: true},
		"while Core is away its URL is still to come": {house: home(t, known, "", "").with(func(h *house) { h.coreErr = &supervisor.Error{Kind: supervisor.CoreAway, Status: 502} }), fails: true},
		"while Supervisor is away nothing is decided": {house: home(t, known, "", "").with(func(h *house) { h.coreErr = away }), fails: true},
		"a stop of the program is no trouble":         {house: home(t, known, "", "").with(func(h *house) { h.coreErr = &supervisor.Error{Kind: supervisor.Interrupted} }), fails: true},
		"a Core that answers nonsense is a trouble":   {house: home(t, known, "", "").with(func(h *house) { h.coreErr = &supervisor.Error{Kind: supervisor.Unexpected} }), trouble: []string{"\"Public address\""}},
		"none installed":                              {trouble: []string{"No Cloudflared app"}},
		"an app that does not run may know it later":  {house: home(t, known, "", "").with(func(h *house) { h.info.State = evidence.StateStopped }), trouble: []string{"not running", "Start the app"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.Find(t.Context(), c.house, c.wish, rules(t, c.rules))
			switch {
			case c.trouble != nil:
				expectTrouble(t, err, c.trouble...)
			case c.fails:
				var trouble *tunnel.Trouble
				if err == nil || errors.As(err, &trouble) {
					t.Errorf("got %v, want an error that is no trouble", err)
				}
			case err != nil || got.URL.String() != c.url || !strings.Contains(got.How, c.how):
				t.Errorf("got %v from %q, %v; want %s from %s", got.URL, got.How, err, c.url, c.how)
			case got.Slug != known || got.Hostname != "9074a9fa-cloudflared" || got.Name != "Cloudflared" || !got.Trusted:
				t.Errorf("target %+v", got)
			}
		})
	}
}

func TestWhoseWordOpensTheWayForCredentials(t *testing.T) {
	const foreign, local = "deadbeef_cloudflared", "local_cloudflared"
	theirs := `{"external_hostname":"theirs.example.net"}`
	for name, c := range map[string]struct {
		house   house
		wish    tunnel.Wish
		rules   string
		url     string
		trusted bool
	}{
		"an app of a maker's store":                     {house: home(t, known, theirs, ""), url: "https://theirs.example.net", trusted: true},
		"by its connector's rules":                      {house: home(t, known, token, ""), rules: ingress(rule("r.example.com", ha)), url: "https://r.example.com", trusted: true},
		"an app of another store, named, is not enough": {house: home(t, foreign, theirs, "https://ha.example.com"), wish: tunnel.Wish{Slug: foreign}, url: "https://theirs.example.net"},
		"nor are its connector's rules":                 {house: home(t, foreign, token, ""), wish: tunnel.Wish{Slug: foreign}, rules: ingress(rule("r.example.com", ha)), url: "https://r.example.com"},
		"nor a copy on this machine":                    {house: home(t, local, theirs, "https://ha.example.com"), url: "https://theirs.example.net"},
		"unless the user has named the address":         {house: home(t, foreign, theirs, ""), wish: tunnel.Wish{Slug: foreign, URL: "https://ha.example.com"}, url: "https://ha.example.com", trusted: true},
		"or Home Assistant's external URL names it":     {house: home(t, local, theirs, "https://THEIRS.example.net/"), url: "https://theirs.example.net", trusted: true},
		"at another port it is another address":         {house: home(t, local, theirs, "https://theirs.example.net:8443"), url: "https://theirs.example.net"},
		"a longer name is another name":                 {house: home(t, local, theirs, "https://theirs.example.net.example.com"), url: "https://theirs.example.net"},
		"a Core that is away names nothing":             {house: home(t, local, theirs, "").with(func(h *house) { h.coreErr = &supervisor.Error{Kind: supervisor.CoreAway} }), url: "https://theirs.example.net"},
		"the external URL itself":                       {house: home(t, foreign, `{}`, "https://ha.example.com"), wish: tunnel.Wish{Slug: foreign}, url: "https://ha.example.com", trusted: true},
		"a store that has stolen the hash, named":       {house: home(t, known, theirs, "").with(func(h *house) { h.stores = map[string]string{"9074a9fa": "https://github.com/thief/apps#a1b2c3"} }), wish: tunnel.Wish{Slug: known}, url: "https://theirs.example.net"},
		"the makers' store in capitals is the makers'": {house: home(t, known, theirs, "").with(func(h *house) {
			h.stores = map[string]string{"9074a9fa": "https://github.com/Brenner-Tobias/ha-addons"}
		}), url: "https://theirs.example.net", trusted: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.Find(t.Context(), c.house, c.wish, rules(t, c.rules))
			if err != nil || got.URL.String() != c.url || got.Trusted != c.trusted {
				t.Errorf("got %v, trusted %t, %v; want %s, trusted %t", got.URL, got.Trusted, err, c.url, c.trusted)
			}
		})
	}
}

func TestAStoreThatHasStolenAHashIsAStranger(t *testing.T) {
	thief := map[string]string{"9074a9fa": "https://github.com/thief/apps#a1b2c3", "396f0234": "https://github.com/homeassistant-apps/repository"}
	alone := home(t, known, `{"external_hostname":"theirs.example.net"}`, "").with(func(h *house) { h.stores = thief })
	_, err := tunnel.Find(t.Context(), alone, tunnel.Wish{}, rules(t, ""))
	expectTrouble(t, err, known, "does not know")

	both := alone.with(func(h *house) {
		h.others = []supervisor.AddOn{{Slug: "396f0234_cloudflared", State: evidence.StateStopped}}
	})
	for _, kept := range []string{"", known} {
		got, err := tunnel.Find(t.Context(), both, tunnel.Wish{URL: "https://ha.example.com", Kept: kept}, rules(t, ""))
		if err != nil || got.Slug != "396f0234_cloudflared" {
			t.Errorf("kept %q: got %s, %v", kept, got.Slug, err)
		}
	}
}

// The slugs that people have are those of the stores' addresses, so the hash is made
// as Supervisor makes it.
func TestKnownStoresBearTheSlugsThatPeopleHave(t *testing.T) {
	for slug, want := range map[string]tunnel.Provenance{
		"9074a9fa_cloudflared":   tunnel.Known, // github.com/brenner-tobias/ha-addons
		"396f0234_cloudflared":   tunnel.Known, // github.com/homeassistant-apps/repository
		"ffd6a162_cloudflared":   tunnel.Known, // their edge channels
		"aa4af594_cloudflared":   tunnel.Known,
		"local_cloudflared":      tunnel.Local,
		"core_cloudflared":       tunnel.Stranger,
		"a0d7b954_cloudflared":   tunnel.Stranger, // a store, but none that publishes it
		"37566898_cloudflared":   tunnel.Stranger, // the app's own source, which is no store
		"9074a9fa_cloudflared2":  tunnel.Stranger,
		"9074a9f_cloudflared":    tunnel.Stranger,
		"9074a9fa42_cloudflared": tunnel.Stranger,
		"cloudflared":            tunnel.Stranger,
		"":                       tunnel.Stranger,
	} {
		if got := tunnel.ProvenanceOf(slug); got != want {
			t.Errorf("%q: got %d, want %d", slug, got, want)
		}
	}
}

func TestOtherAppsAreNamed(t *testing.T) {
	h := home(t, known, `{"external_hostname":"ha.example.com"}`, "").with(func(h *house) {
		h.others = []supervisor.AddOn{{Slug: "deadbeef_cloudflared", State: evidence.StateStarted}, {Slug: "core_ssh", State: evidence.StateStarted}, {Slug: "396f0234_cloudflared"}}
	})
	got, err := tunnel.Find(t.Context(), h, tunnel.Wish{Kept: known}, rules(t, ""))
	if want := []string{"396f0234_cloudflared", "deadbeef_cloudflared"}; err != nil || !slices.Equal(got.Others, want) {
		t.Errorf("got %q, %v; want %q", got.Others, err, want)
	}
}
