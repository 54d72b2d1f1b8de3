// Package supervisor speaks with Home Assistant's Supervisor and, through its
// proxy, with Core: as much of both APIs as the program needs, and no more. It
// decides nothing. What it gives back is typed, bounded in size and, where people
// may read it, free of secrets; what went wrong is an [Error] whose kind says what
// a caller can do.
package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"tunnelmedic/internal/network"
	"tunnelmedic/internal/secret"
)

// Config is what a [Client] needs. It never prints its token.
type Config struct {
	BaseURL string         // of the Supervisor, "http://supervisor" in an add-on
	Token   string         // SUPERVISOR_TOKEN; it changes at every start of the add-on
	Keeper  *secret.Keeper // learns the token and the secrets met on the way; nil makes a new one
	Net     network.Network

	// TimeScale multiplies every time-out and pause. It is for tests, which cannot
	// wait four minutes for a restart; 0 means 1.
	TimeScale float64
}

// Format keeps the token out of every verb.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, "supervisor.Config") }

// Client asks one Supervisor: of its apps, of Core behind its proxy, and of the house
// they stand in. It may be used by several goroutines at once.
type Client struct {
	Apps
	*Core
	House
	line *line
}

// New makes a client. It asks nothing yet.
func New(cfg Config) *Client {
	l := &line{keeper: cfg.Keeper, scale: cfg.TimeScale}
	if l.keeper == nil {
		l.keeper = new(secret.Keeper)
	}
	if l.scale <= 0 {
		l.scale = 1
	}
	l.keeper.Add(cfg.Token)
	way := cfg.Net.Transport() // without a proxy: one from the environment would be handed the token
	way.DisableCompression = true
	// A round asks several things in a row. Supervisor's server closes what is idle for 75 s (aiohttp's
	// keepalive_timeout), so what is kept is let go well before.
	way.DisableKeepAlives, way.MaxIdleConnsPerHost, way.IdleConnTimeout = false, 1, l.scaled(20*time.Second)
	way.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, l.scaled(5*time.Second))
		defer cancel()
		return cfg.Net.Dial(ctx, network, address)
	}
	l.http = network.Client(way, cfg.BaseURL, 0, 0).
		SetAuthToken(cfg.Token). // over plain http by design: the network is Docker's own
		SetHeader("User-Agent", "tunnelmedic").
		SetDoNotParseResponse(true)
	return &Client{Apps{l}, &Core{line: l}, House{l}, l}
}

// TokenRefused says whether Supervisor does not accept this app's token. That ends with
// a new one, which a restart of the app gives.
func (c *Client) TokenRefused() bool { return c.line.tokenRefused.Load() }

// Format keeps the token out of every verb.
func (c *Client) Format(f fmt.State, _ rune) { io.WriteString(f, "supervisor.Client") }
