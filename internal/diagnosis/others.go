package diagnosis

import (
	"time"

	"tunnelmedic/internal/evidence"
)

// The witnesses' window and measure, in intervals between probes. With two minutes
// between probes: twenty within half an hour, in at least five readings that
// lie ten minutes apart or more, and no failed probe. Home Assistant's frontend
// tries again every few seconds, so one person who cannot get in makes that many
// within minutes, and a browser that cannot sign in every minute; a scanner that passes by
// does not go on for ten, and somebody who looks at the app now and then makes a few.
const (
	window      = 15
	spread      = 5
	least       = 20
	readings    = 5
	goods       = 3
	leastLogged = 3 // where Home Assistant's log says that browsers closed their sockets
	leastEnded  = 3 // within spread intervals: then the log is worth reading
)

// Others is what is seen of other people while our own checks succeed: two witnesses beside
// the probe, by the connector's counters. It only ever leads to advice, and bears on nothing
// but the words: the policy decides by the probe's own sign. The zero value has seen nothing;
// it is kept by whoever makes the readings, and prunes itself.
//
// The one counts answers with HTTP 400, of which a failed handshake makes one and a good one
// never does. Anybody on the internet can raise them with any wrong request, and which path
// was asked for it does not tell.
//
// The other counts WebSockets that end soon. A browser that closes during the sign-in leaves
// nothing else that can be counted: the upgrade succeeds, so no 400 rises, and newer Home
// Assistants do not log it. cloudflared counts every request that it carries, those that are
// open now, the answers by status but never a 101, and the requests that it could not pass
// on. What is left of the first without the others are WebSockets that have ended. Of those
// that ended between two readings, as many as were open at the earlier one may be old; the
// others lived for less than the time between. In a home where nobody is connected, as where
// everybody's sign-in fails, that is exact; else it is too low.
type Others struct {
	last *evidence.Counters
	own  uint64 // our probes' sockets since the last reading

	refused rises
	ended   rises // WebSockets
	brief   rises // of these, within seconds
	good    rises // probes that succeeded, carried by this connector

	Refused, Brief Saying
}

// Saying is what is said once a day at most: it stays said while it goes on, and once it has
// ended it is not said again for a day.
type Saying struct {
	Said time.Time // when it was last begun to be said, so that it can be remembered
	on   bool
}

func (s *Saying) say(now time.Time, is bool) bool {
	if is && !s.on && !s.Said.IsZero() && now.Sub(s.Said) < 24*time.Hour {
		return false
	}
	if is && !s.on {
		s.Said = now
	}
	s.on = is
	return is
}

// Finding is what the second witness has to say, with its numbers.
type Finding struct {
	Refused uint64    // answers with 400 within the window
	Good    int       // probes that succeeded meanwhile
	Since   time.Time // the first of those answers
}

// Closing is what the third has to say.
type Closing struct {
	Brief  uint64    // WebSockets that ended within seconds, at least
	Since  time.Time // the first of them
	Good   int       // probes that succeeded meanwhile
	Logged int       // sign-ins that browsers broke off, by Home Assistant's log of the last half hour
	// Suspect is whether the zone has both mutual TLS and HTTP/3 on.
	Suspect evidence.Switch
}

// rises are when a count rose, and by how much.
type rises []rise

type rise struct {
	at time.Time
	n  uint64
}

// add notes a rise. An earlier value of the list stays what it was.
func (r rises) add(now time.Time, n int64) rises {
	if n <= 0 {
		return r
	}
	return append(r[:len(r):len(r)], rise{now, uint64(n)})
}

// since drops what lies before a moment, and bounds what is left.
func (r rises) since(from time.Time) rises {
	const most = 1000
	for len(r) > 0 && (r[0].at.Before(from) || len(r) > most) {
		r = r[1:]
	}
	return r
}

func (r rises) sum() (n uint64) {
	for _, x := range r {
		n += x.n
	}
	return n
}

func (r rises) first() time.Time {
	if len(r) == 0 {
		return time.Time{}
	}
	return r[0].at
}

// lately says whether the last lies within spread intervals.
func (r rises) lately(now time.Time, interval time.Duration) bool {
	return len(r) > 0 && now.Sub(r[len(r)-1].at) <= spread*interval
}

// sustained says whether they are many, spread out, and still going on.
func (r rises) sustained(now time.Time, interval time.Duration) bool {
	return len(r) >= readings && r.sum() >= least && r[len(r)-1].at.Sub(r[0].at) >= spread*interval && r.lately(now, interval)
}

// endedSockets is how many WebSockets have ended since the connector's start.
func endedSockets(c *evidence.Counters) int64 {
	n := int64(c.Requests) - int64(c.Errors) - int64(c.Concurrent)
	for _, k := range c.Codes {
		n -= int64(k)
	}
	return n
}

// Afresh is what stays where another connector is watched from now on: what was said of
// those who are turned away is not said again so soon.
func (o Others) Afresh() Others { return Others{Refused: Saying{Said: o.Refused.Said}} }

// Count takes a reading of the connector's counters.
func (o Others) Count(now time.Time, c *evidence.Counters, interval time.Duration) Others {
	if c == nil {
		return o
	}
	switch was := o.last; {
	case was == nil:
	case c.Requests < was.Requests || c.Codes[400] < was.Codes[400]: // another process: its story begins again
		o.forget()
	default:
		ended := endedSockets(c) - endedSockets(was) - int64(o.own)
		o.refused = o.refused.add(now, int64(c.Codes[400]-was.Codes[400]))
		o.ended = o.ended.add(now, ended)
		o.brief = o.brief.add(now, ended-int64(was.Concurrent))
	}
	o.last, o.own = c, 0
	o.prune(now, interval)
	return o
}

func (o *Others) forget() { o.refused, o.ended, o.brief, o.good = nil, nil, nil, nil }

func (o *Others) prune(now time.Time, interval time.Duration) {
	for _, list := range []*rises{&o.refused, &o.ended, &o.brief, &o.good} {
		*list = list.since(now.Add(-window * interval))
	}
}

// Curious says that Home Assistant's log may say why other people fail.
func (o Others) Curious(now time.Time, interval time.Duration) bool {
	return o.refused.lately(now, interval) || o.ended.since(now.Add(-spread*interval)).sum() >= leastEnded
}

// take takes a probe, and gives what either witness has to say with it. The second is
// asked first, and what was seen besides the tunnel before the third. A probe that did not
// succeed ends the story: what it met is told by its own cause, and it has left nobody knows
// what in the counters.
func (o Others) take(e evidence.Evidence, v Vote, interval time.Duration) (next Others, refused *Finding, closing *Closing) {
	if v != Works {
		o.forget()
		o.last, o.own, o.Refused.on, o.Brief.on = nil, 0, false, false
		return o, nil, nil
	}
	o.own++
	o.good = o.good.add(e.At, 1)
	o.prune(e.At, interval)
	enough := len(o.good) >= goods
	if o.Refused.say(e.At, enough && o.refused.sustained(e.At, interval)) {
		return o, &Finding{Refused: o.refused.sum(), Good: len(o.good), Since: o.refused.first()}, nil
	}
	if e.Frontend.Stale() {
		return o, nil, nil
	}
	// A log that holds our own checks would hold the browsers', too.
	counted := o.brief.sustained(e.At, interval) && e.CoreLog.Ours == 0 && e.Zone.SignIn != evidence.Off
	logged := e.CoreLog.ClosedByBrowsers()
	if o.Brief.say(e.At, enough && (counted || logged >= leastLogged)) {
		closing = &Closing{Brief: o.brief.sum(), Since: o.brief.first(), Good: len(o.good), Logged: logged, Suspect: e.Zone.SignIn}
	}
	return o, nil, closing
}
