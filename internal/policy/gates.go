package policy

import (
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
	GateBudget     Gate = "the restarts of the day are used up"
	GateCandidates Gate = "every allowed protocol was tried"
)

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

// candidates lists what is still to be tried in this incident, best expected
// first: what has helped in this home, then the other transport, then what falls
// back by itself where QUIC cannot pass.
func (r Rules) candidates(s *State) []evidence.Protocol {
	inc := s.Incident
	if inc == nil {
		return nil
	}
	var list []evidence.Protocol
	for _, p := range []evidence.Protocol{evidence.Auto, evidence.HTTP2, evidence.QUIC} {
		allowed := slices.ContainsFunc(r.Allowed, func(a evidence.Protocol) bool { return a.Effective() == p })
		tried := slices.ContainsFunc(inc.Tried, func(a Attempt) bool { return a.Fair && a.Protocol.Effective() == p })
		if allowed && !tried && p != s.Set.Effective() && p != inc.Setting.Effective() {
			list = append(list, p)
		}
	}
	rank := func(p evidence.Protocol) float64 {
		v := s.cured(inc.Alarm, p)
		if to := expected(p, inc); to != evidence.NoTransport && to != inc.Transport {
			v += 0.5
		}
		if p == evidence.QUIC {
			v -= 0.25 // it never falls back
			if inc.Setting.Effective() == evidence.Auto && inc.Transport == evidence.OverHTTP2 {
				v -= 0.5 // auto has fallen back here: QUIC did not get through at all
			}
		}
		return v
	}
	slices.SortStableFunc(list, func(a, b evidence.Protocol) int {
		switch ra, rb := rank(a), rank(b); {
		case ra > rb:
			return -1
		case ra < rb:
			return 1
		}
		return 0
	})
	return list
}

// expected is the transport that a protocol will very likely use here.
func expected(p evidence.Protocol, inc *Incident) evidence.Transport {
	switch p.Effective() {
	case evidence.HTTP2:
		return evidence.OverHTTP2
	case evidence.QUIC, evidence.Auto:
		return evidence.OverQUIC
	}
	return evidence.NoTransport
}
