package words

import (
	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
)

// Step says what happened, in a sentence or two. What is in words already stays as it is.
func (l *Lang) Step(s policy.Step) string {
	if s.Text != "" {
		return plain.Sentence(s.Text)
	}
	with := With{"protocol": s.Protocol, "other": s.Other, "cause": s.Cause, "result": result(s), "over": over(s.Transport),
		"lost": s.Seen.Failures, "passed": s.Seen.Probes - s.Seen.Failures, "checks": checks(s.Seen), "lostbefore": s.Before.Failures, "earlier": checks(s.Before),
		"until": Moment{At: s.Until, How: HourAndMinute}, "span": s.Span, "app": s.App, "instead": s.Instead}
	said := l.Say(stepKey(s), with)
	if s.Ends {
		said += " " + l.Say("step.ends")
	}
	return said
}

// Steps gives the story with each step in words, for readers of the API.
func (l *Lang) Steps(list []policy.Step) []policy.Step {
	said := make([]policy.Step, len(list))
	for i, s := range list {
		s.Text = l.Step(s)
		said[i] = s
	}
	return said
}

func checks(t detect.Tally) Count { return Count{t.Probes, "count.checks"} }

func over(t evidence.Transport) Text {
	if t == evidence.NoTransport {
		return Text{Key: "transport.unknown"}
	}
	return Text{"transport.over", With{"transport": t}}
}

// result is how a change ended, with what was seen in it.
func result(s policy.Step) Text {
	r := Result(s.Result)
	if s.Kind == policy.StepRefused && s.Seen.Probes > 0 {
		return Text{"result.seen", With{"result": r, "lost": s.Seen.Failures, "checks": checks(s.Seen)}}
	}
	return r
}

// stepKey is put together from what a step is, and why; what it belongs to is in it only
// where there is a sentence of its own for that.
func stepKey(s policy.Step) Key {
	purpose := s.Purpose
	switch {
	case purpose == policy.Trial && s.Protocol == s.Other: // of the same protocol, it was but a restart
		purpose = policy.Revive
	case s.Kind == policy.StepRefused && (purpose == policy.Restore || purpose == policy.Return): // a way back like that
		purpose = policy.HandBack
	}
	key := "step." + named(s.Kind)
	if s.Why != policy.NoReason {
		key += "." + named(s.Why)
	}
	for _, key := range []Key{key + "." + named(purpose), key} {
		if has(key) {
			return key
		}
	}
	return "" // what no version tells of
}
