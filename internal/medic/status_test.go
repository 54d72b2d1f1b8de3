package medic

import (
	"testing"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

func TestOnlyWhatAPersonCanEndNeedsYou(t *testing.T) {
	login := DiagnosisStatus{Cause: diagnosis.AccessLogin, Remedy: diagnosis.Tell}
	for rule, c := range map[string]struct {
		status Status
		want   bool
	}{
		"what only a person can mend":                  {Status{State: policy.Suspect, Diagnosis: login}, true},
		"whatever was suspected before":                {Status{State: policy.Suspect, Diagnosis: login, Detector: DetectorStatus{Score: 3}}, true},
		"while it waits":                               {Status{State: policy.Holding, Diagnosis: login}, true},
		"not what another protocol may mend":           {Status{State: policy.Suspect, Diagnosis: DiagnosisStatus{Cause: diagnosis.UpgradeStripped, Remedy: diagnosis.Rotate}}, false},
		"not while one is on trial":                    {Status{State: policy.Treating, Diagnosis: login}, false},
		"not where the home's own checks succeed":      {Status{State: policy.Healthy, Diagnosis: DiagnosisStatus{Cause: diagnosis.ClientsFailProbeFine, Remedy: diagnosis.Tell}}, false},
		"not where nothing can be watched":             {Status{State: policy.Blind, Diagnosis: login}, false},
		"not before anything was seen":                 {Status{State: policy.Starting, Diagnosis: login}, false},
		"what keeps the program from its work":         {Status{State: policy.Healthy, Hindered: []words.Text{words.Of("state.healthy")}}, true},
		"whose setting it is, which nobody else knows": {Status{State: policy.Healthy, Unsure: true}, true},
	} {
		if got := c.status.NeedsYou(); got != c.want {
			t.Errorf("%s: %v", rule, got)
		}
	}
}
