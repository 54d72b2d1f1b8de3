package diagnosis_test

import (
	"encoding/json"
	"testing"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// Where each cause lies, as somebody would point at it who knows the way. Of one that is
// not here nobody has thought.
var places = map[diagnosis.Place][]string{
	diagnosis.Nowhere:      {"healthy", "unknown", "supervisor-away"},
	diagnosis.AtVisitors:   {"clients-fail-probe-fine", "clients-close-during-sign-in"},
	diagnosis.ToCloudflare: {"not-proxied", "not-cloudflare", "hostname-unknown", "tls-failed", "edge-unreachable", "resolver-failed"},
	diagnosis.AtCloudflare: {"challenged", "rate-limited", "record-not-tunnel", "access-denied", "access-login", "client-certificate-refused",
		"client-certificate-required", "firewalled", "redirect-loop", "redirected", "websockets-disabled", "tunnel-misrouted", "cloudflare-error",
		"stripped-everywhere", "page-stale"},
	diagnosis.AtTunnel: {"other-connector", "waiting-for-login", "upgrade-stripped", "upgrade-mangled", "upgrade-refused", "upgrade-silent",
		"connector-missing", "start-refused", "connector-stopped", "no-internet", "connector-rejected", "edge-unroutable", "quic-blocked",
		"tunnel-blocked", "tunnel-flapping", "connector-hung", "tunnel-down"},
	diagnosis.ToHomeAssistant: {"proxy-between", "origin-moved", "origin-refused", "proxy-refuses", "origin-misconfigured", "hostname-unrouted", "not-home-assistant"},
	diagnosis.AtHomeAssistant: {"sign-in-unanswered", "probe-banned", "forwarded-header", "proxy-not-trusted", "origin-starting", "origin-down", "origin-silent"},
}

func TestEveryCauseHasItsPlaceOnTheWay(t *testing.T) {
	want := map[string]diagnosis.Place{}
	for p, ids := range places {
		for _, id := range ids {
			want[id] = p
		}
	}
	for _, row := range diagnosis.Catalogue() {
		p, thought := want[row.ID]
		if got := row.Cause.Place(); !thought || got != p {
			t.Errorf("%s lies %v, want %v (thought of: %v)", row.ID, got, p, thought)
		}
		delete(want, row.ID)
	}
	if len(want) > 0 {
		t.Errorf("no causes: %v", want)
	}
}

func TestTheWayIsMarkedWhereTheCauseLiesAndNothingUnseenIsWell(t *testing.T) {
	const unseen, passes, silent, breaks, ends, doubtful = diagnosis.Unseen, diagnosis.Passes, diagnosis.Silent, diagnosis.Breaks, diagnosis.Ends, diagnosis.Doubtful
	well := evidence.Evidence{Public: evidence.Look{Stage: evidence.Greeted, Status: 101, Header: map[string]string{"Cf-Ray": "1-FRA"}}}
	type E = evidence.Evidence
	for name, c := range map[string]struct {
		e    E
		want [6]diagnosis.Sight // visitors, to Cloudflare, Cloudflare, tunnel, to Home Assistant, Home Assistant
	}{
		"all is well":                     {well, [6]diagnosis.Sight{unseen, passes, passes, passes, passes, passes}},
		"nothing was looked at":           {E{}, [6]diagnosis.Sight{}},
		"well, but an old start page":     {with(well, func(e *E) { e.Frontend = stale() }), [6]diagnosis.Sight{unseen, passes, doubtful, passes, passes, passes}},
		"the upgrade is lost, pages load": {stripped(), [6]diagnosis.Sight{unseen, passes, passes, breaks, passes, passes}},
		"the page came from Cloudflare's cache": {with(stripped(), func(e *E) { e.Page.Header = map[string]string{"Cf-Ray": "1-FRA", "Cf-Cache-Status": "HIT"} }),
			[6]diagnosis.Sight{unseen, passes, passes, breaks, unseen, passes}},
		"no connection":                         {offline(), [6]diagnosis.Sight{unseen, passes, passes, breaks, unseen, passes}},
		"the tunnel leads to a dead port":       {newPort(), [6]diagnosis.Sight{unseen, passes, passes, passes, breaks, passes}},
		"Home Assistant is down":                {with(badGateway(), func(e *E) { e.Direct, e.Core = refused(), evidence.Core{Asked: true, Status: 502} }), [6]diagnosis.Sight{unseen, passes, passes, passes, unseen, breaks}},
		"a login page":                          {login(), [6]diagnosis.Sight{unseen, passes, ends, passes, unseen, passes}},
		"the name does not exist":               {E{Public: evidence.Look{Stage: evidence.Asked, Trouble: evidence.NameNotFound}}, [6]diagnosis.Sight{unseen, breaks}},
		"no such name, and Home Assistant dead": {E{Public: evidence.Look{Stage: evidence.Asked, Trouble: evidence.NameNotFound}, Direct: refused()}, [6]diagnosis.Sight{unseen, breaks, unseen, unseen, unseen, silent}},
	} {
		d := diagnosis.Of(c.e)
		if got := diagnosis.WayIn(c.e, d); [6]diagnosis.Sight(got[1:]) != c.want {
			t.Errorf("%s (%v): %v, want %v", name, d.Cause, got[1:], c.want)
		}
	}
	raw, err := json.Marshal(diagnosis.WayIn(well, diagnosis.Of(well)))
	if want := `{"cloudflare":"passes","home-assistant":"passes","to-cloudflare":"passes","to-home-assistant":"passes","tunnel":"passes","visitors":"unseen"}`; err != nil || string(raw) != want {
		t.Errorf("%s %v", raw, err)
	}
	var back diagnosis.Way
	if err := json.Unmarshal(raw, &back); err != nil || back != diagnosis.WayIn(well, diagnosis.Of(well)) {
		t.Errorf("%v came back: %v", back, err)
	}
}

func refused() evidence.Look {
	return evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused}
}

// stale is a start page that names scripts which Home Assistant does not have any more.
func stale() evidence.Frontend {
	got := func(status int) evidence.Look {
		return evidence.Look{Stage: evidence.Answered, Status: status, Header: map[string]string{"Cf-Ray": "1-FRA"}}
	}
	return evidence.Frontend{Page: got(200), Script: "/old.js", Entry: got(404), OwnPage: got(200), OwnScript: "/new.js", OwnEntry: got(200), OldEntry: got(404)}
}

// login is Cloudflare Access asking for a login, with all well behind it.
func login() evidence.Evidence {
	e := stripped()
	e.Public = evidence.Look{Stage: evidence.Answered, Status: 302, Header: map[string]string{"Cf-Ray": "1-FRA", "Location": "https://team.cloudflareaccess.com/cdn-cgi/access/login"}}
	e.Page = e.Public
	return e
}
