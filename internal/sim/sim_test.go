package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

func standard(t *testing.T, incidents int) Config {
	t.Helper()
	cfg, err := Standard(incidents, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// solved are the optimum's strategies in the world as stated, for all tests.
var solved = sync.OnceValue(func() *optima {
	cfg, err := Standard(0, 1, 0)
	if err != nil {
		panic(err)
	}
	return cfg.optima(Families())
})

func TestTheSameSeedGivesTheSameFigures(t *testing.T) {
	cfg := standard(t, 24)
	cfg.best = solved()
	var text [3]bytes.Buffer
	for i, seed := range []uint64{1, 1, 2} {
		cfg.Seed = seed
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Markdown(&text[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(text[0].Bytes(), text[1].Bytes()) {
		t.Errorf("%s\n%s", &text[0], &text[1])
	}
	if bytes.Equal(text[0].Bytes(), text[2].Bytes()) {
		t.Error("another seed gives the same")
	}
}

func TestLeftAloneAHomeIsCutOffForAsLongAsTheFaultLasts(t *testing.T) {
	for _, f := range Families() {
		for i := range 20 {
			s := draw(f, i, 5, AsStated(), Real(), time.UTC)
			var want float64
			for _, sp := range s.spells {
				tr := over(s.own)
				if s.noQUIC == always {
					tr = http2
				}
				want += sp.share(tr) * (sp.until(tr) - sp.from).Seconds()
			}
			if got := alone(s, s.own).cut; math.Abs(got-want) > 1e-6*(1+want) {
				t.Fatalf("%s %d: %.3f s, want %.3f s", f, i, got, want)
			}
		}
	}
}

func TestARestartCostsWhatFactsSay(t *testing.T) {
	s := &story{start: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), world: AsStated(), pace: Real(), end: time.Hour}
	seen := map[float64]bool{}
	for at := time.Minute; at < 50*time.Minute; at += 10 * time.Minute {
		c := alone(s, evidence.Auto)
		c.counted, c.cut = 0, 0
		c.restart(at, evidence.HTTP2, false)
		c.pass(s.end)
		seen[c.cut] = true
		if c.needless != 1 || c.restarts != 1 {
			t.Errorf("%d of %d needless", c.needless, c.restarts)
		}
	}
	if !reflect.DeepEqual(seen, map[float64]bool{4: true, 12: true}) {
		t.Errorf("seconds: %v", seen)
	}
	s.noQUIC = always
	c := alone(s, evidence.Auto)
	if c.transport() != http2 {
		t.Errorf("auto is on %s", c.transport())
	}
	if cost, falls := c.cost(0, evidence.Auto); !falls || cost < 131*time.Second {
		t.Errorf("auto: %s, %v", cost, falls)
	}
	if cost, falls := c.cost(0, evidence.QUIC); falls || cost < time.Hour {
		t.Errorf("quic: %s, %v", cost, falls)
	}
}

// What is passed over must not have changed anything: a year look by look shows as
// many suspicions, alarms and restarts as a year in leaps.
func TestLeapsAreExact(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 0)
	world := AsStated()
	world.Noise = 3 // alarms enough to compare
	var with, without float64
	const years = 6
	for i := range years {
		for _, leaps := range []bool{true, false} {
			s := draw(Ordinary, i, 3, world, cfg.Pace, cfg.Zone)
			s.spells, s.end = nil, 365*24*time.Hour/4
			c := newCare(s, cfg.Rules)
			c.leaps = leaps
			c.live(s.end)
			if !leaps {
				without += float64(c.alarms)
			} else {
				with += float64(c.alarms)
			}
		}
	}
	if sigma := math.Sqrt(with + without); without < 50 || math.Abs(with-without) > 4*sigma {
		t.Errorf("%.0f alarms in leaps, %.0f look by look", with, without)
	}
}

func TestLeapsOfRivalsAreExact(t *testing.T) {
	cfg := standard(t, 0)
	world := AsStated()
	world.Noise = 5 // restarts enough to compare
	for name, r := range map[string]rival{"sidecar": sidecar(), "watchdog": watchdog()} {
		var with, without, want float64
		for i := range 40 {
			s := draw(Ordinary, i, 3, world, cfg.Pace, cfg.Zone)
			s.spells, s.end = nil, 365*24*time.Hour/4
			with += float64(r.live(s).restarts)
			steps := r
			steps.stepwise = true
			without += float64(steps.live(s).restarts)
			// A row of so many failures begins again after each restart.
			p, n := s.noise, float64(r.failures)
			want += float64(s.end/r.every) * math.Pow(p, n) * (1 - p) / (1 - math.Pow(p, n))
		}
		if sigma := math.Sqrt(with + without); without < 50 || math.Abs(with-without) > 4*sigma || math.Abs(with-want) > 4*math.Sqrt(want) {
			t.Errorf("%s: %.0f restarts in leaps, %.0f look by look, %.0f expected", name, with, without, want)
		}
	}
}

// The same of faults that take the connection away: over one transport, and for a
// moment each time.
func TestLeapsAreExactWhereConnectionsBreak(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 0)
	world := AsStated()
	world.Noise = 1. / 3
	for _, f := range []Family{Blocked, Breaking} {
		var cut [2]float64
		var restarts [2]int
		squares, n := 0.0, 0
		for i := 0; n < 150; i++ {
			var was float64
			if s := draw(f, i, 3, world, cfg.Pace, cfg.Zone); s.end > 20*time.Hour {
				continue // hours look by look
			}
			n++
			for k, leaps := range []bool{true, false} {
				c := newCare(draw(f, i, 3, world, cfg.Pace, cfg.Zone), cfg.Rules)
				c.leaps = leaps
				c.live(c.end + limit)
				cut[k], restarts[k] = cut[k]+c.cut, restarts[k]+c.restarts
				squares, was = squares+(c.cut-was)*(c.cut-was)*float64(k), c.cut
			}
		}
		if restarts[1] < n || math.Abs(cut[0]-cut[1]) > 4*math.Sqrt(squares) || math.Abs(float64(restarts[0]-restarts[1])) > 0.1*float64(restarts[1]) {
			t.Errorf("%s, in leaps and look by look: cut off for %.0f s, %d restarts", f, cut, restarts)
		}
	}
}

// What QUIC's being blocked has cured by http2 comes back once QUIC gets through, not
// before, and in every home.
func TestTheOwnSettingComesBackOnceQUICPasses(t *testing.T) {
	cfg := standard(t, 0)
	world := AsStated()
	world.Noise = 0
	for i := range 60 {
		s := draw(Blocked, i, 1, world, cfg.Pace, cfg.Zone)
		c := newCare(s, cfg.Rules)
		c.pictured = true
		c.live(s.end + limit)
		back := c.marks[len(c.marks)-2].at // the last restart's beginning
		if c.restarts != 2 || c.setting != s.own || c.transport() != quic || back < s.end || back > max(s.end, s.onset()+cfg.Rules.Failback)+25*time.Hour {
			t.Errorf("%d, blocked for %s: %d restarts, %s, back %s after the end", i, s.end-s.onset(), c.restarts, c.setting, back-s.end)
		}
	}
}

func TestTheOracleIsNeverWorseThanDoingNothing(t *testing.T) {
	for _, f := range Families() {
		for i := range 30 {
			s := draw(f, i, 9, AsStated(), Real(), time.UTC)
			if o, n := oracle(s, s.onset()).cut, alone(s, s.own).cut; o > n+1e-9 {
				t.Errorf("%s %d: %.1f s against %.1f s", f, i, o, n)
			}
		}
	}
}

func TestThePolicyReachesItsTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of computing")
	}
	cfg := standard(t, 1600)
	cfg.best = solved()
	cfg.Families = []Family{QUICOnly, Everywhere, Partial, Unequal, AnyRestart, Flapping, NoUDP, Blocked, Breaking, Noisy}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.wald = r.Wald
	cfg.Incidents, cfg.Families = 100, []Family{Ordinary, SwitchOff} // these are costly
	long, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Targets = append(r.Targets, long.Targets...)
	beyond := 0
	for _, g := range r.Targets {
		if g.Beyond() {
			beyond++
		}
		if !g.Met && !g.Beyond() {
			t.Errorf("%s: %.3f, at most %.3f", g.Text, g.Value, g.Limit)
		}
	}
	for _, row := range r.Rows {
		most := 1.05
		if row.Family == Noisy {
			most = 1.25
		}
		if best := row.Scores[Medic].ToBest; row.Family.solved() && best.Mean > most {
			t.Errorf("%s: cut off for %s times the optimum's", row.Family, best)
		}
	}
	if beyond != 3 { // A, E and C against the oracle that acts at the onset
		t.Errorf("%d targets are beyond reach", beyond)
	}
	raw, err := json.Marshal(r)
	if err != nil || !json.Valid(raw) {
		t.Errorf("as JSON: %v", err)
	}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil || !bytes.Contains(b.Bytes(), []byte("Wald")) {
		t.Errorf("%v\n%s", err, &b)
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	cfg := standard(t, 0)
	for _, f := range Families() {
		var b bytes.Buffer
		if err := Picture(&b, cfg, f, 0); err != nil {
			t.Fatal(err)
		}
		rects := bytes.Count(b.Bytes(), []byte("<rect"))
		for d := xml.NewDecoder(&b); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		}
		if rects < 10 {
			t.Errorf("%s: %d boxes", f, rects)
		}
	}
}

var update = flag.Bool("update", false, "write the picture of docs/SIMULATION.md anew")

func TestThePictureIsCurrent(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round sums otherwise, and chance goes another way")
	}
	var b bytes.Buffer
	if err := Picture(&b, standard(t, 0), Partial, 0); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/incident-C.svg"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, b.Bytes()) {
		t.Errorf("%v; `go test ./internal/sim -run Picture -update` writes it anew", err)
	}
}

func TestACancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, standard(t, 100_000)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
