// Package medic is the loop: it looks, has the evidence diagnosed, has the policy
// decide, has the change carried out, and passes on what happened. It decides
// nothing itself.
package medic

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// Supervisor is what the loop asks of the Supervisor.
type Supervisor interface {
	tunnel.Source
	treatment.Supervisor
}

// Settings are what the loop is given besides its rooms.
type Settings struct {
	Version      string
	Wish         tunnel.Wish
	ConnectorURL string       // "": by the add-on's host name
	OriginURL    string       // "": from Core's info
	Public       probe.Target // everything but the URL; its network is that of all looks
	Survey       Surveyor
	Sensor       time.Duration // between readings of the connector's counters
	Rules        policy.Rules
	Patience     treatment.Patience

	Cloudflare treatment.Cloudflare // whether its API answers

	Also func() []AddressStatus // of further public addresses; nil: there are none

	// For the reports; both may be nil.
	Upstream Upstream // Cloudflare's own word
	System   System   // versions of the installation
}

// Teller takes what people should hear of: the present status, and the steps that
// led to it. It must not block.
type Teller func(Status, []policy.Step)

// Medic is the loop. Make it with New, then call Run once.
type Medic struct {
	wishes
	*board
	set        Settings
	log        zerolog.Logger
	tell       []Teller
	pulse      pulse
	place      atomic.Pointer[time.Location] // of the house, if it became known after New
	background *background

	// The loop's own, touched by Run's goroutine alone.
	course
	app     *app
	eyes    *lookout
	parting *parting
	chron   *journal.Chronicle
	enquire *enquiries
	disk    diskWatch
	others  diagnosis.Others // what is seen of people beside our own checks
	gates   []policy.Gate
	warned  onChange  // of trouble with the options
	looked  time.Time // when the last round began
	faults  int       // rounds in a row that failed by a fault of the program's own
}

// New makes the loop. Tellers are called in order, from the loop's goroutine.
func New(set Settings, s Supervisor, j *journal.Journal, log zerolog.Logger, tell ...Teller) *Medic {
	now, rec := time.Now(), j.Record()
	m := &Medic{wishes: newWishes(), set: set, log: log, tell: tell, background: &background{life: context.Background(), log: log},
		course: course{rules: set.Rules, journal: j, state: set.Rules.Awake(rec.Policy, now), slug: rec.Slug}, disk: diskWatch{journal: j, log: log}}
	m.board = newBoard(set, m.state)
	m.others.Refused.Said = rec.ClientsTold
	m.chron = journal.NewChronicle(j, set.Version, set.Rules.Interval, said)
	m.chron.TakeUp(m.state.Story())
	m.chron.Locate(set.Rules.Location)
	m.enquire = newEnquiries(set, s, m.chron, m.background, log)
	m.app = &app{set: &m.set, super: s, journal: j, log: log}
	m.eyes = &lookout{app: m.app, journal: j, log: log, source: s}
	m.parting = &parting{course: &m.course, app: m.app, pulse: &m.pulse, chron: m.chron, log: log, concluded: m.concluded, hold: m.eyes.holdOff}
	m.pulse.beat(now)
	return m
}

// Locate takes the house's time zone, by which the quiet hours go: it may become known,
// or another, while the program runs.
func (m *Medic) Locate(l *time.Location) { m.place.Store(l) }

// Watched gives the app that is watched, with the way to its connector; nil while there is none.
func (m *Medic) Watched() (tunnel.Target, *tunnel.Connector) {
	w := m.app.shown.Load()
	if w == nil {
		return tunnel.Target{}, nil
	}
	return w.target, w.connector
}

// Alive says whether the loop has given a sign of life lately. A treatment gives
// its signs too: only a loop that hangs goes silent.
func (m *Medic) Alive(now time.Time) bool {
	return m.pulse.within(max(5*time.Minute, 10*m.set.Rules.Interval), now)
}

// Run loops until the context ends, and then leaves the tunnel in order.
func (m *Medic) Run(ctx context.Context) error {
	m.background.life = ctx
	defer survive(m.log, "keeping what it knows", m.putDown)
	defer m.background.all.Wait()
	defer survive(m.log, "leaving (the next start takes up what is open)", m.leave)
	m.watchDisk()
	for {
		m.pulse.beat(time.Now())
		if err := m.guarded(ctx); err != nil || ctx.Err() != nil {
			return unless(ctx, err)
		}
	}
}

// round is one look and all that follows from it.
func (m *Medic) round(ctx context.Context) (next time.Duration, err error) {
	m.looked = time.Now()
	if l := m.place.Load(); l != nil {
		m.rules.Location = l
		m.chron.Locate(l)
	}
	m.find(ctx)
	if ctx.Err() != nil { // perhaps before anything was found
		return 0, nil
	}
	if in := m.begun(); in != nil && m.app.treat != nil && !m.parting.under() {
		if err := m.resume(ctx, *in); err != nil {
			return 0, err
		}
	}
	seen, d := m.look(ctx)
	if ctx.Err() != nil {
		return 0, nil
	}
	e := seen.Evidence
	m.chron.Look(journal.Seen{Evidence: e, Diagnosis: d, Setting: m.state.Set, Transport: m.state.Transport, Blind: m.eyes.blind != ""}, time.Now())
	sight := sight(seen, d)
	sight.Blind, sight.Unkept = m.eyes.blind != "", m.journal.Trouble().Err != nil
	if seen.Info != nil {
		m.warned.say(m.log, optionsTrouble(*seen.Info))
	}
	state, dec := m.rules.Observe(m.state, time.Now(), sight)
	if l := m.log.Debug(); l.Enabled() {
		l.Str("cause", d.Cause.String()).Float64("score", state.Detector.Score()).Interface("seen", inShort(words.English(), e, d)).Msg("Looked.")
	}
	m.apply(state, dec, &e, &d)
	if dec.Change == nil {
		if wished, decided := m.grant(ctx, sight); decided {
			dec = wished
		}
	}
	next, err = m.follow(ctx, dec)
	m.file(time.Now())
	if m.eyes.blind != "" {
		next = min(next, 30*time.Second)
	}
	return next, err
}

// find sees to it that there is something to look at, and that nothing of ours is open
// elsewhere.
func (m *Medic) find(ctx context.Context) {
	if !m.eyes.due(time.Now()) {
		return
	}
	t, known, err := m.eyes.search(ctx, m.slug)
	if ctx.Err() != nil || known && !m.parting.free(ctx, t.Slug) {
		return
	}
	if known && t.Slug != m.slug {
		if steps := m.moveTo(t.Slug, time.Now()); len(steps) > 0 {
			m.apply(m.state, policy.Decision{Steps: steps}, nil, nil)
		}
		m.chron.TakeUp(m.state.Story())
		if t.Slug == "" {
			m.app.detach()
		}
	}
	if m.eyes.take(t, err, time.Now()) {
		m.others = m.others.Afresh()
	}
}

// look looks, and says what was seen in the light of what was before. Where there is
// nothing to look at, nothing is concluded.
func (m *Medic) look(ctx context.Context) (seen survey.Seen, d diagnosis.Diagnosis) {
	if m.eyes.blind != "" {
		return seen, d
	}
	now := time.Now()
	seen = m.set.Survey.Survey(ctx, m.app.home(m.rules.Location, m.enquire.zone(now)), m.moment(m.others.Curious(now, m.rules.Interval), now))
	if ctx.Err() != nil {
		return seen, d
	}
	if seen.Info != nil && !seen.Info.Installed() || seen.Refused {
		m.eyes.again()
	}
	h := diagnosis.History{Interval: m.rules.Interval, Others: m.others, Everywhere: m.rules.Exhausted(&m.state),
		Sign: m.state.Sign, Since: m.state.TroubleSince, Changes: m.chron.History().Versions}
	if i := m.state.Incident; i != nil {
		h.Onset = i.Onset
	}
	d, m.others = diagnosis.Conclude(seen.Evidence, h)
	sayOthers(m.log, m.journal, d, h.Others, m.others)
	return seen, d
}

// file hears and asks what is due for the reports, and has it written.
func (m *Medic) file(now time.Time) {
	m.chron.Own(now, m.ownProtocol())
	if m.enquire.receive(now); m.eyes.blind == "" {
		m.enquire.due(m.app.subject(), now)
	}
	m.chron.File(now)
}

// follow carries out what a decision orders, and what follows from that in turn.
// It gives the time until the next probe.
func (m *Medic) follow(ctx context.Context, dec policy.Decision) (time.Duration, error) {
	for dec.Change != nil {
		if m.app.treat == nil { // after a start with Supervisor away: the order waits until the add-on is found
			m.state = m.rules.Awake(m.state, time.Now())
			return dec.Next, nil
		}
		out, err := m.carryOut(ctx, *dec.Change)
		if ctx.Err() != nil || err != nil {
			return 0, unless(ctx, err)
		}
		dec = m.concluded(out)
	}
	return dec.Next, nil
}

// unless gives no error where the context's end was the reason.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (m *Medic) carryOut(ctx context.Context, c policy.Change) (policy.Outcome, error) {
	defer m.pulse.during()()
	m.chron.Begin(time.Now())
	return m.app.treat.Do(ctx, m.intend(c, time.Now()))
}

// resume finishes a change that an earlier run of the program left open.
func (m *Medic) resume(ctx context.Context, in journal.Intention) error {
	if m.state.Trial == nil || in.Slug != m.slug { // a change without a plan it belongs to: nothing follows from it
		_ = m.journal.Update(func(r *journal.Record) { r.Intention = nil }) // memory has it
		return nil
	}
	defer m.pulse.during()()
	m.log.Warn().Str("protocol", in.To.String()).Str("stage", string(in.Stage)).Msg("A change was interrupted; finding out what is there.")
	out, err := m.app.treat.Resume(ctx, in)
	if ctx.Err() != nil || err != nil {
		return unless(ctx, err)
	}
	_, err = m.follow(ctx, m.concluded(out))
	return err
}

// concluded takes a change's outcome and closes its intention, in one write of the
// journal: a crash finds either both or neither.
func (m *Medic) concluded(out policy.Outcome) policy.Decision {
	if t := m.state.Trial; t != nil {
		m.chron.Made(journal.ChangeMade{Purpose: t.Purpose, From: m.state.Set, To: t.Protocol, Before: m.state.Transport, After: out.Transport, Result: out.Result, Restarts: out.Restarts}, time.Now())
	}
	state, dec := m.rules.Treated(m.state, time.Now(), out)
	_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = state, nil }) // memory has it
	m.apply(state, dec, nil, nil)
	return dec
}

// wait lets time pass until the next probe is due, somebody asks for one, or the
// sensor does.
func (m *Medic) wait(ctx context.Context, next time.Duration) {
	due := time.NewTimer(next)
	defer due.Stop()
	sense := time.NewTicker(m.set.Sensor)
	defer sense.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
			return
		case <-m.wake:
			// Somebody who presses again and again gets no more than the closest look.
			due.Reset(max(0, m.rules.Burst-time.Since(m.looked)))
		case now := <-sense.C:
			m.pulse.beat(now)
			if m.eyes.blind != "" || next <= m.set.Sensor {
				continue
			}
			c := m.app.connector.Read(ctx, now)
			m.others = m.others.Count(now, c.Counters, m.rules.Interval)
			if why := m.app.sense.Read(c, now, m.rules.Interval); why != "" {
				m.log.Debug().Msgf("The connector's %s: checking now.", why)
				return
			}
		}
	}
}

// leave puts an unproven change back before the program ends: when, or whether, it
// comes again to do so is not known. It keeps well within the time that a stop
// leaves.
func (m *Medic) leave() {
	if m.app.treat == nil || m.app.target.Slug == "" {
		return
	}
	in, restart, ok, err := m.retreat(time.Now())
	if err != nil {
		m.log.Error().Err(err).Msg("The restore of your own setting could not be noted.")
	}
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	m.log.Info().Str("protocol", in.To.String()).Msg("Stopping in the middle of a treatment: your own setting is being restored.")
	if err := m.app.treat.Leave(ctx, in, restart); err != nil {
		m.log.Warn().Err(err).Msg("Your own setting could not be restored now; the next start does it.")
	}
}

// apply makes the new state the present one: on disk, in the log, for the people.
func (m *Medic) apply(state policy.State, dec policy.Decision, e *evidence.Evidence, d *diagnosis.Diagnosis) {
	switch {
	case len(dec.Closed) > 0, state.Incident == nil, state.Trial != nil:
		m.gates = dec.Closed
	default: // a good probe amid a partial fault opens no gate: they are asked at a failure
	}
	m.state = state
	if about := m.chron.Tell(state, m.app.target.Slug, m.app.address(), dec.Steps, time.Now()); about != nil {
		m.enquire.about(about, m.app.subject(), time.Now())
	}
	// What the disk does not take, memory has; watchDisk says so.
	_ = m.journal.Update(func(r *journal.Record) {
		r.Policy, r.Slug = state, m.slug
		if t := m.set.Public.Token; t.Refused() {
			r.RefusedToken = t.Fingerprint()
		}
	})
	if dec.Open {
		m.log.Debug().Msg("Every gate is open.")
	}
	m.show(e, d, dec.Steps)
}

// show tells everybody what is known. e and d are nil where nothing was looked at since.
func (m *Medic) show(e *evidence.Evidence, d *diagnosis.Diagnosis, steps []policy.Step) {
	status := m.publish(view{state: m.state, app: m.app, gates: m.gates, why: m.eyes.why, blind: m.eyes.blind != "", incident: m.chron.Open(),
		gaps: m.chron.History().Notes, hindered: append(m.disk.trouble(), doubt(m.state)...), e: e, d: d}, time.Now())
	for _, t := range m.tell {
		t(status, steps)
	}
}

// putDown keeps what would be lost with the program's end.
func (m *Medic) putDown() {
	m.enquire.receive(time.Now())
	m.chron.Close(time.Now())
}

// said is a look in sentences, for who reads the files without the program.
func said(e evidence.Evidence, d diagnosis.Diagnosis) map[string]string {
	return inShort(words.English(), e, d)
}
