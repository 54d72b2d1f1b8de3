package seeds

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"fmt"

	"tunnelmedic/internal/journal"
)

// platter is a disk in memory, which keeps through the daemon's lives what a real one
// keeps: after a kill, everything that was written; after a power cut, what had been
// forced to it, and of the rest what chance leaves.
type platter struct {
	mu    sync.Mutex
	files map[string]*file // by path
	dirs  map[string]bool
	fresh int   // files created so far
	fails error // what every write gives; nil: the disk is well
	reads error // what every reading gives
	trap  *diskTrap
	life  *head // the one that may write
}

// file is a file's content. Renames are kept in the order in which they were made, since
// a power cut may take back those that were not forced.
type file struct {
	data   []byte
	forced []byte // what survives a power cut; nil: nothing
	before *file  // what bore the name, while the rename has not been forced to the disk
	put    bool   // the name itself has been forced
}

// diskTrap strikes at a write.
type diskTrap struct {
	skip   int
	half   bool // half of it is written before
	strike func()
}

func newPlatter() *platter { return &platter{files: map[string]*file{}, dirs: map[string]bool{}} }

// head is what one life of the daemon writes through.
type head struct{ p *platter }

// headFor begins a life's access.
func (p *platter) headFor() *head {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = &head{p}
	return p.life
}

var errDead = errors.New("this program is dead")

// writes says whether a write may go on: the life is the present one, the disk is well,
// and no trap springs. half is what of a torn write is written.
func (h *head) writes() (half bool, err error) {
	p := h.p
	p.mu.Lock()
	if p.life != h {
		p.mu.Unlock()
		return false, errDead
	}
	if p.fails != nil {
		defer p.mu.Unlock()
		return false, p.fails
	}
	t := p.trap
	if t != nil {
		if t.skip--; t.skip >= 0 {
			t = nil
		} else {
			p.trap = nil
		}
	}
	p.mu.Unlock()
	if t == nil {
		return false, nil
	}
	return t.half, &struck{t.strike}
}

// struck is a trap that has sprung: the write is the last that the life began.
type struck struct{ strike func() }

func (*struck) Error() string { return errDead.Error() }

// spring kills the life where a trap has sprung.
func spring(err error) error {
	var s *struck
	if errors.As(err, &s) {
		s.strike()
		return errDead
	}
	return err
}

func (h *head) alive() error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if h.p.life != h {
		return errDead
	}
	return h.p.reads
}

func (h *head) MkdirAll(dir string) error {
	if _, err := h.writes(); err != nil {
		return spring(err)
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	for ; dir != "/" && dir != "."; dir = path.Dir(dir) {
		h.p.dirs[dir] = true
	}
	return nil
}

func (h *head) ReadFile(name string) ([]byte, error) {
	if err := h.alive(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if f := h.p.files[name]; f != nil {
		return slices.Clone(f.data), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
}

func (h *head) ReadDir(dir string) ([]string, error) {
	if err := h.alive(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if !h.p.dirs[dir] {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOENT}
	}
	var names []string
	for _, all := range []func(func(string) bool){maps.Keys(h.p.files), maps.Keys(h.p.dirs)} {
		for name := range all {
			if path.Dir(name) == dir {
				names = append(names, path.Base(name))
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func (h *head) Create(dir string) (journal.File, error) {
	if _, err := h.writes(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: spring(err)}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if !h.p.dirs[dir] {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOENT}
	}
	h.p.fresh++
	name := path.Join(dir, fmt.Sprintf(".new-%d", h.p.fresh))
	f := &file{}
	h.p.files[name] = f
	return &open{h, name, f}, nil
}

func (h *head) Rename(from, to string) error {
	if _, err := h.writes(); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: spring(err)}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	f := h.p.files[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: syscall.ENOENT}
	}
	delete(h.p.files, from)
	f.before, f.put = h.p.files[to], false
	h.p.files[to] = f
	return nil
}

func (h *head) Remove(name string) error {
	if _, err := h.writes(); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: spring(err)}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if h.p.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOENT}
	}
	delete(h.p.files, name)
	return nil
}

func (h *head) SyncDir(dir string) error {
	if _, err := h.writes(); err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: spring(err)}
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	for name, f := range h.p.files {
		if path.Dir(name) == dir {
			f.before, f.put = nil, true
		}
	}
	return nil
}

// open is a file that is being written.
type open struct {
	h    *head
	name string
	f    *file
}

func (o *open) Name() string { return o.name }
func (o *open) Close() error { return nil }

func (o *open) Write(b []byte) (int, error) {
	half, err := o.h.writes()
	n := len(b)
	if err != nil {
		if n = 0; half {
			n = len(b) / 2
		}
	}
	o.h.p.mu.Lock()
	if o.h.p.life == o.h {
		o.f.data = append(o.f.data, b[:n]...)
	}
	o.h.p.mu.Unlock()
	if err != nil {
		return n, &fs.PathError{Op: "write", Path: o.name, Err: spring(err)}
	}
	return n, nil
}

func (o *open) Sync() error {
	if _, err := o.h.writes(); err != nil {
		return &fs.PathError{Op: "sync", Path: o.name, Err: spring(err)}
	}
	o.h.p.mu.Lock()
	defer o.h.p.mu.Unlock()
	o.f.forced = slices.Clone(o.f.data)
	return nil
}

// kill ends the present life's access. With a power cut, what was not forced to the disk
// is left as chance has it.
func (p *platter) kill(cut *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life, p.trap = nil, nil
	if cut == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		f := p.files[name]
		for !f.put && f.before != nil && cut.IntN(2) == 0 { // the rename is taken back
			f = f.before
		}
		if string(f.forced) != string(f.data) {
			f.data = f.data[:len(f.forced)+cut.IntN(len(f.data)-len(f.forced)+1)]
			if cut.IntN(2) == 0 { // its length was kept, its blocks were not
				clear(f.data[len(f.forced):])
			}
		}
		f.forced, f.before, f.put = slices.Clone(f.data), nil, true
		p.files[name] = f
	}
}

// fail makes every write fail, and every reading, or neither.
func (p *platter) fail(writes, reads error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails, p.reads = writes, reads
}

// set lays a trap.
func (p *platter) set(t *diskTrap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
}

// damage flips bits in a file, cuts it, or takes it away; it says what it did.
func (p *platter) damage(r *rand.Rand) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name := range p.files {
		if !strings.Contains(name, "incidents/") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "there was no file to damage"
	}
	slices.Sort(names)
	name := names[r.IntN(len(names))]
	f := p.files[name]
	f.data = slices.Clone(f.data)
	what := "taken away"
	switch n := len(f.data); {
	case r.IntN(4) == 0 || n == 0:
		delete(p.files, name)
	case r.IntN(3) == 0:
		f.data, what = f.data[:r.IntN(n)], "cut"
	case r.IntN(2) == 0:
		clear(f.data[r.IntN(n):])
		what = "zeroed from somewhere on"
	default:
		f.data[r.IntN(n)] ^= 1 << r.IntN(8)
		what = "a bit flipped"
	}
	f.forced = slices.Clone(f.data)
	return path.Base(name) + " " + what
}

// texts are all files' contents, by name.
func (p *platter) texts() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]string{}
	for name, f := range p.files {
		all[path.Base(name)] = string(f.data)
	}
	return all
}

// reader reads the disk from outside the daemon's life.
func (p *platter) reader() *platter {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := newPlatter()
	for name, f := range p.files {
		q.files[name] = &file{data: slices.Clone(f.data)}
	}
	maps.Copy(q.dirs, p.dirs)
	return q
}
