package diagnosis_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// FuzzOf makes evidence out of bytes, and holds the verdict against what must never
// be: a remedy that cuts people off without what it must rest on.
func FuzzOf(f *testing.F) {
	f.Add([]byte{6, 0, 1, 0, 1, 2, 0, 1, 8, 0, 1, 4, 1, 8, 0, 0, 0, 0, 1, 0, 0}, noUpgrade, "", "/")
	f.Add([]byte{6, 0, 4, 0, 1, 6, 0, 4, 1, 8, 0, 1, 4, 0, 0, 0, 0, 0, 1, 2, 0}, "error code: 1033", "", "/")
	f.Add([]byte{5, 5, 0, 0, 1, 6, 0, 1, 1, 8, 0, 1, 4, 1, 0, 0, 0, 3, 1, 0, 0}, "", "challenge", "https://house.cloudflareaccess.com/cdn-cgi/access/login/x")
	f.Add([]byte{7, 6, 0, 1, 1, 6, 0, 1, 1, 8, 0, 0, 0, 1, 0, 5, 5, 5, 1, 0, 1}, "Unable to reach the origin service", "", "::bad::")
	f.Add([]byte{5, 0, 4, 0, 1, 5, 0, 4, 0, 1, 7, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 9, 1, 1, 1, 1, 1, 0, 0, 0, 0, 4, 1, 1, 0, 2, 1}, "error code: 1200", "", "/")
	f.Fuzz(func(t *testing.T, raw []byte, body, mitigated, location string) {
		e := fromBytes(raw, body, mitigated, location)
		d := diagnosis.Of(e)
		if d.Cause.String() == "" || words.English().Summary(d) == "" || words.English().Basis(d) == "" {
			t.Fatalf("a diagnosis without words: %+v", d)
		}
		if own := e.Public.Status == 530 && strings.HasPrefix(body, "error code: 1200"); own && (d.Remedy == diagnosis.Rotate || d.Remedy == diagnosis.Restart) {
			t.Fatalf("%s, remedy %s, for an error of Cloudflare's own: %v", d.Cause, d.Remedy, words.English().Seen(e))
		}
		switch {
		case d.Remedy == diagnosis.Rotate && !d.Cause.Blinds():
			upgrade := d.Cause == diagnosis.UpgradeStripped || d.Cause == diagnosis.UpgradeMangled || d.Cause == diagnosis.UpgradeRefused || d.Cause == diagnosis.UpgradeSilent
			if upgrade && (!e.Direct.Healthy() || e.Page.CFRay() == "" || e.Page.Status >= 400 || e.Zone.WebSockets == evidence.Off) {
				t.Fatalf("%s without Home Assistant's and the page's word: %v", d.Cause, words.English().Seen(e))
			}
			if e.Public.Healthy() || e.Public.Trouble == evidence.Interrupted || e.Public.Trouble == evidence.Unusable {
				t.Fatalf("%s after a look that says nothing of the kind: %v", d.Cause, words.English().Seen(e))
			}
			if e.Internet == evidence.InternetDown && !upgrade {
				t.Fatalf("%s while the internet is down: %v", d.Cause, words.English().Seen(e))
			}
		case d.Remedy == diagnosis.Restart:
			moved := d.Cause == diagnosis.OriginMoved && e.Public.Status == 502 && e.AddOn.TokenKnown && !e.AddOn.HasToken && e.Core.Port != 0
			if e.Public.CFRay() == "" || e.Zone.Connected == evidence.On && e.Connector.Up() && !moved {
				t.Fatalf("%s without Cloudflare's word: %v", d.Cause, words.English().Seen(e))
			}
		case d.Cause == diagnosis.Healthy:
			if !e.Public.Healthy() || e.Public.CFRay() == "" {
				t.Fatalf("healthy without a greeting through Cloudflare: %v", words.English().Seen(e))
			}
		}
	})
}

// fromBytes reads evidence out of bytes, one part each; missing ones are zero.
func fromBytes(raw []byte, body, mitigated, location string) evidence.Evidence {
	at := 0
	next := func(n int) int {
		if at >= len(raw) {
			return 0
		}
		at++
		return int(raw[at-1]) % n
	}
	statuses := []int{0, 400, 502, 101, 530, 200, 302, 403, 404, 429, 500, 503, 524}
	look := func() evidence.Look {
		l := evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Stage(next(9)), Trouble: evidence.Trouble(next(13)), Status: statuses[next(len(statuses))], Outside: next(2) == 1}
		if next(2) == 1 {
			l.Header = map[string]string{"Cf-Ray": ray, "Cf-Mitigated": mitigated, "Location": location}
		}
		l.Body = body
		return l
	}
	counters := func() *evidence.Counters {
		if next(4) == 0 {
			return nil
		}
		return &evidence.Counters{Requests: uint64(next(3)), Errors: uint64(next(2)), Concurrent: next(2), Codes: map[int]uint64{400: uint64(next(3)), 502: uint64(next(2))}}
	}
	e := evidence.Evidence{At: time.Unix(1, 0), Public: look(), Page: look(), Direct: look(), Service: look()}
	e.Connector = evidence.Connector{Asked: next(2) == 1, Status: []int{0, 200, 503}[next(3)], Ready: next(5), Transport: evidence.Transport(next(3)), Trouble: evidence.Trouble(next(13)),
		Before: counters(), Counters: counters(), AfterPage: counters(), ObservedUp: time.Duration(next(3)) * time.Minute, ObservedDown: time.Duration(next(10)) * time.Minute,
		Route: evidence.Route{Asked: next(2) == 1, Found: next(2) == 1, HomeAssistant: next(2) == 1}}
	e.Log = evidence.Log{Asked: next(2) == 1, Registered: next(3), FellBack: next(2) == 1, Rejected: next(2), QUICFailed: next(4), HTTP2Failed: next(4), Lost: next(5)}
	e.AddOn = evidence.AddOn{Asked: next(2) == 1, Installed: next(2) == 1, State: []evidence.AddOnState{evidence.StateStarted, evidence.StateStopped, evidence.StateError, evidence.StateUnknown}[next(4)],
		Protocol: evidence.Protocol(next(4)), ProtocolKnown: next(2) == 1}
	e.Core = evidence.Core{Asked: next(2) == 1, Status: []int{200, 502}[next(2)], State: []string{"RUNNING", "STARTING", ""}[next(3)], Runs: evidence.Switch(next(3))}
	e.Internet, e.Zone = evidence.Internet(next(3)), evidence.Zone{WebSockets: evidence.Switch(next(3)), Connected: evidence.Switch(next(3))}
	e.Memory = evidence.Memory{Known: next(2) == 1, Ever: next(2) == 1, ThisRun: next(2) == 1}
	e.Connector.Route.Service = []string{"", "http://homeassistant:8123", "https://homeassistant", "http://192.168.1.9:81", "::bad::"}[next(5)]
	e.Core.Port, e.Core.SSL, e.Core.Version = []int{0, 8123, 80}[next(3)], next(2) == 1, []string{"", "2026.7.1", "2026.11.2", "dev"}[next(4)]
	e.AddOn.TokenKnown, e.AddOn.HasToken, e.AddOn.External = next(2) == 1, next(2) == 1, []string{"", "ha.example.com"}[next(2)]
	e.Log.Unroutable, e.Log.Failures, e.Log.LoginWanted, e.Log.StartFailed, e.Log.OriginOff = next(3), next(4), next(2) == 1, evidence.StartFailure(next(8)), next(2)
	if next(5) == 4 {
		e.SupervisorAway = "it does not answer"
	}
	return e
}
