package addon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/lab"
)

// Every kind of secret is planted wherever the program can come upon it, answers of
// the others included, and then looked for wherever people may read.
func TestNoSecretIsToldAnywhere(t *testing.T) {
	t.Parallel()
	planted := map[string]string{
		"SUPERVISOR_TOKEN":                 lab.SupervisorToken,
		"ha_token":                         lab.HAToken,
		"access_client_secret":             lab.AccessSecret,
		"cloudflare_api_token":             lab.CloudflareToken,
		"tunnel_token":                     "eyJhIjoiY2FuYXJ5LXR1bm5lbC10b2tlbiJ9+ab/cd==",
		"the add-on's tunnel_name":         "canary-tunnel-name",
		"a password in the add-on's URL":   "canary-origin-password",
		"a flag of the add-on":             "canary-flag-value",
		"another add-on's option":          "canary-mosquitto-password",
		"a password in a redirect":         "canary-redirect-password",
		"a bearer token in a page":         "canary-bearer-in-a-page",
		"a JSON web token in a page":       "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJqd3QifQ.c2lnbmF0dXJl",
		"a value in Supervisor's refusal":  "canary-value-in-refusal",
		"a value in a broken restart text": "canary-value-in-restart",
	}
	options, err := json.Marshal(map[string]any{
		"external_hostname": lab.PublicHost, "tunnel_name": planted["the add-on's tunnel_name"], "tunnel_token": planted["tunnel_token"], "post_quantum": false,
		"additional_hosts": []any{map[string]string{"hostname": "files.example.com", "service": "http://files:" + planted["a password in the add-on's URL"] + "@files.internal:80"}},
		"run_parameters":   []string{"--tag=house=" + planted["a flag of the add-on"]},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := settle(t, lab.Options{
		AddOns: []lab.AddOn{{Slug: lab.DefaultSlug, Name: "Cloudflared", Version: "6.0.3", Options: options},
			{Slug: "core_mosquitto", Name: "Mosquitto", Version: "6", Options: json.RawMessage(`{"logins":[{"username":"x","password":"` + planted["another add-on's option"] + `"}]}`)}},
		Faults: lab.Faults{Access: true},
	})
	h.env["TUNNELMEDIC_HA_TOKEN"] = lab.HAToken
	h.env["TUNNELMEDIC_ACCESS_CLIENT_ID"], h.env["TUNNELMEDIC_ACCESS_CLIENT_SECRET"] = lab.AccessID, lab.AccessSecret
	h.env["TUNNELMEDIC_CLOUDFLARE_API_TOKEN"] = lab.CloudflareToken
	h.env["TUNNELMEDIC_NOTIFY"] = "mobile_app_pixel"
	h.env["TUNNELMEDIC_PROBE_INTERVAL"] = "100ms"
	var told []byte
	listen := func() {
		for _, path := range []string{"/api/status", "/api/incidents"} {
			told = append(told, h.fetch(path)...)
		}
		var list []struct{ ID string }
		_ = json.Unmarshal(h.fetch("/api/incidents"), &list)
		for _, i := range list {
			told = append(told, h.fetch("/api/incidents/"+i.ID)...)
			told = append(told, h.fetch("/incidents/"+i.ID+".md")...)
		}
	}

	// A good day, and answers that repeat what they were asked with.
	h.start(t)
	h.wait(t, "healthy, and signed in", func() bool { return h.told("", "healthy")() && h.Core.Told().SignIns > 0 })
	listen()
	echo := fmt.Sprintf("You sent Cf-Access-Client-Secret: %s and {\"access_token\":%q}, Authorization: Bearer %s, %s", lab.AccessSecret, lab.HAToken, planted["a bearer token in a page"], planted["a JSON web token in a page"])
	for _, a := range []lab.EdgeAnswer{
		{Status: 500, Body: echo},
		{Status: 302, Header: map[string]string{"Location": "https://me:" + planted["a password in a redirect"] + "@ha.example.com/login?token=" + lab.HAToken}},
	} {
		n := len(h.Requests())
		h.SetFaults(lab.Faults{Answer: &a})
		h.wait(t, "probes", func() bool { return len(h.Requests()) > n+15 })
		listen()
	}

	// A treatment in which Supervisor quotes values, and nothing helps in the end.
	h.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options", Delay: lab.Duration(time.Millisecond), Times: 1}) // the first passes
	h.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/options", Status: 400, Times: 1,
		Body: fmt.Sprintf(`{"result":"error","message":"App has invalid options: not a valid value @ data['options']['run_parameters']. Got {'tunnel_token': '%s', 'x': '%s'}","error_key":"app_configuration_invalid_error"}`, planted["tunnel_token"], planted["a value in Supervisor's refusal"])})
	h.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/addons/*/restart", Status: 500, Times: 1,
		Body: fmt.Sprintf(`{"result":"error","message":"docker run -e TOKEN=%s failed. Got {'y': '%s'}","error_key":"app_unknown_error"}`, planted["tunnel_token"], planted["a value in a broken restart text"])})
	h.Supervisor.Inject(lab.Injection{Method: "POST", Path: "/core/api/services/notify/*", Status: 400, Times: 1, Body: "401: your token is " + lab.SupervisorToken})
	f := lab.Stripped(1)
	f.Access = true
	h.SetFaults(f)
	h.wait(t, "holding", h.told("", "holding"))
	listen()
	h.SetFaults(lab.Faults{Access: true})
	signIns := h.Core.Told().SignIns
	h.wait(t, "it works again", func() bool { return h.Core.Told().SignIns > signIns+3 })
	listen()
	h.stop(t)
	if h.Supervisor.Restarts() == 0 {
		t.Error("there was no treatment")
	}

	// And a start that fails.
	h.env["TUNNELMEDIC_LISTEN"] = "nonsense"
	h.start(t)
	if err := <-h.done; err == nil {
		t.Error("it started with an impossible address")
	} else {
		told = append(told, err.Error()...)
	}

	places := map[string][]byte{"the page": told, "the log": []byte(h.log.all())}
	for name, v := range map[string]any{"notifications": h.Core.Told().NotificationLog, "notify services": h.Core.Told().NotifyCalls, "events": h.Core.Told().Events, "entities": h.Core.Told().EntityStates} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		places[name] = b.Bytes()
	}
	data := h.env["TUNNELMEDIC_DATA_DIR"]
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		places["the file "+d.Name()] = raw
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range places {
		if len(text) < 3 && place != "entities" {
			t.Errorf("%s: nothing is there to be searched", place)
		}
		for what, secret := range planted {
			for _, form := range []string{secret, strings.ReplaceAll(secret, "/", `\/`)} {
				if i := bytes.Index(text, []byte(form)); i >= 0 {
					t.Errorf("%s stands in %s: …%s…", what, place, text[max(0, i-150):min(len(text), i+len(form)+20)])
					break
				}
			}
		}
	}
	// What was written back is whole all the same.
	if got := h.Supervisor.Options(lab.DefaultSlug); !sameMembers(t, got, options) {
		t.Errorf("the add-on's options are now %s", got)
	}
	if !slices.ContainsFunc(h.Requests(), func(r lab.Request) bool {
		return r.Server == "edge" && r.Header.Get("Cf-Access-Client-Secret") == lab.AccessSecret
	}) {
		t.Error("the secret was not even used")
	}
}
