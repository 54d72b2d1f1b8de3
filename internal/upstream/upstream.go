// Package upstream asks Cloudflare about itself: its status page, and, with a
// read-only token, its API. All of it is optional: every call has a time-out, what
// cannot be asked is a gap among the troubles, and nothing here has a say in
// healing.
//
// The field names are those of Statuspage's and Cloudflare's published references;
// that the real services answer so can be seen with a real token only.
package upstream

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/secret"
)

// timeout bounds one call. A page that takes longer is away.
const timeout = 10 * time.Second

// Limits of an answer, in bytes: the status page's list of incidents is some
// 300 KB with its texts, an answer of the API a few KB.
const (
	pageLimit = 4 << 20
	apiLimit  = 1 << 20
)

// Config is where to ask, and as whom.
type Config struct {
	StatusURL string        // such as https://www.cloudflarestatus.com/api/v2
	APIURL    string        // such as https://api.cloudflare.com/client/v4
	Token     string        // read-only; "" asks the status page alone
	Timeout   time.Duration // of a call; 0 is ten seconds
	Keeper    *secret.Keeper
	Net       network.Network
}

// Question is what an answer is wanted about.
type Question struct {
	Hosts  []string                     // public host names of Home Assistant, best first
	Tunnel func(context.Context) string // the connector's tunnel id, for where DNS does not tell it; may be nil

	Reports bool      // whether the status page's incidents are wanted
	Colos   []string  // data centres seen, "FRA" or "fra03"
	From    time.Time // incidents that had ended before are of no interest
}

// Client asks. It may be used by several goroutines at once.
type Client struct {
	status, api *resty.Client // api is nil without a token
	open        *resty.Client // the API without credentials
	scrub       func(string) string
}

// New makes a client. It asks nothing yet.
func New(c Config) *Client {
	c.Timeout = cmp.Or(c.Timeout, timeout)
	way := c.Net.Transport()
	way.Proxy = http.ProxyFromEnvironment
	client := func(base string, limit int) *resty.Client {
		return network.Client(way, base, c.Timeout, limit).SetHeader("Accept", "application/json")
	}
	u := &Client{status: client(c.StatusURL, pageLimit), open: client(c.APIURL, apiLimit).SetTimeout(min(c.Timeout, answerTimeout)), scrub: c.Keeper.Scrub}
	if c.Token != "" {
		u.api = client(c.APIURL, apiLimit).SetAuthToken(c.Token)
	}
	return u
}

// answerTimeout bounds the question whether the API answers: a tunnel waits for it.
const answerTimeout = 5 * time.Second

// Answers says whether Cloudflare's API answers, by the list of Cloudflare's own
// addresses, which it gives to anybody. nil if it does. Nothing of this home is sent.
func (c *Client) Answers(ctx context.Context) error {
	var body struct {
		Success bool `json:"success"`
	}
	res, err := c.open.R().SetContext(ctx).SetResult(&body).Get("/ips")
	switch {
	case err != nil:
		return fmt.Errorf("asking Cloudflare's API whether it answers: %s", c.scrub(err.Error()))
	case res.StatusCode() != 200 || !body.Success:
		return fmt.Errorf("asking Cloudflare's API whether it answers: HTTP %d", res.StatusCode())
	}
	return nil
}

// Ask asks one thing after the other and gives what came back.
func (c *Client) Ask(ctx context.Context, q Question) evidence.Upstream {
	u := evidence.Upstream{At: time.Now()}
	if q.Reports {
		var missing evidence.Gap
		if u.Reports, missing = c.page(ctx, q); missing.Kind == evidence.NoGap {
			u.PageAsked = true
		} else {
			u.Troubles = append(u.Troubles, missing)
		}
	}
	if c.api != nil {
		c.word(ctx, q, &u)
	}
	return u
}

// zoneNames gives what a host's zone may be called, longest first: the host itself
// down to its last two labels. Addresses and single labels have no zone.
func zoneNames(host string) []string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	var names []string
	for strings.Contains(host, ".") && len(names) < 6 {
		names = append(names, host)
		_, host, _ = strings.Cut(host, ".")
	}
	return names
}
