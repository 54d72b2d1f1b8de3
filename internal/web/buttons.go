package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// buttonsSection is what a person may ask for, and the doctor's looks below it.
func (v *homeView) buttonsSection() g.Node {
	return el("section", class("card acts wide"), aria("label", v.Say("page.actions")),
		v.form("probe", acts, el("button", class("main"), v.say("page.check-now"))),
		v.form("doctor", attr("data-doctor"), el("button", v.say("page.doctor"))),
		v.pauseForm(),
		v.tryForms(),
		v.shorterForms(),
		v.form("test", acts, el("button", v.say("page.test"))),
		v.doctorRows(),
	)
}

// pauseForm pauses or resumes. The script changes it in place, so that the focus
// stays on its button.
func (v *homeView) pauseForm() g.Node {
	marks := g.Group{id("pausing"), acts, attr("data-live", "attrs")}
	if v.State == policy.Paused || v.Unsure {
		return v.form("resume", marks, el("button", v.say("page.resume")))
	}
	return v.form("pause", marks, field("minutes", "60"), el("button", v.say("page.pause")))
}

// tryForms says what a trial costs before it offers any.
func (v *homeView) tryForms() g.Node {
	left := max(0, v.Budget-v.Restarts)
	// A trial takes two restarts if the protocol does not prove itself.
	cannot := v.Trial != nil || left < 2 || v.Mode == "observe"
	var tries g.Group
	for _, protocol := range v.Allowed {
		if protocol != v.Protocol.Setting {
			tries = append(tries, v.form("try", acts, field("protocol", protocol),
				el("button", class("risky"), g.If(cannot, attr("disabled")), v.say("page.try-button", words.With{"protocol": protocol}))))
		}
	}
	return el("details", id("try"), el("summary", class("button"), v.say("page.try")),
		el("div", class("ask"),
			el("p", v.say("page.try-text")),
			el("div", id("tries"), live,
				quiet(v.say("page.try-left", words.With{"n": left, "budget": v.Budget, "setting": v.setting()})),
				el("div", class("row"), tries),
			),
		),
	)
}

// shorterForms says what shorter restarts mean before it offers them; nothing where a person has
// set a grace period of their own, or where it is not known what is set.
func (v *homeView) shorterForms() g.Node {
	said, yes, button := words.Key("page.shorter-text"), "true", words.Key("page.shorter-button")
	switch {
	case v.Protocol.Setting == "" || v.Protocol.Grace != "" && v.Protocol.Grace != "1s":
		return nil
	case v.Protocol.Grace != "":
		said, yes, button = "page.shorter-on", "false", "page.shorter-off"
	}
	cannot := v.Trial != nil || v.Mode == "observe"
	return el("details", id("shorter"), el("summary", class("button"), v.say("page.shorter")),
		el("div", class("ask"), id("shorter-ask"), live,
			el("p", v.say(said)),
			v.form("shorten", acts, field("yes", yes), el("button", g.If(cannot, attr("disabled")), v.say(button))),
		),
	)
}

// doctorRows is empty until the script fills it, or the page without script has
// them all.
func (v *homeView) doctorRows() g.Node {
	verdict, look, came := v.Say("page.doctor-verdict"), v.Say("page.doctor-look"), v.Say("page.doctor-came")
	return el("div", id("doctor"), class("doctor"),
		attr("data-verdict", verdict), attr("data-look", look), attr("data-came", came),
		hiddenIf(len(v.rows) == 0), role("region"), aria("label", v.Say("page.doctor-rows")), aria("live", "polite"),
		g.If(len(v.rows) > 0, el("table",
			el("thead", el("tr", el("th", text(verdict)), el("th", text(look)), el("th", text(came)))),
			el("tbody", g.Map(v.rows, doctorRow)),
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
