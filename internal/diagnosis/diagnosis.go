// Package diagnosis turns evidence, and what was before, into a cause and a remedy. It is
// pure: no I/O, no clock; what it remembers goes in and comes out as a value. What it knows
// is one table, the catalogue: the first row that matches wins, and the rows stand in order
// of certainty.
package diagnosis

import (
	"time"

	"tunnelmedic/internal/enum"
	"tunnelmedic/internal/evidence"
)

// Remedy is what can help against a cause.
type Remedy uint8

const (
	NoRemedy Remedy = iota // nothing is wrong
	Rotate                 // another protocol may cure it
	Restart                // the same protocol, restarted
	Start                  // the add-on ended with an error: one start
	Wait                   // it ends on its own
	Tell                   // only a person can mend it
)

var remedyNames = []string{"none", "rotate", "restart", "start", "wait", "tell"}

func (r Remedy) String() string { return enum.Name(remedyNames, r) }

// MarshalText writes the remedy's name.
func (r Remedy) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a remedy's name.
func (r *Remedy) UnmarshalText(b []byte) error { return enum.Parse(remedyNames, "remedy", b, r) }

// Diagnosis is what the evidence amounts to. It holds no sentence: package words has
// them, by the cause and what is known of it.
type Diagnosis struct {
	At     time.Time
	Cause  Cause
	Remedy Remedy
	Vote   Vote // for or against the WebSocket's way through the tunnel, the only question that the detector asks
	// Sign is what the moment's evidence alone shows; Cause is the same, unless the history
	// knows more.
	Sign Cause

	Particulars
	Changed []Change // what changed just before, the nearest first

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

// Vote is what a diagnosis says to the detector.
type Vote uint8

const (
	Abstains Vote = iota // it neither adds nor clears
	Works
	Fails
)
