// Package web is the ingress page and its JSON. Home Assistant's ingress is the
// only one who may ask: it has checked who the person is. It reads what the loop
// publishes, and hands a person's wishes to it.
package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/words"
)

// Medic is what the page asks of the loop.
type Medic interface {
	Status() medic.Status
	Alive(now time.Time) bool
	Probe()
}

// Incidents is what the page reads of the journal.
type Incidents interface {
	Incidents() []journal.Incident
	Incident(id string) (journal.Incident, bool)
}

// Config is what the page needs.
type Config struct {
	Medic     Medic
	Hands     Hands // the buttons
	Incidents Incidents
	History   func() journal.History // the account of the days
	Feed      *Feed                  // timeline and events
	Peers     []netip.Addr           // who may ask
	Log       zerolog.Logger
	Location  func() *time.Location         // of the house
	Voice     *words.Voice                  // the household's language; nil: English
	Report    func(journal.Incident) string // an incident as a text to pass on
	Doctor    func(context.Context, *words.Lang, func(DoctorRow)) (summary string, err error)
	Forget    func(context.Context) error // takes everything out of Home Assistant again

	// Test sends a test notification, and says which notify services took it.
	Test func(context.Context) (reached, failed []string, err error)
	// Wrong says what else keeps the program from its work.
	Wrong func() []words.Text
	// Screens are Home Assistant's own screens for an app, by its slug.
	Screens func(slug string) Screens
	// Admin says whether a user, by Home Assistant's id, may press the buttons.
	Admin func(ctx context.Context, user string) (bool, error)
	// Sick says why the container had better be restarted, "" if it need not.
	Sick func() string

	limit time.Duration // for tests: how long a reader who does not read is waited for; 0 = writeLimit
}

// Screens are paths of Home Assistant's own frontend, "" where one is not known.
type Screens struct {
	App string // the app that is asked for: start, stop, its log
	Own string // Tunnel Medic's configuration

	Blueprint string // the form that imports Tunnel Medic's blueprint
}

// Handler serves the page, its JSON and /healthz.
func Handler(c Config) http.Handler {
	page := http.NewServeMux()
	page.HandleFunc("GET /api/status", func(w http.ResponseWriter, r *http.Request) { reply(w, c.Medic.Status().In(c.lang(r))) })
	page.HandleFunc("GET /api/incidents", func(w http.ResponseWriter, r *http.Request) {
		list := c.Incidents.Incidents()
		for i := range list {
			list[i].Steps = c.lang(r).Steps(list[i].Steps)
			list[i].Account = journal.Account{} // one at a time, by its id: it is some ten times the rest
		}
		reply(w, list)
	})
	page.HandleFunc("GET /api/incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		i, ok := c.Incidents.Incident(r.PathValue("id"))
		if !ok {
			http.Error(w, "There is no incident of this id.", http.StatusNotFound)
			return
		}
		i.Steps = c.lang(r).Steps(i.Steps)
		reply(w, i)
	})
	p := newPages(c, rand.Text())
	page.HandleFunc("GET /{$}", p.home)
	page.HandleFunc("GET /incidents/{name}", p.incident)
	page.HandleFunc("GET /assets/{version}/{name}", p.asset)
	for name, do := range p.acts() {
		page.HandleFunc("POST /api/"+name, p.act(name, do))
	}
	page.HandleFunc("POST /api/doctor", p.doctor)
	page.HandleFunc("GET /api/events", p.events)
	guarded := c.only(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(c.patience())) // who does not read does not keep it waiting
		if r.URL.Path == "/healthz" && (loopback(r) || c.peer(r)) {
			c.health(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

func (c Config) health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "Only GET is answered here.", http.StatusMethodNotAllowed)
		return
	}
	if !c.Medic.Alive(time.Now()) {
		http.Error(w, "The loop gives no sign of life.", http.StatusServiceUnavailable)
		return
	}
	if why := c.Sick(); why != "" {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// only lets the ingress peers through.
func (c Config) only(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.peer(r) {
			c.Log.Debug().Str("from", r.RemoteAddr).Msg("A request from elsewhere than the ingress was refused.")
			http.Error(w, "This page is reached through Home Assistant only.", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (c Config) peer(r *http.Request) bool { return c.known(sender(r.RemoteAddr)) }

func (c Config) known(sender netip.Addr) bool {
	return sender.IsValid() && slices.ContainsFunc(c.Peers, func(p netip.Addr) bool { return bare(p) == sender })
}

func (c Config) patience() time.Duration { return cmp.Or(c.limit, writeLimit) }

func loopback(r *http.Request) bool { return sender(r.RemoteAddr).IsLoopback() }

// sender gives the address of who asks, not valid where it is none; an IPv4 address in IPv6 clothes
// is that IPv4 address.
func sender(addr string) netip.Addr {
	a, _ := netip.ParseAddrPort(addr)
	return bare(a.Addr())
}

func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the asker has gone: nobody is left to tell
}

// serverLog puts what net/http has to say of its own accord (a handler that panicked, a
// connection that could not be taken) into our log: no line of its own, and, as it may
// say it again and again, not without end.
type serverLog struct{ to zerolog.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	said, stack, _ := strings.Cut(strings.TrimSpace(string(p)), "\n")
	e := l.to.Error()
	if stack != "" {
		e = e.Str("stack", stack)
	}
	e.Msg("The page's server: " + plain.Sentence(said))
	return len(p), nil
}

// Server makes the server with limits that no single asker can stretch.
func Server(c Config) *http.Server {
	s := &http.Server{
		Handler:           Handler(c),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(serverLog{c.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute})}, "", 0),
	}
	s.RegisterOnShutdown(c.Feed.Close)
	return s
}

// maxConns is how many connections are open at once. Ingress opens one for each request
// that is under way; one for each open page carries its events.
const maxConns = 128

// Listener lets in only who may ask for something: the ingress peers, and this machine
// for its health. Everybody else's connection is closed before a byte of theirs is
// read, and so is one too many.
func (c Config) Listener(l net.Listener) net.Listener {
	return network.Few(l, maxConns, func(from net.Addr) bool {
		peer := sender(from.String())
		return peer.IsLoopback() || c.known(peer)
	})
}
