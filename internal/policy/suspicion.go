package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Suspicion is what looks have shown so far. None of it is kept: it changes with every
// look, and gathers anew within seconds.
type Suspicion struct {
	Stops        int             `json:"-"` // looks in a row that showed the app stopped, not by us
	Looked       bool            `json:"-"` // something was seen since the program started
	Trouble      diagnosis.Cause `json:"-"` // the last look's cause; Healthy if there is none
	TroubleSince time.Time       `json:"-"` // since when that cause
	Last         detect.Look     `json:"-"` // what the last look showed
	LastGood     time.Time       `json:"-"`
	QUICShut     bool            `json:"-"` // the edge was asked over QUIC, and no handshake stood: this network seems to keep it out

	Noise    detect.Noise    `json:"-"` // how noisy this home is
	Detector detect.Detector `json:"-"`
}

// note keeps what the last look said.
func (s *State) note(now time.Time, in Sight) {
	if in.Blind != "" {
		return
	}
	if in.Vote == diagnosis.Works {
		s.LastGood, s.RevivedFor = now, diagnosis.Unknown
	}
	s.Last = in.look()
	switch {
	case in.QUIC == evidence.On || in.Transport == evidence.OverQUIC:
		s.QUICShut = false
	case in.QUIC == evidence.Off:
		s.QUICShut = true
	}
	if in.Cause != s.Trouble || s.TroubleSince.IsZero() {
		s.Trouble, s.TroubleSince = in.Cause, now
	}
}

// look is what it showed, counted. That of a handshake which arrived without its headers
// Home Assistant tells in its own words.
func (in Sight) look() detect.Look {
	switch {
	case in.Vote == diagnosis.Works:
		return detect.Good
	case in.Vote == diagnosis.Abstains:
		return detect.NoVerdict
	case in.Cause == diagnosis.UpgradeStripped || in.Cause == diagnosis.UpgradeMangled:
		return detect.Explicit
	}
	return detect.Silent
}
