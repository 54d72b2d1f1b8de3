package survey

import (
	"regexp"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

// coreLogWindow is how far back the log is read: what is older is of another trouble.
const coreLogWindow = 30 * time.Minute

var (
	// A line of Home Assistant's log (homeassistant/bootstrap.py; 2026.11 puts the time's
	// offset behind it, util/logging.py).
	coreLine = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?([+-]\d\d:?\d\d)? [A-Z]+ \([^)]*\) \[([A-Za-z0-9_.]+)\] (.*)$`)
	colour   = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// forwardedTexts are the beginnings of what forwarded.py logs, those of older years too.
var forwardedTexts = []struct {
	begins string
	reason evidence.ForwardedReason
}{
	{"A request from a reverse proxy was received from", evidence.ForwardedUnset},
	{"Received X-Forwarded-For header from an untrusted proxy", evidence.ForwardedDistrust},
	{"Received X-Forwarded-For header from untrusted proxy", evidence.ForwardedDistrust},
	{"Invalid IP address in X-Forwarded-For", evidence.ForwardedAddress},
	{"Empty item received in X-Forward", evidence.ForwardedNoProto},
	{"Incorrect number of elements in X-Forward", evidence.ForwardedProtos},
	{"Empty value received in X-Forward", evidence.ForwardedNoHost},
	{"Too many headers for X-Forward", evidence.ForwardedTwice},
}

// closedInSignIn is what websocket_api/http.py says of a client that goes before it has
// signed in, behind the user agent in parentheses: a warning until 2026, since 2026.11
// another text, at debug alone.
var closedInSignIn = regexp.MustCompile(`^(.*)\): Disconnected(?: during auth phase)?: Received close message during auth phase$`)

// ReadCoreLog reads what Home Assistant's own log says of the last half hour. Times
// without an offset are in the home's time zone; home nil is this machine's. Of what it
// reads only counts are kept.
func ReadCoreLog(text string, now time.Time, home *time.Location) evidence.CoreLog {
	l := evidence.CoreLog{Asked: true}
	if home == nil {
		home = time.Local
	}
	for line := range strings.Lines(text) {
		m := coreLine.FindStringSubmatch(colour.ReplaceAllString(strings.TrimRight(line, "\r\n"), ""))
		if m == nil {
			continue
		}
		at, err := time.ParseInLocation(time.DateTime, m[1], home)
		if m[2] != "" {
			at, err = time.Parse(time.DateTime+"-0700", m[1]+strings.Replace(m[2], ":", "", 1))
		}
		if age := now.Sub(at); err == nil && age <= coreLogWindow && age >= -coreLogWindow {
			count(&l, m[3], m[4])
		}
	}
	return l
}

// count takes what a logger said into the counts.
func count(l *evidence.CoreLog, logger, said string) {
	switch {
	case logger == "homeassistant.components.http.forwarded":
		for _, f := range forwardedTexts {
			if strings.HasPrefix(said, f.begins) {
				l.Forwarded, l.Refused = f.reason, l.Refused+1
			}
		}
	case logger == "homeassistant.components.http.ban" && strings.HasPrefix(said, "Banned IP "):
		l.Bans++
	case strings.HasPrefix(logger, "homeassistant.components.websocket_api.http.connection"):
		closed := closedInSignIn.FindStringSubmatch(said)
		if closed == nil {
			return
		}
		_, agent, named := strings.Cut(closed[1], " (")
		if named && (agent == "tunnelmedic" || strings.HasPrefix(agent, "tunnelmedic/")) {
			l.Ours++
		} else {
			l.Closed[clientOf(agent)]++
		}
	}
}

// clientOf tells kinds of clients apart by what their user agents have in common. Every
// browser claims to be several others, so the order matters.
func clientOf(agent string) evidence.Client {
	for _, c := range []struct {
		mark   string
		client evidence.Client
	}{
		{"Home Assistant/", evidence.CompanionApp}, {"Firefox/", evidence.Firefox}, {"Chrome/", evidence.Chromium}, {"Chromium/", evidence.Chromium}, {"Safari/", evidence.Safari},
	} {
		if strings.Contains(agent, c.mark) {
			return c.client
		}
	}
	return evidence.OtherClient
}
