package hostile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// TestFailback follows a cure to its end: the own setting is tried, is ill still,
// is tried again after twice the time, and stays.
func TestFailback(t *testing.T) {
	t.Parallel()
	h := build(t, lab.Options{}, map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": "600ms"})
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	h.w.SetFaults(lab.Stripped(1, evidence.OverQUIC))
	told := func(step string) func() bool {
		return func() bool { return strings.Contains(h.log.String(), `"step":"`+step+`"`) }
	}
	h.until("a cure", told("cured"))
	h.until("the way back, because the fault is there", told("returned"))
	if f := h.record().Policy.Failback; f == nil || f.Wait != 1200*time.Millisecond {
		t.Errorf("the wait did not double: %+v", f)
	}
	h.w.SetFaults(lab.Faults{})
	h.until("own setting", told("failed-back"))
	h.until("health", func() bool { return h.quiet(policy.Healthy) && h.sound() })
	for _, b := range append(h.promise(ownFlags, 6), h.noHands()...) {
		t.Error(b)
	}
	if n := h.w.Supervisor.Restarts(); n != 4 {
		t.Errorf("%d restarts, not 4: the cure, there and back, and there", n)
	}
	for _, kind := range []policy.StepKind{policy.StepReturning, policy.StepFailedBack} {
		if !slices.ContainsFunc(incidents(h), func(i journal.Incident) bool {
			return slices.ContainsFunc(i.Steps, func(s policy.Step) bool { return s.Kind == kind })
		}) {
			t.Errorf("no incident tells of %s: %+v", kind, incidents(h))
		}
	}
}

func incidents(h *house) []journal.Incident {
	j, _, err := journal.Open(h.dir, time.Now())
	if err != nil {
		h.Fatal(err)
	}
	return j.Incidents()
}

// TestAFaultThatFollowsEveryRotation hits whatever transport is in use.
func TestAFaultThatFollowsEveryRotation(t *testing.T) {
	long(t)
	t.Parallel()
	h := build(t, lab.Options{Timings: lab.Timings{HoldBase: 60 * time.Millisecond}}, map[string]string{"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "5", "TUNNELMEDIC_PROTOCOLS": "auto,quic,http2"})
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	for stop := time.Now().Add(6 * time.Second); time.Now().Before(stop); time.Sleep(5 * time.Millisecond) {
		if tr := h.w.Connector.Transport(); tr != evidence.NoTransport {
			h.w.SetFaults(lab.Stripped(1, tr))
		}
	}
	h.w.SetFaults(lab.Faults{})
	h.until("recovery to be noticed", func() bool { return h.quiet(policy.Healthy) && h.sound() })
	for _, b := range append(h.promise(ownFlags, 5), h.noHands()...) {
		t.Error(b)
	}
	t.Logf("%d restarts of a budget of 5", h.w.Supervisor.Restarts())
}

// TestAFlappingFault comes and goes faster than it can be treated.
func TestAFlappingFault(t *testing.T) {
	long(t)
	t.Parallel()
	h := build(t, lab.Options{Timings: lab.Timings{HoldBase: 60 * time.Millisecond}}, map[string]string{"TUNNELMEDIC_MAX_RESTARTS_PER_DAY": "4"})
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	for stop, ill := time.Now().Add(6*time.Second), true; time.Now().Before(stop); time.Sleep(170 * time.Millisecond) {
		f := lab.Faults{}
		if ill = !ill; !ill {
			f = lab.Stripped(1)
		}
		h.w.SetFaults(f)
	}
	h.w.SetFaults(lab.Faults{})
	h.until("recovery to be noticed", func() bool { return h.quiet(policy.Healthy) && h.sound() })
	if n := h.w.Supervisor.Restarts(); n > 4 {
		t.Errorf("%d restarts", n)
	}
	t.Logf("%d restarts of a budget of 4", h.w.Supervisor.Restarts())
}

// TestAJournalFromTheFuture is a Raspberry Pi without a clock: at its start it is
// earlier than what stands in the journal.
func TestAJournalFromTheFuture(t *testing.T) {
	long(t)
	t.Parallel()
	for name, spent := range map[string]int{"the budget used up": 6, "some of it left": 2} {
		t.Run(name, func(t *testing.T) {
			h := build(t, lab.Options{}, nil)
			j, _, err := journal.Open(h.dir, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			future := time.Now().AddDate(3, 0, 0)
			if err := j.Update(func(r *journal.Record) {
				r.Slug = lab.DefaultSlug
				r.Policy = policy.State{Since: future, Setting: policy.Setting{OwnKnown: true}, Plan: policy.Plan{RevivedAt: future, Revivals: 3},
					Case: policy.Case{HoldUntil: future, HoldLevel: 2, Incident: &policy.Incident{ID: "20291121T220512Z", Onset: future, Alarm: future, LastGood: future, Cause: diagnosis.UpgradeStripped, Tally: detect.Tally{Failures: 4, Probes: 4}}}}
				for range spent {
					r.Policy.Restarts = append(r.Policy.Restarts, future)
				}
			}); err != nil {
				t.Fatal(err)
			}
			h.w.SetFaults(lab.Stripped(1))
			h.live()
			time.Sleep(2 * time.Second)
			if n := h.w.Supervisor.Restarts(); n > 6-spent {
				t.Errorf("%d restarts, %d were left", n, 6-spent)
			}
			h.w.SetFaults(lab.Faults{})
			h.until("recovery to be noticed", func() bool { return h.quiet(policy.Healthy) && h.sound() })
			if got := h.w.Supervisor.RunParameters(); !slices.Equal(got, ownFlags) {
				t.Errorf("run_parameters are %q", got)
			}
		})
	}
}

// TestAWeekOfAlternatingFaults runs in virtual time: whatever the rhythm, no 24
// hours hold more restarts than the budget, and health is noticed when it comes.
func TestAWeekOfAlternatingFaults(t *testing.T) {
	t.Parallel()
	rules := policy.Rules{Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: 24 * time.Hour,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute}
	for _, period := range []time.Duration{3 * time.Minute, 17 * time.Minute, time.Hour, 5 * time.Hour, 11 * time.Hour, 26 * time.Hour} {
		began := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
		now, s, set, up := began, policy.State{}, evidence.Default, began.Add(-time.Hour)
		var restarts []time.Time
		var healthy time.Time
		const week = 7 * 24 * time.Hour
		for now.Sub(began) < week+24*time.Hour {
			// Ill, down, well: by turns, and the illness follows the protocol every other time.
			kind := int(now.Sub(began)/period) % 4
			in := policy.Sight{Vote: diagnosis.Works, Cause: diagnosis.Healthy, Setting: set, SettingKnown: true, Transport: evidence.OverQUIC, ThroughCloudflare: true,
				DirectWorks: true, Internet: evidence.InternetUp, Running: now.Sub(up), State: evidence.StateStarted, SupervisorFree: true}
			if set == evidence.HTTP2 {
				in.Transport = evidence.OverHTTP2
			}
			switch {
			case now.Sub(began) >= week: // all is well at last
				if s.Phase == policy.Healthy && healthy.IsZero() {
					healthy = now
				}
			case kind == 0 || kind == 2 && set != evidence.HTTP2:
				in.Vote, in.Cause, in.Remedy = diagnosis.Fails, diagnosis.UpgradeStripped, diagnosis.Rotate
			case kind == 3:
				in.Vote, in.Cause, in.Remedy, in.ThroughCloudflare = diagnosis.Abstains, diagnosis.ConnectorHung, diagnosis.Restart, true
			}
			next, d := rules.Observe(s, now, in)
			for s = next; d.Change != nil; {
				now = now.Add(12 * time.Second)
				set, up = d.Change.Protocol, now
				restarts = append(restarts, now)
				tr := evidence.OverQUIC
				if set == evidence.HTTP2 {
					tr = evidence.OverHTTP2
				}
				s, d = rules.Treated(s, now, policy.Outcome{Result: policy.Settled, Restarts: 1, Setting: set, Transport: tr})
			}
			now = now.Add(max(d.Next, time.Second))
		}
		most := 0
		for i, at := range restarts {
			n := 0
			for _, other := range restarts[i:] {
				if other.Sub(at) < 24*time.Hour {
					n++
				}
			}
			most = max(most, n)
		}
		if took := healthy.Sub(began.Add(week)); most > rules.Budget || healthy.IsZero() || took > 2*time.Hour {
			t.Errorf("faults of %s: %d restarts in 24 hours, health was noticed after %s", period, most, took)
		}
		t.Logf("faults of %-6s %2d restarts in a week, at most %d in 24 hours", period, len(restarts), most)
	}
}

// TestTheSensorsEffect measures the time from a fault's beginning to the alarm,
// with somebody trying to connect, with the sensor and without.
func TestTheSensorsEffect(t *testing.T) {
	long(t)
	n := 3
	if *full {
		n = 12
	}
	measure := func(sensor string) (sum time.Duration) {
		for i := range n {
			// As in a house, 12 readings between two probes; the people try 40 times.
			h := build(t, lab.Options{Seed: uint64(i), Timings: lab.Timings{ProbeInterval: 2400 * time.Millisecond, SensorInterval: 200 * time.Millisecond}},
				map[string]string{"TUNNELMEDIC_SENSOR_INTERVAL": sensor, "TUNNELMEDIC_MODE": "observe"})
			clients := h.w.StartClients(60*time.Millisecond, false)
			h.live()
			h.until("health", func() bool { return h.phase(policy.Healthy) })
			time.Sleep(time.Duration(i) * 2000 * time.Millisecond / time.Duration(n)) // somewhere between two probes
			began := time.Now()
			h.w.SetFaults(lab.Stripped(1))
			h.until("the alarm", func() bool { return h.record().Policy.Incident != nil })
			sum += time.Since(began)
			clients.Stop()
			h.end()
		}
		return sum / time.Duration(n)
	}
	with, without := measure("200ms"), measure("1h")
	t.Logf("from fault to alarm, probes every 2.4 s: with the sensor %s, without %s (in a house, probes every 120 s: %s and %s)",
		with.Round(time.Millisecond), without.Round(time.Millisecond), (with * 50).Round(time.Second), (without * 50).Round(time.Second))
	if with >= without {
		t.Error("the sensor does not make it faster")
	}
}
