package doctor_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tunnelmedic/internal/diagnosis"
)

var update = flag.Bool("update", false, "write testdata/fitting.txt anew")

// golden is, for each truth, every row of the catalogue that fits it, in order.
type golden struct {
	mu   sync.Mutex
	rows map[string]string
}

const fitting = "testdata/fitting.txt"

func (g *golden) add(truth string, list []diagnosis.Cause) {
	var ids []string
	for _, c := range list {
		ids = append(ids, c.String())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rows == nil {
		g.rows = map[string]string{}
	}
	g.rows[truth] = strings.Join(ids, " ")
}

// judge holds the lists against the golden file, so that a row in the wrong place, or one
// that takes what is another's, fails with its name and the truth's.
func (g *golden) judge(t *testing.T) {
	if f := flag.Lookup("test.run"); f != nil && strings.Contains(f.Value.String(), "/") {
		return // a part of the truths only
	}
	if *update {
		var b strings.Builder
		for _, truth := range slices.Sorted(maps.Keys(g.rows)) {
			b.WriteString(truth + ": " + g.rows[truth] + "\n")
		}
		if err := os.WriteFile(fitting, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(fitting)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		truth, list, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		want[truth] = list
	}
	for truth, list := range g.rows {
		if was, known := want[truth]; !known || was != list {
			t.Errorf("%s fits\n%s\nand, by %s,\n%s\nIf that is meant: go test ./internal/doctor -run Matrix -update", truth, list, fitting, was)
		}
	}
	for truth := range want {
		if _, there := g.rows[truth]; !there {
			t.Errorf("%s names %q, which is no truth any more", fitting, truth)
		}
	}
}
