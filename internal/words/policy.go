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
