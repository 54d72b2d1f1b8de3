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
	"time"

	g "maragu.dev/gomponents"

	"tunnelmedic/internal/journal"
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
	denied    lately            // that somebody may not press a button
	tested    lately            // a test notification
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
	c := p.clock(r)
	s := p.Medic.Status().In(c.Lang)
	v := homeView{frame: p.frame(r, "Tunnel Medic"), told: told{c, s}, config: p.Config, message: message, bad: bad, rows: rows,
		week: r.URL.Query().Get("range") == "7d", screens: p.Screens(s.Target.Slug)}
	v.Class = s.State.String()
	list := p.incidents()
	v.available = c.available(p.History(), list)
	if !r.URL.Query().Has("all") {
		v.more = max(0, len(list)-shown)
	}
	for i, inc := range list {
		open := s.Incident != nil && inc.ID == s.Incident.ID
		if !open && (v.more == 0 || i < shown) {
			v.past = append(v.past, inc)
		}
	}
	p.render(w, r, status, v.page())
}

// shown is how many past incidents the main page lists at first.
const shown = 8

func (p *pages) clock(r *http.Request) clock {
	return clock{p.lang(r), time.Now(), p.Location()}
}

func (p *pages) incident(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	id, plain := strings.CutSuffix(name, ".md")
	inc, ok := p.Incidents.Incident(id)
	if !ok {
		http.Error(w, "There is no incident of this id.", http.StatusNotFound)
		return
	}
	if plain {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		w.Header().Set("Content-Disposition", `inline; filename="tunnelmedic-`+id+`.md"`)
		_, _ = w.Write([]byte(p.Report(inc)))
		return
	}
	c := p.clock(r)
	v := incidentView{p.frame(r, c.Say("page.incident", words.With{"moment": c.at(inc.Onset, words.Date)})), c, inc}
	p.render(w, r, http.StatusOK, v.page())
}
