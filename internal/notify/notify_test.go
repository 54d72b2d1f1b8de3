package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/notify"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/words"
)

const every = 2 * time.Minute // between probes while all is well

// Garbage lies for longer: there is memory, and the processor has other work.
func init() { debug.SetGCPercent(2000) }

// core is a Home Assistant that keeps what it is told.
type core struct {
	mu      sync.Mutex
	told    []string // "create title", "dismiss", "ring pixel title", "event from to"
	text    string   // of the notification that stands, "" if none
	ids     map[string]bool
	refuses func(what string) error
	hangs   bool
}

func (c *core) take(ctx context.Context, what string, data any) (map[string]any, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hangs {
		c.mu.Unlock()
		<-ctx.Done()
		c.mu.Lock()
		return nil, &supervisor.Error{Op: what, Kind: supervisor.Away, EffectUnknown: true}
	}
	if c.refuses != nil {
		if err := c.refuses(what); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (c *core) CallService(ctx context.Context, domain, service string, data any) error {
	m, err := c.take(ctx, domain+"."+service, data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch domain + "." + service {
	case "persistent_notification.create":
		c.ids[m["notification_id"].(string)] = true
		c.text = m["message"].(string)
		c.told = append(c.told, "create "+m["title"].(string))
	case "persistent_notification.dismiss":
		c.ids[m["notification_id"].(string)] = true
		c.text = ""
		c.told = append(c.told, "dismiss")
	default:
		c.told = append(c.told, "ring "+service+" "+m["title"].(string))
	}
	return nil
}

func (c *core) NotifyServices(context.Context) ([]string, error) { return []string{"pixel"}, nil }

func (c *core) FireEvent(ctx context.Context, event string, data any) error {
	m, err := c.take(ctx, "event "+event, data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf("event %s %v %v", event, m["from"], m["to"]))
	return nil
}

// heard gives what was told since, events apart.
func (c *core) heard() (words, events []string) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.told {
		if strings.HasPrefix(s, "event ") {
			events = append(events, s)
		} else {
			words = append(words, s)
		}
	}
	c.told = nil
	return words, events
}

func (c *core) set(refuses func(string) error, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses, c.hangs = refuses, hangs
}

// start runs a notifier until the test's bubble ends.
func start(t *testing.T, log *strings.Builder, services ...string) (*notify.Notifier, *core) {
	t.Helper()
	return speaking(t, nil, log, services...)
}

func speaking(t *testing.T, voice *words.Voice, log *strings.Builder, services ...string) (*notify.Notifier, *core) {
	t.Helper()
	c := &core{ids: map[string]bool{}}
	logger := zerolog.Nop()
	if log != nil {
		logger = zerolog.New(log).Level(zerolog.InfoLevel)
	}
	n := notify.New(c, logger, services, func(s string) string { return strings.ReplaceAll(s, "s3cret-value", "[hidden]") }, every, "/hassio/ingress/x_tunnelmedic", voice)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return n, c
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

const (
	mending = "create Tunnel Medic is restoring remote access"
	healed  = "Home Assistant can be reached from outside again"
	cannot  = "Home Assistant can't be reached from outside"
	needs   = "Tunnel Medic needs you"
)

func status(p policy.Phase) medic.Status {
	s := medic.Status{State: p, Protocol: medic.ProtocolStatus{Own: "auto", Setting: "auto", Transport: "quic"}}
	s.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.Healthy}
	return s
}

// sick is a status with an incident and its story.
func sick(p policy.Phase, steps ...string) medic.Status {
	s := status(p)
	s.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.UpgradeStripped, Remedy: diagnosis.Rotate, Since: time.Now()}
	s.Incident = &journal.Incident{ID: "20261121T220512Z", Onset: time.Now()}
	for _, text := range steps {
		s.Incident.Add(policy.Step{Kind: policy.StepTrial, Text: text})
	}
	return s
}

func step(k policy.StepKind) []policy.Step {
	return []policy.Step{{At: time.Now(), Kind: k, Text: "It is proven."}}
}

func TestOneNotificationIsUpdatedInPlaceAndGoesAfterAClosingWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil, "mobile_app_pixel")
		n.Tell(status(policy.Healthy), nil)
		words, events := c.heard()
		expect(t, "at the start what an earlier run left goes", words, "dismiss")
		expect(t, "events", events, "event tunnelmedic starting healthy")

		n.Tell(sick(policy.Suspect), nil)
		words, _ = c.heard()
		expect(t, "a suspicion is no news", words)

		n.Tell(sick(policy.Treating, "Trying http2."), step(policy.StepTrial))
		words, events = c.heard()
		expect(t, "a treatment is told, and phones stay quiet", words, mending)
		expect(t, "events", events, "event tunnelmedic suspect treating")
		n.Tell(sick(policy.Treating, "Trying http2."), nil)
		words, _ = c.heard()
		expect(t, "the same again", words)
		n.Tell(sick(policy.Treating, "Trying http2.", "Trying quic."), nil)
		words, events = c.heard()
		expect(t, "the next step", words, mending)
		expect(t, "without a change of state there is no event", events)
		if !strings.Contains(c.text, "- Trying http2.\n- Trying quic.") || !strings.Contains(c.text, "(/hassio/ingress/x_tunnelmedic)") {
			t.Errorf("text %q", c.text)
		}

		cured := status(policy.Healthy)
		cured.FailbackDue = time.Now().Add(24 * time.Hour)
		n.Tell(cured, step(policy.StepCured))
		words, events = c.heard()
		expect(t, "healed", words, "create "+healed, "ring mobile_app_pixel "+healed)
		expect(t, "events", events, "event tunnelmedic treating healthy")
		time.Sleep(5*every - time.Second)
		n.Tell(cured, nil)
		words, _ = c.heard()
		expect(t, "the closing word stands for a while", words)
		time.Sleep(2 * time.Second)
		words, _ = c.heard()
		expect(t, "and goes by itself", words, "dismiss")
		time.Sleep(time.Hour)
		n.Tell(cured, nil)
		words, _ = c.heard()
		expect(t, "and that is all", words)
		if len(c.ids) != 1 || !c.ids["tunnelmedic"] {
			t.Errorf("ids %v, want one", c.ids)
		}
	})
}

func TestWhatPhonesRingFor(t *testing.T) {
	tell := func(cause diagnosis.Cause, lasts time.Duration) medic.Status {
		s := status(policy.Blind)
		s.Diagnosis = medic.DiagnosisStatus{Cause: cause, Remedy: diagnosis.Tell, Since: time.Now().Add(-lasts)}
		return s
	}
	gated := func(lasts time.Duration) medic.Status {
		s := sick(policy.Suspect)
		s.Incident.Onset = time.Now().Add(-lasts)
		s.Gates = []policy.Gate{policy.GateUptime}
		return s
	}
	just := func(s medic.Status) func() medic.Status { return func() medic.Status { return s } }
	for rule, c := range map[string]struct {
		status func() medic.Status
		steps  []policy.Step
		before medic.Status // what was told of before, if anything
		shows  string       // the title, "" for no notification
		rings  bool
	}{
		"all is well":                             {status: just(status(policy.Healthy))},
		"cannot heal":                             {status: just(sick(policy.Holding)), shows: cannot, rings: true},
		"may not heal":                            {status: just(sick(policy.Observing)), shows: cannot, rings: true},
		"healed":                                  {status: just(status(policy.Healthy)), steps: step(policy.StepCured), shows: healed, rings: true},
		"it has healed by itself":                 {status: just(status(policy.Healthy)), steps: step(policy.StepRecovered), before: sick(policy.Holding), shows: healed, rings: true},
		"what nobody was told of has ended":       {status: just(status(policy.Healthy)), steps: step(policy.StepRecovered), before: sick(policy.Suspect)},
		"needs you, and it lasts":                 {status: func() medic.Status { return tell(diagnosis.AccessLogin, time.Minute) }, shows: needs, rings: true},
		"one odd answer is no news":               {status: func() medic.Status { return tell(diagnosis.AccessLogin, 10*time.Second) }},
		"split DNS is told, and rings nobody":     {status: func() medic.Status { return tell(diagnosis.NotCloudflare, time.Minute) }, shows: needs},
		"mending":                                 {status: just(sick(policy.Treating)), shows: "Tunnel Medic is restoring remote access"},
		"a fail-back at night is nobody's news":   {status: just(status(policy.Treating))},
		"changed by hand":                         {status: just(status(policy.Suspect)), steps: step(policy.StepUser), shows: "Tunnel Medic leaves your change alone"},
		"nothing to watch":                        {status: func() medic.Status { s := status(policy.Blind); s.Why = words.Of("blind.no-app"); return s }, shows: "Tunnel Medic has nothing to watch yet"},
		"a gate that is closed for a moment":      {status: func() medic.Status { return gated(10 * time.Second) }},
		"a gate that stays closed":                {status: func() medic.Status { return gated(5 * time.Minute) }, shows: cannot, rings: true},
		"paused: what needs you waits":            {status: func() medic.Status { s := tell(diagnosis.AccessLogin, time.Hour); s.State = policy.Paused; return s }},
		"starting: nothing is known for long yet": {status: func() medic.Status { s := tell(diagnosis.AccessLogin, time.Hour); s.State = policy.Starting; return s }},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, home := start(t, nil, "mobile_app_pixel", "mobile_app_tablet")
				if c.before.State != policy.Unwatched {
					n.Tell(c.before, nil)
				}
				home.heard()
				n.Tell(c.status(), c.steps)
				words, _ := home.heard()
				var want []string
				if c.shows != "" {
					want = append(want, "create "+c.shows)
				}
				if c.rings {
					want = append(want, "ring mobile_app_pixel "+c.shows, "ring mobile_app_tablet "+c.shows)
				}
				expect(t, rule, words, want...)
			})
		})
	}
}

func TestAnIncidentRingsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil, "pixel")
		c.heard()
		n.Tell(sick(policy.Holding, "a"), nil)
		words, _ := c.heard()
		expect(t, "first", words, "create "+cannot, "ring pixel "+cannot)
		time.Sleep(6 * time.Hour)
		n.Tell(sick(policy.Holding, "a", "b"), nil)
		words, _ = c.heard()
		expect(t, "another word on it", words, "create "+cannot)
		n.Tell(sick(policy.Treating, "a", "b"), nil)
		c.heard() // told at once, it may be sent or not before the next
		n.Tell(sick(policy.Holding, "a", "b", "c"), nil)
		words, _ = c.heard()
		expect(t, "after another try", words, "create "+cannot)
		next := sick(policy.Holding, "a")
		next.Incident.ID = "20261122T220512Z"
		n.Tell(next, nil)
		words, _ = c.heard()
		expect(t, "another incident", words, "create "+cannot, "ring pixel "+cannot)
		time.Sleep(19 * time.Hour)
		n.Tell(sick(policy.Holding, "d"), nil)
		words, _ = c.heard()
		expect(t, "the first one again, the next day", words, "create "+cannot)
	})
}

func TestWhatCoreCannotTakeNowIsSentLaterInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n, c := start(t, &log, "pixel")
		c.heard()
		c.set(func(string) error { return &supervisor.Error{Op: "telling", Kind: supervisor.CoreAway, Status: 502} }, false)
		n.Tell(status(policy.Healthy), nil)
		n.Tell(sick(policy.Suspect), nil)
		n.Tell(sick(policy.Treating, "x"), nil)
		n.Tell(sick(policy.Holding, "x"), nil)
		time.Sleep(time.Hour)
		words, events := c.heard()
		expect(t, "while it is away", append(words, events...))
		c.set(nil, false)
		time.Sleep(16 * time.Second)
		words, events = c.heard()
		expect(t, "only what should stand now, then what rings", words, "create "+cannot, "ring pixel "+cannot)
		expect(t, "every event, in order", events, "event tunnelmedic starting healthy", "event tunnelmedic healthy suspect", "event tunnelmedic suspect treating", "event tunnelmedic treating holding")
		if log.Len() > 0 {
			t.Errorf("a Core that starts is nothing to warn of: %s", log.String())
		}
	})
}

func TestWhatCoreDidNotTakeIsNotCountedAsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil)
		c.heard()
		c.set(func(string) error { return &supervisor.Error{Op: "telling", Kind: supervisor.Away} }, false)
		n.Tell(sick(policy.Treating, "x"), nil)
		time.Sleep(20*time.Minute + time.Second) // tried every 15 seconds
		c.set(nil, false)
		n.Tell(status(policy.Healthy), step(policy.StepCured))
		time.Sleep(16 * time.Second)
		words, _ := c.heard()
		expect(t, "the last word, at once", words, "create "+healed)
	})
}

func TestARefusedDismissalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil)
		c.heard()
		n.Tell(sick(policy.Treating, "x"), nil)
		n.Tell(status(policy.Healthy), step(policy.StepCured))
		c.heard()
		c.set(func(string) error { return &supervisor.Error{Op: "telling", Kind: supervisor.Rejected, Status: 500} }, false)
		time.Sleep(5*every + time.Second)
		words, _ := c.heard()
		expect(t, "while Core stumbles", words)
		c.set(nil, false)
		time.Sleep(11 * time.Minute)
		words, _ = c.heard()
		expect(t, "once it does not", words, "dismiss")
	})
}

func TestALastWordThatWasOvertakenIsNotSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil)
		n.Tell(sick(policy.Treating, "x"), nil)
		c.heard()
		c.set(func(string) error { return &supervisor.Error{Op: "telling", Kind: supervisor.Away} }, false)
		n.Tell(status(policy.Healthy), step(policy.StepCured))
		time.Sleep(3*time.Minute + time.Second) // not at the very moment at which it is tried again
		gone := status(policy.Suspect)
		gone.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.NoInternet, Remedy: diagnosis.Wait}
		n.Tell(gone, nil)
		c.set(nil, false)
		time.Sleep(time.Minute)
		words, _ := c.heard()
		expect(t, "nothing of being well", words, "dismiss")
	})
}

func TestWhatIsKeptWhileCoreIsAwayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil)
		c.heard()
		c.set(func(string) error { return &supervisor.Error{Kind: supervisor.Away} }, false)
		for range 500 {
			n.Tell(sick(policy.Suspect), nil)
			n.Tell(status(policy.Healthy), nil)
		}
		synctest.Wait() // what is being sent fails, and is kept, while Core is still away
		c.set(nil, false)
		time.Sleep(time.Minute)
		_, events := c.heard()
		if len(events) == 0 || len(events) > 60 || events[len(events)-1] != "event tunnelmedic suspect healthy" {
			t.Errorf("%d events were kept, the last is %q", len(events), events[len(events)-1:])
		}
	})
}

func TestATellNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil, "pixel")
		c.heard()
		c.set(nil, true)
		before := time.Now()
		for i := range 100 {
			n.Tell(sick(policy.Treating, fmt.Sprint(i)), nil)
			n.Tell(sick(policy.Holding, fmt.Sprint(i)), nil)
			synctest.Wait()
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("telling a Core that hangs took %v", took)
		}
		c.set(nil, false)
		time.Sleep(time.Hour)
		if words, _ := c.heard(); len(words) == 0 || words[0] != "create "+cannot {
			t.Errorf("afterwards: %q", words)
		}
	})
}

func TestARingWhoseAnswerGotLostIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil, "pixel")
		c.heard()
		asked := 0
		c.set(func(what string) error {
			if what != "notify.pixel" {
				return nil
			}
			asked++
			return &supervisor.Error{Kind: supervisor.Away, EffectUnknown: true}
		}, false)
		n.Tell(sick(policy.Holding), nil)
		time.Sleep(time.Hour)
		if synctest.Wait(); asked != 1 {
			t.Errorf("the phone was rung %d times", asked)
		}
	})
}

func TestAWrongServiceIsSaidOnceAndKeepsNothingElseFromBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n, c := start(t, &log, "mobile_app_gone", "pixel")
		c.heard()
		c.set(func(what string) error {
			if what == "notify.mobile_app_gone" {
				return &supervisor.Error{Op: "calling notify.mobile_app_gone", Kind: supervisor.Rejected, Status: 400, Message: "Bad Request"}
			}
			return nil
		}, false)
		for day := range 3 {
			fault := sick(policy.Holding)
			fault.Incident.ID = fmt.Sprintf("2026112%dT220512Z", day)
			n.Tell(fault, nil)
			words, _ := c.heard()
			expect(t, "the others", words, "create "+cannot, "ring pixel "+cannot)
			time.Sleep(25 * time.Hour)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "mobile_app_gone") || !strings.Contains(got, "option notify") {
			t.Errorf("log:\n%s", got)
		}
	})
}

func TestARefusedNotificationKeepsNothingElseFromBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n, c := start(t, &log, "pixel")
		c.heard()
		c.set(func(what string) error {
			if strings.HasPrefix(what, "persistent_notification") {
				return &supervisor.Error{Op: "calling " + what, Kind: supervisor.Rejected, Status: 400}
			}
			return nil
		}, false)
		n.Tell(sick(policy.Holding), nil)
		words, events := c.heard()
		expect(t, "phones ring all the same", words, "ring pixel "+cannot)
		expect(t, "events", events, "event tunnelmedic starting holding")
		if strings.Count(log.String(), "\n") != 1 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestNoSecretIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := start(t, nil, "pixel")
		s := sick(policy.Holding, "step with s3cret-value")
		s.Diagnosis.Cause, s.Diagnosis.Particulars = diagnosis.OriginMoved, diagnosis.Particulars{Variant: "known", Service: "http://s3cret-value", Here: "http://s3cret-value"}
		var leaks []string
		watch := leakyCore{c, &leaks}
		m := notify.New(watch, zerolog.Nop(), []string{"pixel"}, func(s string) string { return strings.ReplaceAll(s, "s3cret-value", "[hidden]") }, every, "", nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Run(ctx)
		m.Tell(s, nil)
		synctest.Wait()
		if len(leaks) > 0 {
			t.Errorf("told: %q", leaks)
		}
		if words, _ := c.heard(); len(words) < 2 {
			t.Errorf("nothing was told: %q", words)
		}
	})
}

// leakyCore notes whatever holds the canary.
type leakyCore struct {
	*core
	leaks *[]string
}

func (l leakyCore) note(data any) {
	if raw, _ := json.Marshal(data); strings.Contains(string(raw), "s3cret-value") {
		*l.leaks = append(*l.leaks, string(raw))
	}
}

func (l leakyCore) CallService(ctx context.Context, domain, service string, data any) error {
	l.note(data)
	return l.core.CallService(ctx, domain, service, data)
}

func (l leakyCore) FireEvent(ctx context.Context, event string, data any) error {
	l.note(data)
	return l.core.FireEvent(ctx, event, data)
}

func TestALongStoryIsToldInShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t, nil)
		var steps []string
		for i := range 150 {
			steps = append(steps, fmt.Sprintf("Step number %d.", i))
		}
		n.Tell(sick(policy.Holding, steps...), nil)
		c.heard()
		if len(c.text) > 1000 || !strings.Contains(c.text, "Step number 149.") || !strings.Contains(c.text, "…") {
			t.Errorf("%d bytes: %q", len(c.text), c.text)
		}
	})
}

func TestWhereQUICIsBlockedItSaysWhatWouldHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil)
		s := sick(policy.Holding)
		s.Gates = []policy.Gate{policy.GateQUIC}
		n.Tell(s, nil)
		home.heard()
		if !strings.Contains(home.text, "7844") || strings.Contains(home.text, "mode is heal") {
			t.Error(home.text)
		}
	})
}

// Notices are compared by what they are about. A count in their words is no news.
func TestAChangingCountIsNoNews(t *testing.T) {
	turned := func(n int) medic.Status {
		s := status(policy.Healthy)
		s.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.ClientsCloseDuringSignIn, Remedy: diagnosis.Tell, Since: time.Now().Add(-time.Hour),
			Particulars: diagnosis.Particulars{Closing: &diagnosis.Closing{Brief: uint64(n)}}}
		return s
	}
	counting := func(p policy.Phase, cause diagnosis.Cause) func(int) medic.Status {
		return func(n int) medic.Status {
			s := sick(p)
			s.Incident.ID, s.Incident.Onset = "20261121T220512Z", time.Now().Add(-time.Hour)
			s.Diagnosis.Cause, s.Diagnosis.Remedy, s.Diagnosis.Since = cause, diagnosis.Tell, time.Now().Add(-time.Hour)
			s.Diagnosis.Particulars = diagnosis.Particulars{Status: n}
			s.Gates = []policy.Gate{policy.GateSecret}
			return s
		}
	}
	for name, c := range map[string]struct {
		status       func(int) medic.Status
		shows, rings int
	}{
		"strangers that are turned away": {turned, 1, 0},
		"an incident that is held":       {counting(policy.Holding, diagnosis.ProxyRefuses), 1, 1},
		"a gate that stays closed":       {counting(policy.Suspect, diagnosis.ProxyRefuses), 1, 1},
		"what needs a person":            {counting(policy.Healthy, diagnosis.AccessLogin), 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, home := start(t, nil, "pixel")
				home.heard()
				for i := range 12 * 60 * 6 { // a probe every ten seconds, for half a day
					n.Tell(c.status(i), nil)
					time.Sleep(10 * time.Second)
				}
				words, _ := home.heard()
				shows, rings := 0, 0
				for _, w := range words {
					if strings.HasPrefix(w, "ring") {
						rings++
					} else {
						shows++
					}
				}
				if shows != c.shows || rings != c.rings {
					t.Errorf("shown %d times, rang %d times: %q", shows, rings, words[:min(len(words), 6)])
				}
			})
		})
	}
}

func TestSomebodyTurnedAwayIsShownOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil, "pixel")
		home.heard()
		turned := status(policy.Healthy)
		turned.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.ClientsFailProbeFine, Remedy: diagnosis.Tell, Since: time.Now().Add(-time.Hour)}
		shown := 0
		for range 3 * 24 * 6 { // it comes and goes every ten minutes, for three days
			n.Tell(turned, nil)
			time.Sleep(5 * time.Minute)
			n.Tell(status(policy.Healthy), nil)
			time.Sleep(5 * time.Minute)
			words, _ := home.heard()
			for _, w := range words {
				if strings.HasPrefix(w, "create") {
					shown++
				}
				if strings.HasPrefix(w, "ring") {
					t.Fatal(w)
				}
			}
		}
		if shown != 3 {
			t.Errorf("shown %d times in three days", shown)
		}
	})
}

func TestTheSameSubjectIsWordedAnewHourlyAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil)
		home.heard()
		var story []string
		for i := range 5 * 60 {
			story = append(story, fmt.Sprint("Step ", i))
			n.Tell(sick(policy.Holding, story...), nil)
			time.Sleep(time.Minute)
		}
		words, _ := home.heard()
		if len(words) != 5 {
			t.Errorf("written %d times in five hours", len(words))
		}
	})
}

// Whatever makes the state change again and again, what Home Assistant is sent stays
// bounded, and the last word is the true one.
func TestWhatIsSentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil, "pixel")
		home.heard()
		for i := range 6 * 60 * 30 {
			s := sick(policy.Holding)
			s.Incident.ID = fmt.Sprint("incident ", i)
			if i%2 == 0 {
				s = status(policy.Healthy)
				n.Tell(s, step(policy.StepRecovered))
			} else {
				n.Tell(s, nil)
			}
			time.Sleep(2 * time.Second)
		}
		n.Tell(sick(policy.Holding), nil)
		time.Sleep(time.Hour + time.Second)
		words, events := home.heard()
		rings := 0
		for _, w := range words {
			if strings.HasPrefix(w, "ring") {
				rings++
			}
		}
		if shows := len(words) - rings; shows > 7*30 || rings > 20 || len(events) > 7*60 {
			t.Errorf("in seven hours: shown %d times, rang %d times, %d events", shows, rings, len(events))
		}
		if home.text == "" || !strings.HasSuffix(events[len(events)-1], "holding") {
			t.Errorf("the last word is %q, the last event %q", home.text, events[len(events)-1])
		}
		for i := 1; i < len(events); i++ { // each begins where the one before ended
			if was, is := strings.Fields(events[i-1]), strings.Fields(events[i]); was[3] != is[2] {
				t.Fatalf("%q after %q", events[i], events[i-1])
			}
		}
	})
}

func TestForeignTextIsNoMarkdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil)
		s := sick(policy.Holding, "Set [x](https://evil.example)\n# heading")
		s.Diagnosis.Cause, s.Diagnosis.Particulars = diagnosis.OriginMoved, diagnosis.Particulars{Variant: "known", Service: "<img src=x> ![y](z) \x1b[31m", Here: "[it](https://evil.example) \u202e"}
		n.Tell(s, nil)
		home.heard()
		for _, bad := range []string{"[x](", "![y](", "[it](", "<img", "\n# ", "\x1b", "\u202e", "https://evil"} {
			if strings.Contains(home.text, bad) {
				t.Errorf("%q stands in %q", bad, home.text)
			}
		}
		if !strings.Contains(home.text, "\n1. ") || !strings.Contains(home.text, "[Open Tunnel Medic](/hassio/ingress/x_tunnelmedic)") {
			t.Errorf("ours is gone: %q", home.text)
		}
	})
}

// Home Assistant's language may become known only after something was told.
func TestALanguageThatBecomesKnownIsSpokenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		voice := &words.Voice{}
		n, home := speaking(t, voice, nil)
		n.Tell(sick(policy.Holding), nil)
		home.heard()
		voice.Speak("nl")
		n.Link("/hassio/ingress/x_tunnelmedic")
		n.Link("/hassio/ingress/x_tunnelmedic")
		said, _ := home.heard()
		expect(t, "written anew, once", said, "create Home Assistant is van buiten niet bereikbaar")
		if strings.Contains(home.text, " the ") || !strings.Contains(home.text, "Tunnel Medic openen") {
			t.Error(home.text)
		}
	})
}

func TestALinkThatBecomesKnownIsWrittenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, home := start(t, nil)
		n.Tell(sick(policy.Holding), nil)
		home.heard()
		n.Link("/app/x_tunnelmedic")
		n.Link("/app/x_tunnelmedic")
		words, _ := home.heard()
		expect(t, "written anew, once", words, "create "+cannot)
		if !strings.Contains(home.text, "(/app/x_tunnelmedic)") {
			t.Error(home.text)
		}
	})
}
