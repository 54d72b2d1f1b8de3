package addon_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
)

// What stands at the addresses that the house's resolver may give. Cloudflare's edge
// stands at 127.0.0.1, which is what the world's resolvers give.
const (
	homeInside    = "192.168.1.5"    // Home Assistant with the name's own certificate, behind a proxy of the house
	homeULA       = "fd00::5"        // the same
	homeCGNAT     = "100.64.0.9"     // the same
	homePublic    = "203.0.113.9"    // the same, at the house's own public address
	routerInside  = "192.168.1.1"    // the router's page, with the router's certificate
	routerPublic  = "203.0.113.7"    // the same
	silentPublic  = "203.0.113.8"    // nothing ever comes
	refusedPublic = "203.0.113.66"   // refused
	noWay         = "2001:db8::5"    // there is no way to it
	blocked       = "0.0.0.0"        // an ad blocker's answer
	blockedSix    = "::"             // the same
	linkLocal     = "169.254.9.9"    // refused
	loopback      = "127.0.0.3"      // refused
	edge          = "127.0.0.1"      // what the world says, too
	nothing       = ""               // NXDOMAIN
	broken        = "SERVFAIL"       // the resolver's own trouble
	mute          = "no answer"      // of the resolver
	also          = " " + homeInside // beside another
)

func TestWhereThePublicNameIsLookedUp(t *testing.T) {
	for n, c := range []struct {
		house string // what the house's resolver answers, several addresses apart by a space
		doh   string // "" the right answer; "down" refused; "silent"
		edge  bool   // whether it was looked at Cloudflare's edge in the end
		cause diagnosis.Cause
	}{
		{edge, "", true, diagnosis.Healthy},
		{edge, "down", true, diagnosis.Healthy}, // a private address alone proves nothing
		{homeInside, "", true, diagnosis.Healthy},
		{homeULA, "", true, diagnosis.Healthy},
		{homeCGNAT, "", true, diagnosis.Healthy},
		{homePublic, "", true, diagnosis.Healthy},
		{routerInside, "", true, diagnosis.Healthy},
		{routerPublic, "", true, diagnosis.Healthy},
		{silentPublic, "", true, diagnosis.Healthy},
		{refusedPublic, "", true, diagnosis.Healthy},
		{noWay, "", true, diagnosis.Healthy},
		{blocked, "", true, diagnosis.Healthy},
		{blockedSix, "", true, diagnosis.Healthy},
		{linkLocal, "", true, diagnosis.Healthy},
		{loopback, "", true, diagnosis.Healthy},
		{noWay + also, "", true, diagnosis.Healthy},
		{nothing, "", true, diagnosis.Healthy},
		{broken, "", true, diagnosis.Healthy},
		{mute, "", true, diagnosis.Healthy},

		{homeInside, "down", false, diagnosis.NotCloudflare},
		{homeInside, "silent", false, diagnosis.NotCloudflare},
		{homePublic, "down", false, diagnosis.NotCloudflare},
		{routerInside, "down", false, diagnosis.TLSFailed},
		{routerPublic, "silent", false, diagnosis.TLSFailed},
		{blocked, "down", false, diagnosis.EdgeUnreachable},
		{silentPublic, "down", false, diagnosis.EdgeUnreachable},
		{nothing, "down", false, diagnosis.HostnameUnknown},
		{broken, "down", false, diagnosis.ResolverFailed},
		{mute, "silent", false, diagnosis.ResolverFailed},
	} {
		if testing.Short() && n%4 != 0 {
			continue
		}
		name := c.house
		if name == nothing {
			name = "NXDOMAIN"
		}
		if c.doh != "" {
			name += ", the world " + c.doh
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := split(t, c.house, c.doh)
				defer h.close()
				r := h.doctor()
				h.judge("doctor", r.Cause, c.cause, c.edge)
				if r.Took > 15*time.Second {
					t.Errorf("the doctor took %s", r.Took)
				}
				h.forget()
				statuses, said := h.daemon(3)
				for _, s := range statuses {
					h.judge("daemon", cause(t, s), c.cause, c.edge)
				}
				if n := strings.Count(said, "looked up outside"); n > 1 || (n == 1) != (c.edge && c.house != edge) {
					t.Errorf("it was said %d times that the name is looked up outside", n)
				}
			})
		})
	}
}

// Looks beside the handshake go the same way, and show nothing inside the house.
func TestWhereOtherLooksGo(t *testing.T) {
	for house, want := range map[string]struct{ outside, shown, shownWithoutWorld bool }{
		edge:          {false, true, false},
		homeInside:    {true, true, false},
		blocked:       {true, true, false},
		noWay + also:  {true, true, false},
		refusedPublic: {false, true, true},
		nothing:       {true, true, true}, // there is nobody to show it to
	} {
		for _, doh := range []string{"", "down"} {
			synctest.Test(t, func(t *testing.T) {
				h := split(t, house, doh)
				defer h.close()
				n := h.surroundings()
				r, err := probe.NewResolver(h.w.Env()["TUNNELMEDIC_DOH_URL"], nil)
				if err != nil {
					t.Fatal(err)
				}
				way := survey.Way{World: r.Over(n)}
				got := way.Where(t.Context(), probe.Target{URL: &url.URL{Scheme: "https", Host: lab.PublicHost}, Net: n, Access: probe.Access{ID: "id", Secret: "secret"}})
				shown, outside := want.shown, want.outside
				if doh != "" {
					shown, outside = want.shownWithoutWorld, false
				}
				if (got.Outside != nil) != outside || (got.Access.ID != "") != shown {
					t.Errorf("%q, the world %q: %s", house, doh, got)
				}
			})
		}
	}
}

// A DNS-over-HTTPS server that is away for a while changes neither the verdict nor the log.
func TestTheWayOutDoesNotGoToAndFro(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := split(t, homeInside, "")
		defer h.close()
		statuses, said := h.daemonWith(20, func(n int) { h.w.ChangeFaults(func(f *lab.Faults) { f.ResolverDown = n%2 == 1 }) })
		for i, s := range statuses {
			if s.Diagnosis.Cause.String() != "healthy" {
				t.Errorf("look %d: %s", i, s.Diagnosis.Cause)
			}
		}
		if n := strings.Count(said, "looked up outside"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if h.leaked() != 0 {
			t.Error("a credential was shown inside the house")
		}
	})
}

// A house's resolver that fails every other hour is spoken of once a day.
func TestAResolverThatComesAndGoesDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := split(t, broken, "")
		defer h.close()
		h.interval = time.Hour
		statuses, said := h.daemonWith(12, func(n int) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.house = edge; n%4 > 1 {
				h.house = broken
			}
		})
		for i, s := range statuses {
			if s.Diagnosis.Cause.String() != "healthy" {
				t.Errorf("look %d: %s", i, s.Diagnosis.Cause)
			}
		}
		if n := strings.Count(said, "looked up outside"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

func cause(t *testing.T, s medic.Status) (c diagnosis.Cause) {
	t.Helper()
	if err := c.UnmarshalText([]byte(s.Diagnosis.Cause.String())); err != nil {
		t.Fatal(err)
	}
	return c
}

// splitHouse is a lab's world whose house has a resolver of its own.
type splitHouse struct {
	*testing.T
	w     *lab.World
	net   *wire.Net
	house string
	doh   string
	port  string
	ca    string
	inner *wire.Plug

	interval time.Duration // between the daemon's looks; 0: its own

	mu    sync.Mutex
	at    []string // addresses that were dialled for the public name
	leaks int
	ends  []func()
}

func split(t *testing.T, house, doh string) *splitHouse {
	t.Helper()
	h := &splitHouse{T: t, net: wire.New(), house: house, doh: doh}
	timings := lab.RealTimings()
	w, err := lab.New(lab.Options{Net: h.net, TLS: true, Timings: timings, Faults: lab.Faults{ResolverDown: doh == "down"}})
	if err != nil {
		t.Fatal(err)
	}
	h.w, h.inner = w, h.net.Plug()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.Connector.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(w.Edge.URL())
	if err != nil {
		t.Fatal(err)
	}
	h.port = u.Port()

	good, pemGood := selfSigned(t, lab.PublicHost)
	foreign, _ := selfSigned(t, "fritz.box")
	origin, err := url.Parse(w.Core.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(origin)
	proxy.Transport = h.inner.Network().Transport()
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	h.serve("10.0.0.5:443", good, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("CF-Access-Client-Secret") != "" {
			h.mu.Lock()
			h.leaks++
			h.mu.Unlock()
		}
		proxy.ServeHTTP(rw, r)
	})
	h.serve("10.0.0.1:443", foreign, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>router</html>") })

	ours, err := os.ReadFile(w.Env()["TUNNELMEDIC_CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	h.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(h.ca, append(ours, pemGood...), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *splitHouse) close() {
	for _, f := range slices.Backward(h.ends) {
		f()
	}
	h.w.Close()
	h.inner.Pull()
	time.Sleep(3 * time.Minute) // dials that nobody waits for any more
}

func (h *splitHouse) serve(addr string, cert tls.Certificate, f http.HandlerFunc) {
	h.Helper()
	ln, err := h.inner.Listen("tcp", addr)
	if err != nil {
		h.Fatal(err)
	}
	s := &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})) })
	h.ends = append(h.ends, func() { _ = s.Close(); wg.Wait() })
}

// surroundings is the network as the house has it.
func (h *splitHouse) surroundings() network.Network {
	n := h.net.Plug().Network()
	plain := n.Dialer
	n.Dialer = func(ctx context.Context, kind, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil || port != h.port {
			if h.doh == "silent" && strings.HasSuffix(h.w.Env()["TUNNELMEDIC_DOH_URL"], addr+"/dns-query") {
				return unheard(ctx)
			}
			return plain(ctx, kind, addr)
		}
		h.mu.Lock()
		h.at = append(h.at, host)
		h.mu.Unlock()
		fail := func(err error) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: kind, Err: os.NewSyscallError("connect", err)}
		}
		switch host {
		case edge:
			return plain(ctx, kind, addr)
		case homeInside, homeULA, homeCGNAT, homePublic:
			return plain(ctx, kind, "10.0.0.5:443")
		case routerInside, routerPublic:
			return plain(ctx, kind, "10.0.0.1:443")
		case silentPublic:
			return unheard(ctx)
		case noWay:
			return fail(syscall.ENETUNREACH)
		}
		return fail(syscall.ECONNREFUSED)
	}
	n.Names = h
	return n
}

// unheard is a dial that nobody answers: the machine gives it up after two minutes.
func unheard(ctx context.Context) (net.Conn, error) {
	t := time.NewTimer(2 * time.Minute)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
		return nil, os.NewSyscallError("connect", syscall.ETIMEDOUT)
	}
}

// LookupNetIP is the house's resolver.
func (h *splitHouse) LookupNetIP(ctx context.Context, kind, host string) ([]netip.Addr, error) {
	failed := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	h.mu.Lock()
	house := h.house
	h.mu.Unlock()
	switch house {
	case broken:
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	case mute:
		<-ctx.Done()
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	case nothing:
		return nil, failed
	}
	var addrs []netip.Addr
	for s := range strings.FieldsSeq(house) {
		if a := netip.MustParseAddr(s); kind == "ip" || a.Is4() == (kind == "ip4") {
			addrs = append(addrs, a)
		}
	}
	if addrs == nil {
		return nil, failed
	}
	return addrs, nil
}

func (h *splitHouse) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = nil
}

func (h *splitHouse) leaked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leaks
}

func (h *splitHouse) judge(who string, got, want diagnosis.Cause, atEdge bool) {
	h.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got != want {
		h.Errorf("%s: %s, want %s; dialled %q", who, got, want, h.at)
	}
	if slices.Contains(h.at, edge) != atEdge {
		h.Errorf("%s: dialled %q", who, h.at)
	}
	if h.leaks > 0 && h.house != homePublic { // an address of the internet is known by its certificate
		h.Errorf("%s: a credential was shown inside the house", who)
	}
}

// doctor looks once.
func (h *splitHouse) doctor() doctor.Report {
	h.Helper()
	env, way := h.w.Env(), h.surroundings()
	roots, err := probe.LoadRoots(h.ca)
	if err != nil {
		h.Fatal(err)
	}
	doh, err := probe.NewResolver(env["TUNNELMEDIC_DOH_URL"], nil)
	if err != nil {
		h.Fatal(err)
	}
	u := &url.URL{Scheme: "https", Host: net.JoinHostPort(lab.PublicHost, h.port)}
	r, err := doctor.Examine(context.Background(), doctor.Place{
		Public: probe.Target{URL: u, Net: way, RootCAs: roots, Access: probe.Access{ID: lab.AccessID, Secret: lab.AccessSecret}},
		Wish:   tunnel.Wish{URL: u.String()},
		Looks: survey.Settings{
			Supervisor:   supervisor.New(supervisor.Config{BaseURL: h.w.Supervisor.URL(), Token: lab.SupervisorToken, Net: way}),
			World:        doh.Over(way),
			ConnectorURL: h.w.Connector.URL(), OriginURL: h.w.Core.URL(),
			QUIC: h.w.Edge.AskQUIC,
		},
	}, nil)
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// daemon lets the daemon live for some looks, and gives its status after each, and its log.
func (h *splitHouse) daemon(looks int) ([]medic.Status, string) {
	return h.daemonWith(looks, func(int) {})
}

func (h *splitHouse) daemonWith(looks int, before func(int)) (all []medic.Status, said string) {
	h.Helper()
	env := h.w.Env()
	env["TUNNELMEDIC_PUBLIC_URL"] = "https://" + net.JoinHostPort(lab.PublicHost, h.port)
	env["TUNNELMEDIC_CA_FILE"] = h.ca
	if h.interval > 0 {
		env["TUNNELMEDIC_PROBE_INTERVAL"], env["TUNNELMEDIC_SENSOR_INTERVAL"] = h.interval.String(), "10m"
	}
	env["TUNNELMEDIC_DATA_DIR"] = h.TempDir()
	env["TUNNELMEDIC_OPTIONS_FILE"] = filepath.Join(env["TUNNELMEDIC_DATA_DIR"], "none")
	env["TUNNELMEDIC_ACCESS_CLIENT_ID"], env["TUNNELMEDIC_ACCESS_CLIENT_SECRET"] = lab.AccessID, lab.AccessSecret
	way := h.surroundings()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- addon.RunIn(ctx, lab.Environ(env), "test", &log, addon.Surroundings{Net: way, QUIC: h.w.Edge.AskQUIC})
	}()
	visitor := &http.Client{Transport: h.inner.Network().Transport(), Timeout: 10 * time.Second}
	var last time.Time
	for range 4000 * looks {
		time.Sleep(max(time.Second, h.interval/20))
		res, err := visitor.Get("http://" + env["TUNNELMEDIC_LISTEN"] + "/api/status")
		if err != nil {
			continue
		}
		var s medic.Status
		err = json.NewDecoder(res.Body).Decode(&s)
		_ = res.Body.Close()
		if err != nil || s.LastProbe == nil || s.LastProbe.At.Equal(last) {
			continue
		}
		last = s.LastProbe.At
		all = append(all, s)
		before(len(all))
		if len(all) == looks {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		h.Error(err)
	}
	if len(all) < looks {
		h.Fatalf("%d looks in all that time", len(all))
	}
	return all, log.String()
}

// selfSigned makes a certificate that is its own authority.
func selfSigned(t *testing.T, name string) (tls.Certificate, []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
