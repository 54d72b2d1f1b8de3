package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/optimum"
)

// promised is how many needless restarts a year the optimum may make: one in ten thousand
// years, which is what the policy's own threshold is made for.
const promised = 1e-4

// rare is how often a look is told of a failure for no reason. Nothing in these stories
// brings that about, but the policy reckons with it, and so must the optimum.
const rare = 0.0015

// How finely losses are cut, how many looks the optimum looks ahead, more where much noise hides
// small losses, and for how many homes of different noise it is solved. Finer and farther changes
// what it costs not to know the truth by less than two in a hundred (a test holds it).
const (
	fine        = 16
	ahead, afar = 600, 1500
	noises      = 5
)

// form is how looks fail: told of by Home Assistant, or in silence.
type form int

const (
	told form = iota
	silent
)

// solved says whether the optimum knows such a fault, rather than being told the truth.
func (f Family) solved() bool {
	return !slices.Contains([]Family{Ordinary, NoUDP, Blocked, Breaking}, f)
}

// optima are the optimum's strategies: for a home on a transport, of a problem for each
// form; and for noisy homes, by their noise.
type optima struct {
	usual [3]*optimum.Strategy
	noisy [noises]*optimum.Strategy
}

// optima solves the small model where the fault may be any of the kinds.
func (cfg *Config) optima(kinds []Family) *optima {
	m := cfg.model(kinds)
	all := &optima{}
	var wg sync.WaitGroup
	wg.Go(func() {
		budget := cfg.budget(m.silent(), rare)
		for _, over := range []evidence.Transport{quic, http2} {
			wg.Go(func() { all.usual[over] = optimum.Within(budget, m.problem(over, told), m.problem(over, silent)) })
		}
	})
	for i := range noises {
		if !slices.Contains(cfg.Families, Noisy) {
			break
		}
		wg.Go(func() { all.noisy[i] = optimum.Within(cfg.budget(m.noiseOf(i), 0), m.noisy(m.noiseOf(i))) })
	}
	wg.Wait()
	return all
}

// budget is what the optimum may spend in a home that loses so much in silence, and is told of so much, for
// no lasting reason: as many looks as the policy makes there while nothing is wrong. They are
// counted in half a year, one by one.
func (cfg *Config) budget(noise, told float64) optimum.Budget {
	const part = 2
	rng := rand.New(rand.NewPCG(5, 6))
	s := &story{family: Ordinary, start: time.Date(2026, 1, 1, 0, 0, 0, 0, cfg.Zone), world: cfg.World, pace: cfg.Pace, noise: noise}
	s.ordinary(rng)
	s.spells = slices.DeleteFunc(s.spells, func(sp spell) bool { return sp.kind != stripping })
	c := newCare(s, cfg.Rules)
	close := 0.0
	for c.now < year/part {
		shows := c.see(false)
		if shows == diagnosis.Healthy && rng.Float64() < told {
			shows = diagnosis.UpgradeStripped
		}
		next := c.meet(shows)
		if c.now += next; next < c.rules.Interval {
			close++
		}
	}
	return optimum.Budget{Needless: promised, Looks: part * close}
}

// strategy is the one for a home, and which of its problems the form is.
func (all *optima) strategy(s *story, f form) (*optimum.Strategy, int) {
	if s.family != Noisy {
		return all.usual[over(s.own)], int(f)
	}
	nearest := math.Round((s.noise/s.world.Noise - leastNoise) / (mostNoise - leastNoise) * (noises - 1))
	return all.noisy[int(min(max(nearest, 0), noises-1))], 0
}

// model is the simulator's small model: what may be behind a first failing look.
type model struct {
	*Config
	kinds         []Family
	fine, ahead   int
	restart, back float64 // seconds: what a restart costs at any time, and in a quiet hour
}

func (cfg *Config) model(kinds []Family) *model {
	m := &model{Config: cfg, kinds: kinds, fine: fine, ahead: ahead, restart: cfg.Pace.Write.Seconds(), back: cfg.Pace.RestartShut.Seconds() * cfg.World.Restart}
	for h := range 24 {
		_, open := day(h)
		m.restart += (cfg.Pace.RestartShut.Seconds() + open*(cfg.Pace.RestartOpen-cfg.Pace.RestartShut).Seconds()) * cfg.World.Restart / 24
	}
	return m
}

// pause is the least time that the policy leaves between looks of a form, and bad how long
// a failing one takes.
func (cfg *Config) paced(f form) (pause, bad time.Duration) {
	if f == silent {
		return cfg.Rules.Burst / 4, cfg.Pace.Soon
	}
	return cfg.Rules.Burst / 8, cfg.Pace.Bad
}

// looking is a problem without its faults: looks of a form, of which so many fail for no reason.
func (m *model) looking(f form, noise float64) *optimum.Problem {
	pause, bad := m.paced(f)
	every := (m.Rules.Interval + m.Pace.Good).Seconds()
	p := &optimum.Problem{Failed: (pause + bad).Seconds(), Good: (pause + m.Pace.Good).Seconds(), First: bad.Seconds(), Even: m.Rules.Interval.Seconds(), Looks: m.ahead}
	p.Chances = []optimum.Chance{{Yearly: year.Seconds() / every * noise, Loss: noise}}
	if f == silent {
		p.First = m.Pace.Hung.Seconds()
		p.Chances = append(p.Chances, dying(m.World.Events, every))
	}
	return p
}

// dying is one of the connections that is dying unnoticed, as ordinary draws it: 52 times a
// year, for 1 to 29 s. Of the longer ones more are met by a look; what is left of one that
// was met is E[(D-t)+] / E[D].
func dying(events, every float64) optimum.Chance {
	const perYear, least, most, loss = 52, 1.0, 29.0, 0.25
	mean := (most - least) / math.Log(most/least)
	lasts := func(t float64) float64 {
		from := max(least, t)
		return (most - from - t*math.Log(most/from)) / math.Log(most/least) / mean
	}
	return optimum.Chance{Yearly: perYear * events * mean / every * loss, Loss: loss, Lasts: func(t float64) float64 {
		if t >= most {
			return 0
		}
		return lasts(t)
	}}
}

// noisy is the problem of a home that loses so much at any time, in silence.
func (m *model) noisy(noise float64) *optimum.Problem {
	p := m.looking(silent, noise)
	p.Looks += afar - ahead
	parts := m.fine / 2 // of a range that is narrow
	for _, x := range m.losses(0.05, 0.15, parts) {
		p.Faults = append(p.Faults, m.cured(1/float64(parts), x, noise, x, 0))
	}
	return p
}

// silent is the noise of a usual home.
func (m *model) silent() float64 { return min(0.01*m.World.Noise, 0.5) }

// noiseOf is that of a noisy home.
func (m *model) noiseOf(i int) float64 {
	return min((leastNoise+(mostNoise-leastNoise)*float64(i)/(noises-1))*m.World.Noise, 0.5)
}

// losses are the middles of equal parts of a range, as share draws it.
func (m *model) losses(least, most float64, parts int) []float64 {
	list := make([]float64, parts)
	for i := range list {
		list[i] = odds(least+(most-least)*(float64(i)+0.5)/float64(parts), m.World.Share)
	}
	return list
}

// cured is a fault that another transport does not have, or has less of: waiting costs so
// much of each second, and the change saves so much in the end.
func (m *model) cured(weight, loss, noise, delay, saves float64) optimum.Fault {
	once := m.restart + m.back - saves // and the way back
	return optimum.Fault{Weight: weight, Loss: 1 - (1-loss)*(1-noise), Delay: delay, Switch: once, Again: once + m.restart}
}

// problem is that of a home on a transport whose looks fail in a form. Faults that no
// restart changes (B, G, the half of H) cost the same whatever is done, and stay out.
func (m *model) problem(over evidence.Transport, f form) *optimum.Problem {
	noise := rare
	if f == silent {
		noise = m.silent()
	}
	p := m.looking(f, noise)
	if f == told {
		noise = 0 // what is lost at random beside the fault is silent
	}
	here := 1 - onHTTP2 // of the homes
	if over == http2 {
		here = onHTTP2
	}
	total, partial := 1-float64(f), 0.5 // of them in this form
	if m.World.Silent {
		total, partial = float64(f), float64(f)
	}
	mean := func(least, most float64) float64 { // of how long it lasts, in seconds
		return (most - least) / math.Log(most/least) * m.World.Duration * time.Hour.Seconds()
	}
	add := func(family Family, x ...optimum.Fault) {
		for i := range x {
			if x[i].Weight > 0 && slices.Contains(m.kinds, family) {
				p.Faults = append(p.Faults, x[i])
			}
		}
	}
	if over == quic {
		add(QUICOnly, m.cured(total, 1, noise, 1, 0))
	}
	add(AnyRestart, optimum.Fault{Weight: total * here, Loss: 1, Delay: 1, Switch: m.restart + m.back, Again: m.restart})
	add(Flapping, m.cured(total*here/3, 1, noise, 1, mean(6, 24)/2))
	for _, x := range m.losses(0.1, 0.5, m.fine) {
		add(Partial, m.cured(partial/2/float64(m.fine), x, noise, x, 0))
	}
	add(Unequal, m.unequal(partial*here, noise, mean(lasting[0], lasting[1]))...)
	return p
}

// unequal are the losses over the transport in use; the one over the other says only what
// a change is worth, on average.
func (m *model) unequal(weight, noise, lasts float64) (list []optimum.Fault) {
	all := 0.0
	for _, x := range m.losses(0.05, 0.5, m.fine) {
		var sum optimum.Fault
		for _, y := range m.losses(0.05, 0.5, m.fine) {
			var f optimum.Fault
			switch {
			case x/y >= 1.5:
				f = m.cured(1, x, noise, x-y, (x-y)*lasts)
			case y/x >= 1.5: // the change is undone
				f = optimum.Fault{Weight: 1, Switch: 2 * m.restart, Again: m.restart}
			}
			sum.Weight, sum.Delay = sum.Weight+f.Weight, sum.Delay+f.Delay
			sum.Switch, sum.Again = sum.Switch+f.Switch, sum.Again+f.Again
		}
		if n := sum.Weight; n > 0 {
			all += n
			list = append(list, optimum.Fault{Weight: n, Loss: 1 - (1-x)*(1-noise), Delay: sum.Delay / n, Switch: sum.Switch / n, Again: sum.Again / n})
		}
	}
	for i := range list {
		list[i].Weight *= weight / all
	}
	return list
}

// optimal follows the strategy from the moment at which the fault is noticed. Once it has
// restarted, or the fault is over, it is told the truth; of faults that the model does not know, at once.
func (all *optima) optimal(s *story, cfg *Config, noticed time.Duration) *tunnel {
	t := newRunning(s)
	if all == nil || noticed == never || !s.family.solved() {
		return oracle(s, noticed)
	}
	f := told
	if s.spells[0].hangs {
		f = silent
	}
	rng := rand.New(rand.NewPCG(s.salt, 4))
	strategy, problem := all.strategy(s, f)
	plan := strategy.Plan(problem, rng.Float64())
	pause, bad := cfg.paced(f)
	first := bad
	if f == silent {
		first = t.pace.Hung
	}
	e := eyes{t, rng, f, noticed}
	for n, k := 1, 1; ; {
		switch act := plan.Act(n, k); {
		case t.spell(e.at) == nil:
			return s.knowing(e.at)
		case act == optimum.Again:
			return s.knowing(e.at+t.pace.Write, s.own)
		case act == optimum.Switch:
			return s.knowing(e.at+t.pace.Write, otherWay(s.own))
		case act == optimum.Drop:
			for n, k = 1, 1; t.spell(e.at) != nil && !e.look(cfg.Rules.Interval, first); {
			}
		default:
			if n++; e.look(pause, bad) {
				k++
			}
		}
	}
}

// eyes are those of the optimum: what it sees of a home, and when.
type eyes struct {
	*tunnel
	rng *rand.Rand
	f   form
	at  time.Duration
}

// look looks after a pause, and says whether that failed, which may take longer.
func (e *eyes) look(pause, bad time.Duration) (failed bool) {
	e.at += pause
	failed = e.rng.Float64() < e.spell(e.at).share(e.transport()) || e.f == silent && e.rng.Float64() < e.noise
	if failed {
		e.at += bad
	} else {
		e.at += e.pace.Good
	}
	return failed
}

// otherWay is a protocol over the other transport.
func otherWay(p evidence.Protocol) evidence.Protocol {
	if over(p) == http2 {
		return evidence.Auto
	}
	return evidence.HTTP2
}

// knowing ends a story in the hands of one who restarts with a protocol, if one is given,
// and is told the truth after it. The duty of the option failback_hours is everybody's: a
// day after a change, in a quiet hour, the user's own protocol is tried again.
func (s *story) knowing(at time.Duration, first ...evidence.Protocol) *tunnel {
	var best *tunnel
	for _, p := range []evidence.Protocol{s.own, evidence.Auto, evidence.QUIC, evidence.HTTP2} {
		t, then := newRunning(s), at
		for _, f := range first {
			t.restart(then, f, true)
			then = t.up
		}
		if p.Effective() != t.setting.Effective() {
			t.restart(then, p, true)
		}
		if t.comesBack(); best == nil || t.cut < best.cut {
			best = t
		}
	}
	best.alarm = at
	return best
}

// comesBack does the duty until the fault is over, or the user's own protocol is back.
func (t *tunnel) comesBack() {
	for wait := Defaults().Failback; t.setting.Effective() != t.own.Effective(); wait *= 2 {
		cure, at := t.setting, t.deserted(t.up+wait)
		t.restart(at, t.own, true)
		if t.spell(at).share(t.transport()) > 0 {
			t.restart(t.up, cure, true)
		}
	}
	t.pass(max(t.end, t.up))
}
