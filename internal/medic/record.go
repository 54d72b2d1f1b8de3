package medic

import (
	"context"
	"net"
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/words"
)

// How often the history goes to the disk while all is well: some 3 KB, four times a
// day. And how often a lasting incident's account does between its steps.
const (
	historyEvery  = 6 * time.Hour
	incidentEvery = 30 * time.Minute
)

// When Cloudflare is asked: daily, when an incident begins and ends, and once more
// some time after either, because its status page is written by people.
const (
	askEvery   = 24 * time.Hour
	askAgain   = time.Hour
	askTimeout = time.Minute // for all of it together
)

// recentRuns is how many runs of probes are remembered for an incident's beginning.
const recentRuns = 40

// Upstream asks Cloudflare about itself.
type Upstream interface {
	Ask(context.Context, upstream.Question) evidence.Upstream
}

// chronicle is what the loop keeps for the reports. It decides nothing, and nothing
// waits for it. The loop's goroutine alone touches it, but for answers.
type chronicle struct {
	hist  journal.History
	dirty bool
	wrote time.Time // the history
	noted time.Time // the open incident's account

	recent   []journal.Run
	e        evidence.Evidence // the last look
	d        diagnosis.Diagnosis
	at       time.Time // of the last look
	counters *evidence.Counters
	begun    time.Time     // of the change under way
	ours     time.Duration // spent on changes since the last look

	asking   bool
	stocking bool
	stockAt  time.Time
	stocks   chan stock

	again   time.Time // when to ask once more; zero: not planned
	id      string    // the incident that is then asked about, "" for none
	onset   time.Time // its onset
	answers chan heard
	said    evidence.Upstream // the last answer
}

// heard is an answer, and the incident it is for.
type heard struct {
	up       evidence.Upstream
	versions journal.Versions
	incident string
}

func newChronicle(j *journal.Journal) chronicle {
	return chronicle{hist: j.History(), answers: make(chan heard, 1), stocks: make(chan stock, 1)}
}

// keep takes a look into the account of the day and of the open incident.
func (m *Medic) keep(e evidence.Evidence, d diagnosis.Diagnosis, now time.Time) {
	c := &m.chron
	// From probe's beginning to probe's beginning: one that waits in vain must not count for more than one that is quick.
	at := now
	if !e.Public.At.IsZero() {
		at = e.Public.At
	}
	since := at.Sub(c.at)
	// A gap that no probe was due in says nothing: the program did not run, or the machine slept.
	gap := !c.at.IsZero() && since >= 0 && since <= 3*m.set.Rules.Interval+c.ours+time.Minute
	ours := min(c.ours, max(since, 0))
	c.e, c.d, c.at, c.ours = e, d, at, 0
	if !e.Public.Done() || m.blind != "" {
		c.at = time.Time{}
		return
	}
	r := journal.Run{From: e.Public.At, To: e.Public.At, N: 1, OK: e.Public.Healthy(), Counts: d.Vote != diagnosis.Abstains, Cause: d.Sign, Status: e.Public.Status,
		Setting: m.state.Set, Transport: m.transport(e), Colo: e.Public.Colo(), First: e.Public.CFRay(), Last: e.Public.CFRay(), MS: e.Public.Took.Milliseconds()}
	if c.recent = journal.Append(c.recent, r); len(c.recent) > recentRuns {
		c.recent = slices.Delete(c.recent, 0, len(c.recent)-recentRuns)
	}
	missed := c.missed(e.Connector)
	if m.incident != nil {
		m.incident.Account.Probe(r)
		m.incident.Account.Missed400 += missed
	}
	c.dirty = true
	day := c.hist.Day(now)
	day.Probes++
	if !r.OK {
		day.Failures++
	}
	day.Met(r.Colo)
	if !gap || !r.OK && d.Sign.Blinds() {
		return // how it was meanwhile is not known
	}
	day.Watched += since
	day.Over(r.Transport.String(), since)
	lost := ours
	if ours > 0 {
		day.Lose("restarts by Tunnel Medic", ours)
		day.LostByUs += ours
	}
	if !r.OK {
		lost = since
		day.Lose(d.Sign.String(), since-ours)
		if m.incident != nil && m.incident.Ended.IsZero() {
			m.incident.Account.Lost += since - ours
		}
	}
	c.hist.Count(now, journal.Watch{Watched: since, Lost: lost, LostByUs: ours})
}

// missed counts the 400s that the connector counted between our probes: the second
// witness, other people's failures.
func (c *chronicle) missed(now evidence.Connector) (n uint64) {
	if was := c.counters; was != nil && now.Before != nil && now.Before.Requests >= was.Requests && now.Before.Codes[400] > was.Codes[400] {
		n = now.Before.Codes[400] - was.Codes[400]
	}
	switch {
	case now.AfterPage != nil:
		c.counters = now.AfterPage
	case now.Counters != nil:
		c.counters = now.Counters
	}
	return n
}

func (m *Medic) transport(e evidence.Evidence) evidence.Transport {
	if e.Connector.Transport != evidence.NoTransport {
		return e.Connector.Transport
	}
	return m.state.Transport
}

// opened begins the account of a new incident with the probes that led to it: the
// last good ones, and all since.
func (m *Medic) opened(now time.Time) {
	c, a := &m.chron, &m.incident.Account
	first := 0
	for i, r := range c.recent {
		if r.To.Before(m.incident.Onset.Add(-time.Minute)) || r.OK && !r.To.After(m.incident.Onset) {
			first = i // the newest run before the onset
		}
	}
	probes, failures := 0, 0
	for _, r := range c.recent[first:] {
		// The good run before the onset is for the reader; only what came after is of the incident.
		if r.To.Before(m.incident.Onset.Add(-time.Second)) {
			a.Runs = journal.Append(a.Runs, r)
			continue
		}
		a.Probe(r)
		if r.Counts {
			probes += r.N
		}
		if r.Counts && !r.OK {
			failures += r.N
		}
	}
	if probes > 0 {
		a.Lost = time.Duration(float64(now.Sub(m.incident.Onset)) * float64(failures) / float64(probes))
	}
	a.Versions = m.versions()
	c.noted, c.stockAt = now, time.Time{} // what has changed meanwhile?
	// Where some probes are good, the last good one before the onset is meant, not the last of all.
	if m.incident.LastGood.After(m.incident.Onset) {
		m.incident.LastGood = time.Time{}
		for _, r := range c.recent {
			if r.OK && r.To.Before(m.incident.Onset) {
				m.incident.LastGood = r.To
			}
		}
	}
}

// versions are those that the last look and the history know.
func (m *Medic) versions() journal.Versions {
	v := journal.Versions{Medic: m.set.Version, AddOn: m.chron.e.AddOn.Version, Core: m.chron.e.Public.HAVersion}
	if v.Core == "" {
		v.Core = m.chron.e.Direct.HAVersion
	}
	if n := m.chron.e.Connector.Counters; n != nil {
		v.Cloudflared = n.Version
	}
	for _, s := range m.chron.hist.Versions { // oldest first: the newest stays
		for part, field := range map[string]*string{"Supervisor": &v.Supervisor, "operating system": &v.OS} {
			if s.Part == part {
				*field = s.Version
			}
		}
	}
	return v
}

// annotate takes the evidence of the moments that an incident turns on, and plans
// what Cloudflare is asked.
func (m *Medic) annotate(steps []policy.Step, now time.Time) {
	for _, s := range steps {
		when := ""
		//exhaustive:ignore
		switch s.Kind {
		case policy.StepAlarm:
			when = "when the fault was certain"
			m.inquire(now)
		case policy.StepRefused:
			when = "when " + s.Protocol.String() + " was given up"
		case policy.StepCured, policy.StepRecovered:
			when = "when it worked again"
			m.inquire(now)
		case policy.StepReturning:
			when = "when the fault was back under your own setting"
			m.inquire(now)
		case policy.StepFailedBack:
			when = "when your own setting was well again"
			m.inquire(now)
		}
		if when == "" || m.chron.e.At.IsZero() {
			continue
		}
		e, d := m.chron.e, m.chron.d
		m.incident.Account.Snap(journal.Snapshot{At: e.At, When: when, Cause: d.Cause, Rests: words.English().Basis(d), Setting: s.Protocol, Transport: m.transport(e), Ready: e.Connector.Ready, Edges: e.Connector.Edges,
			Public: journal.AnswerOf(e.Public), Page: journal.AnswerOf(e.Page), Direct: journal.AnswerOf(e.Direct), Internet: e.Internet, Seen: inShort(words.English(), e, d)})
	}
}

// begun and made are a change's beginning and end.
func (m *Medic) begun(now time.Time) { m.chron.begun = now }

func (m *Medic) made(out policy.Outcome, now time.Time) {
	c, t := &m.chron, m.state.Trial
	begun := c.begun
	c.begun = time.Time{}
	if t == nil {
		return
	}
	made := journal.ChangeMade{At: now, Purpose: t.Purpose, From: m.state.Set, To: t.Protocol, Before: m.state.Transport, After: out.Transport, Result: out.Result, Restarts: out.Restarts}
	if !begun.IsZero() {
		made.At, made.Took = begun, now.Sub(begun)
	}
	if out.Restarts > 0 {
		c.ours += made.Took
		day := c.hist.Day(now)
		day.Restarts += out.Restarts
		c.dirty = true
	}
	if m.incident != nil {
		m.incident.Account.Change(made)
		if out.Restarts > 0 {
			m.incident.Account.LostByUs += made.Took
		}
	}
}

// file writes what is due, hears what Cloudflare has answered, and asks what is due.
func (m *Medic) file(now time.Time) {
	c := &m.chron
	select {
	case h := <-c.answers:
		c.asking = false
		m.heard(h, now)
	default:
	}
	if m.target.URL != nil && m.blind == "" {
		switch {
		case now.Sub(c.hist.AskedAt) >= askEvery || now.Before(c.hist.AskedAt):
			m.inquire(now)
		case !c.again.IsZero() && !now.Before(c.again):
			c.again = time.Time{}
			m.inquireOnce(now)
		}
	}
	m.takeStock(now)
	v := m.versions()
	v.Supervisor, v.OS = "", "" // of the stock
	if c.hist.Note(now, v) {
		c.wrote = time.Time{} // a change of version is worth a write
	}
	if m.incident != nil && m.incident.Ended.IsZero() && now.Sub(c.noted) >= incidentEvery {
		c.noted = now
		m.keepIncident(*m.incident)
	}
	if c.dirty && now.Sub(c.wrote) >= historyEvery {
		m.writeHistory(now)
	}
}

func (m *Medic) writeHistory(now time.Time) {
	c := &m.chron
	c.dirty, c.wrote = false, now
	if l := m.set.Rules.Location; l != nil {
		c.hist.TimeZone = l.String()
	}
	if err := m.journal.WriteHistory(c.hist); err != nil {
		m.log.Debug().Err(err).Msg("The history is held in memory.")
	}
}

func (m *Medic) keepIncident(i journal.Incident) {
	if err := m.journal.Write(i); err != nil {
		m.log.Debug().Err(err).Msg("The incident is held in memory.")
	}
}

// putDown keeps what would be lost with the program's end.
func (m *Medic) putDown() {
	now := time.Now()
	select {
	case h := <-m.chron.answers:
		m.heard(h, now)
	default:
	}
	if m.incident != nil {
		m.keepIncident(*m.incident)
	}
	if m.chron.dirty {
		m.writeHistory(now)
	}
}

// inquire asks Cloudflare now, and, about an incident, once more later.
func (m *Medic) inquire(now time.Time) {
	c := &m.chron
	c.id, c.again = "", time.Time{}
	if m.incident != nil {
		c.id, c.onset, c.again = m.incident.ID, m.incident.Onset, now.Add(askAgain)
	}
	m.inquireOnce(now)
}

// inquireOnce asks in the background: nothing waits for the answer.
func (m *Medic) inquireOnce(now time.Time) {
	c := &m.chron
	if m.set.Upstream == nil || m.target.URL == nil {
		return
	}
	if c.asking { // what is under way may be too old for what it is wanted for
		c.again = now
		return
	}
	c.asking, c.hist.AskedAt, c.dirty = true, now, true
	q, id := upstream.Question{}, c.id
	if id != "" {
		q.Reports, q.Colos, q.From = true, m.colos(), c.onset.Add(-3*24*time.Hour)
	}
	host, connector := m.target.URL.Hostname(), m.connector
	m.aside("asking Cloudflare", func() {
		ctx, cancel := context.WithTimeout(m.life, askTimeout)
		defer cancel()
		q.Hosts = hosts(ctx, host, connector)
		q.Tunnel = connector.TunnelID
		h := heard{up: m.set.Upstream.Ask(ctx, q), incident: id}
		if m.life.Err() != nil {
			return // the program ends: what was not heard says nothing
		}
		if m.set.System != nil {
			if s, err := m.set.System(ctx); err == nil {
				h.versions = systemVersions(s)
			}
		}
		c.answers <- h // one at a time: there is room
	})
}

// hosts are the names to find the zone by: the public one, and, where that is an
// address, those of the tunnel's rules.
func hosts(ctx context.Context, host string, c *tunnel.Connector) []string {
	if net.ParseIP(host) == nil && host != "localhost" {
		return []string{host}
	}
	rules, err := c.Ingress(ctx)
	if err != nil {
		return []string{host}
	}
	list := []string{}
	for _, r := range rules {
		if r.Hostname != "" && len(list) < 3 {
			list = append(list, r.Hostname)
		}
	}
	return list
}

// colos are the data centres that the probes met of late.
func (m *Medic) colos() []string {
	var list []string
	for _, r := range m.chron.recent {
		if r.Colo != "" && !slices.Contains(list, r.Colo) {
			list = append(list, r.Colo)
		}
	}
	return list
}

// heard takes Cloudflare's answer into the history and the incident.
func (m *Medic) heard(h heard, now time.Time) {
	c := &m.chron
	c.said, c.dirty = h.up, true
	for _, t := range h.up.Troubles {
		if !slices.Contains(c.hist.Notes, t) { // said once, not daily
			m.log.Warn().Msg(t + " Healing does not depend on it.")
		}
	}
	c.hist.Notes, c.hist.NotesAt = h.up.Troubles, now
	news := c.hist.Rules(now, h.up.Rules)
	news = c.hist.Note(now, h.versions) || news
	if news {
		c.wrote = time.Time{}
	}
	if h.incident == "" {
		return
	}
	add := func(i *journal.Incident) {
		i.Account.Hear(h.up)
		if v := &i.Account.Versions; v.Supervisor == "" || v.Machine == "" {
			v.Supervisor, v.OS, v.Machine = h.versions.Supervisor, h.versions.OS, h.versions.Machine
			if v.Core == "" {
				v.Core = h.versions.Core
			}
		}
	}
	if m.incident != nil && m.incident.ID == h.incident {
		add(m.incident)
		m.keepIncident(*m.incident)
		return
	}
	if i, ok := m.journal.Incident(h.incident); ok {
		add(&i)
		m.keepIncident(i)
	}
}

// System tells the versions of the installation.
type System func(context.Context) (supervisor.System, error)
