package web

import (
	"cmp"
	"strings"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/words"
)

// detailsSection is how the tunnel is set, and the figures that decide.
func (v *homeView) detailsSection() g.Node {
	app, checked := text(v.Say("page.not-found")), v.Say("page.check-none")
	if v.Target.Name != "" {
		app = g.Group{screen(v.Screens.App, v.Target.Name), blank, note(v.Target.Slug)}
	}
	if v.LastProbe != nil {
		checked = v.Write(v.hour(v.LastProbe.At))
	}
	return el("details", id("details"), class("card wide"), el("summary", text(v.Say("page.details"))),
		facts(id("facts"), live,
			fact(v.Say("page.app"), app),
			fact(v.Say("page.setting"), text(cmp.Or(v.Protocol.Setting, v.Say("page.not-known"))), aside(v.ownSetting())),
			fact(v.Say("page.connections"), v.connections()),
			fact(v.Say("page.restarts"), text(v.Say("page.restarts-of", words.With{"n": v.Restarts, "budget": v.Budget})), aside(v.Say("page.restarts-note"))),
			fact(v.Say("page.check"), text(checked)),
			fact(v.Say("page.evidence"), text(v.Say("page.evidence-meaning", words.With{"score": words.Decimal(v.Detector.Score), "alarm": words.Decimal(v.Detector.Alarm)})), aside(v.Text(words.Rarity(v.Detector.Rarity)))),
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
