package medic

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/policy"
)

// Where every round fails by a fault of the program's own, it ends, so that the service
// begins anew with a clean memory; not at once, and not with a panic.
func TestALoopThatFailsAgainAndAgainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := recording(t)
		m.state.Trial = &policy.OnTrial{Purpose: policy.Trial} // leaving must not panic either
		m.set.Sensor = time.Minute
		began := time.Now()
		err := m.Run(t.Context()) // there is no Supervisor to ask: each look is a nil pointer
		if err == nil || !strings.Contains(err.Error(), "failed 5 times in a row") {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 2*time.Minute {
			t.Errorf("it ended after %v", took)
		}
	})
}
