package web

import (
	"strconv"

	g "maragu.dev/gomponents"
)

// page is the page of one incident.
func (v *incidentView) page() g.Node {
	return v.document(
		el("header", class("brand"), el("a", class("back"), href(v.Base), text("← Tunnel Medic"))),
		v.outcomeSection(),
		el("section", class("card wide"), aria("labelledby", "h-steps"),
			el("h2", id("h-steps"), text("What happened")),
			el("ol", class("steps"), stepItems(v.Steps)),
		),
		v.shortSection(),
		v.seenSection(),
	)
}

func (v *incidentView) outcomeSection() g.Node {
	p := &v.Past
	return el("section", class("hero st-"+p.Class),
		icon(p.Class),
		el("div",
			el("h1", text(p.Outcome)),
			el("p", text(p.Summary)),
			quiet(timeOf(p.ISO, p.When), text(prefixed(" · lasted ", p.Took))),
		),
	)
}

func (v *incidentView) shortSection() g.Node {
	return el("section", class("card"), aria("labelledby", "h-facts"),
		el("h2", id("h-facts"), text("In short")),
		facts(
			fact("Cause", el("code", text(v.Cause.String()))),
			fact("First failure", text(v.moment(v.Onset))),
			g.If(!v.LastGood.IsZero(), fact("Good until", text(v.moment(v.LastGood)))),
			fact("Your own setting", text(v.Own.String())),
			fact("Before", text(v.Before.String()), aside(prefixed("in use: ", v.Transport.String()))),
			fact("After", text(v.After.String())),
			fact("Restarts", text(strconv.Itoa(v.Restarts))),
			g.If(v.URL != "", fact("Address", text(v.URL))),
		),
	)
}

func (v *incidentView) seenSection() g.Node {
	seen := quiet(text("Nothing was kept."))
	if len(v.Seen) > 0 {
		seen = evidenceFacts(v.Seen)
	}
	return el("section", class("card"), aria("labelledby", "h-seen"),
		el("h2", id("h-seen"), text("What was seen")),
		seen,
		el("p", el("a", class("button"), href(v.incidentPath(v.ID)+".md"), text("As text, to pass on"))),
	)
}
