package addon_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var sizes = flag.Bool("sizes", false, "print the table of the rooms' sizes; with -short without the coverage of their own tests")

// size is what is measured of a room, or of all.
type size struct {
	lines, code, tables, declares, exported int // tables: of the code, package variables; declares: types, constants and imports

	longest, twisted, widest    string // the function with the most lines, the one with the most ways through it, the type with the most methods
	longestN, twistedN, widestN int
	testLines                   int
}

// logic are the rooms whose code is counted without their tables.
var logic = []string{"internal/diagnosis", "internal/detect", "internal/policy"}

// TestRoomSizes prints how large each room is: lines, and of those code (neither blank nor
// comment); exported names, methods of exported types among them; the longest function, the
// one with the most ways through it (cyclomatic, as gocyclo counts), the type with the most
// methods; and how much of it its own tests reach. `make rooms` calls it.
func TestRoomSizes(t *testing.T) {
	if !*sizes {
		t.Skip("only where the table is asked for: make rooms")
	}
	reached := map[string]string{}
	if !testing.Short() {
		reached = coverage(t)
	}
	all := rooms(t)
	program := reaches(all, "cmd/tunnelmedic")
	program["cmd/tunnelmedic"] = true

	var total, shipped, support, middle, lab size
	fmt.Printf("%-20s %6s %6s %5s  %-30s %-30s %-24s %s\n", "room", "lines", "code", "exp.", "longest function", "most ways through", "most methods", "own tests reach")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := measure(t, name)
		note := ""
		if !program[name] {
			note = "  test support"
		}
		fmt.Printf("%-20s %6d %6d %5d  %-30s %-30s %-24s %s%s\n", strings.TrimPrefix(name, "internal/"), s.lines, s.code, s.exported,
			most(s.longest, s.longestN), most(s.twisted, s.twistedN), most(s.widest, s.widestN), reached[name], note)

		total.add(s)
		switch {
		case !program[name]:
			support.add(s)
		case ofTheLab(name):
			lab.add(s)
		default:
			shipped.add(s)
		}
		if slices.Contains(logic, name) {
			middle.add(s)
		}
	}
	fmt.Printf("\n%-52s %6d lines, %6d of code\n", "Go outside tests, all", total.lines, total.code)
	fmt.Printf("%-52s %6d lines, %6d of code\n", "  the daemon and its commands", shipped.lines, shipped.code)
	fmt.Printf("%-52s %6d lines, %6d of code\n", "  the lab and the simulator, as the program has them", lab.lines, lab.code)
	fmt.Printf("%-52s %6d lines, %6d of code\n", "  test support: what tests alone import", support.lines, support.code)
	fmt.Printf("%-52s %6d lines\n", "tests", total.testLines)
	fmt.Printf("%-52s %6s        %6d of code (%d with the tables, their package's variables); %d of them declare types, constants and imports\n",
		"the middle's logic: "+strings.ReplaceAll(strings.Join(logic, ", "), "internal/", ""), "", middle.code-middle.tables, middle.code, middle.declares)
}

func most(name string, n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%s %d", name, n)
}

func (s *size) add(o size) {
	s.lines, s.code, s.tables, s.declares, s.testLines = s.lines+o.lines, s.code+o.code, s.tables+o.tables, s.declares+o.declares, s.testLines+o.testLines
}

// measure reads a room's files.
func measure(t *testing.T, name string) (s size) {
	files, err := filepath.Glob(filepath.Join(root, name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]int{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			s.testLines += strings.Count(string(raw), "\n")
			continue
		}
		s.lines += strings.Count(string(raw), "\n")

		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, raw, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		line := func(p token.Pos) int { return fset.Position(p).Line }
		code := codeLines(raw)
		s.code += len(code)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				s.function(d, line(d.End())-line(d.Pos())+1, methods)
			case *ast.GenDecl:
				s.declared(d)
				of := &s.declares
				if d.Tok == token.VAR {
					of = &s.tables
				}
				for n := line(d.Pos()); n <= line(d.End()); n++ {
					*of += code[n]
				}
			}
		}
	}
	for _, of := range slices.Sorted(maps.Keys(methods)) {
		if n := methods[of]; n > s.widestN {
			s.widest, s.widestN = of, n
		}
	}
	return s
}

func (s *size) function(d *ast.FuncDecl, lines int, methods map[string]int) {
	receiver := ""
	if d.Recv != nil {
		receiver = named(d.Recv.List[0].Type)
		methods[receiver]++
	}
	if d.Name.IsExported() && (receiver == "" || ast.IsExported(receiver)) {
		s.exported++
	}
	if lines > s.longestN {
		s.longest, s.longestN = d.Name.Name, lines
	}
	ways := 1
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			ways++
		case *ast.CaseClause:
			ways += min(1, len(n.List))
		case *ast.CommClause:
			if n.Comm != nil {
				ways++
			}
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				ways++
			}
		}
		return true
	})
	if ways > s.twistedN {
		s.twisted, s.twistedN = d.Name.Name, ways
	}
}

func (s *size) declared(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				s.exported++
			}
		case *ast.ValueSpec:
			for _, n := range spec.Names {
				if n.IsExported() {
					s.exported++
				}
			}
		}
	}
}

// named gives the type that a receiver is of.
func named(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return named(e.X)
	case *ast.IndexExpr:
		return named(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// codeLines are the lines on which something stands that is no comment, each as 1.
func codeLines(raw []byte) map[int]int {
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(raw))
	var s scanner.Scanner
	s.Init(file, raw, nil, 0)
	lines := map[int]int{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		first := file.Line(pos)
		for n := range 1 + strings.Count(text, "\n") {
			lines[first+n] = 1
		}
	}
}

// coverage runs every package's everyday tests and gives how much of it they reach.
func coverage(t *testing.T) map[string]string {
	cmd := exec.Command("go", "test", "-short", "-cover", "./...")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Log(string(out)) // a test that fails has its line all the same, without a share
	}
	reached := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)\btunnelmedic/(\S+)\s.*coverage: (\S+) of`).FindAllStringSubmatch(string(out), -1) {
		reached[path.Clean(m[1])] = m[2]
	}
	return reached
}
