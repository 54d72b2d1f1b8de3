package addon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// Prefix begins every environment variable of the program but SUPERVISOR_TOKEN.
const Prefix = "TUNNELMEDIC_"

// Options is what the user (the app's options) and the developer (environment only)
// can set. The tags are the single source for reading, for checking, for --help,
// and for the test that holds the form, its translations and the documentation
// against this struct:
//
//	env      name behind TUNNELMEDIC_; in lower case, the name in options.json
//	unit     what a whole number in options.json counts: s or h
//	range    least and greatest number in options.json; in the environment any positive duration goes
//	allowed  what to say when a value is not
//	help     one line for --help
//	secret   the value never reaches a log, a page or an error
//	only     "env": not an option of the form
type Options struct {
	PublicURL          string              `env:"PUBLIC_URL" allowed:"https://your-home.example.com, without a path" help:"address of Home Assistant as seen from outside; detected automatically"`
	AlsoWatch          []string            `env:"ALSO_WATCH" allowed:"a list of addresses like https://apps.example.com" help:"further public addresses of the same Home Assistant: watched and shown"`
	CloudflaredSlug    string              `env:"CLOUDFLARED_SLUG" allowed:"an app's slug, e.g. 9074a9fa_cloudflared" help:"the app to watch; detected automatically"`
	Mode               Mode                `env:"MODE" envDefault:"heal" allowed:"heal, ask or observe" help:"heal; ask: each restart waits for your yes; observe: everything but acting"`
	Protocols          []evidence.Protocol `env:"PROTOCOLS" envDefault:"auto,quic,http2" allowed:"a list of auto, quic, http2" help:"protocols that may be tried"`
	ProbeInterval      time.Duration       `env:"PROBE_INTERVAL" envDefault:"120s" unit:"s" range:"15,3600" allowed:"15 to 3600 seconds" help:"time between probes while all is well"`
	AccessClientID     string              `env:"ACCESS_CLIENT_ID" allowed:"the Client ID of a Cloudflare Access service token" help:"Cloudflare Access service token, its id"`
	AccessClientSecret string              `env:"ACCESS_CLIENT_SECRET" secret:"true" allowed:"the Client Secret of a Cloudflare Access service token" help:"Cloudflare Access service token, its secret"`
	ClientCertificate  string              `env:"CLIENT_CERTIFICATE" allowed:"a file name under /ssl" help:"client certificate for mutual TLS, a file under /ssl"`
	ClientKey          string              `env:"CLIENT_KEY" allowed:"a file name under /ssl" help:"its key, a file under /ssl"`
	HAToken            string              `env:"HA_TOKEN" secret:"true" allowed:"a long-lived access token" help:"long-lived token: the probe signs in, so Home Assistant logs no warning"`
	MaxRestartsPerDay  int                 `env:"MAX_RESTARTS_PER_DAY" envDefault:"6" range:"1,24" allowed:"1 to 24" help:"restarts of the tunnel in 24 hours, at most"`
	FailbackHours      time.Duration       `env:"FAILBACK_HOURS" envDefault:"24h" unit:"h" range:"0,720" allowed:"0 (never) to 720 hours" help:"when to try your own protocol again after a cure; 0 = never"`
	Notify             []string            `env:"NOTIFY" allowed:"a list of notify services, e.g. mobile_app_pixel" help:"notify services to call too"`
	CloudflareAPIToken string              `env:"CLOUDFLARE_API_TOKEN" secret:"true" allowed:"a read-only Cloudflare API token" help:"lets it see zone settings, tunnel connections, rule pushes"`
	LogLevel           LogLevel            `env:"LOG_LEVEL" envDefault:"info" allowed:"trace, debug, info, warning or error" help:"how much is written to the log"`

	SupervisorURL       string         `env:"SUPERVISOR_URL" envDefault:"http://supervisor" only:"env" help:"base of the Supervisor API"`
	OptionsFile         string         `env:"OPTIONS_FILE" envDefault:"/data/options.json" only:"env" help:"the app's options"`
	DataDir             string         `env:"DATA_DIR" envDefault:"/data" only:"env" help:"folder for what must survive a restart"`
	Listen              string         `env:"LISTEN" envDefault:":8099" only:"env" help:"address of the ingress page"`
	MetricsListen       string         `env:"METRICS_LISTEN" envDefault:":9107" only:"env" help:"address of /metrics for Prometheus, whose port the app keeps closed until you open it; off: none"`
	IngressPeer         []netip.Addr   `env:"INGRESS_PEER" envDefault:"172.30.32.2" only:"env" allowed:"IP addresses" help:"addresses that may talk to the page"`
	ConnectorURL        string         `env:"CONNECTOR_URL" only:"env" help:"cloudflared's metrics server; http://<hostname>:36500"`
	QUICEdge            netip.AddrPort `env:"QUIC_EDGE" only:"env" allowed:"an IP address with a port" help:"where a QUIC handshake is tried, to see whether QUIC gets through; the edge that the connector is connected to, or nobody with CONNECTOR_URL"`
	OriginURL           string         `env:"ORIGIN_URL" only:"env" help:"Home Assistant on the internal network; found from Core"`
	CAFile              string         `env:"CA_FILE" only:"env" help:"extra certificate authorities for the public probe and Cloudflare's edge (PEM)"`
	CloudflareAPIURL    string         `env:"CLOUDFLARE_API_URL" envDefault:"https://api.cloudflare.com/client/v4" only:"env" help:"base of Cloudflare's API"`
	CloudflareStatusURL string         `env:"CLOUDFLARE_STATUS_URL" envDefault:"https://www.cloudflarestatus.com/api/v2" only:"env" help:"base of Cloudflare's status page"`
	DoHURL              string         `env:"DOH_URL" envDefault:"https://1.1.1.1/dns-query" only:"env" help:"DNS-over-HTTPS server, asked when the house answers for the public name"`
	LogFormat           LogFormat      `env:"LOG_FORMAT" envDefault:"console" only:"env" allowed:"console or json" help:"form of the log"`
	BurstInterval       time.Duration  `env:"BURST_INTERVAL" envDefault:"2s" only:"env" help:"between probes while something is suspected; down to an eighth of it while they fail"`
	SensorInterval      time.Duration  `env:"SENSOR_INTERVAL" envDefault:"4s" only:"env" help:"between readings of the connector's counters"`
	MinUptime           time.Duration  `env:"MIN_UPTIME" envDefault:"2m" only:"env" help:"how long the tunnel must have been up before it may be restarted"`
	SettleTimeout       *time.Duration `env:"SETTLE_TIMEOUT" only:"env" help:"how long a restarted tunnel may take to connect; 60s, for auto 150s"`
	HoldBase            time.Duration  `env:"HOLD_BASE" envDefault:"30m" only:"env" help:"first pause after a treatment that did not help; doubles up to twelve times itself"`
	ProbeTimeout        time.Duration  `env:"PROBE_TIMEOUT" envDefault:"10s" only:"env" help:"how long a probe waits"`
	Patience            float64        `env:"PATIENCE" envDefault:"1" only:"env" allowed:"a number above 0" help:"multiplies how long Supervisor is waited for"`

	// SupervisorToken changes at every start of the app and is never stored.
	SupervisorToken string `env:"-"`
}

// Mode is whether the program acts on what it finds.
type Mode string

const (
	Heal    Mode = "heal"
	Ask     Mode = "ask"
	Observe Mode = "observe"
)

// UnmarshalText reads heal, ask or observe.
func (m *Mode) UnmarshalText(b []byte) error { return oneOf(m, b, Heal, Ask, Observe) }

// LogFormat is the form of the log: console for people, json for machines.
type LogFormat string

const (
	Console LogFormat = "console"
	JSON    LogFormat = "json"
)

// UnmarshalText reads console or json.
func (f *LogFormat) UnmarshalText(b []byte) error { return oneOf(f, b, Console, JSON) }

// LogLevel is how much is written to the log.
type LogLevel zerolog.Level

// UnmarshalText takes the words of the form, and zerolog's own "warn".
func (l *LogLevel) UnmarshalText(b []byte) error {
	word := string(b)
	if word == "warning" {
		word = "warn"
	}
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, word) {
		return fmt.Errorf("%q is no log level", b)
	}
	level, err := zerolog.ParseLevel(word)
	*l = LogLevel(level)
	return err
}

func oneOf[T ~string](to *T, b []byte, choices ...T) error {
	if !slices.Contains(choices, T(b)) {
		return fmt.Errorf("%q is not one of %v", b, choices)
	}
	*to = T(b)
	return nil
}

// OptionError is a setting that the program cannot start with.
type OptionError struct {
	Option  string // as the user knows it
	Value   string // as given; empty where it is a secret
	Allowed string
	Where   string // the options file, or the environment variable
}

func (e *OptionError) Error() string {
	value := ""
	if e.Value != "" {
		value = fmt.Sprintf(" %q", e.Value)
	}
	return fmt.Sprintf("option %s:%s is not allowed (%s); allowed is %s", e.Option, value, e.Where, e.Allowed)
}

// LoadOptions reads the options file named in the environment, lays the
// environment over it, and checks everything. Warnings are what the program can
// start with but the user should know, such as an option nobody knows.
func LoadOptions(environ []string) (o Options, warnings []string, err error) {
	set := map[string]string{}
	for _, e := range environ {
		if k, v, _ := strings.Cut(e, "="); strings.TrimSpace(v) != "" {
			set[k] = strings.TrimSpace(v)
		}
	}
	file := set[Prefix+"OPTIONS_FILE"]
	if file == "" {
		file = "/data/options.json"
	}
	merged, warnings, err := readOptionsFile(file)
	if err != nil {
		return o, nil, err
	}
	for k, v := range set {
		if strings.HasPrefix(k, Prefix) {
			if _, known := fieldNamed(strings.ToLower(strings.TrimPrefix(k, Prefix))); !known {
				warnings = append(warnings, fmt.Sprintf("the environment variable %s is not one this program knows; it is ignored", k))
			}
			merged[k] = v
		}
	}
	sort.Strings(warnings)
	if err := parse(&o, merged, set, file); err != nil {
		return o, nil, err
	}
	o.SupervisorToken = set["SUPERVISOR_TOKEN"]
	return o, warnings, o.check(set, file)
}

// parse fills the struct and turns the library's error into the user's terms.
func parse(o *Options, merged, set map[string]string, file string) error {
	err := env.ParseWithOptions(o, env.Options{Environment: merged, Prefix: Prefix})
	if err == nil {
		return nil
	}
	var p env.ParseError
	if errors.As(err, &p) {
		if f, ok := reflect.TypeFor[Options]().FieldByName(p.Name); ok {
			return badValue(f, merged[Prefix+f.Tag.Get("env")], set, file)
		}
	}
	return fmt.Errorf("reading the settings: %w", err)
}

func badValue(f reflect.StructField, value string, set map[string]string, file string) error {
	e := &OptionError{Option: optionName(f), Value: value, Allowed: f.Tag.Get("allowed"), Where: file}
	if _, ok := set[Prefix+f.Tag.Get("env")]; ok {
		e.Where = "environment variable " + Prefix + f.Tag.Get("env")
	}
	if f.Tag.Get("secret") != "" || e.Option == "public_url" {
		e.Value = "" // a URL may hold a password
	}
	if f.Type == reflect.TypeFor[time.Duration]() || f.Type == reflect.TypeFor[*time.Duration]() {
		if e.Where != file {
			e.Allowed = "a time with its unit, such as 90s, 2m or 24h"
		}
	}
	if e.Allowed == "" {
		e.Allowed = "another value; see --help"
	}
	return e
}

// readOptionsFile turns the options file into environment variables. A file that
// is not there means defaults: that is how the program runs outside Supervisor.
func readOptionsFile(file string) (map[string]string, []string, error) {
	vars := map[string]string{}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return vars, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the options file cannot be read: %w", err)
	}
	var given map[string]any
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, nil, fmt.Errorf("the options file %s is not a JSON object (%v); save the app's configuration again", file, position(raw, err))
	}
	var warnings []string
	for key, v := range given {
		f, ok := fieldNamed(key)
		if !ok || f.Tag.Get("only") == "env" {
			warnings = append(warnings, fmt.Sprintf("the option %s in %s is not one this program knows; it is ignored", key, file))
			continue
		}
		if v == nil || v == "" {
			continue // unset
		}
		text, ok := optionText(f, v)
		if !ok {
			shown, _ := json.Marshal(v)
			return nil, nil, badValue(f, string(shown), nil, file)
		}
		if text != "" {
			vars[Prefix+f.Tag.Get("env")] = text
		}
	}
	return vars, warnings, nil
}

// position says where a JSON error is, without quoting the file: it may hold secrets.
func position(raw []byte, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("broken at byte %d of %d", syntax.Offset, len(raw))
	}
	return "it holds something else"
}

// optionText gives a JSON value as the environment would hold it. It is strict
// about types: Supervisor's schema lets no others through.
func optionText(f reflect.StructField, v any) (string, bool) {
	switch f.Type.Kind() {
	case reflect.Int, reflect.Int64:
		n, ok := v.(float64)
		if !ok || n != math.Trunc(n) || !inRange(f, n) {
			return "", false
		}
		return fmt.Sprintf("%.0f%s", n, f.Tag.Get("unit")), true
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return "", false
		}
		var parts []string
		for _, x := range list {
			s, ok := x.(string)
			if x != nil && !ok || strings.Contains(s, ",") {
				return "", false
			}
			if s = strings.TrimSpace(s); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, ","), true
	default:
		s, ok := v.(string)
		return strings.TrimSpace(s), ok
	}
}

func inRange(f reflect.StructField, n float64) bool {
	var low, high float64
	if _, err := fmt.Sscanf(f.Tag.Get("range"), "%g,%g", &low, &high); err != nil {
		return true
	}
	return low <= n && n <= high
}

// check holds the values against what no type can say.
func (o *Options) check(set map[string]string, file string) error {
	bad := func(name, value string) error {
		f, _ := fieldNamed(name)
		return badValue(f, value, set, file)
	}
	if o.PublicURL != "" {
		if _, err := probe.CheckURL(o.PublicURL); err != nil {
			return fmt.Errorf("option public_url: %w", err)
		}
	}
	if _, err := o.addresses(); err != nil {
		return err
	}
	if slices.Contains(o.Protocols, evidence.Default) || len(o.Protocols) == 0 {
		return bad("protocols", "")
	}
	if o.MaxRestartsPerDay < 1 || o.MaxRestartsPerDay > 24 {
		return bad("max_restarts_per_day", fmt.Sprint(o.MaxRestartsPerDay))
	}
	for _, pair := range [][4]string{
		{"access_client_id", o.AccessClientID, "access_client_secret", o.AccessClientSecret},
		{"client_certificate", o.ClientCertificate, "client_key", o.ClientKey},
	} {
		if (pair[1] == "") != (pair[3] == "") {
			return fmt.Errorf("options %s and %s go together: give both, or none", pair[0], pair[2])
		}
	}
	if err := o.checkSpans(bad); err != nil {
		return err
	}
	return o.checkURLs()
}

// mostAddresses are watched beside the main one, at most: each is a check more.
const mostAddresses = 8

// addresses are the further ones to watch. The error is one line, and repeats no value: a URL
// may hold a password.
func (o *Options) addresses() (list []*url.URL, err error) {
	seen := map[string]bool{}
	if u, err := probe.CheckURL(o.PublicURL); err == nil {
		seen[u.Host] = true
	}
	for i, text := range o.AlsoWatch {
		u, err := probe.CheckURL(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("option also_watch, number %d: %w", i+1, err)
		case seen[u.Host]:
			return nil, fmt.Errorf("option also_watch: %s is named twice, here or as public_url; name it once", u)
		case i >= mostAddresses:
			return nil, fmt.Errorf("option also_watch: at most %d addresses can be watched beside the main one", mostAddresses)
		}
		seen[u.Host] = true
		list = append(list, u)
	}
	return list, nil
}

// checkSpans holds what is a time, or multiplies times, against what it may be.
func (o *Options) checkSpans(bad func(name, value string) error) error {
	for name, d := range map[string]time.Duration{"probe_interval": o.ProbeInterval, "burst_interval": o.BurstInterval, "sensor_interval": o.SensorInterval,
		"hold_base": o.HoldBase, "probe_timeout": o.ProbeTimeout} {
		if d <= 0 {
			return bad(name, d.String())
		}
	}
	if o.MinUptime < 0 || o.FailbackHours < 0 || (o.SettleTimeout != nil && *o.SettleTimeout <= 0) {
		return fmt.Errorf("min_uptime, failback_hours and settle_timeout cannot be negative")
	}
	if !(o.Patience > 0 && o.Patience <= 10) {
		return bad("patience", fmt.Sprint(o.Patience))
	}
	return nil
}

// checkURLs holds the addresses that the environment names against what can be asked.
func (o *Options) checkURLs() error {
	for name, s := range map[string]string{"supervisor_url": o.SupervisorURL, "connector_url": o.ConnectorURL, "origin_url": o.OriginURL, "doh_url": o.DoHURL,
		"cloudflare_api_url": o.CloudflareAPIURL, "cloudflare_status_url": o.CloudflareStatusURL} {
		if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
			return fmt.Errorf("%s%s is not a URL like http://host:port", Prefix, strings.ToUpper(name))
		}
	}
	return nil
}

// secrets lists the values that must never be shown.
func (o *Options) secrets() []string {
	list := []string{o.SupervisorToken}
	v := reflect.ValueOf(o).Elem()
	for f := range fields() {
		if f.Tag.Get("secret") != "" {
			list = append(list, v.FieldByIndex(f.Index).String())
		}
	}
	return list
}

// sslPath gives a file under /ssl; a name that leads out of it is cut to its base.
func sslPath(name string) string {
	return filepath.Join("/ssl", filepath.Clean("/"+strings.TrimPrefix(name, "/ssl/")))
}

func fields() func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		t := reflect.TypeFor[Options]()
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("env") != "-" && !yield(f) {
				return
			}
		}
	}
}

func optionName(f reflect.StructField) string { return strings.ToLower(f.Tag.Get("env")) }

func fieldNamed(option string) (reflect.StructField, bool) {
	for f := range fields() {
		if optionName(f) == option {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// Help lists the options and environment variables, for --help.
func Help() string {
	var form, only strings.Builder
	for f := range fields() {
		line := func(name string) string {
			s := fmt.Sprintf("  %-36s %s", name, f.Tag.Get("help"))
			if d := f.Tag.Get("envDefault"); d != "" && !strings.Contains(f.Tag.Get("help"), d) {
				s += " (" + d + ")"
			}
			return s + "\n"
		}
		if f.Tag.Get("only") == "env" {
			only.WriteString(line(Prefix + f.Tag.Get("env")))
		} else {
			form.WriteString(line(optionName(f)))
		}
	}
	return "Options, in the app's configuration or as " + Prefix + "<OPTION IN CAPITALS> in the environment, which wins\n" +
		"(times there with a unit: " + Prefix + "PROBE_INTERVAL=2m):\n" + form.String() +
		"\nEnvironment only, for development and tests:\n  " + fmt.Sprintf("%-36s %s\n", "SUPERVISOR_TOKEN", "given by Supervisor at every start") + only.String()
}
