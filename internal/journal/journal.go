// Package journal keeps what must survive a restart of the program: the policy's
// state, the change that is under way, and the incidents. Every write is whole or
// not at all: a new file, flushed to the disk, takes the old one's name. Every file
// bears a checksum, and what acting rests on stands there three times. Where the disk
// takes nothing, memory does.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// Journal is the store. It may be used by several goroutines at once. What the disk
// does not take stays in memory, and is written when it does again.
type Journal struct {
	dir  string
	disk Disk

	mu         sync.Mutex
	record     Record
	generation uint64
	written    []byte // the record as it stands on the disk, so that nothing is written twice
	essence    []byte // and its essence
	unread     bool   // the folder could not be looked into: what it holds must not be written over
	overtaken  bool   // it can be now

	pending map[string]Incident // those that the disk did not take
	history *History            // likewise
	live    *History            // as the loop has it

	tried   time.Time // when the disk last took something
	trouble Trouble
	wait    time.Duration // until the next attempt
	next    time.Time
}

// Trouble is why nothing can be kept at the moment.
type Trouble struct {
	Err   error // nil: there is none
	Since time.Time
}

// How long the disk is left alone after it took no write; the waits double.
const (
	firstWait = time.Second
	lastWait  = time.Minute // for so long a power cut can cost what was done meanwhile
)

// askEvery is how long the disk may be silent before it is asked whether it still takes
// what is written: it must not be found out only when a home is cut off.
const askEvery = time.Hour

// maxPending bounds what is held in memory for a disk that takes nothing.
const maxPending = 10

// Open reads the journal in dir, creating dir if need be. Of what is damaged a whole
// copy is taken; what cannot be used is kept aside under another name. warning then
// says in a sentence or two what is lost. A folder that cannot be written to is no
// error: see Trouble. An error means that the machine could read nothing now, and
// that nothing was touched: try again.
func Open(dir string, now time.Time) (j *Journal, warning string, err error) {
	return OpenOn(RealDisk(), dir, now)
}

// OpenOn opens a journal on a disk that is not the machine's own.
func OpenOn(d Disk, dir string, now time.Time) (j *Journal, warning string, err error) {
	j = &Journal{dir: dir, disk: d, pending: map[string]Incident{}}
	if err := j.furnish(now); err != nil {
		j.fail(err)
	}
	if _, err := d.ReadDir(dir); err != nil {
		if Passing(err) {
			return nil, "", fmt.Errorf("the journal cannot be read now: %w", err)
		}
		// Whether there is a journal is not known, so neither is whose setting is whose.
		j.unread, j.record = true, Record{Version: version, Policy: policy.State{Setting: policy.Setting{Doubt: policy.Unsure}}}
		j.fail(err)
		return j, "", nil
	}
	l, err := load(d, dir)
	if err != nil {
		return nil, "", fmt.Errorf("the journal cannot be read now: %w", err)
	}
	j.sweep()
	j.prune() // of a restored backup, or an earlier version, there may be any number
	j.record, j.generation = l.record, l.generation
	if l.current {
		j.written, j.essence = marshal(j.record), marshal(j.record.essence())
	}
	for _, c := range l.aside {
		if name := j.setAside(c, now); name != "" && c.name == recordName {
			l.warning += " It is kept as " + name + "."
		}
	}
	if refused := refusedBeside(d, dir); refused != "" {
		j.record.RefusedToken = refused
	}
	// A folder that can be read but not written is found out now, not in mid-treatment.
	if err := j.probe(); err != nil {
		j.fail(err)
	}
	j.tried = time.Now()
	return j, l.warning, nil
}

// probe says whether the folder can be written to.
func (j *Journal) probe() error {
	path := filepath.Join(j.dir, ".probe")
	if err := put(j.disk, path, []byte("\n")); err != nil {
		return err
	}
	_ = j.disk.Remove(path) // harmless if it stays
	return nil
}

// furnish makes the folders. What stands in the incidents' place is moved away.
func (j *Journal) furnish(now time.Time) error {
	incidents := filepath.Join(j.dir, "incidents")
	err := j.disk.MkdirAll(incidents)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		if j.disk.Rename(incidents, incidents+now.UTC().Format(".broken-20060102T150405Z")) == nil {
			err = j.disk.MkdirAll(incidents)
		}
	}
	return err
}

// setAside keeps a file that cannot be used under another name, "" if it could not
// be. Of many the newest are kept.
func (j *Journal) setAside(c copyOf, now time.Time) string {
	base, why := strings.TrimSuffix(c.name, ".json"), ".broken-"
	if c.newer != nil {
		why = ".newer-"
	}
	name := base + why + now.UTC().Format("20060102T150405Z") + ".json"
	if j.disk.Rename(filepath.Join(j.dir, c.name), filepath.Join(j.dir, name)) != nil {
		return ""
	}
	names, _ := j.disk.ReadDir(j.dir)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, base+why) })
	for _, old := range names[:max(0, len(names)-keptAside)] {
		_ = j.disk.Remove(filepath.Join(j.dir, old))
	}
	return name
}

func marshal(r Record) []byte {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil { // of times beyond the year 9999 alone: the record is bounded by what reads it
		return nil
	}
	return raw
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
	if r.Intention != nil && !r.Intention.whole() {
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

// Record gives a copy of what is kept.
func (j *Journal) Record() Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

// Trouble says why nothing can be kept at the moment, and since when.
func (j *Journal) Trouble() Trouble {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.trouble
}

// Overtaken says that the data folder, which could not be looked into, is back: what
// it holds is the truth, and a new start reads it.
func (j *Journal) Overtaken() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.overtaken
}

// Update changes the record and writes it, if there is a difference that is kept.
// The change stands in memory even if there is an error. A disk that has just taken
// nothing is tried again only after a while.
func (j *Journal) Update(change func(*Record)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.record)
	return j.flush(false)
}

// Intend notes a change before its next step. It tries the disk in any case.
func (j *Journal) Intend(i Intention) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record.Intention = &i
	return j.flush(true)
}

// Retry tries the disk now, if there is anything that it has not taken.
func (j *Journal) Retry() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flush(true)
}

// flush writes what the disk has not taken yet.
func (j *Journal) flush(now bool) error {
	raw, err := json.MarshalIndent(j.record, "", " ")
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if bytes.Equal(raw, j.written) && j.trouble.Err == nil && time.Since(j.tried) < askEvery {
		return nil
	}
	if j.trouble.Err != nil && !now && time.Now().Before(j.next) {
		return j.trouble.Err
	}
	if err := j.writeAll(raw); err != nil {
		return j.fail(fmt.Errorf("writing the journal: %w", err))
	}
	j.trouble, j.wait, j.tried = Trouble{}, 0, time.Now()
	return nil
}

func (j *Journal) writeAll(raw []byte) error {
	if j.unread {
		if _, err := j.disk.ReadDir(j.dir); err != nil {
			return err
		}
		j.overtaken = true
		return errors.New("the data folder is back, and was not read yet")
	}
	if !bytes.Equal(raw, j.written) {
		if err := j.writeRecord(raw); err != nil {
			return err
		}
	} else if err := j.probe(); err != nil { // is the trouble over?
		return err
	}
	for id, i := range j.pending {
		if err := j.writeIncident(i); err != nil {
			return err
		}
		delete(j.pending, id)
	}
	if j.history != nil {
		if err := j.writeHistory(*j.history); err != nil {
			return err
		}
		j.history = nil
	}
	return nil
}

func (j *Journal) writeRecord(raw []byte) error {
	j.generation++
	j.written = nil // half written, it is written again
	sealed := seal(raw, j.generation)
	for _, name := range []string{recordName, twinName} {
		if err := j.replace(name, sealed); err != nil {
			return err
		}
	}
	if essence := marshal(j.record.essence()); !bytes.Equal(essence, j.essence) {
		j.essence = nil
		if err := j.replace(essenceName, seal(essence, j.generation)); err != nil {
			return err
		}
		j.essence = essence
	}
	j.written = raw
	return nil
}

// replace puts one of the three in place. A folder that stands there is moved away.
func (j *Journal) replace(name string, raw []byte) error {
	path := filepath.Join(j.dir, name)
	err := put(j.disk, path, raw)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) {
		if j.setAside(copyOf{name: name}, time.Now()) != "" {
			err = put(j.disk, path, raw)
		}
	}
	return err
}

// fail notes that the disk took nothing, and gives the error.
func (j *Journal) fail(err error) error {
	now := time.Now()
	if j.trouble.Err == nil {
		j.trouble.Since = now
	}
	j.trouble.Err = err
	j.wait = min(max(2*j.wait, firstWait), lastWait)
	j.next = now.Add(j.wait)
	return err
}

// Write keeps an incident, and deletes the oldest beyond Keep.
func (j *Journal) Write(i Incident) error {
	if !validID(i.ID) {
		return fmt.Errorf("incident id %q cannot be a file name", i.ID)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.trouble.Err
	if err == nil {
		if err = j.writeIncident(i); err == nil {
			return nil
		}
		err = j.fail(fmt.Errorf("writing an incident: %w", err))
	}
	i.Account = i.Account.Clone()
	j.pending[i.ID] = i
	for len(j.pending) > maxPending {
		delete(j.pending, slices.Min(slices.Collect(maps.Keys(j.pending))))
	}
	return err
}

func (j *Journal) writeIncident(i Incident) error {
	raw, err := sealedValue(i)
	if err != nil {
		return err
	}
	if err := put(j.disk, j.incident(i.ID), raw); err != nil {
		return err
	}
	j.prune()
	return nil
}

// prune deletes the oldest incidents beyond Keep.
func (j *Journal) prune() {
	ids := j.ids()
	for _, id := range ids[min(Keep, len(ids)):] {
		_ = j.disk.Remove(j.incident(id)) // the next one tries again
	}
}

// Incidents gives the kept incidents, newest first; one that cannot be read is
// passed over.
func (j *Journal) Incidents() []Incident {
	j.mu.Lock()
	ids := j.ids()
	for id := range j.pending {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	j.mu.Unlock()
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
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
	j.mu.Lock()
	held, ok := j.pending[id]
	j.mu.Unlock()
	if ok {
		held.Account = held.Account.Clone()
		return held, true
	}
	raw, err := j.disk.ReadFile(j.incident(id))
	if err != nil || unsealValue(raw, &i) != nil {
		return Incident{}, false
	}
	return i, i.ID == id
}

// ids lists the ids of the incidents on the disk, newest first: they begin with
// their time.
func (j *Journal) ids() []string {
	names, err := j.disk.ReadDir(filepath.Join(j.dir, "incidents"))
	if err != nil {
		return nil
	}
	var ids []string
	for _, n := range names {
		if id, ok := strings.CutSuffix(n, ".json"); ok && validID(id) {
			ids = append(ids, id)
		}
	}
	slices.Reverse(ids)
	return ids
}

func (j *Journal) incident(id string) string { return filepath.Join(j.dir, "incidents", id+".json") }

// sweep removes what a kill in mid-write left behind.
func (j *Journal) sweep() {
	for _, dir := range []string{j.dir, filepath.Join(j.dir, "incidents")} {
		names, _ := j.disk.ReadDir(dir)
		for _, n := range names {
			if strings.HasPrefix(n, strings.TrimSuffix(fresh, "*")) {
				_ = j.disk.Remove(filepath.Join(dir, n)) // harmless if it stays
			}
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
