package survey

import (
	"net/netip"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/tunnel"
)

// recollection is what the looks of one moment need of those before.
type recollection struct {
	carriedBy string           // the process of cloudflared that was seen to carry a good probe
	edgeSince time.Time        // since when every probe was answered by Cloudflare: the internet works
	edges     []netip.AddrPort // that the connector was connected to last
	typical   time.Duration    // how long good probes take
}

// answered keeps since when the house's way to Cloudflare is known to be open.
func (m *recollection) answered(l evidence.Look) {
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

// patience is how long a probe may take now.
func (s *Surveyor) patience(suspected bool) time.Duration {
	full := s.home.Public.Limit()
	if s.typical == 0 || !suspected {
		return full
	}
	return min(full, max(leastLimit, patient*s.typical))
}

// took takes a good probe into what is typical.
func (m *recollection) took(d time.Duration) {
	if m.typical == 0 {
		m.typical = d
	}
	m.typical += (d - m.typical) / typicalOver
}

// remember takes the present looks into memory, and puts into the evidence what earlier
// probes showed.
func (r *round) remember() {
	e, host, process := &r.seen, r.home.Public.URL.Hostname(), ""
	if c := r.home.Connector; c != nil {
		process = c.Process()
	}
	if list := tunnel.QUICEdges(e.Connector, r.set.Edge, r.set.ConnectorURL); len(list) > 0 {
		r.edges = list
	}
	good := e.Public.Healthy()
	if good {
		r.learn(host, process)
	}
	if r.set.Recall != nil {
		e.Memory = r.set.Recall(host)
		e.Memory.Ever = e.Memory.Ever || good
		e.Memory.ThisRun = e.Memory.ThisRun || process != "" && r.carriedBy == process
	}
}

// learn takes a good probe into memory: in this run of the connector, and in the journal
// once a day.
func (r *round) learn(host, process string) {
	e := &r.seen
	r.took(e.Public.Took)
	if rise, known := e.Connector.Carried(); known && rise.Requests > 0 {
		r.carriedBy = process
	}
	if r.set.Remember == nil || e.Public.CFRay() == "" || !e.AddOn.ProtocolKnown {
		return
	}
	if err := r.set.Remember(host, e.AddOn.Protocol, e.At.UTC().Format(time.DateOnly)); err != nil {
		r.set.Log.Debug().Err(err).Msg("That the WebSocket worked is held in memory.")
	}
}
