package sim

import (
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/policy"
)

// What a look shows is taken for what it is meant to be, in every home and at every moment:
// what is concluded once holds for all of them.
func TestWhatIsShownIsTakenForWhatItIs(t *testing.T) {
	votes := map[diagnosis.Remedy]diagnosis.Vote{diagnosis.NoRemedy: diagnosis.Works, diagnosis.Rotate: diagnosis.Fails}
	for cause, e := range shown() {
		f := findings[0][cause]
		if f.Cause != cause || f.Sign != cause || f.Vote != votes[f.Remedy] {
			t.Errorf("%s is taken for %s, remedy %s, vote %d", cause, f.Cause, f.Remedy, f.Vote)
		}
		want := cause
		if cause == diagnosis.UpgradeStripped || cause == diagnosis.UpgradeRefused || cause == diagnosis.UpgradeSilent {
			want = diagnosis.StrippedEverywhere
		}
		if all := findings[1][cause]; all.Cause != want || all.Sign != cause || all.Vote != f.Vote {
			t.Errorf("%s under every protocol is taken for %s, vote %d", cause, all.Cause, all.Vote)
		}
		for _, p := range []evidence.Protocol{evidence.Default, evidence.Auto, evidence.QUIC, evidence.HTTP2} {
			for _, runs := range []time.Duration{time.Second, time.Minute, 100 * time.Hour} {
				e := e
				e.At = time.Unix(1_790_000_000, 0)
				e.AddOn.Protocol, e.AddOn.ProtocolKnown, e.Connector.Running = p, true, runs
				if e.Connector.Up() {
					e.Connector.Transport, e.Connector.ObservedUp = over(p), runs
				}
				d, _ := diagnosis.Conclude(e, diagnosis.History{Interval: 2 * time.Minute, Sign: cause, Since: e.At.Add(-runs)})
				in := policy.SightOf(e, d)
				in.Running, in.Transport = f.sight.Running, f.sight.Transport
				if in != f.sight {
					t.Errorf("%s on %s after %s: %+v, and once for all %+v", cause, p, runs, in, f.sight)
				}
			}
		}
	}
}

// The table has what every story shows, and the bounds of the simulator are those of the diagnosis.
func TestEveryStoryShowsWhatTheTableHas(t *testing.T) {
	cfg := standard(t, 0)
	for _, f := range Families() {
		for i := range 50 {
			for _, sp := range draw(f, i, 1, cfg.World, cfg.Pace, cfg.Zone).spells {
				if !sp.cuts() && findings[0][sp.cause] == nil {
					t.Fatalf("%s shows %s", f, sp.cause)
				}
			}
		}
	}
	fewer := shown()[diagnosis.TunnelFlapping]
	if fewer.Log.Lost--; diagnosis.Of(fewer).Cause != diagnosis.TunnelDown {
		t.Errorf("%d breaks are taken for %s", fewer.Log.Lost, diagnosis.Of(fewer).Cause)
	}
	once := shown()[diagnosis.QUICBlocked]
	if once.Log.QUICFailed--; diagnosis.Of(once).Cause != diagnosis.TunnelDown {
		t.Errorf("one dial in vain is taken for %s", diagnosis.Of(once).Cause)
	}
}
