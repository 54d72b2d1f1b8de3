package house_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

// networks is what a network can make of QUIC, and whether cloudflared gets through.
// (That a real handshake finds the same: see the tests of packages lab and probe.)
var networks = []struct {
	name   string
	faults lab.Faults
	passes evidence.Switch
}{
	{"open", lab.Faults{}, evidence.On},
	{"UDP is blocked", lab.Faults{UDPBlocked: true}, evidence.Off},
	{"rejected at TLS level", lab.Faults{QUIC: lab.QUICRejected}, evidence.Off},
	{"a firewall answers in the edge's place", lab.Faults{QUIC: lab.QUICInspected}, evidence.Off},
}

// edges stands for wherever the one edge of the world is asked.
var edges = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:7844")}

// taste leaves most networks to -long.
func taste(t *testing.T, f lab.Faults) {
	t.Helper()
	if !*house.Long && f.QUIC != lab.QUICRejected && !reflect.ValueOf(f).IsZero() {
		t.Skip("with -long")
	}
}

// TestAHomeOnHTTP2ChangesToQUICOnlyWhereItGetsThrough: some WebSockets are lost, most
// are not, so a tunnel that cannot connect would be the worse fault.
func TestAHomeOnHTTP2ChangesToQUICOnlyWhereItGetsThrough(t *testing.T) {
	house.Lasting(t)
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			taste(t, n.faults)
			house.Run(t, onHTTP2, map[string]string{"TUNNELMEDIC_PROTOCOLS": "auto,quic,http2"}, func(h *house.House) {
				if l := h.World.Edge.AskQUIC(h.Context(), edges...); l.QUICPasses() != evidence.On {
					h.Fatalf("%+v", l)
				}
				h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
				ill := n.faults
				ill.Upgrade = lab.Stripped(0.4, http2).Upgrade
				h.World.SetFaults(ill)
				if l := h.World.Edge.AskQUIC(h.Context(), edges...); l.QUICPasses() != n.passes {
					h.Fatalf("passes %v, not %v: %+v", l.QUICPasses(), n.passes, l)
				}
				if n.passes == evidence.On {
					h.Wait("the cure over QUIC", 30*time.Minute, func() bool { return h.World.Connector.Transport() == quic && h.Status().State == policy.Healthy })
					return
				}
				h.Wait("nothing can be tried", 30*time.Minute, func() bool { return h.Status().State == policy.Holding })
				h.Holds("the tunnel is left alone", 2*time.Hour, func() bool { return h.World.Supervisor.Restarts() == 0 && h.World.Connector.Transport() == http2 })
				h.World.SetFaults(lab.Faults{Upgrade: ill.Upgrade})
				h.Wait("the network lets QUIC through, and it cures", 12*time.Hour, func() bool { return h.World.Connector.Transport() == quic && h.Status().State == policy.Healthy })
			})
		})
	}
}

// TestTheOwnSettingComesBackOnlyWhereQUICGetsThrough: http2 was the cure, and now the
// network keeps QUIC out. To try the own setting would take the tunnel down.
func TestTheOwnSettingComesBackOnlyWhereQUICGetsThrough(t *testing.T) {
	house.Lasting(t)
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			taste(t, n.faults)
			// It is one o'clock at night when the world begins.
			house.Run(t, onQUIC, map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": "1h"}, func(h *house.House) {
				h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().State == policy.Healthy })
				h.World.SetFaults(lab.Stripped(1, quic))
				h.Wait("the cure", 30*time.Minute, func() bool { return h.World.Connector.Transport() == http2 && h.Status().State == policy.Healthy })
				h.World.SetFaults(n.faults)
				if n.passes != evidence.On {
					h.Holds("the cure stays, though it is time", 150*time.Minute, func() bool { return h.World.Supervisor.Restarts() == 1 && h.World.Connector.Connections() == 4 })
					h.World.SetFaults(lab.Faults{})
				}
				h.Wait("the own setting is back in the same night", 4*time.Hour, func() bool { return h.World.Connector.Transport() == quic && h.Status().Protocol.Setting == "quic" })
			})
		})
	}
}
