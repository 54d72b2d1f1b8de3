package policy

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/evidence"
)

// Gate is a condition that must hold before the tunnel is touched. Closed, it is
// named in the log and on the page.
type Gate uint8

// The gates.
const (
	NoGate         Gate = iota
	GateMode            // the mode is observe
	GatePause           // paused by hand
	GateHold            // waiting after an earlier treatment
	GateCloudflare      // the probe did not come through Cloudflare
	GateDirect          // Home Assistant itself was not reached directly
	GateInternet        // the internet is down
	GateUptime          // cloudflared has not run long enough
	GateConnector       // cloudflared does not say how it is
	GateStart           // Cloudflare's API does not answer, and Cloudflared cannot start without it
	GateSetting         // the app's options cannot be read
	GateSecret          // the options hold a !secret, which writing them back could reveal
	GateSupervisor      // Supervisor is away or busy with the app
	GateEvidence        // a restart needs more proof than an alarm; it is being gathered
	GateBudget          // the restarts of the day are used up
	GateCandidates      // every allowed protocol was tried
	GateQUIC            // QUIC, the other way, does not get through this network to Cloudflare
	GateMemory          // whether the present protocol is the user's own is not known any more
	GateDisk            // nothing can be kept on the disk
	GateConsent         // the mode is ask, and nobody has said yes
)

var gateNames = []string{"", "mode", "pause", "hold", "cloudflare", "direct", "internet", "uptime", "connector", "start", "setting", "secret", "supervisor",
	"evidence", "budget", "candidates", "quic", "memory", "disk", "consent"}

func (g Gate) String() string { return nameOf(gateNames, g) }

// MarshalText writes the gate's name.
func (g Gate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads it.
func (g *Gate) UnmarshalText(b []byte) error { return parse(gateNames, "gate", b, g) }

// act is a kind of act upon the tunnel, a column of the table of gates. The way back
// after a trial has none: it is never kept from the tunnel.
type act uint8

const (
	trying      act = 1 << iota // another protocol, in an incident
	failingBack                 // the user's own setting again, after a cure
	byWish                      // what a person asks for
	restarting                  // the same protocol again: the tunnel hangs
	starting                    // of an app that ended with an error
	raising                     // of an app that does not run by a restart of ours

	changing = trying | failingBack | byWish // options are written
	cutting  = changing | restarting         // a tunnel that runs is taken away for some seconds
)

type gateRow struct {
	gate   Gate
	before act
	open   func(r *Rules, s *State, now time.Time, in *Sight) bool
}

// gateTable is the one table of gates: which acts each stands before, and when it is
// open. No gate stands before an act which a cause calls for whose own signature
// would close it: a tunnel without a connection is restarted all the same, and one
// that does not run cuts nobody off by its start, whatever the budget.
var gateTable = []gateRow{
	{GateMode, cutting | starting, func(r *Rules, _ *State, _ time.Time, _ *Sight) bool { return r.Heal }},
	{GatePause, cutting&^byWish | starting, func(_ *Rules, s *State, now time.Time, _ *Sight) bool { return !now.Before(s.PausedUntil) }},
	{GateHold, trying | failingBack | restarting, func(_ *Rules, s *State, now time.Time, _ *Sight) bool { return !now.Before(s.HoldUntil) }},
	{GateCloudflare, trying | failingBack, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return in.ThroughCloudflare }},
	{GateDirect, cutting, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return in.DirectWorks }},
	// A cf-ray proves more than Supervisor's word, which rests on one address of its own.
	{GateInternet, cutting, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool {
		return in.Internet != evidence.InternetDown || in.ThroughCloudflare
	}},
	{GateConnector, changing &^ byWish, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return in.Running > 0 }},
	{GateUptime, cutting &^ byWish, func(r *Rules, _ *State, _ time.Time, in *Sight) bool {
		return in.Running == 0 || in.Running >= r.MinUptime
	}},
	{GateSetting, cutting | starting | raising, func(_ *Rules, s *State, _ time.Time, in *Sight) bool { return in.SettingKnown && s.OwnKnown }},
	{GateSecret, changing, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return !in.SecretAtRisk }},
	{GateSupervisor, cutting, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return in.SupervisorFree }},
	// What cannot be noted is not begun; a start cuts nobody off.
	{GateDisk, cutting, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return !in.Unkept }},
	{GateMemory, trying | failingBack, func(_ *Rules, s *State, _ time.Time, _ *Sight) bool { return s.Doubt != Unsure }},
	{GateStart, cutting | starting | raising, func(_ *Rules, _ *State, _ time.Time, in *Sight) bool { return in.Startable != evidence.Off }},
	{GateEvidence, trying, func(r *Rules, s *State, _ time.Time, _ *Sight) bool { return s.Incident == nil || r.proven(s) }},
	// One for the trial, one for the way back.
	{GateBudget, changing, func(r *Rules, s *State, now time.Time, _ *Sight) bool { return s.Spent(now)+2 <= r.Budget }},
	{GateBudget, restarting, func(r *Rules, s *State, now time.Time, _ *Sight) bool { return s.Spent(now)+1 <= r.Budget }},
	{GateCandidates, trying, func(r *Rules, s *State, _ time.Time, _ *Sight) bool {
		return s.QUICShut && len(s.Incident.Tried) == 0 || len(r.candidates(s)) > 0
	}},
	{GateQUIC, trying, func(r *Rules, s *State, _ time.Time, _ *Sight) bool {
		return !s.QUICShut || len(s.Incident.Tried) > 0 || len(r.candidates(s)) > 0
	}},
	{GateQUIC, failingBack, func(_ *Rules, s *State, _ time.Time, in *Sight) bool {
		return s.Own.Effective() == evidence.HTTP2 || in.QUIC != evidence.Off
	}},
	// What cuts the household off waits for a yes. A start cuts nobody off; and what a person asks for needs no second word.
	{GateConsent, trying, func(r *Rules, s *State, _ time.Time, _ *Sight) bool { return !r.Ask || s.agreed(Trial) }},
	{GateConsent, failingBack, func(r *Rules, s *State, _ time.Time, _ *Sight) bool { return !r.Ask || s.agreed(Failback) }},
	{GateConsent, restarting, func(r *Rules, s *State, _ time.Time, _ *Sight) bool { return !r.Ask || s.agreed(Revive) }},
}

// gates lists what keeps the program from an act now.
func (r Rules) gates(a act, s *State, now time.Time, in Sight) []Gate {
	var closed []Gate
	for i := range gateTable {
		g := &gateTable[i]
		if g.before&a != 0 && !g.open(&r, s, now, &in) {
			closed = append(closed, g.gate)
		}
	}
	return closed
}

// candidates lists what is worth a restart in this incident, best expected first:
// what has helped in this home, then their own, then what falls back on its own where
// QUIC cannot pass.
func (r Rules) candidates(s *State) []evidence.Protocol {
	inc := s.Incident
	if inc == nil {
		return nil
	}
	list, last := r.split(s)
	if len(list) == 0 && inc.share() == 1 {
		list = last
	}
	slices.SortStableFunc(list, func(a, b evidence.Protocol) int {
		return cmp.Compare(s.cured(inc.Alarm, b), s.cured(inc.Alarm, a))
	})
	return list
}

// split parts what may be tried into what may well help and what is but a gamble,
// worth it only where nothing gets through anyway. It is the transport that matters:
// a protocol that would use one on which the fault was seen is but a new start, which
// one is enough of; and one that needs QUIC where that seems to be blocked may take
// the tunnel down.
func (r Rules) split(s *State) (good, gambles []evidence.Protocol) {
	i := s.Incident
	if s.QUICShut && s.Set.Effective() == evidence.HTTP2 && !i.tried(evidence.HTTP2) {
		gambles = append(gambles, s.Set) // a new start takes no detour over QUIC
	}
	// The user's own first: of two that use the same transport, it need not go back.
	for n, p := range [...]evidence.Protocol{s.Own, evidence.Auto, evidence.HTTP2, evidence.QUIC} {
		switch {
		case n > 0 && p == s.Own.Effective() || !r.untried(s, p) || i.expected(p) == evidence.NoTransport:
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
func (r Rules) untried(s *State, p evidence.Protocol) bool {
	e := p.Effective()
	return e != s.Set.Effective() && e != s.Incident.Setting.Effective() && r.allows(p) && !s.Incident.tried(e)
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

// nothingPasses is how many failures in a row show that nothing gets through, so that
// a restart in vain takes nothing from anybody.
const nothingPasses = 30

// proven says whether the fault is certain enough for what would be tried. What was told of is proof at any time;
// whatever else fails may be a hiccup of some seconds, however many looks fall into it.
func (r Rules) proven(s *State) bool {
	i := s.Incident
	t := i.struck()
	if t.Probes < nothingPasses {
		if c := r.candidates(s); len(c) > 0 && s.gamble(c[0]) {
			return false
		}
	}
	told := detect.Tally{Failures: t.Explicit, Explicit: t.Explicit, Probes: t.Probes}
	return s.rare(told) || i.LastBad.Sub(i.Onset) >= 5*r.Burst && s.rare(t)
}

// tried says whether a protocol has had its chance. One that was refused gets a
// second if what was seen since, under the setting that went back, shows that the
// refusal was wrong: a few probes can mislead.
func (i *Incident) tried(p evidence.Protocol) bool {
	n, wrong, failed := 0, false, 0
	for _, a := range i.Tried {
		switch {
		case a.Protocol.Effective() != p:
		case a.unable() && a.Holds == i.Holds:
			return true
		case a.unable():
			failed++
		case a.Fair:
			n, wrong = n+1, i.misjudged(a)
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
