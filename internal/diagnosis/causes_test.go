package diagnosis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

const nginx502 = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// The evidence that the table below starts from.

// offline is a tunnel without a connection, whose connector runs.
func offline() evidence.Evidence {
	e := stripped()
	e.Public, e.Page = through(530, "error code: 1033"), through(530, "error code: 1033")
	e.AddOn.Protocol, e.AddOn.ProtocolKnown = evidence.QUIC, true
	e.Connector = evidence.Connector{Asked: true, Status: 503, ObservedDown: time.Minute}
	e.Log = evidence.Log{Asked: true}
	return e
}

// ended is an app that ended with an error at its start.
func ended(why evidence.StartFailure) evidence.Evidence {
	e := offline()
	e.AddOn.State, e.Connector = evidence.StateError, evidence.Connector{Asked: true, Trouble: evidence.Refused}
	e.Log = evidence.Log{Asked: true, StartFailed: why, Failures: 1}
	return e
}

// badGateway is cloudflared's own 502 for everything.
func badGateway() evidence.Evidence {
	const text = "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared"
	e := stripped()
	e.Public, e.Page = through(502, text), through(502, text)
	e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 8, Errors: 1})
	e.Connector.Route = evidence.Route{Asked: true, Found: true, Service: "http://homeassistant:8123", HomeAssistant: true}
	e.Core = evidence.Core{Asked: true, Status: 200, State: "RUNNING", Port: 8123, Version: "2026.11.2"}
	e.AddOn.TokenKnown, e.AddOn.External = true, "ha.example.com"
	return e
}

// newPort is badGateway after Home Assistant has moved to port 80.
func newPort() evidence.Evidence {
	e := badGateway()
	e.Core.Port = 80
	e.Service = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
	return e
}

// byProxy is an answer that a proxy behind the tunnel gives in Home Assistant's place.
func byProxy(status int, body string) evidence.Evidence {
	e := stripped()
	e.Public, e.Page = through(status, body), through(status, body)
	e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 8, Codes: map[int]uint64{status: 1}})
	e.Connector.Route = evidence.Route{Asked: true, Found: true, Service: "http://192.168.1.9:81"}
	e.Core = evidence.Core{Asked: true, Status: 200, State: "RUNNING", Port: 8123}
	return e
}

// bothSay lets the edge answer everything alike.
func bothSay(status int, body string) evidence.Evidence {
	e := stripped()
	e.Public, e.Page = through(status, body), through(status, body)
	e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 7})
	return e
}

func with(e evidence.Evidence, change func(*evidence.Evidence)) evidence.Evidence {
	change(&e)
	return e
}

// Each cause is next to what looks nearly the same: with its signature complete it is
// named, and with one sign missing or contradicting, what is then right.
func TestCausesBesideTheirNearMisses(t *testing.T) {
	type E = evidence.Evidence
	type row struct {
		what   string
		e      E
		want   diagnosis.Cause
		remedy diagnosis.Remedy
	}
	var table strings.Builder
	defer func() { t.Log("\n" + table.String()) }()
	const rotate, restart, start, wait, tell = diagnosis.Rotate, diagnosis.Restart, diagnosis.Start, diagnosis.Wait, diagnosis.Tell
	for _, group := range []struct {
		cause string
		rows  []row
	}{
		{"waiting-for-login", []row{
			{"started, no metrics server, the log asks to log in", waiting(), diagnosis.WaitingForLogin, tell},
			{"the name does not exist yet", with(waiting(), func(e *E) {
				e.Public = evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Asked, Trouble: evidence.NameNotFound}
			}), diagnosis.WaitingForLogin, tell},
			{"the log asks for nothing", with(waiting(), func(e *E) { e.Log.LoginWanted = false }), diagnosis.TunnelDown, wait},
			{"the connector runs", with(waiting(), func(e *E) { e.Connector.Trouble, e.Connector.Status = evidence.NoTrouble, 503 }), diagnosis.TunnelDown, wait},
			{"the app has ended", with(waiting(), func(e *E) { e.AddOn.State = evidence.StateError }), diagnosis.ConnectorStopped, start},
			{"a person stopped it", with(waiting(), func(e *E) { e.AddOn.State = evidence.StateStopped }), diagnosis.ConnectorStopped, tell},
			{"another house's connector answers", with(waiting(), func(e *E) { e.Public = through(400, noUpgrade) }), diagnosis.OtherConnector, tell},
		}},
		{"start-refused", []row{
			{"Cloudflare's API was away", ended(evidence.StartAPIAway), diagnosis.StartRefused, start},
			{"no address of the edge", ended(evidence.StartNoEdge), diagnosis.StartRefused, start},
			{"code 10000", ended(evidence.StartAuthentication), diagnosis.StartRefused, tell},
			{"a DNS entry that Cloudflare refused", ended(evidence.StartDNSEntry), diagnosis.StartRefused, tell},
			{"another tunnel name", ended(evidence.StartTunnelName), diagnosis.StartRefused, tell},
			{"anything else that the script calls fatal", ended(evidence.StartOther), diagnosis.StartRefused, tell},
			{"a person stopped it afterwards", with(ended(evidence.StartAPIAway), func(e *E) { e.AddOn.State = evidence.StateStopped }), diagnosis.StartRefused, tell},
			{"it ended later, by a crash", ended(evidence.StartClean), diagnosis.ConnectorStopped, start},
			{"it runs", with(ended(evidence.StartAPIAway), func(e *E) {
				e.AddOn.State = evidence.StateStarted
				e.Connector = evidence.Connector{Asked: true, Status: 503}
			}), diagnosis.TunnelDown, wait},
		}},
		{"origin-moved", []row{
			{"another port, the service written by the app", newPort(), diagnosis.OriginMoved, restart},
			{"it has a certificate now", with(badGateway(), func(e *E) { e.Core.SSL = true }), diagnosis.OriginMoved, restart},
			{"it has none any more", with(badGateway(), func(e *E) { e.Connector.Route.Service = "https://homeassistant:8123" }), diagnosis.OriginMoved, restart},
			{"the counters alone say whose 502 it is", with(newPort(), func(e *E) { e.Public.Body, e.Page.Body = "<html>Oh no!</html>", "<html>Oh no!</html>" }), diagnosis.OriginMoved, restart},
			{"with a token", with(newPort(), func(e *E) { e.AddOn.HasToken, e.AddOn.External = true, "" }), diagnosis.OriginMoved, tell},
			{"the app's options could not be read", with(newPort(), func(e *E) { e.AddOn.TokenKnown, e.AddOn.External = false, "" }), diagnosis.OriginMoved, tell},
			{"the host is one that the person wrote the service of", with(newPort(), func(e *E) { e.AddOn.External = "www.example.com" }), diagnosis.OriginMoved, tell},
			{"its port is the same", with(newPort(), func(e *E) { e.Core.Port = 8123 }), diagnosis.OriginRefused, tell},
			{"its port is not known", with(newPort(), func(e *E) { e.Core.Port = 0 }), diagnosis.OriginRefused, tell},
			{"the service is a proxy", with(newPort(), func(e *E) { e.Connector.Route.Service = "http://192.168.1.9:81" }), diagnosis.OriginRefused, tell},
			{"something answers at the old port", with(newPort(), func(e *E) { e.Service = evidence.Look{Stage: evidence.Greeted, Status: 101} }), diagnosis.OriginMisconfigured, tell},
			{"pages pass, so the service answers", with(newPort(), func(e *E) { e.Page = through(200, "{}") }), diagnosis.UpgradeRefused, rotate},
			{"the 502 is Cloudflare's own", with(newPort(), func(e *E) {
				e.Public.Body, e.Page.Body = "error code: 502", "error code: 502"
				e.Connector.Counters = &evidence.Counters{Requests: 8}
			}), diagnosis.CloudflareError, wait},
			{"Core restarts for it just now", with(newPort(), func(e *E) {
				e.Direct = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
				e.Core = evidence.Core{Asked: true, Status: 502, Runs: evidence.On, Port: 80}
			}), diagnosis.OriginStarting, wait},
		}},
		{"origin-refused", []row{
			{"Core runs, and refuses at its own address", with(badGateway(), func(e *E) { e.Direct = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused} }), diagnosis.OriginRefused, tell},
			{"the same, the counters not known", with(badGateway(), func(e *E) {
				e.Direct, e.Connector.Before = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.TimedOut}, nil
			}), diagnosis.OriginRefused, tell},
			{"the proxy in between does not run", with(badGateway(), func(e *E) {
				e.Connector.Route = evidence.Route{Asked: true, Found: true, Service: "http://192.168.1.9:81"}
				e.Service = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Unreachable}
			}), diagnosis.OriginRefused, tell},
			{"cloudflared's log says that it was refused", with(badGateway(), func(e *E) { e.Log = evidence.Log{Asked: true, OriginOff: 4} }), diagnosis.OriginRefused, tell},
			{"nothing says that it was refused", badGateway(), diagnosis.OriginMisconfigured, tell},
			{"Core does not run", with(badGateway(), func(e *E) {
				e.Direct = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
				e.Core = evidence.Core{Asked: true, Status: 502, Runs: evidence.Off}
			}), diagnosis.OriginDown, wait},
			{"Core is starting", with(badGateway(), func(e *E) {
				e.Direct, e.Core.State = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}, "STARTING"
			}), diagnosis.OriginStarting, wait},
			{"it listens and says nothing", with(badGateway(), func(e *E) { e.Direct = evidence.Look{Stage: evidence.Connected, Trouble: evidence.TimedOut} }), diagnosis.OriginSilent, wait},
		}},
		{"record-not-tunnel", []row{
			{"521", bothSay(521, "error code: 521"), diagnosis.RecordNotTunnel, tell},
			{"522, its text hidden", bothSay(522, "<html>Oh no!</html>"), diagnosis.RecordNotTunnel, tell},
			{"523", bothSay(523, "error code: 523"), diagnosis.RecordNotTunnel, tell},
			{"525", bothSay(525, "error code: 525"), diagnosis.RecordNotTunnel, tell},
			{"526", bothSay(526, "error code: 526"), diagnosis.RecordNotTunnel, tell},
			{"1000", bothSay(403, "error code: 1000"), diagnosis.RecordNotTunnel, tell},
			{"1014, on its page", bothSay(403, `<title>Error 1014</title>`), diagnosis.RecordNotTunnel, tell},
			{"520 is a tunnel's too", bothSay(520, "error code: 520"), diagnosis.CloudflareError, wait},
			{"524 is a tunnel's too", bothSay(524, "error code: 524"), diagnosis.CloudflareError, wait},
			{"a proxy behind the tunnel says 521", with(byProxy(521, "x"), func(*E) {}), diagnosis.Unknown, tell},
			{"the record is missing", bothSay(530, "error code: 1016"), diagnosis.HostnameUnknown, tell},
			{"1020 is the firewall", bothSay(403, "error code: 1020"), diagnosis.Firewalled, tell},
			{"Home Assistant is down besides", with(bothSay(522, "error code: 522"), func(e *E) { e.Direct = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused} }), diagnosis.RecordNotTunnel, tell},
		}},
		{"edge-unroutable", []row{
			{"network is unreachable, over QUIC", with(offline(), func(e *E) { e.Log.Unroutable, e.Log.Failures = 2, 2 }), diagnosis.EdgeUnroutable, tell},
			{"over HTTP/2, once", with(offline(), func(e *E) { e.Log = evidence.Log{Asked: true, Unroutable: 1, Failures: 1} }), diagnosis.EdgeUnroutable, tell},
			{"it dialled other addresses too, in vain", with(offline(), func(e *E) { e.Log.Unroutable, e.Log.QUICFailed, e.Log.Failures = 2, 2, 4 }), diagnosis.QUICBlocked, rotate},
			{"the house has no internet", with(offline(), func(e *E) { e.Log.Unroutable, e.Log.Failures, e.Internet = 2, 2, evidence.InternetDown }), diagnosis.TunnelDown, wait},
			{"a connection stands", with(offline(), func(e *E) {
				e.Log.Unroutable, e.Connector = 2, evidence.Connector{Asked: true, Status: 200, Ready: 2, ObservedUp: time.Second}
			}), diagnosis.TunnelDown, wait},
		}},
		{"quic-blocked", []row{
			{"under quic", with(offline(), func(e *E) { e.Log.QUICFailed = 2 }), diagnosis.QUICBlocked, rotate},
			{"under auto, which was connected before", with(offline(), func(e *E) { e.AddOn.Protocol, e.Log.QUICFailed, e.Log.Registered = evidence.Auto, 2, 4 }), diagnosis.QUICBlocked, rotate},
			{"connected before, and it broke often before it was blocked", with(offline(), func(e *E) { e.Log.QUICFailed, e.Log.Registered, e.Log.Lost = 9, 4, 5 }), diagnosis.QUICBlocked, rotate},
			{"under auto, which will fall back by itself", with(offline(), func(e *E) { e.AddOn.Protocol, e.Log.QUICFailed = evidence.Auto, 2 }), diagnosis.TunnelDown, wait},
			{"a custom error page with other numbers beside the word", with(offline(), func(e *E) { e.Log.QUICFailed, e.Public.Body = 2, "<h1>Error</h1>Call 1800 555 010, since 1998" }), diagnosis.QUICBlocked, rotate},
			{"no route to the edge", with(offline(), func(e *E) { e.Log.Unroutable, e.Log.Failures = 5, 5 }), diagnosis.EdgeUnroutable, tell},
			{"a wrong clock", with(offline(), func(e *E) { e.Log.Untrusted, e.Log.Failures, e.Connector.ObservedDown = 5, 5, time.Hour }), diagnosis.TunnelDown, wait},
			{"curve preferences", with(offline(), func(e *E) { e.Log.Unspoken, e.Log.Failures, e.Connector.ObservedDown = 5, 5, time.Hour }), diagnosis.TunnelDown, wait},
			{"530 with another number", with(offline(), func(e *E) { e.Log.QUICFailed, e.Public = 5, through(530, "error code: 1200") }), diagnosis.CloudflareError, wait},
		}},
		{"tunnel-flapping", []row{
			{"over QUIC", with(offline(), func(e *E) { e.Log.Lost, e.Log.LostOver = 3, evidence.OverQUIC }), diagnosis.TunnelFlapping, rotate},
			{"over HTTP/2", with(offline(), func(e *E) {
				e.Log = evidence.Log{Asked: true, Lost: 3, LostOver: evidence.OverHTTP2}
			}), diagnosis.TunnelFlapping, rotate},
			{"it never registers", with(offline(), func(e *E) { e.Log.Lost, e.Log.LostOver, e.Log.Registered = 12, evidence.OverQUIC, 0 }), diagnosis.TunnelFlapping, rotate},
			{"twice is not again and again", with(offline(), func(e *E) { e.Log.Lost = 2 }), diagnosis.TunnelDown, wait},
			{"530 with another number", with(offline(), func(e *E) { e.Log.Lost, e.Public = 5, through(530, "error code: 1200") }), diagnosis.CloudflareError, wait},
			{"the tunnel is refused", with(offline(), func(e *E) { e.Log.Lost, e.Log.Rejected = 5, 5 }), diagnosis.ConnectorRejected, tell},
			{"the internet comes and goes", with(offline(), func(e *E) { e.Log.Lost, e.Internet = 5, evidence.InternetDown }), diagnosis.TunnelDown, wait},
		}},
		{"connector-hung", []row{
			{"long without a connection, and not a word", with(offline(), func(e *E) { e.Connector.ObservedDown = 6 * time.Minute }), diagnosis.ConnectorHung, restart},
			{"its log does not tell such things", with(offline(), func(e *E) { e.Connector.ObservedDown, e.Log.Terse = 6*time.Minute, true }), diagnosis.TunnelDown, wait},
			{"it says something that nobody knows", with(offline(), func(e *E) { e.Connector.ObservedDown, e.Log.Unknown, e.Log.Failures = 6*time.Minute, 1, 1 }), diagnosis.TunnelDown, wait},
			{"530 with another number", with(offline(), func(e *E) { e.Connector.ObservedDown, e.Public = 6*time.Minute, through(530, "error code: 1200") }), diagnosis.CloudflareError, wait},
		}},
		{"proxy-refuses", []row{
			{"nginx's 502", byProxy(502, nginx502), diagnosis.ProxyRefuses, tell},
			{"its text hidden by an error page", byProxy(502, "<html>Oh no!</html>"), diagnosis.ProxyRefuses, tell},
			{"Traefik's 503", byProxy(503, "no available server"), diagnosis.ProxyRefuses, tell},
			{"openresty's 403", byProxy(403, "<html><center><h1>403 Forbidden</h1></center><hr><center>openresty</center></html>"), diagnosis.ProxyRefuses, tell},
			{"Traefik's 401", byProxy(401, "401 Unauthorized"), diagnosis.ProxyRefuses, tell},
			{"nginx's 400: http on the https port", byProxy(400, "<html><center>The plain HTTP request was sent to HTTPS port</center><hr><center>nginx</center></html>"), diagnosis.ProxyRefuses, tell},
			{"the counters are not known", with(byProxy(502, nginx502), func(e *E) { e.Connector.Before = nil }), diagnosis.ProxyRefuses, tell},
			{"it did not come through our connector", with(byProxy(502, nginx502), func(e *E) { e.Connector.Counters = e.Connector.Before }), diagnosis.CloudflareError, wait},
			{"403 that did not come through our connector", with(byProxy(403, "<center>nginx</center>"), func(e *E) { e.Connector.Counters = e.Connector.Before }), diagnosis.NotHomeAssistant, tell},
			{"cloudflared's own 502", badGateway(), diagnosis.OriginMisconfigured, tell},
			{"Cloudflare's own 502, which looks like nginx's", bothSay(502, "<html><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></html>"), diagnosis.CloudflareError, wait},
			{"Home Assistant is down behind it", with(byProxy(502, nginx502), func(e *E) {
				e.Direct, e.Core = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}, evidence.Core{Asked: true, Status: 502}
			}), diagnosis.OriginDown, wait},
			{"Home Assistant's own 403", byProxy(403, "403: Forbidden"), diagnosis.ProbeBanned, tell},
			{"Home Assistant's own 400", byProxy(400, "400: Bad Request"), diagnosis.ProxyNotTrusted, tell},
			{"pages pass, and it refuses WebSockets with its own 400", with(byProxy(400, "<center><h1>400 Bad Request</h1></center><hr><center>nginx</center>"), func(e *E) { e.Page = through(200, "{}") }), diagnosis.ProxyRefuses, tell},
		}},
		{"proxy-not-trusted", []row{
			{"Home Assistant's own 400 for everything", byProxy(400, "400: Bad Request"), diagnosis.ProxyNotTrusted, tell},
			{"a page of nobody known", byProxy(400, "<html>Something is wrong with your request</html>"), diagnosis.Unknown, tell},
		}},
		{"firewalled", []row{
			{"a page without a number", with(bothSay(403, "<html><title>Attention Required! | Cloudflare</title>"), func(e *E) { e.Connector.Before = nil }), diagnosis.Firewalled, tell},
			{"another page without a number", with(bothSay(403, "<h1>Sorry, you have been blocked</h1>"), func(e *E) { e.Connector.Before = nil }), diagnosis.Firewalled, tell},
			{"a page of nobody known, the counters not known", with(bothSay(403, "<h1>Sorry</h1>"), func(e *E) { e.Connector.Before = nil }), diagnosis.Unknown, tell},
		}},
		{"cloudflare-error", []row{
			{"530 with a number of its own, three breaks in the log", with(bothSay(530, "error code: 1200"), func(e *E) { e.Log = evidence.Log{Asked: true, Lost: 3, Registered: 7} }), diagnosis.CloudflareError, wait},
			{"the same on its page", bothSay(530, `<span class="cf-error-type">Error</span> <span class="cf-error-code">1200</span>`), diagnosis.CloudflareError, wait},
			{"while Home Assistant is down", with(bothSay(530, "error code: 1200"), func(e *E) { e.Direct = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused} }), diagnosis.CloudflareError, wait},
			{"530 with 1033", bothSay(530, `<span class="cf-error-code">1033</span>`), diagnosis.TunnelMisrouted, tell},
		}},
	} {
		for _, row := range group.rows {
			t.Run(group.cause+"/"+row.what, func(t *testing.T) {
				d := diagnosis.Of(row.e)
				fmt.Fprintf(&table, "%-20s %-62s → %s, %s: %s\n", group.cause, row.what, d.Cause, d.Remedy, strings.Join(words.English().Advice(d), " "))
				if d.Cause != row.want || d.Remedy != row.remedy {
					t.Errorf("taken for %s (%s), want %s (%s): %v", d.Cause, d.Remedy, row.want, row.remedy, words.English().Seen(row.e))
				}
			})
		}
	}
}

// waiting is an app in its first start.
func waiting() evidence.Evidence {
	e := offline()
	e.Connector = evidence.Connector{Asked: true, Trouble: evidence.Refused}
	e.Log = evidence.Log{Asked: true, LoginWanted: true, Failures: 1}
	return e
}

func TestAdviceNamesTheValuesThatAreKnown(t *testing.T) {
	for what, c := range map[string]struct {
		e      evidence.Evidence
		holds  []string
		lacks  []string
		remedy diagnosis.Remedy
	}{
		"moved, written by the app": {newPort(), []string{"http://homeassistant:8123", "http://homeassistant:80", "Settings → System → Network → HTTP server"}, []string{"configuration.yaml"}, diagnosis.Restart},
		"moved, an older Core": {with(newPort(), func(e *evidence.Evidence) { e.Core.Version = "2026.7.4" }),
			[]string{"configuration.yaml"}, []string{"HTTP server"}, diagnosis.Restart},
		"moved, a Core of unknown version": {with(newPort(), func(e *evidence.Evidence) { e.Core.Version = "" }),
			[]string{"configuration.yaml", "HTTP server", "2026.8"}, nil, diagnosis.Restart},
		"moved, with a token": {with(newPort(), func(e *evidence.Evidence) { e.AddOn.HasToken = true; e.Core.SSL = true }),
			[]string{"from http://homeassistant:8123 to https://homeassistant:80", "Zero Trust"}, nil, diagnosis.Tell},
		"refused": {with(badGateway(), func(e *evidence.Evidence) { e.Log.OriginOff = 3 }), []string{"http://homeassistant:8123"}, nil, diagnosis.Tell},
		"refused, a proxy": {with(badGateway(), func(e *evidence.Evidence) {
			e.Connector.Route.Service = "http://192.168.1.9:81"
			e.Service = evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
		}), []string{"http://192.168.1.9:81", "http://homeassistant:8123"}, nil, diagnosis.Tell},
		"a proxy that refuses": {byProxy(502, nginx502), []string{"http://192.168.1.9:81", "http://homeassistant:8123", "502"}, nil, diagnosis.Tell},
	} {
		t.Run(what, func(t *testing.T) {
			d := diagnosis.Of(c.e)
			all := words.English().Summary(d) + "\n" + strings.Join(words.English().Advice(d), "\n")
			for _, s := range c.holds {
				if !strings.Contains(all, s) {
					t.Errorf("%q is not in:\n%s", s, all)
				}
			}
			for _, s := range c.lacks {
				if strings.Contains(all, s) {
					t.Errorf("%q is in:\n%s", s, all)
				}
			}
			if d.Remedy != c.remedy {
				t.Errorf("%s: remedy %s", d.Cause, d.Remedy)
			}
		})
	}
}

// What is inferred is worded as inferred.
func TestTheSwitchIsCalledLikelyUnlessCloudflareSaidSo(t *testing.T) {
	e := stripped()
	e.Memory = evidence.Memory{Known: true}
	if d := everywhere(e); d.Cause != diagnosis.WebSocketsDisabled || !strings.Contains(words.English().Summary(d), "very likely") || !strings.Contains(words.English().Summary(d), "or there is an incident") {
		t.Errorf("%s: %s", d.Cause, words.English().Summary(d))
	}
	e.Zone.WebSockets = evidence.Off
	if d := diagnosis.Of(e); d.Cause != diagnosis.WebSocketsDisabled || strings.Contains(words.English().Summary(d), "likely") || strings.Contains(words.English().Basis(d), "every") {
		t.Errorf("%s: %s (%s)", d.Cause, words.English().Summary(d), words.English().Basis(d))
	}
}
