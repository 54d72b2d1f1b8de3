package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/html"
	g "maragu.dev/gomponents"

	"tunnelmedic/internal/diagnosis"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/words"
)

// loop stands for the loop: it keeps what it is asked.
type loop struct {
	mu     sync.Mutex
	status medic.Status
	asked  []string
	answer error
	hangs  bool
}

func (l *loop) Status() medic.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *loop) Alive(time.Time) bool { return true }
func (l *loop) Probe()               { _ = l.note(context.Background(), "probe") }

func (l *loop) note(ctx context.Context, what string) error {
	l.mu.Lock()
	l.asked = append(l.asked, what)
	answer, hangs := l.answer, l.hangs
	l.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return answer
}

func (l *loop) Pause(ctx context.Context, d time.Duration) error {
	return l.note(ctx, "pause "+d.String())
}
func (l *loop) Resume(ctx context.Context) error { return l.note(ctx, "resume") }
func (l *loop) Try(ctx context.Context, p evidence.Protocol) error {
	return l.note(ctx, "try "+p.String())
}

func (l *loop) Shorten(ctx context.Context, short bool) error {
	return l.note(ctx, fmt.Sprint("shorten ", short))
}
func (l *loop) Answer(ctx context.Context, question string, yes bool) error {
	return l.note(ctx, fmt.Sprintf("answer %s %t", question, yes))
}

func (l *loop) wishes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// shelf holds incidents.
type shelf []journal.Incident

func (s shelf) Incidents() []journal.Incident { return s }
func (s shelf) Incident(id string) (journal.Incident, bool) {
	i := slices.IndexFunc(s, func(i journal.Incident) bool { return i.ID == id })
	if i < 0 {
		return journal.Incident{}, false
	}
	return s[i], true
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func past() journal.Incident {
	return journal.Incident{ID: "20261121T120000Z", Onset: noon, LastGood: noon.Add(-time.Minute), Ended: noon.Add(24 * time.Second), Outcome: policy.StepCured,
		Cause: diagnosis.UpgradeStripped, URL: "https://ha.example.com", Own: evidence.Auto, Before: evidence.Auto, Transport: evidence.OverQUIC, After: evidence.HTTP2, Restarts: 1,
		Seen:  map[string]string{"public": `HTTP 400 "No WebSocket UPGRADE hdr: None"`, "log": "<script>alert(1)</script>"},
		Steps: []policy.Step{{At: noon, Kind: policy.StepAlarm, Text: "The fault is certain: 4 of 4 probes failed."}, {At: noon, Kind: policy.StepCured, Protocol: evidence.HTTP2, Text: "http2 is proven."}}}
}

const well = diagnosis.Passes

func wellNow() medic.Status {
	return medic.Status{Version: "1.0.0", Mode: "heal", State: policy.Healthy, Since: time.Now().Add(-time.Hour), Budget: 6, Restarts: 1, Allowed: []string{"auto", "quic", "http2"},
		Target:    medic.TargetStatus{Slug: "9074a9fa_cloudflared", Name: "Cloudflared", URL: "https://ha.example.com"},
		Protocol:  medic.ProtocolStatus{Own: "auto", Setting: "auto", Transport: "quic", Ready: 4},
		Diagnosis: medic.DiagnosisStatus{Cause: diagnosis.Healthy, Seen: map[string]string{}},
		Way:       medic.WayStatus{Cause: diagnosis.Healthy, Parts: diagnosis.Way{diagnosis.ToCloudflare: well, diagnosis.AtCloudflare: well, diagnosis.AtTunnel: well, diagnosis.ToHomeAssistant: well, diagnosis.AtHomeAssistant: well}},
		Detector:  medic.DetectorStatus{Alarm: 9.2}, LastProbe: &medic.ProbeStatus{At: time.Now(), TookMS: 84, OK: true, Status: 101, Colo: "FRA"}}
}

// house is the page, served on loopback.
type house struct {
	t    *testing.T
	loop *loop
	feed *Feed
	url  string
}

func newHouse(t *testing.T, change ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, loop: &loop{status: wellNow()}, feed: NewFeed()}
	c := Config{Medic: h.loop, Hands: h.loop, Incidents: shelf{past()}, Feed: h.feed, Log: zerolog.Nop(), Peers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	for _, f := range change {
		f(&c)
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(Whole(c))
	s.Start()
	h.url = s.URL
	t.Cleanup(func() { h.feed.Close(); s.Close() })
	return h
}

func (h *house) get(path string, header ...string) (int, http.Header, string) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(raw)
}

var tokenIn = regexp.MustCompile(`<meta name="token" content="([A-Z2-7]{26})">`)

func (h *house) token() string {
	h.t.Helper()
	_, _, page := h.get("/")
	m := tokenIn.FindStringSubmatch(page)
	if m == nil {
		h.t.Fatal("the page has no token")
	}
	return m[1]
}

func (h *house) post(path, kind, token, body string) (int, answer) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if token != "" {
		req.Header.Set(tokenHeader, token)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var a answer
	raw, _ := io.ReadAll(res.Body)
	_ = json.Unmarshal(raw, &a)
	return res.StatusCode, a
}

const jsonKind, formKind = "application/json", "application/x-www-form-urlencoded"

func TestAPostCountsOnlyFromThisPageAndInItsForm(t *testing.T) {
	h := newHouse(t)
	token := h.token()
	for _, c := range []struct {
		rule              string
		path, kind, token string
		body              string
		status            int
		asks              string // what reaches the loop, "" for nothing
	}{
		{"a probe", "/api/probe", jsonKind, token, "", 202, "probe"},
		{"a probe with an empty object", "/api/probe", jsonKind, token, "{}", 202, "probe"},
		{"a pause", "/api/pause", jsonKind, token, `{"minutes":5}`, 202, "pause 5m0s"},
		{"a pause is an hour long", "/api/pause", jsonKind, token, `{}`, 202, "pause 1h0m0s"},
		{"resuming", "/api/resume", jsonKind, token, "", 202, "resume"},
		{"a trial", "/api/try", jsonKind, token, `{"protocol":"http2"}`, 202, "try http2"},
		{"a yes", "/api/answer", jsonKind, token, `{"question":"q1","yes":true}`, 202, "answer q1 true"},
		{"a no by a form", "/api/answer", formKind, "", "question=q1&yes=false&token=" + token, 303, "answer q1 false"},
		{"an answer to nothing", "/api/answer", jsonKind, token, `{"yes":true}`, 400, ""},
		{"an answer that says neither", "/api/answer", formKind, "", "question=q1&yes=maybe&token=" + token, 400, ""},
		{"shorter restarts", "/api/shorten", jsonKind, token, `{"yes":true}`, 202, "shorten true"},
		{"no shorter restarts", "/api/shorten", formKind, "", "yes=false&token=" + token, 303, "shorten false"},
		{"shorter restarts without a yes", "/api/shorten", jsonKind, token, `{}`, 400, ""},
		{"a form leads back to the page", "/api/try", formKind, "", "protocol=quic&token=" + token, 303, "try quic"},
		{"without a token", "/api/probe", jsonKind, "", "", 403, ""},
		{"with a foreign token", "/api/probe", jsonKind, strings.Repeat("A", 26), "", 403, ""},
		{"a form with a foreign token", "/api/probe", formKind, "", "token=x", 403, ""},
		{"a form whose token is in the query", "/api/probe?token=" + token, formKind, "", "", 403, ""},
		{"an unknown protocol", "/api/try", jsonKind, token, `{"protocol":"sctp"}`, 400, ""},
		{"a protocol in capitals", "/api/try", jsonKind, token, `{"protocol":"HTTP2"}`, 400, ""},
		{"no protocol", "/api/try", jsonKind, token, `{}`, 400, ""},
		{"a pause of nothing", "/api/pause", jsonKind, token, `{"minutes":0}`, 400, ""},
		{"a pause of a year", "/api/pause", jsonKind, token, `{"minutes":525600}`, 400, ""},
		{"a pause of words", "/api/pause", formKind, "", "minutes=long&token=" + token, 400, ""},
		{"an unknown field", "/api/pause", jsonKind, token, `{"minute":5}`, 400, ""},
		{"broken JSON", "/api/pause", jsonKind, token, `{"minutes":`, 400, ""},
		{"two values", "/api/pause", jsonKind, token, `{} {}`, 400, ""},
		{"another form of body", "/api/probe", "text/plain", token, "", 415, ""},
		{"no form of body", "/api/probe", "", token, "", 415, ""},
		{"a form for files", "/api/probe", "multipart/form-data; boundary=x", token, "", 415, ""},
		{"a huge body", "/api/try", jsonKind, token, `{"protocol":"` + strings.Repeat("x", 1<<20) + `"}`, 413, ""},
		{"a huge form", "/api/try", formKind, "", "protocol=" + strings.Repeat("x", 1<<20), 413, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			before := len(h.loop.wishes())
			status, a := h.post(c.path, c.kind, c.token, c.body)
			if status != c.status {
				t.Errorf("HTTP %d, want %d (%s)", status, c.status, a.Message)
			}
			if c.kind == jsonKind && a.Message == "" {
				t.Error("no sentence for the person")
			}
			got := strings.Join(h.loop.wishes()[before:], ", ")
			if got != c.asks {
				t.Errorf("the loop was asked for %q, want %q", got, c.asks)
			}
		})
	}
}

func TestAPostFromElsewhereThanTheIngressIsRefusedWhateverItHolds(t *testing.T) {
	inside := newHouse(t)
	token := inside.token()
	outside := newHouse(t, func(c *Config) { c.Peers = []netip.Addr{netip.MustParseAddr("172.30.32.2")} })
	for _, path := range []string{"/api/probe", "/api/try", "/api/pause", "/api/resume"} {
		if status, _ := outside.post(path, jsonKind, token, `{"protocol":"http2"}`); status != http.StatusForbidden {
			t.Errorf("%s: HTTP %d", path, status)
		}
	}
	if status, _, _ := outside.get("/"); status != http.StatusForbidden {
		t.Errorf("the page: HTTP %d", status)
	}
	if asked := outside.loop.wishes(); len(asked) > 0 {
		t.Errorf("the loop was asked for %v", asked)
	}
}

func TestTheTokenIsAnotherOneAtEachStart(t *testing.T) {
	if a, b := newHouse(t).token(), newHouse(t).token(); a == b {
		t.Error("two starts have one token")
	}
}

func TestWhatTheLoopAnswersIsSaid(t *testing.T) {
	for _, c := range []struct {
		rule   string
		answer error
		trial  bool
		status int
		says   string
	}{
		{"a refusal in words", policy.Refusal{Because: policy.GatesShut, Gates: []policy.Gate{policy.GateBudget}}, false, 409, "Not now: the restarts of the day are used up."},
		{"while something is on trial", nil, true, 409, "already (quic)"},
		{"a trouble of ours, without its details", errors.New("disk full at /data"), false, 500, "the log says why"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := newHouse(t)
			h.loop.answer = c.answer
			if c.trial {
				h.loop.status.Trial = &medic.TrialStatus{Protocol: "quic"}
			}
			status, a := h.post("/api/try", jsonKind, h.token(), `{"protocol":"http2"}`)
			if status != c.status || a.OK || !strings.Contains(a.Message, c.says) || strings.Contains(a.Message, "/data") {
				t.Errorf("HTTP %d %+v", status, a)
			}
		})
	}
}

func TestAFormThatIsRefusedGetsThePageWithTheReason(t *testing.T) {
	h := newHouse(t)
	h.loop.answer = policy.Refusal{Because: policy.GatesShut, Gates: []policy.Gate{policy.GateBudget}}
	res, err := http.PostForm(h.url+"/api/try", url.Values{"token": {h.token()}, "protocol": {"http2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	if res.StatusCode != 409 || !strings.Contains(string(raw), `class="message bad">Not now: the restarts of the day are used up.</div>`) {
		t.Errorf("HTTP %d, and no reason on the page", res.StatusCode)
	}
}

// In the mode ask the page asks, works without script, and says what became of a yes.
func TestThePageAsks(t *testing.T) {
	h := newHouse(t)
	if _, _, page := h.get("/"); strings.Contains(page, "api/answer") {
		t.Error("the page asks though there is no question")
	}
	h.loop.status.Question = &medic.Question{Question: policy.Question{ID: "q1", Purpose: policy.Trial, Protocol: evidence.HTTP2, Until: time.Now().Add(time.Hour)}}
	_, _, page := h.get("/")
	for _, want := range []string{"May Tunnel Medic switch the tunnel", `name="question" value="q1"`, `name="yes" value="true"`, `name="yes" value="false"`, "without an answer nothing is changed"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	offersYes := regexp.MustCompile(`value="q1"[^/]*name="yes" value="true"`)
	if !offersYes.MatchString(page) {
		t.Error("has the form another shape now?")
	}
	h.loop.status.Question.Yes = true
	if _, _, page := h.get("/"); offersYes.MatchString(page) || !strings.Contains(page, "Somebody has said yes") {
		t.Error("after a yes the page asks for another")
	}
}

func TestEveryPathHasThePrefixOfTheIngress(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/", "/?range=7d", "/incidents/20261121T120000Z"} {
		_, _, page := h.get(path, "X-Ingress-Path", "/api/hassio_ingress/aB3_-x")
		for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"#]*)"`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "/api/hassio_ingress/aB3_-x/") && !strings.HasPrefix(m[1], "https://ha.example.com") {
				t.Errorf("%s leads to %s", path, m[1])
			}
		}
	}
	for _, evil := range []string{`"><script>`, "//evil.example.com", "https://evil.example.com", "javascript:alert(1)", "/" + strings.Repeat("x", 500)} {
		if _, _, page := h.get("/", "X-Ingress-Path", evil); !strings.Contains(page, `data-base="/"`) {
			t.Errorf("the prefix %q was taken", evil)
		}
	}
}

func TestWhatWasSeenCannotBecomePartOfThePage(t *testing.T) {
	h := newHouse(t)
	h.loop.status.State = policy.Suspect
	h.loop.status.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.OriginMoved, Remedy: diagnosis.Tell, Seen: map[string]string{"public": "<script>alert(1)</script>"},
		Particulars: diagnosis.Particulars{Variant: "known", Service: "<img src=x>", Here: "<b>x</b>"}}
	for _, path := range []string{"/", "/incidents/20261121T120000Z"} {
		_, header, page := h.get(path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x>") || strings.Contains(page, "<b>x</b>") {
			t.Errorf("%s shows what was seen as it is", path)
		}
		if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has no policy for its contents", path)
		}
	}
}

// evil is what would be more than words if it left its place in the page.
const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`

func TestEvilWordsStayWordsWhereverTheyStand(t *testing.T) {
	ill := past()
	ill.ID, ill.URL, ill.Outcome, ill.Seen = evil, evil, policy.StepUser, map[string]string{"log": evil}
	ill.Steps = []policy.Step{{At: noon, Kind: policy.StepUser, Text: evil}}
	s := wellNow()
	s.State, s.Version, s.Mode, s.Allowed, s.Edges, s.Locations, s.Notes, s.Incident = policy.Suspect, evil, evil, []string{evil}, []string{evil}, []string{evil}, []string{evil}, &ill
	s.Target = medic.TargetStatus{Slug: evil, Name: evil, URL: evil}
	s.Protocol = medic.ProtocolStatus{Own: evil, Setting: "x" + evil, Transport: evil}
	s.Diagnosis = medic.DiagnosisStatus{Cause: diagnosis.OriginMoved, Seen: ill.Seen, Particulars: diagnosis.Particulars{Variant: "known", Service: evil, Here: evil}}
	s.LastProbe.Colo, s.Way.Core = evil, evil
	p := newPages(Whole(Config{Medic: &loop{status: s}, Hands: &loop{}, Incidents: shelf{past(), ill}, Log: zerolog.Nop(), History: func() journal.History {
		return journal.History{Days: []journal.Day{{Date: time.Now().UTC().Format(time.DateOnly), Watched: time.Hour, Lost: time.Minute, LostBy: map[string]time.Duration{evil: time.Minute}}}}
	}}), evil)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	main, incident := httptest.NewRecorder(), httptest.NewRecorder()
	p.show(main, r, http.StatusOK, evil, true, DoctorRow{Component: evil, Came: evil, Verdict: evil, Do: evil})
	r.SetPathValue("name", evil)
	p.incident(incident, r)
	for name, c := range map[string]struct {
		page                  string
		inAttributes, inTexts int
	}{"the main page": {main.Body.String(), 6, 22}, "an incident": {incident.Body.String(), 1, 2}} {
		inAttributes, inTexts := 0, 0
		for n := range parsed(t, c.page).Descendants() {
			if (n.Data == "script" || n.Data == "img") && !strings.HasPrefix(attribute(n, "src"), "/assets/") {
				t.Errorf("%s has an element <%s> that is not its own", name, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s runs %s", name, a.Val)
				}
				if strings.HasSuffix(a.Val, evil) {
					inAttributes++
				}
			}
			if n.Type == html.TextNode && strings.Contains(n.Data, evil) {
				inTexts++
			}
		}
		if inAttributes < c.inAttributes || inTexts < c.inTexts {
			t.Errorf("%s has it in %d attributes and %d texts", name, inAttributes, inTexts)
		}
	}
}

func TestOnlyAWebAddressBecomesALink(t *testing.T) {
	h := newHouse(t)
	for address, link := range map[string]string{
		"https://ha.example.com":                   "https://ha.example.com",
		"http://ha.example.com:8123/a?b=c&d=e":     "http://ha.example.com:8123/a?b=c&d=e",
		`https://ha.example.com/"><script>x`:       "https://ha.example.com/%22%3E%3Cscript%3Ex",
		"javascript:alert(1)":                      "",
		" JavaScript:alert(1)":                     "",
		"java\tscript:alert(1)":                    "",
		"javascript://ha.example.com/%0aalert(1)":  "",
		"data:text/html,<script>alert(1)</script>": "",
		"vbscript:x":                               "",
		"//evil.example.com":                       "",
		"ha.example.com":                           "",
		"https:":                                   "",
		evil:                                       "",
	} {
		h.loop.mu.Lock()
		h.loop.status.Target.URL = address
		h.loop.mu.Unlock()
		_, _, page := h.get("/")
		got, shown := "", false
		for n := range parsed(t, page).Descendants() {
			if n.Data == "a" && attribute(n, "target") == "_blank" {
				got = attribute(n, "href")
			}
			shown = shown || n.Type == html.TextNode && n.Data == address
		}
		if got != link || !shown {
			t.Errorf("%q leads to %q, want %q; it is shown: %v", address, got, link, shown)
		}
	}
}

// written is a part of the page.
func written(t *testing.T, part g.Node) string {
	t.Helper()
	var b strings.Builder
	if err := part.Render(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parsed(t *testing.T, page string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestAPageThatBreaksOffIsNotShownInHalf(t *testing.T) {
	w := httptest.NewRecorder()
	broken := g.NodeFunc(func(io.Writer) error { return errors.New("broken") })
	newPages(Config{Log: zerolog.Nop()}, "").render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, el("main", text("a good half"), broken))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "half") {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
}

func TestEveryStateHasASentenceAColourAndAShape(t *testing.T) {
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	heads := map[string]policy.Phase{}
	for _, badge := range order {
		s, state := wellNow(), badge.State
		s.State = state
		if badge.NeedsYou {
			s.Diagnosis.Cause, s.Diagnosis.Remedy = diagnosis.HostnameUnknown, diagnosis.Tell
		}
		h.loop.mu.Lock()
		h.loop.status = s
		h.loop.mu.Unlock()
		_, _, page := h.get("/")
		head := regexp.MustCompile(`<h2 id="headline">([^<]+)</h2>`).FindStringSubmatch(page)
		if head == nil || !strings.Contains(page, `id="i-`+state.String()+`"`) || !strings.Contains(string(style), ".st-"+state.String()+" ") || !strings.Contains(page, `data-state="`+state.String()+`"`) {
			t.Errorf("%s has no sentence, shape or colour", state)
			continue
		}
		heads[head[1]] = state
	}
	if len(heads) < 5 {
		t.Errorf("only %d sentences for %d states", len(heads), len(order))
	}
}

func TestThePageSaysThatItNeedsYouWhereOnlyAPersonCanMendIt(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		state  policy.Phase
		remedy diagnosis.Remedy
		score  float64
		lang   string
		want   string
	}{
		{policy.Suspect, diagnosis.Tell, 0, "en", "needs you"},
		{policy.Suspect, diagnosis.Tell, 0, "de", "braucht dich"},
		{policy.Suspect, diagnosis.Tell, 2, "en", "needs you"}, // whatever was suspected before
		{policy.Suspect, diagnosis.Wait, 0, "en", "checking"},
		{policy.Suspect, diagnosis.Rotate, 0, "en", "checking"},
		{policy.Healthy, diagnosis.Tell, 0, "en", "healthy"}, // its own checks succeed
		{policy.Blind, diagnosis.Tell, 0, "en", "not watched"},
	} {
		s := wellNow()
		s.State, s.Diagnosis.Remedy, s.Detector.Score = c.state, c.remedy, c.score
		if c.state != policy.Healthy {
			s.Diagnosis.Cause = diagnosis.HostnameUnknown
		}
		h.loop.mu.Lock()
		h.loop.status = s
		h.loop.mu.Unlock()
		_, _, page := h.get("/", "Accept-Language", c.lang)
		if !strings.Contains(page, `<span class="badge">`+c.want+`</span>`) || !strings.Contains(page, `data-state="`+c.state.String()+`"`) {
			t.Errorf("%s, %s, evidence %v, in %s: the page does not say %q, or changes the state's id", c.state, c.remedy, c.score, c.lang, c.want)
		}
	}
}

// A failed check that speaks of a fault is followed by others. What the next one shows may be
// another cause, which is told though the evidence for the first has not faded yet.
func TestThePageLooksCloselyOnlyWhereMoreChecksTell(t *testing.T) {
	h := newHouse(t)
	for remedy, want := range map[diagnosis.Remedy]string{
		diagnosis.NoRemedy: "Looking closely", diagnosis.Rotate: "Looking closely",
		diagnosis.Wait: "No remote access", diagnosis.Restart: "No remote access", diagnosis.Start: "No remote access", diagnosis.Tell: "No remote access",
	} {
		s := wellNow()
		s.State, s.Detector.Score = policy.Suspect, 3
		s.Diagnosis.Remedy = remedy
		h.loop.mu.Lock()
		h.loop.status = s
		h.loop.mu.Unlock()
		_, _, page := h.get("/", "Accept-Language", "en")
		if headline := regexp.MustCompile(`<h2 id="headline">([^<]*)</h2>`).FindStringSubmatch(page); len(headline) != 2 || headline[1] != want {
			t.Errorf("remedy %s: the page says %q, not %q", remedy, headline, want)
		}
	}
}

// The drawing of the day names it as the badge does.
func TestTheTimelineSaysWhenItNeededYou(t *testing.T) {
	f := NewFeed()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f.now = func() time.Time { return now }
	for _, s := range []medic.Status{
		{State: policy.Healthy},
		{State: policy.Suspect, Diagnosis: medic.DiagnosisStatus{Remedy: diagnosis.Rotate}},
		{State: policy.Suspect, Diagnosis: medic.DiagnosisStatus{Remedy: diagnosis.Tell}},
		{State: policy.Healthy},
	} {
		f.Tell(s, nil)
		now = now.Add(time.Hour)
	}
	v := written(t, clock{words.English(), now, time.UTC}.timeline(f, false))
	if n := strings.Count(v, `<rect class="st-`); !strings.Contains(v, "healthy 2 h, checking 1 h and needs you 1 h") || n != 4 {
		t.Errorf("%s (%d stretches)", v, n)
	}
	dir := t.TempDir()
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	again := NewFeed()
	again.now = f.now
	again.Load(dir)
	if w := written(t, clock{words.English(), now, time.UTC}.timeline(again, false)); !strings.Contains(w, "needs you 1 h") {
		t.Errorf("after a start it is %s", w)
	}
}

func TestThePageShowsWhatTheIssueOfTheMomentIs(t *testing.T) {
	h := newHouse(t)
	s := wellNow()
	s.State, s.Detector.Score = policy.Treating, 12.2
	inc := past()
	inc.Ended, inc.Outcome = time.Time{}, policy.NoStep
	s.Incident = &inc
	s.Trial = &medic.TrialStatus{Protocol: "http2", Purpose: policy.Trial, Settled: true, Probes: 7, Failures: 1}
	s.Edges = []string{"198.41.192.7"}
	h.loop.status = s
	_, _, page := h.get("/")
	for _, want := range []string{"Restoring remote access", "4 of 4 probes failed", "6 good checks, 1 failure", "198.41.192.7", "Evidence 12.2, alarm at 9.2", "1 of 6", `data-step="alarm"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Contains(page, "incidents/"+inc.ID) {
		t.Error("the incident that is open is listed among the past ones")
	}
}

func TestAnIncidentHasItsPageAndItsText(t *testing.T) {
	h := newHouse(t)
	status, _, page := h.get("/incidents/20261121T120000Z")
	if status != 200 || !strings.Contains(page, "Fixed with http2") || !strings.Contains(page, "lasted 24 s") {
		t.Errorf("HTTP %d", status)
	}
	status, header, text := h.get("/incidents/20261121T120000Z.md")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/markdown") || !strings.HasPrefix(text, "# ") || !strings.Contains(text, "http2 is proven.") {
		t.Errorf("HTTP %d %s\n%s", status, header.Get("Content-Type"), text)
	}
	for _, path := range []string{"/incidents/none", "/incidents/none.md", "/incidents/..%2f..%2fetc%2fpasswd", "/assets/x/none.css", "/assets/x/home.html", "/nowhere"} {
		if status, _, _ := h.get(path); status != 404 {
			t.Errorf("%s: HTTP %d", path, status)
		}
	}
}

// A home of two months has a hundred incidents behind it, and sixty days to draw.
func TestThePageIsSmallAndFast(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		list := shelf{}
		for i := range 100 {
			p := past()
			p.ID = fmt.Sprintf("20261121T12%02d00Z", i)
			list = append(list, p)
		}
		c.Incidents = list
		c.History = func() journal.History { return account(time.Now(), 62) }
	})
	busyWeek(h.feed)
	for _, path := range []string{"/", "/?range=7d"} {
		_, _, page := h.get(path)
		size := len(page)
		for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
			status, header, body := h.get(m[1])
			if status != 200 || !strings.Contains(header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: HTTP %d, %s", m[1], status, header.Get("Cache-Control"))
			}
			if !strings.Contains(page[:strings.Index(page, m[1])], m[1]) { // each once
				size += len(body)
			}
		}
		if size >= 70<<10 {
			t.Errorf("%s weighs %d bytes with everything", path, size)
		}
		best := time.Hour // the machine may be busy: what counts is what the page can do
		for range 20 {
			began := time.Now()
			h.get(path)
			best = min(best, time.Since(began))
		}
		if best > 5*time.Millisecond && !raceDetector {
			t.Errorf("%s takes %v at best", path, best)
		}
		t.Logf("%s: %d bytes of page, %d with everything; whole after %v", path, len(page), size, best)
	}
}

func (f *Feed) listening() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners)
}

// busyWeek fills the feed with the worst there is: a state that never stays, and a
// probe every minute.
func busyWeek(f *Feed) {
	at := time.Now().Add(-week)
	f.now = func() time.Time { return at }
	for i := 0; at.Before(time.Now()); i++ {
		s := wellNow()
		if i%7 == 0 {
			s.State = policy.Suspect
		}
		s.LastProbe = &medic.ProbeStatus{At: at, TookMS: int64(50 + i%300), OK: i%5 != 0}
		f.Tell(s, nil)
		at = at.Add(time.Minute)
	}
	f.now = time.Now
}

func TestEventsTellTheStatusAndEachStep(t *testing.T) {
	h := newHouse(t)
	res, err := http.Get(h.url + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it is %s", got)
	}
	lines := bufio.NewScanner(res.Body)
	next := func() (event, data string) {
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				lines.Scan()
				return e, strings.TrimPrefix(lines.Text(), "data: ")
			}
		}
		return "", ""
	}
	if event, data := next(); event != "status" || !strings.Contains(data, `"state":"healthy"`) {
		t.Errorf("first %s %s", event, data)
	}
	s := wellNow()
	s.State = policy.Treating
	h.feed.Tell(s, []policy.Step{{At: noon, Kind: policy.StepTrial, Text: "Trying http2."}, {At: noon, Kind: policy.StepSettled, Text: "Connected."}})
	var got []string
	for range 3 {
		event, data := next()
		got = append(got, event)
		if event == "status" && !strings.Contains(data, `"state":"treating"`) {
			t.Errorf("status %s", data)
		}
	}
	if !slices.Equal(got, []string{"step", "step", "status"}) {
		t.Errorf("events %v", got)
	}
	h.feed.Close()
	if event, _ := next(); event != "" || lines.Err() != nil {
		t.Errorf("at the end: %q %v", event, lines.Err())
	}
}

func TestAListenerWhoNeverReadsHoldsNobodyUpAndIsLetGo(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.limit = 200 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(1 << 10)
	fmt.Fprint(conn, "GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "somebody listens", func() bool { return h.feed.listening() == 1 })
	s := wellNow()
	s.Diagnosis.Summary = strings.Repeat("x", 64<<10)
	stop := time.Now().Add(beatEvery + 10*time.Second)
	var slowest time.Duration
	for h.feed.listening() > 0 {
		began := time.Now()
		h.feed.Tell(s, []policy.Step{{Text: "A step."}})
		slowest = max(slowest, time.Since(began))
		if time.Now().After(stop) {
			t.Fatal("the listener who never reads is still there")
		}
		time.Sleep(time.Millisecond)
	}
	if slowest > time.Second {
		t.Errorf("telling took %v", slowest)
	}
}

func TestNoMoreThanAHousefulMayListen(t *testing.T) {
	h := newHouse(t)
	for range maxListeners {
		res, err := http.Get(h.url + "/api/events")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("HTTP %d", res.StatusCode)
		}
	}
	if status, header, _ := h.get("/api/events"); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("one more: HTTP %d", status)
	}
}

func TestAStreamOutlivesTheTimeForARequest(t *testing.T) {
	h := newHouse(t, func(*Config) {})
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(Whole(Config{Medic: h.loop, Feed: h.feed, Log: zerolog.Nop(), Peers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}))
	s.Config.ReadTimeout = 100 * time.Millisecond
	s.Start()
	defer s.Close()
	res, err := http.Get(s.URL + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	time.Sleep(300 * time.Millisecond) // longer than a request may take
	h.feed.Tell(wellNow(), []policy.Step{{Text: "After that."}})
	for lines.Scan() {
		if strings.Contains(lines.Text(), "After that.") {
			h.feed.Close()
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}

func TestTheDoctorsRowsComeOneByOne(t *testing.T) {
	more := make(chan struct{})
	h := newHouse(t, func(c *Config) {
		c.Doctor = func(ctx context.Context, _ *words.Lang, emit func(DoctorRow)) (string, error) {
			emit(DoctorRow{Component: "name", Came: "1.2.3.4", Verdict: "good"})
			select {
			case <-more:
			case <-ctx.Done():
			}
			emit(DoctorRow{Component: "page", Came: "<b>502</b>", Verdict: "bad", Do: "Look."})
			return "It is ill.", nil
		}
	})
	token := h.token()
	req, _ := http.NewRequest(http.MethodPost, h.url+"/api/doctor", nil)
	req.Header.Set("Content-Type", jsonKind)
	req.Header.Set(tokenHeader, token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"component":"name"`) {
		t.Errorf("first %s", lines.Text())
	}
	if status, a := h.post("/api/doctor", jsonKind, token, ""); status != 409 || a.OK {
		t.Errorf("a second one at the same time: HTTP %d", status)
	}
	close(more)
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	if len(rest) != 2 || !strings.Contains(rest[0], `"class":"holding"`) || !strings.Contains(rest[1], "It is ill.") {
		t.Errorf("then %q", rest)
	}
	form, err := http.PostForm(h.url+"/api/doctor", url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	defer form.Body.Close()
	page, _ := io.ReadAll(form.Body)
	if !bytes.Contains(page, []byte("&lt;b&gt;502&lt;/b&gt;")) || !bytes.Contains(page, []byte("It is ill.")) {
		t.Error("a form gets no table")
	}
}

func TestForgettingIsHandedOn(t *testing.T) {
	var fails error
	times := 0
	h := newHouse(t, func(c *Config) { c.Forget = func(context.Context) error { times++; return fails } })
	if status, _ := h.post("/api/forget", jsonKind, h.token(), ""); status != 202 || times != 1 {
		t.Errorf("HTTP %d, %d times", status, times)
	}
	fails = errors.New("away")
	if status, a := h.post("/api/forget", jsonKind, h.token(), ""); status != 502 || a.OK {
		t.Errorf("HTTP %d", status)
	}
}

func TestTheTimeline(t *testing.T) {
	f := NewFeed()
	now := noon
	f.now = func() time.Time { return now }
	tell := func(back time.Duration, state policy.Phase, ms int64, ok bool) {
		now = noon.Add(-back)
		f.Tell(medic.Status{State: state, LastProbe: &medic.ProbeStatus{At: now, TookMS: ms, OK: ok}}, nil)
	}
	tell(30*time.Hour, policy.Healthy, 50, true)
	tell(6*time.Hour, policy.Healthy, 80, true)
	tell(6*time.Hour-time.Second, policy.Healthy, 120, true)
	tell(2*time.Hour, policy.Holding, 0, false)
	tell(time.Hour, policy.Healthy, 100, true)
	now = noon

	states, probes := f.look(noon, 24*time.Hour, 288)
	if len(states) != 3 || states[0].From != noon.Add(-24*time.Hour) || states[1].State != policy.Holding || states[1].To.Sub(states[1].From) != time.Hour || states[2].To != noon {
		t.Errorf("states %+v", states)
	}
	var seen []string
	for i, p := range probes {
		if p.Probes > 0 {
			seen = append(seen, fmt.Sprintf("%d: %d/%d %d ms", i, p.Failed, p.Probes, p.MS))
		}
	}
	if want := []string{"215: 0/2 100 ms", "263: 1/1 -1 ms", "275: 0/1 100 ms"}; !slices.Equal(seen, want) {
		t.Errorf("probes %q, want %q", seen, want)
	}
	v := written(t, clock{words.English(), noon, time.UTC}.timeline(f, false))
	for _, part := range []string{"healthy 23 h", "waiting 1 h", "4 checks, 1 failed, 100 ms on average", `<path d="M`, "<span>12:00</span><span>18:00</span><span>00:00</span><span>06:00</span><span>now</span>"} {
		if !strings.Contains(v, part) {
			t.Errorf("without %q: %s", part, v)
		}
	}
	if n := strings.Count(v, `class="miss"`); n != 1 {
		t.Errorf("%d misses are drawn", n)
	}
	if v := written(t, clock{words.English(), noon, time.UTC}.timeline(f, true)); !strings.Contains(v, "1 d 5 h") {
		t.Errorf("the week in words: %s", v)
	}
}

func TestTheTimelineOutlivesARestartAndTheGapIsAGap(t *testing.T) {
	dir := t.TempDir()
	now := noon
	a := NewFeed()
	a.now = func() time.Time { return now }
	a.Tell(wellAt(now), nil)
	now = now.Add(time.Hour)
	a.Tell(wellAt(now), nil)
	if err := a.Save(dir); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	b := NewFeed()
	b.now = func() time.Time { return now }
	b.Load(dir)
	b.Tell(wellAt(now), nil)
	now = now.Add(time.Hour)
	states, probes := b.look(now, 24*time.Hour, 288)
	if len(states) != 2 || states[0].To.Sub(states[0].From) != time.Hour || states[1].From.Sub(states[0].To) != time.Hour {
		t.Errorf("states %+v", states)
	}
	n := 0
	for _, p := range probes {
		n += p.Probes
	}
	if n != 3 {
		t.Errorf("%d probes are left of 3", n)
	}
}

func wellAt(at time.Time) medic.Status {
	return medic.Status{State: policy.Healthy, LastProbe: &medic.ProbeStatus{At: at, TookMS: 10, OK: true}}
}

func TestTheFeedIsBounded(t *testing.T) {
	f := NewFeed()
	busyWeek(f)
	for i := range 5000 {
		s := wellNow()
		s.State = []policy.Phase{policy.Healthy, policy.Suspect}[i%2]
		f.Tell(s, []policy.Step{{Text: "x"}})
	}
	if len(f.spans) > maxSpans || len(f.steps) > maxSteps {
		t.Errorf("%d states and %d steps are kept", len(f.spans), len(f.steps))
	}
	dir := t.TempDir()
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	fresh := NewFeed()
	fresh.Load(dir)
	if len(fresh.spans) == 0 {
		t.Error("what was saved at its largest is not taken up again")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestThePageSpeaksItsReadersLanguage(t *testing.T) {
	h := newHouse(t)
	for want, header := range map[string][]string{
		`<html lang="en"`: {"Accept-Language", "ja"},
		`<html lang="de"`: {"Accept-Language", "de-AT,en;q=0.5"},
		`<html lang="nl"`: {"Accept-Language", "de", "Cookie", "tunnelmedic_lang=nl"},
		`<html lang="fr"`: {"Accept-Language", "fr", "Cookie", "tunnelmedic_lang=xx"},
	} {
		if _, _, page := h.get("/", header...); !strings.Contains(page, want) || strings.Contains(page, "page.") {
			t.Errorf("%v does not bring %s, or brings a key", header, want)
		}
	}
}
