package medic

import (
	"sync"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// board shows the status, to any goroutine.
type board struct {
	also func() []AddressStatus // of further public addresses; nil: there are none

	mu     sync.Mutex
	status Status
}

func newBoard(set Settings, s policy.State) *board {
	return &board{also: set.Also, status: Status{Version: set.Version, Mode: mode(set.Rules), Allowed: allowed(set.Rules), State: policy.Starting, Since: s.Since, Budget: set.Rules.Budget,
		Diagnosis: DiagnosisStatus{Seen: map[string]string{}}, Detector: DetectorStatus{Alarm: detect.Alarm}}}
}

// Status gives the present status.
func (b *board) Status() Status {
	b.mu.Lock()
	s := b.status
	b.mu.Unlock()
	if b.also != nil {
		s.Also = b.also()
	}
	return s
}

// view is what a status is made from.
type view struct {
	state    policy.State
	app      *app
	gates    []policy.Gate
	blind    bool
	why      words.Text        // it is
	incident *journal.Incident // nil: none
	gaps     []evidence.Gap
	hindered []words.Text

	// Nil where nothing was looked at since.
	e *evidence.Evidence
	d *diagnosis.Diagnosis
}

// stored takes in which grace period is set now.
func (b *board) stored(grace string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Protocol.Grace = grace
}

// publish builds the status again.
func (b *board) publish(v view, now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.status
	s.Target = TargetStatus{Slug: plain.Name(v.app.target.Slug), Name: plain.Name(v.app.target.Name), URL: v.app.address()}
	s.Gates, s.Gaps, s.Hindered = v.gates, v.gaps, v.hindered
	s.plan(v.state, now)
	s.Incident = nil
	if v.incident != nil && v.state.Incident != nil {
		i := *v.incident
		i.Account = journal.Account{} // the report's, and changed with every probe
		s.Incident = &i
	}
	if v.e != nil && !v.e.At.IsZero() {
		s.looked(*v.e)
	}
	if d := v.d; d != nil {
		s.Way = way(v.e, d, v.state.Incident)
		s.Diagnosis = DiagnosisStatus{Cause: d.Cause, Remedy: d.Remedy, Since: v.state.TroubleSince, Evidence: v.e, Particulars: d.Particulars, Before: d.Changed}
	}
	if s.Diagnosis.Seen == nil {
		s.Diagnosis.Seen = map[string]string{}
	}
	s.Blind, s.Why = "", words.Text{}
	if v.blind {
		s.Why, s.Way = v.why, WayStatus{}
		s.Diagnosis = DiagnosisStatus{Cause: diagnosis.Unknown, Remedy: diagnosis.Tell, Seen: map[string]string{}}
	}
	return *s
}

// plan is what the policy is about to do.
func (s *Status) plan(p policy.State, now time.Time) {
	s.State, s.Since, s.Unsure = p.Phase, p.Since, p.Doubt == policy.Unsure
	s.Protocol.Own, s.Protocol.Setting, s.Protocol.Transport = "", "", p.Transport.String()
	if p.OwnKnown {
		s.Protocol.Own, s.Protocol.Setting = p.Own.String(), p.Set.String()
	}
	s.Detector.Score, s.Detector.Rarity, s.Restarts = p.Detector.Score(), p.Rarity(), p.Spent(now)
	s.HoldUntil, s.PausedUntil, s.FailbackDue = p.HoldUntil, p.PausedUntil, time.Time{}
	if p.Failback != nil {
		s.FailbackDue = p.Failback.Due
	}
	s.Question, s.Trial = asked(p.Question), nil
	if t := p.Trial; t != nil {
		s.Trial = &TrialStatus{Protocol: t.Protocol.String(), Purpose: t.Purpose, Settled: t.Settled, Failures: t.Failures, Probes: t.Probes}
	}
}

// looked is what the last look showed.
func (s *Status) looked(e evidence.Evidence) {
	s.Protocol.Ready, s.Edges, s.Locations = e.Connector.Ready, names(e.Connector.Edges), nil
	if c := e.Connector.Counters; c != nil {
		s.Locations = names(c.Locations)
	}
	if e.AddOn.ProtocolKnown {
		s.Protocol.Grace = plain.Name(e.AddOn.Grace)
	}
	s.LastProbe = &ProbeStatus{At: e.Public.At, TookMS: e.Public.Took.Milliseconds(), OK: e.Public.Healthy(),
		Status: e.Public.Status, CFRay: e.Public.CFRay(), Colo: e.Public.Colo()}
	if s.LastProbe.OK {
		s.ShutSince = time.Time{}
	} else if s.ShutSince.IsZero() {
		s.ShutSince = e.Public.At
	}
}
