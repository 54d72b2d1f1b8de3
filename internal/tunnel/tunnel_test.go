package tunnel_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

func TestTheAppToWatch(t *testing.T) {
	at := func(slug string, s evidence.AddOnState) supervisor.AddOn {
		return supervisor.AddOn{Slug: slug, State: s}
	}
	const (
		old, fresh = "9074a9fa_cloudflared", "396f0234_cloudflared"
		local      = "local_cloudflared"
		foreign    = "deadbeef_cloudflared"
	)
	up, down := evidence.StateStarted, evidence.StateStopped
	other := at("core_mosquitto", up)
	type apps = []supervisor.AddOn
	for rule, c := range map[string]struct {
		installed apps
		wish      tunnel.Wish
		chosen    string
		beside    []string
		says      []string // of the trouble, where there is one
	}{
		"nothing is installed":                        {says: []string{"No Cloudflared app is installed", "Install"}},
		"other apps are none":                         {installed: apps{other, at("x_cloudflared_helper", up)}, says: []string{"No Cloudflared app"}},
		"the one there is, even stopped":              {installed: apps{other, at(old, down)}, chosen: old},
		"a local copy counts":                         {installed: apps{at(local, up)}, chosen: local},
		"of several the running one":                  {installed: apps{at(old, down), at(fresh, up)}, chosen: fresh, beside: []string{old}},
		"one that starts up is running":               {installed: apps{at(old, evidence.StateError), at(fresh, evidence.StateStartup)}, chosen: fresh, beside: []string{old}},
		"several running need a name":                 {installed: apps{at(old, up), at(fresh, up)}, says: []string{"are running", old, fresh, "\"Cloudflared app\""}},
		"several stopped need one started or a name":  {installed: apps{at(old, down), at(fresh, evidence.StateError)}, says: []string{"none is running", "Start", "\"Cloudflared app\""}},
		"the named one of several running":            {installed: apps{at(old, up), at(fresh, up)}, wish: tunnel.Wish{Slug: fresh}, chosen: fresh, beside: []string{old}},
		"the named one whatever it is called":         {installed: apps{other, at("my_tunnel", down)}, wish: tunnel.Wish{Slug: "my_tunnel"}, chosen: "my_tunnel"},
		"the named one is missing":                    {installed: apps{at(old, up)}, wish: tunnel.Wish{Slug: fresh}, says: []string{fresh + " is not installed", "\"Cloudflared app\""}},
		"a named stranger":                            {installed: apps{at(old, up), at(foreign, up)}, wish: tunnel.Wish{Slug: foreign}, chosen: foreign, beside: []string{old}},
		"the name goes before what was watched":       {installed: apps{at(old, up), at(fresh, down)}, wish: tunnel.Wish{Slug: fresh, Kept: old}, chosen: fresh, beside: []string{old}},
		"an unknown store's app is not taken":         {installed: apps{at(foreign, up)}, says: []string{foreign, "does not know", "\"Cloudflared app\""}},
		"nor before a known one that is stopped":      {installed: apps{at(foreign, up), at(old, down)}, chosen: old, beside: []string{foreign}},
		"nor because it was watched before":           {installed: apps{at(foreign, up), at(old, down)}, wish: tunnel.Wish{Kept: foreign}, chosen: old, beside: []string{foreign}},
		"its likeness in capitals is not known":       {installed: apps{at("9074A9FA_cloudflared", up)}, says: []string{"does not know"}},
		"nor is a slug that only ends like one":       {installed: apps{at("x_9074a9fa_cloudflared", up)}, says: []string{"does not know"}},
		"nor one without a store":                     {installed: apps{at("_cloudflared", up)}, says: []string{"does not know"}},
		"what was watched stays, stopped":             {installed: apps{at(old, down), at(fresh, up)}, wish: tunnel.Wish{Kept: old}, chosen: old, beside: []string{fresh}},
		"what was watched stays among several":        {installed: apps{at(old, up), at(fresh, up), at(local, up)}, wish: tunnel.Wish{Kept: fresh}, chosen: fresh, beside: []string{old, local}},
		"what was watched is gone: a move":            {installed: apps{at(fresh, down)}, wish: tunnel.Wish{Kept: old}, chosen: fresh},
		"what was watched is gone, a stranger stands": {installed: apps{at(foreign, up)}, wish: tunnel.Wish{Kept: old}, says: []string{"does not know"}},
	} {
		t.Run(rule, func(t *testing.T) {
			got, beside, err := tunnel.Choose(c.installed, c.wish)
			if c.says == nil {
				if err != nil || got.Slug != c.chosen || !slices.Equal(beside, c.beside) {
					t.Fatalf("got %q beside %q, %v; want %q beside %q", got.Slug, beside, err, c.chosen, c.beside)
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
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func options(t *testing.T, text string) supervisor.Options {
	t.Helper()
	var o supervisor.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
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
