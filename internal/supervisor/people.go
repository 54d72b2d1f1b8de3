package supervisor

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
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
func (c *Core) Administrator(ctx context.Context, user string) (bool, error) {
	c.admins.mu.Lock()
	ids, age := c.admins.ids, time.Since(c.admins.at)
	c.admins.mu.Unlock()
	if ids == nil || age < 0 || age >= adminsCount {
		users, err := askCore[[]struct {
			ID     string   `json:"id"`
			Owner  bool     `json:"is_owner"`
			Active bool     `json:"is_active"`
			Groups []string `json:"group_ids"`
		}](ctx, c, "asking who is an administrator", "config/auth/list")
		if err != nil {
			return false, err
		}
		ids = []string{}
		for _, u := range users {
			if u.Active && (u.Owner || slices.Contains(u.Groups, adminGroup)) {
				ids = append(ids, u.ID)
			}
		}
		c.admins.mu.Lock()
		c.admins.at, c.admins.ids = time.Now(), ids
		c.admins.mu.Unlock()
	}
	return user != "" && slices.Contains(ids, user), nil
}

// Phones gives the companion apps that are registered with Core, as their notify services by the id that they
// name themselves with. A service is called after the device's name (async_register_services of Core's
// notify/legacy.py), whatever a person has renamed the device to since. A name that slugify does not know is left out.
func (c *Core) Phones(ctx context.Context) (map[string]string, error) {
	devices, err := askCore[[]struct {
		Name        string     `json:"name"`
		Identifiers [][]string `json:"identifiers"`
	}](ctx, c, "asking which phones there are", "config/device_registry/list")
	if err != nil {
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

// latin are the letters that are no plain one with a mark, and the signs that phones' names are written with, as unidecode
// writes them.
var latin = strings.NewReplacer("ß", "ss", "ẞ", "ss", "æ", "ae", "Æ", "ae", "œ", "oe", "Œ", "oe", "ø", "o", "Ø", "o", "ł", "l", "Ł", "l", "đ", "d", "Đ", "d",
	"ð", "d", "Ð", "d", "þ", "th", "Þ", "th", "ħ", "h", "Ħ", "h", "ŧ", "t", "Ŧ", "t", "ŋ", "ng", "Ŋ", "ng", "ı", "i",
	"‘", "", "’", "", "–", "-", "—", "-", "“", `"`, "”", `"`)

var (
	grouped  = regexp.MustCompile(`\d+(,\d+)+`) // a number, out of which the commas go
	unwanted = regexp.MustCompile(`[^a-z0-9]+`)
)

// slugify is a name as Core's slugify makes it (util/__init__.py, by python-slugify and unidecode): "Zoë's iPhone" is
// zoe_s_iphone, and zoes_iphone with a curly apostrophe. It knows Latin letters, whatever marks they bear, and gives ""
// for a name that holds anything else, such as another script, an emoji, a sign of money or an HTML entity: unidecode has
// tables for them, and a phone whose service is not known goes unchecked, where one with a wrong service would be refused.
func slugify(name string) string {
	if strings.Contains(name, "&") && strings.Contains(name, ";") {
		return ""
	}
	var b strings.Builder
	for _, r := range latin.Replace(norm.NFKD.String(strings.ReplaceAll(name, "'", "-"))) {
		switch {
		case r > unicode.MaxASCII && !unicode.Is(unicode.Mn, r):
			return ""
		case r <= unicode.MaxASCII:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	number := func(s string) string { return strings.ReplaceAll(s, ",", "") }
	return strings.Trim(unwanted.ReplaceAllString(grouped.ReplaceAllStringFunc(b.String(), number), "_"), "_")
}
