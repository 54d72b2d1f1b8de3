package treatment

import (
	"context"
	"errors"
	"slices"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// resuming is a change that a stop or a crash interrupted, taken up again from what is
// really there.
type resuming struct {
	*change
	least int // restarts that count though their end was not seen
}

// Resume finishes a change that a stop or a crash interrupted.
func (t *Treatment) Resume(ctx context.Context, in journal.Intention) (policy.Outcome, error) {
	if in.NoRestart {
		return t.Do(ctx, in)
	}
	in.Ours = append(slices.Clone(in.Ours), in.To)
	if in.Restarted() {
		in.Begun = max(in.Begun, 1) // the journal's way back from an essence alone does not count
	}
	r := resuming{&change{Treatment: t, in: in, called: in.At}, in.Begun}
	out, err := outcome(r.run(ctx))
	out.Sent = in.Stage == journal.Writing
	out.Restarts = max(out.Restarts, r.least)
	return out, err
}

func (r *resuming) run(ctx context.Context) (policy.Outcome, error) {
	if r.in.Stage == journal.Writing {
		if _, err := r.settledOn(ctx, r.in.At); err != nil {
			return policy.Outcome{}, err
		}
	}
	info, err := r.known(ctx)
	if err == nil {
		err = r.written(ctx, info)
	}
	if err != nil {
		return policy.Outcome{}, err
	}
	switch {
	case r.in.Stage == journal.Writing && r.replaced(ctx):
		// The disk took no further note, and the restart was made all the same.
		r.in.Stage, r.in.Begun = journal.Connecting, max(r.in.Begun, 1)
	case r.in.Stage != journal.Restarting:
		switch halted, err := r.halted(ctx, info); {
		case err != nil:
			return policy.Outcome{}, err
		case halted:
			return policy.Outcome{}, r.notRunning(ctx)
		}
	}
	was := notMade
	if r.in.Stage == journal.Restarting {
		was, err = r.restartWas(ctx, info)
	}
	switch {
	case err != nil:
		return policy.Outcome{}, err
	case was == neverSent: // which takes it from what was begun
		r.in.Begun, r.least = r.in.Begun-1, r.least-1
	case was == made || r.in.Stage == journal.Connecting:
		r.Log.Info().Str("protocol", r.in.To.String()).Msg("Taking up an interrupted change: the restart had been done.")
		return r.from(ctx, journal.Connecting)
	}
	r.Log.Info().Str("protocol", r.in.To.String()).Msg("Taking up an interrupted change: the options were written, the restart is still to be done.")
	return r.from(ctx, journal.Restarting)
}

// written ends the change where something else is stored than what it was to write.
func (r *resuming) written(ctx context.Context, info supervisor.Info) error {
	there, err := tunnel.ProtocolOf(info.Options)
	switch {
	case err != nil:
		return end(policy.UserChanged, r.in.From)
	case !r.in.Knows(there):
		return end(policy.UserChanged, there)
	case there == r.in.To:
		return nil
	}
	// It had not been written. Where the change before it was being restarted, and left the
	// app down, it is ours to start.
	if r.in.Stage == journal.Restarting {
		switch halted, err := r.halted(ctx, info); {
		case err != nil:
			return err
		case halted && r.ending(ctx, r.in.At) == tunnel.NeverBegan:
			return end(policy.Crashed, there)
		}
	}
	return end(policy.NotAvailable, there)
}

// fate is what became of a restart that was begun before an interruption.
type fate uint8

const (
	notMade   fate = iota // as far as can be seen
	neverSent             // for certain
	made
)

// restartWas says what became of the restart that was begun before the interruption.
// Supervisor carries it out without us and may be at it still: it gets its time, so that
// no household is restarted twice for one change.
func (r *resuming) restartWas(ctx context.Context, info supervisor.Info) (was fate, err error) {
	for {
		done, silent := r.runs(ctx, info)
		switch {
		case done:
			return made, nil
		case !silent && r.stands(info):
			was = neverSent
		}
		patience := r.Patience.Late
		if silent { // the old process is gone, so the restart was done: the new one is coming up
			patience = max(patience, r.Patience.Settle(r.in.To))
		}
		if age := time.Since(r.in.At); age > patience || age < 0 {
			return was, r.heldBy(ctx, info, was)
		}
		if info, err = r.again(ctx); err != nil {
			return was, err
		}
	}
}

// heldBy ends the change where a person has stopped the app that a restart did not start again.
func (r *resuming) heldBy(ctx context.Context, info supervisor.Info, was fate) error {
	if info.State != evidence.StateStopped || r.in.StoppedByUs || was != neverSent && r.ending(ctx, r.in.At) != tunnel.EndedBySignal {
		return nil
	}
	return r.stoppedByHand(ctx)
}

// stands says whether the process that a restart was to end still answers, so that the
// restart was never sent: Supervisor gives an app 10 s to end (docs/FACTS.md, Supervisor).
func (r *resuming) stands(info supervisor.Info) bool {
	return r.in.Process != "" && info.State == evidence.StateStarted && time.Since(r.in.At) > r.Patience.Late/2
}

// runs says whether the connector verifiably runs with the new setting: as another
// process than before the restart, or over a transport that only it can have brought.
// silent says that the app runs, and that nothing of cloudflared answers yet.
func (r *resuming) runs(ctx context.Context, info supervisor.Info) (done, silent bool) {
	if !info.State.Runs() {
		return false, false
	}
	now := r.Connector.Inspect(ctx, time.Now())
	if other, known := r.other(); known {
		return other, now.Status == 0
	}
	return now.Transport != evidence.NoTransport && now.Transport == transportOf(r.in.To) && r.in.Before != now.Transport, now.Status == 0
}

// replaced says whether another process runs than when the change was begun, and began
// after that.
func (r *resuming) replaced(ctx context.Context) bool {
	r.Connector.Inspect(ctx, time.Now())
	other, known := r.other()
	return other && known && r.Connector.Renewed(r.in.At)
}

// linger is how much of the time that a stop leaves is spent on a write that was
// under way.
const linger = time.Second

// leaving is a way back within the seconds that a stop leaves.
type leaving struct{ *change }

// Leave puts a protocol back in the seconds that a stop leaves: it writes the
// options and, if the add-on may run with another one, sends the restart off
// without waiting for its end; Supervisor carries it out without us. The intention's
// stage is the one that the interrupted change had reached. What could not be done
// stands in the diary, and the next start does it.
func (t *Treatment) Leave(ctx context.Context, in journal.Intention, restart bool) error {
	l := leaving{&change{Treatment: t, in: in, called: in.At}}
	interrupted, writing := in.Stage == journal.Restarting, in.Stage == journal.Writing
	// A diary that cannot be written must not keep the setting from going back.
	unnoted := l.note(journal.Writing)
	info, stored, err := l.storeLast(ctx, writing)
	if err != nil || !stored {
		return errors.Join(err, unnoted)
	}
	// Stopped by hand it stays stopped; between the stop and the start of our own
	// restart it must not.
	halted := info.State == evidence.StateStopped && !in.StoppedByUs
	if !restart || halted && (!interrupted || l.ending(ctx, in.At) == tunnel.EndedBySignal) {
		return unnoted
	}
	if err := l.startable(ctx, info.Options, in.To); err != nil {
		return errors.Join(err, unnoted) // the setting is stored; the next start of this program does the rest
	}
	if in.Most != 0 && in.Begun >= in.Most {
		return unnoted
	}
	l.in.Process = t.Connector.Process()
	l.in.Begun++
	unnoted = errors.Join(unnoted, l.note(journal.Restarting))
	taken, err := l.restartLast(ctx)
	if taken {
		err = l.note(journal.Connecting)
	}
	return errors.Join(err, unnoted)
}

// storeLast stores the setting, and says whether it is there: a person's own stays. A write
// that was under way may take effect yet, so it is looked at for a while.
func (l leaving) storeLast(ctx context.Context, writing bool) (info supervisor.Info, stored bool, err error) {
	for began := time.Now(); ; {
		info, there, err := l.present(ctx)
		if err != nil || !l.in.Knows(there) || info.Options.HoldsSecretReference() {
			return info, false, err
		}
		if there != l.in.To {
			if err := l.put(ctx, info.Options, l.in.To); err != nil {
				return info, false, err
			}
		}
		if !writing || time.Since(began) > min(linger, l.Patience.Late) || l.pause(ctx) != nil {
			return info, true, nil
		}
	}
}

// restartLast asks for a restart until Supervisor takes it: busy it is with the one that was
// interrupted, as a rule. Where the context ends first, it may have been sent all the same.
func (l leaving) restartLast(ctx context.Context) (taken bool, busy error) {
	for {
		err := l.Supervisor.Restart(ctx, l.in.Slug)
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, busy // not busy before, it was sent
		case !supervisor.Is(err, supervisor.Busy):
			return false, err
		}
		if busy = err; l.pause(ctx) != nil {
			return false, busy
		}
	}
}
