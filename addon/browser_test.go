package addon_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
)

// TestBrowser lets a real browser loose on the page, behind an ingress as Home
// Assistant's, with the lab's world to drive. It needs TUNNELMEDIC_TEST_BROWSER, a
// folder with playwright-core and axe-core from npm, and TUNNELMEDIC_TEST_CHROMIUM.
// See .ci/browser.
func TestBrowser(t *testing.T) {
	modules, chromium := os.Getenv("TUNNELMEDIC_TEST_BROWSER"), os.Getenv("TUNNELMEDIC_TEST_CHROMIUM")
	if modules == "" || chromium == "" {
		t.Skip("TUNNELMEDIC_TEST_BROWSER and TUNNELMEDIC_TEST_CHROMIUM are not set")
	}
	w, err := lab.New(lab.Options{TLS: true, Timings: lab.Timings{ProbeInterval: 3 * time.Second, BurstInterval: 150 * time.Millisecond, HoldBase: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, w, w.Supervisor.URL(), "TUNNELMEDIC_MAX_RESTARTS_PER_DAY=24")
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })

	const prefix = "/api/hassio_ingress/R3allyL0ng-To_ken"
	back, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(back)
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
		r.Out.Header.Set("X-Ingress-Path", prefix)
		r.Out.Header.Set("X-Remote-User-Display-Name", "Somebody")
	}}
	ingress := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, prefix+"/") {
			if r.URL.Path != "/favicon.ico" {
				t.Errorf("the browser asked for %s, which is not under the ingress's path", r.URL.Path)
			}
			http.NotFound(rw, r)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(ingress.Close)

	shots := os.Getenv("TUNNELMEDIC_ARTEFACTS")
	if shots == "" {
		shots = t.TempDir()
	}
	script, err := filepath.Abs("testdata/browser.mjs")
	if err != nil {
		t.Fatal(err)
	}
	said, err := filepath.Abs("../internal/words/en.json")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]string{
		"modules": modules, "chromium": chromium, "page": ingress.URL + prefix + "/", "status": d.url + "/api/status", "lab": w.ControlURL(),
		"websocket": strings.Replace(w.Edge.URL(), "https://", "wss://", 1) + "/api/websocket", "shots": shots, "words": said,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", script, string(settings))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Errorf("the browser's findings: %v", err)
	}
	d.stop(t)
	if t.Failed() {
		t.Logf("the daemon's log:\n%s", d.log)
	}
}
