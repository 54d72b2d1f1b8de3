package addon_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
)

// press presses a button of the page's.
func (d *daemon) press(t *testing.T, path, body string) (status int, message string) {
	t.Helper()
	res, err := http.Get(d.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	token := regexp.MustCompile(`name="token" content="([^"]+)"`).FindSubmatch(raw)
	if token == nil {
		t.Fatal("the page has no token")
	}
	req, err := http.NewRequest(http.MethodPost, d.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Tunnelmedic-Token", string(token[1]))
	res, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Message string `json:"message"`
	}
	_ = json.NewDecoder(res.Body).Decode(&a)
	return res.StatusCode, a.Message
}

func protocol(s map[string]any, key string) any {
	p, _ := s["protocol"].(map[string]any)
	return p[key]
}

func TestThePagesButtonsInALab(t *testing.T) {
	t.Parallel()
	w, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, w, w.Supervisor.URL())
	healthy := func(s map[string]any) bool { return s["state"] == "healthy" && s["trial"] == nil }
	d.until(t, "healthy", healthy)

	// The sensors are there without a broker.
	until(t, "the states in Core", func() bool {
		return bytes.Contains(w.Core.Told().EntityStates["binary_sensor.tunnelmedic_connectivity"], []byte(`"on"`)) && len(w.Core.Told().EntityStates) >= 13
	})

	// A trial by hand that proves good stays, after one restart.
	if status, message := d.press(t, "/api/try", `{"protocol":"http2"}`); status != http.StatusAccepted {
		t.Fatalf("HTTP %d %s", status, message)
	}
	if status, _ := d.press(t, "/api/try", `{"protocol":"quic"}`); status != http.StatusConflict {
		t.Errorf("a second one meanwhile: HTTP %d", status)
	}
	s := d.until(t, "healthy with http2", func(s map[string]any) bool { return healthy(s) && protocol(s, "setting") == "http2" })
	if protocol(s, "own") != "http2" || protocol(s, "transport") != "http2" || w.Supervisor.Restarts() != 1 || s["incident"] != nil {
		t.Errorf("protocol %v, %d restarts, incident %v", s["protocol"], w.Supervisor.Restarts(), s["incident"])
	}

	// One that does not is put back.
	w.SetFaults(lab.Stripped(1, evidence.OverQUIC))
	if status, message := d.press(t, "/api/try", `{"protocol":"quic"}`); status != http.StatusAccepted {
		t.Fatalf("HTTP %d %s", status, message)
	}
	d.until(t, "back on http2", func(s map[string]any) bool { return healthy(s) && w.Supervisor.Restarts() == 3 })
	if got := w.Supervisor.RunParameters(); len(got) == 0 || got[len(got)-1] != "--protocol=http2" {
		t.Errorf("run parameters %q", got)
	}

	// Paused, nothing is changed whatever happens; resumed, it is.
	if status, message := d.press(t, "/api/pause", `{"minutes":60}`); status != http.StatusAccepted {
		t.Fatalf("HTTP %d %s", status, message)
	}
	w.SetFaults(lab.Stripped(1, evidence.OverHTTP2))
	d.until(t, "certain of the fault, and paused", func(s map[string]any) bool { return s["state"] == "paused" && s["incident"] != nil })
	if w.Supervisor.Restarts() != 3 {
		t.Error("it restarted the tunnel while it was paused")
	}
	d.press(t, "/api/resume", "")
	d.until(t, "healthy again", func(s map[string]any) bool { return healthy(s) && w.Supervisor.Restarts() == 4 })

	// Forgotten, nothing is left in Core.
	if status, message := d.press(t, "/api/forget", ""); status != http.StatusAccepted {
		t.Errorf("HTTP %d %s", status, message)
	}
	if len(w.Core.Told().EntityStates) != 0 || len(w.Core.Told().Notifications) != 0 {
		t.Errorf("left over: %d states, %d notifications", len(w.Core.Told().EntityStates), len(w.Core.Told().Notifications))
	}
	d.stop(t)
}

func TestATrialByHandIsPutBackWhenTheProgramStopsInTheMiddle(t *testing.T) {
	w, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Connector.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	options := func() (o map[string]any) {
		if err := json.Unmarshal(w.Supervisor.Options(lab.DefaultSlug), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	before := options()
	dir := "TUNNELMEDIC_DATA_DIR=" + t.TempDir()
	d := startDaemon(t, w, w.Supervisor.URL(), dir)
	d.until(t, "healthy", func(s map[string]any) bool { return s["state"] == "healthy" })
	if status, message := d.press(t, "/api/try", `{"protocol":"http2"}`); status != http.StatusAccepted {
		t.Fatalf("HTTP %d %s", status, message)
	}
	d.until(t, "proving http2", func(s map[string]any) bool {
		trial, _ := s["trial"].(map[string]any)
		return trial["settled"] == true
	})
	d.stop(t)
	d = startDaemon(t, w, w.Supervisor.URL(), dir)
	s := d.until(t, "back", func(s map[string]any) bool {
		return s["state"] == "healthy" && s["trial"] == nil && protocol(s, "transport") == "quic"
	})
	if protocol(s, "own") != "auto" || !reflect.DeepEqual(options(), before) {
		t.Errorf("own %v, options %v, before %v", protocol(s, "own"), options(), before)
	}
	d.stop(t)
}
