package web

import (
	"cmp"
	"fmt"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/policy"
)

// buttonsSection is what a person may ask for, and the doctor's looks below it.
func (v *homeView) buttonsSection() g.Node {
	return el("section", class("card acts wide"), aria("label", "Actions"),
		v.form("probe", acts, el("button", class("main"), text("Probe now"))),
		g.If(v.Doctor, v.form("doctor", attr("data-doctor"), el("button", text("Run the doctor")))),
		g.If(v.CanAct, g.Group{v.pauseForm(), v.tryForms()}),
		v.doctorRows(),
	)
}

// pauseForm pauses or resumes. The script changes it in place, so that the focus
// stays on its button.
func (v *homeView) pauseForm() g.Node {
	marks := g.Group{id("pausing"), acts, attr("data-live", "attrs")}
	if v.State == policy.Paused || v.Unsure {
		return v.form("resume", marks, el("button", text("Resume")))
	}
	return v.form("pause", marks, field("minutes", "60"), el("button", text("Pause 1 hour")))
}

// tryForms says what a trial costs before it offers any.
func (v *homeView) tryForms() g.Node {
	return el("details", id("try"), el("summary", class("button"), text("Try a protocol…")),
		el("div", class("ask"),
			el("p", text("This restarts the tunnel: everybody outside loses the connection for ten seconds or more. The protocol then has to prove itself for about a minute; if it does not, yours goes back with a second restart.")),
			el("div", id("tries"), live,
				quiet(text(fmt.Sprintf("%d of %d restarts are left in these 24 hours. Set now: %s.", v.Left, v.Budget, cmp.Or(v.Protocol.Setting, "not known")))),
				el("div", class("row"), g.Map(v.Tries, v.tryForm)),
			),
		),
	)
}

func (v *homeView) tryForm(protocol string) g.Node {
	// A trial takes two restarts if the protocol does not prove itself.
	cannot := v.Trial != nil || v.Left < 2 || v.Mode == "observe"
	return v.form("try", acts, field("protocol", protocol),
		el("button", class("risky"), g.If(cannot, attr("disabled")), text("Restart with "+protocol)),
	)
}

// doctorRows is empty until the script fills it, or the page without script has
// them all.
func (v *homeView) doctorRows() g.Node {
	return el("div", id("doctor"), class("doctor"), hiddenIf(len(v.Rows) == 0), role("region"), aria("label", "The doctor's looks"), aria("live", "polite"),
		g.If(len(v.Rows) > 0, el("table",
			el("thead", el("tr",
				el("th", el("span", class("unseen"), text("Verdict"))), el("th", text("Look")), el("th", text("What came")),
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
