package sim

import (
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// rival looks at even intervals whether the WebSocket opens, and restarts after so
// many failures in a row. It does not ask why.
type rival struct {
	every    time.Duration
	failures int
	rotates  bool // goes to the next protocol, in fixed order, for ever
	stepwise bool // for tests: looks that are known to be good are not passed over
}

// The sidecar is what people write first: three failures in a row, a minute apart.
func sidecar() rival { return rival{every: time.Minute, failures: 3, rotates: true} }

// The watchdog is as patient as Supervisor's: a look every two minutes, and the
// second failure restarts.
func watchdog() rival { return rival{every: 2 * time.Minute, failures: 2} }

// live lives through the story, until the fault is over and a look was good.
func (r rival) live(s *story) *tunnel {
	c := newHome(s, Defaults().Burst)
	c.now = time.Duration(c.Int64N(int64(r.every)))
	order := []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}
	for row, lost := 0, 0; ; c.now += r.every {
		if row == 0 && lost == 0 && c.now >= c.up && !c.troubled() && !r.stepwise {
			lost = r.rest(c)
		}
		cause := c.see(lost > 0)
		if lost = max(lost-1, 0); cause == diagnosis.Healthy {
			if row = 0; c.now > c.end {
				break
			}
			continue
		}
		if row++; row < r.failures {
			continue
		}
		row = 0
		if c.alarms++; c.now >= c.onset() { // what it does is all it says
			c.alarm = min(c.alarm, c.now)
		}
		p := c.setting
		if r.rotates {
			p = order[(slices.Index(order, p.Effective())+1)%len(order)]
		}
		c.restart(c.now, p, false)
	}
	c.pass(max(c.now, c.end))
	return c.tunnel
}

// rest passes over good looks, and over losses at random that a good look follows; it says how
// many looks from the next on are known to be lost.
func (r rival) rest(c *home) int {
	n := max(0, int64((min(c.end, c.nextSpell())-c.now)/r.every))
	for {
		good := c.goodLooks()
		c.now += time.Duration(min(n, good)) * r.every
		switch n -= good; {
		case n <= 0:
			return 0
		case n < 3: // it would be at the end of what is known to be well
			return 1
		case c.lost():
			return 2
		}
		n -= 2
		c.now += 2 * r.every
	}
}

// left alone, a home keeps a protocol.
func alone(s *story, p evidence.Protocol) *tunnel {
	t := newTunnel(s, p)
	t.pass(t.end)
	return t
}

// oracles are the one that learns of the fault when it is noticed, and the one that
// acts at its onset. In a year of ordinary troubles nothing can be gained, and both
// know.
func oracles(s *story, noticed time.Duration) (sameEyes, atOnset *tunnel) {
	if s.family == Ordinary {
		return alone(s, s.own), alone(s, s.own)
	}
	return oracle(s, noticed), oracle(s, s.onset())
}

// oracle knows which transports are hit and for how long. At the given moment it
// does what leaves the home cut off least: nothing, or one restart with the best
// protocol. It has the same duty as everybody who changes the user's setting: it
// brings it back, in the first quiet hour after the fault, as soon as nobody is
// connected.
func oracle(s *story, at time.Duration) *tunnel {
	best := alone(s, s.own)
	if at == never {
		return best
	}
	for _, p := range []evidence.Protocol{s.own, evidence.Auto, evidence.QUIC, evidence.HTTP2} {
		t := newRunning(s)
		t.restart(at, p, true)
		end := t.end
		if p.Effective() != s.own.Effective() {
			end = t.deserted(t.end)
			t.restart(end, s.own, true)
			end = t.up
		}
		if t.pass(max(end, t.up)); t.cut < best.cut {
			best = t
		}
	}
	best.alarm = at
	return best
}

// deserted is the first moment of a quiet hour, from t on, at which nobody is
// connected.
func (s *story) deserted(t time.Duration) time.Duration {
	rules := Defaults()
	rules.Location = s.start.Location()
	quiet := func(t time.Duration) time.Duration { return rules.NextQuiet(s.clock(t)).Sub(s.start) }
	at := quiet(t)
	for s.socketsOpen(at) {
		at = quiet(at + time.Minute)
	}
	return at
}
