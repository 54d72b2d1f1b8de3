package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"tunnelmedic/internal/evidence"
)

// cloudflared closes a connection that was idle for 10 s: its metrics server's
// ReadTimeout, which holds for that as well where no IdleTimeout is set (its
// metrics/metrics.go). One that may be about to be closed is not used.
const (
	restful = 8 * time.Second  // how long a kept connection may have been idle
	aged    = 10 * time.Minute // how old it may be: the name may lead elsewhere by now
	swift   = time.Second      // how long an answer over it may take before it is asked again
)

// errStale says that a kept connection did not give a whole answer.
var errStale = errors.New("the kept connection gives no answer that counts")

// kept is a connection to the connector over which reading follows reading.
type kept struct {
	conn        net.Conn
	made, used  time.Time
	in, lines   *bufio.Reader
	ready       []byte // the last answers, and what was read out of them
	text, fresh []byte
	seen        evidence.Connector
	id          string
	counters    *evidence.Counters
}

// Read is Look over a connection that is kept from one reading to the next. Anything but
// two whole answers over it means nothing: it is closed, and the connector is asked again
// over connections of their own. So another process, which has closed the connection, is
// never missed, and what it was told of the one before never counts. One goroutine at a
// time may call it.
func (c *Connector) Read(ctx context.Context, now time.Time) evidence.Connector {
	k := c.line
	if k == nil || k.conn == nil || now.Sub(k.used) > restful || now.Sub(k.made) > aged || now.Before(k.used) {
		c.HangUp()
		if k = c.connect(ctx, now); k == nil {
			return c.Look(ctx, now)
		}
	}
	if err := c.converse(ctx, k, now); err != nil {
		c.HangUp()
		return c.Look(ctx, now)
	}
	e := k.seen
	e.Counters = k.counters
	return c.follow(e, k.id, now)
}

// HangUp closes the connection that Read keeps.
func (c *Connector) HangUp() {
	if k := c.line; k != nil && k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}

// connect makes a connection to keep; nil if there is none to be had.
func (c *Connector) connect(ctx context.Context, now time.Time) *kept {
	u, err := url.Parse(c.http.BaseURL)
	if err != nil || u.Scheme != "http" {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ctx, cancel := context.WithTimeout(ctx, swift)
	defer cancel()
	conn, err := c.net.Dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil
	}
	if c.line == nil {
		ask := func(path string) string {
			return "GET " + u.Path + path + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: tunnelmedic\r\nAccept-Encoding: identity\r\n\r\n"
		}
		c.ask = []byte(ask("/metrics") + ask("/ready"))
		c.line = &kept{in: bufio.NewReader(nil), lines: bufio.NewReader(nil)}
	}
	k := c.line
	k.conn, k.made = conn, now
	k.in.Reset(conn)
	return k
}

// converse asks both questions at once and takes both answers: the long one first, so that
// the short one is there when it ends, and is not waited for on its own.
func (c *Connector) converse(ctx context.Context, k *kept, now time.Time) error {
	if err := k.conn.SetDeadline(time.Now().Add(swift)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := k.conn.Write(c.ask); err != nil {
		return err
	}
	if err := k.takeCounters(); err != nil {
		return err
	}
	if err := k.takeReady(); err != nil {
		return err
	}
	if k.in.Buffered() > 0 { // nobody has asked for that
		return errStale
	}
	k.used = now
	return k.conn.SetDeadline(time.Time{}) // it would wake the program for nothing
}

// answer takes an answer's head. One after which the connection ends is the last of a
// process that ends.
func (k *kept) answer() (*http.Response, error) {
	res, err := http.ReadResponse(k.in, nil)
	if err == nil && (res.Close || res.StatusCode != 200 && res.StatusCode != 503) {
		return nil, errStale
	}
	return res, err
}

// takeReady takes the answer to /ready. One that is word for word the last is not read again.
func (k *kept) takeReady() error {
	res, err := k.answer() //nolint:bodyclose // each closes it
	if err != nil {
		return err
	}
	k.fresh = k.fresh[:0]
	if err := k.each(res.Body, func(line []byte) { k.fresh = append(k.fresh, line...) }); err != nil {
		return err
	}
	if res.StatusCode == k.seen.Status && bytes.Equal(k.fresh, k.ready) {
		return nil
	}
	if k.seen, k.id = readiness(res.StatusCode, k.fresh); k.seen.Status == 0 {
		return errStale
	}
	k.ready = append(k.ready[:0], k.fresh...)
	return nil
}

// takeCounters takes the answer to /metrics. Nothing is made of it while the counters
// stand still.
func (k *kept) takeCounters() error {
	res, err := k.answer() //nolint:bodyclose // each closes it
	if err != nil {
		return err
	}
	if res.StatusCode != 200 {
		return errStale
	}
	k.fresh = k.fresh[:0]
	if err := k.each(res.Body, func(line []byte) {
		if wanted(line) {
			k.fresh = append(k.fresh, line...)
		}
	}); err != nil {
		return err
	}
	if k.counters != nil && bytes.Equal(k.fresh, k.text) {
		return nil
	}
	counters, err := parseCounters(bytes.NewReader(k.fresh))
	if err != nil {
		return err
	}
	k.counters, k.text = &counters, append(k.text[:0], k.fresh...)
	return nil
}

// each gives the lines of an answer, to its end. None may be longer than the buffer, and
// the whole no longer than any answer.
func (k *kept) each(body io.ReadCloser, take func(line []byte)) error {
	k.lines.Reset(body)
	for read := 0; read < answerLimit; {
		line, err := k.lines.ReadSlice('\n')
		take(line)
		if read += len(line); errors.Is(err, io.EOF) {
			return body.Close()
		} else if err != nil {
			return err
		}
	}
	return errStale
}
