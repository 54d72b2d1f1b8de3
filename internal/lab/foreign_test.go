package lab_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/story"
)

// foreignOrigin starts a real aiohttp server and gives its host:port. Tests that
// need it run where the environment names a Python that has aiohttp.
func foreignOrigin(t *testing.T) string {
	t.Helper()
	python := os.Getenv("TUNNELMEDIC_TEST_PYTHON")
	if python == "" {
		t.Skip("TUNNELMEDIC_TEST_PYTHON names no Python with aiohttp")
	}
	cmd := exec.Command(python, "testdata/origin.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the aiohttp server did not start: %v", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(line)
}

// exchange sends raw bytes, and gives what of the answer is no server's own business.
func exchange(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "HOST", addr)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.Status + " " + res.Header.Get("Sec-WebSocket-Accept")
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Status + " " + res.Header.Get("Content-Type") + " " + string(body)
}

func TestTheLabAnswersHandshakesAsAiohttpDoes(t *testing.T) {
	foreign := foreignOrigin(t)
	w, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	own := strings.TrimPrefix(w.Core.URL(), "http://")

	const (
		upgrade    = "Upgrade: websocket\r\n"
		connection = "Connection: Upgrade\r\n"
		key        = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version    = "Sec-WebSocket-Version: 13\r\n"
	)
	for name, header := range map[string]string{
		"plain GET":                "",
		"plain GET, kept alive":    "Connection: keep-alive\r\n",
		"no Upgrade":               connection + key + version,
		"another Upgrade":          "Upgrade: h2c\r\n" + connection + key + version,
		"no Connection":            upgrade + key + version,
		"Connection: keep-alive":   upgrade + "Connection: keep-alive\r\n" + key + version,
		"no key":                   upgrade + connection + version,
		"a short key":              upgrade + connection + "Sec-WebSocket-Key: c2hvcnQ=\r\n" + version,
		"no version":               upgrade + connection + key,
		"version 12":               upgrade + connection + key + "Sec-WebSocket-Version: 12\r\n",
		"good":                     upgrade + connection + key + version,
		"good, other header case":  "upgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n" + key + version,
		"good, offers compression": upgrade + connection + key + version + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			request := "GET /api/websocket HTTP/1.1\r\nHost: HOST\r\n" + header + "\r\n"
			theirs, ours := exchange(t, foreign, request), exchange(t, own, request)
			if ours != theirs {
				t.Errorf("the lab answers\n%q\naiohttp answers\n%q", ours, theirs)
			}
		})
	}
}

func TestTheDaemonHealsAWorldWhoseHomeAssistantIsAiohttp(t *testing.T) {
	origin := foreignOrigin(t)
	sc, err := story.Named("quic-stripped")
	if err != nil {
		t.Fatal(err)
	}
	sc.World.Origin = origin
	var told strings.Builder
	r, err := story.Play(context.Background(), sc, 1, func(ctx context.Context, environ []string, out io.Writer) error {
		return addon.Run(ctx, environ, "test", out)
	}, &told)
	if err != nil || len(r.Failures) > 0 {
		t.Errorf("err %v, failures %q\n%s", err, r.Failures, told.String())
	}
}
