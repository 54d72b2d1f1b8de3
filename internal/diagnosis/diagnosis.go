// Package diagnosis turns evidence into a cause and a remedy. It is
// pure: no I/O, no clock, no memory. What it knows is one table, the catalogue;
// the first row that matches wins, and the rows stand in order of certainty.
package diagnosis

import (
	"fmt"
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

// Diagnosis is what the evidence amounts to. It holds no sentence: package words has
// them, by the cause and what is known of it.
type Diagnosis struct {
	At     time.Time
	Cause  Cause
	Remedy Remedy
	Seen   map[string]string // the evidence in short, by name of the look

	Particulars

	// Elsewhere says that another connector than this house's carried the probe, so
	// that its success says nothing of this house's tunnel.
	Elsewhere bool
}

// Particulars are what the evidence knows of a cause beyond its name.
type Particulars struct {
	// Variant names the wording that fits what is known, "" for the cause's own; Basis
	// does so for what the verdict is based on.
	Variant, Basis string

	Service string // where the tunnel leads
	Here    string // where Home Assistant listens
	Status  int    // what answered at Service with
	// Screen says where this Core has its HTTP settings: on a screen (on), or in
	// configuration.yaml (off).
	Screen    evidence.Switch
	Forwarded evidence.ForwardedReason
	Over      string   // the family of addresses that alone fails, "" for both
	Clients   *Finding // who was turned away
	Closing   *Closing // whose sign-in broke off
}

// Of gives the diagnosis. Evidence that fits no row, or that contradicts itself,
// is Unknown with everything seen.
func Of(e evidence.Evidence) Diagnosis {
	if !e.Public.Done() || e.Public.Trouble == evidence.Unusable {
		// Nothing was asked, so nothing can be said of the way.
		if e.SupervisorAway != "" {
			return About(SupervisorAway, e)
		}
		return About(Unknown, e)
	}
	for i := range catalogue {
		if row := &catalogue[i]; row.match != nil && row.match(e) {
			return row.diagnosis(e)
		}
	}
	return About(Unknown, e)
}

// Fitting names every cause whose row fits the evidence, in the order in which they are
// tried: the first is the verdict, the others are what it stands before. It is for the
// test that holds the order of the catalogue.
func Fitting(e evidence.Evidence) (list []Cause) {
	for i := range catalogue {
		if row := &catalogue[i]; row.match != nil && row.match(e) {
			list = append(list, row.Cause)
		}
	}
	return list
}

// About gives the diagnosis of a cause that was established otherwise than by one
// moment's evidence, such as by an incident's history.
func About(c Cause, e evidence.Evidence) Diagnosis { return c.row().diagnosis(e) }

func (r *Row) diagnosis(e evidence.Evidence) Diagnosis {
	d := Diagnosis{At: e.At, Cause: r.Cause, Remedy: r.Remedy, Seen: seen(e), Elsewhere: !ours(e)}
	if r.fit != nil {
		r.fit(e, &d)
	}
	return d
}

// Says whether the cause speaks for or against the WebSocket's way through the
// tunnel, the only question the detector asks.
func (d Diagnosis) Says() Vote {
	switch {
	case d.Cause == Healthy && !d.Elsewhere:
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

// Everywhere gives the diagnosis when every allowed protocol was tried and each
// failed: where no WebSocket was ever seen to pass, the zone's switch is the likely
// cause; where one was, something upstream broke.
func Everywhere(e evidence.Evidence) Diagnosis {
	never := e.Memory.Known && !e.Memory.Ever
	if never && handshakeRefused(e) && e.Zone.WebSockets != evidence.On {
		return About(WebSocketsDisabled, e)
	}
	return About(StrippedEverywhere, e)
}
