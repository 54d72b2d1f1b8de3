// Package mqtt shows the program as a device with entities in Home Assistant: by MQTT
// discovery where Supervisor knows a broker, else as plain states through Core. It
// reads what the loop publishes, and hands on what people ask for: a probe, quiet, the doctor.
package mqtt

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/medic"
	"tunnelmedic/internal/network"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/words"
)

// Supervisor is what is asked of it: where the broker is, and Core's states.
type Supervisor interface {
	MQTT(context.Context) (supervisor.Broker, bool, error)
	Starts() int64 // grows when an app is seen running that was not before: it may be a broker
	SetState(ctx context.Context, entity, state string, attributes map[string]any) (made bool, err error)
	DeleteState(ctx context.Context, entity string) error
}

// Hands take what people ask for by the entities.
type Hands interface {
	Probe()
	Pause(context.Context, time.Duration) error
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
	LastCure   time.Time // from the journal; zero if there was none
	History    func() journal.History
	Doctor     func(context.Context) (Findings, error)
	Voice      *words.Voice
	Pace       Pace
}

// Pace is how long things are waited for. The zero value fits a real house.
type Pace struct {
	Ask     time.Duration // between questions for a broker's new credentials, and for a broker, doubling to an hour (5 min)
	Resend  time.Duration // until Core is asked whether it still has the states that do not change (2 min)
	Publish time.Duration // for one message's acknowledgement (10 s)
	Backoff time.Duration // before the first new attempt to connect, doubling to a minute (1 s)
}

func (p Pace) filled() Pace {
	return Pace{cmp.Or(p.Ask, 5*time.Minute), cmp.Or(p.Resend, 2*time.Minute), cmp.Or(p.Publish, 10*time.Second), cmp.Or(p.Backoff, time.Second)}
}

// farewell is how long the last word may take.
const farewell = 700 * time.Millisecond

// Entities are the device in Home Assistant. Tell never blocks: of each entity only
// the newest state is kept until it can be sent.
type Entities struct {
	Config
	board  *board
	forget chan chan error
}

// New makes them. Nothing is sent before Run.
func New(c Config) *Entities {
	c.Pace = c.Pace.filled()
	b := &board{voice: c.Voice, version: c.Version, scrub: c.Scrub, history: c.History, wake: make(chan struct{}, 1)}
	b.cure, b.found.Wrong = c.LastCure, []string{}
	return &Entities{Config: c, board: b, forget: make(chan chan error)}
}

// Link takes the page's path in Home Assistant, "" if not known, and the address where the program
// came from, which may become known, or other ones, while the program runs.
func (e *Entities) Link(page, support string) {
	e.board.change(func() { e.board.page, e.board.support = page, support })
}

// Tell takes the present status and what led to it.
func (e *Entities) Tell(s medic.Status, steps []policy.Step) { e.board.note(s, steps) }

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
	core := &mirror{board: e.board, super: e.Supervisor, log: e.Log, pace: e.Pace, told: map[string]string{}}
	wait, starts := e.Pace.Ask, e.Supervisor.Starts()
	another := func() bool { return e.Supervisor.Starts() != starts }
	for ctx.Err() == nil {
		if another() { // perhaps a broker, which Supervisor may know of a moment later
			wait, starts = e.Pace.Ask, e.Supervisor.Starts()
		}
		broker, ok, err := e.Supervisor.MQTT(ctx)
		switch {
		case err != nil:
			e.Log.Debug().Err(err).Msg("Whether there is an MQTT broker is not known yet.")
			err = core.show(ctx, e.Pace.Ask/10, another, e.forget)
		case ok:
			if err := core.clear(ctx); err != nil {
				e.Log.Debug().Err(err).Msg("The plain states could not be removed.")
			}
			err = newBridge(e, broker, hands).show(ctx, e.forget)
		default:
			err = core.show(ctx, wait, another, e.forget)
			wait = min(2*wait, 12*e.Pace.Ask)
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
			select {
			case <-ctx.Done():
			case <-time.After(e.Pace.Ask):
			}
		}
	}
}
