package medic

import (
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
)

// WayStatus is the way in, part by part, at the last look.
type WayStatus struct {
	Place  diagnosis.Place `json:"place"` // where the cause lies
	Cause  diagnosis.Cause `json:"cause"` // of what is marked there
	Parts  diagnosis.Way   `json:"parts"`
	Direct *DirectStatus   `json:"direct,omitempty"`  // the handshake straight to Home Assistant, where it was made
	Core   string          `json:"version,omitempty"` // of the Home Assistant that greeted
}

// DirectStatus is what Home Assistant itself answered.
type DirectStatus struct {
	TookMS int64 `json:"took_ms"`
	OK     bool  `json:"ok"`
	Status int   `json:"status"` // 0: no answer
}

// way is for the reader: what the evidence shows, and, where a fault comes and goes, that
// the incident is not over with one good check.
func way(e *evidence.Evidence, d *diagnosis.Diagnosis, open *policy.Incident) WayStatus {
	w := WayStatus{Cause: d.Cause, Parts: diagnosis.WayIn(*e, *d), Core: plain.Name(e.Public.HAVersion)}
	if open != nil && d.Cause == diagnosis.Healthy {
		w.Cause = open.Cause
		w.Parts.Mark(open.Cause, diagnosis.Doubtful)
	}
	w.Place = w.Cause.Place()
	if l := e.Direct; l.Done() {
		w.Direct = &DirectStatus{TookMS: l.Took.Milliseconds(), OK: l.Healthy(), Status: l.Status}
		if w.Core == "" {
			w.Core = plain.Name(l.HAVersion)
		}
	}
	return w
}
