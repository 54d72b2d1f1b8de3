package medic

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/words"
)

// How often it is looked whether what is watched is still what is to be watched:
// sooner while the address is nobody's word that credentials may rest on.
const (
	findEvery  = 10 * time.Minute
	findSooner = time.Minute
)

// lookout sees to it that there is something to look at. A person may install, start,
// replace or remove the app at any time; no restart of ours is needed for it.
type lookout struct {
	app     *app
	journal *journal.Journal
	log     zerolog.Logger
	source  tunnel.Source

	found time.Time  // when the target was found
	blind string     // why there is nothing to look at, as the log says it
	why   words.Text // the same
}

// due says that it is time to look for the target.
func (l *lookout) due(now time.Time) bool {
	every := findEvery
	if !l.app.target.Trusted {
		every = findSooner
	}
	return l.blind != "" || l.app.target.URL == nil || now.Sub(l.found) >= every
}

// again has the target looked for at the next round: it was removed, or replaced by another
// store's.
func (l *lookout) again() { l.found = time.Time{} }

// search looks for the target. known says that it is known which app is to be watched, or
// that there is none; that is so with a trouble, too.
func (l *lookout) search(ctx context.Context, kept string) (t tunnel.Target, known bool, err error) {
	wish := l.app.set.Wish
	wish.Kept, wish.Home = kept, l.app.set.OriginURL
	t, err = tunnel.Find(ctx, l.source, wish, l.app.connectorFor)
	var trouble *tunnel.Trouble
	return t, err == nil || errors.As(err, &trouble), err
}

// take takes what the search has found. moved says that another address is watched than
// before.
func (l *lookout) take(t tunnel.Target, err error, now time.Time) (moved bool) {
	if err != nil {
		return l.lack(t, err)
	}
	at := &l.app.target
	if l.blind != "" || at.Slug != t.Slug || at.URL == nil || at.URL.String() != t.URL.String() {
		l.log.Info().Str("slug", t.Slug).Str("url", t.URL.String()).Msgf("Watching %s (%s); the address is from %s.", t.Name, t.Slug, t.How)
		l.warnUntrusted(t)
	}
	l.found, l.blind = now, ""
	moved = l.app.attach(t)
	l.tellBeside(t)
	return moved
}

// lack decides what a search without an address means.
func (l *lookout) lack(t tunnel.Target, err error) (moved bool) {
	at := &l.app.target
	var trouble *tunnel.Trouble
	switch {
	case errors.As(err, &trouble) && t.Slug != "" && t.Slug == at.Slug && at.URL != nil && l.blind == "":
		// The address was found before, and its source is out of reach: it has not changed for that.
		l.log.Debug().Err(err).Msg("Looking for the address again later.")
	case trouble != nil:
		l.goBlind(zerolog.WarnLevel, trouble.Text)
		if t.Slug != "" && (l.app.connector == nil || at.Slug != t.Slug) {
			return l.app.attach(t)
		}
	case supervisor.Is(err, supervisor.Unauthorised):
		// No waiting ends this, so it is not told as a Supervisor that is away.
		l.goBlind(zerolog.ErrorLevel, words.Of("blind.token-refused"))
	case at.URL != nil:
		// Supervisor is away; what was watched is still watched.
		l.log.Debug().Err(err).Msg("Looking for the app again later.")
	default:
		l.goBlind(zerolog.WarnLevel, words.Of("blind.error", words.With{"error": err}))
	}
	return false
}

// goBlind notes why there is nothing to look at, and says it once.
func (l *lookout) goBlind(level zerolog.Level, why words.Text) {
	said := words.English().Text(why)
	if l.blind != said {
		l.log.WithLevel(level).Msg(said)
	}
	l.blind, l.why = said, why
}

// warnUntrusted says that credentials which are set are not used, and why.
func (l *lookout) warnUntrusted(t tunnel.Target) {
	p := l.app.set.Public
	if t.Trusted || p.Token == nil && p.Certificate == nil && (p.Access.ID == "" || p.Access.Secret == "") {
		return
	}
	l.log.Warn().Str("url", t.URL.String()).Msg("No token and no certificate is shown to this address: only an app from a store that Tunnel Medic does not know names it. " +
		"If it is yours, write it into the option public_url, or into Home Assistant under Settings → System → Network.")
}

// tellBeside says once that another Cloudflared app is installed as well as the watched one.
func (l *lookout) tellBeside(t tunnel.Target) {
	told := l.journal.Record().Others
	if l.app.set.Wish.Slug == "" && slices.ContainsFunc(t.Others, func(slug string) bool { return !slices.Contains(told, slug) }) {
		l.log.Warn().Strs("beside", t.Others).Msgf("Another Cloudflared app is installed as well (%s). Tunnel Medic keeps watching %s and leaves the other alone. "+
			"If you have moved, uninstall the old one, or name the one you use in the option cloudflared_slug.", strings.Join(t.Others, ", "), t.Slug)
	}
	if !slices.Equal(told, t.Others) {
		_ = l.journal.Update(func(r *journal.Record) { r.Others = t.Others }) // memory has it
	}
}

// holdOff keeps everything else from being done until an app is left in order.
func (l *lookout) holdOff(slug string) {
	l.goBlind(zerolog.WarnLevel, words.Of("blind.parting", words.With{"app": slug}))
}
