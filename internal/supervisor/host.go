package supervisor

import (
	"context"
	"net/http"
	"net/netip"
)

// Addresses gives the machine's own addresses in the networks it is in, Docker's
// left out: those at which a service on it is reached from another machine.
func (c *Client) Addresses(ctx context.Context) ([]netip.Addr, error) {
	type family struct {
		Address []string `json:"address"` // with the prefix length: "192.168.1.10/24"
	}
	var s struct {
		Interfaces []struct {
			IPv4 *family `json:"ipv4"`
			IPv6 *family `json:"ipv6"`
		} `json:"interfaces"`
	}
	if err := c.get(ctx, "reading the machine's addresses", "/network/info", &s); err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, i := range s.Interfaces {
		for _, f := range []*family{i.IPv4, i.IPv6} {
			if f == nil {
				continue
			}
			for _, text := range f.Address {
				if p, err := netip.ParsePrefix(text); err == nil {
					list = append(list, p.Addr().Unmap())
				}
			}
		}
	}
	return list, nil
}

// Repository is a store that apps are installed from.
type Repository struct {
	Slug   string `json:"slug"`   // the first part of its apps' slugs
	Source string `json:"source"` // the address that a person has entered, with #branch where there is one
}

// Repository reads one of the stores; kind NotFound if Supervisor has none of this slug.
func (c *Client) Repository(ctx context.Context, slug string) (Repository, error) {
	q := call{op: "reading the store " + slug, method: http.MethodGet, path: "/store/repositories/" + slug, patience: reading}
	if err := named("a store", slug); err != nil {
		return Repository{}, err
	}
	var r Repository
	if err := c.ask(ctx, q, &r); err != nil {
		return Repository{}, err
	}
	return r, nil
}
