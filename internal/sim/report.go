package sim

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"tunnelmedic/internal/detect"
)

// Figure is a mean, or a ratio of means, with the half width of its 95 % interval.
type Figure struct {
	Mean float64 `json:"mean"`
	CI   float64 `json:"ci"`
}

// Score is how one actor fared in one family.
type Score struct {
	Actor    Actor   `json:"actor"`
	Cut      Figure  `json:"cut_off_minutes"` // per incident; of F, per year, with what nobody can help
	ToBest   Figure  `json:"to_optimum"`      // cut-off in proportion to the best that can be done with Medic's eyes
	ToEyes   Figure  `json:"to_same_eyes"`    // cut-off in proportion to that of the oracle with Medic's eyes
	ToOracle Figure  `json:"to_oracle"`
	Restarts Figure  `json:"restarts"`
	Most     int     `json:"most_restarts"`
	Needless int     `json:"needless_restarts"`        // while WebSockets opened; in all incidents together
	Misled   Figure  `json:"misled_restarts"`          // while a lapsed login or a rate limit answered the looks, and people got through
	Alarms   Figure  `json:"alarms"`                   // per incident; of F, false ones per year
	Median   Figure  `json:"alarm_median_s"`           // from the onset to the alarm, or the rival's first act; -1: never
	P95      Figure  `json:"alarm_p95_s"`              //
	Bound    float64 `json:"alarm_to_bound,omitempty"` // mean time to the alarm in proportion to what the looks' spacing allows
}

// Row is a family's outcome.
type Row struct {
	Family    Family  `json:"-"`
	Letter    string  `json:"family"`
	Title     string  `json:"title"`
	About     string  `json:"about"`
	Incidents int     `json:"incidents"`
	Scores    []Score `json:"scores"`     // by Actor
	Best      Actor   `json:"best_rival"` // of those whom the fault hits at all
	Worse     Figure  `json:"minutes_more_than_best_rival"`
}

// Target is one that the policy is held against.
type Target struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Met   bool    `json:"met"`
	// Bound is what nobody can be below who looks as seldom: where it is above the
	// limit, the target is beyond reach.
	Bound float64 `json:"bound,omitempty"`
	Note  string  `json:"note,omitempty"`
}

// Beyond says whether nobody could meet it.
func (t Target) Beyond() bool { return t.Bound > t.Limit }

// Outcome is how a target was met.
type Outcome int

// The outcomes.
const (
	Met    Outcome = iota
	Beyond         // anybody's reach
	Missed
)

func (o Outcome) String() string { return [...]string{"met", "beyond", "MISSED"}[o] }

// Outcome says how the target was met.
func (t Target) Outcome() Outcome {
	switch {
	case t.Met:
		return Met
	case t.Beyond():
		return Beyond
	}
	return Missed
}

// Report is what a run has shown.
type Report struct {
	Seed     uint64      `json:"seed"`
	Interval float64     `json:"probe_interval_s"`
	World    Assumptions `json:"world"`
	Rows     []Row       `json:"families"`
	Wald     Wald        `json:"wald"`
	Targets  []Target    `json:"targets"`
	Took     float64     `json:"took_s"`
}

// Run simulates.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	begin := time.Now()
	r := &Report{Interval: cfg.Rules.Interval.Seconds(), Seed: cfg.Seed, World: cfg.World}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.best == nil {
		cfg.best = cfg.optima(Families())
	}
	for _, f := range cfg.Families {
		cfg.say(f.String() + "  " + f.Title())
		ends := cfg.play(ctx, f)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.Rows = append(r.Rows, row(f, ends))
	}
	if r.Wald = cfg.wald; r.Wald == (Wald{}) {
		r.Wald = measureWald(cfg.Seed)
	}
	r.Targets = targets(r)
	r.Took = time.Since(begin).Seconds()
	return r, nil
}

// rivals are the actors beside Medic who know nothing of the fault.
var rivals = []Actor{Nothing, Static, Sidecar, Watchdog}

// Row gives a family's, nil if it was not simulated.
func (r *Report) Row(f Family) *Row {
	for i := range r.Rows {
		if r.Rows[i].Family == f {
			return &r.Rows[i]
		}
	}
	return nil
}

func row(f Family, ends [][actors]ending) Row {
	out := Row{Family: f, Letter: f.String(), Title: f.Title(), About: f.About(), Incidents: len(ends)}
	column := func(a Actor, v func(ending) float64) []float64 {
		x := make([]float64, len(ends))
		for i := range ends {
			x[i] = v(ends[i][a])
		}
		return x
	}
	cut := func(e ending) float64 { return e.cut }
	best, eyes, oracle := column(Optimum, cut), column(SameEyes, cut), column(Oracle, cut)
	for a := range actors {
		mine := column(a, cut)
		s := Score{
			Actor: a, Cut: mean(mine), ToBest: ratio(mine, best), ToEyes: ratio(mine, eyes), ToOracle: ratio(mine, oracle), Median: Figure{-1, 0}, P95: Figure{-1, 0},
			Restarts: mean(column(a, func(e ending) float64 { return float64(e.restarts) })),
			Alarms:   mean(column(a, func(e ending) float64 { return float64(e.alarms) })),
			Misled:   mean(column(a, func(e ending) float64 { return float64(e.misled) })),
		}
		var delays []float64
		var delay, bound float64
		for i := range ends {
			e := ends[i][a]
			s.Needless += e.needless
			s.Most = max(s.Most, e.restarts)
			if e.delay >= 0 {
				delays = append(delays, e.delay)
			}
			if e.delay >= 0 && e.bound >= 0 {
				delay, bound = delay+e.delay, bound+e.bound
			}
		}
		if n := len(delays); n > 0 && f != Ordinary {
			slices.Sort(delays)
			s.Median, s.P95 = quantile(delays, 0.5), quantile(delays, 0.95)
		}
		if bound > 0 {
			s.Bound = delay / bound
		}
		out.Scores = append(out.Scores, s)
	}
	for _, a := range rivals {
		hit := out.Scores[a].Cut.Mean > 0
		if hit && (out.Best == Medic || out.Scores[a].Cut.Mean < out.Scores[out.Best].Cut.Mean) {
			out.Best = a
		}
	}
	more := column(Medic, cut)
	for i, v := range column(out.Best, cut) {
		more[i] -= v
	}
	out.Worse = mean(more)
	return out
}

func mean(x []float64) Figure {
	n := float64(len(x))
	var sum, squares float64
	for _, v := range x {
		sum += v
	}
	m := sum / n
	for _, v := range x {
		squares += (v - m) * (v - m)
	}
	return Figure{m, 1.96 * math.Sqrt(squares/max(n-1, 1)/n)}
}

// quantile of sorted values, with an interval from the order statistics around it.
func quantile(sorted []float64, q float64) Figure {
	n := float64(len(sorted))
	at := func(i float64) float64 { return sorted[int(min(max(i, 0), n-1))] }
	half := 1.96 * math.Sqrt(n*q*(1-q))
	return Figure{at(math.Floor(n * q)), (at(math.Floor(n*q)+half) - at(math.Floor(n*q)-half)) / 2}
}

// ratio of two means over the same incidents, its interval by the delta method.
func ratio(x, y []float64) Figure {
	mx, my := mean(x).Mean, mean(y).Mean
	if my == 0 {
		return Figure{}
	}
	r := mx / my
	residue := make([]float64, len(x))
	for i := range x {
		residue[i] = (x[i] - r*y[i]) / my
	}
	return Figure{r, mean(residue).CI}
}

// Wald is how fast the detector finds a loss of one in five, beside what a test
// with as many false alarms needs on average: ln(probes between false alarms) over
// the divergence of the two hypotheses (Wald 1947; for a change, Lorden 1971). The
// bound holds to first order: with so few probes a test can stay a little below it.
type Wald struct {
	Between    float64 `json:"probes_between_false_alarms"` // at a loss of 1 %
	Divergence float64 `json:"divergence_nats"`             // per probe, 20 % against 1 %
	Bound      float64 `json:"bound_probes"`
	Probes     Figure  `json:"probes_to_alarm"` // at a loss of 20 %
	Ratio      float64 `json:"ratio"`
}

func measureWald(seed uint64) Wald {
	const p0, p1 = 0.01, 0.2
	rng := rand.New(rand.NewPCG(seed, 3))
	home := detect.Noise{Failures: 100, Probes: 10_000} // a home that has shown a loss of 1 %
	probes := func(p float64) float64 {
		var d detect.Detector
		for n := 1; ; n++ {
			switch lost := rng.Float64() < p; {
			case lost:
				if d.Count(time.Time{}, detect.Silent, home); d.Certain() {
					return float64(n)
				}
			case d.Suspects():
				d.Works(1)
			}
		}
	}
	times := func(n int, p float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = probes(p)
		}
		return x
	}
	w := Wald{Between: mean(times(400, p0)).Mean, Probes: mean(times(20_000, p1)), Divergence: p1*math.Log(p1/p0) + (1-p1)*math.Log((1-p1)/(1-p0))}
	w.Bound = math.Log(w.Between) / w.Divergence
	w.Ratio = w.Probes.Mean / w.Bound
	return w
}

// Together is the mean cut-off over the families that somebody can do something
// about, each counted alike, by actor: no single family says who is better off, since
// nobody knows which one will come.
func (r *Report) Together() (cut [actors]float64) {
	n := 0.0
	for _, row := range r.Rows {
		if row.Family == Ordinary || row.Family == SwitchOff {
			continue
		}
		n++
		for a := range cut {
			cut[a] += row.Scores[a].Cut.Mean
		}
	}
	for a := range cut {
		cut[a] /= max(n, 1)
	}
	return cut
}

// noticeable is the least difference between two cut-offs that counts, in minutes:
// half a second. Nor does one count that is within its interval.
const noticeable = 0.5 / 60

// targets holds a report against what the policy is to reach.
func targets(r *Report) (list []Target) {
	add := func(text string, value, limit float64) {
		list = append(list, Target{Text: text, Value: value, Limit: limit, Met: value <= limit})
	}
	for _, t := range []struct {
		f     Family
		limit float64
	}{{QUICOnly, 1.10}, {AnyRestart, 1.10}, {Partial, 1.25}, {Unequal, 1.25}, {Everywhere, 1.02}} {
		if row := r.Row(t.f); row != nil {
			add(t.f.String()+atOnset, row.Scores[Medic].ToOracle.Mean, t.limit)
			list[len(list)-1].Bound = row.Scores[SameEyes].ToOracle.Mean
			add(t.f.String()+sameEyes, row.Scores[Medic].ToEyes.Mean, t.limit)
		}
	}
	if row := r.Row(Everywhere); row != nil {
		add("B: restarts, at most", float64(row.Scores[Medic].Most), 3)
	}
	if row := r.Row(Ordinary); row != nil {
		add("F: needless restarts in all years", float64(row.Scores[Medic].Needless), 0)
	}
	if row := r.Row(SwitchOff); row != nil {
		add("G: restarts, at most one cycle", float64(row.Scores[Medic].Most), 2)
	}
	if row := r.Row(Blocked); row != nil {
		// The first look knows only that the tunnel is down, which may pass in a second: two dials
		// must have failed, and a dozen looks then prove it.
		m := row.Scores[Medic]
		add("J"+sameEyes, m.ToEyes.Mean, 3)
		add("J"+alarmed, m.P95.Mean, 30)
		add("J"+thereAndBack, m.Restarts.Mean, 2.02)
	}
	if row := r.Row(Breaking); row != nil {
		// Three breaks within ten minutes are the fault, and a look must fall into the third or a later one.
		m := row.Scores[Medic]
		add("K"+toNothing, m.Cut.Mean/max(row.Scores[Nothing].Cut.Mean, 1e-9), 0.05)
		add("K"+thereAndBack, m.Restarts.Mean, 2.5)
	}
	if row := r.Row(Noisy); row != nil {
		// Held against a noise that is not learned, fifteen times as many.
		add("L: needless restarts in a week of mere noise, per home", float64(row.Scores[Medic].Needless)/float64(row.Incidents), 0.01)
	}
	for _, row := range r.Rows {
		t := Target{Text: row.Letter + ": minutes more than the best rival's", Value: math.Round(row.Worse.Mean*1e6)/1e6 + 0, Limit: max(row.Worse.CI, noticeable)}
		if t.Met = t.Value <= t.Limit; !t.Met {
			t.Note = row.Best.String() + " does better"
		}
		for _, a := range rivals {
			if row.Scores[a].Cut.Mean == 0 && row.Scores[Oracle].Cut.Mean > 0 {
				t.Note = "this fault does not hit " + a.String() + ", which is not a rival here"
			}
		}
		list = append(list, t)
	}
	if row := r.Row(QUICOnly); row != nil {
		add("A: time to alarm to what the looks' spacing allows", row.Scores[Medic].Bound, 1.05)
	}
	add("one in five: probes to alarm to Wald's bound", r.Wald.Ratio, 1.3)
	return list
}

// The targets' words.
const (
	alarmed      = ": seconds to the alarm, in 95 of 100 incidents"
	thereAndBack = ": restarts, there and back"
	toNothing    = ": cut-off to that of doing nothing"

	atOnset  = ": cut-off to that of the oracle that acts at the onset"
	sameEyes = ": cut-off to that of the oracle with the same eyes"
)
