package tunnel

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
)

// Events is what the log tells of.
func Events(text string) []Event { return read(text).events }

var (
	eventNames = [...]string{"nothing", "began", "attempted", "registered", "broke", "dial-failed", "refused", "fell-back", "origin-failed", "login-wanted", "logged-in",
		"start-failed", "stopped", "failed"}
	reasonNames = [...]string{"", "may be blocked", "unroutable", "untrusted", "unspoken", "unresolved", "no host", "origin TLS", "origin off"}
	startNames  = [...]string{"", "DNS entry", "tunnel name", "authentication", "API away", "no edge", "other"}
)

// happened writes events down as the golden list below has them: what, of which
// connection, over what, why, and when.
func happened(events []Event) string {
	var parts []string
	for _, e := range events {
		if e.Kind == Attempted {
			continue
		}
		s := eventNames[e.Kind]
		if e.Conn != anyConn {
			s += fmt.Sprint(" ", e.Conn)
		}
		if e.Transport != evidence.NoTransport {
			s += " " + e.Transport.String()
		}
		if e.Reason != NoReason {
			s += " (" + reasonNames[e.Reason] + ")"
		}
		if e.Start != evidence.StartClean {
			s += " (" + startNames[e.Start] + ")"
		}
		if !e.At.IsZero() {
			s += e.At.UTC().Format(" 15:04:05")
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// logs is every log of testdata/log: the lines of one fault, as cloudflared of that
// year or the app's start script writes them. what is what happened by them; sums is
// what that amounts to a minute after the last dated line.
var logs = map[string]struct {
	what string
	sums evidence.Log
}{
	"breaks-once-2023": {"began quic 18:00:00; registered 3 quic 18:00:01; broke 3 quic 20:40:51",
		evidence.Log{Registered: 1, Lost: 1, LostOver: evidence.OverQUIC, Failures: 1}},
	"breaks-once-2026": {"began 05:12:40; began quic 05:12:40; registered 0 quic 05:12:41; registered 1 quic 05:12:43; broke 1 quic 09:33:17; dial-failed 1 quic (may be blocked) 09:34:04",
		evidence.Log{Registered: 2, Lost: 1, LostOver: evidence.OverQUIC, QUICFailed: 1, Failures: 2}},
	"breaks-again-quic": {"began quic 21:00:00; registered 0 quic 21:01:00; broke 0 quic 21:02:00; registered 0 quic 21:03:00; broke 0 quic 21:04:00; registered 0 quic 21:05:00; broke 0 quic 21:06:00; " +
		"registered 0 quic 21:07:00; broke 0 quic 21:08:00",
		evidence.Log{Registered: 4, Lost: 4, LostOver: evidence.OverQUIC, Failures: 1}},
	"breaks-again-http2": {"began http2 07:00:00; registered 0 http2 07:00:01; registered 1 http2 07:00:02; registered 2 http2 07:00:03; registered 3 http2 07:00:04; " +
		"broke 0 http2 07:12:30; broke 1 http2 07:12:30; broke 2 http2 07:12:30; broke 3 http2 07:12:30; registered 0 http2 07:12:50; registered 1 http2 07:12:51; registered 2 http2 07:12:52; " +
		"registered 3 http2 07:12:53; broke 0 http2 07:14:30; broke 1 http2 07:14:30; broke 2 http2 07:14:30; broke 3 http2 07:14:30; registered 0 http2 07:14:50; registered 1 http2 07:14:51; " +
		"registered 2 http2 07:14:52; registered 3 http2 07:14:53; broke 0 http2 07:17:30; broke 1 http2 07:17:30; broke 2 http2 07:17:30; broke 3 http2 07:17:30",
		evidence.Log{Registered: 12, Lost: 3, LostOver: evidence.OverHTTP2, Failures: 4}},
	"never-registers-2026": {"began quic 11:00:02; broke 0 quic 11:00:26; broke 0 quic 11:00:54; broke 0 quic 11:01:22; broke 0 quic 11:01:50; broke 0 quic 11:02:18; broke 0 quic 11:02:46; " +
		"broke 0 quic 11:03:14; broke 0 quic 11:03:42; broke 0 quic 11:04:10; broke 0 quic 11:04:38; broke 0 quic 11:05:06; broke 0 quic 11:05:34",
		evidence.Log{Lost: 12, LostOver: evidence.OverQUIC, Failures: 12}},
	"udp-blocked-while-connected": {"began quic 10:00:00; registered 0 quic 10:00:01; broke 0 quic 12:30:00; dial-failed 0 quic (may be blocked) 12:30:06; dial-failed 0 quic (may be blocked) 12:30:14",
		evidence.Log{Registered: 1, Lost: 1, LostOver: evidence.OverQUIC, QUICFailed: 2, Failures: 3}},
	"rejected-at-tls-level": {"began quic 16:00:01; dial-failed 0 quic (may be blocked) 16:00:02; dial-failed 0 quic (may be blocked) 16:00:04",
		evidence.Log{QUICFailed: 2, Failures: 2}},
	"curve-preferences-2024": {"began quic 10:00:01; dial-failed 0 quic (unspoken) 10:00:02; dial-failed 0 quic (unspoken) 10:00:03; dial-failed 0 quic (unspoken) 10:00:05",
		evidence.Log{Unspoken: 3, Failures: 3}},
	"clock-wrong-quic": {"began quic 00:00:11; dial-failed 0 quic (untrusted) 00:00:12; dial-failed 0 quic (untrusted) 00:00:14",
		evidence.Log{Untrusted: 2, Failures: 2}},
	"unroutable-quic": {"began quic 11:19:00; dial-failed 0 quic (unroutable) 11:20:09; dial-failed 0 quic (unroutable) 11:20:20",
		evidence.Log{Unroutable: 2, Failures: 2}},
	"unroutable-http2": {"began http2 11:19:00; dial-failed 0 http2 (unroutable) 11:20:09",
		evidence.Log{Unroutable: 1, Failures: 1}},
	"secret-refused-2026": {"began quic 10:00:00; refused 0 quic 10:00:01",
		evidence.Log{Rejected: 1, Failures: 1}},
	"stops-in-order": {"began quic 10:00:00; registered 0 quic 10:00:01; stopped 12:30:00",
		evidence.Log{Registered: 1}},
	"terse": {"dial-failed 0 quic (may be blocked) 02:30:06; dial-failed 0 quic (may be blocked) 02:30:14; broke 0 12:30:06",
		evidence.Log{Terse: true, Lost: 1, Failures: 3}},
	"journal-colours": {"began http2 10:00:00; broke 3 http2 10:00:31",
		evidence.Log{Lost: 1, LostOver: evidence.OverHTTP2, Failures: 1}},
	"no-dates": {"began quic; registered 0 quic; broke 0 quic; dial-failed 0 quic (may be blocked); failed",
		evidence.Log{Registered: 1, Lost: 1, LostOver: evidence.OverQUIC, QUICFailed: 1, Unknown: 1, Failures: 3,
			LastError: "panic: runtime error: invalid memory address or nil pointer dereference"}},
	"words-to-come": {"failed 0 10:00:01; failed 1 10:00:09; failed 10:00:10",
		evidence.Log{Unknown: 3, Failures: 3, LastError: "2028-07-01T10:00:10Z FTL Giving up"}},
	"requests-of-strangers": {"began quic 10:00:00; registered 0 quic 10:00:01; origin-failed 0 (origin off) 10:00:06; origin-failed 0 (origin TLS) 10:00:07; origin-failed 2 (no host) 10:00:08",
		evidence.Log{Registered: 1, NoHost: 1, OriginTLS: 1, OriginOff: 1}},
	"visitors-who-leave": {"began 06:00:00; began quic 06:00:00; registered 0 quic 06:00:01",
		evidence.Log{Registered: 1}},
	"waits-for-login":         {"began; login-wanted; login-wanted", evidence.Log{LoginWanted: true, Failures: 2}},
	"start-dns-entry-10000":   {"began; began; logged-in; start-failed (authentication); start-failed (API away)", evidence.Log{Terse: true, StartFailed: evidence.StartAuthentication, Failures: 2}},
	"start-dns-entry-refused": {"start-failed (DNS entry); start-failed (API away)", evidence.Log{Terse: true, StartFailed: evidence.StartDNSEntry, Failures: 2}},
	"start-api-away-route":    {"began; start-failed (API away); start-failed (API away)", evidence.Log{Terse: true, StartFailed: evidence.StartAPIAway, Failures: 2}},
	"start-api-away-name": {"dial-failed 1 quic (may be blocked) 02:10:02; start-failed (API away)",
		evidence.Log{QUICFailed: 1, StartFailed: evidence.StartAPIAway, Failures: 2}},
	"start-name-differs": {"start-failed (tunnel name)", evidence.Log{Terse: true, StartFailed: evidence.StartTunnelName, Failures: 1}},
	"start-no-edge": {"began quic 01:55:09; start-failed (no edge) 01:55:09; start-failed (no edge)",
		evidence.Log{StartFailed: evidence.StartNoEdge, Failures: 2}},
}

func TestLogsAreReadAsWhatHappened(t *testing.T) {
	files, err := filepath.Glob("testdata/log/*.log")
	if err != nil || len(files) != len(logs) {
		t.Fatalf("%d logs and %d expectations, %v", len(files), len(logs), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".log")
		t.Run(name, func(t *testing.T) {
			want, text := logs[name], readFile(t, file)
			events := Events(text)
			if got := happened(events); got != want.what {
				t.Errorf("read as\n%s\nwant\n%s", got, want.what)
			}
			l := ReadLog(text, aMinuteAfter(events), time.Time{})
			for _, line := range append(l.Telling, l.LastError) {
				if strings.Contains(line, "SECRET") {
					t.Errorf("a secret is told: %q", line)
				}
			}
			l.Telling, want.sums.Asked = nil, true
			if fmt.Sprintf("%+v", l) != fmt.Sprintf("%+v", want.sums) {
				t.Errorf("amounts to\n%+v\nwant\n%+v", l, want.sums)
			}
		})
	}
}

// What a log tells does not depend on how its lines came here.
func TestLogsAreReadWhateverCarriesTheirLines(t *testing.T) {
	for rule, change := range map[string]func(string) string{
		"CRLF":            func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"no last newline": func(s string) string { return strings.TrimRight(s, "\n") },
		"each line twice": func(s string) string { return eachLine(s, func(l string) string { return l + "\n" + l }) },
		"a journal's prefix": func(s string) string {
			return eachLine(s, func(l string) string { return "Jul 01 12:00:31 ha addon_x_cloudflared[812]: " + l })
		},
		"ten megabytes between": func(s string) string { return strings.Repeat("x", 10<<20) + "\n" + s },
		"ten megabytes behind":  func(s string) string { return s + strings.Repeat("x", 10<<20) },
		"bytes that are no text": func(s string) string {
			return "\xff\xfe\x00\n" + s + "\xff\xff"
		},
		"the connection's number first": func(s string) string {
			return eachLine(s, func(l string) string {
				head, rest, ok := strings.Cut(l, ` connIndex=`)
				message, fields, named := strings.Cut(head, ` error="`)
				if !ok || !named || strings.HasPrefix(l, "{") {
					return l
				}
				n, rest, _ := strings.Cut(rest, " ")
				return message + " connIndex=" + n + ` error="` + fields + " " + rest
			})
		},
		// cloudflared 2026.10 words QUIC's errors more fully, and nobody here has seen them yet.
		"an error that says more": func(s string) string {
			return eachLine(s, func(l string) string {
				return errorText.ReplaceAllString(l, `error="quic connection: $1 (remote: true, code: 0x0)"`)
			})
		},
		"a field that is new": func(s string) string {
			return eachLine(s, func(l string) string { return errorText.ReplaceAllString(l, `attempt=3 $0`) })
		},
	} {
		t.Run(rule, func(t *testing.T) {
			for name, want := range logs {
				if name == "journal-colours" || name == "no-dates" && rule == "a journal's prefix" {
					continue // it has a prefix; and a plain line behind one has no beginning to be known by
				}
				text := readFile(t, "testdata/log/"+name+".log")
				got, sums := happened(Events(change(text))), want.what
				if rule == "each line twice" { // what is no connection's may be told twice
					got, sums = brokenOnly(got), brokenOnly(sums)
				}
				if rule == "a journal's prefix" { // so may what is printed past the logger go unseen
					got, sums = brokenOnly(got), brokenOnly(sums)
				}
				if got != sums {
					t.Errorf("%s is read as\n%s\nwant\n%s", name, got, sums)
				}
			}
		})
	}
}

var errorText = regexp.MustCompile(`error="((?:[^"\\\\]|\\\\.)*)"`)

// Whatever the next cloudflared calls what broke inside, that something broke is not lost.
func TestWordsThatNobodyKnowsAreTroubleAllTheSame(t *testing.T) {
	for name := range logs {
		text := readFile(t, "testdata/log/"+name+".log")
		strange := errorText.ReplaceAllString(text, `error="the flux is out of phase"`)
		late := aMinuteAfter(Events(text)).Add(48 * time.Hour)
		known, l := ReadLog(text, late, time.Time{}), ReadLog(strange, late, time.Time{})
		if l.Failures < known.Failures || l.Registered != known.Registered {
			t.Errorf("%s: %d failures of %d are left, registered %d of %d", name, l.Failures, known.Failures, l.Registered, known.Registered)
		}
		if then, now := brokenOnly(happened(Events(text))), brokenOnly(happened(Events(strange))); then != "" && now == "" {
			t.Errorf("%s: of %q nothing is left", name, then)
		}
	}
}

// brokenOnly keeps what is told of connections.
func brokenOnly(what string) string {
	var kept []string
	for part := range strings.SplitSeq(what, "; ") {
		if strings.HasPrefix(part, "broke ") || strings.HasPrefix(part, "dial-failed ") || strings.HasPrefix(part, "refused ") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "; ")
}

func eachLine(s string, do func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(do(strings.TrimRight(line, "\n")))
		b.WriteByte('\n')
	}
	return b.String()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func aMinuteAfter(events []Event) (last time.Time) {
	for _, e := range events {
		if e.At.After(last) {
			last = e.At
		}
	}
	return last.Add(time.Minute)
}

const (
	lineQUIC       = "2026-11-21T20:00:00Z INF Initial protocol quic\n"
	lineHTTP2      = "2026-11-21T20:00:00Z INF Initial protocol http2\n"
	lineRegistered = "2026-11-21T20:00:01Z INF Registered tunnel connection connIndex=0 connection=5b1f event=0 ip=198.41.192.7 location=fra03 protocol=quic\n"
	lineDial       = "2026-11-21T20:00:10Z ERR Failed to dial a quic connection error=\"failed to dial to edge with quic: timeout: no recent network activity\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineDialAgain  = "2026-11-21T20:00:17Z ERR Failed to dial a quic connection error=\"failed to dial to edge with quic: timeout: no recent network activity\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineLost0      = "2026-11-21T20:05:00Z ERR Serve tunnel error error=\"accept stream listener encountered a failure while serving\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineTCP        = "2026-11-21T20:00:10Z ERR Unable to establish connection with Cloudflare edge error=\"DialContext error: dial tcp 198.41.192.7:7844: i/o timeout\" connIndex=0 event=0 ip=198.41.192.7\n"
	lineFallback   = "2026-11-21T20:02:11Z INF Switching to fallback protocol http2 connIndex=0 event=0 ip=198.41.192.7\n"
	linePrecheck   = "2026-11-21T20:00:00Z INF precheck: QUIC connectivity failed, http2 will be used\n"
	lineBuffer     = "2026-11-21T20:00:00Z INF failed to sufficiently increase receive buffer size (was: 208 kiB, wanted: 7168 kiB, got: 416 kiB)\n"
	lineUnknown    = "2026-11-21T20:00:30Z ERR What is this error=\"nobody knows\"\n"
)

func TestWhatTheLogAmountsTo(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 6, 0, 0, time.UTC)
	for rule, c := range map[string]struct {
		text  string
		since time.Time
		want  evidence.Log
	}{
		"nothing at all":                                   {"", time.Time{}, evidence.Log{Terse: true}},
		"dialling over QUIC fails":                         {lineQUIC + lineDial + lineDialAgain, time.Time{}, evidence.Log{QUICFailed: 2, Failures: 2}},
		"what failed before the internet was back is past": {lineQUIC + lineDial, now.Add(-time.Minute), evidence.Log{Failures: 1}},
		"a connection that came to stand ends the failing": {lineQUIC + lineDial + lineRegistered, time.Time{}, evidence.Log{Registered: 1}},
		"and what nobody knows":                            {lineQUIC + lineUnknown + lineRegistered, time.Time{}, evidence.Log{Registered: 1, Unknown: 1, LastError: strings.TrimSpace(lineUnknown)}},
		"an earlier run does not count":                    {lineQUIC + lineDial + lineDialAgain + lineHTTP2, time.Time{}, evidence.Log{}},
		"it breaks again and again within a second": {lineQUIC + strings.Repeat(lineRegistered+lineLost0, 3), time.Time{},
			evidence.Log{Registered: 3, Lost: 3, LostOver: evidence.OverQUIC, Failures: 1}},
		"auto fell back": {lineQUIC + lineDial + lineFallback + lineTCP, time.Time{},
			evidence.Log{QUICFailed: 1, HTTP2Failed: 1, FellBack: true, Failures: 2}},
		"the precheck's table is not believed": {linePrecheck + lineQUIC, time.Time{}, evidence.Log{}},
		"breaks of long ago": {strings.ReplaceAll(lineQUIC+lineLost0+strings.Replace(lineRegistered, "20:00:01", "20:05:09", 1), "T20:", "T02:"), time.Time{},
			evidence.Log{Registered: 1}},
		"breaks of long ago that are the log's last word": {strings.ReplaceAll(lineQUIC+lineLost0, "T20:", "T02:"), time.Time{},
			evidence.Log{Lost: 1, LostOver: evidence.OverQUIC, Failures: 1}},
		"breaks of a clock that was ahead count":            {strings.ReplaceAll(lineQUIC+lineLost0, "2026-", "2031-"), time.Time{}, evidence.Log{Lost: 1, LostOver: evidence.OverQUIC, Failures: 1}},
		"a receive buffer that cannot be grown is no fault": {lineBuffer, time.Time{}, evidence.Log{}},
		"dials of long ago, in a log without level info":    {strings.ReplaceAll(lineDial, "T20:", "T12:") + lineTCP, time.Time{}, evidence.Log{Terse: true, HTTP2Failed: 1, Failures: 2}},
		"a start that failed and then went well": {"[20:00:00] FATAL: Failed to create DNS entry ha.example.com.\n" + lineQUIC + lineRegistered, time.Time{},
			evidence.Log{Registered: 1}},
		"a login that was given": {"Please open the following URL and log in with your Cloudflare account:\n[20:00:00] INFO: Authentication successfull, moving auth file to the '/data' folder\n", time.Time{},
			evidence.Log{Terse: true, Failures: 1}},
	} {
		t.Run(rule, func(t *testing.T) {
			l := ReadLog(c.text, now, c.since)
			if len(l.Telling) > tellingLines {
				t.Errorf("%d telling lines are kept", len(l.Telling))
			}
			l.Telling, c.want.Asked = nil, true
			if fmt.Sprintf("%+v", l) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("read as %+v\nwant    %+v", l, c.want)
			}
		})
	}
}

// A log that holds failures is never quiet, whoever words them.
func TestALogOfFailuresIsNotQuiet(t *testing.T) {
	quiet := map[string]bool{"stops-in-order": true, "requests-of-strangers": true, "visitors-who-leave": true}
	for name := range logs {
		text := readFile(t, "testdata/log/"+name+".log")
		if l := ReadLog(text, aMinuteAfter(Events(text)).Add(48*time.Hour), time.Time{}); l.Quiet() != quiet[name] {
			t.Errorf("%s: quiet is %t, with %d failures", name, l.Quiet(), l.Failures)
		}
	}
	if (evidence.Log{}).Quiet() || ReadLog("", time.Time{}, time.Time{}).Quiet() {
		t.Error("a log that nobody read, or that tells nothing (--loglevel=fatal), is quiet")
	}
	for _, line := range []string{"ERR Edge handshake came to nothing connIndex=0", "FTL going down", "WRN lost it error=\"x\" connIndex=2"} {
		if l := ReadLog(lineQUIC+"2026-11-21T20:00:30Z "+line+"\n", time.Time{}, time.Time{}); l.Quiet() || l.LastError == "" {
			t.Errorf("%s is passed over in silence: %+v", line, l)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	for _, s := range []string{lineQUIC, lineHTTP2, lineRegistered, lineDial, lineLost0, lineTCP, lineFallback, linePrecheck, lineUnknown, "\xff connIndex=", "Initial protocol ",
		"[12:00:00] FATAL: x", `{"level":"error","message":"Serve tunnel error","connIndex":1}`, "\x1b[31m", ` error="\"`} {
		f.Add(s)
		f.Add(lineQUIC + s + s)
	}
	for name := range logs {
		raw, err := os.ReadFile("testdata/log/" + name + ".log")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	now := time.Date(2026, 11, 21, 20, 6, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		l := ReadLog(text, now, now.Add(-time.Hour))
		lines := strings.Count(text, "\n") + 1
		for _, n := range []int{l.Registered, l.Rejected, l.QUICFailed, l.HTTP2Failed, l.Unroutable, l.Untrusted, l.Unspoken, l.Unresolved, l.Lost, l.NoHost, l.OriginTLS, l.OriginOff, l.Unknown, l.Failures, len(l.Telling)} {
			if n < 0 || n > lines {
				t.Fatalf("%d of %d lines: %+v", n, lines, l)
			}
		}
		for _, s := range append(l.Telling, l.LastError) {
			if len(s) > tellingBytes || strings.ContainsAny(s, "\n\r\x00\x1b") || strings.Contains(s, "argotunnel?") {
				t.Fatalf("a telling line is %q", s)
			}
		}
		// Another run of the app has nothing of the last.
		if again := ReadLog(text+"\n2026-11-21T20:05:59Z INF Initial protocol quic\n", now, time.Time{}); again.Failures != 0 || again.Lost != 0 || again.StartFailed != evidence.StartClean {
			t.Fatalf("an earlier run counts: %+v", again)
		}
	})
}

func BenchmarkReadLog(b *testing.B) {
	text := strings.Repeat(lineRegistered+lineLost0+lineDial+lineUnknown, 400) // 256 KiB, which is what is asked for
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		ReadLog(text, time.Time{}, time.Time{})
	}
}

func FuzzParseCounters(f *testing.F) {
	f.Add("cloudflared_tunnel_total_requests 12\ncloudflared_tunnel_response_by_code{status_code=\"400\"} 3\nbuild_info{goversion=\"go1.26\",version=\"2026.8.2\"} 1\n")
	f.Add("cloudflared_tunnel_total_requests NaN\n")
	f.Add("cloudflared_tunnel_response_by_code{status_code=\"400\" 3\ncloudflared_tunnel_total_requests 1e300\n")
	f.Add("cloudflared_tunnel_concurrent_requests_per_tunnel{} -1\n}{\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCounters(strings.NewReader(text))
		if err != nil {
			return
		}
		if c.Codes == nil || c.Concurrent < 0 || c.Requests > 1e15 {
			t.Fatalf("%+v", c)
		}
		for code := range c.Codes {
			if code < 100 || code > 999 {
				t.Fatalf("status %d", code)
			}
		}
	})
}
