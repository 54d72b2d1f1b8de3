// Package mqtt shows the program as a device with entities in Home Assistant: by MQTT
// discovery where Supervisor knows a broker, else as plain states through Core. It
// reads what the loop publishes, and hands on two wishes: a probe, and quiet.
package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/rs/zerolog"

	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/words"
)

// Supervisor is what is asked of it: where the broker is, and Core's states.
type Supervisor interface {
	MQTT(context.Context) (supervisor.Broker, bool, error)
	SetState(ctx context.Context, entity, state string, attributes map[string]any) error
	DeleteState(ctx context.Context, entity string) error
}

// Hands take what people ask for by the entities.
type Hands interface {
	Probe()
	SwitchOff(context.Context) error
	Resume(context.Context) error
}

// Config is what the entities need.
type Config struct {
	Supervisor Supervisor
	Log        zerolog.Logger
	Scrub      func(string) string
	RootCAs    *x509.CertPool // for a broker that speaks TLS; nil = the system's
	Net        network.Network
	Version    string
	Page       string    // the page's path in Home Assistant, "" if not known
	LastCure   time.Time // from the journal; zero if there was none
	Voice      *words.Voice
	Pace       Pace
}

// Pace is how long things are waited for. The zero value fits a real house.
type Pace struct {
	Ask     time.Duration // between questions for a broker, and for its new credentials (5 min)
	Resend  time.Duration // between sendings of Core's states: Core forgets them when it restarts (1 min)
	Publish time.Duration // for one message's acknowledgement (10 s)
	Backoff time.Duration // before the first new attempt to connect, doubling to a minute (1 s)
}

func (p Pace) filled() Pace {
	for _, f := range []struct {
		d *time.Duration
		v time.Duration
	}{{&p.Ask, 5 * time.Minute}, {&p.Resend, time.Minute}, {&p.Publish, 10 * time.Second}, {&p.Backoff, time.Second}} {
		if *f.d == 0 {
			*f.d = f.v
		}
	}
	return p
}

// farewell is how long the last word may take.
const farewell = 700 * time.Millisecond

// Entities are the device in Home Assistant. Tell never blocks: of each entity only
// the newest state is kept until it can be sent.
type Entities struct {
	Config
	wake   chan struct{}
	forget chan chan error

	mu    sync.Mutex // guards Page too
	now   reading
	attrs attributes
	heals bool
	told  bool              // something is known
	sent  map[string]string // by topic, to the present broker
}

// New makes them. Nothing is sent before Run.
func New(c Config) *Entities {
	c.Pace = c.Pace.filled()
	if c.Scrub == nil {
		c.Scrub = func(s string) string { return s }
	}
	e := &Entities{Config: c, wake: make(chan struct{}, 1), forget: make(chan chan error), sent: map[string]string{}}
	if !c.LastCure.IsZero() {
		e.now.LastCure = ptr(c.LastCure.UTC().Truncate(time.Second))
	}
	return e
}

// Link takes the page's path in Home Assistant, which may become known, or another,
// while the program runs.
func (e *Entities) Link(page string) {
	e.mu.Lock()
	e.Page = page
	e.mu.Unlock()
	e.signal()
}

func (e *Entities) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Tell takes the present status and what led to it.
func (e *Entities) Tell(s medic.Status, steps []policy.Step) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := cured(steps); at != nil {
		e.now.LastCure = at
	}
	e.now, e.attrs = read(s.In(e.Voice.Lang()), e.now)
	e.heals, e.told = s.Mode == "heal", true
	e.signal()
}

// Forget takes everything out of Home Assistant again; afterwards Run sends nothing
// more.
func (e *Entities) Forget(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case e.forget <- done:
	case <-ctx.Done():
		return errors.New("neither the MQTT broker nor Core is to be had now")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errForgotten ends a mode: there is nothing more to do.
var errForgotten = errors.New("forgotten")

// Run shows the entities until the context ends.
func (e *Entities) Run(ctx context.Context, hands Hands) {
	warned := ""
	for ctx.Err() == nil {
		broker, ok, err := e.Supervisor.MQTT(ctx)
		switch {
		case err != nil:
			e.Log.Debug().Err(err).Msg("Whether there is an MQTT broker is not known yet.")
			err = e.throughCore(ctx, e.Pace.Ask/10)
		case ok:
			e.clearCore(ctx)
			err = e.throughBroker(ctx, broker, hands)
		default:
			err = e.throughCore(ctx, e.Pace.Ask)
		}
		if errors.Is(err, errForgotten) {
			<-ctx.Done()
			return
		}
		if err != nil && ctx.Err() == nil {
			if text := e.Scrub(err.Error()); text != warned {
				warned = text
				e.Log.Warn().Msg(text)
			}
			sleep(ctx, e.Pace.Ask)
		}
	}
}

// dial connects to the broker over the house's network.
func (e *Entities) dial(ctx context.Context, cfg autopaho.ClientConfig, broker *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	conn, err := e.Net.Dial(ctx, "tcp", broker.Host)
	if err != nil || broker.Scheme != "mqtts" {
		return conn, err
	}
	secured := tls.Client(conn, cfg.TlsCfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return packets.NewThreadSafeConn(secured), nil
}

// throughBroker keeps a connection to the broker until the context ends, or until
// Supervisor should be asked anew who and where the broker is.
func (e *Entities) throughBroker(ctx context.Context, b supervisor.Broker, hands Hands) error {
	life, end := context.WithCancel(context.Background()) // outlives ctx by the last word
	defer end()
	link := newLink()
	m, err := autopaho.NewConnection(life, e.dialling(ctx, b, hands, link))
	if err != nil {
		return errors.New("the MQTT broker that Supervisor names cannot be used: " + err.Error())
	}
	defer func() { end(); <-m.Done() }()

	connected, born := false, time.Time{}
	var wake <-chan struct{} // these two while it is connected
	var tick <-chan time.Time
	again := time.NewTicker(e.Pace.Publish) // what was not acknowledged is sent anew
	defer again.Stop()
	patience := time.NewTimer(e.Pace.Ask)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			if connected {
				e.leave(life, m)
			}
			return nil
		case <-link.up:
			connected, wake, tick = true, e.wake, again.C
			patience.Stop()
			e.arrive(life, m, b)
		case <-link.down:
			connected, wake, tick = false, nil, nil
			patience.Reset(e.Pace.Ask)
			e.Log.Info().Str("broker", b.Host).Msg("The MQTT broker is gone; waiting for it.")
		case <-link.birth:
			born = e.announce(life, m, born)
		case <-wake:
			e.flush(life, m)
		case <-tick:
			e.flush(life, m)
		case <-patience.C:
			if !connected {
				return nil // it may have moved
			}
		case err := <-link.refused:
			return errors.New("the MQTT broker at " + b.Host + " refuses Tunnel Medic's sign-in (" + e.Scrub(reason(err)) + "); there are no entities until it does. Restart the broker's add-on, which gives new credentials.")
		case done := <-e.forget:
			err := e.erase(life, m, connected)
			done <- err
			if err == nil {
				_ = m.Disconnect(life)
				return errForgotten
			}
		}
	}
}

// link is what the connection to a broker reports.
type link struct {
	up, down, birth chan struct{}
	refused         chan error
}

func newLink() link {
	return link{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan error, 1)}
}

// note reports what need not be said twice.
func note[T any](c chan T, what T) {
	select {
	case c <- what:
	default:
	}
}

// dialling is how a broker is connected to, and who hears of it.
func (e *Entities) dialling(ctx context.Context, b supervisor.Broker, hands Hands, l link) autopaho.ClientConfig {
	scheme := "mqtt"
	if b.SSL {
		scheme = "mqtts"
	}
	return autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{{Scheme: scheme, Host: net.JoinHostPort(b.Host, strconv.Itoa(b.Port))}},
		TlsCfg:                        &tls.Config{RootCAs: e.RootCAs, ServerName: b.Host, MinVersion: tls.VersionTLS12},
		KeepAlive:                     30,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                e.Pace.Publish,
		AttemptConnection:             e.dial,
		ReconnectBackoff: func(n int) time.Duration {
			return min(e.Pace.Backoff<<min(max(n, 1)-1, 10), time.Minute)
		},
		ConnectUsername: b.Username,
		ConnectPassword: []byte(b.Password),
		// One fixed client id: when the program starts anew after a crash, the broker
		// sends the old one's will before, and not after, the new one is online.
		ClientConfig:     paho.ClientConfig{ClientID: "tunnelmedic", PacketTimeout: e.Pace.Publish, OnPublishReceived: []func(paho.PublishReceived) (bool, error){e.listener(ctx, hands, l)}},
		WillMessage:      &paho.WillMessage{Topic: availabilityTopic, Payload: []byte(offline), QoS: 1, Retain: true},
		OnConnectionUp:   func(*autopaho.ConnectionManager, *paho.Connack) { note(l.up, struct{}{}) },
		OnConnectionDown: func() bool { note(l.down, struct{}{}); return true },
		OnConnectError: func(err error) {
			var no *autopaho.ConnackError
			if errors.As(err, &no) && no.ReasonCode >= 0x84 && no.ReasonCode <= 0x8a { // protocol, client id, credentials, not authorised, banned…
				note(l.refused, err)
				return
			}
			e.Log.Debug().Str("broker", b.Host).Msg("The MQTT broker cannot be reached yet: " + e.Scrub(err.Error()))
		},
	}
}

// listener takes what the broker sends: Home Assistant's birth, and commands.
func (e *Entities) listener(ctx context.Context, hands Hands, l link) func(paho.PublishReceived) (bool, error) {
	orders := newOrders()
	return func(m paho.PublishReceived) (bool, error) {
		switch {
		case m.Packet.Topic == birthTopic:
			if string(m.Packet.Payload) == online {
				note(l.birth, struct{}{})
			}
		case m.Packet.Retain: // a kept command is an old one
		case !orders.may(m.Packet.Topic, time.Now()):
			if orders.first() {
				e.Log.Warn().Msg("Commands come over MQTT faster than anybody presses buttons; most of them are passed over until it calms down.")
			}
		default:
			e.obey(ctx, m.Packet.Topic, m.Packet.Payload, hands)
		}
		return true, nil
	}
}

// arrive is what a new connection begins with.
func (e *Entities) arrive(ctx context.Context, m *autopaho.ConnectionManager, b supervisor.Broker) {
	e.Log.Info().Str("broker", b.Host).Msg("Connected to the MQTT broker; the entities are in Home Assistant.")
	if err := e.subscribe(ctx, m); err != nil {
		e.Log.Debug().Msg("Subscribing did not work: " + e.Scrub(err.Error()))
	}
	e.resend(ctx, m)
}

// announce answers Home Assistant's birth: at once, or, however often it is said, at the
// next tick. It gives when it last did.
func (e *Entities) announce(ctx context.Context, m *autopaho.ConnectionManager, last time.Time) time.Time {
	now := time.Now()
	if now.Sub(last) < e.Pace.Publish {
		e.forgetSent()
		return last
	}
	e.resend(ctx, m)
	return now
}

// leave says the last word.
func (e *Entities) leave(ctx context.Context, m *autopaho.ConnectionManager) {
	bye, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	_ = e.publish(bye, m, availabilityTopic, offline)
	_ = m.Disconnect(bye)
}

func reason(err error) string {
	var no *autopaho.ConnackError
	if errors.As(err, &no) && no.Reason != "" {
		return no.Reason
	}
	if errors.As(err, &no) {
		return "code 0x" + strconv.FormatInt(int64(no.ReasonCode), 16)
	}
	return "no reason given"
}

func (e *Entities) subscribe(ctx context.Context, m *autopaho.ConnectionManager) error {
	ctx, cancel := context.WithTimeout(ctx, e.Pace.Publish)
	defer cancel()
	_, err := m.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: birthTopic, QoS: 1}, {Topic: probeTopic, QoS: 1}, {Topic: healingTopic, QoS: 1},
	}})
	return err
}

// commandLimit bounds what is read of a command; ours have five letters at most.
const commandLimit = 16

// obey does what a button or a switch in Home Assistant asks for.
func (e *Entities) obey(ctx context.Context, topic string, payload []byte, hands Hands) {
	ask := func(what string, f func(context.Context) error) {
		e.Log.Info().Msg("Asked in Home Assistant: " + what)
		go func() { // the loop may be in the middle of something; messages go on meanwhile
			ctx, cancel := context.WithTimeout(ctx, e.Pace.Ask)
			defer cancel()
			if err := f(ctx); err != nil && ctx.Err() == nil {
				e.Log.Warn().Err(err).Msg("It could not be done.")
			}
		}()
	}
	command := ""
	if len(payload) <= commandLimit {
		command = string(payload)
	}
	switch {
	case topic == probeTopic && command == press:
		hands.Probe()
	case topic == healingTopic && command == on:
		ask("healing on.", hands.Resume)
	case topic == healingTopic && command == off:
		ask("healing off.", hands.SwitchOff)
	default:
		e.Log.Debug().Str("topic", topic).Int("bytes", len(payload)).Msg("A message that means nothing here was passed over.")
	}
}

// resend sends everything, whatever was sent before: the broker may have lost it, or
// Home Assistant may have been started anew.
func (e *Entities) resend(ctx context.Context, m *autopaho.ConnectionManager) {
	e.forgetSent()
	e.flush(ctx, m)
}

func (e *Entities) forgetSent() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.sent)
}

// flush sends what differs from what was sent. What fails is sent at the next
// occasion, with what it is then.
func (e *Entities) flush(ctx context.Context, m *autopaho.ConnectionManager) {
	for _, msg := range e.messages() {
		e.mu.Lock()
		same := e.sent[msg.topic] == msg.payload
		e.mu.Unlock()
		if same {
			continue
		}
		if err := e.publish(ctx, m, msg.topic, msg.payload); err != nil {
			e.Log.Debug().Str("topic", msg.topic).Msg("Not sent yet: " + e.Scrub(err.Error()))
			return
		}
		e.mu.Lock()
		e.sent[msg.topic] = msg.payload
		e.mu.Unlock()
	}
}

type message struct{ topic, payload string }

// messages are all there are to send, in the order in which Home Assistant needs
// them.
func (e *Entities) messages() []message {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.told {
		return nil
	}
	config, err := discovery(e.Voice.Lang(), e.Version, e.Page, e.heals)
	state, err2 := json.Marshal(e.now)
	attrs, err3 := json.Marshal(e.attrs)
	if err := errors.Join(err, err2, err3); err != nil {
		e.Log.Error().Err(err).Msg("The entities' states cannot be written.")
		return nil
	}
	return []message{{discoveryTopic, string(config)}, {stateTopic, e.Scrub(string(state))}, {attributesTopic, e.Scrub(string(attrs))}, {availabilityTopic, online}}
}

func (e *Entities) publish(ctx context.Context, m *autopaho.ConnectionManager, topic, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, e.Pace.Publish)
	defer cancel()
	_, err := m.Publish(ctx, &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true})
	return err
}

// erase takes the device away, and everything that was kept for it.
func (e *Entities) erase(ctx context.Context, m *autopaho.ConnectionManager, connected bool) error {
	if !connected {
		return errors.New("the MQTT broker is not to be reached now")
	}
	for _, topic := range []string{discoveryTopic, stateTopic, attributesTopic, availabilityTopic} {
		if err := e.publish(ctx, m, topic, ""); err != nil {
			return errors.New("the MQTT broker did not take it: " + e.Scrub(err.Error()))
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
