package probe_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/secret"
)

func silentLog() *log.Logger { return log.New(io.Discard, "", 0) }

const (
	canaryID       = "canary-access-id.access"
	canarySecret   = "canary-access-secret-0123456789"
	canaryToken    = "canary-long-lived-token-0123456789"
	canaryPassword = "canary-url-password"
	canaryOther    = "canary-of-another-room"
)

func loaded(t *testing.T, u string) probe.Target {
	keeper := new(secret.Keeper)
	keeper.Add(canaryOther)
	target := probe.Target{
		URL: parse(t, u), Access: probe.Access{ID: canaryID, Secret: canarySecret}, Token: probe.NewToken(canaryToken, false),
		Keeper: keeper, Timeout: enough,
	}
	target.URL.User = parse(t, "http://user:"+canaryPassword+"@x").User
	return target
}

func clean(t *testing.T, where, text string) {
	t.Helper()
	for _, c := range []string{canaryID, canarySecret, canaryToken, canaryPassword, canaryOther} {
		// Not even the beginning of one may stand there.
		if strings.Contains(text, c[:len(c)-4]) {
			t.Errorf("%s tells %q: %s", where, c, text)
		}
	}
}

func TestATargetPrintsWithoutItsSecrets(t *testing.T) {
	target := loaded(t, "https://ha.example.com")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for what, x := range map[string]any{
			"target": target, "pointer": &target, "list": []probe.Target{target}, "in a struct": struct{ T probe.Target }{target},
			"access": target.Access, "token": target.Token, "token in a struct": struct{ T *probe.Token }{target.Token},
		} {
			clean(t, verb+" of "+what, fmt.Sprintf(verb, x))
		}
	}
	for what, x := range map[string]any{"access": target.Access, "token": target.Token} {
		out, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, "JSON of "+what, string(out))
	}
	if s := target.String(); s != "https://ha.example.com (service token, sign-in)" {
		t.Errorf("prints %q", s)
	}
	if s := (probe.Target{}).String(); s != "no URL" {
		t.Errorf("the zero target prints %q", s)
	}
}

// TestALookTellsNoSecret has servers echo everything they were sent.
func TestALookTellsNoSecret(t *testing.T) {
	echo := func(sent *http.Request, body string) string {
		all := fmt.Sprint(sent.Header) + canaryToken + canaryOther
		return "HTTP/1.1 403 Forbidden\r\nServer: " + all + "\r\nCf-Access-Echo: " + strings.Repeat("x", 290) + canarySecret + "\r\n" +
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	for name, serve := range map[string]func(net.Conn){
		"in headers and body": func(c net.Conn) {
			r := readHead(c)
			_, _ = io.WriteString(c, echo(r, fmt.Sprint(r.Header)+canaryOther))
		},
		"cut by the body limit": func(c net.Conn) {
			r := readHead(c)
			_, _ = io.WriteString(c, echo(r, strings.Repeat("x", evidence.BodyLimit-30)+canarySecret))
		},
		"in a broken head": func(c net.Conn) {
			readHead(c)
			_, _ = io.WriteString(c, "HTTP/1.1 "+canarySecret+canaryToken+"\r\n\r\n")
		},
	} {
		for kind, see := range looks {
			t.Run(name+", "+kind, func(t *testing.T) {
				l := see(t.Context(), loaded(t, serveRaw(t, serve).String()))
				clean(t, "the look", fmt.Sprintf("%+v", l))
				if len(l.Body) > evidence.BodyLimit {
					t.Errorf("body of %d bytes", len(l.Body))
				}
			})
		}
	}
	t.Run("in the messages", func(t *testing.T) {
		h := newHomeAssistant(t, func(ctx context.Context, c *websocket.Conn) {
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"auth_required","ha_version":"`+canaryOther+`"}`))
			_, data, _ := c.Read(ctx)
			reply, _ := json.Marshal(map[string]string{"type": "auth_invalid", "message": "refused " + string(data)})
			_ = c.Write(ctx, websocket.MessageText, reply)
			_, _, _ = c.Read(ctx)
		})
		l := probe.Handshake(t.Context(), loaded(t, h.Server.URL))
		if l.SignIn != evidence.TokenRefused || !strings.Contains(l.Detail, "refused") {
			t.Fatalf("look %+v", l)
		}
		clean(t, "the look", fmt.Sprintf("%+v", l))
	})
	t.Run("in the reason of a close", func(t *testing.T) {
		h := newHomeAssistant(t, func(_ context.Context, c *websocket.Conn) { _ = c.Close(websocket.StatusPolicyViolation, canaryToken) })
		l := probe.Handshake(t.Context(), loaded(t, h.Server.URL))
		want(t, l, evidence.Upgraded, evidence.Cut)
		clean(t, "the look", fmt.Sprintf("%+v", l))
	})
}

func TestWhatIsKeptIsTextAndBounded(t *testing.T) {
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "Cf-Access-%d: x\r\n", i)
	}
	u := serveText(t, "HTTP/1.1 403 Forbidden\r\nServer: "+strings.Repeat("ä", 400)+"\r\n"+many.String()+"Content-Length: 4\r\n\r\na\xff\xfeb")
	l := probe.Page(t.Context(), probe.Target{URL: u, Timeout: enough})
	want(t, l, evidence.Answered, evidence.NoTrouble)
	if len(l.Header) > 40 || l.Body != "a\uFFFDb" {
		t.Errorf("%d headers, body %q", len(l.Header), l.Body)
	}
	u = serveText(t, "HTTP/1.1 403 Forbidden\r\nServer: "+strings.Repeat("ä", 400)+"\r\nContent-Length: 0\r\n\r\n")
	if got := probe.Page(t.Context(), probe.Target{URL: u, Timeout: enough}).HeaderValue("Server"); got != strings.Repeat("ä", 150) {
		t.Errorf("server %q of %d bytes", got, len(got))
	}
}

func TestLoadRootsAddsToTheSystems(t *testing.T) {
	ca := newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := probe.LoadRoots(file)
	if err != nil {
		t.Fatal(err)
	}
	h := secured(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "127.0.0.1")}})
	want(t, probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), RootCAs: roots, Timeout: enough}), evidence.Greeted, evidence.NoTrouble)

	if _, err := probe.LoadRoots(file + ".missing"); err == nil {
		t.Error("a missing file is no error")
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := probe.LoadRoots(file); err == nil {
		t.Error("a file without a certificate is no error")
	}
}

func TestPageAsksForWhatNeedsNoLogin(t *testing.T) {
	h := newHomeAssistant(t, nil)
	l := probe.Page(t.Context(), probe.Target{URL: h.URL(t)})
	want(t, l, evidence.Answered, evidence.NoTrouble)
	if l.Asked != "GET "+h.Server.URL+"/manifest.json" || l.Status != 200 || l.Body != `{"name":"Home Assistant"}` || l.Colo() != "FRA" {
		t.Errorf("look %+v", l)
	}
	if sent := <-h.requests; sent.Get("Upgrade") != "" || sent.Get("Accept-Encoding") != "" || sent.Get("User-Agent") != "tunnelmedic" {
		t.Errorf("sent %v", sent)
	}
}

func TestPageThatIsUpgraded(t *testing.T) {
	u := serveRaw(t, func(c net.Conn) {
		send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")(c)
		hold(c)
	})
	want(t, probe.Page(t.Context(), probe.Target{URL: u, Timeout: enough}), evidence.Upgraded, evidence.Garbled)
}

func TestTokenFingerprint(t *testing.T) {
	a, again, b := probe.NewToken(rightToken, false), probe.NewToken(" "+rightToken+"\n", true), probe.NewToken(wrongToken, false)
	if a.Fingerprint() != again.Fingerprint() || a.Fingerprint() == b.Fingerprint() || len(a.Fingerprint()) != 16 {
		t.Errorf("%q, %q, %q", a.Fingerprint(), again.Fingerprint(), b.Fingerprint())
	}
	if a.Refused() || !again.Refused() {
		t.Error("what was remembered is lost")
	}
	none := probe.NewToken(" ", false)
	if none != nil || none.Refused() || none.Fingerprint() != "" || none.String() != "no token" {
		t.Errorf("an empty token is %v", none)
	}
}

func TestCheckURL(t *testing.T) {
	for in, out := range map[string]string{
		"https://ha.example.com":           "https://ha.example.com",
		" https://HA.Example.com./ ":       "https://ha.example.com",
		"HTTPS://ha.example.com:8443/":     "https://ha.example.com:8443",
		"https://192.0.2.1":                "https://192.0.2.1",
		"https://[2001:DB8::1]:8443":       "https://[2001:db8::1]:8443",
		"https://xn--mnchen-3ya.example":   "https://xn--mnchen-3ya.example",
		"http://127.0.0.1:8123":            "http://127.0.0.1:8123",
		"http://[::1]:8123/":               "http://[::1]:8123",
		"http://localhost:8123":            "http://localhost:8123",
		"https://my_home-1.ha.example.com": "https://my_home-1.ha.example.com",
	} {
		u, err := probe.CheckURL(in)
		if err != nil || u.String() != out {
			t.Errorf("%q gives %v, %v; want %s", in, u, err, out)
		}
	}
	for in, says := range map[string]string{
		"":                                                   "write https://",
		"ha.example.com":                                     "does not begin with https://",
		"ha.example.com:8123":                                "does not begin with https://",
		"http://ha.example.com":                              "write https://ha.example.com",
		"http://192.0.2.1:8123":                              "write https://192.0.2.1:8123",
		"ftp://ha.example.com":                               "write https://ha.example.com",
		"wss://ha.example.com/api":                           "write https://ha.example.com",
		"https://ha.example.com/lovelace":                    "has a path: write https://ha.example.com",
		"https://ha.example.com?t=" + canarySecret:           "write https://ha.example.com",
		"https://ha.example.com#" + canarySecret:             "write https://ha.example.com",
		"https://ha.example.com/" + canaryToken:              "write https://ha.example.com",
		"https://user:" + canaryPassword + "@ha.example.com": "user name or password: write https://ha.example.com",
		"https://user:" + canaryPassword + "@ha.example.com:port/%zz": "cannot be read",
		"http://user:" + canaryPassword + "@ha.example.com":           "write https://ha.example.com",
		"https://" + canarySecret + " x":                              "cannot be read",
		"https://":                                                    "no host name",
		"https://:8123":                                               "no host name",
		"https://ha.example.com:0":                                    "1–65535",
		"https://ha.example.com:99999":                                "1–65535",
		"https://münchen.example":                                     "xn--",
		"https://ha..example.com":                                     "not a valid one",
		"https://-ha.example.com":                                     "not a valid one",
		"https://*.example.com":                                       "not a valid one",
		"https://" + strings.Repeat("a.", 130) + "com":                "not a valid one",
	} {
		u, err := probe.CheckURL(in)
		if err == nil || !strings.Contains(err.Error(), says) || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%q gives %v, %v; want an error with %q", in, u, err, says)
			continue
		}
		clean(t, "the error", err.Error())
	}
}
