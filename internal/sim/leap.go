package sim

import (
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// waits says whether there is nothing to do but to wait for the end of a trouble that
// draws no lots and leaves no mark in the connector's counters: then a look changes nothing.
func (c *care) waits() bool {
	s, sp := &c.state, c.spell(c.now)
	return (sp.kind == blinding || sp.kind == unready && c.missing) && s.Trouble == sp.cause && s.Trouble != diagnosis.RateLimited && s.Trouble != diagnosis.TunnelDown &&
		!s.Alert() && c.now >= c.up
}

// endure lets time pass until a look is due that may be another than those before.
func (c *care) endure(next time.Duration) {
	due, sp := c.now+next, c.spell(c.now)
	if c.wait(next); c.now < due || c.spell(due) != sp || c.sense.Standby().After(c.clock(due-c.pace.Sensor)) {
		return // it is over, or the sensor has something to say, or may have soon
	}
	// The last rounds in the trouble are gone through, for what their readings leave behind.
	for end := sp.until(c.transport()); ; c.now = due {
		due = c.now + c.pace.Bad
		due += c.rules.Next(&c.state, c.clock(due))
		if due+2*(due-c.now) > end {
			return
		}
	}
}

// abides passes over looks that are counted and change nothing else, where every WebSocket is
// lost and nothing is left to be tried; it says whether there were any. The next is due.
func (c *care) abides(next time.Duration) bool {
	sp := c.spell(c.now)
	if sp.kind != stripping || sp.hangs || sp.loss[c.transport()] < 1 || c.state.Trouble != c.found(sp.cause).Cause || c.now < c.up || !c.rules.Resigned(&c.state, c.clock(c.now)) {
		return false
	}
	for c.wait(next); c.spell(c.now) == sp; c.wait(next) {
		c.Float64() // as see draws it
		c.refusals++
		c.now += c.pace.Bad
		c.state.FailsAgain(c.clock(c.now))
	}
	return true
}

// doubtful says whether a look has failed and nothing more is known, so that good
// looks change nothing but the score.
func (c *care) doubtful() bool {
	s := &c.state
	return s.Trial == nil && s.Incident == nil && s.Detector.Suspects() && c.now >= c.up
}

// breathe passes over good looks after a failed one, up to one at which something
// happens: the next failure, or the last good look that it takes to be idle again.
func (c *care) breathe(next time.Duration) time.Duration {
	var good int64
	if len(c.drawn) > 0 {
		good, c.drawn = c.drawn[0], c.drawn[1:]
	} else {
		good = c.goodLooks()
	}
	n, at, until := int64(0), c.now+next, c.nextSpell()
	for n < min(good, int64(c.state.Detector.Left()-1)) && at < until {
		n++
		c.now = at + c.pace.Good
		next = c.rules.Doubting(c.state.Detector.Probes + int(n))
		at = c.now + next
	}
	c.fated = good - n + 1
	if n == 0 {
		return next
	}
	c.state.Detector.Works(int(n))
	return next
}

// rest passes over the looks of a healthy home, up to one before which or at which
// something happens; it gives the time to the look after that. Even spacing, and
// random losses that have no memory, make this exact. What the sensor would add is
// left out here: it sees no random losses.
func (c *care) rest(next, limit time.Duration) time.Duration {
	limit = min(limit, c.nextSpell())
	if f := c.state.Failback; f != nil {
		limit = min(limit, c.comeback(&c.rules, c.state.Own, max(c.now, f.Due.Sub(c.start))))
	}
	every := next + c.pace.Good
	n, good := max(0, int64((limit-c.now)/every)), c.goodLooks()
	if n > 0 {
		c.visit = never
	}
	c.fated = 0
	c.state.Noise.Probes += float64(min(n, good))
	if good >= n {
		c.now += time.Duration(n) * every
		c.read(c.now) // what the sensor saw in vain is long past for it
		c.wait(next)
		return c.look(false)
	}
	c.now += time.Duration(good)*every + next
	if c.passes() {
		return c.rules.Interval
	}
	return c.look(true)
}

// passes leaps over a suspicion that begins with a random loss and comes to nothing, as
// nearly every one does, and says whether it was one: for the policy it is one more of this
// home's noise. If it was none, nothing has happened yet, and how many good looks follow its
// losses stays drawn.
func (c *care) passes() bool {
	const ample = 30 * time.Minute
	until := c.now + ample
	for i := c.i; i < len(c.spells) && c.spells[i].from < until; i++ {
		if c.spells[i].until(c.transport()) > c.now {
			return false
		}
	}
	if c.state.Transport != quic && c.shut(c.now) != 0 { // the edge is asked over QUIC
		return false
	}
	var d detect.Detector
	now := c.now
	c.drawn = c.drawn[:0]
	for {
		now += c.pace.Bad
		d.Count(time.Time{}, detect.Silent, c.state.Noise)
		left := d.Left()
		if d.Certain() || now+time.Duration(left)*(c.rules.Burst+c.pace.Good) > until {
			return false
		}
		good := c.goodLooks()
		c.drawn = append(c.drawn, good)
		n := int(min(good, int64(left)))
		if now += c.rules.Burst / 4; n > 0 {
			now += time.Duration(n)*c.pace.Good + c.rules.Doubted(d.Probes+1, n-1)
		}
		if n == left {
			break
		}
		if d.Works(n); n > 0 {
			now += c.rules.Doubting(d.Probes)
		}
	}
	c.drawn = c.drawn[:0]
	c.state.Noise.Learn(d.First())
	c.now, c.state.LastGood = now, c.clock(now)
	return true
}

// comeback is the first moment, from t on, at which the return to the user's own
// setting may come: in a quiet hour, and not while the network keeps out what it needs.
func (h *home) comeback(r *policy.Rules, own evidence.Protocol, t time.Duration) time.Duration {
	quiet := func(t time.Duration) time.Duration { return r.NextQuiet(h.clock(t)).Sub(h.start) }
	t = quiet(t)
	if until := h.shut(t); until != 0 && own != evidence.HTTP2 {
		if until == never {
			return never
		}
		return quiet(until)
	}
	return t
}
