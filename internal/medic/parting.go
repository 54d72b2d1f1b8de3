package medic

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// maxPartings bounds how long another app is not watched for an old one's sake.
const maxPartings = 3

// parting is the leave from an app that was watched before: what is open there is finished
// or undone first. Nothing else is done meanwhile.
type parting struct {
	course *course
	app    *app
	pulse  *pulse
	chron  *journal.Chronicle
	log    zerolog.Logger

	concluded func(policy.Outcome) policy.Decision // takes a change's end
	hold      func(slug string)                    // keeps everything else from being done

	from  string // the app's slug, while something of ours is still open there
	tries int    // how often it was tried to put an end to that
}

// under says whether something is still open on an app that is not to be watched any more.
func (p *parting) under() bool { return p.from != "" }

func (p *parting) over() { p.from, p.tries = "", 0 }

// free says whether the app with this slug, "" for none, can be watched from here: nothing
// of ours is open on another.
func (p *parting) free(ctx context.Context, slug string) bool {
	c, in := p.course, p.course.begun()
	if slug == c.slug {
		if t := c.state.Trial; p.under() && t != nil && !t.Settled {
			t.Retry = time.Now() // so it is carried out as any other
		}
	} else if c.slug != "" && (c.state.Trial != nil || c.state.StoppedByUs || in != nil) && !p.leave(ctx, in) {
		return false
	}
	p.over()
	return true
}

// leave ends what is open on the app that was watched. It is given up after some
// attempts: the app that is in use must not go unwatched for the sake of another.
func (p *parting) leave(ctx context.Context, begun *journal.Intention) (done bool) {
	c := p.course
	p.holdOff(c.slug)
	info, err := p.app.super.Info(ctx, c.slug)
	switch {
	case ctx.Err() != nil:
		return false
	case supervisor.Is(err, supervisor.NotFound) || err == nil && !info.Installed():
		p.log.Info().Str("slug", c.slug).Msg("The app that was watched is gone, and with it what was being changed there.")
		c.state.StoppedByUs = false
		return true
	case err != nil:
		p.log.Debug().Err(err).Msg("Looking at the app that was watched again later.")
		return false
	}
	p.app.attach(tunnel.Target{Slug: c.slug, Name: info.Name, Hostname: info.Hostname})
	p.tries++
	if p.undo(ctx, begun) {
		return true
	}
	if ctx.Err() != nil || p.tries < maxPartings {
		return false
	}
	p.log.Error().Str("slug", c.slug).Str("protocol", c.state.Own.String()).Msg("What Tunnel Medic changed there could not be undone. If you use this app again, look at its run parameters.")
	return true
}

func (p *parting) holdOff(slug string) {
	if p.from != slug {
		p.from, p.tries = slug, 0
	}
	p.hold(slug)
}

// undo takes back what is unproven on the app that was watched, and starts it where it
// is down by our doing.
func (p *parting) undo(ctx context.Context, begun *journal.Intention) (done bool) {
	c := p.course
	in, again, open := c.wayBack(begun, time.Now())
	if !open {
		_ = c.keep(nil)
		return true
	}
	p.log.Info().Str("slug", c.slug).Str("protocol", in.To.String()).Msg("Another app is to be watched: what is unproven here is undone first.")
	defer p.pulse.during()()
	p.chron.Begin(time.Now())
	var out policy.Outcome
	var err error
	if again {
		out, err = p.app.treat.Resume(ctx, in)
	} else {
		_ = c.keep(&in)
		out, err = p.app.treat.Undo(ctx, in, begun)
	}
	if err != nil { // the program ends; the intention stays
		return false
	}
	p.concluded(out)
	if t := c.state.Trial; t != nil {
		t.Retry = time.Time{} // it is tried again from here
	}
	return c.state.Trial == nil && !c.state.StoppedByUs
}
