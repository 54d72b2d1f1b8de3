package medic

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/words"
)

// witnesses are what speaks of people who fail while the probe succeeds.
type witnesses struct {
	witness  diagnosis.Witness
	turnover diagnosis.Turnover
	awake    bool // the witness knows what the journal says of it
}

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

// testify has the second witness take a probe, and gives the diagnosis that people
// see: the witness's, where it has something to say, else the probe's own.
func (m *Medic) testify(e evidence.Evidence, d diagnosis.Diagnosis, now time.Time) diagnosis.Diagnosis {
	m.rouse()
	interval := m.set.Rules.Interval
	m.witness, m.turnover = m.witness.Probe(now, d, interval), m.turnover.Probe(now, d, interval)
	w, f := m.witness.Finding(now, interval)
	m.witness = w
	if f == nil {
		return m.beside(e, d, now)
	}
	if said := w.Said(); !m.journal.Record().ClientsTold.Equal(said) {
		m.log.Info().Uint64("refused", f.Refused).Int("good_probes", f.Good).Msg(words.English().TurnedAway(*f) + ".")
		if err := m.journal.Update(func(r *journal.Record) { r.ClientsTold = said }); err != nil {
			m.log.Debug().Err(err).Msg("What was said of failing clients is held in memory.")
		}
	}
	return diagnosis.AboutClients(*f, e)
}

// count has the second witness take a reading of the counters, and passes it on.
func (m *Medic) count(c evidence.Connector, now time.Time) evidence.Connector {
	m.rouse()
	m.witness = m.witness.Count(now, c.Counters, m.set.Rules.Interval)
	m.turnover = m.turnover.Count(now, c.Counters, m.set.Rules.Interval)
	return c
}

func (m *Medic) rouse() {
	if !m.awake {
		m.witness, m.awake = diagnosis.Remembering(m.journal.Record().ClientsTold), true
	}
}

// suspect says whether the zone has both of what is suspected to break browsers' sign-in.
func suspect(u evidence.Upstream) evidence.Switch {
	switch {
	case u.MutualTLS == nil && u.HTTP3 == nil:
		return evidence.NotKnown
	case u.MutualTLS != nil && u.MutualTLS.Value == "off", u.HTTP3 != nil && u.HTTP3.Value == "off":
		return evidence.Off
	case u.MutualTLS != nil && u.HTTP3 != nil:
		return evidence.On
	}
	return evidence.NotKnown
}

// beside gives the diagnosis that people see, where all checks succeed and people fail all
// the same; d where nothing of the kind was seen.
func (m *Medic) beside(e evidence.Evidence, d diagnosis.Diagnosis, now time.Time) diagnosis.Diagnosis {
	if b := diagnosis.Beside(d, e); b.Cause != d.Cause {
		return b
	}
	if d.Says() != diagnosis.Works {
		return d
	}
	was := m.turnover.Said()
	t, c := m.turnover.Closing(now, m.set.Rules.Interval, e.CoreLog, suspect(m.chron.said))
	m.turnover = t
	if c == nil {
		return d
	}
	told := diagnosis.AboutClosing(*c, e)
	if !t.Said().Equal(was) {
		m.log.Warn().Uint64("brief", c.Brief).Int("logged", c.Logged).Int("good_probes", c.Good).Msg(words.English().Summary(told))
	}
	return told
}
