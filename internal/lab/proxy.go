package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// proxy is a reverse proxy between the connector and Home Assistant: it passes everything
// on, WebSockets too unless the faults say that it was never told to.
type proxy struct{ w *World }

// serve is one connection.
func (p *proxy) serve(conn net.Conn) {
	ctx, cancel := context.WithCancel(p.w.ctx)
	defer cancel()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		note := p.w.record("proxy", req, "")
		form := Form("")
		if status := p.w.Faults().ProxyAnswers; status != 0 {
			note(status)
			body := fmt.Sprintf("<html>\r\n<head><title>%[1]d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", status, http.StatusText(status))
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, http.StatusText(status), len(body), body)
			return
		}
		if p.w.Faults().ProxyStrips {
			form = NoUpgrade
		}
		x, err := p.w.ask(ctx, p.w.Core.addr(), originRequest(req, isWebSocket(req), form))
		if err != nil {
			note(http.StatusBadGateway)
			_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		note(x.resp.StatusCode)
		if x.resp.StatusCode == http.StatusSwitchingProtocols {
			// The head goes as it came; what follows is the WebSocket.
			x.resp.Body = nil
			if x.resp.Write(conn) == nil {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close(); _ = x.conn.Close() })
				splice(conn, br, x.conn, x.br)
				stop()
			}
			return
		}
		err = x.resp.Write(conn)
		x.close()
		if err != nil || req.Close {
			return
		}
	}
}
