package web

import (
	"cmp"
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
	return cmp.Or(map[string]string{"good": "healthy", "bad": "holding", "unsure": "suspect"}[r.Verdict], "starting")
}

// doctorLimit is how long all looks may take together.
const doctorLimit = 90 * time.Second

// doctor makes every look once: to a script it sends each row as a line of JSON as
// soon as it is there, a form gets a page with all of them.
func (p *pages) doctor(w http.ResponseWriter, r *http.Request) {
	_, form, may := p.parse(w, r)
	if may.OK && !p.examining.TryLock() {
		may = not(http.StatusConflict, "page.not.doctor")
	}
	if !may.OK {
		p.respond(w, r, form, "doctor", may)
		return
	}
	defer p.examining.Unlock()
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request has been read
	_ = out.SetWriteDeadline(time.Now().Add(doctorLimit + writeLimit))
	ctx, cancel := context.WithTimeout(r.Context(), doctorLimit)
	defer cancel()
	p.Log.Info().Str("by", user(r)).Msg("Asked on the page: the doctor.")

	line := func(v any) {
		raw, err := json.Marshal(v)
		if err == nil {
			_, _ = w.Write(append(raw, '\n')) // the asker may have gone; ctx says so
			_ = out.Flush()
		}
	}
	var rows []DoctorRow
	look := func(row DoctorRow) { rows = append(rows, row) }
	if !form {
		w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store, no-transform")
		look = func(row DoctorRow) {
			line(struct {
				DoctorRow
				Class string `json:"class"`
			}{row, row.Class()})
		}
	}
	summary, err := p.Doctor(ctx, p.lang(r), look)
	if err != nil {
		summary = err.Error()
	}
	if form {
		p.show(w, r, http.StatusOK, summary, err != nil, rows...)
		return
	}
	line(map[string]any{"summary": summary, "ok": err == nil})
}
