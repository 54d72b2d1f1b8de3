package hostile

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// misdeed is what Supervisor does to a call.
type misdeed struct {
	name string
	do   func(h *house, x *exchange)
	at   []step        // the steps at which it can happen; nil: all
	lets time.Duration // how long it goes on, for every call of the same kind; 0: once
	rare bool          // in the full form only
}

func (m misdeed) happensAt(s step) bool { return m.at == nil || slices.Contains(m.at, s) }

// once and more: the same misdeed one time, and going on for a while.
func misdeeds() []misdeed {
	json, text := "application/json; charset=utf-8", "text/plain; charset=utf-8"
	says := func(status int, kind, body string) func(*house, *exchange) {
		return func(_ *house, x *exchange) { x.say(status, kind, body) }
	}
	acts := []step{writing, restarting, starting}
	one := []misdeed{
		{name: "time-out, no effect", do: func(_ *house, x *exchange) { x.hang() }},
		{name: "time-out, effect", do: func(_ *house, x *exchange) { x.forward(); x.hang() }, at: acts},
		{name: "time-out, late effect", do: func(_ *house, x *exchange) {
			<-x.req.Context().Done()
			time.Sleep(50 * time.Millisecond)
			x.forward()
		}, at: acts},
		{name: "reset, no effect", do: func(_ *house, x *exchange) { x.reset() }},
		{name: "reset in the answer", do: func(_ *house, x *exchange) { a := x.forward(); x.cut(&a) }},
		{name: "400 without key", do: says(400, json, `{"result":"error","message":"Something is not right"}`)},
		{name: "400 with key, options quoted", do: says(400, json, `{"result":"error","error_key":"app_configuration_invalid_error","message":"App has invalid options: Missing option 'x' in root. Got {'tunnel_token': '`+lab.TunnelToken+`'}"}`)},
		{name: "400, token in the text", do: says(400, json, `{"result":"error","message":"cannot use token `+lab.TunnelToken+` for this"}`), rare: true},
		{name: "401", do: says(401, text, "401: Unauthorized")},
		{name: "403", do: says(403, text, "403: Forbidden"), rare: true},
		{name: "404", do: says(404, text, "404: Not Found"), rare: true},
		{name: "500 text", do: says(500, text, "500 Internal Server Error"), rare: true},
		{name: "500 with key", do: says(500, json, `{"result":"error","error_key":"app_unknown_error","message":"An unknown error occurred with app","extra_fields":{"app":"x"}}`)},
		{name: "502", do: says(502, text, "502: Bad Gateway")},
		{name: "half JSON", do: says(200, json, `{"result":"ok","data":{`), rare: true},
		{name: "effect, then half JSON", do: func(_ *house, x *exchange) { x.forward(); x.say(200, json, `{"result":"ok","da`) }, at: acts},
		{name: "HTML", do: says(200, "text/html", "<html>login</html>"), rare: true},
		{name: "10 MB", do: func(_ *house, x *exchange) {
			x.rw.Header().Set("Content-Type", json)
			_, _ = x.rw.Write([]byte(`{"result":"ok","data":{"slug":"`))
			block := []byte(strings.Repeat("x", 64<<10))
			for range 160 {
				if _, err := x.rw.Write(block); err != nil {
					return
				}
			}
		}},
		{name: "not ready", do: says(400, json, `{"result":"error","message":"System is not ready with state: setup"}`)},
		{name: "busy", do: says(400, json, `{"result":"error","message":"Another job is running for job group app_`+lab.DefaultSlug+`"}`), at: acts},
	}
	var all []misdeed
	for _, m := range one {
		all = append(all, m)
		m.name, m.lets = m.name+", for a while", 700*time.Millisecond
		m.rare = m.rare || !slices.Contains([]string{"busy, for a while", "502, for a while", "time-out, effect, for a while"}, m.name)
		if !strings.HasPrefix(m.name, "time-out, late") {
			all = append(all, m)
		}
	}
	gone := func(lets time.Duration) func(h *house, _ *exchange) {
		return func(h *house, x *exchange) {
			h.w.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = true })
			time.AfterFunc(lets, func() { h.w.ChangeFaults(func(f *lab.Faults) { f.SupervisorDown = false }) })
			x.reset()
		}
	}
	start := func(trap lab.StartTrap, lets time.Duration) func(h *house, _ *exchange) {
		return func(h *house, x *exchange) {
			h.w.ChangeFaults(func(f *lab.Faults) { f.StartFails = trap })
			time.AfterFunc(lets, func() { h.w.ChangeFaults(func(f *lab.Faults) { f.StartFails = "" }) })
			x.pass()
		}
	}
	dies := func(lets time.Duration) func(h *house, _ *exchange) {
		return func(h *house, x *exchange) {
			h.w.ChangeFaults(func(f *lab.Faults) { f.ConnectorDies = true })
			time.AfterFunc(lets, func() { h.w.ChangeFaults(func(f *lab.Faults) { f.ConnectorDies = false }) })
			x.pass()
		}
	}
	rs := []step{restarting}
	return append(all,
		misdeed{name: "API gone for a while", do: gone(800 * time.Millisecond)},
		misdeed{name: "API gone for longer than patience", do: gone(14 * time.Second)},
		misdeed{name: "start fails: options", do: start(lab.BadOptions, 30*time.Millisecond), at: rs},
		misdeed{name: "start fails: port", do: start(lab.BadPort, 30*time.Millisecond), at: rs, rare: true},
		misdeed{name: "start fails: Docker", do: start(lab.BadDocker, 30*time.Millisecond), at: rs, rare: true},
		misdeed{name: "start fails for long: options", do: start(lab.BadOptions, 3*time.Second), at: rs, rare: true},
		misdeed{name: "start fails for long: port", do: start(lab.BadPort, 3*time.Second), at: rs},
		misdeed{name: "start fails for long: Docker", do: start(lab.BadDocker, 3*time.Second), at: rs},
		misdeed{name: "200, then it crashes", do: dies(20 * time.Millisecond), at: rs},
		misdeed{name: "200, then it crashes for long", do: dies(3 * time.Second), at: rs},
	)
}

// cell is one combination, and what came of it.
type cell struct {
	at       place
	misdeed  misdeed
	helps    bool // http2 cures
	outcome  string
	restarts int
	took     time.Duration
	broken   []string
}

// TestMatrix spoils each call of a treatment in each way, and holds the end
// against the promise.
func TestMatrix(t *testing.T) {
	var places []place
	for _, purpose := range []string{"trial", "restore"} {
		for _, s := range []step{reading, writing, readBack, restarting, watching} {
			places = append(places, place{purpose, s})
		}
	}
	var cells []*cell
	for _, m := range misdeeds() {
		for _, p := range places {
			if !m.happensAt(p.step) || m.rare && !*full {
				continue
			}
			longest := strings.HasPrefix(m.name, "API gone for longer")
			if !*full && !longest && (p.step == readBack || p.step == watching || p.purpose == "restore" && p.step == reading) {
				continue
			}
			if !*full && longest && p != (place{"trial", readBack}) {
				continue
			}
			cells = append(cells, &cell{at: p, misdeed: m})
			if *full && p.purpose == "trial" {
				cells = append(cells, &cell{at: p, misdeed: m, helps: true})
			}
		}
	}
	cells = taste(cells, 9)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 12)
	for _, c := range cells {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			name := fmt.Sprintf("%s, %s", c.at, c.misdeed.name)
			if c.helps {
				name += ", http2 helps"
			}
			t.Run(name, func(t *testing.T) { c.run(t) })
		}()
	}
	wg.Wait()
	t.Log("\n" + table(cells))
}

// taste leaves out what part does.
func taste(cells []*cell, oneIn int) (some []*cell) {
	for n, c := range cells {
		if part(n, oneIn) {
			some = append(some, c)
		}
	}
	return some
}

func (c *cell) run(t *testing.T) {
	began := time.Now()
	defer func() { c.took = time.Since(began) }()
	h := build(t, lab.Options{}, nil)
	var mu sync.Mutex
	var hit time.Time
	h.gate.guard(func(p place, x *exchange) {
		mu.Lock()
		first := hit.IsZero() && p == c.at
		again := !hit.IsZero() && c.misdeed.lets > 0 && time.Since(hit) < c.misdeed.lets && p.step == c.at.step
		if first {
			hit = time.Now()
		}
		mu.Unlock()
		if first || again {
			c.misdeed.do(h, x)
			return
		}
		x.pass()
	})
	h.live()
	h.until("health", func() bool { return h.phase(policy.Healthy) })
	ill := lab.Stripped(1)
	if c.helps {
		ill = lab.Stripped(1, evidence.OverQUIC)
	}
	h.w.ChangeFaults(func(f *lab.Faults) { f.Upgrade = ill.Upgrade })
	wasHit := func() bool { mu.Lock(); defer mu.Unlock(); return !hit.IsZero() }
	over := func() bool {
		f := h.w.Faults()
		mu.Lock()
		defer mu.Unlock()
		return !f.SupervisorDown && f.StartFails == "" && !f.ConnectorDies && time.Since(hit) > c.misdeed.lets
	}
	if c.at.step == watching {
		// The add-on is looked at only while the connector is silent.
		h.until("the step, or the end", func() bool {
			return wasHit() || h.quiet(policy.Holding, policy.Healthy) && h.w.Supervisor.Restarts() > 0
		})
	} else {
		h.until("the step "+c.at.String(), wasHit)
	}
	h.until("the misdeed's end", over)
	h.until("the treatment's end", func() bool { return h.quiet(policy.Holding, policy.Healthy) && h.sound() })
	c.restarts = h.w.Supervisor.Restarts()
	if *full {
		h.w.SetFaults(lab.Faults{})
		h.until("health again", func() bool { return h.quiet(policy.Healthy) && h.sound() })
	}
	flags := slices.Clone(ownFlags)
	c.outcome = "own"
	if _, proven := h.record().Policy.Cures["http2"]; proven && c.helps {
		flags = append(flags, "--protocol=http2")
		c.outcome = "cured"
	}
	c.broken = append(h.promise(flags, 6), h.noHands()...)
	for _, b := range c.broken {
		t.Error(b)
	}
}

// table shows the cells: a row for each misdeed, a column for each step.
func table(cells []*cell) string {
	rows := map[string]map[string]string{}
	var columns []string
	faults, broken := 0, 0
	for _, c := range cells {
		col := c.at.String()
		if c.helps {
			col += "*"
		}
		if !slices.Contains(columns, col) {
			columns = append(columns, col)
		}
		if rows[c.misdeed.name] == nil {
			rows[c.misdeed.name] = map[string]string{}
		}
		faults++
		text := fmt.Sprintf("%s %dr %.1fs", c.outcome, c.restarts, c.took.Seconds())
		if len(c.broken) > 0 || c.outcome == "" {
			text = "BROKEN"
			broken++
		}
		rows[c.misdeed.name][col] = text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-44s", "what Supervisor does \\ at which step")
	for _, col := range columns {
		fmt.Fprintf(&b, " %-19s", col)
	}
	b.WriteString("\n")
	names := make([]string, 0, len(rows))
	for n := range rows {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(&b, "%-44s", n)
		for _, col := range columns {
			fmt.Fprintf(&b, " %-19s", rows[n][col])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "own: the household's own setting is back; cured: http2 is proven (* where it helps); r: restarts; s: until its end.\n")
	fmt.Fprintf(&b, "%d faults survived, %d broken promises.\n", faults-broken, broken)
	return b.String()
}
