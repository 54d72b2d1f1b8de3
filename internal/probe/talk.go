package probe

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"tunnelmedic/internal/evidence"
)

// ErrGarbled marks an answer that is not of the protocol it should be.
var ErrGarbled = errGarbled

// Talk is a look's connection, for whoever speaks a protocol over it that this package
// does not.
type Talk struct{ v *visit }

// Converse makes a look whose question is speak's to put. protocols are offered in TLS.
func Converse(ctx context.Context, t Target, path string, protocols []string, speak func(context.Context, Talk) error) evidence.Look {
	t.protocols = protocols
	return look(ctx, t, path, func(ctx context.Context, v *visit) error { return speak(ctx, Talk{v}) })
}

// Conn is the connection, TLS included.
func (t Talk) Conn() net.Conn { return t.v.conn }

// Look is what was seen so far, and where to note what is seen.
func (t Talk) Look() *evidence.Look { return &t.v.look }

// URL is the target's.
func (t Talk) URL() *url.URL { return t.v.target.URL }

// Header is what every request to the target bears, credentials included.
func (t Talk) Header() http.Header { return t.v.target.header() }

// Keep gives of an answer's headers those that matter, without secrets.
func (t Talk) Keep(h http.Header) map[string]string { return t.v.kept(h) }

// Line makes foreign text one line without secrets.
func (t Talk) Line(s string) string { return t.v.line(s) }

// Text takes the secrets out of foreign text, of which at most so many bytes are kept.
func (t Talk) Text(s string, most int) string { return cut(t.v.scrub(s), most) }

// Answered ends the time that the look took: what follows is only courtesy.
func (t Talk) Answered() { t.v.done() }
