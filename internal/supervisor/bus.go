package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// How long Core's WebSocket may take to answer, how large a message may be (a home with a thousand devices
// lists them in half a MiB), and how often a connection that says nothing is asked whether it still stands:
// one that died without a word would be listened to for ever.
const (
	socketWait  = 5 * time.Second
	socketLimit = 4 << 20
	socketBeat  = 30 * time.Second
)

// conversation is a connection to Core's WebSocket, signed in.
type conversation struct {
	*websocket.Conn
	line *line
	q    call
}

// message is one of Core's (its websocket_api/messages.py).
type message struct {
	Type    string          `json:"type"`
	Success bool            `json:"success"`
	Result  json.RawMessage `json:"result"`
	Event   struct {
		Data json.RawMessage `json:"data"`
	} `json:"event"`
}

// converse opens Core's WebSocket by Supervisor's proxy, signs in with the app's token, and gives one command
// and what it results in.
func (c *Core) converse(ctx context.Context, q call, command map[string]any) (*conversation, json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.line.scaled(socketWait))
	defer cancel()
	q.path = []string{"core", "websocket"}
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.line.http.BaseURL, "http")+"/core/websocket", &websocket.DialOptions{HTTPClient: c.line.http.GetClient()})
	switch {
	case err != nil && res != nil && res.StatusCode >= 400:
		return nil, nil, c.line.refused(q, res.StatusCode, nil)
	case err != nil:
		return nil, nil, c.line.broken(ctx, q, err)
	}
	conn.SetReadLimit(socketLimit)
	talk := &conversation{conn, c.line, q}
	command["id"] = 1
	var m message
	for _, turn := range []struct {
		say    any
		answer string
	}{{nil, "auth_required"}, {map[string]string{"type": "auth", "access_token": c.line.http.Token}, "auth_ok"}, {command, "result"}} {
		if m, err = talk.say(ctx, turn.say, turn.answer); err != nil {
			_ = conn.CloseNow()
			return nil, nil, err
		}
	}
	if !m.Success {
		_ = conn.CloseNow()
		return nil, nil, unexpected(q, "a refusal")
	}
	return talk, m.Result, nil
}

// askCore asks one question that Core answers by WebSocket alone.
func askCore[T any](ctx context.Context, c *Core, op, command string) (answer T, err error) {
	talk, result, err := c.converse(ctx, call{op: op}, map[string]any{"type": command})
	if err != nil {
		return answer, err
	}
	_ = talk.Close(websocket.StatusNormalClosure, "")
	return answer, decode(talk.q, result, &answer)
}

// Listen hands on the data of each event of one kind that is fired on Core's bus, until the context ends or the
// connection does, which it then says why. up is called once it hears.
func (c *Core) Listen(ctx context.Context, event string, up func(), heard func(data json.RawMessage)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	talk, _, err := c.converse(ctx, call{op: "listening to Home Assistant's events"}, map[string]any{"type": "subscribe_events", "event_type": event})
	if err != nil {
		return err
	}
	defer func() { _ = talk.CloseNow() }()
	up()
	go talk.beat(ctx, cancel)
	for {
		_, raw, err := talk.Read(ctx)
		if err != nil {
			return c.line.broken(context.WithoutCancel(ctx), talk.q, err)
		}
		messages, err := several(raw)
		if err != nil {
			return unexpected(talk.q, "a message that is no JSON")
		}
		for _, m := range messages {
			if m.Type == "event" {
				heard(m.Event.Data)
			}
		}
	}
}

// several reads a message, or many in a list, as Core sends them when it has much to say.
func several(raw []byte) (list []message, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		err = json.Unmarshal(raw, &list)
		return list, err
	}
	var one message
	err = json.Unmarshal(raw, &one)
	return []message{one}, err
}

// beat ends a connection at whose other end nobody is any more.
func (t *conversation) beat(ctx context.Context, end context.CancelFunc) {
	tick := time.NewTicker(t.line.scaled(socketBeat))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ponged, cancel := context.WithTimeout(ctx, t.line.scaled(socketWait))
		err := t.Ping(ponged)
		cancel()
		if err != nil {
			end()
			return
		}
	}
}

// say sends, where there is something to send, and reads the answer, which must be of this type.
func (t *conversation) say(ctx context.Context, what any, want string) (m message, err error) {
	if what != nil {
		if err := wsjson.Write(ctx, t.Conn, what); err != nil {
			return m, t.line.broken(ctx, t.q, err)
		}
	}
	_, raw, err := t.Read(ctx)
	if err != nil {
		return m, t.line.broken(ctx, t.q, err)
	}
	if err := decode(t.q, raw, &m); err != nil {
		return m, err
	}
	switch m.Type {
	case want:
		return m, nil
	case "auth_invalid":
		return m, &Error{Op: t.q.op, Kind: Unauthorised, Message: notAccepted}
	}
	return m, unexpected(t.q, "a message of another kind")
}
