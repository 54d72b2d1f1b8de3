package medic

import (
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
)

// Good probes take a tenth of a second here, and one in ten half a second.
func typically() *Medic {
	m := &Medic{set: Settings{Public: probe.Target{Timeout: 10 * time.Second}}}
	for i := range 100 {
		m.took(100*time.Millisecond + time.Duration(i%10/9)*400*time.Millisecond)
	}
	return m
}

func TestAProbeIsGivenUpSoonerWhileAFaultIsSuspected(t *testing.T) {
	suspicious := func(s *policy.State) {
		s.Detector.Count(time.Time{}, detect.Silent, detect.Noise{})
	}
	for name, c := range map[string]struct {
		typical time.Duration
		full    time.Duration
		state   func(*policy.State)
		want    time.Duration
	}{
		"all is well":                         {100 * time.Millisecond, 10 * time.Second, func(*policy.State) {}, 10 * time.Second},
		"a probe has failed":                  {100 * time.Millisecond, 10 * time.Second, suspicious, 2 * time.Second},
		"in an incident":                      {100 * time.Millisecond, 10 * time.Second, func(s *policy.State) { s.Incident = &policy.Incident{} }, 2 * time.Second},
		"a protocol is on trial":              {100 * time.Millisecond, 10 * time.Second, func(s *policy.State) { s.Trial = &policy.OnTrial{} }, 2 * time.Second},
		"where good ones are slow":            {700 * time.Millisecond, 10 * time.Second, suspicious, 7 * time.Second},
		"never longer than was asked for":     {3 * time.Second, 10 * time.Second, suspicious, 10 * time.Second},
		"the user's own limit is shorter":     {100 * time.Millisecond, time.Second, suspicious, time.Second},
		"nothing good has been seen yet":      {0, 10 * time.Second, suspicious, 10 * time.Second},
		"no limit was given: the probe's own": {100 * time.Millisecond, 0, func(*policy.State) {}, probe.DefaultTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Medic{set: Settings{Public: probe.Target{Timeout: c.full}}}
			m.typical = c.typical
			c.state(&m.state)
			if got := m.limit(); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
	if m := typically(); m.typical < 100*time.Millisecond || m.typical > 250*time.Millisecond {
		t.Errorf("typical is %s", m.typical)
	}
}
