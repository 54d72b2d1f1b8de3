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
		case c.Requests < w.last.Requests || after < before: // another process: its story begins anew
			w.bad, w.good = nil, nil
		case after > before:
			w.bad = append(w.bad[:len(w.bad):len(w.bad)], rise{now, after - before})
		}
	}
	w.last = c
	return w.prune(now, interval)
}

// Probe takes a probe's diagnosis. A probe that did not succeed ends the story: what
// it met is told by its own cause.
func (w Witness) Probe(now time.Time, d Diagnosis, interval time.Duration) Witness {
	if d.Says() != Works {
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

// Finding says whether clients fail while the probe is fine, once a day at most: it
// stays said while it goes on, and once it has ended it is not said again for a day.
func (w Witness) Finding(now time.Time, interval time.Duration) (Witness, *Finding) {
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

// AboutClients gives the diagnosis of a finding. It bears on nothing but the words:
// the probe's own diagnosis stays what the policy decides by.
func AboutClients(f Finding, e evidence.Evidence) Diagnosis {
	d := About(ClientsFailProbeFine, e)
	d.Clients = &f
	return d
}
