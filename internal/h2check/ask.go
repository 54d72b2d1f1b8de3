package h2check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// Shape is how a request is put onto an HTTP/2 connection.
type Shape uint8

const (
	HeadersAlone Shape = iota // one HEADERS frame that ends the stream
	EmptyData                 // HEADERS, then an empty DATA frame that ends the stream: the same request (RFC 9113 §8.1)
)

var shapeNames = []string{"HEADERS alone", "HEADERS + empty DATA"}

func (s Shape) String() string { return enum.Name(shapeNames, s) }

// MarshalText writes the shape's name.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Outcome is how a request over HTTP/2 ended.
type Outcome uint8

const (
	NotReached Outcome = iota // no connection, or no TLS
	NotSpoken                 // the server does not speak HTTP/2
	Replied                   // a whole answer came
	Silent                    // nothing came, or not all of it, within the time
	Reset                     // the server reset the stream
	GoneAway                  // the server ended the connection
	Broken                    // something came that is not HTTP/2, or our own side gave up
)

var outcomeNames = []string{"not reached", "no HTTP/2", "answered", "timed out", "reset", "connection ended", "broken"}

func (o Outcome) String() string { return enum.Name(outcomeNames, o) }

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Frame is one frame of the conversation.
type Frame struct {
	At   time.Duration `json:"at_ns"` // since the connection stood
	Ours bool          `json:"ours"`  // sent, not received
	Text string        `json:"text"`  // without secrets
}

// Look is a look over HTTP/2: what every look keeps, and the frames.
type Look struct {
	evidence.Look
	Shape   Shape
	Outcome Outcome
	Code    string // of RST_STREAM or GOAWAY: "PROTOCOL_ERROR"
	Frames  []Frame
}

// Failed says whether the server was asked over HTTP/2 and did not answer.
func (h Look) Failed() bool { return h.Outcome >= Silent }

const (
	h2Stream   = 1
	maxFrames  = 200      // of one look
	maxHead    = 64 << 10 // bytes of an answer's head
	maxReplyH2 = 4 << 20  // bytes of an answer's body that are waited for
)

// errEnded is a stream or connection that the server ended before its answer was whole.
var errEnded = fmt.Errorf("%w: ended by the server", io.ErrUnexpectedEOF)

// Ask puts one request onto an HTTP/2 connection of its own, frame by frame, and
// keeps the frames of both sides. On http:// (this machine only) it begins with
// HTTP/2 at once, without TLS.
func Ask(ctx context.Context, t probe.Target, shape Shape, path string) Look {
	h := Look{Shape: shape}
	c := &conversation{look: &h, shape: shape, path: path}
	h.Look = probe.Converse(ctx, t, path, []string{"h2", "http/1.1"}, c.hold)
	h.Asked = h.Asked + " over HTTP/2, " + shape.String()
	h.Outcome = c.outcome(h.Look)
	h.Frames = c.frames
	return h
}

// conversation is one HTTP/2 connection.
type conversation struct {
	look  *Look
	shape Shape
	path  string

	talk     probe.Talk
	seen     *evidence.Look
	framer   *http2.Framer
	began    time.Time
	frames   []Frame
	spoken   bool
	over     bool   // the answer is whole
	ended    string // RST_STREAM or GOAWAY
	body     bytes.Buffer
	received int
}

func (c *conversation) outcome(l evidence.Look) Outcome {
	switch {
	case l.Trouble == evidence.Interrupted || l.Trouble == evidence.Unusable:
		return Broken
	case !c.spoken && l.Stage < evidence.Secured:
		return NotReached
	case !c.spoken:
		return NotSpoken
	case c.over:
		return Replied
	case c.ended == "RST_STREAM":
		return Reset
	case l.Trouble == evidence.TimedOut:
		return Silent
	case l.Trouble == evidence.Cut:
		return GoneAway
	}
	return Broken
}

// hold speaks HTTP/2 over a connection.
func (c *conversation) hold(_ context.Context, t probe.Talk) error {
	c.talk, c.seen, c.began = t, t.Look(), time.Now()
	if c.seen.TLS != nil && c.seen.TLS.ALPN != "h2" {
		return nil // the server chose HTTP/1.1: the look ends here
	}
	c.framer = http2.NewFramer(t.Conn(), t.Conn())
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = maxHead
	c.framer.SetMaxReadFrameSize(1 << 14)
	if _, err := io.WriteString(t.Conn(), http2.ClientPreface); c.sent("connection preface (PRI * HTTP/2.0)", err) != nil {
		return err
	}
	if err := c.sent("SETTINGS ENABLE_PUSH=0", c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})); err != nil {
		return err
	}
	// With TLS the server has agreed to HTTP/2 already. A request goes out at once, as
	// browsers send it.
	c.spoken = c.seen.TLS != nil
	if err := c.send(); err != nil {
		return err
	}
	for !c.over {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return readError(err)
		}
		c.spoken = true
		if err := c.take(f); err != nil {
			return err
		}
	}
	t.Answered()
	// A goodbye. The look is over: that it is not heard makes no difference.
	_ = c.sent("GOAWAY last_stream=0 code=NO_ERROR", c.framer.WriteGoAway(0, http2.ErrCodeNo, nil))
	return nil
}

// readError takes a server that does not speak HTTP/2 apart from one that broke off.
func readError(err error) error {
	conn, isConn := errors.AsType[http2.ConnectionError](err)
	stream, isStream := errors.AsType[http2.StreamError](err)
	switch {
	case isConn:
		return fmt.Errorf("%w: HTTP/2 %s", probe.ErrGarbled, http2.ErrCode(conn))
	case isStream:
		return fmt.Errorf("%w: HTTP/2 %s", probe.ErrGarbled, stream.Code)
	case errors.Is(err, http2.ErrFrameTooLarge):
		return fmt.Errorf("%w: no HTTP/2", probe.ErrGarbled)
	}
	return err
}

// send puts the request onto the connection in its shape.
func (c *conversation) send() error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	var shown []string
	field := func(name, value string, hide bool) {
		// Writing to a bytes.Buffer does not fail.
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: hide})
		if hide {
			value = "[hidden]"
		}
		shown = append(shown, name+"="+value)
	}
	u := c.talk.URL()
	field(":method", http.MethodGet, false)
	field(":scheme", u.Scheme, false)
	field(":authority", u.Host, false)
	field(":path", c.path, false)
	h := c.talk.Header()
	for _, name := range slices.Sorted(maps.Keys(h)) {
		field(strings.ToLower(name), h.Get(name), strings.HasPrefix(name, "Cf-Access-") || strings.HasPrefix(name, "CF-Access-"))
	}
	alone := c.shape == HeadersAlone
	text := "HEADERS stream=1" + flag(alone, "END_STREAM") + " " + strings.Join(shown, " ")
	err := c.sent(text, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: h2Stream, BlockFragment: block.Bytes(), EndStream: alone, EndHeaders: true}))
	if err != nil || alone {
		return err
	}
	return c.sent("DATA stream=1 length=0 END_STREAM", c.framer.WriteData(h2Stream, true, nil))
}

// take answers a frame of the server's as a client must, and notes what it says.
func (c *conversation) take(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		c.came("PING%s", flag(f.IsAck(), "ACK"))
		if f.IsAck() {
			return nil
		}
		return c.sent("PING ACK", c.framer.WritePing(true, f.Data))
	case *http2.WindowUpdateFrame:
		c.came("WINDOW_UPDATE stream=%d increment=%d", f.StreamID, f.Increment)
	case *http2.MetaHeadersFrame:
		return c.takeHeaders(f)
	case *http2.DataFrame:
		return c.takeData(f)
	case *http2.RSTStreamFrame:
		c.came("RST_STREAM stream=%d code=%s", f.StreamID, f.ErrCode)
		if f.StreamID == h2Stream {
			c.ended, c.look.Code = "RST_STREAM", f.ErrCode.String()
			return fmt.Errorf("%w: RST_STREAM %s", errEnded, f.ErrCode)
		}
	case *http2.GoAwayFrame:
		c.came("GOAWAY last_stream=%d code=%s %q", f.LastStreamID, f.ErrCode, c.talk.Line(string(f.DebugData())))
		if f.LastStreamID < h2Stream || f.ErrCode != http2.ErrCodeNo {
			c.ended, c.look.Code = "GOAWAY", f.ErrCode.String()
			return fmt.Errorf("%w: GOAWAY %s", errEnded, f.ErrCode)
		}
	default:
		h := f.Header()
		c.came("%s stream=%d length=%d", h.Type, h.StreamID, h.Length)
	}
	return nil
}

func (c *conversation) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		c.came("SETTINGS ACK")
		return nil
	}
	var shown []string
	_ = f.ForeachSetting(func(s http2.Setting) error { // it only passes on our own error
		shown = append(shown, s.String()[1:len(s.String())-1])
		return nil
	})
	c.came("%s", strings.TrimSpace("SETTINGS "+strings.Join(shown, " ")))
	return c.sent("SETTINGS ACK", c.framer.WriteSettingsAck())
}

func (c *conversation) takeHeaders(f *http2.MetaHeadersFrame) error {
	var shown []string
	h := http.Header{}
	for _, x := range f.Fields {
		shown = append(shown, c.talk.Line(x.Name+"="+x.Value))
		if !x.IsPseudo() {
			h.Add(x.Name, x.Value)
		}
	}
	const few = 12
	more := ""
	if len(shown) > few {
		more = fmt.Sprintf(" and %d more", len(shown)-few)
	}
	c.came("HEADERS stream=%d%s %s%s", f.StreamID, flag(f.StreamEnded(), "END_STREAM"), strings.Join(shown[:min(few, len(shown))], " "), more)
	if f.StreamID != h2Stream || c.seen.Status >= 200 {
		c.over = c.over || f.StreamID == h2Stream && f.StreamEnded() // trailers
		return nil
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	if err != nil || status < 100 || status > 999 {
		return fmt.Errorf("%w: the answer has no status", probe.ErrGarbled)
	}
	if status < 200 {
		return nil
	}
	c.seen.Status, c.seen.Header, c.seen.Stage = status, c.talk.Keep(h), evidence.Answered
	c.over = f.StreamEnded()
	return nil
}

func (c *conversation) takeData(f *http2.DataFrame) error {
	c.came("DATA stream=%d length=%d%s", f.StreamID, len(f.Data()), flag(f.StreamEnded(), "END_STREAM"))
	c.received += len(f.Data())
	if c.body.Len() < 64<<10 {
		c.body.Write(f.Data())
	}
	if c.seen.Status != http.StatusOK {
		c.seen.Body = c.talk.Text(c.body.String(), evidence.BodyLimit)
	}
	if c.over = f.StreamEnded() || c.received > maxReplyH2; c.over || f.Length == 0 {
		return nil
	}
	// Both windows are opened again by what was read.
	if err := c.framer.WriteWindowUpdate(0, f.Length); err != nil {
		return err
	}
	return c.framer.WriteWindowUpdate(h2Stream, f.Length)
}

// sent notes what was sent, unless it could not be.
func (c *conversation) sent(text string, err error) error {
	if err == nil {
		c.note(true, text)
	}
	return err
}

// came notes what was received.
func (c *conversation) came(format string, args ...any) { c.note(false, fmt.Sprintf(format, args...)) }

func (c *conversation) note(ours bool, text string) {
	if len(c.frames) < maxFrames {
		c.frames = append(c.frames, Frame{At: time.Since(c.began), Ours: ours, Text: text})
	}
}

func flag(set bool, name string) string {
	if set {
		return " " + name
	}
	return ""
}
