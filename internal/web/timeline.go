package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// The drawing's own units; the browser stretches it to the width there is.
const (
	drawWidth  = 1000
	stripTall  = 30
	probesTall = 80
)

// timelineView is a day or a week: the states as a strip, and below it how long the
// probes took and which failed.
type timelineView struct {
	clock
	Week    bool
	Known   bool // there is something to show
	Strip   []rect
	Line    string // path of the latency
	Area    string
	Misses  []rect
	Axis    []string // what the upper edge of the latency, its middle and its foot stand for
	Values  []rect   // what each part of the drawing says when it is pointed at
	Marks   []string
	Legend  g.Group
	Text    string // the same in words
	Changes g.Group
}

type rect struct {
	X, Y, W, H string
	Class      string
	Title      string
}

// tall is a state's height on the strip: colour is not the only thing that tells
// states apart.
var tall = map[policy.Phase]float64{
	policy.Healthy: 9, policy.Starting: 9, policy.Paused: 14, policy.Suspect: 20, policy.Treating: 25, policy.Blind: 14, policy.Observing: 30, policy.Holding: 30,
}

// order is that of the legend: good to bad.
var order = []badge{{State: policy.Healthy}, {State: policy.Suspect}, {State: policy.Suspect, NeedsYou: true}, {State: policy.Treating}, {State: policy.Holding}, {State: policy.Observing},
	{State: policy.Blind}, {State: policy.Paused}, {State: policy.Starting}}

func (c clock) timeline(f *Feed, isWeek bool) timelineView {
	v := timelineView{clock: c, Week: isWeek}
	if f == nil {
		return v
	}
	longest := 24 * time.Hour
	if isWeek {
		longest = week
	}
	back, samples := f.reach(c.now, longest)
	states, probes := f.look(c.now, back, samples)
	from := c.now.Add(-back)
	x := func(t time.Time) float64 { return drawWidth * float64(t.Sub(from)) / float64(back) }
	total := map[badge]time.Duration{}
	for i, s := range states {
		total[s.badge] += s.To.Sub(s.From)
		if i < len(states)-maxStrip {
			continue
		}
		h := tall[s.State]
		a, b := x(s.From), x(s.To)
		if least := 6.0; b-a < least && s.State != policy.Healthy { // what was short must still be seen
			a = max(0, b-least)
		}
		v.Strip = append(v.Strip, rect{X: dec(a), W: dec(b - a), Y: dec(stripTall - h), H: dec(h), Class: s.State.String(),
			Title: c.Say("page.timeline-stretch", words.With{"moment": c.at(s.From, words.DayAndHour), "state": s.name(), "span": s.To.Sub(s.From)})})
	}
	for i := len(states) - 1; i >= 0 && len(v.Changes) < 12; i-- {
		s := states[i]
		v.Changes = append(v.Changes, el("li", stateClass(s.State.String()), icon(s.State.String()), c.time(c.at(s.From, words.DayAndHour)), blank,
			el("span", text(c.Text(s.name()))), aside(c.Say("page.state-for", words.With{"span": s.To.Sub(s.From)}))))
	}
	var said words.List
	for _, p := range order {
		if d := total[p]; d > 0 {
			v.Legend = append(v.Legend, el("li", stateClass(p.State.String()), icon(p.State.String()), text(c.Text(p.name())), blank, note(c.Write(d))))
			said = append(said, words.Text{Key: "page.timeline-state", With: words.With{"state": p.name(), "span": d}})
		}
	}
	v.Known = len(states) > 0
	v.drawProbes(probes, back)
	v.Text = c.Say("page.timeline-said-day", words.With{"states": said})
	if isWeek {
		v.Text = c.Say("page.timeline-said-week", words.With{"states": said})
	}
	v.Text += c.probesInWords(probes)
	for i := range 5 {
		t := from.Add(back * time.Duration(i) / 4).In(c.loc)
		switch {
		case i == 4:
			v.Marks = append(v.Marks, c.Say("page.timeline-now"))
		case back > 48*time.Hour:
			v.Marks = append(v.Marks, c.Write(c.at(t, words.WeekdayMark)))
		default:
			v.Marks = append(v.Marks, t.Format("15:04"))
		}
	}
	return v
}

// maxStrip is how many stretches are drawn, the newest: a bad week stays a small
// page.
const maxStrip = 72

func (v *timelineView) drawProbes(probes []sample, back time.Duration) {
	top, step := scale(probes), float64(drawWidth)/float64(len(probes))
	v.Axis = []string{v.Write(words.Millis(top)), v.Write(words.Millis(top / 2)), v.Write(0)}
	first := v.now.Add(-back).Truncate(slotTime).Add(slotTime)
	var line, area strings.Builder
	open := false
	shut := func(before int) {
		if open {
			fmt.Fprintf(&area, "L%s %dZ", dec((float64(before)-0.5)*step), probesTall)
		}
		open = false
	}
	for i, p := range probes {
		if p.Probes > 0 {
			at := first.Add(back * time.Duration(i) / time.Duration(len(probes)))
			v.Values = append(v.Values, rect{X: dec(float64(i) * step), W: dec(step), H: strconv.Itoa(probesTall), Title: v.Write(v.at(at, words.WeekdayHour)) + ", " + v.sample(p)})
		}
		if p.MS < 0 {
			shut(i)
			continue
		}
		x, y := dec((float64(i)+0.5)*step), dec(float64(probesTall)*(1-float64(min(p.MS, top))/float64(top)))
		if open {
			fmt.Fprintf(&line, "L%s %s", x, y)
			fmt.Fprintf(&area, "L%s %s", x, y)
			continue
		}
		fmt.Fprintf(&line, "M%s %sh.01", x, y)
		fmt.Fprintf(&area, "M%s %dV%s", x, probesTall, y)
		open = true
	}
	shut(len(probes))
	v.drawMisses(probes, step)
	v.Line, v.Area = line.String(), area.String()
}

// drawMisses hangs a bar from the top where probes failed: the longer, the more of
// them. Neighbours of one length are one bar.
func (v *timelineView) drawMisses(probes []sample, step float64) {
	long := func(p sample) string {
		if p.Failed == 0 {
			return ""
		}
		return dec(max(8, float64(probesTall)*float64(p.Failed)/float64(p.Probes)))
	}
	for i := 0; i < len(probes); {
		h, n := long(probes[i]), 1
		for i+n < len(probes) && long(probes[i+n]) == h {
			n++
		}
		if h != "" {
			v.Misses = append(v.Misses, rect{X: dec(float64(i) * step), W: dec(float64(n) * step), Y: "0", H: h})
		}
		i += n
	}
}

func (c clock) probesInWords(probes []sample) string {
	n, failed, sum, good := 0, 0, 0, 0
	for _, p := range probes {
		n += p.Probes
		failed += p.Failed
		if p.MS >= 0 {
			sum += p.MS * (p.Probes - p.Failed)
			good += p.Probes - p.Failed
		}
	}
	if n == 0 {
		return ""
	}
	checks := words.Count{N: n, Of: "count.checks"}
	switch {
	case good == 0:
		return " " + c.Say("page.timeline-all-failed", words.With{"checks": checks})
	case failed > 0:
		return " " + c.Say("page.timeline-failed", words.With{"checks": checks, "failed": failed, "n": sum / good})
	}
	return " " + c.Say("page.timeline-checks", words.With{"checks": checks, "n": sum / good})
}

// sample is one part of the drawing in short.
func (c clock) sample(p sample) string {
	took := ""
	if p.MS >= 0 {
		took = c.Write(words.Millis(p.MS))
	}
	if p.Failed == 0 {
		return took
	}
	return c.Say("page.timeline-sample", words.With{"failed": p.Failed, "n": p.Probes}) + prefixed(", ", took)
}

// scale is what the upper edge stands for: a round number that nineteen in twenty samples stay
// under, so that one slow answer does not press the others to the ground. What is slower
// touches the edge, and says how slow it was.
func scale(probes []sample) int {
	var took []int
	for _, p := range probes {
		if p.MS >= 0 {
			took = append(took, p.MS)
		}
	}
	if len(took) == 0 {
		return nice(0)
	}
	slices.Sort(took)
	return nice(took[(len(took)-1)*19/20] * 6 / 5)
}

// nice is the next round number.
func nice(ms int) int {
	for unit := 10; ; unit *= 10 {
		for _, f := range []int{2, 4, 6, 10} {
			if ms <= unit*f {
				return unit * f
			}
		}
	}
}

// dec writes a coordinate with no more digits than can be seen.
func dec(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}
