package policy

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
)

// Question is an act that waits for a person's yes, in the mode ask. Every act that takes a running tunnel away does: a
// trial, a restart, the return to the user's own setting. Putting back what is unproven never does, nor does the start
// of an app that does not run.
type Question struct {
	ID       string            `json:"id"`
	Purpose  Purpose           `json:"purpose"`
	Protocol evidence.Protocol `json:"protocol"`
	Why      Why               `json:"why,omitempty"` // of a restart
	Asked    time.Time         `json:"asked"`
	Until    time.Time         `json:"until"`         // the answer counts; once it is yes, what was agreed to may be done
	Yes      bool              `json:"yes,omitempty"` // somebody has agreed, and it is about to be done
}

// waits says whether a person is waited for who could end what is wrong now.
func (p Plan) waits() bool { return p.Question != nil && p.Question.Purpose != Failback }

// agreed says whether a person has said yes to an act.
func (p Plan) agreed(to Purpose) bool {
	return p.Question != nil && p.Question.Yes && p.Question.Purpose == to
}

// standing is how long a question stands, and how long a yes counts: half an hour; about the night, until the night is
// over.
func (r Rules) standing(p Purpose) time.Duration {
	if p == Failback && r.Failback >= time.Hour {
		return day
	}
	return r.HoldBase
}

// Waking hours, in which people are asked about what can wait.
const awakeFrom, awakeTo = 9, 21

func (r Rules) awake(now time.Time) bool {
	h := r.local(now).Hour()
	return r.Failback < time.Hour || awakeFrom <= h && h < awakeTo
}

// morning is when the next quiet hours end, until which a yes to the return counts.
func (r Rules) morning(now time.Time) time.Time {
	t := r.local(now)
	end := time.Date(t.Year(), t.Month(), t.Day(), quietTo, 0, 0, 0, t.Location())
	if !end.After(t) {
		end = end.AddDate(0, 0, 1)
	}
	if r.Failback < time.Hour {
		return now.Add(r.standing(Failback))
	}
	return end
}

// may says whether an act may be done now, and notes what keeps it from being done. Where that is nothing but a yes
// that nobody has been asked for, it asks: what could not be done anyway, nobody is bothered with.
func (r Rules) may(a act, s *State, d *Decision, now time.Time, in Sight, q Question) bool {
	d.Closed = r.gates(a, s, now, in)
	only := slices.Equal(d.Closed, []Gate{GateConsent})
	if old := s.Question; only && old != nil && old.Purpose != q.Purpose { // what is wrong now goes first
		s.drop(d, now, StepWithdrawn, NoReason)
	}
	if only && s.Question == nil {
		q.ID, q.Asked = now.UTC().Format("20060102T150405.000Z"), now
		if q.Until.IsZero() {
			q.Until = r.local(now.Add(r.standing(q.Purpose)))
		}
		s.Question = copied(&q)
		d.tell(now, q.step(StepAsked, s.Set, q.Until))
	}
	return len(d.Closed) == 0
}

func (q Question) step(k StepKind, set evidence.Protocol, until time.Time) Step {
	return Step{Kind: k, Protocol: q.Protocol, Purpose: q.Purpose, Other: set, Until: until}
}

// Answer takes a person's answer. The first yes counts until what it agrees to has begun; a no counts after a yes, too:
// two people who do not agree leave the tunnel as it is. An error is a Refusal.
func (r Rules) Answer(s State, now time.Time, id string, yes bool) (State, Decision, error) {
	s = s.clone()
	var d Decision
	var refused error
	switch q := s.Question; {
	case q == nil || q.ID != id || !now.Before(q.Until):
		refused = Refusal{Because: NotAsked}
	case yes && q.Yes:
		refused = Refusal{Because: Answered}
	case yes:
		step := q.step(StepAnswered, s.Set, time.Time{})
		step.Why = WhyYes
		d.tell(now, step)
		q.Yes = true
		if q.Purpose != Failback {
			q.Until = r.local(now.Add(r.standing(q.Purpose)))
		}
	default:
		r.declined(&s, now, holdSteps*r.HoldBase)
		s.drop(&d, now, StepAnswered, WhyNo)
	}
	r.finish(&s, &d, now, Sight{})
	if refused == nil && yes {
		d.Next = min(d.Next, r.Burst) // it is done at the next look that still calls for it
	}
	return s, d, refused
}

// drop ends the question.
func (s *State) drop(d *Decision, now time.Time, k StepKind, why Why) {
	if q := s.Question; q != nil {
		step := q.step(k, s.Set, time.Time{})
		if step.Why = why; q.Purpose != Failback {
			step.Until = s.HoldUntil
		}
		d.tell(now, step)
		s.Question = nil
	}
}

// declined sees to it that the same is not asked again soon.
func (r Rules) declined(s *State, now time.Time, wait time.Duration) {
	if s.Question.Purpose == Failback {
		if f := s.Failback; f != nil {
			f.Due = now.Add(cmp.Or(f.Wait, day))
		}
		return
	}
	s.HoldUntil = later(s.HoldUntil, r.local(now.Add(wait)))
	s.HoldLevel++
}

// overdue ends a question whose time is over.
func (r Rules) overdue(s *State, d *Decision, now time.Time) {
	q := s.Question
	if q == nil || now.Before(q.Until) {
		return
	}
	why := NoReason
	if q.Yes {
		why = WhyUndone
	}
	r.declined(s, now, min(r.HoldBase<<min(s.HoldLevel, 10), holdSteps*r.HoldBase))
	s.drop(d, now, StepExpired, why)
}

// withdraw ends a question that has no reason any more.
func (r Rules) withdraw(s *State, d *Decision, now time.Time, in Sight) {
	if s.Question != nil && (!r.Ask || !r.Heal || now.Before(s.PausedUntil) || r.moot(s, *s.Question, in)) {
		s.drop(d, now, StepWithdrawn, NoReason)
	}
}

// moot says whether what is asked about would not be done any more. A moment in which nothing can be seen does not make it so.
func (r Rules) moot(s *State, q Question, in Sight) bool {
	//exhaustive:ignore
	switch q.Purpose {
	case Trial:
		return s.Incident == nil || q.Protocol == s.Set && !s.QUICShut || !r.allows(q.Protocol)
	case Failback:
		return s.Failback == nil || s.Incident != nil || q.Protocol != s.Own || s.Set == s.Own
	}
	a, _ := s.revival(in)
	return q.Protocol != s.Set || a != restarting && in.Blind == ""
}

// stillAgreed keeps a yes to what could not be done now through no fault of anybody's: nobody is asked twice about it.
func (r Rules) stillAgreed(s *State, now time.Time, p Purpose, protocol evidence.Protocol) {
	if r.Ask {
		s.Question = &Question{ID: now.UTC().Format("20060102T150405.000Z"), Purpose: p, Protocol: protocol, Asked: now, Until: now.Add(r.standing(p)), Yes: true}
	}
}
