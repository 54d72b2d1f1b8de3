package journal

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

var noon = time.Date(2026, 5, 22, 12, 0, 0, 0, time.UTC)

func probe(at time.Time, ok bool, t evidence.Transport) Run {
	r := Run{From: at, To: at, N: 1, OK: ok, Counts: true, Cause: diagnosis.UpgradeStripped, Status: 400, Transport: t, Colo: "FRA", First: at.Format("150405") + "-FRA", Last: at.Format("150405") + "-FRA"}
	if ok {
		r.Cause, r.Status = diagnosis.Healthy, 101
	}
	return r
}

func TestEqualProbesInARowAreOneRun(t *testing.T) {
	var a Account
	for n := range 10 {
		a.Probe(probe(noon.Add(time.Duration(n)*time.Second), n < 3, evidence.OverQUIC))
	}
	if len(a.Runs) != 2 || a.Runs[0].N != 3 || a.Runs[1].N != 7 || a.Runs[1].First != "120003-FRA" || a.Runs[1].Last != "120009-FRA" {
		t.Fatalf("%+v", a.Runs)
	}
	if len(a.Tallies) != 1 || a.Tallies[0].Probes != 10 || a.Tallies[0].Failures != 7 {
		t.Fatalf("%+v", a.Tallies)
	}
}

func TestATallyIsOfOneStretch(t *testing.T) {
	var a Account
	for n, transport := range []evidence.Transport{evidence.OverHTTP2, evidence.OverHTTP2, evidence.OverQUIC, evidence.OverHTTP2} {
		a.Probe(probe(noon.Add(time.Duration(n)*time.Second), n > 1, transport))
	}
	if len(a.Tallies) != 3 || a.Tallies[0].Failures != 2 || a.Tallies[2].Failures != 0 || a.Tallies[2].Probes != 1 {
		t.Fatalf("before and after the change are mixed: %+v", a.Tallies)
	}
}

func TestAnAccountStaysSmallHoweverLongTheFaultLasts(t *testing.T) {
	var a Account
	first := probe(noon, false, evidence.OverQUIC)
	for n := range 100_000 {
		a.Probe(probe(noon.Add(time.Duration(n)*time.Second), n%2 == 1, evidence.OverQUIC))
		if n%1000 == 0 {
			a.Snap(Snapshot{Step: policy.StepAlarm})
			a.Change(ChangeMade{Restarts: n})
			a.Hear(evidence.Upstream{})
		}
	}
	total := a.Dropped
	for _, r := range a.Runs {
		total += r.N
	}
	if len(a.Runs) > maxRuns || len(a.Snapshots) > maxSnapshots || len(a.Changes) > maxChanges || len(a.Asked) > maxAsked {
		t.Error(len(a.Runs), len(a.Snapshots), len(a.Changes), len(a.Asked))
	}
	if !a.Runs[0].From.Equal(first.From) || total != 100_000 || a.Tallies[0].Probes != 100_000 || a.Tallies[0].Failures != 50_000 {
		t.Error("the onset or the count was lost:", a.Runs[0], total, a.Tallies)
	}
	if a.Changes[0].Restarts != 0 || a.Changes[len(a.Changes)-1].Restarts != 99_000 {
		t.Error("the first or the newest change was lost")
	}
}

func TestAnIncidentsAccountSurvives(t *testing.T) {
	j, _, err := Open(t.TempDir(), noon)
	if err != nil {
		t.Fatal(err)
	}
	i := Incident{ID: "20260522T120000Z", Onset: noon, Cause: diagnosis.UpgradeStripped}
	i.Account.Probe(probe(noon, false, evidence.OverQUIC))
	i.Account.Snap(Snapshot{At: noon, Step: policy.StepAlarm, Public: &Answer{Asked: "GET https://ha.example.com/api/websocket", Status: 400, Header: map[string]string{"Cf-Ray": "x-FRA"}, Body: "No WebSocket UPGRADE hdr: None"}})
	i.Account.Hear(evidence.Upstream{At: noon, Zone: "example.com", WebSockets: &evidence.Setting{Value: "on"}, Rules: []evidence.RuleSet{{ID: "r", Version: "3300", Updated: noon}}})
	if err := j.Write(i); err != nil {
		t.Fatal(err)
	}
	back, ok := j.Incident(i.ID)
	if !ok || !reflect.DeepEqual(back.Account, i.Account) {
		t.Errorf("%+v\n%+v", back.Account, i.Account)
	}
}

func TestRulesAndVersionsAreNotedWhenTheyChange(t *testing.T) {
	var h History
	set := func(v string, at time.Time) []evidence.RuleSet {
		return []evidence.RuleSet{{ID: "r", Name: "DDoS L7 ruleset", Version: v, Updated: at}}
	}
	if !h.Rules(noon, set("3299", noon.Add(-100*time.Hour))) || h.Rules(noon.Add(24*time.Hour), set("3299", noon.Add(-100*time.Hour))) || !h.Rules(noon.Add(48*time.Hour), set("3300", noon.Add(40*time.Hour))) {
		t.Error("a push was missed or seen twice")
	}
	if len(h.Pushes) != 2 || !h.Pushes[1].At.Equal(noon.Add(40*time.Hour)) {
		t.Errorf("%+v", h.Pushes)
	}
	if !h.Note(noon, Versions{Cloudflared: "2026.5.0", Core: "2026.5.1"}, Settings{}) || h.Note(noon, Versions{Cloudflared: "2026.5.0"}, Settings{}) || !h.Note(noon.Add(time.Hour), Versions{Cloudflared: "2026.5.1"}, Settings{}) {
		t.Error("a version was missed or seen twice")
	}
	if last := h.Versions[len(h.Versions)-1]; last.Was != "2026.5.0" || last.Version != "2026.5.1" {
		t.Errorf("%+v", last)
	}
}

func TestTheHistorySurvivesAndStaysSmall(t *testing.T) {
	dir := t.TempDir()
	j, _, err := Open(dir, noon)
	if err != nil {
		t.Fatal(err)
	}
	var h History
	h.TimeZone = "Europe/Berlin"
	for n := range 1000 {
		at := noon.AddDate(0, 0, n)
		h.Day(at).Lose("upgrade-stripped", time.Minute)
		h.Rules(at, []evidence.RuleSet{{ID: "r", Version: at.Format("0102"), Updated: at}})
		h.Note(at, Versions{Cloudflared: at.Format("0102")}, Settings{})
	}
	if err := j.WriteHistory(h); err != nil {
		t.Fatal(err)
	}
	h.Version = version
	if back := j.History(); !reflect.DeepEqual(back, h) {
		t.Error("it came back otherwise")
	}
	s, err := os.Stat(filepath.Join(dir, "history.json.gz"))
	if err != nil || s.Size() > 16<<10 || len(h.Days) != keptDays {
		t.Error(s.Size(), err, len(h.Days))
	}
}

func TestABrokenHistoryIsAnEmptyOne(t *testing.T) {
	for name, raw := range map[string]string{"not gzip": "hello", "empty": "", "cut off": "\x1f\x8b\x08\x00\x00"} {
		dir := t.TempDir()
		j, _, err := Open(dir, noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "history.json.gz"), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if h := j.History(); len(h.Days) != 0 || h.Version != version {
			t.Error(name, h)
		}
	}
}

func TestAReaderTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	j, _, err := Open(dir, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Write(Incident{ID: "20260522T120000Z"}); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, ".new-123") // what a daemon is just writing
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Reader(dir)
	if err != nil || len(r.Incidents()) != 1 {
		t.Error(err)
	}
	if _, err := os.Stat(half); err != nil {
		t.Error("the daemon's file was swept away")
	}
	if _, err := Reader(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

func TestAClockSetBackLosesNoDay(t *testing.T) {
	var h History
	h.Day(noon).Restarts++
	h.Day(noon.AddDate(0, 0, -3)).Restarts++
	if len(h.Days) != 1 || h.Days[0].Restarts != 2 {
		t.Errorf("%+v", h.Days)
	}
}
