package medic

import (
	"context"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/words"
)

// When Cloudflare is asked: daily, when an incident begins and ends, and once more
// some time after either, because its status page is written by people.
const (
	askEvery   = 24 * time.Hour
	askAgain   = time.Hour
	askTimeout = time.Minute // for all of it together
)

// How often versions and settings are looked at.
const (
	stockEvery   = 10 * time.Minute
	stockTimeout = 30 * time.Second
)

// freshWord is how long Cloudflare's word on connections counts: they come and go.
const freshWord = 5 * time.Minute

// Upstream asks Cloudflare about itself.
type Upstream interface {
	Ask(context.Context, upstream.Question) evidence.Upstream
}

// System tells the versions of the installation.
type System func(context.Context) (supervisor.System, error)

// Installation says what is installed and set.
type Installation interface {
	CoreInfo(context.Context) (supervisor.CoreInfo, error)
	Info(ctx context.Context, slug string) (supervisor.Info, error)
}

// enquiries are asked for the reports, beside the loop: nothing waits for an answer.
type enquiries struct {
	upstream   Upstream // nil: nobody asks Cloudflare
	system     System   // may be nil
	super      Installation
	chron      *journal.Chronicle
	background *background
	log        zerolog.Logger

	asking errand[answer]
	again  time.Time         // when to ask once more; zero: not planned
	id     string            // the incident that is then asked about, "" for none
	onset  time.Time         // its onset
	said   evidence.Upstream // the last answer

	stocking errand[stock]
	stockAt  time.Time
	open     string // the incident at the last stock-taking
}

func newEnquiries(set Settings, s Installation, c *journal.Chronicle, b *background, log zerolog.Logger) *enquiries {
	return &enquiries{upstream: set.Upstream, system: set.System, super: s, chron: c, background: b, log: log, asking: newErrand[answer](), stocking: newErrand[stock]()}
}

// answer is what Cloudflare said, and the incident it is for.
type answer struct {
	up       evidence.Upstream
	incident string
}

// stock is what is installed and set at a moment.
type stock struct {
	versions journal.Versions
	settings journal.Settings
}

// subject is what is asked about.
type subject struct {
	slug, host string // "": not known
	connector  *tunnel.Connector
}

// due asks what is due.
func (q *enquiries) due(s subject, now time.Time) {
	if s.host != "" {
		asked := q.chron.History().AskedAt
		switch {
		case now.Sub(asked) >= askEvery || now.Before(asked):
			q.about(nil, s, now)
		case !q.again.IsZero() && !now.Before(q.again):
			q.again = time.Time{}
			q.ask(s, now)
		}
	}
	if i := q.chron.Open(); i != nil && i.ID != q.open {
		q.open, q.stockAt = i.ID, time.Time{} // what has changed meanwhile?
	}
	if s.slug != "" && !q.stocking.out && (now.Sub(q.stockAt) >= stockEvery || now.Before(q.stockAt)) {
		q.takeStock(s.slug, now)
	}
}

// receive takes what was answered meanwhile.
func (q *enquiries) receive(now time.Time) {
	if h := q.asking.take(); h != nil {
		q.said = h.up
		for _, t := range q.chron.Hear(h.up, h.incident, now) { // said once, not daily
			q.log.Warn().Msg(words.English().Say("log.gap", words.With{"what": words.Gap(t)}))
		}
	}
	if s := q.stocking.take(); s != nil {
		q.chron.Installed(now, s.versions, s.settings)
	}
}

// about asks Cloudflare now, and, about an incident, once more later.
func (q *enquiries) about(i *journal.Incident, s subject, now time.Time) {
	q.id, q.again = "", time.Time{}
	if i != nil {
		q.id, q.onset, q.again = i.ID, i.Onset, now.Add(askAgain)
	}
	q.ask(s, now)
}

func (q *enquiries) ask(s subject, now time.Time) {
	if q.upstream == nil || s.host == "" {
		return
	}
	if q.asking.out { // what is under way may be too old for what it is wanted for
		q.again = now
		return
	}
	q.chron.Asking(now)
	question, id := upstream.Question{}, q.id
	if id != "" {
		question.Reports, question.Colos, question.From = true, q.chron.Colos(), q.onset.Add(-3*24*time.Hour)
	}
	q.asking.run(q.background, "asking Cloudflare", askTimeout, func(ctx context.Context) answer {
		question.Hosts, question.Tunnel = s.connector.Hosts(ctx, s.host), s.connector.TunnelID
		return answer{q.upstream.Ask(ctx, question), id}
	})
}

// takeStock asks for the versions and settings in force: what changed just before a fault
// is worth knowing.
func (q *enquiries) takeStock(slug string, now time.Time) {
	q.stockAt = now
	q.stocking.run(q.background, "taking stock", stockTimeout, func(ctx context.Context) (s stock) {
		if q.system != nil {
			if i, err := q.system(ctx); err == nil {
				s.versions = journal.Versions{Supervisor: i.Supervisor, Core: i.HomeAssistant, OS: i.OperatingSystem, Machine: i.Machine}
			}
		}
		if i, err := q.super.CoreInfo(ctx); err == nil && i.Port > 0 {
			s.settings.Port, s.settings.SSL = strconv.Itoa(i.Port), map[bool]string{true: "on", false: "off"}[i.SSL]
		}
		if i, err := q.super.Info(ctx, slug); err == nil && i.Installed() && i.OptionsError == nil {
			s.settings.Flags = tunnel.FlagNames(i.Options)
		}
		return s
	})
}

// zone is what Cloudflare's API said last.
func (q *enquiries) zone(now time.Time) evidence.Zone {
	z := q.said.Said()
	if now.Sub(q.said.At) > freshWord {
		z.Connected = evidence.NotKnown
	}
	return z
}
