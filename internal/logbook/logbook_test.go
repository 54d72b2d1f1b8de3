package logbook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/logbook"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

// told gives the lines as "level message", the times left out.
func told(t *testing.T, b *strings.Builder) (lines []string) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var l struct{ Level, Message string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l.Level+" "+l.Message)
	}
	b.Reset()
	return lines
}

func well() medic.Status {
	return medic.Status{Mode: "heal", State: policy.Healthy, Diagnosis: medic.DiagnosisStatus{Cause: diagnosis.Healthy}, Target: medic.TargetStatus{URL: "https://ha.example.com"},
		Protocol: medic.ProtocolStatus{Setting: "auto", Transport: "quic"}, LastProbe: &medic.ProbeStatus{At: time.Now(), OK: true, TookMS: 46}}
}

func ill(cause diagnosis.Cause, since time.Time) medic.Status {
	s := well()
	s.State, s.ShutSince = policy.Suspect, since
	s.Diagnosis = medic.DiagnosisStatus{Cause: cause, Remedy: diagnosis.Wait, Since: since}
	s.LastProbe.OK = false
	return s
}

func TestTheLogTellsTheStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := logbook.New(zerolog.New(&out))
		expect := func(what string, want ...string) {
			t.Helper()
			if got := told(t, &out); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
		}
		b.Tell(well(), nil)
		expect("the first good look", "info All well: https://ha.example.com answers in 46 ms over quic.")
		b.Tell(well(), nil)
		expect("the next")
		since := time.Now()
		b.Tell(ill(diagnosis.NoInternet, since), nil)
		expect("one odd answer")
		time.Sleep(2 * time.Minute)
		b.Tell(ill(diagnosis.NoInternet, since), nil)
		expect("what lasts", "warn Your home has no internet connection. Based on: no answer to the check, and no route to the public name or Supervisor's own check of the internet.")
		for range 100 {
			time.Sleep(time.Minute)
			b.Tell(ill(diagnosis.NoInternet, since), nil)
		}
		expect("and goes on")
		b.Tell(well(), nil)
		expect("its end", "info Remote access works again, after 1 h 42 min. It was: Your home has no internet connection.")
		for range 24 * 30 {
			time.Sleep(2 * time.Minute)
			b.Tell(well(), nil)
		}
		lines := told(t, &out)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "info The last 24 hours: ") {
			t.Errorf("a day later: %q", lines)
		}
	})
}

func TestACauseThatChangesWithEveryLookDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := logbook.New(zerolog.New(&out))
		for n := range 3600 {
			b.Tell(ill([]diagnosis.Cause{diagnosis.NoInternet, diagnosis.OriginDown}[n%2], time.Now().Add(-time.Hour)), nil)
			time.Sleep(time.Second)
		}
		if lines := told(t, &out); len(lines) > 7 {
			t.Errorf("%d lines in an hour", len(lines))
		}
	})
}
