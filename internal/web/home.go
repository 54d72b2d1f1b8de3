package web

import (
	"cmp"
	"strings"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// homeView is the main page.
type homeView struct {
	frame
	told
	config    Config
	message   string
	bad       bool // the message says that something was not done
	week      bool // is drawn, and not the day alone
	available g.Node
	past      []journal.Incident
	more      int         // past ones that are not shown
	rows      []DoctorRow // of the doctor, on a page without script
	screens   Screens
}

// page is the main page, a section after the other as they are read. The longer
// ones are drawn in files of their own.
func (v *homeView) page() g.Node {
	return v.document(
		el("header", class("brand"),
			el("img", attr("src", v.Icon), attr("alt", ""), attr("width", "28"), attr("height", "28")),
			el("h1", text("Tunnel Medic")),
			el("span", class("tag"), id("mode"), live, g.If(v.Mode == "observe", text(v.Text(words.State(policy.Observing))))),
		),
		v.messages(),
		v.face(),
		v.questionSection(),
		v.troubleSection(),
		way{v.told}.section(),
		v.nowSection(),
		v.adviceSection(),
		v.buttonsSection(),
		v.availableSection(),
		v.timelineSection(v.Base, v.config.Feed, v.week),
		v.pastSection(),
		v.detailsSection(),
		v.footer(),
	)
}

// messages are places for what a press of a button brought, and for the script to
// say that nobody answers.
func (v *homeView) messages() g.Node {
	kind := "message"
	if v.bad {
		kind = "message bad"
	}
	return g.Group{
		el("div", id("message"), role("status"), hiddenIf(v.message == ""), class(kind), text(v.message)),
		el("div", id("offline"), role("alert"), attr("hidden"), attr("data-press", v.Say("page.offline-press")), class("message bad"),
			v.say("page.offline")),
	}
}

// troubleSection says what keeps Tunnel Medic itself from its work.
func (v *homeView) troubleSection() g.Node {
	wrong := v.Texts(v.config.Wrong())
	return news("troubles", v.Say("page.troubles"), len(v.Troubles)+len(wrong) > 0,
		g.Map(v.Troubles, para),
		g.Map(wrong, func(line string) g.Node {
			return el("p", text(line), blank, screen(v.screens.Own, v.Say("page.configuration")))
		}),
	)
}

// questionSection asks, in the mode ask, what waits for a person's word.
func (v *homeView) questionSection() g.Node {
	q := v.Question
	if q == nil {
		return news("question", v.Say("page.question"), false)
	}
	answer := func(yes string, button ...g.Node) g.Node {
		return v.form("answer", acts, field("question", q.ID), field("yes", yes), el("button", button...))
	}
	return news("question", v.Say("page.question"), true,
		el("h2", v.say("page.question")),
		para(q.Text),
		quiet(text(v.Text(words.Standing(q.Question, v.hour(q.Until))))),
		el("div", class("row"), g.If(!q.Yes, answer("true", class("main"), v.say("page.yes"))), answer("false", v.say("page.no"))),
	)
}

// nowSection is what goes on: an incident, or a trial that belongs to none; and how a protocol that has to
// prove itself does.
func (v *homeView) nowSection() g.Node {
	going, steps, progress := v.Incident != nil || v.Trial != nil, []policy.Step(nil), ""
	switch {
	case v.Incident != nil:
		steps = v.Incident.Steps
	case going:
		_, told, _ := v.config.Feed.since(0)
		for _, s := range told {
			if !s.At.Before(v.Since) {
				steps = append(steps, s.Step)
			}
		}
	}
	if t := v.Trial; t != nil && t.Settled && t.Probes > 0 {
		good := words.Count{N: t.Probes - t.Failures, Of: "count.goodchecks"}
		progress = v.Say("page.trial", words.With{"checks": good})
		if t.Failures > 0 {
			progress = v.Say("page.trial-failures", words.With{"checks": good, "failures": words.Count{N: t.Failures, Of: "count.failures"}})
		}
	}
	return news("now", v.Say("page.now"), going || progress != "",
		g.If(going, el("h2", v.say("page.now"))),
		el("div", role("log"), aria("label", v.Say("page.steps")),
			el("ol", id("steps"), class("steps"), attr("data-log"), v.steps(steps)),
		),
		g.If(progress != "", el("p", id("progress"), class("quiet"), text(progress))),
	)
}

// adviceSection says what to do where something is wrong that nobody is at, and what that is based on.
func (v *homeView) adviceSection() g.Node {
	d := v.Diagnosis
	if v.Healthy() || v.State == policy.Starting || v.State == policy.Treating {
		d.Advice = nil
	}
	return news("advice", v.Say("page.todo"), len(d.Advice) > 0,
		g.If(len(d.Advice) > 0, g.Group{
			el("h2", v.say("page.todo")),
			el("ol", class("advice"), g.Map(d.Advice, func(line string) g.Node { return el("li", text(line)) })),
			el("details", el("summary", v.say("page.basis")),
				el("p", text(d.Basis), aside("("+d.Cause.String()+")")),
				facts(v.evidence(d.Seen)),
			),
		}),
	)
}

func (v *homeView) pastSection() g.Node {
	list := quiet(v.say("page.past-none"))
	if len(v.past) > 0 {
		list = g.Group{
			el("ul", class("past"), g.Map(v.past, v.pastItem)),
			g.If(v.more > 0, el("p", el("a", href(v.Base+"?all"), v.say("page.past-all", words.With{"n": v.more})))),
		}
	}
	return card("wide", "past", v.Say("page.past"), el("div", id("past"), live, list))
}

func (v *homeView) pastItem(i journal.Incident) g.Node {
	kind, outcome := v.outcome(i)
	took, change := "", ""
	if !i.Ended.IsZero() {
		took = v.Say("page.past-took", words.With{"span": i.Ended.Sub(i.Onset)})
	}
	if i.Before != i.After {
		change = i.Before.String() + " → " + i.After.String()
	}
	return el("li", stateClass(kind), icon(kind),
		el("a", href(v.incidentPath(i.ID)),
			el("strong", text(outcome)), aside(took), blank,
			el("span", class("what"), text(v.Cause(i.Cause))),
			el("span", class("quiet"), v.time(v.at(i.Onset, words.DayAndHour)), text(prefixed(" · ", change)), text(prefixed(" · ", v.cut(i)))),
		),
	)
}

// detailsSection is how the tunnel is set, and the figures that decide.
func (v *homeView) detailsSection() g.Node {
	app, checked := v.say("page.not-found"), v.Say("page.check-none")
	if v.Target.Name != "" {
		app = g.Group{screen(v.screens.App, v.Target.Name), blank, note(v.Target.Slug)}
	}
	if v.LastProbe != nil {
		checked = v.Write(v.hour(v.LastProbe.At))
	}
	d := v.Detector
	return el("details", id("details"), class("card wide"), el("summary", v.say("page.details")),
		facts(id("facts"), live,
			fact(v.Say("page.app"), app),
			fact(v.Say("page.setting"), text(v.setting()), aside(v.ownSetting())),
			fact(v.Say("page.connections"),
				v.say("page.connections-of", words.With{"n": v.Protocol.Ready}),
				g.If(len(v.Locations) > 0, aside(v.Say("page.connections-to", words.With{"places": strings.Join(v.Locations, ", ")}))),
				g.If(len(v.Edges) > 0, el("ul", class("edges"), g.Map(v.Edges, func(edge string) g.Node { return el("li", el("code", text(edge))) }))),
			),
			fact(v.Say("page.restarts"), v.say("page.restarts-of", words.With{"n": v.Restarts, "budget": v.Budget}), aside(v.Say("page.restarts-note"))),
			fact(v.Say("page.check"), text(checked)),
			fact(v.Say("page.evidence"), v.say("page.evidence-meaning", words.With{"score": words.Decimal(d.Score), "alarm": words.Decimal(d.Alarm)}),
				aside(v.Text(words.Rarity(d.Rarity)))),
		),
	)
}

// setting is the protocol that is set.
func (v *homeView) setting() string { return cmp.Or(v.Protocol.Setting, v.Say("page.not-known")) }

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

func (v *homeView) footer() g.Node {
	return el("footer",
		quiet(text("Tunnel Medic "+v.Version), g.If(v.screens.Blueprint != "", g.Group{text(" · "), screen(v.screens.Blueprint, v.Say("page.blueprint"))})),
		el("details", el("summary", v.say("page.uninstall")),
			el("p", v.say("page.uninstall-text")),
			v.form("forget", acts, el("button", v.say("page.uninstall-button"))),
		),
	)
}

// also are the further addresses, each with how it is.
func (t told) also() g.Node {
	return el("ul", class("plain"), g.Map(t.Also, func(a medic.AddressStatus) g.Node {
		var how g.Node
		switch {
		case a.At.IsZero():
			how = note(t.Say("page.also-waits"))
		case a.Refused != medic.Accepted:
			how = g.Group{el("strong", t.say("page.also-main")), aside(a.Summary)}
		case a.Well():
			how = note(t.Say("page.also-works", words.With{"took": words.Millis(a.TookMS)}))
		default:
			how = g.Group{el("strong", text(a.Summary)), g.Map(a.Advice, aside)}
		}
		return el("li", outward(a.URL), blank, how)
	}))
}
