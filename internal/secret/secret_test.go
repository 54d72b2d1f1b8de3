package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/secret"
)

func TestWhatIsKnownIsCutOutInEveryDress(t *testing.T) {
	for name, s := range map[string]string{
		"a token":               "cfat_9f2c41d8",
		"with signs of a URL":   "p+ss/w=rd&?#",
		"with quotes":           `say "friend" and \enter`,
		"with signs of HTML":    "<b>&nothing</b>",
		"with letters of Köln":  "straße-zum-glück",
		"with a line's end":     "first line\nsecond line",
		"pasted with blanks":    "  pasted-token-1 \n",
		"with a word around it": "secret-of-6",
	} {
		t.Run(name, func(t *testing.T) {
			var k secret.Keeper
			k.Add(s)
			bare := strings.TrimSpace(s)
			inJSON, _ := json.Marshal(map[string]string{"v": bare})
			var plain bytes.Buffer
			e := json.NewEncoder(&plain)
			e.SetEscapeHTML(false)
			_ = e.Encode(bare)
			var log bytes.Buffer
			logger := zerolog.New(k.Writer(&log))
			logger.Info().Str("field", bare).AnErr("error", fmt.Errorf("it said %s", bare)).Msg("text " + bare)
			for dress, text := range map[string]string{
				"bare": "a " + bare + " b", "query": "https://x/?t=" + url.QueryEscape(bare), "path": "https://x/" + url.PathEscape(bare), "JSON": string(inJSON), "JSON with < and >": plain.String(),
				"HTML": "<p>" + html.EscapeString(bare) + "</p>",
			} {
				got := k.Scrub(text)
				if got == text || !strings.Contains(got, secret.Mark) || strings.Contains(got, bare) {
					t.Errorf("%s: %q became %q", dress, text, got)
				}
			}
			if got := log.String(); strings.Count(got, secret.Mark) != 3 || !json.Valid(log.Bytes()) {
				t.Errorf("the log line is %s", got)
			}
		})
	}
}

func TestWhatHasTheShapeOfASecretIsCutOutUnknown(t *testing.T) {
	var k secret.Keeper
	for text, want := range map[string]string{
		"GET https://user:pass@ha.example.com/x":             "GET https://[hidden]@ha.example.com/x",
		"https://user:p@ss@ha.example.com/x":                 "https://[hidden]@ha.example.com/x",
		"mqtt://token@broker:1883":                           "mqtt://[hidden]@broker:1883",
		"Authorization: Bearer abcDEF123.-_~":                "Authorization: Bearer [hidden]",
		"bearer\tabcdef123":                                  "bearer\t[hidden]",
		"eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln-bmF0dXJl": "[hidden]",
		"run --token eyJhIjoiZm9vIiwidCI6+mJh/ciJ9== now":    "run --token [hidden] now",
		"https://ha.example.com/":                            "https://ha.example.com/",
		"mail to a@example.com, see https://ha.example.com":  "mail to a@example.com, see https://ha.example.com",
		"the bearer of bad news":                             "the bearer of bad news",
		"eyJust":                                             "eyJust",
	} {
		if got := k.Scrub(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestOrdinaryWordsStay(t *testing.T) {
	var k secret.Keeper
	k.Add("", "a", "admin", "  on  ")
	const text = "admin is on a roll"
	if got := k.Scrub(text); got != text {
		t.Errorf("short values blanked words: %q", got)
	}
}

func TestASecretWithinASecretLeavesNothingBehind(t *testing.T) {
	var k secret.Keeper
	k.Add("abcdef", "123-abcdef-456", "abcdef")
	if got := k.Scrub("x 123-abcdef-456 y abcdef z"); got != "x [hidden] y [hidden] z" {
		t.Errorf("got %q", got)
	}
}

func TestTheWriterTellsTheCallersLength(t *testing.T) {
	var k secret.Keeper
	k.Add("a-very-long-secret-value")
	var out bytes.Buffer
	text := []byte("it is a-very-long-secret-value\n")
	if n, err := k.Writer(&out).Write(text); n != len(text) || err != nil || out.String() != "it is [hidden]\n" {
		t.Errorf("%d, %v, %q", n, err, out.String())
	}
	if _, err := k.Writer(failing{}).Write(text); err == nil {
		t.Error("a failed write was not told")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("closed") }

func TestManyMayUseAKeeperAtOnce(t *testing.T) {
	var k secret.Keeper
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				s := fmt.Sprintf("secret-%d-%d", i, j)
				k.Add(s)
				if got := k.Scrub(s); got != secret.Mark {
					t.Errorf("%q", got)
				}
			}
		})
	}
	wg.Wait()
}
