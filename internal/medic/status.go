package medic

import (
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// Status is the program at a glance: what GET /api/status answers.
type Status struct {
	Version   string            `json:"version"`
	Mode      string            `json:"mode"` // heal, ask or observe
	State     policy.Phase      `json:"state"`
	Since     time.Time         `json:"since"`
	Target    TargetStatus      `json:"target"`
	Protocol  ProtocolStatus    `json:"protocol"`
	Diagnosis DiagnosisStatus   `json:"diagnosis"`
	Detector  DetectorStatus    `json:"detector"`
	Incident  *journal.Incident `json:"incident"`
	Restarts  int               `json:"restarts_24h"`
	Budget    int               `json:"budget"`
	LastProbe *ProbeStatus      `json:"last_probe"`
	Way       WayStatus         `json:"way"`
	ShutSince time.Time         `json:"shut_since,omitzero"` // since when no probe has been good

	Allowed     []string        `json:"allowed,omitempty"`  // protocols that may be tried
	Question    *Question       `json:"question,omitempty"` // that waits for a person, in the mode ask
	Trial       *TrialStatus    `json:"trial,omitempty"`    // the change under way
	Gates       []policy.Gate   `json:"gates,omitempty"`    // what keeps it from acting although the alarm is up
	Blind       string          `json:"blind,omitempty"`    // why there is nothing to watch, as [Status.In] says it
	Why         words.Text      `json:"-"`                  // the same, to be said
	HoldUntil   time.Time       `json:"hold_until,omitzero"`
	PausedUntil time.Time       `json:"paused_until,omitzero"`
	FailbackDue time.Time       `json:"failback_due,omitzero"`    // when the user's own protocol is tried again
	Edges       []string        `json:"edges,omitempty"`          // addresses the connector is connected to
	Locations   []string        `json:"edge_locations,omitempty"` // data centres, as of the connections' start
	Troubles    []string        `json:"troubles,omitempty"`       // what keeps the program itself from its work, as [Status.In] says it
	Hindered    []words.Text    `json:"-"`                        // the same, to be said
	Unsure      bool            `json:"unsure,omitempty"`         // whether the present protocol is the user's own is not known; Resume says that it is
	Also        []AddressStatus `json:"also,omitempty"`           // further public addresses, each on its own
	Notes       []string        `json:"notes,omitempty"`          // why Cloudflare's own word is not, or not wholly, to be had, as [Status.In] says it
	Gaps        []evidence.Gap  `json:"-"`                        // the same, to be said
}

// TargetStatus is what is watched.
type TargetStatus struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

// ProtocolStatus is what the user has set, what is set now, and what is in use.
type ProtocolStatus struct {
	Own       string `json:"own"`
	Setting   string `json:"setting"`
	Transport string `json:"transport"`
	Ready     int    `json:"ready"`                  // connections to the edge, of four
	Grace     string `json:"grace_period,omitempty"` // cloudflared's, as set: how long its end waits for who is connected
}

// DiagnosisStatus is the last diagnosis.
type DiagnosisStatus struct {
	Cause  diagnosis.Cause  `json:"cause"`
	Remedy diagnosis.Remedy `json:"remedy"`
	Said
	Seen  map[string]string `json:"seen"`
	Since time.Time         `json:"since,omitzero"` // since when this has been the cause

	Evidence    *evidence.Evidence    `json:"-"` // that Seen tells
	Particulars diagnosis.Particulars `json:"-"`
	Before      []diagnosis.Change    `json:"-"` // what changed just before
}

// Said is a diagnosis in a reader's language; [Status.In] fills it.
type Said struct {
	Summary string   `json:"summary"`
	Advice  []string `json:"advice"`            // steps, in order
	Basis   string   `json:"rests,omitempty"`   // what it is based on
	Changed string   `json:"changed,omitempty"` // versions and settings that changed just before
}

// Question is what a person is asked.
type Question struct {
	policy.Question
	Text string `json:"text"` // as [Status.In] says it
}

// TrialStatus is a protocol that is being set or proven.
type TrialStatus struct {
	Protocol string         `json:"protocol"`
	Purpose  policy.Purpose `json:"purpose"`
	Settled  bool           `json:"settled"` // connected with it; the probes are counted from then on
	Failures int            `json:"failures"`
	Probes   int            `json:"probes"`
}

// DetectorStatus is how much speaks for a fault, and how much is certain.
type DetectorStatus struct {
	Score  float64       `json:"score"`
	Alarm  float64       `json:"alarm"`
	Rarity detect.Rarity `json:"rarity"` // how seldom chance alone brings about what was seen
}

// ProbeStatus is the last probe.
type ProbeStatus struct {
	At     time.Time `json:"at"`
	TookMS int64     `json:"took_ms"`
	OK     bool      `json:"ok"`
	Status int       `json:"status"`
	CFRay  string    `json:"cf_ray"`
	Colo   string    `json:"colo"`
}

// Healthy says whether the status is one of those in which Home Assistant is
// reachable as far as is known.
func (s Status) Healthy() bool { return s.Diagnosis.Cause == diagnosis.Healthy }

// Reachable says whether Home Assistant is reachable as far as our own checks know,
// whatever somebody else met: anybody on the internet can have themselves turned away.
func (s Status) Reachable() bool {
	return s.Diagnosis.Cause.ChecksSucceed()
}

// NeedsYou says whether only a person can end what is wrong: with the program itself, or with
// the way in. Of the way in it is not known where nothing can be watched, and decided only once
// what is on trial is proven; where every check of the home's own succeeds, it is open.
func (s Status) NeedsYou() bool {
	told := s.State != policy.Starting && s.State != policy.Blind && s.State != policy.Treating
	return s.Unsure || len(s.Hindered) > 0 || told && s.Diagnosis.Remedy == diagnosis.Tell && !s.Reachable()
}

// In gives the status as its reader's language says it. What is quoted of others (a name,
// an address, a page's words) is harmless in it: see package words.
func (s Status) In(l *words.Lang) Status {
	d := &s.Diagnosis
	d.Advice = []string{}
	if len(s.Hindered) > 0 {
		s.Troubles = l.Texts(s.Hindered)
	}
	if len(s.Gaps) > 0 {
		s.Notes = l.Texts(words.Gaps(s.Gaps))
	}
	s.Also = slices.Clone(s.Also)
	for i, a := range s.Also {
		s.Also[i] = a.In(l)
	}
	if s.Incident != nil {
		i := *s.Incident
		i.Steps, s.Incident = l.Steps(i.Steps), &i
	}
	if s.Question != nil {
		s.Question = &Question{s.Question.Question, l.Text(words.Question(s.Question.Question, s.Protocol.Setting))}
	}
	switch {
	case s.Why.Key != "":
		s.Blind = l.Text(s.Why)
		d.Summary = s.Blind
		return s
	case s.State == policy.Starting: // nothing was seen yet
		return s
	}
	of := diagnosis.Diagnosis{Cause: d.Cause, Remedy: d.Remedy, Particulars: d.Particulars}
	d.Summary, d.Basis, d.Advice = l.Summary(of), l.Basis(of), append(d.Advice, l.Advice(of, s.situation())...)
	if s.State == policy.Holding && slices.Contains(s.Gates, policy.GateQUIC) { // the way that the advice speaks of is shut
		d.Advice = []string{l.Text(words.GateAdvice(policy.GateQUIC))}
	}
	d.Changed = l.Write(words.Changes(d.Before))
	if d.Evidence != nil {
		d.Seen = inShort(l, *d.Evidence, diagnosis.Diagnosis{Particulars: d.Particulars, Changed: d.Before})
	}
	return s
}

// Waits says whether a change that was begun has to wait, and why.
func (s Status) Waits() (why policy.Result, waits bool) {
	if s.Incident == nil || len(s.Incident.Steps) == 0 || s.Trial == nil || s.Trial.Settled {
		return policy.NoResult, false
	}
	last := s.Incident.Steps[len(s.Incident.Steps)-1]
	return last.Result, last.Kind == policy.StepPostponed && last.Result != policy.NoResult
}

// situation is what the program can do about what is wrong. Proof that is being gathered
// keeps it from nothing.
func (s Status) situation() words.Situation {
	shut := slices.ContainsFunc(s.Gates, func(g policy.Gate) bool { return g != policy.GateEvidence })
	return words.Situation{Heals: s.Mode != "observe", Phase: s.State, Shut: shut}
}

func asked(q *policy.Question) *Question {
	if q == nil {
		return nil
	}
	return &Question{Question: *q}
}

// inShort is the evidence in short, with what is known beside it.
func inShort(l *words.Lang, e evidence.Evidence, d diagnosis.Diagnosis) map[string]string {
	seen := l.Seen(e)
	if len(d.Changed) > 0 {
		seen["changed before"] = l.Write(words.Changes(d.Changed))
	}
	if d.Clients != nil {
		seen["turned away"] = l.Text(words.TurnedAway(*d.Clients))
	}
	return seen
}

// names makes foreign names harmless.
func names(list []string) []string {
	var clean []string
	for _, n := range list {
		clean = append(clean, plain.Name(n))
	}
	return clean
}

func mode(r policy.Rules) string {
	switch {
	case !r.Heal:
		return "observe"
	case r.Ask:
		return "ask"
	}
	return "heal"
}

func allowed(r policy.Rules) []string {
	var list []string
	for _, p := range r.Allowed {
		list = append(list, p.String())
	}
	return list
}
