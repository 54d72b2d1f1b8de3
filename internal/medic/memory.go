package medic

import (
	"context"
	"net/netip"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// recall is what the looks of one moment need of those before. The loop's goroutine
// alone touches it, and the looks of one round.
type recall struct {
	carriedBy string    // the process of cloudflared that was seen to carry a good probe
	edgeSince time.Time // since when every probe was answered by Cloudflare: the internet works
	logRead   time.Time
	logSaid   evidence.Log
	edges     []netip.AddrPort // that were connected to last
	quicSaid  evidence.Look    // the last answer over QUIC

	startSaid  evidence.Switch // whether Cloudflare's API answered
	startAsked time.Time
	typical    time.Duration // how long good probes take

	refused bool // Supervisor did not accept our token in the last look

	witness diagnosis.Witness
	awake   bool // the witness knows what the journal says of it
}

// answeredSince keeps since when the house's way to Cloudflare is known to be open.
func (m *Medic) answeredSince(l evidence.Look) {
	switch {
	case l.CFRay() == "":
		m.edgeSince = time.Time{}
	case m.edgeSince.IsZero():
		m.edgeSince = l.At
	}
}

// How long a probe waits while something is suspected: ten times what good ones take,
// and no less than two seconds. A handshake that is lost in silence costs no more.
const (
	patient     = 10
	leastLimit  = 2 * time.Second
	typicalOver = 8 // probes, about
)

// limit is how long a probe may take now.
func (m *Medic) limit() time.Duration {
	full := m.set.Public.Timeout
	if full <= 0 {
		full = probe.DefaultTimeout
	}
	if m.typical == 0 || !m.state.Alert() {
		return full
	}
	return min(full, max(leastLimit, patient*m.typical))
}

// took takes a good probe into what is typical.
func (r *recall) took(d time.Duration) {
	if r.typical == 0 {
		r.typical = d
	}
	r.typical += (d - r.typical) / typicalOver
}

// quicEvery is how long an answer over QUIC counts, or that none came: what a network
// lets pass changes seldom, and waiting for none takes seconds.
const quicEvery = 10 * time.Minute

// remember puts into the evidence what earlier probes showed, and takes a good one
// into memory: in this run of the connector, and in the journal once a day.
func (m *Medic) remember(e *evidence.Evidence) {
	if e.Public.Healthy() {
		m.took(e.Public.Took)
	}
	if list := tunnel.QUICEdges(e.Connector, m.set.Edge, m.set.ConnectorURL); len(list) > 0 {
		m.edges = list
	}
	host, process := m.target.URL.Hostname(), m.connector.Process()
	if rise, known := e.Connector.Carried(); e.Public.Healthy() && known && rise.Requests > 0 {
		m.carriedBy = process
	}
	if e.Public.Healthy() && e.Public.CFRay() != "" && e.AddOn.ProtocolKnown {
		day := e.At.UTC().Format(time.DateOnly)
		if err := m.journal.Update(func(r *journal.Record) { r.Remember(host, e.AddOn.Protocol, day) }); err != nil {
			m.log.Debug().Err(err).Msg("That the WebSocket worked is held in memory.")
		}
	}
	e.Memory = evidence.Memory{Known: true, Ever: e.Public.Healthy() || m.journal.Record().Ever(host), ThisRun: process != "" && m.carriedBy == process}
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
func (m *Medic) testify(ctx context.Context, e evidence.Evidence, d diagnosis.Diagnosis, now time.Time) diagnosis.Diagnosis {
	m.rouse()
	interval := m.set.Rules.Interval
	m.witness, m.seldom.turnover = m.witness.Probe(now, d, interval), m.seldom.turnover.Probe(now, d, interval)
	w, f := m.witness.Finding(now, interval)
	m.witness = w
	if f == nil {
		return m.beside(ctx, e, d, now)
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
	m.seldom.turnover = m.seldom.turnover.Count(now, c.Counters, m.set.Rules.Interval)
	return c
}

func (m *Medic) rouse() {
	if !m.awake {
		m.witness, m.awake = diagnosis.Remembering(m.journal.Record().ClientsTold), true
	}
}
