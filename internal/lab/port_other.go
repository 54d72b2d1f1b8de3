//go:build !linux

package lab

import (
	"io"
	"net"
)

// holdPort finds a free port. Here nothing keeps it ours while the door is shut:
// other systems do not let a listener bind beside a holder.
func holdPort(addr string) (string, io.Closer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), nil, l.Close()
}
