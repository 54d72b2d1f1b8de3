package web

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

const (
	// tokenHeader carries the page's own token; a form has it in the field "token".
	tokenHeader = "X-Tunnelmedic-Token"
	bodyLimit   = 4 << 10
	// actPatience is how long a person waits for the loop's answer.
	actPatience = 12 * time.Second
	maxPause    = 7 * 24 * 60      // minutes
	testEvery   = 10 * time.Second // between test notifications: phones ring for each
)

// Hands carry out what a person asks for. A policy.Refusal is a sentence for them.
type Hands interface {
	Pause(ctx context.Context, d time.Duration) error
	Resume(ctx context.Context) error
	Try(ctx context.Context, p evidence.Protocol) error
	Answer(ctx context.Context, question string, yes bool) error
	Shorten(ctx context.Context, short bool) error
}

// asked is the body of a POST.
type asked struct {
	Protocol string `json:"protocol"`
	Minutes  *int   `json:"minutes"`
	Question string `json:"question"`
	Yes      *bool  `json:"yes"`
}

// answer is what came of it.
type answer struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"` // in the asker's language, once it is given
	status  int
	text    words.Text
}

func done(key words.Key, with ...words.With) answer {
	return answer{OK: true, status: http.StatusAccepted, text: words.Of(key, with...)}
}

func not(status int, key words.Key, with ...words.With) answer {
	return answer{status: status, text: words.Of(key, with...)}
}

// act answers a POST: to a script with JSON, to a form with a page.
func (p *pages) act(name string, do act) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, form, got := p.parse(w, r)
		if got.OK {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(actPatience + writeLimit))
			ctx, cancel := context.WithTimeout(r.Context(), actPatience)
			defer cancel()
			got = do(ctx, a)
			p.Log.Info().Str("by", user(r)).Str("protocol", a.Protocol).Bool("done", got.OK).Msgf("Asked on the page: %s. %s", name, words.English().Text(got.text))
		}
		p.respond(w, r, form, name, got)
	}
}

func (p *pages) respond(w http.ResponseWriter, r *http.Request, form bool, name string, a answer) {
	a.Message = p.lang(r).Text(a.text)
	switch {
	case !form:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a)
	case a.OK:
		http.Redirect(w, r, p.frame(r, "").Base+"?done="+name, http.StatusSeeOther)
	default:
		p.show(w, r, a.status, a.Message, true)
	}
}

// parse takes the body in, and checks that it comes from this page. Where may is not OK, it says
// why nothing is done.
func (p *pages) parse(w http.ResponseWriter, r *http.Request) (a asked, form bool, may answer) {
	refuse := func(status int, why words.Key) (asked, bool, answer) { return asked{}, form, not(status, why) }
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	token := r.Header.Get(tokenHeader)
	switch kind {
	case "application/json":
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return refuse(tooLarge(err), "page.not.request")
		}
		if len(strings.TrimSpace(string(raw))) > 0 {
			d := json.NewDecoder(strings.NewReader(string(raw)))
			d.DisallowUnknownFields()
			if d.Decode(&a) != nil || d.More() {
				return refuse(http.StatusBadRequest, "page.not.body")
			}
		}
	case "application/x-www-form-urlencoded":
		form = true
		if err := r.ParseForm(); err != nil {
			return refuse(tooLarge(err), "page.not.request")
		}
		token = r.PostForm.Get("token")
		a.Protocol, a.Question = r.PostForm.Get("protocol"), r.PostForm.Get("question")
		if yes, err := strconv.ParseBool(r.PostForm.Get("yes")); err == nil {
			a.Yes = &yes
		}
		if m := r.PostForm.Get("minutes"); m != "" {
			n, err := strconv.Atoi(m)
			if err != nil {
				return refuse(http.StatusBadRequest, "page.not.minutes")
			}
			a.Minutes = &n
		}
	default:
		return refuse(http.StatusUnsupportedMediaType, "page.not.kind")
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(p.token)) != 1 {
		return refuse(http.StatusForbidden, "page.not.token")
	}
	if status, why := p.mayPress(r); why != "" {
		return refuse(status, why)
	}
	return a, form, answer{OK: true}
}

// mayPress says why a person may not press a button; "" if they may. Every user of Home
// Assistant's can reach the page by ingress; its buttons are for administrators. Who it
// is, ingress says, and takes such headers of the visitor's own away (Supervisor's
// api/ingress.py).
func (p *pages) mayPress(r *http.Request) (status int, why words.Key) {
	id := r.Header.Get("X-Remote-User-Id")
	if id == "" && loopback(r) { // on this machine itself: a developer without an ingress
		return 0, ""
	}
	if id == "" {
		return http.StatusForbidden, "page.not.nobody"
	}
	ctx, cancel := context.WithTimeout(r.Context(), actPatience/2)
	defer cancel()
	switch admin, err := p.Admin(ctx, id); {
	case err != nil:
		p.Log.Warn().Err(err).Str("by", user(r)).Msg("A button was pressed, and Home Assistant could not be asked who may.")
		return http.StatusServiceUnavailable, "page.not.asked"
	case !admin:
		if !p.denied.within(time.Minute) { // a child may press for hours
			p.Log.Info().Str("by", user(r)).Msg("A button was pressed by someone who is not an administrator of Home Assistant; nothing was done.")
		}
		return http.StatusForbidden, "page.not.administrator"
	}
	return 0, ""
}

// lately is when something was last done.
type lately struct{ at atomic.Int64 }

// within says whether that is less than a span ago, and notes that it is done now if not.
func (l *lately) within(span time.Duration) bool {
	now, last := time.Now().UnixNano(), l.at.Load()
	return now >= last && now-last < int64(span) || !l.at.CompareAndSwap(last, now)
}

func tooLarge(err error) int {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// user is who Home Assistant says it is, for the log.
func user(r *http.Request) string {
	return plain.Name(cmp.Or(r.Header.Get("X-Remote-User-Display-Name"), r.Header.Get("X-Remote-User-Name")))
}

// act does what a button is for.
type act func(ctx context.Context, a asked) answer

// acts are what the buttons do, by the names of their addresses.
func (p *pages) acts() map[string]act {
	return map[string]act{"probe": p.probe, "try": p.try, "answer": p.answer, "pause": p.pause, "resume": p.resume, "shorten": p.shorten, "forget": p.forget, "test": p.test}
}

func (p *pages) probe(context.Context, asked) answer {
	p.Medic.Probe() // pressed twice, it is one probe: the loop keeps its distance
	return done("page.done.probe")
}

func (p *pages) try(ctx context.Context, a asked) answer {
	protocol, err := evidence.ParseProtocol(a.Protocol)
	if err != nil || a.Protocol == "" {
		return not(http.StatusBadRequest, "page.not.protocol")
	}
	if t := p.Medic.Status().Trial; t != nil {
		return not(http.StatusConflict, "page.not.trying", words.With{"protocol": t.Protocol})
	}
	return granted(p.Hands.Try(ctx, protocol), done("page.done.trying", words.With{"protocol": protocol}),
		not(http.StatusServiceUnavailable, "page.not.busy"))
}

func (p *pages) answer(ctx context.Context, a asked) answer {
	if a.Question == "" || a.Yes == nil {
		return not(http.StatusBadRequest, "page.not.answer")
	}
	return granted(p.Hands.Answer(ctx, a.Question, *a.Yes), done("page.done.answer"), done("page.done.answer"))
}

func (p *pages) pause(ctx context.Context, a asked) answer {
	minutes := 60
	if a.Minutes != nil {
		minutes = *a.Minutes
	}
	if minutes < 1 || minutes > maxPause {
		return not(http.StatusBadRequest, "page.not.pause", words.With{"n": maxPause})
	}
	return granted(p.Hands.Pause(ctx, time.Duration(minutes)*time.Minute), done("page.done.pause"), done("page.done.pause-later"))
}

// shorten takes a yes for shorter restarts, and a no for the end of them.
func (p *pages) shorten(ctx context.Context, a asked) answer {
	if a.Yes == nil {
		return not(http.StatusBadRequest, "page.not.consent")
	}
	good := done("page.done.shorten")
	if !*a.Yes {
		good = done("page.done.lengthen")
	}
	return granted(p.Hands.Shorten(ctx, *a.Yes), good, not(http.StatusServiceUnavailable, "page.not.busy"))
}

func (p *pages) resume(ctx context.Context, _ asked) answer {
	return granted(p.Hands.Resume(ctx), done("page.done.resume"), done("page.done.resume-later"))
}

func (p *pages) forget(ctx context.Context, _ asked) answer {
	if err := p.Config.Forget(ctx); err != nil {
		p.Log.Warn().Err(err).Msg("What was put into Home Assistant could not be removed.")
		return not(http.StatusBadGateway, "page.not.away")
	}
	return done("page.done.forget")
}

func (p *pages) test(ctx context.Context, _ asked) answer {
	if p.tested.within(testEvery) {
		return not(http.StatusTooManyRequests, "page.not.often")
	}
	switch reached, failed, err := p.Config.Test(ctx); {
	case err != nil:
		p.Log.Warn().Err(err).Msg("The test notification could not be shown in Home Assistant.")
		return not(http.StatusBadGateway, "page.not.away")
	case len(failed) > 0:
		return not(http.StatusBadGateway, "page.not.test", words.With{"services": strings.Join(failed, ", ")})
	case len(reached) > 0:
		return done("page.done.test-to", words.With{"services": strings.Join(reached, ", ")})
	}
	return done("page.done.test")
}

// granted puts the loop's answer into words; late is for a loop that is busy.
func granted(err error, good, late answer) answer {
	var why policy.Refusal
	switch {
	case err == nil:
		return good
	case errors.As(err, &why):
		return not(http.StatusConflict, "page.not.refused", words.With{"why": words.Refused(why)})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return late
	}
	return not(http.StatusInternalServerError, "page.not.failed")
}
