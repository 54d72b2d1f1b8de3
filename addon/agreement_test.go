package addon_test

import (
	"encoding/json"
	"fmt"
	"go/version"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"tunnelmedic/addon"
	"tunnelmedic/internal/policy"
)

// languages that every option is explained in.
var languages = []string{"de", "en", "es", "fr", "nl"}

// option is one of the form, as the tags of addon.Options tell it.
type option struct {
	name   string
	def    any // as it stands in options.json; nil: none
	many   bool
	secret bool
	low    int
	high   int
	ranged bool
}

func formOptions() []option {
	var list []option
	t := reflect.TypeFor[addon.Options]()
	for i := range t.NumField() {
		f := t.Field(i)
		env := f.Tag.Get("env")
		if env == "" || env == "-" || f.Tag.Get("only") == "env" {
			continue
		}
		o := option{name: strings.ToLower(env), many: f.Type.Kind() == reflect.Slice, secret: f.Tag.Get("secret") != ""}
		if _, err := fmt.Sscanf(f.Tag.Get("range"), "%d,%d", &o.low, &o.high); err == nil {
			o.ranged = true
		}
		if d := f.Tag.Get("envDefault"); d != "" {
			switch {
			case o.many:
				o.def = strings.Split(d, ",")
			case f.Type == reflect.TypeFor[time.Duration]():
				n, _ := time.ParseDuration(d)
				o.def = int(n / map[string]time.Duration{"s": time.Second, "h": time.Hour}[f.Tag.Get("unit")])
			case f.Type.Kind() == reflect.Int:
				o.def, _ = strconv.Atoi(d)
			default:
				o.def = d
			}
		}
		list = append(list, o)
	}
	return list
}

// same compares values that came from YAML with such from tags.
func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// disagreements says in one sentence each what stands in one of the files and is
// missing, or stands otherwise, in another.
func disagreements(t *testing.T, f files) []string {
	t.Helper()
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	c := f.config(t)
	options := formOptions()
	known := map[string]option{}
	for _, o := range options {
		known[o.name] = o
	}

	for _, o := range options {
		schema, ok := c.Schema[o.name]
		if !ok {
			say("option %s stands in addon/options.go and is missing in config.yaml under schema", o.name)
			continue
		}
		typ, many, err := elementOf(schema)
		if err != nil {
			say("option %s: config.yaml, schema: %v", o.name, err)
			continue
		}
		if many != o.many {
			say("option %s is a list either in addon/options.go or in config.yaml under schema, not in both", o.name)
		}
		if o.secret != (typ.name == "password") {
			say("option %s: secret is %v in addon/options.go, but its type in config.yaml is %s", o.name, o.secret, typ.name)
		}
		if o.ranged && (typ.low == nil || typ.high == nil || int(*typ.low) != o.low || int(*typ.high) != o.high) {
			say("option %s goes from %d to %d in addon/options.go, but not in config.yaml under schema", o.name, o.low, o.high)
		}
		def, ok := c.Options[o.name]
		switch {
		case o.def != nil && !ok:
			say("option %s has a default in addon/options.go that is missing in config.yaml under options", o.name)
		case o.def == nil && ok:
			say("option %s has a default in config.yaml under options that is missing in addon/options.go", o.name)
		case ok && !same(def, o.def):
			say("option %s has the default %v in addon/options.go and %v in config.yaml", o.name, o.def, def)
		}
		if typ.optional == (o.def != nil) {
			say(`option %s: in config.yaml a type ends in "?" exactly if the option has no default`, o.name)
		}
	}
	for _, key := range sorted(c.Schema) {
		if _, ok := known[key]; !ok {
			say("option %s stands in config.yaml under schema and is missing in addon/options.go", key)
		}
	}
	for _, key := range sorted(c.Options) {
		_, form := c.Schema[key]
		if _, ok := known[key]; !ok && !form {
			say("option %s stands in config.yaml under options and is missing in addon/options.go", key)
		}
	}

	found = append(found, translationDisagreements(f, options, known)...)
	found = append(found, docsDisagreements(f["DOCS.md"], options, known)...)
	found = append(found, imageDisagreements(t, f, c)...)
	sort.Strings(found)
	return found
}

type translation struct {
	Configuration map[string]struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
	} `yaml:"configuration"`
	Network map[string]string `yaml:"network"` // what a port is for
}

func translationDisagreements(f files, options []option, known map[string]option) (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	texts := f.languages()
	english := translation{}
	_ = yaml.Unmarshal([]byte(texts["en"]), &english)
	for _, lang := range languages {
		var tr translation
		if err := yaml.UnmarshalWithOptions([]byte(texts[lang]), &tr, yaml.Strict()); err != nil {
			say("translations/%s.yaml has something other than configuration with name and description: %v", lang, err)
			continue
		}
		for _, o := range options {
			text, ok := tr.Configuration[o.name]
			switch {
			case !ok:
				say("option %s stands in addon/options.go and is missing in translations/%s.yaml", o.name, lang)
			case text.Name == "" || text.Description == "":
				say("option %s has no name or no description in translations/%s.yaml", o.name, lang)
			case lang != "en" && text.Description == english.Configuration[o.name].Description:
				say("option %s is still explained in English in translations/%s.yaml", o.name, lang)
			}
		}
		for _, key := range sorted(tr.Configuration) {
			if _, ok := known[key]; !ok {
				say("option %s stands in translations/%s.yaml and is missing in addon/options.go", key, lang)
			}
		}
	}
	for _, lang := range sorted(texts) {
		if !slices.Contains(languages, lang) {
			say("translations/%s.yaml is a language that addon/agreement_test.go does not know", lang)
		}
	}
	return found
}

// supervisorTakes is RE_DOCKER_IMAGE_BUILD of Supervisor's apps/validate.py: no digest.
var supervisorTakes = regexp.MustCompile(`^([a-zA-Z\-.:\d{}]+/)*?([\-\w{}]+)/([\-\w{}]+)(:[.\-\w{}]+)?$`)

var (
	tableRow = regexp.MustCompile("^\\| `([a-z_]+)` \\| (.*?) \\| (.+) \\|$")
	codeSpan = regexp.MustCompile("`([^`]*)`")
)

// docsDisagreements reads the table of options in DOCS.md: the option, its
// default as code if it has one, what it does.
func docsDisagreements(docs string, options []option, known map[string]option) (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	_, table, ok := strings.Cut(docs, "| Option | Default |")
	if !ok {
		return []string{"DOCS.md has no table that begins with | Option | Default |"}
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if m := tableRow.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			rows[m[1]] = m[2]
		}
	}
	for _, o := range options {
		def, ok := rows[o.name]
		if !ok {
			say("option %s stands in addon/options.go and is missing in DOCS.md, table of options", o.name)
			continue
		}
		var shown []string
		for _, m := range codeSpan.FindAllStringSubmatch(def, -1) {
			shown = append(shown, m[1])
		}
		var want []string
		if o.many && o.def != nil {
			want = o.def.([]string)
		} else if o.def != nil {
			want = []string{fmt.Sprint(o.def)}
		}
		if !slices.Equal(shown, want) {
			say("option %s has the default %v in addon/options.go and %v in DOCS.md, table of options", o.name, want, shown)
		}
	}
	for _, key := range sorted(rows) {
		if _, ok := known[key]; !ok {
			say("option %s stands in DOCS.md, table of options, and is missing in addon/options.go", key)
		}
	}
	return found
}

const (
	binary  = "/usr/bin/tunnelmedic"
	noZones = "the Dockerfile's last stage does not end the build where the base image has no time zones, and the program has none of its own"
)

// imageDisagreements holds together what names the image, the binary and the version.
func imageDisagreements(t *testing.T, f files, c config) (found []string) {
	t.Helper()
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	var build struct {
		From map[string]string `yaml:"build_from"`
	}
	f.decode(t, "build.yaml", &build)
	docker := dockerfile(f["Dockerfile"])
	base, digest, pinned := strings.Cut(arg(docker, "BUILD_FROM"), "@sha256:")
	if !pinned || len(digest) != 64 {
		say("the Dockerfile's base image has no digest")
	}
	for _, arch := range c.Arch {
		from, ok := build.From[arch]
		switch {
		case !ok:
			say("architecture %s stands in config.yaml under arch and is missing in build.yaml under build_from", arch)
		case !supervisorTakes.MatchString(from):
			say("Supervisor does not take the base image for %s in build.yaml", arch)
		case from != base:
			say("the base image for %s is %s in build.yaml and %s in the Dockerfile", arch, from, base)
		}
	}
	for _, arch := range sorted(build.From) {
		if !slices.Contains(c.Arch, arch) {
			say("architecture %s stands in build.yaml under build_from and is missing in config.yaml under arch", arch)
		}
	}

	goMod := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(f["go.mod"])
	builder := regexp.MustCompile(`(?m)^FROM .*golang:([0-9.]+)-alpine@sha256:[0-9a-f]{64} `).FindStringSubmatch(f["Dockerfile"])
	if goMod == nil || builder == nil || version.Compare("go"+builder[1], "go"+goMod[1]) < 0 {
		say("the Dockerfile builds with an older Go than go.mod asks for, or one of them names none, or without a digest")
	}
	for _, label := range []string{`io.hass.type="app"`, `io.hass.version="${BUILD_VERSION}"`, `io.hass.arch="${BUILD_ARCH}"`} {
		if !strings.Contains(last(docker, "LABEL"), label) {
			say("the label %s is missing in the Dockerfile", label)
		}
	}
	if !strings.Contains(f["Dockerfile"], "-X main.version=${BUILD_VERSION}") {
		say("the Dockerfile does not put BUILD_VERSION into the binary's main.version")
	}
	for path, pattern := range map[string]string{
		"Dockerfile":     `(?m)^COPY --from=build \S+ ` + binary + `$`,
		"apparmor.txt":   `(?m)^  ` + binary + ` cx -> medic,$`,
		service + "/run": `(?m)^` + binary + ` run$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(f[path]) {
			say("%s does not name the binary %s where it should", path, binary)
		}
	}
	if !strings.Contains(last(docker, "HEALTHCHECK"), `"`+binary+`", "healthcheck"`) {
		say("the Dockerfile's health check does not run %s healthcheck", binary)
	}
	// What Docker 24, Supervisor's oldest, knows: parseHealthcheck in BuildKit's instructions/parse.go of that time.
	for _, m := range regexp.MustCompile(`--([a-z-]+)=`).FindAllStringSubmatch(last(docker, "HEALTHCHECK"), -1) {
		if !slices.Contains([]string{"interval", "timeout", "start-period", "retries"}, m[1]) {
			say("Docker 24 cannot build it: it knows no --%s of a health check", m[1])
		}
	}

	zones := slices.ContainsFunc(docker, func(i instruction) bool {
		return i.stage == docker[len(docker)-1].stage && i.name == "RUN" && regexp.MustCompile(`^test -f /usr/share/zoneinfo/\w+/\w+$`).MatchString(i.text)
	})
	if !zones {
		say(noZones)
	}

	kill, _ := strconv.Atoi(strings.TrimSpace(f[service+"/timeout-kill"]))
	if kill <= 0 || time.Duration(kill)*time.Millisecond >= time.Duration(c.Timeout)*time.Second {
		say("s6 kills the service after %d ms (%s/timeout-kill), which must be before Supervisor kills the container after %d s (config.yaml, timeout)", kill, service, c.Timeout)
	}
	if !regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(c.Version) + `$`).MatchString(f["CHANGELOG.md"]) {
		say("version %s stands in config.yaml and is missing in CHANGELOG.md as a heading", c.Version)
	}
	if names := profiles(f["apparmor.txt"]); !slices.Equal(names, []string{c.Slug}) {
		say("the slug in config.yaml is %s, but the profiles at the top of apparmor.txt are %v", c.Slug, names)
	}
	return found
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func TestOptionsTranslationsDocsAndImageAgree(t *testing.T) {
	for _, d := range disagreements(t, storeFiles(t)) {
		t.Error(d)
	}
}

// Each key taken out of each place must be missed, and said to be missing there.
func TestAMissingKeyIsNamedWithItsPlace(t *testing.T) {
	f := storeFiles(t)
	for _, o := range formOptions() {
		cases := map[string]struct {
			f    files
			want string
		}{
			"schema": {f.without(t, "config.yaml", `(?m)^  `+o.name+`:(?: (?:int|match|password|str|list|url)\(?.*\n|\n    - (?:list|match)\(.*\n)`),
				"option " + o.name + " stands in addon/options.go and is missing in config.yaml under schema"},
			"table": {f.without(t, "DOCS.md", "(?m)^\\| `"+o.name+"` .*\n"),
				"option " + o.name + " stands in addon/options.go and is missing in DOCS.md, table of options"},
		}
		if o.def != nil {
			cases["default"] = struct {
				f    files
				want string
			}{f.without(t, "config.yaml", `(?m)^  `+o.name+`:(?: .*\n|\n(?:    - .*\n)+)`), "option " + o.name + " has a default in addon/options.go that is missing in config.yaml under options"}
		}
		for _, lang := range languages {
			cases[lang] = struct {
				f    files
				want string
			}{f.without(t, "translations/"+lang+".yaml", `(?m)^  `+o.name+`:\n(?:    .*\n)+`), "option " + o.name + " stands in addon/options.go and is missing in translations/" + lang + ".yaml"}
		}
		for place, c := range cases {
			if got := disagreements(t, c.f); !slices.Equal(got, []string{c.want}) {
				t.Errorf("%s gone from %s: got %q, want only %q", o.name, place, got, c.want)
			}
		}
	}
}

func TestWhatStandsOnlyInOnePlaceOrOtherwiseIsNamed(t *testing.T) {
	f := storeFiles(t)
	for name, c := range map[string]struct {
		f    files
		want string
	}{
		"an option more in the schema":   {f.with(t, "config.yaml", `(?m)^schema:\n`, "schema:\n  colour: str?\n"), "option colour stands in config.yaml under schema and is missing in addon/options.go"},
		"a default more":                 {f.with(t, "config.yaml", `(?m)^options:\n`, "options:\n  public_url: https://ha.example.com\n"), "option public_url has a default in config.yaml under options that is missing in addon/options.go"},
		"a default of nothing":           {f.with(t, "config.yaml", `(?m)^options:\n`, "options:\n  colour: red\n"), "option colour stands in config.yaml under options and is missing in addon/options.go"},
		"another default":                {f.with(t, "config.yaml", `probe_interval: 120`, `probe_interval: 60`), "option probe_interval has the default 120 in addon/options.go and 60 in config.yaml"},
		"another range":                  {f.with(t, "config.yaml", `int\(15,3600\)`, `int(10,3600)`), "option probe_interval goes from 15 to 3600 in addon/options.go, but not in config.yaml under schema"},
		"a secret in the clear":          {f.with(t, "config.yaml", `ha_token: password\?`, `ha_token: str?`), "option ha_token: secret is true in addon/options.go, but its type in config.yaml is str"},
		"a default that may be left out": {f.with(t, "config.yaml", `int\(1,24\)`, `int(1,24)?`), `option max_restarts_per_day: in config.yaml a type ends in "?" exactly if the option has no default`},
		"an option more in a language":   {f.with(t, "translations/fr.yaml", `(?m)^configuration:\n`, "configuration:\n  colour:\n    name: a\n    description: b\n"), "option colour stands in translations/fr.yaml and is missing in addon/options.go"},
		"another default in the table":   {f.with(t, "DOCS.md", "`mode` \\| `heal`", "`mode` | `observe`"), "option mode has the default [heal] in addon/options.go and [observe] in DOCS.md, table of options"},
		"an architecture without base":   {f.without(t, "build.yaml", `(?m)^  aarch64:.*\n`), "architecture aarch64 stands in config.yaml under arch and is missing in build.yaml under build_from"},
		"a base without architecture":    {f.without(t, "config.yaml", `(?m)^  - amd64\n`), "architecture amd64 stands in build.yaml under build_from and is missing in config.yaml under arch"},
		"a profile of another name":      {f.with(t, "apparmor.txt", `(?m)^profile tunnelmedic`, `profile other`), "the slug in config.yaml is tunnelmedic, but the profiles at the top of apparmor.txt are [other]"},
		"a label gone":                   {f.without(t, "Dockerfile", `io\.hass\.arch=\S+ `), `the label io.hass.arch="${BUILD_ARCH}" is missing in the Dockerfile`},
		"a version without changelog":    {f.with(t, "config.yaml", `(?m)^version: .*$`, `version: "9.9.9"`), "version 9.9.9 stands in config.yaml and is missing in CHANGELOG.md as a heading"},
		"the binary elsewhere":           {f.with(t, "Dockerfile", `tunnelmedic /usr/bin/tunnelmedic`, `tunnelmedic /tunnelmedic`), "Dockerfile does not name the binary /usr/bin/tunnelmedic where it should"},
		"a health check's newer flag":    {f.with(t, "Dockerfile", `--retries`, `--start-interval=2s --retries`), "Docker 24 cannot build it: it knows no --start-interval of a health check"},
		"zones not looked for":           {f.without(t, "Dockerfile", `(?m)^RUN test .*\n`), noZones},
		"zones that may be missing":      {f.with(t, "Dockerfile", `Europe/Berlin`, `Europe/Berlin || true`), noZones},
		"zones of the builder":           {f.without(t, "Dockerfile", `(?m)^RUN test .*\n`).with(t, "Dockerfile", `(?m)^FROM \$\{BUILD_FROM\}`, "RUN test -f /usr/share/zoneinfo/Europe/Berlin\nFROM ${BUILD_FROM}"), noZones},
		"a digest in build.yaml":         {f.with(t, "build.yaml", `(?m)$(\n  amd64: )`, "@sha256:"+strings.Repeat("0", 64)+"\n  amd64: "), "Supervisor does not take the base image for aarch64 in build.yaml"},
		"a base without digest":          {f.without(t, "Dockerfile", `@sha256:[0-9a-f]+`), "the Dockerfile's base image has no digest"},
		"an older Go":                    {f.with(t, "Dockerfile", `golang:[0-9.]+`, `golang:1.20`), "the Dockerfile builds with an older Go than go.mod asks for, or one of them names none, or without a digest"},
	} {
		if got := disagreements(t, c.f); !slices.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := disagreements(t, f.with(t, "build.yaml", `amd64: \S+`, "amd64: example/base:1")); len(got) != 1 || !strings.HasPrefix(got[0], "the base image for amd64 is example/base:1 in build.yaml and ") {
		t.Errorf("another base image: got %q", got)
	}
}

// What the form lets through, the program starts with; what is out of the form's
// bounds, the program refuses too.
func TestTheFormAndTheProgramAcceptTheSame(t *testing.T) {
	c := storeFiles(t).config(t)
	starts := func(values map[string]any) error {
		path := filepath.Join(t.TempDir(), "options.json")
		raw, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := addon.LoadOptions([]string{"TUNNELMEDIC_OPTIONS_FILE=" + path})
		if len(warnings) > 0 {
			return fmt.Errorf("warnings: %q", warnings)
		}
		return err
	}
	if err := starts(c.Options); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	good := map[string][]any{
		"public_url":           {"", "https://ha.example.com", "https://ha.example.com/", "https://ha.example.com:8443", "https://[2001:db8::1]"},
		"also_watch":           {"https://apps.example.com", "https://web.example.com:8443/"},
		"cloudflared_slug":     {"", "9074a9fa_cloudflared", "local_cloudflared"},
		"ha_token":             {"", "eyJhbGciOiJIUzI1NiJ9.e30.x"},
		"access_client_id":     {"0123456789abcdef.access"},
		"access_client_secret": {"0123456789abcdef"},
		"client_certificate":   {"client.crt", "tunnel/client.pem", "/ssl/client.crt"},
		"client_key":           {"client.key"},
		"notify":               {"mobile_app_pixel", "everyone"},
		"cloudflare_api_token": {"", "0123456789"},
	}
	bad := map[string][]any{
		"public_url":         {"ha.example.com", "http://ha.example.com", "https://ha.example.com/lovelace", "https://me:secret@ha.example.com", "https://ha.example.com?x=1", " https://ha.example.com"},
		"also_watch":         {"apps.example.com", "http://apps.example.com", "https://apps.example.com/lovelace", "https://me:secret@apps.example.com"},
		"cloudflared_slug":   {"the cloudflared one", "a/b"},
		"access_client_id":   {"CF-Access-Client-Id: 0123.access"},
		"client_certificate": {"../data/options.json", "a/../../b", "/etc/passwd", "a//b", ".hidden"},
		"client_key":         {"../key", "/data/key"},
		"notify":             {"notify.mobile_app_pixel", "Mobile App"},
		"protocols":          {"QUIC", "http3", ""},
		"mode":               {"Heal", ""},
		"log_level":          {"warn", "fatal"},
	}
	pairs := map[string]string{"access_client_id": "access_client_secret", "access_client_secret": "access_client_id", "client_certificate": "client_key", "client_key": "client_certificate"}
	for _, o := range formOptions() {
		typ, many, err := elementOf(c.Schema[o.name])
		if err != nil {
			t.Fatal(err)
		}
		for _, choice := range typ.choices {
			good[o.name] = append(good[o.name], choice)
		}
		if o.ranged {
			good[o.name] = append(good[o.name], o.low, o.high)
			bad[o.name] = append(bad[o.name], o.low-1, o.high+1)
		}
		if len(good[o.name]) == 0 {
			t.Errorf("%s: nothing is tried", o.name)
		}
		for _, v := range good[o.name] {
			if err := typ.accepts(v); err != nil {
				t.Errorf("%s: the form refuses %v: %v", o.name, v, err)
			}
			value := v
			if many {
				value = []any{v}
			}
			values := map[string]any{o.name: value}
			if other := pairs[o.name]; other != "" {
				values[other] = good[other][0]
			}
			if err := starts(values); err != nil {
				t.Errorf("%s: the form accepts %v and the program does not: %v", o.name, v, err)
			}
		}
		for _, v := range bad[o.name] {
			if typ.accepts(v) == nil {
				t.Errorf("%s: the form accepts %v", o.name, v)
			}
			if o.ranged && starts(map[string]any{o.name: v}) == nil {
				t.Errorf("%s: the program accepts %v and the form does not", o.name, v)
			}
		}
	}
}

// The form shows a name for each option and never its key, so the manual says both.
func TestDocsNameEachOptionAsTheFormDoes(t *testing.T) {
	files := storeFiles(t)
	form := regexp.MustCompile(`(?m)^  ([a-z_]+):\n    name: (.+)$`).FindAllStringSubmatch(files["translations/en.yaml"], -1)
	if len(form) < 15 {
		t.Fatalf("the form has %d options", len(form))
	}
	for _, m := range form {
		if row := regexp.MustCompile("(?m)^\\| `" + m[1] + "` \\| [^|]* \\| \\*\\*(.+?)\\.\\*\\* ").FindStringSubmatch(files["DOCS.md"]); len(row) != 2 || row[1] != m[2] {
			t.Errorf("DOCS.md, table of options: %s is %q in the form, and %q there", m[1], m[2], row)
		}
	}
}

// english are the words that people read.
func english(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "internal", "words", "en.json"))
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal(raw, &said); err != nil {
		t.Fatal(err)
	}
	return said
}

// The word on the page, then the name in automations.
func TestDocsExplainEveryState(t *testing.T) {
	docs, said := storeFiles(t)["DOCS.md"], english(t)
	for _, state := range []policy.Phase{policy.Starting, policy.Healthy, policy.Suspect, policy.Treating, policy.Holding, policy.Blind, policy.Observing, policy.Paused} {
		if row := fmt.Sprintf("\n| **%s** | `%s` | ", said["state."+state.String()], state); !strings.Contains(docs, row) {
			t.Errorf("DOCS.md, table of states, has no row %q", row)
		}
	}
}

// The table of entities has each by the name that people see.
func TestDocsNameEveryEntity(t *testing.T) {
	docs := storeFiles(t)["DOCS.md"]
	for key, name := range english(t) {
		if strings.HasPrefix(key, "entity.") && key != "entity.model" && !strings.Contains(docs, fmt.Sprintf("` | %s | ", name)) {
			t.Errorf("DOCS.md, table of entities, lacks %s", name)
		}
	}
}

// Each notification that the program composes has its row, which says truly whether a phone
// rings; and no row tells of one that there is not.
func TestDocsExplainEveryNotification(t *testing.T) {
	docs, said := storeFiles(t)["DOCS.md"], english(t)
	code, err := os.ReadFile(filepath.Join(root, "internal", "notify", "compose.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(docs, "\n| Title | When | Phone | What to do |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]int{}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 {
			t.Fatalf("not four cells: %s", line)
		}
		rows[strings.TrimPrefix(cells[0], "| ")+": "+cells[2][:2]]++
	}
	said["notify.address.title"] = strings.Replace(fmt.Sprint(said["notify.address.title"]), "{address}", "*address*", 1)
	// One is sent by a button, the other of a further address (also.go).
	want := map[string]int{fmt.Sprint(said["notify.test.title"], ": Ye"): 1, fmt.Sprint(said["notify.address.title"], ": Ye"): 1}
	for _, m := range regexp.MustCompile(`Title: c\.Say\("(notify\.[a-z-]+\.title)"\)[^\n]*`).FindAllSubmatch(code, -1) {
		rings := ": No"
		if strings.Contains(string(m[0]), "rings: ") {
			rings = ": Ye"
		}
		want[fmt.Sprint(said[string(m[1])], rings)]++
	}
	for key, title := range said {
		if strings.HasPrefix(key, "notify.") && strings.HasSuffix(key, ".title") && want[fmt.Sprint(title, ": No")]+want[fmt.Sprint(title, ": Ye")] == 0 {
			t.Errorf("nothing composes %s: has compose.go another form now?", key)
		}
	}
	if !maps.Equal(rows, want) {
		t.Errorf("DOCS.md, table of notifications, has the rows %v; the program composes %v", rows, want)
	}
}

func TestLinksWithinTheDocsLeadSomewhere(t *testing.T) {
	docs := storeFiles(t)["DOCS.md"]
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(docs, -1) {
		kept := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors[strings.ReplaceAll(kept, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(docs, -1)
	if len(links) == 0 {
		t.Fatal("no links found: the pattern is wrong")
	}
	for _, m := range links {
		if !anchors[m[1]] {
			t.Errorf("DOCS.md links to #%s, which is no heading", m[1])
		}
	}
}

func TestDOCSNamesEveryStep(t *testing.T) {
	docs := storeFiles(t)["DOCS.md"]
	for kind := policy.StepSuspected; kind.String() != "unknown"; kind++ {
		if !regexp.MustCompile("(?m)^\\|.*`" + kind.String() + "`.*\\|.*\\|$").MatchString(docs) {
			t.Errorf("DOCS.md does not name the step %s", kind)
		}
	}
}
