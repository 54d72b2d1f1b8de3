// Package doctor makes every look once, side by side, and lays out what was asked,
// what came, what it means and what to do. Inside Home Assistant it looks from all
// sides; anywhere else it makes the looks that anyone with a tunnel can make.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/words"
)

// Bounds in time.
const (
	lookTimeout = 5 * time.Second
	restLimit   = 8 * time.Second // of all looks but that at the public name
	// expirySoon is when a certificate's end is worth a word.
	expirySoon = 14 * 24 * time.Hour
)

// Place is what to look at, and from where.
type Place struct {
	Public   probe.Target    // URL nil: found by Supervisor's word; its network is that of all looks
	Looks    survey.Settings // without a Supervisor: outside Home Assistant. How long a look takes is the doctor's
	Wish     tunnel.Wish     // which app, inside Home Assistant
	Word     Upstream        // Cloudflare's own, of the zone that the watched tunnel is in; nil: nobody asks
	Location *time.Location  // the home's time zone; nil: Supervisor is asked
	Notes    []string        // what the reader should know of how this was set up
	Lang     *words.Lang     // that the rows and the verdict are told in; nil: English
}

// Upstream asks Cloudflare about itself.
type Upstream interface {
	Ask(context.Context, upstream.Question) evidence.Upstream
}

func (p *Place) inside() bool { return p.Looks.Supervisor != nil }

// Verdict is what a row means.
type Verdict string

const (
	Good   Verdict = "ok"
	Bad    Verdict = "bad"
	Unsure Verdict = "?"
	Beside Verdict = "–" // it bears on nothing here
)

// Row is one look: which component was asked what, what came, what it means, and
// what to do about it, "" where there is nothing.
type Row struct {
	Component string        `json:"component"`
	Asked     string        `json:"asked"`
	Came      string        `json:"came"`
	Verdict   Verdict       `json:"verdict"`
	Do        string        `json:"do,omitempty"`
	Took      time.Duration `json:"took_ns"`
}

// Report is everything seen, and what it amounts to.
type Report struct {
	At       time.Time           `json:"at"`
	Took     time.Duration       `json:"took_ns"`
	URL      string              `json:"url"`
	Notes    []string            `json:"notes,omitempty"`
	Rows     []Row               `json:"rows"`
	Cause    diagnosis.Cause     `json:"cause"`
	Remedy   diagnosis.Remedy    `json:"remedy"`
	Summary  string              `json:"summary"`
	Advice   []string            `json:"advice,omitempty"`
	Rests    string              `json:"rests"`
	Docs     string              `json:"docs"`
	Seen     map[string]string   `json:"seen"`
	Curl     []string            `json:"curl,omitempty"` // the same looks outside this program
	Refused  bool                `json:"token_refused,omitempty"`
	Code     int                 `json:"exit_code"`
	Evidence []evidence.Evidence `json:"-"`
}

// Exit codes.
const (
	Healthy  = 0
	Ill      = 1
	CantTell = 2
)

// Examine makes every look once. done is told each row as it is finished, from
// several goroutines one at a time; it may be nil. An error is one line that says
// what to write instead: nothing was looked at then.
func Examine(ctx context.Context, p Place, done func(Row)) (Report, error) {
	x := &examination{place: p, done: done, notes: slices.Clone(p.Notes)}
	if err := x.find(ctx); err != nil {
		return Report{}, err
	}
	x.look(ctx)
	return x.report(), nil
}

// examination is one run of all looks.
type examination struct {
	place  Place
	target tunnel.Target
	conn   *tunnel.Connector
	done   func(Row)
	notes  []string
	found  error // why the house's tunnel was not found
	seen   survey.Seen
	ended  map[survey.Name]bool
	rows   []Row // as in the table
}

// find says what is to be looked at. A public address of the user's own choice that
// is not the watched tunnel's is looked at from outside only, and no secret is sent
// there.
func (x *examination) find(ctx context.Context) error {
	look, wish := &x.place.Looks, x.place.Wish
	if !x.place.inside() {
		if x.place.Public.URL == nil {
			return errors.New("outside Home Assistant the address is needed: tunnelmedic doctor --url https://ha.example.com")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	wish.Home = look.OriginURL
	t, err := tunnel.Find(ctx, look.Supervisor, wish, x.connector)
	x.target, x.found = t, err
	if t.Slug != "" || look.ConnectorURL != "" {
		x.conn = x.connector(t)
	}
	if len(t.Others) > 0 {
		x.notes = append(x.notes, "Another Cloudflared app is installed as well ("+strings.Join(t.Others, ", ")+"); it is not looked at.")
	}
	wanted := x.place.Public.URL
	switch {
	case wanted == nil && t.URL == nil:
		return fmt.Errorf("the public address is not known: %w", err)
	case wanted == nil:
		x.place.Public.URL = t.URL
		if !t.Trusted {
			x.notes = append(x.notes, "Only an app from a store that Tunnel Medic does not know names this address, so no token or certificate is shown to it. If it is yours, set it as the public address.")
			x.place.Public = x.place.Public.Bare()
		}
	case t.URL == nil && wish.URL != "" && sameHost(wish.URL, wanted): // what is known of it is the user's own word
	case t.URL == nil || t.URL.Host != wanted.Host:
		x.notes = append(x.notes, "This is not the address that the Cloudflared app is known to serve, so it is looked at from outside only, and no token or certificate is shown to it.")
		x.place.Looks, x.place.Public = survey.Settings{World: look.World}, x.place.Public.Bare()
	}
	return nil
}

func (x *examination) connector(t tunnel.Target) *tunnel.Connector {
	return tunnel.ConnectorOf(t, x.place.Looks.ConnectorURL).Over(x.place.Public.Net)
}

// look makes every look of the plan.
func (x *examination) look(ctx context.Context) {
	home, set := survey.Home{Public: x.place.Public}, x.place.Looks
	home.Public.Timeout = Bounded(home.Public)
	set.Timeout, set.Limit, set.Log = home.Public.Timeout, restLimit, zerolog.Nop()
	set.Remember = nil // that is the daemon's
	if x.place.inside() {
		home.Slug, home.Connector, home.Location = x.target.Slug, x.conn, x.location(ctx)
	}
	x.ended, x.rows = map[survey.Name]bool{}, make([]Row, len(table))
	word := x.word(ctx)
	x.seen = survey.New(set).Survey(ctx, home, survey.Moment{Whole: true, Done: x.tell})
	said := <-word
	x.seen.Evidence.Zone = said.Said()
	x.notes = append(x.notes, x.lang().Texts(words.Gaps(said.Troubles))...)
}

// word asks Cloudflare while the looks are made.
func (x *examination) word(ctx context.Context) <-chan evidence.Upstream {
	said := make(chan evidence.Upstream, 1)
	if x.place.Word == nil || !x.place.inside() || x.conn == nil {
		said <- evidence.Upstream{}
		return said
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, restLimit)
		defer cancel()
		said <- x.place.Word.Ask(ctx, upstream.Question{Hosts: x.conn.Hosts(ctx, x.place.Public.URL.Hostname()), Tunnel: x.conn.TunnelID})
	}()
	return said
}

// tell makes the rows that rest on a look, once all is seen that they rest on.
func (x *examination) tell(f survey.Finding) {
	x.ended[f.Of] = true
	if fault := (survey.Fault{}); errors.As(f.Err, &fault) {
		x.notes = append(x.notes, fault.Error())
	}
	for at, r := range table {
		if slices.Contains(r.of, f.Of) && !slices.ContainsFunc(r.of, func(n survey.Name) bool { return !x.ended[n] }) {
			x.put(at, r.row(x, f))
		}
	}
}

// location is the home's time zone, nil where it cannot be had.
func (x *examination) location(ctx context.Context) *time.Location {
	if l := x.place.Location; l != nil {
		return l
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s, err := x.place.Looks.Supervisor.SystemInfo(ctx)
	if err != nil || s.TimeZone == "" {
		return nil
	}
	l, _ := time.LoadLocation(s.TimeZone) // nil of a name that it does not know
	return l
}

// put keeps a row and tells of it.
func (x *examination) put(at int, r row) {
	if r.empty() {
		return
	}
	x.rows[at] = r.in(x.lang())
	if x.done != nil {
		x.done(x.rows[at])
	}
}

func (x *examination) lang() *words.Lang {
	if x.place.Lang != nil {
		return x.place.Lang
	}
	return words.English()
}

// report lays it all out.
func (x *examination) report() Report {
	e := x.seen.Evidence
	d := diagnosis.Of(e)
	if d.Cause == diagnosis.Healthy {
		if e, other := e, x.seen.Other; other.Done() && other.Stage >= evidence.Connected && !other.Healthy() {
			// One of the two families fails, and with it those visitors who have only that.
			e.Public, e.Connector.Before = other, nil
			if o := diagnosis.Of(e); o.Cause != diagnosis.Healthy {
				o.Over = family(x.seen.Others)
				d = o
			}
		}
	}
	said := x.lang()
	r := Report{At: e.At, Took: time.Since(e.At), URL: x.place.Public.URL.String(), Notes: x.notes, Cause: d.Cause, Remedy: d.Remedy, Summary: said.Summary(d),
		Advice: said.Advice(d), Rests: said.Basis(d), Docs: "DOCS.md#" + d.Cause.Anchor(), Seen: said.Seen(e), Code: code(d, e), Refused: e.Public.SignIn == evidence.TokenRefused, Evidence: []evidence.Evidence{e}}
	for _, row := range x.rows {
		if row.Component != "" {
			r.Rows = append(r.Rows, row)
		}
	}
	if e.SupervisorAway != "" {
		r.Rows = append(r.Rows, row{name: words.Of("doctor.row.supervisor"), asked: "its API", came: words.Pieces{e.SupervisorAway}, verdict: Bad}.in(said))
	}
	r.Curl = x.curls()
	return r
}

// code is the exit code: what stands in the probe's way leaves the question open.
func code(d diagnosis.Diagnosis, e evidence.Evidence) int {
	switch {
	case d.Cause == diagnosis.Healthy:
		return Healthy
	case d.Cause.Blinds(), d.Cause == diagnosis.SupervisorAway, !e.Public.Done(), e.Public.Trouble == evidence.Unusable, d.Cause == diagnosis.SignInUnanswered:
		return CantTell
	}
	return Ill
}

func family(network string) string {
	return map[string]string{"tcp4": "IPv4", "tcp6": "IPv6"}[network]
}

// Bounded keeps a look's time within what the whole may take.
func Bounded(t probe.Target) time.Duration { return min(t.Limit(), lookTimeout) }

func sameHost(text string, u *url.URL) bool {
	v, err := probe.CheckURL(text)
	return err == nil && v.Host == u.Host
}

// Settle finds the public address of a place that has none yet, as Examine does.
func Settle(ctx context.Context, p *Place) error {
	x := &examination{place: *p, notes: p.Notes}
	if err := x.find(ctx); err != nil {
		return err
	}
	*p = x.place
	p.Notes = x.notes
	return nil
}
