package addon

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/web"
	"tunnelmedic/internal/words"
)

// How often Supervisor is asked where the program is: soon again while it could not
// tell, as at a boot, when it is not ready for some seconds; and seldom afterwards,
// because a person may move, and an update of Core may move the page.
const (
	settleWait  = 5 * time.Second
	settleSoon  = 15 * time.Second
	settleLater = time.Hour
)

// household is what the program needs to know of the place it runs in.
type household struct {
	super   *supervisor.Client
	log     zerolog.Logger
	voice   *words.Voice
	changed func() // called when it knows better than before; nil: nobody waits for it
	known   atomic.Pointer[place]
	strange string // a time zone that is not known here, which was said
}

// place is what is known of it; a text is "" while it is not.
type place struct {
	zone   *time.Location
	page   string // the page's path in Home Assistant
	slug   string
	origin string // the address of the store that the app came from
	core   string // Home Assistant's version
}

// newHousehold asks Supervisor where the program is. That none of it is to be had keeps nothing
// from working, and is asked again.
func newHousehold(ctx context.Context, super *supervisor.Client, log zerolog.Logger, voice *words.Voice) *household {
	h := &household{super: super, log: log, voice: voice}
	h.known.Store(&place{zone: time.Local})
	h.ask(ctx)
	return h
}

func (h *household) location() *time.Location { return h.known.Load().zone }
func (h *household) page() string             { return h.known.Load().page }

// support is the address where the program came from, for people who want to know more, or to
// report something; "" for one's own folder.
func (h *household) support() string { return h.known.Load().origin }

// store is the address of a store, without the branch; "" if it is none that a browser opens, or
// holds somebody's password.
func (h *household) store(ctx context.Context, slug string) string {
	if known := h.support(); known != "" || slug == "" || slug == "local" || slug == "core" {
		return known
	}
	r, err := h.super.Repository(ctx, slug)
	if err != nil {
		return ""
	}
	u, err := url.Parse(r.Source)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Host == "" {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// screens are Home Assistant's own for the app of this slug, and for ours.
func (h *household) screens(slug string) web.Screens {
	p := h.known.Load()
	return web.Screens{App: screenPath(slug, "info", p.core), Own: screenPath(p.slug, "config", p.core), Blueprint: importPath(p.origin)}
}

// blueprint is the file that importPath leads to.
const blueprint = "blueprints/automation/tunnelmedic/tunnel_trouble.yaml"

// importPath is Home Assistant's own form that imports the blueprint from where this program came from, whose fork that may be;
// "" where Core imports nothing from (GITHUB_FILE_PATTERN of its blueprint/importer.py). My Home Assistant leads to the same
// path (the frontend's panels/my/ha-panel-my.ts).
func importPath(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host != "github.com" {
		return ""
	}
	file := "https://github.com/" + strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git") + "/blob/HEAD/" + blueprint
	return "/config/blueprint/dashboard/import?blueprint_url=" + url.QueryEscape(file)
}

// keepAsking asks again until the context ends.
func (h *household) keepAsking(ctx context.Context) {
	wait := settleLater
	if h.page() == "" {
		wait = settleSoon
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		zone, page, lang := h.location(), h.page(), h.voice.Lang()
		wait = settleLater
		if !h.ask(ctx) {
			wait = settleSoon
		}
		if h.changed != nil && (h.location().String() != zone.String() || h.page() != page || h.voice.Lang() != lang) {
			h.changed()
		}
	}
}

// ask asks once, and says whether it knows everything now.
func (h *household) ask(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	info, err := h.super.SystemInfo(ctx)
	self, err2 := h.super.Self(ctx)
	core, err3 := h.super.CoreConfig(ctx)
	if err := errors.Join(err, err2, err3); err != nil {
		h.log.Debug().Err(err).Msg("Time zone, page and language are not wholly known yet.")
	}
	if err3 == nil {
		h.voice.Speak(core.Language)
	}
	p := *h.known.Load()
	if err == nil && info.TimeZone != "" {
		p.zone = h.zone(info.TimeZone, p.zone)
	}
	if err2 == nil {
		p.slug, p.origin = self.Slug, cmp.Or(h.store(ctx, self.Repository), p.origin)
	}
	if err == nil {
		p.core = info.HomeAssistant
	}
	if p.slug != "" && (err == nil || p.page == "") {
		p.page = pagePath(p.slug, info.HomeAssistant)
	}
	h.known.Store(&p)
	return err == nil && err2 == nil && err3 == nil
}

// zone is the time zone of this name; the one before, where it was said of it already that it is
// not known here.
func (h *household) zone(name string, before *time.Location) *time.Location {
	zone, err := time.LoadLocation(name)
	switch {
	case err == nil:
		h.strange = ""
		return zone
	case h.strange == name:
		return before
	}
	h.strange = name
	h.log.Warn().Msgf("The time zone %q, which Supervisor names, is not known here: the quiet hours, and the times on the page, are taken as UTC.", name)
	return time.UTC
}

// pagePath is where Home Assistant shows an app's page: /app/<slug> since 2026.2. The
// frontend of late 2026 has no /hassio routes any more, and older ones have no /app.
func pagePath(slug, core string) string {
	if before(core, 2026, 2) {
		return "/hassio/ingress/" + slug
	}
	return "/app/" + slug
}

// screenPath is where Home Assistant shows an app to its administrators, with buttons for start
// and stop; tab is info, config or logs (the frontend's panels/config/apps, before 2026.2
// hassio/src/addon-view).
func screenPath(slug, tab, core string) string {
	switch {
	case slug == "" || url.PathEscape(slug) != slug: // it stands in a link, and comes from elsewhere
		return ""
	case before(core, 2026, 2):
		return "/hassio/addon/" + slug + "/" + tab
	}
	return "/config/app/" + slug + "/" + tab
}

// before says whether a Core is older than a month's release. One of unknown version is taken for
// a new one.
func before(core string, thisYear, thisMonth int) bool {
	parts := strings.SplitN(core, ".", 3)
	if len(parts) >= 2 {
		year, err := strconv.Atoi(parts[0])
		month, err2 := strconv.Atoi(parts[1])
		return err == nil && err2 == nil && (year < thisYear || year == thisYear && month < thisMonth)
	}
	return false
}
