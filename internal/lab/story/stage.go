// Package story plays scenarios in the lab: a world, a fault, and the unmodified
// daemon that meets it, told as they happen, and checked at the end.
package story

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"tunnelmedic/internal/lab"
)

// Daemon runs the program under an environment until the context ends.
type Daemon func(ctx context.Context, environ []string, out io.Writer) error

// Stage is a scenario being played: the world, the daemon in it, and the teller.
type Stage struct {
	World *lab.World
	ctx   context.Context // ends with the story
	tell  *teller
	url   string // of the daemon's page

	mu       sync.Mutex
	seen     []status
	failures []string
}

// status is what a story reads of GET /api/status.
type status struct {
	State     string `json:"state"`
	Diagnosis struct {
		Cause   string            `json:"cause"`
		Summary string            `json:"summary"`
		Seen    map[string]string `json:"seen"`
	} `json:"diagnosis"`
	Protocol struct {
		Own     string `json:"own"`
		Setting string `json:"setting"`
	} `json:"protocol"`
}

// looks are what the verdict rests on, in the order of the way from outside to Home Assistant.
func (st status) looks() (list []string) {
	for _, l := range [][2]string{{"public", "through the public name"}, {"page", "a plain page"}, {"connector", "the connector"}, {"service", "its service"},
		{"direct", "Home Assistant itself"}, {"core", "its API"}, {"internet", "the internet"}} {
		if seen := st.Diagnosis.Seen[l[0]]; seen != "" {
			list = append(list, l[1]+": "+seen)
		}
	}
	return list
}

// Result is how a scenario ended.
type Result struct {
	Scenario string
	Took     time.Duration
	CutOff   time.Duration
	Restarts int
	Failures []string // what should have been otherwise; empty if all is well
}

// Play builds the scenario's world, lets the daemon live in it, and tells on out.
// The error is about the lab itself; what went wrong in the story is in the Result.
func Play(ctx context.Context, sc Scenario, seed uint64, daemon Daemon, out io.Writer) (Result, error) {
	opt := sc.World
	opt.Seed = seed
	w, env, close, err := home(ctx, opt)
	if err != nil {
		return Result{}, err
	}
	defer close()
	began := time.Now()
	env["TUNNELMEDIC_LOG_FORMAT"] = "json"
	s := &Stage{World: w, tell: &teller{out: out, began: began}, url: "http://" + env["TUNNELMEDIC_LISTEN"]}
	before, flags := w.Supervisor.Options(lab.DefaultSlug), w.Supervisor.RunParameters()
	s.tell.say("story", "%s: %s", sc.Name, sc.About)
	s.tell.say("lab", "Home Assistant at %s from outside; the daemon's page at %s while this runs.", w.Edge.URL(), s.url)
	s.tell.say("lab", "Time is short here: a check every %.1f s, where a home has one every two minutes.", w.Timings().ProbeInterval.Seconds())
	s.play(ctx, sc, func(life context.Context) error { return daemon(life, lab.Environ(env), logReader{s.tell}) })
	if err := ctx.Err(); err != nil {
		return Result{}, err // it was broken off, so nothing can be said of it
	}
	s.compareOptions(before)
	r := Result{Scenario: sc.Name, Took: time.Since(began), CutOff: w.CutOff(), Restarts: w.Supervisor.Restarts(), Failures: s.failures}
	s.summary(r, flags, before)
	return r, nil
}

// home is a world whose tunnel stands, slow enough for eyes, and the daemon's environment in it: as in a home where a
// phone is to ring. close ends the world, and takes the daemon's data away.
func home(ctx context.Context, opt lab.Options) (w *lab.World, env map[string]string, close func(), err error) {
	dir, err := os.MkdirTemp("", "tunnelmedic-lab-")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making the daemon's data folder: %w", err)
	}
	opt.Speed = speed
	if w, err = lab.New(opt); err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, nil, err
	}
	close = func() { w.Close(); _ = os.RemoveAll(dir) }
	if err = w.Connector.Ready(ctx); err != nil {
		close()
		return nil, nil, nil, fmt.Errorf("the lab's tunnel does not connect: %w", err)
	}
	env = w.Env()
	maps.Copy(env, map[string]string{"TUNNELMEDIC_DATA_DIR": dir, "TUNNELMEDIC_OPTIONS_FILE": dir + "/options.json", "TUNNELMEDIC_NOTIFY": "mobile_app_pixel"})
	return w, env, close, nil
}

// play lets script, daemon and watcher go side by side, until the script is at its end.
func (s *Stage) play(ctx context.Context, sc Scenario, daemon func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(sc.Limit, 30*time.Second))
	defer cancel()
	s.ctx = ctx
	life, end := context.WithCancel(ctx)
	defer end()
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(life) })
	played, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- daemon(life) }()
	go func() { defer close(played); s.healthy(); sc.Script(s) }()
	select {
	case <-played:
		end()
		if err := <-ended; err != nil {
			s.fail("the daemon ended with an error: %v", err)
		}
	case err := <-ended: // the daemon must outlive the story
		s.fail("the daemon ended in the middle of the story: %v", err)
		cancel()
		<-played
	}
	end()
	watching.Wait()
}

// watch follows the daemon's state, and the phone.
func (s *Stage) watch(ctx context.Context) {
	told := 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if st, err := s.status(ctx); err == nil {
			s.mu.Lock()
			n := len(s.seen)
			if n == 0 || !reflect.DeepEqual(s.seen[n-1], st) {
				s.seen = append(s.seen, st)
			}
			s.mu.Unlock()
			if cause := st.Diagnosis.Cause; cause != "healthy" && len(st.Diagnosis.Seen) > 0 && (n == 0 || s.seen[n-1].Diagnosis.Cause != cause) {
				who := "saw"
				for _, look := range st.looks() {
					s.tell.say(who, "%s", look)
					who = ""
				}
				s.tell.say("found", "%s", st.Diagnosis.Summary)
			}
		}
		for _, call := range s.World.Core.Told().NotifyCalls[told:] {
			told++
			var n lab.Notification
			_ = json.Unmarshal(call.Data, &n) // the lab has read it
			s.tell.say("phone", "%s", n.Title)
			s.tell.say("", "%s", n.Message)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Stage) status(ctx context.Context) (st status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/status", nil)
	if err != nil {
		return st, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	return st, json.NewDecoder(res.Body).Decode(&st)
}

// until waits for a state of the daemon's; not reaching it ends the story.
func (s *Stage) until(what string, cond func(status) bool) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last status
	for {
		if st, err := s.status(s.ctx); err == nil {
			if last = st; cond(st) {
				return
			}
		}
		select {
		case <-s.ctx.Done():
			s.must(fmt.Errorf("waited in vain for: %s (state %s, cause %s)", what, last.State, last.Diagnosis.Cause))
		case <-tick.C:
		}
	}
}

func (s *Stage) untilState(state string) {
	s.until("state "+state, func(st status) bool { return st.State == state })
}

// cured waits until all is well over a protocol.
func (s *Stage) cured(protocol string) {
	s.until("a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == protocol })
}

func (s *Stage) healthy() { s.untilState("healthy") }

// must ends the story with the error, if there is one.
func (s *Stage) must(err error) {
	if err != nil {
		s.fail("%v", err)
		runtime.Goexit()
	}
}

// pass lets a number of quiet probes go by, so that a story shows what does not
// happen as well.
func (s *Stage) pass(probes int) {
	t := time.NewTimer(time.Duration(probes) * s.World.Timings().ProbeInterval)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		s.must(s.ctx.Err())
	case <-t.C:
	}
}

// happens changes the world and tells it.
func (s *Stage) happens(what string, f lab.Faults) {
	s.tell.say("world", "%s", what)
	s.World.SetFaults(f)
}

func (s *Stage) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

// check notes a failure unless ok.
func (s *Stage) check(ok bool, format string, args ...any) {
	if !ok {
		s.fail(format, args...)
	}
}

// checkSeen notes a failure unless the daemon gave this cause at some time.
func (s *Stage) checkSeen(cause string) {
	s.mu.Lock()
	found := slices.ContainsFunc(s.seen, func(st status) bool { return st.Diagnosis.Cause == cause })
	s.mu.Unlock()
	s.check(found, "the cause %s was never diagnosed", cause)
}

func (s *Stage) checkProtocol(flags ...string) {
	got := s.World.Supervisor.RunParameters()
	s.check(slices.Equal(got, flags), "run_parameters are %q, not %q", got, flags)
}

// checkTunnel notes a failure unless the tunnel was restarted so often until now, and has these flags.
func (s *Stage) checkTunnel(restarts int, flags ...string) {
	s.checkProtocol(flags...)
	s.check(s.World.Supervisor.Restarts() == restarts, "the tunnel was restarted %d times, not %d", s.World.Supervisor.Restarts(), restarts)
}

// checkTold notes a failure unless a notification with this text stood at some time.
func (s *Stage) checkTold(text string) {
	s.check(slices.ContainsFunc(s.World.Core.Told().NotificationLog, func(n lab.NotificationStep) bool { return strings.Contains(n.Title+"\n"+n.Message, text) }),
		"no notification said %q", text)
}

// compareOptions holds every option but run_parameters against what it was.
func (s *Stage) compareOptions(before json.RawMessage) {
	was, is := withoutFlags(before), withoutFlags(s.World.Supervisor.Options(lab.DefaultSlug))
	for k, v := range was {
		s.check(bytes.Equal(v, is[k]), "the option %s was changed", k)
	}
	s.check(len(was) == len(is), "options were added or lost")
	s.check(s.World.Supervisor.State(lab.DefaultSlug) == "started", "the app ends in state %s", s.World.Supervisor.State(lab.DefaultSlug))
}

func withoutFlags(raw json.RawMessage) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &m) // the lab's own, always an object
	delete(m, "run_parameters")
	return m
}

func (s *Stage) summary(r Result, had []string, options json.RawMessage) {
	changed := "nothing"
	if has := s.World.Supervisor.RunParameters(); !slices.Equal(had, has) {
		changed = fmt.Sprintf("run_parameters %q → %q", had, has)
	}
	s.tell.say("story", "The end. Cut off %s, restarts %d, changed: %s, untouched: %d other options.",
		r.CutOff.Round(10*time.Millisecond), r.Restarts, changed, len(withoutFlags(options)))
	for _, f := range r.Failures {
		s.tell.say("story", "NOT AS IT SHOULD BE: %s", f)
	}
	if len(r.Failures) == 0 {
		s.tell.say("story", "All as it should be.")
	}
}

// teller writes lines with the time since the story began.
type teller struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
}

func (t *teller) say(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%6.2fs  %-7s %s\n", time.Since(t.began).Seconds(), who, fmt.Sprintf(format, args...))
}

// logReader tells the daemon's log, which comes in whole lines.
type logReader struct{ tell *teller }

func (l logReader) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		rec := struct{ Message string }{string(bytes.TrimSpace(line))} // stays where a line is no JSON
		_ = json.Unmarshal(line, &rec)
		l.tell.say("medic", "%s", rec.Message)
	}
	return len(p), nil
}
