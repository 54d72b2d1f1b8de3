// Package house is for tests of the whole daemon: a [lab.World] and the program as it
// ships, in one bubble of testing/synctest, over a network in memory. Time is virtual: an
// hour of a home takes some milliseconds, so the timings are the real ones (a probe every
// two minutes, ten seconds for a restart, 131 for auto to fall back).
//
//	house.Run(t, lab.Options{}, nil, func(h *house.House) {
//		h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
//		h.Wait("the home is open again", 10*time.Minute, func() bool { return h.World.OpenShare() == 1 })
//	})
//
// [House.Crash] ends the daemon as SIGKILL does, [House.Stop] as Supervisor does, and
// [House.Start] begins the next life on the same disk. What the daemon tells is read where
// people read it: [House.Status], [House.Log], and the world's notifications.
//
// Whatever waits must wait on channels, timers or this network: a goroutine that holds a
// lock while it waits for one of them makes time stand still, and the test hangs.
package house

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/medic"
)

// House is a world with the daemon in it.
type House struct {
	*testing.T
	World *lab.World
	Net   *wire.Net
	Env   map[string]string // of the next life
	Disk  journal.Disk      // of the next life; nil: the machine's

	disks   string // a folder for each life's data
	visitor *http.Client
	log     lab.Transcript

	mu     sync.Mutex // guards the lives
	life   *life
	buried []*life
}

// life is one run of the daemon.
type life struct {
	dir   string
	plug  *wire.Plug
	log   *pen
	end   context.CancelFunc
	ended chan struct{}
	err   error
}

// Long plays every home of the large tables, and waits a third of a day for what must not
// happen. Without it a third of them is played, and less than an hour waited.
var Long = flag.Bool("long", false, "play every home of the large tables, at length")

// Sampled leaves two thirds of a large table to -long, and with -short all but one in
// twenty-four. n counts its homes.
func Sampled(t *testing.T, n int) {
	t.Helper()
	if !*Long && (n%3 != 0 || testing.Short() && n%24 != 0) {
		t.Skip("with -long")
	}
}

// Lasting leaves a home of many hours to the run without -short.
func Lasting(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("hours of a home")
	}
}

// Garbage lies for longer: a home is short, and there is memory.
func init() { debug.SetGCPercent(2000) }

// Run builds the world, starts the daemon in it and plays the story, all in a bubble.
// Timings that opt leaves out are the real ones; env is set over the world's own. The
// daemon begins when the tunnel stands, if it is to stand. Afterwards the daemon is
// stopped, and the world closed.
func Run(t *testing.T, opt lab.Options, env map[string]string, story func(*House)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := New(t, opt, env)
		defer h.Close()
		h.Start()
		story(h)
	})
}

// New builds what Run does, for a test that has a bubble already; no daemon is started.
// The test calls Close at its end.
func New(t *testing.T, opt lab.Options, env map[string]string) *House {
	t.Helper()
	opt.Net = wire.New()
	if opt.Timings == (lab.Timings{}) {
		opt.Timings = lab.RealTimings()
	}
	w, err := lab.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	h := &House{T: t, World: w, Net: opt.Net, Env: w.Env(), disks: t.TempDir()}
	maps.Copy(h.Env, map[string]string{"TUNNELMEDIC_LOG_FORMAT": "json", "TUNNELMEDIC_LOG_LEVEL": "debug", "TUNNELMEDIC_OPTIONS_FILE": filepath.Join(h.disks, "options.json")})
	maps.Copy(h.Env, env)
	way := opt.Net.Plug().Network().Transport()
	h.visitor = &http.Client{Transport: way, Timeout: time.Minute}
	if f := opt.Faults; w.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted && !f.InternetDown && !f.UDPBlocked && !f.TunnelRejected && !f.ConnectorDies {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if err := w.Connector.Ready(ctx); err != nil {
			w.Close()
			t.Fatal(err)
		}
	}
	return h
}

// Close stops the daemon if it lives, and closes the world.
func (h *House) Close() {
	h.Helper()
	if h.Lives() {
		if err := h.Stop(); err != nil {
			h.Errorf("the daemon ended with an error: %v", err)
		}
	}
	for _, l := range h.buried {
		<-l.ended
	}
	h.World.Close()
	// net/http goes on dialling for a request that was given up: such a dial ends by itself,
	// but it must have ended before the bubble does.
	time.Sleep(time.Second)
	if h.Failed() {
		h.Logf("the end of the daemon's log:\n%s", h.log.Tail(60))
	}
}

// Start begins a life of the daemon, on the disk that the last one left.
func (h *House) Start() {
	h.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life != nil {
		h.Fatal("the daemon lives already")
	}
	dir := filepath.Join(h.disks, fmt.Sprint(len(h.buried)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.Fatal(err)
	}
	env := maps.Clone(h.Env)
	if env["TUNNELMEDIC_DATA_DIR"] == "" {
		env["TUNNELMEDIC_DATA_DIR"] = dir
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{dir: dir, plug: h.Net.Plug(), log: &pen{to: &h.log}, end: cancel, ended: make(chan struct{})}
	h.life = l
	disk := h.Disk
	go func() {
		defer close(l.ended)
		l.err = addon.RunIn(ctx, lab.Environ(env), "house", l.log, addon.Surroundings{Net: l.plug.Network(), QUIC: h.World.Edge.AskQUIC, Disk: disk})
	}()
}

// Lives says whether the daemon was started and neither stopped nor crashed since.
func (h *House) Lives() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life != nil
}

// Ended says whether the living daemon has ended on its own, and with what error.
func (h *House) Ended() (bool, error) {
	h.mu.Lock()
	l := h.life
	h.mu.Unlock()
	if l == nil {
		return false, nil
	}
	select {
	case <-l.ended:
		return true, l.err
	default:
		return false, nil
	}
}

// Stop ends the daemon as Supervisor does, and waits for its end. An error is what the
// daemon ended with.
func (h *House) Stop() error {
	h.Helper()
	h.mu.Lock()
	l := h.life
	h.mu.Unlock()
	l.end()
	<-l.ended
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life != l { // crashed on its way
		return nil
	}
	h.bury()
	return l.err
}

// Crash ends the daemon as SIGKILL does: nothing that it would do next reaches the
// world, the disk or the log. It may be called from the middle of a call that the daemon
// makes. It says whether there was a daemon to end.
func (h *House) Crash() bool {
	h.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.life
	if l == nil {
		return false
	}
	h.bury() // before anything else, while the disk is as it was
	l.log.gone.Store(true)
	l.plug.Pull()
	l.end()
	return true
}

// bury hands the disk on to the next life. The caller holds mu.
func (h *House) bury() {
	h.Helper()
	l := h.life
	h.life, h.buried = nil, append(h.buried, l)
	to := filepath.Join(h.disks, fmt.Sprint(len(h.buried)))
	err := os.CopyFS(to, os.DirFS(l.dir))
	for ; errors.Is(err, fs.ErrNotExist); err = os.CopyFS(to, os.DirFS(l.dir)) { // something was renamed meanwhile
		_ = os.RemoveAll(to)
	}
	if err != nil {
		h.Fatal(err)
	}
}

// Dir is the data folder of the present life, or of the next one.
func (h *House) Dir() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return filepath.Join(h.disks, fmt.Sprint(len(h.buried)))
}

// Log is everything that the daemon has written, in all its lives.
func (h *House) Log() string { return h.log.String() }

// Status asks the daemon's page; the zero value if it does not answer.
func (h *House) Status() (s medic.Status) {
	if raw, err := h.Get("/api/status"); err == nil {
		_ = json.Unmarshal(raw, &s) // half an answer is none
	}
	return s
}

// Get asks the daemon's page for a path, as Home Assistant does for its user.
func (h *House) Get(path string) ([]byte, error) {
	res, err := h.visitor.Get("http://" + h.Env["TUNNELMEDIC_LISTEN"] + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return raw, err
}

// Record is what the journal holds on the disk; the zero value if there is none yet.
func (h *House) Record() journal.Record { return journal.Peek(h.Dir()) }

// Sleep lets virtual time pass.
func (h *House) Sleep(d time.Duration) { time.Sleep(d) }

// Comes says whether something comes true within a virtual time. It is looked for every
// second, and less often the longer it takes, but every ten seconds at least.
func (h *House) Comes(within time.Duration, cond func() bool) bool {
	return comes(within, cond, func(waited time.Duration) time.Duration { return min(max(time.Second, waited/30), 10*time.Second) })
}

// comes looks for something until it is there or the time is over; pause is how long it
// waits between two looks.
func comes(within time.Duration, cond func() bool, pause func(waited time.Duration) time.Duration) bool {
	began := time.Now()
	for end := began.Add(within); !cond(); time.Sleep(min(pause(time.Since(began)), time.Until(end))) {
		if !time.Now().Before(end) {
			return false
		}
	}
	return true
}

// Wait waits for something, and ends the test if it does not come within a virtual time.
func (h *House) Wait(what string, within time.Duration, cond func() bool) {
	h.Helper()
	if !h.Comes(within, cond) {
		h.inVain(what, within)
	}
}

func (h *House) inVain(what string, within time.Duration) {
	h.Helper()
	s := h.Status()
	h.Fatalf("waited %s in vain for: %s (state %q, cause %q, protocol %+v, gates %v)", within, what, s.State, s.Diagnosis.Cause, s.Protocol, s.Gates)
}

// Catch waits for something that lasts for a moment only: it is looked for four times a
// second.
func (h *House) Catch(what string, within time.Duration, cond func() bool) {
	h.Helper()
	if !comes(within, cond, func(time.Duration) time.Duration { return 250 * time.Millisecond }) {
		h.inVain(what, within)
	}
}

// Holds fails the test if something does not stay true for a virtual time.
func (h *House) Holds(what string, during time.Duration, cond func() bool) {
	h.Helper()
	began := time.Now()
	if h.Comes(during, func() bool { return !cond() }) {
		h.Errorf("after %s it is no longer so: %s", time.Since(began), what)
	}
}

// pen is what one life writes with.
type pen struct {
	to   *lab.Transcript
	gone atomic.Bool
}

func (p *pen) Write(b []byte) (int, error) {
	if p.gone.Load() {
		return len(b), nil
	}
	return p.to.Write(b)
}
