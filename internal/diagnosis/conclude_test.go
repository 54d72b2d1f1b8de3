package diagnosis_test

import (
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// everywhere concludes where every protocol has failed.
func everywhere(e evidence.Evidence) diagnosis.Diagnosis {
	d, _ := diagnosis.Conclude(e, diagnosis.History{Everywhere: true})
	return d
}

// staleStart is a start page that names a script which is gone.
func staleStart() evidence.Frontend {
	return evidence.Frontend{Page: through(200, ""), Script: "/frontend_latest/app.1.js", Entry: through(404, ""), OldEntry: through(404, ""),
		OwnPage: through(200, ""), OwnScript: "/frontend_latest/app.2.js", OwnEntry: through(200, "")}
}

// byAnother lets another connector than ours carry the probe.
func byAnother(e *evidence.Evidence) {
	e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 7})
}

// carriedError lets this house's connector fail to pass the probe on.
func carriedError(e *evidence.Evidence) {
	e.Connector = carried(evidence.Counters{Requests: 7}, evidence.Counters{Requests: 8, Errors: 1})
}

// What the history makes of a moment's evidence, each row beside its near-misses. The sign
// and the vote stay the moment's own: the policy counts by them.
func TestTheHistoryMakesOtherCausesOfTheSameSign(t *testing.T) {
	well := stripped()
	well.Public = greeted()
	kept := func(m evidence.Memory) evidence.Evidence {
		return with(stripped(), func(e *evidence.Evidence) { e.Memory = m })
	}
	public := func(l evidence.Look) evidence.Evidence {
		return with(kept(evidence.Memory{Known: true}), func(e *evidence.Evidence) { e.Public = l })
	}
	breaks := with(offline(), func(e *evidence.Evidence) { e.Log.Lost = 9 })
	never, before := evidence.Memory{Known: true}, evidence.Memory{Known: true, Ever: true}
	stale := with(well, func(e *evidence.Evidence) { e.Frontend = staleStart() })
	tried, open := diagnosis.History{Everywhere: true}, diagnosis.History{}

	for rule, c := range map[string]struct {
		e    evidence.Evidence
		h    diagnosis.History
		want diagnosis.Cause
		vote diagnosis.Vote
	}{
		"lost under every protocol, where it worked before": {kept(before), tried, diagnosis.StrippedEverywhere, diagnosis.Fails},
		"where it never worked":                             {kept(never), tried, diagnosis.WebSocketsDisabled, diagnosis.Fails},
		"where nobody kept count":                           {kept(evidence.Memory{}), tried, diagnosis.StrippedEverywhere, diagnosis.Fails},
		"where Cloudflare says that WebSockets are on": {with(kept(never), func(e *evidence.Evidence) { e.Zone.WebSockets = evidence.On }), tried,
			diagnosis.StrippedEverywhere, diagnosis.Fails},
		"in silence, which the switch does not look like": {public(evidence.Look{Stage: evidence.Secured, Trouble: evidence.TimedOut, Took: 10 * time.Second}), tried,
			diagnosis.StrippedEverywhere, diagnosis.Fails},
		"refused by cloudflared":                          {with(public(through(502, "Unable to reach the origin service")), carriedError), tried, diagnosis.StrippedEverywhere, diagnosis.Fails},
		"before every protocol was tried":                 {kept(never), open, diagnosis.UpgradeStripped, diagnosis.Fails},
		"a good check amid it":                            {well, tried, diagnosis.Healthy, diagnosis.Works},
		"the tunnel is down meanwhile":                    {offline(), tried, diagnosis.TunnelDown, diagnosis.Abstains},
		"no connection over QUIC, after all were tried":   {with(offline(), func(e *evidence.Evidence) { e.Log.QUICFailed = 2 }), tried, diagnosis.QUICBlocked, diagnosis.Fails},
		"it breaks again and again, after all were tried": {breaks, tried, diagnosis.TunnelFlapping, diagnosis.Fails},
		"an old start page":                               {stale, open, diagnosis.PageStale, diagnosis.Works},
		"an old start page, where nothing gets through":   {with(stripped(), func(e *evidence.Evidence) { e.Frontend = staleStart() }), open, diagnosis.UpgradeStripped, diagnosis.Fails},
		"an old start page, reached by another connector": {with(stale, byAnother), open, diagnosis.PageStale, diagnosis.Abstains},
	} {
		t.Run(rule, func(t *testing.T) {
			alone := diagnosis.Of(c.e)
			d, _ := diagnosis.Conclude(c.e, c.h)
			if d.Cause != c.want || d.Vote != c.vote {
				t.Errorf("taken for %s, which says %v; want %s and %v: %v", d.Cause, d.Vote, c.want, c.vote, words.English().Seen(c.e))
			}
			if d.Sign != alone.Sign || d.Vote != alone.Vote {
				t.Errorf("its sign is %s and says %v, the moment's own %s and %v", d.Sign, d.Vote, alone.Sign, alone.Vote)
			}
		})
	}
}

func TestWhatChangedJustBeforeIsToldWithTroubleAlone(t *testing.T) {
	onset := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	change := func(ago time.Duration, part, was, is string) diagnosis.Change {
		return diagnosis.Change{Part: part, Was: was, Version: is, At: onset.Add(-ago)}
	}
	h := diagnosis.History{Onset: onset, Changes: []diagnosis.Change{
		change(40*24*time.Hour, "Supervisor", "", "2026.11.0"),
		change(25*time.Hour, "Home Assistant Core", "2026.8.2", "2026.8.3"), // too long ago
		change(4*time.Hour, "Supervisor", "2026.11.0", "2026.11.1"),         // of four, the nearest three
		change(3*time.Hour, "Cloudflared add-on", "6.0.2", "6.0.3"),
		change(40*time.Minute, "Home Assistant Core", "2026.8.3", "2026.9.0"),
		change(-10*time.Minute, "Home Assistant's port", "8123", "80"), // seen only then
		change(-20*time.Minute, "cloudflared", "2026.8.1", "2026.8.2"), // that was later
	}}
	e := stripped()
	e.At = onset.Add(time.Hour)
	told := func() (list []string) {
		d, _ := diagnosis.Conclude(e, h)
		for _, c := range d.Changed {
			list = append(list, c.Part+" "+c.Version+", "+c.Before.String())
		}
		return list
	}
	want := []string{"Home Assistant's port 80, -10m0s", "Home Assistant Core 2026.9.0, 40m0s", "Cloudflared add-on 6.0.3, 3h0m0s"}
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	h.Onset, h.Sign, h.Since = time.Time{}, diagnosis.UpgradeStripped, onset // without an incident, since this has been the sign
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("since this was seen: %q", got)
	}
	h.Sign = diagnosis.NoInternet // which this is not: it begins now
	if got := told(); len(got) != 3 || got[2] != "Home Assistant Core 2026.9.0, 1h40m0s" {
		t.Errorf("from now on: %q", got)
	}
	e.Public = greeted()
	if got := told(); got != nil {
		t.Errorf("told of while all is well: %q", got)
	}
}
