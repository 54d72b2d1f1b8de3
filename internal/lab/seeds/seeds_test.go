package seeds

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
)

var (
	replay   = flag.String("replay", "", "a plan to play, as a failing test prints it")
	episodes = flag.Int("episodes", 0, "play so many episodes with fresh seeds")
	first    = flag.Uint64("first", 0, "the first of those seeds; 0 draws it")
	whole    = flag.Bool("whole", false, "of what is replayed, show each look too")
	shrinks  = flag.Bool("shrink", true, "drop the events of a broken plan that do not matter")
	near     = flag.String("near", "", "kinds of events, between semicolons, that each episode holds instead of what its seed draws")
	enough   = flag.Int("enough", 3, "how many broken plans are enough")
)

// TestMain lets garbage lie: an episode is short, and there is memory.
func TestMain(m *testing.M) {
	debug.SetGCPercent(2000)
	os.Exit(m.Run())
}

// TestReplay plays one plan and tells all of it.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("no plan is given: -replay 4711:0,3")
	}
	plan, err := Parse(*replay)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	res := Play(t, plan)
	t.Logf("%s\nin %s\n%s\n\nthe notification:\n%s\n\nthe daemon's log:\n%s", plan.Frozen(), time.Since(began), strings.Join(res.Story, "\n"), strings.Join(res.Told, "\n"), quiet(res.Log))
	for _, b := range res.Broken {
		t.Error(b)
	}
}

// TestSeeds plays a few episodes, the same each time, beside the other tests.
func TestSeeds(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 8
	}
	hunt(t, 1, n, Draw)
}

// TestFresh plays episodes that nobody has played yet.
func TestFresh(t *testing.T) {
	n := *episodes
	if n == 0 {
		t.Skip("-episodes says how many")
	}
	draw := Draw
	if *near != "" {
		draw = func(seed uint64) Plan { return Draw(seed).near(strings.Split(*near, ";")) }
	}
	hunt(t, *first, n, draw)
}

// TestNear plays fresh episodes of the sound program where each of the mutants hurts, a
// quarter as many: what chance seldom brings together, they have.
func TestNear(t *testing.T) {
	if *episodes == 0 {
		t.Skip("-episodes says how many")
	}
	aimed := slices.DeleteFunc(slices.Clone(mutants), func(m *mutation) bool { return len(m.near) == 0 })
	hunt(t, *first, (*episodes+3)/4, func(seed uint64) Plan { return Draw(seed).near(aimed[seed%uint64(len(aimed))].near) })
}

// hunt plays so many episodes from a seed on, which is drawn if it is 0, on every processor,
// until enough are broken.
func hunt(t *testing.T, start uint64, n int, draw func(seed uint64) Plan) {
	if start == 0 {
		start = rand.Uint64N(1 << 48)
	}
	began := time.Now()
	var mu sync.Mutex
	var sum Tally
	type rest struct {
		took time.Duration
		plan string
	}
	rests := map[string][]rest{} // by promise
	var broken []string
	next := start
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				seed := next
				if next++; seed >= start+uint64(n) || len(broken) >= *enough {
					mu.Unlock()
					return
				}
				mu.Unlock()
				plan := draw(seed)
				res := Play(t, plan)
				mu.Lock()
				sum.add(res.Tally)
				for promise, d := range res.Rests {
					rests[promise] = append(rests[promise], rest{d, plan.String()})
				}
				mu.Unlock()
				if len(res.Broken) == 0 {
					continue
				}
				small := plan
				if *shrinks {
					small, res = shrink(t, plan, res)
				}
				mu.Lock()
				broken = append(broken, report(small, res))
				t.Error(report(small, res))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, promise := range slices.Sorted(maps.Keys(rests)) {
		took := rests[promise]
		slices.SortFunc(took, func(a, b rest) int { return cmp.Compare(a.took, b.took) })
		at := func(share int) rest { return took[(len(took)-1)*share/100] }
		t.Logf("after the end of all faults, %s: in %d episodes not at once; in half of them after %s, at the latest after %s (%s)",
			promise, len(took), at(50).took.Round(time.Second), at(100).took.Round(time.Second), at(100).plan)
	}
	t.Logf("from seed %d: %d episodes in %s, %.0f a minute; %d events, %d faults, %d hands, %d kills, %d restarts, %.0f virtual hours; %d broken",
		start, sum.Episodes, time.Since(began).Round(time.Second), float64(sum.Episodes)/time.Since(began).Minutes(),
		sum.Events, sum.Faults, sum.Hands, sum.Kills, sum.Restarts, sum.Virtual.Hours(), len(broken))
}

func report(plan Plan, res Result) string {
	return fmt.Sprintf("%s\n  go test ./internal/lab/seeds -run TestReplay -v -replay %s\n%s\nfor testdata/broken:\n%s",
		strings.Join(res.Broken, "\n"), plan, strings.Join(res.Story, "\n"), plan.Frozen())
}

// TestBroken plays every plan that ever broke a promise; with -short, one in three.
func TestBroken(t *testing.T) {
	f, err := os.Open("testdata/broken")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if n++; testing.Short() && n%3 != 0 {
			continue
		}
		plan, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(plan.Seed), func(t *testing.T) {
			if res := Play(t, plan); len(res.Broken) > 0 {
				t.Error(report(plan, res))
			}
		})
	}
}

// shrink drops events while the plan still breaks one of the same promises.
func shrink(t *testing.T, plan Plan, res Result) (Plan, Result) {
	promises := map[string]bool{}
	for _, b := range res.Broken {
		name, _, _ := strings.Cut(b, ":")
		promises[name] = true
	}
	same := func(r Result) bool {
		return slices.ContainsFunc(r.Broken, func(b string) bool { name, _, _ := strings.Cut(b, ":"); return promises[name] })
	}
	for i := len(plan.Events) - 1; i >= 0; i-- {
		fewer := plan.Without(i)
		if r := Play(t, fewer); same(r) {
			plan, res = fewer, r
		}
	}
	return plan, res
}

// quiet leaves out what is written at every look.
func quiet(log string) string {
	if *whole {
		return log
	}
	return lab.Quiet(log)
}

// TestAPlanIsReadAsItIsWritten holds both of its forms.
func TestAPlanIsReadAsItIsWritten(t *testing.T) {
	for seed := range uint64(200) {
		plan := Draw(seed)
		if len(plan.Events) > 1 {
			plan = plan.Without(0)
		}
		for _, line := range []string{plan.String(), plan.Frozen()} {
			got, err := Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			if got.Frozen() != plan.Frozen() || got.lone != plan.lone {
				t.Errorf("%s is read as %s", line, got.Frozen())
			}
		}
	}
	for _, line := range []string{"", "x", "1:99", "1:x", "x | 1s a 2", "1 | 1s nothing that is known 2", "1 | x"} {
		if p, err := Parse(line); err == nil {
			t.Errorf("%q is read as %s", line, p.Frozen())
		}
	}
}
