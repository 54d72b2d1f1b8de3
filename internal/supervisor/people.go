package supervisor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// adminGroup is Home Assistant's group of administrators (auth/const.py).
const adminGroup = "system-admin"

// adminsCount is how long Core's word on its administrators counts: whoever presses again
// and again does not make it ask again and again, as each question is four lines in
// Supervisor's log.
const adminsCount = 30 * time.Second

// admins remembers Core's word.
type admins struct {
	mu  sync.Mutex
	at  time.Time
	ids []string
}

// Administrator says whether a user of Home Assistant's, by the id that ingress gives,
// is an administrator. Ingress itself does not see to that: any user may have a session
// and an app's address (Core's hassio/websocket_api.py, WS_NO_ADMIN_ENDPOINTS), and
// panel_admin only hides the entry in the sidebar.
func (c *Client) Administrator(ctx context.Context, user string) (bool, error) {
	c.admins.mu.Lock()
	ids, age := c.admins.ids, time.Since(c.admins.at)
	c.admins.mu.Unlock()
	if ids == nil || age < 0 || age >= adminsCount {
		var err error
		if ids, err = c.administrators(ctx); err != nil {
			return false, err
		}
		c.admins.mu.Lock()
		c.admins.at, c.admins.ids = time.Now(), ids
		c.admins.mu.Unlock()
	}
	return user != "" && slices.Contains(ids, user), nil
}

// administrators asks Core for its users, which it tells by WebSocket alone.
func (c *Client) administrators(ctx context.Context) ([]string, error) {
	var users []struct {
		ID     string   `json:"id"`
		Owner  bool     `json:"is_owner"`
		Active bool     `json:"is_active"`
		Groups []string `json:"group_ids"`
	}
	q := call{op: "asking who is an administrator", core: true}
	if err := c.askCore(ctx, q, "config/auth/list", &users); err != nil {
		return nil, err
	}
	ids := []string{}
	for _, u := range users {
		if u.Active && (u.Owner || slices.Contains(u.Groups, adminGroup)) {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

// Phones gives the companion apps that are registered with Core, as their notify services by the id that they
// name themselves with. A service is called after the device's name (_target_service_name of Core's
// notify/legacy.py), whatever a person has renamed the device to since. A name that is not made of plain letters
// is left out: Core's slugify knows every script, and this does not.
func (c *Client) Phones(ctx context.Context) (map[string]string, error) {
	var devices []struct {
		Name        string     `json:"name"`
		Identifiers [][]string `json:"identifiers"`
	}
	q := call{op: "asking which phones there are", core: true}
	if err := c.askCore(ctx, q, "config/device_registry/list", &devices); err != nil {
		return nil, err
	}
	phones := map[string]string{}
	for _, d := range devices {
		for _, id := range d.Identifiers {
			if service := slugify("mobile_app_" + d.Name); len(id) == 2 && id[0] == "mobile_app" && service != "" {
				phones[id[1]] = service
			}
		}
	}
	return phones, nil
}

// slugify is a name as Core's slugify makes it; "" for one in other than plain letters, digits and signs, and for
// one with an apostrophe, which goes or stays by its kind.
func slugify(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 0x80 || r == '\'':
			return ""
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return strings.Trim(b.String(), "_")
}
