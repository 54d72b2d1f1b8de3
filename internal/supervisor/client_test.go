package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/secret"
)

// The canaries must never be seen in anything that people read.
const (
	tokenCanary  = "canary-supervisor-token-0123456789"
	optionCanary = "canary-option-value"
	slug         = "9074a9fa_cloudflared"
)

// serve gives a client of a server with this one answer to everything.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return New(Config{BaseURL: srv.URL, Token: tokenCanary, Keeper: new(secret.Keeper)})
}

// inTime gives test the client of a server with this one answer to everything, in time
// that passes when both wait.
func inTime(t *testing.T, h http.HandlerFunc, test func(*testing.T, *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		plug := wire.New().Plug()
		ln, err := plug.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: h}
		go srv.Serve(ln)
		defer srv.Close()
		test(t, New(Config{BaseURL: "http://" + ln.Addr().String(), Token: tokenCanary, Keeper: new(secret.Keeper), Net: plug.Network()}))
	})
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func text(status int, body string) http.HandlerFunc {
	return answer(status, "text/plain; charset=utf-8", body)
}

func reply(status int, body string) http.HandlerFunc { return answer(status, "application/json", body) }

// noRole is Supervisor with an app that has a token and no role.
func noRole(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/info" {
		ok(`{"supervisor":"2026.08.3"}`)(w, r)
		return
	}
	text(403, "403: Forbidden")(w, r)
}

func ok(data string) http.HandlerFunc { return reply(200, `{"result":"ok","data":`+data+`}`) }

func asError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}

func wantKind(t *testing.T, err error, k Kind) *Error {
	t.Helper()
	e := asError(t, err)
	if e.Kind != k {
		t.Fatalf("kind is %v, want %v: %v", e.Kind, k, err)
	}
	if s := e.Error(); strings.ContainsAny(s, "\r\n") || len(s) > 600 {
		t.Errorf("the error is not one bounded line: %q", s)
	}
	return e
}

// noCanary looks at a value through every verb that could show it.
func noCanary(t *testing.T, v any) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		s := fmt.Sprintf(verb, v)
		for _, canary := range []string{tokenCanary, optionCanary} {
			if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s shows %s: %s", verb, canary, s)
			}
		}
	}
	if j, err := json.Marshal(v); err == nil && strings.Contains(string(j), "canary-") {
		t.Errorf("JSON shows a canary: %s", j)
	}
}

func TestErrorAnswersMean(t *testing.T) {
	restart := func(c *Client) error { return c.Restart(context.Background(), slug) }
	list := func(c *Client) error { _, err := c.AddOns(context.Background()); return err }
	log := func(c *Client) error { _, err := c.Log(context.Background(), slug); return err }
	core := func(c *Client) error { _, err := c.CoreConfig(context.Background()); return err }
	for _, tt := range []struct {
		name    string
		do      func(*Client) error
		answer  http.HandlerFunc
		want    Kind
		message string // part of the error's line
		unknown bool   // the effect
	}{
		{"401 text: the token is not accepted", list, text(401, "401: Unauthorized"), Unauthorised, "restart Tunnel Medic, which gives it a new token", false},
		{"403 text: a role is missing", list, noRole, NoRole, "install it again", false},
		{"403 text even to what every app may read: the token is not accepted", list, text(403, "403: Forbidden"), Unauthorised, "does not accept Tunnel Medic's token; restart", false},
		{"404 text: no such thing", list, text(404, "404: Not Found"), NotFound, "404: Not Found", false},
		{"405 text: no such thing", restart, text(405, "405: Method Not Allowed"), NotFound, "405", false},
		{"502 text: Supervisor is away", list, text(502, "502: Bad Gateway"), Away, "wait until it is back", false},
		{"502 to a restart: nobody knows what it did", restart, text(502, "502: Bad Gateway"), Away, "not known", true},
		{"502 through the proxy: Core is away", core, text(502, "502: Bad Gateway"), CoreAway, "Core is down or starting", false},
		{"Supervisor starts: away, though it says 400", list, reply(400, `{"result":"error","message":"System is not ready with state: startup"}`), Away, "not ready", false},
		{"Supervisor starts: a restart was surely not begun", restart, reply(400, `{"result":"error","message":"System is not ready with state: startup"}`), Away, "not ready", false},
		{"another job holds the add-on: busy", restart, reply(400, `{"result":"error","message":"Another job is running for job group app_9074a9fa_cloudflared"}`), Busy, "try again", false},
		{"a full backup has frozen the system: busy", restart, reply(400, `{"result":"error","message":"'AppManager.restart' blocked from execution, system is not running - freeze"}`), Busy, "try again", false},
		{"an unhealthy system is no busy one", restart, reply(400, `{"result":"error","message":"'AppManager.restart' blocked from execution, system is not healthy - docker"}`), Rejected, "not healthy", false},
		{"500 app_unknown_error: it failed", restart, reply(500, `{"result":"error","message":"An unknown error occurred with app cloudflared","error_key":"app_unknown_error","extra_fields":{"app":"cloudflared"}}`), Failed, "Supervisor's log", false},
		{"400 of another sort: rejected", restart, reply(400, `{"result":"error","message":"Port 36500 is already in use"}`), Rejected, "Port 36500 is already in use", false},
		{"unknown add-on: not found, though it says 400", restart, reply(400, `{"result":"error","message":"App x does not exist"}`), NotFound, "does not exist", false},
		{"an error within a 200 is an error", restart, reply(200, `{"result":"error","message":"Another job is running for job group app_x"}`), Busy, "Another job", false},
		{"no reason at all: the status is told", list, text(500, ""), Failed, "HTTP 500, with no reason given", false},
		{"an error page is not quoted", list, answer(500, "text/html", "<html><body>oops</body></html>"), Failed, "HTTP 500, with no reason given", false},
		{"JSON of another shape has no reason", list, reply(500, `["x"]`), Failed, "HTTP 500, with no reason given", false},
		{"a redirect is not followed", list, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, Unexpected, "", false},
		{"an HTML page with 200 is not Supervisor's", list, answer(200, "text/html", "<!doctype html><title>Sign in</title>"), Unexpected, "HTML page", false},
		{"JSON that ends early", list, reply(200, `{"result":"ok","data":{"addons":[{"slug":`), Unexpected, "broken JSON", false},
		{"JSON that ends early, to a restart", restart, reply(200, `{"result":`), Unexpected, "not known", true},
		{"no body", list, reply(200, ""), Unexpected, "nothing", false},
		{"JSON without a result", list, reply(200, `{}`), Unexpected, "without a result", false},
		{"no data", list, reply(200, `{"result":"ok"}`), Unexpected, "without data", false},
		{"data of another type", list, ok(`{"addons":{"slug":1}}`), Unexpected, "another type", false},
		{"data that lacks the main thing", list, ok(`{}`), Unexpected, "without add-ons", false},
		{"10 MB are not read", list, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"result":"ok","data":{"addons":[],"x":"`+strings.Repeat("x", 10<<20)+`"}}`)
		}, Unexpected, "more than 4 MiB", false},
		{"a log that is a page", log, answer(200, "text/html; charset=utf-8", "<html>"), Unexpected, "HTML", false},
		{"a log's error is text", log, noRole, NoRole, "403", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTime(t, tt.answer, func(t *testing.T, c *Client) {
				err := tt.do(c)
				e := wantKind(t, err, tt.want)
				if !strings.Contains(e.Error(), tt.message) {
					t.Errorf("%q does not say %q", e, tt.message)
				}
				if EffectUnknown(err) != tt.unknown {
					t.Errorf("effect unknown is %v", !tt.unknown)
				}
				noCanary(t, err)
			})
		})
	}
}

func TestALongMessageWithLineBreaksBecomesOneBoundedLine(t *testing.T) {
	c := serve(t, text(500, "first\r\nsecond\u2028third "+strings.Repeat("é", 5000)))
	_, err := c.AddOns(context.Background())
	e := wantKind(t, err, Failed)
	if !strings.HasPrefix(e.Message, "first second third é") || len(e.Message) > messageLimit || !strings.HasSuffix(e.Message, "é…") {
		t.Errorf("message is %q", e.Message)
	}
}

func TestTheTokenIsInNoErrorAndInNoValue(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		io.WriteString(w, "you sent "+r.Header.Get("Authorization")+" that is "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	})
	_, err := c.AddOns(context.Background())
	if e := wantKind(t, err, Failed); !strings.Contains(e.Message, secret.Mark) {
		t.Errorf("the server did not echo the token, so this shows nothing: %q", e.Message)
	}
	noCanary(t, err)
	noCanary(t, *asError(t, err))
	cfg := Config{BaseURL: "http://supervisor", Token: tokenCanary}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb+verb+verb, cfg, &cfg, c); strings.Contains(s, tokenCanary) {
			t.Errorf("%s shows the token: %s", verb, s)
		}
	}
}

func TestRequestsCarryTheTokenAndGoToNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var auth atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		auth.Store(r.Header.Get("Authorization"))
		ok(`{"addons":[]}`)(w, r)
	})
	if tr, _ := c.line.http.Transport(); tr.Proxy != nil {
		// The environment's proxy is never used for loopback, so the request alone would not show it.
		t.Error("a proxy would be asked for")
	}
	if _, err := c.AddOns(context.Background()); err != nil {
		t.Fatal(err)
	}
	if auth.Load() != "Bearer "+tokenCanary {
		t.Errorf("Authorization is %q", auth.Load())
	}
}

func TestARefusedConnectionIsAwayAndSurelyWithoutEffect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := New(Config{BaseURL: "http://user:" + optionCanary + "@" + addr})
	err = c.Restart(context.Background(), slug)
	if e := wantKind(t, err, Away); e.EffectUnknown || !strings.Contains(e.Message, "refused") {
		t.Errorf("got %v", err)
	}
	if WhyAway(err) == "" {
		t.Error("no reason why Supervisor is away")
	}
	noCanary(t, err)
}

// cut answers a part and resets the connection.
func cut(part string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, part)
		conn.(interface{ SetLinger(int) error }).SetLinger(0)
		conn.Close()
	}
}

func TestACutConnectionIsAway(t *testing.T) {
	for name, part := range map[string]string{
		"before the answer":   "",
		"within the headers":  "HTTP/1.1 200 OK\r\nContent-Ty",
		"within the body":     "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"result\":\"ok\"",
		"within a chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{\"result\":\"ok\"",
		"instead of the last": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, cut(part), func(t *testing.T, c *Client) {
				_, err := c.AddOns(t.Context())
				if e := wantKind(t, err, Away); e.EffectUnknown {
					t.Error("a read has no effect")
				}
				err = c.Restart(t.Context(), slug)
				wantKind(t, err, Away)
				if !EffectUnknown(err) {
					t.Error("a restart that was sent may have happened")
				}
				if _, err = c.Log(t.Context(), slug); !Is(err, Away) {
					t.Errorf("half a log was taken for a log: %v", err)
				}
			})
		})
	}
}

// hang never answers; it ends with its client.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestACallThatHangsEndsInItsTime(t *testing.T) {
	inTime(t, hang, func(t *testing.T, c *Client) {
		begun := time.Now()
		err := c.Restart(t.Context(), slug)
		e := wantKind(t, err, Away)
		if !e.EffectUnknown || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not known") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != restarting.timeout {
			t.Errorf("it took %v", took)
		}
		if !EffectUnknown(fmt.Errorf("treating: %w", err)) || !Is(fmt.Errorf("treating: %w", err), Away) {
			t.Error("what the error means is lost by wrapping it")
		}
	})
}

func TestABodyThatHangsEndsInItsTime(t *testing.T) {
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"result":"ok",`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *Client) {
		_, err := c.Info(t.Context(), slug)
		wantKind(t, err, Away)
	})
}

func TestShutdownEndsARestartAtOnce(t *testing.T) {
	inTime(t, hang, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		err := c.Restart(ctx, slug)
		wantKind(t, err, Interrupted)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if !EffectUnknown(err) || !errors.Is(err, context.Canceled) || WhyAway(err) != "" {
			t.Errorf("got %v", err)
		}
	})
}

func TestShutdownEndsThePauseBetweenTries(t *testing.T) {
	inTime(t, text(502, "502: Bad Gateway"), func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(pauses[0]/2, cancel)
		begun := time.Now()
		_, err := c.AddOns(ctx)
		wantKind(t, err, Interrupted)
		if took := time.Since(begun); took != pauses[0]/2 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTheCallersDeadlineIsATimeOut(t *testing.T) {
	inTime(t, hang, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.AddOns(ctx)
		wantKind(t, err, Away)
	})
}

func TestTriesPerCall(t *testing.T) {
	ctx := context.Background()
	options := Options{"a": json.RawMessage(`1`)}
	for _, tt := range []struct {
		name string
		do   func(*Client) error
		want int32
	}{
		{"a read is tried three times", func(c *Client) error { _, err := c.AddOns(ctx); return err }, 3},
		{"an info is tried three times", func(c *Client) error { _, err := c.Info(ctx, slug); return err }, 3},
		{"a log is tried twice", func(c *Client) error { _, err := c.Log(ctx, slug); return err }, 2},
		{"a check of options is tried three times", func(c *Client) error { return c.ValidateOptions(ctx, slug, options) }, 3},
		{"a write is tried once", func(c *Client) error { return c.SetOptions(ctx, slug, options) }, 1},
		{"a restart is tried once", func(c *Client) error { return c.Restart(ctx, slug) }, 1},
		{"a start is tried once", func(c *Client) error { return c.Start(ctx, slug) }, 1},
		{"a notice is tried once", func(c *Client) error { return c.CallService(ctx, "persistent_notification", "create", nil) }, 1},
		{"an event is tried once", func(c *Client) error { return c.FireEvent(ctx, "tunnelmedic", nil) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tries atomic.Int32
			inTime(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				cut("")(w, r)
			}, func(t *testing.T, c *Client) { wantKind(t, tt.do(c), Away) })
			if got := tries.Load(); got != tt.want {
				t.Errorf("tried %d times, want %d", got, tt.want)
			}
		})
	}
}

func TestOnlyAwayIsTriedAgain(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"refused":    noRole,
		"failed":     reply(500, `{"result":"error","message":"x"}`),
		"unexpected": answer(200, "text/html", "<html>"),
		"rejected":   reply(400, `{"result":"error","message":"x"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/addons" {
					tries.Add(1)
				}
				h(w, r)
			})
			if _, err := c.AddOns(context.Background()); err == nil || tries.Load() != 1 {
				t.Errorf("tried %d times: %v", tries.Load(), err)
			}
		})
	}
}

func TestAReadSurvivesARestartOfSupervisor(t *testing.T) {
	var tries atomic.Int32
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		switch tries.Add(1) {
		case 1:
			cut("")(w, r)
		case 2:
			reply(400, `{"result":"error","message":"System is not ready with state: setup"}`)(w, r)
		default:
			ok(`{"addons":[{"slug":"a_b","state":"started"}]}`)(w, r)
		}
	}, func(t *testing.T, c *Client) {
		if list, err := c.AddOns(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

func TestNamesThatWouldLeadElsewhereAreNotAsked(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); ok(`{}`)(w, r) })
	ctx := context.Background()
	for _, bad := range []string{"", ".", "..", "../core", "a/b", "a?b", "a b", "a\nb", "a%2fb"} {
		_, err := c.Info(ctx, bad)
		for _, err := range []error{err, c.Restart(ctx, bad), c.CallService(ctx, "notify", bad, nil), c.FireEvent(ctx, bad, nil), second(c.SetState(ctx, bad, "on", nil))} {
			wantKind(t, err, Rejected)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("%d were asked", asked.Load())
	}
}

func TestATokenThatIsNotAcceptedIsKnownUntilItIs(t *testing.T) {
	var accepted atomic.Bool
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !accepted.Load() {
			text(403, "403: Forbidden")(w, r)
			return
		}
		ok(`{"addons":[]}`)(w, r)
	})
	if c.TokenRefused() {
		t.Error("refused before anything was asked")
	}
	_, err := c.AddOns(context.Background())
	if wantKind(t, err, Unauthorised); !c.TokenRefused() {
		t.Error("not known to be refused")
	}
	accepted.Store(true)
	if _, err := c.AddOns(context.Background()); err != nil || c.TokenRefused() {
		t.Errorf("still refused: %v", err)
	}
}

// Each question while Core's container does not run writes two errors with a traceback
// into Supervisor's log.
func TestCoresLoadIsAskedOnceAnOutage(t *testing.T) {
	var asked atomic.Int32
	var up atomic.Bool
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/core/stats" && up.Load():
			asked.Add(1)
			ok(`{"cpu_percent":1}`)(w, r)
		case r.URL.Path == "/core/stats":
			asked.Add(1)
			reply(400, `{"result":"error","message":"Container homeassistant is not running"}`)(w, r)
		case up.Load():
			reply(200, `{"version":"2026.11.0","state":"RUNNING"}`)(w, r)
		default:
			text(502, "502: Bad Gateway")(w, r)
		}
	})
	ctx := context.Background()
	for range 2 { // outages
		asked.Store(0)
		for range 50 { // looks
			_, _ = c.CoreState(ctx)
			if c.CoreRuns(ctx) != evidence.Off {
				t.Fatal("it runs")
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times in an outage", n)
		}
		up.Store(true)
		if _, err := c.CoreState(ctx); err != nil || c.CoreRuns(ctx) != evidence.On {
			t.Errorf("it does not run: %v", err)
		}
		up.Store(false)
	}
}

func TestAnAppsNameIsOneHarmlessLine(t *testing.T) {
	const forged = `Cloudflared\n2026-11-25 18:00:00 INF All well\u001b[2J\u202e`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/addons" {
			ok(`{"addons":[{"slug":"x_cloudflared","name":"`+forged+`","state":"started","version":"1\n2"}]}`)(w, r)
			return
		}
		ok(`{"slug":"x_cloudflared","name":"`+forged+`","state":"started","version":"1\n2","options":{"a":1}}`)(w, r)
	})
	list, err := c.AddOns(context.Background())
	info, err2 := c.Info(context.Background(), "x_cloudflared")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for _, s := range []string{list[0].Name, list[0].Version, info.Name, info.Version} {
		if strings.ContainsAny(s, "\n\x1b\u202e") {
			t.Errorf("%q", s)
		}
	}
}

func second[T any](_ T, err error) error { return err }
