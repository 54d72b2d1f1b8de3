package probe_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
)

func TestLookup(t *testing.T) {
	for name, c := range map[string]struct {
		zone     zone
		addrs    []string
		notFound bool
		resolver bool // ErrResolver
	}{
		"IPv4 before IPv6":           {zone: addrs("2001:db8::1", "192.0.2.1", "192.0.2.2"), addrs: []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}},
		"IPv6 alone":                 {zone: addrs("2001:db8::1"), addrs: []string{"2001:db8::1"}},
		"no such name":               {zone: zone{rcode: dnsmessage.RCodeNameError}, notFound: true},
		"a name without address":     {zone: zone{}, notFound: true},
		"the server's own trouble":   {zone: zone{rcode: dnsmessage.RCodeServerFailure}, resolver: true},
		"no DNS":                     {zone: zone{answer: func([]byte) []byte { return []byte("<html>") }}, resolver: true},
		"nothing":                    {zone: zone{answer: func([]byte) []byte { return nil }}, resolver: true},
		"its own question back":      {zone: zone{answer: func(q []byte) []byte { return q }}, resolver: true},
		"an answer for another name": {zone: zone{answer: otherName}, resolver: true},
		"one of two questions fails": {zone: zone{answer: failIPv6}, addrs: []string{"192.0.2.1"}},
		"more than a message holds":  {zone: zone{answer: func([]byte) []byte { return make([]byte, 1<<20) }}, resolver: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.zone.outside(t).LookupNetIP(t.Context(), "ip", "ha.example.com")
			var wanted []netip.Addr
			for _, s := range c.addrs {
				wanted = append(wanted, netip.MustParseAddr(s))
			}
			dns, isDNS := errors.AsType[*net.DNSError](err)
			if !slices.Equal(got, wanted) || (isDNS && dns.IsNotFound) != c.notFound || errors.Is(err, probe.ErrResolver) != c.resolver {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func otherName(query []byte) []byte {
	var m dnsmessage.Message
	_ = m.Unpack(query)
	m.Questions[0].Name = dnsmessage.MustNewName("other.example.com.")
	out, _ := m.Pack()
	return addrs("192.0.2.1", "2001:db8::1").reply(out)
}

func failIPv6(query []byte) []byte {
	var m dnsmessage.Message
	_ = m.Unpack(query)
	if m.Questions[0].Type == dnsmessage.TypeAAAA {
		return zone{rcode: dnsmessage.RCodeServerFailure}.reply(query)
	}
	return addrs("192.0.2.1").reply(query)
}

func TestLookupOverWhatIsNoDoHServer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"an error status":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) },
		"a captive portal":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>log in") },
		"a redirect":          func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/dns-query", http.StatusFound) },
		"a cut in the middle": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolverFor(t, h).LookupNetIP(t.Context(), "ip", "ha.example.com")
			if got != nil || !errors.Is(err, probe.ErrResolver) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	t.Run("a name that fits no question", func(t *testing.T) {
		if _, err := addrs("192.0.2.1").outside(t).LookupNetIP(t.Context(), "ip", strings.Repeat("a", 300)); !errors.Is(err, probe.ErrResolver) {
			t.Errorf("%v", err)
		}
	})
	t.Run("over time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		r := resolverFor(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }))
		if _, err := r.LookupNetIP(ctx, "ip", "ha.example.com"); !errors.Is(err, probe.ErrResolver) {
			t.Errorf("%v", err)
		}
	})
}

func TestLookupOverHTTPSChecksTheCertificate(t *testing.T) {
	ca := newAuthority(t)
	srv := httptest.NewUnstartedServer(addrs("192.0.2.1").doh())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "127.0.0.1")}}
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = silentLog()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for name, c := range map[string]struct {
		ca *authority
		ok bool
	}{"known": {ca, true}, "unknown": {newAuthority(t), false}} {
		r, err := probe.NewResolver(srv.URL, c.ca.pool)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.LookupNetIP(t.Context(), "ip", "ha.example.com"); (err == nil) != c.ok || (len(got) == 1) != c.ok {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestNewResolverTakesPlainHTTPSOnly(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		probe.DefaultDoH:                      true,
		"https://dns.example.com/dns-query":   true,
		"http://127.0.0.1:8053/dns-query":     true,
		"http://dns.example.com/dns-query":    false,
		"https://user:canary-password@dns.ex": false,
		"https://":                            false,
		"dns.example.com":                     false,
		"https://%zz/canary-password":         false,
	} {
		_, err := probe.NewResolver(endpoint, nil)
		if (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary-password") {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
}

// twoWorlds serves one port of one name at two addresses: Home Assistant itself at
// home, and outside the edge, which alone sets cf-ray.
func twoWorlds(t *testing.T) (target probe.Target, home, edge string) {
	t.Helper()
	ca := newAuthority(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "ha.example.com")}}
	outside := unstartedHomeAssistant(t, nil)
	port := outside.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	inside, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port).String())
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	serveOn(t, inside, func(c net.Conn) {
		s := tls.Server(c, cfg)
		if readHead(s) != nil {
			_, _ = io.WriteString(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		_ = s.CloseWrite()
	})
	serve := outside.Config.Handler
	outside.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName != "ha.example.com" || r.Host != "ha.example.com:"+parse(t, outside.Server.URL).Port() {
			t.Errorf("server name %q, host %q", r.TLS.ServerName, r.Host)
		}
		serve.ServeHTTP(w, r)
	})
	outside.TLS = cfg
	outside.StartTLS()
	return probe.Target{
		URL: parse(t, "https://ha.example.com:"+outside.URL(t).Port()), RootCAs: ca.pool, Timeout: enough,
		Net: network.Network{Names: addrs("127.0.0.2").house(t)},
	}, inside.Addr().String(), outside.Listener.Addr().String()
}

func TestSplitDNSIsSeenFromOutside(t *testing.T) {
	target, home, edge := twoWorlds(t)
	at := probe.Handshake(t.Context(), target)
	want(t, at, evidence.Answered, evidence.NoTrouble)
	if at.CFRay() != "" || at.Addr != home || at.Outside {
		t.Errorf("at home: %+v", at)
	}
	target.Outside = addrs("127.0.0.1").outside(t)
	from := probe.Handshake(t.Context(), target)
	want(t, from, evidence.Greeted, evidence.NoTrouble)
	if from.Colo() != "FRA" || from.Addr != edge || !from.Outside {
		t.Errorf("from outside: %+v", from)
	}
}

func TestOutsideTheNextAddressIsTried(t *testing.T) {
	target, _, edge := twoWorlds(t)
	target.Outside = addrs("127.0.0.3", "127.0.0.1").outside(t)
	l := probe.Handshake(t.Context(), target)
	want(t, l, evidence.Greeted, evidence.NoTrouble)
	if l.Addr != edge {
		t.Errorf("dialled %s", l.Addr)
	}
	target.Outside = addrs("127.0.0.3", "127.0.0.4").outside(t)
	l = probe.Handshake(t.Context(), target)
	want(t, l, evidence.Resolved, evidence.Refused)
	if !strings.HasPrefix(l.Addr, "127.0.0.3:") {
		t.Errorf("reports %s, not the first address", l.Addr)
	}
}

func TestOutsideNameTroubles(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	unreachable, err := probe.NewResolver(down.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		outside *probe.Resolver
		network string
		trouble evidence.Trouble
	}{
		"no such name":                     {zone{rcode: dnsmessage.RCodeNameError}.outside(t), "", evidence.NameNotFound},
		"no address of the kind asked":     {addrs("127.0.0.1").outside(t), "tcp6", evidence.NameNotFound},
		"a resolver that is down":          {unreachable, "", evidence.ResolverFailed},
		"a resolver in trouble":            {zone{rcode: dnsmessage.RCodeServerFailure}.outside(t), "tcp4", evidence.ResolverFailed},
		"a resolver that is no DNS at all": {resolverFor(t, http.NotFoundHandler()), "", evidence.ResolverFailed},
	} {
		t.Run(name, func(t *testing.T) {
			l := probe.Handshake(t.Context(), probe.Target{URL: parse(t, "https://ha.example.com"), Outside: c.outside, Network: c.network, Timeout: enough})
			want(t, l, evidence.Asked, c.trouble)
			if !l.Outside {
				t.Error("not marked as asked outside")
			}
		})
	}
}
