package probe

import (
	"context"
	"net/http"
	"regexp"

	"tunnelmedic/internal/evidence"
)

// startPageLimit is how much of the start page is read, in bytes: Home Assistant's has
// some eleven thousand, and integrations may add scripts of theirs.
const startPageLimit = 256 << 10

// The entry scripts that the frontend's index.html names, a hash of their content in the
// name (home-assistant/frontend, src/html/index.html.template): app is the one that
// begins. In 2025 and before, and after a change of the build, there may be another.
var (
	entryApp = regexp.MustCompile(`/frontend_latest/app[.-][0-9A-Za-z_-]{6,64}\.js`)
	entryAny = regexp.MustCompile(`/frontend_(?:latest|es5)/[0-9A-Za-z_.-]{1,100}\.js`)
)

// StartPage asks for Home Assistant's start page, which needs no login, and gives the
// entry script that it names, "" if it names none: then it is not Home Assistant's.
func StartPage(ctx context.Context, t Target) (l evidence.Look, script string) {
	l = look(ctx, t, "/", func(ctx context.Context, v *visit) error {
		v.wanted = startPageLimit
		if err := v.get(ctx, http.MethodGet, "/"); err != nil {
			return err
		}
		if v.look.Status == http.StatusOK {
			if script = string(entryApp.Find(v.whole)); script == "" {
				script = string(entryAny.Find(v.whole))
			}
			script = v.scrub(script)
		}
		return nil
	})
	return l, script
}

// Script asks whether a script of the frontend is there: its head only, for a body that
// is not read to its end would leave an error in the connector's log.
func Script(ctx context.Context, t Target, path string) evidence.Look {
	l := look(ctx, t, path, func(ctx context.Context, v *visit) error { return v.get(ctx, http.MethodHead, path) })
	l.Asked = "HEAD" + l.Asked[len("GET"):]
	return l
}
