package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/coder/websocket"
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
	c    *Client
	q    call
	conn *websocket.Conn
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

// converse opens Core's WebSocket by Supervisor's proxy, and signs in with the app's token.
func (c *Client) converse(ctx context.Context, q call) (*conversation, error) {
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.http.BaseURL, "http")+"/core/websocket", &websocket.DialOptions{HTTPClient: c.http.GetClient()})
	if err != nil {
		if res != nil && res.StatusCode >= 400 {
			return nil, c.refused(q, res.StatusCode, nil)
		}
		return nil, c.broken(ctx, q, err)
	}
	conn.SetReadLimit(socketLimit)
	talk := &conversation{c, q, conn}
	if _, err = talk.say(ctx, nil, "auth_required"); err == nil {
		_, err = talk.say(ctx, map[string]string{"type": "auth", "access_token": c.http.Token}, "auth_ok")
	}
	if err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return talk, nil
}

// askCore asks one question that Core answers by WebSocket alone.
func (c *Client) askCore(ctx context.Context, q call, command string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, c.scaled(socketWait))
	defer cancel()
	talk, err := c.converse(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = talk.conn.CloseNow() }()
	m, err := talk.say(ctx, map[string]any{"id": 1, "type": command}, "result")
	if err != nil {
		return err
	}
	if !m.Success {
		return unexpected(q, "a refusal")
	}
	if err := decode(q, m.Result, result); err != nil {
		return err
	}
	_ = talk.conn.Close(websocket.StatusNormalClosure, "")
	return nil
}

// Listen hands on the data of each event of one kind that is fired on Core's bus, until the context ends or the
// connection does, which it then says why. up is called once it hears.
func (c *Client) Listen(ctx context.Context, event string, up func(), heard func(data json.RawMessage)) error {
	q := call{op: "listening to Home Assistant's events", core: true}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	talk, err := c.subscribe(ctx, q, event)
	if err != nil {
		return err
	}
	defer func() { _ = talk.conn.CloseNow() }()
	up()
	go talk.beat(ctx, cancel)
	for {
		_, raw, err := talk.conn.Read(ctx)
		if err != nil {
			return c.broken(context.WithoutCancel(ctx), q, err)
		}
		messages, err := several(raw)
		if err != nil {
			return unexpected(q, "a message that is no JSON")
		}
		for _, m := range messages {
			if m.Type == "event" {
				heard(m.Event.Data)
			}
		}
	}
}

func (c *Client) subscribe(ctx context.Context, q call, event string) (*conversation, error) {
	ctx, cancel := context.WithTimeout(ctx, c.scaled(socketWait))
	defer cancel()
	talk, err := c.converse(ctx, q)
	if err != nil {
		return nil, err
	}
	m, err := talk.say(ctx, map[string]any{"id": 1, "type": "subscribe_events", "event_type": event}, "result")
	if err == nil && !m.Success {
		err = unexpected(q, "a refusal")
	}
	if err != nil {
		_ = talk.conn.CloseNow()
		return nil, err
	}
	return talk, nil
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
	tick := time.NewTicker(t.c.scaled(socketBeat))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ponged, cancel := context.WithTimeout(ctx, t.c.scaled(socketWait))
		err := t.conn.Ping(ponged)
		cancel()
		if err != nil {
			end()
			return
		}
	}
}

// say sends, where there is something to send, and reads the answer, which must be of this type.
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
