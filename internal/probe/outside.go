package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"
	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/network"
)

// DefaultDoH is Cloudflare's public resolver, by address: it needs no resolver of
// the house to be found.
const DefaultDoH = "https://1.1.1.1/dns-query"

// ErrResolver says that the DNS-over-HTTPS server could not be asked or gave no
// usable answer. It says nothing of the name.
var ErrResolver = errors.New("the DNS-over-HTTPS server gave no answer")

// dnsMedia is the media type of RFC 8484.
const dnsMedia = "application/dns-message"

// maxDNS is the longest DNS message there is, in bytes.
const maxDNS = 65535

// Resolver looks names up over DNS-over-HTTPS (RFC 8484), past the resolver of
// the house, which may answer otherwise at home than the world does (split DNS).
// It may be used by several goroutines at once.
//
// Of each name it keeps the last answer: for a minute instead of asking again, and for
// a day where nobody can be asked (as RFC 8767 has it for resolvers), so that a look
// does not go another way because the server was out of reach for a moment.
type Resolver struct {
	endpoint string
	way      *http.Transport
	client   *resty.Client

	mu   sync.Mutex // guards kept
	kept map[string]keptAnswer
}

// keptAnswer is what was answered last, and when somebody was last asked.
type keptAnswer struct {
	addrs     []netip.Addr
	at, asked time.Time
}

const (
	keptFresh   = time.Minute
	keptStale   = 24 * time.Hour
	keptNames   = 50              // a house has a few
	keptTimeout = 2 * time.Second // of asking again, where there is an answer to fall back on
)

// NewResolver asks at endpoint: https, or http on this machine itself. roots may
// be nil for the system's list.
func NewResolver(endpoint string, roots *x509.CertPool) (*Resolver, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())) {
		return nil, fmt.Errorf("the DNS-over-HTTPS address is not a plain https:// address: write one, like %s", DefaultDoH)
	}
	way := network.Network{}.Transport() // over HTTP/2, which RFC 8484 recommends; some servers speak nothing else
	way.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &Resolver{endpoint: u.String(), way: way, client: network.Client(way, "", DefaultTimeout, maxDNS)}, nil
}

// Over makes it ask over this network instead of the machine's own, from the start.
func (r *Resolver) Over(n network.Network) *Resolver {
	r.way.DialContext = n.Dial
	return r
}

// LookupNetIP gives the addresses of a host name, IPv4 first: the houses that cannot
// reach IPv4 are the fewer. It takes "ip", "ip4" or "ip6", as net.Resolver does. The error is a
// *net.DNSError with IsNotFound where the name has no address, ErrResolver where nobody could say.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	now, key := time.Now(), network+" "+strings.ToLower(host)
	r.mu.Lock()
	last, known := r.kept[key]
	r.mu.Unlock()
	known = known && now.Sub(last.at) < keptStale
	if known && now.Sub(last.asked) < keptFresh {
		return slices.Clone(last.addrs), nil
	}
	asking, cancel := ctx, context.CancelFunc(func() {})
	if known {
		asking, cancel = context.WithTimeout(ctx, keptTimeout)
	}
	defer cancel()
	addrs, err := r.inquire(asking, network, host)
	next := keptAnswer{addrs: addrs, at: now, asked: now}
	switch {
	case err == nil:
	case known && errors.Is(err, ErrResolver) && ctx.Err() == nil:
		addrs, err, next = last.addrs, nil, keptAnswer{addrs: last.addrs, at: last.at, asked: now}
	default:
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil || len(r.kept) >= keptNames {
		r.kept = map[string]keptAnswer{}
	}
	r.kept[key] = next
	return slices.Clone(addrs), err
}

// inquire asks the server.
func (r *Resolver) inquire(ctx context.Context, network, host string) ([]netip.Addr, error) {
	types := map[string][]dnsmessage.Type{
		"ip4": {dnsmessage.TypeA}, "ip6": {dnsmessage.TypeAAAA}, "ip": {dnsmessage.TypeA, dnsmessage.TypeAAAA},
	}[network]
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	answers := make([]chan answer, len(types))
	for i, t := range types {
		answers[i] = make(chan answer, 1)
		go func() {
			addrs, err := r.ask(ctx, host, t)
			answers[i] <- answer{addrs, err}
		}()
	}
	var addrs []netip.Addr
	var failed error
	for _, c := range answers {
		a := <-c
		addrs = append(addrs, a.addrs...)
		if failed == nil {
			failed = a.err
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case failed != nil:
		// Its types are not passed on: a server whose own name is not found says
		// nothing of host.
		return nil, fmt.Errorf("%w: %v", ErrResolver, failed) //nolint:errorlint // see above
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, Server: r.endpoint, IsNotFound: true}
}

// ask puts one question. No address and no error: the name does not exist, or has
// none of this type.
func (r *Resolver) ask(ctx context.Context, host string, t dnsmessage.Type) ([]netip.Addr, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return nil, err
	}
	question := dnsmessage.Question{Name: name, Type: t, Class: dnsmessage.ClassINET}
	query, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{RecursionDesired: true}, // id 0, as RFC 8484 asks
		Questions: []dnsmessage.Question{question},
	}).Pack()
	if err != nil {
		return nil, err
	}
	reply, err := r.exchange(ctx, query)
	if err != nil {
		return nil, err
	}
	return addresses(reply, question)
}

// exchange carries one DNS message there and its answer back.
func (r *Resolver) exchange(ctx context.Context, query []byte) ([]byte, error) {
	resp, err := r.client.R().SetContext(ctx).SetHeader("Content-Type", dnsMedia).SetHeader("Accept", dnsMedia).SetBody(query).Post(r.endpoint)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode() != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode())
	}
	if media, _, _ := mime.ParseMediaType(resp.Header().Get("Content-Type")); media != dnsMedia {
		return nil, fmt.Errorf("content type %q is not %s", media, dnsMedia)
	}
	return resp.Body(), nil
}

// addresses reads the addresses out of an answer. A resolver follows aliases and
// sends the whole chain, so the owner of a record is not compared.
func addresses(reply []byte, asked dnsmessage.Question) ([]netip.Addr, error) {
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		return nil, err
	}
	switch {
	case !m.Response || len(m.Questions) != 1 || m.Questions[0].Type != asked.Type || !strings.EqualFold(m.Questions[0].Name.String(), asked.Name.String()):
		return nil, errors.New("the answer is to another question")
	case m.RCode == dnsmessage.RCodeNameError:
		return nil, nil
	case m.RCode != dnsmessage.RCodeSuccess:
		return nil, fmt.Errorf("it answered %s", m.RCode)
	}
	var addrs []netip.Addr
	for _, record := range m.Answers {
		switch body := record.Body.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(body.AAAA))
		}
	}
	return addrs, nil
}
