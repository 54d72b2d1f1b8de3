package diagnosis

import (
	"time"

	"tunnelmedic/internal/evidence"
)

// A turnover's measures, in intervals between probes as for the Witness. A browser that
// cannot sign in tries again every minute, and its user more often: twenty sockets that
// lived for less than ten seconds, in half an hour. Somebody who looks at the app now
// and then makes a few.
const (
	leastBrief  = 20 // by the numbers alone
	leastLogged = 3  // where Home Assistant's log says that browsers closed them
	leastEnded  = 3  // within spread intervals: then the log is worth reading
)

// Turnover is a third witness: how many WebSockets end that were opened only just. A
// browser that closes during the sign-in leaves nothing else that can be counted: the
// upgrade succeeds, so no 400 rises, and newer Home Assistants do not log it.
//
// cloudflared counts every request that it carries, those that are open now, the answers
// by status but never a 101, and the requests that it could not pass on. What is left of
// the first without the others are WebSockets that have ended. Of those that ended
// between two readings, as many as were open at the earlier one may be old; the others
// lived for less than the time between. In a home where nobody is connected, as where
// everybody's sign-in fails, that is exact; else it is too low. The zero value has seen
// nothing. It only ever leads to advice.
type Turnover struct {
	last  *evidence.Counters
	own   uint64 // our probes' sockets since the last reading
	ended []rise
	brief []rise
	good  []time.Time
	until time.Time
	said  time.Time
}

// Closing is what the turnover has to say.
type Closing struct {
	Brief  uint64    // WebSockets that ended within seconds, at least
	Since  time.Time // the first of them
	Good   int       // probes that succeeded meanwhile
	Logged int       // sign-ins that browsers broke off, by Home Assistant's log of the last half hour
	// Suspect is whether the zone has both mutual TLS and HTTP/3 on.
	Suspect evidence.Switch
}

// endedSockets is how many WebSockets have ended since the connector's start.
func endedSockets(c *evidence.Counters) int64 {
	n := int64(c.Requests) - int64(c.Errors) - int64(c.Concurrent)
	for _, k := range c.Codes {
		n -= int64(k)
	}
	return n
}

// Count takes a reading of the connector's counters.
func (t Turnover) Count(now time.Time, c *evidence.Counters, interval time.Duration) Turnover {
	if c == nil {
		return t
	}
	if was := t.last; was != nil && c.Requests >= was.Requests {
		if n := endedSockets(c) - endedSockets(was) - int64(t.own); n > 0 {
			t.ended = append(t.ended[:len(t.ended):len(t.ended)], rise{now, uint64(n)})
			if n -= int64(was.Concurrent); n > 0 {
				t.brief = append(t.brief[:len(t.brief):len(t.brief)], rise{now, uint64(n)})
			}
		}
	} else if was != nil { // another process
		t.ended, t.brief, t.good = nil, nil, nil
	}
	t.last, t.own = c, 0
	return t.prune(now, interval)
}

// probe takes a probe's vote.
func (t Turnover) probe(now time.Time, v Vote, interval time.Duration) Turnover {
	if v != Works {
		t.ended, t.brief, t.good, t.until = nil, nil, nil, time.Time{}
		t.last, t.own = nil, 0 // a probe that failed has left nobody knows what
		return t
	}
	t.own++
	t.good = append(t.good[:len(t.good):len(t.good)], now)
	return t.prune(now, interval)
}

func (t Turnover) prune(now time.Time, interval time.Duration) Turnover {
	const most = 1000
	for _, list := range []*[]rise{&t.ended, &t.brief} {
		for len(*list) > 0 && (now.Sub((*list)[0].at) > window*interval || len(*list) > most) {
			*list = (*list)[1:]
		}
	}
	for len(t.good) > 0 && (now.Sub(t.good[0]) > window*interval || len(t.good) > most) {
		t.good = t.good[1:]
	}
	return t
}

// Said gives when it was last begun to be said that browsers break their sign-in off.
func (t Turnover) Said() time.Time { return t.said }

// Curious says that enough WebSockets have ended lately to ask Home Assistant's log why.
func (t Turnover) Curious(now time.Time, interval time.Duration) bool {
	n := uint64(0)
	for _, r := range t.ended {
		if now.Sub(r.at) <= spread*interval {
			n += r.n
		}
	}
	return n >= leastEnded
}

// closing says whether browsers break their sign-in off, once a day at most: it stays
// said while it goes on. log is Home Assistant's own word, of the last half hour.
func (t Turnover) closing(now time.Time, interval time.Duration, log evidence.CoreLog, suspect evidence.Switch) (Turnover, *Closing) {
	c := Closing{Good: len(t.good), Logged: log.ClosedByBrowsers(), Suspect: suspect}
	for _, r := range t.brief {
		c.Brief += r.n
	}
	// A log that holds our own checks would hold the browsers', too.
	silent := log.Ours == 0
	counted := len(t.brief) >= rises && c.Brief >= leastBrief && t.brief[len(t.brief)-1].at.Sub(t.brief[0].at) >= spread*interval &&
		now.Sub(t.brief[len(t.brief)-1].at) <= spread*interval && silent && suspect != evidence.Off
	if len(t.good) < goods || !counted && c.Logged < leastLogged {
		t.until = time.Time{}
		return t, nil
	}
	if len(t.brief) > 0 {
		c.Since = t.brief[0].at
	}
	going := !t.until.IsZero()
	if !going && !t.said.IsZero() && now.Sub(t.said) < 24*time.Hour {
		return t, nil
	}
	if !going {
		t.said = now
	}
	t.until = now
	return t, &c
}
