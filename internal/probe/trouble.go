package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/network"
)

var (
	errUnusable  = errors.New("the look could not be begun")
	errResolving = errors.New("looking the name up")
	errGarbled   = errors.New("not the protocol it should be")
)

// fail notes what ended the look. ctx is the caller's, limited the look's own.
func (v *visit) fail(ctx, limited context.Context, err error) {
	trouble := troubleOf(err, v.look.Stage)
	if trouble == evidence.TLSFailed && v.certWanted && refusesCertificate(err) {
		trouble = evidence.CertificateWanted
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		trouble, err = evidence.Interrupted, ctx.Err()
	case limited.Err() != nil:
		// What the closed connection said of it is of no use to anybody.
		trouble, err = evidence.TimedOut, fmt.Errorf("nothing more came within %s", v.look.Took.Round(time.Millisecond))
	}
	if trouble == evidence.CertificateWanted {
		// In TLS 1.3 the client has finished when the server refuses it: TLS did not stand.
		v.look.Stage, v.look.TLS = evidence.Connected, nil
	}
	v.look.Trouble, v.look.Detail = trouble, v.line(detail(err))
}

// troubleOf reads an error by its types. What no type tells apart falls to the
// stage: the step after the last one that stood is the one that failed.
func troubleOf(err error, reached evidence.Stage) evidence.Trouble {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, closed := errors.AsType[websocket.CloseError](err)
	switch {
	case errors.Is(err, errUnusable):
		return evidence.Unusable
	case errors.Is(err, errGarbled):
		return evidence.Garbled
	case isDNS && dns.IsNotFound:
		return evidence.NameNotFound
	case errors.Is(err, errResolving), errors.Is(err, ErrResolver):
		return evidence.ResolverFailed
	}
	trouble := network.TroubleOf(err)
	switch {
	case trouble != evidence.NoTrouble:
		return trouble
	case closed:
		return evidence.Cut
	case reached < evidence.Connected:
		return evidence.Unreachable
	case reached == evidence.Connected:
		return evidence.TLSFailed
	}
	return evidence.Garbled
}

// refusesCertificate says whether the server's alert can be about the client
// certificate that it asked for. crypto/tls keeps the type of a received alert to
// itself; the exported AlertError prints the same words.
func refusesCertificate(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" && slices.ContainsFunc([]tls.AlertError{
		40,  // handshake_failure: TLS 1.2 has no alert of its own for a missing one
		42,  // bad_certificate
		43,  // unsupported_certificate
		44,  // certificate_revoked
		45,  // certificate_expired
		46,  // certificate_unknown
		48,  // unknown_ca
		49,  // access_denied
		116, // certificate_required
	}, func(a tls.AlertError) bool { return op.Err.Error() == a.Error() })
}

// detail is an error's text; a bad certificate is also described, because who
// issued it tells interception from a forgotten renewal.
func detail(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(bad.UnverifiedCertificates) > 0 {
		leaf := bad.UnverifiedCertificates[0]
		text += fmt.Sprintf(" (issued by %q for %s, valid until %s)", issuer(leaf),
			strings.Join(certificateNames(leaf), ", "), leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return text
}

// certificateNames are the names that a certificate is for, a few of them.
func certificateNames(c *x509.Certificate) []string {
	const few = 10
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names[:min(len(names), few)]
}

func issuer(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" || len(c.Issuer.Organization) == 0 {
		return c.Issuer.CommonName
	}
	return c.Issuer.Organization[0]
}
