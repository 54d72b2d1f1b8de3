package web

import (
	"cmp"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
)

// tunnelSection is what is watched, and how it is set.
func (v *homeView) tunnelSection() g.Node {
	address, app, transport := text("not found yet"), text("not found yet"), text("not known")
	if v.Target.URL != "" {
		address = outward(v.Target.URL)
	}
	if v.Target.Name != "" {
		app = g.Group{text(v.Target.Name), blank, note(v.Target.Slug)}
	}
	if v.Protocol.Transport != "" {
		transport = el("strong", text(v.Protocol.Transport))
	}
	return el("section", class("card"), aria("labelledby", "h-tunnel"),
		el("h2", id("h-tunnel"), text("Tunnel")),
		facts(id("facts"), live,
			fact("Address", address),
			fact("Add-on", app),
			fact("Protocol in use", transport),
			fact("Protocol set", text(cmp.Or(v.Protocol.Setting, "not known")), aside(v.ownSetting())),
			fact("Connections", v.connections()),
			fact("Restarts", text(strconv.Itoa(v.Restarts)+" of "+strconv.Itoa(v.Budget)), aside("allowed in 24 hours")),
		),
	)
}

// ownSetting is the user's own protocol beside the one that is set.
func (v *homeView) ownSetting() string {
	switch {
	case v.Protocol.Own == "":
		return ""
	case v.Protocol.Own == v.Protocol.Setting:
		return "your own setting"
	case v.FailbackDue.IsZero():
		return "your own is " + v.Protocol.Own
	}
	return "your own is " + v.Protocol.Own + ", tried again from " + v.moment(v.FailbackDue)
}

func (v *homeView) connections() g.Node {
	return g.Group{
		text(strconv.Itoa(v.Protocol.Ready) + " of 4"),
		g.If(len(v.Locations) > 0, aside("to "+strings.Join(v.Locations, ", "))),
		g.If(len(v.Edges) > 0, el("ul", class("edges"), g.Map(v.Edges, func(edge string) g.Node { return el("li", el("code", text(edge))) }))),
	}
}

// checkSection is the last probe, and how much speaks for a fault.
func (v *homeView) checkSection() g.Node {
	return el("section", class("card"), aria("labelledby", "h-check"),
		el("h2", id("h-check"), text("Last check")),
		el("div", id("check"), live,
			v.lastProbe(),
			el("h3", text("Evidence for a fault")),
			v.Bar.draw(),
			el("p", class("quiet between"), el("span", text(v.Bar.Score)), el("span", class("at80"), text("alarm at "+v.Bar.Alarm))),
		),
	)
}

func (v *homeView) lastProbe() g.Node {
	p := v.LastProbe
	if p == nil {
		return quiet(text("None yet."))
	}
	result, status := el("strong", text("failed")), ""
	if p.OK {
		result = text("good")
	}
	if p.Status != 0 {
		status = "HTTP " + strconv.Itoa(p.Status)
	}
	return facts(
		fact("When", text(v.Checked)),
		fact("Result", result, aside(status)),
		fact("Took", text(millis(p.TookMS))),
		g.If(p.Colo != "", fact("Cloudflare", text(p.Colo), aside("data centre"))),
	)
}

func (b *bar) draw() g.Node {
	kind := "bar"
	if b.Over {
		kind = "bar over"
	}
	return stretched(kind, 100, 10, picture("Evidence "+b.Score+", alarm at "+b.Alarm),
		rect{W: "100", H: "10"}.draw("track"),
		rect{W: strconv.Itoa(b.Width), H: "10"}.draw("fill"),
		path("M80 0v10", class("line")),
	)
}
