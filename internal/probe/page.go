package probe

import (
	"context"
	"fmt"
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

// get makes a plain request.
func (v *visit) get(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, v.target.address(path), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	req.Header = v.target.header()
	req.Close = true
	resp, err := v.client().Do(req)
	if err != nil {
		return bare(err)
	}
	defer resp.Body.Close() // what is kept of it was read with the head
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: 101 to a plain request", errGarbled)
	}
	return nil
}
