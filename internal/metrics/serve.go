package metrics

import (
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/network"
)

// The formats, by their media types: https://prometheus.io/docs/instrumenting/content_negotiation/
const (
	textFormat = "text/plain; version=0.0.4; charset=utf-8"
	openFormat = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

// Server answers GET /metrics, and nothing else. Whoever asks gets no more than a short answer, and
// has no long time for it.
func Server(from Source) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		open := wantsOpen(r.Header.Values("Accept"))
		w.Header().Set("Content-Type", textFormat)
		if open {
			w.Header().Set("Content-Type", openFormat)
		}
		var b strings.Builder
		write(&b, from.view(time.Now()), open)
		_, _ = io.WriteString(w, b.String()) // the asker has gone: nobody is left to tell
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0)}
}

// wantsOpen says whether an asker likes OpenMetrics 1.0.0 better than the text format, by the header
// Accept (RFC 9110, 12.5.1). Without a word for either it is the text format.
func wantsOpen(accept []string) bool {
	var open, text float64
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, with, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, given := with["q"]; given {
			if quality, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		switch version := with["version"]; {
		case kind == "application/openmetrics-text" && (version == "" || version == "1.0.0"):
			open = max(open, quality)
		case kind == "text/plain" && (version == "" || version == "0.0.4"), kind == "text/*", kind == "*/*":
			text = max(text, quality)
		}
	}
	return open > text
}

// maxConns is how many may ask at once.
const maxConns = 8

// Listener lets no more in than can be served.
func Listener(l net.Listener) net.Listener { return network.Few(l, maxConns, nil) }
