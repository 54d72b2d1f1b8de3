package lab

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// MutualTLS is how the edge asks for a client certificate.
type MutualTLS string

// The ways: Cloudflare asks in the TLS handshake, lets it stand, and has a rule of
// the zone block the request (403); a server of their own ends the handshake.
const (
	ByRule  MutualTLS = "rule"
	ByAlert MutualTLS = "alert"
)

// CertificateFault is what is wrong with the edge's certificate.
type CertificateFault string

// The faults.
const (
	Expired     CertificateFault = "expired"
	WrongName   CertificateFault = "name"    // as a deep subdomain has
	Intercepted CertificateFault = "unknown" // signed by nobody known, as a virus scanner's is
)

// certificates are the edge's: as they should be, and spoiled.
type certificates struct {
	own      tls.Certificate
	spoiled  map[CertificateFault]tls.Certificate
	visitors authority // signs the client certificates that the edge accepts
}

// certify makes a CA of the lab's own, writes its certificate as PEM into the world's
// folder, and gives the edge certificates that it has signed: over QUIC, as Cloudflare's,
// and with Options.TLS over TCP.
func (e *Edge) certify() error {
	var m mint
	ca, stranger := m.authority("Tunnel Medic lab CA"), m.authority("Some Virus Scanner") // or a firewall that inspects QUIC
	const soon, later = 24 * time.Hour, 90 * 24 * time.Hour
	here := []string{PublicHost, "localhost", "127.0.0.1", "127.0.0.2"}
	e.certs = certificates{
		own: m.sign(ca, later, here...),
		spoiled: map[CertificateFault]tls.Certificate{
			Expired: m.sign(ca, -time.Hour, here...), WrongName: m.sign(ca, soon, "other.example.com"), Intercepted: m.sign(stranger, soon, here...),
		},
		visitors: m.authority("Tunnel Medic lab visitors"),
	}
	over, inspected := m.sign(ca, later, edgeName), m.sign(stranger, soon, edgeName)
	if m.err != nil {
		return fmt.Errorf("making the lab's certificates: %w", m.err)
	}
	if e.w.opt.TLS {
		e.door.tls = e.tls()
	}
	e.caFile = filepath.Join(e.w.dir, "ca.pem")
	if err := os.WriteFile(e.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		return fmt.Errorf("writing the lab's CA: %w", err)
	}
	if e.w.opt.Net != nil {
		return nil // in memory there is no UDP: see AskQUIC
	}
	return e.openQUIC(over, inspected)
}

// ClientCertificate is one that the edge accepts, or one of an authority that it
// does not know.
func (e *Edge) ClientCertificate(good bool) (tls.Certificate, error) {
	var m mint
	signer := e.certs.visitors
	if !good {
		signer = m.authority("Somebody Else")
	}
	c := m.sign(signer, 24*time.Hour)
	return c, m.err
}

// tls is the edge's side of TLS, as the faults have it at that moment.
func (e *Edge) tls() *tls.Config {
	base := &tls.Config{Certificates: []tls.Certificate{e.certs.own}, NextProtos: []string{"h2", "http/1.1"}}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f := e.w.Faults()
		c := base.Clone()
		c.GetConfigForClient = nil
		if f.Certificate != "" {
			c.Certificates = []tls.Certificate{e.certs.spoiled[f.Certificate]}
		}
		switch f.MutualTLS {
		case ByRule:
			c.ClientAuth = tls.RequestClientCert
		case ByAlert:
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, e.certs.visitors.pool()
		}
		return c, nil
	}
	return base
}

// knows says whether a visitor showed a certificate that the edge accepts.
func (e *Edge) knows(req *http.Request) bool {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return false
	}
	_, err := req.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: e.certs.visitors.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}
