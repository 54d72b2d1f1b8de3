package medic

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
)

// Where every round fails by a fault of the program's own, it ends, so that the service
// begins again with a clean memory; not at once, and not with a panic.
func TestALoopThatFailsAgainAndAgainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _, err := journal.Open(t.TempDir(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m := New(Settings{Version: "1", Rules: policy.Rules{Interval: 2 * time.Minute, Burst: 2 * time.Second, Budget: 6}}, nil, j, zerolog.Nop())
		m.state.Trial = &policy.OnTrial{Purpose: policy.Trial} // leaving must not panic either
		m.set.Sensor = time.Minute
		began := time.Now()
		err = m.Run(t.Context()) // there is no Supervisor to ask: each look is a nil pointer
		if err == nil || !strings.Contains(err.Error(), "failed 5 times in a row") {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 2*time.Minute {
			t.Errorf("it ended after %v", took)
		}
	})
}
