package policy

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return l
}()

// Garbage lies for longer: there is memory, and the processor has other work.
func init() { debug.SetGCPercent(2000) }

func defaults() Rules {
	return Rules{
		Heal: true, Allowed: []evidence.Protocol{evidence.Auto, evidence.QUIC, evidence.HTTP2}, Budget: 6, Failback: day, Location: berlin,
		Interval: 2 * time.Minute, Burst: 2 * time.Second, MinUptime: 2 * time.Minute, HoldBase: 30 * time.Minute,
	}
}

// home is a house in virtual time: what is stored, what runs, and which transports
// lose the upgrade. It carries every order out at once, unless told otherwise.
type home struct {
	t   *testing.T
	r   Rules
	s   State
	now time.Time
	d   Decision

	setting evidence.Protocol
	lossy   map[evidence.Transport]bool
	sight   func(*Sight)          // spoils a look, if set
	outcome func(Change) *Outcome // replaces an outcome, if it gives one
	noUDP   bool
	takes   time.Duration // how long a failing look takes
	quick   bool          // purity is held elsewhere

	orders []Change
	steps  []Step
}

func newHome(t *testing.T, setting evidence.Protocol) *home {
	h := &home{t: t, r: defaults(), now: time.Date(2026, 11, 3, 18, 0, 0, 0, berlin), setting: setting, lossy: map[evidence.Transport]bool{}}
	h.look(diagnosis.Works)
	return h
}

// stripped is a home whose tunnel has just begun to lose every upgrade.
func stripped(t *testing.T, setting evidence.Protocol, over ...evidence.Transport) *home {
	h := newHome(t, setting)
	for _, tr := range over {
		h.lossy[tr] = true
	}
	return h
}

func (h *home) transport() evidence.Transport {
	if h.setting == evidence.HTTP2 || h.noUDP && h.setting != evidence.QUIC {
		return evidence.OverHTTP2
	}
	if h.noUDP {
		return evidence.NoTransport
	}
	return evidence.OverQUIC
}

// sees is what a look shows that says v.
func (h *home) sees(v diagnosis.Vote) Sight {
	in := Sight{
		Vote: v, Cause: diagnosis.Healthy, Setting: h.setting, SettingKnown: true, Transport: h.transport(), ThroughCloudflare: true, DirectWorks: true,
		Internet: evidence.InternetUp, Running: time.Hour, State: evidence.StateStarted, SupervisorFree: true,
	}
	//exhaustive:ignore
	switch v {
	case diagnosis.Fails:
		in.Cause, in.Remedy = diagnosis.UpgradeStripped, diagnosis.Rotate
	case diagnosis.Abstains:
		in.Cause, in.Remedy = diagnosis.CloudflareError, diagnosis.Wait
	}
	if h.sight != nil {
		h.sight(&in)
	}
	return in
}

// look makes one look that says v, carries out what is ordered, and lets the time
// to the next one pass. It holds every call against the promise of purity.
func (h *home) look(v diagnosis.Vote) {
	h.t.Helper()
	if v == diagnosis.Fails {
		h.now = h.now.Add(h.takes)
	}
	h.follow(h.pure(func(s State) (State, Decision) { return h.r.Observe(s, h.now, h.sees(v)) }))
	h.now = h.now.Add(h.d.Next)
}

func (h *home) follow(s State, d Decision) {
	h.t.Helper()
	h.s, h.d = s, d
	h.steps = append(h.steps, d.Steps...)
	if d.Next <= 0 {
		h.t.Fatalf("the next look is due in %s", d.Next)
	}
	if d.Change == nil {
		return
	}
	c := *d.Change
	h.orders = append(h.orders, c)
	out := Outcome{Result: Settled, Restarts: 1, Setting: c.Protocol}
	h.setting = c.Protocol
	out.Transport = h.transport()
	if h.outcome != nil {
		if o := h.outcome(c); o != nil {
			out, h.setting = *o, o.Setting
		}
	}
	if out.Restarts > 0 {
		h.now = h.now.Add(12 * time.Second)
	}
	h.follow(h.pure(func(s State) (State, Decision) { return h.r.Treated(s, h.now, out) }))
}

func (h *home) pure(f func(State) (State, Decision)) (State, Decision) {
	h.t.Helper()
	if h.quick {
		return f(h.s)
	}
	kept := deepCopy(h.s)
	s, d := f(h.s)
	if !reflect.DeepEqual(kept, h.s) {
		h.t.Fatalf("the argument was altered:\n%+v\n%+v", kept, h.s)
	}
	return s, d
}

// run looks until cond holds, each look saying what the home's truth is.
func (h *home) run(what string, cond func() bool) {
	h.t.Helper()
	for range 200_000 {
		if cond() {
			return
		}
		h.truth()
	}
	h.t.Fatalf("never: %s\n%s", what, h.story())
}

func (h *home) truth() {
	h.t.Helper()
	switch tr := h.transport(); {
	case tr == evidence.NoTransport:
		h.look(diagnosis.Abstains)
	case h.lossy[tr]:
		h.look(diagnosis.Fails)
	default:
		h.look(diagnosis.Works)
	}
}

func (h *home) runFor(d time.Duration) {
	h.t.Helper()
	end := h.now.Add(d)
	h.run("time passes", func() bool { return !h.now.Before(end) })
}

func (h *home) times(n int, v diagnosis.Vote) {
	h.t.Helper()
	for range n {
		h.look(v)
	}
}

func (h *home) told(k StepKind) int {
	n := 0
	for _, s := range h.steps {
		if s.Kind == k {
			n++
		}
	}
	return n
}

func (h *home) story() (text string) {
	for _, s := range h.steps[max(0, len(h.steps)-30):] {
		text += s.At.Format("02 15:04:05 ") + fmt.Sprintf("%s of %s, %s %s %s %+v\n", s.Kind, s.Protocol, s.Purpose, s.Result, s.Why, s.Seen)
	}
	return text
}

func (h *home) ordered(want ...Change) {
	h.t.Helper()
	if len(want) != len(h.orders) || len(want) > 0 && !reflect.DeepEqual(h.orders, want) {
		h.t.Fatalf("ordered %v, want %v\n%s", h.orders, want, h.story())
	}
}

// deepCopy is independent of the package's own clone.
func deepCopy[T any](v T) T { return duplicate(reflect.ValueOf(v)).Interface().(T) }

func duplicate(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	//exhaustive:ignore
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(duplicate(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(duplicate(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for k, e := range v.Seq2() {
				out.SetMapIndex(k, duplicate(e))
			}
		}
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					out.Field(i).Set(duplicate(v.Field(i)))
				}
			}
		}
	}
	return out
}
