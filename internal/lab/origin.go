package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const plainText = "text/plain; charset=utf-8"

// web is Home Assistant's web server.
type web struct{ *Core }

func (c *web) serve(out http.ResponseWriter, req *http.Request) {
	rw, done := c.w.watch("origin", out, req)
	_, _ = io.Copy(io.Discard, req.Body)
	rw.Header().Set("Server", aiohttpServer)
	ws := c.home(rw, req)
	done()
	if ws != nil {
		c.converse(ws, req)
		c.w.wg.Done()
	}
}

// turnedAway is the status with which Home Assistant refuses a request before it looks at it, 0 if it does not.
func (c *web) turnedAway(req *http.Request) int {
	f := c.w.Faults()
	proxied := req.Header.Get("X-Forwarded-For")
	switch {
	case f.ProxyNotTrusted && proxied != "":
		c.logf("ERROR", "http.forwarded", "Received X-Forwarded-For header from an untrusted proxy %s", connectorIP)
		return http.StatusBadRequest
	case f.Forwarded != "" && proxied != "":
		c.logf("ERROR", "http.forwarded", forwardedTexts[f.Forwarded], proxied)
		return http.StatusBadRequest
	case f.Banned:
		return http.StatusForbidden
	}
	return 0
}

// home answers a request. It gives the WebSocket where it was one, counted among what the world waits for.
func (c *web) home(rw *watched, req *http.Request) (ws *websocket.Conn) {
	if status := c.turnedAway(req); status != 0 {
		plain(rw, status)
		return nil
	}
	give := func(kind, body string) func() {
		return func() {
			rw.Header().Set("Content-Type", kind)
			rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = io.WriteString(rw, body)
		}
	}
	version := *c.version.Load()
	known := map[string]func(){
		"/":              give("text/html; charset=utf-8", startPage(version)),
		"/manifest.json": give("application/manifest+json", `{"name":"Home Assistant","short_name":"Home Assistant","start_url":"/?homescreen=1","display":"standalone"}`),
		"/api/websocket": func() { ws = c.upgraded(rw, req) },
	}
	if !c.w.Faults().FrontendUpdating {
		known[entryScript(version)] = give("text/javascript", "/* "+strings.Repeat("the frontend ", 4000)+"*/")
	}
	answer, isKnown := known[req.URL.Path]
	switch {
	case isKnown && req.Method != http.MethodGet && req.Method != http.MethodHead:
		rw.Header().Set("Allow", "GET,HEAD")
		plain(rw, http.StatusMethodNotAllowed)
	case isKnown:
		answer()
	case strings.HasPrefix(req.URL.Path, "/api/"):
		plain(rw, http.StatusUnauthorized)
	default:
		plain(rw, http.StatusNotFound)
	}
	return ws
}

// upgraded answers a WebSocket handshake. What it gives is counted.
func (c *web) upgraded(rw *watched, req *http.Request) *websocket.Conn {
	if why := refusesHandshake(req.Header); why != "" {
		text(rw, http.StatusBadRequest, why)
		return nil
	}
	if !c.w.enter() {
		panic(http.ErrAbortHandler)
	}
	// aiohttp does not ask where a page came from, and takes compression by default.
	ws, err := websocket.Accept(rw, req, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1})
	if err != nil {
		c.w.wg.Done()
		return nil
	}
	return ws
}

// converse is Home Assistant's side of a WebSocket that stands, until either side or the door is shut.
func (c *web) converse(ws *websocket.Conn, req *http.Request) {
	ctx := req.Context()
	defer func() { _ = ws.CloseNow() }()
	var m struct {
		Type  string `json:"type"`
		Token string `json:"access_token"`
		ID    int    `json:"id"`
	}
	hear := func(patience time.Duration) bool {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, raw, err := ws.Read(ctx)
		return err == nil && json.Unmarshal(raw, &m) == nil
	}
	if c.w.Faults().OriginSilent {
		for hear(forever) {
		}
		return
	}
	say := func(message map[string]any) bool {
		raw, _ := json.Marshal(message) // strings and booleans always marshal
		return ws.Write(ctx, websocket.MessageText, raw) == nil
	}
	if !say(map[string]any{"type": "auth_required", "ha_version": *c.version.Load()}) {
		return
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
		c.counts(&c.told.WrongTokens)
		say(map[string]any{"type": "auth_invalid", "message": "Invalid access token or password"})
	default:
		c.counts(&c.told.SignIns)
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

func (c *web) counts(one *int) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	*one++
}
