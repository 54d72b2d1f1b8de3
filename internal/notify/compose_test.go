package notify

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

func TestAGoodProbeAmidAFaultIsNoNews(t *testing.T) {
	inc := &journal.Incident{ID: "20261121T220512Z", Onset: time.Now().Add(-time.Hour)}
	good, bad := medic.DiagnosisStatus{Cause: diagnosis.Healthy}, medic.DiagnosisStatus{Cause: diagnosis.UpgradeStripped}
	n := New(nil, zerolog.Nop(), nil, func(s string) string { return s }, time.Minute, "", nil)
	n.Tell(medic.Status{State: policy.Holding, Incident: inc, Diagnosis: bad}, nil)
	if n.want == nil {
		t.Fatal("the fault was not told")
	}
	told := *n.want
	n.Tell(medic.Status{State: policy.Holding, Incident: inc, Diagnosis: good}, nil)
	if n.want == nil || !reflect.DeepEqual(*n.want, told) {
		t.Errorf("one good probe changed the notification to %+v", n.want)
	}
	t.Run("nor is it that proof is being gathered", func(t *testing.T) {
		s := medic.Status{State: policy.Suspect, Incident: inc, Diagnosis: bad, Gates: []policy.Gate{policy.GateEvidence}}
		if msg := compose(words.English(), s, nil, time.Now(), 0); msg != nil {
			t.Errorf("told: %+v", msg)
		}
		s.Gates = append(s.Gates, policy.GateSecret)
		if compose(words.English(), s, nil, time.Now(), 0) == nil {
			t.Error("a gate that needs a person was not told")
		}
	})
}

func TestAPartialLossSaysHowManyFail(t *testing.T) {
	s := medic.Status{State: policy.Treating, Diagnosis: medic.DiagnosisStatus{Cause: diagnosis.UpgradeStripped},
		Incident: &journal.Incident{ID: "20261121T220512Z", Steps: []policy.Step{{Kind: policy.StepAlarm, Seen: detect.Tally{Failures: 5, Probes: 21}}}}}
	if m := compose(words.English(), s, nil, time.Now(), 0); !strings.Contains(m.Message, "5 of 21 checks failed") || strings.Contains(m.Message, "doesn't open at the moment") {
		t.Error(m.Message)
	}
	s.Trial = &medic.TrialStatus{Protocol: "auto", Purpose: policy.Restore}
	s.Incident.Steps = append(s.Incident.Steps, policy.Step{Kind: policy.StepPostponed, Result: policy.CannotStart})
	if m := compose(words.English(), s, nil, time.Now(), 0); !strings.Contains(m.Message, "Cloudflare's API does not answer") || strings.Contains(m.Message, "minute or two") {
		t.Error(m.Message)
	}
}
