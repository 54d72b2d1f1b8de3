package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// The drawing's own units, ten to a sample at most; the browser stretches it to the width there is.
const (
	drawWidth  = 10 * maxSamples
	stripTall  = 30
	probesTall = 80
)

const (
	// maxStrip is how many stretches are drawn, the newest: a bad week stays a small page.
	maxStrip = 72
	// maxChanges is how many are listed.
	maxChanges = 12
	// leastWide is how wide a trouble is drawn: what was short must still be seen.
	leastWide = 6.0
)

// tall is a state's height on the strip: colour is not the only thing that tells
// states apart.
var tall = map[policy.Phase]float64{
	policy.Healthy: 9, policy.Starting: 9, policy.Paused: 14, policy.Suspect: 20, policy.Treating: 25, policy.Blind: 14, policy.Observing: 30, policy.Holding: 30,
}

// order is that of the legend: good to bad.
var order = []badge{{State: policy.Healthy}, {State: policy.Suspect}, {State: policy.Suspect, NeedsYou: true}, {State: policy.Treating}, {State: policy.Holding}, {State: policy.Observing},
	{State: policy.Blind}, {State: policy.Paused}, {State: policy.Starting}}

// timelineSection is the timeline on the page, whose address is base.
func (c clock) timelineSection(base string, f *Feed, isWeek bool) g.Node {
	tab := func(query string, length words.Key, here bool) g.Node {
		return el("a", href(base+query), g.If(here, aria("current", "page")), c.say(length))
	}
	return el("section", class("card wide"), aria("labelledby", "h-time"),
		el("div", class("between"),
			el("h2", id("h-time"), c.say("page.timeline")),
			el("nav", class("tabs"), aria("label", c.Say("page.timeline-length")), tab("", "page.timeline-day", !isWeek), tab("?range=7d", "page.timeline-week", isWeek)),
		),
		el("div", id("timeline"), live, c.timeline(f, isWeek)),
	)
}

// timeline is a day or a week: the states as a strip, and below it how long the probes took and
// which failed; and the same as a list, for those who would rather read it.
func (c clock) timeline(f *Feed, isWeek bool) g.Node {
	longest, said := day, words.Key("page.timeline-said-day")
	if isWeek {
		longest, said = week, "page.timeline-said-week"
	}
	back, samples := f.reach(c.now, longest)
	states, probes := f.look(c.now, back, samples)
	if len(states) == 0 {
		return quiet(c.say("page.timeline-none"))
	}
	legend, list := c.legend(states)
	told := c.Say(said, words.With{"states": list}) + c.inWords(probes)
	top := scale(probes)
	return g.Group{
		el("figure",
			el("div", class("chart"),
				stretched("strip", drawWidth, stripTall, picture(told), bar("ground", 0, 0, drawWidth, stripTall), c.strip(states, back)),
				el("div", class("axis"), decorative, g.Map([]any{words.Millis(top), words.Millis(top / 2), 0}, func(v any) g.Node { return el("span", text(c.Write(v))) })),
				el("div", id("probes"), attr("tabindex", "0"), role("group"), aria("label", c.Say("page.timeline-took")), c.probes(probes, back, top)),
				el("p", id("reading"), class("quiet"), role("status")),
				el("div", class("marks"), decorative, c.marks(back)),
			),
			el("figcaption", el("ul", class("legend"), legend), quiet(c.say("page.timeline-legend"))),
		),
		el("details", id("changes"), el("summary", c.say("page.timeline-list")), para(told), el("ul", class("changes"), c.changes(states))),
	}
}

// legend says for how long it was how.
func (c clock) legend(states []stretch) (legend g.Group, said words.List) {
	total := map[badge]time.Duration{}
	for _, s := range states {
		total[s.badge] += s.To.Sub(s.From)
	}
	for _, b := range order {
		if d := total[b]; d > 0 {
			legend = append(legend, el("li", stateClass(b.State.String()), icon(b.State.String()), text(c.Text(b.name())), blank, note(c.Write(d))))
			said = append(said, words.Text{Key: "page.timeline-state", With: words.With{"state": b.name(), "span": d}})
		}
	}
	return legend, said
}

// strip is the states, one after the other.
func (c clock) strip(states []stretch, back time.Duration) g.Node {
	x := func(t time.Time) float64 { return drawWidth * float64(t.Sub(c.now.Add(-back))) / float64(back) }
	return g.Map(states[max(0, len(states)-maxStrip):], func(s stretch) g.Node {
		from, to, h := x(s.From), x(s.To), tall[s.State]
		if to-from < leastWide && s.State != policy.Healthy {
			from = max(0, to-leastWide)
		}
		title := c.Say("page.timeline-stretch", words.With{"moment": c.at(s.From, words.DayAndHour), "state": s.name(), "span": s.To.Sub(s.From)})
		return bar("st-"+s.State.String(), from, stripTall-h, to-from, h, el("title", text(title)))
	})
}

// changes are the states as a list, the newest first.
func (c clock) changes(states []stretch) (list g.Group) {
	for _, s := range slices.Backward(states[max(0, len(states)-maxChanges):]) {
		list = append(list, el("li", stateClass(s.State.String()), icon(s.State.String()), c.time(c.at(s.From, words.DayAndHour)), blank,
			el("span", text(c.Text(s.name()))), aside(c.Say("page.state-for", words.With{"span": s.To.Sub(s.From)}))))
	}
	return list
}

// marks say below the drawing what the time is.
func (c clock) marks(back time.Duration) (list g.Group) {
	how := words.HourAndMinute
	if back > 48*time.Hour {
		how = words.WeekdayMark
	}
	for i := range 4 {
		at := c.now.Add(back*time.Duration(i)/4 - back)
		list = append(list, el("span", text(c.Write(c.at(at, how)))))
	}
	return append(list, el("span", c.say("page.timeline-now")))
}

// probes draws how long they took, and how many failed. Screen readers have both in the strip's words.
func (c clock) probes(probes []sample, back time.Duration, top int) g.Node {
	step := float64(drawWidth) / float64(len(probes))
	first := c.now.Add(-back).Truncate(slotTime).Add(slotTime)
	var line, area strings.Builder
	var values g.Group
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
			values = append(values, bar("", float64(i)*step, 0, step, probesTall, el("title", text(c.Write(c.at(at, words.WeekdayHour))+", "+c.sample(p)))))
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
	return stretched("probes", drawWidth, probesTall, decorative,
		path("M0 40h960M0 80h960M240 0v80M480 0v80M720 0v80", class("grid")),
		path(area.String(), class("area")),
		path(line.String(), class("latency")),
		misses(probes, step),
		el("g", class("values"), values),
	)
}

// misses hangs a bar from the top where probes failed: the longer, the more of them. Neighbours of
// one length are one bar.
func misses(probes []sample, step float64) (bars g.Group) {
	long := func(p sample) float64 {
		if p.Failed == 0 {
			return 0
		}
		return max(8, float64(probesTall)*float64(p.Failed)/float64(p.Probes))
	}
	for i := 0; i < len(probes); {
		h, n := long(probes[i]), 1
		for i+n < len(probes) && long(probes[i+n]) == h {
			n++
		}
		if h > 0 {
			bars = append(bars, bar("miss", float64(i)*step, 0, float64(n)*step, h))
		}
		i += n
	}
	return bars
}

// inWords says of the checks what the drawing shows.
func (c clock) inWords(probes []sample) string {
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
	var said words.Pieces
	if p.Failed > 0 {
		said = append(said, words.Of("page.timeline-sample", words.With{"failed": p.Failed, "n": p.Probes}))
	}
	if p.MS >= 0 {
		said = append(said, words.Millis(p.MS))
	}
	return c.Write(said)
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
