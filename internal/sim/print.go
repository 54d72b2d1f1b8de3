package sim

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.Rows {
		unit := "incidents"
		if row.Family == Ordinary {
			unit = "household-years"
		}
		fmt.Fprintf(t, "\n%s  %s (%d %s)\n", row.Letter, row.Title, row.Incidents, unit)
		fmt.Fprint(t, "\tcut off, min\t× same eyes\t× oracle\trestarts\tneedless\talarm median\tp95\n")
		for _, s := range row.Scores {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.Actor, s.Cut, times(s.ToEyes), times(s.ToOracle), s.Restarts, s.Needless, seconds(s.Median), seconds(s.P95))
		}
		if row.Family == Ordinary {
			fmt.Fprintf(t, "  false alarms a year (told of, not acted on): %s\n", row.Scores[Medic].Alarms)
		}
	}
	fmt.Fprint(t, "\nTargets\n")
	for _, g := range r.Targets {
		fmt.Fprintf(t, "  %s\t%s\t%.4g\tat most %.3g\t%s\n", verdict(g.Met), g.Text, g.Value, g.Limit, g.Note)
	}
	fmt.Fprintf(t, "\n%s\n", r.Wald)
	fmt.Fprintf(t, "\nSeed %d, %.1f s. Intervals are 95 %%. \"Same eyes\" is an oracle that learns of the fault by Tunnel Medic's own first\nfailing look; \"oracle\" knows of it at the onset, which nobody can who does not look at every moment.\n", r.Seed, r.Took)
	return t.Flush()
}

// String shows the computation.
func (w Wald) String() string {
	return fmt.Sprintf("One in five: %.1f ± %.1f probes to the alarm. To first order, a test with one false alarm in %.0f probes needs at\n"+
		"least ln(%.0f) / (0.2 ln 20 + 0.8 ln(0.80/0.99)) = %.2f / %.4f = %.1f on average (Wald, Lorden): %.2f times that.",
		w.Probes.Mean, w.Probes.CI, w.Between, w.Between, math.Log(w.Between), w.Divergence, w.Bound, w.Ratio)
}

// Markdown writes the compact table for the README. It holds no times of the run
// itself: the same seed gives the same text.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| fault | homes | nothing | static http2 | sidecar | watchdog | **Tunnel Medic** | same eyes | oracle | restarts | needless | alarm, median / p95 |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.Rows {
		s := func(a Actor) Score { return row.Scores[a] }
		fmt.Fprintf(&b, "| %s: %s | %d |", row.Letter, row.Title, row.Incidents)
		for _, a := range []Actor{Nothing, Static, Sidecar, Watchdog} {
			fmt.Fprintf(&b, " %s |", minutes(s(a).Cut.Mean))
		}
		m := s(Medic)
		fmt.Fprintf(&b, " **%s** | %s | %s | %.2f | %d | %s / %s |\n", minutes(m.Cut.Mean), minutes(s(SameEyes).Cut.Mean), minutes(s(Oracle).Cut.Mean),
			m.Restarts.Mean, m.Needless, seconds(m.Median), seconds(m.P95))
	}
	fmt.Fprintf(&b, "\nMinutes cut off per incident (F: per year, most of them outages that nobody can help), seed %d. ", r.Seed)
	missed := 0
	for _, g := range r.Targets {
		if !g.Met {
			if missed++; missed == 1 {
				b.WriteString("Targets not met:")
			}
			fmt.Fprintf(&b, " %s is %.3g, not %.3g (%s).", g.Text, g.Value, g.Limit, g.Note)
		}
	}
	if missed == 0 {
		b.WriteString("All targets are met.")
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// String gives a figure with its interval.
func (f Figure) String() string {
	digits := 2
	if f.Mean >= 100 {
		digits = 0
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, f.Mean, digits, f.CI)
}

func times(f Figure) string {
	if f.Mean == 0 && f.CI == 0 {
		return "–"
	}
	if f.Mean >= 100 {
		return fmt.Sprintf("%.0f", f.Mean)
	}
	return fmt.Sprintf("%.3f ± %.3f", f.Mean, f.CI)
}

func minutes(m float64) string {
	if m >= 100 {
		return fmt.Sprintf("%.0f", m)
	}
	return fmt.Sprintf("%.2f", m)
}

func seconds(s float64) string {
	switch {
	case s < 0:
		return "–"
	case s >= 600:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.0f s", s)
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}
