package diagnosis_test

import (
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

const (
	noUpgrade = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."
	ray       = "8e1f0c2a3b4d5e6f-FRA"
)

func through(status int, body string) evidence.Look {
	return evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Answered, Status: status, Body: body,
		Header: map[string]string{"Cf-Ray": ray, "Server": "cloudflare"}}
}

func greeted() evidence.Look {
	l := through(101, "")
	l.Stage = evidence.Greeted
	return l
}

func carried(before, after evidence.Counters) evidence.Connector {
	return evidence.Connector{Asked: true, Status: 200, Ready: 4, Transport: evidence.OverQUIC, Before: &before, Counters: &after, AfterPage: &after}
}

// stripped is a stripped handshake with everything around it well.
func stripped() evidence.Evidence {
	return evidence.Evidence{At: time.Unix(1, 0), Public: through(400, noUpgrade), Page: through(200, "{}"), Direct: evidence.Look{Stage: evidence.Greeted, Status: 101},
		Connector: carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 8, Codes: map[int]uint64{400: 1}}),
		AddOn:     evidence.AddOn{Asked: true, Installed: true, State: evidence.StateStarted}, Internet: evidence.InternetUp}
}

func TestWhatContradictsAStrippedUpgradeNeverRotates(t *testing.T) {
	for rule, change := range map[string]struct {
		do   func(*evidence.Evidence)
		want diagnosis.Cause
	}{
		"nothing contradicts it":                  {func(*evidence.Evidence) {}, diagnosis.UpgradeStripped},
		"the page is not known there, but passed": {func(e *evidence.Evidence) { e.Page = through(404, "404: Not Found") }, diagnosis.UpgradeStripped},
		"pages fail too":                          {func(e *evidence.Evidence) { e.Page = through(400, noUpgrade) }, diagnosis.Unknown},
		"pages were not looked at":                {func(e *evidence.Evidence) { e.Page = evidence.Look{} }, diagnosis.Unknown},
		"the page came another way":               {func(e *evidence.Evidence) { e.Page.Header = nil }, diagnosis.Unknown},
		"Home Assistant refuses directly":         {func(e *evidence.Evidence) { e.Direct = evidence.Look{Stage: evidence.Answered, Status: 400} }, diagnosis.Unknown},
		"Home Assistant was not asked directly":   {func(e *evidence.Evidence) { e.Direct = evidence.Look{} }, diagnosis.Unknown},
		"our connector carried nothing":           {func(e *evidence.Evidence) { e.Connector.Counters = e.Connector.Before }, diagnosis.OtherConnector},
		"our connector has no connection":         {func(e *evidence.Evidence) { e.Connector.Status, e.Connector.Ready = 503, 0 }, diagnosis.OtherConnector},
		"our connector does not run":              {func(e *evidence.Evidence) { e.Connector = evidence.Connector{Asked: true, Trouble: evidence.Refused} }, diagnosis.OtherConnector},
		"Cloudflare says that WebSockets are off": {func(e *evidence.Evidence) { e.Zone.WebSockets = evidence.Off }, diagnosis.WebSocketsDisabled},
		"a proxy stands in between": {func(e *evidence.Evidence) {
			e.Connector.Route = evidence.Route{Asked: true, Found: true, Service: "http://proxy:80"}
		}, diagnosis.ProxyBetween},
		"the proxy in between greets": {func(e *evidence.Evidence) {
			e.Connector.Route = evidence.Route{Asked: true, Found: true, Service: "http://proxy:80"}
			e.Service = evidence.Look{Stage: evidence.Greeted, Status: 101}
		}, diagnosis.UpgradeStripped},
		"it did not pass Cloudflare":                    {func(e *evidence.Evidence) { e.Public.Header = nil }, diagnosis.NotCloudflare},
		"the counters could not be read":                {func(e *evidence.Evidence) { e.Connector.Before, e.Connector.Counters = nil, nil }, diagnosis.UpgradeStripped},
		"the connector was started anew in the middle":  {func(e *evidence.Evidence) { e.Connector.Counters = &evidence.Counters{Requests: 1} }, diagnosis.UpgradeStripped},
		"the text is hidden and the connector saw it":   {func(e *evidence.Evidence) { e.Public.Body = "<html>Oh no!</html>" }, diagnosis.UpgradeStripped},
		"the text is hidden and nobody else saw it":     {func(e *evidence.Evidence) { e.Public.Body = ""; e.Connector.Counters = &evidence.Counters{Requests: 8} }, diagnosis.Unknown},
		"our own side gave up":                          {func(e *evidence.Evidence) { e.Public.Trouble = evidence.Interrupted }, diagnosis.Unknown},
		"the address could not be used":                 {func(e *evidence.Evidence) { e.Public.Trouble = evidence.Unusable }, diagnosis.Unknown},
		"nothing was asked because Supervisor was away": {func(e *evidence.Evidence) { e.Public = evidence.Look{}; e.SupervisorAway = "it is updating" }, diagnosis.SupervisorAway},
	} {
		t.Run(rule, func(t *testing.T) {
			e := stripped()
			change.do(&e)
			d := diagnosis.Of(e)
			if d.Cause != change.want {
				t.Errorf("taken for %s, want %s: %v", d.Cause, change.want, words.English().Seen(e))
			}
			if d.Cause != diagnosis.UpgradeStripped && d.Remedy == diagnosis.Rotate {
				t.Errorf("%s is to be rotated", d.Cause)
			}
		})
	}
}

func TestAHungConnectorIsToldFromAMisroutedName(t *testing.T) {
	lost := func() evidence.Evidence {
		e := stripped()
		e.Public, e.Page = through(530, "error code: 1033"), through(530, "error code: 1033")
		e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 7})
		e.Connector.ObservedUp = time.Hour
		return e
	}
	for rule, change := range map[string]struct {
		do   func(*evidence.Evidence)
		want diagnosis.Cause
	}{
		"this process carried probes before": {func(e *evidence.Evidence) { e.Memory.ThisRun = true }, diagnosis.ConnectorHung},
		"it never did":                       {func(*evidence.Evidence) {}, diagnosis.TunnelMisrouted},
		"an earlier process did":             {func(e *evidence.Evidence) { e.Memory = evidence.Memory{Known: true, Ever: true} }, diagnosis.TunnelMisrouted},
		"it did, and others use it right now": {func(e *evidence.Evidence) {
			e.Memory.ThisRun = true
			e.Connector.Counters = &evidence.Counters{Requests: 9}
		}, diagnosis.TunnelMisrouted},
		"it did, and somebody holds a WebSocket open": {func(e *evidence.Evidence) {
			e.Memory.ThisRun = true
			e.Connector.Counters = &evidence.Counters{Requests: 7, Concurrent: 1}
		}, diagnosis.TunnelMisrouted},
		"Cloudflare sees no connection":                  {func(e *evidence.Evidence) { e.Zone.Connected = evidence.Off }, diagnosis.ConnectorHung},
		"Cloudflare sees it connected":                   {func(e *evidence.Evidence) { e.Memory.ThisRun = true; e.Zone.Connected = evidence.On }, diagnosis.TunnelMisrouted},
		"it connected a moment ago":                      {func(e *evidence.Evidence) { e.Connector.ObservedUp = time.Second }, diagnosis.TunnelDown},
		"pages pass":                                     {func(e *evidence.Evidence) { e.Memory.ThisRun = true; e.Page = through(200, "{}") }, diagnosis.Unknown},
		"another error hides behind 530":                 {func(e *evidence.Evidence) { e.Memory.ThisRun = true; e.Public.Body = "error code: 1016" }, diagnosis.HostnameUnknown},
		"the error's number is hidden":                   {func(e *evidence.Evidence) { e.Memory.ThisRun = true; e.Public.Body = "<html>Oh no!</html>" }, diagnosis.Unknown},
		"the counters could not be read":                 {func(e *evidence.Evidence) { e.Memory.ThisRun = true; e.Connector.Before = nil }, diagnosis.Unknown},
		"without connection and silent for long":         {func(e *evidence.Evidence) { down(e, 6*time.Minute, evidence.Log{Asked: true}) }, diagnosis.ConnectorHung},
		"without connection for a moment":                {func(e *evidence.Evidence) { down(e, time.Minute, evidence.Log{Asked: true}) }, diagnosis.TunnelDown},
		"without connection for long, its log not to be": {func(e *evidence.Evidence) { down(e, 6*time.Minute, evidence.Log{}) }, diagnosis.TunnelDown},
		"refused by Cloudflare":                          {func(e *evidence.Evidence) { down(e, 6*time.Minute, evidence.Log{Asked: true, Rejected: 3}) }, diagnosis.ConnectorRejected},
		"the internet is down by Supervisor's word": {func(e *evidence.Evidence) {
			down(e, 6*time.Minute, evidence.Log{Asked: true})
			e.Internet = evidence.InternetDown
		}, diagnosis.TunnelDown},
	} {
		t.Run(rule, func(t *testing.T) {
			e := lost()
			change.do(&e)
			if d := diagnosis.Of(e); d.Cause != change.want {
				t.Errorf("taken for %s, want %s: %v", d.Cause, change.want, words.English().Seen(e))
			}
		})
	}
}

// down leaves the connector running without a connection.
func down(e *evidence.Evidence, since time.Duration, l evidence.Log) {
	e.Connector = evidence.Connector{Asked: true, Status: 503, ObservedDown: since}
	e.Log = l
}

func TestQUICIsSaidToBeBlockedOnlyWhereNothingElseIs(t *testing.T) {
	failing := evidence.Log{Asked: true, QUICFailed: 3}
	for rule, change := range map[string]struct {
		do   func(*evidence.Evidence)
		want diagnosis.Cause
	}{
		"quic was set":                           {func(e *evidence.Evidence) { e.AddOn.Protocol = evidence.QUIC }, diagnosis.QUICBlocked},
		"auto will soon fall back by itself":     {func(*evidence.Evidence) {}, diagnosis.TunnelDown},
		"auto should have fallen back by now":    {func(e *evidence.Evidence) { e.Connector.ObservedDown = 4 * time.Minute }, diagnosis.QUICBlocked},
		"auto had connected, so it never will":   {func(e *evidence.Evidence) { e.Log.Registered = 4 }, diagnosis.QUICBlocked},
		"it fell back, and HTTP/2 fails as well": {func(e *evidence.Evidence) { e.Log.FellBack, e.Log.HTTP2Failed = true, 2 }, diagnosis.TunnelBlocked},
		"it failed only once":                    {func(e *evidence.Evidence) { e.AddOn.Protocol, e.Log.QUICFailed = evidence.QUIC, 1 }, diagnosis.TunnelDown},
		"the internet is down":                   {func(e *evidence.Evidence) { e.AddOn.Protocol, e.Internet = evidence.QUIC, evidence.InternetDown }, diagnosis.TunnelDown},
		"the tunnel is refused":                  {func(e *evidence.Evidence) { e.AddOn.Protocol, e.Log.Rejected = evidence.QUIC, 1 }, diagnosis.ConnectorRejected},
	} {
		t.Run(rule, func(t *testing.T) {
			e := stripped()
			e.Public, e.Page = through(530, "error code: 1033"), through(530, "error code: 1033")
			e.AddOn.ProtocolKnown = true
			down(&e, time.Minute, failing)
			change.do(&e)
			if d := diagnosis.Of(e); d.Cause != change.want {
				t.Errorf("taken for %s, want %s: %v", d.Cause, change.want, words.English().Seen(e))
			}
		})
	}
}

func TestTheVoteIsAboutOurConnectorAlone(t *testing.T) {
	well := stripped()
	well.Public = greeted()
	if d := diagnosis.Of(well); d.Cause != diagnosis.Healthy || d.Vote != diagnosis.Works {
		t.Errorf("a good probe through our connector is %s and says %v", d.Cause, d.Vote)
	}
	well.Connector.Counters = well.Connector.Before
	if d := diagnosis.Of(well); d.Cause != diagnosis.Healthy || d.Vote != diagnosis.Abstains || len(words.English().Advice(d)) == 0 {
		t.Errorf("a good probe through another connector is %s and says %v, with advice %q", d.Cause, d.Vote, words.English().Advice(d))
	}
	if d := diagnosis.Of(stripped()); d.Vote != diagnosis.Fails {
		t.Errorf("a stripped upgrade says %v", d.Vote)
	}
	refused := stripped()
	refused.Public = greeted()
	refused.Public.SignIn = evidence.TokenRefused
	if d := diagnosis.Of(refused); d.Cause != diagnosis.Healthy || d.Vote != diagnosis.Works || len(words.English().Advice(d)) == 0 {
		t.Errorf("a refused token is %s and says %v, with advice %q", d.Cause, d.Vote, words.English().Advice(d))
	}
	silent := stripped()
	silent.Public = greeted()
	silent.Public.Trouble = evidence.TimedOut
	if d := diagnosis.Of(silent); d.Cause != diagnosis.SignInUnanswered || d.Vote != diagnosis.Abstains {
		t.Errorf("an unanswered sign-in is %s and says %v", d.Cause, d.Vote)
	}
}

func TestAnAddOnThatCrashedIsStartedAndOneThatWasStoppedIsNot(t *testing.T) {
	for state, want := range map[evidence.AddOnState]diagnosis.Remedy{evidence.StateError: diagnosis.Start, evidence.StateStopped: diagnosis.Tell} {
		e := evidence.Evidence{Public: through(530, "error code: 1033"), AddOn: evidence.AddOn{Asked: true, Installed: true, State: state},
			Connector: evidence.Connector{Asked: true, Trouble: evidence.Refused}}
		if d := diagnosis.Of(e); d.Cause != diagnosis.ConnectorStopped || d.Remedy != want {
			t.Errorf("state %s: %s, remedy %s, want %s", state, d.Cause, d.Remedy, want)
		}
	}
}

// A probe that is given up after two seconds says nothing where Home Assistant itself
// takes three.
func TestSilenceCountsOnlyWhereHomeAssistantItselfIsQuicker(t *testing.T) {
	for direct, want := range map[time.Duration]diagnosis.Cause{20 * time.Millisecond: diagnosis.UpgradeSilent, 1900 * time.Millisecond: diagnosis.UpgradeSilent, 3 * time.Second: diagnosis.Unknown} {
		e := stripped()
		e.Connector.Counters, e.Connector.AfterPage = e.Connector.Before, &evidence.Counters{Requests: 8}
		e.Public = evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Secured, Trouble: evidence.TimedOut, Took: 2 * time.Second}
		e.Direct.Took = direct
		if d := diagnosis.Of(e); d.Cause != want || (d.Vote == diagnosis.Fails) != (want == diagnosis.UpgradeSilent) {
			t.Errorf("Home Assistant takes %s: %s", direct, d.Cause)
		}
	}
}

func TestWhatTheEdgeSaysOverQUICIsShown(t *testing.T) {
	for want, l := range map[string]evidence.Look{
		"a QUIC handshake with Cloudflare's edge succeeds":                                                                          {Stage: evidence.Secured},
		"UDP passes, but a QUIC handshake with Cloudflare's edge is refused: CRYPTO_ERROR 0x178":                                    {Stage: evidence.Connected, Trouble: evidence.TLSFailed, Detail: "CRYPTO_ERROR 0x178"},
		"UDP passes, but a QUIC handshake with Cloudflare's edge never ends":                                                        {Stage: evidence.Connected, Trouble: evidence.TimedOut, Detail: "x"},
		"something on the way answers in the place of Cloudflare's edge, with a certificate of its own: issued by \"Some Scanner\"": {Stage: evidence.Connected, Trouble: evidence.BadCertificate, Detail: `issued by "Some Scanner"`},
		"an answer came, but its certificate cannot be checked: expired":                                                            {Stage: evidence.Connected, Trouble: evidence.Unverified, Detail: "expired"},
		"no answer from Cloudflare's edge: UDP to port 7844 seems to be blocked":                                                    {Stage: evidence.Asked, Trouble: evidence.TimedOut},
		"could not be asked: no way there":                                                                                          {Stage: evidence.Asked, Trouble: evidence.Unreachable, Detail: "no way there"},
		"":                                                                                                                          {},
	} {
		e := stripped()
		e.QUIC = l
		if got := words.English().Seen(e)["quic"]; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The first row of the catalogue fits, one in its middle, or none.
func BenchmarkDiagnosis(b *testing.B) {
	well := stripped()
	well.Public = greeted()
	odd := stripped()
	odd.Public = through(418, "I am a teapot")
	for name, e := range map[string]evidence.Evidence{"healthy": well, "stripped": stripped(), "unknown": odd} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				diagnosis.Of(e)
			}
		})
	}
}
