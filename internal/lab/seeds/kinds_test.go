package seeds

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
)

// kind is something that can happen in a home.
type kind struct {
	name   string
	weight int
	do     func(*play, *rand.Rand)
}

var kinds = slices.Concat(networkKinds(), callKinds(), handKinds(), daemonKinds())

func kindNamed(name string) *kind {
	return kinds[slices.IndexFunc(kinds, func(k *kind) bool { return k.name == name })]
}

func span(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

// lone are faults that the program can do something about, all on its own.
var lone = []string{"quic strips WebSockets", "quic strips WebSockets", "http2 strips WebSockets", "UDP is blocked", "UDP is blocked", "quic flaps", "the connector hangs", "cloudflared ends with an error"}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// forms are how handshakes fail.
var forms = []lab.Form{lab.NoUpgrade, lab.NoUpgrade, lab.NoUpgrade, lab.NoConnection, lab.NoKey, lab.Refused, lab.Silent, lab.Hanging}

// networkKinds are faults of the world, each with an end.
func networkKinds() []*kind {
	lasting := func(name string, weight int, longest time.Duration, begin func(*lab.Faults, *rand.Rand), end func(*lab.Faults)) *kind {
		return &kind{name, weight, func(p *play, r *rand.Rand) {
			p.fault()
			p.changes(func(f *lab.Faults) { begin(f, r) })
			d := span(r, time.Second, longest)
			if p.lone {
				d = healed + 5*time.Minute
				p.later(healed, func() { p.isHealed(name) })
			}
			p.later(d, func() { p.note("no more: %s", name); p.changes(end) })
		}}
	}
	strip := func(name string, weight int, transports ...evidence.Transport) *kind {
		return lasting(name, weight, 30*time.Minute, func(f *lab.Faults, r *rand.Rand) {
			u := lab.UpgradeFault{Share: pick(r, 1, 1, 1, 0.6, 0.3), Form: pick(r, forms...)}
			if f.Upgrade == nil {
				f.Upgrade = map[evidence.Transport]lab.UpgradeFault{}
			}
			for _, t := range transports {
				f.Upgrade[t] = u
			}
		}, func(f *lab.Faults) {
			for _, t := range transports {
				delete(f.Upgrade, t)
			}
		})
	}
	crash := &kind{"cloudflared ends with an error", 4, func(p *play, _ *rand.Rand) {
		p.fault()
		p.beside(p.w.Connector.Crash)
		if p.lone {
			p.later(healed, func() { p.isHealed("cloudflared ends with an error") })
		}
	}}
	plain := func(name string, weight int, longest time.Duration, set func(*lab.Faults, bool)) *kind {
		return lasting(name, weight, longest, func(f *lab.Faults, _ *rand.Rand) { set(f, true) }, func(f *lab.Faults) { set(f, false) })
	}
	return []*kind{
		strip("quic strips WebSockets", 12, evidence.OverQUIC),
		strip("http2 strips WebSockets", 4, evidence.OverHTTP2),
		strip("both strip WebSockets", 6, evidence.OverQUIC, evidence.OverHTTP2),
		plain("UDP is blocked", 8, 20*time.Minute, func(f *lab.Faults, on bool) { f.UDPBlocked = on }),
		plain("TCP to the edge is blocked", 3, 10*time.Minute, func(f *lab.Faults, on bool) { f.TCPBlocked = on }),
		plain("the internet is down", 5, 8*time.Minute, func(f *lab.Faults, on bool) { f.InternetDown = on }),
		plain("the edge is silent", 2, 5*time.Minute, func(f *lab.Faults, on bool) { f.EdgeSilent = on }),
		plain("Core is down", 3, 5*time.Minute, func(f *lab.Faults, on bool) { f.CoreDown = on }),
		{"Core restarts", 4, func(p *play, _ *rand.Rand) { p.fault(); p.w.User.RestartsCore() }},
		plain("Home Assistant is silent", 2, 4*time.Minute, func(f *lab.Faults, on bool) { f.OriginSilent = on }),
		plain("Supervisor is away", 6, 10*time.Minute, func(f *lab.Faults, on bool) { f.SupervisorDown = on }),
		plain("Supervisor starts", 3, 3*time.Minute, func(f *lab.Faults, on bool) {
			if f.SupervisorState = ""; on {
				f.SupervisorState = "setup"
			}
		}),
		plain("Supervisor is busy with the app", 5, 12*time.Minute, func(f *lab.Faults, on bool) { f.Busy = on }),
		lasting("starts fail", 5, 10*time.Minute, func(f *lab.Faults, r *rand.Rand) { f.StartFails = pick(r, lab.BadOptions, lab.BadPort, lab.BadDocker) },
			func(f *lab.Faults) { f.StartFails = "" }),
		plain("cloudflared dies at each start", 4, 6*time.Minute, func(f *lab.Faults, on bool) { f.ConnectorDies = on }),
		plain("the connector hangs", 3, 15*time.Minute, func(f *lab.Faults, on bool) { f.ConnectorHung = on }),
		lasting("quic flaps", 4, 12*time.Minute, func(f *lab.Faults, r *rand.Rand) { f.FlapQUIC = lab.Duration(span(r, 3*time.Second, time.Minute)) },
			func(f *lab.Faults) { f.FlapQUIC = 0 }),
		lasting("Cloudflare's API is away", 5, 15*time.Minute, func(f *lab.Faults, _ *rand.Rand) { f.APIAway = true }, func(f *lab.Faults) { f.APIAway = false }),
		plain("restarts are answered and not made", 3, 10*time.Minute, func(f *lab.Faults, on bool) { f.RestartFaked = on }),
		plain("the flag is ignored", 1, 10*time.Minute, func(f *lab.Faults, on bool) { f.IgnoresFlag = on }),
		plain("the edge refuses the tunnel", 2, 6*time.Minute, func(f *lab.Faults, on bool) { f.TunnelRejected = on }),
		plain("a login wall", 2, 6*time.Minute, func(f *lab.Faults, on bool) { f.Access = on }),
		plain("too many requests", 2, 3*time.Minute, func(f *lab.Faults, on bool) { f.RateLimited = on }),
		plain("the zone's WebSockets are off", 2, 6*time.Minute, func(f *lab.Faults, on bool) { f.WebSocketsOff = on }),
		lasting("the edge answers itself", 3, 5*time.Minute, func(f *lab.Faults, r *rand.Rand) {
			f.Answer = &lab.EdgeAnswer{Status: pick(r, 500, 502, 520, 521, 530), Body: pick(r, "", "error code: 1016", "<html><body>cloudflare</body></html>"), To: pick(r, "", "", "websocket", "page")}
		}, func(f *lab.Faults) { f.Answer = nil }),
		plain("the resolver outside is away", 1, 10*time.Minute, func(f *lab.Faults, on bool) { f.ResolverDown = on }),
		{"a stranger knocks", 4, func(p *play, r *rand.Rand) {
			c := p.w.StartClients(span(r, 2*time.Second, 30*time.Second), r.IntN(2) == 0)
			p.later(span(r, time.Minute, 5*time.Minute), func() { p.beside(c.Stop) })
		}},
		{"a stranger sends what is no handshake", 4, func(p *play, r *rand.Rand) {
			every, until := span(r, 500*time.Millisecond, 10*time.Second), time.Now().Add(span(r, 20*time.Second, 4*time.Minute))
			client := &http.Client{Transport: p.h.Net.PlugAt("203.0.113.77").Network().Transport(), Timeout: 10 * time.Second}
			p.beside(func() {
				for time.Now().Before(until) && p.ctx.Err() == nil {
					if res, err := client.Get(p.w.Edge.URL() + "/api/websocket"); err == nil {
						_ = res.Body.Close()
					}
					time.Sleep(every)
				}
			})
		}},
		{"a stranger asks for the page", 2, func(p *play, r *rand.Rand) {
			path := pick(r, "/", "/api/status", "/api/incidents", "/healthz", "/metrics", "/api/events")
			p.beside(func() { p.strangerAsks(path) })
		}},
		crash,
	}
}

// calls are those that the daemon makes.
var calls = []struct{ method, path string }{
	{"GET", "/addons/*/info"}, {"GET", "/addons/*/info"}, {"POST", "/addons/*/options"}, {"POST", "/addons/*/options"}, {"POST", "/addons/*/restart"}, {"POST", "/addons/*/restart"},
	{"POST", "/addons/*/start"}, {"POST", "/addons/*/options/validate"}, {"GET", "/addons"}, {"GET", "/addons/*/logs/latest"}, {"GET", "/addons/*/logs"}, {"GET", "/info"}, {"GET", "/network/info"}, {"GET", "/core/info"},
	{"GET", "/core/api/config"}, {"POST", "/core/api/services/**"}, {"POST", "/core/api/events/**"}, {"", ""},
}

const toldToWait = "a call is told to wait"

// callKinds spoil single calls of Supervisor's API.
func callKinds() []*kind {
	spoil := func(name string, weight int, how func(*lab.Injection, *rand.Rand)) *kind {
		return &kind{name, weight, func(p *play, r *rand.Rand) {
			p.fault()
			c := calls[r.IntN(len(calls))]
			i := lab.Injection{Method: c.method, Path: c.path, Times: pick(r, 1, 1, 1, 2, 3, 6)}
			how(&i, r)
			if name == toldToWait && !strings.HasPrefix(i.Path, "/addons/*/") {
				i.Path = "/addons/*/restart" // only jobs are busy
				i.Method = http.MethodPost
			}
			if i.Status == http.StatusOK && strings.HasPrefix(i.Path, "/core/api/") && i.Method == http.MethodPost {
				i.AfterEffect = true // who says 200 and has done nothing cannot be seen through
			}
			p.note("%s: %s %s, %d times, %+v", name, i.Method, i.Path, i.Times, i)
			p.w.Supervisor.Inject(i)
		}}
	}
	after := func(i *lab.Injection, r *rand.Rand) { i.AfterEffect = r.IntN(2) == 0 }
	return []*kind{
		spoil("a call is cut", 8, func(i *lab.Injection, r *rand.Rand) { i.Reset = true; after(i, r) }),
		spoil("a call fails", 6, func(i *lab.Injection, r *rand.Rand) {
			i.Status, i.Body = pick(r, 500, 502, 400, 401, 403, 404), pick(r, "", "500 Internal Server Error", `{"result":"error","message":"Something"}`)
			after(i, r)
		}),
		spoil("a call gives HTML", 3, func(i *lab.Injection, r *rand.Rand) {
			i.Status, i.ContentType, i.Body = 200, "text/html", "<html><body>Home Assistant is starting</body></html>"
			after(i, r)
		}),
		spoil("a call gives half its JSON", 3, func(i *lab.Injection, r *rand.Rand) {
			i.Status, i.Body = 200, `{"result":"ok","data":{"options":{"external`
			after(i, r)
		}),
		spoil("a call gives wrong types", 3, func(i *lab.Injection, r *rand.Rand) {
			i.Status, i.Body = 200, pick(r, `{"result":"ok","data":{"slug":7,"state":[],"options":"none","addons":{}}}`, `{"result":"ok","data":[]}`, `{"result":"ok"}`, `[]`, `null`,
				`{"result":"ok","data":{"state":"started","options":{}}}`)
			after(i, r)
		}),
		spoil("a call hangs", 4, func(i *lab.Injection, r *rand.Rand) { i.Hang = true; after(i, r) }),
		spoil("a call is slow", 6, func(i *lab.Injection, r *rand.Rand) { i.Delay = lab.Duration(span(r, time.Second, 100*time.Second)) }),
		spoil(toldToWait, 5, func(i *lab.Injection, _ *rand.Rand) {
			i.Status, i.Body = 400, `{"result":"error","message":"Another job is running for job group app_9074a9fa_cloudflared"}`
		}),
	}
}

const slug = lab.DefaultSlug

// stranger is another store's app with a slug that looks right.
const stranger = "0badc0de_cloudflared"

// handKinds are what people do.
func handKinds() []*kind {
	atOnceOrInATrial := func(name string, weight int, do func(*play, *rand.Rand)) []*kind {
		return []*kind{
			{name, weight, do},
			{name + ", while a protocol is proven", weight + 1, func(p *play, r *rand.Rand) { p.whenRestarted(r, func() { p.note("%s", name); do(p, r) }) }},
		}
	}
	return slices.Concat(
		atOnceOrInATrial("a person edits another option", 3, func(p *play, r *rand.Rand) {
			p.edit(func(o options) { o["log_level"] = []byte(pick(r, `"debug"`, `"info"`, `"warning"`)) })
		}),
		atOnceOrInATrial("a person sets a protocol", 4, func(p *play, r *rand.Rand) {
			to, restarts := pick(r, evidence.Default, evidence.Auto, evidence.QUIC, evidence.HTTP2), r.IntN(2) == 0
			p.setProtocol(to)
			if restarts {
				p.hand(p.restart)
			}
		}),
		atOnceOrInATrial("a person stops the app", 4, func(p *play, r *rand.Rand) {
			again, after := r.IntN(2) == 0, span(r, 5*time.Second, 10*time.Minute)
			p.hand(func() error { return p.stop() })
			if again {
				p.later(after, func() { p.note("a person starts the app"); p.start() })
			}
		}),
		atOnceOrInATrial("a person restarts the app", 2, func(p *play, _ *rand.Rand) { p.hand(p.restart) }),
		atOnceOrInATrial("the app is updated", 3, func(p *play, r *rand.Rand) {
			d := span(r, 5*time.Second, 2*time.Minute)
			p.hand(func() error { return p.halfWay(p.w.User.Updates(slug, "6.0.4", 0, d)) })
		}),
		[]*kind{
			{"a stale form is saved", 5, func(p *play, r *rand.Rand) {
				shown := p.w.Supervisor.Options(slug)
				p.later(span(r, 5*time.Second, 5*time.Minute), func() { p.saveForm(shown) })
			}},
			{"the app is uninstalled and installed", 2, func(p *play, r *rand.Rand) {
				kept := p.w.Supervisor.Options(slug)
				if kept == nil { // it is gone already
					return
				}
				p.hand(func() error { return p.uninstall() })
				p.later(span(r, time.Minute, 10*time.Minute), func() { p.note("a person installs it again"); p.install(kept) })
			}},
			{"a backup is restored", 3, func(p *play, r *rand.Rand) {
				kept := p.w.Supervisor.Options(slug)
				p.later(span(r, 30*time.Second, 10*time.Minute), func() {
					p.note("the backup's options are back")
					p.saveForm(kept)
					p.hand(p.restart)
				})
			}},
			{"another store's app appears", 3, func(p *play, r *rand.Rand) {
				state := pick(r, evidence.StateStarted, evidence.StateStopped)
				p.hand(func() error {
					return p.w.User.Installs(lab.AddOn{Slug: stranger, Name: "Cloudflared", Version: "9.9.9", State: state, Options: []byte(`{"external_hostname":"elsewhere.example.org","additional_hosts":[],"run_parameters":[]}`)})
				})
			}},
			{"a person presses pause", 2, func(p *play, r *rand.Rand) {
				minutes := 1 + r.IntN(30)
				p.mu.Lock()
				p.truth.paused = time.Now().Add(time.Duration(minutes+1) * time.Minute)
				p.mu.Unlock()
				p.beside(func() { p.ask("/api/pause", map[string]int{"minutes": minutes}) })
			}},
			{"a person tries a protocol", 3, func(p *play, r *rand.Rand) {
				to := pick(r, "auto", "quic", "http2")
				p.touch()
				p.mu.Lock()
				if q, err := evidence.ParseProtocol(to); err == nil { // proven, it is theirs
					p.own(q)
				}
				p.mu.Unlock()
				p.beside(func() { p.ask("/api/try", map[string]string{"protocol": to}) })
			}},
			{"a person wants a check", 1, func(p *play, _ *rand.Rand) { p.beside(func() { p.ask("/api/probe", struct{}{}) }) }},
		})
}

// posts are the calls with an effect.
var posts = []string{"^POST /addons/[^/]+/options$", "^POST /addons/[^/]+/options$", "^POST /addons/[^/]+/restart$", "^POST /addons/[^/]+/restart$", "^POST /addons/[^/]+/restart$",
	"^POST /addons/[^/]+/start$", "^GET /addons/[^/]+/info$", "^POST /core/api/services/"}

// daemonKinds strike the daemon itself.
func daemonKinds() []*kind {
	down := func(r *rand.Rand) time.Duration {
		return pick(r, time.Second, 5*time.Second, 30*time.Second, 4*time.Minute)
	}
	return []*kind{
		{"the daemon is killed", 3, func(p *play, r *rand.Rand) { p.crash(down(r), nil) }},
		{"the daemon is killed at a call", 10, func(p *play, r *rand.Rand) {
			d := down(r)
			p.set(&trap{call: regexp.MustCompile(pick(r, posts...)), skip: pick(r, 0, 0, 0, 1, 2), moment: r.IntN(moments), strike: func() { p.crash(d, nil) }})
		}},
		{"the daemon is killed while a protocol is proven", 8, func(p *play, r *rand.Rand) {
			d := down(r)
			p.whenRestarted(r, func() { p.crash(d, nil) })
		}},
		{"the power is cut", 3, func(p *play, r *rand.Rand) { p.crash(down(r), r) }},
		{"the power is cut while a protocol is proven", 4, func(p *play, r *rand.Rand) {
			d := down(r)
			p.whenRestarted(r, func() { p.crash(d, r) })
		}},
		{"the daemon is killed at a write", 10, func(p *play, r *rand.Rand) {
			d, cut := down(r), r
			if r.IntN(2) == 0 {
				cut = nil
			}
			t := &diskTrap{skip: r.IntN(30), half: r.IntN(2) == 0, strike: func() { p.note("struck at a write"); p.crash(d, cut) }}
			if r.IntN(2) == 0 {
				p.disk.set(t)
				return
			}
			p.atTrial(func() { p.disk.set(t) })
		}},
		{"the clock is wrong after a power cut", 4, func(p *play, r *rand.Rand) {
			jump := func() {
				ahead := span(r, time.Minute, 400*24*time.Hour) >> r.IntN(16)
				if r.IntN(2) == 0 {
					ahead = -ahead
				}
				if p.h.Lives() {
					p.crash(down(r), r)
					p.note("the clock jumps by %s", ahead)
					p.shift(ahead)
				}
			}
			if r.IntN(2) == 0 {
				jump()
				return
			}
			p.whenRestarted(r, jump)
		}},
		{"the disk is full", 5, func(p *play, r *rand.Rand) { p.diskFails(r, syscall.ENOSPC, nil) }},
		{"the disk is read-only", 3, func(p *play, r *rand.Rand) { p.diskFails(r, syscall.EROFS, nil) }},
		{"no more files can be opened", 2, func(p *play, r *rand.Rand) { p.diskFails(r, syscall.EMFILE, syscall.EMFILE) }},
		{"the disk reports errors", 2, func(p *play, r *rand.Rand) { p.diskFails(r, syscall.EIO, nil) }},
		{"the journal is damaged, and the daemon starts anew", 5, func(p *play, r *rand.Rand) {
			hurt := func() {
				p.crash(down(r), nil)
				p.note("%s", p.disk.damage(r))
			}
			if r.IntN(2) == 0 {
				hurt()
				return
			}
			p.whenRestarted(r, hurt)
		}},
		{"the daemon is stopped and started", 3, func(p *play, r *rand.Rand) { p.restartDaemon(down(r)) }},
		{"the daemon is stopped while a protocol is proven", 4, func(p *play, r *rand.Rand) {
			d := down(r)
			p.whenRestarted(r, func() { p.restartDaemon(d) })
		}},
		{"cloudflared ends with an error while a protocol is proven", 5, func(p *play, r *rand.Rand) { p.whenRestarted(r, func() { p.fault(); p.beside(p.w.Connector.Crash) }) }},
		{"the tokens are renewed", 2, func(p *play, r *rand.Rand) {
			clear := p.w.Supervisor.Inject(lab.Injection{Path: "/**", Status: http.StatusForbidden, Body: "403: Forbidden"})
			p.fault()
			p.later(span(r, time.Second, 3*time.Minute), func() {
				clear()
				p.restartDaemon(time.Second)
			})
		}},
	}
}
