package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// In the scripts `tunnelmedic` is this very test binary, entered at main.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"tunnelmedic": main}) }

// The command line as its users see it, as transcripts.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "CHATTY="+chatty(t), "TUNNELMEDIC_DATA_DIR="+e.WorkDir, "TUNNELMEDIC_OPTIONS_FILE="+e.WorkDir+"/options.json", "TUNNELMEDIC_LISTEN=127.0.0.1:0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE COMMAND…: it ends with that code, and with the code says one line on
// stderr and nothing on stdout.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	code, err := strconv.Atoi(args[0])
	if neg || err != nil || code == 0 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err = ts.Exec(args[1], args[2:]...)
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != code {
		ts.Fatalf("it ends with %v, want exit code %d", err, code)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("it says %q on stdout", out)
	}
	if said := ts.ReadFile("stderr"); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "tunnelmedic") {
		ts.Fatalf("it says not one line: %q", said)
	}
}

// chatty is a server that goes on to answer what nobody has asked. net/http writes what
// it says to the standard logger.
func chatty(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nCanary: canary-7f3a\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the client has hung up
	}))
	t.Cleanup(s.Close)
	return s.URL
}
