package medic

import (
	"context"
	"net/http"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// When the start page is asked for: once a day and when Home Assistant's version changed;
// and sooner, in intervals between probes, to be sure of a stale one and to see its end.
const (
	pageEvery   = 24 * time.Hour
	pageConfirm = 5
	pageAgain   = 15
	pageProof   = 2 // looks in a row: an update may come between two requests
	pageTimeout = time.Minute
)

// How often Home Assistant's log is read: while a probe fails, in bursts; for what
// others meet, in intervals between probes.
const (
	coreLogBursts    = 15
	coreLogIntervals = 5
)

// seldom is what the loop keeps of looks that are made seldom. The loop's goroutine alone
// touches it, but for answers.
type seldom struct {
	pageAsking  bool
	pageAt      time.Time
	pageVersion string // of Home Assistant then
	pageSeen    evidence.Frontend
	pageStale   int // looks in a row that found it stale
	pages       chan evidence.Frontend

	coreAt   time.Time
	coreSaid evidence.CoreLog

	turnover diagnosis.Turnover
}

// lookAtPage hears what became of the last look at the start page, and makes the next one
// where it is due: in the background, and only while all is well.
func (m *Medic) lookAtPage(e evidence.Evidence, now time.Time) {
	s := &m.seldom
	select {
	case f := <-s.pages:
		s.pageAsking = false
		switch {
		case f.Stale():
			s.pageStale, s.pageSeen = s.pageStale+1, f
		case f.Script != "": // else it was not seen, and says nothing
			s.pageStale, s.pageSeen = 0, f
		}
		m.log.Debug().Str("start_page", diagnosis.FrontendInShort(f)).Msg("Looked at the start page.")
	default:
	}
	version, interval := e.Public.HAVersion, m.set.Rules.Interval
	wait := pageEvery
	switch {
	case s.pageStale >= pageProof:
		wait = pageAgain * interval
	case s.pageStale > 0:
		wait = pageConfirm * interval
	}
	due := s.pageAt.IsZero() || now.Sub(s.pageAt) >= wait || version != s.pageVersion
	if s.pageAsking || !due || !e.Public.Healthy() || m.state.Alert() || m.target.URL == nil {
		return
	}
	s.pageAsking, s.pageAt, s.pageVersion = true, now, version
	target, pages := m.way.Like(m.publicTarget()), s.pages
	m.side.Go(func() {
		ctx, cancel := context.WithTimeout(m.life, pageTimeout)
		defer cancel()
		f := survey.Frontend(ctx, target, tunnel.HomeOf(ctx, m.super, m.set.OriginURL).URL, m.set.Timeout)
		if core, err := m.super.CoreInfo(ctx); err == nil && core.Version != "" && version != "" {
			f.Elsewhere = core.Version != version
		}
		if m.life.Err() == nil {
			pages <- f // one at a time: there is room
		}
	})
}

// coreLog reads Home Assistant's own log, no oftener than every so often.
func (m *Medic) coreLog(ctx context.Context, now time.Time, every time.Duration) evidence.CoreLog {
	s := &m.seldom
	if now.Sub(s.coreAt) < every && !now.Before(s.coreAt) {
		return s.coreSaid
	}
	text, err := m.super.CoreLog(ctx)
	if err != nil {
		return evidence.CoreLog{} // no log, no word
	}
	s.coreAt, s.coreSaid = now, survey.ReadCoreLog(text, now, m.set.Rules.Location)
	return s.coreSaid
}

// refused says whether Home Assistant's own log can say more of an answer.
func refused(l evidence.Look) bool {
	return l.CFRay() != "" && (l.Status == http.StatusBadRequest || l.Status == http.StatusForbidden)
}

// suspect says whether the zone has both of what is suspected to break browsers' sign-in.
func suspect(u evidence.Upstream) evidence.Switch {
	switch {
	case u.MutualTLS == nil && u.HTTP3 == nil:
		return evidence.NotKnown
	case u.MutualTLS != nil && u.MutualTLS.Value == "off", u.HTTP3 != nil && u.HTTP3.Value == "off":
		return evidence.Off
	case u.MutualTLS != nil && u.HTTP3 != nil:
		return evidence.On
	}
	return evidence.NotKnown
}

// beside gives the diagnosis that people see, where all checks succeed and people fail all
// the same; d where nothing of the kind was seen.
func (m *Medic) beside(ctx context.Context, e evidence.Evidence, d diagnosis.Diagnosis, now time.Time) diagnosis.Diagnosis {
	s, interval := &m.seldom, m.set.Rules.Interval
	m.lookAtPage(e, now)
	if s.pageStale >= pageProof {
		e.Frontend = s.pageSeen
		if b := diagnosis.Beside(d, e); b.Cause != d.Cause {
			return b
		}
	}
	if d.Says() != diagnosis.Works {
		return d
	}
	if s.turnover.Curious(now, interval) || m.witness.Rising(now, interval) {
		limited, cancel := context.WithTimeout(ctx, controlTimeout)
		e.CoreLog = m.coreLog(limited, now, coreLogIntervals*interval)
		cancel()
	}
	was := s.turnover.Said()
	t, c := s.turnover.Closing(now, interval, e.CoreLog, suspect(m.chron.said))
	s.turnover = t
	if c == nil {
		return d
	}
	told := diagnosis.AboutClosing(*c, e)
	if !t.Said().Equal(was) {
		m.log.Warn().Uint64("brief", c.Brief).Int("logged", c.Logged).Int("good_probes", c.Good).Msg(words.English().Summary(told))
	}
	return told
}
