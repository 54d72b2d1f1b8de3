package tunnel

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"tunnelmedic/internal/evidence"
)

const (
	// oneMoment is how far apart lines of one break may bear their whole seconds.
	oneMoment = 2 * time.Second
	// tellingLines is how many telling lines are kept, and how long each may be.
	tellingLines = 8
	tellingBytes = 200
)

// read reads the log as what happened, oldest first. One break of one connection is
// one event, however many lines tell of it and whatever their words. The text must
// have been scrubbed.
func read(text string) *reading {
	r := &reading{last: map[int]int{}}
	for line := range strings.Lines(text) {
		r.take(parse(line))
	}
	return r
}

// reading is the log being read.
type reading struct {
	events  []Event
	last    map[int]int // of each connection, where its last event that nothing followed stands in events
	leaving bool        // an orderly stop is under way: what breaks now, is meant to
	over    evidence.Transport
	writes  bool // cloudflared does, at some level
	informs bool // and at level info
}

func (r *reading) take(e entry) {
	if !e.app && e.level != plain {
		r.writes, r.informs = true, r.informs || e.level == info
	}
	s := classify(e)
	//exhaustive:ignore
	switch s.kind {
	case Nothing:
		r.noteMissingName(e)
		return
	case Failed:
		if r.leaving {
			return
		}
	case Broke, DialFailed, Refused:
		s.over = cmp.Or(s.over, r.over)
		if r.orderly(e) || r.merged(e, s) {
			return
		}
		r.last[e.conn] = len(r.events)
	default:
		s.over = r.follow(e, s)
	}
	r.events = append(r.events, Event{Kind: s.kind, Conn: e.conn, At: e.at, Transport: s.over, Reason: s.reason, Start: s.start, Line: shortLine(e.text)})
}

// follow keeps what the run has come to, and gives the transport that a line is about.
func (r *reading) follow(e entry, s sign) evidence.Transport {
	//exhaustive:ignore
	switch s.kind {
	case Began:
		clear(r.last)
		r.leaving, r.over = false, transportNamed(strings.ToLower(e.message), "initial protocol ")
		r.informs = r.informs || r.over != evidence.NoTransport
		return r.over
	case Attempted:
		delete(r.last, e.conn)
	case Registered:
		delete(r.last, e.conn)
		return cmp.Or(transportNamed(e.fields, "protocol="), r.over)
	case FellBack:
		r.over = evidence.OverHTTP2
	case Stopped:
		r.leaving = true
	}
	return s.over
}

// orderly says whether a connection ended because the program was told to stop.
func (r *reading) orderly(e entry) bool {
	return r.leaving || terminated(e.message) && e.err == "" && e.level != plain
}

// merged adds a line to the event of its connection that it is part of, if there is
// one: of the same moment, with no new attempt in between. "Connection terminated"
// comes only after the wait that follows the event, which may be a minute.
func (r *reading) merged(e entry, s sign) bool {
	i, ok := r.last[e.conn]
	if !ok {
		return false
	}
	event := &r.events[i]
	moment := oneMoment
	if s.kind == DialFailed && event.Kind == DialFailed {
		moment = 0 // of a dial that fails there is one line, and the next may be a second later
	}
	switch repeats := terminated(e.message) && !terminated(event.Line); {
	case repeats:
	case (s.kind == DialFailed) != (event.Kind == DialFailed): // a dial is another attempt than what broke
		return false
	case s.over != event.Transport && s.over != evidence.NoTransport && event.Transport != evidence.NoTransport:
		return false
	case !e.at.IsZero() && !event.At.IsZero() && e.at.Sub(event.At).Abs() > moment:
		return false
	}
	if s.kind == Refused { // it says more than that the connection is gone
		event.Kind, event.Reason = s.kind, s.reason
	}
	event.Transport = cmp.Or(event.Transport, s.over)
	return true
}

// terminated says whether this is the line of supervisor.Supervisor.Run, which repeats
// what the connection's own line said.
func terminated(s string) bool { return strings.Contains(strings.ToLower(s), "connection terminated") }

// noteMissingName notes that the start script found no name of the tunnel at Cloudflare: then
// it is not that the names differ, but that the list of tunnels could not be had.
func (r *reading) noteMissingName(e entry) {
	_, name, ok := strings.Cut(strings.ToLower(e.message), "credentials file tunnel name:")
	if !ok || len(r.events) == 0 || strings.TrimSpace(name) != "" {
		return
	}
	if last := &r.events[len(r.events)-1]; last.Start == evidence.StartTunnelName {
		last.Start = evidence.StartAPIAway
	}
}

// ReadLog reads what the app's log amounts to, as far as it is of the last run. now is
// the present; failed dialling counts from since on, the moment from which on the
// internet is known to work, the zero time for all of the run. The text must have been
// scrubbed.
func ReadLog(text string, now, since time.Time) evidence.Log {
	t := tally{now: now, since: since, lost: map[int]int{}, lostOver: map[int]evidence.Transport{}}
	r := read(text)
	t.Asked, t.Terse = true, !r.informs
	if last := r.lastWord(); r.informs && !last.IsZero() && last.Before(now) {
		t.now = last
	}
	for _, e := range r.events {
		t.add(e)
	}
	// One loss of the tunnel breaks up to four connections.
	for conn, n := range t.lost {
		if n > t.Lost {
			t.Lost, t.LostOver = n, t.lostOver[conn]
		}
	}
	return t.Log
}

// lastWord is when the log ends in trouble: the time of its last line, unless a
// connection has come to stand since. What is lost then is lost still, and "of late" is
// before that: a clock may have jumped, or cloudflared fallen silent.
func (r *reading) lastWord() (last time.Time) {
	for _, e := range r.events {
		//exhaustive:ignore
		switch e.Kind {
		case Began, Registered, Stopped:
			last = time.Time{}
		case Broke, DialFailed:
			last = e.At
		}
	}
	return last
}

type tally struct {
	evidence.Log
	now, since time.Time   // now is what "of late" is before
	lost       map[int]int // breaks of late, by connection
	lostOver   map[int]evidence.Transport
}

func (t *tally) add(e Event) {
	//exhaustive:ignore
	switch e.Kind {
	case Began:
		t.Log = evidence.Log{Asked: true, Terse: t.Terse, Telling: t.Telling}
		clear(t.lost)
	case Registered:
		t.onRegistered()
		return
	case LoggedIn:
		t.LoginWanted = false
		return
	case Attempted, Stopped:
		return
	case FellBack:
		t.FellBack = true
	case Broke:
		t.Failures++
		if !t.old(e) {
			t.lost[e.Conn]++
			t.lostOver[e.Conn] = e.Transport
		}
	case DialFailed:
		t.Failures++
		t.dial(e)
	case Refused:
		t.Failures++
		t.Rejected++
	case OriginFailed:
		t.origin(e)
	case LoginWanted:
		t.Failures++
		t.LoginWanted = true
	case StartFailed:
		t.Failures++
		t.start(e.Start)
	case Failed:
		t.Failures++
		t.Unknown++
		t.LastError = e.Line
	}
	t.Telling = append(t.Telling, e.Line)
	t.Telling = t.Telling[max(0, len(t.Telling)-tellingLines):]
}

// onRegistered is a connection that came to stand: what failed before is past.
func (t *tally) onRegistered() {
	t.Registered++
	t.Rejected, t.QUICFailed, t.HTTP2Failed, t.Unroutable, t.Untrusted, t.Unspoken, t.Unresolved, t.Failures = 0, 0, 0, 0, 0, 0, 0, 0
	t.StartFailed, t.LoginWanted = evidence.StartClean, false
}

// old says whether an event is not of late.
func (t *tally) old(e Event) bool { return !e.At.IsZero() && t.now.Sub(e.At) > evidence.OfLate }

func (t *tally) dial(e Event) {
	early := !e.At.IsZero() && !t.since.IsZero() && e.At.Add(time.Second).Before(t.since) // the log's times are whole seconds
	// Without the line of a connection that stood, what failed hours ago would count for ever.
	if early || t.Terse && t.old(e) {
		return
	}
	switch e.Reason {
	case Unroutable:
		t.Unroutable++
	case Untrusted:
		t.Untrusted++
	case Unspoken:
		t.Unspoken++
	case Unresolved:
		t.Unresolved++
	default:
		if e.Transport == evidence.OverHTTP2 {
			t.HTTP2Failed++
		} else {
			t.QUICFailed++
		}
	}
}

func (t *tally) origin(e Event) {
	if t.old(e) {
		return
	}
	//exhaustive:ignore
	switch e.Reason {
	case NoHost:
		t.NoHost++
	case OriginTLS:
		t.OriginTLS++
	case OriginOff:
		t.OriginOff++
	}
}

// start keeps why a start failed: the first reason that is more than "something".
func (t *tally) start(why evidence.StartFailure) {
	if known := t.StartFailed; known == evidence.StartClean || known == evidence.StartOther || why == evidence.StartAuthentication {
		t.StartFailed = why
	}
}

func transportNamed(text, after string) evidence.Transport {
	_, rest, _ := strings.Cut(text, after)
	switch word, _, _ := strings.Cut(strings.TrimSpace(rest), " "); word {
	case "quic":
		return evidence.OverQUIC
	case "http2":
		return evidence.OverHTTP2
	}
	return evidence.NoTransport
}

// links are cut to their host: the app prints login links, which are secrets, and
// cloudflared what strangers asked for.
var links = pattern(`https?://[^\s"'<>]+`)

func shortLine(s string) string {
	s = links().ReplaceAllStringFunc(s, func(link string) string {
		u, err := url.Parse(link)
		if err != nil || u.Host == "" {
			return "(link)"
		}
		return u.Scheme + "://" + u.Host + "/…"
	})
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
