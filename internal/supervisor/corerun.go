package supervisor

import (
	"context"
	"net"
	"net/http"
	"strconv"

	"tunnelmedic/internal/evidence"
)

// CoreRuns says whether Home Assistant's container runs: Supervisor gives its load
// then, and refuses to otherwise. A Core that runs and does not answer is starting,
// or hangs. Each refusal is two errors with a traceback in Supervisor's log, so that a
// container that does not run is asked about once, until Core answers again.
func (c *Client) CoreRuns(ctx context.Context) evidence.Switch {
	q := call{op: "reading Core's load", method: http.MethodGet, path: "/core/stats", patience: reading}
	if c.coreStopped.Load() {
		return evidence.Off
	}
	var load struct {
		CPU float64 `json:"cpu_percent"`
	}
	err := c.ask(ctx, q, &load)
	switch {
	case err == nil:
		return evidence.On
	case Is(err, Rejected):
		c.coreStopped.Store(true)
		return evidence.Off
	}
	return evidence.NotKnown
}

// Address gives Home Assistant's address on the internal network: "homeassistant" is
// its name there in every installation.
func (c CoreInfo) Address() string {
	scheme := "http"
	if c.SSL {
		scheme = "https"
	}
	port := c.Port
	if port == 0 {
		port = 8123
	}
	return scheme + "://" + net.JoinHostPort("homeassistant", strconv.Itoa(port))
}

// Into puts where Core listens, and which it is, into the evidence of how it is.
func (c CoreInfo) Into(e *evidence.Core) { e.Port, e.SSL, e.Version = c.Port, c.SSL, c.Version }
