// Package medic is the loop: it looks, has the evidence diagnosed, has the policy
// decide, has the change carried out, and passes on what happened. It decides
// nothing itself.
package medic

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/detect"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/sensor"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// Supervisor is what the loop asks of the Supervisor.
type Supervisor interface {
	tunnel.Source
	treatment.Supervisor
	CoreState(context.Context) (evidence.Core, error)
	CoreInfo(context.Context) (supervisor.CoreInfo, error)
	Network(context.Context) (evidence.Internet, error)
	CoreRuns(context.Context) evidence.Switch
	Log(ctx context.Context, slug string) (string, error)
	CoreLog(ctx context.Context) (string, error)
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
	set     Settings
	super   Supervisor
	journal *journal.Journal
	log     zerolog.Logger
	tell    []Teller

	wake   chan struct{} // a probe is wanted now
	wishes chan wish     // what people ask for
	beat   atomic.Int64  // Unix time of the loop's last sign of life
	sense  sensor.Sensor

	// The loop's own, touched by Run's goroutine alone.
	state     policy.State
	target    tunnel.Target
	slug      string    // of the add-on that the state belongs to
	found     time.Time // when the target was found
	part      parting   // from the app that was watched before
	blind     string    // why there is nothing to look at, as the log says it
	why       words.Text
	connector *tunnel.Connector
	treat     *treatment.Treatment
	others    diagnosis.Others // what is seen of people beside our own checks
	gates     []policy.Gate
	warned    string          // the last trouble with the options that was logged
	looked    time.Time       // when the last round began
	faults    int             // rounds in a row that failed by a fault of the program's own
	unkept    journal.Trouble // as it was told

	chron   *journal.Chronicle
	beside  *beside
	enquire *enquiries

	place   atomic.Pointer[time.Location] // of the house, if it became known after New
	watched atomic.Pointer[watched]       // for others

	mu     sync.Mutex
	status Status
}

// New makes the loop. Tellers are called in order, from the loop's goroutine.
func New(set Settings, s Supervisor, j *journal.Journal, log zerolog.Logger, tell ...Teller) *Medic {
	m := &Medic{set: set, super: s, journal: j, log: log, tell: tell, wake: make(chan struct{}, 1), wishes: make(chan wish, maxWishes)}
	rec := j.Record()
	m.state, m.slug = set.Rules.Awake(rec.Policy, time.Now()), rec.Slug
	m.others.Refused = diagnosis.Remembering(rec.ClientsTold)
	m.chron = journal.NewChronicle(j, set.Version, set.Rules.Interval, said)
	m.chron.TakeUp(m.state.Story())
	m.chron.Locate(set.Rules.Location)
	m.beside = &beside{life: context.Background(), log: log}
	m.enquire = &enquiries{upstream: set.Upstream, system: set.System, super: s, chron: m.chron, beside: m.beside, log: log, answers: make(chan *heard, 1), stocks: make(chan *stock, 1)}
	m.status = Status{Version: set.Version, Mode: mode(set.Rules), Allowed: allowed(set.Rules), State: policy.Starting, Since: m.state.Since, Budget: set.Rules.Budget,
		Diagnosis: DiagnosisStatus{Seen: map[string]string{}}, Detector: DetectorStatus{Alarm: detect.Alarm}}
	m.beat.Store(time.Now().Unix())
	return m
}

// Probe asks for a probe now.
func (m *Medic) Probe() {
	select {
	case m.wake <- struct{}{}:
	default: // one is wanted already
	}
}

// Locate takes the house's time zone, by which the quiet hours go: it may become known,
// or another, while the program runs.
func (m *Medic) Locate(l *time.Location) { m.place.Store(l) }

// watched is what the loop watches.
type watched struct {
	target    tunnel.Target
	connector *tunnel.Connector
}

// Watched gives the app that is watched, with the way to its connector; nil while there is none.
func (m *Medic) Watched() (tunnel.Target, *tunnel.Connector) {
	w := m.watched.Load()
	if w == nil {
		return tunnel.Target{}, nil
	}
	return w.target, w.connector
}

// Alive says whether the loop has given a sign of life lately. A treatment gives
// its signs too: only a loop that hangs goes silent.
func (m *Medic) Alive(now time.Time) bool {
	return now.Sub(time.Unix(m.beat.Load(), 0)) < max(5*time.Minute, 10*m.set.Rules.Interval)
}

// Run loops until the context ends, and then leaves the tunnel in order.
func (m *Medic) Run(ctx context.Context) error {
	m.beside.life = ctx
	defer survive(m.log, "keeping what it knows", m.putDown)
	defer m.beside.all.Wait()
	defer survive(m.log, "leaving (the next start takes up what is open)", m.leave)
	m.watchDisk()
	for {
		m.beat.Store(time.Now().Unix())
		if err := m.guarded(ctx); err != nil || ctx.Err() != nil {
			return unless(ctx, err)
		}
	}
}

// round is one look and all that follows from it.
func (m *Medic) round(ctx context.Context) (time.Duration, error) {
	m.looked = time.Now()
	if l := m.place.Load(); l != nil {
		m.set.Rules.Location = l
		m.chron.Locate(l)
	}
	m.find(ctx)
	if ctx.Err() != nil { // perhaps before anything was found
		return 0, nil
	}
	if in := m.journal.Record().Intention; in != nil && m.treat != nil && !m.parting() {
		if err := m.resume(ctx, *in); err != nil {
			return 0, err
		}
	}
	var (
		seen survey.Seen
		d    diagnosis.Diagnosis // where there is nothing to look at, nothing is concluded
	)
	if m.blind == "" {
		now := time.Now()
		seen = m.set.Survey.Survey(ctx, m.home(now), m.moment(now))
		if ctx.Err() != nil {
			return 0, nil
		}
		if seen.Info != nil && !seen.Info.Installed() || seen.Refused {
			m.found = time.Time{} // removed, or replaced by another store's: look for it at once
		}
		d = m.conclude(seen.Evidence)
	}
	e := seen.Evidence
	m.chron.Look(journal.Seen{Evidence: e, Diagnosis: d, Setting: m.state.Set, Transport: m.state.Transport, Blind: m.blind != ""}, time.Now())
	sight := m.sight(seen, d)
	state, dec := m.set.Rules.Observe(m.state, time.Now(), sight)
	if l := m.log.Debug(); l.Enabled() {
		l.Str("cause", d.Cause.String()).Float64("score", state.Detector.Score()).Interface("seen", inShort(words.English(), e, d)).Msg("Looked.")
	}
	m.apply(state, dec, &e, &d)
	if dec.Change == nil {
		if wished, decided := m.grant(sight); decided {
			dec = wished
		}
	}
	next, err := m.follow(ctx, dec)
	m.chron.Note(time.Now(), journal.Versions{}, journal.Settings{Protocol: m.ownProtocol()})
	if m.enquire.hear(time.Now()); m.blind == "" {
		m.enquire.due(m.subject(), time.Now())
	}
	m.chron.File(time.Now())
	if m.blind != "" {
		next = min(next, 30*time.Second)
	}
	return next, err
}

// follow carries out what a decision orders, and what follows from that in turn.
// It gives the time until the next probe.
func (m *Medic) follow(ctx context.Context, dec policy.Decision) (time.Duration, error) {
	for dec.Change != nil {
		if m.treat == nil { // after a start with Supervisor away: the order waits until the add-on is found
			m.state = m.set.Rules.Awake(m.state, time.Now())
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
	stop := m.beating()
	defer stop()
	m.chron.Begin(time.Now())
	in := journal.Intention{Slug: m.target.Slug, From: m.state.Set, To: c.Protocol, Purpose: c.Purpose, Before: m.state.Transport, Back: c.Protocol, Felled: m.state.Felled,
		Most: m.set.Rules.Left(m.state, time.Now())}
	if t := m.state.Trial; t != nil && t.Sent {
		in.Ours = append(in.Ours, c.Protocol)
	}
	if t := m.set.Rules.Abandon(m.state, time.Now()).Trial; t != nil {
		in.Back = t.Protocol
	}
	return m.treat.Do(ctx, in)
}

// resume finishes a change that an earlier run of the program left open.
func (m *Medic) resume(ctx context.Context, in journal.Intention) error {
	if m.state.Trial == nil || in.Slug != m.slug { // a change without a plan it belongs to: nothing follows from it
		_ = m.journal.Update(func(r *journal.Record) { r.Intention = nil }) // memory has it
		return nil
	}
	stop := m.beating()
	defer stop()
	m.log.Warn().Str("protocol", in.To.String()).Str("stage", string(in.Stage)).Msg("A change was interrupted; finding out what is there.")
	out, err := m.treat.Resume(ctx, in)
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
	state, dec := m.set.Rules.Treated(m.state, time.Now(), out)
	_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = state, nil }) // memory has it
	m.apply(state, dec, nil, nil)
	return dec
}

// beating gives signs of life while something long goes on.
func (m *Medic) beating() (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(30 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-t.C:
				m.beat.Store(now.Unix())
			}
		}
	}()
	return func() { close(done) }
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
			due.Reset(max(0, m.set.Rules.Burst-time.Since(m.looked)))
		case now := <-sense.C:
			m.beat.Store(now.Unix())
			if m.blind != "" || next <= m.set.Sensor {
				continue
			}
			c := m.connector.Read(ctx, now)
			m.others = m.others.Count(now, c.Counters, m.set.Rules.Interval)
			if why := m.sense.Read(c, now, m.set.Rules.Interval); why != "" {
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
	was := m.state.Trial
	if was == nil || was.Purpose == policy.Revive || m.treat == nil || m.target.Slug == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	begun := m.journal.Record().Intention
	m.state = m.set.Rules.Abandon(m.state, time.Now())
	to := m.state.Trial
	if to.Purpose == policy.Trial {
		return // there is no other way back; Supervisor carries out what was ordered
	}
	in := journal.Intention{Slug: m.slug, From: m.state.Set, To: to.Protocol, Purpose: to.Purpose, Before: m.state.Transport,
		Back: to.Protocol, Ours: []evidence.Protocol{was.Protocol, to.Protocol}, Felled: m.state.Felled, Stage: journal.Intended, At: time.Now(),
		Most: m.set.Rules.Left(m.state, time.Now())}
	restart := m.state.Set != to.Protocol
	if begun != nil {
		if begun.To == to.Protocol && (begun.Stage == journal.Restarting || begun.Stage == journal.Connecting) {
			return // the way back is under way already
		}
		in.Stage = begun.Stage
		in.Ours = append(in.Ours, begun.Ours...)
		if begun.Stage == journal.Restarting || begun.Stage == journal.Connecting {
			restart = true
			m.state.Restarts = append(m.state.Restarts, begun.At) // whose end is not waited for
		}
	}
	// In one write: a plan and a change that do not belong together would mislead the next start.
	if err := m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = m.state, &in }); err != nil {
		m.log.Error().Err(err).Msg("The way back could not be noted.")
	}
	m.log.Info().Str("protocol", to.Protocol.String()).Msg("Stopping in the middle of a treatment: the way back is sent off.")
	if err := m.treat.Leave(ctx, in, restart); err != nil {
		m.log.Warn().Err(err).Msg("The way back could not be completed now; the next start does it.")
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
	url := ""
	if m.target.URL != nil { // after a start with Supervisor away it is not known yet
		url = m.target.URL.String()
	}
	if about := m.chron.Tell(state, m.target.Slug, url, dec.Steps, time.Now()); about != nil {
		m.enquire.about(about, m.subject(), time.Now())
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
	status := m.publish(e, d)
	for _, t := range m.tell {
		t(status, dec.Steps)
	}
}

// subject is what there is to ask about.
func (m *Medic) subject() subject {
	s := subject{slug: m.target.Slug, connector: m.connector}
	if m.target.URL != nil {
		s.host = m.target.URL.Hostname()
	}
	return s
}

// ownProtocol is the user's own setting, "" while it is not known.
func (m *Medic) ownProtocol() string {
	if !m.state.OwnKnown {
		return ""
	}
	return m.state.Own.String()
}

// putDown keeps what would be lost with the program's end.
func (m *Medic) putDown() {
	m.enquire.hear(time.Now())
	m.chron.Close(time.Now())
}

// said is a look in sentences, for who reads the files without the program.
func said(e evidence.Evidence, d diagnosis.Diagnosis) (rests string, seen map[string]string) {
	return words.English().Basis(d), inShort(words.English(), e, d)
}
