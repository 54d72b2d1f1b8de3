package web

import (
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// incidentView is the page of one incident.
type incidentView struct {
	frame
	clock
	journal.Incident
}

func (v *incidentView) page() g.Node {
	kind, outcome := v.outcome(v.Incident)
	v.Class = kind
	lasted := ""
	if !v.Ended.IsZero() {
		lasted = v.Say("page.past-lasted", words.With{"span": v.Ended.Sub(v.Onset)})
	}
	seen := facts(v.evidence(v.Seen))
	if len(v.Seen) == 0 {
		seen = quiet(v.say("page.incident-nothing"))
	}
	return v.document(
		el("header", class("brand"), el("a", class("back"), href(v.Base), text("← Tunnel Medic"))),
		el("section", class("hero st-"+kind),
			icon(kind),
			el("div",
				el("h1", text(outcome)),
				para(v.Lang.Cause(v.Incident.Cause)),
				quiet(v.time(v.at(v.Onset, words.DayAndHour)), text(prefixed(" · ", lasted))),
			),
		),
		card("wide", "steps", v.Say("page.incident-steps"), el("ol", class("steps"), v.steps(v.Steps))),
		card("", "facts", v.Say("page.incident-short"), v.inShort()),
		card("", "seen", v.Say("page.incident-seen"), seen,
			el("p", el("a", class("button"), href(v.incidentPath(v.ID)+".md"), v.say("page.incident-text"))),
		),
	)
}

func (v *incidentView) inShort() g.Node {
	cut := v.cut(v.Incident)
	return facts(
		fact(v.Say("page.incident-cause"), el("code", text(v.Incident.Cause.String()))),
		fact(v.Say("page.incident-onset"), text(v.moment(v.Onset))),
		g.If(!v.LastGood.IsZero(), fact(v.Say("page.incident-good"), text(v.moment(v.LastGood)))),
		fact(v.Say("page.incident-own"), text(v.Own.String())),
		fact(v.Say("page.incident-before"), text(v.Before.String()),
			g.If(v.Transport != evidence.NoTransport, aside(v.Say("page.incident-use", words.With{"transport": v.Transport})))),
		fact(v.Say("page.incident-after"), text(v.After.String())),
		fact(v.Say("page.restarts"), text(v.Write(v.Restarts))),
		g.If(cut != "", fact(v.Say("month.lost"), text(cut))),
		g.If(v.URL != "", fact(v.Say("page.address"), text(v.URL))),
	)
}

// outcomes are how an incident may end, with the state whose colour and shape that has.
var outcomes = map[policy.StepKind]struct {
	class string
	said  words.Key
}{
	policy.NoStep:        {"holding", "page.outcome.open"},
	policy.StepCured:     {"healthy", "page.outcome.cured"},
	policy.StepKept:      {"healthy", "page.outcome.cured"}, // what a person tried
	policy.StepRecovered: {"healthy", "page.outcome.recovered"},
	policy.StepUser:      {"paused", "page.outcome.changed-by-hand"},
	policy.StepLapsed:    {"paused", "page.outcome.lapsed"},
}

func (c clock) outcome(i journal.Incident) (class, said string) {
	o, known := outcomes[i.Outcome]
	if !known {
		o.class, o.said = "paused", "page.outcome.ended"
	}
	return o.class, c.Say(o.said, words.With{"protocol": mendedBy(i)})
}

// mendedBy is the protocol that ended the incident. What was set later, in the
// fail-back or by hand, belongs to its story, and did not mend it.
func mendedBy(i journal.Incident) evidence.Protocol {
	for _, s := range i.Steps {
		if s.Kind == i.Outcome {
			return s.Protocol
		}
	}
	return i.After
}

// cut says for how long an incident cut people off, "" for not at all.
func (c clock) cut(i journal.Incident) string {
	lost := i.Account.Lost + i.Account.LostByUs
	if lost <= 0 {
		return ""
	}
	return c.Say("page.available-lost", words.With{"span": rounded(lost)})
}

// steps are the steps of an incident, in the order they were taken.
func (c clock) steps(list []policy.Step) g.Node {
	return g.Map(list, func(s policy.Step) g.Node {
		kind := stepClass(s.Kind)
		return el("li", stateClass(kind), attr("data-step", s.Kind.String()), icon(kind), c.time(c.hour(s.At)), el("span", text(c.Step(s))))
	})
}

// stepClass gives a step the colour and shape of the state it speaks of.
func stepClass(k policy.StepKind) string {
	//exhaustive:ignore
	switch k {
	case policy.StepCured, policy.StepRecovered, policy.StepKept, policy.StepFailedBack, policy.StepCleared, policy.StepResumed:
		return "healthy"
	case policy.StepTrial, policy.StepSettled, policy.StepRestoring, policy.StepRestored, policy.StepFailback, policy.StepReturning, policy.StepReturned:
		return "treating"
	case policy.StepAlarm, policy.StepHold:
		return "holding"
	case policy.StepSuspected, policy.StepRefused, policy.StepPostponed, policy.StepAsked, policy.StepExpired:
		return "suspect"
	}
	return "paused"
}

// evidence is what the looks saw.
func (c clock) evidence(seen map[string]string) (list g.Group) {
	for _, s := range words.Sights() {
		if said := seen[s.Name]; said != "" {
			list = append(list, fact(c.Say(s.Title), el("code", text(said))))
		}
	}
	return list
}
