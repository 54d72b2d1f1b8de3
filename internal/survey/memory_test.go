package survey

import (
	"testing"
	"time"

	"tunnelmedic/internal/probe"
)

func TestAProbeIsGivenUpSoonerWhileAFaultIsSuspected(t *testing.T) {
	for name, c := range map[string]struct {
		typical   time.Duration
		full      time.Duration
		suspected bool
		want      time.Duration
	}{
		"all is well":                         {100 * time.Millisecond, 10 * time.Second, false, 10 * time.Second},
		"a fault is suspected":                {100 * time.Millisecond, 10 * time.Second, true, 2 * time.Second},
		"where good ones are slow":            {700 * time.Millisecond, 10 * time.Second, true, 7 * time.Second},
		"never longer than was asked for":     {3 * time.Second, 10 * time.Second, true, 10 * time.Second},
		"the user's own limit is shorter":     {100 * time.Millisecond, time.Second, true, time.Second},
		"nothing good has been seen yet":      {0, 10 * time.Second, true, 10 * time.Second},
		"no limit was given: the probe's own": {100 * time.Millisecond, 0, false, probe.DefaultTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Settings{})
			s.home.Public.Timeout, s.typical = c.full, c.typical
			if got := s.patience(c.suspected); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
}

// Good probes take a tenth of a second here, and one in ten half a second.
func TestWhatIsTypicalFollowsNoSingleProbe(t *testing.T) {
	var m recollection
	for i := range 100 {
		m.took(100*time.Millisecond + time.Duration(i%10/9)*400*time.Millisecond)
	}
	if m.typical < 100*time.Millisecond || m.typical > 250*time.Millisecond {
		t.Errorf("typical is %s", m.typical)
	}
}
