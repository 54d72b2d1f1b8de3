package probe

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"tunnelmedic/internal/evidence"
)

// What no server on loopback can be made to do.
func TestTroubleOfADial(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for name, c := range map[string]struct {
		err     error
		trouble evidence.Trouble
	}{
		"no route to the network":             {dial(syscall.ENETUNREACH), evidence.Unreachable},
		"no route to the host":                {dial(syscall.EHOSTUNREACH), evidence.Unreachable},
		"no address of our own of its kind":   {dial(syscall.EADDRNOTAVAIL), evidence.Unreachable},
		"forbidden by a firewall here":        {dial(syscall.EPERM), evidence.Unreachable},
		"given up by the kernel":              {dial(syscall.ETIMEDOUT), evidence.TimedOut},
		"anything else":                       {dial(syscall.EINVAL), evidence.Unreachable},
		"an address of another family":        {&net.OpError{Op: "dial", Err: &net.AddrError{Err: "no suitable address found"}}, evidence.Unreachable},
		"a resolver that could not be opened": {errors.Join(errResolving, syscall.ECONNREFUSED), evidence.ResolverFailed},
	} {
		if got := troubleOf(c.err, evidence.Resolved); got != c.trouble {
			t.Errorf("%s: %q, want %q", name, got, c.trouble)
		}
	}
}
