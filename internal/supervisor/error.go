package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"tunnelmedic/internal/plain"
)

// Kind is what an [Error] means for whoever made the call.
type Kind uint8

const (
	Failed       Kind = iota // Supervisor tried and could not (500), or anything not named below
	Away                     // no connection, no answer in time, cut off, 502, or Supervisor itself is starting
	CoreAway                 // Supervisor answers, Home Assistant Core behind its proxy does not: down or starting
	Busy                     // an update, backup, restore or another restart holds the add-on: wait, it is no failure
	NoRole                   // this add-on may not do that (403), or the answer was redacted for lack of a role
	Unauthorised             // the token is not accepted (403, or 401 below /core/)
	NotFound                 // no such add-on, service, entity or path
	Rejected                 // what was sent is not accepted (400), such as options that do not fit the schema
	Unexpected               // an answer came that is not this API's: HTML, broken JSON, a redirect, too large
	Interrupted              // the caller's context was cancelled: it says nothing about Supervisor
)

// kinds are their names, and what a person does about each.
var kinds = [...]struct{ name, advice string }{
	Failed:       {"failed", "see Supervisor's log under Settings → System → Logs"},
	Away:         {"away", "Supervisor does not answer; wait until it is back"},
	CoreAway:     {"core away", "Home Assistant Core is down or starting; wait until it is back"},
	Busy:         {"busy", "Supervisor is busy with this app; wait, and try again"},
	NoRole:       {"no role", "uninstall Tunnel Medic and install it again, so that Supervisor gives it the permissions it asks for"},
	Unauthorised: {"unauthorised", "restart Tunnel Medic, which gives it a new token; if that does not help, uninstall it and install it again"},
	NotFound:     {"not found", "check that it is installed, and that its name is spelled correctly"},
	Rejected:     {"rejected", "check its configuration"},
	Unexpected:   {"unexpected", "check that no proxy sits between Tunnel Medic and Supervisor"},
	Interrupted:  {name: "interrupted"},
}

func (k Kind) String() string { return kinds[k].name }

// Error is why a call did not succeed. None of its fields holds a secret or an
// option's value.
type Error struct {
	Op      string // what was being done: "restarting 9074a9fa_cloudflared"
	Kind    Kind
	Status  int    // HTTP status, 0 if none came
	Message string // what Supervisor said, or what was seen; one line, scrubbed, at most 300 bytes
	Key     string // Supervisor's error_key, "" if it gave none

	// EffectUnknown says that the call was sent and changes something, and that the
	// answer got lost: look at what is there before doing anything further.
	EffectUnknown bool

	cause error // context.Canceled or context.DeadlineExceeded, nil otherwise
}

// Error gives one line: what was being done, what happened, what to do.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Message
	if e.EffectUnknown {
		s += " (it is not known whether it took effect)"
	}
	if a := kinds[e.Kind].advice; a != "" {
		s += "; " + a
	}
	return s
}

// Unwrap gives context.Canceled or context.DeadlineExceeded where that was why.
func (e *Error) Unwrap() error { return e.cause }

// Is says whether err is an [Error] of this kind.
func Is(err error, k Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == k
}

// EffectUnknown says whether err left it open if a change took effect.
func EffectUnknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.EffectUnknown
}

// messageLimit bounds an error's message, in bytes.
const messageLimit = 300

// refused reads an error answer. Supervisor's are JSON with a message, those of its
// security layer, routing, proxy and log endpoints are plain text; Core's are either.
func (l *line) refused(q call, status int, body []byte) *Error {
	e := &Error{Op: q.op, Status: status}
	var env envelope
	said := ""
	if json.Unmarshal(body, &env) == nil {
		said = env.Message
		if isWord(env.ErrorKey) {
			e.Key = l.safe(env.ErrorKey)
		}
	} else if kindOfText(body) == "plain text" {
		said = string(body)
	}

	plain := beforeValues(said)
	quotes := len(plain) < len(said) || strings.Contains(e.Key, "configuration") || strings.Contains(plain, "invalid options")
	e.Kind = kindOf(q, status, quotes, plain)
	e.EffectUnknown = q.patience.acts && e.Kind == Away && status >= 500
	switch {
	case e.Kind == Rejected && (quotes || q.options):
		e.Message = l.optionsRefused(said)
	case q.options && e.Kind == NotFound:
		e.Message = "there is no such app"
	case strings.TrimSpace(plain) != "":
		e.Message = l.safe(plain)
	default:
		e.Message = fmt.Sprintf("HTTP %d, with no reason given", status)
	}
	return e
}

// beforeValues gives the part of a message that quotes no option values: Supervisor
// ends a refusal of options, at writing and at starting, with all of them: "Got {…}".
func beforeValues(said string) string {
	before, _, _ := strings.Cut(said, "Got ")
	before, _, _ = strings.Cut(before, "{")
	return before
}

// kindOf goes by the status, and by the text only where many things share one:
// 400 is Supervisor's default.
func kindOf(q call, status int, quotesOptions bool, said string) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthorised
	case http.StatusForbidden:
		return NoRole
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return NotFound
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if q.core() {
			return CoreAway
		}
		return Away
	case http.StatusOK, http.StatusBadRequest:
		switch {
		case quotesOptions:
			return Rejected
		case strings.Contains(said, "System is not ready"):
			return Away
		case strings.Contains(said, "Another job is running"),
			strings.Contains(said, "blocked from execution, system is not running"): // it starts, or a full backup has frozen it
			return Busy
		case strings.Contains(said, "Service not enabled"), strings.Contains(said, "does not exist"), strings.Contains(said, "is not installed"):
			return NotFound
		}
		return Rejected
	}
	if status >= 300 && status < 400 {
		return Unexpected
	}
	return Failed
}

// optionName finds the names of options in the part of a refusal that quotes no values.
var optionName = regexp.MustCompile(`(?:[Oo]ption '|\bdata(?:\['options'\])?\[')([A-Za-z][A-Za-z0-9_]{0,63})'`)

// optionsRefused words a refusal of options with the names, and never the values, in it.
func (l *line) optionsRefused(said string) string {
	var names []string
	for _, m := range optionName.FindAllStringSubmatch(beforeValues(said), 5) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		return "its options are not accepted"
	}
	return l.safe("its options are not accepted (see " + strings.Join(names, ", ") + ")")
}

// safe makes a text safe to show: scrubbed, one line, bounded.
func (l *line) safe(s string) string {
	// A secret on the border must be seen whole, so scrub first and cut then.
	s = plain.Sentence(l.keeper.Scrub(s))
	if len(s) > messageLimit {
		s = strings.ToValidUTF8(s[:messageLimit-len("…")], "") + "…"
	}
	return s
}
