package sim

import (
	"math"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/sensor"
	"tunnelmedic/internal/treatment"
)

// Pace is how long the program's own doings take, and those of the world that it
// waits for.
type Pace struct {
	Good    time.Duration // a look at a healthy home
	Bad     time.Duration // a look that asked the controls too
	Hung    time.Duration // a look that was never answered
	Soon    time.Duration // the same, once one has failed: it is given up sooner
	Shut    time.Duration // a look that asked the edge over QUIC in vain
	Write   time.Duration // from an order to SIGTERM
	Poll    time.Duration // between looks for the connection after a restart
	Sensor  time.Duration // between readings of the connector's counters
	Dialled time.Duration // from the loss of QUIC until the log tells of two dials that failed

	Retry, Patience time.Duration // of somebody who cannot connect: between attempts, until they give up

	RestartOpen, RestartShut time.Duration // from SIGTERM until the first connection stands, with and without open WebSockets
	Fallback                 time.Duration // auto, where UDP is blocked

	WarmUp time.Duration // how long a home was well before its story's fault begins,
	Spread time.Duration // and over what time the beginnings are spread: looks are as far apart
}

// Real is the pace of a home. Looks: a handshake over a mobile-like round trip of
// 50 ms, and the controls beside it. Restarts: with open WebSockets Supervisor
// kills cloudflared after 10 s (docs/FACTS.md, cloudflared).
func Real() Pace {
	return Pace{
		Good: 150 * time.Millisecond, Bad: 400 * time.Millisecond, Hung: 10 * time.Second, Soon: 2 * time.Second, Shut: 3 * time.Second, Write: 300 * time.Millisecond, Poll: 200 * time.Millisecond, Sensor: 4 * time.Second,
		Dialled: 15 * time.Second, // auto makes nine dials in its 131 s
		Retry:   5 * time.Second, Patience: 2 * time.Minute,
		RestartOpen: 12 * time.Second, RestartShut: 4 * time.Second, Fallback: 131 * time.Second,
		WarmUp: 10 * time.Minute, Spread: 2 * time.Minute,
	}
}

// Defaults are the rules that the add-on starts with.
func Defaults() policy.Rules {
	return policy.Rules{
		Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: 24 * time.Hour,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute,
	}
}

// care is a home in the care of the real policy: what internal/medic does with it,
// in virtual time.
type care struct {
	*tunnel
	rules policy.Rules
	*dice

	now      time.Duration
	state    policy.State
	sees     policy.Sight
	sense    sensor.Sensor
	counters evidence.Counters // the connector's, of refused requests
	missing  bool              // the sensor has seen the connections go, and not come back
	log      logSaid
	visit    time.Duration // the next attempt of somebody to connect; never, to be drawn
	leave    time.Duration // when they give up

	noticed time.Duration // the end of the first look that showed the fault
	alarm   time.Duration
	alarms  int
	leaps   bool    // looks that are known to be good are passed over
	drawn   []int64 // how many good looks follow the next losses, where that is drawn already
	fated   int64   // the look, counted from the next, that is known to be lost at random; 0: none is
}

func newCare(s *story, rules policy.Rules) *care {
	c := &care{tunnel: newTunnel(s, s.own), rules: rules, dice: newDice(s.salt, 2, s.noise), noticed: never, alarm: never, visit: never, leaps: true,
		counters: evidence.Counters{Codes: map[int]uint64{}}, log: logSaid{read: -time.Hour}}
	c.up, c.started = -time.Hour, -time.Hour // it has been running for long, and was watched for days
	c.state.Noise = detect.Noise{Failures: math.Round(2500 * s.noise), Probes: 2500}
	c.read(0)
	return c
}

// live lives through the story, until all is as it was before, or the limit.
func (c *care) live(limit time.Duration) {
	next := c.look(false)
	for c.now < limit && (c.now <= c.end || !c.idle() || c.state.Failback != nil) {
		switch {
		case !c.leaps:
		case c.troubled():
			if c.waits() {
				c.endure(next)
				next = c.look(false)
				continue
			}
		case c.idle():
			next = c.rest(next, limit)
			continue
		case c.doubtful():
			next = c.breathe(next)
		}
		c.wait(next)
		next = c.look(false)
	}
	c.pass(max(c.now, c.end))
}

// idle says whether nothing is under way, so that a good look would change nothing.
func (c *care) idle() bool {
	s := &c.state
	return !s.TroubleSince.IsZero() && !s.Alert() && s.Trouble == diagnosis.Healthy && c.now >= c.up && !c.missing
}

func (c *care) troubled() bool { return c.spell(c.now) != nil }

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
		limit = min(limit, c.comeback(max(c.now, f.Due.Sub(c.start))))
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
	const ample = 10 * time.Minute
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
func (c *care) comeback(t time.Duration) time.Duration {
	t = c.quiet(t)
	if until := c.shut(t); until != 0 && c.state.Own != evidence.HTTP2 {
		if until == never {
			return never
		}
		return c.quiet(until)
	}
	return t
}

// nextSpell is when the next one begins that the transport in use feels.
func (c *care) nextSpell() time.Duration {
	for i := c.i; i < len(c.spells); i++ {
		if sp := &c.spells[i]; sp.from > c.now && sp.touches(c.transport()) {
			return sp.from
		}
	}
	return never
}

// quiet is the first moment of a quiet hour, from t on.
func (c *care) quiet(t time.Duration) time.Duration {
	at := c.clock(t).In(c.rules.Location)
	if c.rules.Quiet(at) {
		return t
	}
	day := at.Day()
	if at.Hour() > 4 {
		day++
	}
	return time.Date(at.Year(), at.Month(), day, 3, 0, 0, 0, c.rules.Location).Sub(c.start)
}

// look looks, decides, and carries out what is ordered; it gives the time to the
// next look. lost says that a random loss is certain.
func (c *care) look(lost bool) time.Duration {
	began := c.now
	sp := c.spell(c.now)
	f := c.found(c.see(lost))
	switch {
	case f.Vote == diagnosis.Works:
		c.now += c.pace.Good
	case f.Vote == diagnosis.Fails && sp != nil && sp.hangs && c.state.Alert(): // it is given up sooner
		c.now += c.pace.Soon
	case f.Vote == diagnosis.Fails && sp != nil && sp.hangs:
		c.now += c.pace.Hung
	case c.asks(f.Vote) && c.shut(c.now) != 0 && !c.state.QUICShut: // asked once in an incident
		c.now += c.pace.Shut
	default:
		c.now += c.pace.Bad
	}
	if sp != nil && sp.fault() && (f.Vote == diagnosis.Fails || f.Vote == diagnosis.Abstains && sp.cuts()) && c.noticed == never {
		c.noticed = c.now
		if c.state.Incident != nil { // by chance, people have been told already
			c.alarm = min(c.alarm, c.now)
		}
	}
	d := c.rules.Advance(&c.state, c.clock(c.now), c.sight(f, c.now-began))
	c.note(d)
	for d.Change != nil {
		out := c.treat(*d.Change)
		c.state, d = c.rules.Treated(c.state, c.clock(c.now), out)
		c.note(d)
	}
	return d.Next
}

// note takes down an alarm.
func (c *care) note(d policy.Decision) {
	for _, step := range d.Steps {
		if step.Kind == policy.StepAlarm {
			c.alarms++
			if c.alarm == never && c.now >= c.onset() {
				c.alarm = c.now
			}
		}
	}
}

// see gives what a look shows that begins now, by what it is to mean (see shown).
func (c *care) see(lost bool) diagnosis.Cause {
	sp := c.spell(c.now)
	switch {
	case c.now < c.up:
		if c.setting == evidence.QUIC && c.shut(c.now) != 0 && c.now >= c.started+c.pace.Dialled {
			return diagnosis.QUICBlocked
		}
		return diagnosis.TunnelDown
	case sp == nil && c.fated > 0:
		if c.fated--; c.fated == 0 {
			return diagnosis.UpgradeSilent
		}
	case sp == nil:
		if lost || c.lost() {
			return diagnosis.UpgradeSilent
		}
	case sp.kind == stripping:
		if loss := sp.loss[c.transport()]; c.Float64() < loss {
			if !sp.hangs {
				c.counters.Codes[refused]++
			}
			return sp.cause
		}
		if lost || c.lost() {
			return diagnosis.UpgradeSilent
		}
	case sp.cuts():
		return c.parted(sp)
	case sp.kind == away && sp.to-c.now < c.pace.Bad:
		// Home Assistant came back between the probe and its controls: it looks as if
		// the tunnel alone had refused.
		return diagnosis.UpgradeRefused
	default:
		if sp.kind == away {
			c.counters.Codes[refused]++
		}
		return sp.cause
	}
	return diagnosis.Healthy
}

// logSaid is what the app's log said of the connections when it was last read.
type logSaid struct {
	read    time.Duration
	blocked bool // QUIC was dialled in vain
	breaks  int  // of one connection, of late
}

// What makes the tunnel's log a verdict: see readLog in internal/medic, lostWindow in
// internal/tunnel, and breaks in internal/diagnosis.
const (
	readingLog = 3 // bursts between two readings
	ofLate     = 10 * time.Minute
	manyBreaks = 3
)

// parted is what a look shows that finds the tunnel without a connection: that it is
// away, until its log says why.
func (c *care) parted(sp *spell) diagnosis.Cause {
	if c.now-c.log.read >= readingLog*c.rules.Burst {
		c.log = logSaid{read: c.now, blocked: sp.kind == blocked && c.now >= sp.from+c.pace.Dialled}
		for i := c.i; i >= 0 && sp.kind == breaking && c.spells[i].from >= max(c.up, sp.from-ofLate); i-- {
			c.log.breaks++
		}
	}
	switch {
	case c.log.blocked:
		return diagnosis.QUICBlocked
	case c.log.breaks >= manyBreaks:
		return diagnosis.TunnelFlapping
	}
	return diagnosis.TunnelDown
}

// asks says whether a look asks the edge over QUIC, as quicMatters in internal/survey does: what
// passes, the tunnel shows itself while it uses it.
func (c *care) asks(v diagnosis.Vote) bool {
	return c.state.Transport != quic && (v != diagnosis.Works || c.rules.FailbackDue(&c.state, c.clock(c.now)))
}

// sight is what the policy is told now: what was found, and what is this home's.
func (c *care) sight(f *finding, took time.Duration) *policy.Sight {
	in := &c.sees
	*in = f.sight
	in.Took = took
	in.Setting, in.SettingKnown, in.SupervisorFree, in.Running = c.setting, true, true, c.now-c.started
	in.InUse = c.state.Failback != nil && c.socketsOpen(c.now) // nothing else asks for it
	if sp := c.spell(c.now); c.now >= c.up && (sp == nil || !sp.cuts()) {
		in.Transport = c.transport()
	}
	if c.asks(f.Vote) {
		in.QUIC = evidence.On
		if c.shut(c.now) != 0 {
			in.QUIC = evidence.Off
		}
	}
	return in
}

// treat carries a change out.
func (c *care) treat(change policy.Change) policy.Outcome {
	c.now += c.pace.Write
	c.restart(c.now, change.Protocol, change.Purpose != policy.Trial)
	out := policy.Outcome{Result: policy.Settled, Restarts: 1, Setting: change.Protocol, Transport: c.transport()}
	if deadline := c.now + c.pace.RestartShut + treatment.DefaultPatience().Settle(change.Protocol); c.up > deadline {
		c.now = deadline
		out.Result, out.Transport = policy.Unsettled, evidence.NoTransport
		return out
	}
	c.now = c.up + time.Duration(c.Int64N(int64(c.pace.Poll)))
	return out
}

// wait lets time pass until the next look is due, or the sensor calls for one.
func (c *care) wait(next time.Duration) {
	due := c.now + next
	if next <= c.pace.Sensor {
		c.now = due
		return
	}
	for at := c.now + c.pace.Sensor; at < due; at += c.pace.Sensor {
		c.visits(at)
		if c.read(at) {
			c.now = at
			return
		}
		// The last of those before anything happens stands for them all.
		if n := int64((min(c.stirs(at), due) - 1 - at) / c.pace.Sensor); n > 1 {
			at += time.Duration(n-1) * c.pace.Sensor
		}
	}
	c.now = due
}

// stirs is when, after a reading, the next one may say something else.
func (c *care) stirs(at time.Duration) time.Duration {
	if until := c.sense.Standby().Sub(c.start); until > at {
		return until
	}
	t := c.visit
	if c.up > at {
		t = min(t, c.up)
	}
	if c.i < len(c.spells) {
		sp := &c.spells[c.i]
		for _, edge := range [...]time.Duration{sp.from, sp.to, sp.to + sp.late} {
			if edge > at {
				t = min(t, edge)
			}
		}
	}
	return t
}

// refused is the status of a request that came without its headers.
const refused = 400

// read takes a reading of the connector, and says whether it calls for a look.
func (c *care) read(at time.Duration) bool {
	e := evidence.Connector{Asked: true, Ready: 4, Counters: &c.counters}
	if sp := c.spell(at); at < c.up || sp != nil && sp.unready() {
		e.Ready = 0
	}
	if c.sense.Read(e, c.clock(at), c.rules.Interval) == "" {
		return false
	}
	c.missing = e.Ready == 0
	return true
}

// visits lets people try to connect up to a moment. Whoever does not get through
// tries again for a while; each failure is counted by the connector, unless it
// never came that far.
func (c *care) visits(until time.Duration) {
	if c.visit == never {
		c.visit = c.arrival(c.now)
	}
	for c.visit <= until {
		sp := c.spell(c.visit)
		hit := c.Float64() < sp.share(c.transport())
		failed := hit || c.lost()
		// What is lost on the way, or hangs, leaves no mark in the connector's counters.
		if hit && !sp.unready() && !sp.hangs && c.visit >= c.up {
			c.counters.Codes[refused]++
		}
		switch {
		case !failed:
			c.visit, c.leave = c.arrival(c.visit), 0
		case c.leave == 0:
			c.leave = c.visit + c.pace.Patience
			fallthrough
		default:
			if c.visit += c.pace.Retry; c.visit > c.leave {
				c.visit, c.leave = c.arrival(c.visit), 0
			}
		}
	}
}

// arrival draws the next time that somebody opens Home Assistant from outside.
func (c *care) arrival(t time.Duration) time.Duration {
	for {
		t += gap(c.Rand, mostOpenings*c.world.Visits, time.Hour)
		if openings, _ := day(c.clock(t).In(c.rules.Location).Hour()); c.Float64()*mostOpenings < openings {
			return t
		}
	}
}
