package addon_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
	"tunnelmedic/internal/metrics"
)

// The port is closed until somebody opens it, and the form says in each language what it is for.
func TestThePortOfTheMetricsIsClosedAndExplained(t *testing.T) {
	f := storeFiles(t)
	if ports := f.config(t).Ports; len(ports) != 1 || ports["9107/tcp"] != nil {
		t.Errorf("config.yaml opens %v", ports)
	}
	said := map[string]bool{}
	for lang, text := range f.languages() {
		var tr translation
		if err := yaml.Unmarshal([]byte(text), &tr); err != nil {
			t.Fatal(err)
		}
		what := tr.Network["9107/tcp"]
		if !strings.Contains(what, "/metrics") || said[what] {
			t.Errorf("translations/%s.yaml says of the port: %q", lang, what)
		}
		said[what] = true
	}
}

// scraped asks the daemon as Prometheus does.
func scraped(h *house.House, visitor *http.Client, method, path string) (status int, text string) {
	req, err := http.NewRequest(method, "http://"+h.Env["TUNNELMEDIC_METRICS_LISTEN"]+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	res, err := visitor.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// Through an incident and its cure, with every credential set: the figures are those of the page,
// and neither a secret nor the home's name is among them.
func TestMetricsTellTheStoryAndNoSecret(t *testing.T) {
	env := and(map[string]string{"TUNNELMEDIC_CLOUDFLARE_API_TOKEN": lab.CloudflareToken})
	house.Run(t, lab.Options{MQTT: &lab.MQTT{Host: "127.0.0.9", Port: 1883, Username: "addons", Password: "canary-of-the-broker"}}, env, func(h *house.House) {
		visitor := &http.Client{Transport: h.Net.Plug().Network().Transport(), Timeout: time.Minute}
		has := func(line string) func() bool {
			return func() bool {
				_, text := scraped(h, visitor, "GET", "/metrics")
				return strings.Contains("\n"+text, "\n"+line+"\n")
			}
		}
		h.Wait("reachable", 5*time.Minute, has("tunnelmedic_reachable 1"))
		h.Sleep(10 * time.Minute)
		h.World.SetFaults(lab.Stripped(1, evidence.OverQUIC))
		h.Wait("an incident", 5*time.Minute, has("tunnelmedic_reachable 0"))
		_, during := scraped(h, visitor, "GET", "/metrics")
		h.Wait("cured", 20*time.Minute, has(`tunnelmedic_protocol_info{own="auto",set="http2",in_use="http2"} 1`))
		h.Wait("healthy", 20*time.Minute, has(`tunnelmedic_state{state="healthy"} 1`))
		_, after := scraped(h, visitor, "GET", "/metrics")
		for _, want := range []string{`tunnelmedic_data_centre_info{colo="FRA"} 1`, "tunnelmedic_tunnel_connections 4", "tunnelmedic_tunnel_restarts_24h 1", "tunnelmedic_tunnel_restarts_budget 6", "tunnelmedic_failback_due_timestamp_seconds ", `tunnelmedic_diagnosis_info{cause="healthy",remedy="none"} 1`} {
			if !strings.Contains(after, "\n"+want) {
				h.Errorf("%q is not among\n%s", want, after)
			}
		}
		if !strings.Contains(during, "tunnelmedic_incident_onset_timestamp_seconds ") && !strings.Contains(during, "tunnelmedic_unreachable_since_timestamp_seconds ") {
			h.Errorf("during the incident:\n%s", during)
		}
		var cut float64
		if _, err := fmt.Sscanf(regexp.MustCompile(`tunnelmedic_cut_off_seconds\{window="24h"\} [\d.]+`).FindString(after), `tunnelmedic_cut_off_seconds{window="24h"} %g`, &cut); err != nil || cut < 5 || cut > 300 {
			h.Errorf("%g s cut off (%v)", cut, err)
		}
		secrets := []string{"canary-of-the-broker", lab.SupervisorToken, lab.TunnelToken, lab.CloudflareToken, lab.PublicHost, h.Env["TUNNELMEDIC_PUBLIC_URL"]}
		for _, v := range credentials {
			secrets = append(secrets, v)
		}
		for _, secret := range secrets {
			if strings.Contains(during+after, secret) {
				h.Errorf("%s is among the metrics", secret)
			}
		}
		for _, c := range []struct {
			method, path string
			status       int
		}{{"GET", "/", 404}, {"GET", "/api/status", 404}, {"GET", "/healthz", 404}, {"POST", "/metrics", 405}, {"HEAD", "/metrics", 200}} {
			if status, _ := scraped(h, visitor, c.method, c.path); status != c.status {
				h.Errorf("%s %s: HTTP %d, want %d", c.method, c.path, status, c.status)
			}
		}
	})
}

// The example of alerts is YAML of the form that Prometheus reads, and names only metrics that
// there are.
func TestTheAlertsNameMetricsThatThereAre(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs", "prometheus-alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	docs := storeFiles(t)["DOCS.md"]
	named := regexp.MustCompile(`tunnelmedic_[a-z0-9_]+`)
	rules := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Alert == "" || r.Annotations["summary"] == "" || !named.MatchString(r.Expr) {
				t.Errorf("the rule %+v says too little", r)
			}
		}
	}
	if rules < 3 {
		t.Fatalf("%d rules: has the file another form now?", rules)
	}
	for _, text := range []string{string(raw), docs} {
		for _, name := range named.FindAllString(text, -1) {
			if !slices.Contains(metrics.Names(), name) {
				t.Errorf("there is no metric %s", name)
			}
		}
	}
	for _, name := range metrics.Names() {
		if !strings.Contains(docs, "`"+name+"`") {
			t.Errorf("DOCS.md does not explain %s", name)
		}
	}
}
