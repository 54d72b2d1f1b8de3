package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"time"

	"tunnelmedic/internal/network"
)

// Saying is a network on which whoever is dialled says just this, whatever it is asked,
// and hangs up: what a fuzzer's input becomes for a parser of foreign answers.
func Saying(answer []byte) network.Network {
	return network.Network{Dialer: func(context.Context, string, string) (net.Conn, error) {
		return &said{Reader: bytes.NewReader(answer)}, nil
	}}
}

// said is a connection to somebody who does not listen.
type said struct{ io.Reader }

func (*said) Write(p []byte) (int, error)      { return len(p), nil }
func (*said) Close() error                     { return nil }
func (*said) LocalAddr() net.Addr              { return addrOf("127.0.0.1:1") }
func (*said) RemoteAddr() net.Addr             { return addrOf("127.0.0.1:2") }
func (*said) SetDeadline(time.Time) error      { return nil }
func (*said) SetReadDeadline(time.Time) error  { return nil }
func (*said) SetWriteDeadline(time.Time) error { return nil }

// HTTP is an HTTP/1.1 answer as it stands on the wire.
func HTTP(status, contentType string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + status + "\r\nContent-Type: " + contentType + "\r\nConnection: close\r\n\r\n")
	b.Write(body)
	return b.Bytes()
}
