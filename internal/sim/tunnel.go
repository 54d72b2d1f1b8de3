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
	fell    bool          // auto found QUIC shut at its start, and stays on HTTP/2 until the next

	cut      float64 // seconds
	counted  time.Duration
	i, j     int // first spells that are not over, and not counted
	mended   bool
	restarts int
	needless int
	misled   int // restarts while people got through and only a look did not
	marks    []mark

	alarm  time.Duration // when whoever looks after it first said that something was wrong, from the onset on; never, if nobody did
	alarms int           // in all
}

// mark is a change of what a handshake meets, for the picture.
type mark struct {
	at   time.Duration
	over evidence.Transport
	down bool
}

// newTunnel is one that was started with a protocol long before the story begins.
func newTunnel(s *story, p evidence.Protocol) *tunnel {
	t := &tunnel{story: s, setting: p, alarm: never, fell: s.noQUIC == always && p != evidence.QUIC}
	t.mark(0, false)
	return t
}

// newRunning is one under the user's own protocol that was watched for days.
func newRunning(s *story) *tunnel {
	t := newTunnel(s, s.own)
	t.up, t.started = -time.Hour, -time.Hour
	return t
}

// transport is the one in use, once it stands.
func (t *tunnel) transport() evidence.Transport {
	switch {
	case t.setting == evidence.HTTP2, t.fell:
		return http2
	case t.noQUIC == always:
		return evidence.NoTransport
	}
	return quic
}

// spell gives what is wrong at a moment for this tunnel.
func (t *tunnel) spell(at time.Duration) *spell {
	sp := t.at(at, &t.i)
	if sp != nil && (sp.mends && t.mended || at >= sp.until(t.transport()) || !sp.touches(t.transport())) {
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
	case sp.fault():
		return sp.loss[tr]
	}
	return 1
}

// touches says whether the spell is one for whom this transport serves.
func (sp *spell) touches(tr evidence.Transport) bool { return !sp.fault() || sp.loss[tr] > 0 }

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

// cost is how long a restart takes the tunnel away, and whether auto falls back then.
func (t *tunnel) cost(at time.Duration, p evidence.Protocol) (c time.Duration, falls bool) {
	c = t.pace.RestartShut
	if sp := t.spell(at); t.socketsOpen(at) && (sp == nil || !sp.cuts()) { // over no connection there is no WebSocket
		c = t.pace.RestartOpen
	}
	c = time.Duration(float64(c) * t.world.Restart)
	until := t.shut(at + c)
	switch {
	case p == evidence.HTTP2 || until == 0:
		return c, false
	case p != evidence.QUIC && until-at > c+t.pace.Fallback:
		return c + t.pace.Fallback, true
	}
	return until - at, false
}

// restart restarts the tunnel with a protocol. A restart that begins while the
// tunnel carries WebSockets is needless, unless it is the planned return to the
// user's own setting.
func (t *tunnel) restart(at time.Duration, p evidence.Protocol, planned bool) {
	t.pass(at)
	sp := t.spell(at)
	if (sp == nil || !sp.fault() || t.family == Ordinary) && at >= t.up && !planned {
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
	lasts, fell := t.cost(at, p)
	t.up, t.setting, t.fell = at+lasts, p, fell
	t.mark(at, true)
	t.mark(t.up, false)
}

func (t *tunnel) mark(at time.Duration, down bool) {
	if t.pictured {
		t.marks = append(t.marks, mark{at, t.transport(), down})
	}
}
