package sim

import (
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/survey"
)

// home is a tunnel at which somebody looks, and which people use.
type home struct {
	*tunnel
	*dice
	now      time.Duration
	burst    time.Duration
	fated    int64  // the look, counted from the next, that is known to be lost at random; 0: none is
	refusals uint64 // by the connector's counters
	log      logSaid
	visit    time.Duration // the next attempt of somebody to connect; never, to be drawn
	leave    time.Duration // when they give up
}

func newHome(s *story, burst time.Duration) *home {
	return &home{burst: burst, tunnel: newRunning(s), dice: newDice(s.salt, 2, s.noise), visit: never, log: logSaid{read: -time.Hour}}
}

func (h *home) troubled() bool { return h.spell(h.now) != nil }

// nextSpell is when the next one begins that the transport in use feels.
func (h *home) nextSpell() time.Duration {
	for i := h.i; i < len(h.spells); i++ {
		if sp := &h.spells[i]; sp.from > h.now && sp.touches(h.transport()) {
			return sp.from
		}
	}
	return never
}

// see gives what a look shows that begins now, by what it is to mean (see shown).
func (h *home) see(lost bool) diagnosis.Cause {
	sp := h.spell(h.now)
	switch {
	case h.now < h.up && h.setting == evidence.QUIC && h.shut(h.now) != 0 && h.now >= h.started+h.pace.Dialled:
		return diagnosis.QUICBlocked
	case h.now < h.up:
		return diagnosis.TunnelDown
	case sp == nil || sp.kind == stripping:
		return h.handshake(sp, lost)
	case sp.cuts():
		return h.parted(sp)
	case sp.kind == away && sp.to-h.now < h.pace.Bad:
		// Home Assistant came back between the probe and its controls: it looks as if
		// the tunnel alone had refused.
		return diagnosis.UpgradeRefused
	case sp.kind == away:
		h.refusals++
	}
	return sp.cause
}

// handshake is what one meets that the tunnel carries.
func (h *home) handshake(sp *spell, lost bool) diagnosis.Cause {
	switch {
	case sp != nil && h.Float64() < sp.loss[h.transport()]:
		if !sp.hangs {
			h.refusals++
		}
		return sp.cause
	case sp == nil && h.fated > 0:
		if h.fated--; h.fated == 0 {
			return diagnosis.UpgradeSilent
		}
	case lost || h.lost():
		return diagnosis.UpgradeSilent
	}
	return diagnosis.Healthy
}

// logSaid is what the app's log said of the connections when it was last read.
type logSaid struct {
	read    time.Duration
	blocked bool // QUIC was dialled in vain
	breaks  int  // of one connection, of late
}

// parted is what a look shows that finds the tunnel without a connection: that it is
// away, until its log says why.
func (h *home) parted(sp *spell) diagnosis.Cause {
	if h.now-h.log.read >= survey.LogLasts(h.burst) {
		h.log = logSaid{read: h.now, blocked: sp.kind == blocked && h.now >= sp.from+h.pace.Dialled}
		for i := h.i; i >= 0 && sp.kind == breaking && h.spells[i].from >= max(h.up, sp.from-evidence.OfLate); i-- {
			h.log.breaks++
		}
	}
	switch {
	case h.log.blocked:
		return diagnosis.QUICBlocked
	case h.log.breaks >= diagnosis.ManyBreaks:
		return diagnosis.TunnelFlapping
	}
	return diagnosis.TunnelDown
}

// visits lets people try to connect up to a moment. Whoever does not get through
// tries again for a while; each failure is counted by the connector, unless it
// never came that far.
func (h *home) visits(until time.Duration) {
	if h.visit == never {
		h.visit = h.arrival(h.now)
	}
	for h.visit <= until {
		sp := h.spell(h.visit)
		hit := h.Float64() < sp.share(h.transport())
		failed := hit || h.lost()
		// What is lost on the way, or hangs, leaves no mark in the connector's counters.
		if hit && !sp.unready() && !sp.hangs && h.visit >= h.up {
			h.refusals++
		}
		switch {
		case !failed:
			h.visit, h.leave = h.arrival(h.visit), 0
		case h.leave == 0:
			h.leave = h.visit + h.pace.Patience
			fallthrough
		default:
			if h.visit += h.pace.Retry; h.visit > h.leave {
				h.visit, h.leave = h.arrival(h.visit), 0
			}
		}
	}
}

// arrival draws the next time that somebody opens Home Assistant from outside.
func (h *home) arrival(t time.Duration) time.Duration {
	for {
		t += gap(h.Rand, mostOpenings*h.world.Visits, time.Hour)
		if openings, _ := day(h.clock(t).Hour()); h.Float64()*mostOpenings < openings {
			return t
		}
	}
}
