package addon_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/addon"
	"tunnelmedic/internal/doctor"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/probe"
)

// thiefAddr is a host of somebody else's. It plays Cloudflare and Home Assistant, and
// keeps whatever it is given.
const thiefAddr = "127.0.0.66:8080"

type thief struct {
	mu    sync.Mutex
	asked int
	given strings.Builder
}

func (th *thief) keep(text string) {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.given.WriteString(text + "\n")
}

func (th *thief) visits() int {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.asked
}

func (th *thief) loot() string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.given.String()
}

func (th *thief) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	th.mu.Lock()
	th.asked++
	th.mu.Unlock()
	th.keep(fmt.Sprint(r.Header))
	body, _ := io.ReadAll(r.Body)
	th.keep(string(body))
	w.Header().Set("Server", "cloudflare")
	w.Header().Set("Cf-Ray", "8f00000000000000-FRA")
	if r.URL.Path != "/api/websocket" {
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"auth_required","ha_version":"2026.11.1"}`))
	for {
		_, raw, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		th.keep(string(raw))
	}
}

// lurk has the thief listen until the story ends.
func lurk(h *house.House) (*thief, func()) {
	th := &thief{}
	l, err := h.Net.Plug().Network().Listen("tcp", thiefAddr)
	if err != nil {
		h.Fatal(err)
	}
	s := &http.Server{Handler: th}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	return th, func() { _ = s.Close(); <-ended }
}

// credentials are everything that a home may have set.
var credentials = map[string]string{
	"TUNNELMEDIC_ACCESS_CLIENT_ID":     lab.AccessID,
	"TUNNELMEDIC_ACCESS_CLIENT_SECRET": lab.AccessSecret,
	"TUNNELMEDIC_HA_TOKEN":             lab.HAToken,
}

func and(more map[string]string) map[string]string {
	env := maps.Clone(credentials)
	maps.Copy(env, more)
	return env
}

const strange = "deadbeef_cloudflared"

// luring is an app with the thief's host name.
func luring(slug string) lab.AddOn {
	options, _ := json.Marshal(map[string]any{"external_hostname": "http://" + thiefAddr, "additional_hosts": []any{}})
	return lab.AddOn{Slug: slug, Name: "Cloudflared", Version: "6.0.4", Options: options}
}

func halted(a lab.AddOn) lab.AddOn { a.State = evidence.StateStopped; return a }

// posted are the calls that change something on an app.
func posted(w *lab.World, slug string) (list []string) {
	for _, r := range w.Requests() {
		if r.Server == "supervisor" && r.Method == http.MethodPost && strings.Contains(r.Path, "/"+slug+"/") {
			list = append(list, r.Path)
		}
	}
	return list
}

func TestNoCredentialReachesAHostThatOnlyAStrangersAppNames(t *testing.T) {
	home := lab.DefaultAddOns("--edge-ip-version=4")[0]
	for name, c := range map[string]struct {
		apps   []lab.AddOn
		stores map[string]string
		env    map[string]string
		says   string // in the log
		looks  bool   // the thief's host is looked at, since the user has named the app
	}{
		"another store's app runs, the right one is stopped": {apps: []lab.AddOn{halted(home), luring(strange)}, says: "Another Cloudflared app is installed as well (" + strange + ")"},
		"another store's app runs beside the right one":      {apps: []lab.AddOn{home, luring(strange)}, says: "Another Cloudflared app is installed as well (" + strange + ")"},
		"another store's app is the only one":                {apps: []lab.AddOn{luring(strange)}, says: "from a store that Tunnel Medic does not know"},
		"a store has stolen the hash": {apps: []lab.AddOn{luring(lab.DefaultSlug)}, stores: map[string]string{"9074a9fa": "https://github.com/thief/apps#a1b2c3"},
			says: "from a store that Tunnel Medic does not know"},
		"the user has named the app, not the address": {apps: []lab.AddOn{luring(strange)}, env: map[string]string{"TUNNELMEDIC_CLOUDFLARED_SLUG": strange},
			says: "No token and no certificate is shown to this address", looks: true},
		"a copy on this machine": {apps: []lab.AddOn{luring("local_cloudflared")}, says: "No token and no certificate is shown to this address", looks: true},
	} {
		t.Run(name, func(t *testing.T) {
			house.Run(t, lab.Options{AddOns: c.apps, Stores: c.stores, FindURL: true}, and(c.env), func(h *house.House) {
				th, leave := lurk(h)
				defer leave()
				h.Wait("it is told", 10*time.Minute, func() bool { return strings.Contains(h.Log(), c.says) })
				if h.Sleep(20 * time.Minute); !testing.Short() {
					h.Sleep(3 * time.Hour)
				}
				if n := strings.Count(h.Log(), c.says); n != 1 {
					h.Errorf("told %d times: %s", n, c.says)
				}
				if c.looks != (th.visits() > 0) {
					h.Errorf("the thief was asked %d times", th.visits())
				}
				for _, secret := range []string{lab.AccessID, lab.AccessSecret, lab.HAToken, lab.SupervisorToken, "access_token"} {
					if strings.Contains(th.loot(), secret) {
						h.Errorf("the thief has %s", secret)
					}
				}
				for _, slug := range []string{strange, "local_cloudflared"} {
					if list := posted(h.World, slug); len(list) > 0 {
						h.Errorf("done to %s: %q", slug, list)
					}
				}
			})
		})
	}
}

// Without this one, the others could not fail.
func TestCredentialsReachTheirOwnHome(t *testing.T) {
	house.Run(t, lab.Options{Faults: lab.Faults{Access: true}}, credentials, func(h *house.House) {
		h.Wait("it is well", 10*time.Minute, func() bool { return h.Status().State == policy.Healthy })
		if h.World.Core.Told().SignIns == 0 {
			h.Error("it did not sign in")
		}
		asked := 0
		for _, r := range h.World.Requests() {
			if r.Server == "edge" && r.Path == "/cdn-cgi/trace" {
				if asked++; r.Header.Get("Cf-Access-Client-Secret") != "" {
					h.Error("the question who is there carries the secret")
				}
			}
		}
		if asked != 1 {
			h.Errorf("it was asked %d times whether this is Cloudflare", asked)
		}
	})
}

// A redirect is an answer: it is not followed, with or without credentials.
func TestNoRedirectIsFollowed(t *testing.T) {
	statuses := []int{301, 302, 303, 307, 308}
	if testing.Short() {
		statuses = statuses[3:4]
	}
	for _, status := range statuses {
		house.Run(t, lab.Options{}, credentials, func(h *house.House) {
			th, leave := lurk(h)
			defer leave()
			h.Wait("it is well", 10*time.Minute, func() bool { return h.Status().State == policy.Healthy })
			h.World.SetFaults(lab.Faults{Answer: &lab.EdgeAnswer{Status: status, Header: map[string]string{"Location": "http://" + thiefAddr + "/api/websocket"}}})
			h.Sleep(time.Hour)
			if th.visits() > 0 {
				h.Errorf("%d: followed %d times", status, th.visits())
			}
		})
	}
}

// At home the name leads to Home Assistant itself, at an address that is also the
// world's: nothing tells that apart from Cloudflare but the answer.
func TestNothingIsShownToAnAnswerThatIsNotCloudflares(t *testing.T) {
	house.Run(t, lab.Options{Faults: lab.Faults{SplitDNS: true}}, credentials, func(h *house.House) {
		h.Sleep(time.Hour)
		if h.World.Core.Told().SignIns > 0 {
			h.Error("it signed in past Cloudflare")
		}
		seen := 0
		for _, r := range h.World.Requests() {
			if r.Server != "edge" {
				continue
			}
			seen++
			if r.Header.Get("Cf-Access-Client-Secret") != "" || r.Header.Get("Cf-Access-Client-Id") != "" {
				h.Fatalf("%s carried the service token", r.Path)
			}
		}
		if seen == 0 {
			h.Error("nothing was asked")
		}
		// Cloudflare is back: what is Cloudflare's is known again.
		h.World.SetFaults(lab.Faults{Access: true})
		h.Wait("it is well", 3*time.Hour, func() bool { return h.World.Core.Told().SignIns > 0 })
		// And once more past it, at an address that was Cloudflare's a moment ago: one request may carry the token, no more.
		before := len(h.World.Requests())
		h.World.SetFaults(lab.Faults{SplitDNS: true})
		signed := h.World.Core.Told().SignIns
		h.Sleep(time.Hour)
		carried := slices.DeleteFunc(h.World.Requests()[before:], func(r lab.Request) bool { return r.Server != "edge" || r.Header.Get("Cf-Access-Client-Secret") == "" })
		if len(carried) > 1 || h.World.Core.Told().SignIns > signed {
			h.Errorf("%d requests carried the service token, %d sign-ins", len(carried), h.World.Core.Told().SignIns-signed)
		}
	})
}

// The doctor shows credentials where the daemon does, and to an address that somebody
// has typed.
func TestTheDoctorShowsCredentialsToTheHomeAlone(t *testing.T) {
	for name, c := range map[string]struct {
		app   lab.AddOn
		env   map[string]string
		url   string
		shown bool
	}{
		"the home's own app":                     {app: lab.DefaultAddOns()[0], shown: true},
		"another store's app, named":             {app: luring(strange), env: map[string]string{"TUNNELMEDIC_CLOUDFLARED_SLUG": strange}},
		"the same, at an address typed by hand":  {app: luring(strange), env: map[string]string{"TUNNELMEDIC_CLOUDFLARED_SLUG": strange}, url: "http://" + thiefAddr, shown: true},
		"at another address than the tunnel's":   {app: lab.DefaultAddOns()[0], url: "https://elsewhere.example.com"},
		"from a terminal outside, typed by hand": {app: lab.DefaultAddOns()[0], env: map[string]string{"SUPERVISOR_TOKEN": ""}, url: "https://ha.example.com", shown: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := lab.New(lab.Options{AddOns: []lab.AddOn{c.app}, FindURL: true})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			env := w.Env()
			maps.Copy(env, credentials)
			maps.Copy(env, map[string]string{"TUNNELMEDIC_OPTIONS_FILE": filepath.Join(t.TempDir(), "none.json"), "TUNNELMEDIC_DATA_DIR": t.TempDir()})
			maps.Copy(env, c.env)
			d, err := addon.Consult(lab.Environ(env), "test", addon.Consultation{URL: c.url})
			if err != nil {
				t.Fatal(err)
			}
			if err := doctor.Settle(t.Context(), &d.Place); err != nil {
				t.Fatal(err)
			}
			p := d.Place.Public
			if shown := p.Token != nil && p.Access.Secret != ""; shown != c.shown || !shown && (p.Token != nil || p.Access != probe.Access{}) {
				t.Errorf("%s is shown %v and %v", p.URL, p.Token, p.Access)
			}
		})
	}
}
