package probe_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/probe"
)

// secured is a Home Assistant behind TLS on loopback.
func secured(t *testing.T, cfg *tls.Config) *homeAssistant {
	h := unstartedHomeAssistant(t, nil)
	h.TLS = cfg
	// The looks that fail would fill the test's output with the server's side of it.
	h.Config.ErrorLog = silentLog()
	h.StartTLS()
	return h
}

func TestTLSFactsAreNoted(t *testing.T) {
	ca := newAuthority(t)
	h := secured(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "ha.example.com", "127.0.0.1")}})
	for kind, see := range looks {
		l := see(t.Context(), probe.Target{URL: h.URL(t), RootCAs: ca.pool, Timeout: enough})
		if l.Trouble != evidence.NoTrouble || l.TLS == nil {
			t.Fatalf("%s: %+v", kind, l)
		}
		if l.TLS.Version != "TLS 1.3" || l.TLS.ALPN != "http/1.1" || l.TLS.Issuer != "Test Authority" || l.TLS.NotAfter.IsZero() ||
			!slices.Equal(l.TLS.Names, []string{"ha.example.com", "127.0.0.1"}) {
			t.Errorf("%s: TLS %+v", kind, l.TLS)
		}
	}
}

func TestBadCertificate(t *testing.T) {
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		cert   tls.Certificate
		roots  *x509.CertPool
		detail string
	}{
		"of another name":     {ca.leaf(t, time.Hour, "other.example.com"), ca.pool, "other.example.com"},
		"expired":             {ca.leaf(t, -time.Hour, "127.0.0.1"), ca.pool, "expired"},
		"of an unknown maker": {newAuthority(t).leaf(t, time.Hour, "127.0.0.1"), ca.pool, `issued by "Test Authority"`},
	} {
		t.Run(name, func(t *testing.T) {
			h := secured(t, &tls.Config{Certificates: []tls.Certificate{c.cert}})
			l := probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), RootCAs: c.roots, Timeout: enough})
			want(t, l, evidence.Connected, evidence.BadCertificate)
			if l.TLS != nil || !strings.Contains(l.Detail, c.detail) {
				t.Errorf("TLS %+v, detail %q", l.TLS, l.Detail)
			}
			want(t, probe.Handshake(t.Context(), probe.DirectTarget(h.URL(t), enough, nil)), evidence.Greeted, evidence.NoTrouble)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	good, bad := ca.leaf(t, time.Hour, "client"), newAuthority(t).leaf(t, time.Hour, "client")
	for name, c := range map[string]struct {
		cert    *tls.Certificate
		version uint16
		stage   evidence.Stage
		trouble evidence.Trouble
	}{
		"missing, TLS 1.3": {nil, tls.VersionTLS13, evidence.Connected, evidence.CertificateWanted},
		"missing, TLS 1.2": {nil, tls.VersionTLS12, evidence.Connected, evidence.CertificateWanted},
		"wrong, TLS 1.3":   {&bad, tls.VersionTLS13, evidence.Connected, evidence.CertificateWanted},
		"wrong, TLS 1.2":   {&bad, tls.VersionTLS12, evidence.Connected, evidence.CertificateWanted},
		"right, TLS 1.3":   {&good, tls.VersionTLS13, evidence.Greeted, evidence.NoTrouble},
		"right, TLS 1.2":   {&good, tls.VersionTLS12, evidence.Greeted, evidence.NoTrouble},
	} {
		t.Run(name, func(t *testing.T) {
			h := secured(t, &tls.Config{
				Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "127.0.0.1")},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool, MaxVersion: c.version,
			})
			l := probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), RootCAs: ca.pool, Certificate: c.cert, Timeout: enough})
			want(t, l, c.stage, c.trouble)
			if (l.TLS != nil) != l.Healthy() {
				t.Errorf("TLS %+v", l.TLS)
			}
		})
	}
}

func TestTLSThatDoesNotStand(t *testing.T) {
	ca := newAuthority(t)
	cert := []tls.Certificate{ca.leaf(t, time.Hour, "127.0.0.1")}
	server := func(cfg *tls.Config) func(net.Conn) {
		return func(c net.Conn) {
			s := tls.Server(c, cfg)
			if s.Handshake() == nil {
				hold(s)
			}
		}
	}
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		timeout time.Duration
		stage   evidence.Stage
		trouble evidence.Trouble
	}{
		"HTTP/2 only": {func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: cert, NextProtos: []string{"h2"}})
			_, _ = s.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // an empty SETTINGS frame
			hold(s)
		}, enough, evidence.Secured, evidence.Garbled},
		"another ALPN only":  {server(&tls.Config{Certificates: cert, NextProtos: []string{"imap"}}), enough, evidence.Connected, evidence.TLSFailed},
		"TLS 1.1 only":       {server(&tls.Config{Certificates: cert, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), enough, evidence.Connected, evidence.TLSFailed},
		"no certificate":     {server(&tls.Config{Certificates: []tls.Certificate{{}}}), enough, evidence.Connected, evidence.TLSFailed},
		"an answer in clear": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hold(c) }, enough, evidence.Connected, evidence.TLSFailed},
		"hung up":            {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, enough, evidence.Connected, evidence.Cut},
		"silence":            {hold, short, evidence.Connected, evidence.TimedOut},
		"silence after it":   {server(&tls.Config{Certificates: cert}), short, evidence.Secured, evidence.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			u := serveRaw(t, c.serve)
			u.Scheme = "https"
			want(t, probe.Handshake(t.Context(), probe.Target{URL: u, RootCAs: ca.pool, Timeout: c.timeout}), c.stage, c.trouble)
		})
	}
}

// faultyKey stands for a defect of our own in the middle of a look.
type faultyKey struct{ crypto.Signer }

func (faultyKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("key fault") }

func TestAPanicIsALookThatSaysNothingOfTheOtherSide(t *testing.T) {
	ca := newAuthority(t)
	h := secured(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, time.Hour, "127.0.0.1")}, ClientAuth: tls.RequireAnyClientCert})
	mine := ca.leaf(t, time.Hour, "client")
	mine.PrivateKey = faultyKey{mine.PrivateKey.(crypto.Signer)}
	l := probe.Handshake(t.Context(), probe.Target{URL: h.URL(t), RootCAs: ca.pool, Certificate: &mine, Timeout: enough})
	want(t, l, evidence.Connected, evidence.Unusable)
	if !strings.Contains(l.Detail, "key fault") {
		t.Errorf("detail %q", l.Detail)
	}
}
