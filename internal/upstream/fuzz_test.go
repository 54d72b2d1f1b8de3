package upstream_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tunnelmedic/internal/lab/wire"
	"tunnelmedic/internal/upstream"
	"tunnelmedic/internal/words"
)

// Whatever Cloudflare's status page and API answer, it is a bounded value that can be
// kept, and the token is in none of it.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"incidents":[{"name":"Tunnel errors","status":"investigating","impact":"major","created_at":"2026-11-21T10:00:00Z","shortlink":"https://stspg.io/x","components":[{"name":"Frankfurt, Germany - (FRA)"}],"incident_updates":[{"body":"WebSockets","affected_components":[{"name":"Tunnel"}]}]}]}`,
		`{"success":true,"result":[{"id":"0123456789abcdef0123456789abcdef","name":"example.com","account":{"id":"a"}}],"errors":[]}`,
		`{"success":true,"result":{"id":"websockets","value":"off","modified_on":"2026-11-21T10:00:00Z"}}`,
		`{"success":true,"result":[{"type":"CNAME","content":"f2a1c0de-5b1f-4e0a-9c1d-7f6e1652aa01.cfargotunnel.com"}]}`,
		`{"success":true,"result":[{"id":"x","version":"2026.8.2","conns":[{"colo_name":"fra03","opened_at":"2026-11-21T10:00:00Z"}],"run_at":null}]}`,
		`{"success":false,"errors":[{"code":9109}]}`, `{"incidents":null}`, `[]`, ``, "\xff",
	} {
		f.Add("200 OK", []byte(body))
	}
	f.Add("429 Too Many Requests", []byte(`{"success":false,"errors":[{"code":971}]}`))
	const token = "a-read-only-token-of-somebody"
	f.Fuzz(func(t *testing.T, status string, body []byte) {
		status = strings.NewReplacer("\r", " ", "\n", " ").Replace(status)
		c := upstream.New(upstream.Config{StatusURL: "http://127.0.0.1:1/api/v2", APIURL: "http://127.0.0.1:1/client/v4", Token: token, Net: wire.Saying(wire.HTTP(status, "application/json", body))})
		u := c.Ask(t.Context(), upstream.Question{Hosts: []string{"ha.example.com"}, Reports: true, Colos: []string{"FRA", "fra03"}})
		whole, err := json.Marshal(u)
		if err != nil {
			t.Fatalf("it cannot be kept: %v", err)
		}
		if len(whole) > 64<<10 || strings.Contains(string(whole), token) {
			t.Errorf("%d bytes are kept: %.2000s", len(whole), whole)
		}
		for _, s := range words.English().Texts(words.Gaps(u.Troubles)) {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n") || len(s) > 1000 {
				t.Errorf("a trouble is no sentence: %q", s)
			}
		}
	})
}
