package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

var dawn = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func recording(t *testing.T) (*journal.Chronicle, *journal.Journal, string) {
	t.Helper()
	dir := t.TempDir()
	j, _, err := journal.Open(dir, dawn)
	if err != nil {
		t.Fatal(err)
	}
	say := func(evidence.Evidence, diagnosis.Diagnosis) map[string]string {
		return map[string]string{"public": "as it was"}
	}
	return journal.NewChronicle(j, "1", 2*time.Minute, say), j, dir
}

// seen is a look as the probe makes it.
func seen(at time.Time, ok bool) (journal.Seen, time.Time) {
	l := evidence.Look{Asked: "GET https://ha.example.com/api/websocket", At: at, Took: 30 * time.Millisecond, Stage: evidence.Greeted, Status: 101, HAVersion: "2026.11.2", Header: map[string]string{"Cf-Ray": at.Format("20060102150405") + "00-FRA"}}
	d := diagnosis.Diagnosis{Cause: diagnosis.Healthy, Sign: diagnosis.Healthy, Vote: diagnosis.Works}
	if !ok {
		l.Stage, l.Status, l.HAVersion, l.Body = evidence.Answered, 400, "", "No WebSocket UPGRADE hdr: None"
		d = diagnosis.Diagnosis{Cause: diagnosis.UpgradeStripped, Sign: diagnosis.UpgradeStripped, Vote: diagnosis.Fails, Remedy: diagnosis.Rotate}
	}
	e := evidence.Evidence{At: at, Public: l, Connector: evidence.Connector{Asked: true, Status: 200, Ready: 4, Transport: evidence.OverQUIC, Counters: &evidence.Counters{Version: "2026.8.2"}}, AddOn: evidence.AddOn{Version: "6.0.3"}}
	return journal.Seen{Evidence: e, Diagnosis: d, Transport: evidence.OverQUIC}, at
}

func TestAHealthyDayIsWrittenInLittle(t *testing.T) {
	c, _, dir := recording(t)
	var written int64
	var last os.FileInfo
	for day := range 40 { // a full history is the largest
		if day == 39 {
			written = 0
		}
		for at := dawn.AddDate(0, 0, day); at.Before(dawn.AddDate(0, 0, day+1)); at = at.Add(2 * time.Minute) {
			c.Look(seen(at, true))
			c.File(at)
			if s, err := os.Stat(filepath.Join(dir, "history.json.gz")); err == nil && (last == nil || !os.SameFile(s, last)) {
				written, last = written+s.Size(), s
			}
		}
	}
	if written == 0 || written > 100<<10 {
		t.Errorf("%d bytes on the last of the days", written)
	}
	h := c.History()
	if d := h.Days[20]; d.Watched != 24*time.Hour || d.Lost != 0 {
		t.Errorf("%+v", d)
	}
}

func TestTimeCutOffIsThatBeforeEachFailedProbe(t *testing.T) {
	c, _, _ := recording(t)
	at := dawn
	for _, ok := range []bool{true, true, false, false, true} {
		c.Look(seen(at, ok))
		at = at.Add(2 * time.Minute)
	}
	d := c.History().Days[0]
	if d.Watched != 8*time.Minute || d.Lost != 4*time.Minute || d.LostBy["upgrade-stripped"] != 4*time.Minute {
		t.Errorf("%+v", d)
	}
	c.Look(seen(at.Add(10*time.Hour), false)) // the machine was off
	if d := c.History().Days[0]; d.Lost != 4*time.Minute {
		t.Error("time that nobody watched counts as cut off:", d.Lost)
	}
}

func TestAnIncidentsAccountBeginsBeforeItsAlarm(t *testing.T) {
	c, _, _ := recording(t)
	at := dawn
	for range 5 {
		c.Look(seen(at, true))
		at = at.Add(2 * time.Minute)
	}
	onset := at
	for range 4 {
		c.Look(seen(at, false))
		at = at.Add(2 * time.Second)
	}
	ask := c.Tell(in("20261121T001000Z", onset), "homeassistant_cloudflared", "https://ha.example.com", []policy.Step{{At: at, Kind: policy.StepAlarm}}, at)
	if ask == nil || ask != c.Open() {
		t.Fatal("an alarm is nothing to ask Cloudflare about")
	}
	a := ask.Account
	if len(a.Runs) != 2 || !a.Runs[0].OK || a.Runs[0].N != 5 || a.Runs[1].N != 4 || a.Runs[1].OK || a.Runs[1].First != onset.Format("20060102150405")+"00-FRA" {
		t.Errorf("%+v", a.Runs)
	}
	if len(a.Tallies) != 1 || a.Tallies[0].Failures != 4 || a.Tallies[0].Probes != 4 {
		t.Errorf("the good probes before the onset count: %+v", a.Tallies)
	}
	if len(a.Snapshots) != 1 || a.Snapshots[0].Public.Body != "No WebSocket UPGRADE hdr: None" || a.Lost != 8*time.Second {
		t.Errorf("%+v %s", a.Snapshots, a.Lost)
	}
	if v := a.Versions; v.Cloudflared != "2026.8.2" || v.AddOn != "6.0.3" {
		t.Errorf("%+v", v)
	}
}

// in is the state amid an incident.
func in(id string, onset time.Time) (s policy.State) {
	s.Incident = &policy.Incident{ID: id, Onset: onset, Cause: diagnosis.UpgradeStripped}
	return s
}

func TestWhatOthersMetIsCountedApartFromOurProbes(t *testing.T) {
	c, _, _ := recording(t)
	c.Tell(in("20261121T000000Z", dawn), "", "", []policy.Step{{At: dawn, Kind: policy.StepAlarm}}, dawn)
	at := dawn
	for _, step := range []struct {
		say                 string
		before, after, page uint64
		counted             uint64
	}{
		{"what was before the first reading counts", 5, 6, 0, 0},
		{"what came between the probes does not count", 9, 10, 11, 3},
		{"our own page counts", 11, 12, 0, 3},
		{"a new process's count is compared with the old one's", 2, 3, 0, 3},
	} {
		at = at.Add(time.Minute)
		s, _ := seen(at, false)
		s.Evidence.Connector = evidence.Connector{Before: reading(step.before), Counters: reading(step.after)}
		if step.page > 0 {
			s.Evidence.Connector.AfterPage = reading(step.page)
		}
		c.Look(s, at)
		if n := c.Open().Account.Missed400; n != step.counted {
			t.Errorf("%s: %d instead of %d", step.say, n, step.counted)
		}
	}
}

func reading(n uint64) *evidence.Counters {
	return &evidence.Counters{Requests: 10 * n, Codes: map[int]uint64{400: n}}
}

// Our own restart cuts people off, too; that time is not the fault's.
func TestTimeThatAChangeTakesIsOurs(t *testing.T) {
	c, _, _ := recording(t)
	c.Look(seen(dawn, true))
	at := dawn.Add(2 * time.Minute)
	c.Look(seen(at, false))
	c.Tell(in("20261121T000200Z", at), "", "", []policy.Step{{At: at, Kind: policy.StepAlarm}}, at)
	c.Begin(at)
	at = at.Add(12 * time.Second)
	c.Made(journal.ChangeMade{Purpose: policy.Trial, To: evidence.HTTP2, Restarts: 1}, at)
	at = at.Add(3 * time.Second)
	c.Look(seen(at, true))
	d, a := c.History().Days[0], c.Open().Account
	if d.LostByUs != 12*time.Second || d.Restarts != 1 || d.Lost != 2*time.Minute+12*time.Second {
		t.Errorf("the day: %+v", d)
	}
	if len(a.Changes) != 1 || a.Changes[0].Took != 12*time.Second || a.LostByUs != 12*time.Second {
		t.Errorf("the incident: %+v", a)
	}
}

func TestAStoryEndsWithItsLastStepAndOutlivesARestart(t *testing.T) {
	c, j, _ := recording(t)
	at := dawn
	for range 3 {
		c.Look(seen(at, false))
		at = at.Add(time.Minute)
	}
	s := in("20261121T000000Z", dawn)
	s.Set = evidence.HTTP2
	c.Tell(s, "", "", []policy.Step{{At: at, Kind: policy.StepAlarm}}, at)
	if ask := c.Tell(s, "", "", []policy.Step{{At: at, Kind: policy.StepRefused, Protocol: evidence.QUIC}}, at); ask != nil {
		t.Error("a protocol given up is a question to Cloudflare")
	}
	again := journal.NewChronicle(j, "1", 2*time.Minute, nil)
	again.TakeUp(s.Story())
	if i := again.Open(); i == nil || len(i.Steps) != 2 || i.Account.Versions.Cloudflared != "2026.8.2" {
		t.Fatalf("after a restart: %+v", i)
	}
	at = at.Add(time.Minute)
	c.Tell(policy.State{}, "", "", []policy.Step{{At: at, Kind: policy.StepRecovered}}, at)
	kept, _ := j.Incident("20261121T000000Z")
	if c.Open() != nil || !kept.Ended.Equal(at) || kept.Outcome != policy.StepRecovered || len(kept.Account.Snapshots) != 3 {
		t.Errorf("%+v", kept)
	}
	c.Tell(policy.State{}, "", "", []policy.Step{{At: at, Kind: policy.StepUser}}, at) // belongs to none
	if kept, _ := j.Incident("20261121T000000Z"); len(kept.Steps) != 3 {
		t.Error("a step without an incident is written into the last one")
	}
}

// What Cloudflare says of an incident that is over is kept with it, and each reason why it
// says nothing is new once.
func TestAnAnswerFindsItsIncident(t *testing.T) {
	c, j, _ := recording(t)
	c.Look(seen(dawn, false))
	id := "20261121T000000Z"
	c.Tell(in(id, dawn), "", "", []policy.Step{{At: dawn, Kind: policy.StepAlarm}}, dawn)
	up := evidence.Upstream{At: dawn, Troubles: []evidence.Gap{{Kind: evidence.GapRight, Of: evidence.AskedRecord}}}
	if news := c.Hear(up, id, dawn); len(news) != 1 {
		t.Error("news:", news)
	}
	c.Tell(policy.State{}, "", "", []policy.Step{{At: dawn, Kind: policy.StepRecovered}}, dawn)
	if news := c.Hear(up, id, dawn.Add(time.Hour)); len(news) != 0 {
		t.Error("said again:", news)
	}
	c.Hear(up, "", dawn.Add(time.Hour))
	if kept, _ := j.Incident(id); len(kept.Account.Asked) != 2 {
		t.Errorf("%d answers", len(kept.Account.Asked))
	}
}

// A fault may be there when the program starts, before it is known what is installed; and what is
// known does not go because Supervisor cannot be asked.
func TestAnIncidentNamesTheVersionsThoughTheyAreToldLater(t *testing.T) {
	c, j, _ := recording(t)
	c.Look(seen(dawn, false))
	id := "20261121T000000Z"
	c.Tell(in(id, dawn), "", "", []policy.Step{{At: dawn, Kind: policy.StepAlarm}}, dawn)
	c.Installed(dawn, journal.Versions{Supervisor: "2026.11.1", OS: "17.2", Machine: "generic-x86-64"}, journal.Settings{})
	c.Installed(dawn.Add(10*time.Minute), journal.Versions{}, journal.Settings{})
	c.Installed(dawn.Add(20*time.Minute), journal.Versions{Supervisor: "2026.11.2", OS: "17.2"}, journal.Settings{})
	c.Close(dawn.Add(20 * time.Minute))
	if kept, _ := j.Incident(id); kept.Account.Versions != (journal.Versions{Cloudflared: "2026.8.2", AddOn: "6.0.3", Supervisor: "2026.11.1", OS: "17.2", Machine: "generic-x86-64", Medic: "1"}) {
		t.Errorf("%+v", kept.Account.Versions)
	}
	c.Tell(policy.State{}, "", "", []policy.Step{{At: dawn, Kind: policy.StepRecovered}}, dawn.Add(30*time.Minute))
	c.Installed(dawn.Add(40*time.Minute), journal.Versions{}, journal.Settings{})
	again := dawn.Add(time.Hour)
	c.Look(seen(again, false))
	c.Tell(in("20261121T010000Z", again), "", "", []policy.Step{{At: again, Kind: policy.StepAlarm}}, again)
	if v := c.Open().Account.Versions; v.Supervisor != "2026.11.2" {
		t.Errorf("%+v", v)
	}
}
