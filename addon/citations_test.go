package addon_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	heading  = regexp.MustCompile(`(?m)^## (.+)$`)
	citation = regexp.MustCompile(`docs/FACTS\.md(?:, ([^).;,\n]+))?`)
	relative = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

// A comment that cites docs/FACTS.md names one of its sections, and what the documents
// link to in this repository is there.
func TestCitationsLeadSomewhere(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs", "FACTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sections []string
	for _, m := range heading.FindAllSubmatch(raw, -1) {
		sections = append(sections, string(m[1]))
	}
	cited := 0
	for _, top := range []string{"addon", "cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || filepath.Base(path) == "citations_test.go" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range citation.FindAllSubmatch(text, -1) {
				cited++
				if s := string(m[1]); s != "" && !slices.Contains(sections, s) {
					t.Errorf("%s cites the section %q of docs/FACTS.md, which has %q", path, s, sections)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if cited == 0 {
		t.Error("nothing cites docs/FACTS.md: has it another name in the comments?")
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/ARCHITECTURE.md", "docs/CAUSES.md", "docs/FACTS.md", "docs/SIMULATION.md", "docs/LAB.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range relative.FindAllSubmatch(text, -1) {
			to := strings.TrimSpace(string(m[1]))
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), to)); err != nil {
				t.Errorf("%s links to %s: %v", name, to, err)
			}
		}
	}
}
