package lab

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

func (c *Core) users() []User {
	if c.w.opt.Users != nil {
		return c.w.opt.Users
	}
	return []User{
		{ID: OwnerID, Name: "Owner", Owner: true, Active: true, Groups: []string{"system-admin"}},
		{ID: ChildID, Name: "Child", Active: true, Groups: []string{"system-users"}},
	}
}

// serveProxied is Core's WebSocket through Supervisor's proxy (api/proxy.py): it
// wants the app's token, and keeps the commands of Home Assistant's own frontend back.
func (c *Core) serveProxied(rw http.ResponseWriter, req *http.Request) {
	if f := c.w.Faults(); f.CoreDown || f.CoreStarting {
		plain(rw, http.StatusBadGateway)
		return
	}
	ws, err := websocket.Accept(rw, req, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	say := func(message map[string]any) bool {
		raw, _ := json.Marshal(message) // users, strings and booleans always marshal
		return ws.Write(c.w.ctx, websocket.MessageText, raw) == nil
	}
	var m struct {
		Type  string `json:"type"`
		Token string `json:"access_token"`
		ID    int    `json:"id"`
	}
	hear := func() bool {
		ctx, cancel := context.WithTimeout(c.w.ctx, 10*time.Second)
		defer cancel()
		_, raw, err := ws.Read(ctx)
		return err == nil && json.Unmarshal(raw, &m) == nil
	}
	if !say(map[string]any{"type": "auth_required", "ha_version": c.w.opt.HAVersion}) || !hear() {
		return
	}
	if m.Token != SupervisorToken {
		say(map[string]any{"type": "auth_invalid", "message": "Invalid access"})
		return
	}
	for ok := say(map[string]any{"type": "auth_ok", "ha_version": c.w.opt.HAVersion}); ok && hear(); {
		answer := map[string]any{"id": m.ID, "type": "result", "success": false}
		switch {
		case m.Type == "config/auth/list":
			answer["success"], answer["result"] = true, c.users()
		case strings.HasPrefix(m.Type, "supervisor/"), strings.HasPrefix(m.Type, "hassio/"):
			answer["error"] = map[string]string{"code": "unauthorized", "message": "Unauthorized"}
		default:
			answer["error"] = map[string]string{"code": "unknown_command", "message": "Unknown command."}
		}
		ok = say(answer)
	}
}
