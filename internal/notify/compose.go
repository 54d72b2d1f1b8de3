package notify

import (
	"strings"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/medic"
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
	switch s.State {
	case policy.Treating:
		if s.Incident == nil { // a fail-back in the quiet hours: nobody needs to hear of it unless it fails
			return nil
		}
		return &notice{Title: "Tunnel Medic is mending the connection", key: "treating",
			Message: "Home Assistant could not be reached from outside.\n\n" + story(s) + "\n\nYou need to do nothing. The connection may drop for some seconds."}
	case policy.Holding:
		return &notice{Title: "Home Assistant cannot be reached from outside", key: "holding " + id(s), rings: true,
			Message: s.Diagnosis.Summary + "\n\n" + story(s) + advice(s)}
	case policy.Observing:
		return &notice{Title: "Home Assistant cannot be reached from outside", key: "observing " + id(s), rings: true,
			Message: s.Diagnosis.Summary + "\n\nThe option mode is observe, so nothing was changed. With mode heal another tunnel protocol would be tried now."}
	case policy.Blind:
		if s.Blind != "" {
			return &notice{Title: "Tunnel Medic has nothing to watch yet", key: "blind " + s.Blind, Message: s.Blind}
		}
	case policy.Suspect:
		if len(s.Gates) > 0 {
			return &notice{Title: "Home Assistant cannot be reached from outside", key: "gated " + id(s), rings: true,
				Message: s.Diagnosis.Summary + "\n\nNothing is changed at the moment: " + gates(s.Gates) + "."}
		}
	}
	known := !s.Diagnosis.Since.IsZero() && now.Sub(s.Diagnosis.Since) >= patience
	if known && s.Diagnosis.Remedy == diagnosis.Tell.String() && s.State != policy.Starting && s.State != policy.Paused {
		return &notice{Title: "Tunnel Medic needs you", key: "tell " + s.Diagnosis.Cause, rings: s.Diagnosis.Cause != diagnosis.NotCloudflare.String(),
			Message: s.Diagnosis.Summary + advice(s)}
	}
	return nil
}

// closing gives the last word of an incident.
func closing(s medic.Status, steps []policy.Step) *notice {
	for i := len(steps) - 1; i >= 0; i-- {
		step := steps[i]
		switch step.Kind {
		case policy.StepCured:
			return &notice{Title: "Home Assistant can be reached again", key: "cured", rings: true, closing: true,
				Message: "The tunnel now uses the protocol " + step.Protocol.String() + ", and the connection is good.\n\n" + step.Text + after(s) + "\n\nYou need to do nothing."}
		case policy.StepRecovered:
			return &notice{Title: "Home Assistant can be reached again", key: "recovered", rings: true, closing: true,
				Message: "The fault has ended by itself. The tunnel uses your own setting (" + s.Protocol.Setting + ").\n\nYou need to do nothing."}
		case policy.StepUser:
			return &notice{Title: "Tunnel Medic stands back", key: "user", closing: true, Message: step.Text}
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

// story is what was done so far.
func story(s medic.Status) string {
	if s.Incident == nil {
		return ""
	}
	var b strings.Builder
	for _, step := range s.Incident.Steps {
		b.WriteString("- " + step.Text + "\n")
	}
	return strings.TrimSpace(b.String())
}

func advice(s medic.Status) string {
	if s.Diagnosis.Advice == "" {
		return ""
	}
	return "\n\n" + s.Diagnosis.Advice
}

func gates(list []policy.Gate) string {
	words := make([]string, len(list))
	for i, g := range list {
		words[i] = string(g)
	}
	return strings.Join(words, "; ")
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
