package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestAddOnsAreListed(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+r.URL.Path != "GET/addons" {
			t.Errorf("asked %s %s", r.Method, r.URL.Path)
		}
		ok(`{"addons":[
			{"slug":"9074a9fa_cloudflared","name":"Cloudflared","state":"started","version":"6.0","version_latest":"6.1","update_available":true,"repository":"9074a9fa","icon":false},
			{"slug":"x_y","name":"Y","state":"dreaming","version":"1","version_latest":null}]}`)(w, r)
	})
	list, err := c.AddOns(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []AddOn{
		{Slug: slug, Name: "Cloudflared", State: evidence.StateStarted, Version: "6.0"},
		{Slug: "x_y", Name: "Y", State: evidence.StateUnknown, Version: "1"},
	}
	if len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Errorf("got %+v", list)
	}
}

func TestOfTheTunnelsTokenOnlyItsBeingSetIsKept(t *testing.T) {
	for options, want := range map[string]bool{`{"tunnel_token":"eyJhIjoi"}`: true, `{"tunnel_token":""}`: false, `{"tunnel_token":"  "}`: false, `{"tunnel_token":null}`: false, `{"external_hostname":"ha.example.com"}`: false} {
		info, err := serve(t, ok(`{"slug":"`+slug+`","version":"6.0","state":"started","schema":[{"name":"a"}],"options":`+options+`}`)).Info(context.Background(), slug)
		if err != nil {
			t.Fatal(err)
		}
		if e := info.Evidence(); e.HasToken != want || !e.TokenKnown {
			t.Errorf("%s: %+v", options, e)
		}
	}
}

func TestInfo(t *testing.T) {
	const installed = `"slug":"` + slug + `","name":"Cloudflared","hostname":"9074a9fa-cloudflared","ip_address":"172.30.33.4","state":"started","version":"6.0","update_available":false`
	for _, tt := range []struct {
		name, data string
		options    Kind // of OptionsError; Failed stands for none
		why        string
	}{
		{"options are given", `{` + installed + `,"schema":[{"name":"a"}],"options":{"a":1}}`, Failed, ""},
		{"hidden options are not empty options", `{` + installed + `,"schema":[{"name":"a"}],"options":{}}`, NoRole, "hassio_role manager is missing"},
		{"no schema: empty options are really empty", `{` + installed + `,"schema":null,"options":{}}`, Failed, ""},
		{"an empty schema: empty options are really empty", `{` + installed + `,"schema":[ ],"options":{}}`, Failed, ""},
		{"missing options are not empty options", `{` + installed + `,"schema":[]}`, Unexpected, "not a JSON object"},
		{"null is not empty options", `{` + installed + `,"schema":[],"options":null}`, Unexpected, "not a JSON object"},
		{"a list is no options", `{` + installed + `,"schema":[],"options":[]}`, Unexpected, "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := serve(t, ok(tt.data)).Info(context.Background(), slug)
			if err != nil {
				t.Fatal(err)
			}
			if info.Hostname != "9074a9fa-cloudflared" || info.State != evidence.StateStarted || !info.Installed() {
				t.Errorf("the rest is missing: %+v", info)
			}
			if want := (evidence.AddOn{Asked: true, Installed: true, Slug: slug, Name: "Cloudflared", Version: "6.0", State: "started", TokenKnown: tt.why == ""}); info.Evidence() != want {
				t.Errorf("evidence is %+v", info.Evidence())
			}
			if tt.why == "" {
				if info.OptionsError != nil || info.Options == nil {
					t.Errorf("options are %v, %v", info.Options, info.OptionsError)
				}
				return
			}
			if info.Options != nil {
				t.Errorf("options are %v", info.Options)
			}
			if e := wantKind(t, info.OptionsError, tt.options); !strings.Contains(e.Error(), tt.why) {
				t.Errorf("it says %q", e)
			}
		})
	}
}

func TestAnAddOnThatIsNotInstalled(t *testing.T) {
	c := serve(t, ok(`{"slug":"`+slug+`","name":"Cloudflared","hostname":null,"ip_address":null,"state":"unknown","version":null,"options":{},"schema":[{"name":"a"}]}`))
	info, err := c.Info(context.Background(), slug)
	if err != nil || info.Installed() || info.State != evidence.StateUnknown || info.Evidence().Installed || info.Options != nil {
		t.Errorf("got %+v, %v", info, err)
	}
	wantKind(t, info.OptionsError, NotFound)
}

func TestSecretsInOptionsAreKnownFromThenOn(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "logs") {
			text(200, "started with "+optionCanary+"\n")(w, r)
			return
		}
		ok(`{"slug":"a","version":"1","schema":[{}],"options":{"tunnel_token":"`+optionCanary+`","external_hostname":"ha.example.com"}}`)(w, r)
	})
	if _, err := c.Info(context.Background(), slug); err != nil {
		t.Fatal(err)
	}
	if log, err := c.Log(context.Background(), slug); err != nil || log != "started with [hidden]\n" {
		t.Errorf("the log says %q, %v", log, err)
	}
	if got := c.line.keeper.Scrub("ha.example.com"); got != "ha.example.com" {
		t.Errorf("a host name is taken for a secret: %s", got)
	}
}

// refusal is how Supervisor refuses options: with all of them at the end.
const refusal = `{"result":"error","error_key":"app_configuration_invalid_error","message":"App 9074a9fa_cloudflared has invalid options: expected str @ data['options']['run_parameters'][0], Missing option 'tunnel_name' in Cloudflared (9074a9fa_cloudflared). Got {'tunnel_token': '` + optionCanary + `', 'x': 'Another job is running; does not exist; option 'y''}"}`

func TestARefusalOfOptionsNamesThemAndQuotesNothing(t *testing.T) {
	ctx := context.Background()
	o := Options{"tunnel_token": json.RawMessage(`"` + optionCanary + `"`)}
	for name, do := range map[string]func(*Client) error{
		"at writing":    func(c *Client) error { return c.SetOptions(ctx, slug, o) },
		"at checking":   func(c *Client) error { return c.ValidateOptions(ctx, slug, o) },
		"at starting":   func(c *Client) error { return c.Start(ctx, slug) },
		"at restarting": func(c *Client) error { return c.Restart(ctx, slug) },
	} {
		t.Run(name, func(t *testing.T) {
			err := do(serve(t, reply(400, refusal)))
			e := wantKind(t, err, Rejected)
			if !strings.Contains(e.Error(), "run_parameters") || !strings.Contains(e.Error(), "tunnel_name") || e.Key != "app_configuration_invalid_error" || e.EffectUnknown {
				t.Errorf("got %v", err)
			}
			noCanary(t, err)
			noCanary(t, *e)
			if strings.Contains(e.Error(), "Got") || strings.Contains(e.Error(), "Another job") {
				t.Errorf("it quotes: %v", err)
			}
		})
	}
}

func TestAWriteWithAnyOther400QuotesNothing(t *testing.T) {
	o := Options{"a": json.RawMessage(`1`)}
	for name, message := range map[string]string{
		"a value in the text":  "value " + optionCanary + " is not accepted",
		"a device is missing":  "Device '" + optionCanary + "' does not exist",
		"a value in brackets":  "Wrong: {'a': '" + optionCanary + "'}",
		"a list of one value":  "Unknown. Got ['" + optionCanary + "']",
		"no message at all":    "",
		"an option's own text": "Fatal error for option 'a' with type 'url'. Got '" + optionCanary + "'",
	} {
		t.Run(name, func(t *testing.T) {
			body, _ := json.Marshal(map[string]string{"result": "error", "message": message})
			err := serve(t, reply(400, string(body))).SetOptions(context.Background(), slug, o)
			if err == nil {
				t.Fatal("no error")
			}
			noCanary(t, err)
			noCanary(t, *asError(t, err))
		})
	}
}

func TestTheVerdictOnOptions(t *testing.T) {
	o := Options{"a": json.RawMessage(`1`)}
	for _, tt := range []struct {
		name, data string
		want       string // part of the error, "" for none
		kind       Kind
	}{
		{"valid", `{"message":"","valid":true,"pwned":null}`, "", 0},
		{"valid, and a password of it is known to thieves", `{"message":"","valid":true,"pwned":true}`, "", 0},
		{"invalid", `{"message":"Missing option 'b' in X. Got {'a': '` + optionCanary + `'}","valid":false,"pwned":null}`, "(see b)", Rejected},
		{"neither", `{"message":""}`, "without a verdict", Unexpected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent []byte
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				sent, _ = io.ReadAll(r.Body)
				ok(tt.data)(w, r)
			})
			err := c.ValidateOptions(context.Background(), slug, o)
			if string(sent) != `{"a":1}` {
				t.Errorf("sent %s", sent)
			}
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := wantKind(t, err, tt.kind); !strings.Contains(e.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			noCanary(t, err)
		})
	}
}

func TestOptionsThatWouldDoHarmAreNotSent(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); ok(`{}`)(w, r) })
	for name, o := range map[string]Options{
		"not known":          nil,
		"none":               {},
		"a secret reference": {"a": json.RawMessage(`["!secret x"]`)},
		"null":               {"a": json.RawMessage(`null`)},
		"no value":           {"a": nil},
		"no JSON":            {"a": json.RawMessage(`{`)},
	} {
		t.Run(name, func(t *testing.T) {
			wantKind(t, c.SetOptions(context.Background(), slug, o), Rejected)
		})
	}
	if asked.Load() != 0 {
		t.Errorf("%d were sent", asked.Load())
	}
}

func TestActsGoToTheirPaths(t *testing.T) {
	var got []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+string(body))
		if r.ContentLength != int64(len(body)) || len(r.TransferEncoding) > 0 {
			t.Errorf("%s came with length %d, %v", r.URL.Path, r.ContentLength, r.TransferEncoding)
		}
		ok(`{}`)(w, r)
	})
	ctx := context.Background()
	for _, err := range []error{c.Restart(ctx, slug), c.Start(ctx, slug), c.SetOptions(ctx, slug, Options{"a": json.RawMessage(`1`)})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "POST /addons/" + slug + "/restart|POST /addons/" + slug + "/start|POST /addons/" + slug + `/options{"options":{"a":1}}`
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %s", s)
	}
}

func TestALogIsOfTheCurrentRunWhereThereIsOne(t *testing.T) {
	for _, tt := range []struct {
		name   string
		latest http.HandlerFunc
		want   string
	}{
		{"the current run", text(200, "current\n"), "current\n"},
		{"nothing of it yet", text(500, "Cannot determine CONTAINER_LOG_EPOCH"), "all\n"},
		{"a Supervisor that does not know runs", text(404, "404: Not Found"), "all\n"},
		{"an empty run is empty", text(200, ""), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if accept := r.Header.Get("Accept"); strings.Contains(accept, "json") {
					t.Errorf("Accept is %q", accept)
				}
				if q := r.URL.Query(); !q.Has("no_colors") || q.Get("lines") != "2000" {
					t.Errorf("asked with %s", r.URL.RawQuery)
				}
				if strings.HasSuffix(r.URL.Path, "/logs/latest") {
					tt.latest(w, r)
					return
				}
				text(200, "all\n")(w, r)
			})
			if got, err := c.Log(context.Background(), slug); err != nil || got != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestALongLogKeepsItsEndFromAWholeLineOn(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	c := serve(t, text(200, strings.Repeat(line, 20000)+"the end \xff\n"))
	got, err := c.Log(context.Background(), slug)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > logLimit || len(got) < logLimit-200 || !strings.HasPrefix(got, line) || !strings.HasSuffix(got, line+"the end ?\n") {
		t.Errorf("%d bytes, %.120q … %q", len(got), got, got[max(0, len(got)-20):])
	}
}

func TestATailIsTheSameHoweverItIsRead(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {"ab\ncd\n", "ab\ncd\n"}, {"0123456789", "0123456789"},
		{"0123456789\nabc\n", "abc\n"}, {strings.Repeat("y", 50), ""}, {strings.Repeat("line\n", 50), "line\n"},
	} {
		for _, size := range []int{1, 3, 1000} {
			got, err := tail(&steps{[]byte(tt.in), size}, 10)
			if err != nil || !bytes.Equal(got, []byte(tt.want)) {
				t.Errorf("%q by %d: %q, %v", tt.in, size, got, err)
			}
		}
	}
}

type steps struct {
	left []byte
	size int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.left)
	s.left = s.left[n:]
	return n, nil
}

func TestSelfAndStats(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/addons/self/info":
			ok(`{"slug":"1a2b_tunnelmedic","name":"Tunnel Medic","version":"1.0.0","hostname":"1a2b-tunnelmedic","hassio_role":"manager","repository":"1a2b","ingress_url":"/api/hassio_ingress/abc/","ingress_entry":"/api/hassio_ingress/abc","webui":null}`)(w, r)
		default:
			reply(400, `{"result":"error","message":"App is not running"}`)(w, r)
		}
	})
	self, err := c.Self(context.Background())
	if want := (Self{Slug: "1a2b_tunnelmedic", Repository: "1a2b"}); err != nil || self != want {
		t.Errorf("got %+v, %v", self, err)
	}
}
