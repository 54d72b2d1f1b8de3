package lab

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// SocketFault is what becomes of Core's WebSocket behind Supervisor's proxy.
type SocketFault string

// The kinds of it.
const (
	SocketRefused SocketFault = "refused" // Supervisor does not permit it: auth_invalid
	SocketShut    SocketFault = "shut"    // Supervisor permits it and hangs up, since it does not get through to Core
	SocketDenied  SocketFault = "denied"  // Core permits no subscription
	SocketSlow    SocketFault = "slow"    // each message takes socketSlow
	SocketSilent  SocketFault = "silent"  // signed in, nothing more is ever said, no pong either
)

// How Supervisor's proxy and Core behave: aiohttp pings every half a minute and gives up half of that later
// (heartbeat of APIProxy.websocket in Supervisor's api/proxy.py); both wait ten seconds for the sign-in
// (the same, and websocket_api/http.py); Core cuts off who leaves so many messages unread (websocket_api/const.py).
const (
	socketBeat    = 30 * time.Second
	socketSignIn  = 10 * time.Second
	socketPending = 4096
	socketSlow    = 8 * time.Second
)

// subscription is what one connection to Core's WebSocket hears of the bus.
type subscription struct {
	id   int
	kind string // of events; "" for all
}

// socket is a connection to Core's WebSocket.
type socket struct {
	*Core
	ws   *websocket.Conn
	say  chan map[string]any // what is to be sent
	subs []subscription      // World.mu guards it
}

func (c *Core) users() []User {
	if c.w.opt.Users != nil {
		return c.w.opt.Users
	}
	return []User{
		{ID: OwnerID, Name: "Owner", Owner: true, Active: true, Groups: []string{"system-admin"}},
		{ID: ChildID, Name: "Child", Active: true, Groups: []string{"system-users"}},
	}
}

// publish puts an event on the bus. The caller holds World.mu.
func (c *Core) publish(kind string, data json.RawMessage, user any) {
	now := time.Now()
	c.told.Events = append(c.told.Events, Event{now, kind, data})
	for s := range c.sockets {
		for _, sub := range s.subs {
			if sub.kind != "" && sub.kind != kind {
				continue
			}
			message := map[string]any{"id": sub.id, "type": "event", "event": map[string]any{"event_type": kind, "data": data, "origin": "REMOTE",
				"time_fired": now.UTC().Format("2006-01-02T15:04:05.000000+00:00"), "context": map[string]any{"id": "01JDLABLABLABLABLABLABLABL", "parent_id": nil, "user_id": user}}}
			select {
			case s.say <- message:
			default: // who reads nothing is cut off
				delete(c.sockets, s)
				close(s.say)
			}
		}
	}
	c.w.changed()
}

// serveProxied is Core's WebSocket through Supervisor's proxy (APIProxy.websocket of its api/proxy.py): it wants
// the app's token, and keeps the commands of Home Assistant's own frontend back.
func (c *Core) serveProxied(rw http.ResponseWriter, req *http.Request) {
	f := c.w.Faults()
	if f.CoreDown || f.CoreStarting {
		plain(rw, http.StatusBadGateway)
		return
	}
	if !c.w.enter() {
		return
	}
	defer c.w.wg.Done()
	ws, err := websocket.Accept(rw, req, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithCancel(c.w.ctx)
	defer cancel()
	s := &socket{Core: c, ws: ws, say: make(chan map[string]any, socketPending)}
	if !s.signedIn(ctx) {
		_ = ws.Close(websocket.StatusNormalClosure, "")
		return
	}
	//exhaustive:ignore
	switch f.CoreSocket {
	case SocketShut:
		_ = ws.Close(websocket.StatusNormalClosure, "")
		return
	case SocketSilent:
		<-ctx.Done()
		return
	}
	c.w.mu.Lock()
	c.sockets[s] = struct{}{}
	c.w.wg.Add(2)
	c.w.mu.Unlock()
	defer func() {
		c.w.mu.Lock()
		delete(c.sockets, s)
		c.w.changed()
		c.w.mu.Unlock()
	}()
	go func() { defer c.w.wg.Done(); defer cancel(); s.speak(ctx) }()
	go func() { // Core closes when it stops; of a Supervisor that is gone nobody says good-bye
		defer c.w.wg.Done()
		if c.w.Wait(ctx, func() bool { f := c.w.Faults(); return f.CoreDown || f.CoreStarting || f.SupervisorDown }) == nil && !c.w.Faults().SupervisorDown {
			_ = ws.Close(websocket.StatusNormalClosure, "")
		}
		cancel()
	}()
	s.listen(ctx)
}

// signedIn is the sign-in, which Supervisor sees to itself.
func (s *socket) signedIn(ctx context.Context) bool {
	if !s.send(ctx, map[string]any{"type": "auth_required", "ha_version": *s.version.Load()}) {
		return false
	}
	ctx, late := context.WithTimeout(ctx, socketSignIn)
	defer late()
	_, raw, err := s.ws.Read(ctx)
	var m struct {
		Token string `json:"access_token"`
	}
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return false
	}
	if m.Token != SupervisorToken || s.w.Faults().CoreSocket == SocketRefused {
		s.send(ctx, map[string]any{"type": "auth_invalid", "message": "Invalid access"})
		return false
	}
	return s.send(ctx, map[string]any{"type": "auth_ok", "ha_version": *s.version.Load()})
}

func (s *socket) send(ctx context.Context, message map[string]any) bool {
	if s.w.Faults().CoreSocket == SocketSlow {
		select {
		case <-time.After(socketSlow):
		case <-ctx.Done():
		}
	}
	raw, _ := json.Marshal(message) // users, strings and booleans always marshal
	return s.ws.Write(ctx, websocket.MessageText, raw) == nil
}

// speak sends what is to be said, and pings.
func (s *socket) speak(ctx context.Context) {
	beat := time.NewTicker(socketBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case message, open := <-s.say:
			if !open || s.w.Faults().CoreSocket != SocketSilent && !s.send(ctx, message) {
				return
			}
		case <-beat.C:
			ponged, late := context.WithTimeout(ctx, socketBeat/2)
			err := s.ws.Ping(ponged)
			late()
			if err != nil {
				return
			}
		}
	}
}

// listen answers commands (websocket_api/commands.py).
func (s *socket) listen(ctx context.Context) {
	for {
		_, raw, err := s.ws.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			Type  string `json:"type"`
			Event string `json:"event_type"`
			ID    int    `json:"id"`
		}
		if json.Unmarshal(raw, &m) != nil { // "Received invalid JSON."
			_ = s.ws.Close(websocket.StatusNormalClosure, "")
			return
		}
		s.w.mu.Lock()
		answer := map[string]any{"id": m.ID, "type": "result", "success": false, "error": map[string]string{"code": "unknown_command", "message": "Unknown command."}}
		refuse := func() { answer["error"] = map[string]string{"code": "unauthorized", "message": "Unauthorized"} }
		grant := func(result any) {
			answer["success"], answer["result"] = true, result
			delete(answer, "error")
		}
		switch {
		case strings.HasPrefix(m.Type, "supervisor/"), strings.HasPrefix(m.Type, "hassio/"), m.Type == "subscribe_events" && s.w.faults.CoreSocket == SocketDenied:
			refuse()
		case m.Type == "ping":
			answer = map[string]any{"id": m.ID, "type": "pong"}
		case m.Type == "config/auth/list":
			grant(s.users())
		case m.Type == "config/device_registry/list":
			grant(s.devices())
		case m.Type == "subscribe_events":
			s.subs = append(s.subs, subscription{m.ID, m.Event})
			grant(nil)
		}
		if _, open := s.sockets[s]; open {
			select {
			case s.say <- answer:
			default: // as above
			}
		}
		s.w.changed()
		s.w.mu.Unlock()
	}
}
