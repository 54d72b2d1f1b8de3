package medic

import (
	"bytes"
	"context"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
	"tunnelmedic/internal/upstream"
)

// upstreamOf answers every question, and keeps them.
type upstreamOf struct {
	asked []upstream.Question
	say   func(context.Context) evidence.Upstream
}

func (u *upstreamOf) Ask(ctx context.Context, q upstream.Question) evidence.Upstream {
	u.asked = append(u.asked, q)
	return u.say(ctx)
}

// installed is what Supervisor says of a home.
type installed struct{ port int }

func (i installed) CoreInfo(context.Context) (supervisor.CoreInfo, error) {
	return supervisor.CoreInfo{Port: i.port}, nil
}

func (i installed) Info(context.Context, string) (supervisor.Info, error) {
	return supervisor.Info{}, nil
}

type asker struct {
	*enquiries
	journal *journal.Journal
	log     bytes.Buffer
	s       subject
}

func asking(t *testing.T, say func(context.Context) evidence.Upstream) (*asker, *upstreamOf) {
	t.Helper()
	j, _, err := journal.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	u, a := &upstreamOf{say: say}, &asker{journal: j}
	chron := journal.NewChronicle(j, "1", 2*time.Minute, said)
	log := zerolog.New(&a.log)
	a.enquiries = newEnquiries(Settings{Upstream: u}, installed{8123}, chron, &background{life: t.Context(), log: log}, log)
	a.s = subject{slug: "a_cloudflared", host: "ha.example.com", connector: tunnel.ConnectorOf(tunnel.Target{URL: &url.URL{Scheme: "https", Host: "ha.example.com"}}, "http://127.0.0.1:1")}
	return a, u
}

// pass lets the loop go round for so long.
func (a *asker) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Minute) {
		a.receive(time.Now())
		a.due(a.s, time.Now())
		a.chron.File(time.Now())
		synctest.Wait()
	}
}

func TestCloudflareIsAskedDailyAndAboutIncidentsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		says := evidence.Upstream{Rules: []evidence.RuleSet{{ID: "r", Version: "3299", Updated: time.Now()}}, Troubles: []evidence.Gap{{Kind: evidence.GapRight, Of: evidence.AskedRecord}}}
		a, u := asking(t, func(context.Context) evidence.Upstream { return says })
		a.pass(72 * time.Hour)
		if len(u.asked) != 3 || u.asked[0].Reports {
			t.Fatalf("%d times in three healthy days", len(u.asked))
		}
		if n := strings.Count(a.log.String(), "lacks the permission"); n != 1 {
			t.Error("a trouble is said", n, "times")
		}
		id := "20000104T000000Z"
		tell := func(open *policy.Incident, k policy.StepKind) {
			s := policy.State{}
			s.Incident = open
			a.about(a.chron.Tell(s, "", "", []policy.Step{{At: time.Now(), Kind: k}}, time.Now()), a.s, time.Now())
			synctest.Wait()
		}
		tell(&policy.Incident{ID: id, Onset: time.Now()}, policy.StepAlarm)
		a.pass(10 * time.Minute)
		says.Rules = []evidence.RuleSet{{ID: "r", Version: "3300", Updated: time.Now()}}
		tell(nil, policy.StepRecovered) // it is over; what is heard later still belongs to it
		a.pass(3 * time.Hour)
		if n := len(u.asked); n != 6 || !u.asked[3].Reports || !u.asked[5].Reports {
			t.Errorf("%d times: %+v", n, u.asked[3:])
		}
		kept, _ := a.journal.Incident(id)
		if n := len(kept.Account.Asked); n != 3 {
			t.Error(n, "answers are kept with the incident")
		}
		if h := a.chron.History(); len(h.Pushes) != 2 || h.Pushes[1].Version != "3300" {
			t.Errorf("%+v", h.Pushes)
		}
	})
}

// Cloudflare may never answer, and the asking itself may fail by a fault of ours: either way
// nothing waits, and the next day's question is asked.
func TestAnAnswerThatNeverComesHoldsNothingUp(t *testing.T) {
	for name, say := range map[string]func(context.Context) evidence.Upstream{
		"silence": func(ctx context.Context) evidence.Upstream {
			<-ctx.Done()
			return evidence.Upstream{}
		},
		"a fault": func(context.Context) evidence.Upstream { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, u := asking(t, say)
				a.pass(96 * time.Hour)
				if len(u.asked) != 4 {
					t.Error(len(u.asked), "questions in four days")
				}
			})
		})
	}
}

// A port that changed while an incident begins is in the history at once, not after ten minutes.
func TestStockIsTakenAnewWhenAnIncidentBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := asking(t, func(context.Context) evidence.Upstream { return evidence.Upstream{} })
		a.pass(4 * time.Minute)
		a.super = installed{9123}
		s := policy.State{}
		s.Incident = &policy.Incident{ID: "20000101T000400Z", Onset: time.Now()}
		a.chron.Tell(s, "", "", []policy.Step{{Kind: policy.StepAlarm}}, time.Now())
		a.pass(4 * time.Minute)
		if v := a.chron.History().Versions; len(v) != 3 || v[2].Version != "9123" || v[2].Was != "8123" {
			t.Errorf("%+v", v)
		}
	})
}
