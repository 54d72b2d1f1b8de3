package journal_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
)

func TestWhatWorkedIsRememberedByHostAndProtocol(t *testing.T) {
	dir := t.TempDir()
	j, _, err := journal.Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	note := func(host string, p evidence.Protocol, day string) {
		t.Helper()
		if err := j.Update(func(r *journal.Record) { r.Remember(host, p, day) }); err != nil {
			t.Fatal(err)
		}
	}
	if j.Record().Ever("ha.example.com") {
		t.Error("it remembers what never was")
	}
	note("ha.example.com", evidence.Default, "2026-11-21")
	before := j.Record()
	note("ha.example.com", evidence.HTTP2, "2026-11-22")
	if got := before.Worked["ha.example.com"]; len(got) != 1 || got[evidence.Auto] != "2026-11-21" {
		t.Errorf("an earlier copy has changed, or no flag is not auto: %v", got)
	}
	again, _, err := journal.Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Record().Worked["ha.example.com"]; got[evidence.Auto] != "2026-11-21" || got[evidence.HTTP2] != "2026-11-22" {
		t.Errorf("after a restart it remembers %v", got)
	}
	if r := again.Record(); !r.Ever("ha.example.com") || r.Ever("other.example.com") {
		t.Error("it mixes hosts up")
	}
}

// The disk of a healthy home is written to once a day for this, whatever the number
// of probes.
func TestTheMemoryWritesOnceADay(t *testing.T) {
	dir := t.TempDir()
	j, _, err := journal.Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	var last os.FileInfo
	for day := range 3 {
		for range 720 {
			date := time.Date(2026, 11, 21+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			if err := j.Update(func(r *journal.Record) { r.Remember("ha.example.com", evidence.Auto, date) }); err != nil {
				t.Fatal(err)
			}
			// Each write is another file, renamed into place; the clock of a file system is too coarse to tell.
			if i, err := os.Stat(filepath.Join(dir, "journal.json")); err == nil && !os.SameFile(i, last) {
				writes, last = writes+1, i
			}
		}
	}
	if writes != 3 {
		t.Errorf("%d writes in three days", writes)
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	var r journal.Record
	for i := range 20 {
		r.Remember(string(rune('a'+i))+".example.com", evidence.Auto, time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
	}
	if len(r.Worked) > 8 || !r.Ever("t.example.com") || r.Ever("a.example.com") {
		t.Errorf("it remembers %v", r.Worked)
	}
}

func TestPeekTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	if r := journal.Peek(filepath.Join(dir, "none")); r.Ever("x") || r.RefusedToken != "" {
		t.Errorf("nothing holds %+v", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.json"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := journal.Peek(dir); r.RefusedToken != "" {
		t.Errorf("a broken one holds %+v", r)
	}
	if err := journal.Refuse(dir, "0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	if got := journal.Peek(dir).RefusedToken; got != "0123456789abcdef" {
		t.Errorf("the refused token is %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

var oddJournals = []string{`{"version":1,"policy":{}}`, `{"version":2}`, `{}`, `null`, `{"version":1,"policy":{"Trial":{}}}`, `{"version":1,"worked":{"ha.example.com":{"auto":"2026-11-21"}}}`,
	`{"version":1,"worked":{"h":{"ftp":"x"}}}`, `{"version":1,"intention":{"slug":"x","stage":"writing"}}`, "\x00", `{"version":1e99}`}

func sealed(texts []string) (list []string) {
	for _, text := range texts {
		list = append(list, journal.Sealed(text))
	}
	return list
}

// It opens with what the program can have written, or begins afresh and keeps the
// broken one aside; either way it can be written to.
func TestAFolderThatHoldsAnythingCanBeOpened(t *testing.T) {
	for _, raw := range slices.Concat(oddJournals, sealed(oddJournals)) {
		t.Run(raw, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "incidents"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"journal.json", "incidents/20261121T220512Z.json", "refused-token"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(raw), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			j, warning, err := journal.Open(dir, time.Unix(1, 0))
			if err != nil {
				t.Fatal(err)
			}
			aside, _ := filepath.Glob(filepath.Join(dir, "journal.*-*"))
			if (warning != "") != (len(aside) == 1) {
				t.Errorf("warning %q, set aside %v", warning, aside)
			}
			if err := j.Update(func(r *journal.Record) { r.Remember("ha.example.com", evidence.QUIC, "2026-11-21") }); err != nil {
				t.Fatal(err)
			}
			j.Incidents()
			if again, warning, err := journal.Open(dir, time.Unix(2, 0)); err != nil || warning != "" || !again.Record().Ever("ha.example.com") {
				t.Errorf("what it wrote cannot be read: %q, %v", warning, err)
			}
		})
	}
}

// FuzzJournal reads journals that hold anything: what is read can be added to and
// written again.
func FuzzJournal(f *testing.F) {
	for _, s := range oddJournals {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw string) {
		if err := os.WriteFile(filepath.Join(dir, "journal.json"), []byte(journal.Sealed(raw)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := journal.Peek(dir)
		r.Remember("ha.example.com", evidence.QUIC, "2026-11-21")
		if !r.Ever("ha.example.com") || len(r.Worked) == 0 {
			t.Fatalf("it remembers %v", r.Worked)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatalf("it cannot be written again: %v", err)
		}
	})
}
