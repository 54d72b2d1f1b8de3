package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// page is the main page, a section after the other as they are read. The longer
// ones are drawn in files of their own.
func (v *homeView) page() g.Node {
	return v.document(
		v.brand(),
		v.messages(),
		v.stateSection(),
		v.questionSection(),
		v.troubleSection(),
		v.waySection(),
		v.nowSection(),
		v.adviceSection(),
		v.buttonsSection(),
		v.availableSection(),
		v.timelineSection(),
		v.pastSection(),
		v.detailsSection(),
		v.footer(),
	)
}

func (v *homeView) brand() g.Node {
	return el("header", class("brand"),
		el("img", attr("src", v.Icon), attr("alt", ""), attr("width", "28"), attr("height", "28")),
		el("h1", text("Tunnel Medic")),
		el("span", class("tag"), id("mode"), live, g.If(v.Mode == "observe", text(v.stateWord(policy.Observing)))),
	)
}

// messages are places for what a press of a button brought, and for the script to
// say that nobody answers.
func (v *homeView) messages() g.Node {
	kind := "message"
	if v.Bad {
		kind = "message bad"
	}
	return g.Group{
		el("div", id("message"), role("status"), hiddenIf(v.Message == ""), class(kind), text(v.Message)),
		el("div", id("offline"), role("alert"), attr("hidden"), attr("data-press", v.Say("page.offline-press")), class("message bad"),
			text(v.Say("page.offline"))),
	}
}

// stateSection says how things stand; a screen reader is told when that changes.
func (v *homeView) stateSection() g.Node {
	return g.Group{
		el("section", id("state"), class("hero st-"+v.Look.Class), live, aria("label", v.Say("page.state")),
			icon(v.Look.Class),
			el("div",
				el("h2", id("headline"), text(v.Look.Headline)),
				el("p", text(v.Look.Text)),
				quiet(el("span", class("badge"), text(v.Look.Word)), blank, text(v.Look.Since)),
			),
		),
		el("p", id("announce"), class("unseen"), role("status"), aria("live", "polite"), live, text(v.Look.Headline+".")),
	}
}

// troubleSection says what keeps Tunnel Medic itself from its work.
func (v *homeView) troubleSection() g.Node {
	return el("section", id("troubles"), class("card wide"), live, hiddenIf(len(v.Troubles)+len(v.Wrong) == 0), aria("label", v.Say("page.troubles")),
		g.Map(v.Troubles, func(line string) g.Node { return el("p", text(line)) }),
		g.Map(v.Wrong, func(line string) g.Node {
			return el("p", text(line), blank, screen(v.Screens.Own, v.Say("page.configuration")))
		}),
	)
}

func (v *homeView) nowSection() g.Node {
	return el("section", id("now"), class("card wide"), live, hiddenIf(v.Going == "" && v.Progress == ""), aria("label", v.Say("page.now")),
		g.If(v.Going != "", el("h2", text(v.Going))),
		el("div", role("log"), aria("label", v.Say("page.steps")),
			el("ol", id("steps"), class("steps"), attr("data-log"), stepItems(v.Steps)),
		),
		g.If(v.Progress != "", el("p", id("progress"), class("quiet"), text(v.Progress))),
	)
}

func (v *homeView) adviceSection() g.Node {
	return el("section", id("advice"), class("card wide"), live, hiddenIf(len(v.Advice) == 0), aria("label", v.Say("page.todo")),
		g.If(len(v.Advice) > 0, g.Group{
			el("h2", text(v.Say("page.todo"))),
			el("ol", class("advice"), g.Map(v.Advice, func(line string) g.Node { return el("li", text(line)) })),
			el("details", el("summary", text(v.Say("page.basis"))),
				el("p", text(v.Diagnosis.Basis), aside("("+v.Diagnosis.Cause.String()+")")),
				evidenceFacts(v.Seen),
			),
		}),
	)
}

func (v *homeView) pastSection() g.Node {
	return el("section", class("card wide"), aria("labelledby", "h-past"),
		el("h2", id("h-past"), text(v.Say("page.past"))),
		el("div", id("past"), live, v.pastList()),
	)
}

func (v *homeView) pastList() g.Node {
	if len(v.Past) == 0 {
		return quiet(text(v.Say("page.past-none")))
	}
	return g.Group{
		el("ul", class("past"), g.Map(v.Past, v.pastItem)),
		g.If(v.More > 0, el("p", el("a", href(v.Base+"?all"), text(v.Say("page.past-all", words.With{"n": v.More}))))),
	}
}

func (v *homeView) pastItem(p pastView) g.Node {
	return el("li", stateClass(p.Class), icon(p.Class),
		el("a", href(v.incidentPath(p.ID)),
			el("strong", text(p.Outcome)), aside(p.After), blank,
			el("span", class("what"), text(p.Summary)),
			el("span", class("quiet"), timeOf(p.ISO, p.When), text(prefixed(" · ", p.Change)), text(prefixed(" · ", p.Cut))),
		),
	)
}

func (v *homeView) footer() g.Node {
	return el("footer",
		quiet(text("Tunnel Medic "+v.Version), g.If(v.Screens.Blueprint != "", g.Group{text(" · "), screen(v.Screens.Blueprint, v.Say("page.blueprint"))})),
		g.If(v.CanForget, el("details", el("summary", text(v.Say("page.uninstall"))),
			el("p", text(v.Say("page.uninstall-text"))),
			v.form("forget", acts, el("button", text(v.Say("page.uninstall-button")))),
		)),
	)
}
