package tunnel_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

func TestTheAddOnToWatch(t *testing.T) {
	at := func(slug string, s evidence.AddOnState) supervisor.AddOn {
		return supervisor.AddOn{Slug: slug, State: s}
	}
	const old, fresh = "9074a9fa_cloudflared", "396f0234_cloudflared"
	other := at("core_mosquitto", evidence.StateStarted)
	for rule, c := range map[string]struct {
		installed []supervisor.AddOn
		slug      string
		chosen    string
		says      []string // of the trouble, where there is one
	}{
		"nothing is installed":                       {nil, "", "", []string{"No Cloudflared add-on is installed", "Install"}},
		"other add-ons are none":                     {[]supervisor.AddOn{other, at("x_cloudflared_helper", evidence.StateStarted)}, "", "", []string{"No Cloudflared add-on"}},
		"the one there is, even stopped":             {[]supervisor.AddOn{other, at(old, evidence.StateStopped)}, "", old, nil},
		"a local build counts":                       {[]supervisor.AddOn{at("local_cloudflared", evidence.StateStarted)}, "", "local_cloudflared", nil},
		"of several the running one":                 {[]supervisor.AddOn{at(old, evidence.StateStopped), at(fresh, evidence.StateStarted)}, "", fresh, nil},
		"one that starts up is running":              {[]supervisor.AddOn{at(old, evidence.StateError), at(fresh, evidence.StateStartup)}, "", fresh, nil},
		"several running need a name":                {[]supervisor.AddOn{at(old, evidence.StateStarted), at(fresh, evidence.StateStarted)}, "", "", []string{"are running", old, fresh, "cloudflared_slug"}},
		"several stopped need one started or a name": {[]supervisor.AddOn{at(old, evidence.StateStopped), at(fresh, evidence.StateError)}, "", "", []string{"none is running", "Start", "cloudflared_slug"}},
		"the named one of several running":           {[]supervisor.AddOn{at(old, evidence.StateStarted), at(fresh, evidence.StateStarted)}, fresh, fresh, nil},
		"the named one whatever it is called":        {[]supervisor.AddOn{other, at("my_tunnel", evidence.StateStopped)}, "my_tunnel", "my_tunnel", nil},
		"the named one is missing":                   {[]supervisor.AddOn{at(old, evidence.StateStarted)}, fresh, "", []string{fresh + " is not installed", "cloudflared_slug"}},
	} {
		t.Run(rule, func(t *testing.T) {
			got, err := tunnel.Choose(c.installed, c.slug)
			if c.says == nil {
				if err != nil || got.Slug != c.chosen {
					t.Fatalf("got %q, %v; want %q", got.Slug, err, c.chosen)
				}
				return
			}
			expectTrouble(t, err, c.says...)
		})
	}
}

func expectTrouble(t *testing.T, err error, says ...string) {
	t.Helper()
	var trouble *tunnel.Trouble
	if !errors.As(err, &trouble) {
		t.Fatalf("got %v, want a trouble", err)
	}
	if trouble.Summary == "" || trouble.Advice == "" {
		t.Errorf("a trouble says what is and what to do: %+v", trouble)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// house answers what Find asks of Supervisor.
type house struct {
	addOns   []supervisor.AddOn
	info     supervisor.Info
	core     supervisor.CoreConfig
	addOnErr error
	infoErr  error
	coreErr  error
}

func (h house) AddOns(context.Context) ([]supervisor.AddOn, error) { return h.addOns, h.addOnErr }
func (h house) Info(context.Context, string) (supervisor.Info, error) {
	return h.info, h.infoErr
}
func (h house) CoreConfig(context.Context) (supervisor.CoreConfig, error) { return h.core, h.coreErr }

func options(t *testing.T, text string) supervisor.Options {
	t.Helper()
	var o supervisor.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

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

func ingress(rules ...string) string {
	return `{"version":7,"config":{"ingress":[` + strings.Join(append(rules, `{"service":"http_status:404"}`), ",") + `],"warp-routing":{}}}`
}

func rule(host, service string) string {
	return `{"hostname":"` + host + `","path":"","service":"` + service + `","Handlers":null,"originRequest":{}}`
}

func TestTheAddressIsFoundWhereItIsMostSurelyRight(t *testing.T) {
	const slug = "9074a9fa_cloudflared"
	running := supervisor.Info{Slug: slug, Name: "Cloudflared", Hostname: "9074a9fa-cloudflared", State: evidence.StateStarted, Version: "6.0.3"}
	home := func(options supervisor.Options, external string) house {
		h := house{addOns: []supervisor.AddOn{{Slug: slug, State: evidence.StateStarted}}, info: running, core: supervisor.CoreConfig{ExternalURL: external, Version: "1"}}
		h.info.Options = options
		return h
	}
	all := home(options(t, `{"external_hostname":"addon.example.com"}`), "https://core.example.com")
	toHA := rules(t, ingress(rule("rules.example.com", "http://homeassistant:8123")))
	none := rules(t, "")
	away := &supervisor.Error{Kind: supervisor.Away, Message: "refused"}

	for name, c := range map[string]struct {
		house     house
		wish      tunnel.Wish
		connector func(tunnel.Target) *tunnel.Connector
		url, how  string
		trouble   []string
		fails     bool // with an error that is no trouble
	}{
		"the user's own word goes before all":       {house: all, wish: tunnel.Wish{URL: "https://own.example.com"}, connector: toHA, url: "https://own.example.com", how: "public_url"},
		"an impossible own word is said":            {house: all, wish: tunnel.Wish{URL: "http://own.example.com"}, connector: toHA, trouble: []string{"public_url", "https://own.example.com"}},
		"then the add-on's external_hostname":       {house: all, connector: toHA, url: "https://addon.example.com", how: "external_hostname"},
		"then the connector's rules":                {house: home(options(t, `{"external_hostname":"","tunnel_token":"x"}`), "https://core.example.com"), connector: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"an impossible external_hostname is passed": {house: home(options(t, `{"external_hostname":"not a host"}`), "https://core.example.com"), connector: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"then Core's external URL":                  {house: home(options(t, `{}`), "https://core.example.com/"), connector: none, url: "https://core.example.com", how: "external URL"},
		"hidden options keep nothing from it":       {house: home(nil, "https://core.example.com"), connector: toHA, url: "https://rules.example.com", how: "ingress rules"},
		"a wildcard leads to no single host":        {house: home(nil, "https://core.example.com"), connector: rules(t, ingress(rule("*.example.com", "http://homeassistant:8123"))), url: "https://core.example.com", how: "external URL"},
		"other services are not Home Assistant": {house: home(nil, "https://core.example.com"),
			connector: rules(t, ingress(rule("files.example.com", "http://files.internal:80"), rule("ssh.example.com", "ssh://homeassistant:22"), rule("db.example.com", "tcp://192.168.1.5:8123"), rule("", "http://homeassistant:8123"))),
			url:       "https://core.example.com", how: "external URL"},
		"the name in every installation goes before the port": {house: home(nil, ""),
			connector: rules(t, ingress(rule("proxy.example.com", "http://192.168.1.5:8123"), rule("ha.example.com", "https://homeassistant.local.hass.io:8123"))), url: "https://ha.example.com", how: "ingress rules"},
		"by port, the first of several":                 {house: home(nil, ""), connector: rules(t, ingress(rule("a.example.com", "http://192.168.1.5:8123"), rule("b.example.com", "http://192.168.1.6:8123"))), url: "https://a.example.com", how: "ingress rules"},
		"an external URL over http is not outside":      {house: home(nil, "http://core.example.com:8123"), connector: none, trouble: []string{"could not be found", "public_url"}},
		"nothing is known":                              {house: home(nil, ""), connector: none, trouble: []string{"could not be found", "public_url", "https://ha.example.com"}},
		"rules that are no JSON are passed":             {house: home(nil, ""), connector: rules(t, "<html>"), trouble: []string{"public_url"}},
		"the list of add-ons is not to be had":          {house: house{addOnErr: away}, connector: none, fails: true},
		"the add-on cannot be read":                     {house: house{addOns: all.addOns, infoErr: away}, connector: none, fails: true},
		"while Core is away its URL is still to come":   {house: house{addOns: all.addOns, info: running, coreErr: &supervisor.Error{Kind: supervisor.CoreAway, Status: 502}}, connector: none, fails: true},
		"while Supervisor is away nothing is decided":   {house: house{addOns: all.addOns, info: running, coreErr: away}, connector: none, fails: true},
		"a stop of the program is no trouble":           {house: house{addOns: all.addOns, info: running, coreErr: &supervisor.Error{Kind: supervisor.Interrupted}}, connector: none, fails: true},
		"a Core that answers nonsense is a trouble":     {house: house{addOns: all.addOns, info: running, coreErr: &supervisor.Error{Kind: supervisor.Unexpected}}, connector: none, trouble: []string{"public_url"}},
		"none installed":                                {house: house{}, connector: none, trouble: []string{"No Cloudflared add-on"}},
		"an add-on that does not run may know it later": {house: func() house { h := home(nil, ""); h.info.State = evidence.StateStopped; return h }(), connector: none, trouble: []string{"not running", "Start it"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.Find(t.Context(), c.house, c.wish, c.connector)
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
			case got.Slug != slug || got.Hostname != "9074a9fa-cloudflared" || got.Name != "Cloudflared":
				t.Errorf("target %+v", got)
			}
		})
	}
}

func TestTheProtocolIsReadAsCloudflaredReadsIt(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		want    evidence.Protocol
		fails   string
	}{
		"no option is no flag":                  {`{}`, evidence.Default, ""},
		"an empty list is no flag":              {`{"run_parameters":[]}`, evidence.Default, ""},
		"other flags are no protocol":           {`{"run_parameters":["--edge-ip-version=4","--protocolx=quic"]}`, evidence.Default, ""},
		"auto":                                  {`{"run_parameters":["--protocol=auto"]}`, evidence.Auto, ""},
		"among others":                          {`{"run_parameters":["--edge-ip-version=4","--protocol=quic","--loglevel=info"]}`, evidence.QUIC, ""},
		"of several the last counts":            {`{"run_parameters":["--protocol=quic","--protocol=http2"]}`, evidence.HTTP2, ""},
		"an earlier unknown one does not count": {`{"run_parameters":["--protocol=h2mux","--protocol=http2"]}`, evidence.HTTP2, ""},
		"an unknown one is named":               {`{"run_parameters":["--protocol=h2mux"]}`, 0, "--protocol=h2mux"},
		"capitals are unknown":                  {`{"run_parameters":["--protocol=QUIC"]}`, 0, "auto, quic or http2"},
		"an empty one is unknown":               {`{"run_parameters":["--protocol="]}`, 0, "auto, quic or http2"},
		"a text is no list":                     {`{"run_parameters":"--protocol=quic"}`, 0, "not a list"},
		"null is no list":                       {`{"run_parameters":null}`, 0, "not a list"},
		"a list of numbers is none":             {`{"run_parameters":[1]}`, 0, "not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.ProtocolOf(options(t, c.options))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, want an error that says %q", err, c.fails)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestOnlyTheProtocolIsRewritten(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		to     evidence.Protocol
		after  string // run_parameters, byte for byte; "" is absent
	}{
		"none to one goes to the end":          {`["--a=1","--b=2"]`, evidence.HTTP2, `["--a=1","--b=2","--protocol=http2"]`},
		"absent to one":                        {``, evidence.QUIC, `["--protocol=quic"]`},
		"one to another keeps its place":       {`["--a=1","--protocol=quic","--b=2"]`, evidence.HTTP2, `["--a=1","--protocol=http2","--b=2"]`},
		"of several one remains, where it was": {`["--protocol=quic","--a=1","--protocol=auto","--b=<2>&"]`, evidence.HTTP2, `["--a=1","--protocol=http2","--b=<2>&"]`},
		"one to none":                          {`["--a=1","--protocol=quic"]`, evidence.Default, `["--a=1"]`},
		"the only one to none":                 {`["--protocol=quic"]`, evidence.Default, `[]`},
		"none to none keeps every byte":        {`[ "--a=1" ,"--b=\u0032"]`, evidence.Default, `[ "--a=1" ,"--b=\u0032"]`},
		"an empty list to none keeps it":       {`[ ]`, evidence.Default, `[ ]`},
		"absent to none stays absent":          {``, evidence.Default, ``},
		"the same again keeps every byte":      {`[ "--protocol=quic" ]`, evidence.QUIC, `[ "--protocol=quic" ]`},
		"auto is written, none is not":         {`["--protocol=http2"]`, evidence.Auto, `["--protocol=auto"]`},
		"an unknown one is replaced like any":  {`["--protocol=h2mux"]`, evidence.QUIC, `["--protocol=quic"]`},
		"what only looks like it stays":        {`["--protocolx=1","protocol=2"]`, evidence.QUIC, `["--protocolx=1","protocol=2","--protocol=quic"]`},
	} {
		t.Run(name, func(t *testing.T) {
			const others = `"external_hostname":"ha.example.com","post_quantum":  false,"additional_hosts":[ {"hostname":"a\u00e4"}],"n":1.0`
			text := `{` + others + `}`
			if c.before != "" {
				text = `{` + others + `,"run_parameters":` + c.before + `}`
			}
			before := options(t, text)
			after, err := tunnel.WithProtocol(before, c.to)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(after["run_parameters"]); got != c.after {
				t.Errorf("got %s, want %s", got, c.after)
			}
			for _, key := range before.Names() {
				if key != "run_parameters" && string(after[key]) != string(before[key]) {
					t.Errorf("%s became %s", before[key], after[key])
				}
			}
			if want, have := len(before), len(after); c.before != "" && want != have {
				t.Errorf("%d options became %d", want, have)
			}
			if got := string(before["run_parameters"]); got != c.before {
				t.Errorf("what was given has changed: %s", got)
			}
		})
	}
	if _, err := tunnel.WithProtocol(options(t, `{"run_parameters":{"a":1}}`), evidence.QUIC); err == nil {
		t.Error("what is no list of flags must not be rewritten")
	}
}

func TestThereAndBackAgain(t *testing.T) {
	for _, own := range []string{`[]`, `["--a=1"]`, `["--a=1","--protocol=quic","--b=2"]`, `["--protocol=auto"]`} {
		before := options(t, `{"run_parameters":`+own+`}`)
		mine, err := tunnel.ProtocolOf(before)
		if err != nil {
			t.Fatal(err)
		}
		now := before
		for _, p := range []evidence.Protocol{evidence.HTTP2, evidence.QUIC, evidence.Auto, mine} {
			if now, err = tunnel.WithProtocol(now, p); err != nil {
				t.Fatal(err)
			}
			if got, err := tunnel.ProtocolOf(now); err != nil || got != p {
				t.Fatalf("wrote %v, read %v, %v", p, got, err)
			}
		}
		if got := string(now["run_parameters"]); got != own {
			t.Errorf("%s came back as %s", own, got)
		}
	}
	if !slices.Equal(options(t, `{"a":1}`).Names(), []string{"a"}) {
		t.Error("the test's own reading of options")
	}
}

func TestTheMetricsAddressIsTheAddOnsHostName(t *testing.T) {
	if got := tunnel.MetricsURL("9074a9fa-cloudflared"); got != "http://9074a9fa-cloudflared:36500" {
		t.Error(got)
	}
}
