package lab

import (
	"fmt"
	"io"
	"net/http"
)

// proxied is a reverse proxy between the connector and Home Assistant: it passes everything
// on, WebSockets too unless the faults say that it was never told to.
func (w *World) proxied(out http.ResponseWriter, req *http.Request) {
	rw, done := w.watch("proxy", out, req)
	defer done()
	f, form := w.Faults(), Form("")
	refuse := func(status int) {
		rw.Header().Set("Server", "nginx")
		rw.Header().Set("Content-Type", "text/html")
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, fmt.Sprintf("<html>\r\n<head><title>%[1]d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", status, http.StatusText(status)))
	}
	if f.ProxyAnswers != 0 {
		refuse(f.ProxyAnswers)
		return
	}
	if f.ProxyStrips {
		form = NoUpgrade
	}
	x, err := w.ask(req.Context(), w.Core.addr(), originRequest(req, isWebSocket(req), form))
	if err != nil {
		refuse(http.StatusBadGateway)
		return
	}
	w.passOn(rw, x)
}
