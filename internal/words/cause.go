package words

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// part gives the key of a cause's sentences of one kind, in the wording that fits what is
// known: "cause.origin-moved.advice.token", or "cause.origin-moved.advice" where there is
// none of its own.
func part(c diagnosis.Cause, kind, variant string) Key {
	key := Key("cause." + c.String() + "." + kind)
	if variant == "" {
		return key
	}
	for _, v := range []string{variant, "known"} { // where there is a variant, the values are known
		if own := key + Key("."+v); has(own) {
			return own
		}
	}
	return key
}

// Cause says what a cause means, where no more is known of it.
func (l *Lang) Cause(c diagnosis.Cause) string {
	return l.Say(part(c, "summary", ""))
}

// Summary says what a diagnosis means, in a sentence or two.
func (l *Lang) Summary(d diagnosis.Diagnosis) string {
	said := l.Say(part(d.Cause, "summary", d.Variant), particulars(d.Particulars))
	if d.Over != "" {
		said = l.Say("cause.over", With{"family": d.Over, "summary": said})
	}
	return said
}

// Situation is what the program can do about a fault, so that the advice does not
// contradict it.
type Situation struct {
	Heals bool // the mode is heal
	Phase policy.Phase
	Shut  bool // something keeps it from acting
}

// rotate is the key of what becomes of a fault that another protocol may mend.
func (s Situation) rotate() Key {
	switch {
	case !s.Heals:
		return "advice.observing"
	case s.Phase == policy.Paused:
		return "advice.paused"
	case s.Phase == policy.Holding, s.Shut:
		return "advice.held"
	}
	return "advice.fixing"
}

// Advice gives the steps that a person can take against a diagnosis, none where there is
// nothing to do. They hold in any state of the program, unless one is given.
func (l *Lang) Advice(d diagnosis.Diagnosis, now ...Situation) (steps []string) {
	if d.Remedy == diagnosis.Rotate {
		rotate := Key("advice.rotate")
		if len(now) > 0 {
			rotate = now[0].rotate()
		}
		steps = append(steps, l.Say(rotate))
	}
	return append(steps, l.List(part(d.Cause, "advice", d.Variant), particulars(d.Particulars))...)
}

// Basis says what a diagnosis is based on.
func (l *Lang) Basis(d diagnosis.Diagnosis) string {
	return l.Say(part(d.Cause, "basis", d.Basis), particulars(d.Particulars))
}

// forwarded are the keys of why Home Assistant refuses a forwarded request.
var forwarded = map[evidence.ForwardedReason]Key{
	evidence.NotForwarded: "forwarded.none", evidence.ForwardedUnset: "forwarded.unset", evidence.ForwardedDistrust: "forwarded.distrust",
	evidence.ForwardedAddress: "forwarded.address", evidence.ForwardedNoProto: "forwarded.no-proto", evidence.ForwardedProtos: "forwarded.protos",
	evidence.ForwardedNoHost: "forwarded.no-host", evidence.ForwardedTwice: "forwarded.twice",
}

func particulars(p diagnosis.Particulars) With {
	settings := map[evidence.Switch]Key{evidence.NotKnown: "settings.either", evidence.On: "settings.screen", evidence.Off: "settings.file"}[p.Screen]
	with := With{"service": p.Service, "here": p.Here, "status": p.Status, "settings": Text{Key: settings}, "reason": Text{Key: forwarded[p.Forwarded]}}
	if c := p.Closing; c != nil {
		with["brief"], with["logged"] = Count{int(c.Brief), "count.sockets"}, Count{c.Logged, "count.signins"}
		with["good"], with["since"] = Count{c.Good, "count.checks"}, hour(c.Since)
	}
	return with
}

// TurnedAway says how many were turned away while our own checks succeed.
func TurnedAway(f diagnosis.Finding) Text {
	return Text{"clients.turned-away", With{"n": int(f.Refused), "since": hour(f.Since), "good": Count{f.Good, "count.checks"}}}
}

// hour is a moment of today, in the time zone that it has.
func hour(t time.Time) Moment { return Moment{At: t, How: HourAndMinute} }

// parts are the names of what may change, by what the history calls them.
var parts = map[string]Key{
	"cloudflared": "part.cloudflared", "Cloudflared add-on": "part.app", "Home Assistant Core": "part.core", "Supervisor": "part.supervisor",
	"operating system": "part.os", "Home Assistant's port": "part.port", "Home Assistant's SSL": "part.ssl", "flags of cloudflared": "part.flags", "your own protocol": "part.protocol",
}

// Changes says what changed, in a row.
func Changes(list []diagnosis.Change) List {
	said := make(List, len(list))
	for i, c := range list {
		with := With{"part": c.Part, "was": c.Was, "now": c.Version, "span": c.Before.Round(time.Minute)}
		if key, known := parts[c.Part]; known {
			with["part"] = Text{Key: key}
		}
		switch {
		case c.Before >= 100*time.Minute:
			with["span"] = c.Before.Round(time.Hour)
			fallthrough
		case c.Before >= 2*time.Minute:
			said[i] = Text{"change.before", with}
		default:
			said[i] = Text{"change.about", with}
		}
	}
	return said
}
