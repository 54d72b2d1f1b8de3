package survey_test

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/probe"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/survey"
	"tunnelmedic/internal/tunnel"
)

// looked is a home in the lab, and a surveyor that notes which looks it makes.
type looked struct {
	*survey.Surveyor
	w    *lab.World
	home survey.Home
	at   map[survey.Name]int // how often each was asked, answers that still count left out
}

// api is Cloudflare's, which does not answer here.
type api struct{}

func (api) Answers(context.Context) error { return context.DeadlineExceeded }

// bothFamilies is the house's resolver: every name has an address of each family.
type bothFamilies struct{}

func (bothFamilies) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, nil
}

func look(t *testing.T) *looked {
	t.Helper()
	w, err := lab.New(lab.Options{Local: true, TLS: true, RunParameters: []string{"--protocol=http2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Connector.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(w.Edge.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = lab.PublicHost + ":" + u.Port()
	roots, err := probe.LoadRoots(w.Env()["TUNNELMEDIC_CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	l := &looked{w: w, at: map[survey.Name]int{}}
	l.Surveyor = survey.New(survey.Settings{
		Supervisor: supervisor.New(supervisor.Config{BaseURL: w.Supervisor.URL(), Token: lab.SupervisorToken}), Cloudflare: api{},
		ConnectorURL: w.Connector.URL(), OriginURL: w.Core.URL(), Edge: netip.MustParseAddrPort("127.0.0.1:7844"),
		QUIC: func(context.Context, ...netip.AddrPort) evidence.Look {
			l.at[survey.QUIC]++
			return evidence.Look{Asked: "QUIC", Stage: evidence.Secured}
		},
		Timeout: 2 * time.Second, Interval: 2 * time.Minute, Burst: 2 * time.Second, Log: zerolog.Nop(),
		Recall: func(string) evidence.Memory { return evidence.Memory{Known: true} },
	})
	l.home = survey.Home{
		Public: probe.Target{URL: u, RootCAs: roots, Timeout: 2 * time.Second, Net: network.Network{Names: bothFamilies{}}},
		Slug:   lab.DefaultSlug, Connector: tunnel.NewConnector(w.Connector.URL()), Location: time.UTC,
	}
	return l
}

// survey makes the looks of a moment, and gives what was seen and which looks were made.
func (l *looked) survey(t *testing.T, m survey.Moment) (survey.Seen, map[survey.Name]bool) {
	t.Helper()
	made := map[survey.Name]bool{}
	m.Done = func(f survey.Finding) { made[f.Of] = true }
	return l.Survey(t.Context(), l.home, m), made
}

// filled says whether a look's part of the evidence holds something. Every look has one.
var filled = map[survey.Name]func(survey.Seen) bool{
	survey.Names:     func(s survey.Seen) bool { return s.Names.House.Done() },
	survey.Public:    func(s survey.Seen) bool { return s.Public.Done() && s.Connector.Before != nil },
	survey.Other:     func(s survey.Seen) bool { return s.Other.Done() },
	survey.Page:      func(s survey.Seen) bool { return s.Page.Done() && s.Connector.AfterPage != nil },
	survey.StartPage: func(s survey.Seen) bool { return s.Frontend.Script != "" },
	survey.Direct:    func(s survey.Seen) bool { return s.Direct.Done() },
	survey.Service:   func(s survey.Seen) bool { return s.Connector.Route.Asked },
	survey.AddOn:     func(s survey.Seen) bool { return s.AddOn.Installed && s.Info != nil },
	survey.Start:     func(s survey.Seen) bool { return s.AddOn.Startable == evidence.Off },
	survey.Connector: func(s survey.Seen) bool { return s.Connector.Up() },
	survey.QUIC:      func(s survey.Seen) bool { return s.QUIC.Done() },
	survey.Log:       func(s survey.Seen) bool { return s.Log.Asked },
	survey.Core:      func(s survey.Seen) bool { return s.Core.Asked },
	survey.CoreLog:   func(s survey.Seen) bool { return s.CoreLog.Asked },
	survey.Internet:  func(s survey.Seen) bool { return s.Internet != evidence.InternetUnknown },
}

// all is every look of the plan.
func all() (list []survey.Name) {
	for n := survey.Name(0); n.String() != "unknown"; n++ {
		list = append(list, n)
	}
	return list
}

// The doctor's survey holds every look, and what each saw.
func TestTheWholeSurveyHoldsEveryLook(t *testing.T) {
	l := look(t)
	s, made := l.survey(t, survey.Moment{Whole: true})
	for _, n := range all() {
		if f := filled[n]; f == nil || !made[n] || !f(s) {
			t.Errorf("%s: a part of the evidence %v, made %v", n, f != nil, made[n])
		}
	}
}

// The loop's surveys hold each look where the plan says so, and nowhere else.
func TestTheLoopLooksByThePlan(t *testing.T) {
	quiet := []survey.Name{survey.Public, survey.StartPage, survey.AddOn, survey.Connector}
	failing := []survey.Name{survey.Public, survey.Page, survey.Direct, survey.Service, survey.AddOn, survey.Connector, survey.QUIC, survey.Core, survey.Internet}
	for name, c := range map[string]struct {
		faults lab.Faults
		moment survey.Moment
		also   []survey.Name
		of     []survey.Name
	}{
		"all is well":                        {of: quiet},
		"all is well, and clients fail":      {moment: survey.Moment{Curious: true}, of: quiet, also: []survey.Name{survey.CoreLog}},
		"the way back is due":                {moment: survey.Moment{Due: true}, of: quiet, also: []survey.Name{survey.Start, survey.QUIC}},
		"a start counts, and nothing fails":  {moment: survey.Moment{Starting: true}, of: quiet},
		"a 400 of Home Assistant's":          {faults: lab.Stripped(1), of: failing, also: []survey.Name{survey.CoreLog}},
		"an error of cloudflared's":          {faults: lab.Faults{CoreDown: true}, of: failing, also: []survey.Name{survey.Log}},
		"the same, and a start may be asked": {faults: lab.Faults{CoreDown: true}, moment: survey.Moment{Starting: true}, of: failing, also: []survey.Name{survey.Log, survey.Start}},
	} {
		t.Run(name, func(t *testing.T) {
			l := look(t)
			l.w.SetFaults(c.faults)
			s, made := l.survey(t, c.moment)
			want := map[survey.Name]bool{}
			for _, n := range append(c.of, c.also...) {
				want[n] = true
			}
			for _, n := range all() {
				if made[n] != want[n] {
					t.Errorf("%s: made %v", n, made[n])
				}
				// The start page is evidence once it is proven to be stale.
				if want[n] && n != survey.StartPage && !filled[n](s) {
					t.Errorf("%s was made, and is in no evidence", n)
				}
			}
		})
	}
}

// Where an answer still counts, it is evidence again, and nobody is asked.
func TestAnAnswerThatStillCountsIsNotAskedForAgain(t *testing.T) {
	l := look(t)
	l.w.SetFaults(lab.Faults{CoreDown: true})
	for range 3 {
		if s, _ := l.survey(t, survey.Moment{}); !s.QUIC.Done() || !s.Log.Asked {
			t.Fatalf("QUIC %v, log %v", s.QUIC.Done(), s.Log.Asked)
		}
	}
	if l.at[survey.QUIC] != 1 {
		t.Errorf("asked over QUIC %d times", l.at[survey.QUIC])
	}
	l.home.Slug = "" // another home: nothing of the old one counts
	l.survey(t, survey.Moment{})
	if l.at[survey.QUIC] != 2 {
		t.Errorf("asked over QUIC %d times", l.at[survey.QUIC])
	}
}

// A tunnel that uses QUIC shows itself that QUIC passes.
func TestQUICIsNotAskedForWhereTheTunnelUsesIt(t *testing.T) {
	l := look(t)
	l.w.SetFaults(lab.Faults{CoreDown: true})
	if s, made := l.survey(t, survey.Moment{Transport: evidence.OverQUIC}); made[survey.QUIC] || s.QUIC.Done() {
		t.Error("it was asked")
	}
}

// A look that fails by a fault of the program's own has seen nothing; the others have.
func TestAFaultInOneLookIsItsOwn(t *testing.T) {
	l := look(t)
	set := survey.Settings{Supervisor: broken{supervisor.New(supervisor.Config{BaseURL: l.w.Supervisor.URL(), Token: lab.SupervisorToken})}, OriginURL: l.w.Core.URL(), Timeout: 2 * time.Second, Log: zerolog.Nop()}
	l.home.Connector, l.Surveyor = nil, survey.New(set)
	var faults []error
	s := l.Survey(t.Context(), l.home, survey.Moment{Whole: true, Done: func(f survey.Finding) {
		if f.Err != nil {
			faults = append(faults, f.Err)
		}
	}})
	if len(faults) != 1 || !errors.Is(faults[0], survey.Fault{Of: survey.Internet, Value: "broken"}) {
		t.Errorf("%v", faults)
	}
	if !s.Direct.Healthy() || !s.Core.Asked || s.Internet != evidence.InternetUnknown {
		t.Errorf("%+v", s)
	}
}

// broken is a client with a fault.
type broken struct{ survey.Supervisor }

func (broken) Network(context.Context) (evidence.Internet, error) { panic("broken") }
