package medic

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/upstream"
)

var dawn = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func recording(t *testing.T) (*Medic, string) {
	t.Helper()
	dir := t.TempDir()
	j, _, err := journal.Open(dir, dawn)
	if err != nil {
		t.Fatal(err)
	}
	m := New(Settings{Version: "1", Rules: policy.Rules{Interval: 2 * time.Minute, Burst: 2 * time.Second, Budget: 6}}, nil, j, zerolog.Nop())
	m.target.URL = &url.URL{Scheme: "https", Host: "ha.example.com"}
	return m, dir
}

// seen is a look as the probe makes it.
func seen(at time.Time, ok bool) (evidence.Evidence, diagnosis.Diagnosis) {
	l := evidence.Look{Asked: "GET https://ha.example.com/api/websocket", At: at, Took: 30 * time.Millisecond, Stage: evidence.Greeted, Status: 101, HAVersion: "2026.11.2", Header: map[string]string{"Cf-Ray": at.Format("20060102150405") + "00-FRA"}}
	d := diagnosis.Diagnosis{Cause: diagnosis.Healthy, Sign: diagnosis.Healthy, Vote: diagnosis.Works}
	if !ok {
		l.Stage, l.Status, l.HAVersion, l.Body = evidence.Answered, 400, "", "No WebSocket UPGRADE hdr: None"
		d = diagnosis.Diagnosis{Cause: diagnosis.UpgradeStripped, Sign: diagnosis.UpgradeStripped, Vote: diagnosis.Fails, Remedy: diagnosis.Rotate}
	}
	e := evidence.Evidence{At: at, Public: l, Connector: evidence.Connector{Asked: true, Status: 200, Ready: 4, Transport: evidence.OverQUIC, Counters: &evidence.Counters{Version: "2026.8.2"}}, AddOn: evidence.AddOn{Version: "6.0.3"}}
	return e, d
}

func TestAHealthyDayIsWrittenInLittle(t *testing.T) {
	m, dir := recording(t)
	var written int64
	var last os.FileInfo
	for day := range 40 { // a full history is the largest
		if day == 39 {
			written = 0
		}
		for at := dawn.AddDate(0, 0, day); at.Before(dawn.AddDate(0, 0, day+1)); at = at.Add(2 * time.Minute) {
			m.keep(seen2(at, true))
			m.file(at)
			if s, err := os.Stat(filepath.Join(dir, "history.json.gz")); err == nil && (last == nil || !os.SameFile(s, last)) {
				written, last = written+s.Size(), s
			}
		}
	}
	if written == 0 || written > 100<<10 {
		t.Errorf("%d bytes on the last of the days", written)
	}
	h := m.chron.hist
	if d := h.Days[20]; d.Probes != 720 || d.Failures != 0 || d.Watched != 24*time.Hour || d.Lost != 0 || d.Colos["FRA"] != 720 {
		t.Errorf("%+v", d)
	}
}

// seen2 gives seen's values as keep takes them.
func seen2(at time.Time, ok bool) (evidence.Evidence, diagnosis.Diagnosis, time.Time) {
	e, d := seen(at, ok)
	return e, d, at
}

func TestTimeCutOffIsThatBeforeEachFailedProbe(t *testing.T) {
	m, _ := recording(t)
	at := dawn
	for _, ok := range []bool{true, true, false, false, true} {
		m.keep(seen2(at, ok))
		at = at.Add(2 * time.Minute)
	}
	d := m.chron.hist.Days[0]
	if d.Watched != 8*time.Minute || d.Lost != 4*time.Minute || d.LostBy["upgrade-stripped"] != 4*time.Minute || d.Failures != 2 {
		t.Errorf("%+v", d)
	}
	m.keep(seen2(at.Add(10*time.Hour), false)) // the machine was off
	if d := m.chron.hist.Days[0]; d.Lost != 4*time.Minute {
		t.Error("time that nobody watched counts as cut off:", d.Lost)
	}
}

func TestAnIncidentsAccountBeginsBeforeItsAlarm(t *testing.T) {
	m, _ := recording(t)
	at := dawn
	for range 5 {
		m.keep(seen2(at, true))
		at = at.Add(2 * time.Minute)
	}
	onset := at
	for range 4 {
		m.keep(seen2(at, false))
		at = at.Add(2 * time.Second)
	}
	m.incident = &journal.Incident{ID: "20261121T001000Z", Onset: onset}
	m.opened(at)
	m.annotate([]policy.Step{{Kind: policy.StepAlarm}}, at)
	a := m.incident.Account
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

func TestWhatOthersMetIsCountedApartFromOurProbes(t *testing.T) {
	var c chronicle
	reading := func(n uint64) *evidence.Counters {
		return &evidence.Counters{Requests: 10 * n, Codes: map[int]uint64{400: n}}
	}
	if n := c.missed(evidence.Connector{Before: reading(5), Counters: reading(6)}); n != 0 {
		t.Error("what was before the first reading counts:", n)
	}
	if n := c.missed(evidence.Connector{Before: reading(9), Counters: reading(10), AfterPage: reading(11)}); n != 3 {
		t.Error(n)
	}
	if n := c.missed(evidence.Connector{Before: reading(11), Counters: reading(12)}); n != 0 {
		t.Error("our own page counts:", n)
	}
	if n := c.missed(evidence.Connector{Before: reading(2), Counters: reading(3)}); n != 0 {
		t.Error("a new process's count is compared with the old one's:", n)
	}
}

// upstreamOf answers every question, and keeps them.
type upstreamOf struct {
	mu    sync.Mutex
	asked []upstream.Question
	say   evidence.Upstream
}

func (u *upstreamOf) Ask(_ context.Context, q upstream.Question) evidence.Upstream {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, q)
	return u.say
}

func TestCloudflareIsAskedDailyAndAboutIncidentsTwice(t *testing.T) {
	m, _ := recording(t)
	u := &upstreamOf{say: evidence.Upstream{Rules: []evidence.RuleSet{{ID: "r", Version: "3299", Updated: dawn}}, Troubles: []string{"The Cloudflare token lacks the right Zone → DNS → Read."}}}
	var log bytes.Buffer
	m.set.Upstream, m.life, m.log = u, t.Context(), zerolog.New(&log)
	pass := func(from time.Time, d time.Duration) time.Time {
		for at := from; at.Before(from.Add(d)); at = at.Add(2 * time.Minute) {
			m.keep(seen2(at, true))
			m.file(at)
			m.side.Wait()
		}
		return from.Add(d)
	}
	at := pass(dawn, 72*time.Hour)
	if len(u.asked) != 3 || u.asked[0].Reports {
		t.Fatalf("%d times in three healthy days", len(u.asked))
	}
	if n := strings.Count(log.String(), "lacks the right"); n != 1 {
		t.Error("a trouble is said", n, "times")
	}
	m.incident = &journal.Incident{ID: "20261124T000000Z", Onset: at}
	m.annotate([]policy.Step{{Kind: policy.StepAlarm}}, at)
	m.side.Wait()
	at = pass(at, 10*time.Minute)
	u.say.Rules[0].Version = "3300"
	m.annotate([]policy.Step{{Kind: policy.StepRecovered}}, at)
	m.side.Wait()
	if err := m.journal.Write(*m.incident); err != nil {
		t.Fatal(err)
	}
	m.incident = nil // it is over; what is heard later still belongs to it
	pass(at, 3*time.Hour)
	if n := len(u.asked); n != 6 || !u.asked[3].Reports || !u.asked[5].Reports || u.asked[3].Colos[0] != "FRA" {
		t.Errorf("%d times: %+v", n, u.asked[3:])
	}
	kept, _ := m.journal.Incident("20261124T000000Z")
	if n := len(kept.Account.Asked); n != 3 {
		t.Error(n, "answers are kept with the incident")
	}
	if h := m.journal.History(); len(h.Pushes) != 2 || h.Pushes[1].Version != "3300" {
		t.Errorf("%+v", h.Pushes)
	}
}

func TestAnAnswerThatNeverComesHoldsNothingUp(t *testing.T) {
	m, _ := recording(t)
	var end context.CancelFunc
	m.life, end = context.WithCancel(t.Context())
	m.set.Upstream = silent{}
	for at := dawn; at.Before(dawn.Add(96 * time.Hour)); at = at.Add(2 * time.Minute) {
		m.keep(seen2(at, true))
		m.file(at)
	}
	end()
	m.side.Wait()
	m.putDown()
	if h := m.journal.History(); len(h.Days) != 4 || len(h.Notes) != 0 {
		t.Errorf("%d days, notes %q", len(h.Days), h.Notes)
	}
}

// silent is an upstream that never answers.
type silent struct{}

func (silent) Ask(ctx context.Context, _ upstream.Question) evidence.Upstream {
	<-ctx.Done()
	return evidence.Upstream{Troubles: []string{"interrupted"}}
}
