package sim

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Bend is the world with one assumption off by a factor.
type Bend struct {
	Name    string   `json:"name"`
	Targets []Target `json:"targets"`
	Rows    []Row    `json:"-"`
}

// Sensitivity runs the simulation again with each assumption a third and three
// times what it is, and with every lost handshake silent. Families that an assumption
// does not touch are taken over from the world as stated.
func Sensitivity(ctx context.Context, cfg Config, asStated *Report) ([]Bend, error) {
	var bends []Bend
	run := func(name string, touches string, bend func(*Assumptions)) error {
		cfg.say("with " + name)
		c := cfg
		c.wald = asStated.Wald
		bend(&c.World)
		c.Families = nil
		for _, f := range cfg.Families {
			if strings.ContainsRune(touches, rune(f)) {
				c.Families = append(c.Families, f)
			}
		}
		r, err := Run(ctx, c)
		if err != nil {
			return err
		}
		for i, row := range asStated.Rows {
			if r.Row(row.Family) == nil {
				r.Rows = slices.Insert(r.Rows, i, row)
			}
		}
		bends = append(bends, Bend{name, targets(r), r.Rows})
		return nil
	}
	for _, a := range []struct {
		name, touches string
		of            func(*Assumptions) *float64
	}{
		{"faults last", "ABCDEGIJK", func(w *Assumptions) *float64 { return &w.Duration }},
		{"odds of a partial loss", "CDI", func(w *Assumptions) *float64 { return &w.Share }},
		{"somebody connects", "ABCDEFGHIJK", func(w *Assumptions) *float64 { return &w.Visits }},
		{"random losses", "ABCDEFGHIJK", func(w *Assumptions) *float64 { return &w.Noise }},
		{"a restart costs", "ABCDEGHIJK", func(w *Assumptions) *float64 { return &w.Restart }},
		{"ordinary troubles", "F", func(w *Assumptions) *float64 { return &w.Events }},
	} {
		for _, by := range []float64{1. / 3, 3} {
			name := a.name + " × 3"
			if by < 1 {
				name = a.name + " ÷ 3"
			}
			if err := run(name, a.touches, func(w *Assumptions) { *a.of(w) *= by }); err != nil {
				return nil, err
			}
		}
	}
	err := run("what is lost hangs", "ABCDEGHI", func(w *Assumptions) { w.Silent = true })
	return bends, err
}

// PrintSensitivity writes what holds and what does not; r is the world as stated. Those beyond anybody's reach are left out.
func PrintSensitivity(w io.Writer, r *Report, bends []Bend) error {
	asStated := r.Targets
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nWith one assumption off by a factor of 3\n\t")
	shown := func(i int) bool { return !asStated[i].Beyond() }
	for i, g := range asStated {
		if shown(i) {
			fmt.Fprintf(t, "%s\t", short(g.Text))
		}
	}
	line := func(name string, list []Target) {
		fmt.Fprintf(t, "\n  %s\t", name)
		for i, g := range list {
			mark := ""
			if !g.Met {
				mark = " !"
			}
			if shown(i) {
				fmt.Fprintf(t, "%.3g%s\t", g.Value, mark)
			}
		}
	}
	line("as stated", asStated)
	for _, b := range bends {
		line(b.Name, b.Targets)
	}
	fmt.Fprint(t, "\n  (! the target is not met. \"eyes\" and \"oracle\": cut-off in proportion to theirs; \"rival\": minutes more than the best one's, where the\n"+
		"  interval or half a second is nothing; \"alarm\" and \"1 in 5\": in proportion to the least possible)\n")
	fmt.Fprint(t, "\nCut-off in proportion to the optimum's\n\t")
	for _, f := range bent {
		fmt.Fprintf(t, "%s\t", f)
	}
	gaps(r, bends, func(name string, each []string) { fmt.Fprintf(t, "\n  %s\t%s\t", name, strings.Join(each, "\t")) })
	fmt.Fprintln(t)
	return t.Flush()
}

// bent are the families of which the table of gaps tells: there, what is not known costs something.
var bent = []Family{QUICOnly, Partial, Unequal, AnyRestart}

// gaps goes through the worlds: how far the policy is from the optimum in each family.
func gaps(r *Report, bends []Bend, line func(name string, each []string)) {
	for _, b := range append([]Bend{{Name: "as stated", Rows: r.Rows}}, bends...) {
		var each []string
		for _, row := range b.Rows {
			if slices.Contains(bent, row.Family) {
				each = append(each, toBest(row))
			}
		}
		line(b.Name, each)
	}
}

// MarkdownSensitivity writes what does not hold, for docs/SIMULATION.md.
func MarkdownSensitivity(w io.Writer, r *Report, bends []Bend) error {
	asStated := r.Targets
	held := func(list []Target) (n int) {
		for _, g := range list {
			if g.Outcome() != Missed {
				n++
			}
		}
		return n
	}
	var b strings.Builder
	whole := 0
	for _, bend := range bends {
		if held(bend.Targets) == held(asStated) {
			whole++
		}
	}
	fmt.Fprintf(&b, "With one assumption off by a factor of three, or with everything that is lost hanging unanswered, every target holds as well in %d of\n%d worlds. In the others:\n\n", whole, len(bends))
	b.WriteString("| assumption | missed | is | at most |\n|---|---|--:|--:|\n")
	for _, bend := range bends {
		for _, g := range bend.Targets {
			if g.Outcome() == Missed {
				fmt.Fprintf(&b, "| %s | %s | %.3g | %.3g |\n", bend.Name, g.Text, g.Value, g.Limit)
			}
		}
	}
	b.WriteString("\nHow far the policy is from the optimum of each world, its cut-off in proportion:\n\n| assumption |")
	for _, f := range bent {
		fmt.Fprintf(&b, " %s: %s |", f, f.Title())
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(bent)) + "\n")
	gaps(r, bends, func(name string, each []string) { fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(each, " | ")) })
	_, err := io.WriteString(w, b.String())
	return err
}

func short(text string) string {
	for long, s := range map[string]string{
		atOnset: " oracle", sameEyes: " eyes", ": restarts, at most": " restarts", ": needless restarts in all years": " needless",
		": minutes more than the best rival's": " rival", ": time to alarm to what the looks' spacing allows": " alarm", ": restarts, at most one cycle": " restarts",
		alarmed: " alarm", thereAndBack: " restarts", toNothing: " nothing",
	} {
		if text[1:] == long {
			return text[:1] + s
		}
	}
	return "1 in 5"
}
