package addon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tunnelmedic/addon"
)

// FuzzOptions reads options files that nobody would write: it gives options that the
// program can start with, or one line that says what is wrong and holds no secret.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `[]`, `{"mode":"heal","protocols":["auto","http2"],"probe_interval":120}`, `{"probe_interval":1e300}`, `{"protocols":[]}`, `{"notify":["mobile_app_pixel",null,""]}`,
		`{"public_url":"https://user:secret-word@ha.example.com"}`, `{"ha_token":"secret-word","mode":"??"}`, `{"failback_hours":-1}`, `{"access_client_id":"x"}`, `{"log_level":"loud"}`, `{"mode":`, "\xff\xfe",
	} {
		f.Add(s)
	}
	file := filepath.Join(f.TempDir(), "options.json")
	f.Fuzz(func(t *testing.T, raw string) {
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		o, _, err := addon.LoadOptions([]string{"TUNNELMEDIC_OPTIONS_FILE=" + file})
		if err != nil {
			if text := err.Error(); text == "" || strings.Contains(text, "\n") || strings.Contains(text, "secret-word") {
				t.Fatalf("the error is %q", text)
			}
			return
		}
		if o.ProbeInterval <= 0 || len(o.Protocols) == 0 || o.MaxRestartsPerDay < 1 || o.MaxRestartsPerDay > 24 || o.Mode != addon.Heal && o.Mode != addon.Observe {
			t.Fatalf("it would start with %+v", o)
		}
	})
}
