package policy

import (
	"time"

	"tunnelmedic/internal/detect"
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

// Doubt is how far what is remembered of the user's own setting can be relied on once
// the journal was damaged.
type Doubt uint8

const (
	// NoDoubt is the rule.
	NoDoubt Doubt = iota
	// Recalled is an own setting that was kept beside a damaged journal. It is true; but
	// another protocol that is found may be one of ours, of which nothing is known.
	Recalled
	// Unsure is one that is lost. What was read since may be a protocol that was on trial,
	// so nothing is done that rests on it until a person says which one is theirs.
	Unsure
)

var doubtNames = []string{"", "recalled", "unsure"}

func (d Doubt) String() string { return nameOf(doubtNames, d) }

// MarshalText writes the doubt's name.
func (d Doubt) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it.
func (d *Doubt) UnmarshalText(b []byte) error { return parse(doubtNames, "doubt", b, d) }

// note keeps what a look says of the app.
func (s *Setting) note(in Sight) {
	if in.Transport != evidence.NoTransport {
		s.Transport = in.Transport
	}
	s.Unkept = in.Unkept
}

// become makes a protocol the user's own setting, and the one that is set.
func (s *Setting) become(p evidence.Protocol) { s.Own, s.Set, s.Doubt = p, p, NoDoubt }

// notice compares the stored setting with what we last saw or wrote there. A
// difference is a person's doing, and the person wins.
func (r Rules) notice(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	if !s.OwnKnown {
		s.Own, s.Set, s.OwnKnown = setting, setting, true
		return
	}
	woke := s.Woke
	s.Woke = false
	switch {
	case setting != s.Set && woke && r.wentBack(s, d, now, setting):
	case setting != s.Set:
		r.byHand(s, d, now, setting)
	case s.Doubt == Recalled && s.Trial == nil:
		s.Doubt = NoDoubt // what stands there is explained
	}
}

// wentBack says whether what is found at a start is the way back from what was being proven
// before, which a disk that took nothing could not note. A person's choice of just this, in
// just the moment when nobody watched, cannot be told from it, and it is their own or what
// was there before: nothing of theirs is lost.
func (r Rules) wentBack(s *State, d *Decision, now time.Time, setting evidence.Protocol) bool {
	back := r.Abandon(*s, now).Trial
	if back == nil || !s.Trial.Settled || back.Protocol != setting || back.Protocol == s.Trial.Protocol {
		return false
	}
	s.Restarts = append(s.Restarts, now) // made or not, it counts
	s.Trial = back
	r.settled(s, d, now, Outcome{Setting: setting, Transport: s.Transport})
	return true
}

// byHand makes what a person has set the user's own setting.
func (r Rules) byHand(s *State, d *Decision, now time.Time, setting evidence.Protocol) {
	if s.unexplained(d, now, setting) {
		return
	}
	s.become(setting)
	s.Failback = nil
	s.giveWay(d, now, r.HoldBase, Step{Ends: s.Trial != nil || s.Incident != nil})
}

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
	d.tell(now, Step{Kind: StepUnsure, Protocol: setting, Other: s.Own})
	return true
}

// confirmed is a person's word that what is set is theirs.
func (s *State) confirmed(d *Decision, now time.Time) {
	if s.Doubt != Unsure || !s.OwnKnown {
		return
	}
	s.become(s.Set)
	d.tell(now, Step{Kind: StepResumed, Protocol: s.Set, Why: WhyConfirmed})
}
