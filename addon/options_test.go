package addon_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/addon"
	"tunnelmedic/internal/evidence"
)

// load reads options from a file's text ("-": there is none) and the environment.
func load(t *testing.T, text string, environ ...string) (addon.Options, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "options.json")
	if text != "-" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return addon.LoadOptions(append([]string{"TUNNELMEDIC_OPTIONS_FILE=" + path}, environ...))
}

func untold() addon.Options {
	return addon.Options{
		Mode: addon.Heal, Protocols: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, ProbeInterval: 2 * time.Minute,
		MaxRestartsPerDay: 6, FailbackHours: 24 * time.Hour, LogLevel: addon.LogLevel(zerolog.InfoLevel), LogFormat: addon.Console,
		BurstInterval: 2 * time.Second, SensorInterval: 4 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute, ProbeTimeout: 10 * time.Second,
		SupervisorURL: "http://supervisor", DataDir: "/data", Listen: ":8099", MetricsListen: ":9107", IngressPeer: []netip.Addr{netip.MustParseAddr("172.30.32.2")},
		CloudflareAPIURL: "https://api.cloudflare.com/client/v4", CloudflareStatusURL: "https://www.cloudflarestatus.com/api/v2", DoHURL: "https://1.1.1.1/dns-query",
	}
}

func TestDefaultsHoldWhereNothingIsSet(t *testing.T) {
	for name, text := range map[string]string{
		"no file":            "-",
		"an empty object":    `{}`,
		"null":               `null`,
		"empty values":       `{"public_url":"","cloudflared_slug":" ","mode":"","protocols":[],"probe_interval":"","access_client_id":null,"ha_token":"","max_restarts_per_day":null,"failback_hours":"","notify":[],"log_level":""}`,
		"nulls and blanks":   `{"public_url":null,"mode":null,"protocols":null,"probe_interval":null,"notify":null,"log_level":null,"client_certificate":"  "}`,
		"lists of nothing":   `{"protocols":["",null],"notify":[""," "]}`,
		"the form as it is":  `{"mode":"heal","protocols":["auto","quic","http2"],"probe_interval":120,"max_restarts_per_day":6,"failback_hours":24,"log_level":"info"}`,
		"numbers with a dot": `{"probe_interval":120.0,"failback_hours":2.4e1}`,
	} {
		t.Run(name, func(t *testing.T) {
			o, warnings, err := load(t, text, "TUNNELMEDIC_MODE=", "TUNNELMEDIC_HA_TOKEN= ", "UNRELATED=1")
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%v, warnings %q", err, warnings)
			}
			want := untold()
			v, w := reflect.ValueOf(o), reflect.ValueOf(want)
			for i := range v.NumField() {
				f := v.Type().Field(i)
				if w.Field(i).IsZero() && f.Tag.Get("envDefault") == "" || f.Name == "OptionsFile" || f.Name == "Patience" {
					continue
				}
				if !reflect.DeepEqual(v.Field(i).Interface(), w.Field(i).Interface()) {
					t.Errorf("%s is %v, want %v", f.Name, v.Field(i), w.Field(i))
				}
			}
			for name, set := range map[string]bool{"public_url": o.PublicURL != "", "slug": o.CloudflaredSlug != "", "token": o.HAToken != "", "notify": len(o.Notify) > 0, "settle": o.SettleTimeout != nil, "certificate": o.ClientCertificate != ""} {
				if set {
					t.Errorf("%s is set: %+v", name, o)
				}
			}
		})
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	o, warnings, err := load(t, `{"mode":"heal","protocols":["auto"],"probe_interval":30,"failback_hours":48,"notify":["a","b"],"ha_token":" from-the-file ","max_restarts_per_day":3,"log_level":"warning"}`,
		"TUNNELMEDIC_MODE=observe", "TUNNELMEDIC_PROTOCOLS=quic,http2", "TUNNELMEDIC_PROBE_INTERVAL=2500ms", "TUNNELMEDIC_NOTIFY=c", "SUPERVISOR_TOKEN=from-supervisor",
		"TUNNELMEDIC_SETTLE_TIMEOUT=90s", "TUNNELMEDIC_INGRESS_PEER=127.0.0.1,::1")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %q", err, warnings)
	}
	if o.Mode != addon.Observe || !slices.Equal(o.Protocols, []evidence.Protocol{evidence.QUIC, evidence.HTTP2}) || o.ProbeInterval != 2500*time.Millisecond ||
		!slices.Equal(o.Notify, []string{"c"}) || o.SupervisorToken != "from-supervisor" || o.SettleTimeout == nil || *o.SettleTimeout != 90*time.Second || len(o.IngressPeer) != 2 {
		t.Errorf("%+v", o)
	}
	if o.FailbackHours != 48*time.Hour || o.HAToken != "from-the-file" || o.MaxRestartsPerDay != 3 || o.LogLevel != addon.LogLevel(zerolog.WarnLevel) {
		t.Errorf("what only the file says: %+v", o)
	}
}

func TestNeverFailingBackIsZeroHours(t *testing.T) {
	for _, o := range []func() (addon.Options, []string, error){
		func() (addon.Options, []string, error) { return load(t, `{"failback_hours":0}`) },
		func() (addon.Options, []string, error) { return load(t, `{}`, "TUNNELMEDIC_FAILBACK_HOURS=0") },
	} {
		if got, _, err := o(); err != nil || got.FailbackHours != 0 {
			t.Errorf("%v, %v", got.FailbackHours, err)
		}
	}
}

const canary = "canary-5f2d81c7"

func TestABadValueIsNamedInOneLineAndNoSecretIsQuoted(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		environ string
		says    []string
	}{
		"a mode that is none":            {text: `{"mode":"cure"}`, says: []string{"option mode", `"cure"`, "heal, ask or observe", "options.json"}},
		"a mode in the environment":      {text: `{"mode":"heal"}`, environ: "TUNNELMEDIC_MODE=cure", says: []string{"option mode", `"cure"`, "heal, ask or observe", "TUNNELMEDIC_MODE"}},
		"a protocol that is none":        {text: `{"protocols":["auto","h2mux"]}`, says: []string{"option protocols", "h2mux", "auto, quic, http2"}},
		"protocols that are no list":     {text: `{"protocols":"quic"}`, says: []string{"option protocols", "quic", "a list of"}},
		"a comma in a list":              {text: `{"notify":["a,b"]}`, says: []string{"option notify", "a,b"}},
		"a number in a list":             {text: `{"notify":[7]}`, says: []string{"option notify", "7"}},
		"an interval below":              {text: `{"probe_interval":14}`, says: []string{"option probe_interval", "14", "15 to 3600"}},
		"an interval above":              {text: `{"probe_interval":3601}`, says: []string{"option probe_interval", "3601", "15 to 3600"}},
		"an interval with a fraction":    {text: `{"probe_interval":20.5}`, says: []string{"option probe_interval", "20.5"}},
		"an interval as a text":          {text: `{"probe_interval":"2m"}`, says: []string{"option probe_interval", "2m", "seconds"}},
		"an interval without its unit":   {text: `{}`, environ: "TUNNELMEDIC_PROBE_INTERVAL=20", says: []string{"option probe_interval", "20", "90s"}},
		"no interval at all":             {text: `{}`, environ: "TUNNELMEDIC_PROBE_INTERVAL=0s", says: []string{"option probe_interval"}},
		"an interval below zero":         {text: `{}`, environ: "TUNNELMEDIC_BURST_INTERVAL=-2s", says: []string{"burst_interval"}},
		"a settle time of nothing":       {text: `{}`, environ: "TUNNELMEDIC_SETTLE_TIMEOUT=0s", says: []string{"settle_timeout"}},
		"too many restarts":              {text: `{"max_restarts_per_day":25}`, says: []string{"option max_restarts_per_day", "25", "1 to 24"}},
		"too many in the environment":    {text: `{}`, environ: "TUNNELMEDIC_MAX_RESTARTS_PER_DAY=25", says: []string{"max_restarts_per_day", "25", "1 to 24"}},
		"hours below zero":               {text: `{"failback_hours":-1}`, says: []string{"option failback_hours", "-1", "0 (never) to 720"}},
		"a huge number":                  {text: `{"failback_hours":1e300}`, says: []string{"option failback_hours"}},
		"a flag for a number":            {text: `{"max_restarts_per_day":true}`, says: []string{"option max_restarts_per_day", "true"}},
		"an object for a text":           {text: `{"mode":{"a":1}}`, says: []string{"option mode"}},
		"a log level that is none":       {text: `{"log_level":"loud"}`, says: []string{"option log_level", "loud", "trace"}},
		"a secret of a wrong type":       {text: `{"ha_token":["` + canary + `"]}`, says: []string{"option ha_token", "long-lived"}},
		"another secret of a wrong type": {text: `{"cloudflare_api_token":{"x":"` + canary + `"}}`, says: []string{"option cloudflare_api_token"}},
		"a secret without its id":        {text: `{"access_client_secret":"` + canary + `"}`, says: []string{"access_client_id", "go together"}},
		"a certificate without its key":  {text: `{"client_certificate":"a.crt"}`, says: []string{"client_key", "go together"}},
		"a URL with a password":          {text: `{"public_url":"https://user:` + canary + `@ha.example.com"}`, says: []string{"public_url", "https://ha.example.com"}},
		"a URL over http":                {text: `{"public_url":"http://ha.example.com"}`, says: []string{"public_url", "https://ha.example.com"}},
		"a URL that is none":             {text: `{"public_url":"https://` + canary + `:x@:::/%zz"}`, says: []string{"public_url"}},
		"a URL of a wrong type":          {text: `{"public_url":["https://u:` + canary + `@ha.example.com"]}`, says: []string{"option public_url"}},
		"JSON that breaks off":           {text: `{"mode":"heal","ha_token":"` + canary, says: []string{"options.json", "byte", "save the app's configuration again"}},
		"JSON with something behind it":  {text: `{"ha_token":"` + canary + `"}}`, says: []string{"options.json", "byte"}},
		"JSON that is no object":         {text: `["` + canary + `"]`, says: []string{"options.json", "not a JSON object"}},
		"an empty file":                  {text: ``, says: []string{"options.json", "byte 0 of 0"}},
		"YAML":                           {text: "ha_token: " + canary, says: []string{"options.json", "byte"}},
		"a Supervisor URL that is none":  {text: `{}`, environ: "TUNNELMEDIC_SUPERVISOR_URL=supervisor:" + canary, says: []string{"TUNNELMEDIC_SUPERVISOR_URL", "http://host:port"}},
		"a peer that is no address":      {text: `{}`, environ: "TUNNELMEDIC_INGRESS_PEER=somewhere", says: []string{"ingress_peer", "somewhere", "IP addresses"}},
		"a log format that is none":      {text: `{}`, environ: "TUNNELMEDIC_LOG_FORMAT=xml", says: []string{"log_format", "xml", "console or json"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.text, c.environ)
			if err == nil {
				t.Fatal("it was taken")
			}
			line := err.Error()
			if strings.Contains(line, "\n") || strings.Contains(line, canary) || len(line) > 400 {
				t.Errorf("not one line without secrets: %q", line)
			}
			for _, s := range c.says {
				if !strings.Contains(line, s) {
					t.Errorf("%q does not say %q", line, s)
				}
			}
		})
	}
	t.Run("a folder in the file's place", func(t *testing.T) {
		dir := t.TempDir()
		if _, _, err := addon.LoadOptions([]string{"TUNNELMEDIC_OPTIONS_FILE=" + dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatNobodyKnowsIsSaidAndPassedOver(t *testing.T) {
	o, warnings, err := load(t, `{"prob_interval":"`+canary+`","mode":"observe","data_dir":"/elsewhere","supervisor_url":"http://x"}`, "TUNNELMEDIC_PORBE_INTERVAL="+canary, "OTHER_THING=1")
	if err != nil || o.Mode != addon.Observe || o.DataDir != "/data" || o.SupervisorURL != "http://supervisor" {
		t.Errorf("%+v, %v", o, err)
	}
	if len(warnings) != 4 {
		t.Errorf("warnings %q", warnings)
	}
	all := strings.Join(warnings, "\n")
	for _, s := range []string{"prob_interval", "data_dir", "supervisor_url", "TUNNELMEDIC_PORBE_INTERVAL"} {
		if !strings.Contains(all, s) {
			t.Errorf("nothing is said about %s: %q", s, warnings)
		}
	}
	if strings.Contains(all, canary) {
		t.Errorf("a value is quoted: %q", warnings)
	}
}

func TestHelpListsEveryOption(t *testing.T) {
	help := addon.Help()
	typ := reflect.TypeFor[addon.Options]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := f.Tag.Get("env")
		if name == "-" {
			continue
		}
		want := strings.ToLower(name)
		if f.Tag.Get("only") == "env" {
			want = addon.Prefix + name
		}
		if !strings.Contains(help, fmt.Sprintf("\n  %-36s %s", want, f.Tag.Get("help"))) {
			t.Errorf("%s is missing, or without its help", want)
		}
		if d := f.Tag.Get("envDefault"); d != "" && !strings.Contains(help, d) {
			t.Errorf("%s: its default %s is not told", want, d)
		}
	}
	if !strings.Contains(help, "SUPERVISOR_TOKEN") {
		t.Error("SUPERVISOR_TOKEN is missing")
	}
}
