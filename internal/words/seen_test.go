package words_test

import (
	"strings"
	"testing"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/words"
)

// What a page says is quoted, never its markup.
func TestWhatAnAnswerSaysIsQuotedWithoutMarkup(t *testing.T) {
	for body, want := range map[string]string{
		"error code: 1033\n":                        `HTTP 502, "error code: 1033"`,
		"  line\r\nanother":                         `HTTP 502, "line"`,
		"<html>\r\n<head><title>502":                "HTTP 502, an HTML page",
		"<!DOCTYPE html><p>x</p>":                   "HTTP 502, an HTML page",
		"<title></title>":                           "HTTP 502, an HTML page",
		"<html><title>502:\r\n Bad gateway</title>": `HTTP 502, a page titled "502: Bad gateway"`,
		"":                    "HTTP 502",
		"say \"hi\" \x1b[31m": `HTTP 502, "say \"hi\" \x1b[31m"`,
	} {
		l := evidence.Look{Stage: evidence.Answered, Status: 502, Body: body}
		if got := words.English().Write(words.Look(l)); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}

// Evidence is said in the reader's language, whole: where a language says the same as
// English, it is a name or a number.
func TestEvidenceIsSaidInEveryLanguage(t *testing.T) {
	e := evidence.Evidence{
		Public:    evidence.Look{Stage: evidence.Answered, Status: 502, Body: "<html>", Outside: true},
		Direct:    evidence.Look{Stage: evidence.Resolved, Trouble: evidence.Refused},
		QUIC:      evidence.Look{Stage: evidence.Asked, Trouble: evidence.TimedOut},
		Connector: evidence.Connector{Asked: true, Status: 200, Ready: 4, Transport: evidence.OverQUIC, Before: &evidence.Counters{}, Counters: &evidence.Counters{Requests: 2, Errors: 1}},
		Log:       evidence.Log{Asked: true, Lost: 3, StartFailed: evidence.StartAPIAway},
		CoreLog:   evidence.CoreLog{Asked: true, Refused: 2, Forwarded: evidence.ForwardedDistrust, Bans: 1},
		AddOn:     evidence.AddOn{Asked: true, Slug: "x_cloudflared"},
		Internet:  evidence.InternetDown, Zone: evidence.Zone{WebSockets: evidence.Off},
	}
	english := words.English().Seen(e)
	if len(english) != 10 {
		t.Fatalf("%d looks: %v", len(english), english)
	}
	for _, tag := range words.Tags[1:] {
		for look, text := range words.In(tag).Seen(e) {
			if text == english[look] || strings.Contains(text, "seen.") {
				t.Errorf("%s, %s: %s", tag, look, text)
			}
		}
	}
}
