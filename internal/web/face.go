package web

import (
	"slices"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// told is how things stand, as its reader is told.
type told struct {
	clock
	medic.Status
}

// face says how things stand: by the state's colour and shape, in one sentence, and what that
// means in others. A screen reader is told when that changes.
func (t told) face() g.Node {
	kind, word := t.State.String(), t.Text(words.State(t.State))
	if badgeOf(t.Status).NeedsYou { // checking alone will not end it
		word = t.Say("state.needs-you")
	}
	headline, meaning := t.meaning()
	return g.Group{
		el("section", id("state"), class("hero st-"+kind), live, aria("label", t.Say("page.state")),
			icon(kind),
			el("div",
				el("h2", id("headline"), text(headline)),
				para(meaning),
				quiet(el("span", class("badge"), text(word)), blank, t.say("page.state-for", words.With{"span": t.now.Sub(t.Since)})),
			),
		),
		el("p", id("announce"), class("unseen"), role("status"), aria("live", "polite"), live, text(headline+".")),
	}
}

func (t told) meaning() (headline, text string) {
	summary, down := t.Diagnosis.Summary, t.Say("page.face.down")
	switch t.State {
	case policy.Unwatched, policy.Starting:
		return t.Say("page.face.starting"), t.Say("page.face.starting-text")
	case policy.Healthy:
		return t.Say("page.face.healthy"), words.Sentences(t.Say("page.face.healthy-text"), t.lastGood())
	case policy.Suspect:
		return t.suspect()
	case policy.Treating:
		return t.treating()
	case policy.Holding:
		if slices.Contains(t.Gates, policy.GateQUIC) {
			summary = words.Sentences(summary, t.closed(policy.GateQUIC))
		}
		if t.now.Before(t.HoldUntil) {
			summary = words.Sentences(summary, t.Say("page.face.hold", words.With{"hour": t.hour(t.HoldUntil)}))
		}
	case policy.Blind:
		return t.Say("page.face.blind"), summary
	case policy.Observing:
		return down, words.Sentences(summary, t.Say("page.face.observing"))
	case policy.Paused:
		return t.paused()
	}
	return down, summary
}

// lastGood says when the last check was good, "" if it was not.
func (t told) lastGood() string {
	p := t.LastProbe
	if p == nil || !p.OK {
		return ""
	}
	return t.Say("page.face.last-good", words.With{"hour": t.hour(p.At), "took": words.Millis(p.TookMS)})
}

func (t told) suspect() (headline, text string) {
	headline, text = t.Say("page.face.down"), t.Diagnosis.Summary
	// With any other remedy there is more to say than that a check failed: more checks do not make it certain.
	unsure := t.Diagnosis.Remedy == diagnosis.Rotate || t.Diagnosis.Remedy == diagnosis.NoRemedy
	if unsure && t.Incident == nil && t.Detector.Score > 0 {
		headline, text = t.Say("page.face.closely"), t.Say("page.face.closely-text")
	}
	if len(t.Gates) > 0 {
		text = words.Sentences(t.Diagnosis.Summary, t.closed(t.Gates...))
	}
	return headline, text
}

// closed says what keeps the program from acting.
func (t told) closed(gates ...policy.Gate) string {
	return t.Say("page.face.gates", words.With{"gates": words.Gates(gates)})
}

func (t told) paused() (headline, text string) {
	headline, text = t.Say("page.face.paused", words.With{"hour": t.hour(t.PausedUntil)}), t.Say("page.face.paused-text")
	if policy.Forever(t.PausedUntil) {
		headline, text = t.Say("page.face.off"), t.Say("page.face.off-text")
	}
	if t.Healthy() {
		return headline, words.Sentences(text, t.Say("page.face.paused-well"), t.lastGood())
	}
	return headline, words.Sentences(text, t.Diagnosis.Summary)
}

func (t told) treating() (headline, text string) {
	trial := t.Trial
	headline = t.Say("page.face.fixing")
	if trial == nil {
		return headline, t.Diagnosis.Summary
	}
	to := words.With{"protocol": trial.Protocol}
	//exhaustive:ignore
	switch trial.Purpose {
	case policy.ByHand:
		headline = t.Say("page.face.trying", to)
	case policy.Failback:
		headline = t.Say("page.face.own-again")
	case policy.Restore, policy.Return, policy.HandBack:
		headline = t.Say("page.face.switching-back", to)
	}
	if trial.Settled {
		return headline, t.Say("page.face.proving", to)
	}
	if why, waits := t.Waits(); waits {
		return headline, t.Say("page.face.waits", words.With{"result": words.Result(why)})
	}
	return headline, t.Say("page.face.restarting", to)
}
