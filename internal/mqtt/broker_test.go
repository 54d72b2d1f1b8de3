package mqtt

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/supervisor"
)

// broker is as much of an MQTT broker as one client needs, and may be unkind to it.
type broker struct {
	t        *testing.T
	listener net.Listener
	addr     netip.AddrPort

	mu      sync.Mutex
	connect []*packets.Connect
	got     []message // published, in order
	conn    net.Conn
	subs    []string
	refuse  byte // a reason to refuse everybody
	mute    bool // it acknowledges nothing
	changed chan struct{}
}

func newBroker(t *testing.T) *broker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, listener: l, addr: l.Addr().(*net.TCPAddr).AddrPort(), changed: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); b.cut(); wg.Wait() })
	return b
}

func (b *broker) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.changed)
	b.changed = make(chan struct{})
}

// until waits for something to be so.
func (b *broker) until(what string, ok func() bool) {
	b.t.Helper()
	late := time.After(10 * time.Second)
	for {
		b.mu.Lock()
		done, changed := ok(), b.changed
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			b.t.Fatalf("never: %s", what)
		}
	}
}

func (b *broker) serve(c net.Conn) {
	defer c.Close()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		b.mu.Lock()
		refuse, mute := b.refuse, b.mute
		b.mu.Unlock()
		var answer io.WriterTo
		switch m := p.Content.(type) {
		case *packets.Connect:
			ack := packets.NewControlPacket(packets.CONNACK)
			ack.Content.(*packets.Connack).ReasonCode = refuse
			b.change(func() { b.connect, b.conn = append(b.connect, m), c })
			answer = ack
		case *packets.Publish:
			b.change(func() { b.got = append(b.got, message{topic: m.Topic, payload: string(m.Payload)}) })
			if m.QoS == 1 && !mute {
				ack := packets.NewControlPacket(packets.PUBACK)
				ack.Content.(*packets.Puback).PacketID = m.PacketID
				answer = ack
			}
			if m.Retain == (m.Topic == eventTopic) {
				b.t.Errorf("%s is kept: %v", m.Topic, m.Retain)
			}
		case *packets.Subscribe:
			ack := packets.NewControlPacket(packets.SUBACK)
			s := ack.Content.(*packets.Suback)
			s.PacketID = m.PacketID
			for range m.Subscriptions {
				s.Reasons = append(s.Reasons, 1)
			}
			b.change(func() {
				for _, s := range m.Subscriptions {
					b.subs = append(b.subs, s.Topic)
				}
			})
			answer = ack
		case *packets.Pingreq:
			answer = packets.NewControlPacket(packets.PINGRESP)
		case *packets.Disconnect:
			return
		}
		if answer != nil {
			if _, err := answer.WriteTo(c); err != nil {
				return
			}
			if refuse != 0 {
				return
			}
		}
	}
}

// say publishes something to the client.
func (b *broker) say(topic, payload string, kept bool) {
	b.t.Helper()
	p := packets.NewControlPacket(packets.PUBLISH)
	m := p.Content.(*packets.Publish)
	m.Topic, m.Payload, m.Retain = topic, []byte(payload), kept
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := p.WriteTo(b.conn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close()
	}
}

func (b *broker) last(topic string) (payload string, times int) {
	for _, m := range b.got {
		if m.topic == topic {
			payload, times = m.payload, times+1
		}
	}
	return payload, times
}

// home is a Supervisor with a broker, or none, and Core's states.
type home struct {
	mu     sync.Mutex
	at     *netip.AddrPort
	asked  int
	user   string
	secret string
	states map[string]map[string]any
	sets   int
	away   error
}

func (h *home) Starts() int64 { return 0 }

func (h *home) MQTT(context.Context) (supervisor.Broker, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.away != nil {
		return supervisor.Broker{}, false, h.away
	}
	if h.at == nil {
		return supervisor.Broker{}, false, nil
	}
	return supervisor.Broker{Host: h.at.Addr().String(), Port: int(h.at.Port()), Username: h.user, Password: h.secret}, true, nil
}

func (h *home) SetState(_ context.Context, entity, state string, attributes map[string]any) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.states == nil {
		h.states = map[string]map[string]any{}
	}
	_, had := h.states[entity]
	h.states[entity] = map[string]any{"state": state, "attributes": attributes}
	h.sets++
	return !had, nil
}

// has is how many states there are, and how often one was sent.
func (h *home) has() (states, sets int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.states), h.sets
}

// state is an entity's, nil if there is none.
func (h *home) state(entity string) map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[entity]
}

// restarts is Core's: it forgets its states.
func (h *home) restarts() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = nil
}

func (h *home) DeleteState(_ context.Context, entity string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away != nil {
		return h.away
	}
	delete(h.states, entity)
	return nil
}

// hands count what is asked of them.
type hands struct {
	mu    sync.Mutex
	asked []string
	came  chan string
}

func newHands() *hands { return &hands{came: make(chan string, 50)} }

func (h *hands) note(what string) error {
	h.mu.Lock()
	h.asked = append(h.asked, what)
	h.mu.Unlock()
	h.came <- what
	return nil
}
func (h *hands) Probe()                          { _ = h.note("probe") }
func (h *hands) SwitchOff(context.Context) error { return h.note("off") }
func (h *hands) Resume(context.Context) error    { return h.note("on") }
func (h *hands) Pause(_ context.Context, d time.Duration) error {
	return h.note("pause " + d.String())
}
func (h *hands) doctor(context.Context) (Findings, error) {
	return Findings{At: time.Date(2026, 11, 21, 22, 5, 12, 0, time.UTC), Summary: "One thing is wrong.", Wrong: []string{"QUIC: no answer."}}, h.note("doctor")
}

var quick = Pace{Ask: 200 * time.Millisecond, Resend: 50 * time.Millisecond, Publish: 300 * time.Millisecond, Backoff: 10 * time.Millisecond}

// device are the entities of a home, with what it has beside what a test says of it.
func device(c Config) *Entities {
	c.Scrub = func(s string) string { return s }
	if c.History == nil {
		c.History = func() journal.History { return journal.History{} }
	}
	if c.Doctor == nil {
		c.Doctor = newHands().doctor
	}
	return New(c)
}

// run starts entities that end with the test.
func run(t *testing.T, h *home, pace Pace) (*Entities, *hands, *lines) {
	t.Helper()
	log := &lines{}
	who := newHands()
	e := device(Config{Supervisor: h, Log: zerolog.New(log).Level(zerolog.InfoLevel), Version: "1.0.0", Doctor: who.doctor, Pace: pace})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx, who) }()
	t.Cleanup(func() { cancel(); <-done })
	return e, who, log
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var errAway = errors.New("away")
