package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// mint makes certificates until something fails, which it keeps.
type mint struct{ err error }

// authority is a new one, known to nobody.
func (m *mint) authority(name string) authority {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, key := m.issue(t, authority{cert: t})
	if m.err != nil {
		return authority{}
	}
	var cert *x509.Certificate
	cert, m.err = x509.ParseCertificate(der)
	return authority{cert, key}
}

// sign gives a certificate for a server of these names or, without any, a client.
func (m *mint) sign(by authority, lasts time.Duration, names ...string) tls.Certificate {
	until := time.Now().Add(lasts)
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
	der, key := m.issue(t, by)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// issue makes a key and the certificate for it, signed by an authority or, where that has no key
// yet, by itself.
func (m *mint) issue(t *x509.Certificate, by authority) (der []byte, key *ecdsa.PrivateKey) {
	if m.err != nil {
		return nil, nil
	}
	if key, m.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); m.err != nil {
		return nil, nil
	}
	signer := by.key
	if signer == nil {
		signer = key
	}
	der, m.err = x509.CreateCertificate(rand.Reader, t, by.cert, &key.PublicKey, signer)
	return der, key
}
