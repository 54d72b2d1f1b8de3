package mqtt

import (
	"context"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// desk takes what people ask for in Home Assistant.
type desk struct {
	*board
	Config
	hands     Hands
	orders    *orders
	examining sync.Mutex
}

func newDesk(e *Entities, hands Hands) *desk {
	return &desk{board: e.board, Config: e.Config, hands: hands, orders: newOrders()}
}

const (
	commandLimit = 16        // bytes that are read of a command; ours have five letters at most
	quiet        = time.Hour // that the button gives
)

// listener takes what the broker sends: Home Assistant's birth, and commands.
func (d *desk) listener(ctx context.Context, l link) func(paho.PublishReceived) (bool, error) {
	return func(m paho.PublishReceived) (bool, error) {
		switch {
		case m.Packet.Topic == birthTopic:
			if string(m.Packet.Payload) == online {
				say(l.birth, struct{}{})
			}
		case m.Packet.Retain: // a kept command is an old one
		case !d.orders.may(m.Packet.Topic, time.Now()):
			if d.orders.first() {
				d.Log.Warn().Msg("Commands come over MQTT faster than anybody presses buttons; most of them are ignored until there are fewer.")
			}
		default:
			d.obey(ctx, m.Packet.Topic, m.Packet.Payload)
		}
		return true, nil
	}
}

// obey does what a button or a switch in Home Assistant asks for.
func (d *desk) obey(ctx context.Context, topic string, payload []byte) {
	command := ""
	if len(payload) <= commandLimit {
		command = string(payload)
	}
	switch {
	case topic == probeTopic && command == press:
		d.hands.Probe()
	case topic == doctorTopic && command == press:
		d.ask(ctx, "the doctor.", d.examine)
	case topic == pauseTopic && command == press:
		d.ask(ctx, "quiet for an hour.", func(ctx context.Context) error { return d.hands.Pause(ctx, quiet) })
	case topic == healingTopic && command == on:
		d.ask(ctx, "healing on.", d.hands.Resume)
	case topic == healingTopic && command == off:
		d.ask(ctx, "healing off.", d.hands.SwitchOff)
	default:
		d.Log.Debug().Str("topic", topic).Int("bytes", len(payload)).Msg("A message that means nothing here was ignored.")
	}
}

// ask hands a wish on. Whoever grants it may be in the middle of something; messages go on
// meanwhile.
func (d *desk) ask(ctx context.Context, what string, grant func(context.Context) error) {
	d.Log.Info().Msg("Asked in Home Assistant: " + what)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, d.Pace.Ask)
		defer cancel()
		if err := grant(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn().Err(err).Msg("It could not be done.")
		}
	}()
}

// examine has the doctor look, once at a time, and shows what was found.
func (d *desk) examine(ctx context.Context) error {
	if !d.examining.TryLock() {
		return nil
	}
	defer d.examining.Unlock()
	found, err := d.Doctor(ctx)
	if err != nil {
		return err
	}
	d.change(func() { d.found = found })
	return nil
}
