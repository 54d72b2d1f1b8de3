// Package supervisor speaks with Home Assistant's Supervisor and, through its
// proxy, with Core: as much of both APIs as the program needs, and no more. It
// decides nothing. What it gives back is typed, bounded in size and, where people
// may read it, free of secrets; what went wrong is an [Error] whose kind says what
// a caller can do.
package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/secret"
)

// Config is what a [Client] needs. It never prints its token.
type Config struct {
	BaseURL string         // of the Supervisor, "http://supervisor" in an add-on
	Token   string         // SUPERVISOR_TOKEN; it changes at every start of the add-on
	Keeper  *secret.Keeper // learns the token and the secrets met on the way; nil makes a new one
	Net     network.Network

	// TimeScale multiplies every time-out and pause. It is for tests, which cannot
	// wait four minutes for a restart; 0 means 1.
	TimeScale float64
}

// Format keeps the token out of every verb.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, "supervisor.Config") }

// Client asks one Supervisor. It may be used by several goroutines at once.
type Client struct {
	http   *resty.Client
	keeper *secret.Keeper
	scale  float64

	tokenRefused atomic.Bool // Supervisor's last word on our token
	admins       admins
	coreStopped  atomic.Bool // Core's container did not run when that was asked last, and Core has not answered since
}

// TokenRefused says whether Supervisor does not accept this app's token. That ends with
// a new one, which a restart of the app gives.
func (c *Client) TokenRefused() bool { return c.tokenRefused.Load() }

// Format keeps the token out of every verb.
func (c *Client) Format(f fmt.State, _ rune) { io.WriteString(f, "supervisor.Client") }

// The sizes of answers that are read. A Supervisor with a hundred add-ons answers
// with some 60 KiB.
const (
	jsonLimit  = 4 << 20
	errorLimit = 64 << 10
	logLimit   = 256 << 10
)

// New makes a client. It asks nothing yet.
func New(cfg Config) *Client {
	c := &Client{keeper: cfg.Keeper, scale: cfg.TimeScale}
	if c.keeper == nil {
		c.keeper = new(secret.Keeper)
	}
	if c.scale <= 0 {
		c.scale = 1
	}
	c.keeper.Add(cfg.Token)
	way := cfg.Net.Transport() // without a proxy: one from the environment would be handed the token
	way.DisableCompression = true
	// A round asks several things in a row. Supervisor's server closes what is idle for 75 s (aiohttp's
	// keepalive_timeout), so what is kept is let go well before.
	way.DisableKeepAlives, way.MaxIdleConnsPerHost, way.IdleConnTimeout = false, 1, c.scaled(20*time.Second)
	way.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.scaled(5*time.Second))
		defer cancel()
		return cfg.Net.Dial(ctx, network, address)
	}
	c.http = network.Client(way, cfg.BaseURL, 0, 0).
		SetAuthToken(cfg.Token). // over plain http by design: the network is Docker's own
		SetHeader("User-Agent", "tunnelmedic").
		SetDoNotParseResponse(true)
	return c
}

func (c *Client) scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * c.scale) }

// patience is how long a call may take and how often it is tried.
type patience struct {
	timeout time.Duration // of one try, answer's body included
	retries int           // further tries, and only when the Supervisor was Away
	acts    bool          // it changes something: an answer that got lost leaves its effect unknown
}

// The one table of time-outs and retries.
var (
	// A read changes nothing, so it is simply asked again: a restarting Supervisor
	// is back within seconds.
	reading = patience{timeout: 10 * time.Second, retries: 2}
	// Supervisor collects a log from the journal, which is slow on an SD card.
	readingLog = patience{timeout: 30 * time.Second, retries: 1}
	// Supervisor checks passwords in options against a service on the internet, and
	// waits up to 10 s for it. Checking changes nothing.
	checking = patience{timeout: 30 * time.Second, retries: 2}
	// The same check, then a write. Not repeated here: another hand may have
	// changed the options meanwhile, so the caller must read them again first.
	writing = patience{timeout: 30 * time.Second, acts: true}
	// Stop 10 s, container removed and made, up to 120 s wait for "started", on slow
	// disks. A second restart would cut the household off once more, so never on its own.
	restarting = patience{timeout: 240 * time.Second, acts: true}
	// As a restart, without the stop.
	starting = patience{timeout: 220 * time.Second, acts: true}
	// SIGTERM, the add-on's own time-out (10 s as a rule), SIGKILL, removal.
	stopping = patience{timeout: 90 * time.Second, acts: true}
	// Notices, events, states: worth little a moment later, and twice the same
	// message on a phone is worse than none.
	telling = patience{timeout: 15 * time.Second, acts: true}
)

// pauses lie between tries; the last one holds for all further tries.
var pauses = [...]time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}

// call is one question to the API.
type call struct {
	op       string // what is being done, for people: "listing the apps"
	method   string
	path     string
	query    string
	body     []byte // JSON, nil for none
	core     bool   // it goes through the proxy to Core
	options  bool   // it sends option values, which an error's text may quote
	text     bool   // the answer is a text of any length, of which the end is kept
	patience patience
	status   *int // takes a good answer's HTTP status; nil: nobody asks for it
}

// do asks, again where the table allows it, and gives a 2xx answer's body.
func (c *Client) do(ctx context.Context, q call) ([]byte, error) {
	for try := 0; ; try++ {
		body, e := c.once(ctx, q)
		if e == nil {
			return body, nil
		}
		if e.Kind != Away || try >= q.patience.retries || ctx.Err() != nil {
			return nil, e
		}
		select {
		case <-time.After(c.scaled(pauses[min(try, len(pauses)-1)])):
		case <-ctx.Done():
			return nil, c.broken(ctx, q, ctx.Err())
		}
	}
}

// once makes one try.
func (c *Client) once(ctx context.Context, q call) ([]byte, *Error) {
	limited, cancel := context.WithTimeout(ctx, c.scaled(q.patience.timeout))
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})

	// Without a length set, resty sends "no body" as a chunked one.
	req := c.http.R().SetContext(traced).SetContentLength(true)
	if q.body != nil {
		req.SetHeader("Content-Type", "application/json").SetBody(q.body)
	}
	if q.query != "" {
		req.SetQueryString(q.query)
	}
	res, err := req.Execute(q.method, q.path)
	if err != nil {
		e := c.broken(ctx, q, err)
		e.EffectUnknown = q.patience.acts && sent.Load()
		return nil, e
	}
	raw := res.RawBody()
	defer raw.Close()

	if status := res.StatusCode(); status < 200 || status > 299 {
		// What the status says holds even if the text after it is cut off.
		text, _ := io.ReadAll(io.LimitReader(raw, errorLimit))
		e := c.refused(q, status, text)
		if e.Kind == NoRole || e.Kind == Unauthorised {
			c.judgeToken(ctx, q, e)
		}
		return nil, e
	}
	c.tokenRefused.Store(false)
	if q.status != nil {
		*q.status = res.StatusCode()
	}
	body, e := c.read(ctx, q, res.Header().Get("Content-Type"), raw)
	if e != nil {
		e.Status, e.EffectUnknown = res.StatusCode(), q.patience.acts
	}
	return body, e
}

// read takes a good answer in, as far as its limit.
func (c *Client) read(ctx context.Context, q call, contentType string, raw io.Reader) (body []byte, e *Error) {
	var err error
	switch {
	case q.text && strings.Contains(contentType, "html"):
		return nil, &Error{Op: q.op, Kind: Unexpected, Message: "an HTML page"}
	case q.text:
		body, err = tail(raw, logLimit)
	default:
		body, err = io.ReadAll(io.LimitReader(raw, jsonLimit+1))
	}
	switch {
	case err != nil:
		return nil, c.broken(ctx, q, err)
	case len(body) > jsonLimit:
		return nil, &Error{Op: q.op, Kind: Unexpected, Message: fmt.Sprintf("an answer of more than %d MiB", jsonLimit>>20)}
	}
	return body, nil
}

// judgeToken tells a token that is not accepted from a role that is missing. Supervisor
// answers 403 to both, in the same words; /info, /services and what is below
// /addons/self are open to every app whose token it knows (api/middleware/security.py).
func (c *Client) judgeToken(ctx context.Context, q call, e *Error) {
	open := q.path == "/info" || strings.HasPrefix(q.path, "/services/") || strings.HasPrefix(q.path, "/addons/self/")
	switch {
	case e.Kind == Unauthorised, open, c.tokenRefused.Load():
		e.Kind = Unauthorised
	default:
		_, again := c.once(ctx, call{op: q.op, method: http.MethodGet, path: "/info", patience: reading})
		if again == nil || again.Kind != Unauthorised {
			return
		}
		e.Kind = Unauthorised
	}
	e.Message = "Supervisor does not accept Tunnel Medic's token"
	c.tokenRefused.Store(true)
}

// broken says what became of a call that got no whole answer.
func (c *Client) broken(ctx context.Context, q call, err error) *Error {
	e := &Error{Op: q.op, Kind: Away}
	if inURL, ok := errors.AsType[*url.Error](err); ok {
		err = inURL.Err
	}
	trouble := network.TroubleOf(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind, e.Message, e.cause = Interrupted, "stopped by this program", context.Canceled
	case trouble == evidence.TimedOut:
		e.Message, e.cause = "no answer in time", context.DeadlineExceeded
	case trouble == evidence.Refused:
		e.Message = "the connection was refused"
	case trouble == evidence.Cut:
		e.Message = "the connection was cut before the answer was whole"
	default:
		e.Message = c.line(err.Error())
	}
	return e
}

// envelope is how Supervisor wraps every JSON answer.
type envelope struct {
	Result   string          `json:"result"`
	Message  string          `json:"message"`
	ErrorKey string          `json:"error_key"`
	Data     json.RawMessage `json:"data"`
}

// ask makes a call to Supervisor itself and reads data out of its envelope; data
// may be nil.
func (c *Client) ask(ctx context.Context, q call, data any) error {
	body, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	var env envelope
	if json.Unmarshal(body, &env) != nil {
		return unexpected(q, "an answer that is not Supervisor's JSON: "+kindOfText(body))
	}
	switch env.Result {
	case "ok":
	case "error":
		return c.refused(q, http.StatusOK, body)
	default:
		return unexpected(q, "JSON without a result")
	}
	if data == nil {
		return nil
	}
	if len(env.Data) == 0 || bytes.Equal(env.Data, []byte("null")) {
		return unexpected(q, "an answer without data")
	}
	return decode(q, env.Data, data)
}

// decode reads JSON; its error never quotes it.
func decode(q call, text []byte, into any) error {
	err := json.Unmarshal(text, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return unexpected(q, "JSON in which "+wrongType.Field+" is of another type")
	default:
		return unexpected(q, "an answer that is not the JSON it should be: "+kindOfText(text))
	}
}

func unexpected(q call, what string) *Error {
	return &Error{Op: q.op, Kind: Unexpected, Status: http.StatusOK, Message: what, EffectUnknown: q.patience.acts}
}

func kindOfText(b []byte) string {
	switch t := bytes.TrimSpace(b); {
	case len(t) == 0:
		return "nothing"
	case t[0] == '<':
		return "an HTML page"
	case t[0] == '{', t[0] == '[':
		return "cut off or broken JSON"
	default:
		return "plain text"
	}
}

// tail reads all and keeps the last limit bytes, from the first whole line on.
func tail(r io.Reader, limit int) ([]byte, error) {
	var kept []byte
	cut := false
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		kept = append(kept, buf[:n]...)
		if len(kept) > 2*limit {
			kept, cut = append(kept[:0], kept[len(kept)-limit:]...), true
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(kept) > limit {
		kept, cut = kept[len(kept)-limit:], true
	}
	if cut {
		// Half a line may hold half a secret, which the keeper would not know.
		_, kept, _ = bytes.Cut(kept, []byte("\n"))
	}
	return kept, nil
}

// words are what may stand in a path: slugs, entity ids, names of services and events.
var words = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*$`)

// isWord bounds the length apart: a counted repetition costs a regular expression a
// quarter of a megabyte.
func isWord(s string) bool { return len(s) <= 255 && words.MatchString(s) }

// named guards a path against a name from a setting that would lead elsewhere.
func named(what, name string) error {
	if isWord(name) {
		return nil
	}
	return &Error{Op: "asking Supervisor", Kind: Rejected, Message: fmt.Sprintf("%.60q is not the name of %s", name, what)}
}
