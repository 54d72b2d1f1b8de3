package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// The simulator must not flatter: what the whole daemon does in the lab, at the real
// pace and in virtual time, has to be what the model says it does.
func TestTheLabAndTheSimulatorAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("days of homes")
	}
	all := [3]float64{0, 1, 1}
	// once is a fault that comes, lasts, and goes.
	once := func(lasts time.Duration, loss [3]float64) []phase { return []phase{{loss: loss, lasts: lasts}} }
	incidents := map[string]incident{
		"A: QUIC loses all":                         {own: evidence.Default, phases: once(2*time.Hour, [3]float64{quic: 1})},
		"A: QUIC loses all, in silence":             {own: evidence.Auto, phases: once(2*time.Hour, [3]float64{quic: 1}), hangs: true},
		"A: HTTP/2 loses all":                       {own: evidence.HTTP2, phases: once(2*time.Hour, [3]float64{http2: 1})},
		"B: everything is lost":                     {own: evidence.Auto, phases: once(time.Hour, all)},
		"B: everything is lost, set to http2":       {own: evidence.HTTP2, phases: once(time.Hour, all)},
		"C: QUIC loses a half":                      {own: evidence.QUIC, phases: once(2*time.Hour, [3]float64{quic: 0.5})},
		"C: HTTP/2 loses a half, in silence":        {own: evidence.HTTP2, phases: once(3*time.Hour, [3]float64{http2: 0.5}), hangs: true},
		"D: both lose, HTTP/2 less":                 {own: evidence.Auto, phases: once(3*time.Hour, [3]float64{quic: 0.5, http2: 0.1})},
		"E: any restart cures":                      {own: evidence.Auto, phases: once(2*time.Hour, all), mends: true},
		"E: any restart cures, set to http2":        {own: evidence.HTTP2, phases: once(2*time.Hour, all), mends: true},
		"H: QUIC loses all, comes and goes":         {own: evidence.QUIC, phases: []phase{{loss: [3]float64{quic: 1}, lasts: 30 * time.Minute}, {lasts: 30 * time.Minute}, {loss: [3]float64{quic: 1}, lasts: 30 * time.Minute}}},
		"I: UDP is blocked, HTTP/2 loses all":       {own: evidence.Default, phases: once(3*time.Hour, [3]float64{http2: 1}), noUDP: true},
		"I: UDP is blocked, HTTP/2 loses a half":    {own: evidence.HTTP2, phases: once(3*time.Hour, [3]float64{http2: 0.5}), noUDP: true},
		"J: UDP becomes blocked":                    {own: evidence.Default, phases: []phase{{blocked: true, lasts: 2 * time.Hour}}},
		"J: UDP becomes blocked, set to quic":       {own: evidence.QUIC, phases: []phase{{blocked: true, lasts: 2 * time.Hour}}},
		"J: UDP becomes blocked, set to http2":      {own: evidence.HTTP2, phases: []phase{{blocked: true, lasts: 2 * time.Hour}}},
		"J: UDP is blocked for some seconds":        {own: evidence.QUIC, phases: []phase{{blocked: true, lasts: 11 * time.Second}}},
		"J: auto comes back once UDP passes":        {own: evidence.Auto, phases: []phase{{blocked: true, lasts: 3 * time.Hour}, {lasts: time.Hour}}, failback: 30 * time.Minute},
		"K: QUIC breaks often, for long":            {own: evidence.QUIC, phases: []phase{{stands: 25 * time.Second, lasts: 6 * time.Hour}}, away: 30 * time.Second},
		"K: QUIC breaks now and then":               {own: evidence.Auto, phases: []phase{{stands: 2 * time.Minute, lasts: 6 * time.Hour}}, away: 15 * time.Second},
		"K: QUIC breaks for a moment":               {own: evidence.Default, phases: []phase{{stands: time.Minute, lasts: 6 * time.Hour}}, away: 5 * time.Second},
		"K: QUIC breaks, and stands again":          {own: evidence.QUIC, phases: []phase{{stands: 50 * time.Second, lasts: 40 * time.Minute}, {lasts: time.Hour}}, away: 20 * time.Second, failback: 45 * time.Minute},
		"nothing is lost, and nothing is restarted": {own: evidence.Default, phases: once(2*time.Hour, [3]float64{})},
	}
	for name, c := range incidents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			real := inTheLab(t, c)
			var cuts []float64
			restarts, settings := map[int]bool{}, map[evidence.Protocol]bool{}
			for seed := range uint64(300) {
				v := virtually(seed, real, c)
				cuts = append(cuts, v.cut)
				restarts[v.restarts], settings[v.setting] = true, true
			}
			slices.Sort(cuts)
			// The controls, and a call's way, take no time in the lab, and some in the model.
			least, most := 0.8*cuts[0]-1, 1.2*cuts[len(cuts)-1]+5
			t.Logf("cut off for %.1f s in the lab, %.1f to %.1f s in the simulator; %d restarts, %v", real.cut, cuts[0], cuts[len(cuts)-1], real.restarts, restarts)
			if real.cut < least || real.cut > most {
				t.Errorf("cut off for %.1f s in the lab; the simulator says %.1f to %.1f s", real.cut, cuts[0], cuts[len(cuts)-1])
			}
			if !restarts[real.restarts] || !settings[real.setting] {
				t.Errorf("%d restarts and %s in the lab; the simulator knows %v and %v", real.restarts, real.setting, restarts, settings)
			}
		})
	}
}

// incident is one that both worlds can play.
type incident struct {
	own    evidence.Protocol
	noUDP  bool
	phases []phase
	mends  bool // any restart ends it
	hangs  bool // what is lost is never answered

	away     time.Duration // how long connections over QUIC are away that break
	failback time.Duration // 0: never
}

// phase is a time in which so much is lost.
type phase struct {
	loss    [3]float64
	blocked bool          // UDP is
	stands  time.Duration // how long connections over QUIC stand until they break; 0: for ever
	lasts   time.Duration
}

func (i incident) lasts() (sum time.Duration) {
	for _, p := range i.phases {
		sum += p.lasts
	}
	return sum
}

// outcome is what became of an incident, in either world.
type outcome struct {
	cut      float64 // seconds
	restarts int
	setting  evidence.Protocol
	watched  time.Duration // from the onset to the end of the test
}

func inTheLab(t *testing.T, c incident) (out outcome) {
	opt := lab.Options{Seed: 7, Faults: lab.Faults{UDPBlocked: c.noUDP}}
	if c.own != evidence.Default {
		opt.RunParameters = []string{"--protocol=" + c.own.Flag()}
	}
	opt.Timings = lab.RealTimings()
	if c.away > 0 {
		opt.Timings.BackOverQUIC = c.away
	}
	house.Run(t, opt, map[string]string{"TUNNELMEDIC_FAILBACK_HOURS": c.failback.String()}, func(h *house.House) {
		w := h.World
		h.Sleep(warmUp)
		before, onset := w.CutOff(), time.Now()
		heal := func(f *lab.Faults) { f.Upgrade, f.UDPBlocked, f.FlapQUIC = nil, c.noUDP, 0 }
		for _, p := range c.phases {
			w.ChangeFaults(func(f *lab.Faults) {
				form := lab.NoUpgrade
				if c.hangs {
					form = lab.Hanging
				}
				f.UDPBlocked, f.FlapQUIC = c.noUDP || p.blocked, lab.Duration(p.stands)
				f.Upgrade = map[evidence.Transport]lab.UpgradeFault{quic: {Share: p.loss[quic], Form: form}, http2: {Share: p.loss[http2], Form: form}}
			})
			end := time.Now().Add(p.lasts)
			if c.mends && h.Comes(p.lasts, func() bool { return w.Supervisor.Restarts() > 0 }) {
				w.ChangeFaults(heal)
			}
			h.Sleep(time.Until(end))
		}
		w.ChangeFaults(heal)
		h.Sleep(10 * time.Minute)
		out = outcome{cut: (w.CutOff() - before).Seconds(), restarts: w.Supervisor.Restarts(), watched: time.Since(onset)}
		for _, p := range w.Supervisor.RunParameters() {
			if v, ok := strings.CutPrefix(p, "--protocol="); ok {
				var err error
				if out.setting, err = evidence.ParseProtocol(v); err != nil {
					h.Fatal(err)
				}
			}
		}
	})
	return out
}

// warmUp lets the daemon find its tunnel and see it up for long enough.
const warmUp = 15 * time.Minute

func virtually(seed uint64, real outcome, i incident) outcome {
	t := lab.RealTimings()
	pace := Real()
	pace.Write, pace.RestartOpen, pace.RestartShut = 0, t.Setup+t.First, t.Setup+t.First // nobody has a socket open
	pace.Good, pace.Bad = time.Millisecond, time.Millisecond
	pace.Retry, pace.Patience = time.Hour, time.Second
	rules := Defaults()
	rules.Location, rules.Failback = time.UTC, i.failback
	pace.Dialled = t.Fallback / 9 // the first dial fails at once in the lab
	onset := warmUp + time.Duration(seed%uint64(t.ProbeInterval/time.Second))*time.Second
	world := AsStated()
	world.Visits = 1e-6 // there is nobody in this test
	s := &story{start: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), own: i.own, world: world, pace: pace, salt: seed, end: onset + i.lasts()}
	if i.noUDP {
		s.noQUIC = always
	}
	from := onset
	for _, p := range i.phases {
		sp := spell{from: from, to: from + p.lasts, loss: p.loss, cause: diagnosis.UpgradeStripped, mends: i.mends, hangs: i.hangs}
		if i.hangs {
			sp.cause = diagnosis.UpgradeSilent
		}
		switch from = sp.to; {
		case p.blocked:
			sp.kind, sp.loss, sp.to = blocked, [3]float64{quic: 1}, sp.to+t.BackOverQUIC
			s.spells, s.noQUIC = append(s.spells, sp), span{sp.from, sp.to}
		case p.stands > 0:
			// Connections that break come back one by one, and stand from the last on.
			for at := sp.from + p.stands; at < sp.to; at += i.away + t.All - t.First + p.stands {
				s.spells = append(s.spells, spell{from: at, to: at + i.away, kind: breaking, loss: [3]float64{quic: 1}})
			}
		default:
			s.spells = append(s.spells, sp)
		}
	}
	c := newCare(s, rules)
	c.state.Noise = detect.Noise{} // the daemon has only just come
	c.live(onset + real.watched)
	return outcome{cut: c.cut, restarts: c.restarts, setting: c.setting}
}
