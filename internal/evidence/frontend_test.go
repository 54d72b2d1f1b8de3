package evidence_test

import (
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestAStalePageAndWhatLooksLikeOne(t *testing.T) {
	const now, old = "/frontend_latest/app.5bfbc29b601a7ab8.js", "/frontend_latest/app.1234567890abcdef.js"
	got := func(status int) evidence.Look {
		return evidence.Look{Stage: evidence.Answered, Status: status, Header: map[string]string{"Cf-Ray": "1-FRA"}}
	}
	with := func(l evidence.Look, cache string) evidence.Look { l.Header["Cf-Cache-Status"] = cache; return l }
	lost := evidence.Look{Stage: evidence.Connected, Trouble: evidence.TimedOut}
	for name, c := range map[string]struct {
		f     evidence.Frontend
		stale bool
	}{
		"not looked at":                      {evidence.Frontend{}, false},
		"the same":                           {evidence.Frontend{Page: got(200), Script: now, Entry: got(200), OwnPage: got(200), OwnScript: now, OwnEntry: got(200)}, false},
		"an old page":                        {evidence.Frontend{Page: with(got(200), "HIT"), Script: old, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(404)}, true},
		"an old page, its script cached":     {evidence.Frontend{Page: with(got(200), "HIT"), Script: old, Entry: got(200), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(404)}, true},
		"an old page, by no header":          {evidence.Frontend{Page: got(200), Script: old, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(404)}, true},
		"a cached 404":                       {evidence.Frontend{Page: got(200), Script: now, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(200)}, true},
		"a cached page that is not old":      {evidence.Frontend{Page: with(got(200), "HIT"), Script: now, Entry: got(200), OwnPage: got(200), OwnScript: now, OwnEntry: got(200)}, false},
		"being updated: 404 for both":        {evidence.Frontend{Page: got(200), Script: now, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(404)}, false},
		"updated between the two looks":      {evidence.Frontend{Page: got(200), Script: old, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(404), OldEntry: got(404)}, false},
		"both scripts are there":             {evidence.Frontend{Page: got(200), Script: old, Entry: got(200), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(200)}, false},
		"another Home Assistant":             {evidence.Frontend{Page: got(200), Script: old, Entry: got(200), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(404), Elsewhere: true}, false},
		"a login page of Access":             {evidence.Frontend{Page: got(302)}, false},
		"a page of somebody else's":          {evidence.Frontend{Page: with(got(200), "HIT")}, false},
		"Home Assistant itself says nothing": {evidence.Frontend{Page: with(got(200), "HIT"), Script: old, Entry: got(404), OwnPage: lost, OwnEntry: lost}, false},
		"the script could not be asked for":  {evidence.Frontend{Page: got(200), Script: now, Entry: lost, OwnPage: got(200), OwnScript: now, OwnEntry: got(200)}, false},
		"a script behind a login":            {evidence.Frontend{Page: got(200), Script: now, Entry: got(403), OwnPage: got(200), OwnScript: now, OwnEntry: got(200)}, false},
		"not through Cloudflare":             {evidence.Frontend{Page: evidence.Look{Stage: evidence.Answered, Status: 200}, Script: old, Entry: got(404), OwnPage: got(200), OwnScript: now, OwnEntry: got(200), OldEntry: got(404)}, false},
		"from outside, cached and gone":      {evidence.Frontend{Page: with(got(200), "HIT"), Script: old, Entry: got(404)}, true},
		"from outside, gone":                 {evidence.Frontend{Page: with(got(200), "DYNAMIC"), Script: old, Entry: got(404)}, false},
		"from outside, cached":               {evidence.Frontend{Page: with(got(200), "HIT"), Script: old, Entry: got(200)}, false},
	} {
		if got := c.f.Stale(); got != c.stale {
			t.Errorf("%s: stale %v", name, got)
		}
	}
}
