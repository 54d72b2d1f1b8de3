// Package treatment carries out one change of protocol as a transaction: the
// intention goes to disk before each step, what was written is read back, and what
// cannot be finished can be taken up again from what is really there.
//
// It decides nothing: which protocol, and what follows from the outcome, is the
// policy's.
package treatment

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
)

// Supervisor is what a treatment asks of the Supervisor.
type Supervisor interface {
	Info(ctx context.Context, slug string) (supervisor.Info, error)
	SetOptions(ctx context.Context, slug string, o supervisor.Options) error
	ValidateOptions(ctx context.Context, slug string, o supervisor.Options) error
	Restart(ctx context.Context, slug string) error
	Start(ctx context.Context, slug string) error
	Log(ctx context.Context, slug string) (string, error)
}

// Cloudflare is asked before a tunnel that is managed locally is stopped: the app's
// start script needs Cloudflare's API (its prepare/run.sh lists the tunnel and routes
// each host name), and ends where that does not answer.
type Cloudflare interface {
	Answers(ctx context.Context) error // nil if its API does
}

// Connector is the restarted connector.
type Connector interface {
	Inspect(ctx context.Context, now time.Time) evidence.Connector
	Process() string              // the id of the process that answered last
	Forget()                      // leaves the present process behind
	Renewed(since time.Time) bool // whether a different one answered last, started since then
}

// Diary keeps the intention.
type Diary interface {
	Intend(journal.Intention) error
}

// Treatment carries out changes, one at a time.
type Treatment struct {
	Supervisor Supervisor
	Connector  Connector
	Cloudflare Cloudflare
	Diary      Diary
	Log        zerolog.Logger
	Patience   Patience
}

// Patience is how long a treatment waits for others.
type Patience struct {
	Settle func(evidence.Protocol) time.Duration // for the connection after a restart
	Poll   time.Duration                         // between looks while waiting
	Busy   time.Duration                         // for another job of Supervisor's, or for Supervisor itself
	Late   time.Duration                         // for the effect of a call whose answer got lost
}

// DefaultPatience fits a real Supervisor and cloudflared. With auto cloudflared
// falls back to HTTP/2 after 131 s where UDP is blocked (measured; docs/FACTS.md, cloudflared).
func DefaultPatience() Patience {
	return Patience{
		Settle: func(p evidence.Protocol) time.Duration {
			if p.Effective() == evidence.Auto {
				return 150 * time.Second
			}
			return time.Minute
		},
		Poll: time.Second,
		Busy: 10 * time.Minute,
		Late: 30 * time.Second, // Supervisor asks a service on the internet about passwords, for up to 10 s
	}
}

// Do carries out a change. Its From is the protocol stored as far as we know; one
// that differs is a person's doing and ends the change before it begins.
// An error means that the outcome is not known, because the context ended: the
// intention stays, and Resume takes it up.
func (t *Treatment) Do(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	c := &change{Treatment: t, in: in}
	if in.NoRestart { // the running process was never started with what is taken back
		return outcome(policy.Outcome{Result: policy.Settled, Setting: in.To, Transport: in.Before}, c.write(ctx))
	}
	return outcome(c.from(ctx, journal.Intended))
}

// Undo carries out the way back on an app that is not watched any more. begun is the
// change that was under way, nil for none.
func (t *Treatment) Undo(ctx context.Context, in journal.Intention, begun *journal.Intention) (policy.Outcome, error) {
	if begun != nil && begun.Stage == journal.Writing && begun.To != in.To {
		// A write whose answer got lost must not take effect behind our back.
		if _, err := (&change{Treatment: t, in: *begun}).settledOn(ctx, begun.At); err != nil {
			return outcome(policy.Outcome{}, err)
		}
	}
	return t.Do(ctx, in)
}

func (t *Treatment) pause(ctx context.Context) error { return pause(ctx, t.Patience.Poll) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
