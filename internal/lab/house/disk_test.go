package house_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// spoiled is the machine's disk, which can be told to fail.
type spoiled struct {
	journal.Disk
	kind atomic.Pointer[trouble]
	// at begins the trouble when a journal that holds all of this is written: before it is,
	// or once it stands.
	at     []string
	before bool
	next   *trouble
	panics atomic.Int32 // so many incidents are not written but bring a fault of the program's own
}

// trouble is one kind of it: which calls fail, and with what.
type trouble struct {
	name  string
	err   syscall.Errno
	reads bool   // reading fails, too
	says  string // in the log, in plain words
}

var diskTroubles = []trouble{
	{"full", syscall.ENOSPC, false, "the disk is full"},
	{"read-only", syscall.EROFS, false, "the disk is read-only"},
	{"no descriptors", syscall.EMFILE, true, "no more files can be opened"},
	{"missing", syscall.ENOENT, true, "the data folder is missing"},
}

func newSpoiled() *spoiled { return &spoiled{Disk: journal.RealDisk()} }

func (d *spoiled) fail(reading bool, path string) error {
	if k := d.kind.Load(); k != nil && (k.reads || !reading) {
		return &fs.PathError{Op: "open", Path: path, Err: k.err}
	}
	return nil
}

func (d *spoiled) MkdirAll(dir string) error {
	if err := d.fail(false, dir); err != nil {
		return err
	}
	return d.Disk.MkdirAll(dir)
}

func (d *spoiled) ReadFile(path string) ([]byte, error) {
	if err := d.fail(true, path); err != nil {
		return nil, err
	}
	return d.Disk.ReadFile(path)
}

func (d *spoiled) ReadDir(dir string) ([]string, error) {
	if err := d.fail(true, dir); err != nil {
		return nil, err
	}
	return d.Disk.ReadDir(dir)
}

func (d *spoiled) Create(dir string) (journal.File, error) {
	if filepath.Base(dir) == "incidents" && d.panics.Add(-1) >= 0 {
		panic("a fault of the program's own")
	}
	if err := d.fail(false, dir); err != nil {
		return nil, err
	}
	return d.Disk.Create(dir)
}

func (d *spoiled) Rename(from, to string) error {
	if d.at != nil && d.kind.Load() == nil {
		raw, err := d.Disk.ReadFile(from)
		here := err == nil && !slices.ContainsFunc(d.at, func(part string) bool { return !strings.Contains(string(raw), part) })
		switch {
		case here && d.before:
			d.at = nil
			d.kind.Store(d.next)
		case here && filepath.Base(to) == "essence.json": // the last of the three
			d.at = nil
			defer d.kind.Store(d.next)
		}
	}
	if err := d.fail(false, to); err != nil {
		return err
	}
	return d.Disk.Rename(from, to)
}

// moment is when the disk begins to fail.
type moment struct {
	name     string
	faults   lab.Faults
	env      map[string]string
	is       func(h *house.House) bool
	at       []string // or when a journal that holds all of this is written
	before   bool
	during   int    // restarts until the disk works again, at most
	afterSet string // the protocol in the end
}

var quicStripped = lab.Stripped(1, evidence.OverQUIC)

var diskMoments = []moment{
	{name: "before the start", faults: quicStripped, during: 0, afterSet: "http2"},
	{name: "while healthy", faults: quicStripped, is: func(h *house.House) bool { return h.Status().State == policy.Healthy }, during: 0, afterSet: "http2"},
	{name: "in suspicion", faults: quicStripped, is: func(h *house.House) bool { return h.Status().State == policy.Suspect }, during: 0, afterSet: "http2"},
	{name: "while noting a trial", faults: quicStripped, at: []string{`"stage": "writing"`}, before: true, during: 0, afterSet: "http2"},
	{name: "while writing options", faults: quicStripped, at: []string{`"stage": "writing"`}, during: 0, afterSet: "http2"},
	{name: "while restarting", faults: quicStripped, at: []string{`"stage": "restarting"`}, during: 1, afterSet: "http2"},
	{name: "while connecting", faults: quicStripped, at: []string{`"stage": "connecting"`}, during: 1, afterSet: "http2"},
	{name: "while proving a cure", faults: quicStripped, is: func(h *house.House) bool { t := h.Record().Policy.Trial; return t != nil && t.Settled }, during: 1, afterSet: "http2"},
	{name: "while proving in vain", faults: lab.Stripped(1), is: func(h *house.House) bool { t := h.Record().Policy.Trial; return t != nil && t.Settled }, during: 2, afterSet: "auto"},
	{name: "in hold", faults: lab.Stripped(1), is: func(h *house.House) bool { return h.Status().State == policy.Holding }, during: 2, afterSet: "auto"},
	{name: "at fail-back", faults: quicStripped, env: map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": "1h"}, at: []string{`"purpose": "failback"`, `"settled": true`}, during: 3, afterSet: "http2"},
}

// Each trouble of the disk at each moment of a treatment: the program lives on, says
// once what is wrong and once that it is over, begins nothing new, ends what was begun,
// and carries on when the disk works again.
func TestDiskMatrix(t *testing.T) {
	ends := make([][]string, len(diskMoments))
	t.Run("each", func(t *testing.T) {
		for row, m := range diskMoments {
			ends[row] = make([]string, len(diskTroubles))
			for column, k := range diskTroubles {
				t.Run(m.name+", "+k.name, func(t *testing.T) {
					house.Sampled(t, row+column)
					t.Parallel()
					ends[row][column] = "FAILED"
					if end := playDisk(t, m, k); !t.Failed() {
						ends[row][column] = end
					}
				})
			}
		}
	})
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-24s", "while it fails, and then")
	for _, k := range diskTroubles {
		fmt.Fprintf(&table, "%-28s", k.name)
	}
	for row, m := range diskMoments {
		fmt.Fprintf(&table, "\n%-24s", m.name)
		for column := range diskTroubles {
			fmt.Fprintf(&table, "%-28s", ends[row][column])
		}
	}
	t.Log(table.String())
}

func playDisk(t *testing.T, m moment, k trouble) (end string) {
	house.Run(t, lab.Options{RunParameters: []string{"--edge-ip-version=4"}}, m.env, func(h *house.House) {
		h.Wait("a journal", 5*time.Minute, func() bool { return h.Record().Slug != "" })
		if err := h.Stop(); err != nil {
			h.Fatal(err)
		}
		disk := newSpoiled()
		h.Disk, disk.at, disk.before, disk.next = disk, m.at, m.before, &k
		before := h.Log()
		atStart := m.is == nil && m.at == nil
		if atStart {
			disk.kind.Store(&k)
		}
		h.Start()
		if !atStart || !k.reads {
			h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		}
		if m.name != "while healthy" {
			h.World.SetFaults(m.faults)
		}
		if !atStart {
			wait := h.Wait
			if m.name == "while proving in vain" { // two seconds
				wait = h.Catch
			}
			wait("the moment", 6*time.Hour, func() bool { return disk.kind.Load() != nil || m.is != nil && m.is(h) })
			disk.kind.Store(&k)
		}
		h.World.SetFaults(m.faults)
		h.Sleep(12 * time.Minute)
		if m.name == "in hold" {
			h.Sleep(time.Hour) // a disk of which nothing is asked is asked once an hour
		}

		// It lives, tells, and does nothing new.
		if ended, err := h.Ended(); ended {
			h.Fatalf("it ended: %v", err)
		}
		log := strings.TrimPrefix(h.Log(), before)
		starting := atStart && k.err == syscall.EMFILE // nothing can be known, not even what was begun
		switch n := strings.Count(log, "Nothing can be kept"); {
		case starting:
			if strings.Count(log, "cannot start yet") != 1 {
				h.Errorf("that it cannot start is said %d times", strings.Count(log, "cannot start yet"))
			}
		case n != 1 || !strings.Contains(log, k.says):
			h.Errorf("it is said %d times, and %q is in it: %v", n, k.says, strings.Contains(log, k.says))
		}
		if !starting {
			page, err := h.Get("/")
			if err != nil || !strings.Contains(string(page), "Nothing can be kept: "+k.says) {
				h.Errorf("the page does not say it: %v", err)
			}
		}
		if n := h.World.Supervisor.Restarts(); n > m.during {
			h.Errorf("%d restarts while nothing could be kept, want %d at most", n, m.during)
		}
		end = fmt.Sprintf("%s, %d restarts", protocolOf(h.World), h.World.Supervisor.Restarts())
		defer func() { end += "; " + protocolOf(h.World) }()
		sound(h)

		disk.kind.Store(nil)
		h.Wait("it says that it is over", 15*time.Minute, func() bool {
			return starting && h.Status().State != policy.Unwatched || strings.Contains(h.Log()[len(before):], "can be written again") || ended(h)
		})
		if ended(h) { // the folder came back with a journal in it
			_ = h.Stop()
			h.Start()
		}
		h.Wait("it is well or has tried all", 90*time.Minute, func() bool {
			s := h.Status()
			return protocolOf(h.World) == m.afterSet && s.Trial == nil && (s.State == policy.Healthy || s.State == policy.Holding)
		})
		sound(h)
		r := h.Record()
		if r.Policy.Own != evidence.Default || !r.Policy.OwnKnown || r.Policy.Doubt == policy.Unsure {
			h.Errorf("at the end the disk holds own %q, doubt %q", r.Policy.Own, r.Policy.Doubt)
		}
	})
	return end
}

func ended(h *house.House) bool { is, _ := h.Ended(); return is }

func protocolOf(w *lab.World) string {
	for _, f := range w.Supervisor.RunParameters() {
		if p, ok := strings.CutPrefix(f, "--protocol="); ok {
			return p
		}
	}
	return "auto"
}

// sound says that the tunnel runs with what is stored, and that nothing else was touched.
func sound(h *house.House) {
	h.Helper()
	h.Wait("the tunnel runs with what is stored", 10*time.Minute, func() bool {
		want := evidence.OverQUIC
		if protocolOf(h.World) == "http2" {
			want = evidence.OverHTTP2
		}
		return h.World.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted && h.World.Connector.Connections() == 4 && h.World.Connector.Transport() == want
	})
	if len(h.World.Supervisor.RunParameters()) > 1 && !slices.Contains(h.World.Supervisor.RunParameters(), "--edge-ip-version=4") {
		h.Errorf("the person's own flag is gone: %v", h.World.Supervisor.RunParameters())
	}
}

// All three copies of the journal are damaged while another protocol is on trial: the
// program says that it does not know, and touches nothing until a person has spoken.
func TestADamagedJournalAmidATrial(t *testing.T) {
	house.Lasting(t)
	spoil := map[string]func(path string) error{
		"cut":  func(path string) error { return os.Truncate(path, 40) },
		"zero": func(path string) error { return os.Truncate(path, 0) },
		"gone": os.Remove,
	}
	for name, do := range spoil {
		for n := 1; n <= 3; n++ {
			t.Run(fmt.Sprintf("%s, %d of 3", name, n), func(t *testing.T) {
				if name != "gone" && n != 2 && !*house.Long {
					t.Skip("with -long")
				}
				house.Run(t, lab.Options{}, nil, func(h *house.House) {
					h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
					h.World.SetFaults(lab.Stripped(1))
					h.Catch("a trial", 10*time.Minute, func() bool { t := h.Record().Policy.Trial; return t != nil && t.Settled })
					h.Crash()
					for _, f := range []string{"journal.json", "journal.twin.json", "essence.json"}[:n] {
						if err := do(filepath.Join(h.Dir(), f)); err != nil {
							h.Fatal(err)
						}
					}
					restarts, options := h.World.Supervisor.Restarts(), string(h.World.Supervisor.Options(lab.DefaultSlug))
					h.Start()
					if n < 3 {
						h.Wait("its own setting is back, and it waits", time.Hour, func() bool {
							s := h.Status()
							return protocolOf(h.World) == "auto" && s.State == policy.Holding && s.Protocol.Own == "auto"
						})
						return
					}
					h.Wait("it looks", 5*time.Minute, func() bool { return h.Status().LastProbe != nil && len(h.Status().Gates) > 0 })
					h.Sleep(40 * time.Minute)
					if h.World.Supervisor.Restarts() != restarts || string(h.World.Supervisor.Options(lab.DefaultSlug)) != options {
						h.Errorf("it has acted on a guess: %d restarts, %s", h.World.Supervisor.Restarts()-restarts, h.World.Supervisor.Options(lab.DefaultSlug))
					}
					s := h.Status()
					if !s.Unsure || !slices.Contains(s.Gates, policy.GateMemory) || strings.Count(h.Log(), "The journal was unreadable") != 1 {
						h.Errorf("unsure %v, gates %v, said %d times", s.Unsure, s.Gates, strings.Count(h.Log(), "The journal was unreadable"))
					}
					if page, err := h.Get("/"); err != nil || !strings.Contains(string(page), words.English().Text(words.Gate(policy.GateMemory))) || !strings.Contains(string(page), "Resume") {
						h.Errorf("the page does not say it: %v", err)
					}
					// The person sets their own again.
					h.World.SetFaults(lab.Faults{})
					var o map[string]json.RawMessage
					_ = json.Unmarshal([]byte(options), &o)
					o["run_parameters"] = json.RawMessage(`["--protocol=quic"]`)
					raw, _ := json.Marshal(o)
					if err := h.World.User.SetsOptions(lab.DefaultSlug, raw); err != nil {
						h.Fatal(err)
					}
					h.Wait("it knows again", 10*time.Minute, func() bool { s := h.Status(); return !s.Unsure && s.Protocol.Own == "quic" })
				})
			})
		}
	}
}

// A fault of the program's own in the loop is survived, and what was begun is ended.
func TestAFaultOfItsOwn(t *testing.T) {
	for name, faults := range map[string]int32{"once": 1, "at every incident that is written": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			house.Run(t, lab.Options{}, nil, func(h *house.House) {
				if err := h.Stop(); err != nil {
					h.Fatal(err)
				}
				disk := newSpoiled()
				h.Disk = disk
				h.Start()
				h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
				h.World.SetFaults(quicStripped)
				h.Catch("a trial", 10*time.Minute, func() bool { t := h.Record().Policy.Trial; return t != nil && t.Settled })
				disk.panics.Store(faults)
				if faults == 1 {
					h.Wait("it is cured", 15*time.Minute, func() bool { return h.Status().State == policy.Healthy && protocolOf(h.World) == "http2" })
					if n := strings.Count(h.Log(), "A fault in Tunnel Medic itself"); n != 1 || h.World.Supervisor.Restarts() != 1 {
						h.Errorf("said %d times, %d restarts", n, h.World.Supervisor.Restarts())
					}
					return
				}
				h.World.SetFaults(lab.Stripped(1))
				h.Wait("the own setting is back", 30*time.Minute, func() bool { return protocolOf(h.World) == "auto" })
				sound(h)
				h.World.SetFaults(lab.Faults{})
				h.Wait("it is well", 2*time.Hour, func() bool { return h.Status().State == policy.Healthy })
			})
		})
	}
}

// A way back needs no note. So a start after a crash must find out on its own that it was
// gone: not take it for a person's choice, nor go it once more.
func TestAWayBackThatCouldNotBeNotedIsFoundAfterACrash(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults lab.Faults // once the protocol is being proven
		env    map[string]string
		at     []string // the disk takes nothing from the moment when a journal with all of this stands
		set    string   // in the end
	}{
		{"of a trial, from its note on", lab.Stripped(1), nil, []string{`"purpose": "restore"`, `"stage": "writing"`}, "auto"},
		{"of a trial", lab.Stripped(1), nil, []string{`"purpose": "trial"`, `"settled": true`}, "auto"},
		{"of a fail-back", quicStripped, map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": "1h"}, []string{`"purpose": "failback"`, `"settled": true`}, "http2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			house.Run(t, lab.Options{}, c.env, func(h *house.House) {
				disk := newSpoiled()
				disk.at, disk.next = c.at, &diskTroubles[0]
				if err := h.Stop(); err != nil {
					h.Fatal(err)
				}
				h.Disk = disk
				h.Start()
				h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
				h.World.SetFaults(c.faults)
				h.Wait("the disk takes nothing", 12*time.Hour, func() bool { return disk.kind.Load() != nil })
				h.Wait("the way back", 10*time.Minute, func() bool { return h.Status().Trial == nil })
				restarts := h.World.Supervisor.Restarts()
				h.Crash()
				disk.kind.Store(nil)
				h.Sleep(time.Minute)
				h.Start()
				h.Sleep(5 * time.Minute)
				r := h.Record()
				if r.Policy.Own != evidence.Default || protocolOf(h.World) != c.set {
					h.Errorf("%s is taken for theirs, and %s is set", r.Policy.Own, protocolOf(h.World))
				}
				if n := h.World.Supervisor.Restarts(); n != restarts || r.Policy.Spent(time.Now()) < n {
					h.Errorf("%d restarts before the crash and %d after, of which %d are counted", restarts, n, r.Policy.Spent(time.Now()))
				}
			})
		})
	}
}
