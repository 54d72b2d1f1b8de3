package web

import (
	"strconv"

	g "maragu.dev/gomponents"
)

func (v *homeView) timelineSection() g.Node {
	drawn := quiet(text(v.Say("page.timeline-none")))
	if t := &v.Timeline; t.Known {
		drawn = g.Group{v.figure(), v.list()}
	}
	return el("section", class("card wide"), aria("labelledby", "h-time"),
		el("div", class("between"),
			el("h2", id("h-time"), text(v.Say("page.timeline"))),
			el("nav", class("tabs"), aria("label", v.Say("page.timeline-length")),
				tab(v.Base, v.Say("page.timeline-day"), !v.Timeline.Week),
				tab(v.Base+"?range=7d", v.Say("page.timeline-week"), v.Timeline.Week),
			),
		),
		el("div", id("timeline"), live, drawn),
	)
}

func tab(to, length string, here bool) g.Node {
	return el("a", href(to), g.If(here, aria("current", "page")), text(length))
}

func (h *homeView) figure() g.Node {
	v := &h.Timeline
	return el("figure",
		el("div", class("chart"),
			v.strip(),
			el("div", class("axis"), aria("hidden", "true"), g.Map(v.Axis, func(mark string) g.Node { return el("span", text(mark)) })),
			el("div", id("probes"), attr("tabindex", "0"), role("group"), aria("label", h.Say("page.timeline-took")), v.probes()),
			el("p", id("reading"), class("quiet"), role("status")),
			el("div", class("marks"), aria("hidden", "true"), g.Map(v.Marks, func(mark string) g.Node { return el("span", text(mark)) })),
		),
		el("figcaption",
			el("ul", class("legend"), g.Map(v.Legend, func(l legend) g.Node {
				return el("li", stateClass(l.Class), icon(l.Class), text(l.Word), blank, note(l.Time))
			})),
			quiet(text(h.Say("page.timeline-legend"))),
		),
	)
}

// strip is the states, one after the other.
func (v *timelineView) strip() g.Node {
	return stretched("strip", drawWidth, stripTall, picture(v.Text),
		rect{W: strconv.Itoa(drawWidth), H: strconv.Itoa(stripTall)}.draw("ground"),
		g.Map(v.Strip, func(r rect) g.Node { return r.draw("st-"+r.Class, el("title", text(r.Title))) }),
	)
}

// probes is how long the probes took, and how many failed. Screen readers have both
// in the strip's words.
func (v *timelineView) probes() g.Node {
	return stretched("probes", drawWidth, probesTall, decorative,
		path("M0 40h1000M0 80h1000M250 0v80M500 0v80M750 0v80", class("grid")),
		path(v.Area, class("area")),
		path(v.Line, class("latency")),
		g.Map(v.Misses, func(r rect) g.Node { return r.draw("miss") }),
		el("g", class("values"), g.Map(v.Values, func(r rect) g.Node {
			return el("rect", attr("x", r.X), attr("width", r.W), attr("height", r.H), el("title", text(r.Title)))
		})),
	)
}

// list is the timeline for those who would rather read it.
func (h *homeView) list() g.Node {
	v := &h.Timeline
	return el("details", id("changes"), el("summary", text(h.Say("page.timeline-list"))),
		el("p", text(v.Text)),
		el("ul", class("changes"), g.Map(v.Changes, func(c change) g.Node {
			return el("li", stateClass(c.Class), icon(c.Class), timeOf(c.ISO, c.At), blank, el("span", text(c.Word)), aside(c.For))
		})),
	)
}
