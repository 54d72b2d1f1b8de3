package lab

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// aiohttpServer is the Server header of Home Assistant's web server.
const aiohttpServer = "Python/3.14 aiohttp/3.13.2"

// handshake answers a WebSocket handshake as aiohttp's WebSocketResponse does: the
// same checks in the same order, the same texts, the same headers in the same order.
// It gives the status with the 400's text, or 101 with the headers to add.
func handshake(h http.Header) (status int, text string, header [][2]string) {
	if up := h.Get("Upgrade"); strings.ToLower(strings.TrimSpace(up)) != "websocket" {
		return http.StatusBadRequest, fmt.Sprintf("No WebSocket UPGRADE hdr: %s\n Can \"Upgrade\" only to \"WebSocket\".", orNone(h, "Upgrade")), nil
	}
	if !strings.Contains(strings.ToLower(h.Get("Connection")), "upgrade") {
		return http.StatusBadRequest, "No CONNECTION upgrade hdr: " + orNone(h, "Connection"), nil
	}
	switch version := h.Get("Sec-Websocket-Version"); version {
	case "13", "8", "7":
	default:
		return http.StatusBadRequest, "Unsupported version: " + version, nil
	}
	key := h.Get("Sec-Websocket-Key")
	if n, ok := pyBase64Len(key); !ok || n != 16 {
		shown := "None"
		if len(h.Values("Sec-Websocket-Key")) > 0 {
			shown = pyString(key)
		}
		return http.StatusBadRequest, "Handshake error: " + shown, nil
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455
	header = [][2]string{{"Upgrade", "websocket"}, {"Connection", "upgrade"}, {"Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:])}}
	if ext := acceptExtension(h.Get("Sec-Websocket-Extensions")); ext != "" {
		header = append(header, [2]string{"Sec-WebSocket-Extensions", ext})
	}
	return http.StatusSwitchingProtocols, "", header
}

// orNone writes a missing header as Python writes a missing value.
func orNone(h http.Header, name string) string {
	if len(h.Values(name)) == 0 {
		return "None"
	}
	return h.Get(name)
}

// pyBase64Len is the length of what Python's b64decode makes of a text: it passes
// over characters that do not belong, and fails when the padding does not fit.
func pyBase64Len(s string) (n int, ok bool) {
	quad, pads := 0, 0
	for _, c := range []byte(s) {
		switch {
		case c == '=':
			if pads++; quad >= 2 && quad+pads >= 4 {
				return n, true
			}
			continue
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
		default:
			continue
		}
		pads = 0
		if quad++; quad > 1 {
			n++
		}
		quad %= 4
	}
	return n, quad == 0
}

var (
	deflateOffer = regexp.MustCompile(`permessage-deflate([^,]+)?`)
	deflateArgs  = regexp.MustCompile(`^(?:;\s*(?:(server_no_context_takeover)|(client_no_context_takeover)|(server_max_window_bits(?:=(\d+))?)|(client_max_window_bits(?:=(\d+))?)))*$`)
)

// acceptExtension answers an offer of compression, which aiohttp takes by default.
// A smaller window is declined here, where aiohttp would take it: Go's deflate has one size.
func acceptExtension(offer string) string {
	for _, m := range deflateOffer.FindAllStringSubmatch(offer, -1) {
		if m[1] == "" {
			return "permessage-deflate"
		}
		args := deflateArgs.FindStringSubmatch(m[1])
		if args == nil {
			continue
		}
		if bits, err := strconv.Atoi(args[4]); err == nil && bits != 15 {
			continue
		}
		if args[1] != "" {
			return "permessage-deflate; server_no_context_takeover"
		}
		return "permessage-deflate"
	}
	return ""
}

// reply writes an answer as aiohttp does: header order, capitals and the
// Connection header only where the HTTP version asks for one. It says whether the
// connection stays.
func reply(conn net.Conn, req *http.Request, p page) bool {
	b := bufio.NewWriter(conn)
	proto := "HTTP/1.1"
	if !req.ProtoAtLeast(1, 1) {
		proto = "HTTP/1.0"
	}
	fmt.Fprintf(b, "%s %d %s\r\n", proto, p.status, http.StatusText(p.status))
	if p.status == http.StatusSwitchingProtocols {
		for _, h := range p.more {
			fmt.Fprintf(b, "%s: %s\r\n", h[0], h[1])
		}
		fmt.Fprintf(b, "Content-Type: application/octet-stream\r\n")
	} else {
		fmt.Fprintf(b, "Content-Type: %s\r\n", p.kind)
		for _, h := range p.more {
			fmt.Fprintf(b, "%s: %s\r\n", h[0], h[1])
		}
		fmt.Fprintf(b, "Content-Length: %d\r\n", len(p.body))
	}
	fmt.Fprintf(b, "Date: %s\r\nServer: %s\r\n", time.Now().UTC().Format(http.TimeFormat), aiohttpServer)
	wanted := strings.ToLower(req.Header.Get("Connection"))
	keep := !req.Close && wanted != "close"
	switch {
	case p.status == http.StatusSwitchingProtocols:
	case proto == "HTTP/1.1" && !keep:
		b.WriteString("Connection: close\r\n")
	case proto == "HTTP/1.0":
		if keep = wanted == "keep-alive"; keep {
			b.WriteString("Connection: keep-alive\r\n")
		}
	}
	b.WriteString("\r\n")
	if req.Method != http.MethodHead {
		b.WriteString(p.body)
	}
	return b.Flush() == nil && keep
}
