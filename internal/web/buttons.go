package web

import (
	"cmp"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// buttonsSection is what a person may ask for, and the doctor's looks below it.
func (v *homeView) buttonsSection() g.Node {
	return el("section", class("card acts wide"), aria("label", v.Say("page.actions")),
		v.form("probe", acts, el("button", class("main"), text(v.Say("page.check-now")))),
		g.If(v.Doctor, v.form("doctor", attr("data-doctor"), el("button", text(v.Say("page.doctor"))))),
		g.If(v.CanAct, g.Group{v.pauseForm(), v.tryForms(), v.shorterForms()}),
		g.If(v.CanTest, v.form("test", acts, el("button", text(v.Say("page.test"))))),
		v.doctorRows(),
	)
}

// pauseForm pauses or resumes. The script changes it in place, so that the focus
// stays on its button.
func (v *homeView) pauseForm() g.Node {
	marks := g.Group{id("pausing"), acts, attr("data-live", "attrs")}
	if v.State == policy.Paused || v.Unsure {
		return v.form("resume", marks, el("button", text(v.Say("page.resume"))))
	}
	return v.form("pause", marks, field("minutes", "60"), el("button", text(v.Say("page.pause"))))
}

// tryForms says what a trial costs before it offers any.
func (v *homeView) tryForms() g.Node {
	return el("details", id("try"), el("summary", class("button"), text(v.Say("page.try"))),
		el("div", class("ask"),
			el("p", text(v.Say("page.try-text"))),
			el("div", id("tries"), live,
				quiet(text(v.Say("page.try-left", words.With{"n": v.Left, "budget": v.Budget, "setting": cmp.Or(v.Protocol.Setting, v.Say("page.not-known"))}))),
				el("div", class("row"), g.Map(v.Tries, v.tryForm)),
			),
		),
	)
}

func (v *homeView) tryForm(protocol string) g.Node {
	// A trial takes two restarts if the protocol does not prove itself.
	cannot := v.Trial != nil || v.Left < 2 || v.Mode == "observe"
	return v.form("try", acts, field("protocol", protocol),
		el("button", class("risky"), g.If(cannot, attr("disabled")), text(v.Say("page.try-button", words.With{"protocol": protocol}))),
	)
}

// shorterForms says what shorter restarts mean before it offers them; nothing where a person has
// set a grace period of their own, or where it is not known what is set.
func (v *homeView) shorterForms() g.Node {
	title, said, yes, button := words.Key("page.shorter"), words.Key("page.shorter-text"), "true", words.Key("page.shorter-button")
	switch {
	case v.Protocol.Setting == "" || v.Protocol.Grace != "" && v.Protocol.Grace != "1s":
		return nil
	case v.Protocol.Grace != "":
		said, yes, button = "page.shorter-on", "false", "page.shorter-off"
	}
	cannot := v.Trial != nil || v.Mode == "observe"
	return el("details", id("shorter"), el("summary", class("button"), text(v.Say(title))),
		el("div", class("ask"), id("shorter-ask"), live,
			el("p", text(v.Say(said))),
			v.form("shorten", acts, field("yes", yes), el("button", g.If(cannot, attr("disabled")), text(v.Say(button)))),
		),
	)
}

// doctorRows is empty until the script fills it, or the page without script has
// them all.
func (v *homeView) doctorRows() g.Node {
	return el("div", id("doctor"), class("doctor"),
		attr("data-verdict", v.Say("page.doctor-verdict")), attr("data-look", v.Say("page.doctor-look")), attr("data-came", v.Say("page.doctor-came")),
		hiddenIf(len(v.Rows) == 0), role("region"), aria("label", v.Say("page.doctor-rows")), aria("live", "polite"),
		g.If(len(v.Rows) > 0, el("table",
			el("thead", el("tr",
				el("th", text(v.Say("page.doctor-verdict"))), el("th", text(v.Say("page.doctor-look"))), el("th", text(v.Say("page.doctor-came"))),
			)),
			el("tbody", g.Map(v.Rows, doctorRow)),
		)),
	)
}

func doctorRow(r DoctorRow) g.Node {
	return el("tr", stateClass(r.Class()),
		el("td", speakingIcon(r.Class(), r.Verdict)),
		el("td", text(r.Component)),
		el("td", text(r.Came), g.If(r.Do != "", g.Group{el("br"), el("strong", text(r.Do))})),
	)
}
