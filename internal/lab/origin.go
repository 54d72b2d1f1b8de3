package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const plainText = "text/plain; charset=utf-8"

// web is Home Assistant's web server.
type web struct{ *Core }

// serve is Home Assistant's web server, one connection.
func (c *web) serve(conn net.Conn) {
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		note := c.w.record("origin", req, "")
		p := c.home(req)
		note(p.status)
		stays := reply(conn, req, p)
		if p.status == http.StatusSwitchingProtocols {
			c.serveSocket(conn, br, req, p.more)
			return
		}
		if !stays {
			return
		}
	}
}

// page is an answer of Home Assistant's web server.
type page struct {
	status     int
	kind, body string
	more       [][2]string
}

// own is aiohttp's own page for a status.
func own(status int, more ...[2]string) page {
	return page{status, plainText, fmt.Sprintf("%d: %s", status, http.StatusText(status)), more}
}

// turnedAway is the status with which Home Assistant refuses a request before it looks at it, 0 if it does not.
func (c *web) turnedAway(req *http.Request) int {
	c.w.mu.Lock()
	f, banned := c.w.faults, c.banned
	c.w.mu.Unlock()
	proxied := req.Header.Get("X-Forwarded-For")
	switch {
	case f.ProxyNotTrusted && proxied != "":
		c.logf("ERROR", "http.forwarded", "Received X-Forwarded-For header from an untrusted proxy %s", connectorIP)
		return http.StatusBadRequest
	case f.Forwarded != "" && proxied != "":
		c.logf("ERROR", "http.forwarded", forwardedTexts[f.Forwarded], proxied)
		return http.StatusBadRequest
	case f.Banned || banned:
		return http.StatusForbidden
	}
	return 0
}

// home is Home Assistant's answer to a request.
func (c *web) home(req *http.Request) page {
	if status := c.turnedAway(req); status != 0 {
		return own(status)
	}
	if req.URL.Path == "/api/" && req.Header.Get("Authorization") == "Bearer "+HAToken {
		return page{http.StatusOK, "application/json", `{"message":"API running."}`, nil}
	}
	version := *c.version.Load()
	known := map[string]page{
		"/":               {http.StatusOK, "text/html; charset=utf-8", startPage(version), nil},
		"/manifest.json":  {http.StatusOK, "application/manifest+json", `{"name":"Home Assistant","short_name":"Home Assistant","start_url":"/?homescreen=1","display":"standalone"}`, nil},
		"/auth/providers": {http.StatusOK, "application/json", `{"providers":[{"name":"Home Assistant Local","id":null,"type":"homeassistant"}],"preselect_remember_me":true}`, nil},
	}
	if !c.w.Faults().FrontendUpdating {
		known[entryScript(version)] = page{http.StatusOK, "text/javascript", "/* " + strings.Repeat("the frontend ", 4000) + "*/", nil}
	}
	if req.URL.Path == "/api/websocket" {
		status, body, more := handshake(req.Header)
		known[req.URL.Path] = page{status, plainText, body, more}
	}
	answer, isKnown := known[req.URL.Path]
	switch {
	case isKnown && req.Method != http.MethodGet && req.Method != http.MethodHead:
		return own(http.StatusMethodNotAllowed, [2]string{"Allow", "GET,HEAD"})
	case isKnown:
		return answer
	case strings.HasPrefix(req.URL.Path, "/api/"):
		return own(http.StatusUnauthorized)
	}
	return own(http.StatusNotFound)
}

// serveSocket is Home Assistant's side of a WebSocket whose 101 has been written.
func (c *web) serveSocket(conn net.Conn, br *bufio.Reader, req *http.Request, header [][2]string) {
	if c.w.Faults().OriginSilent {
		_, _ = io.Copy(io.Discard, br) // until the visitor goes
		return
	}
	ws, err := websocket.Accept(&accepted{conn: conn, br: br, header: http.Header{}}, normal(req, header), &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1})
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	say := func(message map[string]any) bool {
		raw, _ := json.Marshal(message) // strings and booleans always marshal
		return ws.Write(c.w.ctx, websocket.MessageText, raw) == nil
	}
	if !say(map[string]any{"type": "auth_required", "ha_version": *c.version.Load()}) {
		return
	}
	var m struct {
		Type  string `json:"type"`
		Token string `json:"access_token"`
		ID    int    `json:"id"`
	}
	hear := func(patience time.Duration) bool {
		ctx, cancel := context.WithTimeout(c.w.ctx, patience)
		defer cancel()
		_, raw, err := ws.Read(ctx)
		return err == nil && json.Unmarshal(raw, &m) == nil
	}
	if !hear(10 * time.Second) { // Home Assistant's own patience with the auth phase
		if older(*c.version.Load(), 2026, 11, 0) { // from then on at debug only
			c.logf("WARNING", "websocket_api.http.connection", "[%d] from %s (%s): Disconnected: Received close message during auth phase", 140570145081920, visitorIP(req), req.UserAgent())
		}
		return
	}
	switch {
	case m.Type != "auth":
		say(map[string]any{"type": "auth_invalid", "message": "Auth message incorrectly formatted: required key not provided @ data['type']. Got None"})
	case m.Token != HAToken:
		c.wrongToken()
		say(map[string]any{"type": "auth_invalid", "message": "Invalid access token or password"})
	default:
		c.w.mu.Lock()
		c.signIns++
		c.w.mu.Unlock()
		for ok := say(map[string]any{"type": "auth_ok", "ha_version": *c.version.Load()}); ok && hear(forever); {
			if m.Type == "ping" {
				ok = say(map[string]any{"id": m.ID, "type": "pong"})
			} else {
				ok = say(map[string]any{"id": m.ID, "type": "result", "success": false, "error": map[string]string{"code": "unknown_command", "message": "Unknown command."}})
			}
		}
		return
	}
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

// entryScript is the path of the script that a version's start page names: a hash of what
// the frontend was built to is in it.
func entryScript(version string) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, version)
	return fmt.Sprintf("/frontend_latest/app.%016x.js", h.Sum64())
}

// startPage is Home Assistant's index.html in short, as the wheel home-assistant-frontend
// 20261028.6 has it: the scripts are named several times over, and the page is longer
// than what a look keeps.
func startPage(version string) string {
	app := entryScript(version)
	core := strings.Replace(app, "/app.", "/core.", 1)
	return `<!DOCTYPE html><html><head><title>Home Assistant</title><link rel="modulepreload" href="` + core + `" crossorigin="use-credentials"><link rel="modulepreload" href="` + app + `" crossorigin="use-credentials">` +
		`<style>` + strings.Repeat("html{background-color:var(--primary-background-color,#fafafa)}", 60) + `</style></head><body><home-assistant></home-assistant>` +
		`<script crossorigin="use-credentials">isModern&&(import("` + core + `"),import("` + app + `"),window.latestJS=true)</script></body></html>`
}

func (c *web) wrongToken() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.wrongTokens++
	if c.w.opt.BanAfter > 0 && c.wrongTokens >= c.w.opt.BanAfter {
		c.banned = true
		c.w.changed()
	}
}

// accepted lets the library take over a connection whose handshake is done.
type accepted struct {
	conn   net.Conn
	br     *bufio.Reader
	header http.Header
}

func (a *accepted) Header() http.Header         { return a.header }
func (a *accepted) WriteHeader(int)             {}
func (a *accepted) Write(p []byte) (int, error) { return len(p), nil }
func (a *accepted) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.conn, bufio.NewReadWriter(a.br, bufio.NewWriter(a.conn)), nil
}

// normal is the request as the library wants it: what aiohttp is lenient about is
// put straight, and the extension is the one that was agreed.
func normal(req *http.Request, agreed [][2]string) *http.Request {
	out := req.Clone(req.Context())
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", "websocket")
	out.Header.Set("Sec-Websocket-Version", "13")
	out.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	out.Header.Del("Sec-Websocket-Extensions")
	for _, h := range agreed {
		if h[0] == "Sec-WebSocket-Extensions" {
			out.Header.Set("Sec-Websocket-Extensions", h[1])
		}
	}
	return out
}
