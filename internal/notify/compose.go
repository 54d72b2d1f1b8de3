package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
)

// compose writes the message that fits the moment; nil where there is nothing that
// a household needs to hear. What only a person can mend is told when it has lasted
// for the time of patience: one odd answer is no news.
func compose(s medic.Status, steps []policy.Step, now time.Time, patience time.Duration) *notice {
	if n := closing(s, steps); n != nil {
		return n
	}
	n := message(s, now, patience)
	if n == nil {
		return nil
	}
	n.about.incident, n.about.cause = id(s), s.Diagnosis.Cause.String()
	n.facts.todo = strings.Join(s.Diagnosis.Advice, "\n")
	if s.Incident != nil {
		n.facts.steps = len(s.Incident.Steps)
	}
	if n.about.kind == treating { // which of several causes it is, is not what people wait for
		n.about.cause, n.facts.todo = "", ""
	}
	return n
}

// The kinds of notices.
const (
	treating  = "treating"
	holding   = "holding"
	observing = "observing"
	blind     = "blind"
	gated     = "gated"
	turned    = "turned away"
	needsYou  = "tell"
	cured     = "cured"
	recovered = "recovered" // a fault's end that nobody brought about
	byHand    = "user"
)

func message(s medic.Status, now time.Time, patience time.Duration) *notice {
	summary := plain.Markdown(s.Diagnosis.Summary) + before(s)
	//exhaustive:ignore
	switch s.State {
	case policy.Treating:
		if s.Incident == nil { // a person's own trial, or a fail-back in the quiet hours: nobody needs to hear of it
			return nil
		}
		return &notice{Title: "Tunnel Medic is mending the connection", about: subject{kind: treating},
			Message: unreachable + " This is being mended now, which takes a minute or two. The connection may drop for some seconds.\n\n" + nothing + done(s)}
	case policy.Holding:
		return &notice{Title: cannot, about: subject{kind: holding}, rings: true,
			Message: unreachable + " " + summary + inForce(s) + "\n\n" + watching + advice(s) + done(s), short: s.Diagnosis.Summary + inForce(s) + " " + watching}
	case policy.Observing:
		return &notice{Title: cannot, about: subject{kind: observing}, rings: true,
			Message: unreachable + " " + summary + "\n\nNothing was changed, because the option mode is observe. With mode heal another tunnel protocol would be tried now.",
			short:   s.Diagnosis.Summary + " Nothing was changed: the mode is observe."}
	case policy.Blind:
		if s.Blind != "" && now.Sub(s.Since) >= patience { // at a boot much is not ready for a moment
			return &notice{Title: "Tunnel Medic has nothing to watch yet", about: subject{kind: blind, gates: s.Blind}, Message: plain.Markdown(s.Blind)}
		}
	case policy.Suspect:
		if n := shut(s, now, patience); n != nil {
			return n
		}
	}
	known := !s.Diagnosis.Since.IsZero() && now.Sub(s.Diagnosis.Since) >= patience
	switch {
	case !known || s.Diagnosis.Remedy != diagnosis.Tell || s.State == policy.Starting || s.State == policy.Paused:
		return nil
	case s.Diagnosis.Cause == diagnosis.ClientsFailProbeFine, s.Diagnosis.Cause == diagnosis.ClientsCloseDuringSignIn:
		// Anybody on the internet can bring this about. So it is told once a day, in words that do not change, and rings nobody.
		return &notice{Title: "Somebody was turned away at your address", about: subject{kind: turned}, daily: true, Message: summary + advice(s)}
	}
	return &notice{Title: "Tunnel Medic needs you", about: subject{kind: needsYou}, rings: s.Diagnosis.Cause != diagnosis.NotCloudflare,
		Message: summary + advice(s), short: s.Diagnosis.Summary + " What to do is on Tunnel Medic's page in Home Assistant."}
}

// inForce says which protocol is in force after a treatment that found no clean one: what
// is stored, not what a sentence supposes.
func inForce(s medic.Status) string {
	switch {
	case s.Protocol.Setting != s.Protocol.Own:
		return " " + s.Protocol.Setting + " stays for now: it loses fewer connections than your own setting (" + s.Protocol.Own + ")."
	case s.Incident != nil && s.Incident.Restarts > 0:
		return " Your own setting (" + s.Protocol.Own + ") is back."
	}
	return ""
}

// shut tells of gates that stay closed. Most open by themselves in a moment: that is
// no news. Nor is it that more proof is being gathered.
func shut(s medic.Status, now time.Time, patience time.Duration) *notice {
	gathering := len(s.Gates) == 1 && s.Gates[0] == policy.GateEvidence
	if len(s.Gates) == 0 || gathering || s.Incident == nil || now.Sub(s.Incident.Onset) < patience {
		return nil
	}
	why := "Nothing is changed at the moment: " + strings.Join(policy.Words(s.Gates), "; ") + "."
	var ours []string
	for _, g := range s.Gates {
		if a := g.Advice(); a != "" {
			why += " " + a
			ours = append(ours, string(g))
		}
	}
	slices.Sort(ours)
	return &notice{Title: cannot, about: subject{kind: gated, gates: strings.Join(ours, " ")}, rings: true,
		Message: unreachable + " " + plain.Markdown(s.Diagnosis.Summary) + before(s) + "\n\n" + plain.Markdown(why) + " " + watching, short: s.Diagnosis.Summary + " " + why}
}

// The sentences that say what it means for whoever reads them. Before a notification
// of an incident, Home Assistant itself was seen at work.
const (
	cannot      = "Home Assistant cannot be reached from outside"
	unreachable = "Away from home, Home Assistant cannot be reached at the moment; apps may say \"Unable to connect\". At home it works."
	nothing     = "**You need to do nothing.**"
	watching    = "Tunnel Medic keeps looking and tells you when it works again."
)

// before tells what changed just before: what people would ask first. It need not be the
// reason, and that is said.
func before(s medic.Status) string {
	if s.Diagnosis.Changed == "" {
		return ""
	}
	return "\n\nChanged just before: " + plain.Markdown(s.Diagnosis.Changed) + ". That need not be the reason."
}

// closing gives the last word of an incident.
func closing(s medic.Status, steps []policy.Step) *notice {
	for i := len(steps) - 1; i >= 0; i-- {
		step := steps[i]
		//exhaustive:ignore
		switch step.Kind {
		case policy.StepCured:
			good := "The connection from outside is good again. The tunnel now uses the protocol " + step.Protocol.String() + "."
			return &notice{Title: "Home Assistant can be reached again", about: subject{kind: cured}, rings: true, closing: true,
				Message: good + "\n\n" + nothing + "\n\nWhat was seen: " + plain.Markdown(step.Text) + after(s), short: good + " You need to do nothing."}
		case policy.StepRecovered:
			good := "The connection from outside is good again. The fault has ended by itself."
			return &notice{Title: "Home Assistant can be reached again", about: subject{kind: recovered}, rings: true, closing: true,
				Message: good + "\n\n" + nothing, short: good + " You need to do nothing."}
		case policy.StepUser:
			return &notice{Title: "Tunnel Medic stands back", about: subject{kind: byHand}, closing: true, Message: plain.Markdown(step.Text)}
		}
	}
	return nil
}

func after(s medic.Status) string {
	if s.FailbackDue.IsZero() {
		return ""
	}
	return "\n\nYour own setting (" + s.Protocol.Own + ") is kept in mind and tried again later, at night."
}

// recent is how many steps of the story a message tells; the page tells them all.
const recent = 12

// story is what was done so far.
func story(s medic.Status) string {
	if s.Incident == nil {
		return ""
	}
	var b strings.Builder
	steps := s.Incident.Steps
	if len(steps) > recent {
		b.WriteString("- …\n")
		steps = steps[len(steps)-recent:]
	}
	for _, step := range steps {
		b.WriteString("- " + plain.Markdown(step.Text) + "\n")
	}
	return strings.TrimSpace(b.String())
}

// done is the story under its heading.
func done(s medic.Status) string {
	if text := story(s); text != "" {
		return "\n\nWhat was done:\n" + text
	}
	return ""
}

func advice(s medic.Status) string {
	steps := s.Diagnosis.Advice
	if len(steps) == 0 {
		return ""
	}
	var b strings.Builder
	for i, step := range steps {
		if len(steps) > 1 {
			fmt.Fprintf(&b, "%d. ", i+1)
		}
		b.WriteString(plain.Markdown(step) + "\n")
	}
	return "\n\n**What you can do**\n" + strings.TrimSpace(b.String())
}

func id(s medic.Status) string {
	if s.Incident == nil {
		return ""
	}
	return s.Incident.ID
}

// away says whether a message may be taken later.
func away(err error) bool {
	return supervisor.Is(err, supervisor.Away) || supervisor.Is(err, supervisor.CoreAway) || supervisor.Is(err, supervisor.Interrupted)
}
