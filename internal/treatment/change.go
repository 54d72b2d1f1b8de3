package treatment

import (
	"context"
	"errors"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// change is one under way: what is intended, what is seen of the app meanwhile, and how
// it ends.
type change struct {
	*Treatment
	in     journal.Intention
	called time.Time // when a restart or start was asked for last
}

// stopped is a change that ended before its last step, with the reason.
type stopped struct{ policy.Outcome }

func (s *stopped) Error() string { return s.Result.String() }

func end(r policy.Result, setting evidence.Protocol) error {
	return &stopped{policy.Outcome{Result: r, Setting: setting}}
}

// outcome tells a change that has ended, as it was to or before, from one of which nothing is
// known.
func outcome(out policy.Outcome, err error) (policy.Outcome, error) {
	if s, ok := errors.AsType[*stopped](err); ok {
		return s.Outcome, nil
	}
	if err != nil {
		return policy.Outcome{}, err
	}
	return out, nil
}

// restartsInVain is how often a restart is asked for that Supervisor says it made, and
// did not.
const restartsInVain = 2

// from takes the steps in order, beginning with one.
func (c *change) from(ctx context.Context, stage journal.Stage) (policy.Outcome, error) {
	if stage == journal.Intended {
		c.in.Process = c.Connector.Process()
		if err := c.write(ctx); err != nil {
			return policy.Outcome{}, err
		}
		stage, c.in.Process = journal.Restarting, "" // the one that is to go is the one that runs then
	}
	for tries := 1; ; tries++ {
		if stage == journal.Restarting {
			c.Connector.Inspect(ctx, time.Now())
			if c.in.Process == "" { // taken up again, the process that is to go is the one noted at first
				c.in.Process = c.Connector.Process()
			}
			c.in.At, c.in.Stage = time.Now(), journal.Restarting
			if err := restart(ctx, c); err != nil {
				return c.undone(ctx, err)
			}
		}
		_ = c.note(journal.Connecting) // what is noted already leads here, too
		out, err := outcome(connect(ctx, c))
		out.Restarts = c.in.Begun
		if err != nil || out.Result != policy.NotRestarted {
			return out, err
		}
		// Supervisor answers 200 where Docker could not stop the container, too.
		c.in.Begun = max(c.in.Begun-1, 0)
		if tries == restartsInVain {
			c.Log.Warn().Msg("Supervisor said that it restarted the Cloudflared app, but the same process still runs.")
			return c.undone(ctx, end(policy.NotRestarted, c.in.To))
		}
		stage = journal.Restarting
	}
}

// undone ends a change after which the tunnel runs on as before: then what was there
// before is stored again, unless it is the way back.
func (c *change) undone(ctx context.Context, err error) (policy.Outcome, error) {
	s, ended := errors.AsType[*stopped](err)
	if !ended {
		return policy.Outcome{}, err
	}
	s.Restarts = c.in.Begun
	if !s.Result.Untouched() || c.goesBack() || c.in.From == c.in.To {
		return policy.Outcome{}, s
	}
	switch err := c.putBack(ctx, c.in.From); {
	case ctx.Err() != nil:
		return policy.Outcome{}, ctx.Err()
	case err != nil:
		c.Log.Warn().Err(err).Msg("The protocol that was stored before could not be stored again yet.")
	default:
		s.Setting = c.in.From
	}
	return policy.Outcome{}, s
}

// note puts on disk how far the change is.
func (c *change) note(s journal.Stage) error {
	in := c.in
	in.Stage, in.At = s, time.Now()
	return c.Diary.Intend(in)
}

// goesBack says whether it leads to what was proven last: nothing keeps that from being
// stored, and any connection will do.
func (c *change) goesBack() bool { return c.in.To == c.in.Back }

// risky says whether it sets a protocol that is not proven. Without a note of
// it a start after a crash would take it for a person's choice. A way back needs no
// note: it leads to what is theirs, or was proven.
func (c *change) risky() bool {
	return c.in.Purpose == policy.Trial || c.in.Purpose == policy.Failback || c.in.Purpose == policy.ByHand
}

// other says whether the process that answered last is another than the one that was to go,
// where both are known.
func (c *change) other() (other, known bool) {
	p := c.Connector.Process()
	return p != c.in.Process, p != "" && c.in.Process != ""
}

// renewed says the same also where they are not, by the age of the one that answered.
func (c *change) renewed(since time.Time) bool {
	if other, known := c.other(); known {
		return other
	}
	return c.Connector.Renewed(since)
}

// info reads the add-on, patiently: a Supervisor that is away is waited for.
func (c *change) info(ctx context.Context) (supervisor.Info, error) {
	deadline := time.Now().Add(c.Patience.Busy)
	for {
		info, err := c.Supervisor.Info(ctx, c.in.Slug)
		switch {
		case ctx.Err() != nil:
			return info, ctx.Err()
		case err == nil && !info.Installed():
			return info, end(policy.UserStopped, c.in.From)
		case err == nil && info.OptionsError == nil:
			return info, nil
		case time.Now().After(deadline):
			c.Log.Warn().AnErr("error", errors.Join(err, info.OptionsError)).Msg("Supervisor could not be asked for too long.")
			return info, end(policy.NotAvailable, c.in.From)
		}
		if err := c.pause(ctx); err != nil {
			return info, err
		}
	}
}

// known reads the add-on however long it takes. Once something was sent, nothing
// can be concluded, and nothing done, before it is known what is there.
func (c *change) known(ctx context.Context) (supervisor.Info, error) {
	for {
		info, err := c.info(ctx)
		if s, ended := errors.AsType[*stopped](err); !ended || s.Result != policy.NotAvailable {
			return info, err
		}
	}
}

// again is known, after a pause.
func (c *change) again(ctx context.Context) (supervisor.Info, error) {
	if err := c.pause(ctx); err != nil {
		return supervisor.Info{}, err
	}
	return c.known(ctx)
}

// settledOn gives the protocol that is stored once a write of then, whose answer got lost,
// can no longer take effect: later it would look like a person's doing.
func (c *change) settledOn(ctx context.Context, then time.Time) (evidence.Protocol, error) {
	for info, err := c.known(ctx); ; info, err = c.again(ctx) {
		if err != nil {
			return c.in.From, err
		}
		there, err := tunnel.ProtocolOf(info.Options)
		if age := time.Since(then); err != nil || there == c.in.To || age > c.Patience.Late || age < 0 {
			return there, nil
		}
	}
}

// halted says whether another hand has stopped the app: it is stopped, not by us, and stays
// so for a few looks.
func (c *change) halted(ctx context.Context, info supervisor.Info) (bool, error) {
	for looks := 1; info.State == evidence.StateStopped && !c.in.StoppedByUs; looks++ {
		if looks == policy.LooksStopped {
			return true, nil
		}
		var err error
		if info, err = c.again(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// ending is how the last run of the app, which is stopped, ended, if that has begun since
// then or was signalled too late for the call to have done it. One that had hardly begun is
// not the one that answered before, and an error would have left the app in another state.
func (c *change) ending(ctx context.Context, since time.Time) tunnel.Ending {
	text, err := c.Supervisor.Log(ctx, c.in.Slug)
	if err != nil {
		return tunnel.EndNotKnown
	}
	how := tunnel.EndingOf(text, since, c.called.Add(c.Patience.Late))
	if how == tunnel.HardlyBegan && c.in.Process != "" {
		return tunnel.EndedBySignal
	}
	return how
}

// notRunning ends a change after whose restart the app is shown stopped: by a person,
// unless its log says that it ended on its own, or never began again after our own stop.
// Then it is ours to start again.
func (c *change) notRunning(ctx context.Context) error {
	how := c.ending(ctx, c.in.At)
	// Only where that moment was before our own stop does it say that nothing began after it.
	if how == tunnel.EndedByError || how == tunnel.NeverBegan && c.in.Stage == journal.Restarting {
		return end(policy.Crashed, c.in.To)
	}
	return c.stoppedByHand(ctx)
}

// stoppedByHand ends the change because a person stopped the add-on. It stays
// stopped, and what was not proven is taken back, so that it will start with what
// was.
func (c *change) stoppedByHand(ctx context.Context) error {
	if c.goesBack() {
		return end(policy.UserStopped, c.in.To)
	}
	switch err := c.putBack(ctx, c.in.Back); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.Log.Warn().Err(err).Msg("The app was stopped by hand, and the earlier protocol could not be restored.")
		return end(policy.UserStopped, c.in.To)
	}
	return end(policy.UserStopped, c.in.Back)
}

// putBack stores an earlier protocol in the place of the one that was set.
func (c *change) putBack(ctx context.Context, p evidence.Protocol) error {
	info, there, err := c.present(ctx)
	if err != nil || there != c.in.To {
		return err
	}
	return c.put(ctx, info.Options, p)
}

// present reads what is stored, once.
func (c *change) present(ctx context.Context) (info supervisor.Info, there evidence.Protocol, err error) {
	if info, err = c.Supervisor.Info(ctx, c.in.Slug); err == nil {
		err = info.OptionsError
	}
	if err == nil {
		there, err = tunnel.ProtocolOf(info.Options)
	}
	return info, there, err
}

// put stores a protocol, once.
func (c *change) put(ctx context.Context, o supervisor.Options, p evidence.Protocol) error {
	options, err := tunnel.WithProtocol(o, p)
	if err != nil {
		return err
	}
	return c.Supervisor.SetOptions(ctx, c.in.Slug, options)
}

// startable ends the change before anything is stopped, where a start with these
// options could not succeed: the app would be left down. there is what is stored.
func (c *change) startable(ctx context.Context, o supervisor.Options, there evidence.Protocol) error {
	err := c.Supervisor.ValidateOptions(ctx, c.in.Slug, o)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case supervisor.Is(err, supervisor.Rejected):
		c.Log.Warn().Err(err).Str("protocol", c.in.To.String()).Msg("With these options the Cloudflared app could not start; nothing was changed.")
		return end(policy.Rejected, there)
	case err != nil:
		c.Log.Debug().Err(err).Msg("Whether the options are valid could not be asked.")
		return end(policy.NotAvailable, there)
	case c.Cloudflare == nil || supervisor.Managed(o):
		return nil
	}
	if err := c.Cloudflare.Answers(ctx); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		c.Log.Info().Err(err).Msg("Cloudflare's API does not answer. The Cloudflared app needs it at each start, so it is not restarted now.")
		return end(policy.CannotStart, there)
	}
	return nil
}
