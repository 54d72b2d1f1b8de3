package addon_test

import (
	"strings"
	"testing"

	"tunnelmedic/addon"
)

func TestAddressesThatCannotBeWatched(t *testing.T) {
	nine := strings.TrimSuffix(strings.Repeat("https://a%.example.com,", 9), ",")
	for i := range 9 {
		nine = strings.Replace(nine, "%", string(rune('a'+i)), 1)
	}
	for name, c := range map[string]struct{ main, also, want string }{
		"no address":            {"", "apps", "option also_watch, number 1: "},
		"the second has a path": {"", "https://a.example.com,https://b.example.com/x", "option also_watch, number 2: "},
		"twice":                 {"", "https://a.example.com,https://A.example.com/", "is named twice"},
		"the main one":          {"https://a.example.com", "https://a.example.com", "is named twice"},
		"more than can be":      {"", nine, "at most 8 addresses"},
		"a password":            {"", "https://me:canary@a.example.com", "option also_watch, number 1: "},
	} {
		_, _, err := addon.LoadOptions([]string{"TUNNELMEDIC_OPTIONS_FILE=/nowhere", "TUNNELMEDIC_PUBLIC_URL=" + c.main, "TUNNELMEDIC_ALSO_WATCH=" + c.also})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := addon.LoadOptions([]string{"TUNNELMEDIC_OPTIONS_FILE=/nowhere", "TUNNELMEDIC_ALSO_WATCH=https://a.example.com, https://b.example.com"}); err != nil {
		t.Error(err)
	}
}
