package journal_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// memory is a disk in memory, each of whose calls can be made to fail.
type memory struct {
	mu    sync.Mutex
	files map[string]string // by path; "/" at the end: a folder
	spoil func(call, path string) error
	calls []string
	n     int
}

func newMemory() *memory { return &memory{files: map[string]string{}} }

func (m *memory) call(name, path string) error {
	m.calls = append(m.calls, name+" "+path)
	if m.spoil == nil {
		return nil
	}
	return m.spoil(name, path)
}

func (m *memory) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("mkdir", dir); err != nil {
		return err
	}
	for ; dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		if _, file := m.files[dir]; file {
			return syscall.ENOTDIR
		}
		m.files[dir+"/"] = ""
	}
	return nil
}

func (m *memory) ReadFile(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("read", path); err != nil {
		return nil, err
	}
	if _, dir := m.files[path+"/"]; dir {
		return nil, syscall.EISDIR
	}
	raw, ok := m.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(raw), nil
}

func (m *memory) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("list", dir); err != nil {
		return nil, err
	}
	if _, ok := m.files[dir+"/"]; !ok {
		return nil, fs.ErrNotExist
	}
	var names []string
	for path := range m.files {
		path = strings.TrimSuffix(path, "/")
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

type memoryFile struct {
	m    *memory
	path string
}

func (f memoryFile) Name() string { return f.path }
func (f memoryFile) Close() error { return nil }
func (f memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.call("sync", f.path)
}

func (f memoryFile) Write(b []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.call("write", f.path); err != nil {
		return 0, err
	}
	f.m.files[f.path] += string(b)
	return len(b), nil
}

func (m *memory) Create(dir string) (journal.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("create", dir); err != nil {
		return nil, err
	}
	if _, ok := m.files[dir+"/"]; !ok {
		return nil, fs.ErrNotExist
	}
	m.n++
	path := filepath.Join(dir, ".new-"+strings.Repeat("x", m.n%9+1))
	m.files[path] = ""
	return memoryFile{m, path}, nil
}

func (m *memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", to); err != nil {
		return err
	}
	for _, end := range []string{"", "/"} {
		if raw, ok := m.files[from+end]; ok {
			if _, dir := m.files[to+"/"]; dir {
				return syscall.EEXIST
			}
			delete(m.files, from+end)
			m.files[to+end] = raw
			return nil
		}
	}
	return fs.ErrNotExist
}

func (m *memory) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", path); err != nil {
		return err
	}
	delete(m.files, path)
	return nil
}

func (m *memory) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.call("syncdir", dir)
}

// copied is another disk that holds the same.
func (m *memory) copied() *memory { return &memory{files: maps.Clone(m.files)} }

// on opens a journal on a disk in memory.
func on(t *testing.T, d journal.Disk) (*journal.Journal, string) {
	t.Helper()
	j, warning, err := journal.OpenOn(d, "/data", night)
	if err != nil {
		t.Fatal(err)
	}
	return j, warning
}

var troubles = map[string]func(call, path string) error{
	"full": func(call, _ string) error {
		if call == "create" || call == "write" || call == "sync" || call == "mkdir" {
			return syscall.ENOSPC
		}
		return nil
	},
	"read-only": func(call, _ string) error {
		if call == "read" || call == "list" {
			return nil
		}
		return syscall.EROFS
	},
	"full in mid-write": func(call, _ string) error {
		if call == "write" {
			return syscall.ENOSPC
		}
		return nil
	},
	"errors at the flush": func(call, _ string) error {
		if call == "sync" {
			return syscall.EIO
		}
		return nil
	},
	"somebody else's": func(call, _ string) error {
		if call == "create" || call == "rename" || call == "remove" || call == "mkdir" {
			return syscall.EACCES
		}
		return nil
	},
}

func TestADiskThatTakesNothingKeepsNothingFromMemory(t *testing.T) {
	for name, spoil := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newMemory()
				j, _ := on(t, d)
				update(t, j, func(r *journal.Record) { r.Policy, r.Slug = sick(), "9074a9fa_cloudflared" })
				d.spoil = spoil
				if err := j.Update(func(r *journal.Record) { r.Policy.HoldLevel = 3 }); err == nil || j.Trouble().Err == nil {
					t.Fatalf("no trouble is known: %v", err)
				}
				if got := journal.Plain(j.Trouble().Err); got == "the disk cannot be written to" {
					t.Errorf("it is not said in plain words: %v", j.Trouble().Err)
				}
				if j.Write(incident(1)) == nil || j.WriteHistory(journal.History{TimeZone: "Europe/Berlin"}) == nil || j.Intend(intention()) == nil {
					t.Error("what was not kept is said to be")
				}
				r := j.Record()
				if r.Policy.HoldLevel != 3 || r.Intention == nil || len(j.Incidents()) != 1 || j.History().TimeZone == "" {
					t.Error("memory does not hold what the disk did not take")
				}
				// The disk is left alone for longer and longer.
				tried := 0
				for range 3600 {
					time.Sleep(time.Second)
					n := len(d.calls)
					_ = j.Update(func(*journal.Record) {})
					if len(d.calls) > n {
						tried++
					}
				}
				if tried < 10 || tried > 70 {
					t.Errorf("it was tried %d times in an hour", tried)
				}
				d.spoil = nil
				time.Sleep(6 * time.Minute)
				update(t, j, func(*journal.Record) {})
				if j.Trouble().Err != nil {
					t.Error("the trouble is not over")
				}
				again, warning := on(t, d)
				if warning != "" || !reflect.DeepEqual(again.Record(), j.Record()) || len(again.Incidents()) != 1 || again.History().TimeZone == "" {
					t.Errorf("afterwards the disk holds %+v, %q", again.Record(), warning)
				}
			})
		})
		t.Run(name+" from the start", func(t *testing.T) {
			d := newMemory()
			j, _ := on(t, d)
			update(t, j, func(r *journal.Record) { r.Policy, r.Slug = sick(), "9074a9fa_cloudflared" })
			d.spoil = spoil
			again, warning := on(t, d)
			if warning != "" || again.Trouble().Err == nil || !reflect.DeepEqual(again.Record(), j.Record()) {
				t.Errorf("trouble %v, warning %q, record %+v", again.Trouble().Err, warning, again.Record())
			}
		})
	}
}

// A machine without a file descriptor left says nothing about a file: nothing may be
// concluded, and above all nothing set aside.
func TestAJournalThatCannotBeReadNowIsLeftAlone(t *testing.T) {
	for _, call := range []string{"read", "list"} {
		d := newMemory()
		j, _ := on(t, d)
		update(t, j, func(r *journal.Record) { r.Policy = sick() })
		before := maps.Clone(d.files)
		d.spoil = func(c, path string) error {
			if c == call {
				return &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
			}
			return nil
		}
		if _, _, err := journal.OpenOn(d, "/data", night); !journal.Passing(err) {
			t.Errorf("%s: %v", call, err)
		}
		if !maps.Equal(d.files, before) {
			t.Errorf("%s: the folder was touched", call)
		}
	}
}

// A folder that was not there at the start may come back with the true journal in it.
func TestAJournalThatComesBackIsNotWrittenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemory()
		j, _ := on(t, d)
		update(t, j, func(r *journal.Record) { r.Policy = sick() })
		want := d.files["/data/journal.json"]
		d.spoil = func(_, path string) error { return &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT} }
		j, _ = on(t, d)
		if j.Record().Policy.Doubt != policy.Unsure || j.Trouble().Err == nil {
			t.Errorf("it claims to know %+v", j.Record())
		}
		d.spoil = nil
		time.Sleep(time.Minute)
		if err := j.Update(func(r *journal.Record) { r.Policy.HoldLevel = 1 }); err == nil || !j.Overtaken() {
			t.Errorf("overtaken %v, %v", j.Overtaken(), err)
		}
		if d.files["/data/journal.json"] != want {
			t.Error("the true journal was written over")
		}
	})
}

func TestAFolderThatIsRemovedIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Policy = sick() })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	update(t, j, func(r *journal.Record) { r.Policy.HoldLevel = 1 })
	if err := j.Write(incident(1)); err != nil {
		t.Error(err)
	}
	if got := open(t, dir).Record().Policy.HoldLevel; got != 1 {
		t.Errorf("got %d", got)
	}
}

func TestAFolderInAFilesPlaceIsMovedAway(t *testing.T) {
	for _, name := range []string{"journal.json", "journal.twin.json", "essence.json"} {
		dir := t.TempDir()
		j := open(t, dir)
		update(t, j, func(r *journal.Record) { r.Policy = sick() })
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		update(t, j, func(r *journal.Record) { r.Policy.HoldLevel = 2 })
		if again, _, err := journal.Open(dir, night); err != nil || again.Record().Policy.HoldLevel != 2 || again.Record().Policy.Own != evidence.Default {
			t.Errorf("%s: %+v, %v", name, again.Record(), err)
		}
	}
}

// Wherever the power is cut in the middle of a write, the state of before or of after
// it is there, whole.
func TestACutBetweenAnyTwoCallsLeavesOneOrTheOther(t *testing.T) {
	d := newMemory()
	j, _ := on(t, d)
	update(t, j, func(r *journal.Record) { r.Policy, r.Slug = sick(), "9074a9fa_cloudflared" })
	before := j.Record()
	for n := range 40 {
		cut := d.copied()
		j, _ := on(t, cut)
		left := n
		cut.spoil = func(string, string) error {
			if left--; left < 0 {
				return syscall.EIO
			}
			return nil
		}
		_ = j.Intend(intention())
		after := j.Record()
		done := left >= 0
		cut.spoil = nil
		again, warning := on(t, cut)
		if got := again.Record(); warning != "" || !reflect.DeepEqual(got, before) && !reflect.DeepEqual(got, after) || done && !reflect.DeepEqual(got, after) {
			t.Fatalf("after %d calls: %q, %+v", n, warning, got)
		}
		if done {
			return
		}
	}
	t.Error("the write never came to its end")
}

func TestADowngradeForgetsNothingThatMatters(t *testing.T) {
	later := journal.Sealed(`{"version":2,"slug":"9074a9fa_cloudflared","mood":{"good":true},"policy":{"own":"quic","own_known":true,"set":"http2","mesmerised":1,
		"incident":{"id":7},"trial":{"protocol":"http2","purpose":"trial","since":"2026-11-21T22:05:12Z","settled":true,"more":[]},
		"restarts":["2026-11-21T22:00:00Z","2026-11-21T22:05:00Z"],"paused_until":"2026-11-22T00:00:00Z"}}`)
	d := newMemory()
	d.files["/data/"], d.files["/data/journal.json"] = "", later
	j, warning := on(t, d)
	r := j.Record()
	if !strings.Contains(warning, "later version") || !strings.Contains(warning, "quic") || strings.Contains(warning, "\n") {
		t.Errorf("warning %q", warning)
	}
	p := r.Policy
	if p.Own != evidence.QUIC || !p.OwnKnown || p.Set != evidence.HTTP2 || len(p.Restarts) != 2 || p.PausedUntil.IsZero() || r.Slug == "" {
		t.Errorf("forgotten: %+v", r)
	}
	if p.Trial == nil || p.Trial.Protocol != evidence.QUIC || p.Trial.Purpose != policy.HandBack || r.Intention == nil || !r.Intention.Knows(evidence.HTTP2) {
		t.Errorf("the way back: %+v, %+v", p.Trial, r.Intention)
	}
	if d.files["/data/journal.newer-20261121T220512Z.json"] != later {
		t.Error("the later version's own was not kept")
	}
	update(t, j, func(*journal.Record) {})
	if again, warning := on(t, d); warning != "" || !reflect.DeepEqual(again.Record(), r) {
		t.Errorf("after that: %q, %+v", warning, again.Record())
	}
	// What it holds of these three and cannot be understood must not be guessed.
	for _, odd := range []string{`"own":"masque"`, `"own_known":"yes"`, `"set":7`} {
		name, _, _ := strings.Cut(odd, ":")
		i := strings.Index(later, name+":")
		end := i + strings.IndexByte(later[i:], ',')
		d := newMemory()
		_, body, _ := strings.Cut(later[:i]+odd+later[end:], `"generation": 1,`)
		d.files["/data/"], d.files["/data/journal.json"] = "", journal.Sealed("{"+body)
		if j, warning := on(t, d); j.Record().Policy.Doubt != policy.Unsure || warning == "" {
			t.Errorf("%s: %+v, %q", odd, j.Record(), warning)
		}
	}
}
