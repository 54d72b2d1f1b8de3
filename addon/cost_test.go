package addon_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
)

// What the daemon may cost: memory in MB (10^6 bytes), and the share of one processor.
const (
	mostResident  = 16.5
	mostProcessor = 0.001
)

// TestAQuietHour measures what the daemon costs a home in which nothing happens: the
// image's own binary, at the default intervals, with probes over TLS, in the lab's
// world. It needs TUNNELMEDIC_TEST_QUIET, for how long to look. See .ci/quiet.
func TestAQuietHour(t *testing.T) {
	quiet := os.Getenv("TUNNELMEDIC_TEST_QUIET")
	if quiet == "" {
		t.Skip("TUNNELMEDIC_TEST_QUIET is not set; .ci/quiet runs this")
	}
	long, err := time.ParseDuration(quiet)
	if err != nil || long < 10*time.Second {
		t.Fatalf("TUNNELMEDIC_TEST_QUIET=%q is no duration of 10s or more", quiet)
	}
	binary := filepath.Join(t.TempDir(), "tunnelmedic")
	replay(t, storeFiles(t), runtime.GOARCH, "0.0.0", binary)
	if info, err := os.Stat(binary); err == nil {
		fmt.Printf("the image's binary: %.2f MB\n", float64(info.Size())/1e6)
	}
	w, err := lab.New(lab.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := w.Env()
	for _, timing := range []string{"PROBE_INTERVAL", "BURST_INTERVAL", "SENSOR_INTERVAL", "MIN_UPTIME", "SETTLE_TIMEOUT", "HOLD_BASE", "PROBE_TIMEOUT"} {
		delete(env, "TUNNELMEDIC_"+timing) // the add-on's own
	}
	data := t.TempDir()
	env["TUNNELMEDIC_DATA_DIR"], env["TUNNELMEDIC_OPTIONS_FILE"] = data, filepath.Join(data, "none")
	service, err := os.ReadFile("../rootfs/etc/s6-overlay/s6-rc.d/tunnelmedic/run")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(service)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "export" {
			env[f[1]] = f[2] // as the service starts it
		}
	}
	if env["GOMAXPROCS"] == "" {
		t.Error("the service sets no GOMAXPROCS, or not in a form that is understood here")
	}
	cmd := exec.CommandContext(t.Context(), binary, "run")
	cmd.Env = lab.Environ(env)
	log, err := os.Create(filepath.Join(data, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	const start = 5 * time.Second // is not what is measured
	var first cost
	for next := start; ; next = min(2*next, long) {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("it ended: %v\n%s", err, text)
		case <-time.After(time.Until(began.Add(next))):
		}
		c, err := costOf(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if next == start {
			first = c
		}
		fmt.Printf("%8s  %5.1f MB resident (%4.1f MB its own, %4.1f MB of the binary)  processor %.3f %%  %4.0f switches a minute  threads %d\n", next, c.resident, c.own, c.file,
			100*(c.processor-first.processor).Seconds()/max(next-start, time.Second).Seconds(), float64(c.switches-first.switches)/max(next-start, time.Second).Minutes(), c.threads)
		if next < long {
			continue
		}
		if c.resident >= mostResident {
			t.Errorf("%.1f MB resident, %.1f at most", c.resident, mostResident)
		}
		if share := (c.processor - first.processor).Seconds() / (long - start).Seconds(); share >= mostProcessor {
			t.Errorf("%.3f %% of a processor, %.1f at most", 100*share, 100*mostProcessor)
		}
		break
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it did not end in order: %v", err)
	}
}

// cost is what a process has cost so far. Sizes are in MB (10^6 bytes).
type cost struct {
	resident, own, file float64
	processor           time.Duration
	threads             int
	switches            int // of its threads, to and fro: each wakes the machine, or keeps it awake
}

// costOf reads /proc: status, in kB, and stat, in hundredths of a second on a
// processor.
func costOf(pid int) (c cost, err error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	f, err := os.Open(proc + "status")
	if err != nil {
		return c, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, rest, _ := strings.Cut(s.Text(), ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.Atoi(fields[0])
		mb := float64(n) * 1024 / 1e6
		switch name {
		case "VmRSS":
			c.resident = mb
		case "RssAnon":
			c.own = mb
		case "RssFile":
			c.file = mb
		case "Threads":
			c.threads = n
		}
	}
	raw, err := os.ReadFile(proc + "stat")
	if err != nil {
		return c, err
	}
	// utime and stime are the 14th and 15th field, in hundredths of a second; the second is a name in brackets.
	_, rest, _ := strings.Cut(string(raw), ") ")
	if fields := strings.Fields(rest); len(fields) > 12 {
		u, _ := strconv.Atoi(fields[11])
		k, _ := strconv.Atoi(fields[12])
		c.processor = time.Duration(u+k) * 10 * time.Millisecond
	}
	c.switches, err = switches(proc)
	return c, err
}

// switches counts how often the threads that live have given up the processor.
func switches(proc string) (n int, err error) {
	tasks, err := filepath.Glob(proc + "task/*/status")
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended meanwhile
		}
		for line := range strings.Lines(string(raw)) {
			if name, rest, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
				k, _ := strconv.Atoi(strings.TrimSpace(rest))
				n += k
			}
		}
	}
	return n, err
}
