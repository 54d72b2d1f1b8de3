// Package treatment carries out one change of protocol as a transaction: the
// intention goes to disk before each step, what was written is read back, and what
// cannot be finished can be taken up again from what is really there.
//
// It decides nothing: which protocol, and what follows from the outcome, is the
// policy's.
package treatment

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// Supervisor is what a treatment asks of the Supervisor.
type Supervisor interface {
	Info(ctx context.Context, slug string) (supervisor.Info, error)
	SetOptions(ctx context.Context, slug string, o supervisor.Options) error
	Restart(ctx context.Context, slug string) error
	Start(ctx context.Context, slug string) error
}

// Connector is the restarted connector.
type Connector interface {
	Inspect(ctx context.Context, now time.Time) evidence.Connector
	Process() string // the id of the process that answered last
	Forget()         // leaves the present process behind
	Renewed() bool   // whether another than that one answered last
}

// Diary keeps the intention.
type Diary interface {
	Intend(journal.Intention) error
}

// Treatment carries out changes, one at a time.
type Treatment struct {
	Supervisor Supervisor
	Connector  Connector
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
// falls back to HTTP/2 after 131 s where UDP is blocked (measured; FACTS §3).
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

// stopped is a treatment that ended before its last step, with the reason.
type stopped struct{ policy.Outcome }

func (s *stopped) Error() string { return string(s.Result) }

// Do carries out a change. Its From is the protocol stored as far as we know; one
// that differs is a person's doing and ends the change before it begins.
// An error means that the outcome is not known, because the context ended or the
// diary could not be written: the intention stays, and Resume takes it up.
func (t *Treatment) Do(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	return t.outcome(t.from(ctx, in, journal.Intended))
}

// Resume finishes a change that a stop or a crash interrupted, from what is really
// there.
func (t *Treatment) Resume(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	out, err := t.outcome(t.resume(ctx, in))
	if in.Stage == journal.Restarting || in.Stage == journal.Connecting {
		out.Restarts++ // the one before the interruption: it counts though its end was not seen
	}
	return out, err
}

func (t *Treatment) outcome(out policy.Outcome, err error) (policy.Outcome, error) {
	var s *stopped
	if errors.As(err, &s) {
		return s.Outcome, nil
	}
	return out, err
}

func (t *Treatment) resume(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	if in.Stage == journal.Writing {
		if _, err := t.settledOn(ctx, in); err != nil {
			return policy.Outcome{}, err
		}
	}
	info, err := t.surely(ctx, in)
	if err != nil {
		return policy.Outcome{}, err
	}
	there, err := tunnel.ProtocolOf(info.Options)
	switch {
	case err != nil:
		return policy.Outcome{}, t.end(policy.UserChanged, in.From)
	case !in.Knows(there):
		return policy.Outcome{}, t.end(policy.UserChanged, there)
	case there != in.To:
		return policy.Outcome{}, t.end(policy.NotAvailable, there) // it had not been written
	case info.State == evidence.StateStopped && in.Stage != journal.Restarting:
		return policy.Outcome{}, t.stoppedByHand(ctx, in)
	}
	done := in.Stage == journal.Connecting
	if in.Stage == journal.Restarting {
		if done, err = t.wasRestarted(ctx, info, in); err != nil {
			return policy.Outcome{}, err
		}
	}
	if done {
		t.Log.Info().Str("protocol", in.To.String()).Msg("Taking up an interrupted change: the restart had been done.")
		return t.from(ctx, in, journal.Connecting)
	}
	t.Log.Info().Str("protocol", in.To.String()).Msg("Taking up an interrupted change: the options were written, the restart is still to be done.")
	return t.from(ctx, in, journal.Restarting)
}

// wasRestarted says whether the restart that was begun before the interruption has
// been done. Supervisor carries it out without us and may be at it still: it gets
// its time, so that no household is restarted twice for one change.
func (t *Treatment) wasRestarted(ctx context.Context, info supervisor.Info, in journal.Intention) (bool, error) {
	for {
		if t.runs(ctx, info, in) {
			return true, nil
		}
		if age := time.Since(in.At); age > t.Patience.Late || age < 0 {
			return false, nil
		}
		if err := t.pause(ctx); err != nil {
			return false, err
		}
		var err error
		if info, err = t.surely(ctx, in); err != nil {
			return false, err
		}
	}
}

// runs says whether the connector verifiably runs with the new setting: as another
// process than before the restart, or over a transport that only it can have brought.
func (t *Treatment) runs(ctx context.Context, info supervisor.Info, in journal.Intention) bool {
	if info.State != evidence.StateStarted {
		return false
	}
	now := t.Connector.Inspect(ctx, time.Now()).Transport
	if p := t.Connector.Process(); p != "" && in.Process != "" {
		return p != in.Process
	}
	wanted := map[evidence.Protocol]evidence.Transport{evidence.QUIC: evidence.OverQUIC, evidence.HTTP2: evidence.OverHTTP2}[in.To]
	return now != evidence.NoTransport && now == wanted && in.Before != wanted
}

// from takes the steps in order, beginning with one.
func (t *Treatment) from(ctx context.Context, in journal.Intention, stage journal.Stage) (policy.Outcome, error) {
	restarts := 0
	if stage == journal.Intended {
		written, err := t.write(ctx, in)
		if err != nil {
			return policy.Outcome{}, err
		}
		stage = written
	}
	if stage == journal.Restarting {
		t.Connector.Inspect(ctx, time.Now())
		if in.Process == "" { // taken up anew, the process that is to go is the one noted at first
			in.Process = t.Connector.Process()
		}
		if err := t.intend(in, journal.Restarting); err != nil {
			return policy.Outcome{}, err
		}
		// An add-on that does not run is started: that cuts nobody off.
		down := false
		if in.Felled || in.Purpose == policy.Revive {
			info, err := t.surely(ctx, in)
			if err != nil {
				return policy.Outcome{}, err
			}
			down = info.State != evidence.StateStarted && info.State != evidence.StateStartup
		}
		if err := t.restart(ctx, in, down); err != nil {
			return policy.Outcome{}, err
		}
		if !down {
			restarts = 1
		}
	}
	if err := t.intend(in, journal.Connecting); err != nil {
		return policy.Outcome{}, err
	}
	out, err := t.outcome(t.connect(ctx, in))
	out.Restarts = restarts
	return out, err
}

// write stores the new protocol and reads it back. Supervisor knows no
// preconditions, the last writer wins: so the options are read just before, and
// compared after.
func (t *Treatment) write(ctx context.Context, in journal.Intention) (journal.Stage, error) {
	read := t.info
	for range 3 {
		// Noted before it is read: what lies between reading and writing can cost a
		// person's edit, and a flush to an SD card takes long.
		if err := t.intend(in, journal.Writing); err != nil {
			return "", err
		}
		info, err := read(ctx, in)
		if err != nil {
			return "", err
		}
		read = t.surely // something may have been sent by then
		there, err := tunnel.ProtocolOf(info.Options)
		switch {
		case err != nil:
			return "", t.end(policy.UserChanged, in.From)
		case !in.Knows(there):
			return "", t.end(policy.UserChanged, there)
		case info.State == evidence.StateStopped && there == in.To && !in.Felled:
			return "", t.stoppedByHand(ctx, in)
		case info.State == evidence.StateStopped && in.To != in.Back && !in.Felled:
			return "", t.end(policy.UserStopped, there)
		case there == in.To:
			// The same protocol, started anew; or written by an earlier try whose answer got lost.
			return journal.Restarting, nil
		case info.Options.HoldsSecretReference():
			return "", t.end(policy.AtRisk, there)
		}
		options, err := tunnel.WithProtocol(info.Options, in.To)
		if err != nil {
			return "", t.end(policy.Rejected, there)
		}
		err = t.Supervisor.SetOptions(ctx, in.Slug, options)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err == nil, supervisor.EffectUnknown(err):
			// What counts is what is read back.
		case supervisor.Is(err, supervisor.Rejected):
			t.Log.Warn().Err(err).Str("protocol", in.To.String()).Msg("Supervisor does not accept the setting; nothing was changed.")
			return "", t.end(policy.Rejected, there)
		default:
			t.Log.Debug().Err(err).Msg("The options could not be written; looking at what is there.")
			if err := t.pause(ctx); err != nil {
				return "", err
			}
		}
		after, err := t.surely(ctx, in)
		if err != nil {
			return "", err
		}
		if got, err := tunnel.ProtocolOf(after.Options); err == nil && got == in.To {
			if after.State == evidence.StateStopped && !in.Felled {
				return "", t.stoppedByHand(ctx, in)
			}
			if changed := options.Differing(after.Options, "run_parameters"); len(changed) > 0 {
				t.Log.Info().Strs("options", changed).Msg("Other options were edited at the same moment; they stay as edited.")
			}
			return journal.Restarting, nil
		}
		// Somebody saved the form in between, with the protocol it had shown them. Again.
	}
	in.At = time.Now()
	if there, err := t.settledOn(ctx, in); err != nil || there == in.To {
		return journal.Restarting, err
	}
	return "", t.end(policy.NotAvailable, in.From)
}

// restart restarts the add-on, waits while Supervisor is busy with it, and sees to
// it that it is not left stopped: Supervisor's watchdog does not rescue an add-on
// whose start failed after the stop.
func (t *Treatment) restart(ctx context.Context, in journal.Intention, ended bool) error {
	deadline := time.Now().Add(t.Patience.Busy)
	t.Connector.Forget()
	call, tries := t.Supervisor.Restart, 0
	if ended {
		call = t.Supervisor.Start
	}
	for {
		err := call(ctx, in.Slug)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return nil
		case supervisor.Is(err, supervisor.Busy) || supervisor.Is(err, supervisor.Away) && !supervisor.EffectUnknown(err):
			// Nothing was done yet.
			t.Log.Debug().Err(err).Msg("Waiting for Supervisor.")
			if err := t.await(ctx, in, deadline, tries > 0 || ended); err != nil {
				return err
			}
			continue
		}
		t.Log.Warn().Err(err).Msg("The restart did not end well; looking at what is there.")
		after, err := t.aftermath(ctx, in)
		switch {
		case err != nil:
			return err
		case after == anew:
			return nil
		case tries == 3 && after == asBefore:
			return t.end(policy.NotAvailable, in.To)
		case tries == 3:
			return t.endRestarted(policy.Crashed, in.To)
		}
		tries++
		call = t.Supervisor.Restart
		if after == down {
			call = t.Supervisor.Start
		}
		if err := t.pause(ctx); err != nil {
			return err
		}
	}
}

// await waits while Supervisor is busy with the add-on or away. As long as the
// add-on is shown stopped, and we have not stopped it, another job or a person
// has: a restart would start it.
func (t *Treatment) await(ctx context.Context, in journal.Intention, deadline time.Time, stoppedByUs bool) error {
	for {
		if err := t.pause(ctx); err != nil {
			return err
		}
		info, err := t.Supervisor.Info(ctx, in.Slug)
		halted := err == nil && !stoppedByUs && info.State == evidence.StateStopped
		late := time.Now().After(deadline)
		switch {
		case late && halted:
			return t.stoppedByHand(ctx, in)
		case late:
			t.Log.Warn().Msg("Supervisor was busy or away for too long; the restart is put off.")
			return t.end(policy.Busy, in.To)
		case !halted:
			return nil
		}
	}
}

// condition is what became of a restart that ended in an error.
type condition uint8

const (
	anew     condition = iota // a new process runs, or one is starting
	asBefore                  // the old process runs on: the restart was not done
	down                      // the add-on is stopped
)

// aftermath finds out what became of a restart whose answer was an error or got
// lost. An add-on that is still shown started may be about to be stopped, so what
// counts is whether another process answers.
func (t *Treatment) aftermath(ctx context.Context, in journal.Intention) (condition, error) {
	deadline := time.Now().Add(t.Patience.Settle(in.To))
	for {
		info, err := t.surely(ctx, in)
		if err != nil {
			return down, err
		}
		if info.State != evidence.StateStarted && info.State != evidence.StateStartup {
			return down, nil
		}
		c := t.Connector.Inspect(ctx, time.Now())
		late := time.Now().After(deadline)
		switch {
		case c.Status != 0 && t.Connector.Renewed():
			return anew, nil
		case late && c.Status != 0:
			return asBefore, nil
		case late:
			return anew, nil // it does not answer, so it is not the old one; connect judges it
		}
		if err := t.pause(ctx); err != nil {
			return down, err
		}
	}
}

// settledOn gives the protocol that is stored once a write whose answer got lost can
// no longer take effect: later it would look like a person's doing.
func (t *Treatment) settledOn(ctx context.Context, in journal.Intention) (evidence.Protocol, error) {
	for {
		info, err := t.surely(ctx, in)
		if err != nil {
			return in.From, err
		}
		there, err := tunnel.ProtocolOf(info.Options)
		if age := time.Since(in.At); err != nil || there == in.To || age > t.Patience.Late || age < 0 {
			return there, nil
		}
		if err := t.pause(ctx); err != nil {
			return there, err
		}
	}
}

// stoppedByHand ends the change because a person stopped the add-on. It stays
// stopped, and what was not proven is taken back, so that it will start with what
// was.
func (t *Treatment) stoppedByHand(ctx context.Context, in journal.Intention) error {
	if in.To == in.Back {
		return t.end(policy.UserStopped, in.To)
	}
	err := t.putBack(ctx, in)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		t.Log.Warn().Err(err).Msg("The add-on was stopped by hand, and the earlier protocol could not be put back.")
		return t.end(policy.UserStopped, in.To)
	}
	return t.end(policy.UserStopped, in.Back)
}

func (t *Treatment) putBack(ctx context.Context, in journal.Intention) error {
	info, err := t.Supervisor.Info(ctx, in.Slug)
	if err == nil {
		err = info.OptionsError
	}
	if err != nil {
		return err
	}
	there, err := tunnel.ProtocolOf(info.Options)
	if err != nil || there != in.To {
		return err
	}
	options, err := tunnel.WithProtocol(info.Options, in.Back)
	if err != nil {
		return err
	}
	return t.Supervisor.SetOptions(ctx, in.Slug, options)
}

// connect waits for the connection: a restart that answered 200 says only that a
// container started.
func (t *Treatment) connect(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	end := func(r policy.Result, e evidence.Connector) (policy.Outcome, error) {
		return policy.Outcome{Result: r, Setting: in.To, Transport: e.Transport}, nil
	}
	deadline := time.Now().Add(t.Patience.Settle(in.To))
	failing := 0
	for {
		c := t.Connector.Inspect(ctx, time.Now())
		if c.Up() {
			return end(policy.Settled, c)
		}
		// Only a connector that does not answer at all can have ended.
		if c.Status == 0 {
			info, err := t.Supervisor.Info(ctx, in.Slug)
			switch {
			case err != nil:
			case !info.Installed():
				return end(policy.UserStopped, c)
			case info.State == evidence.StateStopped:
				return policy.Outcome{}, t.stoppedByHand(ctx, in)
			case info.State == evidence.StateError:
				// Supervisor's watchdog may be about to start it again: look more than once.
				if failing++; failing >= 3 {
					return end(policy.Crashed, c)
				}
			default:
				failing = 0
			}
		}
		if time.Now().After(deadline) {
			return end(policy.Unsettled, c)
		}
		if err := t.pause(ctx); err != nil {
			return policy.Outcome{}, err
		}
	}
}

// surely reads the add-on however long it takes. Once something was sent, nothing
// can be concluded, and nothing done, before it is known what is there.
func (t *Treatment) surely(ctx context.Context, in journal.Intention) (supervisor.Info, error) {
	for {
		info, err := t.info(ctx, in)
		var s *stopped
		if !errors.As(err, &s) || s.Result != policy.NotAvailable {
			return info, err
		}
	}
}

// info reads the add-on, patiently: a Supervisor that is away is waited for.
func (t *Treatment) info(ctx context.Context, in journal.Intention) (supervisor.Info, error) {
	deadline := time.Now().Add(t.Patience.Busy)
	for {
		info, err := t.Supervisor.Info(ctx, in.Slug)
		switch {
		case ctx.Err() != nil:
			return info, ctx.Err()
		case err == nil && !info.Installed():
			return info, t.end(policy.UserStopped, in.From)
		case err == nil && info.OptionsError == nil:
			return info, nil
		case time.Now().After(deadline):
			t.Log.Warn().AnErr("error", errors.Join(err, info.OptionsError)).Msg("Supervisor could not be asked for too long.")
			return info, t.end(policy.NotAvailable, in.From)
		}
		if err := t.pause(ctx); err != nil {
			return info, err
		}
	}
}

func (t *Treatment) intend(in journal.Intention, s journal.Stage) error {
	in.Stage, in.At = s, time.Now()
	return t.Diary.Intend(in)
}

func (t *Treatment) end(r policy.Result, setting evidence.Protocol) error {
	return &stopped{policy.Outcome{Result: r, Setting: setting}}
}

func (t *Treatment) endRestarted(r policy.Result, setting evidence.Protocol) error {
	return &stopped{policy.Outcome{Result: r, Setting: setting, Restarts: 1}}
}

func (t *Treatment) pause(ctx context.Context) error {
	timer := time.NewTimer(t.Patience.Poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// linger is how much of the time that a stop leaves is spent on a write that was
// under way.
const linger = time.Second

// Leave puts a protocol back in the seconds that a stop leaves: it writes the
// options and, if the add-on may run with another one, sends the restart off
// without waiting for its end; Supervisor carries it out without us. The intention's
// stage is the one that the interrupted change had reached. What could not be done
// stands in the diary, and the next start does it.
func (t *Treatment) Leave(ctx context.Context, in journal.Intention, restart bool) error {
	interrupted, writing := in.Stage == journal.Restarting, in.Stage == journal.Writing
	// A diary that cannot be written must not keep the setting from going back.
	unnoted := t.intend(in, journal.Writing)
	var info supervisor.Info
	for began := time.Now(); ; {
		var err error
		if info, err = t.Supervisor.Info(ctx, in.Slug); err == nil {
			err = info.OptionsError
		}
		if err != nil {
			return errors.Join(err, unnoted)
		}
		there, err := tunnel.ProtocolOf(info.Options)
		if err != nil || !in.Knows(there) || info.Options.HoldsSecretReference() {
			return errors.Join(err, unnoted) // a person's setting stays
		}
		if there != in.To {
			options, err := tunnel.WithProtocol(info.Options, in.To)
			if err == nil {
				err = t.Supervisor.SetOptions(ctx, in.Slug, options)
			}
			if err != nil {
				return errors.Join(err, unnoted)
			}
		}
		// A write that was under way may take effect yet.
		if !writing || time.Since(began) > min(linger, t.Patience.Late) || t.pause(ctx) != nil {
			break
		}
	}
	// Stopped by hand it stays stopped; between the stop and the start of our own
	// restart it must not.
	if !restart || info.State == evidence.StateStopped && !interrupted && !in.Felled {
		return unnoted
	}
	in.Process = t.Connector.Process()
	unnoted = errors.Join(unnoted, t.intend(in, journal.Restarting))
	var busy error
	for {
		err := t.Supervisor.Restart(ctx, in.Slug)
		switch {
		case err == nil:
			return errors.Join(unnoted, t.intend(in, journal.Connecting))
		case ctx.Err() != nil:
			return errors.Join(busy, unnoted) // not busy before, it was sent
		case !supervisor.Is(err, supervisor.Busy):
			return errors.Join(err, unnoted)
		}
		busy = err // with the restart that was interrupted, as a rule
		if t.pause(ctx) != nil {
			return errors.Join(busy, unnoted)
		}
	}
}
