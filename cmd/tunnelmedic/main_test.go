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
	"time"

	"tunnelmedic/addon"
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

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		out  string
		err  string
	}{
		"help":                       {[]string{"--help"}, 0, "Usage: tunnelmedic [command]", ""},
		"help by its letter":         {[]string{"-h"}, 0, addon.Help(), ""},
		"help as a word":             {[]string{"help"}, 0, "healthcheck", ""},
		"version":                    {[]string{"version"}, 0, "tunnelmedic ", ""},
		"version as a flag":          {[]string{"--version"}, 0, "tunnelmedic ", ""},
		"help of run":                {[]string{"run", "--help"}, 0, "Usage: tunnelmedic run", ""},
		"help of healthcheck":        {[]string{"healthcheck", "-h"}, 0, "loop is alive", ""},
		"an unknown command":         {[]string{"heal"}, 2, "", `no command "heal"`},
		"an unknown flag":            {[]string{"--heal"}, 2, "", "-heal"},
		"a flag that run has not":    {[]string{"run", "--fast"}, 2, "", "tunnelmedic run --help"},
		"a word that run has not":    {[]string{"run", "fast"}, 2, "", `"fast" is not understood`},
		"a word for the healthcheck": {[]string{"healthcheck", "fast"}, 2, "", `"fast" is not understood`},
		"a word for the version":     {[]string{"version", "fast"}, 2, "", `"fast" is not understood`},
		"help with flags":            {[]string{"simulate", "--help"}, 0, "Usage: tunnelmedic simulate [flags]", ""},
		"no incidents":               {[]string{"simulate", "--incidents", "0"}, 2, "", "--incidents must be 16 to 1000000"},
		"more than fits":             {[]string{"simulate", "--incidents", "1000000000"}, 2, "", "--incidents must be 16 to 1000000"},
		"more than any number":       {[]string{"simulate", "--incidents", "99999999999999999999"}, 2, "", "it takes a whole number;"},
		"incidents in words":         {[]string{"simulate", "--incidents", "many"}, 2, "", "it takes a whole number;"},
		"a seed below zero":          {[]string{"simulate", "--seed", "-1"}, 2, "", "it takes a whole number, from 0 on;"},
		"an interval without a unit": {[]string{"simulate", "--interval", "30"}, 2, "", "it takes a time with its unit, such as 30s or 2m;"},
		"no interval":                {[]string{"simulate", "--interval", "0"}, 2, "", "--interval must be 15s to 1h"},
		"two forms":                  {[]string{"simulate", "--json", "--markdown"}, 2, "", "exclude each other"},
		"no folder":                  {[]string{"simulate", "--svg", ""}, 2, "", "--svg takes a folder"},
		"a folder that is a file":    {[]string{"simulate", "--incidents", "16", "--svg", "main.go"}, 1, "", "--svg: mkdir main.go"},
		"a story that there is not":  {[]string{"lab", "--scenario", "moon"}, 2, "", "moon"},
		"reports into a file":        {[]string{"lab", "--reports", "main.go"}, 2, "", "--reports: mkdir main.go"},
		"a world with a story":       {[]string{"lab", "--serve", "--scenario", "all"}, 2, "", "--serve plays no scenario"},
		"a count of nothing":         {[]string{"doctor", "--count", "20", "--url", "https://ha.example.com"}, 2, "", "--count belongs to --http2"},
		"a count below one":          {[]string{"doctor", "--http2", "--count", "0", "--url", "https://ha.example.com"}, 2, "", "--count 0 is not in 1–500"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := tunnelmedic(t, t.Context(), c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
				t.Errorf("exit %d\nout: %s\nerr: %s", code, out, errOut)
			}
			if (c.code == 0) != (errOut == "") || (c.code != 0) != (out == "") || strings.Count(errOut, "\n") > 1 {
				t.Errorf("out: %q\nerr: %q", out, errOut)
			}
		})
	}
}

func TestWhatItCannotStartWithIsOneLineAndExitCode2(t *testing.T) {
	write := func(t *testing.T, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		set  func(t *testing.T) (env, value string)
		says []string
	}{
		"no token":                       {func(*testing.T) (string, string) { return "SUPERVISOR_TOKEN", "" }, []string{"SUPERVISOR_TOKEN is missing", "tunnelmedic lab"}},
		"options that are no JSON":       {func(t *testing.T) (string, string) { return "TUNNELMEDIC_OPTIONS_FILE", write(t, `{"mode"`) }, []string{"options file", "byte"}},
		"an option that is wrong":        {func(t *testing.T) (string, string) { return "TUNNELMEDIC_OPTIONS_FILE", write(t, `{"mode":"cure"}`) }, []string{"option mode", "heal or observe"}},
		"a URL that is impossible":       {func(*testing.T) (string, string) { return "TUNNELMEDIC_PUBLIC_URL", "ha.example.com" }, []string{"public_url", "https://"}},
		"an address that is none":        {func(*testing.T) (string, string) { return "TUNNELMEDIC_LISTEN", "8099" }, []string{"TUNNELMEDIC_LISTEN"}},
		"authorities that are not there": {func(*testing.T) (string, string) { return "TUNNELMEDIC_CA_FILE", "/nonexistent/ca.pem" }, []string{"TUNNELMEDIC_CA_FILE", "/nonexistent/ca.pem"}},
		"authorities that are none":      {func(t *testing.T) (string, string) { return "TUNNELMEDIC_CA_FILE", write(t, "no PEM") }, []string{"TUNNELMEDIC_CA_FILE"}},
		"a DoH server that is none":      {func(*testing.T) (string, string) { return "TUNNELMEDIC_DOH_URL", "dns.example.com" }, []string{"DOH_URL"}},
		"a client certificate that is gone": {func(t *testing.T) (string, string) {
			return "TUNNELMEDIC_OPTIONS_FILE", write(t, `{"client_certificate":"no-such-client.crt","client_key":"no-such-client.key"}`)
		}, []string{"client_certificate", "/ssl/no-such-client.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			live(t)
			env, value := c.set(t)
			t.Setenv(env, value)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			code, _, errOut := tunnelmedic(t, ctx, "run")
			if code != 2 || strings.Count(errOut, "\n") != 1 || !strings.HasPrefix(errOut, "tunnelmedic: ") {
				t.Errorf("exit %d, err %q", code, errOut)
			}
			for _, s := range c.says {
				if !strings.Contains(errOut, s) {
					t.Errorf("%q does not say %q", errOut, s)
				}
			}
			if strings.Contains(errOut, lab.SupervisorToken) {
				t.Error("the token is told")
			}
		})
	}
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
	if err := w.Wait(t.Context(), func() bool { return len(w.Events()) > 0 }); err != nil { // it has looked once
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

func TestAHealthcheckWithABrokenAddressFails(t *testing.T) {
	t.Setenv("TUNNELMEDIC_LISTEN", "nonsense")
	if code, _, errOut := tunnelmedic(t, t.Context(), "healthcheck"); code != 1 || !strings.Contains(errOut, "TUNNELMEDIC_LISTEN") {
		t.Errorf("exit %d, %q", code, errOut)
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
