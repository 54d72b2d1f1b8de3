package house_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/house"
)

// What a household is told is in Home Assistant's language, phones and entities included.
func TestAHouseholdIsToldInItsLanguage(t *testing.T) {
	house.Run(t, lab.Options{Language: "de", Notify: []string{"mobile_app_handy"}}, map[string]string{"TUNNELMEDIC_NOTIFY": "mobile_app_handy"}, func(h *house.House) {
		h.Wait("a good look", 5*time.Minute, func() bool { return h.Status().LastProbe != nil && h.Status().LastProbe.OK })
		if raw := string(h.World.Core.Told().EntityStates["binary_sensor.tunnelmedic_connectivity"]); !strings.Contains(raw, "Zugriff von außen") {
			h.Errorf("the entity is %s", raw)
		}
		lost(1, lab.NoUpgrade, evidence.OverQUIC, evidence.OverHTTP2)(h)
		h.Wait("it is told", 3*time.Hour, func() bool {
			return strings.Contains(h.World.Core.Told().Notifications["tunnelmedic"].Title, "von außen nicht erreichbar")
		})
		if message := h.World.Core.Told().Notifications["tunnelmedic"].Message; strings.Contains(message, " the ") || !strings.Contains(message, "Was geschehen ist:") {
			h.Errorf("told: %s", message)
		}
		if calls := h.World.Core.Told().NotifyCalls; len(calls) == 0 {
			h.Error("no phone rang")
		}
		if !strings.Contains(h.Log(), "All well: ") {
			h.Error("the log is not English")
		}
	})
}
