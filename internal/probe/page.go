package probe

import (
	"context"
	"net/http"

	"tunnelmedic/internal/evidence"
)

// pagePath is the web app manifest: Home Assistant's frontend answers it without
// a login, from memory, and it is small. A path that wants a login would count as
// a failed one towards an IP ban.
const pagePath = "/manifest.json"

// Page is a plain GET of the target: whether requests that are no WebSocket
// arrive. Any status is an answer.
func Page(ctx context.Context, t Target) evidence.Look {
	return look(ctx, t, pagePath, func(ctx context.Context, v *visit) error { return v.get(ctx, http.MethodGet, pagePath) })
}
