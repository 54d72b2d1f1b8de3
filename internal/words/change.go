package words

import "time"

// Change is a version or a setting that changed shortly before a fault.
type Change struct {
	Part     string // as the history calls it
	Was, Now string
	Before   time.Duration // how long before
}

// parts are the names of what may change, by what the history calls them.
var parts = map[string]Key{
	"cloudflared": "part.cloudflared", "Cloudflared add-on": "part.app", "Home Assistant Core": "part.core", "Supervisor": "part.supervisor",
	"operating system": "part.os", "Home Assistant's port": "part.port", "Home Assistant's SSL": "part.ssl", "flags of cloudflared": "part.flags", "your own protocol": "part.protocol",
}

// Changes says what changed, in a row; "" where nothing did.
func (l *Lang) Changes(list []Change) string {
	said := make(List, len(list))
	for i, c := range list {
		with := With{"part": c.Part, "was": c.Was, "now": c.Now, "span": c.Before.Round(time.Minute)}
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
	return l.list(said)
}
