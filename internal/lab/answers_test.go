package lab

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// One answer of Supervisor's, as its source of 21 August 2026 (home-assistant/supervisor at 090ef31) gives it.
type row struct {
	ask    string // method and path; {app} is the Cloudflared app
	body   string
	as     string       // "nobody": without a token; "stranger": with a wrong one
	when   string       // what is so in the world, in words
	opt    Options      // and how it is brought about
	act    func(*World) // before the call
	status int          //
	says   string       // a text, an error's message, or what is among an answer's data, as JSON
	key    string       // an error's error_key
	stored string       // what the app's options then are; "" is as before
	source string       // module and function below supervisor/
	plain  bool         // text, not JSON
}

const (
	guard  = "api/middleware/security.py, token_validation"
	which  = "api/apps.py, get_app_for_request"
	opts   = "api/apps.py, options"
	single = "apps/options.py, _single_validate"
)

func fault(f Faults) Options { return Options{Faults: f} }

// answers is the table; docs/LAB.md shows it.
var answers = []row{
	{ask: "GET /info", as: "nobody", status: 401, says: "401: Unauthorized", source: guard, plain: true},
	{ask: "GET /info", as: "stranger", status: 403, says: "403: Forbidden", source: guard, plain: true},
	{ask: "GET /core/api/config", as: "stranger", status: 401, says: "401: Unauthorized", source: "api/proxy.py, _check_access", plain: true},
	{ask: "GET /core/api/config", as: "nobody", status: 401, says: "401: Unauthorized", source: "api/proxy.py, _check_access", plain: true},
	{ask: "POST /core/api/hassio_auth", status: 403, says: "403: Forbidden", source: "api/middleware/security.py, BLACKLIST", plain: true},
	{ask: "GET /nope", status: 403, says: "403: Forbidden", source: "api/middleware/security.py, role_access: no role has it, so nobody learns that it is not there", plain: true},
	{ask: "GET /core/nope", status: 404, says: "404: Not Found", source: "aiohttp", plain: true},
	{ask: "GET /addons/{app}/nope", status: 404, says: "404: Not Found", source: "aiohttp", plain: true},
	{ask: "POST /info", status: 405, says: "405: Method Not Allowed", source: "aiohttp", plain: true},
	{ask: "GET /addons/{app}/restart", status: 405, says: "405: Method Not Allowed", source: "aiohttp", plain: true},
	{ask: "PUT /core/api/config", status: 405, says: "405: Method Not Allowed", source: "aiohttp", plain: true},
	{ask: "GET /info", as: "stranger", when: "Supervisor sets up", opt: fault(Faults{SupervisorState: "setup"}), status: 400, says: "System is not ready with state: setup", source: "api/middleware/security.py, system_validation"},
	{ask: "GET /info", when: "the system is frozen for a backup", opt: fault(Faults{SupervisorState: "freeze"}), status: 200, says: `{"state":"freeze","timezone":"Europe/Berlin"}`, source: "const.py, VALID_API_STATES"},

	{ask: "GET /addons", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 403, says: "403: Forbidden", source: guard, plain: true},
	{ask: "POST /addons/{app}/options", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 403, says: "403: Forbidden", source: guard, plain: true},
	{ask: "POST /addons/{app}/restart", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 403, says: "403: Forbidden", source: guard, plain: true},
	{ask: "GET /addons/{app}/logs", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 403, says: "403: Forbidden", source: guard, plain: true},
	{ask: "GET /addons/{app}/info", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 200, says: `{"state":"started","options":{}}`, source: "api/apps.py, info_data"},
	{ask: "GET /addons/self/info", when: "the role is default", opt: fault(Faults{NotManager: true}), status: 200, says: `{"slug":"` + SelfSlug + `","ingress_port":8099}`, source: guard},

	{ask: "GET /addons/{app}/info", status: 200, says: `{"hostname":"9074a9fa-cloudflared","state":"started","version":"6.0.3"}`, source: "api/apps.py, info_data"},
	{ask: "GET /addons/{app}/info", when: "a stored option has its default", act: func(w *World) { _ = w.User.SetsOptions(DefaultSlug, json.RawMessage(`{"additional_hosts":[]}`)) }, status: 200,
		says: `{"options":{"external_hostname":"","additional_hosts":[]}}`, source: "apps/app.py, options"},
	{ask: "GET /addons/{app}/info", when: "it is not installed", opt: Options{AddOns: []AddOn{}}, status: 200, says: `{"version":null,"installed":false,"state":"unknown"}`, source: "api/__init__.py, apps_app_info"},
	{ask: "POST /addons/{app}/restart", when: "it is not installed", opt: Options{AddOns: []AddOn{}}, status: 400, says: "App is not installed", source: which},
	{ask: "GET /addons/{app}/logs/latest", when: "it is not installed", opt: Options{AddOns: []AddOn{}}, status: 400, says: "App is not installed", source: "api/__init__.py, get_app_logs", plain: true},
	{ask: "GET /addons/x_y/info", status: 404, says: "App x_y does not exist", source: which},
	{ask: "POST /addons/x_y/options", body: `{"options":{}}`, status: 404, says: "App x_y does not exist", source: which},
	{ask: "GET /addons/x_y/logs", status: 404, says: "App x_y does not exist", source: "api/__init__.py, get_app_logs", plain: true},

	{ask: "POST /addons/{app}/options", body: `{`, status: 400, says: "Invalid json", source: "api/utils.py, json_loads"},
	{ask: "POST /addons/{app}/options", body: `[1]`, status: 400, says: "expected a dictionary. Got [1]", source: "api/utils.py, api_validate"},
	{ask: "POST /addons/{app}/options", body: `{"x":"a"}`, status: 400, says: "extra keys not allowed @ data['x']. Got 'a'", source: "api/utils.py, api_validate"},
	{ask: "POST /addons/{app}/options", body: `{"options":7}`, status: 400, says: "not a valid value for dictionary value @ data['options']. Got 7", source: "api/utils.py, api_validate"},
	{ask: "POST /addons/{app}/options", body: `{}`, status: 200, says: `{}`, source: opts},
	{ask: "POST /addons/{app}/options", body: `{"options":null}`, status: 200, says: `{}`, stored: `{}`, source: opts},
	{ask: "POST /addons/{app}/options", body: `{"options":{"run_parameters":["--protocol=quic"],"additional_hosts":[]}}`, when: "keys are left out: they are unset, and the order is the body's", status: 200, says: `{}`,
		stored: `{"run_parameters":["--protocol=quic"],"additional_hosts":[]}`, source: opts},
	{ask: "POST /addons/{app}/options", body: `{"options":{"run_parameters":["--protocol=http2"],"tunnel_token":"s3cret"}}`, when: "a required key is left out: its values stand in the error", status: 400,
		says: "App 9074a9fa_cloudflared has invalid options: Missing option 'additional_hosts' in root in Cloudflared (9074a9fa_cloudflared). Got {'run_parameters': ['--protocol=http2'], 'tunnel_token': 's3cret'}",
		key:  "app_configuration_invalid_error", source: "apps/options.py, _check_missing_options"},
	lost(`"use_builtin_proxy":true`, `{"additional_hosts":[]}`, "the schema does not know a key: it is lost, and only Supervisor's own log says so", "apps/options.py, __call__"),
	{ask: "POST /addons/{app}/options", body: `{"options":{"additional_hosts":[{"hostname":"h","service":"s","internalOnly":true}]}}`, when: "the schema does not know a key further in", status: 200, says: `{}`,
		stored: `{"additional_hosts":[{"hostname":"h","service":"s"}]}`, source: "apps/options.py, _nested_validate_dict"},
	lost(`"post_quantum":"yes"`, `{"additional_hosts":[],"post_quantum":true}`, "a word stands for a boolean", single),
	lost(`"external_hostname":"<ä&>"`, `{"additional_hosts":[],"external_hostname":"<ä&>"}`, "there are signs of HTML", single),
	lost(`"tunnel_token":"!secret tunnel_token"`, `{"additional_hosts":[],"tunnel_token":"!secret tunnel_token"}`, "a secret is named", "apps/options.py, _single_validate; up to September 2026 it was stored resolved: the fault secrets_resolved"),
	refused(`"tunnel_token":null`, "Missing required option 'tunnel_token' in Cloudflared (9074a9fa_cloudflared)", single),
	refused(`"tunnel_name":7`, "expected str", single),
	refused(`"post_quantum":"perhaps"`, "expected boolean", single),
	refused(`"log_level":"loud"`, "value must be one of ['debug', 'error', 'fatal', 'info', 'notice', 'trace', 'warning']", single),
	refused(`"tunnel_token":"!secret nope"`, "Unknown secret 'nope' in Cloudflared (9074a9fa_cloudflared)", single),
	refused(`"run_parameters":"--protocol=quic"`, "Invalid list for option 'run_parameters' in Cloudflared (9074a9fa_cloudflared)", "apps/options.py, _nested_validate_list"),
	refused(`"run_parameters":["--transport-loglevel=debug"]`, "does not match regular expression "+strings.TrimSuffix(strings.TrimPrefix(cloudflaredFields[7].typ, "match("), ")?"), single),
	{ask: "POST /addons/{app}/options", body: `{"options":{"additional_hosts":[{"hostname":"h"}]}}`, status: 400, key: "app_configuration_invalid_error", source: "apps/options.py, _check_missing_options",
		says: "App 9074a9fa_cloudflared has invalid options: Missing option 'service' in additional_hosts in Cloudflared (9074a9fa_cloudflared). Got {'additional_hosts': [{'hostname': 'h'}]}"},
	{ask: "POST /addons/{app}/options/validate", body: `{"additional_hosts":[]}`, status: 200, says: `{"message":"","valid":true,"pwned":false}`, source: "api/apps.py, options_validate"},
	{ask: "POST /addons/{app}/options/validate", when: "there is no body: what is stored", status: 200, says: `{"message":"","valid":true,"pwned":false}`, source: "api/apps.py, options_validate"},
	{ask: "POST /addons/{app}/options/validate", body: `{"additional_hosts":{}}`, status: 200, source: "api/apps.py, options_validate",
		says: `{"message":"Invalid list for option 'additional_hosts' in Cloudflared (9074a9fa_cloudflared). Got {'additional_hosts': {}}","valid":false}`},
	{ask: "POST /addons/{app}/options/validate", body: `[]`, status: 200, says: `{"message":"expected dict. Got []","valid":false}`, source: "apps/options.py, validate"},

	{ask: "POST /addons/{app}/restart", status: 200, says: `{}`, source: "apps/app.py, restart"},
	{ask: "POST /addons/{app}/restart", when: "Docker cannot stop it: nothing is restarted", opt: fault(Faults{RestartFaked: true}), status: 200, says: `{}`, source: "docker/manager.py, stop_container"},
	{ask: "POST /addons/{app}/start", when: "it runs", status: 200, says: `{}`, source: "apps/app.py, start"},
	{ask: "POST /addons/{app}/restart", when: "an update, a backup or another restart holds it", opt: fault(Faults{Busy: true}), status: 400, says: "Another job is running for job group app_9074a9fa_cloudflared", source: "jobs/job_group.py, acquire"},
	{ask: "POST /addons/{app}/restart", when: "what is stored is invalid: the app is left stopped", opt: fault(Faults{StartFails: BadOptions}), status: 400, key: "app_configuration_invalid_error", source: "apps/app.py, write_options",
		says: "App 9074a9fa_cloudflared has invalid options: Missing option 'additional_hosts' in root in Cloudflared (9074a9fa_cloudflared). Got " + pyRepr(DefaultAddOns()[0].Options)},
	{ask: "POST /addons/{app}/restart", when: "its port is taken: the app is left stopped", opt: fault(Faults{StartFails: BadPort}), status: 400, says: "Cannot start app 9074a9fa_cloudflared because port 36500 is already in use", key: "app_port_conflict", source: "apps/app.py, start"},
	{ask: "POST /addons/{app}/restart", when: "Docker fails: the app is left in error", opt: fault(Faults{StartFails: BadDocker}), status: 500, key: "app_unknown_error", source: "apps/app.py, start",
		says: "An unknown error occurred with app 9074a9fa_cloudflared. Check Supervisor logs for details"},

	{ask: "GET /addons/{app}/logs/latest", when: "Accept is application/json", as: "json", status: 400, says: "Invalid content type requested. Only text/plain and text/x-log supported for now.", source: "api/host.py, advanced_logs_handler", plain: true},
	{ask: "GET /addons/core_mosquitto/logs/latest", when: "it has written nothing yet", status: 500, source: "api/host.py, _get_container_last_epoch", plain: true,
		says: "Cannot determine CONTAINER_LOG_EPOCH of addon_core_mosquitto, app_core_mosquitto. Check Supervisor logs for details"},
	{ask: "GET /addons/core_mosquitto/logs", when: "it has written nothing yet", status: 200, says: "", source: "api/host.py, advanced_logs_handler", plain: true},

	{ask: "GET /core/info", status: 200, says: `{"ssl":false,"version":"2026.11.2"}`, source: "api/homeassistant.py, info"},
	{ask: "GET /core/stats", when: "Home Assistant's container is stopped", opt: fault(Faults{CoreDown: true}), status: 400, says: "Container homeassistant is not running", source: "docker/manager.py, container_stats"},
	{ask: "GET /core/api/config", when: "Home Assistant is stopped, or starts", opt: fault(Faults{CoreDown: true}), status: 502, says: "502: Bad Gateway", source: "api/proxy.py, api", plain: true},
	{ask: "GET /network/info", when: "the internet is away", opt: fault(Faults{InternetDown: true}), status: 200, says: `{"host_internet":false,"supervisor_internet":false}`, source: "api/network.py, info"},
	{ask: "GET /services/mqtt", status: 400, says: "Service not enabled", source: "api/services.py, get_service_v1"},
	{ask: "GET /services/mqtt", when: "a broker is known", opt: Options{MQTT: &MQTT{Host: "core-mosquitto", Port: 1883}}, status: 200, says: `{"host":"core-mosquitto","port":1883,"ssl":false}`, source: "api/services.py, get_service_v1"},
	{ask: "GET /services/mysql", status: 403, says: "No access to mysql service!", source: "api/services.py, _check_access"},
	{ask: "GET /services/nope", status: 404, says: "Service does not exist", source: "api/services.py, _extract_service"},
	{ask: "GET /store/repositories/396f0234", status: 200, says: `{"source":"https://github.com/homeassistant-apps/repository"}`, source: "api/store.py, _generate_repository_information"},
	{ask: "GET /store/repositories/nope", status: 404, says: "Repository nope does not exist in the store", source: "api/store.py, _extract_repository"},
	{ask: "POST /core/api/services/notify/nobody", body: `{"message":"x"}`, status: 400, says: "400: Bad Request", source: "Home Assistant's components/api, APIDomainServicesView", plain: true},
}

// lost is options of which something is stored in another form, or not at all.
func lost(member, stored, when, source string) row {
	return row{ask: "POST /addons/{app}/options", body: `{"options":{"additional_hosts":[],` + member + `}}`, when: when, status: 200, says: `{}`, stored: stored, source: source}
}

// refused is options that are not saved; the error ends with all of them.
func refused(member, why, source string) row {
	options := `{"additional_hosts":[],` + member + `}`
	return row{ask: "POST /addons/{app}/options", body: `{"options":` + options + `}`, status: 400, says: "App 9074a9fa_cloudflared has invalid options: " + why + ". Got " + pyRepr(json.RawMessage(options)),
		key: "app_configuration_invalid_error", source: source}
}

func TestSupervisorsAnswers(t *testing.T) {
	for i, r := range answers {
		t.Run(fmt.Sprintf("%d %s", i, r.ask), func(t *testing.T) {
			bubbled(t, r.opt, func(t *testing.T, w *World) {
				if r.act != nil {
					r.act(w)
				}
				before := string(w.Supervisor.Options(DefaultSlug))
				method, path, _ := strings.Cut(strings.ReplaceAll(r.ask, "{app}", DefaultSlug), " ")
				headers := map[string][]string{"": {"Authorization", "Bearer " + SupervisorToken}, "stranger": {"Authorization", "Bearer no"}, "json": {"Authorization", "Bearer " + SupervisorToken, "Accept", "application/json"}}[r.as]
				a := fetchOver(t, w.Network().Transport(), method, w.Supervisor.URL()+path, r.body, headers...)
				if kind := a.header.Get("Content-Type"); a.status != r.status || strings.HasPrefix(kind, "text/plain") != r.plain {
					t.Fatalf("%d %s %v %q", a.status, kind, a.err, a.body)
				}
				if r.stored == "" {
					r.stored = before
				}
				if have := string(w.Supervisor.Options(DefaultSlug)); have != r.stored {
					t.Errorf("stored: %s", have)
				}
				if r.plain {
					if a.body != r.says {
						t.Errorf("%q", a.body)
					}
					return
				}
				var have struct {
					Result, Message string
					Key             string `json:"error_key"`
					Data            map[string]any
				}
				if err := json.Unmarshal([]byte(a.body), &have); err != nil {
					t.Fatal(err)
				}
				if r.status != 200 {
					if have.Result != "error" || have.Message != r.says || have.Key != r.key {
						t.Errorf("%+v", have)
					}
					return
				}
				var part map[string]any
				if err := json.Unmarshal([]byte(r.says), &part); err != nil {
					t.Fatal(err)
				}
				for k, v := range part {
					if x, there := have.Data[k]; !there || !reflect.DeepEqual(x, v) {
						t.Errorf("%s is %v, not %v", k, x, v)
					}
				}
			})
		})
	}
}

var update = flag.Bool("update", false, "write docs/LAB.md anew")

// docs/LAB.md is the table, and the faults.
func TestDocsTellTheLabsAnswers(t *testing.T) {
	const file = "../../docs/LAB.md"
	have, err := os.ReadFile(file)
	if *update {
		if err := os.WriteFile(file, []byte(document()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil || string(have) != document() {
		t.Errorf("docs/LAB.md is not as the lab is: go test ./internal/lab -run Docs -update (%v)", err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# The lab

` + "`go run ./cmd/tunnelmedic lab --serve`" + ` is a whole small world on loopback, for people and for tests. Its Supervisor answers as the real one does.
` + "`lab --demo`" + ` puts the program into it, and gives a page on which things are broken and mended.
Both tables are made of the lab itself (` + "`make docs`" + `), and tests hold them.

## What Supervisor answers

Read from home-assistant/supervisor of 21 August 2026 (090ef31); sources are paths below its supervisor/ folder. {app} is the slug of the
Cloudflared app. Every call bears the app's token and the role manager unless the row says otherwise; what is an error's text is in JSON
({"result":"error","message":…}) unless it is marked as text.

| Call | When | Answer | Source |
|---|---|---|---|
`)
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ")
	for _, r := range answers {
		when := r.when
		if who := map[string]string{"nobody": "without a token", "stranger": "with a wrong token"}[r.as]; who != "" {
			when = strings.TrimPrefix(when+"; "+who, "; ")
		}
		ask := "`" + r.ask + "`"
		if r.body != "" {
			ask += " `" + r.body + "`"
		}
		says := fmt.Sprint(r.status)
		if r.says != "" {
			says += " `" + r.says + "`"
		}
		if r.plain {
			says += " (text)"
		}
		if r.key != "" {
			says += ", error_key `" + r.key + "`"
		}
		if r.stored != "" {
			says += "; stored: `" + r.stored + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.ReplaceAll(ask, "|", `\|`), cell.Replace(when), strings.ReplaceAll(says, "|", `\|`), cell.Replace(r.source))
	}
	b.WriteString("\n## Faults\n\nEach is a member of the JSON that `/control/faults` takes (see `GET /control`).\n")
	part := ""
	for _, f := range AllFaults() {
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(&b, "\n### %s%s\n\n| Fault | Values | What it means |\n|---|---|---|\n", strings.ToUpper(part[:1]), part[1:])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, cell.Replace(f.Values), cell.Replace(f.About))
	}
	return b.String()
}
