package supervisor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/secret"
)

// line is the way to Supervisor: it asks one thing, as often as it may, and makes of
// whatever comes back a value or an [Error].
type line struct {
	http   *resty.Client
	keeper *secret.Keeper
	scale  float64

	tokenRefused atomic.Bool // Supervisor's last word on our token
	running      running
}

// The sizes of answers that are read. A Supervisor with a hundred add-ons answers
// with some 60 KiB.
const (
	jsonLimit  = 4 << 20
	errorLimit = 64 << 10
	logLimit   = 256 << 10
)

func (l *line) scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * l.scale) }

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
	// Notices, events, states: worth little a moment later, and twice the same
	// message on a phone is worse than none.
	telling = patience{timeout: 15 * time.Second, acts: true}
)

// pauses lie between tries; the last one holds for all further tries.
var pauses = [...]time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}

// call is one question to the API.
type call struct {
	op       string   // what is being done, for people: "listing the apps"
	method   string   // "" is GET
	path     []string // what stands between its slashes
	query    string
	body     []byte // JSON, nil for none
	options  bool   // it sends option values, which an error's text may quote
	text     bool   // the answer is a text of any length, of which the end is kept
	patience patience
	status   *int // takes a good answer's HTTP status; nil: nobody asks for it
}

// core says whether it goes through the proxy to Core.
func (q call) core() bool {
	return len(q.path) > 1 && q.path[0] == "core" && (q.path[1] == "api" || q.path[1] == "websocket")
}

// do asks, again where the table allows it, and gives a 2xx answer's body. A name from a
// setting that would lead elsewhere is not asked for.
func (l *line) do(ctx context.Context, q call) ([]byte, error) {
	for _, name := range q.path {
		if !isWord(name) {
			return nil, &Error{Op: "asking Supervisor", Kind: Rejected, Message: fmt.Sprintf("%.60q is not the name of anything", name)}
		}
	}
	for try := 0; ; try++ {
		body, e := l.once(ctx, q)
		if e == nil {
			return body, nil
		}
		if e.Kind != Away || try >= q.patience.retries || ctx.Err() != nil {
			return nil, e
		}
		select {
		case <-time.After(l.scaled(pauses[min(try, len(pauses)-1)])):
		case <-ctx.Done():
			return nil, l.broken(ctx, q, ctx.Err())
		}
	}
}

// once makes one try.
func (l *line) once(ctx context.Context, q call) ([]byte, *Error) {
	limited, cancel := context.WithTimeout(ctx, l.scaled(q.patience.timeout))
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})

	// Without a length set, resty sends "no body" as a chunked one.
	req := l.http.R().SetContext(traced).SetContentLength(true)
	if q.body != nil {
		req.SetHeader("Content-Type", "application/json").SetBody(q.body)
	}
	if q.query != "" {
		req.SetQueryString(q.query)
	}
	res, err := req.Execute(cmp.Or(q.method, http.MethodGet), "/"+strings.Join(q.path, "/"))
	if err != nil {
		e := l.broken(ctx, q, err)
		e.EffectUnknown = q.patience.acts && sent.Load()
		return nil, e
	}
	raw := res.RawBody()
	defer raw.Close()

	if status := res.StatusCode(); status < 200 || status > 299 {
		// What the status says holds even if the text after it is cut off.
		text, _ := io.ReadAll(io.LimitReader(raw, errorLimit))
		e := l.refused(q, status, text)
		if e.Kind == NoRole || e.Kind == Unauthorised {
			l.judgeToken(ctx, q, e)
		}
		return nil, e
	}
	l.tokenRefused.Store(false)
	if q.status != nil {
		*q.status = res.StatusCode()
	}
	body, e := l.take(ctx, q, res.Header().Get("Content-Type"), raw)
	if e != nil {
		e.Status, e.EffectUnknown = res.StatusCode(), q.patience.acts
	}
	return body, e
}

// take takes a good answer in, as far as its limit.
func (l *line) take(ctx context.Context, q call, contentType string, raw io.Reader) (body []byte, e *Error) {
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
		return nil, l.broken(ctx, q, err)
	case len(body) > jsonLimit:
		return nil, &Error{Op: q.op, Kind: Unexpected, Message: fmt.Sprintf("an answer of more than %d MiB", jsonLimit>>20)}
	}
	return body, nil
}

// notAccepted is what Supervisor says to a token of yesterday.
const notAccepted = "Supervisor does not accept Tunnel Medic's token"

// judgeToken tells a token that is not accepted from a role that is missing. Supervisor
// answers 403 to both, in the same words; /info, /services and what is below
// /addons/self are open to every app whose token it knows (api/middleware/security.py).
func (l *line) judgeToken(ctx context.Context, q call, e *Error) {
	open := q.path[0] == "info" || q.path[0] == "services" || slices.Equal(q.path[:min(2, len(q.path))], []string{"addons", "self"})
	if e.Kind != Unauthorised && !open && !l.tokenRefused.Load() {
		if _, again := l.once(ctx, call{op: q.op, path: []string{"info"}, patience: reading}); again == nil || again.Kind != Unauthorised {
			return
		}
	}
	e.Kind, e.Message = Unauthorised, notAccepted
	l.tokenRefused.Store(true)
}

// broken says what became of a call that got no whole answer.
func (l *line) broken(ctx context.Context, q call, err error) *Error {
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
		e.Message = l.safe(err.Error())
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

// ask makes a call and reads data out of the answer, which Supervisor wraps and Core does
// not; data may be nil.
func (l *line) ask(ctx context.Context, q call, data any) error {
	text, err := l.do(ctx, q)
	if err != nil {
		return err
	}
	if !q.core() {
		var env envelope
		if json.Unmarshal(text, &env) != nil {
			return unexpected(q, "an answer that is not Supervisor's JSON: "+kindOfText(text))
		}
		switch env.Result {
		case "ok":
		case "error":
			return l.refused(q, http.StatusOK, text)
		default:
			return unexpected(q, "JSON without a result")
		}
		if text = env.Data; data != nil && (len(text) == 0 || bytes.Equal(text, []byte("null"))) {
			return unexpected(q, "an answer without data")
		}
	}
	if data == nil {
		return nil
	}
	return decode(q, text, data)
}

// read reads what stands at a path; missing says what it lacks to be that, "" for nothing.
func read[T any](ctx context.Context, l *line, op string, missing func(*T) string, path ...string) (T, error) {
	var data, none T
	q := call{op: op, path: path, patience: reading}
	if err := l.ask(ctx, q, &data); err != nil {
		return none, err
	}
	if missing != nil {
		if what := missing(&data); what != "" {
			return none, unexpected(q, "an answer without "+what)
		}
	}
	return data, nil
}

// unless names what is missing where something does not hold.
func unless(holds bool, what string) string {
	if holds {
		return ""
	}
	return what
}

// decode reads JSON; its error never quotes it.
func decode(q call, text []byte, into any) error {
	err := json.Unmarshal(text, into)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return unexpected(q, "JSON in which "+wrong.Field+" is of another type")
	}
	return unexpected(q, "an answer that is not the JSON it should be: "+kindOfText(text))
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
