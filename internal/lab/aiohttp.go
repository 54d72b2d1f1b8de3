package lab

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// aiohttpServer is the Server header of Home Assistant's web server.
const aiohttpServer = "Python/3.14 aiohttp/3.13.2"

// refusesHandshake is why aiohttp's WebSocketResponse answers a WebSocket handshake with 400, "" if it
// does not: the same checks in the same order, the same texts (web_ws.py).
func refusesHandshake(h http.Header) string {
	if !strings.EqualFold(strings.TrimSpace(h.Get("Upgrade")), "websocket") {
		return fmt.Sprintf("No WebSocket UPGRADE hdr: %s\n Can \"Upgrade\" only to \"WebSocket\".", orNone(h, "Upgrade"))
	}
	if !strings.Contains(strings.ToLower(h.Get("Connection")), "upgrade") {
		return "No CONNECTION upgrade hdr: " + orNone(h, "Connection")
	}
	if version := h.Get("Sec-Websocket-Version"); version != "13" {
		return "Unsupported version: " + version
	}
	key := h.Get("Sec-Websocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(key); err == nil && len(raw) == 16 {
		return ""
	}
	if len(h.Values("Sec-Websocket-Key")) > 0 {
		return "Handshake error: " + pyString(key)
	}
	return "Handshake error: None"
}

// orNone writes a missing header as Python writes a missing value.
func orNone(h http.Header, name string) string {
	if len(h.Values(name)) == 0 {
		return "None"
	}
	return h.Get(name)
}
