package policy

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// Doubt is how far what is remembered of the user's own setting can be relied on once
// the journal was damaged.
type Doubt string

const (
	// NoDoubt is the rule.
	NoDoubt Doubt = ""
	// Recalled is an own setting that was kept beside a damaged journal. It is true; but
	// another protocol that is found may be one of ours, of which nothing is known.
	Recalled Doubt = "recalled"
	// Unsure is one that is lost. What was read since may be a protocol that was on trial,
	// so nothing is done that rests on it until a person says which one is theirs.
	Unsure Doubt = "unsure"
)

// What keeps the program from acting while it cannot remember.
const (
	GateMemory Gate = "whether the present protocol is your own is not known any more"
	GateDisk   Gate = "nothing can be kept on the disk"
)

// Unkept is a change that was not begun because it could not be noted first.
const Unkept Result = "nothing can be kept on the disk"

// unexplained takes a setting that differs from what was last seen or written. After
// damage it need not be a person's doing.
func (s *State) unexplained(d *Decision, now time.Time, setting evidence.Protocol) bool {
	if s.Doubt != Recalled {
		return false
	}
	if setting == s.Own { // the way back was gone already
		s.Set, s.Doubt, s.Trial, s.Failback = setting, NoDoubt, nil, nil
		return true
	}
	s.Doubt, s.Set = Unsure, setting
	s.Trial, s.Incident, s.Failback, s.Detector = nil, nil, nil, detect.Detector{}
	d.say(now, StepUnsure, setting, "The protocol is %s. Your own was %s; after the damage to the journal it is not known whether %s is your choice or was on trial, so nothing is changed. "+
		"Set the one you want in the Cloudflared app, or choose Resume on Tunnel Medic's page if %s is right.", setting, s.Own, setting, setting)
	return true
}

// StepUnsure is the loss of what was known of the user's own setting.
const StepUnsure StepKind = "unsure"

// confirmed is a person's word that what is set is theirs.
func (s *State) confirmed(d *Decision, now time.Time) {
	if s.Doubt != Unsure || !s.OwnKnown {
		return
	}
	s.Own, s.Doubt = s.Set, NoDoubt
	d.say(now, StepResumed, s.Set, "%s is your own setting from now on.", s.Set)
}
