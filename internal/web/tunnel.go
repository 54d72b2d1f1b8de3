package web

import (
	"cmp"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/words"
)

// tunnelSection is what is watched, and how it is set.
func (v *homeView) tunnelSection() g.Node {
	address, app, transport := text(v.Say("page.not-found")), text(v.Say("page.not-found")), text(v.Say("page.not-known"))
	if v.Target.URL != "" {
		address = outward(v.Target.URL)
	}
	if v.Target.Name != "" {
		app = g.Group{screen(v.Screens.App, v.Target.Name), blank, note(v.Target.Slug)}
	}
	if v.Protocol.Transport != "" {
		transport = el("strong", text(v.Protocol.Transport))
	}
	return el("section", class("card"), aria("labelledby", "h-tunnel"),
		el("h2", id("h-tunnel"), text(v.Say("page.tunnel"))),
		facts(id("facts"), live,
			fact(v.Say("page.address"), address),
			g.If(len(v.Also) > 0, fact(v.Say("page.also"), v.also())),
			fact(v.Say("page.app"), app),
			fact(v.Say("page.transport"), transport),
			fact(v.Say("page.setting"), text(cmp.Or(v.Protocol.Setting, v.Say("page.not-known"))), aside(v.ownSetting())),
			fact(v.Say("page.connections"), v.connections()),
			fact(v.Say("page.restarts"), text(v.Say("page.restarts-of", words.With{"n": v.Restarts, "budget": v.Budget})), aside(v.Say("page.restarts-note"))),
		),
	)
}

// also are the further addresses, each with how it is.
func (v *homeView) also() g.Node {
	return el("ul", class("plain"), g.Map(v.Also, func(a medic.AddressStatus) g.Node {
		var how g.Node
		switch {
		case a.At.IsZero():
			how = note(v.Say("page.also-waits"))
		case a.Refused != medic.Accepted:
			how = g.Group{el("strong", text(v.Say("page.also-main"))), aside(a.Summary)}
		case a.Well():
			how = note(v.Say("page.also-works", words.With{"took": words.Millis(a.TookMS)}))
		default:
			how = g.Group{el("strong", text(a.Summary)), g.Map(a.Advice, func(s string) g.Node { return aside(s) })}
		}
		return el("li", outward(a.URL), blank, how)
	}))
}

// ownSetting is the user's own protocol beside the one that is set.
func (v *homeView) ownSetting() string {
	switch {
	case v.Protocol.Own == "":
		return ""
	case v.Protocol.Own == v.Protocol.Setting:
		return v.Say("page.own")
	case v.FailbackDue.IsZero():
		return v.Say("page.own-is", words.With{"own": v.Protocol.Own})
	}
	return v.Say("page.own-again", words.With{"own": v.Protocol.Own, "moment": v.at(v.FailbackDue, words.DayAndHour)})
}

func (v *homeView) connections() g.Node {
	return g.Group{
		text(v.Say("page.connections-of", words.With{"n": v.Protocol.Ready})),
		g.If(len(v.Locations) > 0, aside(v.Say("page.connections-to", words.With{"places": strings.Join(v.Locations, ", ")}))),
		g.If(len(v.Edges) > 0, el("ul", class("edges"), g.Map(v.Edges, func(edge string) g.Node { return el("li", el("code", text(edge))) }))),
	}
}

// checkSection is the last probe, and how much speaks for a fault.
func (v *homeView) checkSection() g.Node {
	return el("section", class("card"), aria("labelledby", "h-check"),
		el("h2", id("h-check"), text(v.Say("page.check"))),
		el("div", id("check"), live,
			v.lastProbe(),
			el("h3", text(v.Say("page.evidence"))),
			v.Bar.draw(v.Say("page.evidence-meaning", words.With{"score": v.Bar.Score, "alarm": v.Bar.Alarm})),
			el("p", class("quiet between"), el("span", text(v.Bar.Score)), el("span", class("at80"), text(v.Say("page.evidence-alarm", words.With{"alarm": v.Bar.Alarm})))),
		),
	)
}

func (v *homeView) lastProbe() g.Node {
	p := v.LastProbe
	if p == nil {
		return quiet(text(v.Say("page.check-none")))
	}
	result, status := el("strong", text(v.Say("page.check-failed"))), ""
	if p.OK {
		result = text(v.Say("page.check-good"))
	}
	if p.Status != 0 {
		status = "HTTP " + strconv.Itoa(p.Status)
	}
	return facts(
		fact(v.Say("page.check-when"), text(v.Checked)),
		fact(v.Say("page.check-result"), result, aside(status)),
		fact(v.Say("page.check-took"), text(v.Millis(p.TookMS))),
		g.If(p.Colo != "", fact("Cloudflare", text(p.Colo), aside(v.Say("page.check-place")))),
	)
}

func (b *bar) draw(meaning string) g.Node {
	kind := "bar"
	if b.Over {
		kind = "bar over"
	}
	return stretched(kind, 100, 10, picture(meaning),
		rect{W: "100", H: "10"}.draw("track"),
		rect{W: strconv.Itoa(b.Width), H: "10"}.draw("fill"),
		path("M80 0v10", class("line")),
	)
}
