package policy

import (
	"slices"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// candidate is what is worth a restart in this incident most, if anything is: what has helped
// in this home, else their own, else what falls back on its own where QUIC cannot pass. What is
// but a gamble is worth it only where nothing gets through anyway. It is the transport that
// matters: a protocol that would use one on which the fault was seen is but a new start, which
// one is enough of; and one that needs QUIC where that seems to be blocked may take the tunnel
// down.
func (m *moment) candidate() (p evidence.Protocol, any bool) {
	i := m.s.Incident
	if i == nil {
		return p, false
	}
	best := m.best()
	if best.gamble && i.share() < 1 {
		return p, false
	}
	return best.protocol, best.any
}

func (m *moment) best() (best pick) {
	s, i := m.s, m.s.Incident
	if s.QUICShut && s.Set.Effective() == evidence.HTTP2 && !i.tried(evidence.HTTP2) {
		best.take(s, s.Set, true) // a new start takes no detour over QUIC
	}
	// The user's own first: of two that use the same transport, it need not go back.
	for n, p := range [...]evidence.Protocol{s.Own, evidence.Auto, evidence.HTTP2, evidence.QUIC} {
		switch {
		case n > 0 && p == s.Own.Effective() || !m.untried(p) || i.expected(p) == evidence.NoTransport:
		case !s.gamble(p):
			best.take(s, p, false)
		case s.shut(p) && p.Effective() == evidence.QUIC: // it would not connect, and never fall back
		case s.shut(p) || len(i.Tried) == 0:
			best.take(s, p, true)
		}
	}
	return best
}

// pick is the best of what was gone through.
type pick struct {
	any      bool
	protocol evidence.Protocol
	gamble   bool
}

// take takes another in where that is better.
func (b *pick) take(s *State, p evidence.Protocol, gamble bool) {
	alarm := s.Incident.Alarm
	if !b.any || b.gamble && !gamble || b.gamble == gamble && s.cured(alarm, p) > s.cured(alarm, b.protocol) {
		*b = pick{true, p, gamble}
	}
}

// left says whether there is any.
func (m *moment) left() bool {
	_, any := m.candidate()
	return any
}

// untried says whether a protocol is another allowed one that has not had its chance.
func (m *moment) untried(p evidence.Protocol) bool {
	i, e := m.s.Incident, p.Effective()
	return e != m.s.Set.Effective() && e != i.Setting.Effective() && m.r.allows(p) && !i.tried(e)
}

// allows says whether a protocol is among those that may be tried.
func (r *Rules) allows(p evidence.Protocol) bool {
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
	var fair *Attempt
	n, failed := 0, 0
	for k := range i.Tried {
		switch a := &i.Tried[k]; {
		case a.Protocol.Effective() != p:
		case a.unable() && a.Holds == i.Holds:
			return true
		case a.unable():
			failed++
		case a.Fair:
			n, fair = n+1, a
		}
	}
	return n > 1 || n == 1 && !i.misjudged(fair.Transport) || failed > 1
}

// misjudged says whether a transport that was tried looks better than what is there now.
func (i *Incident) misjudged(tr evidence.Transport) bool {
	return detect.Better(i.over(tr), i.total(), detect.Hint)
}

// over is what all trials over a transport have shown.
func (i *Incident) over(tr evidence.Transport) (t detect.Tally) {
	for k := range i.Tried {
		if a := &i.Tried[k]; a.Fair && a.Transport == tr {
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
	return t == onset || slices.ContainsFunc(i.Tried, func(a Attempt) bool { return a.Fair && a.Transport == t }) && !i.misjudged(t)
}
