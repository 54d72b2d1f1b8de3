package policy

import (
	"cmp"
	"slices"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// candidates lists what is worth a restart in this incident, best expected first:
// what has helped in this home, then their own, then what falls back on its own where
// QUIC cannot pass.
func (t *turn) candidates() []evidence.Protocol {
	s, i := t.s, t.s.Incident
	if i == nil {
		return nil
	}
	list, last := t.split()
	if len(list) == 0 && i.share() == 1 {
		list = last
	}
	slices.SortStableFunc(list, func(a, b evidence.Protocol) int { return cmp.Compare(s.cured(i.Alarm, b), s.cured(i.Alarm, a)) })
	return list
}

// split parts what may be tried into what may well help and what is but a gamble,
// worth it only where nothing gets through anyway. It is the transport that matters:
// a protocol that would use one on which the fault was seen is but a new start, which
// one is enough of; and one that needs QUIC where that seems to be blocked may take
// the tunnel down.
func (t *turn) split() (good, gambles []evidence.Protocol) {
	s, i := t.s, t.s.Incident
	if s.QUICShut && s.Set.Effective() == evidence.HTTP2 && !i.tried(evidence.HTTP2) {
		gambles = append(gambles, s.Set) // a new start takes no detour over QUIC
	}
	// The user's own first: of two that use the same transport, it need not go back.
	for n, p := range [...]evidence.Protocol{s.Own, evidence.Auto, evidence.HTTP2, evidence.QUIC} {
		switch {
		case n > 0 && p == s.Own.Effective() || !t.untried(p) || i.expected(p) == evidence.NoTransport:
		case !s.gamble(p):
			good = append(good, p)
		case s.shut(p) && p.Effective() == evidence.QUIC: // it would not connect, and never fall back
		case s.shut(p) || len(i.Tried) == 0:
			gambles = append(gambles, p)
		}
	}
	return good, gambles
}

// untried says whether a protocol is another allowed one that has not had its chance.
func (t *turn) untried(p evidence.Protocol) bool {
	i, e := t.s.Incident, p.Effective()
	return e != t.s.Set.Effective() && e != i.Setting.Effective() && t.r.allows(p) && !i.tried(e)
}

// allows says whether a protocol is among those that may be tried.
func (r Rules) allows(p evidence.Protocol) bool {
	return slices.ContainsFunc(r.Allowed, func(a evidence.Protocol) bool { return a.Effective() == p.Effective() })
}

// gamble says whether a protocol is one that very likely will not help: it would use
// a transport on which the fault was seen, or QUIC where that seems to be blocked.
func (s *State) gamble(p evidence.Protocol) bool {
	return s.Incident.failedOver(s.Incident.expected(p)) || s.shut(p)
}

// shut says whether a protocol needs QUIC where that seems to be blocked.
func (s *State) shut(p evidence.Protocol) bool {
	return s.QUICShut && s.Incident.expected(p) == evidence.OverQUIC
}

// shutOut says whether nothing was tried yet, and QUIC seems to be blocked: then that is
// why there may be nothing to try.
func (s *State) shutOut() bool { return s.QUICShut && len(s.Incident.Tried) == 0 }

// tried says whether a protocol has had its chance. One that was refused gets a
// second if what was seen since, under the setting that went back, shows that the
// refusal was wrong: a few probes can mislead.
func (i *Incident) tried(p evidence.Protocol) bool {
	n, wrong, failed := 0, false, 0
	for k := range i.Tried {
		switch a := &i.Tried[k]; {
		case a.Protocol.Effective() != p:
		case a.unable() && a.Holds == i.Holds:
			return true
		case a.unable():
			failed++
		case a.Fair:
			n, wrong = n+1, i.misjudged(*a)
		}
	}
	return n > 1 || n == 1 && !wrong || failed > 1
}

// misjudged says whether what was tried looks better than what is there now.
func (i *Incident) misjudged(a Attempt) bool {
	return detect.Better(i.over(a.Transport), i.total(), detect.Hint)
}

// over is what all trials over a transport have shown.
func (i *Incident) over(tr evidence.Transport) (t detect.Tally) {
	for _, a := range i.Tried {
		if a.Fair && a.Transport == tr {
			t = t.Plus(a.Tally)
		}
	}
	return t
}

// expected is the transport that a protocol will very likely use here; none, if it
// will very likely not connect at all.
func (i *Incident) expected(p evidence.Protocol) evidence.Transport {
	// auto falls back only where QUIC never once got through.
	blocked := i.Setting.Effective() == evidence.Auto && i.Transport == evidence.OverHTTP2 || slices.ContainsFunc(i.Tried, func(a Attempt) bool {
		return a.Protocol.Effective() == evidence.Auto && a.Transport == evidence.OverHTTP2
	})
	switch p = p.Effective(); {
	case p == evidence.HTTP2, p == evidence.Auto && blocked:
		return evidence.OverHTTP2
	case blocked:
		return evidence.NoTransport
	}
	return evidence.OverQUIC
}

// failedOver says whether the fault was seen on a transport.
func (i *Incident) failedOver(t evidence.Transport) bool {
	onset := i.Transport
	if onset == evidence.NoTransport {
		onset = i.expected(i.Setting)
	}
	return t == onset || slices.ContainsFunc(i.Tried, func(a Attempt) bool { return a.Fair && a.Transport == t && !i.misjudged(a) })
}
