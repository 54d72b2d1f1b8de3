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
func watched(each func(second int, c *connectorAt)) (diagnosis.Turnover, time.Time) {
	const interval = 2 * time.Minute
	var t diagnosis.Turnover
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	c := connectorAt{requests: 100, ok: 90, open: 10}
	healthy := diagnosis.Of(evidence.Evidence{Public: evidence.Look{Stage: evidence.Greeted, Status: 101, Header: map[string]string{"Cf-Ray": "1-FRA"}}})
	for s := 0; s < 1800; s += 10 {
		if s%120 == 0 {
			c.requests++ // our own socket, which ends at once
			t = t.Probe(now, healthy, interval)
		}
		each(s, &c)
		t = t.Count(now, c.counters(), interval)
		now = now.Add(10 * time.Second)
	}
	return t, now
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
			w, now := watched(func(s int, k *connectorAt) {
				k.open = c.open
				c.each(s, k)
			})
			w, f := w.Closing(now, 2*time.Minute, c.log, c.suspect)
			if (f != nil) != c.want {
				t.Fatalf("%+v", f)
			}
			if f == nil {
				return
			}
			d := diagnosis.AboutClosing(*f, evidence.Evidence{})
			if d.Remedy != diagnosis.Tell || d.Says() != diagnosis.Abstains || !strings.Contains(strings.Join(words.English().Advice(d), " "), "hypothesis") || !strings.Contains(words.English().Summary(d), "seems to") {
				t.Errorf("%+v", d)
			}
			if _, again := w.Closing(now.Add(time.Minute), 2*time.Minute, c.log, c.suspect); again == nil {
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
