package journal_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

var night = time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC)

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, warning, err := journal.Open(dir, night)
	if err != nil || warning != "" {
		t.Fatalf("warning %q, error %v", warning, err)
	}
	return j
}

func update(t *testing.T, j *journal.Journal, change func(*journal.Record)) {
	t.Helper()
	if err := j.Update(change); err != nil {
		t.Fatal(err)
	}
}

// sick is a state in the middle of a treatment.
func sick() policy.State {
	return policy.State{
		Phase: policy.Treating, Since: night,
		Setting: policy.Setting{Own: evidence.Default, OwnKnown: true, Set: evidence.HTTP2, Transport: evidence.OverHTTP2},
		Case: policy.Case{Incident: &policy.Incident{ID: "20261121T220512Z", Onset: night, Alarm: night, Cause: diagnosis.UpgradeStripped, Setting: evidence.Default,
			Transport: evidence.OverQUIC, Tally: detect.Tally{Failures: 4, Probes: 4}, Restarts: 1},
			Trial: &policy.OnTrial{Protocol: evidence.HTTP2, Purpose: policy.Trial, Since: night}},
		Plan: policy.Plan{Restarts: []time.Time{night}, Cures: map[string]policy.Cure{"http2": {Weight: 1.5, At: night}}},
	}
}

func intention() journal.Intention {
	return journal.Intention{Slug: "9074a9fa_cloudflared", From: evidence.Default, To: evidence.HTTP2, Purpose: policy.Trial, Stage: journal.Restarting, At: night,
		Before: evidence.OverQUIC, Ours: []evidence.Protocol{evidence.QUIC}, Process: "0c4e7a11"}
}

func TestWhatWasWrittenIsThereAfterAStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "itself")
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Policy, r.Slug, r.RefusedToken = sick(), "9074a9fa_cloudflared", "abc" })
	if err := j.Intend(intention()); err != nil {
		t.Fatal(err)
	}
	got, want := open(t, dir).Record(), j.Record()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if in := intention(); !reflect.DeepEqual(got.Intention, &in) {
		t.Errorf("intention %+v", got.Intention)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestNothingIsWrittenWhenNothingHasChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.json")
	j := open(t, dir)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("opening wrote a journal: %v", err)
	}
	update(t, j, func(r *journal.Record) { r.Policy = sick() })
	before := stat(t, path)
	for i := range 5 {
		update(t, j, func(r *journal.Record) {
			r.Policy = sick()
			r.Policy.LastGood = night.Add(time.Duration(i) * time.Second) // changes with every probe, and is not kept
			r.Policy.Detector.Count(time.Now(), detect.Silent, detect.Noise{})
		})
	}
	again := open(t, dir) // a start writes nothing either
	update(t, again, func(r *journal.Record) { r.Policy = sick() })
	if !os.SameFile(stat(t, path), before) {
		t.Error("the journal was written though nothing had changed")
	}
	update(t, again, func(r *journal.Record) { r.Policy.HoldLevel = 1 })
	if os.SameFile(stat(t, path), before) {
		t.Error("a write changed the old file, instead of putting a new one in its place")
	}
}

func TestAnUnreadableJournalIsKeptAsideAndSaid(t *testing.T) {
	whole, err := json.Marshal(journal.Record{Version: 1, Policy: sick()})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                       "",
		"truncated":                   string(whole[:len(whole)/2]),
		"zeros, as after a power cut": strings.Repeat("\x00", 300),
		"something behind it":         string(whole) + "{}",
		"a list":                      "[]",
		"no checksum":                 string(whole),
		"null":                        "null",
		"a wrong type":                journal.Sealed(`{"version":1,"policy":{"own":7}}`),
		"an unknown protocol":         journal.Sealed(`{"version":1,"policy":{"own":"h2mux"}}`),
		"an unknown cause":            strings.Replace(string(whole), "upgrade-stripped", "gremlins", 1),
		"a member that nobody knows":  strings.Replace(string(whole), `"own":`, `"owm":"","own":`, 1),
		"no version":                  journal.Sealed(`{"policy":{}}`),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "journal.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			j, warning, err := journal.Open(dir, night)
			if err != nil {
				t.Fatal(err)
			}
			const aside = "journal.broken-20261121T220512Z.json"
			if !strings.Contains(warning, aside) || strings.Contains(warning, "\n") {
				t.Errorf("warning %q", warning)
			}
			if kept, err := os.ReadFile(filepath.Join(dir, aside)); err != nil || string(kept) != text {
				t.Errorf("kept aside: %q, %v", kept, err)
			}
			if got := j.Record(); !reflect.DeepEqual(got, journal.Record{Version: 1, Policy: policy.State{Setting: policy.Setting{Doubt: policy.Unsure}}}) {
				t.Errorf("it does not know that it does not know: %+v", got)
			}
			update(t, j, func(r *journal.Record) { r.Policy = sick() })
			if got := open(t, dir).Record(); got.Policy.Incident == nil {
				t.Error("the fresh one was not kept")
			}
		})
	}
	t.Run("a folder in its place", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "journal.json", "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, warning, err := journal.Open(dir, night)
		if err != nil || !strings.Contains(warning, "journal.broken-") {
			t.Errorf("warning %q, error %v", warning, err)
		}
		open(t, dir)
	})
	t.Run("a link into nowhere in its place", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink("nowhere", filepath.Join(dir, "journal.json")); err != nil {
			t.Fatal(err)
		}
		if _, warning, err := journal.Open(dir, night); err != nil || warning == "" {
			t.Errorf("warning %q, error %v", warning, err)
		}
	})
}

// A record that the program cannot have written is taken for what it still says of whose setting
// is whose: what was under way becomes the way back.
func TestARecordThatContradictsItselfIsNotActedOn(t *testing.T) {
	for name, change := range map[string]func(*journal.Record){
		"a trial without incident":       func(r *journal.Record) { r.Policy.Incident = nil },
		"a fail-back without cure":       func(r *journal.Record) { r.Policy.Trial.Purpose = policy.Failback },
		"a return without cure":          func(r *journal.Record) { r.Policy.Trial.Purpose = policy.Return },
		"a trial without purpose":        func(r *journal.Record) { r.Policy.Trial.Purpose = policy.NoPurpose },
		"an incident without id":         func(r *journal.Record) { r.Policy.Incident.ID = "" },
		"an id that leads elsewhere":     func(r *journal.Record) { r.Policy.Incident.ID = "../../x" },
		"a hold below zero":              func(r *journal.Record) { r.Policy.HoldLevel = -1 },
		"a treatment of nobody knows":    func(r *journal.Record) { r.Policy.OwnKnown = false },
		"an intention without its stage": func(r *journal.Record) { r.Intention = &journal.Intention{Slug: "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := journal.Record{Version: 1, Slug: "9074a9fa_cloudflared", Policy: sick()}
			change(&r)
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "journal.json"), []byte(journal.Sealed(string(raw))), 0o600); err != nil {
				t.Fatal(err)
			}
			j, warning, err := journal.Open(dir, night)
			if err != nil || warning == "" {
				t.Errorf("warning %q, error %v", warning, err)
			}
			p := j.Record().Policy
			if p.Incident != nil || p.Trial != nil && p.Trial.Purpose != policy.HandBack || p.Doubt == policy.NoDoubt {
				t.Errorf("it is acted on: %+v", p)
			}
		})
	}
}

func TestWhatAKillInMidWriteLeftIsSwept(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	left := []string{filepath.Join(dir, ".new-123"), filepath.Join(dir, "incidents", ".new-456")}
	for _, f := range left {
		if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	for _, f := range left {
		if _, err := os.Stat(f); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", filepath.Base(f), err)
		}
	}
}

func incident(n int) journal.Incident {
	at := night.Add(time.Duration(n) * time.Minute)
	return journal.Incident{ID: at.Format("20060102T150405Z"), Onset: at, Cause: diagnosis.UpgradeStripped, Own: evidence.Default, Before: evidence.Default,
		Transport: evidence.OverQUIC, After: evidence.HTTP2, Steps: []policy.Step{{At: at, Kind: policy.StepAlarm, Text: "The fault is certain."}}}
}

func TestIncidentsAreKeptNewestFirstAndBounded(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Slug = "9074a9fa_cloudflared" })
	const more = 7
	for n := range journal.Keep + more {
		if err := j.Write(incident(n)); err != nil {
			t.Fatal(err)
		}
	}
	list := open(t, dir).Incidents()
	if len(list) != journal.Keep || list[0].ID != incident(journal.Keep+more-1).ID || list[len(list)-1].ID != incident(more).ID {
		t.Fatalf("%d kept, from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
	if got, ok := j.Incident(list[0].ID); !ok || !reflect.DeepEqual(got, incident(journal.Keep+more-1)) {
		t.Errorf("got %+v", got)
	}
	if _, ok := j.Incident(incident(0).ID); ok {
		t.Error("the oldest is still there")
	}
	if err := os.WriteFile(filepath.Join(dir, "incidents", list[1].ID+".json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := j.Incidents(); len(again) != journal.Keep-1 {
		t.Errorf("%d are read, want all but the broken one", len(again))
	}
}

// A restored folder may hold any number of incidents, and every page reads them all.
func TestTooManyIncidentsAreDeletedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Slug = "9074a9fa_cloudflared" })
	if err := j.Write(incident(0)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "incidents", incident(0).ID+".json"))
	if err != nil {
		t.Fatal(err)
	}
	const many = 1000
	for n := range many {
		if err := os.WriteFile(filepath.Join(dir, "incidents", incident(n).ID+".json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	left, err := os.ReadDir(filepath.Join(dir, "incidents"))
	if err != nil || len(left) != journal.Keep || left[0].Name() != incident(many-journal.Keep).ID+".json" {
		t.Errorf("%d are left, %v", len(left), err)
	}
}

// What every page after an event reads: all that is kept, each with a story of usual length.
func BenchmarkIncidents(b *testing.B) {
	j, _, err := journal.Open(b.TempDir(), night)
	if err != nil {
		b.Fatal(err)
	}
	for n := range journal.Keep {
		i := incident(n)
		for range 20 {
			i.Add(i.Steps[0])
		}
		if err := j.Write(i); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if n := len(j.Incidents()); n != journal.Keep {
			b.Fatalf("%d of %d are read", n, journal.Keep)
		}
	}
}

func TestALongStoryKeepsItsBeginningAndItsEnd(t *testing.T) {
	i := incident(0)
	early := i
	for n := range 5000 {
		i.Add(policy.Step{At: night, Kind: policy.StepPostponed, Text: fmt.Sprint("step ", n)})
	}
	if len(i.Steps) > 200 || i.Steps[0].Kind != policy.StepAlarm || i.Steps[1].Text != "step 0" || i.Steps[len(i.Steps)-1].Text != "step 4999" {
		t.Errorf("%d steps, from %+v to %+v", len(i.Steps), i.Steps[0], i.Steps[len(i.Steps)-1])
	}
	if len(early.Steps) != 1 {
		t.Error("a copy of the incident has changed with it")
	}
}

func TestNoIDLeadsOutOfTheFolder(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	update(t, j, func(r *journal.Record) { r.Policy = sick() })
	for _, id := range []string{"", "..", "../journal", "/etc/passwd", "a/b", `a\b`, "20261121T220512Z/../../journal", "journal", "2026%2e", "2026.json", "2026\x00", strings.Repeat("1", 33)} {
		if _, ok := j.Incident(id); ok {
			t.Errorf("%q was read", id)
		}
		if err := j.Write(journal.Incident{ID: id}); err == nil {
			t.Errorf("%q was written", id)
		}
	}
	// A file whose own id is another one is not the one that was asked for.
	raw, _ := json.Marshal(incident(1))
	if err := os.WriteFile(filepath.Join(dir, "incidents", "20260101T000000Z.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := j.Incident("20260101T000000Z"); ok {
		t.Error("a file under another id's name was taken")
	}
}

func TestManyMayUseItAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 10 {
				if err := j.Update(func(r *journal.Record) { r.Policy.HoldLevel++ }); err != nil {
					t.Error(err)
				}
				if err := j.Write(incident(n)); err != nil {
					t.Error(err)
				}
				_ = j.Record()
				for _, i := range j.Incidents() {
					if len(i.Steps) != 1 {
						t.Errorf("half an incident was read in round %d", k)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := open(t, dir).Record().Policy.HoldLevel; got != 80 {
		t.Errorf("%d of 80 changes were kept", got)
	}
}

// A Raspberry Pi's SD card bears so and so many writes. A healthy day is a probe in
// two minutes, of which one in a hundred fails, and with each what the loop does
// with its outcome.
func TestAHealthyDayWritesLittle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := open(t, dir)
		rules := policy.Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: 24 * time.Hour,
			Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}
		state := rules.Awake(j.Record().Policy, time.Now())
		good := policy.Sight{Vote: diagnosis.Works, Cause: diagnosis.Healthy, SettingKnown: true, Transport: evidence.OverQUIC, ThroughCloudflare: true,
			DirectWorks: true, Internet: evidence.InternetUp, SupervisorFree: true, Running: time.Hour}
		bad := good
		bad.Vote, bad.Cause, bad.Remedy = diagnosis.Fails, diagnosis.UpgradeStripped, diagnosis.Rotate

		path := filepath.Join(dir, "journal.json")
		bytes, writes, probes := int64(0), 0, 0
		var last os.FileInfo
		for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); probes++ {
			sight := good
			if probes%100 == 57 {
				sight = bad
			}
			var dec policy.Decision
			state, dec = rules.Observe(state, time.Now(), sight)
			if dec.Change != nil {
				t.Fatal("a healthy day needs no change")
			}
			update(t, j, func(r *journal.Record) { r.Policy, r.Slug = state, "9074a9fa_cloudflared" })
			if now := stat(t, path); last == nil || !os.SameFile(now, last) {
				last, bytes, writes = now, bytes+now.Size(), writes+1
			}
			time.Sleep(dec.Next)
		}
		t.Logf("%d probes, %d writes, %d bytes", probes, writes, bytes)
		if probes < 700 || bytes > 100_000 {
			t.Errorf("%d probes wrote %d bytes, want less than 100 KB from 720 or more", probes, bytes)
		}
	})
}
