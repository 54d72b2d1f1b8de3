package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// holdPort binds an address without listening there: connections are refused,
// no other program is given the port, and our own listener may still bind it
// (both ask to reuse the address, and the holder never listens).
func holdPort(addr string) (string, io.Closer, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "", nil, fmt.Errorf("holding a port: %w", err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("holding a port: %w", err)
	}
	h := held(fd)
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		_ = h.Close()
		return "", nil, fmt.Errorf("holding %s: %w", addr, err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	return net.JoinHostPort(ap.Addr().String(), strconv.Itoa(port)), h, nil
}

type held int

func (h held) Close() error { return syscall.Close(int(h)) }
