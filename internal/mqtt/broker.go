package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"tunnelmedic/internal/supervisor"
)

// bridge shows the board at a broker.
type bridge struct {
	*board
	Config
	broker supervisor.Broker
	desk   *desk
	link   link
	m      *autopaho.ConnectionManager
	sent   map[string]string // by topic, to the present broker
}

func newBridge(e *Entities, broker supervisor.Broker, hands Hands) *bridge {
	return &bridge{board: e.board, Config: e.Config, broker: broker, desk: newDesk(e, hands), link: newLink(), sent: map[string]string{}}
}

// dial connects to the broker over the house's network.
func (b *bridge) dial(ctx context.Context, cfg autopaho.ClientConfig, broker *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	conn, err := b.Net.Dial(ctx, "tcp", broker.Host)
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

// show keeps a connection to the broker until the context ends, or until Supervisor should be
// asked again who and where the broker is.
func (b *bridge) show(ctx context.Context, forget chan chan error) (err error) {
	life, end := context.WithCancel(context.Background()) // outlives ctx by the last word
	defer end()
	if b.m, err = autopaho.NewConnection(life, b.dialling(ctx)); err != nil {
		return errors.New("the MQTT broker that Supervisor names cannot be used: " + err.Error())
	}
	defer func() { end(); <-b.m.Done() }()

	connected, born := false, time.Time{}
	var wake <-chan struct{} // these two while it is connected
	var tick <-chan time.Time
	again := time.NewTicker(b.Pace.Publish) // what was not acknowledged is sent again
	defer again.Stop()
	patience := time.NewTimer(b.Pace.Ask)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			if connected {
				b.leave(life)
			}
			return nil
		case <-b.link.up:
			connected, wake, tick = true, b.wake, again.C
			patience.Stop()
			b.arrive(life)
		case <-b.link.down:
			connected, wake, tick = false, nil, nil
			patience.Reset(b.Pace.Ask)
			b.Log.Info().Str("broker", b.broker.Host).Msg("The MQTT broker is gone; waiting for it.")
		case <-b.link.birth:
			born = b.announce(life, born)
		case <-wake:
			b.flush(life)
		case <-tick:
			b.flush(life)
		case <-patience.C:
			if !connected {
				return nil // it may have moved
			}
		case err := <-b.link.refused:
			return errors.New("the MQTT broker at " + b.broker.Host + " refuses Tunnel Medic's sign-in (" + b.Scrub(reason(err)) + "); there are no entities until it does. Restart the broker's add-on, which gives new credentials.")
		case done := <-forget:
			err := b.erase(life, connected)
			done <- err
			if err == nil {
				_ = b.m.Disconnect(life)
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

// say reports what need not be said twice.
func say[T any](c chan T, what T) {
	select {
	case c <- what:
	default:
	}
}

// dialling is how a broker is connected to, and who hears of it.
func (b *bridge) dialling(ctx context.Context) autopaho.ClientConfig {
	scheme := "mqtt"
	if b.broker.SSL {
		scheme = "mqtts"
	}
	return autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{{Scheme: scheme, Host: net.JoinHostPort(b.broker.Host, strconv.Itoa(b.broker.Port))}},
		TlsCfg:                        &tls.Config{RootCAs: b.RootCAs, ServerName: b.broker.Host, MinVersion: tls.VersionTLS12},
		KeepAlive:                     30,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                b.Pace.Publish,
		AttemptConnection:             b.dial,
		ReconnectBackoff: func(n int) time.Duration {
			return min(b.Pace.Backoff<<min(max(n, 1)-1, 10), time.Minute)
		},
		ConnectUsername: b.broker.Username,
		ConnectPassword: []byte(b.broker.Password),
		// One fixed client id: when the program starts again after a crash, the broker
		// sends the old one's will before, and not after, the new one is online.
		ClientConfig:     paho.ClientConfig{ClientID: "tunnelmedic", PacketTimeout: b.Pace.Publish, OnPublishReceived: []func(paho.PublishReceived) (bool, error){b.desk.listener(ctx, b.link)}},
		WillMessage:      &paho.WillMessage{Topic: availabilityTopic, Payload: []byte(offline), QoS: 1, Retain: true},
		OnConnectionUp:   func(*autopaho.ConnectionManager, *paho.Connack) { say(b.link.up, struct{}{}) },
		OnConnectionDown: func() bool { say(b.link.down, struct{}{}); return true },
		OnConnectError: func(err error) {
			var no *autopaho.ConnackError
			if errors.As(err, &no) && no.ReasonCode >= 0x84 && no.ReasonCode <= 0x8a { // protocol, client id, credentials, not authorised, banned…
				say(b.link.refused, err)
				return
			}
			b.Log.Debug().Str("broker", b.broker.Host).Msg("The MQTT broker cannot be reached yet: " + b.Scrub(err.Error()))
		},
	}
}

// arrive is what a new connection begins with.
func (b *bridge) arrive(ctx context.Context) {
	b.Log.Info().Str("broker", b.broker.Host).Msg("Connected to the MQTT broker; the entities are in Home Assistant.")
	if err := b.subscribe(ctx); err != nil {
		b.Log.Debug().Msg("Subscribing did not work: " + b.Scrub(err.Error()))
	}
	b.resend(ctx)
}

// announce answers Home Assistant's birth: at once, or, however often it is said, at the
// next tick. It gives when it last did.
func (b *bridge) announce(ctx context.Context, last time.Time) time.Time {
	now := time.Now()
	if now.Sub(last) < b.Pace.Publish {
		clear(b.sent)
		return last
	}
	b.resend(ctx)
	return now
}

// leave says the last word.
func (b *bridge) leave(ctx context.Context) {
	bye, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	_ = b.publish(bye, message{topic: availabilityTopic, payload: offline})
	_ = b.m.Disconnect(bye)
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

func (b *bridge) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.Pace.Publish)
	defer cancel()
	_, err := b.m.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: birthTopic, QoS: 1}, {Topic: probeTopic, QoS: 1}, {Topic: doctorTopic, QoS: 1}, {Topic: pauseTopic, QoS: 1}, {Topic: healingTopic, QoS: 1},
	}})
	return err
}

// resend sends everything, whatever was sent before: the broker may have lost it, or
// Home Assistant may have been restarted.
func (b *bridge) resend(ctx context.Context) {
	clear(b.sent)
	b.flush(ctx)
}

// flush sends what differs from what was sent. What fails is sent at the next
// occasion, with what it is then.
func (b *bridge) flush(ctx context.Context) {
	list, err := b.messages()
	if err != nil {
		b.Log.Error().Err(err).Msg("The entities' states cannot be written.")
		return
	}
	for _, msg := range list {
		if msg.event == 0 && b.sent[msg.topic] == msg.payload {
			continue
		}
		if err := b.publish(ctx, msg); err != nil {
			b.Log.Debug().Str("topic", msg.topic).Msg("Not sent yet: " + b.Scrub(err.Error()))
			return
		}
		if msg.event > 0 {
			b.happened(msg.event)
		} else {
			b.sent[msg.topic] = msg.payload
		}
	}
}

// publish sends a message. An event is not kept: Home Assistant passes over kept ones, which would
// be events of another day (components/mqtt/event.py).
func (b *bridge) publish(ctx context.Context, msg message) error {
	ctx, cancel := context.WithTimeout(ctx, b.Pace.Publish)
	defer cancel()
	_, err := b.m.Publish(ctx, &paho.Publish{Topic: msg.topic, Payload: []byte(msg.payload), QoS: 1, Retain: msg.event == 0})
	return err
}

// erase takes the device away, and everything that was kept for it.
func (b *bridge) erase(ctx context.Context, connected bool) error {
	if !connected {
		return errors.New("the MQTT broker cannot be reached now")
	}
	for _, topic := range kept() {
		if err := b.publish(ctx, message{topic: topic}); err != nil {
			return errors.New("the MQTT broker did not take it: " + b.Scrub(err.Error()))
		}
	}
	return nil
}

// kept are the topics that the broker holds something of.
func kept() []string {
	return []string{discoveryTopic, stateTopic, attributesTopic, foundTopic, availabilityTopic}
}
