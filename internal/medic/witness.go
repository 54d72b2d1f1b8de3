package medic

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// freshWord is how long Cloudflare's word on connections counts: they come and go.
const freshWord = 5 * time.Minute

// zone is what Cloudflare's API said last.
func (m *Medic) zone(now time.Time) evidence.Zone {
	z := m.chron.said.Said()
	if now.Sub(m.chron.said.At) > freshWord {
		z.Connected = evidence.NotKnown
	}
	return z
}

// conclude says what was seen, in the light of what was before.
func (m *Medic) conclude(e evidence.Evidence) diagnosis.Diagnosis {
	h := diagnosis.History{Interval: m.set.Rules.Interval, Others: m.others, Everywhere: m.set.Rules.Exhausted(m.state),
		Sign: m.state.Sign, Since: m.state.TroubleSince, Changes: m.chron.hist.Versions}
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
