// Package addon is what makes the program an add-on: its options, its environment,
// the composition of its rooms, and its life.
package addon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/addresses"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/logbook"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/metrics"
	"tunnelmedic/internal/mqtt"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/notify"
	"tunnelmedic/internal/phone"
	"tunnelmedic/internal/plain"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/report"
	"tunnelmedic/internal/secret"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/treatment"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/web"
	"tunnelmedic/internal/words"
)

// farewell is how long the rooms have to end after the loop has.
const farewell = time.Second

// SetupError is what only a person can put right: starting again would end the
// same way.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// Run is the daemon: it composes the rooms and runs them until the context ends. An
// error is one line that says what stands in the way; a *SetupError means that a
// person has to.
func Run(ctx context.Context, environ []string, version string, out io.Writer) error {
	return RunIn(ctx, environ, version, out, Surroundings{})
}

// Surroundings is what the program reaches out to. The zero value is the machine's own.
type Surroundings struct {
	Net  network.Network
	QUIC survey.AskQUIC // asks an edge over QUIC, which takes a real socket; nil: [probe.Edge.QUIC]
	Disk journal.Disk   // nil: the machine's
}

// RunIn is Run in other surroundings than the machine's own: in those of a test, whose
// time and network are not real.
func RunIn(ctx context.Context, environ []string, version string, out io.Writer, in Surroundings) error {
	say := func(s string) { _, _ = fmt.Fprintln(out, s) }
	d, err := patiently(ctx, say, func() (*daemon, error) { return compose(ctx, environ, version, out, in) })
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return d.live(ctx)
}

// daemon is the composed program.
type daemon struct {
	loop     *medic.Medic
	teller   *notify.Notifier
	buttons  *phone.Buttons
	entities *mqtt.Entities
	home     *household
	also     *addresses.Watch
	windows  []*window // what is shown, each at its own address
	page     web.Config
	figures  metrics.Source
	dataDir  string
	log      zerolog.Logger
}

// compose makes the rooms and what stands between them.
func compose(ctx context.Context, environ []string, version string, out io.Writer, in Surroundings) (*daemon, error) {
	o, warnings, err := LoadOptions(environ)
	if err != nil {
		return nil, err
	}
	keeper := &secret.Keeper{}
	keeper.Add(o.secrets()...)
	log := newLog(o, keeper, out, warnings)
	if o.SupervisorToken == "" {
		return nil, errors.New("SUPERVISOR_TOKEN is missing: the program runs as a Home Assistant app (add-on), where Supervisor gives it; to see it without one, `go run ./cmd/tunnelmedic lab` in its source")
	}
	public, outside, err := publicTarget(o, keeper, in.Net)
	if err != nil {
		return nil, err
	}
	j, err := memory(o, in.Disk, log)
	if err != nil {
		return nil, err
	}
	public.Token = token(o, j.Record(), log)
	d := &daemon{dataDir: o.DataDir, log: log}
	if err := d.open(o, in); err != nil {
		return nil, err
	}
	super := supervisor.New(supervisor.Config{BaseURL: o.SupervisorURL, Token: o.SupervisorToken, Keeper: keeper, Net: in.Net, TimeScale: o.Patience})
	voice := &words.Voice{}
	home := newHousehold(ctx, super, log, voice)
	teller := notify.New(super, log, o.Notify, keeper.Scrub, o.ProbeInterval, home.page(), voice)
	cloudflare := upstream.New(upstream.Config{StatusURL: o.CloudflareStatusURL, APIURL: o.CloudflareAPIURL, Token: o.CloudflareAPIToken, Keeper: keeper, Net: in.Net})
	looks := looksOf(o, in, j)
	looks.Supervisor, looks.Cloudflare, looks.World, looks.Log = super, cloudflare, outside, log
	feed := web.NewFeed()
	feed.Load(o.DataDir)
	set := settings(o, public, survey.New(looks), home.location())
	set.Version, set.Cloudflare, set.Upstream, set.System = version, cloudflare, cloudflare, super.SystemInfo
	examine := examiner(doctor.Place{Public: public, Looks: looks, Wish: set.Wish, Word: cloudflare}, func() (string, *time.Location) { return j.Record().Slug, home.location() })
	entities := mqtt.New(mqtt.Config{Supervisor: super, Log: log, Scrub: keeper.Scrub, RootCAs: public.RootCAs, Net: in.Net, Version: version, Voice: voice, LastCure: lastCure(j), History: j.History, Doctor: findings(examine, voice)})
	entities.Link(home.page(), home.support())
	var loop *medic.Medic
	also := beside(o, addresses.Settings{Public: public, Looks: looks, Location: home.location, Changed: teller.TellAlso, Log: log,
		Watched: func() (tunnel.Target, *tunnel.Connector) { return loop.Watched() }})
	set.Also = also.Status
	loop = medic.New(set, super, j, log, logbook.New(log).Tell, teller.Tell, feed.Tell, entities.Tell)

	log.Info().Str("version", version).Str("mode", string(o.Mode)).Msg("Tunnel Medic is on duty.")
	buttons := onPhones(super, loop, teller, log)
	page := web.Config{Medic: loop, Hands: loop, Incidents: j, Feed: feed, Doctor: examine, Peers: o.IngressPeer, Location: home.location, Log: log, Admin: super.Administrator, Voice: voice, Sick: sick(super), Test: teller.Test, Screens: home.screens,
		Forget: func(ctx context.Context) error { return errors.Join(entities.Forget(ctx), teller.Forget(ctx)) }}
	page.Wrong = func() []words.Text { return append(teller.Wrong(), buttons.Wrong()...) }
	teller.LeadTo(func(slug string) (app, own string) { s := home.screens(slug); return s.App, s.Own })
	home.changed = func() {
		loop.Locate(home.location())
		teller.Link(home.page())
		entities.Link(home.page(), home.support())
	}
	page.Report, page.History = reports(j, version, keeper), j.History
	d.figures = metrics.Source{Status: loop.Status, Alive: loop.Alive, Available: available(j)}
	d.loop, d.teller, d.buttons, d.entities, d.home, d.also, d.page = loop, teller, buttons, entities, home, also, page
	return d, nil
}

// beside watches the further addresses.
func beside(o Options, set addresses.Settings) *addresses.Watch {
	set.Interval = o.ProbeInterval
	set.Addresses, _ = o.addresses() // LoadOptions has checked them
	return addresses.New(set)
}

// available is how it was, as of now.
func available(j *journal.Journal) func(now time.Time, span time.Duration) journal.Watch {
	return func(now time.Time, span time.Duration) journal.Watch { return j.History().Available(now, span) }
}

// onPhones gives notifications on phones their buttons.
func onPhones(super *supervisor.Client, loop *medic.Medic, teller *notify.Notifier, log zerolog.Logger) *phone.Buttons {
	b := phone.New(super, loop, log, teller.Reply)
	teller.With(b)
	return b
}

// reports makes what the page hands out of one incident.
func reports(j *journal.Journal, version string, keeper *secret.Keeper) func(journal.Incident) string {
	return func(i journal.Incident) string {
		d := report.Dossier{Incident: i, History: j.History(), Now: time.Now(), Version: version, Scrub: keeper.Scrub}
		return report.Markdown(d, report.Public)
	}
}

// sick says what is wrong with the program itself, as far as a restart mends it.
func sick(super *supervisor.Client) func() string {
	return func() string {
		if super.TokenRefused() {
			return "Supervisor does not accept this app's token; a restart gives it a new one."
		}
		return ""
	}
}

// examiner makes every look for the page. now gives the app that is watched, and where
// the house is.
func examiner(at doctor.Place, now func() (slug string, zone *time.Location)) func(context.Context, *words.Lang, func(web.DoctorRow)) (string, error) {
	return func(ctx context.Context, l *words.Lang, emit func(web.DoctorRow)) (string, error) {
		at := at
		at.Wish.Kept, at.Location = now()
		at.Lang = l
		r, err := doctor.Examine(ctx, at, func(r doctor.Row) { emit(doctorRow(r)) })
		return r.Summary, err
	}
}

// findings has the doctor look, for the button among the entities.
func findings(examine func(context.Context, *words.Lang, func(web.DoctorRow)) (string, error), voice *words.Voice) func(context.Context) (mqtt.Findings, error) {
	return func(ctx context.Context) (mqtt.Findings, error) {
		found := mqtt.Findings{Wrong: []string{}}
		summary, err := examine(ctx, voice.Lang(), func(r web.DoctorRow) {
			if r.Verdict == "bad" {
				found.Wrong = append(found.Wrong, strings.TrimSpace(r.Component+": "+r.Came+" "+r.Do))
			}
		})
		found.At, found.Summary = time.Now(), summary
		return found, err
	}
}

// memory opens the journal.
func memory(o Options, disk journal.Disk, log zerolog.Logger) (*journal.Journal, error) {
	if disk == nil {
		disk = journal.RealDisk()
	}
	j, warning, err := journal.OpenOn(disk, o.DataDir, time.Now())
	if err == nil && warning != "" {
		log.Warn().Msg(warning)
	}
	return j, err
}

// open opens the addresses at which the program will show itself.
func (d *daemon) open(o Options, in Surroundings) error {
	page, err := newWindow(in, o.Listen, "LISTEN", window{name: "The page", log: d.log, server: func() *http.Server { return web.Server(d.page) },
		guard: func(l net.Listener) net.Listener { return d.page.Listener(l) }})
	if err != nil {
		return err
	}
	d.windows = append(d.windows, page)
	if o.MetricsListen == "off" {
		return nil
	}
	figures, err := newWindow(in, o.MetricsListen, "METRICS_LISTEN", window{name: "The page of metrics", log: d.log, server: func() *http.Server { return metrics.Server(d.figures) }, guard: metrics.Listener})
	if err != nil {
		if page.first != nil {
			_ = page.first.Close()
		}
		return err
	}
	d.windows = append(d.windows, figures)
	return nil
}

// settings are what the options mean for the loop.
func settings(o Options, public probe.Target, looks *survey.Surveyor, home *time.Location) medic.Settings {
	return medic.Settings{
		Wish:         tunnel.Wish{Slug: o.CloudflaredSlug, URL: o.PublicURL},
		ConnectorURL: o.ConnectorURL, OriginURL: o.OriginURL,
		Public: public, Survey: looks, Sensor: o.SensorInterval,
		Rules: policy.Rules{
			Heal: o.Mode != Observe, Ask: o.Mode == Ask, Allowed: o.Protocols, Budget: o.MaxRestartsPerDay, Failback: o.FailbackHours, Location: home,
			Interval: o.ProbeInterval, Burst: min(o.BurstInterval, o.ProbeInterval), MinUptime: o.MinUptime, HoldBase: o.HoldBase,
		},
		Patience: patience(o),
	}
}

// looksOf is how the daemon looks, and what it remembers of that.
func looksOf(o Options, in Surroundings, j *journal.Journal) survey.Settings {
	return survey.Settings{
		ConnectorURL: o.ConnectorURL, OriginURL: o.OriginURL, Edge: o.QUICEdge, QUIC: in.QUIC,
		Timeout: o.ProbeTimeout, Interval: o.ProbeInterval, Burst: min(o.BurstInterval, o.ProbeInterval),
		Recall: func(host string) evidence.Memory { return evidence.Memory{Known: true, Ever: j.Record().Ever(host)} },
		Remember: func(host string, p evidence.Protocol, day string) error {
			return j.Update(func(r *journal.Record) { r.Remember(host, p, day) })
		},
	}
}

// live runs the rooms side by side. The loop's end is the program's end.
func (d *daemon) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	// The page tells to the end, also while the tunnel is left in order.
	shown, close := context.WithCancel(context.WithoutCancel(ctx))
	defer close()
	for _, w := range d.windows {
		wg.Go(func() { w.serve(shown) })
	}
	wg.Go(func() { d.room(ctx, "the notifications", func() { d.teller.Run(ctx) }) })
	wg.Go(func() { d.room(ctx, "the buttons on phones", func() { d.buttons.Run(ctx) }) })
	wg.Go(func() { d.room(ctx, "the look for the notify services", func() { d.teller.CheckServices(ctx) }) })
	wg.Go(func() { d.room(ctx, "the further addresses", func() { d.also.Run(ctx) }) })
	wg.Go(func() { d.room(ctx, "the entities", func() { d.entities.Run(ctx, d.loop) }) })
	wg.Go(func() { d.room(ctx, "what it asks of Home Assistant", func() { d.home.keepAsking(ctx) }) })
	err := d.loop.Run(ctx)
	cancel()
	close()
	wg.Wait()
	if err := d.page.Feed.Save(d.dataDir); err != nil {
		d.log.Warn().Err(err).Msg("The page's timeline begins anew at the next start.")
	}
	d.log.Info().Msg("Tunnel Medic goes off duty.")
	return err
}

// publicTarget makes what the public probe needs.
func publicTarget(o Options, keeper *secret.Keeper, way network.Network) (probe.Target, *probe.Resolver, error) {
	t := probe.Target{Access: probe.Access{ID: o.AccessClientID, Secret: o.AccessClientSecret}, Vouched: &probe.Vouched{}, Timeout: o.ProbeTimeout, Keeper: keeper, Net: way}
	if o.CAFile != "" {
		roots, err := probe.LoadRoots(o.CAFile)
		if err != nil {
			return t, nil, fmt.Errorf("%sCA_FILE: %w", Prefix, err)
		}
		t.RootCAs = roots
	}
	if o.ClientCertificate != "" {
		pair, err := tls.LoadX509KeyPair(sslPath(o.ClientCertificate), sslPath(o.ClientKey))
		if err != nil {
			return t, nil, fmt.Errorf("options client_certificate and client_key: %w; both are PEM files under /ssl, and the key must belong to the certificate", err)
		}
		t.Certificate = &pair
	}
	outside, err := probe.NewResolver(o.DoHURL, t.RootCAs)
	if err != nil {
		return t, nil, fmt.Errorf("%sDOH_URL: %w", Prefix, err)
	}
	return t, outside.Over(way), nil
}

// token is the one to sign in with, which knows whether Home Assistant refused it
// before; nil for none.
func token(o Options, rec journal.Record, log zerolog.Logger) *probe.Token {
	t := probe.NewToken(o.HAToken, false)
	if t != nil && rec.RefusedToken == t.Fingerprint() {
		log.Warn().Msg("Home Assistant refused the ha_token before, so it is not sent again: make a new long-lived token.")
		return probe.NewToken(o.HAToken, true)
	}
	return t
}

func patience(o Options) treatment.Patience {
	p := treatment.DefaultPatience()
	if o.SettleTimeout != nil {
		p.Settle = func(evidence.Protocol) time.Duration { return *o.SettleTimeout }
	}
	p.Poll = min(p.Poll, o.BurstInterval)
	p.Busy = time.Duration(float64(p.Busy) * o.Patience)
	p.Late = time.Duration(float64(p.Late) * o.Patience)
	return p
}

// doctorRow puts a look of the doctor's into the page's words.
func doctorRow(r doctor.Row) web.DoctorRow {
	verdict := map[doctor.Verdict]string{doctor.Good: "good", doctor.Bad: "bad", doctor.Unsure: "unsure", doctor.Beside: "beside"}[r.Verdict]
	return web.DoctorRow{Component: r.Component, Came: r.Came, Verdict: verdict, Do: r.Do}
}

// lastCure is when the newest incident that ended with a cure did.
func lastCure(j *journal.Journal) time.Time {
	for _, i := range j.Incidents() {
		if i.Outcome == policy.StepCured {
			return i.Ended
		}
	}
	return time.Time{}
}

// newLog writes for people or for machines; no secret passes it. It begins with the
// warnings about the options.
func newLog(o Options, keeper *secret.Keeper, out io.Writer, warnings []string) zerolog.Logger {
	clean := keeper.Writer(out)
	if o.LogFormat == Console {
		clean = zerolog.ConsoleWriter{Out: clean, NoColor: true, TimeFormat: "2006-01-02 15:04:05", TimeLocation: time.Local,
			FormatMessage: logged, FormatFieldValue: logged}
	}
	log := zerolog.New(clean).Level(zerolog.Level(o.LogLevel)).With().Timestamp().Logger()
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	return log
}

// logged makes a message, or a field's value, one line of the log: a foreign name in it
// must not forge a second one. In JSON the format itself sees to that.
func logged(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return plain.Line(string(v), plain.LogLimit)
	}
	return plain.Line(fmt.Sprint(v), plain.LogLimit)
}
