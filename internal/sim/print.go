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
		unit, last := "incidents", "alarm median\tp95"
		if row.Family == Ordinary {
			unit, last = "household-years", "false alarms a year"
		}
		fmt.Fprintf(t, "\n%s  %s (%d %s)\n   %s\n", row.Letter, row.Title, row.Incidents, unit, row.About)
		fmt.Fprintf(t, "\tcut off, min\t× optimum\t× same eyes\t× oracle\trestarts\tneedless\t%s\n", last)
		for _, s := range row.Scores {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%d\t", s.Actor, s.Cut, times(s.ToBest), times(s.ToEyes), times(s.ToOracle), s.Restarts, s.Needless)
			if row.Family == Ordinary {
				fmt.Fprintf(t, "%s\n", s.Alarms)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\n", spread(s.Median), spread(s.P95))
		}
		if m := row.Scores[Medic]; row.Family == Ordinary && m.Needless == 0 {
			fmt.Fprintf(t, "  None needless in %d years: with 95 %% confidence less than %s in a thousand years.\n", row.Incidents, thousandYears(row.Incidents))
		}
	}
	if cut := r.Together(); cut[Nothing] > 0 {
		fmt.Fprint(t, "\nAll but F and G, each counted alike: minutes cut off per incident\n")
		for a := range actors {
			fmt.Fprintf(t, "  %s\t%s\n", a, minutes(cut[a]))
		}
	}
	fmt.Fprint(t, "\nTargets\n")
	for _, g := range r.Targets {
		fmt.Fprintf(t, "  %s\t%s\t%.4g\tat most %.3g\t%s\n", g.Outcome(), g.Text, g.Value, g.Limit, g.note())
	}
	fmt.Fprintf(t, "\n%s\n", r.Wald)
	fmt.Fprint(t, "\nIn every home: durations are drawn log-uniformly; 60 % have set no protocol, 20 % http2, 10 % each auto and quic; a restart cuts off for 12 s\n"+
		"with WebSockets open and 4 s without; some 40 times a day somebody opens Home Assistant from outside, most in the evening.\n")
	fmt.Fprintf(t, "\nSeed %d, a look every %.0f s, %.1f s of computing. Intervals are 95 %%. \"Oracle\" knows of the fault at its onset, which nobody can\nwho does not look at every moment. \"Optimum\" is the best that can be done by who looks\nas often, cannot know which fault it is, and restarts for nothing once in ten thousand years. \"Same eyes\" is an oracle that learns of it when Tunnel Medic's own first failing look ends\nand knows all the rest: from there on nobody can be cut off for less. \"Needless\" are restarts, in all incidents together, that were made\nwhile WebSockets opened, in H and K in a pause of the fault. Minutes more than a rival's count beyond their interval, and from half a second on.\n", r.Seed, r.Interval, r.Took)
	return t.Flush()
}

// String shows the computation.
func (w Wald) String() string {
	return fmt.Sprintf("One in five: %.1f ± %.1f probes to the alarm. To first order, a test with one false alarm in %.0f probes needs at\n"+
		"least ln(%.0f) / (0.2 ln 20 + 0.8 ln(0.80/0.99)) = %.2f / %.4f = %.1f on average (Wald, Lorden): %.2f times that.",
		w.Probes.Mean, w.Probes.CI, w.Between, w.Between, math.Log(w.Between), w.Divergence, w.Bound, w.Ratio)
}

// Markdown writes the compact table for docs/SIMULATION.md. It holds no times of the run
// itself: the same seed gives the same text.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| fault | incidents | nothing | static http2 | sidecar | watchdog | **Tunnel Medic** | optimum | same eyes | oracle | × optimum | × same eyes | restarts | needless | alarm, median / p95 |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.Rows {
		s := func(a Actor) Score { return row.Scores[a] }
		fmt.Fprintf(&b, "| %s: %s | %d |", row.Letter, row.Title, row.Incidents)
		for _, a := range rivals {
			fmt.Fprintf(&b, " %s |", minutes(s(a).Cut.Mean))
		}
		m := s(Medic)
		fmt.Fprintf(&b, " **%s** | %s | %s | %s | %s | %.2f | %.2f | %d | %s / %s |\n", minutes(m.Cut.Mean), minutes(s(Optimum).Cut.Mean), minutes(s(SameEyes).Cut.Mean), minutes(s(Oracle).Cut.Mean),
			toBest(row), m.ToEyes.Mean, m.Restarts.Mean, m.Needless, seconds(m.Median.Mean), seconds(m.P95.Mean))
	}
	cut := r.Together()
	b.WriteString("| *all but F and G, each alike* | |")
	for _, a := range rivals {
		fmt.Fprintf(&b, " %s |", minutes(cut[a]))
	}
	fmt.Fprintf(&b, " **%s** | %s | %s | %s | | | | | |\n", minutes(cut[Medic]), minutes(cut[Optimum]), minutes(cut[SameEyes]), minutes(cut[Oracle]))
	fmt.Fprintf(&b, "\nMinutes cut off per incident (F: per household-year, most of them outages that nobody can help), seed %d. The last five columns are\n"+
		"Tunnel Medic's: its cut-off in proportion to the optimum's and to that of the same eyes, restarts per incident, restarts in all incidents together that were\n"+
		"made while WebSockets opened (in H and K in a pause of the fault), and the time from the onset to the alarm.\n\n", r.Seed)
	if row := r.Row(Ordinary); row != nil {
		s := row.Scores
		often := fmt.Sprintf("not once in %d years (with 95 %% confidence: less than %s in a thousand years)", row.Incidents, thousandYears(row.Incidents))
		if n := s[Medic].Needless; n > 0 {
			often = fmt.Sprintf("%d times in %d years", n, row.Incidents)
		}
		fmt.Fprintf(&b, "In a year without any such fault (F) the sidecar restarts the tunnel %.0f times for nothing, the watchdog %.0f times: %.0f and %.0f of\n"+
			"them while a lapsed login or a rate limit answers the looks and nobody is cut off. Tunnel Medic restarts it %s.\n"+
			"It raises %.1f alarms a year that turn out to be nothing, and rings nobody's phone for them.\n\n",
			s[Sidecar].Restarts.Mean, s[Watchdog].Restarts.Mean, s[Sidecar].Misled.Mean, s[Watchdog].Misled.Mean, often, s[Medic].Alarms.Mean)
	}
	var count [3]int
	for _, g := range r.Targets {
		count[g.Outcome()]++
	}
	fmt.Fprintf(&b, "<details><summary>Of %d targets %d are met, %d are beyond the reach of anybody who looks as seldom, %d are missed.</summary>\n\n| target | is | at most | |\n|---|--:|--:|---|\n",
		len(r.Targets), count[Met], count[Beyond], count[Missed])
	for _, g := range r.Targets {
		fmt.Fprintf(&b, "| %s | %.3g | %.3g | %s |\n", g.Text, g.Value, g.Limit, strings.TrimSuffix(g.Outcome().String()+"; "+g.note(), "; "))
	}
	b.WriteString("\n</details>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// toBest is how far the policy is from the optimum, where the small model knows the fault.
func toBest(row Row) string {
	if !row.Family.solved() {
		return "–"
	}
	return fmt.Sprintf("%.2f", row.Scores[Medic].ToBest.Mean)
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

// spread is seconds with the interval.
func spread(f Figure) string {
	switch {
	case f.Mean < 0:
		return seconds(f.Mean)
	case f.Mean >= 600:
		return fmt.Sprintf("%.0f ± %.0f min", f.Mean/60, f.CI/60)
	}
	return fmt.Sprintf("%.0f ± %.0f s", f.Mean, f.CI)
}

// thousandYears is how many restarts in a thousand years none in so many rules out,
// with 95 % confidence (the rule of three).
func thousandYears(none int) string { return fmt.Sprintf("%.2g", 3000/float64(none)) }

// note says what a target's outcome rests on, "" where nothing needs to be said.
func (t Target) note() string {
	if t.Beyond() {
		return fmt.Sprintf("nobody who looks as seldom can be below %.3g", t.Bound)
	}
	return t.Note
}
