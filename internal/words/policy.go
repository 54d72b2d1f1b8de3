package words

import (
	"math"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/policy"
)

// State is the name of a state.
func State(p policy.Phase) Text { return member("state.", p) }

// Gate says which gate is closed, as a part of a sentence.
func Gate(g policy.Gate) Text { return member("gate.", g) }

// Result says how a change ended.
func Result(r policy.Result) Text { return member("result.", r) }

// Gates are the closed ones, in a row.
func Gates(list []policy.Gate) List {
	said := make(List, len(list))
	for i, g := range list {
		said[i] = Gate(g)
	}
	return said
}

// GateAdvice is what a person can do about a closed gate, nothing where there is nothing to
// do but to wait.
func GateAdvice(g policy.Gate) Text {
	if key := Gate(g).Key + ".advice"; has(key) {
		return Text{Key: key}
	}
	return Text{}
}

// Refused says why something that a person asked for is not done.
func Refused(r policy.Refusal) Text {
	return Text{member("refused.", r.Because).Key, With{"protocol": r.Protocol, "gates": Gates(r.Gates), "cause": r.Cause}}
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

// Rarity says how much evidence is worth, in years of chance; nothing where that is less than
// two, and says nothing.
func Rarity(r detect.Rarity) Text {
	if r.Years < 2 {
		return Text{}
	}
	// Two digits: what is assumed is not known any better.
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(r.Years))-1))
	return Text{"page.evidence-rarity", With{"years": int(math.Floor(r.Years/unit) * unit), "share": Share(r.Silent)}}
}
