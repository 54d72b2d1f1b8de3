package addon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"tunnelmedic/internal/network"
)

// Health asks the running daemon whether its loop is alive, for the container's
// health check. It needs the address alone, so that a broken option does not make
// a healthy daemon look dead.
func Health(ctx context.Context, environ []string) error {
	listen := ":8099"
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, Prefix+"LISTEN="); ok && v != "" {
			listen = v
		}
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%sLISTEN is not an address: %w", Prefix, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	res, err := network.Client(network.Network{}.Transport(), "http://"+net.JoinHostPort(host, port), 4*time.Second, 64<<10).R().SetContext(ctx).Get("/healthz")
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w", err)
	}
	if res.StatusCode() != http.StatusOK {
		return fmt.Errorf("the daemon says that it is not well (HTTP %d)", res.StatusCode())
	}
	return nil
}
