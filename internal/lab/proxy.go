package lab

import (
	"fmt"
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
		respond(rw, status, "text/html", fmt.Sprintf("<html>\r\n<head><title>%[1]d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", status, http.StatusText(status)))
	}
	if f.ProxyAnswers != 0 {
		refuse(f.ProxyAnswers)
		return
	}
	if f.ProxyStrips {
		form = NoUpgrade
	}
	w.passOn(rw, req, w.Core.addr(), func(h http.Header) { asMarked(h, isWebSocket(req), form) }, nil, func(error) { refuse(http.StatusBadGateway) })
}
