package tunnel

import (
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

const (
	// lostWindow is how far back connections that broke count.
	lostWindow = 10 * time.Minute
	// tellingLines is how many telling lines are kept, and how long each may be.
	tellingLines = 8
	tellingBytes = 200
)

// ReadLog reads the telling lines of the connector's log: messages are matched, not
// levels, and only those of the last run count (FACTS §3). now is the present;
// failed dialling counts from since on, the moment from which on the internet is
// known to work, the zero time for all of the run. The text must have been scrubbed.
func ReadLog(text string, now, since time.Time) evidence.Log {
	l := evidence.Log{Asked: true}
	lost := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at, dated := lineTime(line)
		// The log's times are whole seconds.
		early := dated && !since.IsZero() && at.Add(time.Second).Before(since)
		old := dated && now.Sub(at) > lostWindow
		telling := true
		switch has := func(s string) bool { return strings.Contains(line, s) }; {
		case has("Initial protocol "):
			l = evidence.Log{Asked: true, Telling: l.Telling}
			clear(lost)
			l.Initial = transportNamed(line, "Initial protocol ")
		case has("Registered tunnel connection"):
			l.Registered++
			l.QUICFailed, l.HTTP2Failed, l.Rejected = 0, 0, 0
			telling = false
		case has("Switching to fallback protocol"):
			l.FellBack = true
		case has("Unauthorized: ") || has("Provided Tunnel token is not valid") || has("Tunnel credentials file") && has("doesn't exist"):
			l.Rejected++
		case has("Failed to dial a quic connection") || has("failed to dial to edge with quic"):
			if !early {
				l.QUICFailed++
			}
		case has("failed to accept QUIC stream"):
			if !old {
				lost[field(line, "connIndex=")]++
			}
		case has("Unable to establish connection with Cloudflare edge") || has("DialContext error") || has("TLS handshake with edge error"):
			if !early {
				l.HTTP2Failed++
			}
		case has("no Host in request URL"):
			l.NoHost++
		case has("server gave HTTP response to HTTPS client") || has("malformed HTTP response") || has("first record does not look like a TLS handshake"):
			l.OriginTLS++
		default:
			telling = false
		}
		if telling {
			l.Telling = append(l.Telling, shortLine(line))
			l.Telling = l.Telling[max(0, len(l.Telling)-tellingLines):]
		}
	}
	// One loss of the tunnel breaks up to four connections, each with a line.
	for _, n := range lost {
		l.Lost = max(l.Lost, n)
	}
	return l
}

// lineTime reads the time that cloudflared begins its lines with.
func lineTime(line string) (time.Time, bool) {
	stamp, _, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339, stamp)
	return at, err == nil
}

// field gives the word behind a key, "" if there is none.
func field(line, key string) string {
	_, rest, _ := strings.Cut(line, key)
	word, _, _ := strings.Cut(rest, " ")
	return word
}

func transportNamed(line, after string) evidence.Transport {
	switch field(line, after) {
	case "quic":
		return evidence.OverQUIC
	case "http2":
		return evidence.OverHTTP2
	}
	return evidence.NoTransport
}

func shortLine(s string) string {
	if len(s) > tellingBytes {
		s = s[:tellingBytes]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
