package addon_test

import (
	"strings"
	"testing"

	"tunnelmedic/internal/lab"
)

// Quiet hours that are an hour or ten away from the house's own would restart the
// tunnel at breakfast, and nobody could tell why.
func TestAZoneThatIsNotKnownIsSaidOnce(t *testing.T) {
	t.Parallel()
	for zone, warnings := range map[string]int{"Europe/Berlin": 0, "UTC": 0, "Mars/Olympus": 1, "../../etc/passwd": 1} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			h := settle(t, lab.Options{Timezone: zone})
			h.start(t)
			h.wait(t, "healthy", func() bool { return h.state() == "healthy" })
			h.stop(t)
			var said []string
			for line := range strings.Lines(h.log.all()) {
				if strings.Contains(line, "time zone") {
					said = append(said, line)
				}
			}
			if len(said) != warnings {
				t.Fatalf("it is said %d times: %q", len(said), said)
			}
			for _, line := range said {
				if !strings.Contains(line, `"level":"warn"`) || !strings.Contains(line, zone) || !strings.Contains(line, "the quiet hours, and the times on the page, are taken as UTC.") {
					t.Errorf("it is said like this: %s", line)
				}
			}
		})
	}
}
