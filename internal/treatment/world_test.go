package treatment_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
)

// The same against the world's real answers, over real sockets.
func TestAChangeInTheWorld(t *testing.T) {
	const restart = "/addons/*/restart"
	withSecret := lab.DefaultAddOns()
	withSecret[0].Options = json.RawMessage(`{"external_hostname":"ha.example.com","additional_hosts":[],"tunnel_token":"!secret tunnel_token","run_parameters":[]}`)
	to := func(p evidence.Protocol) journal.Intention {
		return journal.Intention{Slug: lab.DefaultSlug, To: p, Purpose: policy.Trial, Before: evidence.OverQUIC}
	}
	for name, c := range map[string]struct {
		opt     lab.Options
		in      journal.Intention
		meddle  func(w *lab.World)
		result  policy.Result
		stored  string // run_parameters at the end
		runs    evidence.Transport
		restart int
	}{
		"to http2": {in: to(evidence.HTTP2), result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"other flags stay, in order": {opt: lab.Options{RunParameters: []string{"--edge-ip-version=4", "--retries=7"}}, in: to(evidence.QUIC), result: policy.Settled,
			stored: `["--edge-ip-version=4","--retries=7","--protocol=quic"]`, runs: evidence.OverQUIC, restart: 1},
		"busy, then free": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.SetFaults(lab.Faults{Busy: true})
			go func() {
				_ = w.Wait(t.Context(), func() bool { return asked(w, "/restart") >= 2 })
				w.SetFaults(lab.Faults{})
			}()
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"busy for too long": {in: to(evidence.HTTP2), meddle: func(w *lab.World) { w.SetFaults(lab.Faults{Busy: true}) }, result: policy.Busy, stored: `[]`, runs: evidence.OverQUIC},
		"a lost answer to a write that was done": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options", AfterEffect: true, Reset: true, Times: 1})
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"a lost write": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options", Reset: true, Times: 1})
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"a lost answer to a restart that was done": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: restart, AfterEffect: true, Reset: true, Times: 1})
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"an HTML page for a restart that was not done": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: restart, Status: 200, ContentType: "text/html", Body: "<html>Welcome</html>", Times: 1})
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"the start fails after the stop": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.SetFaults(lab.Faults{StartFails: lab.BadDocker})
			go func() {
				_ = w.Wait(t.Context(), func() bool { return asked(w, "/start") >= 1 })
				w.SetFaults(lab.Faults{})
			}()
		}, result: policy.Settled, stored: `["--protocol=http2"]`, runs: evidence.OverHTTP2, restart: 1},
		"200, but it crashes":       {in: to(evidence.HTTP2), meddle: func(w *lab.World) { w.SetFaults(lab.Faults{ConnectorDies: true}) }, result: policy.Crashed, stored: `["--protocol=http2"]`, restart: 1},
		"QUIC where UDP is blocked": {opt: lab.Options{RunParameters: []string{"--protocol=http2"}}, in: journal.Intention{Slug: lab.DefaultSlug, From: evidence.HTTP2, To: evidence.QUIC}, meddle: func(w *lab.World) { w.SetFaults(lab.Faults{UDPBlocked: true}) }, result: policy.Unsettled, stored: `["--protocol=quic"]`, restart: 1},
		"post-quantum options with old HTTP/2": {opt: lab.Options{Version: "2026.2.0", AddOns: []lab.AddOn{{Slug: lab.DefaultSlug, Name: "Cloudflared", Version: "6", Options: json.RawMessage(`{"external_hostname":"ha.example.com","additional_hosts":[],"post_quantum":true,"run_parameters":[]}`)}}},
			in: to(evidence.HTTP2), result: policy.Crashed, stored: `["--protocol=http2"]`, restart: 1},
		"a secret is never written": {opt: lab.Options{AddOns: withSecret, Faults: lab.Faults{SecretsResolved: true}}, in: to(evidence.HTTP2), result: policy.AtRisk, stored: `[]`, runs: evidence.OverQUIC},
		"options that Supervisor refuses": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options", Status: 400, Body: `{"result":"error","message":"App has invalid options: not a valid value for dictionary value @ data['options']['run_parameters']. Got {'tunnel_token': 'x'}"}`})
		}, result: policy.Rejected, stored: `[]`, runs: evidence.OverQUIC},
		"changed by hand before": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			if err := w.User.SetsProtocol(lab.DefaultSlug, evidence.QUIC); err != nil {
				panic(err)
			}
		}, result: policy.UserChanged, stored: `["--protocol=quic"]`, runs: evidence.OverQUIC},
		"stopped by hand before": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			if err := w.User.Stops(lab.DefaultSlug); err != nil {
				panic(err)
			}
		}, result: policy.UserStopped, stored: `[]`},
		"stopped by hand while Supervisor was busy": {in: to(evidence.HTTP2), meddle: func(w *lab.World) {
			w.Supervisor.Inject(lab.Injection{Method: "POST", Path: restart, Status: 400, Body: `{"result":"error","message":"Another job is running for job group app_9074a9fa_cloudflared"}`, Times: 1})
			go func() {
				_ = w.Wait(t.Context(), func() bool { return asked(w, "/restart") >= 1 })
				_ = w.User.Stops(lab.DefaultSlug)
			}()
		}, result: policy.UserStopped, stored: `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := lab.New(c.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.Connector.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := w.Supervisor.Options(lab.DefaultSlug)
			connector := tunnel.NewConnector(w.Connector.URL())
			phone := w.StartClients(time.Millisecond, false) // so that the counters tell the processes apart
			if err := w.Wait(t.Context(), func() bool { return phone.Tally().Opened > 5 }); err != nil {
				t.Fatal(err)
			}
			phone.Stop()
			connector.Inspect(t.Context(), time.Now())
			if c.meddle != nil {
				c.meddle(w)
			}
			tr := &treatment.Treatment{
				Supervisor: supervisor.New(supervisor.Config{BaseURL: w.Supervisor.URL(), Token: lab.SupervisorToken, TimeScale: 0.02}),
				Connector:  connector,
				Diary:      diary{},
				Log:        zerolog.Nop(),
				Patience:   treatment.Patience{Settle: func(evidence.Protocol) time.Duration { return 700 * time.Millisecond }, Poll: 20 * time.Millisecond, Busy: time.Second},
			}
			out, err := tr.Do(t.Context(), c.in)
			if err != nil || out.Result != c.result || out.Restarts != c.restart {
				t.Errorf("got %+v, %v; want %q and %d restarts", out, err, c.result, c.restart)
			}
			if w.Supervisor.Restarts() > c.restart {
				t.Errorf("the household was cut off %d times, told %d", w.Supervisor.Restarts(), c.restart)
			}
			if got := w.Connector.Transport(); got != c.runs {
				t.Errorf("it runs over %v, want %v", got, c.runs)
			}
			after := w.Supervisor.Options(lab.DefaultSlug)
			if got := member(t, after, "run_parameters"); got != c.stored {
				t.Errorf("stored %s, want %s", got, c.stored)
			}
			for _, key := range []string{"external_hostname", "additional_hosts", "tunnel_name", "tunnel_token", "post_quantum", "log_level"} {
				if was, is := member(t, before, key), member(t, after, key); was != is {
					t.Errorf("%s: %s became %s", key, was, is)
				}
			}
			if c.result == policy.AtRisk && asked(w, "/options") > 0 {
				t.Error("options with a secret were written")
			}
		})
	}
}

type diary struct{}

func (diary) Intend(journal.Intention) error { return nil }

func member(t *testing.T, options json.RawMessage, key string) string {
	t.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	return string(o[key])
}

// asked counts the calls to the watched add-on that are answered or under way.
func asked(w *lab.World, call string) (n int) {
	for _, r := range w.Requests() {
		if r.Server == "supervisor" && r.Path == "/addons/"+lab.DefaultSlug+call {
			n++
		}
	}
	return n
}
