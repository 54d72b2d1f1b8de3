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
	l := p.lang(r)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	patient := func() { _ = out.SetWriteDeadline(time.Now().Add(p.patience())) } // a writer without deadlines is a test's
	send := func(event string, id uint64, v any) error {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", id, event, raw)
		return err
	}
	_ = out.SetReadDeadline(time.Time{}) // the limit for a request, which has been read
	patient()
	_, _, seq := p.Feed.since(1<<63 - 1)
	if _, err := fmt.Fprint(w, "retry: 3000\n\n"); err != nil || send("status", seq, p.Medic.Status().In(l)) != nil || out.Flush() != nil {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case _, open := <-news:
			if !open {
				return
			}
			patient()
			status, steps, now := p.Feed.since(seq)
			for _, step := range steps {
				step.Text = l.Step(step.Step)
				if send("step", step.Seq, step) != nil {
					return
				}
			}
			seq = now
			if send("status", seq, status.In(l)) != nil || out.Flush() != nil {
				return
			}
		case <-beat.C:
			patient()
			if send("beat", seq, struct{}{}) != nil || out.Flush() != nil {
				return
			}
		}
	}
}
