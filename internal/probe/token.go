package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"tunnelmedic/internal/secret"
)

// maxUnanswered is how often a token that was never accepted may be sent without
// an answer: whoever lost the answer may have lost a refusal.
const maxUnanswered = 2

// Token is a Home Assistant long-lived token, shared by all looks that sign in.
// Home Assistant can ban an address that sends a wrong one, so once refused it is
// never sent again, and only one look at a time may send it. It may be used by
// several goroutines, and it prints without its value.
type Token struct {
	value   string
	refused atomic.Bool

	turn       chan struct{} // holds one element while a look signs in; it guards those below
	accepted   bool          // at least once
	unanswered int           // sent since then without an answer
}

// NewToken takes a token's value; refusedBefore is what the journal remembers of
// it (see Fingerprint). It gives nil, which is no token, for an empty value.
func NewToken(value string, refusedBefore bool) *Token {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	t := &Token{value: value, turn: make(chan struct{}, 1)}
	t.refused.Store(refusedBefore)
	return t
}

// Refused says whether Home Assistant has refused the token, now or before.
func (t *Token) Refused() bool { return t != nil && t.refused.Load() }

// Fingerprint names the token without telling it, so that a refusal can be
// remembered over a restart and forgotten when the user gives another token.
func (t *Token) Fingerprint() string {
	if t == nil {
		return ""
	}
	sum := sha256.Sum256([]byte("tunnelmedic long-lived token\x00" + t.value))
	return hex.EncodeToString(sum[:8])
}

// String says only whether there is one.
func (t *Token) String() string {
	if t == nil {
		return "no token"
	}
	return "token " + secret.Mark
}

// GoString is String, so that no verb prints the value.
func (t *Token) GoString() string { return t.String() }

// take waits for the turn to send the token. It gives false when the token must
// not be sent, and then there is nothing to put back.
func (t *Token) take(ctx context.Context) (bool, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if t.Refused() || !t.accepted && t.unanswered >= maxUnanswered {
		<-t.turn
		return false, nil
	}
	t.unanswered++
	return true, nil
}

// put ends the turn with Home Assistant's answer, "" if none came.
func (t *Token) put(answer string) {
	switch answer {
	case authOK:
		t.accepted, t.unanswered = true, 0
	case authInvalid:
		t.refused.Store(true)
	}
	<-t.turn
}
