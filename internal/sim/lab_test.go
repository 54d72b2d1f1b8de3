package sim

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// The simulator must not flatter: what the real daemon does over real sockets, in
// the lab, has to be what the model says it does with the lab's timings.
func TestTheLabAndTheSimulatorAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("real time")
	}
	all := [3]float64{0, 1, 1}
	// once is a fault that comes, lasts, and goes.
	once := func(lasts time.Duration, loss [3]float64) []phase { return []phase{{loss, lasts}} }
	incidents := map[string]incident{
		"A: QUIC loses all":                         {own: evidence.Default, phases: once(5*time.Second, [3]float64{quic: 1})},
		"A: HTTP/2 loses all":                       {own: evidence.HTTP2, phases: once(5*time.Second, [3]float64{http2: 1})},
		"B: everything is lost":                     {own: evidence.Auto, phases: once(3*time.Second, all)},
		"B: everything is lost, set to http2":       {own: evidence.HTTP2, phases: once(3*time.Second, all)},
		"C: QUIC loses a half":                      {own: evidence.QUIC, phases: once(6*time.Second, [3]float64{quic: 0.5})},
		"C: HTTP/2 loses a half, in silence":        {own: evidence.HTTP2, phases: once(9*time.Second, [3]float64{http2: 0.5}), hangs: true},
		"D: both lose, HTTP/2 less":                 {own: evidence.Auto, phases: once(9*time.Second, [3]float64{quic: 0.5, http2: 0.1})},
		"E: any restart cures":                      {own: evidence.Auto, phases: once(5*time.Second, all), mends: true},
		"E: any restart cures, set to http2":        {own: evidence.HTTP2, phases: once(5*time.Second, all), mends: true},
		"H: QUIC loses all, comes and goes":         {own: evidence.QUIC, phases: []phase{{[3]float64{quic: 1}, 2 * time.Second}, {lasts: 2 * time.Second}, {[3]float64{quic: 1}, 2 * time.Second}}},
		"I: UDP is blocked, HTTP/2 loses all":       {own: evidence.Default, phases: once(8*time.Second, [3]float64{http2: 1}), noUDP: true},
		"I: UDP is blocked, HTTP/2 loses a half":    {own: evidence.HTTP2, phases: once(8*time.Second, [3]float64{http2: 0.5}), noUDP: true},
		"nothing is lost, and nothing is restarted": {own: evidence.Default, phases: once(2*time.Second, [3]float64{})},
	}
	// All at once: they spend their time waiting.
	type told struct {
		outcome
		err error
	}
	labs := map[string]chan told{}
	for name, c := range incidents {
		labs[name] = make(chan told, 1)
		data := t.TempDir()
		go func() {
			o, err := inTheLab(t.Context(), data, c)
			labs[name] <- told{o, err}
		}()
	}
	for name, c := range incidents {
		t.Run(name, func(t *testing.T) {
			real := <-labs[name]
			if real.err != nil {
				t.Fatalf("%v\n%s", real.err, real.log)
			}
			var cuts []float64
			restarts, settings := map[int]bool{}, map[evidence.Protocol]bool{}
			for seed := range uint64(300) {
				v := virtually(seed, real.outcome, c)
				cuts = append(cuts, v.cut)
				restarts[v.restarts], settings[v.setting] = true, true
			}
			slices.Sort(cuts)
			// A machine under load is slower than the model: by the odd scheduling delay at
			// each of some twenty looks and four calls.
			const late = 0.7
			least, most := 0.8*cuts[0]-0.05, 1.2*cuts[len(cuts)-1]+late
			t.Logf("cut off for %.2f s in the lab, %.2f to %.2f s in the simulator; %d restarts, %v", real.cut, cuts[0], cuts[len(cuts)-1], real.restarts, restarts)
			if real.cut < least || real.cut > most {
				t.Errorf("cut off for %.2f s in the lab; the simulator says %.2f to %.2f s\n%s", real.cut, cuts[0], cuts[len(cuts)-1], real.log)
			}
			if !restarts[real.restarts] || !settings[real.setting] {
				t.Errorf("%d restarts and %s in the lab; the simulator knows %v and %v\n%s", real.restarts, real.setting, restarts, settings, real.log)
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
}

// phase is a time in which so much is lost.
type phase struct {
	loss  [3]float64
	lasts time.Duration
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
	timings  lab.Timings
	watched  time.Duration // from the onset to the end of the test
	log      string
}

func inTheLab(ctx context.Context, data string, c incident) (out outcome, err error) {
	opt := lab.Options{Seed: 7, Faults: lab.Faults{UDPBlocked: c.noUDP}}
	if c.own != evidence.Default {
		opt.RunParameters = []string{"--protocol=" + c.own.Flag()}
	}
	w, err := lab.New(opt)
	if err != nil {
		return out, err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	if err := w.Ready(ctx); err != nil {
		return out, err
	}
	environ := append(lab.Environ(w.Env()), "TUNNELMEDIC_DATA_DIR="+data, "TUNNELMEDIC_OPTIONS_FILE="+data+"/none", "TUNNELMEDIC_FAILBACK_HOURS=0s")
	var log lockedBuffer
	life, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- addon.Run(life, environ, "test", &log) }()
	time.Sleep(warmUp)
	before, onset := w.CutOff(), time.Now()
	heal := func(f *lab.Faults) { f.Upgrade = nil }
	for _, p := range c.phases {
		w.ChangeFaults(func(f *lab.Faults) {
			form := lab.NoUpgrade
			if c.hangs {
				form = lab.Hanging
			}
			f.Upgrade = map[evidence.Transport]lab.UpgradeFault{quic: {Share: p.loss[quic], Form: form}, http2: {Share: p.loss[http2], Form: form}}
		})
		lasts, enough := context.WithTimeout(ctx, p.lasts)
		if c.mends && w.Wait(lasts, func() bool { return w.Restarts() > 0 }) == nil {
			w.ChangeFaults(heal)
		}
		<-lasts.Done()
		enough()
	}
	w.ChangeFaults(heal)
	time.Sleep(time.Second)
	out = outcome{cut: (w.CutOff() - before).Seconds(), restarts: w.Restarts(), timings: w.Timings(), watched: time.Since(onset)}
	for _, p := range w.RunParameters() {
		if v, ok := strings.CutPrefix(p, "--protocol="); ok {
			if out.setting, err = evidence.ParseProtocol(v); err != nil {
				return out, err
			}
		}
	}
	stop()
	err = <-ended
	out.log = log.String()
	return out, err
}

// warmUp lets the daemon find its tunnel and see it up for long enough.
const warmUp = 1200 * time.Millisecond

func virtually(seed uint64, real outcome, i incident) outcome {
	t := real.timings
	restart := t.Setup + t.First // nobody has a socket open
	pace := Pace{
		Good: 8 * time.Millisecond, Bad: 12 * time.Millisecond, Hung: t.ProbeTimeout, Soon: t.ProbeTimeout, Shut: 3 * time.Second, Write: 15 * time.Millisecond, Poll: t.BurstInterval, Sensor: t.SensorInterval,
		RestartOpen: restart, RestartShut: restart, Fallback: t.Fallback, Settle: t.SettleTimeout, SettleAuto: t.SettleTimeout,
		Retry: time.Hour, Patience: time.Second,
	}
	rules := Defaults()
	rules.Location, rules.Failback = time.UTC, 0
	rules.Interval, rules.Burst, rules.MinUptime, rules.HoldBase = t.ProbeInterval, t.BurstInterval, t.MinUptime, t.HoldBase
	onset := warmUp + time.Duration(seed%uint64(t.ProbeInterval/time.Millisecond))*time.Millisecond
	world := AsStated()
	world.Visits = 1e-6 // there is nobody in this test
	s := &story{start: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), own: i.own, noUDP: i.noUDP, world: world, pace: pace, salt: seed, end: onset + i.lasts()}
	for from, n := onset, 0; n < len(i.phases); n++ {
		sp := spell{from: from, to: from + i.phases[n].lasts, loss: i.phases[n].loss, cause: diagnosis.UpgradeStripped, mends: i.mends, hangs: i.hangs}
		if i.hangs {
			sp.cause = diagnosis.UpgradeSilent
		}
		s.spells, from = append(s.spells, sp), sp.to
	}
	c := newCare(s, rules)
	c.state.Calm = policy.Calm{} // the daemon has only just come
	c.live(onset + real.watched)
	return outcome{cut: c.cut, restarts: c.restarts, setting: c.setting}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
