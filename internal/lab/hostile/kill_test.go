package hostile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// moment is when within a call the process is killed.
type moment string

const (
	neverSent moment = "before it is sent" // Supervisor never hears of it
	thenDone  moment = "before its effect" // it takes effect after the process's death
	undone    moment = "before its answer" // it had taken effect
	answered  moment = "just after"        // the answer had been given
)

// deaths is one life after another, each ended by SIGKILL, until one may live on.
type deaths struct {
	name            string
	helps           bool
	outcome         string
	kills, restarts int
	broken          []string
}

func (d *deaths) row() string {
	if len(d.broken) > 0 || d.outcome == "" {
		d.outcome = "BROKEN"
	}
	return fmt.Sprintf("%-52s %d kills  %d restarts  %s", d.name, d.kills, d.restarts, d.outcome)
}

// TestKilledAtEveryStep kills the real process at each call of a treatment, before
// and after its effect, and at each of its writes to the journal.
func TestKilledAtEveryStep(t *testing.T) {
	binary := program(t)
	var all []*deaths
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	count := 0
	run := func(d *deaths, story func(*testing.T, *deaths)) {
		if count++; !part(count, 7) {
			return
		}
		mu.Lock()
		all = append(all, d)
		mu.Unlock()
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			t.Run(d.name, func(t *testing.T) { story(t, d) })
		}()
	}
	for _, purpose := range []string{"trial", "restore"} {
		for _, s := range []step{reading, writing, readBack, restarting} {
			for _, m := range []moment{neverSent, thenDone, undone, answered} {
				if (s == reading || s == readBack) && (m == thenDone || m == undone) {
					continue // a question has no effect
				}
				if !*full && m == answered && s != restarting {
					continue
				}
				at := place{purpose, s}
				run(&deaths{name: fmt.Sprintf("killed at %s, %s", at, m)}, func(t *testing.T, d *deaths) { d.at(t, binary, at, m, false) })
				if *full && purpose == "trial" {
					run(&deaths{name: fmt.Sprintf("killed at %s, %s, http2 helps", at, m), helps: true}, func(t *testing.T, d *deaths) { d.at(t, binary, at, m, false) })
				}
			}
		}
	}
	for _, at := range []place{{"trial", writing}, {"trial", restarting}, {"restore", writing}} {
		run(&deaths{name: fmt.Sprintf("killed at %s, and then Supervisor is away", at)}, func(t *testing.T, d *deaths) { d.at(t, binary, at, undone, true) })
	}
	writes := 14
	if !*full {
		writes = 8
	}
	for n := 1; n <= writes; n++ {
		run(&deaths{name: fmt.Sprintf("killed at write %d to the journal", n)}, func(t *testing.T, d *deaths) { d.atWrite(t, binary, n) })
	}
	for _, m := range []moment{neverSent, thenDone, undone} {
		run(&deaths{name: fmt.Sprintf("killed at each of 8 restarts, %s", m)}, func(t *testing.T, d *deaths) { d.loop(t, binary, m) })
	}
	wg.Wait()
	summary(t, all)
}

// TestKilledAtRandom kills the real process again and again at random moments of a
// treatment.
func TestKilledAtRandom(t *testing.T) {
	binary := program(t)
	runs := 3
	switch {
	case *full:
		runs = 150
	case *sample:
		runs = 12
	}
	var all []*deaths
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for n := range runs {
		d := &deaths{name: fmt.Sprintf("killed at random, %d", n), helps: n%3 == 0}
		all = append(all, d)
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			t.Run(d.name, func(t *testing.T) { d.atRandom(t, binary, rand.New(rand.NewPCG(uint64(n), 4))) })
		}()
	}
	wg.Wait()
	summary(t, all)
}

func summary(t *testing.T, all []*deaths) {
	t.Helper()
	slices.SortFunc(all, func(a, b *deaths) int { return strings.Compare(a.name, b.name) })
	var b strings.Builder
	kills, broken := 0, 0
	for _, d := range all {
		b.WriteString(d.row() + "\n")
		kills += d.kills
		if d.outcome == "BROKEN" {
			broken++
		}
	}
	t.Logf("\n%s%d kills survived, %d broken promises.", b.String(), kills, broken)
}

func (d *deaths) house(t *testing.T) *house {
	h := build(t, lab.Options{}, nil)
	ill := lab.Stripped(1)
	if d.helps {
		ill = lab.Stripped(1, evidence.OverQUIC)
	}
	h.w.SetFaults(ill)
	return h
}

// ends lets the last life go on to its end, and holds it against the promise.
func (d *deaths) ends(h *house) {
	h.Helper()
	ends := []policy.Phase{policy.Holding, policy.Healthy}
	if d.helps { // what was put off is done in the end
		ends = ends[1:]
	}
	h.until("the treatment's end", func() bool { return h.quiet(ends...) && h.sound() })
	flags := slices.Clone(ownFlags)
	d.outcome = "own setting back"
	if d.helps {
		flags = append(flags, "--protocol=http2")
		d.outcome = "http2 proven"
	}
	d.restarts = h.w.Supervisor.Restarts()
	d.broken = append(h.promise(flags, 6), h.noHands()...)
	for _, b := range d.broken {
		h.Error(b)
	}
}

func (d *deaths) at(t *testing.T, binary string, at place, m moment, away bool) {
	h := d.house(t)
	if m == thenDone { // on a busy machine the next life looks late, and the effect comes later still
		h.env["TUNNELMEDIC_PATIENCE"] = "0.1"
	}
	dead := make(chan struct{})
	var once sync.Once
	h.gate.guard(func(p place, x *exchange) {
		first := false
		if p == at {
			once.Do(func() { first = true })
		}
		if !first {
			x.pass()
			return
		}
		var a answer
		if m == undone || m == answered {
			a = x.forward()
		}
		if m == answered {
			x.give(a)
			x.rw.(interface{ Flush() }).Flush()
		}
		go func() { h.kill(); d.kills++; close(dead) }()
		<-dead
		if m == thenDone {
			time.Sleep(300 * time.Millisecond) // the next life has begun
			x.forward()
		}
	})
	h.spawn(binary)
	select {
	case <-dead:
	case <-time.After(limit):
		t.Fatalf("the step %s never came", at)
	}
	if away {
		h.w.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = true })
		time.AfterFunc(time.Second, func() { h.w.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = false }) })
	}
	h.spawn(binary)
	d.ends(h)
}

// atWrite kills as soon as the journal has been replaced for the n-th time since
// the fault was certain.
func (d *deaths) atWrite(t *testing.T, binary string, n int) {
	h := d.house(t)
	h.spawn(binary)
	path := filepath.Join(h.dir, "journal.json")
	var last os.FileInfo
	deadline := time.Now().Add(limit)
	for seen := 0; seen < n && time.Now().Before(deadline); {
		now, err := os.Stat(path)
		if err == nil && (last == nil || !os.SameFile(last, now)) {
			if last = now; h.record().Policy.Incident != nil {
				seen++
			}
		}
		time.Sleep(100 * time.Microsecond)
		if h.quiet(policy.Holding) {
			break // there were fewer
		}
	}
	h.kill()
	d.kills++
	h.spawn(binary)
	d.ends(h)
}

// atRandom ends one to four lives at random moments.
func (d *deaths) atRandom(t *testing.T, binary string, draw *rand.Rand) {
	h := d.house(t)
	for range 1 + draw.IntN(4) {
		h.spawn(binary)
		// From the start to well into the second change.
		time.Sleep(time.Duration(draw.Int64N(int64(1800 * time.Millisecond))))
		h.kill()
		d.kills++
	}
	h.spawn(binary)
	d.ends(h)
}

// loop kills every life that comes to a restart, eight times.
func (d *deaths) loop(t *testing.T, binary string, m moment) {
	h := d.house(t)
	dead := make(chan struct{})
	var mu sync.Mutex
	h.gate.guard(func(p place, x *exchange) {
		mu.Lock()
		again := p.step == restarting && d.kills < 8
		if again {
			d.kills++
		}
		mu.Unlock()
		if !again {
			x.pass()
			return
		}
		if m == undone {
			x.forward()
		}
		dead <- struct{}{}
		<-x.req.Context().Done()
		if m == thenDone {
			x.forward()
		}
	})
	h.spawn(binary)
	for n := 0; n < 8; {
		select {
		case <-dead:
			h.kill()
			h.spawn(binary)
			n++
		case <-time.After(100 * time.Millisecond):
			if h.quiet(policy.Holding) {
				n = 8 // there were fewer
			}
		}
	}
	d.ends(h)
}
