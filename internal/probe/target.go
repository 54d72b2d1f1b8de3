// Package probe holds the ways of looking at a Home Assistant, through its
// Cloudflare Tunnel or past it: one file each, one signature. A look never
// returns an error: what went wrong is what it saw.
//
// Every look has a connection of its own, speaks HTTP/1.1, follows no redirect
// and uses no proxy, so that it says something of one path at one moment.
package probe

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"tunnelmedic/internal/network"
	"tunnelmedic/internal/secret"
)

// DefaultTimeout is how long a look may take where its target says nothing.
const DefaultTimeout = 10 * time.Second

// Target is where to look and with what. The zero value of everything but URL is
// useful. It prints without its secrets.
type Target struct {
	URL *url.URL // scheme, host and port; path, query and credentials are not used

	// Credentials, for this home's own address alone: see Bare.
	Access      Access           // Cloudflare Access service token, sent to URL only, and only where that is Cloudflare
	Token       *Token           // Home Assistant's long-lived token; nil: Handshake does not sign in
	Certificate *tls.Certificate // client certificate for mutual TLS, nil for none; shown to whoever proves to be URL
	Vouched     *Vouched         // where URL is Cloudflare, shared by all looks; nil: each look with a service token asks again
	RootCAs     *x509.CertPool   // who may have signed the server's certificate; nil: the system's list

	Net     network.Network // the way there, the house's resolver included
	Network string          // "tcp" (also ""), "tcp4" or "tcp6"
	Outside *Resolver       // not nil: the name is looked up there instead, and Look.Outside is set

	Timeout   time.Duration  // for the whole look; 0: DefaultTimeout
	Keeper    *secret.Keeper // scrubs what the look keeps, besides the target's own secrets; nil: only those
	UserAgent string         // "": "tunnelmedic"

	direct bool   // see DirectTarget
	host   string // see ServiceTarget
	at     string // address and port to dial, "" to look the name up

	protocols []string // offered in TLS; nil: HTTP/1.1 alone
}

// DirectTarget is Home Assistant itself, at its address on the internal network
// (http or https). A look there carries no secret: no service token, no client
// certificate, and it does not sign in. It does not verify the certificate
// either: that was issued for the public name or by the owner himself, no name
// fits an internal address, and nothing worth protecting is sent.
func DirectTarget(origin *url.URL, timeout time.Duration, keeper *secret.Keeper) Target {
	return Target{URL: origin, Timeout: timeout, Keeper: keeper, direct: true}
}

// ServiceTarget is the place the tunnel leads to, asked for the public name as
// cloudflared asks it. Like DirectTarget it carries no secret.
func ServiceTarget(service *url.URL, public *url.URL, timeout time.Duration, keeper *secret.Keeper) Target {
	t := DirectTarget(service, timeout, keeper)
	t.host = public.Host
	return t
}

// Limit is how long a look may take.
func (t Target) Limit() time.Duration { return cmp.Or(max(t.Timeout, 0), DefaultTimeout) }

// Bare is the target without a credential, for an address that is not known to be
// this home's.
func (t Target) Bare() Target {
	t.Access, t.Token, t.Certificate = Access{}, nil, nil
	return t
}

// name is the host name that the target is asked for.
func (t Target) name() string {
	if t.host == "" {
		return t.URL.Hostname()
	}
	return (&url.URL{Host: t.host}).Hostname()
}

// String gives the target for people: what is set, not the values.
func (t Target) String() string {
	var with []string
	for _, x := range []struct {
		set  bool
		name string
	}{
		{t.direct, "direct"}, {!t.Access.empty(), "service token"}, {t.Token != nil, "sign-in"},
		{t.Certificate != nil, "client certificate"}, {t.Outside != nil, "resolved outside"},
	} {
		if x.set {
			with = append(with, x.name)
		}
	}
	if len(with) == 0 {
		return t.address("")
	}
	return t.address("") + " (" + strings.Join(with, ", ") + ")"
}

// GoString is String, so that no verb prints the secrets.
func (t Target) GoString() string { return t.String() }

// address is the URL of a path on the target, without credentials.
func (t Target) address(path string) string {
	if t.URL == nil {
		return "no URL"
	}
	return (&url.URL{Scheme: t.URL.Scheme, Host: t.URL.Host, Path: path}).String()
}

// check says why the target cannot be looked at, nil if it can.
func (t Target) check() error {
	switch {
	case t.URL == nil || t.URL.Hostname() == "":
		return fmt.Errorf("%w: it has no host", errUnusable)
	case t.URL.Scheme != "http" && t.URL.Scheme != "https":
		return fmt.Errorf("%w: scheme %q is neither https nor http", errUnusable, t.URL.Scheme)
	case t.Network != "" && t.Network != "tcp" && t.Network != "tcp4" && t.Network != "tcp6":
		return fmt.Errorf("%w: network %q is not one of tcp, tcp4, tcp6", errUnusable, t.Network)
	case t.URL.Scheme == "http" && !t.direct && !Loopback(t.URL.Hostname()):
		// Its secrets would cross the network in clear.
		return fmt.Errorf("%w: http is only for this machine itself, write https", errUnusable)
	}
	return nil
}

// secrets are the target's own, to be cut out of what the other side echoes.
func (t Target) secrets() []string {
	s := []string{t.Access.ID, t.Access.Secret}
	if t.Token != nil {
		s = append(s, t.Token.value)
	}
	if t.URL != nil && t.URL.User != nil {
		password, _ := t.URL.User.Password()
		s = append(s, password)
	}
	return s
}

// header is what every request to the target carries.
func (t Target) header() http.Header {
	h := http.Header{"User-Agent": {"tunnelmedic"}}
	if t.UserAgent != "" {
		h.Set("User-Agent", t.UserAgent)
	}
	if !t.Access.empty() && !t.direct {
		h.Set("CF-Access-Client-Id", t.Access.ID)
		h.Set("CF-Access-Client-Secret", t.Access.Secret)
	}
	return h
}

// Access is a Cloudflare Access service token. It is sent only when both parts
// are there, and it prints without them.
type Access struct {
	ID     string `json:"-"`
	Secret string `json:"-"`
}

func (a Access) empty() bool { return a.ID == "" || a.Secret == "" }

// String says only whether there is one.
func (a Access) String() string {
	if a.empty() {
		return "no service token"
	}
	return "service token " + secret.Mark
}

// GoString is String, so that no verb prints the secret.
func (a Access) GoString() string { return a.String() }

// LoadRoots gives the system's root certificates with those of a PEM file added.
func LoadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading root certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading root certificates: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// Loopback says whether a host is this machine itself.
func Loopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
