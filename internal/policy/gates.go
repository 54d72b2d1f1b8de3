package policy

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
)

// Gate is a condition that must hold before the tunnel is touched. Closed, it is
// named in the log and on the page.
type Gate string

const (
	GateMode       Gate = "the mode is observe"
	GatePause      Gate = "paused by hand"
	GateHold       Gate = "waiting after an earlier treatment"
	GateCloudflare Gate = "the probe did not come through Cloudflare"
	GateDirect     Gate = "Home Assistant itself was not reached directly"
	GateInternet   Gate = "the internet is down"
	GateUptime     Gate = "the tunnel has not been up long enough"
	GateSetting    Gate = "the add-on's options cannot be read"
	GateSecret     Gate = "the options hold a !secret, which writing them back could reveal"
	GateSupervisor Gate = "Supervisor is away or busy with the add-on"
	GateEvidence   Gate = "a restart needs more proof than an alarm; it is being gathered"
	GateBudget     Gate = "the restarts of the day are used up"
	GateCandidates Gate = "every allowed protocol was tried"
)

// Words gives gates as texts.
func Words(gates []Gate) []string {
	list := make([]string, len(gates))
	for i, g := range gates {
		list[i] = string(g)
	}
	return list
}

// gates lists what keeps the program from acting now.
func (r Rules) gates(s *State, now time.Time, in Sight) []Gate {
	var closed []Gate
	for _, g := range []struct {
		gate Gate
		open bool
	}{
		{GateMode, r.Heal},
		{GatePause, !now.Before(s.PausedUntil)},
		{GateHold, !now.Before(s.HoldUntil)},
		{GateCloudflare, in.ThroughCloudflare},
		{GateDirect, in.DirectWorks},
		{GateInternet, in.Internet != evidence.InternetDown},
		{GateUptime, in.Uptime >= r.MinUptime},
		{GateSetting, in.SettingKnown},
		{GateSecret, !in.SecretAtRisk},
		{GateSupervisor, in.SupervisorFree},
		{GateEvidence, s.Incident == nil || s.certain()},
		// One for the trial, one for the way back.
		{GateBudget, s.spent(now)+2 <= r.Budget},
		{GateCandidates, s.Incident == nil || len(r.candidates(s)) > 0},
	} {
		if !g.open {
			closed = append(closed, g.gate)
		}
	}
	return closed
}

// candidates lists what is worth a restart in this incident, best expected first:
// what has helped in this home, then what falls back by itself where QUIC cannot
// pass. It is the transport that matters: a protocol that would use one on which
// the fault was seen is but a new start, and worth one only where no other
// transport is to be had and nothing gets through anyway.
func (r Rules) candidates(s *State) []evidence.Protocol {
	inc := s.Incident
	if inc == nil {
		return nil
	}
	var other, again []evidence.Protocol
	for _, p := range []evidence.Protocol{evidence.Auto, evidence.HTTP2, evidence.QUIC} {
		allowed := slices.ContainsFunc(r.Allowed, func(a evidence.Protocol) bool { return a.Effective() == p })
		if !allowed || inc.tried(p) || p == s.Set.Effective() || p == inc.Setting.Effective() {
			continue
		}
		if p == s.Own.Effective() {
			p = s.Own // with or without a flag, as they had it
		}
		switch to := inc.expected(p); {
		case to == evidence.NoTransport:
		case inc.failedOver(to):
			again = append(again, p)
		default:
			other = append(other, p)
		}
	}
	if len(other) == 0 && inc.share() > 0.9 && !slices.ContainsFunc(inc.Tried, func(a Attempt) bool { return a.Fair }) {
		other = again
	}
	slices.SortStableFunc(other, func(a, b evidence.Protocol) int {
		return cmp.Compare(s.cured(inc.Alarm, b), s.cured(inc.Alarm, a))
	})
	return other
}

func (i *Incident) tried(p evidence.Protocol) bool {
	return slices.ContainsFunc(i.Tried, func(a Attempt) bool { return a.Fair && a.Protocol.Effective() == p })
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
	return t == onset || slices.ContainsFunc(i.Tried, func(a Attempt) bool { return a.Fair && a.Transport == t })
}
