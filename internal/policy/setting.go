package policy

import (
	"tunnelmedic/internal/evidence"
)

// Setting is whose protocol is set.
type Setting struct {
	Own       evidence.Protocol  `json:"own"`       // the user's own setting
	OwnKnown  bool               `json:"own_known"` // false until it was read once
	Doubt     Doubt              `json:"doubt,omitempty"`
	Set       evidence.Protocol  `json:"set"` // what we last saw or wrote
	Transport evidence.Transport `json:"transport,omitempty"`
	Unkept    bool               `json:"-"` // nothing can be kept on the disk
	Woke      bool               `json:"-"` // what is stored was not read yet since the program started
}
