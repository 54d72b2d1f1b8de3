package medic

import (
	"context"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
)

// Surveyor makes the looks of one moment.
type Surveyor interface {
	Survey(context.Context, survey.Home, survey.Moment) survey.Seen
}

// home is what is to be looked at.
func (m *Medic) home(now time.Time) survey.Home {
	t := m.set.Public
	t.URL = m.target.URL
	if !m.target.Trusted {
		t = t.Bare()
	}
	return survey.Home{Public: t, Slug: m.target.Slug, Connector: m.connector, Location: m.set.Rules.Location, Zone: m.enquire.zone(now)}
}

// moment is what the looks hang on besides what they see.
func (m *Medic) moment(now time.Time) survey.Moment {
	s := &m.state
	return survey.Moment{
		Suspected: s.Alert(),
		Due:       m.failbackDue(now),
		Starting:  s.Incident != nil || s.Felled || s.Trouble.Restarts(),
		Curious:   m.others.Curious(now, m.set.Rules.Interval),
		Transport: s.Transport,
	}
}

// failbackDue says whether the return to the user's own setting is due.
func (m *Medic) failbackDue(now time.Time) bool {
	f := m.state.Failback
	return f != nil && m.state.Trial == nil && !now.Before(f.Due) && m.set.Rules.Quiet(now)
}

// sight puts the evidence into what the policy asks for.
func (m *Medic) sight(e survey.Seen, d diagnosis.Diagnosis) policy.Sight {
	info := e.Info
	s := policy.Sight{
		Vote: d.Vote, Cause: d.Cause, Remedy: d.Remedy, Sign: d.Sign, Blind: m.blind,
		Transport: e.Connector.Transport, Running: e.Connector.Running, State: e.AddOn.State, Startable: e.AddOn.Startable,
		// A handshake that hangs has no answer to bear a cf-ray; that of the page at the same moment then tells the way.
		ThroughCloudflare: e.Public.CFRay() != "" || e.Public.Stage < evidence.Answered && e.Page.CFRay() != "",
		DirectWorks:       e.Direct.Healthy() || e.Public.Healthy(),
		Internet:          e.Internet,
		QUIC:              e.QUIC.QUICPasses(),
		Unkept:            m.journal.Trouble().Err != nil,
		InUse:             e.Connector.Before != nil && e.Connector.Before.Concurrent > 0,
	}
	if info != nil && info.OptionsError == nil && info.Installed() {
		p, err := tunnel.ProtocolOf(info.Options)
		s.Setting, s.SettingKnown = p, err == nil
		s.SecretAtRisk = info.Options.HoldsSecretReference()
		s.SupervisorFree = info.State == evidence.StateStarted
		m.warnOnce(err)
	} else if info != nil {
		m.warnOnce(info.OptionsError)
	}
	return s
}
