package seeds

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// Result is how an episode went.
type Result struct {
	Broken []string                 // promises, each with what was seen; empty if all were kept
	Story  []string                 // what happened, with virtual times
	Told   []string                 // Home Assistant's notification, as it came and went
	Log    string                   // the daemon's
	Rests  map[string]time.Duration // by promise: from the end of all faults until it was last seen not kept yet
	Tally
}

// Tally counts what episodes held.
type Tally struct {
	Episodes, Events, Faults, Kills, Hands, Restarts int
	Virtual                                          time.Duration
}

func (t *Tally) add(o Tally) {
	t.Episodes += o.Episodes
	t.Events += o.Events
	t.Faults += o.Faults
	t.Kills += o.Kills
	t.Hands += o.Hands
	t.Restarts += o.Restarts
	t.Virtual += o.Virtual
}

// lasting is how long all has to stay as it is in the end.
const lasting = 10 * time.Minute

// dataDir is where the daemon finds its folder on the platter.
const dataDir = "/data"

// play is an episode under way.
type play struct {
	h     *house.House
	w     *lab.World
	disk  *platter
	began time.Time
	ctx   context.Context // of what goes on beside the agenda
	leave context.CancelFunc
	side  sync.WaitGroup
	lone  bool // see Plan
	local bool // its tunnel is managed locally: a start needs Cloudflare's API

	mu      sync.Mutex // guards all below
	agenda  []task
	traps   []*trap
	story   []string
	broken  []string
	tally   Tally
	truth   truth
	rested  bool
	rests   map[string]time.Duration // see [Result]
	shut    time.Time                // since then nobody gets in; zero: somebody does
	observe bool
	asks    bool          // the mode is ask
	budget  int           // restarts that are allowed
	daily   int           // of them in a day
	ahead   time.Duration // by which the clock went, all in all, since another day's were allowed
}

// truth is what people did, which the program has to find out and to respect.
type truth struct {
	own       []evidence.Protocol // each of them may be taken for the person's own setting
	stopped   bool                // by a person
	stoppedAt time.Time
	unsent    time.Time // when the daemon was killed with a restart noted, and none sent
	gone      bool      // uninstalled
	foreign   string
	reads     []reading // of the options, by the daemon, lately
	edited    time.Time // when a person last saved options
	touched   bool      // anything that may call for an act has happened
	paused    time.Time // until then, by a person
	apiAway   time.Time // since then; zero: it answers
	failed    bool      // an act of a person's has failed half way: theirs to mend
}

type reading struct {
	at      time.Time
	options string // without the protocol
}

type task struct {
	at time.Time
	do func()
}

// Play plays an episode. t is for what it needs of a test: a bubble and a folder. Broken
// promises are in the result; t fails only if the episode could not be played.
func Play(t *testing.T, plan Plan) (res Result) {
	synctest.Test(t, func(t *testing.T) {
		p := build(t, plan)
		defer func() { res = p.close(plan) }()
		p.begin()
		for _, e := range plan.Events {
			p.later(e.At, func() {
				p.note("%s", e.kind.name)
				e.kind.do(p, rand.New(rand.NewPCG(e.draw, 2)))
			})
		}
		p.beside(p.lastingIsTold)
		if p.asks {
			p.beside(func() { p.answers(rand.New(rand.NewPCG(plan.Seed, 5))) })
		}
		p.run()
		p.rest()
	})
	return res
}

// build draws the home itself.
func build(t *testing.T, plan Plan) *play {
	r := rand.New(rand.NewPCG(plan.Seed, 3))
	p := &play{budget: 6, lone: plan.lone, disk: newPlatter(), rests: map[string]time.Duration{}}
	p.local = r.IntN(3) == 0
	own := []evidence.Protocol{evidence.Default, evidence.Default, evidence.Auto, evidence.QUIC, evidence.HTTP2}[r.IntN(5)]
	opt := lab.Options{Seed: plan.Seed, Tap: p.tap, Local: p.local, RunParameters: []string{"--edge-ip-version=4"}, Timezone: []string{"Europe/Berlin", "UTC", "Asia/Kolkata"}[r.IntN(3)]}
	if own != evidence.Default {
		opt.RunParameters = append(opt.RunParameters, "--protocol="+own.Flag())
	}
	env := map[string]string{
		"TUNNELMEDIC_SENSOR_INTERVAL": []string{"4s", "10s", "30s", "1m"}[r.IntN(4)],
		"TUNNELMEDIC_HA_TOKEN":        []string{"", lab.HAToken}[r.IntN(2)],
		"TUNNELMEDIC_NOTIFY":          "mobile_app_pixel",
		"TUNNELMEDIC_DATA_DIR":        dataDir,
	}
	if r.IntN(4) > 0 { // entities through Core's states cost most of a quiet hour
		opt.MQTT = &lab.MQTT{Host: "127.0.0.1", Port: 1883, Protocol: "5"}
	}
	if r.IntN(4) == 0 {
		p.budget = 1 + r.IntN(4)
		env["TUNNELMEDIC_MAX_RESTARTS_PER_DAY"] = fmt.Sprint(p.budget)
	}
	p.daily = p.budget
	if r.IntN(12) == 0 {
		p.observe = true
		env["TUNNELMEDIC_MODE"] = "observe"
	}
	if more := rand.New(rand.NewPCG(plan.Seed, 4)); !p.observe && more.IntN(5) == 0 {
		p.asks = true
		env["TUNNELMEDIC_MODE"] = "ask"
	}
	if r.IntN(4) == 0 {
		env["TUNNELMEDIC_PROTOCOLS"] = []string{"auto,http2", "quic,http2", "http2"}[r.IntN(3)]
	}
	p.truth.own = []evidence.Protocol{own}
	p.h = house.New(t, opt, env)
	p.w, p.began = p.h.World, time.Now()
	p.truth.foreign = withoutProtocol(p.w.Supervisor.Options(lab.DefaultSlug))
	p.ctx, p.leave = context.WithCancel(context.Background())
	t.Cleanup(p.leave)
	p.note("a home with %q, local %v, %d restarts a day, sensor %s, observe %v, ask %v, protocols %q", opt.RunParameters, p.local, p.budget, env["TUNNELMEDIC_SENSOR_INTERVAL"], p.observe, p.asks, env["TUNNELMEDIC_PROTOCOLS"])
	return p
}

func (p *play) close(plan Plan) Result {
	if ended, err := p.h.Ended(); ended {
		p.breaks("the daemon lives", "it ended by itself: %v", err)
	}
	if p.h.Lives() {
		if err := p.h.Stop(); err != nil {
			p.breaks("the daemon lives", "it ended with an error: %v", err)
		}
	}
	p.secrets()
	p.consent()
	p.side.Wait()
	p.h.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.Episodes, p.tally.Events, p.tally.Restarts, p.tally.Virtual = 1, len(plan.Events), p.w.Supervisor.Restarts(), time.Since(p.began)
	var told []string
	for _, n := range p.w.Core.Told().NotificationLog {
		if n.Dismissed {
			n.Title, n.Message = "(taken away)", ""
		}
		told = append(told, fmt.Sprintf("%9s  %s: %.160s", n.At.Sub(p.began).Round(time.Second), n.Title, strings.ReplaceAll(n.Message, "\n", " ")))
	}
	return Result{Told: told, Broken: p.broken, Story: p.story, Log: p.h.Log(), Rests: p.rests, Tally: p.tally}
}

// now is the episode's clock.
func (p *play) now() time.Duration { return time.Since(p.began).Round(time.Millisecond) }

func (p *play) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.story = append(p.story, fmt.Sprintf("%9s  ", p.now())+fmt.Sprintf(format, args...))
}

// breaks notes a broken promise, once.
func (p *play) breaks(promise, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.broken, func(b string) bool { return strings.HasPrefix(b, promise+":") }) {
		return
	}
	p.broken = append(p.broken, promise+": "+fmt.Sprintf(format, args...))
	p.story = append(p.story, fmt.Sprintf("%9s  BROKEN %s: ", p.now(), promise)+fmt.Sprintf(format, args...))
}

// later puts something on the agenda.
func (p *play) later(d time.Duration, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.agenda = append(p.agenda, task{time.Now().Add(d), do})
}

// beside does something that takes its time.
func (p *play) beside(do func()) { p.side.Go(do) }

// run works the agenda off.
func (p *play) run() {
	for {
		p.mu.Lock()
		slices.SortStableFunc(p.agenda, func(a, b task) int { return a.at.Compare(b.at) })
		var next *task
		if len(p.agenda) > 0 {
			next = &p.agenda[0]
		}
		if next != nil && !next.at.After(time.Now()) {
			do := next.do
			p.agenda = p.agenda[1:]
			p.mu.Unlock()
			do()
			continue
		}
		p.mu.Unlock()
		if next == nil {
			return
		}
		// In steps: what happens beside it may put something before it.
		time.Sleep(min(time.Second, time.Until(next.at)))
	}
}

// trap strikes at one of the daemon's calls.
type trap struct {
	call   *regexp.Regexp // method and path
	skip   int            // calls of the kind that pass before
	moment int            // see tap
	strike func()
}

// The moments of a call at which a trap strikes.
const (
	beforeEffect = iota // and the call never takes effect
	thenEffect          // the call takes effect all the same: Supervisor had it already
	afterEffect         // before its answer
	afterAnswer
	moments
)

func (p *play) set(t *trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps = append(p.traps, t)
}

// tap sees each call of the daemon's at the moment of its effect.
func (p *play) tap(req *http.Request, effect func()) {
	call := req.Method + " " + req.URL.Path
	p.mu.Lock()
	var sprung *trap
	for i, t := range p.traps {
		if t.call.MatchString(call) {
			if t.skip--; t.skip < 0 {
				sprung, p.traps = t, slices.Delete(p.traps, i, i+1)
				break
			}
		}
	}
	p.mu.Unlock()
	if sprung != nil && sprung.moment <= thenEffect {
		p.note("struck at %s", call)
		sprung.strike()
		if sprung.moment == beforeEffect {
			if strings.HasSuffix(call, "/restart") {
				p.mu.Lock()
				p.truth.unsent = time.Now()
				p.mu.Unlock()
			}
			return
		}
	}
	p.watched(call, lab.Arrived(req), effect)
	switch {
	case sprung != nil && sprung.moment == afterEffect:
		p.note("struck after %s", call)
		sprung.strike()
	case sprung != nil && sprung.moment == afterAnswer:
		p.later(time.Millisecond, func() { p.note("struck behind %s", call); sprung.strike() })
	}
}

// crash kills the daemon, which Supervisor starts again after a while. With a cut, it is
// the power that goes: what had not reached the disk is left as chance has it.
func (p *play) crash(down time.Duration, cut *rand.Rand) {
	if !p.h.Lives() {
		return
	}
	p.disk.kill(cut) // at once: nothing more is written
	if !p.h.Crash() {
		return
	}
	p.mu.Lock()
	p.tally.Kills++
	p.mu.Unlock()
	p.note("the daemon is killed")
	p.later(down, p.revive)
}

func (p *play) revive() {
	if !p.h.Lives() {
		p.note("the daemon starts again")
		p.begin()
	}
}

// begin starts a life of the daemon.
func (p *play) begin() {
	p.h.Disk = p.disk.headFor()
	p.h.Start()
}

// record is what the journal holds on the disk.
func (p *play) record() journal.Record {
	j, _, err := journal.OpenOn(p.disk.reader().headFor(), dataDir, time.Now())
	if err != nil {
		return journal.Record{}
	}
	return j.Record()
}

// ask puts a question to the daemon's page.
func (p *play) ask(path string, body any) {
	way := p.h.Net.Plug().Network().Transport()
	client := &http.Client{Transport: way, Timeout: 30 * time.Second}
	base := "http://" + p.h.Env["TUNNELMEDIC_LISTEN"]
	page, err := p.h.Get("/")
	if err != nil {
		return
	}
	m := pageToken.FindSubmatch(page)
	if m == nil {
		p.note("the page has no token")
		return
	}
	raw, _ := json.Marshal(body)
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, base+path, strings.NewReader(string(raw)))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Tunnelmedic-Token", string(m[1]))
	res, err := client.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	p.note("asked on the page: %s %s: %s", path, raw, strings.TrimSpace(string(answer)))
}

// strangerAsks puts a question to the daemon's page from an address that has no business there.
func (p *play) strangerAsks(path string) {
	client := &http.Client{Transport: p.h.Net.PlugAt("172.30.33.9").Network().Transport(), Timeout: 10 * time.Second}
	res, err := client.Get("http://" + p.h.Env["TUNNELMEDIC_LISTEN"] + path)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		p.breaks("strangers learn nothing", "%s gave somebody else %s", path, res.Status)
	}
}

var pageToken = regexp.MustCompile(`name="token" value="([^"]+)"`)
