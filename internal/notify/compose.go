package notify

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/phone"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// compose writes the message that fits the moment; nil where there is nothing that
// a household needs to hear. What only a person can mend is told when it has lasted
// for the time of patience: one odd answer is no news.
func compose(l *words.Lang, s medic.Status, steps []policy.Step, now time.Time, patience time.Duration) *notice {
	c := composer{l, s.In(l)}
	if n := c.closing(steps); n != nil {
		return n
	}
	if s.Question != nil {
		return c.asking(*c.s.Question)
	}
	n := c.message(now, patience)
	if n == nil {
		return nil
	}
	n.about.cause, n.facts.todo = s.Diagnosis.Cause.String(), strings.Join(c.s.Diagnosis.Advice, "\n")
	if s.Incident != nil {
		n.about.incident, n.facts.steps = s.Incident.ID, len(s.Incident.Steps)
	}
	switch n.about.kind { // which of several causes it is, is not what people wait for
	case treating:
		n.about.cause, n.facts.todo = "", ""
	case lasting:
		n.about.cause = ""
	}
	return n
}

// The kinds of notices.
const (
	asking    = "asking" // what waits for a person's yes
	treating  = "treating"
	holding   = "holding"
	observing = "observing"
	blind     = "blind"
	gated     = "gated"
	turned    = "turned away"
	needsYou  = "tell"
	lasting   = "lasting"
	cured     = "cured"
	recovered = "recovered" // a fault's end that nobody brought about
	byHand    = "user"
)

// composer writes a message in a language.
type composer struct {
	*words.Lang
	s medic.Status // as that language says it
}

func (c composer) message(now time.Time, patience time.Duration) *notice {
	s := c.s
	//exhaustive:ignore
	switch s.State {
	case policy.Treating:
		if s.Incident == nil { // a person's own trial, or a fail-back in the quiet hours: nobody needs to hear of it
			return c.lasts(now)
		}
		return &notice{Title: c.Say("notify.fixing.title"), about: subject{kind: treating},
			Message: parts(c.away()+" "+c.fixing(), c.nothing(), c.done())}
	case policy.Holding:
		return &notice{Title: c.Say("notify.down.title"), about: subject{kind: holding}, rings: !c.declined(), buttons: c.buttons(),
			Message: parts(c.away()+" "+plain.Markdown(words.Sentences(s.Diagnosis.Summary, c.inForce())), c.before(), c.md("notify.watching"), c.advice(), c.done()),
			short:   words.Sentences(s.Diagnosis.Summary, c.inForce(), c.Say("notify.watching"))}
	case policy.Observing:
		return &notice{Title: c.Say("notify.down.title"), about: subject{kind: observing}, rings: true,
			Message: parts(c.away()+" "+plain.Markdown(s.Diagnosis.Summary), c.before(), c.md("notify.down.observing")),
			short:   words.Sentences(s.Diagnosis.Summary, c.Say("notify.down.observing-short"))}
	case policy.Blind:
		if s.Why.Key != "" && now.Sub(s.Since) >= patience { // at a boot much is not ready for a moment
			return &notice{Title: c.Say("notify.blind.title"), about: subject{kind: blind, gates: string(s.Why.Key)}, Message: plain.Markdown(s.Blind)}
		}
	case policy.Suspect:
		if n := c.shut(now, patience); n != nil {
			return n
		}
	}
	known := !s.Diagnosis.Since.IsZero() && now.Sub(s.Diagnosis.Since) >= patience
	switch {
	case s.State == policy.Starting:
		return nil
	case s.State == policy.Paused: // what needs them can wait; that people are cut off cannot
		return c.lasts(now)
	case !known || s.Diagnosis.Remedy != diagnosis.Tell:
		return c.lasts(now)
	case s.Diagnosis.Cause == diagnosis.ClientsFailProbeFine, s.Diagnosis.Cause == diagnosis.ClientsCloseDuringSignIn:
		// Anybody on the internet can bring this about. So it is told once a day, in words that do not change, and rings nobody.
		return &notice{Title: c.Say("notify.turned-away.title"), about: subject{kind: turned}, daily: true, Message: parts(plain.Markdown(s.Diagnosis.Summary), c.before(), c.advice())}
	}
	return &notice{Title: c.Say("notify.you.title"), about: subject{kind: needsYou}, rings: s.Diagnosis.Cause != diagnosis.NotCloudflare,
		Message: parts(plain.Markdown(s.Diagnosis.Summary), c.before(), c.advice()), short: words.Sentences(s.Diagnosis.Summary, c.Say("notify.on-page"))}
}

// asking asks. It rings once for each question, whatever the incident.
func (c composer) asking(q medic.Question) *notice {
	until := words.Moment{At: q.Until, In: q.Until.Location(), How: words.HourAndMinute}
	if q.Purpose == policy.Failback {
		until.How = words.WeekdayHour
	}
	standing := words.Standing(q.Question, until)
	n := &notice{Title: c.Say("notify.ask.title"), about: subject{kind: asking, incident: q.ID}, rings: !q.Yes}
	why := c.s.Diagnosis.Summary
	if c.s.Healthy() {
		why = ""
	}
	where := ""
	if !q.Yes {
		where = c.md("notify.ask.where")
		n.buttons = []phone.Button{
			{Title: c.Say("phone.yes"), Wish: phone.Wish{Question: q.ID, Yes: true}},
			{Title: c.Say("phone.no"), Wish: phone.Wish{Question: q.ID}},
		}
	}
	n.facts.todo = string(standing.Key)
	n.Message = parts(plain.Markdown(why), "**"+plain.Markdown(q.Text)+"**", plain.Markdown(c.Text(standing)), where)
	n.short = words.Sentences(why, q.Text, c.Text(standing))
	return n
}

// buttons are what a person can ask for where nothing has helped: another trial, or quiet.
func (c composer) buttons() (list []phone.Button) {
	if p, ok := c.other(); ok && c.s.Budget-c.s.Restarts >= 2 {
		list = append(list, phone.Button{Title: c.Say("phone.try", words.With{"protocol": p}), Wish: phone.Wish{Try: p}})
	}
	return append(list, phone.Button{Title: c.Say("phone.pause"), Wish: phone.Wish{Pause: time.Hour}})
}

// other is an allowed protocol that uses the other transport than the one that is set.
func (c composer) other() (evidence.Protocol, bool) {
	over := func(p string) bool { return p == evidence.HTTP2.String() }
	for _, name := range c.s.Allowed {
		if p, err := evidence.ParseProtocol(name); err == nil && over(name) != over(c.s.Protocol.Setting) {
			return p, true
		}
	}
	return evidence.Default, false
}

// declined says whether a person has just said no: nothing need ring for what they know.
func (c composer) declined() bool {
	if c.s.Incident == nil || len(c.s.Incident.Steps) == 0 {
		return false
	}
	last := c.s.Incident.Steps[len(c.s.Incident.Steps)-1]
	return last.Kind == policy.StepAnswered && last.Why == policy.WhyNo
}

// away says what people outside meet: nothing, or something now and then.
func (c composer) away() string {
	if c.s.Incident != nil {
		for _, step := range c.s.Incident.Steps {
			if t := step.Seen; step.Kind == policy.StepAlarm && t.Failures < t.Probes {
				return c.md("notify.down.partly", words.With{"lost": t.Failures, "checks": words.Count{N: t.Probes, Of: "count.checks"}})
			}
		}
	}
	return c.md("notify.down.away")
}

// fixing says how long it takes, or what it has to wait for.
func (c composer) fixing() string {
	if why, waits := c.s.Waits(); waits {
		return c.md("notify.fixing.waits", words.With{"result": words.Result(why)})
	}
	return c.md("notify.fixing.text")
}

// md is Say for a message in Markdown.
func (c composer) md(key words.Key, with ...words.With) string {
	return plain.Markdown(c.Say(key, with...))
}

// nothing says that nobody needs to do anything.
func (c composer) nothing() string { return "**" + c.md("notify.nothing") + "**" }

// inForce says which protocol is in force after a treatment that found no clean one: what
// is stored, not what a sentence supposes.
func (c composer) inForce() string {
	p := c.s.Protocol
	switch {
	case p.Setting != p.Own:
		return c.Say("notify.down.better", words.With{"setting": p.Setting, "own": p.Own})
	case c.s.Incident != nil && c.s.Incident.Restarts > 0:
		return c.Say("notify.down.restored", words.With{"own": p.Own})
	}
	return ""
}

// shut tells of gates that stay closed. Most open by themselves in a moment: that is
// no news. Nor is it that more proof is being gathered.
func (c composer) shut(now time.Time, patience time.Duration) *notice {
	s := c.s
	gathering := len(s.Gates) == 1 && s.Gates[0] == policy.GateEvidence
	if len(s.Gates) == 0 || gathering || s.Incident == nil || now.Sub(s.Incident.Onset) < patience {
		return nil
	}
	why := c.Say("notify.down.gates", words.With{"gates": words.Gates(s.Gates)})
	var ours []string
	for _, g := range s.Gates {
		if a := c.Text(words.GateAdvice(g)); a != "" {
			why = words.Sentences(why, a)
			ours = append(ours, g.String())
		}
	}
	slices.Sort(ours)
	return &notice{Title: c.Say("notify.down.title"), about: subject{kind: gated, gates: strings.Join(ours, " ")}, rings: true,
		Message: parts(c.away()+" "+plain.Markdown(s.Diagnosis.Summary), c.before(), plain.Markdown(why)+" "+c.md("notify.watching")),
		short:   words.Sentences(s.Diagnosis.Summary, why)}
}

// longEnough is how long people may be cut off by what passes on its own, or ends with a
// start that comes when it can, before they are told.
const longEnough = 10 * time.Minute

// lasts tells of what nobody can mend now and cuts people off for long.
func (c composer) lasts(now time.Time) *notice {
	if c.s.ShutSince.IsZero() || now.Sub(c.s.ShutSince) < longEnough || c.s.Reachable() {
		return nil
	}
	return &notice{Title: c.Say("notify.down.title"), about: subject{kind: lasting}, rings: true,
		Message: parts(plain.Markdown(c.s.Diagnosis.Summary)+" "+c.md("notify.down.lasting"), c.before(), c.md("notify.watching"), c.advice()),
		short:   words.Sentences(c.s.Diagnosis.Summary, c.Say("notify.down.lasting"), c.Say("notify.watching"))}
}

// before tells what changed just before: what people would ask first. It need not be the
// reason, and that is said.
func (c composer) before() string {
	if c.s.Diagnosis.Changed == "" {
		return ""
	}
	return c.md("notify.changed", words.With{"changes": c.s.Diagnosis.Changed})
}

// closing gives the last word of an incident.
func (c composer) closing(steps []policy.Step) *notice {
	for _, step := range slices.Backward(steps) {
		//exhaustive:ignore
		switch step.Kind {
		case policy.StepCured:
			good := c.Say("notify.good.cured", words.With{"protocol": step.Protocol})
			n := c.good(good, cured)
			n.Message = parts(n.Message, c.md("notify.good.seen", words.With{"step": c.Step(step)}))
			if !c.s.FailbackDue.IsZero() {
				n.Message = parts(n.Message, c.md("notify.good.later", words.With{"own": c.s.Protocol.Own}))
			}
			return n
		case policy.StepRecovered:
			return c.good(c.Say("notify.good.recovered"), recovered)
		case policy.StepUser:
			return &notice{Title: c.Say("notify.by-hand.title"), about: subject{kind: byHand}, closing: true, Message: plain.Markdown(c.Step(step))}
		}
	}
	return nil
}

// good is the word of an end that is good.
func (c composer) good(text, kind string) *notice {
	return &notice{Title: c.Say("notify.good.title"), about: subject{kind: kind}, rings: true, closing: true,
		Message: parts(plain.Markdown(text), c.nothing()), short: words.Sentences(text, c.Say("notify.nothing"))}
}

// recent is how many steps of the story a message tells; the page tells them all.
const recent = 12

// done is what was done so far, under its heading.
func (c composer) done() string {
	if c.s.Incident == nil || len(c.s.Incident.Steps) == 0 {
		return ""
	}
	steps, lines := c.s.Incident.Steps, []string{c.md("notify.done")}
	if len(steps) > recent {
		steps, lines = steps[len(steps)-recent:], append(lines, "- …")
	}
	for _, step := range steps {
		lines = append(lines, "- "+plain.Markdown(step.Text))
	}
	return strings.Join(lines, "\n")
}

func (c composer) advice() string {
	steps := c.s.Diagnosis.Advice
	if len(steps) == 0 {
		return ""
	}
	lines := []string{"**" + c.md("notify.todo") + "**"}
	for i, step := range steps {
		number := ""
		if len(steps) > 1 {
			number = strconv.Itoa(i+1) + ". "
		}
		lines = append(lines, number+plain.Markdown(step))
	}
	return strings.Join(lines, "\n")
}

// parts are the paragraphs of a message; empty ones are left out.
func parts(list ...string) string { return words.Joined("\n\n", list...) }
