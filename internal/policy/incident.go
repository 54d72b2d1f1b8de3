package policy

import (
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Case is the open incident and what is done about it.
type Case struct {
	Incident  *Incident `json:"incident,omitempty"` // the open one
	Trial     *OnTrial  `json:"trial,omitempty"`    // the change ordered or being proven
	HoldUntil time.Time `json:"hold_until,omitzero"`
	HoldLevel int       `json:"hold_level,omitempty"`
}

// Incident is what the policy needs to know of an open incident.
type Incident struct {
	ID           string             `json:"id"`
	Onset        time.Time          `json:"onset"`
	LastGood     time.Time          `json:"last_good,omitzero"`
	Alarm        time.Time          `json:"alarm"`
	Cause        diagnosis.Cause    `json:"cause"`
	Setting      evidence.Protocol  `json:"setting"`             // in force at the onset, or adopted since
	Transport    evidence.Transport `json:"transport,omitempty"` // in use with it
	detect.Tally                    // under that setting, until the alarm or the last trial
	Run          int                `json:"-"` // good probes in a row
	// Under that setting, since then: changes with every probe, not worth a write each time.
	Later    detect.Tally `json:"-"`
	Lasting  detect.Tally `json:"-"` // of those, since a connection that died at the alarm would have been given up
	LaterRun int          `json:"-"` // good ones at their end

	LastBad time.Time `json:"-"` // the last look that failed, since the alarm

	Tried    []Attempt `json:"tried,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
	Holds    int       `json:"holds,omitempty"`   // how often it was waited after what was tried
	PutOff   int       `json:"put_off,omitempty"` // how often a trial could not be begun
	Silent   time.Time `json:"silent,omitzero"`   // since when no look has given a verdict
}

// Attempt is a trial that has ended without a cure.
type Attempt struct {
	Protocol  evidence.Protocol  `json:"protocol"`
	Transport evidence.Transport `json:"transport,omitempty"`
	detect.Tally
	Fair   bool   `json:"fair"` // false: it could not be tried, or something else came between
	Result Result `json:"result"`
	Holds  int    `json:"holds,omitempty"` // of the incident, before it
}

// left is the result of a protocol that was in force before a better one was kept.
const left Result = "left"

// unjudged says whether the attempt has not shown that the fault is there under its
// protocol, too.
func (a Attempt) unjudged() bool { return a.Result != left && (!a.Fair || a.Failures == 0) }

// OnTrial is a change that was ordered and, once settled, is being proven.
type OnTrial struct {
	Protocol     evidence.Protocol  `json:"protocol"`
	Purpose      Purpose            `json:"purpose"`
	Since        time.Time          `json:"since"` // ordered; once settled, settled
	Settled      bool               `json:"settled,omitempty"`
	Back         evidence.Protocol  `json:"back,omitempty"` // of a trial by hand: what was there before
	Transport    evidence.Transport `json:"transport,omitempty"`
	detect.Tally `json:"-"`         // proven anew after a restart of the program
	Silent       time.Time          `json:"-"`              // since when no probe has given a verdict
	Ended        time.Time          `json:"-"`              // since when the app has not run, by an error
	Lasting      bool               `json:"-"`              // proven, but for how long it must stand
	Sent         bool               `json:"sent,omitempty"` // the setting was sent once, and may take effect late
	Unfair       bool               `json:"unfair,omitempty"`
	Retry        time.Time          `json:"retry,omitzero"`  // when to order it again; zero: it is under way
	Tries        int                `json:"tries,omitempty"` // how often it was put off
}

// total is what was seen under the setting at the onset.
func (i *Incident) total() detect.Tally { return i.Tally.Plus(i.Later) }

// settle makes the total one that is kept, before it becomes what a trial is held
// against.
func (i *Incident) settle() { i.Tally, i.Later, i.LaterRun = i.total(), detect.Tally{}, 0 }

// moveTo makes the protocol that stays the one which the incident is about: what
// comes is held against it from now on, and what was there before it becomes one that
// was tried.
func (i *Incident) moveTo(p evidence.Protocol, over evidence.Transport) {
	if p == i.Setting {
		return
	}
	left := Attempt{Protocol: i.Setting, Transport: i.Transport, Tally: i.total(), Fair: true, Result: left}
	i.Setting, i.Transport, i.Tally, i.Later, i.LaterRun, i.Run = p, over, detect.Tally{}, detect.Tally{}, 0, 0
	i.Tried = slices.DeleteFunc(i.Tried, func(a Attempt) bool {
		here := a.Protocol == p && a.Fair
		if here {
			i.Tally = i.Tally.Plus(a.Tally)
		}
		return here
	})
	i.Tried = append(i.Tried, left)
}

// struck is total up to the last failure. The good probes since then may be the
// fault's end: counted in, they would make it look the rarer the longer it is gone,
// and its end never certain.
func (i *Incident) struck() detect.Tally {
	t := i.total()
	t.Probes -= i.LaterRun
	return t
}

// share of the probes that failed under the setting at the onset.
func (i *Incident) share() float64 {
	t := i.struck()
	if t.Probes <= 0 {
		return 1
	}
	return t.Rate()
}

func (i *Incident) count(in Sight, set evidence.Protocol, lasting bool) {
	switch in.Vote {
	case diagnosis.Abstains:
		return
	case diagnosis.Works:
		i.Run++
	case diagnosis.Fails:
		i.Run = 0
	}
	if set == i.Setting {
		i.Later.Count(in.look())
		if lasting {
			i.Lasting.Count(in.look())
		}
		i.LaterRun++
		if in.Vote == diagnosis.Fails {
			i.LaterRun = 0
		}
	}
}

// ended says whether so many good probes in a row cannot be luck.
func (i *Incident) ended() bool { return detect.Over(i.Run, i.share()) }

// ending says whether it is worth to look more closely whether it has.
func (i *Incident) ending() bool { return detect.Ending(i.Run, i.share()) }

// pause is for how long connections that break again and again may stand in between: a
// log counts breaks of ten minutes (lostWindow in internal/tunnel).
const pause = 10 * time.Minute

// pausing says whether good looks, however many, may be but a pause of the fault: of
// connections that break again and again, the next break has nothing to do with them.
func (i *Incident) pausing(now time.Time) bool {
	return i.Cause == diagnosis.TunnelFlapping && now.Sub(later(i.Alarm, i.LastBad)) < pause
}

// A restart needs more than the alarm: a home that loses one handshake in a hundred at
// random sees the alarm now and then, and may not be restarted for it in ten thousand
// years. It begins some 3·10⁷ suspicions in that time, so mere noise must look like this
// less than once in e^25 = 7·10¹⁰ times. That is four failures in a row that Home
// Assistant itself told of, and six that may be losses on the way; of these, a dying
// connection explains more (see proven).
const restart = 25

// certain says whether the incident's fault is certain enough for a restart, in a
// home as noisy as this one.
func (s *State) certain() bool { return s.Noise.Certainty(s.Incident.struck()) >= restart }

// unlikely says whether what came after the alarm speaks against a loss as rare as
// any that the detector looks for.
func (s *State) unlikely() bool { return s.Incident.Run > 0 && s.Noise.Refutes(s.Incident.Later) }

// worse says whether a protocol that was tried lost clearly more than what was
// there. What an earlier incident cured counts, too.
func (s *State) worse(p evidence.Protocol) bool {
	i := s.Incident
	n := slices.IndexFunc(i.Tried, func(a Attempt) bool { return a.Protocol == p && a.Fair })
	if n < 0 {
		return false
	}
	seen := i.Tried[n].Tally
	if f := s.Failback; f != nil && p == s.Own {
		seen = seen.Plus(f.Tally)
	}
	return seen.Failures > 0 && seen.Rate() >= 1.2*i.share()
}
