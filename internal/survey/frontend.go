package survey

import (
	"context"
	"net/url"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// When the daemon asks for the start page: once a day and when Home Assistant's version
// changed; and sooner, in intervals between probes, to be sure of a stale one and to see
// its end.
const (
	pageEvery   = 24 * time.Hour
	pageConfirm = 5
	pageAgain   = 15
	pageProof   = 2 // looks in a row: an update may come between two requests
)

// startPage is what is kept of the daemon's looks at the start page.
type startPage struct {
	at      time.Time
	version string // of Home Assistant then
	seen    evidence.Frontend
	stale   int // looks in a row that found it stale
}

// lookStartPage asks for the start page. For the daemon it is evidence once it is proven to be
// stale.
func lookStartPage(ctx context.Context, r *round) (fill, error) {
	public, version := r.way.Like(r.public()), r.soFar().Public.HAVersion
	if r.moment.Whole {
		f := r.startPage(ctx, public, version)
		return func(s *Seen) { s.Frontend = f }, nil
	}
	p, now := &r.page, time.Now()
	if !r.moment.Suspected && p.due(now, version, r.set.Interval) {
		f := r.startPage(ctx, public, version)
		p.at, p.version = now, version
		p.take(f)
		r.set.Log.Debug().Str("script", f.Script).Bool("stale", f.Stale()).Msg("Looked at the start page.")
	}
	if p.stale < pageProof {
		return nil, nil
	}
	stale := p.seen
	return func(s *Seen) { s.Frontend = stale }, nil
}

// startPage asks for the start page through the tunnel and past it. version is that of the
// Home Assistant which greets through the tunnel: it may be another than this home's.
func (r *round) startPage(ctx context.Context, public probe.Target, version string) evidence.Frontend {
	f := frontend(ctx, public, r.at(ctx).URL, r.set.Timeout)
	if r.set.Supervisor != nil {
		if core, err := r.set.Supervisor.CoreInfo(ctx); err == nil && core.Version != "" && version != "" {
			f.Elsewhere = core.Version != version
		}
	}
	return f
}

// take takes the answer of a look.
func (p *startPage) take(f evidence.Frontend) {
	switch {
	case f.Stale():
		p.stale, p.seen = p.stale+1, f
	case f.Script != "": // else it was not seen, and says nothing
		p.stale, p.seen = 0, f
	}
}

// due says whether it is time for the next look.
func (p *startPage) due(now time.Time, version string, interval time.Duration) bool {
	wait := pageEvery
	switch {
	case p.stale >= pageProof:
		wait = pageAgain * interval
	case p.stale > 0:
		wait = pageConfirm * interval
	}
	return p.at.IsZero() || now.Sub(p.at) >= wait || version != p.version
}

// frontend asks for Home Assistant's start page and the script that it names, through
// the public name and, where origin is known, directly. Six small requests at most.
func frontend(ctx context.Context, public probe.Target, origin *url.URL, timeout time.Duration) (f evidence.Frontend) {
	f.Page, f.Script = probe.StartPage(ctx, public)
	if f.Script == "" || f.Page.CFRay() == "" {
		return f // a login page in between, or no Home Assistant
	}
	f.Entry = probe.Script(ctx, public, f.Script)
	if origin == nil {
		return f
	}
	direct := probe.DirectTarget(origin, timeout, public.Keeper)
	direct.Net = public.Net
	if f.OwnPage, f.OwnScript = probe.StartPage(ctx, direct); f.OwnScript == "" {
		return f
	}
	if f.OwnScript != f.Script {
		f.OldEntry = probe.Script(ctx, direct, f.Script)
	}
	f.OwnEntry = probe.Script(ctx, direct, f.OwnScript)
	return f
}
