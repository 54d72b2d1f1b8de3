package lab

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// Request is one request that a part of the world was asked.
type Request struct {
	At     time.Time
	Server string // supervisor, origin, edge, connector, outside, proxy
	Method string
	Host   string
	Path   string
	Query  string
	Header http.Header // as it came: it may hold tokens
	Body   string      // Supervisor's only
	Status int         // 0 while it is being answered, or if it never was
}

// keptRequests bounds what a long-lived world remembers.
const keptRequests = 20000

// bodyLimit bounds a request's body, in bytes.
const bodyLimit = 1 << 20

// Requests are those that were asked so far, oldest first.
func (w *World) Requests() []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Request, len(w.requests))
	for i, r := range w.requests {
		out[i] = *r
	}
	return out
}

// watch records a request to one of the parts as it arrives; the function it gives notes its status.
func (w *World) watch(server string, rw http.ResponseWriter, req *http.Request) (*watched, func()) {
	r := &Request{At: time.Now(), Server: server, Method: req.Method, Host: req.Host, Path: req.URL.Path, Query: req.URL.RawQuery, Header: req.Header.Clone()}
	if server == "supervisor" {
		raw, _ := io.ReadAll(io.LimitReader(req.Body, bodyLimit)) // a body that breaks off is a short body
		req.Body = io.NopCloser(bytes.NewReader(raw))
		r.Body = string(raw)
	}
	out := &watched{ResponseWriter: rw}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests = append(w.requests, r); len(w.requests) > keptRequests {
		w.requests = append([]*Request(nil), w.requests[keptRequests/2:]...)
	}
	w.changed()
	return out, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		r.Status = out.status
		w.changed()
	}
}

// watched notes the status on its way.
type watched struct {
	http.ResponseWriter
	status int
}

func (s *watched) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *watched) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *watched) Unwrap() http.ResponseWriter { return s.ResponseWriter }
