package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
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

// authority signs the lab's certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("making a key for %s: %w", name, err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("making a certificate for %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, fmt.Errorf("reading the certificate of %s: %w", name, err)
	}
	return authority{cert, key}, nil
}

// sign gives a certificate for a server of these names or, without any, a client.
func (a authority) sign(until time.Time, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Tunnel Medic lab"}, NotBefore: until.Add(-90 * 24 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// mutual is what the edge needs for faults of certificates.
type mutual struct {
	visitors authority // signs the client certificates that the edge accepts
	spoiled  map[CertificateFault]tls.Certificate
	firewall tls.Certificate // of one that inspects QUIC
}

func newMutual() (*mutual, error) {
	m := &mutual{spoiled: map[CertificateFault]tls.Certificate{}}
	var err error
	if m.visitors, err = newAuthority("Tunnel Medic lab visitors"); err != nil {
		return nil, err
	}
	stranger, err := newAuthority("Some Virus Scanner")
	if err != nil {
		return nil, err
	}
	if m.spoiled[Intercepted], err = stranger.sign(time.Now().Add(24*time.Hour), PublicHost, "localhost", "127.0.0.1", "127.0.0.2"); err != nil {
		return nil, err
	}
	m.firewall, err = stranger.sign(time.Now().Add(24*time.Hour), edgeName)
	return m, err
}

// spoil adds the faults that the lab's own CA has to sign.
func (m *mutual) spoil(ca authority) (err error) {
	if m.spoiled[Expired], err = ca.sign(time.Now().Add(-time.Hour), PublicHost, "localhost", "127.0.0.1", "127.0.0.2"); err != nil {
		return err
	}
	m.spoiled[WrongName], err = ca.sign(time.Now().Add(24*time.Hour), "other.example.com")
	return err
}

// ClientCertificate is one that the edge accepts, or one of an authority that it
// does not know.
func (e *Edge) ClientCertificate(good bool) (tls.Certificate, error) {
	signer := e.mutual.visitors
	if !good {
		var err error
		if signer, err = newAuthority("Somebody Else"); err != nil {
			return tls.Certificate{}, err
		}
	}
	return signer.sign(time.Now().Add(24 * time.Hour))
}

// tls is the edge's side of TLS, as the faults have it at that moment.
func (e *Edge) tls(own tls.Certificate) *tls.Config {
	base := &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2", "http/1.1"}}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f := e.w.Faults()
		c := base.Clone()
		c.GetConfigForClient = nil
		if f.Certificate != "" {
			c.Certificates = []tls.Certificate{e.mutual.spoiled[f.Certificate]}
		}
		switch f.MutualTLS {
		case ByRule:
			c.ClientAuth = tls.RequestClientCert
		case ByAlert:
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, e.mutual.pool()
		}
		return c, nil
	}
	return base
}

func (m *mutual) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(m.visitors.cert)
	return p
}

// knows says whether a visitor showed a certificate that the edge accepts.
func (m *mutual) knows(req *http.Request) bool {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return false
	}
	_, err := req.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: m.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}
