package lab

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// The edge's UDP port and the connector agree: what a handshake of our own shows of a
// network is what cloudflared meets in it.
func TestTheNetworkTreatsAHandshakeAsItTreatsTheConnector(t *testing.T) {
	type network struct {
		faults  Faults
		stage   evidence.Stage
		trouble evidence.Trouble
		passes  evidence.Switch
		says    string // the connector
	}
	networks := map[string]network{
		"open":         {Faults{}, evidence.Secured, evidence.NoTrouble, evidence.On, "protocol=quic"},
		"no UDP":       {Faults{UDPBlocked: true}, evidence.Asked, evidence.TimedOut, evidence.Off, "no recent network activity"},
		"no internet":  {Faults{InternetDown: true}, evidence.Asked, evidence.TimedOut, evidence.Off, "edge discovery"},
		"rejected":     {Faults{QUIC: QUICRejected}, evidence.Connected, evidence.TLSFailed, evidence.Off, "CRYPTO_ERROR 0x178 (remote): tls: no application protocol"},
		"inspected":    {Faults{QUIC: QUICInspected}, evidence.Connected, evidence.BadCertificate, evidence.Off, "certificate signed by unknown authority"},
		"HTTP/2 alone": {Faults{TCPBlocked: true}, evidence.Secured, evidence.NoTrouble, evidence.On, "protocol=quic"},
	}
	looks, acted, worlds := map[string]evidence.Look{}, map[string]evidence.Look{}, map[string]*World{}
	var mu sync.Mutex // guards looks and acted
	var wg sync.WaitGroup
	for name, n := range networks {
		w := start(t, Options{RunParameters: []string{"--protocol=quic"}, Faults: n.faults})
		roots, err := probe.LoadRoots(w.Edge.caFile)
		if err != nil {
			t.Fatal(err)
		}
		worlds[name] = w
		wg.Go(func() { // as it is acted in a world in memory
			l := w.Edge.AskQUIC(t.Context(), netip.MustParseAddrPort("127.0.0.1:7844"))
			mu.Lock()
			defer mu.Unlock()
			acted[name] = l
		})
		wg.Go(func() {
			l := probe.Edge{Roots: roots}.QUIC(t.Context(), netip.MustParseAddrPort(w.Edge.quic.socket.LocalAddr().String()))
			mu.Lock()
			defer mu.Unlock()
			looks[name] = l
		})
	}
	wg.Wait()
	for name, n := range networks {
		l, w := looks[name], worlds[name]
		if l.Stage != n.stage || l.Trouble != n.trouble || l.QUICPasses() != n.passes {
			t.Errorf("%s: passes %v, %+v", name, l.QUICPasses(), l)
		}
		if a := acted[name]; a.Stage != l.Stage || a.Trouble != l.Trouble {
			t.Errorf("%s: acted as %+v, and it is %+v", name, a, l)
		}
		if (w.Connector.Connections() > 0) != (n.passes == evidence.On) || !strings.Contains(w.Supervisor.Log(DefaultSlug), n.says) {
			t.Errorf("%s: %d connections, and the connector says\n%s", name, w.Connector.Connections(), w.Supervisor.Log(DefaultSlug))
		}
	}
}
