package addon_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"tunnelmedic/addon"
	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/lab"
)

// At first start something may be missing. Each time the household gets one calm
// notification with the next step, and the program takes notice on its own once it
// is put right.
func TestFirstRunWaitsForWhatIsMissingAndSaysWhat(t *testing.T) {
	second := lab.DefaultAddOns()[0]
	second.Slug = "396f0234_cloudflared"
	nameless := lab.DefaultAddOns()
	nameless[0].Options = without(t, nameless[0].Options, "external_hostname")

	for name, c := range map[string]struct {
		world    lab.Options
		env      map[string]string
		says     []string // what the notification must contain
		putRight func(*lab.World) error
	}{
		"no Cloudflared add-on is installed": {
			world:    lab.Options{AddOns: []lab.AddOn{}},
			says:     []string{"No Cloudflared app is installed", "Install it and start it"},
			putRight: func(w *lab.World) error { return w.User.Installs(lab.DefaultAddOns()[0]) },
		},
		"several are running": {
			world:    lab.Options{AddOns: append(lab.DefaultAddOns(), second)},
			says:     []string{"Several Cloudflared apps are running", "9074a9fa_cloudflared, 396f0234_cloudflared", "\"Cloudflared app\""},
			putRight: func(w *lab.World) error { return w.User.Stops(second.Slug) },
		},
		"it is installed but stopped": {
			world:    lab.Options{AddOns: stopped(lab.DefaultAddOns())},
			says:     []string{"The Cloudflared app is not running", "press Start"},
			putRight: func(w *lab.World) error { return w.User.Starts(lab.DefaultSlug) },
		},
		"Cloudflare Access asks for a login": {
			world:    lab.Options{Faults: lab.Faults{Access: true}},
			says:     []string{"Cloudflare Access asks for a login", "service token", "Tunnel Medic's configuration"},
			putRight: func(w *lab.World) error { w.SetFaults(lab.Faults{}); return nil },
		},
		"the public address is not known": {
			// No external_hostname, rules that lead elsewhere, and an external URL that is no public one.
			world: lab.Options{AddOns: nameless, FindURL: true, ServiceURL: "http://files.internal:80", ExternalURL: "http://home.internal:8123"},
			says:  []string{"The public address of Home Assistant was not found", "\"Public address\""},
			// What puts it right is our own option, which is read at a start.
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := lab.New(c.world)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			env := w.Env()
			env["TUNNELMEDIC_DATA_DIR"] = t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			life, end := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- addon.Run(life, lab.Environ(env), "test", io.Discard) }()

			if err := w.Wait(ctx, func() bool {
				n := w.Core.Told().Notifications["tunnelmedic"]
				for _, s := range c.says {
					if !strings.Contains(n.Title+"\n"+n.Message, s) {
						return false
					}
				}
				return true
			}); err != nil {
				t.Fatalf("the notification does not say %q: %+v", c.says, w.Core.Told().Notifications)
			}
			if n := len(w.Core.Told().Notifications); n != 1 {
				t.Errorf("%d notifications stand, not one", n)
			}
			if c.putRight != nil {
				if err := c.putRight(w); err != nil {
					t.Fatal(err)
				}
				if err := w.Wait(ctx, func() bool { return len(w.Core.Told().Notifications) == 0 }); err != nil {
					t.Errorf("put right, and the notification still stands: %+v", w.Core.Told().Notifications)
				}
			}
			if w.Supervisor.Restarts() != 0 {
				t.Errorf("the tunnel was restarted %d times", w.Supervisor.Restarts())
			}
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func stopped(list []lab.AddOn) []lab.AddOn {
	list[0].State = evidence.StateStopped
	return list
}

func without(t *testing.T, raw json.RawMessage, key string) json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, key)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
