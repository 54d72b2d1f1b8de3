// Package journal keeps what must survive a restart of the program: the policy's
// state, the change that is under way, and the incidents. Every write is whole or
// not at all: a new file, flushed to the disk, takes the old one's name. Every file
// bears a checksum, and what acting rests on stands there three times. Where the disk
// takes nothing, memory does.
package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"tunnelmedic/internal/policy"
)

// Keep is how many incidents are kept; older ones are deleted.
const Keep = 100

// maxSteps bounds one incident's story: a fault that lasts for months must not
// fill the disk. The first half and the newest steps stay.
const maxSteps = 200

// Journal is the store. It may be used by several goroutines at once. What the disk
// does not take stays in memory, and is written when it does again.
type Journal struct {
	folder

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
	j = &Journal{folder: folder{d, dir}, pending: map[string]Incident{}}
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
	l, err := j.load()
	if err != nil {
		return nil, "", fmt.Errorf("the journal cannot be read now: %w", err)
	}
	j.sweep()
	j.prune() // in a restored backup there may be any number
	j.record, j.generation = l.record, l.generation
	if l.current {
		j.written, j.essence = marshal(j.record), marshal(j.record.essence())
	}
	for _, c := range l.aside {
		if name := j.setAside(c, now); name != "" && c.name == recordName {
			l.warning += " It is kept as " + name + "."
		}
	}
	j.record.RefusedToken = cmp.Or(j.refusedBeside(), j.record.RefusedToken)
	// A folder that can be read but not written is found out now, not in mid-treatment.
	if err := j.probe(); err != nil {
		j.fail(err)
	}
	j.tried = time.Now()
	return j, l.warning, nil
}

func marshal(r Record) []byte {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil { // of times beyond the year 9999 alone: the record is bounded by what reads it
		return nil
	}
	return raw
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
		if _, err := j.ReadDir(j.dir); err != nil {
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

// keep writes something beside the record, unless the disk takes nothing anyway.
func (j *Journal) keep(what string, write func() error) error {
	if j.trouble.Err != nil {
		return j.trouble.Err
	}
	if err := write(); err != nil {
		return j.fail(fmt.Errorf("writing %s: %w", what, err))
	}
	return nil
}

// Write keeps an incident, and deletes the oldest beyond Keep.
func (j *Journal) Write(i Incident) error {
	if !validID(i.ID) {
		return fmt.Errorf("incident id %q cannot be a file name", i.ID)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.keep("an incident", func() error { return j.writeIncident(i) })
	if err == nil {
		return nil
	}
	i.Account = i.Account.Clone()
	j.pending[i.ID] = i
	for len(j.pending) > maxPending {
		delete(j.pending, slices.Min(slices.Collect(maps.Keys(j.pending))))
	}
	return err
}

// WriteHistory keeps the history. What the disk does not take stays in memory.
func (j *Journal) WriteHistory(h History) error {
	h.Version = version
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.keep("the history", func() error { return j.writeHistory(h) })
	if err != nil {
		j.history = h.snapshot()
	}
	return err
}

// Live takes the history as it stands between two writes: who reads it reads of now.
func (j *Journal) Live(h History) {
	now := h.snapshot()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.live = now
}

// History gives the history as it stands, or else as it was written; an empty one if there is
// none yet, or it cannot be read: it is for the reports alone.
func (j *Journal) History() History {
	j.mu.Lock()
	held := cmp.Or(j.live, j.history)
	j.mu.Unlock()
	if held != nil {
		return *held
	}
	for _, name := range []string{historyName, historyOldName} {
		if h, _, err := j.readHistory(name); err == nil {
			return h
		}
	}
	return History{Version: version}
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
	slices.Sort(ids)
	list := make([]Incident, 0, len(ids))
	for _, id := range slices.Backward(ids) {
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
	return j.readIncident(id)
}

// Reader opens the journal in dir for reading alone: it may belong to a daemon that
// is running, so nothing there is touched.
func Reader(dir string) (*Journal, error) {
	if s, err := os.Stat(dir); err != nil || !s.IsDir() {
		return nil, fmt.Errorf("there is no data folder %s", dir)
	}
	return &Journal{folder: folder{RealDisk(), dir}, record: Record{Version: version}}, nil
}
