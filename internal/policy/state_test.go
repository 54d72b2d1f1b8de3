package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// A home that updates keeps its own setting, its open trial, its budget, its hold and its
// plan: testdata/earlier.json is what 1.0.0 wrote.
func TestWhatAnEarlierVersionKeptIsReadWhole(t *testing.T) {
	raw, err := os.ReadFile("testdata/earlier.json")
	if err != nil {
		t.Fatal(err)
	}
	var homes map[string]State
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&homes); err != nil {
		t.Fatal(err)
	}
	for name, s := range homes {
		if s.Own != evidence.Auto || !s.OwnKnown || len(s.Restarts) == 0 || s.Phase == Unwatched {
			t.Errorf("%s: %+v", name, s)
		}
	}

	holding := homes["holding"]
	var results []Result
	for _, a := range holding.Incident.Tried {
		results = append(results, a.Result)
	}
	if want := []Result{StillFails, Crashed, Left}; !slices.Equal(results, want) {
		t.Errorf("tried: %v, not %v", results, want)
	}
	if holding.Incident.Cause != diagnosis.UpgradeStripped || holding.Incident.Explicit != 4 || holding.HoldLevel != 1 || holding.HoldUntil.IsZero() {
		t.Errorf("%+v", holding.Case)
	}
	if p := homes["proving"].Trial; p == nil || p.Purpose != Trial || !p.Settled || p.Protocol != evidence.HTTP2 {
		t.Errorf("%+v", p)
	}
	if f := homes["cured"].Failback; f == nil || f.Wait != day || f.Cured != evidence.HTTP2 || f.Failures != 4 || homes["cured"].Cures["http2"].Weight != 1 {
		t.Errorf("%+v", homes["cured"].Plan)
	}

	// And what is written now bears the names that it bore then, so that a version can be gone back.
	again, err := json.MarshalIndent(homes, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if string(again)+"\n" != string(raw) {
		t.Errorf("written again:\n%s", again)
	}
}

// Whatever the program can write it can read.
func TestEveryNameIsReadAgain(t *testing.T) {
	type names struct {
		Phase   Phase
		Purpose Purpose
		Result  Result
		Kind    StepKind
		Why     Why
		Gate    Gate
		Doubt   Doubt
	}
	for n := range uint8(40) {
		in := names{Phase(min(n, uint8(Paused))), Purpose(min(n, uint8(Revive))), Result(min(n, uint8(Left))), StepKind(min(n, uint8(StepWithdrawn))), Why(min(n, uint8(WhyUndone))), Gate(min(n, uint8(GateConsent))), Doubt(min(n, uint8(Unsure)))}
		raw, err := json.Marshal(in)
		if err != nil || strings.Contains(string(raw), "unknown") {
			t.Fatalf("%s: %v", raw, err)
		}
		var out names
		if err := json.Unmarshal(raw, &out); err != nil || out != in {
			t.Errorf("%s became %+v: %v", raw, out, err)
		}
	}
	var p Purpose
	if err := p.UnmarshalText([]byte("for fun")); err == nil {
		t.Error("a purpose that nobody knows was taken")
	}
}

// What could not be noted was not done, so it does not count: neither as a trial that did
// not help, nor as a restart in vain.
func TestARestartThatCouldNotBeNotedIsPostponed(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for r := range Result(len(results)) {
		if !r.Untouched() {
			continue
		}
		s := State{Setting: Setting{Own: evidence.Auto, OwnKnown: true, Set: evidence.Auto}, Plan: Plan{Revivals: 1, RevivedAt: now},
			Case: Case{Trial: &OnTrial{Protocol: evidence.Auto, Purpose: Revive}}}
		s, d := defaults().Treated(s, now, Outcome{Result: r, Setting: evidence.Auto})
		if s.Revivals != 0 || len(d.Steps) != 1 || d.Steps[0].Kind != StepPostponed {
			t.Errorf("%s: %d revivals, %+v", r, s.Revivals, d.Steps)
		}
	}
}
