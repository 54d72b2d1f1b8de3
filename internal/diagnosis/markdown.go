package diagnosis

import (
	"fmt"
	"strings"
)

// explained says in a user's words what the program does about a cause.
var explained = map[Remedy]string{
	NoRemedy: "Nothing is wrong.",
	Rotate:   "Another tunnel protocol is tried, and kept only if it is proven better.",
	Restart:  "The Cloudflared app is restarted, with the same protocol.",
	Start:    "The Cloudflared app is started once.",
	Wait:     "It keeps checking and waits: this ends by itself.",
	Tell:     "It tells you: only a person can mend this.",
}

// Markdown gives the catalogue as the documentation shows it: each cause under its
// link target.
func Markdown() string {
	var b strings.Builder
	for _, row := range catalogue {
		fmt.Fprintf(&b, "\n<a id=\"%s\"></a>\n### %s\n\n%s\n\n", row.Cause.Anchor(), row.ID, row.Summary)
		for i, step := range row.Advice {
			fmt.Fprintf(&b, "%d. %s\n", i+1, step)
		}
		if len(row.Advice) > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "*What Tunnel Medic does:* %s", explained[row.Remedy])
		if row.Cause == ConnectorStopped {
			b.WriteString(" If the app ended with an error, one start is tried; if a person stopped it, it stays stopped.")
		}
		if row.Blinds {
			b.WriteString(" It cannot see past this to Home Assistant, so nothing is changed meanwhile.")
		}
		fmt.Fprintf(&b, "\n*Based on:* %s.\n", row.Rests)
	}
	b.WriteByte('\n')
	return b.String()
}
