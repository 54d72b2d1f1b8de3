package journal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tunnelmedic/internal/journal"
)

// A stored history of whatever bytes is read as far as it makes sense, and what is then
// kept can be read again.
func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"version":1}`), true)
	f.Add([]byte(`{"version":1,"days":null,"versions":[{}]}`), true)
	f.Add([]byte(`{"version":2}`), true)
	f.Add([]byte("\x1f\x8b\x08\x00"), false)
	f.Fuzz(func(t *testing.T, raw []byte, pack bool) {
		if pack {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(raw)
			_ = z.Close()
			raw = b.Bytes()
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "history.json.gz"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		j, _, err := journal.Open(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		h := j.History()
		if _, err := json.Marshal(h); err != nil {
			t.Fatalf("it cannot be written again: %v", err)
		}
		h.Note(now, journal.Versions{}, journal.Settings{})
		if err := j.WriteHistory(h); err != nil {
			t.Errorf("it cannot be kept: %v", err)
		}
		if again := j.History(); len(again.Versions) != len(h.Versions) {
			t.Errorf("%d versions are kept, and %d read", len(h.Versions), len(again.Versions))
		}
	})
}
