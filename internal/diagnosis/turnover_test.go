package diagnosis_test

import (
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// connectorAt is a connector's counters as cloudflared keeps them.
type connectorAt struct{ requests, ok, bad, errors, open uint64 }

func (c connectorAt) counters() *evidence.Counters {
	return &evidence.Counters{Requests: c.requests, Errors: c.errors, Codes: map[int]uint64{200: c.ok, 400: c.bad}, Concurrent: int(c.open)}
}

// watched lets half an hour pass with readings every ten seconds and a good probe every two
// minutes; each changes the counters before a reading.
func watched(each func(second int, c *connectorAt)) (diagnosis.Others, time.Time) {
	var o diagnosis.Others
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	c := connectorAt{requests: 100, ok: 90, open: 10}
	for s := 0; s < 1800; s += 10 {
		if s%120 == 0 {
			c.requests++ // our own socket, which ends at once
			_, o = diagnosis.Conclude(goodLook(now), diagnosis.History{Interval: every, Others: o})
		}
		each(s, &c)
		o = o.Count(now, c.counters(), every)
		now = now.Add(10 * time.Second)
	}
	return o, now
}

func goodLook(at time.Time) evidence.Evidence {
	return evidence.Evidence{At: at, Public: evidence.Look{Stage: evidence.Greeted, Status: 101, Header: map[string]string{"Cf-Ray": "1-FRA"}}}
}

func TestWhatEndsWithinSecondsIsCounted(t *testing.T) {
	brief := func(every int, c *connectorAt, s int) {
		if s%every == 0 {
			c.requests++
		}
	}
	for name, c := range map[string]struct {
		open    uint64
		each    func(s int, c *connectorAt)
		log     evidence.CoreLog
		suspect evidence.Switch
		want    bool
	}{
		"nobody":                          {each: func(int, *connectorAt) {}},
		"a browser every minute":          {each: func(s int, c *connectorAt) { brief(60, c, s) }, want: true},
		"a browser every five minutes":    {each: func(s int, c *connectorAt) { brief(300, c, s) }},
		"pages, and no socket":            {each: func(s int, c *connectorAt) { c.requests, c.ok = c.requests+20, c.ok+20 }},
		"sockets that outlast a reading":  {each: func(s int, c *connectorAt) { brief(60, c, s); c.open += uint64(btoi(s%60 == 0)) }},
		"handshakes that are refused":     {each: func(s int, c *connectorAt) { brief(20, c, s); c.bad += uint64(btoi(s%20 == 0)) }},
		"requests that nobody answers":    {each: func(s int, c *connectorAt) { brief(20, c, s); c.errors += uint64(btoi(s%20 == 0)) }},
		"long sockets that come and go":   {open: 5, each: func(s int, c *connectorAt) { brief(60, c, s) }},
		"all within two minutes":          {each: func(s int, c *connectorAt) { c.requests += uint64(btoi(s < 120)) * 10 }},
		"a connector that is made anew":   {each: func(s int, c *connectorAt) { *c = connectorAt{requests: uint64(1000 - s/10)} }},
		"the zone has not both":           {each: func(s int, c *connectorAt) { brief(60, c, s) }, suspect: evidence.Off},
		"a log that would know":           {each: func(s int, c *connectorAt) { brief(60, c, s) }, log: evidence.CoreLog{Asked: true, Ours: 9}},
		"a log that knows":                {open: 5, each: func(s int, c *connectorAt) { brief(120, c, s) }, log: evidence.CoreLog{Asked: true, Ours: 9, Closed: [evidence.NumClients]int{0, 3}}, want: true},
		"a log that knows, whatever else": {each: func(int, *connectorAt) {}, log: evidence.CoreLog{Closed: [evidence.NumClients]int{0, 0, 2, 2}}, suspect: evidence.Off, want: true},
		"a log of monitors alone":         {each: func(int, *connectorAt) {}, log: evidence.CoreLog{Closed: [evidence.NumClients]int{30}}},
	} {
		t.Run(name, func(t *testing.T) {
			o, now := watched(func(s int, k *connectorAt) {
				k.open = c.open
				c.each(s, k)
			})
			e := goodLook(now)
			e.CoreLog, e.Zone.SignIn = c.log, c.suspect
			d, o := diagnosis.Conclude(e, diagnosis.History{Interval: every, Others: o})
			if (d.Closing != nil) != c.want || (d.Cause == diagnosis.ClientsCloseDuringSignIn) != c.want {
				t.Fatalf("%s: %+v", d.Cause, d.Closing)
			}
			if !c.want {
				return
			}
			if d.Remedy != diagnosis.Tell || d.Vote != diagnosis.Works || !strings.Contains(strings.Join(words.English().Advice(d), " "), "hypothesis") || !strings.Contains(words.English().Summary(d), "seems to") {
				t.Errorf("%+v", d)
			}
			e.At = now.Add(time.Minute)
			if again, _ := diagnosis.Conclude(e, diagnosis.History{Interval: every, Others: o}); again.Closing == nil {
				t.Error("it does not stay said")
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
