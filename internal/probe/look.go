package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/secret"
)

const (
	maxHead   = 64 << 10 // bytes of an answer's head
	maxInform = 5        // 1xx answers before the real one
	maxKept   = 32       // headers
	maxValue  = 300      // bytes of a header's value, and of a detail

	// overlap is read beyond BodyLimit, so that a secret which the limit would
	// cut in two is seen whole and scrubbed whole.
	overlap = 1024
)

// visit is one look while it goes on. It is also the http.RoundTripper of that
// look: net/http's own would dial behind our back, retry, and report some ends of
// a connection by prose alone.
type visit struct {
	target  Target
	look    evidence.Look
	keepers []*secret.Keeper

	conn       net.Conn // to the other side, TLS included
	certWanted bool     // the server asked for a client certificate
	wanted     int      // how much of a body is read, in bytes; 0: what the look keeps
	whole      []byte   // what was read of it
	answered   bool     // an answer other than 101 came, as much of it as is kept
	over       bool     // Took is set: what follows is only courtesy
}

// look makes one look: ask puts its question over the visit and notes what it saw.
func look(ctx context.Context, t Target, path string, ask func(context.Context, *visit) error) evidence.Look {
	own := new(secret.Keeper)
	own.Add(t.secrets()...)
	v := &visit{target: t, keepers: []*secret.Keeper{own}}
	if t.Keeper != nil {
		v.keepers = append(v.keepers, t.Keeper)
	}
	v.look = evidence.Look{Asked: "GET " + t.address(path), At: time.Now(), Stage: evidence.Asked}
	v.look.Showed.ServiceToken = !t.Access.empty() && !t.direct

	limited, cancel := context.WithTimeout(ctx, t.Limit())
	defer cancel()
	err := v.attempt(limited, ask)
	v.done()
	if v.look.Status != 0 && v.look.CFRay() == "" {
		t.Vouched.note(t.name(), v.look.Addr, false)
	}
	if err != nil {
		v.fail(ctx, limited, err)
	}
	return v.look
}

// attempt connects and asks. A panic becomes a look that says nothing of the
// other side: one bad look must not end the program that watches over a house.
func (v *visit) attempt(ctx context.Context, ask func(context.Context, *visit) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", errUnusable, p)
		}
	}()
	if err := v.target.check(); err != nil {
		return err
	}
	if err := v.connect(ctx); err != nil {
		return err
	}
	defer v.conn.Close()
	if err := v.vouch(ctx); err != nil {
		return err
	}
	// Reads and writes know no context; closing under them ends them at once.
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	return ask(ctx, v)
}

// done notes how long the look took; the first call counts.
func (v *visit) done() {
	if !v.over {
		v.look.Took, v.over = time.Since(v.look.At), true
	}
}

// bare takes off what net/http and the library wrap around the error of a
// RoundTrip: it repeats the URL and says nothing more.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// client is an http.Client for the one request of this visit.
func (v *visit) client() *http.Client {
	return &http.Client{Transport: v, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip puts the question and notes the answer. Of a 101 the body is the
// connection, as the WebSocket library expects it; of any other answer it is
// empty, because the look holds what there is to keep.
func (v *visit) RoundTrip(req *http.Request) (*http.Response, error) {
	if v.target.host != "" {
		req.Host = v.target.host
	}
	wrote := req.Write(v.conn)
	// Even when the question could not be written whole, the answer that
	// explains it may be there: an early refusal, or a TLS alert.
	resp, br, err := v.readHead(req)
	if err != nil {
		return nil, errors.Join(err, wrote)
	}
	v.look.Status = resp.StatusCode
	v.look.Header = v.kept(resp.Header)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		v.look.Stage = evidence.Upgraded
		resp.Body = struct {
			io.Reader
			io.WriteCloser
		}{br, v.conn}
		return resp, nil
	}

	v.look.Stage = evidence.Answered
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(max(v.wanted, evidence.BodyLimit+overlap))))
	v.whole = body
	v.look.Body = cut(v.scrub(string(body[:min(len(body), evidence.BodyLimit+overlap)])), evidence.BodyLimit)
	resp.Body = http.NoBody
	if err != nil && len(body) < evidence.BodyLimit {
		return nil, err
	}
	v.answered = true
	return resp, nil
}

// readHead reads the head of the answer, informational ones passed over.
func (v *visit) readHead(req *http.Request) (*http.Response, *bufio.Reader, error) {
	in := &wire{Reader: v.conn}
	limit := &io.LimitedReader{R: in, N: maxHead}
	br := bufio.NewReader(limit)
	for range maxInform {
		// Something else that ends without a line break would pass for a cut answer.
		if start, _ := br.Peek(5); len(start) == 5 && string(start) != "HTTP/" {
			return nil, nil, fmt.Errorf("%w: the answer is no HTTP/1", errGarbled)
		}
		resp, err := http.ReadResponse(br, req)
		switch {
		case err != nil && limit.N <= 0:
			return nil, nil, fmt.Errorf("%w: the answer's head is longer than %d bytes", errGarbled, maxHead)
		case err != nil && in.err != nil:
			return nil, nil, fmt.Errorf("before the answer's head was whole: %w", in.err)
		case err != nil:
			return nil, nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			limit.N = math.MaxInt64
			return resp, br, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: informational answers only", errGarbled)
}

// wire remembers how the reading of a connection ended: half a line before the end
// is a cut answer, though the parser only says that the line makes no sense.
type wire struct {
	io.Reader
	err error
}

func (w *wire) Read(p []byte) (n int, err error) {
	n, err = w.Reader.Read(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// kept picks the headers that the diagnosis reads.
func (v *visit) kept(h http.Header) map[string]string {
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if len(kept) < maxKept && slices.ContainsFunc(evidence.Kept, func(k string) bool {
			return k == name || strings.HasSuffix(k, "-") && strings.HasPrefix(name, k)
		}) {
			kept[name] = v.line(strings.Join(h[name], ", "))
		}
	}
	return kept
}

// scrub cuts out every known secret, and whatever is not text.
func (v *visit) scrub(s string) string {
	for _, k := range v.keepers {
		s = k.Scrub(s)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// line is scrub for what must fit a line.
func (v *visit) line(s string) string { return oneLine(v.scrub(s)) }

// oneLine takes out control characters and cuts at maxValue.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), maxValue)
}

// cut shortens s to at most n bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
