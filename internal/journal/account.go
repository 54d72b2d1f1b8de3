package journal

import (
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// Bounds of an incident's account, so that a fault that lasts for months does not
// fill the disk. Of each list the beginning and the newest stay.
const (
	maxRuns      = 120
	maxTallies   = 40
	maxSnapshots = 8
	maxChanges   = 60
	maxAsked     = 6
)

// Account is what an incident's report rests on, beyond its steps.
type Account struct {
	Runs      []Run               `json:"runs,omitempty"`    // the probes' outcomes, equal ones in a row as one
	Dropped   int                 `json:"dropped,omitempty"` // probes of runs that were left out in the middle
	Tallies   []Tally             `json:"tallies,omitempty"`
	Snapshots []Snapshot          `json:"snapshots,omitempty"`
	Changes   []ChangeMade        `json:"changes,omitempty"`
	Versions  Versions            `json:"versions,omitzero"`
	Asked     []evidence.Upstream `json:"asked,omitempty"` // Cloudflare's own word: near the onset, near the end
	Lost      time.Duration       `json:"lost,omitempty"`  // time cut off, from the probes and the restarts
	LostByUs  time.Duration       `json:"lost_by_us,omitempty"`
	Missed400 uint64              `json:"missed_400,omitempty"` // 400s that the connector counted and no probe of ours was
}

// Run is probes in a row with the same outcome over the same way.
type Run struct {
	From      time.Time          `json:"from"`
	To        time.Time          `json:"to"`
	N         int                `json:"n"`
	OK        bool               `json:"ok,omitempty"`
	Counts    bool               `json:"counts,omitempty"` // they speak for or against the WebSocket's way through the tunnel
	Cause     diagnosis.Cause    `json:"cause"`
	Status    int                `json:"status,omitempty"` // HTTP status, 0 if no answer came
	Setting   evidence.Protocol  `json:"setting,omitempty"`
	Transport evidence.Transport `json:"transport,omitempty"`
	Colo      string             `json:"colo,omitempty"`
	First     string             `json:"first,omitempty"` // cf-ray of its first probe
	Last      string             `json:"last,omitempty"`  // and of its last
}

// Same says whether a probe continues the run.
func (r Run) Same(o Run) bool {
	return r.OK == o.OK && r.Counts == o.Counts && r.Cause == o.Cause && r.Status == o.Status && r.Setting == o.Setting && r.Transport == o.Transport && r.Colo == o.Colo
}

// join continues the run by another one of the same kind.
func (r Run) join(o Run) Run {
	r.To, r.N = o.To, r.N+o.N
	if o.Last != "" {
		r.Last = o.Last
	}
	return r
}

// Append adds a run to a list, joining it to the last one where it continues it.
func Append(runs []Run, r Run) []Run {
	if n := len(runs); n > 0 && runs[n-1].Same(r) {
		runs[n-1] = runs[n-1].join(r)
		return runs
	}
	return append(runs, r)
}

// Tally is how the probes went under one setting over one transport, from when it
// came into force until the next one did.
type Tally struct {
	Setting   evidence.Protocol  `json:"setting"`
	Transport evidence.Transport `json:"transport"`
	Probes    int                `json:"probes"` // those that speak for or against the WebSocket's way
	Failures  int                `json:"failures"`
	From      time.Time          `json:"from"`
	To        time.Time          `json:"to"`
}

// Answer is one look of a snapshot, raw.
type Answer struct {
	Asked   string            `json:"asked"`
	TookMS  int64             `json:"took_ms"`
	Stage   string            `json:"stage"`
	Trouble string            `json:"trouble,omitempty"`
	Detail  string            `json:"detail,omitempty"`
	Status  int               `json:"status,omitempty"`
	Header  map[string]string `json:"header,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// AnswerOf keeps a look; nil if it was not made.
func AnswerOf(l evidence.Look) *Answer {
	if !l.Done() {
		return nil
	}
	a := &Answer{Asked: l.Asked, TookMS: l.Took.Milliseconds(), Stage: l.Stage.String(), Detail: l.Detail, Status: l.Status, Header: l.Header, Body: l.Body}
	if l.Trouble != evidence.NoTrouble {
		a.Trouble = l.Trouble.String()
	}
	return a
}

// Snapshot is the evidence of one moment that an incident turned on.
type Snapshot struct {
	At        time.Time          `json:"at"`
	Step      policy.StepKind    `json:"step,omitzero"` // that the moment was: StepAlarm, StepRefused…
	Cause     diagnosis.Cause    `json:"cause"`
	Basis     string             `json:"basis,omitempty"` // diagnosis.Particulars.Basis
	Setting   evidence.Protocol  `json:"setting"`
	Transport evidence.Transport `json:"transport,omitempty"`
	Ready     int                `json:"ready"` // connections of the connector, of four
	Edges     []string           `json:"edges,omitempty"`
	Public    *Answer            `json:"public,omitempty"`
	Page      *Answer            `json:"page,omitempty"`
	Direct    *Answer            `json:"direct,omitempty"`
	Seen      map[string]string  `json:"seen,omitempty"`
}

// ChangeMade is a change of protocol that was carried out, or was to be.
type ChangeMade struct {
	At       time.Time          `json:"at"`
	Took     time.Duration      `json:"took"` // from its beginning until the tunnel was connected, or given up
	Purpose  policy.Purpose     `json:"purpose"`
	From     evidence.Protocol  `json:"from"`
	To       evidence.Protocol  `json:"to"`
	Before   evidence.Transport `json:"before,omitempty"` // really in use
	After    evidence.Transport `json:"after,omitempty"`
	Result   policy.Result      `json:"result"`
	Restarts int                `json:"restarts"`
}

// Versions are those of the parts that a fault may come with.
type Versions struct {
	Cloudflared string `json:"cloudflared,omitempty"`
	AddOn       string `json:"addon,omitempty"`
	Core        string `json:"core,omitempty"`
	Supervisor  string `json:"supervisor,omitempty"`
	OS          string `json:"os,omitempty"`
	Machine     string `json:"machine,omitempty"`
	Medic       string `json:"medic,omitempty"`
}

// Probe adds a probe's outcome, or several in a row.
func (a *Account) Probe(r Run) {
	a.Runs = Append(a.Runs, r)
	if len(a.Runs) > maxRuns {
		// What fades is the middle: the onset and the newest are what a reader needs.
		gone := a.Runs[maxRuns/2]
		a.Dropped += gone.N
		a.Runs = slices.Delete(a.Runs, maxRuns/2, maxRuns/2+1)
	}
	if !r.Counts {
		return
	}
	if n := len(a.Tallies); n == 0 || a.Tallies[n-1].Setting != r.Setting || a.Tallies[n-1].Transport != r.Transport {
		a.Tallies = bounded(append(a.Tallies, Tally{Setting: r.Setting, Transport: r.Transport, From: r.From}), maxTallies)
	}
	t := &a.Tallies[len(a.Tallies)-1]
	t.Probes += r.N
	if !r.OK {
		t.Failures += r.N
	}
	t.To = r.To
}

// Snap adds a snapshot.
func (a *Account) Snap(s Snapshot) { a.Snapshots = bounded(append(a.Snapshots, s), maxSnapshots) }

// Change adds a change.
func (a *Account) Change(c ChangeMade) { a.Changes = bounded(append(a.Changes, c), maxChanges) }

// Hear adds Cloudflare's word.
func (a *Account) Hear(u evidence.Upstream) { a.Asked = bounded(append(a.Asked, u), maxAsked) }

// Clone gives a copy that shares nothing that Probe, Snap, Change or Hear change.
func (a Account) Clone() Account {
	a.Runs, a.Tallies = slices.Clone(a.Runs), slices.Clone(a.Tallies)
	a.Snapshots, a.Changes, a.Asked = slices.Clone(a.Snapshots), slices.Clone(a.Changes), slices.Clone(a.Asked)
	return a
}

// bounded keeps the first half and the newest of a list.
func bounded[T any](list []T, n int) []T {
	for len(list) > n {
		list = slices.Delete(list, n/2, n/2+1)
	}
	return list
}
