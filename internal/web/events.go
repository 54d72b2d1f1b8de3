package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// beatEvery keeps proxies from taking a quiet stream for a dead one, and tells
	// the page that the stream comes through at all.
	beatEvery = 10 * time.Second
	// writeLimit is how long one message may wait for a reader who does not read.
	writeLimit = 10 * time.Second
)

// events is the stream of what happens: "status" with the whole status at first and
// at each change, "step" for each step, "beat" in between.
func (p *pages) events(w http.ResponseWriter, r *http.Request) {
	news, ok := p.Feed.listen()
	if !ok {
		w.Header().Set("Retry-After", "30")
		http.Error(w, p.lang(r).Say("page.not.full"), http.StatusServiceUnavailable)
		return
	}
	defer p.Feed.leave(news)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the limit for a request, which has been read
	_, _, seq := p.Feed.since(1<<63 - 1)
	send := func(event string, v any) bool {
		_ = out.SetWriteDeadline(time.Now().Add(p.patience())) // a writer without deadlines is a test's
		raw, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", seq, event, raw)
		}
		return err == nil && out.Flush() == nil
	}
	l := p.lang(r)
	_, _ = fmt.Fprint(w, "retry: 3000\n\n") // who is gone does not get what follows either
	if !send("status", p.Medic.Status().In(l)) {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for told := true; told; {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			told = send("beat", struct{}{})
		case _, told = <-news:
			status, steps, now := p.Feed.since(seq)
			for _, step := range steps {
				step.Text, seq = l.Step(step.Step), step.Seq
				told = told && send("step", step)
			}
			seq = now
			told = told && send("status", status.In(l))
		}
	}
}
