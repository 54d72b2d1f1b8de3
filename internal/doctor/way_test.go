package doctor_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnelmedic/internal/network"
)

// way is how answers change on their way from Cloudflare to the probe, without
// meaning anything else.
type way string

const (
	asIs       way = "as it is"
	lowerCase  way = "headers in lower case"
	upperCase  way = "headers in capitals"
	slow       way = "slow"
	errorPages way = "custom error pages"
	partial    way = "bodies cut off"
	overIPv6   way = "over IPv6"

	// These change what it means; they are parts of a truth.
	hide way = "hide" // the body of every refusal is empty
	mute way = "mute" // after the handshake nothing goes out any more
)

var ways = []way{asIs, lowerCase, upperCase, slow, errorPages, partial, overIPv6}

// passage stands before the edge, and changes its answers.
func passage(t *testing.T, n network.Network, to string, how way) string {
	t.Helper()
	at := "127.0.0.1:0"
	if how == overIPv6 {
		at = "[::1]:0"
	}
	ln, err := n.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { pass(ctx, n, c, to, how) })
		}
	})
	return "http://" + ln.Addr().String()
}

func pass(ctx context.Context, n network.Network, visitor net.Conn, to string, how way) {
	defer visitor.Close()
	edge, err := n.Dial(ctx, "tcp", to)
	if err != nil {
		// A refused connection, as near as one that was taken can come to it.
		_ = visitor.(interface{ SetLinger(int) error }).SetLinger(0)
		return
	}
	defer edge.Close()
	defer context.AfterFunc(ctx, func() { visitor.Close(); edge.Close() })()
	out := io.Reader(visitor)
	if how == mute { // the handshake and nothing more
		out = io.LimitReader(visitor, headLength(visitor, edge))
	}
	go func() {
		_, _ = io.Copy(edge, out)
		if how != mute {
			edge.Close()
		}
	}()
	br := bufio.NewReader(edge)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return
	}
	head, body := changed(resp, how)
	if how == slow {
		for i := range head {
			if _, err := visitor.Write(head[i : i+1]); err != nil {
				return
			}
			if i%40 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	} else if _, err := visitor.Write(head); err != nil {
		return
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_, _ = io.Copy(visitor, br)
		return
	}
	_, _ = visitor.Write(body)
}

// headLength passes a request's head on, and gives how much more may follow: nothing.
func headLength(visitor io.Reader, edge io.Writer) int64 {
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		if _, err := visitor.Read(one); err != nil {
			return 0
		}
		head = append(head, one[0])
	}
	_, _ = edge.Write(head)
	return 0
}

// changed writes an answer anew. Cloudflare's custom error pages take the place of
// what its edge says, and of an origin's server errors; an origin's own 4xx pass.
func changed(resp *http.Response, how way) (head, body []byte) {
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ = io.ReadAll(resp.Body)
	}
	edges := resp.StatusCode >= 500 || resp.StatusCode == 429 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && resp.StatusCode >= 400
	if how == errorPages && edges {
		body = []byte("<html><head><title>We will be back soon</title></head><body><h1>Oh no!</h1></body></html>")
		resp.Header.Set("Content-Type", "text/html")
	}
	if how == hide && resp.StatusCode >= 400 {
		body = nil
	}
	length := len(body)
	if how == partial && resp.StatusCode >= 400 && length > 40 {
		body = body[:40]
	}
	resp.Header.Set("Content-Length", fmt.Sprint(length))
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Header.Del("Content-Length")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", resp.Status)
	for name, values := range resp.Header {
		//exhaustive:ignore
		switch how {
		case lowerCase:
			name = strings.ToLower(name)
		case upperCase:
			name = strings.ToUpper(name)
		}
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), body
}

// houseDNS is the house's resolver: it gives addr for every name, or, without one, ends
// as a resolver does whose server answers with rcode, or never.
type houseDNS struct {
	addr    string
	rcode   dnsmessage.RCode
	silence bool
}

func (d houseDNS) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	switch {
	case d.silence:
		<-ctx.Done()
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, Server: "192.168.7.1:53", IsTimeout: true, IsTemporary: true}
	case d.rcode == dnsmessage.RCodeNameError:
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "192.168.7.1:53", IsNotFound: true}
	case d.rcode != dnsmessage.RCodeSuccess:
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, Server: "192.168.7.1:53", IsTemporary: true}
	}
	return []netip.Addr{netip.MustParseAddr(d.addr)}, nil
}
