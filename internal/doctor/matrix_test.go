package doctor_test

import (
	"context"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
)

// Garbage lies for longer: there is memory, and the processor has other work.
func init() { debug.SetGCPercent(2000) }

// truth is something that is really wrong in the lab's world.
type truth struct {
	cause diagnosis.Cause
	what  string // which of the cause's forms
	world lab.Options
	act   func(*testing.T, *lab.World)           // after it is up
	place func(*testing.T, *lab.World, *setting) // what the probe is given

	also   []diagnosis.Cause // verdicts that are right too, for the reason in why
	why    string
	asIs   bool             // no other ways: https, or nothing comes back that could be changed
	unless map[way]bool     // ways that hide too much to tell: unknown is right then
	pair   bool             // two faults at once: unknown is right, too
	remedy diagnosis.Remedy // where the cause has several
}

// setting is what the looks are given besides the world.
type setting struct {
	url      string
	public   probe.Target
	memory   evidence.Memory
	said     word
	house    bool
	named    bool // https://ha.example.com instead of the edge's address
	doh      bool
	resolver network.Names
}

func faults(f lab.Faults) lab.Options { return lab.Options{Faults: f} }

func both(share float64, form lab.Form) lab.Faults {
	return lab.Faults{Upgrade: map[evidence.Transport]lab.UpgradeFault{evidence.OverQUIC: {Share: share, Form: form}, evidence.OverHTTP2: {Share: share, Form: form}}}
}

func answers(status int, body string, header ...string) lab.Options {
	a := &lab.EdgeAnswer{Status: status, Body: body, Header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		a.Header[header[i]] = header[i+1]
	}
	return lab.Options{Faults: lab.Faults{Answer: a}}
}

func answersTo(to string, opt lab.Options) lab.Options {
	opt.Faults.Answer.To = to
	return opt
}

func secure(opt lab.Options) lab.Options { opt.TLS = true; return opt }

func named(_ *testing.T, _ *lab.World, s *setting) { s.named = true }

func remembering(m evidence.Memory) func(*testing.T, *lab.World, *setting) {
	m.Known = true
	return func(_ *testing.T, _ *lab.World, s *setting) { s.memory = m }
}

func certificate(good bool) func(*testing.T, *lab.World, *setting) {
	return func(t *testing.T, w *lab.World, s *setting) {
		c, err := w.Edge.ClientCertificate(good)
		if err != nil {
			t.Fatal(err)
		}
		s.public.Certificate = &c
	}
}

// warm lets visitors fill the edge's cache; then Home Assistant is updated, if it is.
func warm(version string) func(*testing.T, *lab.World) {
	return func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return w.Connector.Connections() == 4 })
		u, err := url.Parse(w.Edge.URL())
		if err != nil {
			t.Fatal(err)
		}
		l, script := probe.StartPage(t.Context(), probe.Target{URL: u, Net: w.Network()})
		if script == "" {
			t.Fatalf("no start page: %+v", l)
		}
		probe.Script(t.Context(), probe.Target{URL: u, Net: w.Network()}, script)
		if version != "" {
			w.Core.Update(version)
		}
	}
}

func until(t *testing.T, w *lab.World, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Wait(ctx, cond); err != nil {
		t.Fatal(err)
	}
}

func logged(w *lab.World, text string, n int) bool {
	return strings.Count(w.Supervisor.Log(lab.DefaultSlug), text) >= n
}

var truths = []truth{
	{cause: diagnosis.Healthy},
	{cause: diagnosis.Healthy, what: "another connector carried it", world: faults(lab.Faults{ElsewhereToo: true})},
	{cause: diagnosis.Healthy, what: "mutual TLS, and a good certificate", world: secure(faults(lab.Faults{MutualTLS: lab.ByRule})), place: certificate(true), asIs: true},
	{cause: diagnosis.Healthy, what: "split DNS at home, the world asked", world: lab.Options{SplitDNS: true}, asIs: true},
	{cause: diagnosis.Healthy, what: "a proxy between that passes WebSockets", world: secure(lab.Options{Proxy: true}), place: named, asIs: true},

	{cause: diagnosis.Healthy, what: "Home Assistant being updated", world: faults(lab.Faults{FrontendUpdating: true})},
	{cause: diagnosis.Healthy, what: "a cached page that is not stale", world: faults(lab.Faults{CacheEverything: true}), act: warm("")},
	{cause: diagnosis.PageStale, world: faults(lab.Faults{CacheEverything: true}), act: warm("2026.12.0")},
	{cause: diagnosis.PageStale, what: "a 404 from the cache", world: faults(lab.Faults{CacheEverything: true, FrontendUpdating: true}), act: func(t *testing.T, w *lab.World) {
		warm("")(t, w)
		w.ChangeFaults(func(f *lab.Faults) { f.FrontendUpdating = false })
	}},

	{cause: diagnosis.UpgradeStripped, world: faults(lab.Stripped(1))},
	{cause: diagnosis.UpgradeStripped, what: "behind a proxy that is well", world: secure(lab.Options{Proxy: true, Faults: lab.Stripped(1)}), place: named, asIs: true},
	{cause: diagnosis.UpgradeStripped, what: "its text hidden", world: faults(lab.Stripped(1)), place: func(_ *testing.T, _ *lab.World, s *setting) { s.public.UserAgent = "hide" }},
	{cause: diagnosis.UpgradeMangled, what: "Connection lost", world: faults(both(1, lab.NoConnection))},
	{cause: diagnosis.UpgradeMangled, what: "key lost", world: faults(both(1, lab.NoKey))},
	{cause: diagnosis.UpgradeMangled, what: "version lost", world: faults(both(1, lab.NoVersion))},
	{cause: diagnosis.UpgradeRefused, world: faults(both(1, lab.Refused))},
	{cause: diagnosis.UpgradeSilent, what: "101, then nothing", world: faults(both(1, lab.Silent))},
	{cause: diagnosis.UpgradeSilent, what: "no answer", world: faults(both(1, lab.Hanging))},

	{cause: diagnosis.WebSocketsDisabled, what: "by Cloudflare's own word", world: faults(lab.Faults{WebSocketsOff: true}),
		place: func(_ *testing.T, _ *lab.World, s *setting) { s.said.WebSockets = &evidence.Setting{Value: "off"} }},
	{cause: diagnosis.WebSocketsDisabled, what: "no API token", world: faults(lab.Faults{WebSocketsOff: true}), also: []diagnosis.Cause{diagnosis.UpgradeStripped},
		why: "one moment cannot tell them apart: the same answer, byte for byte; what each protocol did in the incident does (TestEverywhere)"},
	{cause: diagnosis.ProxyBetween, world: secure(lab.Options{Proxy: true, Faults: lab.Faults{ProxyStrips: true}}), place: named, asIs: true},
	{cause: diagnosis.ProxyBetween, what: "out of our reach", world: secure(lab.Options{ServiceURL: "http://0.0.0.0:9", Faults: lab.Stripped(1)}), place: named, asIs: true},
	{cause: diagnosis.OtherConnector, world: faults(lab.Faults{ElsewhereToo: true, Upgrade: lab.Stripped(1).Upgrade})},

	{cause: diagnosis.TunnelFlapping, world: lab.Options{RunParameters: []string{"--protocol=quic"}, Timings: lab.Timings{BackOverQUIC: 700 * time.Millisecond}, Faults: lab.Faults{FlapQUIC: lab.Duration(20 * time.Millisecond)}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return w.Connector.Connections() == 0 && logged(w, "failed to accept QUIC stream", 12) })
		}, asIs: true},
	{cause: diagnosis.QUICBlocked, world: lab.Options{RunParameters: []string{"--protocol=quic"}, Faults: lab.Faults{UDPBlocked: true}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "Failed to dial a quic", 3) })
		}},
	{cause: diagnosis.QUICBlocked, what: "under auto, after it had connected", world: lab.Options{},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return w.Connector.Connections() == 4 })
			w.SetFaults(lab.Faults{UDPBlocked: true})
			until(t, w, func() bool { return w.Connector.Connections() == 0 && logged(w, "Failed to dial a quic", 3) })
		}},
	{cause: diagnosis.TunnelDown, what: "auto, before it falls back", world: lab.Options{Timings: lab.Timings{Fallback: 5 * time.Second}, Faults: lab.Faults{UDPBlocked: true}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "Failed to dial a quic", 3) })
		}},
	{cause: diagnosis.TunnelBlocked, what: "auto, both protocols", world: lab.Options{Timings: lab.Timings{Fallback: 90 * time.Millisecond}, Faults: lab.Faults{UDPBlocked: true, TCPBlocked: true}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "DialContext error", 3) })
		}},
	{cause: diagnosis.TunnelBlocked, what: "http2", world: lab.Options{RunParameters: []string{"--protocol=http2"}, Timings: lab.Timings{Fallback: 90 * time.Millisecond}, Faults: lab.Faults{TCPBlocked: true}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "DialContext error", 3) })
		}},
	{cause: diagnosis.TunnelDown, what: "just started", world: lab.Options{Timings: lab.Timings{First: 10 * time.Second}}, act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return logged(w, "Initial protocol", 1) })
	}},
	{cause: diagnosis.ConnectorHung, world: faults(lab.Faults{}), act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return w.Connector.Connections() == 4 })
		w.SetFaults(lab.Faults{ConnectorHung: true})
	}, place: remembering(evidence.Memory{Ever: true, ThisRun: true}), unless: map[way]bool{errorPages: true}},
	{cause: diagnosis.ConnectorHung, what: "by Cloudflare's own word", world: faults(lab.Faults{}), act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return w.Connector.Connections() == 4 })
		w.SetFaults(lab.Faults{ConnectorHung: true})
	}, place: func(_ *testing.T, _ *lab.World, s *setting) { s.said.Connectors = []evidence.TunnelClient{} }, unless: map[way]bool{errorPages: true}},
	{cause: diagnosis.TunnelMisrouted, world: faults(lab.Faults{Misrouted: true})},
	{cause: diagnosis.TunnelMisrouted, what: "it worked in an earlier run", world: faults(lab.Faults{Misrouted: true}), place: remembering(evidence.Memory{Ever: true})},
	{cause: diagnosis.TunnelMisrouted, what: "by Cloudflare's own word", world: faults(lab.Faults{Misrouted: true}),
		place: func(_ *testing.T, _ *lab.World, s *setting) {
			s.said.Connectors, s.memory = []evidence.TunnelClient{{Colos: []string{"fra03"}}}, evidence.Memory{Known: true, Ever: true, ThisRun: true}
		}},
	{cause: diagnosis.ConnectorRejected, world: faults(lab.Faults{TunnelRejected: true}), act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return logged(w, "Unauthorized", 1) })
	}},
	{cause: diagnosis.ConnectorStopped, what: "by hand", act: func(t *testing.T, w *lab.World) {
		if err := w.User.Stops(lab.DefaultSlug); err != nil {
			t.Fatal(err)
		}
	}},
	{cause: diagnosis.ConnectorStopped, what: "crashed", act: func(_ *testing.T, w *lab.World) { w.Connector.Crash() }},
	{cause: diagnosis.ConnectorMissing, act: func(t *testing.T, w *lab.World) {
		if err := w.User.Uninstalls(lab.DefaultSlug); err != nil {
			t.Fatal(err)
		}
	}},

	{cause: diagnosis.TunnelFlapping, what: "over HTTP/2", world: lab.Options{RunParameters: []string{"--protocol=http2"}, Timings: lab.Timings{BackOverHTTP2: 700 * time.Millisecond}, Faults: lab.Faults{FlapHTTP2: lab.Duration(20 * time.Millisecond)}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return w.Connector.Connections() == 0 && logged(w, "Lost connection with the edge", 12) })
		}, asIs: true},
	{cause: diagnosis.TunnelFlapping, what: "it never registers", world: lab.Options{RunParameters: []string{"--protocol=quic"}, Faults: lab.Faults{Dial: lab.Unregistered}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "Serve tunnel error", 3) })
		}},
	{cause: diagnosis.EdgeUnroutable, what: "over QUIC", world: lab.Options{RunParameters: []string{"--protocol=quic"}, Faults: lab.Faults{Dial: lab.Unroutable}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "network is unreachable", 1) })
		}},
	{cause: diagnosis.EdgeUnroutable, what: "over HTTP/2", world: lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{Dial: lab.Unroutable}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "network is unreachable", 1) })
		}},
	{cause: diagnosis.TunnelDown, what: "a wrong clock", world: lab.Options{RunParameters: []string{"--protocol=quic"}, Faults: lab.Faults{Dial: lab.Untrusted}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "x509", 5) })
		}},
	{cause: diagnosis.TunnelDown, what: "curve preferences", world: lab.Options{RunParameters: []string{"--protocol=quic"}, Faults: lab.Faults{Dial: lab.Unspoken}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return logged(w, "CurvePreferences", 5) })
		}},
	{cause: diagnosis.WaitingForLogin, world: lab.Options{Local: true, Faults: lab.Faults{LoginWanted: true}}, act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return logged(w, "log in with your Cloudflare account", 1) })
	}},
	{cause: diagnosis.StartRefused, what: "Cloudflare's API is away", remedy: diagnosis.Start, world: lab.Options{Local: true, Faults: lab.Faults{APIAway: true}}, act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return w.Supervisor.State(lab.DefaultSlug) == evidence.StateError })
	}},
	{cause: diagnosis.StartRefused, what: "code 10000", remedy: diagnosis.Tell, world: lab.Options{Local: true, Faults: lab.Faults{APIRefuses: true}}, act: func(t *testing.T, w *lab.World) {
		until(t, w, func() bool { return w.Supervisor.State(lab.DefaultSlug) == evidence.StateError })
	}},

	{cause: diagnosis.OriginMoved, what: "a tunnel that is managed locally", world: secure(lab.Options{Local: true, Faults: lab.Faults{CoreMoved: true}}), place: named, asIs: true, remedy: diagnosis.Restart},
	{cause: diagnosis.OriginMoved, what: "with a token", world: secure(faults(lab.Faults{CoreMoved: true})), place: named, asIs: true, remedy: diagnosis.Tell},
	{cause: diagnosis.OriginRefused, world: faults(lab.Faults{CoreUnreachable: true})},
	{cause: diagnosis.OriginRefused, what: "where the tunnel leads", world: secure(lab.Options{ServiceURL: "http://127.0.0.1:9", Faults: lab.Faults{CoreUnreachable: true}}), place: named, asIs: true},
	{cause: diagnosis.ProxyRefuses, what: "502", world: lab.Options{Proxy: true, Faults: lab.Faults{ProxyAnswers: 502}}},
	{cause: diagnosis.ProxyRefuses, what: "503", world: lab.Options{Proxy: true, Faults: lab.Faults{ProxyAnswers: 503}}},
	{cause: diagnosis.ProxyRefuses, what: "401", world: lab.Options{Proxy: true, Faults: lab.Faults{ProxyAnswers: 401}}, unless: map[way]bool{errorPages: true, partial: true}},
	{cause: diagnosis.ProxyRefuses, what: "403", world: lab.Options{Proxy: true, Faults: lab.Faults{ProxyAnswers: 403}}, unless: map[way]bool{errorPages: true, partial: true}},
	{cause: diagnosis.ProxyRefuses, what: "400", world: lab.Options{Proxy: true, Faults: lab.Faults{ProxyAnswers: 400}}, unless: map[way]bool{errorPages: true, partial: true}},
	{cause: diagnosis.RecordNotTunnel, what: "521", world: answers(521, "error code: 521")},
	{cause: diagnosis.RecordNotTunnel, what: "522", world: answers(522, "error code: 522")},
	{cause: diagnosis.RecordNotTunnel, what: "523", world: answers(523, "error code: 523")},
	{cause: diagnosis.RecordNotTunnel, what: "525", world: answers(525, "error code: 525")},
	{cause: diagnosis.RecordNotTunnel, what: "526", world: answers(526, "error code: 526")},
	{cause: diagnosis.RecordNotTunnel, what: "1000", world: answers(409, "error code: 1000")},
	{cause: diagnosis.RecordNotTunnel, what: "1014", world: answers(409, "error code: 1014")},
	{cause: diagnosis.CloudflareError, what: "530 with a number of its own", world: answers(530, "error code: 1200"), unless: map[way]bool{errorPages: true}},
	{cause: diagnosis.CloudflareError, what: "the same, while connections break", world: lab.Options{RunParameters: []string{"--protocol=quic"}, Timings: lab.Timings{BackOverQUIC: 700 * time.Millisecond},
		Faults: lab.Faults{FlapQUIC: lab.Duration(20 * time.Millisecond), Answer: &lab.EdgeAnswer{Status: 530, Body: "error code: 1200"}}},
		act: func(t *testing.T, w *lab.World) {
			until(t, w, func() bool { return w.Connector.Connections() == 0 && logged(w, "failed to accept QUIC stream", 12) })
		}, asIs: true},
	{cause: diagnosis.Firewalled, what: "a block page without a code", world: answers(403, "<html><body><h1>Sorry, you have been blocked</h1></body></html>", "Content-Type", "text/html")},

	{cause: diagnosis.OriginDown, world: faults(lab.Faults{CoreDown: true})},
	{cause: diagnosis.OriginStarting, world: lab.Options{Timings: lab.Timings{CoreStart: 20 * time.Second}, Faults: lab.Faults{CoreStarting: true}}},
	{cause: diagnosis.OriginSilent, world: faults(lab.Faults{OriginSilent: true})},
	{cause: diagnosis.OriginMisconfigured, world: faults(lab.Faults{WrongScheme: true})},
	{cause: diagnosis.ProxyNotTrusted, world: faults(lab.Faults{ProxyNotTrusted: true})},
	{cause: diagnosis.ProxyNotTrusted, what: "by Home Assistant's log", world: faults(lab.Faults{Forwarded: "unset"})},
	{cause: diagnosis.ForwardedHeader, what: "no address", world: faults(lab.Faults{Forwarded: "address"})},
	{cause: diagnosis.ForwardedHeader, what: "an empty host", world: faults(lab.Faults{Forwarded: "host"})},
	{cause: diagnosis.ProbeBanned, world: faults(lab.Faults{Banned: true})},
	{cause: diagnosis.SignInUnanswered, asIs: true, place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.public.Token, s.public.UserAgent = probe.NewToken(lab.HAToken, false), "mute"
	}},

	{cause: diagnosis.AccessLogin, world: faults(lab.Faults{Access: true})},
	{cause: diagnosis.AccessDenied, what: "a wrong token", world: faults(lab.Faults{Access: true}), place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.public.Access = probe.Access{ID: "wrong-id.access", Secret: "wrong-secret"}
	}},
	{cause: diagnosis.AccessDenied, what: "a token that no policy takes", world: faults(lab.Faults{Access: true, AccessRefuses: true}), place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.public.Access = probe.Access{ID: lab.AccessID, Secret: lab.AccessSecret}
	}},
	{cause: diagnosis.Challenged, world: faults(lab.Faults{Challenge: true})},
	{cause: diagnosis.Firewalled, what: "1005", world: faults(lab.Faults{Firewall: 1005})},
	{cause: diagnosis.Firewalled, what: "1006", world: faults(lab.Faults{Firewall: 1006})},
	{cause: diagnosis.Firewalled, what: "1009", world: faults(lab.Faults{Firewall: 1009})},
	{cause: diagnosis.Firewalled, what: "1010", world: faults(lab.Faults{Firewall: 1010})},
	{cause: diagnosis.Firewalled, what: "1020", world: faults(lab.Faults{Firewall: 1020})},
	{cause: diagnosis.Firewalled, what: "the newer page without a code", world: answers(403, "<html><title>Attention Required! | Cloudflare</title></html>", "Content-Type", "text/html")},
	{cause: diagnosis.ClientCertificateRequired, what: "by a rule", world: secure(faults(lab.Faults{MutualTLS: lab.ByRule})), asIs: true},
	{cause: diagnosis.ClientCertificateRequired, what: "by an alert", world: secure(faults(lab.Faults{MutualTLS: lab.ByAlert})), asIs: true},
	{cause: diagnosis.ClientCertificateRefused, what: "by a rule", world: secure(faults(lab.Faults{MutualTLS: lab.ByRule})), place: certificate(false), asIs: true},
	{cause: diagnosis.ClientCertificateRefused, what: "by an alert", world: secure(faults(lab.Faults{MutualTLS: lab.ByAlert})), place: certificate(false), asIs: true},
	{cause: diagnosis.RateLimited, world: faults(lab.Faults{RateLimited: true})},

	{cause: diagnosis.CloudflareError, what: "500", world: answers(500, "error code: 500")},
	{cause: diagnosis.CloudflareError, what: "502", world: answers(502, "error code: 502")},
	{cause: diagnosis.CloudflareError, what: "503", world: answers(503, "error code: 503")},
	{cause: diagnosis.CloudflareError, what: "520", world: answers(520, "error code: 520")},
	{cause: diagnosis.CloudflareError, what: "524", world: answers(524, "error code: 524")},
	{cause: diagnosis.CloudflareError, what: "502 for WebSockets alone", world: answersTo("websocket", answers(502, "error code: 502"))},
	{cause: diagnosis.EdgeUnreachable, what: "silent", world: faults(lab.Faults{EdgeSilent: true})},
	{cause: diagnosis.HostnameUnknown, what: "1016", world: answers(530, "error code: 1016"), unless: map[way]bool{errorPages: true}},
	{cause: diagnosis.HostnameUnknown, what: "1001", world: answers(409, "error code: 1001")},
	{cause: diagnosis.HostnameUnknown, what: "NXDOMAIN everywhere", world: lab.Options{TLS: true}, asIs: true, place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.url, s.resolver = "https://elsewhere.example.com", houseDNS{"", dnsmessage.RCodeNameError, false}
	}},
	{cause: diagnosis.ResolverFailed, what: "NXDOMAIN at home", world: lab.Options{TLS: true, Faults: lab.Faults{MutualTLS: lab.ByAlert}}, asIs: true, place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.named, s.resolver = true, houseDNS{"", dnsmessage.RCodeNameError, false}
	}},
	{cause: diagnosis.ResolverFailed, what: "SERVFAIL, nobody outside to ask", world: lab.Options{TLS: true, Faults: lab.Faults{ResolverDown: true}}, asIs: true, place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.named, s.resolver = true, houseDNS{"", dnsmessage.RCodeServerFailure, false}
	}},
	{cause: diagnosis.ResolverFailed, what: "silent, nobody outside to ask", world: lab.Options{TLS: true, Faults: lab.Faults{ResolverDown: true}}, asIs: true, place: func(_ *testing.T, _ *lab.World, s *setting) {
		s.named, s.resolver = true, houseDNS{"", 0, true}
	}},
	{cause: diagnosis.HostnameUnrouted, world: faults(lab.Faults{Unrouted: true})},
	{cause: diagnosis.RedirectLoop, world: answers(301, "", "Location", "/api/websocket")},
	{cause: diagnosis.Redirected, world: answers(302, "", "Location", "https://www.example.com/")},
	{cause: diagnosis.NotHomeAssistant, what: "a page", world: answers(200, "<html>It works!</html>")},
	{cause: diagnosis.NotHomeAssistant, what: "another server's 404", world: answers(404, "<html><h1>404 Not Found</h1><hr>nginx</html>", "Content-Type", "text/html")},
	{cause: diagnosis.NotCloudflare, world: faults(lab.Faults{SplitDNS: true, ResolverDown: true})},
	{cause: diagnosis.NotProxied, world: secure(faults(lab.Faults{SplitDNS: true})), place: func(_ *testing.T, _ *lab.World, s *setting) { s.named = true }, asIs: true},
	{cause: diagnosis.TLSFailed, what: "expired", world: secure(faults(lab.Faults{Certificate: lab.Expired})), asIs: true},
	{cause: diagnosis.TLSFailed, what: "another name", world: secure(faults(lab.Faults{Certificate: lab.WrongName})), asIs: true},
	{cause: diagnosis.TLSFailed, what: "intercepted", world: secure(faults(lab.Faults{Certificate: lab.Intercepted})), asIs: true},
	{cause: diagnosis.NoInternet, world: faults(lab.Faults{InternetDown: true})},
	{cause: diagnosis.SupervisorAway, what: "and the tunnel down", world: faults(lab.Faults{SupervisorDown: true, Misrouted: true}), also: []diagnosis.Cause{diagnosis.TunnelMisrouted, diagnosis.TunnelDown},
		why: "what was seen without Supervisor bears that verdict too"},
}

// pairs are two faults at once: either of the two is a right verdict, and a remedy
// that restarts only where both have it.
var pairs = []truth{
	{cause: diagnosis.OriginDown, what: "and stripped", world: faults(lab.Faults{CoreDown: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.AccessLogin, what: "and stripped", world: faults(lab.Faults{Access: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.Challenged, what: "and stripped", world: faults(lab.Faults{Challenge: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.Firewalled, what: "and stripped", world: faults(lab.Faults{Firewall: 1020, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.RateLimited, what: "and stripped", world: faults(lab.Faults{RateLimited: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.ProxyNotTrusted, what: "and stripped", world: faults(lab.Faults{ProxyNotTrusted: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.ProbeBanned, what: "and stripped", world: faults(lab.Faults{Banned: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.NoInternet, what: "and Core down", world: faults(lab.Faults{InternetDown: true, CoreDown: true})},
	{cause: diagnosis.NoInternet, what: "and the add-on stopped", world: faults(lab.Faults{InternetDown: true}), also: []diagnosis.Cause{diagnosis.ConnectorStopped},
		why: "both are true", act: func(t *testing.T, w *lab.World) {
			if err := w.User.Stops(lab.DefaultSlug); err != nil {
				t.Fatal(err)
			}
		}},
	{cause: diagnosis.CloudflareError, what: "and stripped", world: func() lab.Options {
		o := answers(503, "error code: 503")
		o.Faults.Upgrade = lab.Stripped(1).Upgrade
		return o
	}()},
	{cause: diagnosis.OriginMisconfigured, what: "and stripped", world: faults(lab.Faults{WrongScheme: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.OriginSilent, what: "and stripped", world: faults(lab.Faults{OriginSilent: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.OriginSilent, what: "and silent", world: faults(lab.Faults{OriginSilent: true, Upgrade: both(1, lab.Silent).Upgrade})},
	{cause: diagnosis.TunnelMisrouted, what: "and Core down", world: faults(lab.Faults{Misrouted: true, CoreDown: true})},
	{cause: diagnosis.WebSocketsDisabled, what: "and silent", world: faults(lab.Faults{WebSocketsOff: true, Upgrade: both(1, lab.Silent).Upgrade}),
		place: func(_ *testing.T, _ *lab.World, s *setting) { s.said.WebSockets = &evidence.Setting{Value: "off"} }},
	{cause: diagnosis.ProxyBetween, what: "and stripped", world: secure(lab.Options{Proxy: true, Faults: lab.Faults{ProxyStrips: true, Upgrade: lab.Stripped(1).Upgrade}}), place: named, asIs: true},
	{cause: diagnosis.HostnameUnrouted, what: "and stripped", world: faults(lab.Faults{Unrouted: true, Upgrade: lab.Stripped(1).Upgrade})},
	{cause: diagnosis.EdgeUnreachable, what: "and stripped", world: faults(lab.Faults{EdgeSilent: true, Upgrade: lab.Stripped(1).Upgrade})},
}

// TestTheMatrix drives every cause through a whole world, in several variations, in
// virtual time, and prints what it was taken for. Off the diagonal there is only unknown, and no cause
// that another protocol cannot cure is ever given a remedy that cuts people off.
func TestTheMatrix(t *testing.T) {
	var m matrix
	var order golden
	t.Run("all", func(t *testing.T) {
		for i, tr := range slices.Concat(truths, pairs) {
			for _, how := range ways {
				if tr.asIs && how != asIs {
					continue
				}
				name := tr.cause.String()
				if tr.what != "" {
					name += " (" + tr.what + ")"
				}
				tr.pair = i >= len(truths)
				t.Run(name+", "+string(how), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := examine(t, tr, how)
						m.add(tr, r.Cause)
						judge(t, tr, how, r)
						if how == asIs {
							order.add(name, diagnosis.Fitting(r.Evidence[0]))
						}
					})
				})
			}
		}
	})
	t.Log("\n" + m.String())
	order.judge(t)
	if testing.Short() {
		return
	}
	for c := range diagnosis.Catalogue() {
		row := diagnosis.Catalogue()[c]
		decidedByHistory := row.Cause == diagnosis.StrippedEverywhere || row.Cause == diagnosis.ClientsFailProbeFine || row.Cause == diagnosis.ClientsCloseDuringSignIn || row.Cause == diagnosis.Unknown
		if !decidedByHistory && m.right[row.Cause] == 0 {
			t.Errorf("no truth was ever taken for %s: the row cannot be reached", row.ID)
		}
	}
}

func judge(t *testing.T, tr truth, how way, r doctor.Report) {
	t.Helper()
	right := r.Cause == tr.cause || slices.Contains(tr.also, r.Cause)
	if tr.unless[how] && r.Cause == diagnosis.Unknown {
		right = true
	}
	if !right && r.Cause != diagnosis.Unknown {
		t.Errorf("taken for %s: %v", r.Cause, r.Seen)
	}
	if how == asIs && !right && !tr.pair {
		t.Errorf("taken for %s although nothing hides it: %v", r.Cause, r.Seen)
	}
	if tr.remedy != diagnosis.NoRemedy && r.Cause == tr.cause && r.Remedy != tr.remedy {
		t.Errorf("%s with the remedy %s, want %s", r.Cause, r.Remedy, tr.remedy)
	}
	// Nothing that another protocol, or a restart, cannot mend leads to one.
	may := tr.remedy
	if may == diagnosis.NoRemedy {
		may = remedyOf(tr.cause)
	}
	cuts := r.Remedy == diagnosis.Rotate || r.Remedy == diagnosis.Restart
	if cuts && r.Remedy != may && !slices.ContainsFunc(tr.also, func(c diagnosis.Cause) bool { return remedyOf(c) == r.Remedy }) {
		t.Errorf("remedy %s for a cause that it cannot cure: taken for %s: %v", r.Remedy, r.Cause, r.Seen)
	}
}

func remedyOf(c diagnosis.Cause) diagnosis.Remedy {
	for _, row := range diagnosis.Catalogue() {
		if row.Cause == c {
			return row.Remedy
		}
	}
	return diagnosis.NoRemedy
}

// examine builds the truth's world, and looks at it.
func examine(t *testing.T, tr truth, how way) doctor.Report {
	t.Helper()
	opt := tr.world
	wanted := opt.Faults
	later := tr.act == nil && wanted.Dial == "" && !wanted.UDPBlocked && !wanted.TCPBlocked && !wanted.TunnelRejected
	if later { // the tunnel stands before things go wrong
		opt.Faults = lab.Faults{}
	}
	opt.Net = wire.New()
	net := opt.Net.Plug().Network()
	w, err := lab.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if later {
		until(t, w, func() bool { return w.Connector.Connections() == 4 })
		w.SetFaults(wanted)
		if wanted.InternetDown {
			until(t, w, func() bool { return w.Connector.Connections() == 0 })
		}
	}
	if tr.act != nil {
		tr.act(t, w)
	}
	env := w.Env()
	s := setting{url: w.Edge.URL(), house: true, doh: true, memory: evidence.Memory{Known: true}}
	s.public.Timeout = 1200 * time.Millisecond
	if ca := env["TUNNELMEDIC_CA_FILE"]; ca != "" {
		if s.public.RootCAs, err = probe.LoadRoots(ca); err != nil {
			t.Fatal(err)
		}
	}
	if tr.place != nil {
		tr.place(t, w, &s)
	}
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if s.named {
		if s.resolver == nil {
			s.resolver = houseDNS{u.Hostname(), dnsmessage.RCodeSuccess, false}
		}
		if u, err = url.Parse("https://" + lab.PublicHost + ":" + u.Port()); err != nil {
			t.Fatal(err)
		}
	}
	if how != asIs || s.public.UserAgent != "" {
		changedBy := how
		if s.public.UserAgent != "" {
			changedBy = way(s.public.UserAgent)
		}
		if u, err = url.Parse(passage(t, net, u.Host, changedBy)); err != nil {
			t.Fatal(err)
		}
	}
	s.public.URL, s.public.Net = u, net
	if s.resolver != nil {
		s.public.Net.Names = s.resolver
	}
	p := doctor.Place{Public: s.public, Wish: tunnel.Wish{URL: u.String()}, Word: s.said, Looks: survey.Settings{
		Supervisor:   supervisor.New(supervisor.Config{BaseURL: w.Supervisor.URL(), Token: lab.SupervisorToken, Net: net}),
		ConnectorURL: w.Connector.URL(), OriginURL: w.Core.URL(),
		Recall: func(string) evidence.Memory { return s.memory },
	}}
	if s.doh {
		if p.Looks.World, err = probe.NewResolver(env["TUNNELMEDIC_DOH_URL"], nil); err != nil {
			t.Fatal(err)
		}
		p.Looks.World.Over(net)
	}
	r, err := doctor.Examine(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// word is what Cloudflare's API is made to say.
type word evidence.Upstream

func (w word) Ask(context.Context, upstream.Question) evidence.Upstream { return evidence.Upstream(w) }

// matrix counts verdicts by truth.
type matrix struct {
	mu    sync.Mutex
	cells map[diagnosis.Cause]map[diagnosis.Cause]int
	right map[diagnosis.Cause]int
	notes []string
}

func (m *matrix) add(tr truth, verdict diagnosis.Cause) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells, m.right = map[diagnosis.Cause]map[diagnosis.Cause]int{}, map[diagnosis.Cause]int{}
	}
	if m.cells[tr.cause] == nil {
		m.cells[tr.cause] = map[diagnosis.Cause]int{}
	}
	m.cells[tr.cause][verdict]++
	if verdict == tr.cause {
		m.right[verdict]++
	} else if tr.why != "" && slices.Contains(tr.also, verdict) {
		if note := fmt.Sprintf("%s (%s) as %s: %s", tr.cause, tr.what, verdict, tr.why); !slices.Contains(m.notes, note) {
			m.notes = append(m.notes, note)
		}
	}
}

func (m *matrix) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-30s %6s %6s %8s  %s\n", "true cause", "worlds", "right", "unknown", "taken for something else")
	worlds, right, unknown := 0, 0, 0
	for _, row := range diagnosis.Catalogue() {
		cells := m.cells[row.Cause]
		n := 0
		var others []string
		for v, k := range cells {
			n += k
			if v != row.Cause && v != diagnosis.Unknown {
				others = append(others, fmt.Sprintf("%s ×%d", v, k))
			}
		}
		if n == 0 {
			continue
		}
		slices.Sort(others)
		worlds, right, unknown = worlds+n, right+cells[row.Cause], unknown+cells[diagnosis.Unknown]
		fmt.Fprintf(&b, "%-30s %6d %6d %8d  %s\n", row.ID, n, cells[row.Cause], cells[diagnosis.Unknown], strings.Join(others, ", "))
	}
	fmt.Fprintf(&b, "%-30s %6d %6d %8d\n", "all", worlds, right, unknown)
	slices.Sort(m.notes)
	for _, n := range m.notes {
		fmt.Fprintln(&b, "·", n)
	}
	return b.String()
}
