package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/rs/zerolog"
)

// TestMosquitto runs against the broker that most homes have. It needs one:
// TUNNELMEDIC_TEST_MOSQUITTO=/usr/sbin/mosquitto.
func TestMosquitto(t *testing.T) {
	program := os.Getenv("TUNNELMEDIC_TEST_MOSQUITTO")
	if program == "" {
		t.Skip("TUNNELMEDIC_TEST_MOSQUITTO is not set")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	dir := t.TempDir()
	conf, passwords := filepath.Join(dir, "mosquitto.conf"), filepath.Join(dir, "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", passwords, "addons", "right").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s\npersistence false\n", addr.Port(), passwords)
	if os.Geteuid() == 0 {
		text += "user root\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() (kill func()) {
		c := exec.Command(program, "-c", conf)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		wait(t, "mosquitto listens", func() bool {
			c, err := net.Dial("tcp", addr.String())
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
		var once sync.Once
		return func() { once.Do(func() { _ = c.Process.Kill(); _ = c.Wait() }) }
	}
	kill := start()
	t.Cleanup(func() { kill() })

	watch := newWatcher(t, addr)
	h := &home{at: &addr, user: "addons", secret: "wrong"}
	pace := quick
	pace.Ask = time.Second
	e, who, log := run(t, h, pace)
	e.Tell(well(84), nil)

	wait(t, "the refusal in the log", func() bool { return strings.Contains(log.String(), "refuses Tunnel Medic's sign-in") })
	if strings.Contains(log.String(), "wrong") {
		t.Errorf("the password is in the log: %s", log)
	}
	h.mu.Lock()
	h.secret = "right"
	h.mu.Unlock()
	watch.until("online", availabilityTopic, func(s string) bool { return s == online })
	watch.until("a state", stateTopic, func(s string) bool { return strings.Contains(s, `"probe_latency":84`) })
	watch.until("the device", discoveryTopic, func(s string) bool { return strings.Contains(s, "tunnelmedic_connectivity") })

	watch.say(probeTopic, press)
	if got := <-who.came; got != "probe" {
		t.Errorf("asked for %s", got)
	}
	watch.say(healingTopic, off)
	if got := <-who.came; got != "off" {
		t.Errorf("asked for %s", got)
	}

	t.Log("the broker is killed, and has forgotten everything when it is back")
	kill()
	e.Tell(well(85), nil)
	e.Tell(well(86), nil)
	watch.clear()
	began := time.Now()
	kill = start()
	watch.until("online again", availabilityTopic, func(s string) bool { return s == online })
	watch.until("the newest state", stateTopic, func(s string) bool { return strings.Contains(s, `"probe_latency":86`) })
	watch.until("the device again", discoveryTopic, func(s string) bool { return s != "" })
	t.Logf("back %v after the broker", time.Since(began).Round(time.Millisecond))
	watch.say(probeTopic, press)
	if got := <-who.came; got != "probe" {
		t.Errorf("after the broker's return: asked for %s", got)
	}

	t.Log("another with the same name comes, as after a crash: the old one's will is not the last word")
	second := device(Config{Supervisor: h, Log: zerolog.Nop(), Pace: quick})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); second.Run(ctx, who) }()
	second.Tell(well(87), nil)
	watch.until("its state", stateTopic, func(s string) bool { return strings.Contains(s, `"probe_latency":87`) })
	cancel()
	<-ended

	// What stands as "online" may still be the second one's word: only the first one
	// itself knows when it is in again.
	wait(t, "the first one is in again, and takes everything away", func() bool { return e.Forget(t.Context()) == nil })
	for _, topic := range kept() {
		watch.until("empty", topic, func(s string) bool { return s == "" })
	}
	late := newWatcher(t, addr)
	late.until("what is not ours", "test/marker", func(s string) bool { return s == "" })
	if kept := late.all(); len(kept) != 0 {
		t.Errorf("still kept at the broker: %v", kept)
	}
}

// watcher is somebody else at the broker.
type watcher struct {
	t  *testing.T
	m  *autopaho.ConnectionManager
	mu sync.Mutex
	at map[string]string
}

func newWatcher(t *testing.T, addr netip.AddrPort) *watcher {
	w := &watcher{t: t, at: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	subscribed := make(chan struct{}, 10)
	m, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: addr.String()}}, KeepAlive: 5, ConnectUsername: "addons", ConnectPassword: []byte("right"),
		CleanStartOnInitialConnection: true,
		ReconnectBackoff:              func(int) time.Duration { return 20 * time.Millisecond },
		OnConnectionUp: func(m *autopaho.ConnectionManager, _ *paho.Connack) {
			go func() {
				_, _ = m.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1}}})
				subscribed <- struct{}{}
			}()
		},
		ClientConfig: paho.ClientConfig{OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.at[p.Packet.Topic] = string(p.Packet.Payload)
			return true, nil
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	t.Cleanup(func() { cancel(); <-m.Done() })
	<-subscribed
	return w
}

func (w *watcher) read(topic string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[topic]
}

func (w *watcher) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for topic, payload := range w.at {
		if payload != "" {
			list = append(list, topic+" "+payload)
		}
	}
	return list
}

func (w *watcher) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.at)
}

func (w *watcher) until(what, topic string, ok func(string) bool) {
	w.t.Helper()
	wait(w.t, what, func() bool { return ok(w.read(topic)) })
}

func (w *watcher) say(topic, payload string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	wait(w.t, "said "+topic, func() bool {
		_, err := w.m.Publish(ctx, &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1})
		return err == nil
	})
}
