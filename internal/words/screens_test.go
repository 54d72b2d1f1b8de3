package words_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tunnelmedic/internal/words"
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
	label := regexp.MustCompile(`"([A-Z][^"]+)"`)
	for _, key := range words.Keys() {
		for _, text := range words.Forms(key) {
			if found := unwanted.FindString(allowed.Replace(text)); found != "" {
				t.Errorf("%s: %q in %q", key, found, text)
			}
			for _, m := range label.FindAllStringSubmatch(text, -1) {
				if strings.HasPrefix(string(key), "cause.") && !strings.Contains(labels, m[1]) {
					t.Errorf("%s: no field is called %q", key, m[1])
				}
			}
		}
	}
}
