package house_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/lab/house"
)

var update = flag.Bool("update", false, "write docs/LOGS.md anew")

// logsPath is where the transcripts stand.
var logsPath = filepath.Join("..", "..", "..", "docs", "LOGS.md")

const logsHead = `# What the log says

What the **Log** tab shows of each kind of trouble, in homes that the lab plays: the daemon as it ships, with its real
timings, in virtual time. The time is counted from the moment at which the fault began. Nothing is changed but that.

This page is written by ` + "`go test ./internal/lab/house -run EveryCause -update`" + `; the same test fails where a warning that it
sees is missing here.
`

// linesShown of a transcript are shown: what goes on and on is known by then.
const linesShown = 18

// transcripts are what the homes of the table wrote.
type transcripts struct {
	mu   sync.Mutex
	told []transcript
}

type transcript struct {
	cause diagnosis.Cause
	what  string
	lines []string // as they stand on the page
	warns []string // the warnings among them, without their time
}

// take takes what a home's log says from a moment on.
func (all *transcripts) take(h *house.House, c lived, began time.Time) {
	t := transcript{cause: c.cause, what: c.what}
	for line := range strings.SplitSeq(h.Log(), "\n") {
		var e struct {
			Level   string
			Time    time.Time
			Message string
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Level == "debug" || e.Level == "trace" || e.Time.Before(began.Truncate(time.Second)) {
			continue
		}
		since := e.Time.Sub(began.Truncate(time.Second))
		message := strings.ReplaceAll(e.Message, h.World.Edge.URL(), "https://ha.example.com")
		t.lines = append(t.lines, fmt.Sprintf("%02d:%02d:%02d %s %s", int(since.Hours()), int(since.Minutes())%60, int(since.Seconds())%60, map[string]string{"info": "INF", "warn": "WRN", "error": "ERR"}[e.Level], message))
		if e.Level == "warn" {
			t.warns = append(t.warns, message)
		}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.told = append(all.told, t)
}

// check holds the page against what was seen, or writes it.
func (all *transcripts) check(t *testing.T) {
	slices.SortStableFunc(all.told, func(a, b transcript) int {
		return strings.Compare(a.cause.String()+a.what, b.cause.String()+b.what)
	})
	if *update && !testing.Short() {
		if err := os.WriteFile(logsPath, []byte(all.page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(logsPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all.told {
		_, section, found := strings.Cut(string(page), "\n"+one.title()+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found {
			t.Errorf("docs/LOGS.md has no %q: run go test ./internal/lab/house -run EveryCause -update", one.title())
			continue
		}
		if n := len(one.warns); n > 0 && !strings.Contains(shape(section), shape(one.warns[0])) {
			t.Errorf("docs/LOGS.md, %s, lacks %q", one.title(), one.warns[0])
		}
	}
}

func (one transcript) title() string {
	if one.what == "" {
		return "## " + one.cause.String()
	}
	return "## " + one.cause.String() + ": " + one.what
}

// shape is a text without its numbers, which differ from run to run.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

func (all *transcripts) page() string {
	var b strings.Builder
	b.WriteString(logsHead)
	for _, one := range all.told {
		lines := one.lines
		if len(lines) > linesShown {
			lines = append(slices.Clone(lines[:linesShown]), "…")
		}
		if len(lines) == 0 {
			lines = []string{"(nothing: all is well)"}
		}
		fmt.Fprintf(&b, "\n%s\n\n```text\n%s\n```\n", one.title(), strings.Join(lines, "\n"))
	}
	return b.String()
}
