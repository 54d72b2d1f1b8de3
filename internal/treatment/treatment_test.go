package treatment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
)

const slug = "9074a9fa_cloudflared"

var (
	busy     = &supervisor.Error{Op: "restarting", Kind: supervisor.Busy, Status: 400, Message: "Another job is running"}
	away     = &supervisor.Error{Op: "asking", Kind: supervisor.Away, Message: "refused"}
	lost     = &supervisor.Error{Op: "asking", Kind: supervisor.Away, Message: "cut off", EffectUnknown: true}
	rejected = &supervisor.Error{Op: "writing", Kind: supervisor.Rejected, Status: 400, Message: "its options are not accepted"}
	failed   = &supervisor.Error{Op: "starting", Kind: supervisor.Failed, Status: 500, Message: "unknown error"}
	hidden   = &supervisor.Error{Op: "reading", Kind: supervisor.NoRole, Message: "hassio_role manager is missing"}
)

// bench is an add-on under a Supervisor that does as it is told, its connector, and
// a diary. The functions script and then change its ways: they are called with the
// call's number, from 1.
type bench struct {
	options supervisor.Options
	state   evidence.AddOnState
	absent  bool
	process int // of cloudflared; 0 is none
	runs    evidence.Protocol
	blocked bool // UDP
	crashes bool // cloudflared exits soon after every start
	left    int  // the process that was left behind
	faked   bool // restarts are answered with 200, and not made
	ignores bool // cloudflared connects over QUIC whatever it is told
	log     string

	calls  []string
	count  map[string]int
	script func(call string, n int) error // nil: carried out; an error: instead of it
	then   func(call string, n int) error // after it was carried out
	diary  []journal.Intention
	noted  func(journal.Intention) error
}

func newBench(t *testing.T, options string) *bench {
	t.Helper()
	b := &bench{state: evidence.StateStarted, process: 1, count: map[string]int{}}
	b.set(t, options)
	b.runs = b.stored()
	return b
}

func (b *bench) set(t *testing.T, options string) {
	t.Helper()
	b.options = nil
	if err := json.Unmarshal([]byte(options), &b.options); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) stored() evidence.Protocol {
	p, err := tunnel.ProtocolOf(b.options)
	if err != nil {
		panic(err)
	}
	return p
}

// user sets the protocol by hand.
func (b *bench) user(p evidence.Protocol) {
	o, err := tunnel.WithProtocol(b.options, p)
	if err != nil {
		panic(err)
	}
	b.options = o
}

func (b *bench) stop() { b.state, b.process = evidence.StateStopped, 0 }

func (b *bench) begin() {
	if b.state == evidence.StateStarted {
		return
	}
	b.state, b.process, b.runs = evidence.StateStarted, b.count["restart"]+b.count["start"]+1, b.stored()
	if b.crashes {
		b.state, b.process = evidence.StateError, 0
	}
}

func (b *bench) call(ctx context.Context, name string, do func()) error {
	if ctx.Err() != nil {
		return &supervisor.Error{Kind: supervisor.Interrupted}
	}
	b.count[name]++
	b.calls = append(b.calls, name)
	n := b.count[name]
	if b.script != nil {
		if err := b.script(name, n); err != nil {
			return err
		}
	}
	do()
	if b.then != nil {
		return b.then(name, n)
	}
	return nil
}

func (b *bench) Info(ctx context.Context, _ string) (supervisor.Info, error) {
	var info supervisor.Info
	err := b.call(ctx, "info", func() {})
	if err != nil {
		return info, err
	}
	info = supervisor.Info{Slug: slug, Name: "Cloudflared", State: b.state, Version: "6.0.3", Options: b.options}
	if b.absent {
		info = supervisor.Info{Slug: slug, State: evidence.StateUnknown, OptionsError: &supervisor.Error{Kind: supervisor.NotFound}}
	}
	return info, nil
}

func (b *bench) SetOptions(ctx context.Context, _ string, o supervisor.Options) error {
	return b.call(ctx, "write", func() { b.options = maps.Clone(o) })
}

func (b *bench) ValidateOptions(ctx context.Context, _ string, _ supervisor.Options) error {
	return b.call(ctx, "validate", func() {})
}

func (b *bench) Log(ctx context.Context, _ string) (log string, err error) {
	return b.log, b.call(ctx, "log", func() {})
}

// Answers is Cloudflare's API.
func (b *bench) Answers(ctx context.Context) error { return b.call(ctx, "api", func() {}) }

func (b *bench) Restart(ctx context.Context, _ string) error {
	return b.call(ctx, "restart", func() {
		if !b.faked {
			b.stop()
			b.begin()
		}
	})
}

func (b *bench) Start(ctx context.Context, _ string) error {
	return b.call(ctx, "start", b.begin)
}

func (b *bench) Inspect(context.Context, time.Time) evidence.Connector {
	c := evidence.Connector{Asked: true}
	switch {
	case b.process == 0:
		c.Trouble = evidence.Refused
		return c
	case b.blocked && b.runs == evidence.QUIC:
		c.Status = 503
		return c
	}
	c.Status, c.Ready, c.Transport = 200, 4, evidence.OverQUIC
	if (b.runs == evidence.HTTP2 || b.blocked) && !b.ignores {
		c.Transport = evidence.OverHTTP2
	}
	return c
}

func (b *bench) Process() string {
	if b.process == 0 {
		return ""
	}
	return "process " + string(rune('0'+b.process))
}
func (b *bench) Forget()                { b.left = b.process }
func (b *bench) Renewed(time.Time) bool { return b.process != 0 && b.process != b.left }

func (b *bench) Intend(i journal.Intention) error {
	b.diary = append(b.diary, i)
	if b.noted != nil {
		return b.noted(i)
	}
	return nil
}

func (b *bench) treatment() *treatment.Treatment {
	return &treatment.Treatment{Supervisor: b, Connector: b, Cloudflare: b, Diary: b, Log: zerolog.Nop(), Patience: treatment.DefaultPatience()}
}

// trial is the change from the user's own default to HTTP/2.
func trial() journal.Intention {
	return journal.Intention{Slug: slug, From: evidence.Default, To: evidence.HTTP2, Back: evidence.Default, Purpose: policy.Trial, Before: evidence.OverQUIC}
}

// local is managed locally: its start needs Cloudflare's API.
const local = `{"external_hostname":"ha.example.com","run_parameters":[]}`

func with(in journal.Intention, change func(*journal.Intention)) journal.Intention {
	change(&in)
	return in
}

const house = `{"external_hostname":"ha.example.com","additional_hosts":[ {"hostname":"a\u00e4"} ],"tunnel_token":"t","n":1.0,"run_parameters":["--edge-ip-version=4"]}`

// untouched holds what must not change against what was there.
func (b *bench) untouched(t *testing.T, options string) {
	t.Helper()
	var before supervisor.Options
	if err := json.Unmarshal([]byte(options), &before); err != nil {
		t.Fatal(err)
	}
	for _, name := range before.Names() {
		if name != "run_parameters" && string(b.options[name]) != string(before[name]) {
			t.Errorf("%s: %s became %s", name, before[name], b.options[name])
		}
	}
	if !slices.Equal(b.options.Names(), before.Names()) {
		t.Errorf("options are now %v", b.options.Names())
	}
}

func TestAChangeEndsAsItShould(t *testing.T) {
	at := func(call string, nth int, do func()) func(string, int) error {
		return func(c string, n int) error {
			if c == call && n == nth {
				do()
			}
			return nil
		}
	}
	fail := func(call string, err error, times ...int) func(string, int) error {
		return func(c string, n int) error {
			if c == call && (len(times) == 0 || slices.Contains(times, n)) {
				return err
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		options  string // "" is house
		in       journal.Intention
		prepare  func(b *bench)
		result   policy.Result
		stored   evidence.Protocol // at the end
		runs     evidence.Protocol // at the end
		stopped  bool              // at the end
		restarts int               // told
		calls    map[string]int    // of what changes something
		lasts    time.Duration     // at least
		within   time.Duration     // at most; 0 is a minute
	}{
		"all goes well": {result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"without the option there before": {options: `{"external_hostname":"ha.example.com"}`, prepare: func(b *bench) {}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 1}},
		"the same protocol, started anew": {in: journal.Intention{Slug: slug, From: evidence.Default, To: evidence.Default}, result: policy.Settled, restarts: 1, calls: map[string]int{"restart": 1}},

		// Supervisor is busy or away.
		"busy, then free": {prepare: func(b *bench) { b.script = fail("restart", busy, 1, 2, 3) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 4}, lasts: 3 * time.Second},
		"busy for too long":    {prepare: func(b *bench) { b.script = fail("restart", busy) }, result: policy.Busy, runs: evidence.Default, lasts: 10 * time.Minute, within: 11 * time.Minute},
		"away before anything": {prepare: func(b *bench) { b.script = fail("info", away) }, result: policy.NotAvailable, calls: map[string]int{}, lasts: 10 * time.Minute, within: 11 * time.Minute},
		"away for a while": {prepare: func(b *bench) { b.script = fail("info", away, 1, 2, 3) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 1}},
		"the options are hidden": {prepare: func(b *bench) { b.script = fail("info", hidden) }, result: policy.NotAvailable, calls: map[string]int{}, lasts: 10 * time.Minute, within: 11 * time.Minute},

		// What cannot succeed is not begun.
		"Cloudflare's API is away":               {options: local, prepare: func(b *bench) { b.script = fail("api", errors.New("no answer")) }, result: policy.CannotStart, calls: map[string]int{}},
		"a tunnel that is managed needs no API":  {prepare: func(b *bench) { b.script = fail("api", errors.New("no answer")) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"options with which it could not start":  {prepare: func(b *bench) { b.script = fail("validate", rejected) }, result: policy.Rejected, calls: map[string]int{}},
		"whether they are valid cannot be asked": {prepare: func(b *bench) { b.script = fail("validate", failed) }, result: policy.NotAvailable, calls: map[string]int{}},
		"the same protocol, and the API is away": {options: local, in: journal.Intention{Slug: slug, From: evidence.Default, To: evidence.Default}, prepare: func(b *bench) { b.script = fail("api", errors.New("no answer")) }, result: policy.CannotStart, calls: map[string]int{}},
		"the way back is stored though it is away": {options: `{"external_hostname":"ha.example.com","run_parameters":["--protocol=http2"]}`, in: journal.Intention{Slug: slug, From: evidence.HTTP2, To: evidence.Default, Back: evidence.Default, Purpose: policy.Restore},
			prepare: func(b *bench) { b.script = fail("api", errors.New("no answer")) }, result: policy.CannotStart, runs: evidence.HTTP2, calls: map[string]int{"write": 1}},
		"the budget is spent": {in: with(trial(), func(in *journal.Intention) { in.Most = -1 }), result: policy.OverBudget, calls: map[string]int{"write": 2}},

		// Called done, and not done.
		"a restart that is called done, and is not": {prepare: func(b *bench) { b.faked = true }, result: policy.NotRestarted, calls: map[string]int{"write": 2, "restart": 2}},
		"once":                              {prepare: func(b *bench) { b.faked = true; b.then = at("restart", 1, func() { b.faked = false }) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 2}},
		"over the transport that was there": {prepare: func(b *bench) { b.ignores = true }, result: policy.OtherTransport, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"the way back is done over any": {options: `{"tunnel_token":"t","run_parameters":["--protocol=quic"]}`, in: journal.Intention{Slug: slug, From: evidence.QUIC, To: evidence.HTTP2, Back: evidence.HTTP2, Purpose: policy.Return}, prepare: func(b *bench) { b.ignores = true },
			result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"an update that starts it itself": {prepare: func(b *bench) {
			b.script = func(c string, n int) error {
				if c == "info" && n == 6 {
					b.stop()
					b.process, b.state, b.runs = 7, evidence.StateStarted, b.stored()
				}
				return iff(c == "restart", busy)
			}
		}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, calls: map[string]int{"write": 1, "restart": 2}},
		"shown stopped for a moment": {prepare: func(b *bench) {
			process := 0
			b.then = func(c string, n int) error {
				switch {
				case c == "restart":
					process, b.process, b.state = b.process, 0, evidence.StateStopped
				case b.count["restart"] == 1 && process != 0 && n > 3:
					b.process, b.state, process = process, evidence.StateStarted, 0
				}
				return nil
			}
		}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"it ends by itself without an error": {prepare: func(b *bench) {
			b.then = at("restart", 1, b.stop)
			b.log = "[12:00:00] FATAL: Failed to create DNS entry ha.example.com.\n"
		}, result: policy.Crashed, stored: evidence.HTTP2, stopped: true, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"a person wrote the very protocol before": {in: journal.Intention{Slug: slug, From: evidence.Auto, To: evidence.Default, Back: evidence.Default, Purpose: policy.Restore}, result: policy.UserChanged, calls: map[string]int{}},

		// The write.
		"rejected": {prepare: func(b *bench) { b.script = fail("write", rejected) }, result: policy.Rejected, calls: map[string]int{"write": 1}},
		"a lost answer to a write that was done": {prepare: func(b *bench) { b.then = fail("write", lost, 1) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 1}},
		"a lost write": {prepare: func(b *bench) { b.script = fail("write", lost, 1) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 2, "restart": 1}},
		"writes that never arrive":     {prepare: func(b *bench) { b.script = fail("write", failed) }, result: policy.NotAvailable, calls: map[string]int{"write": 3}},
		"a secret in the options":      {options: `{"tunnel_token":"!secret cf","run_parameters":[]}`, result: policy.AtRisk, calls: map[string]int{}},
		"a secret deep in the options": {options: `{"additional_hosts":[{"hostname":"!secret host"}],"run_parameters":[]}`, result: policy.AtRisk, calls: map[string]int{}},

		// The user.
		"changed by hand before":                         {prepare: func(b *bench) { b.user(evidence.QUIC) }, result: policy.UserChanged, stored: evidence.QUIC, calls: map[string]int{}},
		"changed by hand to nonsense":                    {options: `{"run_parameters":["--protocol=h2mux"]}`, result: policy.UserChanged, calls: map[string]int{}},
		"changed by hand between write and reading back": {prepare: func(b *bench) { b.then = at("write", 1, func() { b.user(evidence.QUIC) }) }, result: policy.UserChanged, stored: evidence.QUIC, calls: map[string]int{"write": 1}},
		"the form saved anew over our write": {prepare: func(b *bench) { b.then = at("write", 1, func() { b.user(evidence.Default) }) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 2, "restart": 1}},
		"the form saved again and again": {prepare: func(b *bench) {
			b.then = func(c string, _ int) error {
				if c == "write" {
					b.user(evidence.Default)
				}
				return nil
			}
		}, result: policy.NotAvailable, calls: map[string]int{"write": 3}},
		"stopped by hand before":          {prepare: (*bench).stop, result: policy.UserStopped, stopped: true, calls: map[string]int{}},
		"stopped by hand after the write": {prepare: func(b *bench) { b.then = at("write", 1, b.stop) }, result: policy.UserStopped, stopped: true, calls: map[string]int{"write": 2}},
		"stopped by hand while Supervisor was busy": {prepare: func(b *bench) {
			b.script = func(c string, n int) error {
				if c == "restart" {
					b.stop()
					return busy
				}
				return nil
			}
		}, result: policy.UserStopped, stopped: true, calls: map[string]int{"write": 2, "restart": 1}, lasts: 10 * time.Minute, within: 11 * time.Minute},
		"stopped by hand after the restart": {prepare: func(b *bench) { b.then = at("restart", 1, b.stop) }, result: policy.UserStopped, stopped: true, calls: map[string]int{"write": 2, "restart": 1}, restarts: 1},
		"stopped by hand on the way back: it goes back all the same": {options: `{"run_parameters":["--protocol=http2"]}`, in: journal.Intention{Slug: slug, From: evidence.HTTP2, To: evidence.Default, Back: evidence.Default, Purpose: policy.Restore},
			prepare: (*bench).stop, result: policy.UserStopped, stopped: true, calls: map[string]int{"write": 1}},
		"uninstalled before":            {prepare: func(b *bench) { b.absent = true }, result: policy.UserStopped, calls: map[string]int{}},
		"uninstalled after the restart": {prepare: func(b *bench) { b.then = at("restart", 1, func() { b.absent, b.process = true, 0 }) }, result: policy.UserStopped, stored: evidence.HTTP2, stopped: true, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},

		// The restart.
		"an add-on in error is restarted": {prepare: func(b *bench) { b.state, b.process = evidence.StateError, 0 }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 1}},
		"the stop works and the start fails": {prepare: func(b *bench) {
			b.script = func(c string, n int) error {
				if c == "restart" {
					b.stop()
					return failed
				}
				return nil
			}
		}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1, "start": 1}},
		"the start fails for good": {prepare: func(b *bench) {
			b.script = func(c string, n int) error {
				if c == "restart" || c == "start" {
					b.stop()
					return failed
				}
				return nil
			}
		}, result: policy.Crashed, stored: evidence.HTTP2, stopped: true, restarts: 1, calls: map[string]int{"write": 1, "restart": 1, "start": 3}},
		"200, but it crashes": {prepare: func(b *bench) { b.crashes = true }, result: policy.Crashed, stored: evidence.HTTP2, stopped: true, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"a lost answer to a restart that was done": {prepare: func(b *bench) { b.then = fail("restart", lost, 1) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 1}},
		"a lost restart is not taken for done": {prepare: func(b *bench) { b.script = fail("restart", lost, 1) }, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1,
			calls: map[string]int{"write": 1, "restart": 2}, lasts: time.Minute, within: 2 * time.Minute},
		"a restart that is done only after its answer was lost": {prepare: func(b *bench) {
			late := false
			b.script = func(c string, n int) error {
				if c == "restart" && n == 1 {
					late = true
					return lost
				}
				if late && c == "info" && b.count["info"] > 8 {
					late = false
					b.stop()
					b.begin()
				}
				return nil
			}
		}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}},
		"restarts that are refused change nothing": {prepare: func(b *bench) { b.script = fail("restart", hidden) }, result: policy.NotRestarted, runs: evidence.Default,
			calls: map[string]int{"write": 2, "restart": 4}, within: 10 * time.Minute},
		"cut off between stop and start, and Supervisor goes on": {prepare: func(b *bench) {
			b.script = func(c string, n int) error {
				switch {
				case c == "restart":
					b.stop()
					return lost
				case c == "start" && n <= 2:
					return busy // with that very restart
				}
				return nil
			}
		}, result: policy.Settled, stored: evidence.HTTP2, runs: evidence.HTTP2, restarts: 1, calls: map[string]int{"write": 1, "restart": 1, "start": 3}},

		// The connection.
		"QUIC where UDP is blocked": {in: journal.Intention{Slug: slug, From: evidence.Default, To: evidence.QUIC, Purpose: policy.Trial}, prepare: func(b *bench) { b.blocked = true }, result: policy.Unsettled,
			stored: evidence.QUIC, runs: evidence.QUIC, restarts: 1, calls: map[string]int{"write": 1, "restart": 1}, lasts: time.Minute, within: 62 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := c.options
				if options == "" {
					options = house
				}
				b := &bench{state: evidence.StateStarted, process: 1, count: map[string]int{}}
				b.set(t, options)
				if p, err := tunnel.ProtocolOf(b.options); err == nil {
					b.runs = p
				}
				if c.prepare != nil {
					c.prepare(b)
				}
				in := c.in
				if in.Slug == "" {
					in = trial()
				}
				start := time.Now()
				out, err := b.treatment().Do(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				took, within := time.Since(start), c.within
				if within == 0 {
					within = time.Minute
				}
				if out.Result != c.result || out.Restarts != c.restarts {
					t.Errorf("ended %q with %d restarts, want %q with %d; calls %v", out.Result, out.Restarts, c.result, c.restarts, b.calls)
				}
				if took < c.lasts || took > within {
					t.Errorf("took %v, want %v to %v", took, c.lasts, within)
				}
				if stored, err := tunnel.ProtocolOf(b.options); err == nil && (stored != c.stored || out.Setting != stored) {
					t.Errorf("stored is %q, told %q, want %q", stored.Flag(), out.Setting.Flag(), c.stored.Flag())
				}
				if (b.process == 0) != c.stopped {
					t.Errorf("at the end the add-on is %s, process %d", b.state, b.process)
				}
				if !c.stopped && c.result != policy.UserChanged && b.runs != c.runs {
					t.Errorf("it runs with %q, want %q", b.runs.Flag(), c.runs.Flag())
				}
				for _, call := range []string{"write", "restart", "start"} {
					if c.calls != nil && b.count[call] != c.calls[call] {
						t.Errorf("%d × %s, want %d: %v", b.count[call], call, c.calls[call], b.calls)
					}
				}
				if c.options == "" {
					b.untouched(t, house)
				}
				if out.Result == policy.Settled && out.Transport == evidence.NoTransport {
					t.Error("settled over no transport")
				}
			})
		})
	}
}

func TestTheIntentionIsNotedBeforeEachStep(t *testing.T) {
	b := newBench(t, house)
	seen := map[string]journal.Stage{}
	b.script = func(call string, _ int) error {
		if call != "info" {
			seen[call] = b.diary[len(b.diary)-1].Stage
		}
		return nil
	}
	if _, err := b.treatment().Do(t.Context(), trial()); err != nil {
		t.Fatal(err)
	}
	if seen["write"] != journal.Writing || seen["restart"] != journal.Restarting {
		t.Errorf("stages at the calls: %v", seen)
	}
	if last := b.diary[len(b.diary)-1]; last.Stage != journal.Connecting || last.To != evidence.HTTP2 || last.From != evidence.Default || last.Process == "" {
		t.Errorf("last note %+v", last)
	}
}

// What is not proven is set only when that could be noted; a way back, and what is
// under way already, goes on without a note.
func TestWithoutADiaryNothingNewIsBegunAndEverythingIsEnded(t *testing.T) {
	full := errors.New("no space left on device")
	for _, c := range []struct {
		purpose policy.Purpose
		stage   journal.Stage // from which on nothing can be noted
		want    policy.Result
		stored  evidence.Protocol
		restart int
	}{
		{policy.Trial, journal.Writing, policy.Unkept, evidence.Default, 0},
		{policy.Trial, journal.Restarting, policy.Unkept, evidence.Default, 0},
		{policy.Trial, journal.Connecting, policy.Settled, evidence.HTTP2, 1},
		{policy.Failback, journal.Writing, policy.Unkept, evidence.Default, 0},
		{policy.Failback, journal.Restarting, policy.Unkept, evidence.Default, 0},
		{policy.ByHand, journal.Writing, policy.Unkept, evidence.Default, 0},
		{policy.ByHand, journal.Restarting, policy.Unkept, evidence.Default, 0},
		{policy.Restore, journal.Writing, policy.Settled, evidence.HTTP2, 1},
		{policy.Return, journal.Writing, policy.Settled, evidence.HTTP2, 1},
		{policy.HandBack, journal.Writing, policy.Settled, evidence.HTTP2, 1},
		{policy.Restore, journal.Restarting, policy.Settled, evidence.HTTP2, 1},
	} {
		t.Run(fmt.Sprintf("%s, from %s on", c.purpose, c.stage), func(t *testing.T) {
			b := newBench(t, house)
			order := []journal.Stage{journal.Writing, journal.Restarting, journal.Connecting}
			b.noted = func(i journal.Intention) error {
				if slices.Index(order, i.Stage) >= slices.Index(order, c.stage) {
					return full
				}
				return nil
			}
			in := trial()
			in.Purpose = c.purpose
			out, err := b.treatment().Do(t.Context(), in)
			if err != nil || out.Result != c.want || out.Setting != c.stored || b.count["restart"] != c.restart {
				t.Errorf("%+v, %v, %d restarts", out, err, b.count["restart"])
			}
			info, _ := b.Info(t.Context(), in.Slug)
			if stored, err := tunnel.ProtocolOf(info.Options); err != nil || stored != c.stored {
				t.Errorf("stored is %s, %v", stored, err)
			}
		})
	}
}

func TestOtherOptionsEditedAtTheSameMomentStayAsEdited(t *testing.T) {
	b := newBench(t, house)
	var log strings.Builder
	b.then = func(call string, n int) error {
		if call == "write" {
			b.options["log_level"] = json.RawMessage(`"debug"`)
			b.options["tunnel_token"] = json.RawMessage(`"another-token-7c1"`)
		}
		return nil
	}
	tr := b.treatment()
	tr.Log = zerolog.New(&log)
	out, err := tr.Do(t.Context(), trial())
	if err != nil || out.Result != policy.Settled || b.count["write"] != 1 {
		t.Fatalf("%+v, %v, %v", out, err, b.calls)
	}
	if got := string(b.options["log_level"]); got != `"debug"` {
		t.Errorf("the edit was lost: %s", got)
	}
	if text := log.String(); !strings.Contains(text, "log_level") || strings.Contains(text, "another-token") {
		t.Errorf("the log names the options and no value: %s", text)
	}
}

func TestAnEndOfTheContextLeavesTheIntention(t *testing.T) {
	for name, in := range map[string]struct{ call string }{"in the write": {"write"}, "in the restart": {"restart"}, "in reading": {"info"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, house)
			ctx, cancel := context.WithCancel(t.Context())
			b.then = func(call string, _ int) error {
				if call == in.call {
					cancel()
					return &supervisor.Error{Kind: supervisor.Interrupted, EffectUnknown: true}
				}
				return nil
			}
			out, err := b.treatment().Do(ctx, trial())
			if !errors.Is(err, context.Canceled) || out.Result != policy.NoResult {
				t.Errorf("got %+v, %v: an outcome that is not known is none", out, err)
			}
		})
	}
}

func TestAnInterruptedChangeIsTakenUpFromWhatIsThere(t *testing.T) {
	http2 := `{"run_parameters":["--protocol=http2"]}`
	for name, c := range map[string]struct {
		options  string
		stage    journal.Stage
		prepare  func(b *bench, in *journal.Intention)
		result   policy.Result
		setting  evidence.Protocol
		restarts int // told
		calls    map[string]int
	}{
		"nothing had been written":           {options: house, stage: journal.Writing, result: policy.NotAvailable, calls: map[string]int{}},
		"not even begun":                     {options: house, stage: journal.Intended, result: policy.NotAvailable, calls: map[string]int{}},
		"written, not restarted":             {options: http2, stage: journal.Writing, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{"restart": 1}},
		"in the restart, which was not done": {options: http2, stage: journal.Restarting, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{"restart": 1}},
		"in the restart, which Supervisor is still at": {options: http2, stage: journal.Restarting, prepare: func(b *bench, in *journal.Intention) {
			in.At = time.Now()
			b.then = func(call string, n int) error {
				if call == "info" && n == 3 {
					b.process, b.runs = 2, evidence.HTTP2
				}
				return nil
			}
		}, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{}},
		"in the restart, and cloudflared takes long to come up": {options: http2, stage: journal.Restarting, prepare: func(b *bench, in *journal.Intention) {
			in.At, b.process = time.Now(), 0
			b.then = func(call string, n int) error {
				if call == "info" && n == 45 {
					b.process, b.runs = 2, evidence.HTTP2
				}
				return nil
			}
		}, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{}},
		"in the restart, and another process runs":    {options: http2, stage: journal.Restarting, prepare: func(b *bench, in *journal.Intention) { b.process, b.runs = 2, evidence.HTTP2 }, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{}},
		"in the restart, seen by the transport alone": {options: http2, stage: journal.Restarting, prepare: func(b *bench, in *journal.Intention) { in.Process, b.runs = "", evidence.HTTP2 }, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{}},
		"in the restart, and it is stopped":           {options: http2, stage: journal.Restarting, prepare: func(b *bench, _ *journal.Intention) { b.stop() }, result: policy.Settled, setting: evidence.HTTP2, restarts: 2, calls: map[string]int{"restart": 1}},
		"restarted":                                   {options: http2, stage: journal.Connecting, prepare: func(b *bench, _ *journal.Intention) { b.process, b.runs = 2, evidence.HTTP2 }, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{}},
		"called done, and not done":                   {options: http2, stage: journal.Connecting, result: policy.Settled, setting: evidence.HTTP2, restarts: 1, calls: map[string]int{"restart": 1}},
		"restarted, and stopped by hand":              {options: http2, stage: journal.Connecting, prepare: func(b *bench, _ *journal.Intention) { b.stop() }, result: policy.UserStopped, restarts: 1, calls: map[string]int{"write": 1}},
		"changed by hand meanwhile":                   {options: `{"run_parameters":["--protocol=quic"]}`, stage: journal.Connecting, result: policy.UserChanged, setting: evidence.QUIC, restarts: 1, calls: map[string]int{}},
		"an earlier step's protocol is no person's":   {options: `{"run_parameters":["--protocol=quic"]}`, stage: journal.Writing, prepare: func(_ *bench, in *journal.Intention) { in.Ours = []evidence.Protocol{evidence.QUIC} }, result: policy.NotAvailable, setting: evidence.QUIC, calls: map[string]int{}},
		"uninstalled meanwhile":                       {options: http2, stage: journal.Restarting, prepare: func(b *bench, _ *journal.Intention) { b.absent = true }, result: policy.UserStopped, restarts: 1, calls: map[string]int{}},
		"in the restart, and stopped by hand afterwards": {options: http2, stage: journal.Restarting, prepare: func(b *bench, in *journal.Intention) {
			b.stop()
			in.At = time.Now().Add(-time.Minute)
			b.log = time.Now().Add(-50*time.Second).UTC().Format(time.RFC3339) + " INF Initial protocol http2\n" +
				time.Now().Add(-20*time.Second).UTC().Format(time.RFC3339) + " INF Initiating graceful shutdown due to signal terminated ...\n"
		}, result: policy.UserStopped, restarts: 1, calls: map[string]int{"write": 1}},
		"options that cannot be understood": {options: `{"run_parameters":7}`, stage: journal.Restarting, result: policy.UserChanged, restarts: 1, calls: map[string]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bench{state: evidence.StateStarted, process: 1, count: map[string]int{}}
				b.set(t, c.options)
				in := trial()
				in.Stage, in.Process = c.stage, "process 1"
				if c.prepare != nil {
					c.prepare(b, &in)
				}
				out, err := b.treatment().Resume(t.Context(), in)
				if err != nil || out.Result != c.result || out.Restarts != c.restarts {
					t.Errorf("got %+v, %v; want %q with %d restarts; calls %v", out, err, c.result, c.restarts, b.calls)
				}
				if c.result != policy.UserStopped && out.Setting != c.setting {
					t.Errorf("told %q, want %q", out.Setting.Flag(), c.setting.Flag())
				}
				for _, call := range []string{"write", "restart", "start"} {
					if b.count[call] != c.calls[call] {
						t.Errorf("%d × %s, want %d: %v", b.count[call], call, c.calls[call], b.calls)
					}
				}
			})
		})
	}
}

func TestAtAStopTheWayBackIsSentOff(t *testing.T) {
	http2 := `{"external_hostname":"ha.example.com","run_parameters":["--a=1","--protocol=http2"]}`
	back := journal.Intention{Slug: slug, From: evidence.HTTP2, To: evidence.Default, Back: evidence.Default, Purpose: policy.Restore, Ours: []evidence.Protocol{evidence.QUIC}}
	for name, c := range map[string]struct {
		options string
		stage   journal.Stage
		restart bool
		prepare func(b *bench)
		stored  string // run_parameters
		calls   map[string]int
		down    bool
		fails   bool
	}{
		"it runs on trial":                            {options: http2, restart: true, stored: `["--a=1"]`, calls: map[string]int{"write": 1, "restart": 1}},
		"it was written and not restarted":            {options: http2, stored: `["--a=1"]`, calls: map[string]int{"write": 1}},
		"nothing was written":                         {options: `{"run_parameters":[ ]}`, stored: `[ ]`, calls: map[string]int{}},
		"an earlier candidate stands there":           {options: `{"run_parameters":["--protocol=quic"]}`, restart: true, stored: `[]`, calls: map[string]int{"write": 1, "restart": 1}},
		"a person's setting stays":                    {options: `{"run_parameters":["--protocol=auto"]}`, restart: true, stored: `["--protocol=auto"]`, calls: map[string]int{}},
		"a secret is not written":                     {options: `{"tunnel_token":"!secret t","run_parameters":["--protocol=http2"]}`, restart: true, stored: `["--protocol=http2"]`, calls: map[string]int{}},
		"stopped by hand it stays stopped":            {options: http2, restart: true, prepare: (*bench).stop, stored: `["--a=1"]`, calls: map[string]int{"write": 1}, down: true},
		"stopped by our own restart it is started":    {options: http2, stage: journal.Restarting, restart: true, prepare: (*bench).stop, stored: `["--a=1"]`, calls: map[string]int{"write": 1, "restart": 1}},
		"busy with the restart that was interrupted":  {options: http2, stage: journal.Restarting, restart: true, prepare: func(b *bench) { b.script = func(c string, n int) error { return iff(c == "restart" && n < 3, busy) } }, stored: `["--a=1"]`, calls: map[string]int{"write": 1, "restart": 3}},
		"a diary that cannot be written is no excuse": {options: http2, restart: true, prepare: func(b *bench) { b.noted = func(journal.Intention) error { return errors.New("full") } }, stored: `["--a=1"]`, calls: map[string]int{"write": 1, "restart": 1}, fails: true},
		"busy to the end":                             {options: http2, restart: true, prepare: func(b *bench) { b.script = func(c string, _ int) error { return iff(c == "restart", busy) } }, stored: `["--a=1"]`, calls: map[string]int{"write": 1, "restart": 3}, fails: true},
		"Supervisor is away":                          {options: http2, restart: true, prepare: func(b *bench) { b.script = func(string, int) error { return away } }, stored: `["--a=1","--protocol=http2"]`, calls: map[string]int{}, fails: true},
		"the options are hidden":                      {options: http2, restart: true, prepare: func(b *bench) { b.script = func(string, int) error { return hidden } }, stored: `["--a=1","--protocol=http2"]`, calls: map[string]int{}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.options)
				if c.prepare != nil {
					c.prepare(b)
				}
				in := back
				in.Stage = c.stage
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				if err := b.treatment().Leave(ctx, in, c.restart); (err != nil) != c.fails {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("took %v, more than a stop leaves", took)
				}
				if got := string(b.options["run_parameters"]); got != c.stored {
					t.Errorf("stored %s, want %s", got, c.stored)
				}
				if (b.process == 0) != c.down {
					t.Errorf("at the end it is %s", b.state)
				}
				for _, call := range []string{"write", "restart", "start"} {
					if call == "restart" && c.fails && c.calls[call] > 1 {
						continue // as often as the time allowed
					}
					if b.count[call] != c.calls[call] {
						t.Errorf("%d × %s, want %d: %v", b.count[call], call, c.calls[call], b.calls)
					}
				}
			})
		})
	}
}

func iff(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

func TestWithAutoItWaitsForTheFallback(t *testing.T) {
	p := treatment.DefaultPatience()
	const measured = 131 * time.Second // until auto falls back where UDP is blocked
	if p.Settle(evidence.Auto) <= measured || p.Settle(evidence.Default) <= measured || p.Settle(evidence.HTTP2) > time.Minute {
		t.Errorf("auto %v, none %v, http2 %v", p.Settle(evidence.Auto), p.Settle(evidence.Default), p.Settle(evidence.HTTP2))
	}
}

// rising is a connector that is connected only so long after its process began.
type rising struct {
	*bench
	takes time.Duration
	began time.Time
	asked int
}

func (r *rising) Inspect(ctx context.Context, now time.Time) evidence.Connector {
	r.asked++
	if c := r.bench.Inspect(ctx, now); now.Sub(r.began) >= r.takes {
		return c
	}
	return evidence.Connector{Asked: true, Status: 503}
}

// The household is cut off until it is seen that the tunnel stands again. A container that
// takes a minute is not asked all the more for it.
func TestAConnectionIsSeenAtOnceAndAwaitedPatiently(t *testing.T) {
	for takes, most := range map[time.Duration]int{1150 * time.Millisecond: 10, 4 * time.Second: 25, 14950 * time.Millisecond: 80, 50 * time.Second: 120} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `{"external_hostname":"ha.example.com"}`)
			r := &rising{bench: b, takes: takes, began: time.Now()}
			treat := b.treatment()
			treat.Connector = r
			out, err := treat.Do(t.Context(), trial())
			late := time.Since(r.began) - takes
			if err != nil || out.Result != policy.Settled || takes < 15*time.Second && late > 200*time.Millisecond || late > time.Second || r.asked > most {
				t.Errorf("up after %v: %+v, %v; seen %v later, asked %d times", takes, out, err, late, r.asked)
			}
		})
	}
}
