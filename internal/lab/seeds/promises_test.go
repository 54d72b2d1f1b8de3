package seeds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/policy"
)

// recent is how long what the daemon has read may be what it writes back.
const recent = time.Minute

var appCall = regexp.MustCompile(`^(GET|POST) /addons/([^/]+)/(info|options|restart|start|stop)$`)

// last is how long a last word may stand.
const last = 30 * time.Minute

// watched lets a call take effect and holds it against the promises.
func (p *play) watched(call string, sent time.Time, effect func()) {
	if call == "POST /core/api/services/persistent_notification/create" {
		shown := len(p.w.Core.Told().NotificationLog)
		effect()
		if len(p.w.Core.Told().NotificationLog) > shown { // a Core that starts shows nothing
			p.saidGood()
		}
		return
	}
	m := appCall.FindStringSubmatch(call)
	if m == nil {
		effect()
		return
	}
	method, app, what := m[1], m[2], m[3]
	if method == "GET" {
		p.mu.Lock()
		now := time.Now()
		p.truth.reads = slices.DeleteFunc(p.truth.reads, func(r reading) bool { return now.Sub(r.at) > recent })
		p.truth.reads = append(p.truth.reads, reading{now, withoutProtocol(p.w.Supervisor.Options(app))})
		p.mu.Unlock()
		effect()
		return
	}
	p.mayAct(app, what, sent)
	before, asked := p.w.Supervisor.Options(app), time.Now()
	effect()
	if what == "options" {
		p.wrote(app, before, asked)
	}
	p.mu.Lock()
	budget := p.budget
	p.mu.Unlock()
	if n := p.w.Supervisor.Restarts(); n > budget {
		p.breaks("the budget", "%d restarts, and %d are allowed in a day", n, budget)
	}
}

// people is what they did until now.
func (p *play) people() truth {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.truth
	t.own = slices.Clone(t.own)
	return t
}

// mayAct holds the daemon's wish to act against what people want. What it had sent before a
// person stopped the app nobody can take back.
func (p *play) mayAct(app, what string, sent time.Time) {
	switch t := p.people(); {
	case app != slug:
		p.breaks("other apps are not touched", "%s of %s", what, app)
	case p.observe:
		p.breaks("observing changes nothing", "%s", what)
	case !t.touched:
		p.breaks("nothing is changed without a reason", "%s", what)
	case what == "restart" && p.local && p.w.Supervisor.State(app) == evidence.StateStarted && !t.apiAway.IsZero() && time.Since(t.apiAway) > 3*time.Minute:
		p.breaks("what cannot start is not stopped", "a restart, %s after Cloudflare's API went away", time.Since(t.apiAway))
	case what != "options" && t.stopped && sent.Before(t.stoppedAt):
		p.note("a %s that was sent before the stop undoes it", what)
		p.mu.Lock()
		p.truth.stopped = false
		p.mu.Unlock()
	case what != "options" && t.stopped && sent.Sub(t.stoppedAt) > 10*time.Second:
		p.breaks("what a person stopped stays stopped", "%s, %s after the stop", what, sent.Sub(t.stoppedAt))
	}
}

// wrote holds what the daemon stored against what it had read: of its own there is one flag.
func (p *play) wrote(app string, before json.RawMessage, asked time.Time) {
	after := p.w.Supervisor.Options(app)
	p.mu.Lock()
	written, was := withoutProtocol(after), withoutProtocol(before)
	known := written == was || slices.ContainsFunc(p.truth.reads, func(r reading) bool { return r.options == written })
	if app == slug && known && written != was {
		// A person saved between the daemon's reading and its writing: Supervisor knows no way
		// to notice. What was lost is lost; the last of both writers has won.
		p.truth.foreign = written
	}
	if time.Since(p.truth.edited) < recent && storedIn(before) != storedIn(after) {
		p.own(storedIn(after))
		p.own(storedIn(before))
	}
	p.mu.Unlock()
	if !known {
		p.breaks("other options are not touched", "they were %s and are %s", was, written)
	}
}

// withoutProtocol gives options in a form that can be compared: the one flag that is ours
// left out. The order of keys says nothing.
func withoutProtocol(raw json.RawMessage) string {
	var o options
	if json.Unmarshal(raw, &o) != nil {
		return string(raw)
	}
	var flags []string
	if json.Unmarshal(o["run_parameters"], &flags) == nil {
		flags = slices.DeleteFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--protocol=") })
		delete(o, "run_parameters")
		if len(flags) > 0 {
			o["run_parameters"], _ = json.Marshal(flags) // strings always marshal
		}
	}
	text, _ := json.Marshal(o) // it was read from JSON
	return string(text)
}

// storedIn is the protocol in options.
func storedIn(raw json.RawMessage) evidence.Protocol {
	var o struct {
		Flags []string `json:"run_parameters"`
	}
	_ = json.Unmarshal(raw, &o) // options without flags have no protocol
	for _, f := range slices.Backward(o.Flags) {
		if v, ok := strings.CutPrefix(f, "--protocol="); ok {
			if p, err := evidence.ParseProtocol(v); err == nil {
				return p
			}
		}
	}
	return evidence.Default
}

// toldIsTrue holds what people are shown against what is so, in a home at rest.
func (p *play) toldIsTrue() {
	if t := p.people(); t.gone || t.stopped {
		return
	}
	s := p.h.Status()
	stored := storedIn(p.w.Supervisor.Options(slug))
	if s.Protocol.Setting != stored.Effective().String() && s.Protocol.Setting != stored.String() {
		p.breaks("what is told is true", "the page says %s is set, and it is %s", s.Protocol.Setting, stored)
	}
	if s.Protocol.Transport != p.w.Connector.Transport().String() {
		p.breaks("what is told is true", "the page says %s is in use, and it is %s", s.Protocol.Transport, p.w.Connector.Transport())
	}
	if s.Incident != nil && s.State == policy.Healthy {
		p.breaks("what is told is true", "the page shows an open incident in a home that is open")
	}
}

// canaries are what must appear nowhere.
var canaries = []string{lab.SupervisorToken, lab.HAToken, lab.AccessSecret, lab.CloudflareToken, lab.TunnelToken, "lab-mosquitto-password"}

// secrets looks for canaries wherever people read.
func (p *play) secrets() {
	places := map[string]string{"the log": p.h.Log()}
	for name, text := range p.disk.texts() {
		places[name] = text
	}
	_ = filepath.Walk(p.h.Dir(), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			raw, _ := os.ReadFile(path) // what is not there holds nothing
			places[filepath.Base(path)] = string(raw)
		}
		return nil
	})
	told, _ := json.Marshal([]any{p.w.Core.Told().NotificationLog, p.w.Core.Told().NotifyCalls, p.w.Core.Told().Events, p.w.Core.Told().EntityStates}) // plain values
	places["what was told"] = string(told)
	for place, text := range places {
		for _, c := range canaries {
			if strings.Contains(text, c) {
				p.breaks("secrets are kept", "%s… stands in %s", c[:12], place)
			}
		}
	}
	if strings.Contains(places["the log"], "panic") {
		p.breaks("the daemon lives", "its log speaks of a panic")
	}
}

// told is how long people may be cut off before they must have heard of it: ten minutes,
// and a look more.
const told = 10*time.Minute + 5*time.Minute

// pausing is how long nothing may stand between one word and the next.
const pausing = 3 * time.Minute

// lastingIsTold sees to it that what cuts people off for long is told, while there is
// somebody to tell it.
func (p *play) lastingIsTold() {
	for since, silent := time.Now(), time.Now(); !p.resting(); time.Sleep(20 * time.Second) {
		open := p.w.OpenShare() > 0
		p.noteShut(!open)
		if len(p.w.Core.Told().Notifications) > 0 {
			silent = time.Now()
		}
		if open || !p.mayBeTold() {
			since = time.Now()
		}
		if time.Since(since) > told && time.Since(silent) > pausing {
			p.breaks("what lasts is told", "cut off for %s, and nothing is said; the app is %s", time.Since(since), p.w.Supervisor.State(slug))
			return
		}
	}
}

// mayBeTold says whether there is somebody to tell, who does not know it by their own doing.
func (p *play) mayBeTold() bool {
	f, t := p.w.Faults(), p.people()
	deaf := f.CoreDown || f.CoreStarting || f.SupervisorDown || f.SupervisorState != ""
	return !deaf && p.h.Lives() && !t.stopped && !t.gone && !time.Now().Before(t.paused)
}

func (p *play) resting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rested
}

// noteShut keeps since when nobody gets in.
func (p *play) noteShut(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !shut {
		p.shut = time.Time{}
	} else if p.shut.IsZero() {
		p.shut = time.Now()
	}
}

// healed is how long a fault that can be healed may last if nothing else is wrong.
const healed = 15 * time.Minute

// isHealed holds a home with one fault, of which another protocol or a restart is the cure,
// against the promise that it is found.
func (p *play) isHealed(fault string) {
	allowed := p.h.Env["TUNNELMEDIC_PROTOCOLS"]
	f := p.w.Faults()
	switch {
	case p.observe || p.budget < 2:
		return
	case allowed == "http2" && f.Upgrade[evidence.OverHTTP2].Share > 0:
		return // there is nothing to try
	case partial(f.Upgrade[evidence.OverHTTP2].Share) || partial(f.Upgrade[evidence.OverQUIC].Share):
		return // proof of a fault that hits some takes its time
	}
	enough, share := 1.0, p.w.OpenShare()
	if f.FlapQUIC > 0 {
		// Where most get in between two breaks it hits some, too: a check is good as long as it
		// falls into none, and a log alone does not call for a restart.
		enough, share = mostly, p.openLately()
	}
	if s := p.w.Supervisor.State(slug); s != evidence.StateStarted || share < enough {
		p.breaks("what can be healed is healed", "%s later (%s) the app is %s over %s with %d connections, and of the visitors %.0f %% get in", healed, fault, s, p.w.Connector.Transport(), p.w.Connector.Connections(), 100*share)
	}
}

// mostly is the share of visitors that get in from which on a fault counts as partial.
const mostly = 0.7

// openLately is the share of visitors that get in during the next two minutes.
func (p *play) openLately() float64 {
	const looks = 120
	sum := 0.0
	for range looks {
		sum += p.w.OpenShare()
		time.Sleep(time.Second)
	}
	return sum / looks
}

func partial(share float64) bool { return share > 0 && share < 1 }

// good is what a notification says of a home that is open again.
var good = regexp.MustCompile(`^Home Assistant can be reached`)

// saidGood holds the notification that was just put up against what is so: where it says
// that the home is open, the home is, or was a moment ago.
func (p *play) saidGood() {
	steps := p.w.Core.Told().NotificationLog
	if len(steps) == 0 {
		return
	}
	n := steps[len(steps)-1]
	if n.Dismissed || !good.MatchString(n.Title) || p.w.OpenShare() > 0 {
		return
	}
	since := p.shutSince()
	if !since.IsZero() && time.Since(since) > time.Minute {
		p.breaks("what is told is true", "it says %q, and nobody has got in for %s", n.Title, time.Since(since))
	}
}

// shutSince is since when nobody gets in; zero if somebody does.
func (p *play) shutSince() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shut
}
