package survey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/survey"
)

const (
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15"
	app     = "Mozilla/5.0 (Linux; Android 15; Pixel 8 Build/X; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/139.0 Mobile Safari/537.36 Home Assistant/2026.9.1-1 (Android 15; Pixel 8)"
)

var coreNow = time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)

func closed(agent string) string {
	return fmt.Sprintf("WARNING (MainThread) [homeassistant.components.websocket_api.http.connection] [140570145081920] from 203.0.113.9 (%s): Disconnected: Received close message during auth phase", agent)
}

func closedAtDebug(agent string) string {
	return strings.NewReplacer("WARNING", "DEBUG", "Disconnected:", "Disconnected during auth phase:").Replace(closed(agent))
}

// The texts are those of homeassistant/components/http/forwarded.py, ban.py and
// websocket_api/http.py, as they stand in 2021 to 2026.
func TestHomeAssistantsLogIsReadAsCounts(t *testing.T) {
	forwarded := func(text string) string {
		return "ERROR (MainThread) [homeassistant.components.http.forwarded] " + text
	}
	at := func(ago time.Duration, line string) string {
		return coreNow.Add(-ago).Format("2006-01-02 15:04:05.000") + " " + line
	}
	for name, c := range map[string]struct {
		lines []string
		want  evidence.CoreLog
	}{
		"nothing": {nil, evidence.CoreLog{}},
		"not set up": {[]string{at(time.Minute, forwarded("A request from a reverse proxy was received from 172.30.33.4, but your HTTP integration is not set-up for reverse proxies"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedUnset, Refused: 1}},
		"an untrusted proxy": {[]string{at(time.Minute, forwarded("Received X-Forwarded-For header from an untrusted proxy 172.30.33.4"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedDistrust, Refused: 1}},
		"an untrusted proxy in 2021": {[]string{at(time.Minute, "WARNING (MainThread) [homeassistant.components.http.forwarded] Received X-Forwarded-For header from untrusted proxy 172.30.33.4, headers not processed")},
			evidence.CoreLog{Forwarded: evidence.ForwardedDistrust, Refused: 1}},
		"no address": {[]string{at(time.Minute, forwarded("Invalid IP address in X-Forwarded-For: unknown, 203.0.113.9"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedAddress, Refused: 1}},
		"an empty scheme": {[]string{at(time.Minute, forwarded("Empty item received in X-Forward-Proto header: https,"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedNoProto, Refused: 1}},
		"schemes that do not fit": {[]string{at(time.Minute, forwarded("Incorrect number of elements in X-Forward-Proto. Expected 1 or 3, got 2: https,http"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedProtos, Refused: 1}},
		"an empty host": {[]string{at(time.Minute, forwarded("Empty value received in X-Forward-Host header"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedNoHost, Refused: 1}},
		"a header twice": {[]string{at(time.Minute, forwarded("Too many headers for X-Forwarded-For: ['203.0.113.9', '203.0.113.8']"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedTwice, Refused: 1}},
		"the newest reason counts, and all are counted": {[]string{
			at(9*time.Minute, forwarded("Received X-Forwarded-For header from an untrusted proxy 172.30.33.4")),
			at(time.Minute, forwarded("Empty value received in X-Forward-Host header"))},
			evidence.CoreLog{Forwarded: evidence.ForwardedNoHost, Refused: 2}},
		"in colours": {[]string{"\x1b[31m" + at(time.Minute, forwarded("Empty value received in X-Forward-Host header")) + "\x1b[0m"},
			evidence.CoreLog{Forwarded: evidence.ForwardedNoHost, Refused: 1}},
		"of yesterday":                     {[]string{at(24*time.Hour, forwarded("Empty value received in X-Forward-Host header"))}, evidence.CoreLog{}},
		"of a clock that is set otherwise": {[]string{at(-8*time.Hour, forwarded("Empty value received in X-Forward-Host header"))}, evidence.CoreLog{}},
		"words that nobody knows":          {[]string{at(time.Minute, forwarded("Something new is wrong with X-Forwarded-For"))}, evidence.CoreLog{}},
		"a ban":                            {[]string{at(time.Minute, "WARNING (MainThread) [homeassistant.components.http.ban] Banned IP 203.0.113.9 for too many login attempts")}, evidence.CoreLog{Bans: 1}},
		"a wrong password is no ban": {[]string{at(time.Minute, "WARNING (MainThread) [homeassistant.components.http.ban] Login attempt or request with invalid authentication from anna.example.com (203.0.113.9). Requested URL: '/auth/login_flow'. (Banned IP )")},
			evidence.CoreLog{}},
		"sign-ins that broke off": {[]string{at(3*time.Minute, closed(chrome)), at(2*time.Minute, closed(chrome)), at(time.Minute, closed(firefox)), at(time.Minute, closed(safari)), at(time.Minute, closed(app)), at(time.Minute, closed("Uptime-Kuma/2.0"))},
			evidence.CoreLog{Closed: [evidence.NumClients]int{1, 2, 1, 1, 1}}},
		"our own": {[]string{at(time.Minute, closed("tunnelmedic")), at(time.Minute, closed("tunnelmedic/1.4.0"))}, evidence.CoreLog{Ours: 2}},
		"at debug, in the words of 2026.11": {[]string{at(time.Minute, closedAtDebug("tunnelmedic")), at(time.Minute, closedAtDebug(chrome))},
			evidence.CoreLog{Ours: 1, Closed: [evidence.NumClients]int{0, 1}}},
		"who only claims to be ours":         {[]string{at(time.Minute, closed("tunnelmedicine/1 Chrome/140"))}, evidence.CoreLog{Closed: [evidence.NumClients]int{0, 1}}},
		"a client that never answered":       {[]string{at(time.Minute, strings.Replace(closed(chrome), "Received close message during auth phase", "Did not receive auth message within 10 seconds", 1))}, evidence.CoreLog{}},
		"another integration that quotes it": {[]string{at(time.Minute, "WARNING (MainThread) [custom_components.x] [homeassistant.components.http.ban] Banned IP 203.0.113.9 for too many login attempts")}, evidence.CoreLog{}},
		"a line of many that are none":       {[]string{"Traceback (most recent call last):", "  File \"x.py\"", strings.Repeat("x", 100000)}, evidence.CoreLog{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Asked = true
			got := survey.ReadCoreLog(strings.Join(c.lines, "\n"), coreNow, time.UTC)
			if got != c.want {
				t.Errorf("%+v", got)
			}
			if s := fmt.Sprintf("%+v", got); strings.Contains(s, "203.0.113") || strings.Contains(s, "172.30") || strings.Contains(s, "anna") || strings.Contains(s, "Mozilla") {
				t.Errorf("it keeps what is nobody's business: %s", s)
			}
		})
	}
}

func TestHomeAssistantsLogIsInTheHomesTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	line := coreNow.In(berlin).Add(-time.Minute).Format("2006-01-02 15:04:05.000") + " " + closed(chrome)
	if l := survey.ReadCoreLog(line, coreNow, berlin); l.ClosedByBrowsers() != 1 {
		t.Errorf("%+v", l)
	}
	if l := survey.ReadCoreLog(line, coreNow, time.UTC); l.ClosedByBrowsers() != 0 {
		t.Errorf("an hour later than now: %+v", l)
	}
	for offset, want := range map[string]int{"+01:00": 1, "+0100": 1, "+00:00": 0, "-05:30": 0, "+1:00": 0} {
		of2026 := strings.Replace(line, ".000 ", ".000"+offset+" ", 1)
		if l := survey.ReadCoreLog(of2026, coreNow, time.UTC); l.ClosedByBrowsers() != want {
			t.Errorf("with the offset %s, as since 2026.11: %+v", offset, l)
		}
	}
}

func FuzzReadCoreLog(f *testing.F) {
	f.Add("2026-11-25 17:59:00.000 " + closed(chrome))
	f.Add("2026-11-25 17:59:00 ERROR (MainThread) [homeassistant.components.http.forwarded] Invalid IP address in X-Forwarded-For: ")
	f.Add("\x1b[31m2026-99-99 17:59:00.000 ERROR () [a] ")
	f.Fuzz(func(t *testing.T, text string) {
		l := survey.ReadCoreLog(text, coreNow, time.UTC)
		if lines := strings.Count(text, "\n") + 1; l.Refused+l.Bans+l.Ours+l.ClosedByBrowsers() > lines {
			t.Errorf("%+v of %d lines", l, lines)
		}
	})
}
