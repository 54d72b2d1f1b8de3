package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/words"
)

// questionSection asks, in the mode ask, what waits for a person's word.
func (v *homeView) questionSection() g.Node {
	q := v.Question
	if q == nil {
		return el("section", id("question"), class("card wide"), live, attr("hidden"))
	}
	return el("section", id("question"), class("card wide"), live, aria("labelledby", "h-question"),
		el("h2", id("h-question"), text(v.Say("page.question"))),
		el("p", text(q.Text)),
		quiet(text(v.Text(words.Standing(q.Question, v.hour(q.Until))))),
		el("div", class("row"),
			g.If(!q.Yes, v.answerForm(q.ID, "true", el("button", class("main"), g.If(!v.CanAct, attr("disabled")), text(v.Say("page.yes"))))),
			v.answerForm(q.ID, "false", el("button", g.If(!v.CanAct, attr("disabled")), text(v.Say("page.no")))),
		),
	)
}

func (v *homeView) answerForm(question, yes string, button g.Node) g.Node {
	return v.form("answer", acts, field("question", question), field("yes", yes), button)
}
