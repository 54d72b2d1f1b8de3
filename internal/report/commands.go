package report

import (
	_ "embed"
	"strings"

	"tunnelmedic/internal/words"
)

// commandsPage is what anyone can run to see the same, from the outside in. The commands
// need curl, and the last ones jq.
//
//go:embed commands.md
var commandsPage string

func (d Dossier) commands(b *strings.Builder) {
	base := strings.TrimRight(d.Incident.URL, "/")
	if base == "" {
		base = "https://homeassistant"
	}
	base = strings.ReplaceAll(base, "'", `'\''`) // it is pasted into a shell, and a foreign app may have chosen it
	expect := say("report.expect")
	if s := d.Incident.Account.Snapshots; len(s) > 0 && deref(s[0].Public).Status != 0 {
		expect = say("report.expect-was", words.With{"status": s[0].Public.Status})
	} else if len(s) > 0 {
		expect = say("report.expect-none")
	}
	strings.NewReplacer("{{URL}}", base, "{{EXPECT}}", expect).WriteString(b, commandsPage)
}
