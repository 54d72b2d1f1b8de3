package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// How much of the proof is shown: by default a taste, so that it runs with
// the other tests; a sample for CI; or all of it.
var (
	sample = flag.Bool("hostile.sample", false, "a sample of every combination; two minutes")
	full   = flag.Bool("hostile.full", false, "every combination; some ten minutes")
)

// part says whether the n-th of many belongs to what is shown: all of a sample, and
// one in so many of a taste.
func part(n, oneIn int) bool { return *full || *sample || n%oneIn == 0 }

// long skips a test that a taste has no time for.
func long(t testing.TB) {
	t.Helper()
	if !*full && !*sample {
		t.Skip("it takes long: see .ci/hostile")
	}
}

// speed divides the lab's times: a probe every 20 ms once something is suspected.
const speed = 2

// patience shortens how long Supervisor is waited for: a restart's answer 5 s
// instead of 4 min, a job of Supervisor's 12 s instead of 10 min.
const patience = 0.02

// limit is how long anything may take to come to its end.
const limit = 45 * time.Second

// ownFlags are the household's: no protocol of its own choice, and a flag that
// must survive.
var ownFlags = []string{"--edge-ip-version=4"}

// house is a world with a daemon in it, and a gate between daemon and Supervisor.
type house struct {
	testing.TB
	w      *lab.World
	gate   *gate
	dir    string
	env    map[string]string
	before json.RawMessage
	log    *lab.Transcript

	stop  context.CancelFunc // of a daemon in this process
	ended chan error
	cmd   *exec.Cmd // a daemon in a process of its own
}

// build makes a house and waits until its tunnel stands.
func build(t testing.TB, opt lab.Options, env map[string]string) *house {
	t.Helper()
	if opt.Speed == 0 {
		opt.Speed = speed
	}
	if opt.RunParameters == nil && opt.AddOns == nil {
		opt.RunParameters = ownFlags
	}
	if opt.Timings.ProbeTimeout == 0 {
		opt.Timings.ProbeTimeout = 3 * time.Second // the machine may be busy, which is no fault of the house's
	}
	w, err := lab.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	h := &house{TB: t, w: w, dir: t.TempDir(), log: &lab.Transcript{}, before: w.Supervisor.Options(lab.DefaultSlug)}
	h.gate = newGate(t, w.Supervisor.URL(), h.record)
	h.env = w.Env()
	maps.Copy(h.env, map[string]string{
		"TUNNELMEDIC_SUPERVISOR_URL": h.gate.url(),
		"TUNNELMEDIC_DATA_DIR":       h.dir,
		"TUNNELMEDIC_OPTIONS_FILE":   filepath.Join(h.dir, "options.json"),
		"TUNNELMEDIC_LISTEN":         "127.0.0.1:0",
		"TUNNELMEDIC_LOG_FORMAT":     "json",
		"TUNNELMEDIC_LOG_LEVEL":      "trace",
		"TUNNELMEDIC_PROTOCOLS":      "auto,http2",
		"TUNNELMEDIC_PATIENCE":       fmt.Sprint(patience),
	})
	maps.Copy(h.env, env)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if h.w.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted && opt.Faults.UDPBlocked == opt.Faults.InternetDown {
		if err := w.Connector.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		h.end()
		if t.Failed() {
			h.tellStory()
		}
	})
	return h
}

// live starts the daemon in this process.
func (h *house) live() {
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	h.ended = make(chan error, 1)
	go func() { h.ended <- addon.Run(ctx, lab.Environ(h.env), "hostile", h.log) }()
}

// leave stops that daemon as Supervisor does, and waits for its end.
func (h *house) leave() {
	h.Helper()
	h.stop()
	if err := <-h.ended; err != nil {
		h.Errorf("the daemon ended with an error: %v", err)
	}
	h.stop = nil
}

// spawn starts the daemon in a process of its own.
func (h *house) spawn(binary string) {
	h.Helper()
	h.cmd = exec.Command(binary)
	h.cmd.Env = lab.Environ(h.env)
	h.cmd.Stdout, h.cmd.Stderr = h.log, h.log
	if err := h.cmd.Start(); err != nil {
		h.Fatal(err)
	}
}

// kill ends that process as a power cut would.
func (h *house) kill() {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Signal(syscall.SIGKILL)
	_ = h.cmd.Wait()
	h.cmd = nil
}

func (h *house) end() {
	h.gate.open()
	if h.stop != nil {
		h.stop()
		<-h.ended
		h.stop = nil
	}
	h.kill()
}

// record reads the journal on the disk; the zero value if there is none yet.
func (h *house) record() (r journal.Record) {
	raw, err := os.ReadFile(filepath.Join(h.dir, "journal.json"))
	if err == nil {
		_ = json.Unmarshal(raw, &r) // checked at the end, by the program's own reader
	}
	return r
}

// until waits for something, and fails the test if it does not come.
func (h *house) until(what string, cond func() bool) {
	h.Helper()
	if !h.comes(limit, cond) {
		r := h.record()
		h.Fatalf("waited in vain for: %s (phase %s, trial %+v, intention %+v)", what, r.Policy.Phase, r.Policy.Trial, r.Intention)
	}
}

func (h *house) comes(within time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			return false
		}
		if h.stop != nil {
			select {
			case err := <-h.ended:
				h.ended <- err
				h.Errorf("the daemon ended: %v", err)
				return false
			default:
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}

// quiet says whether the daemon is through with whatever it did.
func (h *house) quiet(phases ...policy.Phase) bool {
	r := h.record()
	return r.Policy.Trial == nil && r.Intention == nil && slices.Contains(phases, r.Policy.Phase)
}

func (h *house) phase(p policy.Phase) bool { return h.record().Policy.Phase == p }

// sound is the state that every story has to end in: the add-on runs, connected,
// with what is stored.
func (h *house) sound() bool {
	want := evidence.OverQUIC
	if stored(h.w.Supervisor.RunParameters()) == evidence.HTTP2 {
		want = evidence.OverHTTP2
	}
	return h.w.Supervisor.State(lab.DefaultSlug) == evidence.StateStarted && h.w.Connector.Connections() == 4 && h.w.Connector.Transport() == want
}

func stored(flags []string) evidence.Protocol {
	p := evidence.Default
	for _, f := range flags {
		if v, ok := strings.CutPrefix(f, "--protocol="); ok {
			p, _ = evidence.ParseProtocol(v)
		}
	}
	return p
}

// promise lists how the promise is broken, at the end of a story in which the
// household's flags were to become these; nothing if it is kept.
func (h *house) promise(flags []string, budget int) (broken []string) {
	note := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if got := h.w.Supervisor.RunParameters(); !slices.Equal(got, flags) {
		note("run_parameters are %q, not %q", got, flags)
	}
	was, is := others(h.before), others(h.w.Supervisor.Options(lab.DefaultSlug))
	if !maps.EqualFunc(was, is, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		note("other options are %s, not %s", is, was)
	}
	if !h.sound() {
		note("the add-on is %s with %d connections over %s", h.w.Supervisor.State(lab.DefaultSlug), h.w.Connector.Connections(), h.w.Connector.Transport())
	}
	r := h.record()
	if n := h.w.Supervisor.Restarts(); n > budget {
		note("%d restarts, budget %d", n, budget)
	} else if n > len(r.Policy.Restarts) {
		note("%d restarts, of which only %d were counted", n, len(r.Policy.Restarts))
	}
	broken = append(broken, h.secrets()...)
	return append(broken, h.journalBroken()...)
}

// noHands adds that nobody was said to have changed anything by hand.
func (h *house) noHands() (broken []string) {
	for _, name := range []string{`"step":"changed-by-hand"`} {
		if strings.Contains(h.log.String(), name) {
			broken = append(broken, "its own doing was taken for a person's")
		}
	}
	return broken
}

func others(raw json.RawMessage) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &m) // the lab's own, always an object
	delete(m, "run_parameters")
	return m
}

// journalBroken opens a copy of the journal as the program does at its start.
func (h *house) journalBroken() []string {
	dir := h.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(h.dir)); err != nil {
		// A file was renamed while it was copied: the daemon lives on.
		if err := os.CopyFS(filepath.Join(dir, "again"), os.DirFS(h.dir)); err != nil {
			return []string{"the journal cannot be copied: " + err.Error()}
		}
		dir = filepath.Join(dir, "again")
	} else {
		dir = filepath.Join(dir, "copy")
	}
	if _, warning, err := journal.Open(dir, time.Now()); err != nil || warning != "" {
		return []string{fmt.Sprintf("the journal is not readable: %v %s", err, warning)}
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "journal.broken-*")); len(left) > 0 {
		return []string{"a journal was set aside"}
	}
	return nil
}

// canaries are what must appear nowhere.
var canaries = []string{lab.SupervisorToken, lab.HAToken, lab.AccessSecret, lab.CloudflareToken, lab.TunnelToken, "lab-mosquitto-password"}

// secrets looks for canaries wherever people read.
func (h *house) secrets() (broken []string) {
	places := map[string]string{"the log": h.log.String()}
	_ = filepath.Walk(h.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && filepath.Base(path) != "options.json" {
			raw, _ := os.ReadFile(path) // one that was just replaced is read under its new name
			places[path] = string(raw)
		}
		return nil
	})
	told, _ := json.Marshal([]any{h.w.Core.Told().NotificationLog, h.w.Core.Told().NotifyCalls, h.w.Core.Told().Events, h.w.Core.Told().EntityStates})
	places["what was told"] = string(told)
	for place, text := range places {
		for _, c := range canaries {
			if strings.Contains(text, c) {
				broken = append(broken, fmt.Sprintf("a secret (%s…) stands in %s", c[:12], place))
			}
		}
	}
	return broken
}

func (h *house) tellStory() {
	h.Logf("the daemon's log:\n%s", h.log.Tail(60))
	h.Logf("Supervisor's calls:\n%s", h.gate.story())
}

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tunnelmedic-hostile-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tunnelmedic")
	out, err := exec.Command("go", "build", "-o", path, "tunnelmedic/cmd/tunnelmedic").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, out)
	}
	return path, nil
})

func program(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMain lets more homes live side by side than there are processors: they wait more
// than they compute. The proof needs real processes and some real time, so that the
// everyday run goes without it.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() && !*sample && !*full {
		fmt.Println("hostile: not with -short")
		return
	}
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}
