package medic

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/sensor"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// How often it is looked whether what is watched is still what is to be watched:
// sooner while the address is nobody's word that credentials may rest on.
const (
	findEvery  = 10 * time.Minute
	findSooner = time.Minute
)

// parting is what is known of the leave from the app that was watched before.
type parting struct {
	from  string // its slug, while something of ours is still open there
	tries int    // how often it was tried to put an end to that
}

// maxPartings bounds how long another app is not watched for an old one's sake.
const maxPartings = 3

// find sees to it that there is something to look at. A person may install, start,
// replace or remove the app at any time; no restart of ours is needed for it.
func (m *Medic) find(ctx context.Context) {
	every := findEvery
	if !m.target.Trusted {
		every = findSooner
	}
	if m.blind == "" && m.target.URL != nil && time.Since(m.found) < every {
		return
	}
	wish := m.set.Wish
	wish.Kept, wish.Home = m.slug, m.set.OriginURL
	t, err := tunnel.Find(ctx, m.super, wish, m.connectorFor)
	if ctx.Err() != nil {
		return
	}
	var trouble *tunnel.Trouble
	// With a trouble, too, it is known which app is to be watched, or that there is none.
	if (err == nil || errors.As(err, &trouble)) && !m.moveTo(ctx, t.Slug) {
		return
	}
	switch {
	case err == nil:
		m.found = time.Now()
		if m.blind != "" || m.target.Slug != t.Slug || m.target.URL == nil || m.target.URL.String() != t.URL.String() {
			m.log.Info().Str("slug", t.Slug).Str("url", t.URL.String()).Msgf("Watching %s (%s); the address is from %s.", t.Name, t.Slug, t.How)
			m.warnUntrusted(t)
		}
		m.blind = ""
		m.attach(t)
		m.tellBeside(t)
	case trouble != nil && t.Slug != "" && t.Slug == m.target.Slug && m.target.URL != nil && m.blind == "":
		// The address was found before, and its source is out of reach: it has not changed for that.
		m.log.Debug().Err(err).Msg("Looking for the address again later.")
	case trouble != nil:
		m.goBlind(zerolog.WarnLevel, trouble.Text)
		if t.Slug != "" && (m.connector == nil || m.target.Slug != t.Slug) {
			m.attach(t)
		}
	case supervisor.Is(err, supervisor.Unauthorised):
		// No waiting ends this, so it is not told as a Supervisor that is away.
		m.goBlind(zerolog.ErrorLevel, words.Of("blind.token-refused"))
	case m.target.URL != nil:
		// Supervisor is away; what was watched is still watched.
		m.log.Debug().Err(err).Msg("Looking for the app again later.")
	default:
		m.goBlind(zerolog.WarnLevel, words.Of("blind.error", words.With{"error": err}))
	}
}

// goBlind notes why there is nothing to look at, and says it once.
func (m *Medic) goBlind(level zerolog.Level, why words.Text) {
	said := words.English().Text(why)
	if m.blind != said {
		m.log.WithLevel(level).Msg(said)
	}
	m.blind, m.why = said, why
}

// warnUntrusted says that credentials which are set are not used, and why.
func (m *Medic) warnUntrusted(t tunnel.Target) {
	p := m.set.Public
	if t.Trusted || p.Token == nil && p.Certificate == nil && (p.Access.ID == "" || p.Access.Secret == "") {
		return
	}
	m.log.Warn().Str("url", t.URL.String()).Msg("No token and no certificate is shown to this address: only an app from a store that Tunnel Medic does not know names it. " +
		"If it is yours, write it into the option public_url, or into Home Assistant under Settings → System → Network.")
}

// tellBeside says once that another Cloudflared app stands beside the watched one.
func (m *Medic) tellBeside(t tunnel.Target) {
	told := m.journal.Record().Beside
	if m.set.Wish.Slug == "" && slices.ContainsFunc(t.Others, func(slug string) bool { return !slices.Contains(told, slug) }) {
		m.log.Warn().Strs("beside", t.Others).Msgf("Another Cloudflared app is installed as well (%s). Tunnel Medic keeps watching %s and leaves the other alone. "+
			"If you have moved, uninstall the old one, or name the one you use in the option cloudflared_slug.", strings.Join(t.Others, ", "), t.Slug)
	}
	if !slices.Equal(told, t.Others) {
		_ = m.journal.Update(func(r *journal.Record) { r.Beside = t.Others }) // memory has it
	}
}

// attach takes a target for the one to watch and to treat.
func (m *Medic) attach(t tunnel.Target) {
	if m.connector == nil || t.Slug != m.target.Slug || t.Hostname != m.target.Hostname {
		if m.connector != nil {
			m.connector.HangUp()
		}
		m.connector = m.connectorFor(t)
		m.treat = &treatment.Treatment{Supervisor: m.super, Connector: m.connector, Cloudflare: m.set.Cloudflare, Diary: m.journal, Log: m.log, Patience: m.set.Patience}
		m.sense = sensor.Sensor{}
	}
	if m.target.URL == nil || t.URL == nil || m.target.URL.Host != t.URL.Host {
		m.others.Brief = diagnosis.Turnover{}
	}
	m.target = t
	m.watched.Store(&watched{t, m.connectorFor(t)}) // one of its own: a connector remembers what it was asked
}

func (m *Medic) connectorFor(t tunnel.Target) *tunnel.Connector {
	return tunnel.ConnectorOf(t, m.set.ConnectorURL).Over(m.set.Public.Net)
}

// parting says whether something is still open on an app that is not to be watched
// any more. Nothing else is done meanwhile.
func (m *Medic) parting() bool { return m.part.from != "" }

// moveTo makes the app with this slug, "" for none, the one that the state is about.
// What is open on the one before is finished or undone first; until that is done, it
// stays, and done is false.
func (m *Medic) moveTo(ctx context.Context, slug string) (done bool) {
	in := m.journal.Record().Intention
	if in != nil && in.Slug != m.slug && in.Slug != slug {
		// Of a third one: nothing of it is in the state.
		if !m.undoStray(ctx, *in) {
			return false
		}
		in = nil
	}
	if slug == m.slug {
		if t := m.state.Trial; m.parting() && t != nil && !t.Settled {
			t.Retry = time.Now() // so it is carried out as any other
		}
		m.part = parting{}
		return true
	}
	if m.slug != "" && (m.state.Trial != nil || m.state.Felled || in != nil) && !m.partFrom(ctx, in) {
		return false
	}
	m.part = parting{}
	m.switchTo(slug)
	return true
}

// partFrom ends what is open on the app that was watched. It is given up after some
// attempts: the app that is in use must not go unwatched for the sake of another.
func (m *Medic) partFrom(ctx context.Context, begun *journal.Intention) (done bool) {
	m.holdOff(m.slug)
	info, err := m.super.Info(ctx, m.slug)
	switch {
	case ctx.Err() != nil:
		return false
	case supervisor.Is(err, supervisor.NotFound) || err == nil && !info.Installed():
		m.log.Info().Str("slug", m.slug).Msg("The app that was watched is gone, and with it what was being changed there.")
		m.state.Felled = false
		return true
	case err != nil:
		m.log.Debug().Err(err).Msg("Looking at the app that was watched again later.")
		return false
	}
	m.attach(tunnel.Target{Slug: m.slug, Name: info.Name, Hostname: info.Hostname})
	m.part.tries++
	if m.undo(ctx, begun) {
		return true
	}
	if ctx.Err() != nil || m.part.tries < maxPartings {
		return false
	}
	m.log.Error().Str("slug", m.slug).Str("protocol", m.state.Own.String()).Msg("What Tunnel Medic has changed there could not be put back. If you use this app again, look at its run_parameters.")
	return true
}

// holdOff keeps everything else from being done until an app is left in order.
func (m *Medic) holdOff(slug string) {
	if m.part.from != slug {
		m.part = parting{from: slug}
	}
	m.goBlind(zerolog.WarnLevel, words.Of("blind.parting", words.With{"app": slug}))
}

// undo takes back what is unproven on the app that was watched, and starts it where it
// is down by our doing.
func (m *Medic) undo(ctx context.Context, begun *journal.Intention) (done bool) {
	in, again, open := m.wayBack(begun)
	if !open {
		_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = m.state, nil }) // memory has it
		return true
	}
	m.log.Info().Str("slug", m.slug).Str("protocol", in.To.String()).Msg("Another app is to be watched: what is unproven here is put back first.")
	stop := m.beating()
	defer stop()
	m.chron.Begin(time.Now())
	var out policy.Outcome
	var err error
	if again {
		out, err = m.treat.Redo(ctx, in)
	} else {
		// In one write: a plan and a change that do not belong together would mislead the next start.
		_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = m.state, &in }) // memory has it
		out, err = m.treat.Undo(ctx, in, begun)
	}
	if err != nil { // the program ends; the intention stays
		return false
	}
	m.concluded(out)
	if t := m.state.Trial; t != nil {
		t.Retry = time.Time{} // it is tried again from here
	}
	return m.state.Trial == nil && !m.state.Felled
}

// wayBack is the change that undoes what is open, and puts the plan for it into the
// state. again says that it is the one which was begun already; open, that there is
// anything to be done.
func (m *Medic) wayBack(begun *journal.Intention) (in journal.Intention, again, open bool) {
	now, was := time.Now(), m.state.Trial
	m.state = m.set.Rules.Abandon(m.state, now)
	to := m.state.Trial
	switch {
	case begun != nil && to != nil && begun.Purpose == to.Purpose && begun.To == to.Protocol:
		return *begun, true, true
	case m.state.Felled && (was == nil || was.Purpose == policy.Revive || to.Purpose == policy.Trial):
		m.state.Trial = &policy.OnTrial{Protocol: m.state.Set, Purpose: policy.Revive, Since: now}
		to = m.state.Trial
	case was == nil, to.Purpose == policy.Revive, to.Purpose == policy.Trial:
		m.state.Trial = nil // it changed nothing that could be put back
		return in, false, false
	}
	in = journal.Intention{Slug: m.slug, From: m.state.Set, To: to.Protocol, Purpose: to.Purpose, Before: m.state.Transport, Back: to.Protocol, Felled: m.state.Felled, Stage: journal.Intended, At: now,
		Ours: []evidence.Protocol{to.Protocol}, Most: m.set.Rules.Left(m.state, now)}
	restarted := m.state.Set != to.Protocol || was != nil && was.Purpose == to.Purpose // a way back that was not finished may lack its restart
	if was != nil {
		in.Ours = append(in.Ours, was.Protocol)
	}
	if begun != nil {
		in.Ours = append(append(in.Ours, begun.From, begun.To), begun.Ours...)
		restarted = restarted || begun.Stage == journal.Restarting || begun.Stage == journal.Connecting
	}
	in.NoRestart = !restarted && !m.state.Felled
	m.state.Trial = &policy.OnTrial{Protocol: to.Protocol, Purpose: to.Purpose, Back: to.Back, Since: now}
	return in, false, true
}

// undoStray puts back a change on an app that neither the state nor the search is about.
func (m *Medic) undoStray(ctx context.Context, begun journal.Intention) (done bool) {
	in := journal.Intention{Slug: begun.Slug, From: begun.To, To: begun.Back, Back: begun.Back, Purpose: policy.Restore, Felled: begun.Felled, Stage: journal.Intended, At: time.Now(),
		Ours: append([]evidence.Protocol{begun.From, begun.Back}, begun.Ours...), Most: m.set.Rules.Left(m.state, time.Now()),
		NoRestart: begun.Stage != journal.Restarting && begun.Stage != journal.Connecting && !begun.Felled}
	m.holdOff(begun.Slug)
	m.part.tries++
	info, err := m.super.Info(ctx, begun.Slug)
	switch {
	case ctx.Err() != nil:
		return false
	case err == nil && info.Installed():
		stop := m.beating()
		defer stop()
		t := &treatment.Treatment{Supervisor: m.super, Connector: m.connectorFor(tunnel.Target{Slug: info.Slug, Hostname: info.Hostname}), Cloudflare: m.set.Cloudflare, Diary: m.journal, Log: m.log, Patience: m.set.Patience}
		out, err := t.Undo(ctx, in, &begun)
		if err != nil { // the program ends; the intention stays
			return false
		}
		for range out.Restarts {
			m.state.Restarts = append(slices.Clone(m.state.Restarts), time.Now())
		}
	case err != nil && !supervisor.Is(err, supervisor.NotFound) && m.part.tries < maxPartings:
		return false
	}
	_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Intention = m.state, nil }) // memory has it
	return true
}

// switchTo parts the state of one app from that of the next: what stays of the one is
// kept under its slug, and what was kept of the other comes back, in one write.
func (m *Medic) switchTo(slug string) {
	now, from := time.Now(), m.slug
	elsewhere := maps.Clone(m.journal.Record().Elsewhere)
	back, known := elsewhere[slug]
	state := m.state
	if from != "" || known {
		state = m.state.Elsewhere(back)
	}
	var steps []policy.Step
	if from != "" {
		if elsewhere == nil {
			elsewhere = map[string]policy.State{}
		}
		if m.state.OwnKnown {
			elsewhere[from] = m.state.Kept(now)
		}
		steps = m.farewell(slug, now)
	}
	delete(elsewhere, slug)
	_ = m.journal.Update(func(r *journal.Record) { r.Policy, r.Slug, r.Intention, r.Elsewhere = state, slug, nil, elsewhere }) // memory has it
	m.slug = slug
	if m.state = state; len(steps) > 0 {
		m.apply(state, policy.Decision{Steps: steps}, nil, nil)
	}
	m.chron.TakeUp(state.Story())
	if slug == "" {
		m.target, m.connector, m.treat = tunnel.Target{}, nil, nil
		m.watched.Store(nil)
	}
}

// farewell is what people are told of the app that is left.
func (m *Medic) farewell(slug string, now time.Time) []policy.Step {
	why := policy.WhyAppLeft
	if slug == "" {
		why = policy.WhyAppGone
	}
	return []policy.Step{{At: now, Kind: policy.StepUser, Protocol: m.state.Set, Why: why, App: m.slug, Instead: slug, Ends: m.state.Incident != nil || m.state.Trial != nil}}
}
