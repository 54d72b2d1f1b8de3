package evidence_test

import (
	"testing"

	"tunnelmedic/internal/evidence"
)

func TestWhatAnAnswerOverQUICSaysOfTheNetwork(t *testing.T) {
	for l, want := range map[evidence.Trouble]evidence.Switch{evidence.TimedOut: evidence.Off, evidence.Unreachable: evidence.NotKnown, evidence.Interrupted: evidence.NotKnown,
		evidence.TLSFailed: evidence.Off, evidence.BadCertificate: evidence.Off, evidence.Unverified: evidence.NotKnown, evidence.Unusable: evidence.NotKnown} {
		if got := (evidence.Look{Stage: evidence.Asked, Trouble: l}).QUICPasses(); got != want {
			t.Errorf("%s: %s", l, got)
		}
	}
	if (evidence.Look{}).QUICPasses() != evidence.NotKnown || (evidence.Look{Stage: evidence.Secured}).QUICPasses() != evidence.On {
		t.Error("asked, or not asked")
	}
}
