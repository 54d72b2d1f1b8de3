package sim

import (
	"math"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// finding is what the real rooms make of what a look shows.
type finding struct {
	diagnosis.Diagnosis
	sight policy.Sight
}

// findings are those of each evidence that a look in a story can show, by what its author
// means by it; and the same where the incident has shown the fault under every protocol. What
// differs from home to home and from moment to moment the sight is given then: nothing that is
// concluded hangs on it (a test holds it).
var findings = func() (all [2][math.MaxUint8 + 1]*finding) {
	for i, everywhere := range []bool{false, true} {
		for cause, e := range shown() {
			d, _ := diagnosis.Conclude(e, diagnosis.History{Everywhere: everywhere})
			all[i][cause] = &finding{d, policy.SightOf(e, d)}
		}
	}
	return all
}()

// found is what is made of a look now.
func (c *care) found(cause diagnosis.Cause) *finding {
	if c.rules.Exhausted(&c.state) {
		return findings[1][cause]
	}
	return findings[0][cause]
}

// What answers, as docs/FACTS.md has it.
const (
	noUpgrade = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."
	noOrigin  = "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared"
)

// through is an answer that came through Cloudflare.
func through(status int, body string) evidence.Look {
	return evidence.Look{Asked: "GET https://ha.example.com/api/websocket", Stage: evidence.Answered, Status: status, Body: body,
		Header: map[string]string{"Cf-Ray": "8e1f0c2a3b4d5e6f-FRA", "Server": "cloudflare"}}
}

// shown is the evidence of each look.
func shown() map[diagnosis.Cause]evidence.Evidence {
	greeted := through(101, "")
	greeted.Stage = evidence.Greeted
	base := evidence.Evidence{
		Public: greeted, Page: through(200, "{}"), Direct: evidence.Look{Stage: evidence.Greeted, Status: 101}, Internet: evidence.InternetUp,
		Connector: evidence.Connector{Asked: true, Status: 200, Ready: 4}, Core: evidence.Core{Asked: true, Status: 200, State: "RUNNING"},
		AddOn: evidence.AddOn{Asked: true, Installed: true, State: evidence.StateStarted}, Memory: evidence.Memory{Known: true, Ever: true},
	}
	with := func(change func(*evidence.Evidence)) evidence.Evidence {
		e := base
		change(&e)
		return e
	}
	// offline is a tunnel without a connection, after so much in its log.
	offline := func(log evidence.Log) evidence.Evidence {
		log.Asked, log.Registered = true, 4
		return with(func(e *evidence.Evidence) {
			e.Public, e.Page, e.Log = through(530, "error code: 1033"), through(530, "error code: 1033"), log
			e.Connector = evidence.Connector{Asked: true, Status: 503}
		})
	}
	return map[diagnosis.Cause]evidence.Evidence{
		diagnosis.Healthy:         base,
		diagnosis.UpgradeStripped: with(func(e *evidence.Evidence) { e.Public = through(400, noUpgrade) }),
		diagnosis.UpgradeRefused:  with(func(e *evidence.Evidence) { e.Public = through(502, noOrigin) }),
		diagnosis.UpgradeSilent: with(func(e *evidence.Evidence) {
			e.Public = evidence.Look{Stage: evidence.Secured, Trouble: evidence.TimedOut, Took: 10 * time.Second}
		}),
		diagnosis.TunnelDown:     offline(evidence.Log{}),
		diagnosis.QUICBlocked:    offline(evidence.Log{QUICFailed: 2}),
		diagnosis.TunnelFlapping: offline(evidence.Log{Lost: diagnosis.ManyBreaks, LostOver: quic}),
		diagnosis.NoInternet: with(func(e *evidence.Evidence) {
			gone := evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Unreachable}
			e.Public, e.Page, e.Internet, e.Connector = gone, gone, evidence.InternetDown, evidence.Connector{Asked: true, Status: 503}
		}),
		diagnosis.OriginStarting: with(func(e *evidence.Evidence) {
			e.Public, e.Page, e.Direct = through(502, noOrigin), through(502, noOrigin), evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
			e.Core = evidence.Core{Asked: true, Status: 502, Runs: evidence.On}
		}),
		diagnosis.AccessLogin: with(func(e *evidence.Evidence) {
			e.Public = through(302, "")
			e.Public.Header["Location"] = "https://home.cloudflareaccess.com/cdn-cgi/access/login"
		}),
		diagnosis.RateLimited: with(func(e *evidence.Evidence) { e.Public = through(429, "error code: 1015") }),
	}
}
