package diagnosis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tunnelmedic/internal/diagnosis"
)

// What people read calls things as the screens of Home Assistant 2026 do, and fields by
// their labels in the form.
func TestWordsAreThoseOfTheScreens(t *testing.T) {
	raw, err := os.ReadFile("../../translations/en.yaml")
	if err != nil {
		t.Fatal(err)
	}
	labels := string(raw)
	unwanted := regexp.MustCompile(`add-on|Add-on|8123|\bprobes?\b|else than|anew\b|by itself|[a-z]+_[a-z]+`)
	allowed := strings.NewReplacer("use_x_forwarded_for", "", "trusted_proxies", "", "ip_bans", "")
	label := regexp.MustCompile(`"([^"]+)"`)
	for _, row := range diagnosis.Catalogue() {
		for _, text := range append([]string{row.Summary, row.Rests}, row.Advice...) {
			if found := unwanted.FindString(allowed.Replace(text)); found != "" {
				t.Errorf("%s: %q in %q", row.ID, found, text)
			}
			for _, m := range label.FindAllStringSubmatch(text, -1) {
				if !strings.Contains(labels, m[1]) {
					t.Errorf("%s: no field is called %q", row.ID, m[1])
				}
			}
		}
	}
}
