package survey

import (
	"context"
	"net/url"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// Frontend asks for Home Assistant's start page and the script that it names, through
// the public name and, where origin is known, directly. Six small requests at most; it
// is a look that is made seldom.
func Frontend(ctx context.Context, public probe.Target, origin *url.URL, timeout time.Duration) (f evidence.Frontend) {
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
