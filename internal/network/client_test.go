package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

func TestTroubleOfAnError(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}}
	}
	for name, c := range map[string]struct {
		err  error
		want evidence.Trouble
	}{
		"no route to the network":                 {dial(syscall.ENETUNREACH), evidence.Unreachable},
		"no route to the host":                    {dial(syscall.EHOSTUNREACH), evidence.Unreachable},
		"no address of our own of its kind":       {dial(syscall.EADDRNOTAVAIL), evidence.Unreachable},
		"forbidden by a firewall here":            {dial(syscall.EPERM), evidence.Unreachable},
		"no file left for a socket":               {dial(syscall.EMFILE), evidence.Unusable},
		"nobody listens":                          {dial(syscall.ECONNREFUSED), evidence.Refused},
		"given up by the kernel":                  {dial(syscall.ETIMEDOUT), evidence.TimedOut},
		"given up by us":                          {&url.Error{Err: context.DeadlineExceeded}, evidence.TimedOut},
		"called off":                              {&url.Error{Err: context.Canceled}, evidence.Interrupted},
		"no such name":                            {&net.DNSError{IsNotFound: true}, evidence.NameNotFound},
		"a resolver that does not answer":         {&net.DNSError{IsTimeout: true}, evidence.ResolverFailed},
		"TLS ended by the server":                 {&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, evidence.TLSFailed},
		"the end before the answer's":             {&url.Error{Err: io.ErrUnexpectedEOF}, evidence.Cut},
		"reset, whatever the operation is called": {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, evidence.Cut},
		"what no type tells":                      {errors.New("malformed HTTP response"), evidence.NoTrouble},
	} {
		if got := TroubleOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A token that is asked to go elsewhere stays, and an answer without end has one.
func TestAClientFollowsNobodyAndReadsNoMoreThanItsLimit(t *testing.T) {
	strayed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/stray", http.StatusFound)
		case "/stray":
			strayed = true
		case "/long":
			io.WriteString(w, strings.Repeat("x", 2000))
		}
	}))
	defer server.Close()
	c := Client(Network{}.Transport(), server.URL, time.Minute, 1000).SetAuthToken("a-token")

	if res, err := c.R().SetContext(t.Context()).Get("/moved"); err != nil || res.StatusCode() != http.StatusFound || strayed {
		t.Error("a redirect:", res, err, strayed)
	}
	if _, err := c.R().SetContext(t.Context()).Get("/long"); TroubleOf(err) != evidence.Garbled {
		t.Error("an answer beyond the limit:", err)
	}
}
