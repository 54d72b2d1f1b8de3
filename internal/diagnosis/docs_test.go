package diagnosis_test

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"tunnelmedic/internal/diagnosis"
)

var update = flag.Bool("update", false, "write the causes into DOCS.md anew")

const (
	docs  = "../../DOCS.md"
	begin = "<!-- causes:begin -->\n"
	end   = "<!-- causes:end -->\n"
)

// The part of DOCS.md between its marks is the catalogue, word for word; run
// `go test ./internal/diagnosis -run Docs -update` after a change of it.
func TestDocsHoldTheCatalogue(t *testing.T) {
	raw, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(raw, []byte(begin))
	is, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		t.Fatalf("%s lacks the marks %q and %q", docs, begin, end)
	}
	want := diagnosis.Markdown()
	if *update {
		all := bytes.Join([][]byte{before, []byte(begin), []byte(want), []byte(end), after}, nil)
		if err := os.WriteFile(docs, all, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(is) != want {
		t.Errorf("the causes in %s are not the catalogue's: run go test ./internal/diagnosis -run Docs -update", docs)
	}
}

func TestEveryCauseIsExplained(t *testing.T) {
	id := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	for _, row := range diagnosis.Catalogue() {
		if !id.MatchString(row.ID) || seen[row.ID] {
			t.Errorf("%q is no id, or one that is there twice", row.ID)
		}
		seen[row.ID] = true
		if !strings.HasSuffix(row.Summary, ".") || strings.Count(row.Summary, ". ") > 1 {
			t.Errorf("%s: the summary is not one sentence, or two short ones: %q", row.ID, row.Summary)
		}
		if row.Rests == "" || strings.HasSuffix(row.Rests, ".") {
			t.Errorf("%s: what it rests on is missing, or a sentence: %q", row.ID, row.Rests)
		}
		if len(row.Advice) == 0 && row.Cause != diagnosis.Healthy {
			t.Errorf("%s gives no advice", row.ID)
		}
		if row.Remedy == diagnosis.Rotate && row.Blinds {
			t.Errorf("%s is to be treated, and cannot be seen past", row.ID)
		}
		var back diagnosis.Cause
		if err := back.UnmarshalText([]byte(row.ID)); err != nil || back != row.Cause || back.String() != row.ID {
			t.Errorf("%s does not survive a round trip: %v, %v", row.ID, back, err)
		}
		if !strings.Contains(diagnosis.Markdown(), `<a id="`+row.Cause.Anchor()+`">`) {
			t.Errorf("%s has no target in the documentation", row.ID)
		}
	}
}
