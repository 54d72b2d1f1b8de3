package treatment

import (
	"context"
	"time"

	"tunnelmedic/internal/evidence"
	"tunnelmedic/internal/journal"
	"tunnelmedic/internal/policy"
	"tunnelmedic/internal/supervisor"
	"tunnelmedic/internal/tunnel"
)

// restarting is a restart under way.
type restarting struct {
	*change
	began, asked  time.Time // asked: whether it can be started; just before, for the first time
	cost          int       // restarts of the budget that the next call takes: none where the app has ended, so that it is started
	tries, waited int
}

// restart restarts the add-on, waits while Supervisor is busy with it, and sees to
// it that it is not left stopped: Supervisor's watchdog does not rescue an add-on
// whose start failed after the stop. One that does not run is started, which cuts
// nobody off. No error says that Supervisor called it done.
func restart(ctx context.Context, c *change) error {
	r := restarting{change: c, began: time.Now(), asked: time.Now(), cost: 1}
	err := r.ready(ctx)
	if err != nil {
		return err
	}
	c.Connector.Forget()
	for done := false; !done && err == nil; {
		done, err = r.try(ctx)
	}
	return err
}

// ready ends the change where a start could not succeed and nobody has asked yet, and sees
// whether the app has ended, so that it is started and not restarted.
func (r *restarting) ready(ctx context.Context) error {
	ours := r.in.StoppedByUs || r.in.Purpose == policy.Revive
	if !ours && !r.goesBack() {
		return nil
	}
	info, err := r.known(ctx)
	if err == nil && r.goesBack() && r.in.From != r.in.To { // else it was asked before
		err = r.startable(ctx, info.Options, r.in.To)
	}
	if info.State == evidence.StateError || info.State == evidence.StateStopped && ours {
		r.cost = 0
	}
	return err
}

// try asks once, and waits or looks where that was in vain.
func (r *restarting) try(ctx context.Context) (done bool, err error) {
	refusal, err := r.ask(ctx)
	switch {
	case err != nil:
		return false, err
	case refusal == nil:
		return true, nil
	case supervisor.Is(refusal, supervisor.Busy) || supervisor.Is(refusal, supervisor.Away) && !supervisor.EffectUnknown(refusal):
		r.in.Begun -= r.cost // nothing was done yet
		r.Log.Debug().Err(refusal).Msg("Waiting for Supervisor.")
		r.waited++
		return r.await(ctx)
	}
	r.Log.Warn().Err(refusal).Msg("The restart did not end well; looking at what is there.")
	after, err := r.aftermath(ctx)
	if err != nil || after == anew {
		return true, err
	}
	if after == asBefore {
		r.in.Begun -= r.cost
	}
	switch {
	case r.tries == 3 && after == asBefore:
		return false, end(policy.NotRestarted, r.in.To)
	case r.tries == 3:
		return false, end(policy.Crashed, r.in.To)
	}
	if r.cost = 1; after == down {
		r.cost = 0
	}
	r.tries++
	return false, r.pause(ctx)
}

// ask asks Supervisor for the restart, or the start: noted before, within the budget, and
// only where a start can still succeed. refusal is Supervisor's.
func (r *restarting) ask(ctx context.Context) (refusal, err error) {
	if r.cost > 0 && time.Since(r.asked) > r.Patience.Late {
		info, err := r.known(ctx)
		if err == nil {
			err = r.startable(ctx, info.Options, r.in.To)
		}
		if err != nil {
			return nil, err
		}
		r.asked = time.Now()
	}
	call := r.Supervisor.Restart
	if r.cost == 0 {
		call = r.Supervisor.Start
	} else if r.in.Most != 0 && r.in.Begun >= r.in.Most {
		return nil, end(policy.OverBudget, r.in.To)
	}
	r.in.Begun += r.cost
	if err := r.note(journal.Restarting); err != nil && r.risky() && r.tries == 0 {
		r.in.Begun -= r.cost
		return nil, end(policy.Unkept, r.in.To)
	}
	r.called = time.Now()
	refusal = call(ctx, r.in.Slug)
	return refusal, ctx.Err()
}

// longestWait is how many looks lie between two askings for a restart while Supervisor
// is busy: each asking is a line in its log.
const longestWait = 15

// await waits while Supervisor is busy with the add-on or away, by looking, and says
// whether the job that held it has started it anew: with what is stored, so that
// nothing is left to do. As long as the add-on is shown stopped, and we have not stopped
// it, another job or a person has: a restart would start it.
func (r *restarting) await(ctx context.Context) (done bool, err error) {
	silent := time.Now().Add(r.Patience.Settle(r.in.To))
	for looks := min(1<<min(r.waited, 10), longestWait); ; looks-- {
		if err := r.pause(ctx); err != nil {
			return false, err
		}
		info, err := r.Supervisor.Info(ctx, r.in.Slug)
		halted := err == nil && r.tries == 0 && r.cost > 0 && info.State == evidence.StateStopped // not by us
		late := time.Since(r.began) > r.Patience.Busy
		already, starting := false, false
		if err == nil && info.State == evidence.StateStarted {
			already, starting = r.meanwhile(ctx, silent)
		}
		if starting {
			looks = max(looks, 2)
		}
		switch {
		case already:
			r.Log.Info().Msg("The job that held the Cloudflared app has restarted it already.")
			return true, nil
		case late && halted:
			return false, r.stoppedByHand(ctx)
		case late:
			r.Log.Warn().Msg("Supervisor was busy or away for too long; the restart is put off.")
			return false, end(policy.Busy, r.in.To)
		case !halted && looks <= 1:
			return false, nil
		}
	}
}

// meanwhile says whether the job that held the app has started it anew, or is about to.
func (r *restarting) meanwhile(ctx context.Context, silent time.Time) (already, starting bool) {
	if answers := r.Connector.Inspect(ctx, time.Now()).Status != 0; answers {
		return r.renewed(r.began), false
	}
	return false, r.in.Process != "" && time.Now().Before(silent)
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
func (r *restarting) aftermath(ctx context.Context) (condition, error) {
	deadline := time.Now().Add(r.Patience.Settle(r.in.To))
	for info, err := r.known(ctx); ; info, err = r.again(ctx) {
		if err != nil {
			return down, err
		}
		if !info.State.Runs() {
			// The restart may have been done, and a person have stopped what it started, while
			// its answer was waited for.
			if info.State == evidence.StateStopped && r.ending(ctx, r.began) == tunnel.EndedBySignal {
				return down, r.stoppedByHand(ctx)
			}
			return down, nil
		}
		answers := r.Connector.Inspect(ctx, time.Now()).Status != 0
		late := time.Now().After(deadline)
		switch {
		case answers && r.renewed(r.began), late && !answers: // it does not answer, so it is not the old one; connect judges it
			return anew, nil
		case late:
			return asBefore, nil
		}
	}
}

// connecting is the wait for the connection: a restart that answered 200 says only that a
// container started. It counts what the tunnel was seen as: once may be too early.
type connecting struct {
	*change
	asked, began                 time.Time // asked for the restart; began to wait
	failing, halts, same, others int
}

// transportOf is the transport that a protocol asks for; none where it takes either.
func transportOf(p evidence.Protocol) evidence.Transport {
	return map[evidence.Protocol]evidence.Transport{evidence.QUIC: evidence.OverQUIC, evidence.HTTP2: evidence.OverHTTP2}[p]
}

// connect waits until the tunnel is connected as it is to be, or will not be.
func connect(ctx context.Context, c *change) (policy.Outcome, error) {
	w := connecting{change: c, asked: c.in.At, began: time.Now()}
	if w.asked.IsZero() {
		w.asked = w.began
	}
	deadline := w.began.Add(c.Patience.Settle(c.in.To))
	for {
		seen := c.Connector.Inspect(ctx, time.Now())
		var result policy.Result
		var err error
		if seen.Status != 0 {
			result = w.answered(seen)
		} else { // only a connector that does not answer at all can have ended
			result, err = w.silent(ctx)
		}
		if result == policy.NoResult && err == nil && time.Now().After(deadline) {
			result = policy.Unsettled
		}
		if err != nil || result != policy.NoResult {
			return policy.Outcome{Result: result, Setting: c.in.To, Transport: seen.Transport}, err
		}
		if err := w.pauseUntilUp(ctx); err != nil {
			return policy.Outcome{}, err
		}
	}
}

// answered judges a connector that answers; NoResult is not yet.
func (w *connecting) answered(c evidence.Connector) policy.Result {
	fits := w.goesBack() || transportOf(w.in.To) == evidence.NoTransport || c.Transport == transportOf(w.in.To)
	switch {
	case !w.renewed(w.asked):
		// Only another process shows that there was a restart.
		if w.same++; w.same >= policy.LooksStopped {
			return policy.NotRestarted
		}
	case c.Up() && fits:
		return policy.Settled
	case c.Up():
		// Which transport it is may not be known at once, or for an old cloudflared not at all.
		if w.others++; w.others < policy.LooksStopped {
			return policy.NoResult
		}
		if c.Transport == evidence.NoTransport {
			return policy.Settled
		}
		return policy.OtherTransport
	}
	return policy.NoResult
}

// silent judges a connector that does not answer by what Supervisor says of the app.
func (w *connecting) silent(ctx context.Context) (policy.Result, error) {
	info, err := w.Supervisor.Info(ctx, w.in.Slug)
	switch {
	case err != nil:
	case !info.Installed():
		return policy.UserStopped, nil
	case info.State == evidence.StateStopped:
		if w.halts++; w.halts >= policy.LooksStopped {
			return policy.NoResult, w.notRunning(ctx)
		}
	case info.State == evidence.StateError:
		// Supervisor's watchdog may be about to start it again: look more than once.
		if w.failing++; w.failing >= 3 {
			return policy.Crashed, nil
		}
	default:
		w.failing, w.halts = 0, 0
	}
	return policy.NoResult, nil
}

// Within the time that a start takes, as a rule, the connector is asked several times as
// often as it is looked at: the household is cut off until then. One that takes longer is
// left in peace.
const (
	eager  = 15 * time.Second
	nimble = 5
)

// pauseUntilUp is a pause that ends as soon as the new process is connected. What is seen
// within it counts for nothing else: Supervisor's word, and the old process, get the time
// that they need.
func (w *connecting) pauseUntilUp(ctx context.Context) error {
	if w.others > 0 || time.Since(w.began) > eager {
		return w.pause(ctx)
	}
	for range nimble - 1 {
		if err := pause(ctx, w.Patience.Poll/nimble); err != nil {
			return err
		}
		if w.Connector.Inspect(ctx, time.Now()).Up() && w.renewed(w.asked) {
			return nil
		}
	}
	return pause(ctx, w.Patience.Poll/nimble)
}
