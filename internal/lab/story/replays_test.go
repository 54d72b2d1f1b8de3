package story_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/lab"
	"tunnelmedic/internal/lab/story"
)

// played is a story that has been played.
type played struct {
	story.Result
	err  error
	told string
}

// play begins a scenario at the speed of tests. Stories wait far more than they
// compute, so all are played side by side, whatever the number of processors.
func play(t *testing.T, name string, change func(*story.Scenario)) func(*testing.T) story.Result {
	t.Helper()
	sc, err := story.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	sc.World.Speed = 1
	sc.Env = maps.Clone(sc.Env)
	change(&sc)
	done := make(chan played, 1)
	ctx := t.Context()
	go func() {
		var told bytes.Buffer
		r, err := story.Play(ctx, sc, 1, func(ctx context.Context, environ []string, log io.Writer) error {
			return addon.Run(ctx, environ, "1.0.0", log)
		}, &told)
		done <- played{r, err, told.String()}
	}()
	return func(t *testing.T) story.Result {
		t.Helper()
		p := <-done
		if p.err != nil || len(p.Failures) > 0 {
			t.Fatalf("%v\n%s\n%s", p.err, strings.Join(p.Failures, "\n"), p.told)
		}
		return p.Result
	}
}

func TestReplays(t *testing.T) {
	lost := play(t, "lost-twice", func(*story.Scenario) {})
	rolled := play(t, "rolled-back", func(sc *story.Scenario) {
		sc.Env["TUNNELMEDIC_FAILBACK_HOURS"] = "500ms"
		sc.World.Timings.ProbeTimeout, sc.World.Timings.ProbeInterval = 200*time.Millisecond, 250*time.Millisecond
	})
	healed := map[lab.Trouble]func(*testing.T) story.Result{}
	for _, trouble := range []lab.Trouble{lab.Slow, lab.Garbled, lab.RateLimited, lab.Endless} {
		healed[trouble] = play(t, "quic-stripped", func(sc *story.Scenario) { spoil(sc, trouble) })
	}
	t.Run("the reports of the lost upgrade say what its reporter found", func(t *testing.T) { lostUpgrade(t, lost(t).Reports) })
	t.Run("the report of the roll-back says that the cure was not needed", func(t *testing.T) { rollBack(t, rolled(t).Reports) })
	for trouble, wait := range healed {
		t.Run("healing goes on while Cloudflare's word is "+string(trouble), func(t *testing.T) {
			if r := wait(t); r.Restarts != 1 || len(r.Reports) != 1 {
				t.Error(r.Restarts, len(r.Reports))
			}
		})
	}
}

// spoil makes Cloudflare's page and API fail from the story's beginning.
func spoil(sc *story.Scenario, trouble lab.Trouble) {
	sc.Env = map[string]string{"TUNNELMEDIC_CLOUDFLARE_API_TOKEN": lab.CloudflareToken}
	script := sc.Script
	sc.Script = func(s *story.Stage) {
		s.World.Outside.Change(func(c *lab.Cloudflare) { c.Page, c.API = trouble, trouble })
		script(s)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("the report does not say %q", p)
		}
	}
}

// What the reporter of cloudflared's issue 1652 wrote, point by point.
func lostUpgrade(t *testing.T, reports []story.Report) {
	if len(reports) != 2 {
		t.Fatal(len(reports))
	}
	first, second := reports[0].Text, reports[1].Text
	contains(t, first,
		"allow_remote_config, serialized_headers, support_datagram_v2, support_quic_eof, management_logs", // the connector's features
		"No WebSocket UPGRADE hdr: None", "aiohttp", // the origin's words, and whose they are
		"Only the WebSocket failed",                       // plain HTTP is fine
		"Zone: HTTP/3 (browser to edge) | on",             // and is not what changed
		"quic → http2", "does not tell these three apart", // the workaround, without the claim
		"went from version 3299 to 3300", "12 h before the onset") // the push before
	contains(t, second,
		"Protocol at the onset | http2, in use: http2", // despite the workaround
		"fra03", "The data centre alone:** the same one answered", // not the edge's place
		"went from version 3300 to 3301", "10 h before the onset", // the push before
		"3301 to 3302",                                               // and the one before recovery
		"failed over quic and over http2",                            // not QUIC alone
		"**Verdict: `upstream`.**", "while nothing was changed here", // it ended on its own
		"2 of 2 incidents on record began within a day after a push of Cloudflare's managed DDoS L7 rules")
	for _, text := range []string{first, second} {
		for _, private := range []string{lab.DefaultSlug, "127.0.0.1", "198.41.192", "example.com", lab.CloudflareToken, lab.SupervisorToken, "f2a1c0de"} {
			if strings.Contains(text, private) {
				t.Errorf("%q is left in the public form", private)
			}
		}
	}
}

// What the hosting provider wrote of March 2026, as far as one house can see it.
func rollBack(t *testing.T, reports []story.Report) {
	if len(reports) != 1 {
		t.Fatal(len(reports))
	}
	contains(t, reports[0].Text,
		"Not every check failed", "timed out", // some requests, never answered
		"Only the WebSocket failed",    // application level, not the network
		"http2 → auto", "http2 → quic", // the mitigation
		"**Verdict: `upstream`.**", "the fault had passed", // the irony
		"Issues with HTTP/2 requests between Cloudflare and origins", "resolved") // the status page
}
