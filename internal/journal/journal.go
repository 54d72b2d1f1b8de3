// Package journal keeps what must survive a restart of the program: the policy's
// state, the change that is under way, and the incidents. Every write is whole or
// not at all: a new file, flushed to the disk, takes the old one's name.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// Keep is how many incidents are kept; older ones are deleted.
const Keep = 100

// maxSteps bounds one incident's story: a fault that lasts for months must not
// fill the disk. The first half and the newest steps stay.
const maxSteps = 200

// version of the files' form. A journal from a newer program is set aside.
const version = 1

// Record is what stands in journal.json.
type Record struct {
	Version      int          `json:"version"`
	Slug         string       `json:"slug,omitempty"` // the add-on that the state belongs to
	Policy       policy.State `json:"policy"`
	Intention    *Intention   `json:"intention,omitempty"`
	RefusedToken string       `json:"refused_token,omitempty"` // fingerprint of a token that Home Assistant refused

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
	// Felled says that the add-on does not run by a restart of ours: it is ours to start.
	Felled bool `json:"felled,omitempty"`
	// Process is cloudflared's own id before the restart, "" if not known: another
	// one afterwards shows that the restart was done.
	Process string `json:"process,omitempty"`
}

// Knows says whether p can stand in the add-on's options by our doing. Anything
// else is a person's.
func (i Intention) Knows(p evidence.Protocol) bool {
	return p == i.From || p == i.To || slices.Contains(i.Ours, p)
}

// Incident is one incident's record, for the people.
type Incident struct {
	ID        string             `json:"id"`
	Onset     time.Time          `json:"onset"` // the first failed probe
	LastGood  time.Time          `json:"last_good,omitzero"`
	Ended     time.Time          `json:"ended,omitzero"`
	Outcome   policy.StepKind    `json:"outcome,omitempty"` // the step that ended it
	Cause     diagnosis.Cause    `json:"cause"`
	URL       string             `json:"url"`
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

// Journal is the store. It may be used by several goroutines at once.
type Journal struct {
	dir string

	mu      sync.Mutex
	record  Record
	written []byte // what stands on the disk, so that nothing is written twice
}

// Open reads the journal in dir, creating dir if need be. A journal that cannot be
// read is kept aside under another name and a fresh one begun; warning then says
// so. An error means that dir cannot be written to.
func Open(dir string, now time.Time) (j *Journal, warning string, err error) {
	j = &Journal{dir: dir, record: Record{Version: version}}
	if err := os.MkdirAll(filepath.Join(dir, "incidents"), 0o700); err != nil {
		return nil, "", fmt.Errorf("the data folder cannot be used: %w", err)
	}
	j.sweep()
	raw, err := os.ReadFile(j.path())
	switch there, _ := os.Lstat(j.path()); {
	case errors.Is(err, fs.ErrNotExist) && there == nil:
	case err != nil && (there == nil || there.Mode().IsRegular()):
		return nil, "", fmt.Errorf("the journal cannot be read: %w", err)
	default:
		r, bad := parse(raw)
		if err != nil {
			bad = errors.New("it is not a file")
		}
		if bad == nil {
			j.record, j.written = r, raw
			break
		}
		aside := fmt.Sprintf("journal.broken-%s.json", now.UTC().Format("20060102T150405Z"))
		if err := os.Rename(j.path(), filepath.Join(dir, aside)); err != nil {
			return nil, "", fmt.Errorf("the broken journal cannot be set aside: %w", err)
		}
		warning = fmt.Sprintf("The journal was unreadable (%v). It is kept as %s and a fresh one is begun; earlier cures are forgotten.", bad, aside)
	}
	if refused := refusedBeside(dir); refused != "" {
		j.record.RefusedToken = refused
	}
	// A folder that can be read but not written is found out now, not in mid-treatment.
	if err := j.write(filepath.Join(dir, ".probe"), []byte("\n")); err != nil {
		return nil, "", fmt.Errorf("the data folder %s cannot be written to: %w", dir, err)
	}
	return j, warning, os.Remove(filepath.Join(dir, ".probe"))
}

func parse(raw []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, errors.New("it is not the JSON this program writes")
	}
	if r.Version != version {
		return r, fmt.Errorf("its version is %d, this program knows %d", r.Version, version)
	}
	return r, r.check()
}

// check holds a record against what the program can have written: a half-true
// state is worse than none.
func (r Record) check() error {
	p := r.Policy
	if i := p.Incident; i != nil && !validID(i.ID) || p.Failback != nil && p.Failback.Incident != "" && !validID(p.Failback.Incident) {
		return errors.New("it holds an incident without an id")
	}
	if p.HoldLevel < 0 || p.Failback != nil && p.Failback.Wait < 0 {
		return errors.New("it holds a wait below zero")
	}
	if i := r.Intention; i != nil && (i.Slug == "" || !slices.Contains([]Stage{Intended, Writing, Restarting, Connecting}, i.Stage)) {
		return errors.New("it holds a change that nobody can take up")
	}
	if (p.Trial != nil || p.Incident != nil || p.Failback != nil) && !p.OwnKnown {
		return errors.New("it holds a treatment without your own setting")
	}
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

// Record gives a copy of what is kept.
func (j *Journal) Record() Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

// Update changes the record and writes it, if there is a difference that is kept.
func (j *Journal) Update(change func(*Record)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.record)
	raw, err := json.MarshalIndent(j.record, "", " ")
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if bytes.Equal(raw, j.written) {
		return nil
	}
	if err := j.write(j.path(), raw); err != nil {
		return fmt.Errorf("writing the journal: %w; is the disk full?", err)
	}
	j.written = raw
	return nil
}

// Intend notes a change before its next step.
func (j *Journal) Intend(i Intention) error {
	return j.Update(func(r *Record) { r.Intention = &i })
}

// Write keeps an incident, and deletes the oldest beyond Keep.
func (j *Journal) Write(i Incident) error {
	if !validID(i.ID) {
		return fmt.Errorf("incident id %q cannot be a file name", i.ID)
	}
	raw, err := json.MarshalIndent(i, "", " ")
	if err != nil {
		return fmt.Errorf("writing an incident: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.write(j.incident(i.ID), raw); err != nil {
		return fmt.Errorf("writing an incident: %w; is the disk full?", err)
	}
	ids := j.ids()
	for _, id := range ids[min(Keep, len(ids)):] {
		if err := os.Remove(j.incident(id)); err != nil {
			return fmt.Errorf("deleting an old incident: %w", err)
		}
	}
	return nil
}

// Incidents gives the kept incidents, newest first; one that cannot be read is
// passed over.
func (j *Journal) Incidents() []Incident {
	j.mu.Lock()
	ids := j.ids()
	j.mu.Unlock()
	list := make([]Incident, 0, len(ids))
	for _, id := range ids {
		if i, ok := j.Incident(id); ok {
			list = append(list, i)
		}
	}
	return list
}

// Incident gives one incident; ok is false if there is none of this id.
func (j *Journal) Incident(id string) (i Incident, ok bool) {
	if !validID(id) {
		return i, false
	}
	raw, err := os.ReadFile(j.incident(id))
	if err != nil || json.Unmarshal(raw, &i) != nil {
		return Incident{}, false
	}
	return i, i.ID == id
}

// ids lists the incidents' ids, newest first: they begin with their time.
func (j *Journal) ids() []string {
	entries, err := os.ReadDir(filepath.Join(j.dir, "incidents"))
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && validID(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids
}

func (j *Journal) path() string              { return filepath.Join(j.dir, "journal.json") }
func (j *Journal) incident(id string) string { return filepath.Join(j.dir, "incidents", id+".json") }

// sweep removes what a kill in mid-write left behind.
func (j *Journal) sweep() {
	for _, dir := range []string{j.dir, filepath.Join(j.dir, "incidents")} {
		left, _ := filepath.Glob(filepath.Join(dir, fresh))
		for _, f := range left {
			_ = os.Remove(f) // harmless if it stays
		}
	}
}

// fresh names files that are not whole yet.
const fresh = ".new-*"

// validID lets through what the policy makes (20261121T220512Z), so that no id can
// lead out of the folder.
func validID(id string) bool {
	return len(id) > 0 && len(id) <= 32 && strings.Trim(id, "0123456789TZ-") == ""
}

// write puts a file in place whole: a power cut leaves the old one or the new one.
func (j *Journal) write(path string, raw []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), fresh)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err2 := os.Open(filepath.Dir(path))
	if err2 != nil {
		return nil // the rename stands; that its entry is on the disk is all that was left to force
	}
	defer d.Close()
	_ = d.Sync() // some file systems cannot; the rename stands all the same
	return nil
}
