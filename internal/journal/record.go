package journal

import (
	"errors"
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// version of the files' form. Of a journal from a newer program only what must not be
// forgotten is taken.
const version = 1

// Record is what stands in journal.json.
type Record struct {
	Version      int          `json:"version"`
	Slug         string       `json:"slug,omitempty"` // the app that the state belongs to: it is watched while it is installed
	Policy       policy.State `json:"policy"`
	Intention    *Intention   `json:"intention,omitempty"`
	RefusedToken string       `json:"refused_token,omitempty"` // fingerprint of a token that Home Assistant refused

	// Elsewhere is what stays of apps that were watched before, by their slugs.
	Elsewhere map[string]policy.State `json:"elsewhere,omitempty"`
	// Others are the other Cloudflared apps of which people were told.
	Others []string `json:"beside,omitempty"`

	// Worked is when Home Assistant last greeted through the tunnel: a day, by host
	// name and protocol.
	Worked map[string]map[evidence.Protocol]string `json:"worked,omitempty"`
	// ClientsTold is when it was last begun to be said that clients fail while the
	// probe is fine.
	ClientsTold time.Time `json:"clients_told,omitzero"`
}

// Stage of a change: what may already have happened.
type Stage string

const (
	Intended   Stage = "intended"   // nothing was done yet
	Writing    Stage = "writing"    // the options may have been written
	Restarting Stage = "restarting" // they were; the restart may have begun
	Connecting Stage = "connecting" // it was restarted; it may be connected
)

// Intention is a change that was begun: written before each step, so that a start
// after a crash knows what may have happened.
type Intention struct {
	Slug    string             `json:"slug"`
	From    evidence.Protocol  `json:"from"` // stored before
	To      evidence.Protocol  `json:"to"`
	Purpose policy.Purpose     `json:"purpose"`
	Stage   Stage              `json:"stage"`
	At      time.Time          `json:"at"`
	Before  evidence.Transport `json:"before,omitempty"` // in use before
	// Back is what goes back where a person stops the add-on before the change is
	// proven: it then starts with what was proven last.
	Back evidence.Protocol `json:"back,omitempty"`
	// Ours may stand there too, by an earlier step whose end is not known.
	Ours []evidence.Protocol `json:"ours,omitempty"`
	// StoppedByUs says that the add-on does not run by a restart of ours: it is ours to start.
	StoppedByUs bool `json:"felled,omitempty"`
	// NoRestart says that the process runs with To already: the options alone go back.
	NoRestart bool `json:"no_restart,omitempty"`
	// Process is cloudflared's own id before the restart, "" if not known: another
	// one afterwards shows that the restart was done.
	Process string `json:"process,omitempty"`
	// Begun is how many restarts were sent off for this change, and Most how many the
	// day's budget allows; below zero none, zero any number.
	Begun int `json:"begun,omitempty"`
	Most  int `json:"most,omitempty"`
}

// Knows says whether p can stand in the add-on's options by our doing. Anything
// else is a person's.
func (i Intention) Knows(p evidence.Protocol) bool {
	return p == i.From || p == i.To || slices.Contains(i.Ours, p)
}

// Restarted says whether the app may have been restarted for it.
func (i Intention) Restarted() bool { return i.Stage == Restarting || i.Stage == Connecting }

// Incident is one incident's record, for the people.
type Incident struct {
	ID        string             `json:"id"`
	Onset     time.Time          `json:"onset"` // the first failed probe
	LastGood  time.Time          `json:"last_good,omitzero"`
	Ended     time.Time          `json:"ended,omitzero"`
	Outcome   policy.StepKind    `json:"outcome,omitempty"` // the step that ended it
	Cause     diagnosis.Cause    `json:"cause"`
	URL       string             `json:"url"`
	App       string             `json:"app,omitempty"` // the watched one's slug
	Own       evidence.Protocol  `json:"own"`
	Before    evidence.Protocol  `json:"before"` // in force at the onset
	Transport evidence.Transport `json:"transport,omitempty"`
	After     evidence.Protocol  `json:"after"` // in force at the end
	Restarts  int                `json:"restarts"`
	Seen      map[string]string  `json:"seen,omitempty"` // the evidence at the alarm, in short
	Steps     []policy.Step      `json:"steps"`
	Account   Account            `json:"account,omitzero"` // what its report rests on
}

// Add tells the story on, within its bounds.
func (i *Incident) Add(steps ...policy.Step) {
	i.Steps = append(slices.Clone(i.Steps), steps...) // whoever was given the story so far keeps it
	if n := len(i.Steps); n > maxSteps {
		i.Steps = slices.Delete(i.Steps, maxSteps/2, n-maxSteps/2)
	}
}

// check holds a record against what the program can have written: a half-true
// state is worse than none.
func (r Record) check() error {
	p := r.Policy
	f := p.Failback
	if !idsValid(p) {
		return errors.New("it holds an incident without an id")
	}
	if p.HoldLevel < 0 || f != nil && f.Wait < 0 {
		return errors.New("it holds a wait below zero")
	}
	if r.Intention != nil && (!r.Intention.whole() || r.Intention.Slug != r.Slug) { // both are written in one go
		return errors.New("it holds a change that nobody can take up")
	}
	if !p.OwnKnown && (p.Trial != nil || p.Incident != nil || f != nil) {
		return errors.New("it holds a treatment without your own setting")
	}
	for _, kept := range r.Elsewhere {
		if err := (Record{Policy: kept}).check(); err != nil {
			return err
		}
	}
	return grounds(p)
}

// idsValid says whether what is open, and what was cured, can be found again.
func idsValid(p policy.State) bool {
	if p.Incident != nil && !validID(p.Incident.ID) {
		return false
	}
	return p.Failback == nil || p.Failback.Incident == "" || validID(p.Failback.Incident)
}

// whole says whether a change can be taken up.
func (i Intention) whole() bool {
	return i.Slug != "" && slices.Contains([]Stage{Intended, Writing, Restarting, Connecting}, i.Stage)
}

// grounds says what a trial under way lacks of what its purpose rests on.
func grounds(p policy.State) error {
	if p.Trial == nil {
		return nil
	}
	switch p.Trial.Purpose {
	case policy.ByHand, policy.HandBack, policy.Revive: // it may stand alone
	case policy.Failback, policy.Return:
		if p.Failback == nil {
			return errors.New("it holds a fail-back without a cure")
		}
	case policy.Trial, policy.Restore:
		if p.Incident == nil {
			return errors.New("it holds a trial without an incident")
		}
	default:
		return errors.New("it holds a trial without a purpose")
	}
	return nil
}
