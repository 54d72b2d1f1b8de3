package probe_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

func TestHandshakeIsGreeted(t *testing.T) {
	h := newHomeAssistant(t, nil)
	l := probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), Timeout: enough, UserAgent: "tunnelmedic/test"})
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if !l.Healthy() || l.Status != 101 || l.HAVersion != "2026.11.1" || l.SignIn != evidence.NoToken {
		t.Errorf("look %+v", l)
	}
	if l.Asked != "GET "+h.Server.URL+"/api/websocket" || l.Addr != h.Listener.Addr().String() || l.TLS != nil || l.Outside {
		t.Errorf("asked %q at %q, TLS %v, outside %v", l.Asked, l.Addr, l.TLS, l.Outside)
	}
	if l.CFRay() != "8f00000000000000-FRA" || l.Colo() != "FRA" || l.HeaderValue("Upgrade") == "" {
		t.Errorf("headers %v", l.Header)
	}
	if code := <-h.closed; code != websocket.StatusNormalClosure {
		t.Errorf("closed with %v, want an orderly end", code)
	}
	sent := <-h.requests
	if sent.Get("User-Agent") != "tunnelmedic/test" || sent.Get("Sec-Websocket-Extensions") != "" || sent.Get("Authorization") != "" {
		t.Errorf("sent %v", sent)
	}
}

func TestHandshakeRefusalIsAnAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"upgrade stripped":    "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".",
		"connection replaced": "No CONNECTION upgrade hdr: keep-alive",
		"key lost":            "Handshake error: None",
		"version lost":        "Unsupported version: None",
		"proxy not trusted":   "400: Bad Request",
	} {
		t.Run(name, func(t *testing.T) {
			u := serveText(t, fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nServer: cloudflare\r\n"+
				"CF-RAY: 8f1-MUC\r\nX-Other: no\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			l := probe.Handshake(t.Context(), probe.Target{URL: u, Timeout: enough})
			want(t, l, evidence.Answered, evidence.NoTrouble)
			if l.Status != 400 || l.Body != body || l.Colo() != "MUC" || l.HeaderValue("Server") != "cloudflare" || l.HeaderValue("X-Other") != "" {
				t.Errorf("look %+v", l)
			}
		})
	}
}

func TestHandshakeKeepsWhatAProxyAnswers(t *testing.T) {
	login := "https://team.cloudflareaccess.com/cdn-cgi/access/login/ha.example.com?kid=abc"
	for name, c := range map[string]struct {
		answer string
		status int
		header map[string]string
		body   string
	}{
		"a redirect to Access is not followed": {
			"HTTP/1.1 302 Found\r\nLocation: " + login + "\r\nCf-Access-Domain: ha.example.com\r\nContent-Length: 0\r\n\r\n", 302,
			map[string]string{"Location": login, "Cf-Access-Domain": "ha.example.com"}, "",
		},
		"a redirect to the same host is not followed": {
			"HTTP/1.1 301 Moved Permanently\r\nLocation: /api/websocket\r\nContent-Length: 0\r\n\r\n", 301,
			map[string]string{"Location": "/api/websocket"}, "",
		},
		"a bot challenge": {
			"HTTP/1.1 403 Forbidden\r\nCf-Mitigated: challenge\r\nContent-Type: text/html\r\n\r\n<html>Just a moment", 403,
			map[string]string{"Cf-Mitigated": "challenge", "Content-Type": "text/html"}, "<html>Just a moment",
		},
		"no connector": {
			"HTTP/1.1 530 <none>\r\nContent-Length: 16\r\n\r\nerror code: 1033", 530, nil, "error code: 1033",
		},
		"an early hint before the answer": {
			"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", 429,
			map[string]string{"Retry-After": "30"}, "",
		},
		"a chunked body": {
			"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 502, nil, "abcde",
		},
		"200 with a page": {
			"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 200, nil, "<html>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := probe.Handshake(t.Context(), probe.Target{URL: serveText(t, c.answer), Timeout: enough})
			want(t, l, evidence.Answered, evidence.NoTrouble)
			if l.Status != c.status || l.Body != c.body {
				t.Errorf("status %d, body %q", l.Status, l.Body)
			}
			for k, v := range c.header {
				if l.HeaderValue(k) != v {
					t.Errorf("%s is %q, want %q", k, l.HeaderValue(k), v)
				}
			}
		})
	}
}

func TestHandshakeAfterThe101(t *testing.T) {
	text := func(s string) func(context.Context, *websocket.Conn) {
		return func(ctx context.Context, c *websocket.Conn) {
			_ = c.Write(ctx, websocket.MessageText, []byte(s))
			_, _, _ = c.Read(ctx)
		}
	}
	for name, c := range map[string]struct {
		then    func(context.Context, *websocket.Conn)
		timeout time.Duration
		trouble evidence.Trouble
	}{
		"silence":                  {func(ctx context.Context, c *websocket.Conn) { _, _, _ = c.Read(ctx) }, short, evidence.TimedOut},
		"no JSON":                  {text("hello"), enough, evidence.Garbled},
		"JSON of another kind":     {text(`{"type":"result"}`), enough, evidence.Garbled},
		"a list":                   {text(`[1]`), enough, evidence.Garbled},
		"an endless message":       {text(`{"type":"` + strings.Repeat("x", 1<<20) + `"}`), enough, evidence.Garbled},
		"a close in order":         {func(_ context.Context, c *websocket.Conn) { _ = c.Close(websocket.StatusGoingAway, "deploy") }, enough, evidence.Cut},
		"a cut":                    {func(_ context.Context, c *websocket.Conn) { _ = c.CloseNow() }, enough, evidence.Cut},
		"the wrong kind of accept": {nil, enough, evidence.Garbled},
		"frames that are none":     {nil, enough, evidence.Garbled},
	} {
		t.Run(name, func(t *testing.T) {
			var target probe.Target
			switch name {
			case "the wrong kind of accept":
				target.URL = serveText(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: nonsense\r\n\r\n")
			case "frames that are none":
				target.URL = serveRaw(t, func(c net.Conn) { accept(c); _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hold(c) })
			default:
				target.URL = newHomeAssistant(t, c.then).URL(t)
			}
			target.Timeout = c.timeout
			l := probe.Handshake(t.Context(), target)
			want(t, l, evidence.Upgraded, c.trouble)
			if l.Status != 101 || l.Healthy() {
				t.Errorf("status %d, healthy %v", l.Status, l.Healthy())
			}
		})
	}
}

// accept upgrades a raw connection.
func accept(c net.Conn) {
	req := readHead(c)
	if req == nil {
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
}

func TestHandshakeIsNotHeldByAServerThatNeverAnswersTheClose(t *testing.T) {
	u := serveRaw(t, func(c net.Conn) {
		accept(c)
		fmt.Fprintf(c, "\x81%c%s", len(greeting), greeting)
		hold(c)
	})
	begun := time.Now()
	l := probe.Handshake(t.Context(), probe.Target{URL: u, Timeout: enough})
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if held := time.Since(begun); held > 4*time.Second {
		t.Errorf("held for %s", held)
	}
	if l.Took > 900*time.Millisecond {
		t.Errorf("took %s: the goodbye is no part of what was looked at", l.Took)
	}
}

func TestHandshakeSignsIn(t *testing.T) {
	h := newHomeAssistant(t, nil)
	token := probe.NewToken(rightToken, false)
	for range 3 {
		l := probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), Timeout: enough, Token: token})
		want(t, l, evidence.SignedIn, evidence.NoTrouble)
		if l.SignIn != evidence.TokenAccepted || !l.Healthy() {
			t.Errorf("look %+v", l)
		}
		if code := <-h.closed; code != websocket.StatusNormalClosure {
			t.Errorf("closed with %v", code)
		}
	}
	if token.Refused() {
		t.Error("an accepted token counts as refused")
	}
}

func TestARefusedTokenIsNeverSentAgain(t *testing.T) {
	h := newHomeAssistant(t, nil)
	token := probe.NewToken(wrongToken, false)
	target := probe.Target{URL: h.URL(t), Timeout: enough, Token: token}
	l := probe.Handshake(t.Context(), target)
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if l.SignIn != evidence.TokenRefused || !token.Refused() || !l.Healthy() {
		t.Errorf("look %+v, refused %v", l, token.Refused())
	}
	for range 3 {
		if l := probe.Handshake(t.Context(), target); l.SignIn != evidence.TokenWithheld || !l.Healthy() {
			t.Errorf("look %+v", l)
		}
	}
	remembered := probe.Target{URL: h.URL(t), Timeout: enough, Token: probe.NewToken(wrongToken, true)}
	if l := probe.Handshake(t.Context(), remembered); l.SignIn != evidence.TokenWithheld {
		t.Errorf("remembered as refused, sign-in %v", l.SignIn)
	}
	if n := h.signIns.Load(); n != 1 {
		t.Errorf("the token was sent %d times", n)
	}
}

func TestParallelLooksSendAWrongTokenOnce(t *testing.T) {
	const parallel = 8
	var greeted sync.WaitGroup
	greeted.Add(parallel)
	sent := make(chan struct{}, parallel)
	h := newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) {
		_ = c.Write(ctx, websocket.MessageText, []byte(greeting))
		greeted.Done()
		if _, _, err := c.Read(ctx); err != nil {
			return
		}
		sent <- struct{}{}
		greeted.Wait()
		// All the others could send theirs now; the answer gives them the time to.
		for deadline := time.After(short); len(sent) == 1; {
			select {
			case <-deadline:
				_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"auth_invalid","message":"no"}`))
				_, _, _ = c.Read(ctx)
				return
			case <-time.After(short / 50):
			}
		}
	})
	token := probe.NewToken(wrongToken, false)
	became := make(chan evidence.SignIn, parallel)
	for range parallel {
		go func() {
			became <- probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), Timeout: enough, Token: token}).SignIn
		}()
	}
	count := map[evidence.SignIn]int{}
	for range parallel {
		count[<-became]++
	}
	if len(sent) != 1 || count[evidence.TokenRefused] != 1 || count[evidence.TokenWithheld] != parallel-1 {
		t.Errorf("sent %d times, looks %v", len(sent), count)
	}
}

func TestALookThatWaitsInVainForItsTurnToSignIn(t *testing.T) {
	sent, release := make(chan struct{}, 3), make(chan struct{})
	h := newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) {
		_ = c.Write(ctx, websocket.MessageText, []byte(greeting))
		if _, _, err := c.Read(ctx); err == nil {
			sent <- struct{}{}
			<-release
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"auth_ok"}`))
			_, _, _ = c.Read(ctx)
		}
	})
	target := probe.Target{URL: h.URL(t), Timeout: enough, Token: probe.NewToken(rightToken, false)}
	first := make(chan evidence.Look, 1)
	go func() { first <- probe.Handshake(t.Context(), target) }()
	<-sent

	hurried := target
	hurried.Timeout = short
	l := probe.Handshake(t.Context(), hurried)
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if l.SignIn != evidence.NoToken || !l.Healthy() {
		t.Errorf("look %+v", l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(short, cancel)
	if l := probe.Handshake(ctx, target); l.Trouble != evidence.Interrupted {
		t.Errorf("cancelled, look %+v", l)
	}
	close(release)
	if l := <-first; l.SignIn != evidence.TokenAccepted || len(sent) != 0 {
		t.Errorf("first look %+v, %d more sent", l, len(sent))
	}
}

func TestAnUnansweredSignIn(t *testing.T) {
	var sent int
	var mu sync.Mutex
	h := newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) {
		_ = c.Write(ctx, websocket.MessageText, []byte(greeting))
		if _, _, err := c.Read(ctx); err == nil {
			mu.Lock()
			sent++
			mu.Unlock()
		}
	})
	target := probe.Target{URL: h.URL(t), Timeout: enough, Token: probe.NewToken(rightToken, false)}
	for range 2 {
		l := probe.Handshake(t.Context(), target)
		want(t, l, evidence.Greeted, evidence.Cut)
		if l.SignIn != evidence.NoToken || l.Healthy() {
			t.Errorf("look %+v", l)
		}
	}
	// The lost answers may have been refusals, which Home Assistant counts.
	l := probe.Handshake(t.Context(), target)
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if l.SignIn != evidence.TokenWithheld || target.Token.Refused() {
		t.Errorf("sign-in %v, refused %v", l.SignIn, target.Token.Refused())
	}
	mu.Lock()
	defer mu.Unlock()
	if sent != 2 {
		t.Errorf("sent %d times", sent)
	}
}

func TestAnAnswerToTheSignInThatIsNone(t *testing.T) {
	h := newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) {
		_ = c.Write(ctx, websocket.MessageText, []byte(greeting))
		_, _, _ = c.Read(ctx)
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`))
		_, _, _ = c.Read(ctx)
	})
	want(t, probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), Timeout: enough, Token: probe.NewToken(rightToken, false)}),
		evidence.Greeted, evidence.Garbled)
}

func TestAServiceTokenIsSentWholeOrNotAtAll(t *testing.T) {
	h := newHomeAssistant(t, nil)
	for name, c := range map[string]struct {
		access probe.Access
		sent   bool
	}{
		"both parts":  {probe.Access{ID: "an-id.access", Secret: "a-secret"}, true},
		"no secret":   {probe.Access{ID: "an-id.access"}, false},
		"no id":       {probe.Access{Secret: "a-secret"}, false},
		"none at all": {probe.Access{}, false},
	} {
		for kind, see := range map[string]func(context.Context, probe.Target) evidence.Look{"handshake": probe.Handshake, "page": probe.Page} {
			t.Run(name+", "+kind, func(t *testing.T) {
				see(t.Context(), probe.Target{URL: h.URL(t), Timeout: enough, Access: c.access})
				sent := <-h.requests
				if c.sent { // whether this is Cloudflare was asked before
					if sent.Get("Cf-Access-Client-Id") != "" || sent.Get("Cf-Access-Client-Secret") != "" {
						t.Errorf("the question who is there carries %v", sent)
					}
					sent = <-h.requests
				}
				if (sent.Get("Cf-Access-Client-Id") == "an-id.access" && sent.Get("Cf-Access-Client-Secret") == "a-secret") != c.sent ||
					!c.sent && (sent.Get("Cf-Access-Client-Id") != "" || sent.Get("Cf-Access-Client-Secret") != "") {
					t.Errorf("sent %v", sent)
				}
			})
		}
	}
}

func TestADirectLookCarriesNoSecret(t *testing.T) {
	h := newHomeAssistant(t, nil)
	target := probe.DirectTarget(h.URL(t), enough, nil)
	target.Access = probe.Access{ID: "an-id.access", Secret: "a-secret"}
	target.Token = probe.NewToken(rightToken, false)
	l := probe.Handshake(t.Context(), target)
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if sent := <-h.requests; sent.Get("Cf-Access-Client-Id") != "" || sent.Get("Cf-Access-Client-Secret") != "" || h.signIns.Load() != 0 {
		t.Errorf("sent %v, signed in %d times", sent, h.signIns.Load())
	}
}

func TestEveryLookHasAConnectionOfItsOwn(t *testing.T) {
	from := make(chan string, 4)
	srv := newHomeAssistant(t, nil)
	handler := srv.Config.Handler
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from <- r.RemoteAddr
		handler.ServeHTTP(w, r)
	})
	target := probe.Target{URL: srv.URL(t), Timeout: enough}
	seen := map[string]bool{}
	for range 2 {
		probe.Page(t.Context(), target)
		probe.Handshake(t.Context(), target)
		seen[<-from], seen[<-from] = true, true
	}
	if len(seen) != 4 {
		t.Errorf("4 looks over %d connections", len(seen))
	}
}

func BenchmarkHandshake(b *testing.B) {
	h := newHomeAssistant(b, nil)
	target := probe.Target{URL: h.URL(b), Timeout: enough, Token: probe.NewToken(rightToken, false)}
	b.ReportAllocs()
	for b.Loop() {
		if l := probe.Handshake(b.Context(), target); l.Stage != evidence.SignedIn {
			b.Fatalf("look %+v", l)
		}
	}
}
