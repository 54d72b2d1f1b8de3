package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	if err := w.Wait(t.Context(), func() bool { return len(w.Core.Events()) > 0 }); err != nil { // it has looked once
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
