package sim

import (
	"math"
	"time"

	"tunnelmedic/internal/evidence"
)

// never is later than any story.
const never = time.Duration(math.MaxInt64)

// tunnel is a home's tunnel under one actor's hands. It integrates the share of
// handshakes that do not open.
type tunnel struct {
	*story
	setting evidence.Protocol
	up      time.Duration // when the connection stands again; never, if it does not
	started time.Duration // when cloudflared's process did

	cut      float64 // seconds
	counted  time.Duration
	i, j     int // first spells that are not over, and not counted
	mended   bool
	restarts int
	needless int
	misled   int // restarts while people got through and only a look did not
	marks    []mark
}

// mark is a change of what a handshake meets, for the picture.
type mark struct {
	at      time.Duration
	setting evidence.Protocol
	down    bool
}

func newTunnel(s *story, p evidence.Protocol) *tunnel {
	return &tunnel{story: s, setting: p, marks: []mark{{setting: p}}}
}

// transport is the one in use, once it stands.
func (t *tunnel) transport() evidence.Transport {
	switch {
	case t.setting == evidence.HTTP2, t.noUDP && t.setting != evidence.QUIC:
		return http2
	case t.noUDP:
		return evidence.NoTransport
	}
	return quic
}

// spell gives what is wrong at a moment for this tunnel.
func (t *tunnel) spell(at time.Duration) *spell {
	sp := t.at(at, &t.i)
	if sp != nil && (sp.mends && t.mended || at >= sp.until(t.transport())) {
		return nil
	}
	return sp
}

// until is when the spell ends for whom this transport serves.
func (sp *spell) until(tr evidence.Transport) time.Duration {
	if tr == http2 {
		return sp.to + sp.late
	}
	return sp.to
}

// share of handshakes that do not open during a spell.
func (sp *spell) share(tr evidence.Transport) float64 {
	switch {
	case sp == nil || sp.kind == blinding:
		return 0
	case sp.kind == stripping:
		return sp.loss[tr]
	}
	return 1
}

// pass integrates up to a moment.
func (t *tunnel) pass(to time.Duration) {
	if down := min(t.up, to); down > t.counted {
		t.cut += (down - t.counted).Seconds()
		t.counted = down
	}
	for t.j < len(t.spells) && t.spells[t.j].to+t.spells[t.j].late <= t.counted {
		t.j++
	}
	for j := t.j; j < len(t.spells) && t.spells[j].from < to; j++ {
		sp := &t.spells[j]
		if from, until := max(sp.from, t.counted), min(sp.until(t.transport()), to); until > from && !(sp.mends && t.mended) {
			t.cut += sp.share(t.transport()) * (until - from).Seconds()
		}
	}
	t.counted = max(t.counted, to)
}

// cost is how long a restart takes the tunnel away.
func (t *tunnel) cost(at time.Duration, p evidence.Protocol) time.Duration {
	c := t.pace.RestartShut
	if t.socketsOpen(at) {
		c = t.pace.RestartOpen
	}
	c = time.Duration(float64(c) * t.world.Restart)
	switch {
	case t.noUDP && p == evidence.QUIC:
		return never - at
	case t.noUDP && p != evidence.HTTP2:
		return c + t.pace.Fallback
	}
	return c
}

// restart restarts the tunnel with a protocol. A restart that begins while the
// tunnel carries WebSockets is needless, unless it is the planned return to the
// user's own setting.
func (t *tunnel) restart(at time.Duration, p evidence.Protocol, planned bool) {
	t.pass(at)
	sp := t.spell(at)
	if (sp == nil || sp.kind != stripping || sp.share(t.transport()) == 0 || t.family == Ordinary) && at >= t.up && !planned {
		t.needless++
	}
	if sp != nil && sp.mends {
		t.mended = true
	}
	if sp != nil && sp.kind == blinding {
		t.misled++
	}
	t.restarts++
	t.started = at
	t.up = at + t.cost(at, p)
	t.setting = p
	t.marks = append(t.marks, mark{at, p, true}, mark{t.up, p, false})
}
