package tunnel_test

import (
	"testing"
	"time"

	"tunnelmedic/internal/tunnel"
)

func TestHowARunEnded(t *testing.T) {
	const began, stood, told = "2026-11-21T12:00:05Z INF Initial protocol quic\n", "2026-11-21T12:00:06Z INF Registered tunnel connection connIndex=0 protocol=quic\n",
		"2026-11-21T12:00:40Z INF Initiating graceful shutdown due to signal terminated ...\n"
	const before, signal = "2026-11-21T11:00:00Z INF Initial protocol quic\n", " INF Initiating graceful shutdown due to signal terminated ...\n"
	const earlier = before + "2026-11-21T12:00:00Z" + signal
	for name, c := range map[string]struct {
		log  string
		want tunnel.Ending
	}{
		"nothing is there":                      {"", tunnel.EndNotKnown},
		"it runs":                               {began + stood, tunnel.EndNotKnown},
		"it was told to end":                    {began + stood + told, tunnel.EndedBySignal},
		"so was the one before, by us":          {earlier, tunnel.NeverBegan},
		"the one before was, too late for us":   {before + "2026-11-21T12:00:31Z" + signal, tunnel.EndedBySignal},
		"the one before was, late, but by us":   {before + "2026-11-21T12:00:30Z" + signal, tunnel.NeverBegan},
		"the next one had hardly begun":         {earlier + "[12:00:03] INFO: Using Cloudflare Remote Management Tunnel\n", tunnel.HardlyBegan},
		"it had begun, and cloudflared with it": {"[11:59:59] INFO: Using Cloudflare Remote Management Tunnel\n" + before, tunnel.EndNotKnown},
		"both are there":                        {earlier + began + stood + told, tunnel.EndedBySignal},
		"the start script gave up":              {"[12:00:03] INFO: Creating DNS entry ha.example.com...\n[12:00:04] FATAL: Failed to create DNS entry ha.example.com.\n", tunnel.EndedByError},
		"cloudflared could not start":           {began + "2026-11-21T12:00:05Z ERR Couldn't start tunnel error=\"no\"\n", tunnel.EndedByError},
		"an error once, and it stood again":     {began + "2026-11-21T12:00:06Z ERR Something new\n" + stood, tunnel.EndNotKnown},
		"told to end, and complaining of it":    {began + told + "2026-11-21T12:00:41Z ERR Something new\n", tunnel.EndedBySignal},
		"an error, where an end would not show": {"2026-11-21T12:00:41Z ERR Something new\n", tunnel.EndNotKnown},
	} {
		if got := tunnel.EndingOf(c.log, noon, noon.Add(30*time.Second)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
