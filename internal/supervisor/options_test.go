package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func options(t *testing.T, text string) Options {
	t.Helper()
	var o Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// awkward are values that a round trip through Go's own types would change.
var awkward = map[string]string{
	"big":      `123456789012345678901234567890`,
	"float":    `1.0`,
	"exponent": `1E+2`,
	"zero":     `-0`,
	"escaped":  `"\u00e9\ud83d\ude00 \/"`,
	"unicode":  `"é😀 <a&b> ` + "\u2028" + `"`,
	"nested":   `[ {"b" : 1 , "a":[ true,null ]}, [] ]`,
	"empty":    `""`,
	"<key&>":   `false`,
}

func TestWhatIsNotTouchedGoesBackByteForByte(t *testing.T) {
	var body []string
	for k, v := range awkward {
		body = append(body, `"`+k+`":`+v)
	}
	var sent []byte
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sent, _ = io.ReadAll(r.Body)
			if ct := r.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type is %q", ct)
			}
			ok(`{}`)(w, r)
			return
		}
		ok(`{"slug":"`+slug+`","version":"1","state":"started","schema":[{"name":"a"}],"options":{`+strings.Join(body, ",")+`}}`)(w, r)
	})
	ctx := context.Background()
	info, err := c.Info(ctx, slug)
	if err != nil || info.OptionsError != nil {
		t.Fatal(err, info.OptionsError)
	}
	if err := c.SetOptions(ctx, slug, info.Options.WithRunParameters([]string{"--protocol=http2", "<&>"})); err != nil {
		t.Fatal(err)
	}
	var got struct{ Options map[string]json.RawMessage }
	if err := json.Unmarshal(sent, &got); err != nil {
		t.Fatal(err)
	}
	for k, v := range awkward {
		if string(got.Options[k]) != v {
			t.Errorf("%s went back as %s, came as %s", k, got.Options[k], v)
		}
	}
	if p := string(got.Options["run_parameters"]); p != `["--protocol=http2","<&>"]` || len(got.Options) != len(awkward)+1 {
		t.Errorf("run_parameters is %s, of %d options", p, len(got.Options))
	}
	if _, there := info.Options["run_parameters"]; there {
		t.Error("the options that were read have been changed")
	}
}

func TestRunParameters(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		want          []string
		bad           bool
	}{
		{"absent is none", `{}`, nil, false},
		{"empty is none", `{"run_parameters":[]}`, nil, false},
		{"order is kept", `{"run_parameters":["--b","--a=1","--b"]}`, []string{"--b", "--a=1", "--b"}, false},
		{"null is no list", `{"run_parameters":null}`, nil, true},
		{"a text is no list", `{"run_parameters":"` + optionCanary + `"}`, nil, true},
		{"a number in it is no text", `{"run_parameters":["` + optionCanary + `",7]}`, nil, true},
		{"null in it is no text", `{"run_parameters":["a",null]}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := options(t, tt.options).RunParameters()
			if (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v", got, err)
			}
			noCanary(t, err)
		})
	}
}

func TestWithRunParameters(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		list         []string
		want         string
	}{
		{"absent stays absent for none", `{"a":1}`, nil, `{"a":1}`},
		{"present becomes empty for none", `{"run_parameters":["x"]}`, nil, `{"run_parameters":[]}`},
		{"the same keeps its bytes", `{"run_parameters":[ "x" ]}`, []string{"x"}, `{"run_parameters":[ "x" ]}`},
		{"empty keeps its bytes", `{"run_parameters":[ ]}`, nil, `{"run_parameters":[ ]}`},
		{"absent becomes present", `{"a":1}`, []string{"x"}, `{"a":1,"run_parameters":["x"]}`},
		{"a broken one is replaced", `{"run_parameters":3}`, []string{"x"}, `{"run_parameters":["x"]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, tt.before)
			if got := string(o.WithRunParameters(tt.list).body()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := string(o.body()); got != tt.before {
				t.Errorf("the original became %s", got)
			}
		})
	}
}

func TestSecretReferences(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":"!secret x"}`:                            true,
		`{"a":"\u0021secret x"}`:                       true,
		`{"a":[{"b":[1,{"c":"!secret deep"}]}]}`:       true,
		`{"run_parameters":["--token","!secret x"]}`:   true,
		`{"a":"x !secret y","b":"!secretive","c":"!"}`: false,
		`{"!secret key":1}`:                            false,
		`{}`:                                           false,
	} {
		if got := options(t, text).HoldsSecretReference(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestEquality(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		except     []string
		want       bool
	}{
		{"spacing, order and escapes do not matter", `{"x":{"a":1,"b":"é"}}`, `{"x": { "b":"\u00e9", "a":1 }}`, nil, true},
		{"large integers are not rounded", `{"x":123456789012345678901}`, `{"x":123456789012345678902}`, nil, false},
		{"a number's form matters", `{"x":1}`, `{"x":1.0}`, nil, false},
		{"a text is not a number", `{"x":1}`, `{"x":"1"}`, nil, false},
		{"the order of a list matters", `{"x":[1,2]}`, `{"x":[2,1]}`, nil, false},
		{"a key more", `{}`, `{"x":1}`, nil, false},
		{"a key less", `{"x":1}`, `{}`, nil, false},
		{"a key left out that differs", `{"x":1,"y":2}`, `{"x":1,"y":3}`, []string{"y"}, true},
		{"a key left out that is missing", `{"x":1,"y":2}`, `{"x":1}`, []string{"y"}, true},
		{"another key differs than the one left out", `{"x":1,"y":2}`, `{"x":2,"y":2}`, []string{"y"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := options(t, tt.a), options(t, tt.b)
			if (len(a.Differing(b, tt.except...)) == 0) != tt.want || (len(b.Differing(a, tt.except...)) == 0) != tt.want {
				t.Errorf("want %v", tt.want)
			}
			if len(tt.except) == 0 && a.Equal(b) != tt.want {
				t.Errorf("Equal is not %v", tt.want)
			}
		})
	}
}

func TestOptionsShowTheirNamesAlone(t *testing.T) {
	o := options(t, `{"tunnel_token":"`+optionCanary+`","list":["`+optionCanary+`"]}`)
	noCanary(t, o)
	noCanary(t, &o)
	noCanary(t, Info{Slug: slug, Options: o})
	if s := fmt.Sprintf("%+v", Info{Options: o}); !strings.Contains(s, "options(list tunnel_token)") {
		t.Errorf("the names are missing: %s", s)
	}
	var log bytes.Buffer
	l := zerolog.New(&log)
	l.Info().Interface("a", o).Object("b", o).Stringer("c", o).Interface("d", Info{Options: o}).Send()
	if s := log.String(); strings.Contains(s, "canary") || !strings.Contains(s, `"b":{"names":["list","tunnel_token"]}`) {
		t.Errorf("the log says %s", s)
	}
	if o.Text("tunnel_token") != optionCanary || o.Text("list") != "" || o.Text("none") != "" {
		t.Error("Text gives something else")
	}
}
