package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"

	"tunnelmedic/internal/network"
)

// Saying is a network on which whoever is dialled says just this, whatever it is asked,
// and hangs up: what a fuzzer's input becomes for a parser of foreign answers.
func Saying(answer []byte) network.Network {
	return network.Network{Dialer: func(context.Context, string, string) (net.Conn, error) {
		near, _ := net.Pipe()
		return said{near, bytes.NewReader(answer)}, nil
	}}
}

// said is a connection to somebody who does not listen.
type said struct {
	net.Conn
	answer io.Reader
}

func (s said) Read(p []byte) (int, error)  { return s.answer.Read(p) }
func (s said) Write(p []byte) (int, error) { return len(p), nil }

// HTTP is an HTTP/1.1 answer as it stands on the wire.
func HTTP(status, contentType string, body []byte) []byte {
	return slices.Concat([]byte("HTTP/1.1 "+status+"\r\nContent-Type: "+contentType+"\r\nConnection: close\r\n\r\n"), body)
}
