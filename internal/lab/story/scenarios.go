package story

import (
	"fmt"
	"strings"
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
	Script      func(*Stage)  // begins when all is well, and ends where something that it waits for does not come
	Limit       time.Duration // 0: 30 s
}

// Named gives the scenario of this name.
func Named(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q; there are: %s, and all", name, strings.Join(names, ", "))
}

// Scenarios are all stories; the first is the one that is played unasked.
var Scenarios = []Scenario{
	{
		Name: "quic-stripped", About: "the WebSocket upgrade is lost over QUIC; HTTP/2 is well.",
		Script: func(s *Stage) {
			s.happens("Over QUIC, every WebSocket upgrade is lost from now on. Pages still load.", lab.Stripped(1, evidence.OverQUIC))
			s.cured("http2")
			s.checkSeen("upgrade-stripped")
			s.checkTunnel(1, "--protocol=http2")
			s.pass(1)
			s.checkTold("The tunnel now uses the protocol http2")
		},
	},
	{
		Name: "http2-stripped", About: "the user has set http2, and there it is lost; QUIC is well.",
		World: lab.Options{RunParameters: []string{"--protocol=http2", "--edge-ip-version=4"}},
		Script: func(s *Stage) {
			s.happens("Over HTTP/2, every WebSocket upgrade is lost from now on.", lab.Stripped(1, evidence.OverHTTP2))
			s.cured("auto")
			s.checkTunnel(1, "--protocol=auto", "--edge-ip-version=4")
		},
	},
	{
		Name: "stripped-everywhere", About: "it is lost under every protocol; the user's own setting must come back, and the wait be calm.",
		World: lab.Options{RunParameters: []string{"--edge-ip-version=4"}},
		Script: func(s *Stage) {
			s.happens("Every WebSocket upgrade is lost, whatever the transport.", lab.Stripped(1))
			s.until("the hold", func(st status) bool {
				return st.State == "holding" && st.Diagnosis.Cause == "stripped-everywhere"
			})
			s.checkTunnel(2, "--edge-ip-version=4") // the other transport, and the way back
			s.pass(1)
			s.checkTold("Your own setting (auto) is restored")
			s.happens("Upstream, it is mended.", lab.Faults{})
			s.healthy()
			s.checkTunnel(2, "--edge-ip-version=4")
		},
	},
	{
		Name: "partial", About: "one WebSocket in five is lost over QUIC: noise at first, then certain.",
		Script: func(s *Stage) {
			s.happens("Over QUIC, one WebSocket upgrade in five is lost.", lab.Stripped(0.2, evidence.OverQUIC))
			// Somebody keeps opening the app: their failures call for a check.
			clients := s.World.StartClients(s.World.Timings().ProbeInterval/2, false)
			defer clients.Stop()
			s.cured("http2")
			s.checkTunnel(1, "--protocol=http2")
		},
	},
	{
		Name: "origin-restart", About: "Home Assistant restarts; the tunnel must be left alone.",
		Script: func(s *Stage) {
			s.tell.say("world", "Somebody restarts Home Assistant.")
			s.happens("Home Assistant is down.", lab.Faults{CoreDown: true})
			s.until("origin-down", func(st status) bool { return st.Diagnosis.Cause == "origin-down" })
			s.pass(2)
			s.happens("Home Assistant is back.", lab.Faults{})
			s.healthy()
			s.checkTunnel(0)
		},
	},
	{
		Name: "access-wall", About: "Cloudflare Access asks for a login; only a person can change that.",
		Script: func(s *Stage) {
			s.happens("Somebody puts Cloudflare Access in front of Home Assistant.", lab.Faults{Access: true})
			s.until("access-login", func(st status) bool { return st.State == "blind" && st.Diagnosis.Cause == "access-login" })
			s.pass(2)
			s.checkTold("service token")
			s.happens("The service token of the check is let through.", lab.Faults{})
			s.healthy()
			s.checkTunnel(0)
		},
	},
	{
		Name: "udp-blocked", About: "it is lost over HTTP/2, and the network lets no QUIC through: that is asked before anything is tried.",
		World: lab.Options{RunParameters: []string{"--protocol=http2"}, Faults: lab.Faults{UDPBlocked: true}},
		Script: func(s *Stage) {
			f := lab.Stripped(1, evidence.OverHTTP2)
			f.UDPBlocked = true
			s.happens("Over HTTP/2, every WebSocket upgrade is lost. UDP is blocked in this house.", f)
			s.untilState("holding")
			s.checkProtocol("--protocol=http2")
			s.happens("Upstream, it is mended.", lab.Faults{UDPBlocked: true})
			s.healthy()
			s.checkTold("Restarting the tunnel first")
			s.check(s.World.Supervisor.Restarts() <= 3, "the tunnel was restarted %d times, more than 3", s.World.Supervisor.Restarts())
		},
		Limit: 45 * time.Second,
	},
	{
		Name: "changed-by-hand", About: "in the middle of a trial, the user sets a protocol: the user's word wins.",
		World: lab.Options{RunParameters: []string{"--protocol=auto"}},
		Script: func(s *Stage) {
			s.happens("Every WebSocket upgrade is lost, whatever the transport.", lab.Stripped(1))
			s.until("a trial", func(st status) bool { return st.State == "treating" && st.Protocol.Setting == "http2" })
			s.tell.say("world", "The user opens the app's options, sets quic, and restarts it.")
			s.must(s.World.User.SetsProtocol(lab.DefaultSlug, evidence.QUIC))
			s.must(s.World.User.Restarts(lab.DefaultSlug))
			s.until("the new own setting", func(st status) bool { return st.Protocol.Own == "quic" && st.State != "treating" })
			n := s.World.Supervisor.Restarts()
			s.pass(1)
			s.checkTunnel(n, "--protocol=quic")
		},
	},
}
