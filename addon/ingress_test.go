package addon_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"tunnelmedic/internal/lab"
)

// front is Supervisor as a real Core and the daemon meet it: the lab's, with a Core that
// is real, the ingress to the daemon's page, and what Core asks beyond that.
type front struct {
	url     string
	token   string // of the ingress: part of the page's address
	session string // what the frontend's cookie must hold

	mu                 sync.Mutex
	lab, page, toCore  http.Handler
	core               *core
	listening          int               // connections to Core's WebSocket
	opened, turnedAway int               // requests that the ingress let through, and those without a session
	headers            map[string]string // of the last that it let through, as they came from Core
}

func startFront(t *testing.T) *front {
	f := &front{token: "R3allyL0ng-To_ken", session: strings.Repeat("5e55", 32)}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// stand puts lab, page and Core behind it.
func (f *front) stand(t *testing.T, supervisor, page string, h *core) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := func(addr string, rewrite func(*httputil.ProxyRequest)) http.Handler {
		back, err := url.Parse(addr)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(back)
			rewrite(r)
		}}
	}
	f.core = h
	f.lab = to(supervisor, func(*httputil.ProxyRequest) {})
	f.toCore = to("http://"+h.addr, func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/core")
		r.Out.Header.Set("Authorization", "Bearer "+h.token)
	})
	// As APIIngress of Supervisor's api/ingress.py: what Core sent goes on, the session's cookie does not, and who it is comes along.
	f.page = to(page, func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/ingress/"+f.token)
		r.Out.Header.Del("Cookie")
		r.Out.Header.Set("X-Remote-User-Display-Name", "Owner")
	})
}

func (f *front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	inLab, page, toCore := f.lab, f.page, f.toCore
	f.mu.Unlock()
	authorized := r.Header.Get("Authorization") == "Bearer "+lab.SupervisorToken
	answer := func(status int, data any) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		result := map[string]any{"result": "ok", "data": data}
		if status >= 400 {
			result = map[string]any{"result": "error", "message": data}
		}
		_ = json.NewEncoder(rw).Encode(result)
	}
	switch p := r.URL.Path; {
	case inLab == nil: // Core is up before the lab is
		answer(http.StatusBadRequest, "System is not ready with state: startup")
	case strings.HasPrefix(p, "/core/api/") && authorized:
		toCore.ServeHTTP(rw, r)
	case p == "/core/websocket":
		f.socket(rw, r)
	case p == "/ingress/session" && authorized:
		answer(http.StatusOK, map[string]any{"session": f.session})
	case p == "/ingress/validate_session" && authorized:
		answer(http.StatusOK, map[string]any{})
	case p == "/ingress/panels" && authorized:
		answer(http.StatusOK, map[string]any{"panels": map[string]any{}})
	case strings.HasPrefix(p, "/ingress/"+f.token+"/"):
		f.enter(page, rw, r)
	case p == "/addons/"+lab.SelfSlug+"/info" && authorized:
		answer(http.StatusOK, f.info(inLab, r))
	default:
		inLab.ServeHTTP(rw, r)
	}
}

// socket is Core's WebSocket as APIProxy.websocket of Supervisor's api/proxy.py passes it on: the app signs in with its
// own token, at Supervisor, which has signed in at Core.
func (f *front) socket(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	h := f.core
	f.mu.Unlock()
	app, err := websocket.Accept(rw, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = app.CloseNow() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var m map[string]any
	_ = wsjson.Write(ctx, app, map[string]string{"type": "auth_required", "ha_version": "0"})
	if wsjson.Read(ctx, app, &m) != nil || m["access_token"] != lab.SupervisorToken {
		return
	}
	c, _, err := websocket.Dial(ctx, "ws://"+h.addr+"/api/websocket", nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(8 << 20)
	if wsjson.Read(ctx, c, &m) != nil || wsjson.Write(ctx, c, map[string]string{"type": "auth", "access_token": h.token}) != nil || wsjson.Read(ctx, c, &m) != nil {
		return
	}
	_ = wsjson.Write(ctx, app, map[string]string{"type": "auth_ok", "ha_version": "0"})
	f.listens(1)
	defer f.listens(-1)
	pass := func(from, to *websocket.Conn) {
		defer cancel()
		for {
			kind, raw, err := from.Read(ctx)
			if err != nil || to.Write(ctx, kind, raw) != nil {
				return
			}
		}
	}
	go pass(c, app)
	pass(app, c)
}

func (f *front) listens(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listening += n
}

// sockets is how many connections stand to Core's WebSocket.
func (f *front) sockets() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.listening
}

// enter is the way to the page, for who has a session (_check_session in api/ingress.py).
func (f *front) enter(page http.Handler, rw http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie("ingress_session")
	ok := err == nil && cookie.Value == f.session
	f.mu.Lock()
	if ok {
		f.opened++
		f.headers = map[string]string{"X-Ingress-Path": r.Header.Get("X-Ingress-Path"), "X-Hass-Source": r.Header.Get("X-Hass-Source")}
	} else {
		f.turnedAway++
	}
	f.mu.Unlock()
	if !ok {
		http.Error(rw, "401: Unauthorized", http.StatusUnauthorized)
		return
	}
	page.ServeHTTP(rw, r)
}

// info is the lab's answer about ourselves with what Core's client insists on beyond
// that (InstalledAddonComplete in aiohasupervisor's models/addons.py), and the address
// of this ingress.
func (f *front) info(inLab http.Handler, r *http.Request) map[string]any {
	rec := httptest.NewRecorder()
	inLab.ServeHTTP(rec, r)
	var of struct {
		Data map[string]any `json:"data"`
	}
	_ = json.Unmarshal(rec.Body.Bytes(), &of)
	info := map[string]any{"homeassistant": nil, "url": nil, "stage": "stable", "apparmor": "profile", "hassio_role": "manager", "long_description": nil, "boot_config": "auto",
		"network": nil, "network_description": nil, "webui": nil, "startup": "application", "translations": map[string]any{}, "ingress_panel": false, "audio_input": nil, "audio_output": nil,
		"system_managed_config_entry": nil, "rating": 7, "available": true, "homeassistant_api": true, "hassio_api": true}
	for _, list := range []string{"arch", "machine", "privileged", "services", "discovery", "devices"} {
		info[list] = []string{}
	}
	for _, no := range []string{"advanced", "build", "icon", "logo", "documentation", "auth_api", "docker_api", "full_access", "host_pid", "signed", "detached", "host_ipc", "host_uts", "host_dbus",
		"changelog", "stdin", "gpio", "usb", "uart", "kernel_modules", "devicetree", "udev", "video", "audio", "system_managed"} {
		info[no] = false
	}
	maps.Copy(info, of.Data)
	info["ingress_url"], info["ingress_entry"] = "/api/hassio_ingress/"+f.token+"/", "/api/hassio_ingress/"+f.token
	return info
}

var linkInText = regexp.MustCompile(`\]\((/[^)\s]*)\)`)

// followTheLink takes the link of the notification that stands there, as a person would:
// Core's own frontend must have such a page, and in a real browser a click must lead to
// the daemon's page.
func followTheLink(t *testing.T, ha *core, super *front) {
	t.Helper()
	found := linkInText.FindStringSubmatch(ha.notification())
	if found == nil {
		t.Fatalf("the notification has no link: %q", ha.notification())
	}
	link := found[1]
	panels, _ := ha.command(map[string]any{"type": "get_panels"})["result"].(map[string]any)
	first, _, _ := strings.Cut(strings.TrimPrefix(link, "/"), "/")
	if panels[first] == nil {
		t.Errorf("the notification leads to %s, and Home Assistant has only these pages: %s", link, strings.Join(slices.Sorted(maps.Keys(panels)), ", "))
	}

	modules, chromium := os.Getenv("TUNNELMEDIC_TEST_BROWSER"), os.Getenv("TUNNELMEDIC_TEST_CHROMIUM")
	if modules == "" || chromium == "" {
		t.Log("TUNNELMEDIC_TEST_BROWSER and TUNNELMEDIC_TEST_CHROMIUM are not set: nobody clicks on the link")
		return
	}
	script, err := filepath.Abs("testdata/frontend.mjs")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]string{"modules": modules, "chromium": chromium, "core": "http://" + ha.addr, "name": ownerName, "password": ownerPassword, "link": link,
		"shots": os.Getenv("TUNNELMEDIC_ARTEFACTS")})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", script, string(settings))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Errorf("the browser's findings: %v", err)
	}
	super.mu.Lock()
	defer super.mu.Unlock()
	if super.opened == 0 || super.turnedAway != 0 || super.headers["X-Ingress-Path"] != "/api/hassio_ingress/"+super.token || super.headers["X-Hass-Source"] != "core.ingress" {
		t.Errorf("the ingress let %d requests through, turned %d away, and the last had the headers %v", super.opened, super.turnedAway, super.headers)
	}
}

// said is what a process writes, for who reads it meanwhile.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
