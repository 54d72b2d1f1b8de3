package network

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-resty/resty/v2"

	"tunnelmedic/internal/evidence"
)

// Client asks one server over HTTP. It follows no redirect, because a token must not go to
// another place: an answer that is one is seen as that. limit bounds an answer in bytes,
// timeout all of a question; 0 leaves either to whoever asks. What goes wrong comes back
// and is written nowhere.
func Client(way *http.Transport, base string, timeout time.Duration, limit int) *resty.Client {
	return resty.NewWithClient(&http.Client{
		Transport:     way,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).SetBaseURL(strings.TrimRight(base, "/")).SetResponseBodyLimit(limit).SetLogger(silence{}).SetDisableWarn(true)
}

// silence keeps resty from writing to standard error past our log.
type silence struct{}

func (silence) Errorf(string, ...any) {}
func (silence) Warnf(string, ...any)  {}
func (silence) Debugf(string, ...any) {}

// TroubleOf reads by an error's types what has ended a call; NoTrouble if none of them
// tells.
func TroubleOf(err error) evidence.Trouble {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	timeout, _ := errors.AsType[net.Error](err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return evidence.Interrupted
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM):
		return evidence.Unusable // this machine cannot ask; of the way it says nothing
	case isDNS:
		return ofName(dns)
	case errors.Is(err, syscall.ECONNREFUSED):
		return evidence.Refused
	case Unreachable(err):
		return evidence.Unreachable
	case badCertificate:
		return evidence.BadCertificate
	case isAlert(err):
		return evidence.TLSFailed
	case errors.Is(err, context.DeadlineExceeded), timeout != nil && timeout.Timeout():
		return evidence.TimedOut
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE):
		return evidence.Cut
	case errors.Is(err, resty.ErrResponseBodyTooLarge):
		return evidence.Garbled
	}
	return evidence.NoTrouble
}

// Unreachable says whether there is no way to an address, or a firewall on this machine
// forbids it.
func Unreachable(err error) bool {
	return isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
		syscall.EPERM, syscall.EACCES)
}

func ofName(dns *net.DNSError) evidence.Trouble {
	if dns.IsNotFound {
		return evidence.NameNotFound
	}
	return evidence.ResolverFailed
}

// isAlert says whether TLS ended the connection, by an alert of either side.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}
