package policy

import (
	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/enum"
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

func (d Doubt) String() string { return enum.Name(doubtNames, d) }

// MarshalText writes the doubt's name.
func (d Doubt) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it.
func (d *Doubt) UnmarshalText(b []byte) error { return enum.Parse(doubtNames, "doubt", b, d) }

// note keeps what a look says of the app.
func (c *Setting) note(t *turn) {
	if t.in.SettingKnown {
		c.notice(t, t.in.Setting)
	}
	if t.in.Transport != evidence.NoTransport {
		c.Transport = t.in.Transport
	}
	c.Unkept = t.in.Unkept
}

// become makes a protocol the user's own setting, and the one that is set.
func (c *Setting) become(p evidence.Protocol) { c.Own, c.Set, c.Doubt = p, p, NoDoubt }

// notice compares the stored setting with what we last saw or wrote there. A
// difference is a person's doing, and the person wins.
func (c *Setting) notice(t *turn, stored evidence.Protocol) {
	if !c.OwnKnown {
		c.Own, c.Set, c.OwnKnown = stored, stored, true
		return
	}
	woke := c.Woke
	c.Woke = false
	switch {
	case stored != c.Set && woke && c.wentBack(t, stored):
	case stored != c.Set:
		c.byHand(t, stored)
	case c.Doubt == Recalled && t.s.Trial == nil:
		c.Doubt = NoDoubt // what stands there is explained
	}
}

// wentBack says whether what is found at a start is the way back from what was being proven
// before, which a disk that took nothing could not note. A person's choice of just this, in
// just the moment when nobody watched, cannot be told from it, and it is their own or what
// was there before: nothing of theirs is lost.
func (c *Setting) wentBack(t *turn, stored evidence.Protocol) bool {
	back, any := t.s.wayBack()
	if !any || !t.s.Trial.Settled || back.Protocol != stored || back.Protocol == t.s.Trial.Protocol {
		return false
	}
	t.s.Restarts = append(t.s.Restarts, t.now) // made or not, it counts
	t.s.Trial = &OnTrial{Protocol: back.Protocol, Purpose: back.Purpose, Since: t.now}
	t.s.Trial.settled(t, Outcome{Setting: stored, Transport: c.Transport})
	return true
}

// byHand makes what a person has set the user's own setting.
func (c *Setting) byHand(t *turn, stored evidence.Protocol) {
	if c.Doubt == Recalled {
		c.unexplained(t, stored)
		return
	}
	c.become(stored)
	t.s.Failback = nil
	t.giveWay(t.r.HoldBase, Step{Ends: t.s.Trial != nil || t.s.Incident != nil})
}

// unexplained takes a setting that differs from what was last seen or written. After
// damage it need not be a person's doing.
func (c *Setting) unexplained(t *turn, stored evidence.Protocol) {
	t.s.Trial, t.s.Failback = nil, nil
	if c.Set = stored; stored == c.Own { // the way back was gone already
		c.Doubt = NoDoubt
		return
	}
	c.Doubt = Unsure
	t.s.Incident, t.s.Detector = nil, detect.Detector{}
	t.tell(Step{Kind: StepUnsure, Protocol: stored, Other: c.Own})
}

// confirmed is a person's word that what is set is theirs.
func (c *Setting) confirmed(t *turn) {
	if c.Doubt != Unsure || !c.OwnKnown {
		return
	}
	c.become(c.Set)
	t.tell(Step{Kind: StepResumed, Protocol: c.Set, Why: WhyConfirmed})
}
