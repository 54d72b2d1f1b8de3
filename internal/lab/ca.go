package lab

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// certify makes a CA of the lab's own, writes its certificate as PEM into the world's
// folder, and gives the edge a certificate that it has signed.
func (w *World) certify() error {
	ca, err := newAuthority("Tunnel Medic lab CA")
	if err != nil {
		return err
	}
	own, err := ca.sign(time.Now().Add(90*24*time.Hour), PublicHost, "localhost", "127.0.0.1", "127.0.0.2")
	if err != nil {
		return err
	}
	if w.mutual, err = newMutual(); err != nil {
		return err
	}
	if err := w.mutual.spoil(ca); err != nil {
		return err
	}
	w.edge.tls = w.edgeTLS(own)
	w.caFile = filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(w.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		return fmt.Errorf("writing the lab's CA: %w", err)
	}
	return nil
}
