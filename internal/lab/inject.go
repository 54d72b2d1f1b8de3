package lab

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Injection spoils calls of Supervisor's API, Core's behind it included, or of what is asked outside. One of
// Status, Hang, Reset and Huge says how; with none of them the call is only
// delayed. The first injection that fits a call is taken.
type Injection struct {
	Method string `json:"method,omitempty"` // "" is any
	Path   string `json:"path,omitempty"`   // "" is any; * stands for one part of a path, /** at the end for all below

	Delay       Duration          `json:"delay,omitempty"`        // before anything else
	AfterEffect bool              `json:"after_effect,omitempty"` // the call takes effect first, and only then is its answer spoiled
	Status      int               `json:"status,omitempty"`
	ContentType string            `json:"content_type,omitempty"` // "" is application/json if Body begins with {, else text/plain
	Header      map[string]string `json:"header,omitempty"`
	Body        string            `json:"body,omitempty"`
	Hang        bool              `json:"hang,omitempty"`  // no answer until the caller goes, or the injection is cleared
	Reset       bool              `json:"reset,omitempty"` // the connection is reset
	Huge        int64             `json:"huge,omitempty"`  // 200 with a JSON body of this many bytes

	Times int `json:"times,omitempty"` // 0: until cleared

	cleared chan struct{}
}

// Check says in one line what in the injection has no meaning.
func (i Injection) Check() error {
	ways := 0
	for _, way := range []bool{i.Status != 0, i.Hang, i.Reset, i.Huge != 0} {
		if way {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("name one of status, hang, reset, huge")
	case ways == 0 && i.Delay == 0:
		return errors.New("name one of status, hang, reset, huge, delay")
	case i.Status != 0 && (i.Status < 200 || i.Status > 599):
		return fmt.Errorf("status is %d; it goes from 200 to 599", i.Status)
	case i.Delay < 0 || i.Huge < 0 || i.Times < 0:
		return errors.New("delay, huge and times are not below 0")
	}
	return nil
}

// spoilable is a part of the world whose calls can be spoiled. World.mu guards the injections.
type spoilable struct {
	w          *World
	injections []*Injection
}

// Inject adds an injection, after those that are there. The function it gives
// takes it away again, and lets go what hangs. An injection that Check refuses
// does nothing.
func (s *spoilable) Inject(i Injection) (clear func()) {
	if i.Check() != nil {
		return func() {}
	}
	i.cleared = make(chan struct{})
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.injections = append(s.injections, &i)
	return func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.injections = slices.DeleteFunc(s.injections, func(o *Injection) bool { return o == &i })
		i.clear()
	}
}

func (i *Injection) clear() {
	select {
	case <-i.cleared:
	default:
		close(i.cleared)
	}
}

// ClearInjections takes all injections away.
func (s *spoilable) ClearInjections() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, i := range s.injections {
		i.clear()
	}
	s.injections = nil
}

// injection takes the one that fits the call, nil if none does.
func (s *spoilable) injection(req *http.Request) *Injection {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for at, i := range s.injections {
		if i.Method != "" && i.Method != req.Method || !pathFits(i.Path, req.URL.Path) {
			continue
		}
		if i.Times > 0 {
			if i.Times--; i.Times == 0 {
				s.injections = slices.Delete(s.injections, at, at+1)
			}
		}
		return i
	}
	return nil
}

// pathFits says whether a path is as a pattern says: * stands for one part of it, /** at the end for all below.
func pathFits(pattern, p string) bool {
	parts := strings.NewReplacer(`\*\*`, ".+", `\*`, "[^/]*").Replace(regexp.QuoteMeta(pattern))
	return pattern == "" || regexp.MustCompile("^"+parts+"$").MatchString(p)
}

// spoilOr spoils the call if an injection says so, and else lets it take effect.
func (s *spoilable) spoilOr(rw http.ResponseWriter, req *http.Request, effect func(http.ResponseWriter)) {
	if i := s.injection(req); i == nil || !i.spoil(s.w, rw, req, effect) {
		effect(rw)
	}
}

// spoil does what the injection says. It says whether the call is answered, or
// never will be, so that nothing is left to do.
func (i *Injection) spoil(w *World, rw http.ResponseWriter, req *http.Request, effect func(http.ResponseWriter)) bool {
	if i.Delay > 0 {
		i.wait(w, req, i.Delay.value())
	}
	if i.Status == 0 && !i.Hang && !i.Reset && i.Huge == 0 {
		return false
	}
	if i.AfterEffect {
		effect(httptest.NewRecorder())
	}
	switch {
	case i.Hang:
		i.wait(w, req, forever)
		panic(http.ErrAbortHandler)
	case i.Reset:
		reset(rw)
	case i.Huge > 0:
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"result":"ok","data":{"filling":"`)
		if fill(rw, i.Huge) {
			_, _ = io.WriteString(rw, `"}}`)
		}
	default:
		kind := i.ContentType
		if kind == "" && strings.HasPrefix(i.Body, "{") {
			kind = "application/json; charset=utf-8"
		} else if kind == "" {
			kind = plainText
		}
		for name, value := range i.Header {
			rw.Header().Set(name, value)
		}
		respond(rw, i.Status, kind, i.Body)
	}
	return true
}

// wait waits, until the injection is cleared or the caller goes.
func (i *Injection) wait(w *World, req *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-i.cleared:
	case <-req.Context().Done():
	case <-w.ctx.Done():
	}
}

// fill writes so many bytes that say nothing, unless the reader has enough before.
func fill(to io.Writer, n int64) bool {
	block := strings.Repeat("x", 64<<10)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := io.WriteString(to, block); err != nil {
			return false
		}
	}
	return true
}

// reset ends the connection with a TCP reset.
func reset(rw http.ResponseWriter) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}
