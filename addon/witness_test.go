package addon_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/lab"
)

// Somebody's browser fails again and again while every probe succeeds: that is told,
// with its numbers, and nothing is touched.
func TestClientsThatFailWhileTheProbeIsFineAreToldOfAndNothingIsTouched(t *testing.T) {
	t.Parallel()
	w := connected(t, lab.Options{Speed: 2})
	dir := t.TempDir()
	env := w.Env()
	environ := append(lab.Environ(env), "TUNNELMEDIC_DATA_DIR="+dir, "TUNNELMEDIC_OPTIONS_FILE="+filepath.Join(dir, "none"))
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- addon.Run(ctx, environ, "1.2.3", io.Discard) }()
	stop := func() { cancel(); <-ended }
	defer stop()

	// What a browser's broken attempt leaves behind: a request for the WebSocket that is none.
	knock := func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Edge.URL()+"/api/websocket", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	var s struct {
		Diagnosis struct {
			Cause, Remedy, Summary string
			Seen                   map[string]string
		} `json:"diagnosis"`
		State string `json:"state"`
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.Diagnosis.Cause != "clients-fail-probe-fine" {
		select {
		case <-tick.C:
			knock()
		case err := <-ended:
			t.Fatalf("the daemon ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("it was never told; the last status is %+v", s)
		}
		listen := env["TUNNELMEDIC_LISTEN"]
		resp, err := http.Get("http://" + listen + "/api/status")
		if err != nil {
			continue // not up yet
		}
		raw, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatalf("the status is %q", raw)
		}
	}
	if s.Diagnosis.Remedy != "tell" || s.State != "healthy" || !strings.Contains(s.Diagnosis.Seen["turned away"], "HTTP 400") {
		t.Errorf("it is told as %+v", s)
	}
	if n := w.Supervisor.Restarts(); n != 0 {
		t.Errorf("%d restarts", n)
	}
}
