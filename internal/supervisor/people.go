package supervisor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// adminGroup is Home Assistant's group of administrators (auth/const.py).
const adminGroup = "system-admin"

// How long Core's word on its administrators counts: whoever presses again and again
// does not make it ask again and again, as each question is four lines in Supervisor's
// log; and how long, and how large, an answer may be.
const (
	adminsCount = 30 * time.Second
	adminsWait  = 5 * time.Second
	adminsLimit = 1 << 20
)

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
	q := call{op: "asking who is an administrator", core: true}
	ctx, cancel := context.WithTimeout(ctx, c.scaled(adminsWait))
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.http.BaseURL, "http")+"/core/websocket", &websocket.DialOptions{HTTPClient: c.http.GetClient()})
	if err != nil {
		if res != nil && res.StatusCode >= 400 {
			return nil, c.refused(q, res.StatusCode, nil)
		}
		return nil, c.broken(ctx, q, err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(adminsLimit)

	talk := conversation{c, q, conn}
	if _, err := talk.say(ctx, nil, "auth_required"); err != nil {
		return nil, err
	}
	if _, err := talk.say(ctx, map[string]string{"type": "auth", "access_token": c.http.Token}, "auth_ok"); err != nil {
		return nil, err
	}
	m, err := talk.say(ctx, map[string]any{"id": 1, "type": "config/auth/list"}, "result")
	if err != nil {
		return nil, err
	}
	if !m.Success {
		return nil, unexpected(q, "a refusal")
	}
	ids := []string{}
	for _, u := range m.Result {
		if u.Active && (u.Owner || slices.Contains(u.Groups, adminGroup)) {
			ids = append(ids, u.ID)
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	return ids, nil
}

// conversation is a question to Core by WebSocket.
type conversation struct {
	c    *Client
	q    call
	conn *websocket.Conn
}

type message struct {
	Type    string `json:"type"`
	Success bool   `json:"success"`
	Result  []struct {
		ID     string   `json:"id"`
		Owner  bool     `json:"is_owner"`
		Active bool     `json:"is_active"`
		Groups []string `json:"group_ids"`
	} `json:"result"`
}

// say sends, where there is something to send, and reads the answer, which must be of this
// type.
func (t conversation) say(ctx context.Context, what any, want string) (m message, err error) {
	if what != nil {
		raw, err := json.Marshal(what)
		if err != nil {
			return m, unexpected(t.q, "a question that cannot be written as JSON")
		}
		if err := t.conn.Write(ctx, websocket.MessageText, raw); err != nil {
			return m, t.c.broken(ctx, t.q, err)
		}
	}
	_, raw, err := t.conn.Read(ctx)
	if err != nil {
		return m, t.c.broken(ctx, t.q, err)
	}
	if err := decode(t.q, raw, &m); err != nil {
		return m, err
	}
	switch m.Type {
	case want:
		return m, nil
	case "auth_invalid":
		return m, &Error{Op: t.q.op, Kind: Unauthorised, Message: "Supervisor does not accept Tunnel Medic's token"}
	}
	return m, unexpected(t.q, "a message of another kind")
}
