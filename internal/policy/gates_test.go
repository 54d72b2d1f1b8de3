package policy

import (
	"slices"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// What a cause looks like where it differs from a tunnel that runs and is connected.
var signature = map[diagnosis.Cause]func(*Sight){
	diagnosis.ConnectorHung: func(in *Sight) { in.Running, in.Transport = 0, evidence.NoTransport },
	diagnosis.TunnelDown:    func(in *Sight) { in.Transport, in.ThroughCloudflare = evidence.NoTransport, false },
	// Of a tunnel without a connection Cloudflare itself tells, with a cf-ray.
	diagnosis.QUICBlocked:    func(in *Sight) { in.Transport = evidence.NoTransport },
	diagnosis.TunnelFlapping: func(in *Sight) { in.Transport = evidence.NoTransport },
}

func closedTo(r Rules, a act, s State, now time.Time, in Sight) []Gate {
	t := turn{moment: moment{&r, &s, now, &in}}
	return t.gates(a)
}

// A gate never contradicts a cause: whatever act a cause calls for, its own signature
// closes no gate before it. Every cause × act × gate of the table is walked.
func TestNoGateIsClosedByTheCauseThatCallsForTheAct(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	called := map[act]int{}
	for _, row := range diagnosis.Catalogue() {
		var acts []act
		//exhaustive:ignore
		switch row.Remedy {
		case diagnosis.Rotate:
			acts = []act{trying, byWish}
		case diagnosis.Restart:
			acts = []act{restarting}
		}
		if row.Cause == diagnosis.ConnectorHung || row.Cause == diagnosis.TunnelDown {
			acts = []act{restarting, starting, raising}
		}
		for _, a := range acts {
			called[a]++
			in := Sight{Vote: diagnosis.Fails, Cause: row.Cause, Remedy: row.Remedy, Setting: evidence.Auto, SettingKnown: true, Transport: evidence.OverQUIC, ThroughCloudflare: true,
				DirectWorks: true, Internet: evidence.InternetUp, State: evidence.StateStarted, Running: time.Hour, SupervisorFree: true}
			if a == starting || a == raising {
				in.State, in.Running, in.Transport, in.DirectWorks = evidence.StateError, 0, evidence.NoTransport, true
			}
			if mark := signature[row.Cause]; mark != nil {
				mark(&in)
			}
			s := State{Setting: Setting{Own: evidence.Auto, OwnKnown: true, Set: evidence.Auto}}
			s.Incident = &Incident{Setting: evidence.Auto, Transport: evidence.OverQUIC, Cause: row.Cause, Alarm: now.Add(-time.Hour)}
			for range 40 { // what is proven is no matter of the cause
				s.Incident.Count(detect.Explicit)
			}
			if closed := closedTo(defaults(), a, s, now, in); len(closed) > 0 {
				t.Errorf("%s calls for act %b, and itself closes %v", row.ID, a, closed)
			}
			asks := defaults()
			asks.Ask = true
			purpose, waits := map[act]Purpose{trying: Trial, failingBack: Failback, restarting: Revive}[a]
			if closed := closedTo(asks, a, s, now, in); len(closed) > 0 != waits || waits && closed[0] != GateConsent {
				t.Errorf("%s calls for act %b, and in the mode ask it waits for %v", row.ID, a, closed)
			}
			s.Question = &Question{Purpose: purpose, Yes: true}
			if closed := closedTo(asks, a, s, now, in); len(closed) > 0 {
				t.Errorf("%s calls for act %b, which was agreed to, and %v is closed", row.ID, a, closed)
			}
		}
	}
	for a := act(1); a <= raising; a <<= 1 {
		if called[a] == 0 && a != failingBack && a != tryingNext {
			t.Errorf("no cause calls for act %b", a)
		}
	}
}

// Every gate stands before some act, and every act has one before it.
func TestTheTableHasEveryGate(t *testing.T) {
	for g := GateMode; g <= GateConsent; g++ {
		if !slices.ContainsFunc(gateTable, func(row gateRow) bool { return row.gate == g && row.before != 0 }) {
			t.Errorf("%s stands before nothing", g)
		}
	}
}
