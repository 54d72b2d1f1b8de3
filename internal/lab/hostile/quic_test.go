package hostile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// TestQUICIsTriedOnlyWhereItsHandshakeStands: a home on http2 loses some of its
// WebSockets, and whether QUIC is worth a restart hangs on what the network does to it.
// A network that lets UDP pass and rejects the handshake is one where it is not.
func TestQUICIsTriedOnlyWhereItsHandshakeStands(t *testing.T) {
	t.Parallel()
	own := []string{"--protocol=http2"}
	for n, c := range []struct {
		name    string
		network lab.Faults
		tried   bool
	}{
		{"rejected at TLS level", lab.Faults{QUIC: lab.QUICRejected}, false},
		{"open", lab.Faults{}, true},
		{"a firewall inspects", lab.Faults{QUIC: lab.QUICInspected}, false},
		{"UDP is blocked", lab.Faults{UDPBlocked: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n > 1 {
				long(t)
			}
			t.Parallel()
			h := build(t, lab.Options{RunParameters: own}, map[string]string{"TUNNELMEDIC_PROTOCOLS": "auto,quic,http2"})
			h.live()
			h.until("health", func() bool { return h.phase(policy.Healthy) })
			ill := c.network
			ill.Upgrade = lab.Stripped(0.4, evidence.OverHTTP2).Upgrade
			h.w.SetFaults(ill)
			if c.tried {
				h.until("health over QUIC", func() bool { return h.w.Connector.Transport() == evidence.OverQUIC && h.quiet(policy.Healthy) })
				return
			}
			h.until("the gate", func() bool {
				return h.phase(policy.Holding) && strings.Contains(h.log.String(), words.English().Text(words.Gate(policy.GateQUIC)))
			})
			if h.comes(2*time.Second, func() bool {
				return h.w.Supervisor.Restarts() > 0 || !slices.Equal(h.w.Supervisor.RunParameters(), own)
			}) {
				t.Errorf("restarted %d times, with %v", h.w.Supervisor.Restarts(), h.w.Supervisor.RunParameters())
			}
		})
	}
}
