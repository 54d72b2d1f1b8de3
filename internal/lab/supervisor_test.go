package lab

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

const app_ = "/addons/" + DefaultSlug

func TestOnlyInstalledAddOnsAreListed(t *testing.T) {
	w := start(t, Options{})
	a := super(t, w, "GET", "/addons", "")
	want(t, a, 200, `"slug":"9074a9fa_cloudflared"`, `"state":"started"`, `"repository":"9074a9fa"`)
	if strings.Contains(a.body, TunnelToken) {
		t.Error("the list shows options")
	}
	want(t, super(t, start(t, Options{AddOns: []AddOn{}}), "GET", "/addons", ""), 200, SelfSlug)
}

func TestSomeReleasesBurnSecretsWhenOptionsArePostedBack(t *testing.T) {
	w := start(t, Options{Faults: Faults{SecretsResolved: true}})
	data(t, super(t, w, "POST", app_+"/options", `{"options":{"external_hostname":"","additional_hosts":[],"tunnel_token":"!secret tunnel_token"}}`))
	if o := string(w.Supervisor.Options(DefaultSlug)); !strings.Contains(o, TunnelToken) {
		t.Error(o)
	}
}

func TestOptionsTakeEffectOnlyAtTheNextStart(t *testing.T) {
	w := ready(t, Options{})
	if err := w.User.SetsProtocol(DefaultSlug, evidence.HTTP2); err != nil {
		t.Fatal(err)
	}
	if w.Connector.Transport() != evidence.OverQUIC || !slices.Equal(w.Supervisor.RunParameters(), []string{"--protocol=http2"}) {
		t.Fatal(w.Connector.Transport(), w.Supervisor.RunParameters())
	}
	data(t, super(t, w, "POST", app_+"/restart", ""))
	wait(t, w, "over http2", func() bool { return w.Connector.Transport() == evidence.OverHTTP2 })
	if w.Supervisor.Restarts() != 1 {
		t.Error(w.Supervisor.Restarts())
	}
}

func TestRestartAnswers200AlthoughTheContainerCrashes(t *testing.T) {
	w := ready(t, Options{})
	w.SetFaults(Faults{ConnectorDies: true})
	data(t, super(t, w, "POST", app_+"/restart", ""))
	wait(t, w, "crashed", func() bool { return w.Supervisor.State(DefaultSlug) == evidence.StateError })
}

func TestAStartThatFailsAfterTheStopLeavesTheAddOnDown(t *testing.T) {
	for trap, c := range map[StartTrap]struct {
		status int
		part   string
		state  evidence.AddOnState
	}{
		BadOptions: {400, "app_configuration_invalid_error", evidence.StateStopped},
		BadPort:    {400, "app_port_conflict", evidence.StateStopped},
		BadDocker:  {500, "app_unknown_error", evidence.StateError},
	} {
		t.Run(string(trap), func(t *testing.T) {
			w := ready(t, Options{})
			w.SetFaults(Faults{StartFails: trap})
			want(t, super(t, w, "POST", app_+"/restart", ""), c.status, c.part)
			if w.Supervisor.State(DefaultSlug) != c.state || w.Connector.Connections() != 0 {
				t.Error(w.Supervisor.State(DefaultSlug))
			}
			w.SetFaults(Faults{})
			data(t, super(t, w, "POST", app_+"/start", ""))
			wait(t, w, "up", func() bool { return w.Connector.Connections() == 4 })
		})
	}
}

func TestABusyAddOnRefusesWithoutAnErrorKey(t *testing.T) {
	w := ready(t, Options{})
	w.SetFaults(Faults{Busy: true})
	a := super(t, w, "POST", app_+"/restart", "")
	want(t, a, 400, "Another job is running for job group app_9074a9fa_cloudflared")
	if strings.Contains(a.body, "error_key") || w.Supervisor.Restarts() != 0 || w.Connector.Connections() != 4 {
		t.Error(a.body)
	}
	w.SetFaults(Faults{})
	dial(t, w.Edge.URL()) // so that the stop takes its time
	done := make(chan answer)
	go func() { done <- super(t, w, "POST", app_+"/restart", "") }()
	wait(t, w, "stopping", func() bool { return w.Connector.Connections() == 0 })
	want(t, super(t, w, "POST", app_+"/stop", ""), 400, "Another job is running")
	want(t, <-done, 200)
}

func TestRestartBlocksUntilTheKillWhileWebSocketsAreOpen(t *testing.T) {
	for _, flag := range []string{"--protocol=quic", "--protocol=http2"} {
		t.Run(flag, func(t *testing.T) {
			w := ready(t, Options{RunParameters: []string{flag}})
			ws := dial(t, w.Edge.URL())
			begun := time.Now()
			data(t, super(t, w, "POST", app_+"/restart", ""))
			if took := time.Since(begun); took < w.Timings().Kill {
				t.Errorf("only %v", took)
			}
			if _, _, err := ws.Read(t.Context()); err == nil {
				t.Error("the WebSocket lives on")
			}
		})
	}
	t.Run("without WebSockets it is quick", func(t *testing.T) {
		w := ready(t, Options{Timings: Timings{Kill: time.Hour}})
		data(t, super(t, w, "POST", app_+"/restart", ""))
	})
	t.Run("http2 ends as soon as the other side closes", func(t *testing.T) {
		w := ready(t, Options{RunParameters: []string{"--protocol=http2"}, Timings: Timings{Kill: time.Hour}})
		ws := dial(t, w.Edge.URL())
		done := make(chan answer)
		go func() { done <- super(t, w, "POST", app_+"/stop", "") }()
		wait(t, w, "unregistered", func() bool { return w.Connector.Connections() == 0 })
		_ = ws.CloseNow()
		want(t, <-done, 200)
	})
}

func TestTheStopGoesOnWhenTheCallerLeaves(t *testing.T) {
	w := ready(t, Options{})
	w.Supervisor.Inject(Injection{Method: "POST", Path: "/addons/*/restart", Reset: true, AfterEffect: true, Times: 1})
	if a := super(t, w, "POST", app_+"/restart", ""); a.err == nil {
		t.Fatal(a)
	}
	if w.Supervisor.Restarts() != 1 {
		t.Error("the restart did not take effect")
	}
}

func TestLogsAreTextAndTheirErrorsToo(t *testing.T) {
	w := ready(t, Options{})
	want(t, super(t, w, "GET", app_+"/logs/latest?no_colors", ""), 200, "Initial protocol quic")
	a := fetch(t, "GET", w.Supervisor.URL()+app_+"/logs", "", "Authorization", "Bearer "+SupervisorToken, "Accept", "application/json")
	want(t, a, 400)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Error(a.header)
	}
	a = super(t, w, "GET", "/addons/core_mosquitto/logs/latest", "")
	want(t, a, 500)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.body == "" {
		t.Error(a)
	}
	want(t, super(t, w, "GET", "/addons/core_mosquitto/logs", ""), 200)
	if err := w.User.Restarts(DefaultSlug); err != nil {
		t.Fatal(err)
	}
	wait(t, w, "up again", func() bool { return w.Connector.Connections() == 4 })
	latest, all := super(t, w, "GET", app_+"/logs/latest", "").body, super(t, w, "GET", app_+"/logs", "").body
	if strings.Count(latest, "Initial protocol") != 1 || strings.Count(all, "Initial protocol") != 2 {
		t.Errorf("latest is the current run only:\n%s\nall:\n%s", latest, all)
	}
	if w.Supervisor.Restarts() != 0 {
		t.Error("the user's own restart counts")
	}
}

func TestInjections(t *testing.T) {
	w := start(t, Options{})
	t.Run("hold for as many times as they say", func(t *testing.T) {
		w.Supervisor.Inject(Injection{Method: "GET", Path: "/addons/*/info", Status: 500, Body: `{"result":"error","message":"boo"}`, Times: 2})
		want(t, super(t, w, "GET", "/info", ""), 200)
		for range 2 {
			want(t, super(t, w, "GET", app_+"/info", ""), 500, "boo")
		}
		want(t, super(t, w, "GET", app_+"/info", ""), 200)
	})
	t.Run("or until they are cleared", func(t *testing.T) {
		clear := w.Supervisor.Inject(Injection{Path: "/core/**", Status: 200, Body: "not json"})
		for range 3 {
			want(t, super(t, w, "GET", "/core/api/config", ""), 200, "not json")
		}
		clear()
		want(t, super(t, w, "GET", "/core/api/config", ""), 200, "RUNNING")
	})
	t.Run("reset before the effect leaves nothing behind", func(t *testing.T) {
		w.Supervisor.Inject(Injection{Path: "/core/api/events/*", Reset: true, Times: 1})
		if a := super(t, w, "POST", "/core/api/events/x", `{}`); a.err == nil || !strings.Contains(a.err.Error(), "reset") {
			t.Error(a)
		}
		if len(w.Core.Told().Events) != 0 {
			t.Error("the event was fired")
		}
	})
	t.Run("a status after the effect hides that it happened", func(t *testing.T) {
		w.Supervisor.Inject(Injection{Path: "/core/api/events/*", Status: 502, Body: "502: Bad Gateway", AfterEffect: true, Times: 1})
		want(t, super(t, w, "POST", "/core/api/events/x", `{}`), 502)
		if len(w.Core.Told().Events) != 1 {
			t.Error("the event was not fired")
		}
	})
	t.Run("what hangs is let go when cleared", func(t *testing.T) {
		clear := w.Supervisor.Inject(Injection{Path: "/info", Hang: true})
		done := make(chan answer)
		go func() { done <- super(t, w, "GET", "/info", "") }()
		wait(t, w, "asked", func() bool {
			r := w.Requests()
			return r[len(r)-1].Path == "/info" && r[len(r)-1].Status == 0
		})
		clear()
		if a := <-done; a.err == nil {
			t.Error(a)
		}
	})
	t.Run("a delay delays", func(t *testing.T) {
		w.Supervisor.Inject(Injection{Path: "/info", Delay: Duration(30 * time.Millisecond), Times: 1})
		begun := time.Now()
		data(t, super(t, w, "GET", "/info", ""))
		if time.Since(begun) < 30*time.Millisecond {
			t.Error("too soon")
		}
	})
	t.Run("a huge answer is huge", func(t *testing.T) {
		w.Supervisor.Inject(Injection{Path: "/info", Huge: 3 << 20, Times: 1})
		if a := super(t, w, "GET", "/info", ""); a.status != 200 || len(a.body) < 3<<20 {
			t.Error(a.status, len(a.body), a.err)
		}
	})
	t.Run("nonsense is refused", func(t *testing.T) {
		for _, i := range []Injection{{}, {Status: 99}, {Hang: true, Reset: true}, {Status: 500, Times: -1}} {
			if i.Check() == nil {
				t.Errorf("%+v", i)
			}
		}
	})
}

func TestPathPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		fits          bool
	}{
		{"", "/x", true}, {"/addons", "/addons", true}, {"/addons", "/addons/x", false}, {"/addons/*/info", "/addons/x/info", true}, {"/addons/*/info", "/addons/x/y/info", false},
		{"/core/**", "/core/api/config", true}, {"/core/**", "/core", false}, {"/core/**", "/score/x", false}, {"/addons/*/**", "/addons/x/logs/latest", true},
	} {
		if pathFits(c.pattern, c.path) != c.fits {
			t.Errorf("%s on %s: not %v", c.pattern, c.path, c.fits)
		}
	}
}

func TestSupervisorAwayRefuses(t *testing.T) {
	w := start(t, Options{})
	w.SetFaults(Faults{SupervisorDown: true})
	if a := super(t, w, "GET", "/info", ""); a.err == nil || !strings.Contains(a.err.Error(), "refused") {
		t.Error(a)
	}
	w.SetFaults(Faults{})
	data(t, super(t, w, "GET", "/info", ""))
}

func TestTheUsersHands(t *testing.T) {
	w := ready(t, Options{RunParameters: []string{"--region=us", "--protocol=quic", "--retries=7"}})
	if err := w.User.SetsProtocol(DefaultSlug, evidence.Default); err != nil {
		t.Fatal(err)
	}
	if have := w.Supervisor.RunParameters(); !slices.Equal(have, []string{"--region=us", "--retries=7"}) {
		t.Error("other flags are kept, in order:", have)
	}
	if err := w.User.Stops(DefaultSlug); err != nil || w.Supervisor.State(DefaultSlug) != evidence.StateStopped {
		t.Fatal(err, w.Supervisor.State(DefaultSlug))
	}
	want(t, get(t, w.Edge.URL()+"/"), 530, "error code: 1033")
	if err := w.User.Starts(DefaultSlug); err != nil {
		t.Fatal(err)
	}
	wait(t, w, "up again", func() bool { return w.Connector.Connections() == 4 })
	w.Connector.Crash()
	if w.Supervisor.State(DefaultSlug) != evidence.StateError {
		t.Error(w.Supervisor.State(DefaultSlug))
	}
	if err := w.User.Uninstalls(DefaultSlug); err != nil {
		t.Fatal(err)
	}
	if w.Supervisor.Options(DefaultSlug) != nil || w.Supervisor.State(DefaultSlug) != evidence.StateUnknown || w.Supervisor.RunParameters() != nil {
		t.Error("it is still there")
	}
	if err := w.User.Installs(DefaultAddOns("--protocol=http2")[0]); err != nil {
		t.Fatal(err)
	}
	wait(t, w, "installed anew", func() bool { return w.Connector.Transport() == evidence.OverHTTP2 && w.Connector.Connections() == 4 })
	if w.Supervisor.Restarts() != 0 {
		t.Error("the user's acts count as restarts")
	}
}
