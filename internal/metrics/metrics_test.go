package metrics

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
)

var keep = flag.String("keep", "", "a file for the answer in the text format, for another reader of it")

// troubled is a home in which everything that can be shown is known.
func troubled() Source {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return Source{
		Status: func() medic.Status {
			return medic.Status{Version: `1.0 "quoted" \ and
broken`, State: policy.Holding, Restarts: 2, Budget: 6, ShutSince: at, FailbackDue: at, Incident: &journal.Incident{Onset: at},
				Protocol: medic.ProtocolStatus{Own: "auto", Setting: "http2", Transport: "http2", Ready: 4}, Diagnosis: medic.DiagnosisStatus{Cause: diagnosis.UpgradeStripped},
				LastProbe: &medic.ProbeStatus{At: at, TookMS: 84, Colo: "FRA"}}
		},
		Alive: func(time.Time) bool { return true },
		Available: func(_ time.Time, span time.Duration) journal.Watch {
			return journal.Watch{Watched: span, Lost: span / 100}
		},
	}
}

func ask(t *testing.T, from Source, method, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	Server(from).Handler.ServeHTTP(w, r)
	return w
}

// line is what the formats allow besides comments: a name, labels, a value.
var line = regexp.MustCompile(`^([a-z_][a-z0-9_]*)(?:\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (-?[0-9.]+)$`)

func TestBothFormatsAreWellFormed(t *testing.T) {
	for _, c := range []struct{ accept, kind string }{{"", textFormat}, {"application/openmetrics-text", openFormat}} {
		w := ask(t, troubled(), "GET", "/metrics", c.accept)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != c.kind {
			t.Errorf("HTTP %d, %s", w.Code, got)
		}
		text := w.Body.String()
		if *keep != "" && c.kind == textFormat {
			if err := os.WriteFile(*keep, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rest, ended := strings.CutSuffix(text, "# EOF\n")
		if ended != (c.kind == openFormat) || !strings.HasSuffix(rest, "\n") {
			t.Errorf("the end is %q", text[len(text)-20:])
		}
		family, kind, seen := "", "", map[string]bool{}
		for l := range strings.SplitSeq(strings.TrimSuffix(rest, "\n"), "\n") {
			if help, ok := strings.CutPrefix(l, "# HELP "); ok {
				family, _, _ = strings.Cut(help, " ")
				if seen[family] {
					t.Errorf("%s stands twice", family)
				}
				seen[family] = true
				continue
			}
			if typed, ok := strings.CutPrefix(l, "# TYPE "); ok {
				if _, err := fmt.Sscanf(typed, family+" %s", &kind); err != nil || kind != "gauge" && (kind != "info" || !ended) {
					t.Errorf("%q behind the help of %s", l, family)
				}
				continue
			}
			m := line.FindStringSubmatch(l)
			want := family
			if kind == "info" {
				want += "_info"
			}
			if m == nil || m[1] != want {
				t.Errorf("%q in the family %s (%s)", l, family, kind)
			}
		}
		if len(seen) != len(families()) {
			t.Errorf("%d families, of %d", len(seen), len(families()))
		}
	}
}

// A home of which nothing is known yet has no figures that look like some.
func TestWhatIsNotKnownIsNotThere(t *testing.T) {
	from := Source{Status: func() medic.Status { return medic.Status{State: policy.Starting} }, Alive: func(time.Time) bool { return false },
		Available: func(time.Time, time.Duration) journal.Watch { return journal.Watch{} }}
	text := ask(t, from, "GET", "/metrics", "").Body.String()
	for _, absent := range []string{"reachable", "check_", "data_centre", "availability", "onset", "since", "failback_due"} {
		if strings.Contains(text, prefix+absent) {
			t.Errorf("%s is among\n%s", absent, text)
		}
	}
	if !strings.Contains(text, "tunnelmedic_up 0\n") || !strings.Contains(text, `tunnelmedic_state{state="starting"} 1`) {
		t.Errorf("not among\n%s", text)
	}
}

func TestTheAskerChoosesTheFormat(t *testing.T) {
	for accept, open := range map[string]bool{
		"":                 false,
		"*/*":              false,
		"text/plain":       false,
		"application/json": false,
		"nonsense;;;,=":    false,
		// what Prometheus 3 sends
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2": true,
		// and with the text format preferred
		"text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5": false,
		"application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.3":       false, // a version that is not spoken
		"application/openmetrics-text;q=0":                                                false,
	} {
		if got := wantsOpen([]string{accept}); got != open {
			t.Errorf("%q is taken for OpenMetrics: %v", accept, got)
		}
	}
}
