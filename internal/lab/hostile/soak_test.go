package hostile

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// usage is what a daemon holds.
type usage struct {
	threads, handles, memory, disk, files int // memory and disk in KiB
}

func (u usage) String() string {
	return fmt.Sprintf("%d threads, %d handles, %d KiB memory, %d KiB on disk in %d files", u.threads, u.handles, u.memory, u.disk, u.files)
}

func (h *house) usage() (u usage) {
	proc := filepath.Join("/proc", strconv.Itoa(h.cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		h.Skip("no /proc here: ", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
		switch name {
		case "Threads":
			u.threads = n
		case "VmRSS":
			u.memory = n
		}
	}
	handles, _ := os.ReadDir(filepath.Join(proc, "fd"))
	u.handles = len(handles)
	_ = filepath.WalkDir(h.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				u.files++
				u.disk += int(info.Size())
			}
		}
		return nil
	})
	u.disk /= 1024
	return u
}

// TestSoak lives through incidents of mixed kinds at high speed, in one process,
// and holds what it uses at the end against what it used early on.
func TestSoak(t *testing.T) {
	long(t)
	incidents := 30
	if *full {
		incidents = 1050
	}
	h := build(t, lab.Options{Speed: 10, Timings: lab.Timings{HoldBase: 30 * time.Millisecond}}, map[string]string{
		"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "24", "TUNNELMEDIC_FAILBACK_HOURS": "300ms", "TUNNELMEDIC_LOG_LEVEL": "info", "TUNNELMEDIC_PROTOCOLS": "auto,quic,http2"})
	h.spawn(program(t))
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	kinds := []struct {
		name string
		do   func()
	}{
		{"stripped over quic", func() { h.w.SetFaults(lab.Stripped(1, evidence.OverQUIC)) }},
		{"stripped everywhere", func() { h.w.SetFaults(lab.Stripped(1)) }},
		{"silent", func() { h.w.SetFaults(lab.Faults{OriginSilent: true}) }},
		{"Home Assistant down", func() { h.w.SetFaults(lab.Faults{CoreDown: true}) }},
		{"internet down", func() { h.w.SetFaults(lab.Faults{InternetDown: true}) }},
		{"login wall", func() { h.w.SetFaults(lab.Faults{Access: true}) }},
		{"half of them stripped", func() { h.w.SetFaults(lab.Stripped(0.5)) }},
		{"Supervisor away too", func() { f := lab.Stripped(1); f.SupervisorDown = true; h.w.SetFaults(f) }},
		{"hung", func() { h.w.SetFaults(lab.Faults{ConnectorHung: true}) }},
		{"crashed", h.w.Connector.Crash},
		{"firewalled", func() { h.w.SetFaults(lab.Faults{Firewall: 1020}) }},
		{"tunnel misrouted", func() { h.w.SetFaults(lab.Faults{Misrouted: true}) }},
	}
	var early usage
	began, noticed := time.Now(), 0
	for n := range incidents {
		kinds[n%len(kinds)].do()
		if h.comes(time.Second, func() bool { return !h.phase(policy.Healthy) }) {
			noticed++
		}
		time.Sleep(time.Duration(n%7) * 25 * time.Millisecond) // some last long enough for a treatment
		h.w.SetFaults(lab.Faults{})
		if h.w.Supervisor.State(lab.DefaultSlug) == evidence.StateError {
			_ = h.w.User.Starts(lab.DefaultSlug)
		}
		h.until("health", func() bool { return h.phase(policy.Healthy) && h.w.Connector.Connections() == 4 })
		if n == incidents/5 {
			early = h.usage()
		}
	}
	h.until("the end of it all", func() bool { return h.quiet(policy.Healthy) && h.sound() })
	late := h.usage()
	t.Logf("%d incidents of %d kinds in %s: %d noticed, %d alarms, %d restarts of a budget of 24", incidents, len(kinds), time.Since(began).Round(time.Second),
		noticed, strings.Count(h.log.String(), `"step":"alarm"`), h.w.Supervisor.Restarts())
	t.Logf("after a fifth: %s", early)
	t.Logf("at the end:    %s", late)
	if noticed < incidents/2 {
		t.Error("too few were noticed")
	}
	if n := h.w.Supervisor.Restarts(); n > 24 {
		t.Errorf("%d restarts", n)
	}
	if late.handles > early.handles+8 || late.threads > early.threads+8 || late.memory > early.memory+16<<10 {
		t.Error("it grows")
	}
	if late.files > journal.Keep+20 || late.disk > 100*100 {
		t.Error("the journal is not bounded")
	}
}

// TestNothingStaysBehind starts and stops the daemon many times in this process, in
// every state: all of its goroutines and handles end with it.
func TestNothingStaysBehind(t *testing.T) {
	long(t)
	h := build(t, lab.Options{Speed: 4}, nil)
	count := func() (goroutines, handles int) {
		http.DefaultClient.CloseIdleConnections()
		for range 20 { // those that are about to end
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
		list, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(list)
	}
	life := func(n int) {
		h.live()
		h.until("health", func() bool { return h.phase(policy.Healthy) })
		if n%3 == 1 {
			h.w.SetFaults(lab.Stripped(1))
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
		}
		h.leave()
		h.w.SetFaults(lab.Faults{})
		h.until("the tunnel", h.sound)
		_ = os.Remove(filepath.Join(h.dir, "journal.json"))
	}
	life(0)
	life(1)
	g1, f1 := count()
	lives := 12
	if *full {
		lives = 60
	}
	for n := range lives {
		life(n)
	}
	g2, f2 := count()
	t.Logf("after 2 lives: %d goroutines, %d handles; after %d: %d and %d", g1, f1, lives+2, g2, f2)
	if g2 > g1+6 || f2 > f1+6 {
		t.Error("something stays behind")
	}
}

// TestWear counts what a healthy daemon writes, in bytes per day on an SD card.
func TestWear(t *testing.T) {
	long(t)
	t.Parallel()
	h := build(t, lab.Options{Speed: 8}, nil)
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	time.Sleep(200 * time.Millisecond) // what follows from the start
	probes := func() (n int) {
		for _, r := range h.w.Requests() {
			if r.Server == "edge" && r.Path == "/api/websocket" {
				n++
			}
		}
		return n
	}
	seen := map[uint64]bool{}
	first, written := true, int64(0)
	look := func() {
		_ = filepath.WalkDir(h.dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok && !seen[st.Ino] {
					if seen[st.Ino] = true; !first {
						written += max(info.Size(), 4096) // a block at least
					}
				}
			}
			return nil
		})
		first = false
	}
	look()
	from := probes()
	h.until("many probes", func() bool { look(); return probes()-from > 60 })
	perDay := written * 720 / int64(probes()-from)
	t.Logf("%d bytes written in %d healthy probes: %d bytes a day, beside one write for each start", written, probes()-from, perDay)
	if perDay > 100_000 {
		t.Error("that wears an SD card")
	}
}

// TestNoRequestMakesItFetch asks the page in every way for an address of the
// asker's choice. Nobody is called there.
func TestNoRequestMakesItFetch(t *testing.T) {
	t.Parallel()
	var called atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			called.Add(1)
			_ = c.Close()
		}
	}()
	bait := "http://" + l.Addr().String() + "/"
	hold, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := hold.Addr().String()
	_ = hold.Close()
	h := build(t, lab.Options{}, map[string]string{"TUNNELMEDIC_LISTEN": page})
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	for _, path := range []string{"/", "/api/status", "/api/incidents", "/api/incidents/x", "/incidents/x.md", "/api/events", "/api/probe", "/api/try", "/api/pause", "/api/resume", "/api/shorten", "/api/doctor", "/healthz"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			body := `{"protocol":"` + bait + `","url":"` + bait + `","minutes":1}`
			req, err := http.NewRequest(method, "http://"+page+path+"?url="+bait+"&target="+bait+"&next="+bait, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = l.Addr().String()
			for _, name := range []string{"Referer", "Origin", "X-Forwarded-Host", "X-Ingress-Path", "X-Original-URL", "Location", "Forwarded"} {
				req.Header.Set(name, bait)
			}
			client := http.Client{Timeout: 300 * time.Millisecond, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
				if r.URL.Host == l.Addr().String() {
					t.Errorf("%s %s redirects to the asker's address", method, path)
				}
				return http.ErrUseLastResponse
			}}
			if res, err := client.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}
	}
	if n := called.Load(); n > 0 {
		t.Errorf("%d calls to the asker's address", n)
	}
	h.until("health still", func() bool { return h.phase(policy.Healthy) || h.phase(policy.Paused) })
}
