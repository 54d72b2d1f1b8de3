package tunnel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// What each log of testdata/log comes to where the tunnel has no connection: the app
// runs, unless the log is of its end, the protocol is quic, the internet works, Home
// Assistant is well, and Cloudflare says 1033.
func TestWhatLogsComeTo(t *testing.T) {
	type verdict struct {
		cause  diagnosis.Cause
		remedy diagnosis.Remedy
	}
	down := verdict{diagnosis.TunnelDown, diagnosis.Wait}
	for name, want := range map[string]verdict{
		"breaks-once-2023":            down,
		"breaks-once-2026":            down,
		"breaks-again-quic":           {diagnosis.TunnelFlapping, diagnosis.Rotate},
		"breaks-again-http2":          {diagnosis.TunnelFlapping, diagnosis.Rotate},
		"never-registers-2026":        {diagnosis.TunnelFlapping, diagnosis.Rotate},
		"udp-blocked-while-connected": {diagnosis.QUICBlocked, diagnosis.Rotate},
		"rejected-at-tls-level":       {diagnosis.QUICBlocked, diagnosis.Rotate},
		"curve-preferences-2024":      down,
		"clock-wrong-quic":            down,
		"unroutable-quic":             {diagnosis.EdgeUnroutable, diagnosis.Tell},
		"unroutable-http2":            {diagnosis.EdgeUnroutable, diagnosis.Tell},
		"secret-refused-2026":         {diagnosis.ConnectorRejected, diagnosis.Tell},
		"stops-in-order":              {diagnosis.ConnectorStopped, diagnosis.Tell},
		"terse":                       down,
		"journal-colours":             down,
		"no-dates":                    down,
		"words-to-come":               down,
		"requests-of-strangers":       {diagnosis.ConnectorHung, diagnosis.Restart}, // of the tunnel it says nothing, and that for long
		"visitors-who-leave":          {diagnosis.ConnectorHung, diagnosis.Restart}, // nor this one
		"waits-for-login":             {diagnosis.WaitingForLogin, diagnosis.Tell},
		"start-dns-entry-10000":       {diagnosis.StartRefused, diagnosis.Tell},
		"start-dns-entry-refused":     {diagnosis.StartRefused, diagnosis.Tell},
		"start-api-away-route":        {diagnosis.StartRefused, diagnosis.Start},
		"start-api-away-name":         {diagnosis.StartRefused, diagnosis.Start},
		"start-name-differs":          {diagnosis.StartRefused, diagnosis.Tell},
		"start-no-edge":               {diagnosis.StartRefused, diagnosis.Start},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/log/" + name + ".log")
			if err != nil {
				t.Fatal(err)
			}
			e := lost()
			switch {
			case strings.HasPrefix(name, "start-"):
				e.AddOn.State, e.Connector = evidence.StateError, evidence.Connector{Asked: true, Trouble: evidence.Refused}
			case strings.HasPrefix(name, "waits-"):
				e.Connector = evidence.Connector{Asked: true, Trouble: evidence.Refused}
			case strings.HasPrefix(name, "stops-"):
				e.AddOn.State, e.Connector = evidence.StateStopped, evidence.Connector{Asked: true, Trouble: evidence.Refused}
			}
			var last time.Time
			for _, event := range tunnel.Events(string(raw)) {
				if event.At.After(last) {
					last = event.At
				}
			}
			e.Log = tunnel.ReadLog(string(raw), last.Add(5*time.Second), time.Time{})
			if d := diagnosis.Of(e); d.Cause != want.cause || d.Remedy != want.remedy {
				t.Errorf("comes to %s (%s), want %s (%s): %v", d.Cause, d.Remedy, want.cause, want.remedy, words.English().Seen(e))
			}
			delete(unread, name)
		})
	}
	if len(unread) > 0 {
		t.Errorf("nobody has said what these come to: %v", unread)
	}
}

// unread are the logs that no row of the table has named yet.
var unread = func() map[string]bool {
	files, _ := filepath.Glob("testdata/log/*.log") // the pattern is good
	names := map[string]bool{}
	for _, f := range files {
		names[strings.TrimSuffix(filepath.Base(f), ".log")] = true
	}
	return names
}()

// lost is a tunnel that has had no connection for ten minutes.
func lost() evidence.Evidence {
	gone := evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Answered, Status: 530, Body: "error code: 1033",
		Header: map[string]string{"Cf-Ray": "8e1f0c2a3b4d5e6f-FRA", "Server": "cloudflare"}}
	return evidence.Evidence{Public: gone, Page: gone, Direct: evidence.Look{Stage: evidence.Greeted, Status: 101}, Internet: evidence.InternetUp,
		Connector: evidence.Connector{Asked: true, Status: 503, ObservedDown: 10 * time.Minute},
		AddOn:     evidence.AddOn{Asked: true, Installed: true, State: evidence.StateStarted, Protocol: evidence.QUIC, ProtocolKnown: true}}
}
