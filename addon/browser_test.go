package addon_test

import (
	"encoding/json"
	"fmt"
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
	w, d := browsed(t)
	browse(t, "browser.mjs", w, d, "")
}

// TestScreens looks at the page in every state, on small phones and at a desk, light and
// dark, and with text twice as large. The pictures go to TUNNELMEDIC_ARTEFACTS.
func TestScreens(t *testing.T) {
	for _, mode := range []string{"heal", "observe", "ask"} {
		t.Run(mode, func(t *testing.T) {
			w, d := browsed(t, "TUNNELMEDIC_MODE="+mode)
			browse(t, "screens.mjs", w, d, mode)
		})
	}
}

// browsed is a world and the daemon in it, for a browser; the test is skipped where there is none.
func browsed(t *testing.T, env ...string) (*lab.World, *daemon) {
	t.Helper()
	if os.Getenv("TUNNELMEDIC_TEST_BROWSER") == "" || os.Getenv("TUNNELMEDIC_TEST_CHROMIUM") == "" {
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
	d := startDaemon(t, w, w.Supervisor.URL(), append(env, "TUNNELMEDIC_MAX_RESTARTS_PER_DAY=24")...)
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	return w, d
}

// framed stands for Home Assistant's frontend with the page in it: its colours, its
// language, and the messages of its panel (src/panels/app/ha-panel-app.ts there).
const framed = `<!doctype html><html lang="de" style="--primary-background-color:#10222e;--card-background-color:#1b3443;--primary-text-color:#fff;
--secondary-text-color:#2b4453;--divider-color:#345;--primary-color:#8fd3ff;--ha-card-border-radius:4px;--safe-area-inset-bottom:34px"><meta charset="utf-8"><title>Home</title><link rel="icon" href="data:,">
<home-assistant></home-assistant><iframe title="Tunnel Medic" src="%s" style="width:100%%;height:600px"></iframe><script>
document.querySelector('home-assistant').hass = { language: 'de' };
window.heard = [];
addEventListener('message', (e) => {
  heard.push(e.data);
  if (e.data.type === 'home-assistant/subscribe-properties') e.source.postMessage({ type: 'home-assistant/properties', narrow: true, route: { prefix: '/app/x', path: '' } }, '*');
});
</script></html>`

// browse runs a script of testdata with the page behind an ingress as Home Assistant's.
func browse(t *testing.T, script string, w *lab.World, d *daemon, mode string) {
	t.Helper()
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
		if r.URL.Path == "/frame" {
			rw.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(rw, framed, prefix+"/")
			return
		}
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
	script, err = filepath.Abs("testdata/" + script)
	if err != nil {
		t.Fatal(err)
	}
	said, err := filepath.Abs("../internal/words/en.json")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]string{
		"modules": os.Getenv("TUNNELMEDIC_TEST_BROWSER"), "chromium": os.Getenv("TUNNELMEDIC_TEST_CHROMIUM"), "page": ingress.URL + prefix + "/", "frame": ingress.URL + "/frame",
		"status": d.url + "/api/status", "lab": w.ControlURL(), "mode": mode,
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
