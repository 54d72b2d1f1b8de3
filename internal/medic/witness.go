package medic

import (
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// conclude says what was seen, in the light of what was before.
func (m *Medic) conclude(e evidence.Evidence) diagnosis.Diagnosis {
	h := diagnosis.History{Interval: m.set.Rules.Interval, Others: m.others, Everywhere: m.set.Rules.Exhausted(m.state),
		Sign: m.state.Sign, Since: m.state.TroubleSince, Changes: m.chron.History().Versions}
	if i := m.state.Incident; i != nil {
		h.Onset = i.Onset
	}
	d, others := diagnosis.Conclude(e, h)
	m.others = others
	m.sayOthers(d, h.Others)
	return d
}

// sayOthers logs once what other people meet.
func (m *Medic) sayOthers(d diagnosis.Diagnosis, before diagnosis.Others) {
	if f := d.Clients; f != nil {
		if said := m.others.Refused.Said(); !m.journal.Record().ClientsTold.Equal(said) {
			m.log.Info().Uint64("refused", f.Refused).Int("good_probes", f.Good).Msg(words.English().TurnedAway(*f) + ".")
			_ = m.journal.Update(func(r *journal.Record) { r.ClientsTold = said }) // memory has it
		}
	}
	if c := d.Closing; c != nil && !m.others.Brief.Said().Equal(before.Brief.Said()) {
		m.log.Warn().Uint64("brief", c.Brief).Int("logged", c.Logged).Int("good_probes", c.Good).Msg(words.English().Summary(d))
	}
}
