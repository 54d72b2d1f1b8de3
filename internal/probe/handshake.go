package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"tunnelmedic/internal/evidence"
)

// closePatience is how long a server may take to answer our goodbye.
const closePatience = time.Second

// Messages of Home Assistant's WebSocket API, by type
// (developers.home-assistant.io/docs/api/websocket).
const (
	authRequired = "auth_required"
	authOK       = "auth_ok"
	authInvalid  = "auth_invalid"
)

// Handshake opens Home Assistant's WebSocket as a browser would: the handshake,
// the greeting, the sign-in where the target has a token, and an orderly end.
// With a DirectTarget it is the same question past the tunnel.
func Handshake(ctx context.Context, t Target) evidence.Look {
	return look(ctx, t, "/api/websocket", func(ctx context.Context, v *visit) error {
		conn, _, err := websocket.Dial(ctx, t.address("/api/websocket"), &websocket.DialOptions{
			HTTPClient:      v.client(),
			HTTPHeader:      v.target.header(),
			CompressionMode: websocket.CompressionDisabled,
		})
		if v.answered {
			return nil // a refusal is an answer, no trouble
		}
		if err != nil {
			return bare(err)
		}
		err = v.converse(ctx, conn)
		v.done()
		v.leave(ctx, conn)
		return err
	})
}

// message is what the looks read of Home Assistant's messages.
type message struct {
	Type      string `json:"type"`
	HAVersion string `json:"ha_version"`
	Message   string `json:"message"` // of auth_invalid: why
}

// converse waits for the greeting and signs in.
func (v *visit) converse(ctx context.Context, conn *websocket.Conn) error {
	greeting, err := read(ctx, conn)
	if err != nil {
		return err
	}
	if greeting.Type != authRequired {
		return fmt.Errorf("%w: the first message is no %s", errGarbled, authRequired)
	}
	v.look.Stage, v.look.HAVersion = evidence.Greeted, cut(v.line(greeting.HAVersion), 40)
	if v.target.Token == nil || v.target.direct {
		return nil
	}
	if v.look.CFRay() == "" { // who this is, only Cloudflare could vouch for
		v.look.SignIn = evidence.TokenKept
		return nil
	}
	return v.signIn(ctx, conn)
}

// signIn sends the token, if it may be sent.
func (v *visit) signIn(ctx context.Context, conn *websocket.Conn) error {
	token := v.target.Token
	allowed, err := token.take(ctx)
	if err != nil {
		// Others held the turn until our time was up: no fault of the way here.
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	}
	if !allowed {
		v.look.SignIn = evidence.TokenWithheld
		return nil
	}
	var answer message
	defer func() { token.put(answer.Type) }()
	auth, err := json.Marshal(map[string]string{"type": "auth", "access_token": token.value})
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, auth); err != nil {
		return err
	}
	if answer, err = read(ctx, conn); err != nil {
		return err
	}
	switch answer.Type {
	case authOK:
		v.look.Stage, v.look.SignIn = evidence.SignedIn, evidence.TokenAccepted
	case authInvalid:
		v.look.SignIn, v.look.Detail = evidence.TokenRefused, v.line(answer.Message)
	default:
		return fmt.Errorf("%w: the answer to the sign-in is neither %s nor %s", errGarbled, authOK, authInvalid)
	}
	return nil
}

func read(ctx context.Context, conn *websocket.Conn) (m message, err error) {
	_, data, err := conn.Read(ctx)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return message{}, fmt.Errorf("%w: the message is not JSON", errGarbled)
	}
	return m, nil
}

// leave says goodbye. Without it Home Assistant and the tunnel would hold the
// socket until a time-out of theirs; a server that does not answer is not waited for.
func (v *visit) leave(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	// Its error says only that the goodbye was not answered; the look is over.
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

var _ http.RoundTripper = (*visit)(nil)
