// Package diagnosis turns evidence into a cause, a remedy and advice. It is
// pure: no I/O, no clock, no memory. What it knows is one table, the catalogue;
// the first row that matches wins, and the rows stand in order of certainty.
package diagnosis

import (
	"fmt"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// Remedy is what can help against a cause.
type Remedy uint8

const (
	NoRemedy Remedy = iota // nothing is wrong
	Rotate                 // another protocol may cure it
	Restart                // the same protocol, started anew
	Start                  // the add-on ended with an error: one start
	Wait                   // it ends by itself
	Tell                   // only a person can mend it
)

var remedyNames = [...]string{"none", "rotate", "restart", "start", "wait", "tell"}

func (r Remedy) String() string {
	if int(r) < len(remedyNames) {
		return remedyNames[r]
	}
	return "unknown"
}

// MarshalText writes the remedy's name.
func (r Remedy) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a remedy's name.
func (r *Remedy) UnmarshalText(b []byte) error {
	for i, n := range remedyNames {
		if n == string(b) {
			*r = Remedy(i)
			return nil
		}
	}
	return fmt.Errorf("no remedy is called %q", b)
}

// Diagnosis is what the evidence amounts to, in words a user understands.
type Diagnosis struct {
	At      time.Time
	Cause   Cause
	Remedy  Remedy
	Summary string            // one sentence
	Advice  []string          // steps, in order; empty where there is nothing to do
	Rests   string            // what the verdict rests on
	Seen    map[string]string // the evidence in short, by name of the look
}

// Of gives the diagnosis. Evidence that fits no row, or that contradicts itself,
// is Unknown with everything seen.
func Of(e evidence.Evidence) Diagnosis {
	for i := range catalogue {
		if row := &catalogue[i]; row.match != nil && row.match(e) {
			return row.diagnosis(e)
		}
	}
	return About(Unknown, e)
}

// About gives the diagnosis of a cause that was established otherwise than by one
// moment's evidence, such as by an incident's history.
func About(c Cause, e evidence.Evidence) Diagnosis { return c.row().diagnosis(e) }

func (r *Row) diagnosis(e evidence.Evidence) Diagnosis {
	d := Diagnosis{At: e.At, Cause: r.Cause, Remedy: r.Remedy, Summary: r.Summary, Advice: r.Advice, Rests: r.Rests, Seen: seen(e)}
	// An add-on that ended with an error may be started once; one that a person stopped stays stopped.
	if r.Cause == ConnectorStopped && e.AddOn.State == evidence.StateError {
		d.Remedy = Start
	}
	return d
}

// Says whether the cause speaks for or against the WebSocket's way through the
// tunnel, the only question the detector asks.
func (d Diagnosis) Says() Vote {
	switch {
	case d.Cause == Healthy:
		return Works
	case d.Remedy == Rotate:
		return Fails
	}
	return Abstains
}

// Vote is what a diagnosis says to the detector.
type Vote uint8

const (
	Abstains Vote = iota // it neither adds nor clears
	Works
	Fails
)

// seen puts the evidence into short words, for the page, the log at debug, and
// reports.
func seen(e evidence.Evidence) map[string]string {
	s := map[string]string{}
	for name, l := range map[string]evidence.Look{"public": e.Public, "page": e.Page, "direct": e.Direct} {
		if l.Stage != evidence.NotAsked {
			s[name] = inShort(l)
		}
	}
	if c := e.Connector; c.Asked {
		switch {
		case c.Status != 0:
			s["connector"] = fmt.Sprintf("/ready %d, %d connections", c.Status, c.Ready)
			if c.Transport != evidence.NoTransport {
				s["connector"] += " over " + c.Transport.String()
			}
		default:
			s["connector"] = "/ready: " + c.Trouble.String()
		}
	}
	if e.AddOn.Asked {
		s["addon"] = strings.TrimSpace(fmt.Sprintf("%s %s", e.AddOn.Slug, e.AddOn.State))
		if !e.AddOn.Installed {
			s["addon"] = e.AddOn.Slug + " is not installed"
		}
	}
	if e.Core.Asked {
		s["core"] = strings.TrimSpace(fmt.Sprintf("%d %s", e.Core.Status, e.Core.State))
	}
	if e.Internet != evidence.InternetUnknown {
		s["internet"] = e.Internet.String()
	}
	if e.SupervisorAway != "" {
		s["supervisor"] = e.SupervisorAway
	}
	return s
}

func inShort(l evidence.Look) string {
	var b strings.Builder
	if l.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d", l.Status)
	} else {
		b.WriteString(l.Stage.String())
	}
	if l.Stage > evidence.Answered {
		b.WriteString(", " + l.Stage.String())
	}
	if l.Trouble != evidence.NoTrouble {
		b.WriteString(", " + l.Trouble.String())
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(l.Body), "\n"); line != "" {
		if len(line) > 80 {
			line = strings.ToValidUTF8(line[:80], "") + "…"
		}
		fmt.Fprintf(&b, " %q", line)
	}
	if ray := l.CFRay(); ray != "" {
		b.WriteString(" cf-ray " + ray)
	}
	if l.Outside {
		b.WriteString(" (name looked up outside the house)")
	}
	return b.String()
}
