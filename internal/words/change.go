package words

import (
	"time"

	"tunnelmedic/internal/diagnosis"
)

// parts are the names of what may change, by what the history calls them.
var parts = map[string]Key{
	"cloudflared": "part.cloudflared", "Cloudflared add-on": "part.app", "Home Assistant Core": "part.core", "Supervisor": "part.supervisor",
	"operating system": "part.os", "Home Assistant's port": "part.port", "Home Assistant's SSL": "part.ssl", "flags of cloudflared": "part.flags", "your own protocol": "part.protocol",
}

// Changes says what changed, in a row.
func Changes(list []diagnosis.Change) List {
	said := make(List, len(list))
	for i, c := range list {
		with := With{"part": c.Part, "was": c.Was, "now": c.Version, "span": c.Before.Round(time.Minute)}
		if key, known := parts[c.Part]; known {
			with["part"] = Text{Key: key}
		}
		switch {
		case c.Before >= 100*time.Minute:
			with["span"] = c.Before.Round(time.Hour)
			fallthrough
		case c.Before >= 2*time.Minute:
			said[i] = Text{"change.before", with}
		default:
			said[i] = Text{"change.about", with}
		}
	}
	return said
}
