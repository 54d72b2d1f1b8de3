package house_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
)

// deed is what a cause calls for, as Supervisor sees it.
type deed string

const (
	nothing deed = "nothing"
	rotates deed = "another protocol, and a restart"
	anew    deed = "a restart under the same protocol"
	starts  deed = "a start of the app"
)

// lived is a cause as a home lives it: what happens, and what the daemon has to do.
type lived struct {
	cause diagnosis.Cause
	what  string // which of the cause's forms
	opt   lab.Options
	env   map[string]string
	act   func(*house.House) // what goes wrong, after some good minutes
	deed  deed
	// within is how long it may take until the home is open again; nothing must happen for as long.
	within time.Duration
}

func faulty(change func(*lab.Faults)) func(*house.House) {
	return func(h *house.House) { h.World.ChangeFaults(change) }
}

func answering(status int, body string, header ...string) func(*house.House) {
	a := &lab.EdgeAnswer{Status: status, Body: body, Header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		a.Header[header[i]] = header[i+1]
	}
	return faulty(func(f *lab.Faults) { f.Answer = a })
}

func lost(share float64, form lab.Form, over ...evidence.Transport) func(*house.House) {
	return faulty(func(f *lab.Faults) {
		f.Upgrade = map[evidence.Transport]lab.UpgradeFault{}
		for _, t := range over {
			f.Upgrade[t] = lab.UpgradeFault{Share: share, Form: form}
		}
	})
}

const quic, http2 = evidence.OverQUIC, evidence.OverHTTP2

var (
	onQUIC  = lab.Options{RunParameters: []string{"--protocol=quic"}}
	onHTTP2 = lab.Options{RunParameters: []string{"--protocol=http2"}}
	local   = lab.Options{Local: true}
)

var causes = []lived{
	{cause: diagnosis.Healthy, deed: nothing},
	{cause: diagnosis.UpgradeStripped, act: lost(1, lab.NoUpgrade, quic), deed: rotates, within: 5 * time.Minute},
	{cause: diagnosis.UpgradeStripped, what: "over HTTP/2, on http2", opt: onHTTP2, act: lost(1, lab.NoUpgrade, http2), deed: rotates, within: 5 * time.Minute},
	{cause: diagnosis.UpgradeStripped, what: "a tunnel that is managed locally", opt: local, act: lost(1, lab.NoUpgrade, quic), deed: rotates, within: 5 * time.Minute},
	{cause: diagnosis.UpgradeMangled, act: lost(1, lab.NoKey, quic), deed: rotates, within: 5 * time.Minute},
	{cause: diagnosis.UpgradeRefused, act: lost(1, lab.Refused, quic), deed: rotates, within: 5 * time.Minute},
	{cause: diagnosis.UpgradeSilent, act: lost(1, lab.Silent, quic), deed: rotates, within: 10 * time.Minute},
	{cause: diagnosis.UpgradeSilent, what: "no answer", act: lost(1, lab.Hanging, quic), deed: rotates, within: 10 * time.Minute},

	{cause: diagnosis.QUICBlocked, what: "under auto, after it was connected", act: faulty(func(f *lab.Faults) { f.UDPBlocked = true }), deed: rotates, within: 15 * time.Minute},
	{cause: diagnosis.QUICBlocked, what: "under quic", opt: onQUIC, act: faulty(func(f *lab.Faults) { f.UDPBlocked = true }), deed: rotates, within: 15 * time.Minute},
	{cause: diagnosis.QUICBlocked, what: "rejected at TLS level", opt: onQUIC, act: faulty(func(f *lab.Faults) { f.QUIC = lab.QUICRejected }), deed: rotates, within: 15 * time.Minute},
	{cause: diagnosis.TunnelFlapping, what: "under quic", opt: slowToReturn(onQUIC), act: faulty(func(f *lab.Faults) { f.FlapQUIC = lab.Duration(20 * time.Second) }), deed: rotates, within: 90 * time.Minute},
	{cause: diagnosis.TunnelFlapping, what: "for a moment each time", opt: away(5 * time.Second), act: faulty(func(f *lab.Faults) { f.FlapQUIC = lab.Duration(time.Minute) }), deed: rotates, within: 90 * time.Minute},
	{cause: diagnosis.ConnectorHung, act: faulty(func(f *lab.Faults) { f.ConnectorHung = true }), deed: anew, within: 15 * time.Minute},
	{cause: diagnosis.ConnectorStopped, what: "it crashed", act: func(h *house.House) { h.World.Connector.Crash() }, deed: starts, within: 10 * time.Minute},
	{cause: diagnosis.ConnectorStopped, what: "it crashed, with the budget spent", env: map[string]string{"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "1"}, act: func(h *house.House) { h.World.Connector.Crash() }, deed: starts, within: 10 * time.Minute},
	{cause: diagnosis.ConnectorStopped, what: "by hand", act: func(h *house.House) {
		if err := h.World.User.Stops(lab.DefaultSlug); err != nil {
			h.Fatal(err)
		}
	}, deed: nothing},

	{cause: diagnosis.TunnelFlapping, what: "over HTTP/2", opt: slowToReturn(onHTTP2), act: faulty(func(f *lab.Faults) { f.FlapHTTP2 = lab.Duration(20 * time.Second) }), deed: rotates, within: 90 * time.Minute},
	{cause: diagnosis.TunnelFlapping, what: "it never registers", opt: onQUIC, act: faulty(func(f *lab.Faults) { f.Dial = lab.Unregistered }), deed: rotates, within: 30 * time.Minute},
	{cause: diagnosis.OriginMoved, what: "a tunnel that is managed locally", opt: onLocalhost(true), act: faulty(func(f *lab.Faults) { f.CoreMoved = true }), deed: anew, within: 15 * time.Minute},
	{cause: diagnosis.OriginMoved, what: "with a token", opt: onLocalhost(false), act: faulty(func(f *lab.Faults) { f.CoreMoved = true }), deed: nothing},
	{cause: diagnosis.StartRefused, what: "Cloudflare's API was away", opt: local, act: func(h *house.House) {
		restartedWith(h, func(f *lab.Faults) { f.APIAway = true })
		h.Sleep(20 * time.Minute)
		h.World.ChangeFaults(func(f *lab.Faults) { f.APIAway = false })
	}, deed: starts, within: 90 * time.Minute},
	{cause: diagnosis.StartRefused, what: "code 10000", opt: local, act: func(h *house.House) { restartedWith(h, func(f *lab.Faults) { f.APIRefuses = true }) }, deed: nothing},
	{cause: diagnosis.WaitingForLogin, opt: local, act: func(h *house.House) { restartedWith(h, func(f *lab.Faults) { f.LoginWanted = true }) }, deed: nothing},
	{cause: diagnosis.EdgeUnroutable, act: faulty(func(f *lab.Faults) { f.Dial = lab.Unroutable }), deed: nothing},
	{cause: diagnosis.OriginRefused, act: faulty(func(f *lab.Faults) { f.CoreUnreachable = true }), deed: nothing},
	{cause: diagnosis.ProxyRefuses, opt: lab.Options{Proxy: true}, act: faulty(func(f *lab.Faults) { f.ProxyAnswers = 502 }), deed: nothing},
	{cause: diagnosis.RecordNotTunnel, act: answering(522, "error code: 522"), deed: nothing},
	{cause: diagnosis.CloudflareError, what: "530 with a number of its own, while connections break", opt: slowToReturn(onQUIC), act: faulty(func(f *lab.Faults) {
		f.FlapQUIC, f.Answer = lab.Duration(20*time.Second), &lab.EdgeAnswer{Status: 530, Body: "error code: 1200"}
	}), deed: nothing},
	{cause: diagnosis.Firewalled, what: "a page without a number", act: answering(403, "<html><title>Attention Required! | Cloudflare</title></html>", "Content-Type", "text/html"), deed: nothing},

	{cause: diagnosis.TunnelBlocked, act: faulty(func(f *lab.Faults) { f.UDPBlocked, f.TCPBlocked = true, true }), opt: onHTTP2, deed: nothing},
	{cause: diagnosis.ConnectorRejected, act: faulty(func(f *lab.Faults) { f.TunnelRejected = true }), deed: nothing},
	// A process that carried good checks before counts as hung at first, and a restart shows that it is not.
	{cause: diagnosis.TunnelMisrouted, act: func(h *house.House) {
		h.World.ChangeFaults(func(f *lab.Faults) { f.Misrouted = true })
		if err := h.World.User.Restarts(lab.DefaultSlug); err != nil {
			h.Fatal(err)
		}
	}, deed: nothing},
	{cause: diagnosis.OtherConnector, act: faulty(func(f *lab.Faults) { f.ElsewhereToo, f.Upgrade = true, lab.Stripped(1).Upgrade }), deed: nothing},
	{cause: diagnosis.OriginDown, act: faulty(func(f *lab.Faults) { f.CoreDown = true }), deed: nothing},
	{cause: diagnosis.OriginStarting, opt: lab.Options{Timings: slowCore()}, act: faulty(func(f *lab.Faults) { f.CoreStarting = true }), deed: nothing},
	{cause: diagnosis.OriginSilent, act: faulty(func(f *lab.Faults) { f.OriginSilent = true }), deed: nothing},
	{cause: diagnosis.OriginMisconfigured, act: faulty(func(f *lab.Faults) { f.WrongScheme = true }), deed: nothing},
	{cause: diagnosis.ForwardedHeader, act: faulty(func(f *lab.Faults) { f.Forwarded = "address" }), deed: nothing},
	{cause: diagnosis.ProxyNotTrusted, act: faulty(func(f *lab.Faults) { f.ProxyNotTrusted = true }), deed: nothing},
	{cause: diagnosis.ProbeBanned, act: faulty(func(f *lab.Faults) { f.Banned = true }), deed: nothing},
	{cause: diagnosis.AccessLogin, act: faulty(func(f *lab.Faults) { f.Access = true }), deed: nothing},
	{cause: diagnosis.AccessDenied, env: map[string]string{"TUNNELMEDIC_ACCESS_CLIENT_ID": lab.AccessID, "TUNNELMEDIC_ACCESS_CLIENT_SECRET": lab.AccessSecret},
		act: faulty(func(f *lab.Faults) { f.Access, f.AccessRefuses = true, true }), deed: nothing},
	{cause: diagnosis.Challenged, act: faulty(func(f *lab.Faults) { f.Challenge = true }), deed: nothing},
	{cause: diagnosis.Firewalled, act: faulty(func(f *lab.Faults) { f.Firewall = 1020 }), deed: nothing},
	{cause: diagnosis.RateLimited, act: faulty(func(f *lab.Faults) { f.RateLimited = true }), deed: nothing},
	{cause: diagnosis.CloudflareError, act: answering(503, "error code: 503"), deed: nothing},
	{cause: diagnosis.EdgeUnreachable, act: faulty(func(f *lab.Faults) { f.EdgeSilent = true }), deed: nothing},
	{cause: diagnosis.HostnameUnknown, act: answering(409, "error code: 1001"), deed: nothing},
	{cause: diagnosis.HostnameUnrouted, act: faulty(func(f *lab.Faults) { f.Unrouted = true }), deed: nothing},
	{cause: diagnosis.RedirectLoop, act: answering(301, "", "Location", "/api/websocket"), deed: nothing},
	{cause: diagnosis.Redirected, act: answering(302, "", "Location", "https://www.example.com/"), deed: nothing},
	{cause: diagnosis.NotHomeAssistant, act: answering(200, "<html>It works!</html>"), deed: nothing},
	{cause: diagnosis.NotCloudflare, act: faulty(func(f *lab.Faults) { f.SplitDNS, f.ResolverDown = true, true }), deed: nothing},
	{cause: diagnosis.NoInternet, act: faulty(func(f *lab.Faults) { f.InternetDown = true }), deed: nothing},
	{cause: diagnosis.SupervisorAway, act: func(h *house.House) {
		answering(418, "")(h)
		h.World.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = true })
	}, deed: nothing},
}

// onLocalhost is a home whose public name is localhost, so that the tunnel's rules, which
// know names only, can be followed to Home Assistant.
func onLocalhost(local bool) lab.Options {
	apps := lab.DefaultAddOns()
	options := strings.Replace(string(apps[0].Options), lab.PublicHost, "localhost", 1)
	if local {
		options = strings.Replace(options, lab.TunnelToken, "", 1)
	}
	apps[0].Options = json.RawMessage(options)
	return lab.Options{SplitDNS: true, AddOns: apps}
}

// restartedWith has a person restart the app while something keeps it from running.
func restartedWith(h *house.House, change func(*lab.Faults)) {
	h.World.ChangeFaults(change)
	if err := h.World.User.Restarts(lab.DefaultSlug); err != nil {
		h.Fatal(err)
	}
}

// slowToReturn makes QUIC connections that broke take long to stand again.
func slowToReturn(o lab.Options) lab.Options {
	o.Timings = lab.RealTimings()
	o.Timings.BackOverQUIC = 40 * time.Second
	return o
}

// away is a home whose connections over QUIC are back so long after a break.
func away(d time.Duration) (o lab.Options) {
	o.Timings = lab.RealTimings()
	o.Timings.BackOverQUIC = d
	return o
}

func slowCore() lab.Timings {
	t := lab.RealTimings()
	t.CoreStart = 12 * time.Hour
	return t
}

// What cannot be lived here, or is no trouble of one moment, and why. Their remedies
// must not be ones that act, or they belong into the table.
var notLived = map[diagnosis.Cause]string{
	diagnosis.Unknown:                   "it is what no row fits",
	diagnosis.StrippedEverywhere:        "decided by an incident's history: TestARestart… in internal/policy",
	diagnosis.ClientsFailProbeFine:      "decided by the counters of hours: addon's witness tests",
	diagnosis.ClientsCloseDuringSignIn:  "told while all checks succeed: TestBrowsersThatBreakTheSignInOff",
	diagnosis.PageStale:                 "told while all checks succeed: TestAStalePageIsToldAndNotTreated",
	diagnosis.SignInUnanswered:          "takes a Home Assistant that does not answer a sign-in: the matrix of doctor",
	diagnosis.ProxyBetween:              "takes a proxy on a real socket: the matrix of doctor",
	diagnosis.ClientCertificateRequired: "takes TLS: the matrix of doctor",
	diagnosis.ClientCertificateRefused:  "takes TLS: the matrix of doctor",
	diagnosis.NotProxied:                "takes TLS and a resolver: the matrix of doctor",
	diagnosis.ResolverFailed:            "takes a resolver of the house's own: addon's resolver tests",
	diagnosis.TLSFailed:                 "takes TLS: the matrix of doctor",
	diagnosis.ConnectorMissing:          "with the app gone there is nothing to watch: the tests of a change of target",
	diagnosis.TunnelDown:                "it passes within a minute, or is quic-blocked or connector-hung by then",
	diagnosis.WebSocketsDisabled:        "the daemon hears of the zone's switch once a day: the matrix of doctor",
}

// TestEveryCauseIsTreatedAsItsRemedySays lives every cause of the catalogue with the
// whole daemon. A new cause without a row here fails.
func TestEveryCauseIsTreatedAsItsRemedySays(t *testing.T) {
	rows := make([]string, len(causes))
	var told transcripts
	t.Run("causes", func(t *testing.T) {
		for i, c := range causes {
			name := c.cause.String()
			if c.what != "" {
				name += " (" + c.what + ")"
			}
			t.Run(name, func(t *testing.T) {
				if testing.Short() && i%12 != 1 {
					t.Skip("one in twelve with -short")
				}
				t.Parallel()
				rows[i] = live(t, c, name, &told)
			})
		}
	})
	told.check(t)
	t.Log("\n" + strings.Join(slices.DeleteFunc(rows, func(s string) bool { return s == "" }), "\n"))
	for _, row := range diagnosis.Catalogue() {
		has := slices.ContainsFunc(causes, func(c lived) bool { return c.cause == row.Cause })
		acts := row.Remedy == diagnosis.Rotate || row.Remedy == diagnosis.Restart || row.Remedy == diagnosis.Start
		switch _, excused := notLived[row.Cause]; {
		case !has && !excused:
			t.Errorf("%s has no row: how does a home live it, and what has the daemon to do?", row.ID)
		case !has && acts:
			t.Errorf("%s has the remedy %s, so it must be seen to be treated", row.ID, row.Remedy)
		}
	}
}

// logged sees to it that the log tells the story: that all was well, what went wrong,
// and that it works again.
func logged(h *house.House, cause diagnosis.Cause, ended bool) {
	h.Helper()
	log := h.Log()
	if !strings.Contains(log, "All well: ") {
		h.Error("the log does not say that all was well")
	}
	warned := strings.Contains(log, fmt.Sprintf(`"level":"warn","cause":%q`, cause))
	if cause == diagnosis.Healthy {
		if warned {
			h.Error("the log warns, and all was well")
		}
	} else if !warned && !cause.ChecksSucceed() {
		h.Errorf("the log does not warn of %s", cause)
	}
	if ended && !strings.Contains(log, "works again, after ") {
		h.Error("the log does not say that it works again")
	}
}

// live is one home with one cause; it gives a line for the table.
func live(t *testing.T, c lived, name string, told *transcripts) (row string) {
	within := c.within
	switch {
	case within > 0:
	case *house.Long:
		within = 8 * time.Hour
	default:
		within = 40 * time.Minute
	}
	house.Run(t, c.opt, c.env, func(h *house.House) {
		w := h.World
		h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().Diagnosis.Cause == diagnosis.Healthy })
		h.Sleep(10 * time.Minute)
		before := w.Supervisor.RunParameters()
		if c.act != nil {
			c.act(h)
		}
		began := time.Now()
		named := time.Duration(-1)
		saw := func() bool {
			if named < 0 && h.Status().Diagnosis.Cause == c.cause {
				named = time.Since(began)
			}
			return named >= 0
		}
		if c.deed == nothing {
			if !h.Comes(within/2, saw) {
				h.Errorf("never called %s, but %s", c.cause, h.Status().Diagnosis.Cause)
			}
			h.Sleep(within - time.Since(began))
			if done := meddled(w); len(done) > 0 {
				h.Errorf("done: %v", done)
			}
			logged(h, c.cause, false)
			told.take(h, c, began)
			row = fmt.Sprintf("%-60s seen after %8s   nothing is done for %s", name, named.Round(time.Second), within)
			return
		}
		open := h.Comes(within, func() bool { saw(); return len(meddled(w)) > 0 && w.OpenShare() == 1 })
		took := time.Since(began)
		if !open {
			s := h.Status()
			h.Fatalf("not open after %s: state %q, cause %q, gates %v, done %v", within, s.State, s.Diagnosis.Cause, s.Gates, meddled(w))
		}
		if named < 0 {
			h.Errorf("it was never called %s", c.cause)
		}
		changed := !slices.Equal(before, w.Supervisor.RunParameters())
		if changed != (c.deed == rotates) {
			h.Errorf("run_parameters were %v and are %v, want: %s", before, w.Supervisor.RunParameters(), c.deed)
		}
		if done := strings.Join(meddled(w), " "); c.deed == starts && strings.Contains(done, "restart") || c.deed != starts && !strings.Contains(done, "restart") {
			h.Errorf("done: %s, want: %s", done, c.deed)
		}
		h.Wait("it is well", 20*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		logged(h, c.cause, true)
		told.take(h, c, began)
		row = fmt.Sprintf("%-60s seen after %8s   %s: open again after %s", name, named.Round(time.Second), c.deed, took.Round(time.Second))
	})
	return row
}

// meddled is what the daemon asked Supervisor to do with the app.
func meddled(w *lab.World) (done []string) {
	for _, r := range w.Requests() {
		if r.Server == "supervisor" && r.Method == http.MethodPost && strings.HasPrefix(r.Path, "/addons/") && !strings.HasSuffix(r.Path, "/validate") {
			done = append(done, r.Path[strings.LastIndexByte(r.Path, '/')+1:])
		}
	}
	return done
}
