package seeds

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	kill   = flag.Int("mutants", 0, "spoil the program in each of the ways known, and play so many episodes at most until one notices")
	hunted = flag.Bool("hunt", false, "begin neither with the plans of testdata/killers, nor near where it hurts")
	mutant = flag.String("mutant", "", "only the mutants whose names match this")
)

// TestMutantsFit sees to it that each mutant's text is where it was: what spoils nothing
// proves nothing.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		if _, err := m.spoiled(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	known, err := killers()
	if err != nil {
		t.Fatal(err)
	}
	for name, plan := range known {
		if !slices.ContainsFunc(mutants, func(m *mutation) bool { return m.name == name }) {
			t.Errorf("testdata/killers knows of %q, which is none", name)
		}
		if _, err := Parse(plan); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMutants spoils the program, one promise's keeping at a time, and plays episodes until
// one notices: the plan that is known to first, then seed after seed. A mutant that lives
// shows what the seeds are blind for. With -mutant and -replay it tells what one does to a plan:
//
//	go test ./internal/lab/seeds -run TestMutants -v -mutants 1 -mutant 'stop by hand is ignored' -replay '1 | 20s a person stops the app 2259989746176883283'
func TestMutants(t *testing.T) {
	if *kill == 0 {
		t.Skip("-mutants says how many episodes each may take")
	}
	known, err := killers()
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range known { // what a sound program breaks too proves nothing
		if plan, err := Parse(line); err != nil {
			t.Error(err)
		} else if res := Play(t, plan); len(res.Broken) > 0 {
			t.Errorf("the plan for %q breaks a promise of the sound program: %q", name, res.Broken)
		}
	}
	row := func(name, episodes, promise string) { t.Logf("%-56s %8s  %s", name, episodes, promise) }
	row("mutant", "episodes", "the promise it broke, and what plays it")
	for _, m := range mutants {
		if !regexp.MustCompile(*mutant).MatchString(m.name) {
			continue
		}
		episodes, promise, plan, err := m.hunt(t)
		switch {
		case err != nil:
			t.Errorf("%s: %v", m.name, err)
		case promise == "":
			row(m.name, episodes, "LIVES")
			t.Errorf("%s lives after %s episodes", m.name, episodes)
		default:
			row(m.name, episodes, fmt.Sprintf("%s; -replay '%s'", promise, plan))
		}
	}
}

// spoiled gives the changed texts of the files, by the files' paths.
func (m *mutation) spoiled() (map[string]string, error) {
	texts := map[string]string{}
	for _, c := range m.change {
		path, err := filepath.Abs(filepath.Join("../../..", c.file))
		if err != nil {
			return nil, err
		}
		text, changed := texts[path]
		if !changed {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		if n := strings.Count(text, c.from); n != 1 {
			return nil, fmt.Errorf("%s holds %d times, not once: %s", c.file, n, c.from)
		}
		texts[path] = strings.Replace(text, c.from, c.to, 1)
	}
	return texts, nil
}

// aim is what the episodes are to hold: nothing in particular, unless they are to be near.
func (m *mutation) aim() string {
	if *hunted {
		return ""
	}
	return strings.Join(m.near, ";")
}

var (
	summary  = regexp.MustCompile(`from seed \d+: (\d+) episodes`)
	broke    = regexp.MustCompile(`seeds_test\.go:\d+: ([^:\n]+):`)
	replayed = regexp.MustCompile(`-replay (\S+)`)
	frozen   = regexp.MustCompile(`(?m)^ +(\d+(?: alone)? \| .*)$`)
	broken   = regexp.MustCompile(`(?m)^ +\S+  BROKEN ([^:\n]+):`)
)

// killers are the plans of testdata/killers, each under the name of the mutant that it
// kills.
func killers() (map[string]string, error) {
	raw, err := os.ReadFile("testdata/killers")
	if err != nil {
		return nil, err
	}
	plans, name := map[string]string{}, ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "# "); ok {
			name = title
		} else if line != "" {
			plans[name] = line
		}
	}
	return plans, nil
}

// hunt builds the seeds against the spoiled program and plays until a promise is broken.
func (m *mutation) hunt(t *testing.T) (episodes, promise, plan string, err error) {
	texts, err := m.spoiled()
	if err != nil {
		return "", "", "", err
	}
	dir := t.TempDir()
	overlay, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "seeds.test")
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, fmt.Sprintf("spoiled-%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", "", "", err
		}
	}
	raw, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", "", "", err
	}
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		return "", "", "", err
	}
	known, err := killers()
	if err != nil {
		return "", "", "", err
	}
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", bin, ".").CombinedOutput(); err != nil {
		return "", "", "", fmt.Errorf("it does not build: %s", out)
	}
	if plan := cmp.Or(*replay, known[m.name]); plan != "" && !*hunted {
		out, _ := exec.Command(bin, "-test.run", "^TestReplay$", "-test.v", "-replay", plan).CombinedOutput()
		if *replay != "" {
			t.Logf("%s", out)
		}
		if b := broken.FindSubmatch(out); b != nil {
			return "known", string(b[1]), plan, nil
		}
	}
	out, _ := exec.Command(bin, "-test.run", "^TestFresh$", "-test.v", "-episodes", fmt.Sprint(*kill), "-first", "1", "-enough", "1", "-shrink=false", "-near", m.aim()).CombinedOutput()
	n := summary.FindSubmatch(out)
	if n == nil { // it did not even end in order
		return "", "", "", fmt.Errorf("it did not end in order: %.4000s", out)
	}
	if b, p := broke.FindSubmatch(out), replayed.FindSubmatch(out); b != nil && p != nil {
		if f := frozen.FindSubmatch(out); f != nil && !*hunted {
			return string(n[1]), string(b[1]), string(f[1]), nil
		}
		return string(n[1]), string(b[1]), string(p[1]), nil
	}
	return string(n[1]), "", "", nil
}
