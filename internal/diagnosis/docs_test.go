package diagnosis_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/words"
)

var update = flag.Bool("update", false, "write the causes into DOCS.md and docs/CAUSES.md anew")

const (
	docs  = "../../DOCS.md"
	table = "../../docs/CAUSES.md"
	begin = "<!-- causes:begin -->\n"
	end   = "<!-- causes:end -->\n"
)

// explained says in a user's words what the program does about a cause.
var explained = map[diagnosis.Remedy]string{
	diagnosis.NoRemedy: "Nothing is wrong.",
	diagnosis.Rotate:   "Another tunnel protocol is tried, and kept only if it is proven better.",
	diagnosis.Restart:  "The Cloudflared app is restarted, with the same protocol.",
	diagnosis.Start:    "The Cloudflared app is started once.",
	diagnosis.Wait:     "It keeps checking and waits: this ends on its own.",
	diagnosis.Tell:     "It tells you: only a person can mend this.",
}

// markdown gives the catalogue as the documentation shows it: each cause under its
// link target.
func markdown() string {
	var b strings.Builder
	en := words.English()
	for _, row := range diagnosis.Catalogue() {
		d := diagnosis.Diagnosis{Cause: row.Cause, Remedy: row.Remedy}
		advice := en.Advice(d)
		fmt.Fprintf(&b, "\n<a id=\"%s\"></a>\n### %s\n\n%s\n\n", row.Cause.Anchor(), row.ID, en.Cause(row.Cause))
		for i, step := range advice {
			fmt.Fprintf(&b, "%d. %s\n", i+1, step)
		}
		if len(advice) > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "*What Tunnel Medic does:* %s", explained[row.Remedy])
		if row.Cause == diagnosis.ConnectorStopped {
			b.WriteString(" If the app ended with an error, one start is tried; if a person stopped it, it stays stopped.")
		}
		if row.Blinds {
			b.WriteString(" It cannot see past this to Home Assistant, so nothing is changed meanwhile.")
		}
		fmt.Fprintf(&b, "\n*Based on:* %s.\n", en.Basis(d))
	}
	b.WriteByte('\n')
	return b.String()
}

var (
	issue   = regexp.MustCompile(`\b(CFD|APP)#(\d+)`)
	foreign = regexp.MustCompile(`\bhome-assistant/([a-z]+)#(\d+)`)
)

// linked gives a source with its issues as links.
func linked(source string) string {
	source = foreign.ReplaceAllString(source, "[home-assistant/$1#$2](https://github.com/home-assistant/$1/issues/$2)")
	return issue.ReplaceAllStringFunc(source, func(s string) string {
		kind, number, _ := strings.Cut(s, "#")
		repo := map[string]string{"CFD": "cloudflare/cloudflared", "APP": "homeassistant-apps/app-cloudflared"}[kind]
		return fmt.Sprintf("[%s](https://github.com/%s/issues/%s)", s, repo, number)
	})
}

// rows gives the catalogue as a table for whoever works on it.
func rows() string {
	var b strings.Builder
	b.WriteString("| cause | signature | remedy | source |\n|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, row := range diagnosis.Catalogue() {
		remedy := row.Remedy.String()
		if row.Blinds {
			remedy += ", blinds"
		}
		fmt.Fprintf(&b, "| [`%s`](../DOCS.md#%s) | %s | %s | %s |\n", row.ID, row.Cause.Anchor(), cell(words.English().Basis(diagnosis.Diagnosis{Cause: row.Cause})), remedy, cell(linked(row.Source)))
	}
	return b.String()
}

// Between its marks each of the two files holds the catalogue, word for word; run
// `go test ./internal/diagnosis -run Docs -update` after a change of it.
func TestDocsHoldTheCatalogue(t *testing.T) {
	for path, want := range map[string]string{docs: markdown(), table: rows()} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := bytes.Cut(raw, []byte(begin))
		is, after, closed := bytes.Cut(rest, []byte(end))
		if !ok || !closed {
			t.Fatalf("%s lacks the marks %q and %q", path, begin, end)
		}
		if *update {
			all := bytes.Join([][]byte{before, []byte(begin), []byte(want), []byte(end), after}, nil)
			if err := os.WriteFile(path, all, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if string(is) != want {
			t.Errorf("the causes in %s are not the catalogue's: run go test ./internal/diagnosis -run Docs -update", path)
		}
	}
}

func TestEveryCauseIsExplained(t *testing.T) {
	id := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen, en := map[string]bool{}, words.English()
	for _, row := range diagnosis.Catalogue() {
		if !id.MatchString(row.ID) || seen[row.ID] {
			t.Errorf("%q is no id, or one that is there twice", row.ID)
		}
		seen[row.ID] = true
		d := diagnosis.Diagnosis{Cause: row.Cause, Remedy: row.Remedy}
		summary, basis := en.Cause(row.Cause), en.Basis(d)
		if !strings.HasSuffix(summary, ".") || strings.Count(summary, ". ") > 1 {
			t.Errorf("%s: the summary is not one sentence, or two short ones: %q", row.ID, en.Cause(row.Cause))
		}
		if basis == "" || strings.HasSuffix(basis, ".") {
			t.Errorf("%s: what it is based on is missing, or a sentence: %q", row.ID, basis)
		}
		if len(en.Advice(d)) == 0 && row.Cause != diagnosis.Healthy {
			t.Errorf("%s gives no advice", row.ID)
		}
		if row.Remedy == diagnosis.Rotate && row.Blinds {
			t.Errorf("%s is to be treated, and cannot be seen past", row.ID)
		}
		var back diagnosis.Cause
		if err := back.UnmarshalText([]byte(row.ID)); err != nil || back != row.Cause || back.String() != row.ID {
			t.Errorf("%s does not survive a round trip: %v, %v", row.ID, back, err)
		}
		if !strings.Contains(markdown(), `<a id="`+row.Cause.Anchor()+`">`) {
			t.Errorf("%s has no target in the documentation", row.ID)
		}
	}
}
