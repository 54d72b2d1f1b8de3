package web

import (
	"strconv"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/words"
)

// section is the timeline on the page, whose address is base.
func (v *timelineView) section(base string) g.Node {
	drawn := quiet(v.say("page.timeline-none"))
	if v.Known {
		drawn = g.Group{v.figure(), v.list()}
	}
	tab := func(query string, length words.Key, here bool) g.Node {
		return el("a", href(base+query), g.If(here, aria("current", "page")), v.say(length))
	}
	return el("section", class("card wide"), aria("labelledby", "h-time"),
		el("div", class("between"),
			el("h2", id("h-time"), v.say("page.timeline")),
			el("nav", class("tabs"), aria("label", v.Say("page.timeline-length")), tab("", "page.timeline-day", !v.Week), tab("?range=7d", "page.timeline-week", v.Week)),
		),
		el("div", id("timeline"), live, drawn),
	)
}

func (v *timelineView) figure() g.Node {
	span := func(mark string) g.Node { return el("span", text(mark)) }
	return el("figure",
		el("div", class("chart"),
			v.strip(),
			el("div", class("axis"), aria("hidden", "true"), g.Map(v.Axis, span)),
			el("div", id("probes"), attr("tabindex", "0"), role("group"), aria("label", v.Say("page.timeline-took")), v.probes()),
			el("p", id("reading"), class("quiet"), role("status")),
			el("div", class("marks"), aria("hidden", "true"), g.Map(v.Marks, span)),
		),
		el("figcaption", el("ul", class("legend"), v.Legend), quiet(v.say("page.timeline-legend"))),
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
func (v *timelineView) list() g.Node {
	return el("details", id("changes"), el("summary", v.say("page.timeline-list")), para(v.Text), el("ul", class("changes"), v.Changes))
}
