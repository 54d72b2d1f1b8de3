package medic

import (
	"context"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
)

// Surveyor makes the looks of one moment.
type Surveyor interface {
	Survey(context.Context, survey.Home, survey.Moment) survey.Seen
}

// home is what is to be looked at.
func (a *app) home(place *time.Location, zone evidence.Zone) survey.Home {
	t := a.set.Public
	t.URL = a.target.URL
	if !a.target.Trusted {
		t = t.Bare()
	}
	return survey.Home{Public: t, Slug: a.target.Slug, Connector: a.connector, Location: place, Zone: zone}
}

// moment is what the looks hang on besides what they see.
func (c *course) moment(curious bool, now time.Time) survey.Moment {
	s := &c.state
	return survey.Moment{
		Suspected: s.Alert(),
		Due:       c.rules.FailbackDue(s, now),
		Starting:  s.Incident != nil || s.StoppedByUs || s.Trouble.Restarts(),
		Curious:   curious,
		Transport: s.Transport,
	}
}

// sight puts the evidence, and what is stored, into what the policy asks for.
func sight(e survey.Seen, d diagnosis.Diagnosis) policy.Sight {
	info, s := e.Info, policy.SightOf(e.Evidence, d)
	if info != nil && info.OptionsError == nil && info.Installed() {
		p, err := tunnel.ProtocolOf(info.Options)
		s.Setting, s.SettingKnown = p, err == nil
		s.SecretAtRisk = info.Options.HoldsSecretReference()
		s.SupervisorFree = info.State == evidence.StateStarted
	}
	return s
}

// optionsTrouble is why the app's protocol cannot be read from its options.
func optionsTrouble(info supervisor.Info) error {
	if info.OptionsError != nil || !info.Installed() {
		return info.OptionsError
	}
	_, err := tunnel.ProtocolOf(info.Options)
	return err
}
