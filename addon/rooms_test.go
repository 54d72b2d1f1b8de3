package addon_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"html"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var redraw = flag.Bool("update", false, "write docs/rooms.svg and the table in docs/ARCHITECTURE.md anew")

// room is a package of this module: what it says of itself, and which others it imports.
type room struct {
	is      string
	imports []string
}

// rooms reads the packages of the program and of the lab from their sources, tests left
// out, under their folders' names.
func rooms(t *testing.T) map[string]room {
	t.Helper()
	found := map[string]room{}
	for _, top := range []string{"addon", "cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			dir, _ := filepath.Rel(root, filepath.Dir(path))
			dir = filepath.ToSlash(dir)
			r := found[dir]
			if f.Doc != nil {
				r.is = new(doc.Package).Synopsis(f.Doc.Text())
			}
			for _, i := range f.Imports {
				p, _ := strconv.Unquote(i.Path.Value)
				if own, ok := strings.CutPrefix(p, "tunnelmedic/"); ok && !slices.Contains(r.imports, own) {
					r.imports = append(r.imports, own)
				}
			}
			found[dir] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// reaches gives everything below a room, itself left out.
func reaches(all map[string]room, from string) map[string]bool {
	below := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		for _, i := range all[name].imports {
			if !below[i] {
				below[i] = true
				visit(i)
			}
		}
	}
	visit(from)
	return below
}

// levels puts every room as low as what it imports allows, the lowest first.
func levels(all map[string]room) (rows [][]string) {
	height := map[string]int{}
	var of func(string) int
	of = func(name string) int {
		if h, known := height[name]; known {
			return h
		}
		h := 0
		for _, i := range all[name].imports {
			h = max(h, of(i)+1)
		}
		height[name] = h
		return h
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for h := of(name); len(rows) <= h; {
			rows = append(rows, nil)
		}
		rows[height[name]] = append(rows[height[name]], name)
	}
	return rows
}

// drawing is the rooms as a picture: whoever imports stands above what it imports. An
// arrow that follows from others is left out.
func drawing(all map[string]room) string {
	const width, up, tall = 1180, 92, 30
	rows := levels(all)
	type place struct{ x, y, w float64 }
	at := map[string]place{}
	height := float64(len(rows)*up + 20)
	for n, row := range rows {
		// Each room stands over the middle of what it imports, as far as there is space.
		middle := func(name string) float64 {
			sum, count := 0.0, 0.0
			for _, i := range all[name].imports {
				sum, count = sum+at[i].x, count+1
			}
			return sum / max(count, 1)
		}
		slices.SortStableFunc(row, func(a, b string) int { return cmp.Compare(middle(a), middle(b)) })
		for i, name := range row {
			label := strings.TrimPrefix(name, "internal/")
			at[name] = place{x: width * (float64(i) + 0.5) / float64(len(row)), y: height - float64(n*up) - 50, w: float64(9*len(label) + 20)}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" font-size=\"15\">\n", width, height)
	fmt.Fprintf(&b, "<title>The rooms: whoever imports stands above what it imports</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		imports := slices.Sorted(slices.Values(all[name].imports))
		for _, to := range imports {
			if slices.ContainsFunc(imports, func(other string) bool { return other != to && reaches(all, other)[to] }) {
				continue
			}
			p, q := at[name], at[to]
			fmt.Fprintf(&b, "<path d=\"M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f\" fill=\"none\" stroke=\"#90a4ae\"/>\n",
				p.x, p.y+tall/2, p.x, p.y+up/2, q.x, q.y-up/2, q.x, q.y-tall/2)
		}
	}
	fill := map[bool]string{false: "#e3f2fd", true: "#fff3e0"}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := at[name]
		fmt.Fprintf(&b, "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"#546e7a\"/>\n", p.x-p.w/2, p.y-tall/2, p.w, tall, fill[ofTheLab(name)])
		fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\" fill=\"#263238\">%s</text>\n", p.x, p.y+5, html.EscapeString(strings.TrimPrefix(name, "internal/")))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func ofTheLab(name string) bool {
	return strings.HasPrefix(name, "internal/lab") || name == "internal/sim"
}

// The picture and the table of the rooms are those of the code; run
// `go test ./addon -run Rooms -update` after a change of who imports whom.
func TestRoomsAreThoseOfTheDocs(t *testing.T) {
	all := rooms(t)
	var table strings.Builder
	table.WriteString("| room | what it is |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].is == "" {
			t.Errorf("%s does not say what it is", name)
		}
		is := strings.TrimPrefix(all[name].is, "Package "+path.Base(name)+" ")
		is = strings.TrimPrefix(strings.TrimPrefix(is, "Command "+path.Base(name)+" "), "is ")
		fmt.Fprintf(&table, "| `%s` | %s |\n", name, strings.NewReplacer("|", `\|`, "[", "", "]", "").Replace(is))
	}
	page := filepath.Join(root, "docs", "ARCHITECTURE.md")
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- rooms:begin -->\n", "<!-- rooms:end -->\n"
	before, rest, ok := bytes.Cut(raw, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		t.Fatalf("%s lacks the marks %q and %q", page, begin, end)
	}
	for file, want := range map[string][]byte{
		page:                                     slices.Concat(before, []byte(begin), []byte(table.String()), []byte(end), after),
		filepath.Join(root, "docs", "rooms.svg"): []byte(drawing(all)),
	} {
		if *redraw {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if is, err := os.ReadFile(file); err != nil || !bytes.Equal(is, want) {
			t.Errorf("%s is not what the code is now (%v): run go test ./addon -run Rooms -update", file, err)
		}
	}
}

// pure are the rooms of the middle: they are given what was seen and what time it is, and
// give back what follows.
var pure = []string{"internal/enum", "internal/evidence", "internal/detect", "internal/diagnosis", "internal/policy", "internal/sensor"}

func TestTheRulesOfTheRoomsHold(t *testing.T) {
	all := rooms(t)
	for name := range all {
		below := reaches(all, name)
		if below[name] {
			t.Errorf("%s imports itself, by way of others", name)
		}
		if ofTheLab(name) || name == "cmd/tunnelmedic" {
			continue
		}
		for other := range below {
			if ofTheLab(other) {
				t.Errorf("%s knows the lab (%s)", name, other)
			}
			if slices.Contains(pure, name) && !slices.Contains(pure, other) {
				t.Errorf("%s is pure and knows %s", name, other)
			}
		}
	}
	for _, name := range pure {
		if _, there := all[name]; !there {
			t.Errorf("%s is gone: who is pure now?", name)
		}
	}
}
