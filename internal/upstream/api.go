package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
)

// refusal is an answer of the API that is no success.
type refusal struct {
	status int
	code   int // of the first error
}

func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d, code %d", r.status, r.code) }

// zone is where the host name stands.
type zone struct{ id, account, name, host string }

// path is the API's, below the zone.
func (z zone) path(rest string) string { return "/zones/" + url.PathEscape(z.id) + rest }

// word asks the API: the zone first, since all else hangs on it.
func (c *Client) word(ctx context.Context, q Question, u *evidence.Upstream) {
	z, err := c.zone(ctx, q.Hosts)
	switch {
	case err != nil:
		u.Troubles = append(u.Troubles, gap(evidence.AskedZone, err))
		return
	case z.id == "":
		u.Troubles = append(u.Troubles, evidence.Gap{Kind: evidence.GapNoZone, Of: evidence.AskedZone, Hosts: clip(strings.Join(q.Hosts, ", "), 300)})
		return
	}
	u.Zone = z.name
	for _, ask := range []struct {
		of evidence.GapOf
		do func() error
	}{
		{evidence.AskedTunnel, func() error { return c.tunnel(ctx, q, z, u) }},
		{evidence.AskedWebSockets, func() (err error) { u.WebSockets, err = c.setting(ctx, z, "websockets"); return err }},
		{evidence.AskedHTTP3, func() (err error) { u.HTTP3, err = c.setting(ctx, z, "http3"); return err }},
		{evidence.AskedMutualTLS, func() error { return c.mutualTLS(ctx, z, u) }},
		{evidence.AskedRules, func() error { return c.rules(ctx, z, u) }},
	} {
		err := ask.do()
		if err == nil {
			continue
		}
		if t := gap(ask.of, err); t.Kind != evidence.GapToken || !slices.ContainsFunc(u.Troubles, func(g evidence.Gap) bool { return g.Kind == evidence.GapToken }) {
			u.Troubles = append(u.Troubles, t)
		}
		if r, ok := errors.AsType[*refusal](err); ok && r.status == http.StatusTooManyRequests || ctx.Err() != nil {
			return // asking on would prolong it
		}
	}
}

// zone looks the host's zone up by name (GET /zones?name=). A token without the
// right sees an empty list, not a refusal.
func (c *Client) zone(ctx context.Context, hosts []string) (zone, error) {
	for _, host := range hosts {
		for _, name := range zoneNames(host) {
			var zones []struct {
				ID, Name string
				Account  struct{ ID string }
			}
			if err := c.get(ctx, "/zones", url.Values{"name": {name}}, &zones); err != nil {
				return zone{}, err
			}
			for _, z := range zones {
				if strings.EqualFold(z.Name, name) && z.ID != "" {
					return zone{z.ID, z.Account.ID, name, strings.ToLower(host)}, nil
				}
			}
		}
	}
	return zone{}, nil
}

// tunnel finds the tunnel by the host's DNS record, or by the connector's own word,
// and reads who is connected to it.
func (c *Client) tunnel(ctx context.Context, q Question, z zone, u *evidence.Upstream) error {
	id, err := c.tunnelByDNS(ctx, z)
	if id == "" && q.Tunnel != nil {
		id = q.Tunnel(ctx)
	}
	if id == "" {
		if err != nil {
			u.Troubles = append(u.Troubles, gap(evidence.AskedRecord, err))
		} else {
			u.Troubles = append(u.Troubles, evidence.Gap{Kind: evidence.GapNoTunnel, Of: evidence.AskedRecord})
		}
		return nil
	}
	var clients []struct {
		Version  string
		Features []string
		RunAt    time.Time `json:"run_at"`
		Conns    []struct {
			Colo    string `json:"colo_name"`
			Pending bool   `json:"is_pending_reconnect"`
		}
	}
	if err := c.get(ctx, "/accounts/"+url.PathEscape(z.account)+"/cfd_tunnel/"+url.PathEscape(id)+"/connections", nil, &clients); err != nil {
		return err
	}
	u.Connectors = []evidence.TunnelClient{}
	for _, cl := range clients[:min(len(clients), 8)] {
		one := evidence.TunnelClient{Version: clip(cl.Version, 40), RunAt: cl.RunAt}
		for _, f := range cl.Features[:min(len(cl.Features), 20)] {
			one.Features = append(one.Features, clip(f, 60))
		}
		for _, s := range cl.Conns[:min(len(cl.Conns), 8)] {
			if !s.Pending {
				one.Colos = append(one.Colos, clip(s.Colo, 16))
			}
		}
		u.Connectors = append(u.Connectors, one)
	}
	return nil
}

// tunnelByDNS reads the host's record: a CNAME to <tunnel id>.cfargotunnel.com. A
// wildcard's stands for hosts without one of their own.
// (name is the older spelling of the reference's name.exact; what comes back is
// compared all the same.)
func (c *Client) tunnelByDNS(ctx context.Context, z zone) (string, error) {
	_, parent, _ := strings.Cut(z.host, ".")
	for _, name := range []string{z.host, "*." + parent} {
		var records []struct{ Name, Type, Content string }
		if err := c.get(ctx, z.path("/dns_records"), url.Values{"name": {name}}, &records); err != nil {
			return "", err
		}
		for _, r := range records {
			if id, ok := strings.CutSuffix(strings.TrimSuffix(r.Content, "."), ".cfargotunnel.com"); ok && strings.EqualFold(r.Name, name) {
				return id, nil
			}
		}
	}
	return "", nil
}

func (c *Client) setting(ctx context.Context, z zone, name string) (*evidence.Setting, error) {
	var s struct {
		Value    string
		Modified time.Time `json:"modified_on"`
	}
	if err := c.get(ctx, z.path("/settings/"+name), nil, &s); err != nil {
		return nil, err
	}
	if s.Value != "on" && s.Value != "off" {
		return nil, errFormat
	}
	return &evidence.Setting{Value: s.Value, Modified: s.Modified}, nil
}

// mutualTLS reads for which hosts the edge asks visitors for a client certificate of
// the zone's Cloudflare-managed authority. (The zone setting tls_client_auth is
// something else: the edge's own certificate towards the origin.) Hosts tied to an
// authority of their own, or to an Access policy, are not in this list.
func (c *Client) mutualTLS(ctx context.Context, z zone, u *evidence.Upstream) error {
	var list struct{ Hostnames []string }
	if err := c.get(ctx, z.path("/certificate_authorities/hostname_associations"), nil, &list); err != nil {
		return err
	}
	u.MutualTLS = &evidence.Setting{Value: "off"}
	if slices.ContainsFunc(list.Hostnames, func(h string) bool { return strings.EqualFold(h, z.host) }) {
		u.MutualTLS.Value = "on"
	}
	return nil
}

// rules reads the managed DDoS L7 rule set's version (GET /zones/{z}/rulesets).
func (c *Client) rules(ctx context.Context, z zone, u *evidence.Upstream) error {
	var sets []struct {
		ID, Name, Kind, Phase, Version string
		Updated                        time.Time `json:"last_updated"`
	}
	if err := c.get(ctx, z.path("/rulesets"), nil, &sets); err != nil {
		return err
	}
	for _, s := range sets {
		if s.Phase == "ddos_l7" && s.Kind == "managed" && s.Version != "" && len(u.Rules) < 4 {
			u.Rules = append(u.Rules, evidence.RuleSet{ID: clip(s.ID, 40), Name: clip(s.Name, 80), Version: clip(s.Version, 20), Updated: s.Updated})
		}
	}
	if len(u.Rules) == 0 {
		u.Troubles = append(u.Troubles, evidence.Gap{Kind: evidence.GapNoRules, Of: evidence.AskedRules})
	}
	return nil
}

var errFormat = errors.New("the answer is not what the API's reference describes")

// get asks for one result of the API's envelope.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	res, err := c.api.R().SetContext(ctx).SetQueryParamsFromValues(query).Get(path)
	if err != nil {
		return err
	}
	var body struct {
		Success bool
		Result  json.RawMessage
		Errors  []struct{ Code int }
	}
	bad := json.Unmarshal(res.Body(), &body) != nil
	if res.StatusCode() != http.StatusOK || !bad && !body.Success && len(body.Errors) > 0 {
		r := &refusal{status: res.StatusCode()}
		if len(body.Errors) > 0 {
			r.code = body.Errors[0].Code
		}
		return r
	}
	if bad || !body.Success || json.Unmarshal(body.Result, into) != nil {
		return errFormat
	}
	return nil
}

// gap says why something could not be read.
func gap(of evidence.GapOf, err error) evidence.Gap {
	g := evidence.Gap{Kind: evidence.GapStatus, Of: of}
	r, refused := errors.AsType[*refusal](err)
	if !refused {
		return failed(of, err)
	}
	g.Status, g.Code = r.status, r.code
	switch {
	case r.status == http.StatusTooManyRequests:
		g.Kind = evidence.GapTooOften
	// 1000 and 9109 "Invalid access token", 6003 and 6111 "Invalid request headers": the token itself.
	case r.status == http.StatusUnauthorized || r.code == 1000 || r.code == 6003 || r.code == 6111 || r.code == 9109 && of == evidence.AskedZone:
		g.Kind = evidence.GapToken
	case r.status == http.StatusForbidden:
		g.Kind = evidence.GapRight
	case r.status == http.StatusNotFound:
		g.Kind = evidence.GapNotFound
	}
	return g
}

// failed is the gap of a question that nothing usable came back to. An error's text is left
// out: it could quote the URL.
func failed(of evidence.GapOf, err error) evidence.Gap {
	switch {
	case errors.Is(err, errFormat):
		return evidence.Gap{Kind: evidence.GapUnexpected, Of: of}
	case errors.Is(err, resty.ErrResponseBodyTooLarge):
		return evidence.Gap{Kind: evidence.GapTooLarge, Of: of}
	}
	return evidence.Gap{Kind: evidence.GapUnasked, Of: of, Trouble: cmp.Or(network.TroubleOf(err), evidence.Unreachable)}
}
