package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// DoctorRow is one look of the doctor's.
type DoctorRow struct {
	Component string `json:"component"`
	Came      string `json:"came"`
	Verdict   string `json:"verdict"` // good, bad, unsure or beside
	Do        string `json:"do,omitempty"`
}

// Class is the row's colour and shape.
func (r DoctorRow) Class() string {
	switch r.Verdict {
	case "good":
		return "healthy"
	case "bad":
		return "holding"
	case "unsure":
		return "suspect"
	}
	return "starting"
}

// doctorLimit is how long all looks may take together.
const doctorLimit = 90 * time.Second

// doctor makes every look once: to a script it sends each row as a line of JSON as
// soon as it is there, a form gets a page with all of them.
func (p *pages) doctor(w http.ResponseWriter, r *http.Request) {
	_, form, bad := p.parse(w, r)
	if bad == nil && !p.examining.TryLock() {
		busy := not(http.StatusConflict, "page.not.doctor")
		bad = &busy
	}
	if bad != nil {
		p.respond(w, r, form, "doctor", *bad)
		return
	}
	defer p.examining.Unlock()
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request has been read
	_ = out.SetWriteDeadline(time.Now().Add(doctorLimit + writeLimit))
	ctx, cancel := context.WithTimeout(r.Context(), doctorLimit)
	defer cancel()
	p.Log.Info().Str("by", user(r)).Msg("Asked on the page: the doctor.")
	if form {
		var rows []DoctorRow
		summary, err := p.Doctor(ctx, p.lang(r), func(row DoctorRow) { rows = append(rows, row) })
		if err != nil {
			summary = err.Error()
		}
		p.show(w, r, http.StatusOK, summary, err != nil, rows...)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	line := func(v any) {
		raw, err := json.Marshal(v)
		if err == nil {
			_, _ = w.Write(append(raw, '\n')) // the asker may have gone; ctx says so
			_ = out.Flush()
		}
	}
	summary, err := p.Doctor(ctx, p.lang(r), func(row DoctorRow) {
		line(struct {
			DoctorRow
			Class string `json:"class"`
		}{row, row.Class()})
	})
	if err != nil {
		summary = err.Error()
	}
	line(map[string]any{"summary": summary, "ok": err == nil})
}
