package web

import (
	"fmt"
	"strings"
	"time"

	"tunnelmedic/internal/journal"
)

// markdown writes an incident as a text to pass on.
func markdown(i journal.Incident, version string, c clock) string {
	var b strings.Builder
	past := c.past(i)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, oneLine(value))
		}
	}
	fmt.Fprintf(&b, "# Tunnel Medic: incident of %s\n\n%s\n\n", c.day(i.Onset), past.Summary)
	line("Outcome", past.Outcome)
	line("Began", i.Onset.UTC().Format(time.RFC3339))
	if !i.LastGood.IsZero() {
		line("Last good probe before", i.LastGood.UTC().Format(time.RFC3339))
	}
	if !i.Ended.IsZero() {
		line("Ended", i.Ended.UTC().Format(time.RFC3339)+", after "+past.Took)
	}
	line("Cause", i.Cause.String())
	line("Protocol before", i.Before.String()+" (in use: "+i.Transport.String()+")")
	line("Protocol after", i.After.String())
	line("Restarts of the tunnel", fmt.Sprint(i.Restarts))
	line("Tunnel Medic", version)
	b.WriteString("\n## What happened\n\n")
	for _, s := range i.Steps {
		fmt.Fprintf(&b, "- %s %s\n", s.At.UTC().Format("15:04:05Z"), oneLine(s.Text))
	}
	if len(i.Seen) > 0 {
		b.WriteString("\n## What was seen when the alarm was raised\n\n")
		for _, e := range evidenceList(i.Seen) {
			fmt.Fprintf(&b, "- %s: `%s`\n", e.What, strings.ReplaceAll(oneLine(e.Text), "`", "'"))
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
