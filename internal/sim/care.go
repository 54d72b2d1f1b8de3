package sim

import (
	"math"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/sensor"
	"tunnelmedic/internal/survey"
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
	*home
	rules    policy.Rules
	state    policy.State
	sees     policy.Sight
	sense    sensor.Sensor
	counters evidence.Counters // the connector's, as they were last read
	missing  bool              // the sensor has seen the connections go, and not come back

	noticed time.Duration // the end of the first look that showed the fault
	leaps   bool          // looks that are known to be good are passed over
	drawn   []int64       // how many good looks follow the next losses, where that is drawn already
}

func newCare(s *story, rules policy.Rules) *care {
	c := &care{home: newHome(s, rules.Burst), rules: rules, noticed: never, leaps: true, counters: evidence.Counters{Codes: map[int]uint64{}}}
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
			if c.abides(next) {
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

// look looks, decides, and carries out what is ordered; it gives the time to the
// next look. lost says that a random loss is certain.
func (c *care) look(lost bool) time.Duration { return c.meet(c.see(lost)) }

// meet does so with what the look shows.
func (c *care) meet(shows diagnosis.Cause) time.Duration {
	began := c.now
	sp := c.spell(c.now)
	f := c.found(shows)
	c.now += c.lasts(f.Vote, sp)
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

// lasts is how long a look takes that begins now.
func (c *care) lasts(v diagnosis.Vote, sp *spell) time.Duration {
	switch {
	case v == diagnosis.Works:
		return c.pace.Good
	case v == diagnosis.Fails && sp != nil && sp.hangs && c.state.Alert(): // it is given up sooner
		return c.pace.Soon
	case v == diagnosis.Fails && sp != nil && sp.hangs:
		return c.pace.Hung
	case c.asks(v) && c.shut(c.now) != 0 && !c.state.QUICShut: // asked once in an incident
		return c.pace.Shut
	}
	return c.pace.Bad
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

// asks says whether a look asks the edge over QUIC.
func (c *care) asks(v diagnosis.Vote) bool {
	m := survey.Moment{Transport: c.state.Transport, Due: c.rules.FailbackDue(&c.state, c.clock(c.now))}
	return m.QUICMatters(v != diagnosis.Works)
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

// read takes a reading of the connector, and says whether it calls for a look.
func (c *care) read(at time.Duration) bool {
	c.counters.Errors = c.refusals
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
