package sim

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// Bend is the world with one assumption off by a factor.
type Bend struct {
	Name    string   `json:"name"`
	Targets []Target `json:"targets"`
}

// Sensitivity runs the simulation again with each assumption a third and three
// times what it is.
func Sensitivity(ctx context.Context, cfg Config) ([]Bend, error) {
	var bends []Bend
	for _, a := range []struct {
		name string
		of   func(*Assumptions) *float64
	}{
		{"faults last", func(w *Assumptions) *float64 { return &w.Duration }},
		{"odds of a partial loss", func(w *Assumptions) *float64 { return &w.Share }},
		{"somebody connects", func(w *Assumptions) *float64 { return &w.Visits }},
		{"random losses", func(w *Assumptions) *float64 { return &w.Noise }},
		{"a restart costs", func(w *Assumptions) *float64 { return &w.Restart }},
		{"ordinary troubles", func(w *Assumptions) *float64 { return &w.Events }},
	} {
		for _, by := range []float64{1. / 3, 3} {
			c := cfg
			*a.of(&c.World) *= by
			r, err := Run(ctx, c)
			if err != nil {
				return nil, err
			}
			name := a.name + " × 3"
			if by < 1 {
				name = a.name + " ÷ 3"
			}
			bends = append(bends, Bend{name, r.Targets})
		}
	}
	return bends, nil
}

// PrintSensitivity writes what holds and what does not; as is are the targets of
// the world as stated.
func PrintSensitivity(w io.Writer, asIs []Target, bends []Bend) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nWith one assumption off by a factor of 3\n\t")
	for _, g := range asIs {
		fmt.Fprintf(t, "%s\t", short(g.Text))
	}
	fmt.Fprint(t, "\n  as stated\t")
	line := func(list []Target) {
		for _, g := range list {
			mark := ""
			if !g.Met {
				mark = " !"
			}
			fmt.Fprintf(t, "%.3g%s\t", g.Value, mark)
		}
		fmt.Fprintln(t)
	}
	line(asIs)
	for _, b := range bends {
		fmt.Fprintf(t, "  %s\t", b.Name)
		line(b.Targets)
	}
	fmt.Fprint(t, "  (! the target is not met)\n")
	return t.Flush()
}

func short(text string) string {
	for long, s := range map[string]string{
		": cut-off to the oracle's": " oracle", ": restarts, at most": " restarts", ": needless restarts in all years": " needless",
		": minutes more than the best rival's": " rival", ": time to alarm to what the looks' spacing allows": " alarm", ": restarts, at most one cycle": " restarts",
	} {
		if text[1:] == long {
			return text[:1] + s
		}
	}
	return "1 in 5"
}
