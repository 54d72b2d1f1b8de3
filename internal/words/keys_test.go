package words_test

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

var update = flag.Bool("update", false, "write testdata/en.txt anew")

// used gives the keys that the program names in its sources, each with a place where it
// does, and the names of the values that it hands over there, where they are written out.
func used(t *testing.T) (at map[words.Key]string, with map[words.Key][][]string) {
	t.Helper()
	at, with = map[words.Key]string{}, map[words.Key][][]string{}
	files := token.NewFileSet()
	isKey := regexp.MustCompile(`^[a-z]+(\.[a-z0-9-]+)+$`)
	known := words.Keys()
	family := map[string]bool{}
	for _, k := range known {
		first, _, _ := strings.Cut(string(k), ".")
		family[first] = true
	}
	for _, top := range []string{"addon", "cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					s, err := strconv.Unquote(n.Value)
					first, _, _ := strings.Cut(s, ".")
					if err == nil && n.Kind == token.STRING && isKey.MatchString(s) && family[first] && filepath.Ext(s) != ".json" {
						at[words.Key(s)] = files.Position(n.Pos()).String()
					}
				case *ast.CallExpr:
					noteValues(n, with)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return at, with
}

// noteValues notes the names of the values of a call such as Say("key", With{"name": …}).
func noteValues(call *ast.CallExpr, with map[words.Key][][]string) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	if !slices.Contains([]string{"Say", "List", "say"}, name) || len(call.Args) == 0 {
		return
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		return
	}
	key, _ := strconv.Unquote(lit.Value)
	var names []string
	if len(call.Args) > 1 {
		values, ok := call.Args[1].(*ast.CompositeLit)
		if !ok {
			return // made elsewhere
		}
		for _, e := range values.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if k, ok := kv.Key.(*ast.BasicLit); ok {
					s, _ := strconv.Unquote(k.Value)
					names = append(names, s)
				}
			}
		}
	}
	slices.Sort(names)
	with[words.Key(key)] = append(with[words.Key(key)], names)
}

// ofCauses are the keys that are put together from a cause and its wording.
func ofCauses() map[words.Key]bool {
	keys := map[words.Key]bool{}
	for _, row := range diagnosis.Catalogue() {
		for _, kind := range []string{"summary", "advice", "basis"} {
			key := "cause." + row.ID + "." + kind
			keys[words.Key(key)] = true
			for _, v := range row.Variants {
				keys[words.Key(key+"."+v)] = true
			}
		}
	}
	return keys
}

var placeholder = regexp.MustCompile(`\{([^}]*)\}`)

// names gives the names of a text's placeholders.
func names(texts []string) []string {
	set := map[string]bool{}
	for _, text := range texts {
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			set[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func TestEveryKeyThatIsUsedHasASentenceAndEverySentenceAUse(t *testing.T) {
	at, _ := used(t)
	causes := ofCauses()
	known := map[words.Key]bool{}
	for _, key := range words.Keys() {
		known[key] = true
		if at[key] == "" && !causes[key] && !words.Composed(key) {
			t.Errorf("%q is used nowhere", key)
		}
	}
	for _, key := range words.Members() {
		if !known[key] {
			t.Errorf("there is no %q", key)
		}
	}
	for key, place := range at {
		if !known[key] {
			t.Errorf("%s: there is no %q", place, key)
		}
	}
	for _, row := range diagnosis.Catalogue() {
		for _, kind := range []string{"summary", "basis"} {
			if key := words.Key("cause." + row.ID + "." + kind); !known[key] {
				t.Errorf("there is no %q", key)
			}
		}
		for _, v := range row.Variants {
			if !slices.ContainsFunc([]string{"summary", "advice", "basis"}, func(kind string) bool { return known[words.Key("cause."+row.ID+"."+kind+"."+v)] }) {
				t.Errorf("%s has no words of its own for %q", row.ID, v)
			}
		}
	}
}

func TestThePlaceholdersAreThoseThatTheProgramFills(t *testing.T) {
	_, with := used(t)
	for key, calls := range with {
		want := names(words.Forms(key))
		for _, given := range calls {
			if !slices.Equal(given, want) {
				t.Errorf("%q names %q, and is given %q", key, want, given)
			}
		}
	}
}

// samples are values for the golden file, by the names of the placeholders.
var samples = words.With{
	"share": "99.87", "years": 12_000, "weekday": "Wed", "day": 25, "month": "Nov", "longmonth": "November", "year": "2026", "time": "18:04", "hour": "18",
	"before": "quic, auto", "last": "http2", "n": 3, "family": "IPv6", "summary": "Cloudflare does not answer at the public name.",
	"service": "http://homeassistant:8123", "here": "http://homeassistant:80", "status": 502, "settings": words.Text{Key: "settings.screen"},
	"reason": words.Text{Key: "forwarded.no-host"}, "brief": words.Count{N: 31, Of: "count.sockets"}, "logged": words.Count{N: 1, Of: "count.signins"},
	"part": words.Text{Key: "part.core"}, "was": "2026.10.3", "now": "2026.11.0",
	"changes": "Home Assistant went from 2026.10.3 to 2026.11.0, 12 minutes before", "setting": "http2", "own": "auto", "protocol": evidence.HTTP2,
	"state": words.Text{Key: "state.holding"}, "span": 2*time.Hour + 10*time.Minute, "ours": 18 * time.Second, "states": words.List{"healthy 23 h", "waiting 1 h"},
	"checks": words.Count{N: 4, Of: "count.checks"}, "failures": words.Count{N: 1, Of: "count.failures"}, "failed": 1, "cause": "upgrade-stripped",
	"moment": words.Moment{At: time.Date(2026, 11, 26, 18, 4, 0, 0, time.UTC)}, "places": "fra03, ams01", "budget": 6, "alarm": "9.2", "score": "3.0",
	"colo": "FRA", "transport": evidence.OverQUIC, "took": words.Millis(46), "why": words.Refused(policy.Refusal{Because: policy.UnderWay}),
	"lasted": 83 * time.Minute, "address": "https://ha.example.com", "restarts": words.Count{N: 1, Of: "count.restarts"}, "basis": "no answer to the check",
	"app": "9074a9fa_cloudflared", "apps": "9074a9fa_cloudflared, 396f0234_cloudflared", "instead": "local_cloudflared", "error": errors.New("it must begin with https://"),
	"gates": words.Gates([]policy.Gate{policy.GateInternet, policy.GateMode}), "step": "http2 is proven.", "services": "mobile_app_pixl", "names": "mobile_app_ipad, mobile_app_pixel",
	"other": evidence.Auto, "result": words.Text{Key: "result.still-fails"}, "over": words.Text{Key: "transport.unknown"},
	"lost": 4, "passed": 22, "lostbefore": 2, "earlier": words.Count{N: 2, Of: "count.checks"}, "until": words.Moment{At: time.Date(2026, 11, 25, 18, 40, 0, 0, time.UTC), How: words.HourAndMinute},
	"issuer": "Google Trust Services", "version": "2026.11.0", "by": evidence.Client(1), "what": words.Text{Key: "seen.log.lost"}, "detail": "crypto error",
	"trouble": words.Trouble(evidence.TimedOut), "script": "/frontend_latest/app.1a2b.js", "title": "502: Bad gateway",
	"onset": "2026-11-26 17:40:00 UTC", "end": "2026-11-26 18:40:00 UTC", "back": "2026-11-27 03:12:00 UTC", "at": "2026-11-26 18:04:00 UTC",
	"incident": "20260526T174000Z", "event": "Home Assistant Core went from 2026.10.3 to 2026.11.0", "impact": "minor", "link": "https://stspg.io/abc",
	"code": 9109, "right": "Zone → DNS → Read", "kind": "text/html",
	"good": words.Count{N: 12, Of: "count.checks"}, "since": words.Moment{At: time.Date(2026, 11, 25, 17, 40, 0, 0, time.UTC), How: words.HourAndMinute},
}

// Every sentence as it is said, with values as they may be: a change of wording is seen in
// review. Run go test ./internal/words -run Golden -update after a change.
func TestGoldenFileHoldsEverySentence(t *testing.T) {
	for _, key := range words.Keys() {
		for _, name := range names(words.Forms(key)) {
			if _, ok := samples[name]; !ok {
				t.Errorf("%s: there is no sample for {%s}", key, name)
			}
		}
	}
	for _, tag := range words.Tags {
		path, said := filepath.Join("testdata", tag+".txt"), all(tag)
		if *update {
			if err := os.WriteFile(path, []byte(said), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if golden, err := os.ReadFile(path); err != nil || string(golden) != said {
			t.Errorf("%s is not what is said now (%v): run go test ./internal/words -run Golden -update, and look at what changed", path, err)
		}
	}
}

// all is everything that a language says.
func all(tag string) string {
	var b strings.Builder
	l := words.In(tag)
	for _, key := range words.Keys() {
		if words.FormsIn(tag, key) == nil {
			continue
		}
		if list := l.List(key, samples); list != nil {
			for i, text := range list {
				fmt.Fprintf(&b, "%s %d: %s\n", key, i+1, text)
			}
			continue
		}
		with := maps.Clone(samples)
		fmt.Fprintf(&b, "%s: %s\n", key, l.Say(key, with))
		if len(words.FormsIn(tag, key)) == 2 {
			with["n"] = 1
			fmt.Fprintf(&b, "%s, one: %s\n", key, l.Say(key, with))
		}
	}
	return b.String()
}

// Every language says everything that people are told; what the log and reports alone
// say is English.
func TestEveryLanguageSaysEverything(t *testing.T) {
	for _, tag := range words.Tags {
		labels, err := os.ReadFile(filepath.Join("..", "..", "translations", tag+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range words.Keys() {
			en, own := words.Forms(key), words.FormsIn(tag, key)
			if own == nil {
				if k := string(key); !strings.HasPrefix(k, "log.") && !strings.HasPrefix(k, "report.") {
					t.Errorf("%s: there is no %q", tag, key)
				}
				continue
			}
			if len(words.English().List(key)) != len(words.In(tag).List(key)) {
				t.Errorf("%s: %q has %d steps, and %d in English", tag, key, len(own), len(en))
			}
			if !slices.Equal(names(en), names(own)) {
				t.Errorf("%s: %q names %q, and %q in English", tag, key, names(own), names(en))
			}
			if slices.Contains(own, "") {
				t.Errorf("%s: %q is empty", tag, key)
			}
			for _, text := range own {
				for _, m := range quoted.FindAllStringSubmatch(text, -1) {
					label := strings.TrimSpace(m[1] + m[2] + m[3])
					if strings.HasPrefix(string(key), "cause.") && !strings.Contains(string(labels), label) {
						t.Errorf("%s: %s: no field is called %q", tag, key, label)
					}
				}
			}
		}
		for _, key := range words.KeysIn(tag) {
			if words.Forms(key) == nil {
				t.Errorf("%s: %q is none of the English file", tag, key)
			}
		}
	}
	t.Log("\n" + table())
}

// table is how many sentences of each family each language has, and how large its file is:
// go test ./internal/words -run EveryLanguage -v
func table() string {
	var b strings.Builder
	row := func(name string, in func(tag string) int) {
		fmt.Fprintf(&b, "%-10s", name)
		for _, tag := range words.Tags {
			fmt.Fprintf(&b, "%7d", in(tag))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%-10s%7s\n", "", strings.Join(words.Tags, "     "))
	families := map[string]bool{}
	for _, key := range words.Keys() {
		family, _, _ := strings.Cut(string(key), ".")
		families[family] = true
	}
	for _, family := range slices.Sorted(maps.Keys(families)) {
		row(family, func(tag string) (n int) {
			for _, key := range words.KeysIn(tag) {
				if strings.HasPrefix(string(key), family+".") {
					n++
				}
			}
			return n
		})
	}
	row("all", func(tag string) int { return len(words.KeysIn(tag)) })
	row("bytes", func(tag string) int {
		raw, _ := os.ReadFile(tag + ".json")
		return len(raw)
	})
	return b.String()
}

// quoted is a label in the quotation marks of the languages.
var quoted = regexp.MustCompile(`"([A-Z][^"]+)"|„([^“]+)“|«([^»]+)»`)

func TestValuesAreWrittenByTheirKind(t *testing.T) {
	en := words.English()
	for want, got := range map[string]string{
		"46 ms":           en.Say("span.millis", words.With{"n": 46}),
		"2 h 10 min":      en.Write(2*time.Hour + 10*time.Minute),
		"1 d":             en.Write(24 * time.Hour),
		"0 s":             en.Write(-time.Second),
		"12,345":          en.Write(12345),
		"9999":            en.Write(9999),
		"-1,234,567":      en.Write(-1234567),
		"Over IPv6: a b ": en.Say("cause.over", words.With{"family": "IPv6", "summary": "a\n\x1bb"}) + " ",
		"Home Assistant's log says: an untrusted proxy": "Home Assistant's log says: " + en.Say("forwarded.distrust"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	d := diagnosis.Diagnosis{Cause: diagnosis.ForwardedHeader, Remedy: diagnosis.Tell, Particulars: diagnosis.Particulars{Forwarded: evidence.ForwardedNoHost}}
	if got := en.Summary(d); !strings.HasSuffix(got, "Its log says: an empty X-Forwarded-Host.") {
		t.Error(got)
	}
}
