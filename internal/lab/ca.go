package lab

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// certify makes a CA of the lab's own, writes its certificate as PEM into the world's
// folder, and gives the edge certificates that it has signed: over QUIC, as Cloudflare's,
// and with Options.TLS over TCP.
func (e *Edge) certify() error {
	ca, err := newAuthority("Tunnel Medic lab CA")
	if err != nil {
		return err
	}
	own, err := ca.sign(time.Now().Add(90*24*time.Hour), PublicHost, "localhost", "127.0.0.1", "127.0.0.2")
	if err != nil {
		return err
	}
	if e.mutual, err = newMutual(); err != nil {
		return err
	}
	if err := e.mutual.spoil(ca); err != nil {
		return err
	}
	if e.w.opt.TLS {
		e.door.tls = e.tls(own)
	}
	e.caFile = filepath.Join(e.w.dir, "ca.pem")
	if err := os.WriteFile(e.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		return fmt.Errorf("writing the lab's CA: %w", err)
	}
	if e.w.opt.Net != nil {
		return nil // in memory there is no UDP: see AskQUIC
	}
	over, err := ca.sign(time.Now().Add(90*24*time.Hour), edgeName)
	if err != nil {
		return err
	}
	return e.openQUIC(over, e.mutual.firewall)
}
