package journal

import (
	"cmp"
	"slices"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
)

// How often the history goes to the disk while all is well: some 3 KB, four times a
// day. And how often a lasting incident's account does between its steps.
const (
	historyEvery  = 6 * time.Hour
	incidentEvery = 30 * time.Minute
)

// recentRuns is how many runs of probes are remembered for an incident's beginning.
const recentRuns = 40

// Say puts a look into sentences by the names of its parts, for who reads the kept files without this program.
type Say func(evidence.Evidence, diagnosis.Diagnosis) map[string]string

// Chronicle is what is kept for the reports: it is told what happened, and decides nothing.
// One goroutine alone touches it. What the disk does not take, the journal has in memory.
type Chronicle struct {
	journal  *Journal
	version  string        // of this program
	interval time.Duration // between probes in health
	say      Say

	hist  History
	open  *Incident // the one that the story goes on with; nil: none
	dirty bool
	wrote time.Time // the history
	noted time.Time // the open incident's account

	recent    []Run
	last      Seen
	installed Versions  // by the last stock-taking
	at        time.Time // of the last look
	others    others
	begun     time.Time     // of the change under way
	ours      time.Duration // spent on changes since the last look
}

// Seen is one look, and what was in force then.
type Seen struct {
	Evidence  evidence.Evidence
	Diagnosis diagnosis.Diagnosis
	Setting   evidence.Protocol
	Transport evidence.Transport // as known before, where the connector does not say
	Blind     bool               // there was nothing to look at
}

func (s Seen) transport() evidence.Transport {
	if t := s.Evidence.Connector.Transport; t != evidence.NoTransport {
		return t
	}
	return s.Transport
}

// NewChronicle goes on with what the journal holds.
func NewChronicle(j *Journal, version string, interval time.Duration, say Say) *Chronicle {
	return &Chronicle{journal: j, version: version, interval: interval, say: say, hist: j.History()}
}

// TakeUp goes on with the story of the incident with this id, "" for none.
func (c *Chronicle) TakeUp(id string) {
	c.open = nil
	if kept, ok := c.journal.Incident(id); ok {
		c.open = &kept
	}
}

// Open is the incident that the story goes on with; nil: there is none.
func (c *Chronicle) Open() *Incident { return c.open }

// History is what is known of the past. It is for reading.
func (c *Chronicle) History() *History { return &c.hist }

// Locate notes the house's time zone.
func (c *Chronicle) Locate(l *time.Location) {
	if l != nil {
		c.hist.TimeZone = l.String()
	}
}

// Look takes a look into the account of the day and of the open incident.
func (c *Chronicle) Look(s Seen, now time.Time) {
	e, d := s.Evidence, s.Diagnosis
	// From probe's beginning to probe's beginning: one that waits in vain must not count for more than one that is quick.
	at := now
	if !e.Public.At.IsZero() {
		at = e.Public.At
	}
	since := at.Sub(c.at)
	// A gap that no probe was due in says nothing: the program did not run, or the machine slept.
	gap := !c.at.IsZero() && since >= 0 && since <= 3*c.interval+c.ours+time.Minute
	ours := min(c.ours, max(since, 0))
	c.last, c.at, c.ours = s, at, 0
	if !e.Public.Done() || s.Blind {
		c.at = time.Time{}
		return
	}
	ok := c.probed(s, now)
	if !gap || !ok && d.Sign.Blinds() {
		return // how it was meanwhile is not known
	}
	c.passed(s, now, since, ours)
}

// probed counts a probe.
func (c *Chronicle) probed(s Seen, now time.Time) (ok bool) {
	e, d := s.Evidence, s.Diagnosis
	r := Run{From: e.Public.At, To: e.Public.At, N: 1, OK: e.Public.Healthy(), Counts: d.Vote != diagnosis.Abstains, Cause: d.Sign, Status: e.Public.Status,
		Setting: s.Setting, Transport: s.transport(), Colo: e.Public.Colo(), First: e.Public.CFRay(), Last: e.Public.CFRay()}
	if c.recent = Append(c.recent, r); len(c.recent) > recentRuns {
		c.recent = slices.Delete(c.recent, 0, len(c.recent)-recentRuns)
	}
	missed := c.others.missed(e.Connector)
	if c.open != nil {
		c.open.Account.Probe(r)
		c.open.Account.Missed400 += missed
	}
	c.dirty = true
	return r.OK
}

// passed counts the time since the look before, of which ours went to changes.
func (c *Chronicle) passed(s Seen, now time.Time, since, ours time.Duration) {
	day := c.hist.Day(now)
	day.Watched += since
	lost := ours
	if ours > 0 {
		day.Lose("restarts by Tunnel Medic", ours)
		day.LostByUs += ours
	}
	if !s.Evidence.Public.Healthy() {
		lost = since
		day.Lose(s.Diagnosis.Sign.String(), since-ours)
		if c.open != nil && c.open.Ended.IsZero() {
			c.open.Account.Lost += since - ours
		}
	}
	c.hist.Count(now, Watch{Watched: since, Lost: lost, LostByUs: ours})
}

// others is the second witness, the connector's own counters: it counts other people's failures, too.
type others struct{ last *evidence.Counters }

// missed gives the 400s that it counted between our probes.
func (o *others) missed(now evidence.Connector) (n uint64) {
	if was := o.last; was != nil && now.Before != nil && now.Before.Requests >= was.Requests && now.Before.Codes[400] > was.Codes[400] {
		n = now.Before.Codes[400] - was.Codes[400]
	}
	o.last = cmp.Or(now.AfterPage, now.Counters, o.last)
	return n
}

// Colos are the data centres that the probes met of late.
func (c *Chronicle) Colos() []string {
	var list []string
	for _, r := range c.recent {
		if r.Colo != "" && !slices.Contains(list, r.Colo) {
			list = append(list, r.Colo)
		}
	}
	return list
}

// Begin and Made are a change's beginning and end.
func (c *Chronicle) Begin(now time.Time) { c.begun = now }

// Made takes a change that was carried out, or was to be. Its At and Took are counted from Begin.
func (c *Chronicle) Made(change ChangeMade, now time.Time) {
	change.At = now
	if !c.begun.IsZero() {
		change.At, change.Took, c.begun = c.begun, now.Sub(c.begun), time.Time{}
	}
	if change.Restarts > 0 {
		c.ours += change.Took
		c.hist.Day(now).Restarts += change.Restarts
		c.dirty = true
	}
	if c.open != nil {
		c.open.Account.Change(change)
		if change.Restarts > 0 {
			c.open.Account.LostByUs += change.Took
		}
	}
}

// greeted are the versions that the last look met.
func (c *Chronicle) greeted() Versions {
	e := c.last.Evidence
	v := Versions{Medic: c.version, AddOn: e.AddOn.Version, Core: cmp.Or(e.Public.HAVersion, e.Direct.HAVersion)}
	if n := e.Connector.Counters; n != nil {
		v.Cloudflared = n.Version
	}
	return v
}

// versions are those that the last look met, and the installation's.
func (c *Chronicle) versions() Versions {
	v, of := c.greeted(), c.installed
	v.Core, v.Supervisor, v.OS, v.Machine = cmp.Or(v.Core, of.Core), of.Supervisor, of.OS, of.Machine
	return v
}

// Installed takes the installation's versions and the settings in force, as far as they are
// known. What changed is worth a write.
func (c *Chronicle) Installed(now time.Time, v Versions, s Settings) {
	if v != (Versions{}) {
		c.installed = v
	}
	if c.open != nil && c.open.Account.Versions.Supervisor == "" { // it began before they were known
		c.open.Account.Versions = c.versions()
	}
	v.Core = "" // what greets through the tunnel says it itself, and may be another one
	c.note(now, v, s)
}

// Own notes the user's own protocol.
func (c *Chronicle) Own(now time.Time, protocol string) {
	c.note(now, Versions{}, Settings{Protocol: protocol})
}

func (c *Chronicle) note(now time.Time, v Versions, s Settings) {
	if c.hist.Note(now, v, s) {
		c.dirty, c.wrote = true, time.Time{}
	}
}

// Asking notes that Cloudflare is being asked.
func (c *Chronicle) Asking(now time.Time) { c.hist.AskedAt, c.dirty = now, true }

// Hear takes Cloudflare's word into the history and the incident that it was asked about, ""
// for none. It gives what is new of the reasons why that word is not, or not wholly, to be had.
func (c *Chronicle) Hear(up evidence.Upstream, incident string, now time.Time) (troubles []evidence.Gap) {
	c.dirty = true
	for _, t := range up.Troubles {
		if !slices.Contains(c.hist.Notes, t) {
			troubles = append(troubles, t)
		}
	}
	c.hist.Notes = up.Troubles
	if c.hist.Rules(now, up.Rules) {
		c.wrote = time.Time{}
	}
	i := c.open
	if i == nil || i.ID != incident {
		kept, ok := c.journal.Incident(incident)
		if incident == "" || !ok {
			return troubles
		}
		i = &kept
	}
	i.Account.Hear(up)
	_ = c.journal.Write(*i)
	return troubles
}

// File writes what is due.
func (c *Chronicle) File(now time.Time) {
	c.note(now, c.greeted(), Settings{})
	if c.open != nil && c.open.Ended.IsZero() && now.Sub(c.noted) >= incidentEvery {
		c.noted = now
		_ = c.journal.Write(*c.open)
	}
	if c.dirty && now.Sub(c.wrote) >= historyEvery {
		c.write(now)
	}
}

// Close keeps what would be lost with the program's end.
func (c *Chronicle) Close(now time.Time) {
	if c.open != nil {
		_ = c.journal.Write(*c.open)
	}
	if c.dirty {
		c.write(now)
	}
}

func (c *Chronicle) write(now time.Time) {
	c.dirty, c.wrote = false, now
	_ = c.journal.WriteHistory(c.hist)
}
