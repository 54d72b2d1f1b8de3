package diagnosis

import (
	"time"

	"tunnelmedic/internal/evidence"
)

// A witness's window and measure, in intervals between probes. With two minutes
// between probes: twenty 400s within half an hour, in at least five readings that
// lie ten minutes apart or more, and no failed probe. Home Assistant's frontend
// tries again every few seconds, so one person who cannot get in makes that many
// within minutes; a scanner that passes by does not go on for ten.
const (
	window   = 15
	spread   = 5
	leastBad = 20
	rises    = 5
	goods    = 3
)

// Witness is the second witness beside the probe: the connector's own count of
// answers with HTTP 400, which a failed handshake raises by one and a good one never
// does. Anybody on the internet can raise it with any wrong request, and which path was
// asked for it does not tell. So it only ever leads to advice. The zero value has seen nothing; it is kept by
// whoever makes the readings, and prunes itself.
type Witness struct {
	last  *evidence.Counters
	bad   []rise
	good  []time.Time // probes that succeeded, carried by this connector
	until time.Time   // not zero while a finding is being said
	said  time.Time   // when one was last begun to be said
}

type rise struct {
	at time.Time
	n  uint64
}

// Finding is what the second witness has to say, with its numbers.
type Finding struct {
	Refused uint64    // answers with 400 within the window
	Good    int       // probes that succeeded meanwhile
	Since   time.Time // the first of those answers
}

// Said gives when a finding was last begun to be said, so that it can be remembered.
func (w Witness) Said() time.Time { return w.said }

// Remembering gives a witness that said its finding at that time already.
func Remembering(said time.Time) Witness { return Witness{said: said} }

// Count takes a reading of the connector's counters.
func (w Witness) Count(now time.Time, c *evidence.Counters, interval time.Duration) Witness {
	if c == nil {
		return w
	}
	if w.last != nil {
		before, after := w.last.Codes[400], c.Codes[400]
		switch {
		case c.Requests < w.last.Requests || after < before: // another process: its story begins again
			w.bad, w.good = nil, nil
		case after > before:
			w.bad = append(w.bad[:len(w.bad):len(w.bad)], rise{now, after - before})
		}
	}
	w.last = c
	return w.prune(now, interval)
}

// probe takes a probe's vote. A probe that did not succeed ends the story: what it met is
// told by its own cause.
func (w Witness) probe(now time.Time, v Vote, interval time.Duration) Witness {
	if v != Works {
		w.bad, w.good, w.until = nil, nil, time.Time{}
		return w
	}
	w.good = append(w.good[:len(w.good):len(w.good)], now)
	return w.prune(now, interval)
}

// Rising says that the connector has counted answers with HTTP 400 lately.
func (w Witness) Rising(now time.Time, interval time.Duration) bool {
	return len(w.bad) > 0 && now.Sub(w.bad[len(w.bad)-1].at) <= spread*interval
}

// prune drops what lies before the window, and bounds what is kept within it.
func (w Witness) prune(now time.Time, interval time.Duration) Witness {
	const most = 1000
	for len(w.bad) > 0 && (now.Sub(w.bad[0].at) > window*interval || len(w.bad) > most) {
		w.bad = w.bad[1:]
	}
	for len(w.good) > 0 && (now.Sub(w.good[0]) > window*interval || len(w.good) > most) {
		w.good = w.good[1:]
	}
	return w
}

// finding says whether clients fail while the probe is fine, once a day at most: it
// stays said while it goes on, and once it has ended it is not said again for a day.
func (w Witness) finding(now time.Time, interval time.Duration) (Witness, *Finding) {
	f := Finding{Good: len(w.good)}
	for _, r := range w.bad {
		f.Refused += r.n
	}
	sustained := len(w.bad) >= rises && f.Refused >= leastBad && len(w.good) >= goods &&
		w.bad[len(w.bad)-1].at.Sub(w.bad[0].at) >= spread*interval &&
		now.Sub(w.bad[len(w.bad)-1].at) <= spread*interval
	if !sustained {
		w.until = time.Time{}
		return w, nil
	}
	f.Since = w.bad[0].at
	going := !w.until.IsZero()
	if !going && !w.said.IsZero() && now.Sub(w.said) < 24*time.Hour {
		return w, nil
	}
	if !going {
		w.said = now
	}
	w.until = now
	return w, &f
}

// Others is what is seen of other people while our own checks succeed: the second witness
// and the third. It bears on nothing but the words: the policy decides by the probe's own
// sign.
type Others struct {
	Refused Witness
	Brief   Turnover
}

// Count takes a reading of the connector's counters.
func (o Others) Count(now time.Time, c *evidence.Counters, interval time.Duration) Others {
	return Others{o.Refused.Count(now, c, interval), o.Brief.Count(now, c, interval)}
}

// Curious says that Home Assistant's log may say why other people fail.
func (o Others) Curious(now time.Time, interval time.Duration) bool {
	return o.Brief.Curious(now, interval) || o.Refused.Rising(now, interval)
}

// take takes a probe, and gives what either witness has to say with it. The second is
// asked first, and what was seen besides the tunnel before the third.
func (o Others) take(e evidence.Evidence, v Vote, interval time.Duration) (next Others, refused *Finding, closing *Closing) {
	next = Others{o.Refused.probe(e.At, v, interval), o.Brief.probe(e.At, v, interval)}
	next.Refused, refused = next.Refused.finding(e.At, interval)
	if refused == nil && v == Works && !e.Frontend.Stale() {
		next.Brief, closing = next.Brief.closing(e.At, interval, e.CoreLog, e.Zone.SignIn)
	}
	return next, refused, closing
}
