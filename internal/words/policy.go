package words

import (
	"fmt"

	"tunnelmedic/internal/policy"
)

// State is the key of a state's name.
func State(p policy.Phase) Key { return Key(fmt.Sprintf("state.%s", p)) }

// Gate says which gate is closed, as a part of a sentence.
func (l *Lang) Gate(g policy.Gate) string { return l.Say(gateKey(g)) }

func gateKey(g policy.Gate) Key { return Key("gate." + g.String()) }

// Gates are the closed ones, in a row.
func Gates(list []policy.Gate) List {
	said := make(List, len(list))
	for i, g := range list {
		said[i] = Text{Key: gateKey(g)}
	}
	return said
}

// GateAdvice is what a person can do about a closed gate, "" where there is nothing to do
// but to wait.
func (l *Lang) GateAdvice(g policy.Gate) string {
	if key := gateKey(g) + ".advice"; l.has(key) {
		return l.Say(key)
	}
	return ""
}

// Refused says why something that a person asked for is not done.
func Refused(r policy.Refusal) Text {
	return Text{Key("refused." + r.Because.String()), With{"protocol": r.Protocol, "gates": Gates(r.Gates), "cause": r.Cause}}
}

// Question is what a person is asked, in the mode ask. setting is the protocol that is set.
func Question(q policy.Question, setting string) Text {
	key := map[policy.Purpose]Key{policy.Trial: "question.trial", policy.Failback: "question.failback"}[q.Purpose]
	if key == "" || q.Protocol.String() == setting { // but a restart
		key = "question.revive"
	}
	return Text{key, With{"protocol": q.Protocol, "other": setting}}
}

// Standing says until when a question stands, or what becomes of the yes to it.
func Standing(q policy.Question, until Moment) Text {
	switch {
	case q.Yes && q.Purpose == policy.Failback:
		return Of("notify.ask.agreed-night")
	case q.Yes:
		return Of("notify.ask.agreed")
	}
	return Of("notify.ask.until", With{"until": until})
}
