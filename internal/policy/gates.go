package policy

import (
	"tunnelmedic/internal/enum"
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

func (g Gate) String() string { return enum.Name(gateNames, g) }

// MarshalText writes the gate's name.
func (g Gate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads it.
func (g *Gate) UnmarshalText(b []byte) error { return enum.Parse(gateNames, "gate", b, g) }

// act is a kind of act upon the tunnel, a column of the table of gates. The way back
// after a trial has none: it is never kept from the tunnel.
type act uint8

const (
	trying      act = 1 << iota // another protocol, in an incident
	tryingNext                  // the next one, after one that did not help
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
	open   func(m moment) bool
}

// gateTable is the one table of gates: which acts each stands before, and when it is
// open. No gate stands before an act which a cause calls for whose own signature
// would close it: a tunnel without a connection is restarted all the same, and one
// that does not run cuts nobody off by its start, whatever the budget. What has let an
// incident's first trial pass is not asked again before the next.
var gateTable = []gateRow{
	{GateMode, cutting | starting, func(m moment) bool { return m.r.Heal }},
	{GatePause, cutting&^byWish | tryingNext | starting, func(m moment) bool { return !m.now.Before(m.s.PausedUntil) }},
	{GateHold, trying | failingBack | restarting, func(m moment) bool { return !m.now.Before(m.s.HoldUntil) }},
	{GateCloudflare, trying | failingBack, func(m moment) bool { return m.in.ThroughCloudflare }},
	{GateDirect, cutting, func(m moment) bool { return m.in.DirectWorks }},
	// A cf-ray proves more than Supervisor's word, which rests on one address of its own.
	{GateInternet, cutting, func(m moment) bool { return m.in.Internet != evidence.InternetDown || m.in.ThroughCloudflare }},
	{GateConnector, changing &^ byWish, func(m moment) bool { return m.in.Running > 0 }},
	{GateUptime, cutting &^ byWish, func(m moment) bool { return m.in.Running == 0 || m.in.Running >= m.r.MinUptime }},
	{GateSetting, cutting | starting | raising, func(m moment) bool { return m.in.SettingKnown && m.s.OwnKnown }},
	{GateSecret, changing, func(m moment) bool { return !m.in.SecretAtRisk }},
	{GateSupervisor, cutting, func(m moment) bool { return m.in.SupervisorFree }},
	// What cannot be noted is not begun; a start cuts nobody off.
	{GateDisk, cutting | tryingNext, func(m moment) bool { return !m.in.Unkept && !m.s.Unkept }},
	{GateMemory, trying | failingBack, func(m moment) bool { return m.s.Doubt != Unsure }},
	{GateStart, cutting | starting | raising, func(m moment) bool { return m.in.Startable != evidence.Off }},
	{GateEvidence, trying, func(m moment) bool { return m.s.Incident == nil || m.proven() }},
	// One for the trial, one for the way back.
	{GateBudget, changing | tryingNext, func(m moment) bool { return m.s.Spent(m.now)+2 <= m.r.Budget }},
	{GateBudget, restarting, func(m moment) bool { return m.s.Spent(m.now)+1 <= m.r.Budget }},
	{GateCandidates, trying | tryingNext, func(m moment) bool { return m.s.shutOut() || m.left() }},
	{GateQUIC, trying, func(m moment) bool { return !m.s.shutOut() || m.left() }},
	{GateQUIC, failingBack, func(m moment) bool { return m.s.Own.Effective() == evidence.HTTP2 || m.in.QUIC != evidence.Off }},
	// What cuts the household off waits for a yes. A start cuts nobody off; and what a person asks for needs no second word.
	{GateConsent, trying | tryingNext, func(m moment) bool { return !m.r.Ask || m.s.agreed(Trial) }},
	{GateConsent, failingBack, func(m moment) bool { return !m.r.Ask || m.s.agreed(Failback) }},
	{GateConsent, restarting, func(m moment) bool { return !m.r.Ask || m.s.agreed(Revive) }},
}

// gates lists what keeps the program from an act now.
func (t *turn) gates(a act) (closed []Gate) {
	for i := range gateTable {
		if g := &gateTable[i]; g.before&a != 0 && !g.open(t.moment) {
			closed = append(closed, g.gate)
		}
	}
	return closed
}
