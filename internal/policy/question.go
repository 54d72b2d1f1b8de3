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
func (q Question) standing(r *Rules) time.Duration {
	if q.Purpose == Failback && !r.hasty() {
		return day
	}
	return r.HoldBase
}

// Waking hours, in which people are asked about what can wait.
const awakeFrom, awakeTo = 9, 21

// morning is when the next quiet hours end, until which a yes to the return counts.
func (t *turn) morning() time.Time {
	if t.r.hasty() {
		return t.now.Add(t.r.HoldBase)
	}
	at := t.r.local(t.now)
	end := time.Date(at.Year(), at.Month(), at.Day(), quietTo, 0, 0, 0, at.Location())
	if !end.After(at) {
		end = end.AddDate(0, 0, 1)
	}
	return end
}

// may says whether an act may be done now, and notes what keeps it from being done. Where that is nothing but a yes
// that nobody has been asked for, it asks: what could not be done anyway, nobody is bothered with.
func (t *turn) may(a act, q Question) bool {
	t.d.Closed = t.gates(a)
	only := slices.Equal(t.d.Closed, []Gate{GateConsent})
	if old := t.s.Question; only && old != nil && old.Purpose != q.Purpose { // what is wrong now goes first
		t.s.drop(t, StepWithdrawn, NoReason)
	}
	if only && t.s.Question == nil {
		q.ID, q.Asked = questionID(t.now), t.now
		if q.Until.IsZero() {
			q.Until = t.r.local(t.now.Add(q.standing(t.r)))
		}
		t.s.Question = copied(&q)
		t.tell(Step{Kind: StepAsked, Protocol: q.Protocol, Purpose: q.Purpose, Other: t.s.Set, Until: q.Until})
	}
	return len(t.d.Closed) == 0
}

func questionID(now time.Time) string { return now.UTC().Format("20060102T150405.000Z") }

// Answer takes a person's answer. The first yes counts until what it agrees to has begun; a no counts after a yes, too:
// two people who do not agree leave the tunnel as it is. An error is a Refusal.
func (r Rules) Answer(s State, now time.Time, id string, yes bool) (State, Decision, error) {
	t := r.on(&s, now, &Sight{})
	var refused error
	switch q := s.Question; {
	case q == nil || q.ID != id || !now.Before(q.Until):
		refused = Refusal{Because: NotAsked}
	case yes && q.Yes:
		refused = Refusal{Because: Answered}
	case yes:
		t.tell(Step{Kind: StepAnswered, Protocol: q.Protocol, Purpose: q.Purpose, Other: s.Set, Why: WhyYes})
		q.Yes = true
		if q.Purpose != Failback {
			q.Until = r.local(now.Add(q.standing(&r)))
		}
	default:
		s.declined(&t, holdSteps*r.HoldBase)
		s.drop(&t, StepAnswered, WhyNo)
	}
	d := t.decided()
	if refused == nil && yes {
		d.Next = min(d.Next, r.Burst) // it is done at the next look that still calls for it
	}
	return s, d, refused
}

// drop ends the question.
func (p *Plan) drop(t *turn, k StepKind, why Why) {
	if q := p.Question; q != nil {
		step := Step{Kind: k, Protocol: q.Protocol, Purpose: q.Purpose, Other: t.s.Set, Why: why}
		if q.Purpose != Failback {
			step.Until = t.s.HoldUntil
		}
		t.tell(step)
		p.Question = nil
	}
}

// declined sees to it that the same is not asked again soon.
func (p *Plan) declined(t *turn, wait time.Duration) {
	if p.Question.Purpose == Failback {
		if f := p.Failback; f != nil {
			f.Due = t.now.Add(cmp.Or(f.Wait, day))
		}
		return
	}
	t.s.HoldUntil = later(t.s.HoldUntil, t.r.local(t.now.Add(wait)))
	t.s.HoldLevel++
}

// overdue ends a question whose time is over.
func (p *Plan) overdue(t *turn) {
	q := p.Question
	if q == nil || t.now.Before(q.Until) {
		return
	}
	why := NoReason
	if q.Yes {
		why = WhyUndone
	}
	p.declined(t, t.r.hold(t.s.HoldLevel))
	p.drop(t, StepExpired, why)
}

// withdraw ends a question that has no reason any more.
func (p *Plan) withdraw(t *turn) {
	if q := p.Question; q != nil && (!t.r.Ask || !t.r.Heal || t.now.Before(p.PausedUntil) || q.moot(t)) {
		p.drop(t, StepWithdrawn, NoReason)
	}
}

// moot says whether what is asked about would not be done any more. A moment in which nothing can be seen does not make it so.
func (q Question) moot(t *turn) bool {
	s := t.s
	//exhaustive:ignore
	switch q.Purpose {
	case Trial:
		return s.Incident == nil || q.Protocol == s.Set && !s.QUICShut || !t.r.allows(q.Protocol)
	case Failback:
		return s.Failback == nil || s.Incident != nil || q.Protocol != s.Own || s.Set == s.Own
	}
	a, _ := s.revival(t.in)
	return q.Protocol != s.Set || a != restarting && !t.in.Blind
}

// stillAgreed keeps a yes to what could not be done now through no fault of anybody's: nobody is asked twice about it.
func (p *Plan) stillAgreed(t *turn, to Purpose, protocol evidence.Protocol) {
	if t.r.Ask {
		p.Question = &Question{ID: questionID(t.now), Purpose: to, Protocol: protocol, Asked: t.now, Yes: true}
		p.Question.Until = t.now.Add(p.Question.standing(t.r))
	}
}
