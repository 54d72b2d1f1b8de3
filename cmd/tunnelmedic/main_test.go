package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
)

// tunnelmedic runs the command line to its end.
func tunnelmedic(t *testing.T, ctx context.Context, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

// live gives the environment of a world and returns it, ready.
func live(t *testing.T) *lab.World {
	t.Helper()
	w, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	for k, v := range w.Env() {
		t.Setenv(k, v)
	}
	dir := t.TempDir()
	t.Setenv("TUNNELMEDIC_DATA_DIR", dir)
	t.Setenv("TUNNELMEDIC_OPTIONS_FILE", filepath.Join(dir, "options.json"))
	return w
}

func TestItRunsUntilItIsStoppedAndSaysThatItIsWell(t *testing.T) {
	w := live(t)
	if code, _, errOut := tunnelmedic(t, t.Context(), "healthcheck"); code != 1 || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, "does not answer") {
		t.Errorf("before the start: exit %d, %q", code, errOut)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan int, 1)
	var errOut bytes.Buffer
	go func() { done <- run(ctx, nil, &bytes.Buffer{}, &errOut) }()
	if err := w.Wait(t.Context(), func() bool { return len(w.Core.Told().Events) > 0 }); err != nil { // it has looked once
		t.Fatal(err)
	}
	if code, _, errOut := tunnelmedic(t, t.Context(), "healthcheck"); code != 0 {
		t.Errorf("at work: exit %d, %q", code, errOut)
	}
	cancel()
	if code := <-done; code != 0 || errOut.Len() > 0 {
		t.Errorf("exit %d, %q", code, errOut.String())
	}
}

// trigger does something at the first word.
type trigger struct {
	bytes.Buffer
	do func()
}

func (w *trigger) Write(b []byte) (int, error) {
	w.do()
	return w.Buffer.Write(b)
}

func TestWhatIsInterruptedSaysSo(t *testing.T) {
	for _, args := range [][]string{{"simulate", "--markdown"}, {"lab"}, {"lab", "--scenario", "all"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, errOut := &trigger{do: cancel}, &trigger{do: cancel}
			if slices.Contains(args, "all") { // tells nothing before a story has ended
				cancel()
			}
			code := run(ctx, args, out, errOut)
			said := errOut.String()
			if code != 1 || strings.Contains(out.String(), "NO") || !strings.HasSuffix(said, "tunnelmedic "+args[0]+": interrupted\n") || strings.Contains(said, "context") {
				t.Errorf("exit %d, %q, %q", code, out, said)
			}
		})
	}
}

func TestADoctorThatIsInterruptedSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		before bool // there is nothing to stop it by
	}{
		"in the middle":           {args: []string{"doctor"}},
		"before the first look":   {args: []string{"doctor"}, before: true},
		"while it counts":         {args: []string{"doctor", "--http2", "--count", "500"}},
		"before it counts at all": {args: []string{"doctor", "--http2"}, before: true},
	} {
		t.Run(name, func(t *testing.T) {
			live(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.before {
				cancel()
			}
			out, errOut := &bytes.Buffer{}, &trigger{do: cancel}
			code := run(ctx, c.args, out, errOut)
			if said := errOut.String(); code != 1 || !strings.HasSuffix(said, "tunnelmedic doctor: interrupted\n") || strings.Contains(said, "context") || strings.Contains(out.String(), "Verdict:") {
				t.Errorf("exit %d, %q, %q", code, out, said)
			}
		})
	}
}

// The story in README.md is the one that is told.
func TestTheREADMEsStoryIsTold(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, story, _ := strings.Cut(string(readme), "<!-- story:begin -->")
	story, _, _ = strings.Cut(story, "<!-- story:end -->")
	code, out, errOut := tunnelmedic(t, t.Context(), "lab")
	if code != 0 {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	digits := regexp.MustCompile(`\d+(\.\d+)?`)
	like := func(line string) string { return digits.ReplaceAllString(strings.Join(strings.Fields(line), " "), "0") }
	told := strings.Split(out, "\n")
	for i, line := range told {
		_, line, _ = strings.Cut(line, "s ") // without the time
		told[i] = like(line)
	}
	lines := 0
	for line := range strings.Lines(story) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		lines++
		at := slices.Index(told, like(line))
		if at < 0 {
			t.Fatalf("not told, or not in this order: %s\n%s", line, out)
		}
		told = told[at+1:]
	}
	if lines < 5 {
		t.Errorf("a story of %d lines", lines)
	}
}

// lines finds the first line with a mark, as soon as it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) after(mark string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(l.text.String(), mark)
	address, _, whole := strings.Cut(rest, "\n")
	if !whole {
		return ""
	}
	return strings.TrimSpace(address)
}

// The demonstration keeps world and program in one process: what is broken on one page is told on
// the other.
func TestTheDemonstrationBreaksAndTells(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, ended := &lines{}, make(chan int, 1)
	go func() { ended <- run(ctx, []string{"lab", "--demo"}, out, io.Discard) }()
	cause := func(want string) {
		t.Helper()
		for ctx.Err() == nil {
			var st struct{ Diagnosis struct{ Cause string } }
			res, err := http.Get(out.after("Tunnel Medic's page:") + "api/status")
			if err == nil {
				err = json.NewDecoder(res.Body).Decode(&st)
				_ = res.Body.Close()
			}
			if err == nil && st.Diagnosis.Cause == want {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("never %s", want)
	}
	cause("healthy")
	control := out.after("To break and mend things:")
	press := func(act, what string) {
		t.Helper()
		res, err := http.PostForm(control+act, url.Values{"what": {what}})
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(string(raw), "Home Assistant is down") {
			t.Fatalf("HTTP %d %s", res.StatusCode, raw)
		}
	}
	press("break", "core_down")
	cause("origin-down")
	press("mend", "core_down")
	cause("healthy")
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
}
