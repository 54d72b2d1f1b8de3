package web

import (
	"bytes"
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
	Icon   string
	Class  string // of the state: its colour
}

func (p *pages) frame(r *http.Request, title string) frame {
	base := "/"
	if prefix := strings.TrimRight(r.Header.Get("X-Ingress-Path"), "/"); len(prefix) < 200 && ingressPath.MatchString(prefix) {
		base = prefix + "/"
	}
	at := func(name string) string { return base + "assets/" + p.version[name] + "/" + name }
	return frame{Title: title, Base: base, Token: p.token,
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

// render writes a page whole or not at all.
func (p *pages) render(w http.ResponseWriter, status int, page g.Node) {
	var b bytes.Buffer
	if err := page.Render(&b); err != nil {
		p.Log.Error().Err(err).Msg("The page could not be made.")
		http.Error(w, "The page could not be made; the log says why.", http.StatusInternalServerError)
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
	p.show(w, r, http.StatusOK, said[r.URL.Query().Get("done")], false)
}

// said is what a page without script says after a button was pressed.
var said = map[string]string{
	"probe":  "A probe is on its way.",
	"try":    "The trial has begun.",
	"pause":  "Paused: probes go on, nothing is changed.",
	"resume": "Resumed.",
	"forget": "Everything that Tunnel Medic had put into Home Assistant is removed.",
}

// show renders the main page, with a message on top if there is one.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, message string, bad bool, rows ...DoctorRow) {
	now := time.Now()
	s := p.Medic.Status().In(words.English())
	v := homeView{frame: p.frame(r, "Tunnel Medic"), Status: s, Message: message, Bad: bad, Doctor: p.Doctor != nil, Rows: rows, CanForget: p.Forget != nil, CanAct: p.Hands != nil}
	v.clock = clock{now, p.location()}
	v.fill()
	if s.Incident == nil && s.Trial != nil && p.Feed != nil { // a trial that belongs to no incident is told all the same
		v.Going = "What is happening"
		_, steps, _ := p.Feed.since(0)
		for _, step := range steps {
			if !step.At.Before(s.Since) {
				v.Steps = append(v.Steps, v.step(step.Step))
			}
		}
	}
	v.Timeline = v.timeline(p.Feed, r.URL.Query().Get("range") == "7d")
	list := p.incidents()
	if p.Month != nil {
		v.Month = p.Month(list)
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
	p.render(w, status, v.page())
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
	c := clock{time.Now(), p.location()}
	if plain {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		w.Header().Set("Content-Disposition", `inline; filename="tunnelmedic-`+id+`.md"`)
		_, _ = w.Write([]byte(p.Report(inc)))
		return
	}
	v := incidentView{frame: p.frame(r, "Incident of "+c.day(inc.Onset)), Incident: inc, Past: c.past(inc), clock: c}
	v.frame.Class = v.Past.Class
	for _, s := range inc.Steps {
		v.Steps = append(v.Steps, c.step(s))
	}
	v.Seen = evidenceList(inc.Seen)
	p.render(w, http.StatusOK, v.page())
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
	Trouble   bool // there is something that advice is about
	Checked   string
	Tries     []string // protocols that may be tried by hand
	Left      int      // restarts left
	Bar       bar
	Seen      []seenView
	Timeline  timelineView
	Past      []pastView
	More      int
	Month     []report.Row // at a glance
	Doctor    bool
	Rows      []DoctorRow // of the doctor, on a page without script
	CanAct    bool
	CanForget bool
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

// bar is the detector against its alarm line, in hundredths of the drawing's width.
type bar struct {
	Width int
	Score string
	Alarm string
	Over  bool
}

type stepView struct{ At, ISO, Kind, Class, Text string }
type seenView struct{ What, Text string }

// stateWords are the states' names for people.
var stateWords = map[policy.Phase]string{
	policy.Starting: "starting", policy.Healthy: "healthy", policy.Suspect: "trouble", policy.Treating: "mending", policy.Holding: "waiting",
	policy.Blind: "not watched", policy.Observing: "observing", policy.Paused: "paused",
}

func (v *homeView) fill() {
	s := &v.Status
	v.Look = v.face(s)
	v.frame.Class = v.Look.Class
	v.Left = max(0, s.Budget-s.Restarts)
	if t := s.Trial; t != nil && t.Settled && t.Probes > 0 {
		v.Progress = plural(t.Probes-t.Failures, "good probe")
		if t.Failures > 0 {
			v.Progress += ", " + plural(t.Failures, "failure")
		}
	}
	if s.Incident != nil {
		v.Going = "What is happening"
		for _, step := range s.Incident.Steps {
			v.Steps = append(v.Steps, v.step(step))
		}
	}
	v.Trouble = !s.Healthy() && s.State != policy.Starting && s.State != policy.Treating
	if v.Trouble {
		v.Advice = s.Diagnosis.Advice
		v.Seen = evidenceList(s.Diagnosis.Seen)
	}
	if p := s.LastProbe; p != nil {
		v.Checked = v.hour(p.At)
	}
	for _, a := range s.Allowed {
		if a != s.Protocol.Setting {
			v.Tries = append(v.Tries, a)
		}
	}
	v.Bar = bar{Score: number(s.Detector.Score), Alarm: number(s.Detector.Alarm), Over: s.Detector.Score >= s.Detector.Alarm}
	if s.Detector.Alarm > 0 { // the alarm line stands at four fifths
		v.Bar.Width = min(100, int(80*s.Detector.Score/s.Detector.Alarm+0.5))
	}
}

// face puts the state into one sentence, its meaning into a second.
func (v *homeView) face(s *medic.Status) look {
	l := look{Class: string(s.State), Word: stateWords[s.State], Since: v.span(v.now.Sub(s.Since))}
	good := ""
	if p := s.LastProbe; p != nil && p.OK {
		good = "Last check at " + v.hour(p.At) + ": answered in " + millis(p.TookMS) + "."
	}
	switch s.State {
	case policy.Starting:
		l.Headline, l.Text = "Having a first look", "Tunnel Medic has just started."
	case policy.Healthy:
		l.Headline, l.Text = "Home Assistant can be reached", "The connection from outside through the tunnel is good. "+good
	case policy.Suspect:
		l.Headline, l.Text = "Home Assistant cannot be reached", s.Diagnosis.Summary
		if s.Incident == nil && s.Detector.Score > 0 {
			l.Headline, l.Text = "Looking closely", "A probe failed. More are made now, to tell a fault from a hiccup."
		}
		if len(s.Gates) > 0 {
			l.Text = s.Diagnosis.Summary + " Nothing is changed for now: " + strings.Join(policy.Words(s.Gates), "; ") + "."
		}
	case policy.Treating:
		l.Headline, l.Text = v.treating(s)
	case policy.Holding:
		l.Headline, l.Text = "Home Assistant cannot be reached", s.Diagnosis.Summary
		if slices.Contains(s.Gates, policy.GateQUIC) {
			l.Text += " Nothing is changed: " + string(policy.GateQUIC) + "."
		}
		if v.now.Before(s.HoldUntil) {
			l.Text += " It is checked all the time; the tunnel is left alone until " + v.hour(s.HoldUntil) + "."
		}
	case policy.Blind:
		l.Headline, l.Text = "The connection cannot be watched", s.Diagnosis.Summary
	case policy.Observing:
		l.Headline, l.Text = "Home Assistant cannot be reached", s.Diagnosis.Summary+" The mode is observe, so nothing is changed."
	case policy.Paused:
		l.Headline = "Paused until " + v.hour(s.PausedUntil)
		if policy.Forever(s.PausedUntil) {
			l.Headline = "Healing is switched off"
		}
		l.Text = "Nothing is changed until then. "
		if policy.Forever(s.PausedUntil) {
			l.Text = "Nothing is changed until you switch it on again. "
		}
		if s.Healthy() {
			l.Text += "Home Assistant can be reached from outside. " + good
		} else {
			l.Text += s.Diagnosis.Summary
		}
	}
	return l
}

func (v *homeView) treating(s *medic.Status) (headline, text string) {
	t := s.Trial
	if t == nil {
		return "Mending the connection", s.Diagnosis.Summary
	}
	switch t.Purpose {
	case policy.ByHand:
		headline = "Trying " + t.Protocol
	case policy.Failback:
		headline = "Trying your own setting again"
	case policy.Restore, policy.Return, policy.HandBack:
		headline = "Going back to " + t.Protocol
	default:
		headline = "Mending the connection"
	}
	if t.Settled {
		return headline, "The tunnel is connected with " + t.Protocol + "; now it has to prove itself."
	}
	return headline, "The tunnel is restarted with the protocol " + t.Protocol + ". This takes some seconds, up to two minutes."
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
	ID, Class, Outcome, When, ISO, Took, Summary, Change string
}

func (c clock) past(i journal.Incident) pastView {
	v := pastView{ID: i.ID, When: c.moment(i.Onset), ISO: i.Onset.Format(time.RFC3339), Summary: summaryOf(i.Cause)}
	switch i.Outcome {
	case policy.StepCured:
		v.Class, v.Outcome = "healthy", "Mended with "+mendedBy(i).String()
	case policy.StepRecovered:
		v.Class, v.Outcome = "healthy", "Ended by itself"
	case policy.StepUser:
		v.Class, v.Outcome = "paused", "Ended by a change by hand"
	case "":
		v.Class, v.Outcome = "holding", "Still open"
	default:
		v.Class, v.Outcome = "paused", "Ended ("+string(i.Outcome)+")"
	}
	if !i.Ended.IsZero() {
		v.Took = c.span(i.Ended.Sub(i.Onset))
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

func summaryOf(cause diagnosis.Cause) string {
	return words.English().Cause(cause)
}

// evidenceNames are the looks' names for people, in the order of the way from
// outside to Home Assistant.
var evidenceNames = []struct{ key, name string }{
	{"public", "WebSocket from outside"}, {"page", "Page from outside"}, {"connector", "Tunnel"}, {"quic", "QUIC to Cloudflare"}, {"addon", "Add-on"}, {"service", "Tunnel's service"},
	{"direct", "WebSocket inside the house"}, {"core", "Home Assistant Core"}, {"core log", "Home Assistant's log"}, {"start page", "Start page"}, {"changed before", "Changed just before"}, {"internet", "Internet"}, {"supervisor", "Supervisor"},
}

func evidenceList(seen map[string]string) []seenView {
	var list []seenView
	known := map[string]bool{}
	for _, n := range evidenceNames {
		known[n.key] = true
		if text := seen[n.key]; text != "" {
			list = append(list, seenView{n.name, text})
		}
	}
	for _, key := range sortedKeys(seen) {
		if !known[key] {
			list = append(list, seenView{strings.ToUpper(key[:min(1, len(key))]) + key[min(1, len(key)):], seen[key]})
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
	case policy.StepSuspected, policy.StepRefused, policy.StepPostponed:
		return "suspect"
	}
	return "paused"
}
