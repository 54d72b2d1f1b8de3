package story

import (
	"context"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
)

// speed slows the lab's clock for eyes: a probe every 1.7 s, and six a second once
// something is suspected.
const speed = 0.3

// Scenario is one story.
type Scenario struct {
	Name, About string
	World       lab.Options
	Env         map[string]string // of the daemon, over the world's
	Script      func(context.Context, *Stage) error
	Limit       time.Duration // 0: 30 s
}

func (s Scenario) limit() time.Duration {
	if s.Limit == 0 {
		return 30 * time.Second
	}
	return s.Limit
}

// Named gives the scenario of this name.
func Named(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, errUnknown(name)
}

// Scenarios are all stories; the first is the one that is played unasked.
func Scenarios() []Scenario {
	return append([]Scenario{
		{
			Name: "quic-stripped", About: "the WebSocket upgrade is lost over QUIC; HTTP/2 is well.",
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Over QUIC, every WebSocket upgrade is lost from now on. Pages still load.", lab.Stripped(1, evidence.OverQUIC))
				if err := s.until(ctx, "a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == "http2" }); err != nil {
					return err
				}
				s.checkSeen("upgrade-stripped")
				s.checkProtocol("--protocol=http2")
				s.checkRestarts(1)
				if err := s.pass(ctx, 1); err != nil {
					return err
				}
				s.checkTold("The tunnel now uses the protocol http2")
				return nil
			},
		},
		{
			Name: "http2-stripped", About: "the user has set http2, and there it is lost; QUIC is well.",
			World: lab.Options{RunParameters: []string{"--protocol=http2", "--edge-ip-version=4"}},
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Over HTTP/2, every WebSocket upgrade is lost from now on.", lab.Stripped(1, evidence.OverHTTP2))
				if err := s.until(ctx, "a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == "auto" }); err != nil {
					return err
				}
				s.checkProtocol("--protocol=auto", "--edge-ip-version=4")
				s.checkRestarts(1)
				return nil
			},
		},
		{
			Name: "stripped-everywhere", About: "it is lost under every protocol; the user's own setting must come back, and the wait be calm.",
			World: lab.Options{RunParameters: []string{"--edge-ip-version=4"}},
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Every WebSocket upgrade is lost, whatever the transport.", lab.Stripped(1))
				if err := s.until(ctx, "the hold", func(st status) bool {
					return st.State == "holding" && st.Diagnosis.Cause == "stripped-everywhere"
				}); err != nil {
					return err
				}
				s.checkProtocol("--edge-ip-version=4")
				s.checkRestarts(2) // the other transport, and the way back
				if err := s.pass(ctx, 1); err != nil {
					return err
				}
				s.checkTold("Your own setting (auto) is back")
				s.happens("Upstream, it is mended.", lab.Faults{})
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.checkRestarts(2)
				return nil
			},
		},
		{
			Name: "partial", About: "one WebSocket in five is lost over QUIC: noise at first, then certain.",
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Over QUIC, one WebSocket upgrade in five is lost.", lab.Stripped(0.2, evidence.OverQUIC))
				// Somebody keeps opening the app: their failures call for a probe.
				clients := s.World.StartClients(s.World.Timings().ProbeInterval/2, false)
				defer clients.Stop()
				if err := s.until(ctx, "a cure", func(st status) bool { return st.State == "healthy" && st.Protocol.Setting == "http2" }); err != nil {
					return err
				}
				s.checkProtocol("--protocol=http2")
				s.checkRestarts(1)
				return nil
			},
		},
		{
			Name: "origin-restart", About: "Home Assistant restarts; the tunnel must be left alone.",
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.tell.say("world", "Somebody restarts Home Assistant.")
				s.happens("Home Assistant is down.", lab.Faults{CoreDown: true})
				if err := s.until(ctx, "origin-down", func(st status) bool { return st.Diagnosis.Cause == "origin-down" }); err != nil {
					return err
				}
				if err := s.pass(ctx, 2); err != nil {
					return err
				}
				s.happens("Home Assistant is back.", lab.Faults{})
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.checkProtocol()
				s.checkRestarts(0)
				return nil
			},
		},
		{
			Name: "access-wall", About: "Cloudflare Access asks for a login; only a person can change that.",
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Somebody puts Cloudflare Access in front of Home Assistant.", lab.Faults{Access: true})
				if err := s.until(ctx, "access-login", func(st status) bool { return st.State == "blind" && st.Diagnosis.Cause == "access-login" }); err != nil {
					return err
				}
				if err := s.pass(ctx, 2); err != nil {
					return err
				}
				s.checkTold("service token")
				s.happens("The probe's service token is let through.", lab.Faults{})
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.checkProtocol()
				s.checkRestarts(0)
				return nil
			},
		},
		{
			Name: "udp-blocked", About: "it is lost over HTTP/2, and the network lets no QUIC through: that is asked before anything is tried.",
			World: lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{UDPBlocked: true}},
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				f := lab.Stripped(1, evidence.OverHTTP2)
				f.UDPBlocked = true
				s.happens("Over HTTP/2, every WebSocket upgrade is lost. UDP is blocked in this house.", f)
				if err := s.untilState(ctx, "holding"); err != nil {
					return err
				}
				s.checkProtocol("--protocol=http2")
				s.happens("Upstream, it is mended.", lab.Faults{UDPBlocked: true})
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.checkTold("Starting the tunnel anew first")
				s.check(s.World.Supervisor.Restarts() <= 3, "the tunnel was restarted %d times, more than 3", s.World.Supervisor.Restarts())
				return nil
			},
			Limit: 45 * time.Second,
		},
		{
			Name: "changed-by-hand", About: "in the middle of a trial, the user sets a protocol: the user's word wins.",
			World: lab.Options{RunParameters: []string{"--protocol=auto"}},
			Script: func(ctx context.Context, s *Stage) error {
				if err := s.healthy(ctx); err != nil {
					return err
				}
				s.happens("Every WebSocket upgrade is lost, whatever the transport.", lab.Stripped(1))
				if err := s.until(ctx, "a trial", func(st status) bool { return st.State == "treating" && st.Protocol.Setting == "http2" }); err != nil {
					return err
				}
				s.tell.say("world", "The user opens the add-on's options, sets quic, and restarts it.")
				if err := s.World.User.SetsProtocol(lab.DefaultSlug, evidence.QUIC); err != nil {
					return err
				}
				if err := s.World.User.Restarts(lab.DefaultSlug); err != nil {
					return err
				}
				if err := s.until(ctx, "the new own setting", func(st status) bool { return st.Protocol.Own == "quic" && st.State != "treating" }); err != nil {
					return err
				}
				n := s.World.Supervisor.Restarts()
				if err := s.pass(ctx, 1); err != nil {
					return err
				}
				s.checkProtocol("--protocol=quic")
				s.checkRestarts(n)
				return nil
			},
		},
	}, replays()...)
}
