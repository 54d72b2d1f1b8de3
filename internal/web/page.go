package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/report"
	"tunnelmedic/internal/words"
)

//go:embed assets
var assets embed.FS

// security keeps the page to itself: nothing is loaded from elsewhere, and only
// Home Assistant may frame it.
const security = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"

// ingressPath is what Home Assistant's ingress puts before the page's own paths.
var ingressPath = regexp.MustCompile(`^(/[A-Za-z0-9_~.-]+)+$`)

// pages renders the page for people.
type pages struct {
	Config
	token     string
	examining sync.Mutex        // the doctor is at work
	denied    atomic.Int64      // Unix time when it was last logged that somebody may not press a button
	tested    atomic.Int64      // Unix time of the last test notification
	version   map[string]string // of the assets, by name: a changed one has a new address

	mu   sync.Mutex // guards the list below
	seq  uint64
	read bool
	list []journal.Incident
}

func newPages(c Config, token string) *pages {
	p := &pages{Config: c, token: token, version: map[string]string{}}
	for _, name := range []string{"style.css", "script.js", "icon.svg"} {
		raw, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // it is part of the program
		}
		sum := sha256.Sum256(raw)
		p.version[name] = hex.EncodeToString(sum[:6])
	}
	return p
}

// frame is what every page has.
type frame struct {
	Title  string
	Base   string // path of the page as the browser sees it, ends in /
	Token  string
	Style  string
	Script string
	Tag    string // of the language
	Icon   string
	Class  string // of the state: its colour
}

func (p *pages) frame(r *http.Request, title string) frame {
	base := "/"
	if prefix := strings.TrimRight(r.Header.Get("X-Ingress-Path"), "/"); len(prefix) < 200 && ingressPath.MatchString(prefix) {
		base = prefix + "/"
	}
	at := func(name string) string { return base + "assets/" + p.version[name] + "/" + name }
	return frame{Title: title, Base: base, Token: p.token, Tag: p.lang(r).Tag,
		Style: at("style.css"), Script: at("script.js"), Icon: at("icon.svg")}
}

func (p *pages) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if p.version[name] == "" {
		http.NotFound(w, r)
		return
	}
	if r.PathValue("version") == p.version[name] {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// langCookie is in which the script keeps the language of the frontend around the page.
const langCookie = "tunnelmedic_lang"

// lang is the language of whoever asks: that of the frontend around the page, else the
// browser's, else the household's.
func (c Config) lang(r *http.Request) *words.Lang {
	if k, err := r.Cookie(langCookie); err == nil {
		if l := words.In(k.Value); l != nil {
			return l
		}
	}
	return cmp.Or(words.Accepted(r.Header.Get("Accept-Language")), c.Voice.Lang())
}

// render writes a page whole or not at all.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, page g.Node) {
	var b bytes.Buffer
	if err := page.Render(&b); err != nil {
		p.Log.Error().Err(err).Msg("The page could not be made.")
		http.Error(w, p.lang(r).Say("page.not.made"), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", security)
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// incidents gives the kept ones; they are read from the disk again only when
// something has happened since.
func (p *pages) incidents() []journal.Incident {
	if p.Feed == nil {
		return p.Incidents.Incidents()
	}
	_, _, seq := p.Feed.since(1<<63 - 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.read || p.seq != seq {
		p.list, p.seq, p.read = p.Incidents.Incidents(), seq, true
	}
	return p.list
}

func (p *pages) home(w http.ResponseWriter, r *http.Request) {
	message := ""
	if key := words.Key("page.done." + r.URL.Query().Get("done")); slices.Contains(said, key) {
		message = p.lang(r).Say(key)
	}
	p.show(w, r, http.StatusOK, message, false)
}

// said is what a page without script says after a button was pressed.
var said = []words.Key{"page.done.probe", "page.done.try", "page.done.answer", "page.done.pause", "page.done.resume", "page.done.forget", "page.done.test", "page.done.shorten"}

// show renders the main page, with a message on top if there is one.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, message string, bad bool, rows ...DoctorRow) {
	now := time.Now()
	l := p.lang(r)
	s := p.Medic.Status().In(l)
	v := homeView{frame: p.frame(r, "Tunnel Medic"), Status: s, Message: message, Bad: bad, Doctor: p.Doctor != nil, Rows: rows, CanForget: p.Forget != nil, CanAct: p.Hands != nil, CanTest: p.Test != nil}
	v.clock = clock{l, now, p.location()}
	if p.Screens != nil {
		v.Screens = p.Screens(s.Target.Slug)
	}
	v.fill()
	if p.Wrong != nil {
		v.Wrong = l.Texts(p.Wrong())
	}
	if s.Incident == nil && s.Trial != nil && p.Feed != nil { // a trial that belongs to no incident is told all the same
		v.Going = v.Say("page.now")
		_, steps, _ := p.Feed.since(0)
		for _, step := range steps {
			if !step.At.Before(s.Since) {
				v.Steps = append(v.Steps, v.step(step.Step))
			}
		}
	}
	v.Timeline = v.timeline(p.Feed, r.URL.Query().Get("range") == "7d")
	list := p.incidents()
	if p.History != nil {
		a := v.available(p.History(), list)
		v.Available = &a
	}
	v.More = max(0, len(list)-shown)
	if r.URL.Query().Has("all") {
		v.More = 0
	}
	for i, inc := range list {
		if s.Incident != nil && inc.ID == s.Incident.ID {
			continue
		}
		if v.More > 0 && i >= shown {
			break
		}
		v.Past = append(v.Past, v.past(inc))
	}
	p.render(w, r, status, v.page())
}

// shown is how many past incidents the main page lists at first.
const shown = 8

func (p *pages) location() *time.Location {
	if p.Location == nil {
		return time.UTC
	}
	return p.Location()
}

func (p *pages) incident(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	id, plain := strings.CutSuffix(name, ".md")
	inc, ok := p.Incidents.Incident(id)
	if !ok {
		http.Error(w, "There is no incident of this id.", http.StatusNotFound)
		return
	}
	c := clock{p.lang(r), time.Now(), p.location()}
	if plain {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		w.Header().Set("Content-Disposition", `inline; filename="tunnelmedic-`+id+`.md"`)
		_, _ = w.Write([]byte(p.Report(inc)))
		return
	}
	v := incidentView{frame: p.frame(r, c.Say("page.incident", words.With{"moment": c.at(inc.Onset, words.Date)})), Incident: inc, Past: c.past(inc), clock: c}
	v.frame.Class = v.Past.Class
	for _, s := range inc.Steps {
		v.Steps = append(v.Steps, c.step(s))
	}
	v.Seen = c.evidenceList(inc.Seen)
	p.render(w, r, http.StatusOK, v.page())
}

// homeView is the main page.
type homeView struct {
	frame
	clock
	medic.Status
	Message   string
	Bad       bool // the message says that something was not done
	Look      look
	Steps     []stepView // of what goes on now
	Going     string     // what goes on now, "" if nothing does
	Progress  string     // of the protocol being proven
	Advice    []string
	Trouble   bool     // there is something that advice is about
	Tries     []string // protocols that may be tried by hand
	Left      int      // restarts left
	Seen      []seenView
	Timeline  timelineView
	Past      []pastView
	More      int
	Available *availableView // nil: nobody keeps account
	Doctor    bool
	Rows      []DoctorRow // of the doctor, on a page without script
	CanAct    bool
	CanForget bool
	CanTest   bool
	Wrong     []string // what is wrong with the configuration
	Screens   Screens
}

// look is how a state presents itself: its colour and shape by the class, and the
// same in words.
type look struct {
	Class    string // also the icon's name
	Word     string // one word, for badges and the legend
	Headline string
	Text     string
	Since    string
}

type stepView struct{ At, ISO, Kind, Class, Text string }
type seenView struct{ What, Text string }

func (v *homeView) fill() {
	s := &v.Status
	v.Look = v.face(s)
	v.frame.Class = v.Look.Class
	v.Left = max(0, s.Budget-s.Restarts)
	if t := s.Trial; t != nil && t.Settled && t.Probes > 0 {
		good := words.Count{N: t.Probes - t.Failures, Of: "count.goodchecks"}
		v.Progress = v.Say("page.trial", words.With{"checks": good})
		if t.Failures > 0 {
			v.Progress = v.Say("page.trial-failures", words.With{"checks": good, "failures": words.Count{N: t.Failures, Of: "count.failures"}})
		}
	}
	if s.Incident != nil {
		v.Going = v.Say("page.now")
		for _, step := range s.Incident.Steps {
			v.Steps = append(v.Steps, v.step(step))
		}
	}
	v.Trouble = !s.Healthy() && s.State != policy.Starting && s.State != policy.Treating
	if v.Trouble {
		v.Advice = s.Diagnosis.Advice
		v.Seen = v.evidenceList(s.Diagnosis.Seen)
	}
	for _, a := range s.Allowed {
		if a != s.Protocol.Setting {
			v.Tries = append(v.Tries, a)
		}
	}
}

// face puts the state into one sentence, its meaning into others.
func (v *homeView) face(s *medic.Status) look {
	l := look{Class: s.State.String(), Word: v.stateWord(s.State), Since: v.Say("page.state-for", words.With{"span": v.now.Sub(s.Since)})}
	good := ""
	if p := s.LastProbe; p != nil && p.OK {
		good = v.Say("page.face.last-good", words.With{"hour": v.hour(p.At), "took": words.Millis(p.TookMS)})
	}
	summary := s.Diagnosis.Summary
	switch s.State {
	case policy.Unwatched, policy.Starting:
		l.Headline, l.Text = v.Say("page.face.starting"), v.Say("page.face.starting-text")
	case policy.Healthy:
		l.Headline, l.Text = v.Say("page.face.healthy"), sentences(v.Say("page.face.healthy-text"), good)
	case policy.Suspect:
		l.Headline, l.Text = v.Say("page.face.down"), summary
		if badgeOf(*s).NeedsYou { // checking alone will not end it
			l.Word = v.Say("state.needs-you")
		} else if s.Incident == nil && s.Detector.Score > 0 && suspected(s.Diagnosis.Remedy) {
			l.Headline, l.Text = v.Say("page.face.closely"), v.Say("page.face.closely-text")
		}
		if len(s.Gates) > 0 {
			l.Text = sentences(summary, v.gates(s.Gates))
		}
	case policy.Treating:
		l.Headline, l.Text = v.treating(s)
	case policy.Holding:
		l.Headline, l.Text = v.Say("page.face.down"), summary
		if slices.Contains(s.Gates, policy.GateQUIC) {
			l.Text = sentences(l.Text, v.gates([]policy.Gate{policy.GateQUIC}))
		}
		if v.now.Before(s.HoldUntil) {
			l.Text = sentences(l.Text, v.Say("page.face.hold", words.With{"hour": v.hour(s.HoldUntil)}))
		}
	case policy.Blind:
		l.Headline, l.Text = v.Say("page.face.blind"), summary
	case policy.Observing:
		l.Headline, l.Text = v.Say("page.face.down"), sentences(summary, v.Say("page.face.observing"))
	case policy.Paused:
		l.Headline, l.Text = v.Say("page.face.paused", words.With{"hour": v.hour(s.PausedUntil)}), v.Say("page.face.paused-text")
		if policy.Forever(s.PausedUntil) {
			l.Headline, l.Text = v.Say("page.face.off"), v.Say("page.face.off-text")
		}
		if s.Healthy() {
			l.Text = sentences(l.Text, v.Say("page.face.paused-well"), good)
		} else {
			l.Text = sentences(l.Text, summary)
		}
	}
	return l
}

// suspected says whether a cause is one that more checks can make certain. With any other
// there is more to say than that a check failed.
func suspected(r diagnosis.Remedy) bool {
	return r == diagnosis.Rotate || r == diagnosis.NoRemedy
}

// gates says what keeps the program from acting.
func (v *homeView) gates(closed []policy.Gate) string {
	return v.Say("page.face.gates", words.With{"gates": words.Gates(closed)})
}

// sentences stand one after the other; empty ones are left out.
func sentences(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
}

func (v *homeView) treating(s *medic.Status) (headline, text string) {
	t := s.Trial
	if t == nil {
		return v.Say("page.face.fixing"), s.Diagnosis.Summary
	}
	to := words.With{"protocol": t.Protocol}
	switch t.Purpose {
	case policy.ByHand:
		headline = v.Say("page.face.trying", to)
	case policy.Failback:
		headline = v.Say("page.face.own-again")
	case policy.Restore, policy.Return, policy.HandBack:
		headline = v.Say("page.face.switching-back", to)
	default:
		headline = v.Say("page.face.fixing")
	}
	if t.Settled {
		return headline, v.Say("page.face.proving", to)
	}
	if why, waits := s.Waits(); waits {
		return headline, v.Say("page.face.waits", words.With{"result": words.Result(why)})
	}
	return headline, v.Say("page.face.restarting", to)
}

// incidentView is the page of one incident.
type incidentView struct {
	frame
	clock
	journal.Incident
	Past  pastView
	Steps []stepView
	Seen  []seenView
}

// pastView is an incident in a list.
type pastView struct {
	ID, Class, Outcome, When, ISO, After, Lasted, Summary, Change, Cut string
}

func (c clock) past(i journal.Incident) pastView {
	v := pastView{ID: i.ID, When: c.moment(i.Onset), ISO: i.Onset.Format(time.RFC3339), Summary: c.Cause(i.Cause)}
	switch i.Outcome {
	case policy.StepCured:
		v.Class, v.Outcome = "healthy", c.Say("page.outcome.cured", words.With{"protocol": mendedBy(i)})
	case policy.StepRecovered:
		v.Class, v.Outcome = "healthy", c.Say("page.outcome.recovered")
	case policy.StepUser:
		v.Class, v.Outcome = "paused", c.Say("page.outcome.changed-by-hand")
	case policy.NoStep:
		v.Class, v.Outcome = "holding", c.Say("page.outcome.open")
	case policy.StepLapsed:
		v.Class, v.Outcome = "paused", c.Say("page.outcome.lapsed")
	case policy.StepKept: // what a person tried has proved itself
		v.Class, v.Outcome = "healthy", c.Say("page.outcome.cured", words.With{"protocol": mendedBy(i)})
	default:
		v.Class, v.Outcome = "paused", c.Say("page.outcome.ended")
	}
	if !i.Ended.IsZero() {
		took := words.With{"span": i.Ended.Sub(i.Onset)}
		v.After, v.Lasted = c.Say("page.past-took", took), c.Say("page.past-lasted", took)
	}
	if cut := i.Account.Lost + i.Account.LostByUs; cut > 0 {
		v.Cut = c.Say("page.available-lost", words.With{"span": report.Rounded(cut)})
	}
	if i.Before != i.After {
		v.Change = i.Before.String() + " → " + i.After.String()
	}
	return v
}

// mendedBy is the protocol that ended the incident. What was set later, in the
// fail-back or by hand, belongs to its story, and did not mend it.
func mendedBy(i journal.Incident) evidence.Protocol {
	for _, s := range i.Steps {
		if s.Kind == i.Outcome {
			return s.Protocol
		}
	}
	return i.After
}

// evidenceNames are the looks, in the order of the way from outside to Home Assistant,
// with the keys of their names.
var evidenceNames = []struct {
	look string
	name words.Key
}{
	{"public", "page.seen.public"}, {"page", "page.seen.page"}, {"connector", "page.seen.connector"}, {"quic", "page.seen.quic"}, {"addon", "page.seen.addon"},
	{"service", "page.seen.service"}, {"direct", "page.seen.direct"}, {"core", "page.seen.core"}, {"core log", "page.seen.core-log"}, {"start page", "page.seen.start-page"},
	{"changed before", "page.seen.changed-before"}, {"turned away", "page.seen.turned-away"}, {"internet", "page.seen.internet"}, {"supervisor", "page.seen.supervisor"},
	{"carried", "page.seen.carried"}, {"log", "page.seen.log"}, {"zone", "page.seen.zone"}, {"name at home", "page.seen.name-at-home"}, {"name outside", "page.seen.name-outside"},
}

func (c clock) evidenceList(seen map[string]string) []seenView {
	var list []seenView
	known := map[string]bool{}
	for _, n := range evidenceNames {
		known[n.look] = true
		if text := seen[n.look]; text != "" {
			list = append(list, seenView{c.Say(n.name), text})
		}
	}
	for _, look := range sortedKeys(seen) { // of an incident that an earlier version has kept
		if !known[look] {
			list = append(list, seenView{look, seen[look]})
		}
	}
	return list
}

// stepClass gives a step the colour and shape of the state it speaks of.
func stepClass(k policy.StepKind) string {
	//exhaustive:ignore
	switch k {
	case policy.StepCured, policy.StepRecovered, policy.StepKept, policy.StepFailedBack, policy.StepCleared, policy.StepResumed:
		return "healthy"
	case policy.StepTrial, policy.StepSettled, policy.StepRestoring, policy.StepRestored, policy.StepFailback, policy.StepReturning, policy.StepReturned:
		return "treating"
	case policy.StepAlarm, policy.StepHold:
		return "holding"
	case policy.StepSuspected, policy.StepRefused, policy.StepPostponed, policy.StepAsked, policy.StepExpired:
		return "suspect"
	}
	return "paused"
}
