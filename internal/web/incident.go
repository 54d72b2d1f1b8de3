package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// page is the page of one incident.
func (v *incidentView) page() g.Node {
	return v.document(
		el("header", class("brand"), el("a", class("back"), href(v.Base), text("← Tunnel Medic"))),
		v.outcomeSection(),
		el("section", class("card wide"), aria("labelledby", "h-steps"),
			el("h2", id("h-steps"), text(v.Say("page.incident-steps"))),
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
			quiet(timeOf(p.ISO, p.When), text(prefixed(" · ", p.Lasted))),
		),
	)
}

func (v *incidentView) shortSection() g.Node {
	return el("section", class("card"), aria("labelledby", "h-facts"),
		el("h2", id("h-facts"), text(v.Say("page.incident-short"))),
		facts(
			fact(v.Say("page.incident-cause"), el("code", text(v.Cause.String()))),
			fact(v.Say("page.incident-onset"), text(v.moment(v.Onset))),
			g.If(!v.LastGood.IsZero(), fact(v.Say("page.incident-good"), text(v.moment(v.LastGood)))),
			fact(v.Say("page.incident-own"), text(v.Own.String())),
			fact(v.Say("page.incident-before"), text(v.Before.String()), g.If(v.Transport != evidence.NoTransport, aside(v.Say("page.incident-use", words.With{"transport": v.Transport})))),
			fact(v.Say("page.incident-after"), text(v.After.String())),
			fact(v.Say("page.restarts"), text(v.Write(v.Restarts))),
			g.If(v.Past.Cut != "", fact(v.Say("month.lost"), text(v.Past.Cut))),
			g.If(v.URL != "", fact(v.Say("page.address"), text(v.URL))),
		),
	)
}

func (v *incidentView) seenSection() g.Node {
	seen := quiet(text(v.Say("page.incident-nothing")))
	if len(v.Seen) > 0 {
		seen = evidenceFacts(v.Seen)
	}
	return el("section", class("card"), aria("labelledby", "h-seen"),
		el("h2", id("h-seen"), text(v.Say("page.incident-seen"))),
		seen,
		el("p", el("a", class("button"), href(v.incidentPath(v.ID)+".md"), text(v.Say("page.incident-text")))),
	)
}
