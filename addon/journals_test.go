package addon_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

var record = flag.Bool("journals", false, "record the journals that internal/journal's tests damage anew")

// The journals that are damaged by the thousand are real ones: of a daemon in the lab,
// amid a treatment and after it.
func TestRecordJournals(t *testing.T) {
	if !*record {
		t.Skip("records them with -journals")
	}
	h := settle(t, lab.Options{RunParameters: []string{"--protocol=auto"}})
	h.SetFaults(lab.Stripped(1, evidence.OverQUIC))
	h.start(t)
	dir := h.env["TUNNELMEDIC_DATA_DIR"]
	for _, moment := range []struct {
		name string
		is   func(journal.Record) bool
	}{
		{"writing", func(r journal.Record) bool { return r.Intention != nil && r.Intention.Stage == journal.Writing }},
		{"restarting", func(r journal.Record) bool { return r.Intention != nil && r.Intention.Stage == journal.Restarting }},
		{"proving", func(r journal.Record) bool { return r.Policy.Trial != nil && r.Policy.Trial.Settled }},
		{"cured", func(r journal.Record) bool { return r.Policy.Phase == policy.Healthy && r.Policy.Failback != nil }},
	} {
		var found map[string][]byte
		h.wait(t, moment.name, func() bool {
			found = map[string][]byte{}
			for _, n := range []string{"journal.json", "journal.twin.json", "essence.json"} {
				found[n], _ = os.ReadFile(filepath.Join(dir, n))
			}
			var r journal.Record
			return string(found["journal.json"]) == string(found["journal.twin.json"]) && json.Unmarshal(found["journal.json"], &r) == nil && moment.is(r) &&
				strings.Contains(string(found["essence.json"]), r.Slug)
		})
		for n, raw := range found {
			into := filepath.Join("..", "internal", "journal", "testdata", "journals", moment.name)
			if err := os.MkdirAll(into, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(into, n), raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.stop(t)
}
